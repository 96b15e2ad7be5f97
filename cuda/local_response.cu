// Local response normalisation: windows of a few channels are summed out of the first cache; in the backward pass, what is summed lies in
// shared memory where a row fits.
#include "kernels/local_response.h"

#include "numbers.h"

namespace dnncore::cuda {
namespace {

constexpr size_t kRoom = 48 << 10;  // of shared memory, without asking for more

// s^beta; beta = 3/4, which the papers use, is two roots.
template <class T>
__device__ __forceinline__ T power(T s, T beta) {
  if (beta != T(0.75)) return std::pow(s, beta);
  const T root = std::sqrt(s);
  return root * std::sqrt(root);
}

template <class T>
__device__ __forceinline__ T scale_at(const LocalResponse& s, const T* x, int64_t i) {
  T sum = 0;
  const int64_t last = std::min(s.c - 1, i + s.after);
  for (int64_t j = std::max<int64_t>(0, i - s.before); j <= last; ++j) sum = std::fma(x[j], x[j], sum);
  return std::fma(sum, static_cast<T>(s.alpha), static_cast<T>(s.k));
}

template <class T>
__global__ void __launch_bounds__(kBlock) respond(LocalResponseArgs args) {
  const LocalResponse& s = args.shape;
  const auto* const x = static_cast<const T*>(args.x);
  for (int64_t at = global_thread(); at < s.rows * s.c; at += grid_threads()) {
    const int64_t row = at / s.c * s.c;
    static_cast<T*>(args.y)[at] = x[at] / power(scale_at(s, x + row, at - row), static_cast<T>(s.beta));
  }
}

template <class T>
__device__ __forceinline__ T share_of(const LocalResponse& s, const T* x, const T* dy, int64_t j, T& direct) {
  const T scale = scale_at(s, x, j);
  direct = dy[j] / power(scale, static_cast<T>(s.beta));
  return direct * x[j] / scale;
}

// A block has `rows` rows at a time; their shares are in shared memory, unless rows is 0: then each is found anew wherever it is summed.
template <class T>
__global__ void __launch_bounds__(kBlock) respond_backward(LocalResponseBackwardArgs args, int64_t rows) {
  const LocalResponse& s = args.shape;
  T* const shares = shared_memory<T>();
  const T slope = static_cast<T>(-2 * s.alpha * s.beta);
  const int64_t step = std::max<int64_t>(rows, 1);
  for (int64_t first = blockIdx.x * step; first < s.rows; first += gridDim.x * step) {
    const int64_t count = std::min(step, s.rows - first) * s.c;
    const T* const x = static_cast<const T*>(args.x) + first * s.c;
    const T* const dy = static_cast<const T*>(args.dy) + first * s.c;
    T* const dx = static_cast<T*>(args.dx) + first * s.c;
    T direct;
    if (rows > 0) {
      for (int64_t at = threadIdx.x; at < count; at += kBlock) {
        const int64_t row = at / s.c * s.c;
        shares[at] = share_of(s, x + row, dy + row, at - row, direct);
        dx[at] = direct;  // until the same thread takes it up
      }
      __syncthreads();
    }
    for (int64_t at = threadIdx.x; at < count; at += kBlock) {
      const int64_t row = at / s.c * s.c, i = at - row, last = std::min(s.c - 1, i + s.before);
      T sum = 0, other;
      for (int64_t j = std::max<int64_t>(0, i - s.after); j <= last; ++j)
        sum += rows > 0 ? shares[row + j] : share_of(s, x + row, dy + row, j, other);
      if (rows > 0)
        direct = dx[at];
      else
        share_of(s, x + row, dy + row, i, direct);
      dx[at] = std::fma(slope * x[at], sum, direct);
    }
    if (rows > 0) __syncthreads();
  }
}

template <class T>
void backward(const LocalResponseBackwardArgs& args, cudaStream_t stream) {
  const LocalResponse& s = args.shape;
  const auto row_bytes = static_cast<size_t>(s.c) * sizeof(T);
  const int64_t rows = row_bytes > kRoom ? 0 : std::max<int64_t>(1, kBlock / s.c);
  const int64_t blocks = rows == 0 ? s.rows : (s.rows + rows - 1) / rows;
  launch_grid("local_response_backward", respond_backward<T>, blocks_for(blocks, 1), kBlock, stream, static_cast<size_t>(rows) * row_bytes,
              args, rows);
}

}  // namespace

void local_response(const LocalResponseArgs& args, cudaStream_t stream) {
  const int64_t count = args.shape.rows * args.shape.c;
  if (count == 0) return;
  launch_grid("local_response", args.shape.dtype == DType::Float64 ? respond<double> : respond<float>, blocks_for(count), kBlock, stream, 0,
              args);
}

void local_response_backward(const LocalResponseBackwardArgs& args, cudaStream_t stream) {
  if (args.shape.rows * args.shape.c == 0) return;
  args.shape.dtype == DType::Float64 ? backward<double>(args, stream) : backward<float>(args, stream);
}

}  // namespace dnncore::cuda
