// A block per chunk: its losses, their sum in float64 and what its values say of themselves; then one block joins the sums.
#include "kernels/pointwise_loss.h"

#include "math.h"
#include "reduce.h"

namespace dnncore::cuda {
namespace {

constexpr int kLossBlock = 512;  // a chunk's: 32 elements each

template <class W>
__device__ __forceinline__ W sign_of(W x) {
  return x > 0 ? W(1) : x < 0 ? W(-1) : x;
}
template <class W>
__device__ __forceinline__ W at_least(W x, W least) {
  return x < least ? least : x;
}

template <LossOp op, class W>
__device__ __forceinline__ W loss_value(W x, W t, W parameter) {
  [[maybe_unused]] const W d = std::fabs(x - t);
  if constexpr (op == LossOp::mse) return d * d;
  if constexpr (op == LossOp::l1) return d;
  if constexpr (op == LossOp::smooth_l1) return d < parameter ? d * d / (2 * parameter) : d - parameter / 2;
  if constexpr (op == LossOp::huber) return d <= parameter ? d * d / 2 : parameter * (d - parameter / 2);
  if constexpr (op == LossOp::bce) return (t - 1) * at_least(std::log1p(-x), W(-100)) - t * at_least(std::log(x), W(-100));
  if constexpr (op == LossOp::bce_with_logits) {
    const W wrong = x > 0 ? 1 - t : t;
    return (wrong == 0 ? W(0) : std::fabs(x) * wrong) + std::log1p(std::exp(-std::fabs(x)));
  }
  if constexpr (op == LossOp::kl_div) return (t == 0 ? W(0) : t * std::log(t)) - t * x;
  if constexpr (op == LossOp::kl_div_log) return std::exp(t) * (t - x);
  if constexpr (op == LossOp::poisson_nll_log) return std::exp(x) - t * x;
  if constexpr (op == LossOp::poisson_nll) return x - t * std::log(x + parameter);
  if constexpr (op == LossOp::soft_margin) return softplus(-t * x);
}

template <LossOp op, class W>
__device__ __forceinline__ W loss_slope(W x, W t, W parameter) {
  [[maybe_unused]] const W d = x - t;
  if constexpr (op == LossOp::mse) return 2 * d;
  if constexpr (op == LossOp::l1) return sign_of(d);
  if constexpr (op == LossOp::smooth_l1) return std::fabs(d) < parameter ? d / parameter : sign_of(d);
  if constexpr (op == LossOp::huber) return std::fabs(d) <= parameter ? d : parameter * sign_of(d);
  if constexpr (op == LossOp::bce) return d / at_least((1 - x) * x, W(1e-12));
  if constexpr (op == LossOp::bce_with_logits) return sigmoid(x) - t;
  if constexpr (op == LossOp::kl_div) return -t;
  if constexpr (op == LossOp::kl_div_log) return -std::exp(t);
  if constexpr (op == LossOp::poisson_nll_log) return std::exp(x) - t;
  if constexpr (op == LossOp::poisson_nll) return 1 - t / (x + parameter);
  if constexpr (op == LossOp::soft_margin) return -t * sigmoid(-t * x);
}

// One loss of those that exist: a kernel for all, whose switch is the same for every thread.
template <class W, class F>
__device__ __forceinline__ W with_op(LossOp op, const F& f) {
  switch (op) {
#define LOSS(name)   \
  case LossOp::name: \
    return f(std::integral_constant<LossOp, LossOp::name>{});
#define KERNEL(name, Args)
#include "kernels/kernels.def"
    default:
      return W(0);
  }
}

__device__ __forceinline__ bool outside_unit(double x) { return x < 0 || x > 1; }

template <class T>
__global__ void __launch_bounds__(kLossBlock) loss_chunks(PointwiseLossArgs args) {
  __shared__ double sums[kLossBlock / 32];
  __shared__ unsigned flags[kLossBlock / 32];
  const auto* const x = static_cast<const T*>(args.x);
  const auto* const t = static_cast<const T*>(args.t);
  const auto parameter = static_cast<T>(args.parameter);
  for (int64_t chunk = blockIdx.x; chunk < PointwiseLossArgs::chunks(args.n); chunk += gridDim.x) {
    const int64_t begin = chunk * PointwiseLossArgs::kChunkElements, end = std::min(begin + PointwiseLossArgs::kChunkElements, args.n);
    double sum = 0;
    unsigned outside = 0;
#pragma unroll 2
    for (int64_t i = begin + threadIdx.x; i < end; i += kLossBlock) {
      const T a = x[i], b = t[i];
      const T loss = with_op<T>(args.op, [&](auto op) { return loss_value<decltype(op)::value>(a, b, parameter); });
      sum += static_cast<double>(loss);
      if (args.y != nullptr) static_cast<T*>(args.y)[i] = loss;
      if (args.outside == nullptr) continue;
      if (outside_unit(b)) outside |= PointwiseLossArgs::kTargetOutside;
      if (args.op == LossOp::bce && outside_unit(a)) outside |= PointwiseLossArgs::kInputOutside;
    }
    if (args.outside != nullptr) {
      outside = block_joined(
          outside, [](unsigned a, unsigned b) { return a | b; }, flags);
      if (threadIdx.x == 0) args.outside[chunk] = static_cast<uint8_t>(outside);
    }
    if (args.total == nullptr) continue;
    sum = block_joined(sum, Plus{}, sums);
    if (threadIdx.x == 0) args.partial[chunk] = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kLossBlock) loss_total(PointwiseLossArgs args) {
  __shared__ double sums[kLossBlock / 32];
  double sum = 0;
  for (int64_t c = threadIdx.x; c < PointwiseLossArgs::chunks(args.n); c += kLossBlock) sum += args.partial[c];
  sum = block_joined(sum, Plus{}, sums);
  if (threadIdx.x == 0) *static_cast<T*>(args.total) = static_cast<T>(sum * args.scale);
}

template <class T>
__global__ void __launch_bounds__(kBlock) loss_slopes(PointwiseLossBackwardArgs args) {
  const auto* const x = static_cast<const T*>(args.x);
  const auto* const t = static_cast<const T*>(args.t);
  const auto* const g = static_cast<const T*>(args.g);
  const auto parameter = static_cast<T>(args.parameter), scale = static_cast<T>(args.scale);
  for (int64_t i = global_thread(); i < args.n; i += grid_threads()) {
    const T a = x[i], b = t[i];
    const T slope = with_op<T>(args.op, [&](auto op) { return loss_slope<decltype(op)::value>(a, b, parameter); });
    static_cast<T*>(args.dx)[i] = scale * g[i * args.g_step] * slope;
  }
}

template <class T>
void run(const PointwiseLossArgs& args, cudaStream_t stream) {
  const int64_t chunks = PointwiseLossArgs::chunks(args.n);
  if (chunks > 0) launch_grid("pointwise_loss", loss_chunks<T>, blocks_for(chunks, 1), kLossBlock, stream, 0, args);
  if (args.total != nullptr) launch_grid("pointwise_loss", loss_total<T>, 1, kLossBlock, stream, 0, args);
}

}  // namespace

void pointwise_loss(const PointwiseLossArgs& args, cudaStream_t stream) {
  args.dtype == DType::Float64 ? run<double>(args, stream) : run<float>(args, stream);
}

void pointwise_loss_backward(const PointwiseLossBackwardArgs& args, cudaStream_t stream) {
  if (args.n == 0) return;
  launch_grid("pointwise_loss_backward", args.dtype == DType::Float64 ? loss_slopes<double> : loss_slopes<float>, blocks_for(args.n),
              kBlock, stream, 0, args);
}

}  // namespace dnncore::cuda
