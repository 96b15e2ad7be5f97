// The tables of resampling, a block for each dimension. Compiled without contraction (-fmad=false): the same elements and weights as on
// the CPU.
#include "kernels/resample_taps.h"
#include "numbers.h"

namespace dnncore::cuda {
namespace {

struct Axis {
  int64_t rows;
  int32_t *first, *begin;
  void* weights;
};
struct Axes {
  Axis axis[3];
};

// A row without weights begins where the one before it ends. Counts become sums: both over a block of rows at a time.
__device__ __forceinline__ void add_up(const Axis& axis) {
  __shared__ int counts[kBlock], ends[kBlock];
  int begin = 0, end = 0;
  for (int64_t base = 0; base < axis.rows; base += kBlock) {
    const int64_t row = base + threadIdx.x;
    const int count = row < axis.rows ? axis.begin[row + 1] : 0;
    int sum = count, furthest = count > 0 ? axis.first[row] + count : 0;
    for (unsigned by = 1; by < kBlock; by *= 2) {
      counts[threadIdx.x] = sum, ends[threadIdx.x] = furthest;
      __syncthreads();
      if (threadIdx.x >= by) sum += counts[threadIdx.x - by], furthest = std::max(furthest, ends[threadIdx.x - by]);
      __syncthreads();
    }
    counts[threadIdx.x] = sum, ends[threadIdx.x] = furthest;
    __syncthreads();
    if (row < axis.rows) {
      axis.begin[row + 1] = begin + sum;
      if (count == 0) axis.first[row] = std::max(end, furthest);
    }
    begin += counts[kBlock - 1], end = std::max(end, ends[kBlock - 1]);
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) write_table(ResampleShape s, Axes axes) {
  const Axis& axis = axes.axis[blockIdx.x];
  const ResampleTaps taps(s, s.axes[blockIdx.x]);
  const int64_t to = s.axes[blockIdx.x].to;
  for (int64_t row = threadIdx.x; row <= axis.rows; row += kBlock) {
    axis.begin[row] = 0;
    if (row < axis.rows) axis.first[row] = 0x7fffffff;
  }
  __syncthreads();
  for (int64_t p = threadIdx.x; p < to; p += kBlock)
    taps.visit(p, [&](int64_t q, double) {
      atomicAdd(axis.begin + (s.transposed ? q : p) + 1, 1);
      atomicMin(axis.first + (s.transposed ? q : p), static_cast<int32_t>(s.transposed ? p : q));
    });
  __syncthreads();
  add_up(axis);
  __syncthreads();
  auto* const weights = static_cast<T*>(axis.weights);
  for (int64_t p = threadIdx.x; p < to; p += kBlock)
    taps.visit(p, [&](int64_t q, double weight) {
      const int64_t row = s.transposed ? q : p, column = s.transposed ? p : q;
      weights[axis.begin[row] + column - axis.first[row]] = static_cast<T>(weight);
    });
}

}  // namespace

void resample_table(const ResampleTableArgs& args, cudaStream_t stream) {
  const ResampleShape& s = args.shape;
  Axes axes;
  for (int i = 0; i < 3; ++i) {
    auto* const table = static_cast<std::byte*>(args.table) + s.table_offset(i);
    auto* const first = reinterpret_cast<int32_t*>(table);
    axes.axis[i] = {s.rows(i), first, first + s.rows(i), table + s.head_bytes(i)};
  }
  launch_grid("resample_table", s.dtype == DType::Float64 ? write_table<double> : write_table<float>, 3, kBlock, stream, 0, s, axes);
}

}  // namespace dnncore::cuda
