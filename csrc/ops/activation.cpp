// Activations with parameters: forward, the fused backward, and the slope composed of ops for gradients of gradients.
#include <cmath>
#include <numbers>

#include "ops/expressions.h"
#include "ops/inplace.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

const char* name(ActivationOp op) { return kActivationNames[static_cast<int>(op)]; }

Tensor sigmoid(const Tensor& a) { return unary(UnaryOp::sigmoid, a); }

// The rounded results tell which piece of the function the argument was on, so that only they need be kept.
bool gradient_from_output(ActivationOp op, const ActivationParameters& p) {
  return op == ActivationOp::hardtanh || (op == ActivationOp::leaky_relu && p.a >= 0);
}

// What is compared with the elements is rounded to their dtype first, as in PyTorch.
ActivationParameters rounded_parameters(ActivationOp op, ActivationParameters p, DType dtype) {
  if (op != ActivationOp::hardtanh && op != ActivationOp::threshold) return p;
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bfloat16>)
      p.a = to_float(to_bfloat16(static_cast<float>(p.a))), p.b = to_float(to_bfloat16(static_cast<float>(p.b)));
    else if constexpr (std::is_same_v<T, float16>)
      p.a = to_float(to_float16(static_cast<float>(p.a))), p.b = to_float(to_float16(static_cast<float>(p.b)));
  });
  return p;
}

void launch_activation(ActivationOp op, const ActivationParameters& p, const Tensor* dy, const Tensor& x, const Tensor& y) {
  ActivationArgs args{.dy = dy != nullptr ? dy->data() : nullptr,
                      .x = x.data(),
                      .y = y.data(),
                      .shape = y.shape(),
                      .dy_strides = dy != nullptr ? dy->strides() : x.strides(),
                      .x_strides = x.strides(),
                      .y_strides = y.strides(),
                      .parameters = p,
                      .op = op,
                      .dtype = x.dtype()};
  Strides* strides[] = {&args.y_strides, &args.x_strides, &args.dy_strides};
  coalesce(args.shape, strides, 3);
  launch(name(op), kernel::activation, args, x.device());
}

Tensor backward(ActivationOp op, const ActivationParameters& p, const Tensor& g, const Tensor& saved) {
  const Tensor dx = Tensor::empty_like(saved, g.dtype());
  launch_activation(op, p, &g, saved, dx);
  return dx;
}

// f'(x) as differentiable ops; functions made of straight pieces have a slope without slope.
Tensor slope(ActivationOp op, const ActivationParameters& p, const Tensor& x) {
  const auto one = [&] { return scalar_tensor(Scalar::of(1.0), x.dtype(), x.device()); };
  switch (op) {
    case ActivationOp::elu: {
      const Tensor below = binary(BinaryOp::minimum, x * p.c, Scalar::of(0.0));  // no overflow on the side that is not taken
      const Tensor positive = binary(BinaryOp::gt, x, Scalar::of(0.0));
      return where(positive, scalar_tensor(Scalar::of(p.b), x.dtype(), x.device()), unary(UnaryOp::exp, below) * (p.a * p.c));
    }
    case ActivationOp::softplus:
      return where(binary(BinaryOp::gt, x * p.a, Scalar::of(p.b)), one(), sigmoid(x * p.a));
    case ActivationOp::softsign:
      return unary(UnaryOp::reciprocal, unary(UnaryOp::square, unary(UnaryOp::abs, x) + 1.0));
    case ActivationOp::gelu_tanh: {
      constexpr double two_u = 4 * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
      const Tensor near = where(binary(BinaryOp::gt, unary(UnaryOp::abs, x), Scalar::of(40.0)), unary(UnaryOp::sign, x.detach()) * 40.0, x);
      const Tensor square = unary(UnaryOp::square, near);
      const Tensor s = sigmoid(near * (square * (0.044715 * two_u) + two_u));
      return s + near * (s * (1.0 - s)) * (square * (3 * 0.044715 * two_u) + two_u);
    }
    case ActivationOp::silu: {
      const Tensor s = sigmoid(x);
      return s + x * (s * (1.0 - s));
    }
    case ActivationOp::mish: {
      const Tensor t = unary(UnaryOp::tanh, unary(UnaryOp::softplus, x));
      return t + x * (1.0 - square(t)) * sigmoid(x);
    }
    case ActivationOp::logsigmoid:
      return sigmoid(unary(UnaryOp::neg, x));
    case ActivationOp::hardswish: {
      const Tensor inside = x * (1.0 / 3) + 0.5;
      const Tensor upper = where(binary(BinaryOp::lt, x, Scalar::of(3.0)), inside, one());
      return where(binary(BinaryOp::le, x, Scalar::of(-3.0)), scalar_tensor(Scalar::of(0.0), x.dtype(), x.device()), upper);
    }
    default: {
      const NoGrad constant;
      return backward(op, p, expand(one(), x.shape()), x);
    }
  }
}

}  // namespace

Tensor activation(ActivationOp op, const Tensor& x, const ActivationParameters& parameters) {
  check_floating(name(op), x);
  const ActivationParameters p = rounded_parameters(op, parameters, x.dtype());
  const Tensor y = Tensor::empty_like(x, x.dtype());
  launch_activation(op, p, nullptr, x, y);
  if (any_requires_grad({&x})) {
    const Saved saved = gradient_from_output(op, p) ? Saved::output(y) : Saved::input(x);
    record(name(op), y, {&x}, [op, p, saved](const Node& node, const Tensor& g) -> Grads {
      if (GradMode::enabled()) return {g * slope(op, p, saved.get(node))};
      return {backward(op, p, g, saved.get(node))};
    });
  }
  return y;
}

void activation_(ActivationOp op, const Tensor& x, const ActivationParameters& parameters) {
  check_floating(name(op), x);
  if (records_inplace(name(op), x)) return become(name(op), x, activation(op, before_change(x), parameters));
  launch_activation(op, rounded_parameters(op, parameters, x.dtype()), nullptr, x, x);
  x.storage()->bump_version();
}

}  // namespace dnncore::ops
