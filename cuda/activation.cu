// Activations with parameters, and their gradients: activation.h's formulas.
#include "kernels/activation.h"

#include "elementwise.h"
#include "math.h"

namespace dnncore::cuda {
namespace {

using Op = ActivationOp;

template <class W>
struct Parameters {
  W a, b, c;
};

// sqrt(2 / pi), and the cubic term of tanh's GELU.
template <class W>
inline constexpr W kRoot = W(0.79788456080286535588);
template <class W>
inline constexpr W kCubic = W(0.044715);

template <class W>
__device__ __forceinline__ W limit(W x, W low, W high) {
  return x < low ? low : x > high ? high : x;
}
// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2); 1 in float64 from 20 on.
template <class W>
__device__ __forceinline__ W tanh_of_softplus(W x) {
  if (x > 20) return W(1);
  const W e = std::exp(x), n = e * (e + 2);
  return n / (n + 2);
}

template <Op op, class W>
__device__ __forceinline__ W value(W x, const Parameters<W>& p) {
  if constexpr (op == Op::leaky_relu) return x > 0 ? x : p.a * x;
  if constexpr (op == Op::elu) return x > 0 ? p.b * x : p.a * std::expm1(p.c * x);
  if constexpr (op == Op::softplus) return p.a * x > p.b ? x : softplus(p.a * x) / p.a;
  if constexpr (op == Op::softsign) return x / (1 + std::fabs(x));
  if constexpr (op == Op::gelu_tanh) return x * sigmoid(2 * kRoot<W> * (x + kCubic<W> * x * x * x));
  if constexpr (op == Op::silu) return x * sigmoid(x);
  if constexpr (op == Op::mish) return x * tanh_of_softplus(x);
  if constexpr (op == Op::logsigmoid) return -softplus(-x);
  if constexpr (op == Op::hardtanh) return limit(x, p.a, p.b);
  if constexpr (op == Op::hardsigmoid) return limit(x + 3, W(0), W(6)) / 6;
  if constexpr (op == Op::hardswish) return x * (limit(x + 3, W(0), W(6)) / 6);
  if constexpr (op == Op::threshold) return x <= p.a ? p.b : x;
  if constexpr (op == Op::hardshrink) return std::fabs(x) <= p.a ? W(0) : x;
  if constexpr (op == Op::softshrink) return std::fabs(x) <= p.a ? 0 * x : x - std::copysign(p.a, x);
}

template <class W>
__device__ __forceinline__ W gelu_tanh_slope(W x) {
  if (std::fabs(x) > 40) return x > 0 ? W(1) : W(0);
  const W two_u = 2 * kRoot<W> * (x + kCubic<W> * x * x * x), s = sigmoid(two_u);
  return s + x * s * sigmoid(-two_u) * 2 * kRoot<W> * (1 + 3 * kCubic<W> * x * x);
}
template <class W>
__device__ __forceinline__ W mish_slope(W x) {
  if (x > 40) return W(1);
  const W t = tanh_of_softplus(x);
  return t + x * (1 - t * t) * sigmoid(x);
}

template <Op op, class W>
__device__ __forceinline__ W gradient(W g, W x, const Parameters<W>& p) {
  if constexpr (op == Op::leaky_relu) return x > 0 ? g : g * p.a;
  if constexpr (op == Op::elu) return x > 0 ? g * p.b : g * p.a * p.c * std::exp(p.c * x);
  if constexpr (op == Op::softplus) return p.a * x > p.b ? g : g * sigmoid(p.a * x);
  if constexpr (op == Op::softsign) return g / (1 + std::fabs(x)) / (1 + std::fabs(x));
  if constexpr (op == Op::gelu_tanh) return g * gelu_tanh_slope(x);
  if constexpr (op == Op::silu) return g * (sigmoid(x) + x * sigmoid(x) * sigmoid(-x));
  if constexpr (op == Op::mish) return g * mish_slope(x);
  if constexpr (op == Op::logsigmoid) return g * sigmoid(-x);
  if constexpr (op == Op::hardtanh) return x <= p.a || x >= p.b ? W(0) : g;
  if constexpr (op == Op::hardsigmoid) return x > -3 && x < 3 ? g / 6 : W(0);
  if constexpr (op == Op::hardswish) return x <= -3 ? W(0) : x < 3 ? g * (x / 3 + W(0.5)) : g;
  if constexpr (op == Op::threshold) return x <= p.a ? W(0) : g;
  if constexpr (op == Op::hardshrink || op == Op::softshrink) return std::fabs(x) <= p.a ? W(0) : g;
}

template <Op op, class T>
struct Forward {
  Parameters<Working<T>> parameters;
  __device__ __forceinline__ T operator()(T x) const { return from_working<T>(value<op>(to_working(x), parameters)); }
};
template <Op op, class T>
struct Backward {
  Parameters<Working<T>> parameters;
  __device__ __forceinline__ T operator()(T g, T x) const {
    return from_working<T>(gradient<op>(to_working(g), to_working(x), parameters));
  }
};

// All of them in one kernel.
template <class T>
struct AnyForward {
  Parameters<Working<T>> parameters;
  Op op;
  __device__ __forceinline__ T operator()(T x) const {
    switch (op) {
#define ACTIVATION(name) \
  case Op::name:         \
    return Forward<Op::name, T>{parameters}(x);
#define KERNEL(name, Args)
#include "kernels/kernels.def"
      default:
        return x;
    }
  }
};
template <class T>
struct AnyBackward {
  Parameters<Working<T>> parameters;
  Op op;
  __device__ __forceinline__ T operator()(T g, T x) const {
    switch (op) {
#define ACTIVATION(name) \
  case Op::name:         \
    return Backward<Op::name, T>{parameters}(g, x);
#define KERNEL(name, Args)
#include "kernels/kernels.def"
      default:
        return x;
    }
  }
};

template <class T>
Parameters<Working<T>> parameters_of(const ActivationArgs& args) {
  using W = Working<T>;
  const auto [a, b, c] = args.parameters;
  return {static_cast<W>(a), static_cast<W>(b), static_cast<W>(c)};
}

template <class T>
void run_any(const ActivationArgs& args, cudaStream_t stream) {
  const auto p = parameters_of<T>(args);
  const auto x = input<T>(args.x, args.x_strides);
  auto* const y = static_cast<T*>(args.y);
  if (args.dy == nullptr)
    map_any("activation", stream, AnyForward<T>{p, args.op}, args.shape, y, args.y_strides, x);
  else
    map_any("activation", stream, AnyBackward<T>{p, args.op}, args.shape, y, args.y_strides, input<T>(args.dy, args.dy_strides), x);
}

// float32: a kernel for each.
template <Op op>
void run(const ActivationArgs& args, cudaStream_t stream) {
  using T = float;
  const auto p = parameters_of<T>(args);
  const auto x = input<T>(args.x, args.x_strides);
  auto* const y = static_cast<T*>(args.y);
  if (args.dy == nullptr)
    map("activation", stream, Forward<op, T>{p}, AnyForward<T>{p, op}, args.shape, y, args.y_strides, x);
  else
    map("activation", stream, Backward<op, T>{p}, AnyBackward<T>{p, op}, args.shape, y, args.y_strides, input<T>(args.dy, args.dy_strides),
        x);
}
void run_float(const ActivationArgs& args, cudaStream_t stream) {
  switch (args.op) {
#define ACTIVATION(name) \
  case Op::name:         \
    return run<Op::name>(args, stream);
#define KERNEL(name, Args)
#include "kernels/kernels.def"
    default:
      return;
  }
}

}  // namespace

void activation(const ActivationArgs& args, cudaStream_t stream) {
  if (args.dtype == DType::Float32) return run_float(args, stream);
  visit_floating(args.dtype, [&](auto tag) {
    if constexpr (!std::is_same_v<decltype(tag), float>) run_any<decltype(tag)>(args, stream);
  });
}

}  // namespace dnncore::cuda
