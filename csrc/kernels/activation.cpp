// y = f(x) and dx = dy f'(x): two rows per activation and arithmetic type, the layouts are elementwise_loops.h's.
#include "kernels/activation.h"

#include "kernels/elementwise_loops.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {
namespace {

using Op = ActivationOp;

template <class T>
struct Parameters {
  Vec<T> a, b, c, one_over_a;
};

template <class T>
DNN_INLINE Vec<T> number(double x) {
  return Vec<T>::set(static_cast<T>(x));
}

// e^x - 1 for x <= 0 or NaN; -0 stays -0.
DNN_INLINE Vec<double> expm1_negative(Vec<double> x) { return expm1(x); }
DNN_INLINE Vec<float> expm1_negative(Vec<float> x) {
  if constexpr (!kFused) return expm1(x);
  using V = Vec<float>;
  x = max(V::set(-18.0f), x);  // NaN passes
#if defined(__AVX512F__)
  // exp_clamped's table: 2^k 2^(j/16) (1 + tail) - 1, the power less 1 being exact near 0. By way of float64 it took four times as long.
  constexpr float kSixteenths = kRounder<float> / 16;
  const V rounded = fma(x, V::set(1.44269504f), V::set(kSixteenths));
  const V n = rounded - V::set(kSixteenths);
  const V r = fma(n, V::set(-1.42860677e-6f), fma(n, V::set(-6.93145752e-1f), x));
  const V power = {(V::Raw)_mm512_scalef_ps((__m512)pick(detail::kExpPowers, bits(rounded)).v, (__m512)n.v)};
  const V series = fma(fma(V::set(4.16666667e-2f), r, V::set(1.66666667e-1f)), r, V::set(0.5f));
  const V tail = fma(r * r, series, r) + pick(detail::kExpRest, bits(rounded));
#else
  constexpr float kTerms[] = {1.0f / 2, 1.0f / 6, 1.0f / 24, 1.0f / 120, 1.0f / 720, 1.0f / 5040};
  const V rounded = fma(x, V::set(1.44269504f), V::set(kRounder<float>));
  const V n = rounded - V::set(kRounder<float>);
  const V r = fma(n, V::set(-1.42860677e-6f), fma(n, V::set(-6.93145752e-1f), x));
  const V power = scale(V::set(1), rounded);
  const V tail = fma(r * r, polynomial(r, kTerms), r);
#endif
  return from_bits<float>({bits(fma(power, tail, power - V::set(1))).v | (bits(x).v & std::numeric_limits<int32_t>::min())});
}

// 1 / (1 + e^-x) and its slope, neither of which cancels.
template <class T>
struct Logistic {
  Vec<T> value, slope;
};
template <class T>
DNN_INLINE Logistic<T> logistic(Vec<T> x) {
  const Vec<T> e = exp(-abs(x));
  const Vec<T> t = Vec<T>::set(1) / (Vec<T>::set(1) + e);
  const Vec<T> et = e * t;
  return {select(x < Vec<T>::zero(), et, t), et * t};
}

template <class T>
DNN_INLINE Vec<T> limit(Vec<T> x, Vec<T> low, Vec<T> high) {  // NaN passes
  return min(high, max(low, x));
}

// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2), which is 1 from x = 20 on.
template <class T>
struct Mish {
  Vec<T> e, n, x;
};
template <class T>
DNN_INLINE Mish<T> mish_parts(Vec<T> x) {
  const Vec<T> limited = min(Vec<T>::set(20), x);
  const Vec<T> e = exp(limited);
  return {e, e * (e + Vec<T>::set(2)), limited};
}

// tanh's form of gelu is x sigmoid(2 u): u = sqrt(2 / pi) (x + 0.044715 x^3).
constexpr double kTwoU = 1.5957691216057308, kTwoUCubic = kTwoU * 0.044715;

template <Op op, class T>
DNN_INLINE Vec<T> apply(Vec<T> x, const Parameters<T>& p) {
  using V = Vec<T>;
  const V zero = V::zero();
  if constexpr (op == Op::leaky_relu) return select(x > zero, x, x * p.a);
  if constexpr (op == Op::elu) return select(x > zero, p.b * x, p.a * expm1_negative(min(zero, p.c * x)));
  if constexpr (op == Op::softplus) {
    const V scaled = p.a * x;
    return select(scaled > p.b, x, softplus(scaled) * p.one_over_a);
  }
  if constexpr (op == Op::softsign) return x / (V::set(1) + abs(x));
  if constexpr (op == Op::gelu_tanh) return x * sigmoid(x * fma(x * x, number<T>(kTwoUCubic), number<T>(kTwoU)));
  if constexpr (op == Op::silu) return x * sigmoid(x);
  if constexpr (op == Op::mish) {
    const Mish<T> m = mish_parts(x);
    return x * (m.n / (m.n + V::set(2)));
  }
  if constexpr (op == Op::logsigmoid) return -softplus(-x);
  if constexpr (op == Op::hardtanh) return limit(x, p.a, p.b);
  if constexpr (op == Op::hardsigmoid) return limit(x + V::set(3), zero, V::set(6)) / V::set(6);
  if constexpr (op == Op::hardswish) return x * (limit(x + V::set(3), zero, V::set(6)) / V::set(6));
  if constexpr (op == Op::threshold) return select(x <= p.a, p.b, x);
  if constexpr (op == Op::hardshrink) return select(abs(x) <= p.a, zero, x);
  if constexpr (op == Op::softshrink) return select(abs(x) <= p.a, zero * x, x - copysign(p.a, x));
}

template <Op op, class T>
DNN_INLINE Vec<T> backward(Vec<T> g, Vec<T> x, const Parameters<T>& p) {
  using V = Vec<T>;
  const V zero = V::zero(), one = V::set(1);
  if constexpr (op == Op::leaky_relu) return select(x > zero, g, g * p.a);
  if constexpr (op == Op::elu) return g * select(x > zero, p.b, p.a * p.c * exp(min(zero, p.c * x)));
  if constexpr (op == Op::softplus) {
    const V scaled = p.a * x;
    return select(scaled > p.b, g, g * sigmoid(scaled));
  }
  if constexpr (op == Op::softsign) {
    const V t = one / (one + abs(x));
    return g * (t * t);
  }
  if constexpr (op == Op::gelu_tanh) {  // beyond 40 both e^-|2 u| and all it is multiplied with are settled
    const V near = limit(x, V::set(-40), V::set(40)), square = near * near;
    const Logistic<T> s = logistic(near * fma(square, number<T>(kTwoUCubic), number<T>(kTwoU)));
    return g * fma(near * s.slope, fma(square, number<T>(3 * kTwoUCubic), number<T>(kTwoU)), s.value);
  }
  if constexpr (op == Op::silu) {
    const Logistic<T> s = logistic(x);
    return g * fma(x, s.slope, s.value);
  }
  if constexpr (op == Op::mish) {  // with t = n / (n + 2): t + x (1 - t^2) sigmoid(x), and 1 - t^2 = 4 (1 + e^x)^2 / (n + 2)^2
    const Mish<T> m = mish_parts(x);
    const V d = one / (m.n + V::set(2));
    return g * (d * fma(V::set(4) * m.e * (one + m.e) * m.x, d, m.n));
  }
  if constexpr (op == Op::logsigmoid) return g * sigmoid(-x);
  if constexpr (op == Op::hardtanh) return select((x <= p.a) | (x >= p.b), zero, g);
  if constexpr (op == Op::hardsigmoid) return select((x > V::set(-3)) & (x < V::set(3)), g / V::set(6), zero);
  if constexpr (op == Op::hardswish) {
    const V inside = g * (x / V::set(3) + V::set(T(0.5)));
    return select(x <= V::set(-3), zero, select(x < V::set(3), inside, g));
  }
  if constexpr (op == Op::threshold) return select(x <= p.a, zero, g);
  if constexpr (op == Op::hardshrink || op == Op::softshrink) return select(abs(x) <= p.a, zero, g);
}

template <class T>
DNN_INLINE Parameters<T> load_parameters(const std::byte* from) {
  const auto& p = *reinterpret_cast<const ActivationParameters*>(from);
  return {number<T>(p.a), number<T>(p.b), number<T>(p.c), number<T>(1 / p.a)};
}

template <Op op, class T>
void forward_row(const std::byte* const* in, std::byte* out, int64_t n, int flags) {
  const Parameters<T> p = load_parameters<T>(in[1]);
  map_vectors<T, 1>(
      in, out, n, flags, [&](Vec<T> x) __attribute__((always_inline)) { return apply<op, T>(x, p); });
}

template <Op op, class T>
void backward_row(const std::byte* const* in, std::byte* out, int64_t n, int flags) {
  const Parameters<T> p = load_parameters<T>(in[2]);
  map_vectors<T, 2, false>(
      in, out, n, flags, [&](Vec<T> g, Vec<T> x) __attribute__((always_inline)) { return backward<op, T>(g, x, p); });
}

struct Rows {
  Row forward, backward;
};

template <class T>
Rows rows_for(ActivationOp op) {
  static constexpr Rows kRows[] = {
#define ACTIVATION(name) {forward_row<ActivationOp::name, T>, backward_row<ActivationOp::name, T>},
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  };
  return kRows[static_cast<int>(op)];
}

double cost(const ActivationArgs& args) {
  const bool wide = args.dtype == DType::Float64;
  switch (args.op) {
    case Op::elu:
    case Op::gelu_tanh:
    case Op::silu:
    case Op::mish:
      return wide ? 3 : 0.5;
    case Op::softplus:
    case Op::logsigmoid:
      return wide ? 3 : 1;
    default:
      return (args.dy == nullptr ? 0.06 : 0.08) * static_cast<double>(itemsize(args.dtype));
  }
}

}  // namespace

void activation(const ActivationArgs& args, const Tasks& tasks) {
  const auto* x = static_cast<const std::byte*>(args.x);
  const auto* dy = static_cast<const std::byte*>(args.dy);
  auto* y = static_cast<std::byte*>(args.y);
  const Rows rows = args.dtype == DType::Float64 ? rows_for<double>(args.op) : rows_for<float>(args.op);
  if (dy == nullptr)
    run_elementwise<1>({.in = {x},
                        .out = y,
                        .shape = args.shape,
                        .in_strides = {&args.x_strides},
                        .out_strides = args.y_strides,
                        .in_dtype = {args.dtype},
                        .out_dtype = args.dtype,
                        .row = rows.forward,
                        .parameters = &args.parameters},
                       tasks);
  else
    run_elementwise<2>({.in = {dy, x},
                        .out = y,
                        .shape = args.shape,
                        .in_strides = {&args.dy_strides, &args.x_strides},
                        .out_strides = args.y_strides,
                        .in_dtype = {args.dtype, args.dtype},
                        .out_dtype = args.dtype,
                        .row = rows.backward,
                        .parameters = &args.parameters},
                       tasks);
}

Schedule activation_schedule(const ActivationArgs& args) { return elementwise_schedule(args.shape, cost(args)); }

}  // namespace dnncore::DNNCORE_ISA
