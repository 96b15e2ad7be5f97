#include "ops/elementwise_grad.h"

#include <numbers>

#include "ops/expressions.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

// What the gradient of a unary op is computed from.
enum class Needs { Nothing, Input, Output };

constexpr Needs needs(UnaryOp op) {
  switch (op) {
    case UnaryOp::sqrt:
    case UnaryOp::rsqrt:
    case UnaryOp::reciprocal:
    case UnaryOp::exp:
    case UnaryOp::expm1:
    case UnaryOp::tanh:
    case UnaryOp::sigmoid:
    case UnaryOp::relu:
      return Needs::Output;
    case UnaryOp::neg:
    case UnaryOp::sign:
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::trunc:
    case UnaryOp::round:
      return Needs::Nothing;
    default:
      return Needs::Input;
  }
}

// Whether the gradient is a kernel of its own, which leaves nothing on the tape.
bool is_fused(UnaryOp op) { return op == UnaryOp::tanh || op == UnaryOp::sigmoid || op == UnaryOp::relu || op == UnaryOp::gelu; }

// The fused gradients once more, of ops that are themselves on the tape.
Tensor recorded_gradient(UnaryOp op, const Tensor& g, const Tensor& s) {
  switch (op) {
    case UnaryOp::tanh:
      return g - g * (s * s);
    case UnaryOp::sigmoid:
      return g * (s - s * s);
    case UnaryOp::relu:
      return where(binary(BinaryOp::gt, s, Scalar::of(0.0)), g, scalar_tensor(Scalar::of(0.0), g.dtype(), g.device()));
    default: {  // gelu: Phi(x) + x phi(x)
      constexpr double inv_sqrt_two_pi = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
      const Tensor phi = unary(UnaryOp::exp, s * s * -0.5) * inv_sqrt_two_pi;
      const Tensor cumulative = (unary(UnaryOp::erf, s * (1 / std::numbers::sqrt2)) + 1.0) * 0.5;
      return g * (cumulative + s * phi);
    }
  }
}

}  // namespace

Tensor unary_gradient(UnaryOp op, const Tensor& g, const Tensor& s) {
  constexpr double two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi;
  if (GradMode::enabled() && is_fused(op)) return recorded_gradient(op, g, s);
  switch (op) {
    case UnaryOp::neg:
      return -g;
    case UnaryOp::abs:
      return g * unary(UnaryOp::sign, s);
    case UnaryOp::square:
      return g * s * 2.0;
    case UnaryOp::sqrt:
      return g / (s * 2.0);
    case UnaryOp::rsqrt:
      return g * (s * s * s) * -0.5;
    case UnaryOp::reciprocal:
      return -(g * s * s);
    case UnaryOp::exp:
      return g * s;
    case UnaryOp::expm1:
      return g * (s + 1.0);
    case UnaryOp::log:
      return g / s;
    case UnaryOp::log1p:
      return g / (s + 1.0);
    case UnaryOp::log2:
      return g / (s * std::numbers::ln2);
    case UnaryOp::log10:
      return g / (s * std::numbers::ln10);
    case UnaryOp::sin:
      return g * unary(UnaryOp::cos, s);
    case UnaryOp::cos:
      return -(g * unary(UnaryOp::sin, s));
    case UnaryOp::tanh:
      return binary(BinaryOp::tanh_backward, g, s);
    case UnaryOp::sigmoid:
      return binary(BinaryOp::sigmoid_backward, g, s);
    case UnaryOp::relu:
      return binary(BinaryOp::relu_backward, g, s);
    case UnaryOp::gelu:
      return binary(BinaryOp::gelu_backward, g, s);
    case UnaryOp::erf:
      return g * unary(UnaryOp::exp, -unary(UnaryOp::square, s)) * two_over_sqrt_pi;
    case UnaryOp::softplus:
      return g * unary(UnaryOp::sigmoid, s);
    default:
      return zeros(g.shape(), g.dtype(), g.device());  // sign and the rounding ops are flat
  }
}

namespace {

// dx and dz of y = op(x, z), before broadcasting is summed away.
Tensor gradient_of_first(BinaryOp op, const Tensor& g, const Tensor& x, const Tensor& z) {
  const Tensor zero = scalar_tensor(Scalar::of(0.0), g.dtype(), g.device());
  switch (op) {
    case BinaryOp::add:
    case BinaryOp::sub:
    case BinaryOp::remainder:
      return g;
    case BinaryOp::mul:
      return g * z;
    case BinaryOp::div:
      return g / z;
    case BinaryOp::pow: {
      // z * x^(z-1), and 0 where z is 0 (also at x = 0, where the product would be nan).
      const Tensor slope = g * z * binary(BinaryOp::pow, x, z - 1.0);
      return where(binary(BinaryOp::eq, z, Scalar::of(0.0)), zero, slope);
    }
    default: {  // maximum, minimum: all of g to the winner, half to each of two equals
      const Tensor loses = binary(op == BinaryOp::maximum ? BinaryOp::lt : BinaryOp::gt, x, z);
      return where(loses, zero, where(binary(BinaryOp::eq, x, z), g * 0.5, g));
    }
  }
}

Tensor gradient_of_second(BinaryOp op, const Tensor& g, const Tensor& x, const Tensor& z, const Tensor& y) {
  const Tensor zero = scalar_tensor(Scalar::of(0.0), g.dtype(), g.device());
  switch (op) {
    case BinaryOp::add:
      return g;
    case BinaryOp::sub:
      return -g;
    case BinaryOp::mul:
      return g * x;
    case BinaryOp::div:
      return -(g * (x / z / z));
    case BinaryOp::remainder:
      return -(g * binary(BinaryOp::floor_divide, x, z));
    case BinaryOp::pow: {
      // y * log(x), and 0 where x is 0 and z is not negative.
      const Tensor slope = g * y * unary(UnaryOp::log, x);
      const Tensor flat = binary(BinaryOp::bitwise_and, binary(BinaryOp::eq, x, Scalar::of(0.0)), binary(BinaryOp::ge, z, Scalar::of(0.0)));
      return where(flat, zero, slope);
    }
    default:
      return gradient_of_first(op, g, z, x);  // maximum and minimum are symmetric
  }
}

bool has_gradient(BinaryOp op) {
  switch (op) {
    case BinaryOp::add:
    case BinaryOp::sub:
    case BinaryOp::mul:
    case BinaryOp::div:
    case BinaryOp::remainder:
    case BinaryOp::pow:
    case BinaryOp::maximum:
    case BinaryOp::minimum:
      return true;
    default:
      return false;
  }
}

// Sums of gradients keep only the shapes: the cheap and common case.
void record_linear(BinaryOp op, const Tensor& x, const Tensor& z, const Tensor& y) {
  if (x.shape() == z.shape()) {
    record(name(op), y, {&x, &z}, [op](const Node& node, const Tensor& g) -> Grads {
      return {g, !node.needs(1) ? Tensor() : op == BinaryOp::sub ? -g : g};
    });
    return;
  }
  record(name(op), y, {&x, &z}, [op, sx = x.shape(), sz = z.shape()](const Node& node, const Tensor& g) -> Grads {
    Grads grads(2);
    if (node.needs(0)) grads[0] = sum_to(g, sx);
    if (node.needs(1)) grads[1] = sum_to(op == BinaryOp::sub ? -g : g, sz);
    return grads;
  });
}

}  // namespace

void record_unary(UnaryOp op, const Tensor& x, const Tensor& y) {
  if (needs(op) == Needs::Nothing) {
    record(name(op), y, {&x}, [op](const Node&, const Tensor& g) -> Grads { return {unary_gradient(op, g, {})}; });
    return;
  }
  const Saved saved = needs(op) == Needs::Input ? Saved::input(x) : Saved::output(y);
  record(name(op), y, {&x}, [op, saved](const Node& node, const Tensor& g) -> Grads { return {unary_gradient(op, g, saved.get(node))}; });
}

void record_binary(BinaryOp op, const Tensor& x, const Tensor& z, const Tensor& y) {
  if (!has_gradient(op)) return;
  if (op == BinaryOp::add || op == BinaryOp::sub) return record_linear(op, x, z, y);
  // Only what the wanted gradients read.
  const bool first = x.requires_grad(), second = z.requires_grad();
  const Saved saved_x = second || (op != BinaryOp::mul && op != BinaryOp::div) ? Saved::input(x) : Saved();
  const Saved saved_z = first || op != BinaryOp::mul ? Saved::input(z) : Saved();
  const Saved saved_y = second && op == BinaryOp::pow ? Saved::output(y) : Saved();
  record(name(op), y, {&x, &z},
         [op, saved_x, saved_z, saved_y, sx = x.shape(), sz = z.shape()](const Node& node, const Tensor& g) -> Grads {
           const Tensor a = saved_x.get(node), b = saved_z.get(node);
           Grads grads(2);
           if (node.needs(0)) grads[0] = sum_to(gradient_of_first(op, g, a, b), sx);
           if (node.needs(1)) grads[1] = sum_to(gradient_of_second(op, g, a, b, saved_y.get(node)), sz);
           return grads;
         });
}

}  // namespace dnncore::ops
