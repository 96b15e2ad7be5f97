// Picking and putting along a dimension. Where rows are few and long, several blocks share one, each with a range of its positions.
#include "kernels/along.h"

#include "combine.h"
#include "elementwise.h"
#include "ordered.h"

namespace dnncore::cuda {
namespace {

constexpr int64_t kShortRow = 32;       // entries that one thread goes through however few the rows are
constexpr int64_t kManyRows = 1 << 14;  // enough to occupy the device with a thread each

template <class U>
__global__ void __launch_bounds__(kBlock) gather_along(Walk<3> walk, int64_t size, int64_t x_step, const U* x, const int64_t* index, U* y) {
  for (int64_t i = global_thread(); i < walk.count; i += grid_threads()) {
    int64_t at[3];
    walk.offsets(i, at);
    const int64_t position = index[at[1]];
    if (position >= 0 && position < size) y[at[0]] = x[at[2] + position * x_step];
  }
}

template <class T>
struct Scattered {
  T* x;
  const int64_t* index;
  const T* values;
  int64_t n, size, x_step, index_step, value_step, range;
  ScatterOp op;

  Scattered(const ScatterDimArgs& args, int64_t positions)
      : x(static_cast<T*>(args.x)),
        index(args.index),
        values(static_cast<const T*>(args.values)),
        n(args.n),
        size(args.size),
        x_step(args.x_step),
        index_step(args.index_step),
        value_step(args.value_step),
        range(positions),
        op(args.op) {}
};

template <class T>
__global__ void __launch_bounds__(kBlock) scatter_rows(Scattered<T> s, Walk<3> rows) {
  for (int64_t i = global_thread(); i < rows.count; i += grid_threads()) {
    int64_t at[3];
    rows.offsets(i, at);
    for (int64_t j = 0; j < s.n; ++j) {
      const int64_t position = s.index[at[1] + j * s.index_step];
      if (position < 0 || position >= s.size) continue;
      T& to = s.x[at[0] + position * s.x_step];
      to = combine(s.op, to, s.values[at[2] + j * s.value_step]);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) scatter_ranges(Scattered<T> s, Walk<3> rows) {
  __shared__ OrderedList<int64_t> list;
  const int64_t begin = blockIdx.x * s.range, end = std::min(s.size, begin + s.range);
  int64_t at[3];
  rows.offsets(blockIdx.y, at);
  const auto find = [&](int64_t j, int64_t& place, int64_t& entry) {
    place = s.index[at[1] + j * s.index_step], entry = at[2] + j * s.value_step;
    return place >= begin && place < end;
  };
  in_order(list, s.n, 1, find, [&](int first) {
    T& to = s.x[at[0] + list.place[first] * s.x_step];
    T value = to;
    for (int i = first; i >= 0; i = list.next[i]) value = combine(s.op, value, s.values[list.entry[i]]);
    to = value;
  });
}

template <class T>
void run_scatter(const ScatterDimArgs& args, cudaStream_t stream) {
  if (numel(args.shape) == 0 || args.n == 0 || args.size == 0) return;
  const Walk<3> rows(args.shape, {&args.x_strides, &args.index_strides, &args.value_strides});
  if (args.n <= kShortRow || rows.count >= kManyRows)
    return launch_grid("scatter_dim", scatter_rows<T>, blocks_for(rows.count), kBlock, stream, 0, Scattered<T>(args, args.size), rows);
  const int64_t ranges = std::clamp<int64_t>(kOrderedBlocks / rows.count, 1, args.size);
  launch_grid("scatter_dim", scatter_ranges<T>, dim3(static_cast<unsigned>(ranges), static_cast<unsigned>(rows.count)), kBlock, stream, 0,
              Scattered<T>(args, (args.size + ranges - 1) / ranges), rows);
}

}  // namespace

void gather_dim(const GatherDimArgs& args, cudaStream_t stream) {
  if (numel(args.shape) == 0 || args.n == 0) return;
  Shape shape = args.shape, x_strides = args.x_strides, index_strides = args.index_strides, y_strides = args.y_strides;
  shape.push_back(args.n), x_strides.push_back(0), index_strides.push_back(args.index_step), y_strides.push_back(args.y_step);
  const Walk<3> walk(shape, {&y_strides, &index_strides, &x_strides});
  visit_size(itemsize(args.dtype), [&](auto tag) {
    using U = decltype(tag);
    launch_grid("gather_dim", gather_along<U>, blocks_for(walk.count), kBlock, stream, 0, walk, args.size, args.x_step,
                static_cast<const U*>(args.x), args.index, static_cast<U*>(args.y));
  });
}

void scatter_dim(const ScatterDimArgs& args, cudaStream_t stream) {
  if (args.op == ScatterOp::assign) return visit_size(itemsize(args.dtype), [&](auto tag) { run_scatter<decltype(tag)>(args, stream); });
  visit_dtype(args.dtype, [&](auto tag) {
    if constexpr (!kIsHalf<decltype(tag)>) run_scatter<decltype(tag)>(args, stream);
  });
}

}  // namespace dnncore::cuda
