// Strided copies with cast. Where the innermost dimension of the source is another one than the destination's, as between NCHW and NHWC,
// tiles pass through shared memory, so that both sides are touched in whole lines.
#include "kernels/copy.h"

#include "elementwise.h"

namespace dnncore::cuda {
namespace {

template <class To, class From>
struct Cast {
  __device__ __forceinline__ To operator()(From x) const { return convert<To>(x); }
};

constexpr int kTile = 32, kTileRows = 8;  // threads of a block: 32 x 8
constexpr int64_t kLeastTransposed = 8;   // of both dimensions, for tiles to pay

// y[b][i][j] = x[b][j][i] by tiles; `batch` walks the other dimensions.
struct Transposed {
  int64_t rows, columns;  // of y: columns are adjacent in y, rows in x
  int64_t y_row, x_column;
  int64_t batches;
};

// Without a cast: one kernel per size.
template <class U>
__global__ void __launch_bounds__(kTile* kTileRows) copy_transposed(Transposed t, Walk<2> batch, const U* x, U* y) {
  __shared__ U tile[kTile][kTile + 1];
  const int64_t tiles_across = (t.columns + kTile - 1) / kTile, tiles_down = (t.rows + kTile - 1) / kTile;
  for (int64_t i = blockIdx.x; i < t.batches * tiles_across * tiles_down; i += gridDim.x) {
    const int64_t column = i % tiles_across * kTile, row = i / tiles_across % tiles_down * kTile;
    int64_t at[2];
    batch.offsets(i / tiles_across / tiles_down, at);
    for (int r = threadIdx.y; r < kTile; r += kTileRows)
      if (column + r < t.columns && row + threadIdx.x < t.rows)
        tile[r][threadIdx.x] = x[at[1] + (column + r) * t.x_column + row + threadIdx.x];
    __syncthreads();
    for (int r = threadIdx.y; r < kTile; r += kTileRows)
      if (row + r < t.rows && column + threadIdx.x < t.columns)
        y[at[0] + (row + r) * t.y_row + column + threadIdx.x] = tile[threadIdx.x][r];
    __syncthreads();
  }
}

// Whether it is one, and which dimensions of the joined shape are y's rows and columns.
template <class U>
bool run_transposed(const CopyArgs& args, cudaStream_t stream) {
  Shape shape = args.shape;
  Strides y_strides = args.y_strides, x_strides = args.x_strides;
  Strides* const both[] = {&y_strides, &x_strides};
  coalesce(shape, both, 2);
  const int last = shape.n - 1;
  if (y_strides[last] != 1 || x_strides[last] <= 1) return false;
  int rows = -1;
  for (int d = 0; d < last; ++d)
    if (x_strides[d] == 1) rows = d;
  if (rows < 0 || shape[rows] < kLeastTransposed || shape[last] < kLeastTransposed) return false;
  Transposed t{shape[rows], shape[last], y_strides[rows], x_strides[last], 0};
  for (Shape* each : {&shape, &y_strides, &x_strides}) each->erase(last), each->erase(rows);
  const Walk<2> batch(shape, {&y_strides, &x_strides});
  t.batches = batch.count;
  const int64_t tiles = t.batches * ((t.rows + kTile - 1) / kTile) * ((t.columns + kTile - 1) / kTile);
  launch_grid("copy", copy_transposed<U>, blocks_for(tiles, 1), dim3(kTile, kTileRows), stream, 0, t, batch, static_cast<const U*>(args.x),
              static_cast<U*>(args.y));
  return true;
}

template <class To, class From>
void run_cast(const CopyArgs& args, cudaStream_t stream) {
  map("copy", stream, Cast<To, From>{}, args.shape, static_cast<To*>(args.y), args.y_strides, input<From>(args.x, args.x_strides));
}

// Between types of which neither is float32, element by element: what is read is converted by the one kernel for its type.
template <class From>
__global__ void __launch_bounds__(kBlock) cast_any(Walk<2> walk, DType to, const From* x, void* y) {
  for (int64_t i = global_thread(); i < walk.count; i += grid_threads()) {
    int64_t at[2];
    walk.offsets(i, at);
    const From value = x[at[1]];
    const auto write = [&](auto tag) { static_cast<decltype(tag)*>(y)[at[0]] = convert<decltype(tag)>(value); };
    switch (to) {
      case DType::Float64:
        write(double{});
        break;
      case DType::BFloat16:
        write(bfloat16{});
        break;
      case DType::Float16:
        write(float16{});
        break;
      case DType::Int64:
        write(int64_t{});
        break;
      case DType::Int32:
        write(int32_t{});
        break;
      case DType::UInt8:
        write(uint8_t{});
        break;
      default:
        write(bool{});
    }
  }
}

template <class From>
void run_any_cast(const CopyArgs& args, cudaStream_t stream) {
  const Walk<2> walk(args.shape, {&args.y_strides, &args.x_strides});
  if (walk.count > 0)
    launch_grid("copy", cast_any<From>, blocks_for(walk.count), kBlock, stream, 0, walk, args.y_dtype, static_cast<const From*>(args.x),
                args.y);
}

template <class U>
void run(const CopyArgs& args, cudaStream_t stream) {
  if (numel(args.shape) == 0 || run_transposed<U>(args, stream)) return;
  run_cast<U, U>(args, stream);
}

}  // namespace

void copy(const CopyArgs& args, cudaStream_t stream) {
  if (args.x_dtype == args.y_dtype) return visit_size(itemsize(args.x_dtype), [&](auto tag) { run<decltype(tag)>(args, stream); });
  if (args.x_dtype == DType::Float32)
    return visit_dtype(args.y_dtype, [&](auto to) {
      if constexpr (!std::is_same_v<decltype(to), float>) run_cast<decltype(to), float>(args, stream);
    });
  visit_dtype(args.x_dtype, [&](auto from) {
    using From = decltype(from);
    if constexpr (!std::is_same_v<From, float>)
      args.y_dtype == DType::Float32 ? run_cast<float, From>(args, stream) : run_any_cast<From>(args, stream);
  });
}

}  // namespace dnncore::cuda
