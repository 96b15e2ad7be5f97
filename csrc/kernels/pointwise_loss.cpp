// Losses of pairs, summed chunk by chunk while the values are in registers: a mean reads its two inputs once and writes nothing else.
#include "kernels/pointwise_loss.h"

#include "kernels/elementwise_loops.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {
namespace {

static_assert(PointwiseLossArgs::kChunkElements == kChunk);

template <class T>
DNN_INLINE Vec<T> number(double x) {
  return Vec<T>::set(static_cast<T>(x));
}

// log(1 + e) for e in [0, 1]: 2 artanh(e / (2 + e)). A third of the time of log1p, which takes any number.
DNN_INLINE Vec<float> log1p_unit(Vec<float> e) {
  using V = Vec<float>;
  constexpr float kTerms[] = {2.0f, 2.0f / 3, 2.0f / 5, 2.0f / 7, 2.0f / 9, 2.0f / 11, 2.0f / 13, 2.0f / 15};
  const V s = e / (V::set(2) + e);
  return s * polynomial(s * s, kTerms);
}
DNN_INLINE Vec<double> log1p_unit(Vec<double> e) { return log1p(e); }

template <LossOp op, class T>
DNN_INLINE Vec<T> loss_of(Vec<T> x, Vec<T> t, Vec<T> parameter) {
  using V = Vec<T>;
  const V zero = V::zero(), one = V::set(1), half = number<T>(0.5);
  if constexpr (op == LossOp::mse) return (x - t) * (x - t);
  if constexpr (op == LossOp::l1) return abs(x - t);
  if constexpr (op == LossOp::smooth_l1) {
    const V d = abs(x - t);
    return select(d < parameter, half * d * d / parameter, d - half * parameter);
  }
  if constexpr (op == LossOp::huber) {
    const V d = abs(x - t);
    return select(d <= parameter, half * d * d, parameter * (d - half * parameter));
  }
  if constexpr (op == LossOp::bce) {
    const V least = V::set(-100);
    return (t - one) * max(least, log1p(-x)) - t * max(least, log(x));
  }
  if constexpr (op == LossOp::bce_with_logits) {  // max(0, x) - x t + ..., where an infinite x of the right sign costs nothing
    const V wrong = select(x > zero, one - t, t);
    return select(wrong == zero, zero, abs(x) * wrong) + log1p_unit(exp(-abs(x)));
  }
  if constexpr (op == LossOp::kl_div) return select(t == zero, zero, t * log(t)) - t * x;
  if constexpr (op == LossOp::kl_div_log) return exp(t) * (t - x);
  if constexpr (op == LossOp::poisson_nll_log) return exp(x) - t * x;
  if constexpr (op == LossOp::poisson_nll) return x - t * log(x + parameter);
  if constexpr (op == LossOp::soft_margin) {
    const V z = -(t * x);
    return max(zero, z) + log1p_unit(exp(-abs(z)));
  }
}

template <LossOp op, class T>
DNN_INLINE Vec<T> slope_of(Vec<T> x, Vec<T> t, Vec<T> parameter) {
  using V = Vec<T>;
  const V zero = V::zero(), one = V::set(1);
  const V d = x - t;
  const V sign = select(abs(d) > zero, copysign(one, d), d);  // 0 at 0, NaN for NaN
  if constexpr (op == LossOp::mse) return d + d;
  if constexpr (op == LossOp::l1) return sign;
  if constexpr (op == LossOp::smooth_l1) return select(abs(d) < parameter, d / parameter, sign);
  if constexpr (op == LossOp::huber) return select(abs(d) <= parameter, d, parameter * sign);
  if constexpr (op == LossOp::bce) return d / max((one - x) * x, number<T>(1e-12));
  if constexpr (op == LossOp::bce_with_logits) return sigmoid(x) - t;
  if constexpr (op == LossOp::kl_div) return -t;
  if constexpr (op == LossOp::kl_div_log) return -exp(t);
  if constexpr (op == LossOp::poisson_nll_log) return exp(x) - t;
  if constexpr (op == LossOp::poisson_nll) return one - t / (x + parameter);
  if constexpr (op == LossOp::soft_margin) return -(t * sigmoid(-(t * x)));
}

template <class T>
DNN_INLINE Mask<T> outside_unit(Vec<T> x) {
  return (x < Vec<T>::zero()) | (x > Vec<T>::set(1));
}

// One chunk of at most kChunk pairs.
template <LossOp op, class T>
void loss_chunk(const PointwiseLossArgs& args, int64_t chunk) {
  using V = Vec<T>;
  constexpr int64_t N = V::N, kSpan = 16 * N;  // lanes add 16 values per chain before they are joined in float64
  const int64_t begin = chunk * kChunk, count = std::min(kChunk, args.n - begin);
  const T* const x = static_cast<const T*>(args.x) + begin;
  const T* const t = static_cast<const T*>(args.t) + begin;
  T* const y = args.y == nullptr ? nullptr : static_cast<T*>(args.y) + begin;
  const V parameter = number<T>(args.parameter);
  Mask<T> x_outside = is_nan(V::zero()), t_outside = x_outside;
  const auto value = [&](V a, V b) __attribute__((always_inline)) {
    if constexpr (takes_probabilities(op)) t_outside = t_outside | outside_unit(b);
    if constexpr (op == LossOp::bce) x_outside = x_outside | outside_unit(a);
    return loss_of<op, T>(a, b, parameter);
  };
  double total = 0;
  int64_t i = 0;
  if (y != nullptr) {
    for (; i + N <= count; i += N) value(V::load(x + i), V::load(t + i)).store(y + i);
    if (i < count) value(V::load(x + i, count - i), V::load(t + i, count - i)).store(y + i, count - i);
  } else {
    for (; i + 2 * kSpan <= count; i += 2 * kSpan) {
      V a = V::zero(), b = V::zero();
      for (int64_t j = i; j < i + 2 * kSpan; j += 2 * N) {
        a = a + value(V::load(x + j), V::load(t + j));
        b = b + value(V::load(x + j + N), V::load(t + j + N));
      }
      total += static_cast<double>(reduce_add(a)) + static_cast<double>(reduce_add(b));
    }
    V a = V::zero();
    for (; i + N <= count; i += N) a = a + value(V::load(x + i), V::load(t + i));
    total += reduce_add(a);
    if (i < count) {
      T last[N];
      value(V::load(x + i, count - i), V::load(t + i, count - i)).store(last);
      for (int64_t j = 0; j < count - i; ++j) total += last[j];
    }
    args.partial[chunk] = total;
  }
  if constexpr (takes_probabilities(op))
    args.outside[chunk] = static_cast<uint8_t>((any(t_outside) ? PointwiseLossArgs::kTargetOutside : 0) |
                                               (any(x_outside) ? PointwiseLossArgs::kInputOutside : 0));
}

template <LossOp op, class T>
void slope_chunk(const PointwiseLossBackwardArgs& args, int64_t chunk) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  const int64_t begin = chunk * kChunk, count = std::min(kChunk, args.n - begin);
  const T* const x = static_cast<const T*>(args.x) + begin;
  const T* const t = static_cast<const T*>(args.t) + begin;
  T* const dx = static_cast<T*>(args.dx) + begin;
  const V parameter = number<T>(args.parameter);
  const bool stream = args.n * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
  const auto run = [&](auto&& factor, auto&& some_factors) __attribute__((always_inline)) {
    const auto some = [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
      (slope_of<op, T>(V::load(x + i, lanes), V::load(t + i, lanes), parameter) * some_factors(i, lanes)).store(dx + i, lanes);
    };
    int64_t i = 0;
    if (stream) {
      i = std::min<int64_t>(count, (-reinterpret_cast<uintptr_t>(dx) % kVecBytes) / sizeof(T));
      if (i > 0) some(0, i);
      for (; i + N <= count; i += N) (slope_of<op, T>(V::load(x + i), V::load(t + i), parameter) * factor(i)).stream(dx + i);
    }
    for (; i + N <= count; i += N) (slope_of<op, T>(V::load(x + i), V::load(t + i), parameter) * factor(i)).store(dx + i);
    if (i < count) some(i, count - i);
  };
  const T* const g = static_cast<const T*>(args.g);
  if (args.g_step == 0) {
    const V all = number<T>(args.scale * static_cast<double>(*g));
    run(
        [&](int64_t) __attribute__((always_inline)) { return all; }, [&](int64_t, int64_t) __attribute__((always_inline)) { return all; });
  } else {
    const V scale = number<T>(args.scale);
    run(
        [&](int64_t i) __attribute__((always_inline)) { return scale * V::load(g + begin + i); },
        [&](int64_t i, int64_t lanes) __attribute__((always_inline)) { return scale * V::load(g + begin + i, lanes); });
  }
  if (stream) stream_fence();
}

using LossChunk = void (*)(const PointwiseLossArgs&, int64_t);
using SlopeChunk = void (*)(const PointwiseLossBackwardArgs&, int64_t);

template <class T>
constexpr LossChunk kLossChunks[] = {
#define LOSS(name) loss_chunk<LossOp::name, T>,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
};
template <class T>
constexpr SlopeChunk kSlopeChunks[] = {
#define LOSS(name) slope_chunk<LossOp::name, T>,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
};

template <class Body, class Args>
void run_chunks(Body body, const Args& args, const Tasks& tasks) {
  for (int64_t chunk = tasks.begin; chunk < tasks.end; ++chunk) body(args, chunk);
}

double cost(LossOp op, DType dtype) {
  const bool wide = dtype == DType::Float64;
  switch (op) {
    case LossOp::mse:
    case LossOp::l1:
    case LossOp::huber:
    case LossOp::smooth_l1:
      return wide ? 0.5 : 0.25;
    default:
      return wide ? 6 : 1.5;
  }
}

}  // namespace

void pointwise_loss(const PointwiseLossArgs& args, const Tasks& tasks) {
  if (tasks.phase == 0) {
    const int op = static_cast<int>(args.op);
    return run_chunks(args.dtype == DType::Float64 ? kLossChunks<double>[op] : kLossChunks<float>[op], args, tasks);
  }
  double total = 0;
  for (int64_t chunk = 0; chunk < PointwiseLossArgs::chunks(args.n); ++chunk) total += args.partial[chunk];
  total *= args.scale;
  if (args.dtype == DType::Float64)
    *static_cast<double*>(args.total) = total;
  else
    *static_cast<float*>(args.total) = static_cast<float>(total);
}

Schedule pointwise_loss_schedule(const PointwiseLossArgs& args) {
  Schedule schedule;
  schedule.phases = args.total == nullptr ? 1 : 2;
  schedule.tasks[0] = PointwiseLossArgs::chunks(args.n);
  schedule.nanoseconds = static_cast<double>(args.n) * cost(args.op, args.dtype);
  return schedule;
}

void pointwise_loss_backward(const PointwiseLossBackwardArgs& args, const Tasks& tasks) {
  const int op = static_cast<int>(args.op);
  run_chunks(args.dtype == DType::Float64 ? kSlopeChunks<double>[op] : kSlopeChunks<float>[op], args, tasks);
}

Schedule pointwise_loss_backward_schedule(const PointwiseLossBackwardArgs& args) {
  Schedule schedule;
  schedule.tasks[0] = PointwiseLossArgs::chunks(args.n);
  schedule.nanoseconds = static_cast<double>(args.n) * cost(args.op, args.dtype);
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
