// Naive activations: the formulas of activation.h in float64.
#include <numbers>

#include "core/launch.h"
#include "kernels/activation.h"
#include "kernels/reference.h"

namespace dnncore::reference {

void activation(const ActivationArgs& args, const Tasks&);

namespace {

using Op = ActivationOp;

const double kRootTwoOverPi = std::sqrt(2 / std::numbers::pi);
constexpr double kCubic = 0.044715;

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double softplus(double x) { return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x))); }
double tanh_of_softplus(double x) { return std::tanh(std::log1p(std::exp(x))); }
double limit(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

double value(Op op, double x, const ActivationParameters& p) {
  switch (op) {
    case Op::leaky_relu:
      return x > 0 ? x : p.a * x;
    case Op::elu:
      return x > 0 ? p.b * x : p.a * std::expm1(p.c * x);
    case Op::softplus:
      return p.a * x > p.b ? x : softplus(p.a * x) / p.a;
    case Op::softsign:
      return x / (1 + std::fabs(x));
    case Op::gelu_tanh:
      return x * sigmoid(2 * kRootTwoOverPi * (x + kCubic * x * x * x));
    case Op::silu:
      return x * sigmoid(x);
    case Op::mish:
      return x * tanh_of_softplus(x);
    case Op::logsigmoid:
      return -softplus(-x);
    case Op::hardtanh:
      return limit(x, p.a, p.b);
    case Op::hardsigmoid:
      return limit(x + 3, 0, 6) / 6;
    case Op::hardswish:
      return x * (limit(x + 3, 0, 6) / 6);
    case Op::threshold:
      return x <= p.a ? p.b : x;
    case Op::hardshrink:
      return std::fabs(x) <= p.a ? 0 : x;
    case Op::softshrink:
      return std::fabs(x) <= p.a ? 0 * x : x - std::copysign(p.a, x);
    default:
      return NAN;
  }
}

double gelu_tanh_slope(double x) {
  if (std::fabs(x) > 40) return x > 0;
  const double two_u = 2 * kRootTwoOverPi * (x + kCubic * x * x * x);
  return sigmoid(two_u) + x * sigmoid(two_u) * sigmoid(-two_u) * 2 * kRootTwoOverPi * (1 + 3 * kCubic * x * x);
}

double mish_slope(double x) {
  if (x > 40) return 1;
  const double t = tanh_of_softplus(x);
  return t + x * (1 - t * t) * sigmoid(x);
}

double gradient(Op op, double g, double x, const ActivationParameters& p) {
  switch (op) {
    case Op::leaky_relu:
      return x > 0 ? g : g * p.a;
    case Op::elu:
      return x > 0 ? g * p.b : g * p.a * p.c * std::exp(p.c * x);
    case Op::softplus:
      return p.a * x > p.b ? g : g * sigmoid(p.a * x);
    case Op::softsign:
      return g / (1 + std::fabs(x)) / (1 + std::fabs(x));
    case Op::gelu_tanh:
      return g * gelu_tanh_slope(x);
    case Op::silu:
      return g * (sigmoid(x) + x * sigmoid(x) * sigmoid(-x));
    case Op::mish:
      return g * mish_slope(x);
    case Op::logsigmoid:
      return g * sigmoid(-x);
    case Op::hardtanh:
      return x <= p.a || x >= p.b ? 0 : g;
    case Op::hardsigmoid:
      return x > -3 && x < 3 ? g / 6 : 0;
    case Op::hardswish:
      return x <= -3 ? 0 : x < 3 ? g * (x / 3 + 0.5) : g;
    case Op::threshold:
      return x <= p.a ? 0 : g;
    case Op::hardshrink:
    case Op::softshrink:
      return std::fabs(x) <= p.a ? 0 : g;
    default:
      return NAN;
  }
}

template <class T>
void activation_as(const ActivationArgs& args) {
  // Parameters as the kernels see them: what is compared with x must be rounded alike.
  using Arithmetic = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const auto rounded = [](double parameter) {
    volatile auto nearest = static_cast<Arithmetic>(parameter);  // GCC 12 drops the rounding of two side by side
    return static_cast<double>(nearest);
  };
  const ActivationParameters p = {rounded(args.parameters.a), rounded(args.parameters.b), rounded(args.parameters.c)};
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  T* y = static_cast<T*>(args.y);
  if (dy == nullptr)
    for_each(
        args.shape, [&](int64_t, int64_t from, int64_t to) { y[to] = narrow<T>(value(args.op, widen(x[from]), p)); }, args.x_strides,
        args.y_strides);
  else
    for_each(
        args.shape,
        [&](int64_t, int64_t g, int64_t from, int64_t to) { y[to] = narrow<T>(gradient(args.op, widen(dy[g]), widen(x[from]), p)); },
        args.dy_strides, args.x_strides, args.y_strides);
}

}  // namespace

void activation(const ActivationArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    if constexpr (is_float<decltype(tag)>) activation_as<decltype(tag)>(args);
  });
}

}  // namespace dnncore::reference
