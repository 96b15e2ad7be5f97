// Losses of pairs: one kernel forward, one backward; the formulas below serve second derivatives and gradients of the target.
#include "ops/expressions.h"
#include "ops/layout.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

Tensor at_least(const Tensor& a, double least) { return binary(BinaryOp::maximum, a, Scalar::of(least)); }

const char* name(LossOp op) {
  switch (op) {
    case LossOp::mse:
      return "mse_loss";
    case LossOp::l1:
      return "l1_loss";
    case LossOp::smooth_l1:
      return "smooth_l1_loss";
    case LossOp::huber:
      return "huber_loss";
    case LossOp::bce:
      return "binary_cross_entropy";
    case LossOp::bce_with_logits:
      return "binary_cross_entropy_with_logits";
    case LossOp::kl_div:
    case LossOp::kl_div_log:
      return "kl_div";
    case LossOp::poisson_nll:
    case LossOp::poisson_nll_log:
      return "poisson_nll_loss";
    default:
      return "soft_margin_loss";
  }
}

// --- Formulas ---

// d loss / dx, made of ops that record themselves.
Tensor composed_slope(LossOp op, const Tensor& x, const Tensor& t, double parameter) {
  const Tensor d = x - t;
  switch (op) {
    case LossOp::mse:
      return d * 2.0;
    case LossOp::l1:
      return unary(UnaryOp::sign, d);
    case LossOp::smooth_l1: {
      const Tensor near = binary(BinaryOp::lt, unary(UnaryOp::abs, d), Scalar::of(parameter));
      return parameter == 0 ? unary(UnaryOp::sign, d) : where(near, d * (1 / parameter), unary(UnaryOp::sign, d));
    }
    case LossOp::huber: {
      const Tensor near = binary(BinaryOp::le, unary(UnaryOp::abs, d), Scalar::of(parameter));
      return where(near, d, unary(UnaryOp::sign, d) * parameter);
    }
    case LossOp::bce:
      return d / at_least((-x + 1.0) * x, 1e-12);
    case LossOp::bce_with_logits:
      return unary(UnaryOp::sigmoid, x) - t;
    case LossOp::kl_div:
      return -t;
    case LossOp::kl_div_log:
      return -unary(UnaryOp::exp, t);
    case LossOp::poisson_nll_log:
      return unary(UnaryOp::exp, x) - t;
    case LossOp::poisson_nll:
      return -(t / (x + parameter)) + 1.0;
    default:
      return -(t * unary(UnaryOp::sigmoid, -(t * x)));
  }
}

bool is_symmetric(LossOp op) { return op <= LossOp::huber; }

// d loss / dt of the others; of symmetric losses it is - d loss / dx.
Tensor target_slope(LossOp op, const Tensor& x, const Tensor& t, double parameter) {
  switch (op) {
    case LossOp::bce:
      return at_least(unary(UnaryOp::log1p, -x), -100) - at_least(unary(UnaryOp::log, x), -100);
    case LossOp::bce_with_logits:
    case LossOp::poisson_nll_log:
      return -x;
    case LossOp::kl_div:
      return where(binary(BinaryOp::eq, t, Scalar::of(0.0)), -x, unary(UnaryOp::log, t) + 1.0 - x);
    case LossOp::kl_div_log:
      return unary(UnaryOp::exp, t) * (t - x + 1.0);
    case LossOp::poisson_nll:
      return -unary(UnaryOp::log, x + parameter);
    default:
      return -(x * unary(UnaryOp::sigmoid, -(t * x)));
  }
}

// --- Checks ---

std::string fix_for(const Shape& x, const Shape& t) {
  if (t.n + 1 == x.n)
    for (int i = x.n - 1; i >= 0; --i) {
      Shape without = x;
      without.erase(i);
      if (x[i] == 1 && without == t) return concat("; use target.unsqueeze(", i, ") or input.squeeze(", i, ")");
    }
  if (x.n + 1 == t.n)
    for (int i = t.n - 1; i >= 0; --i) {
      Shape without = t;
      without.erase(i);
      if (t[i] == 1 && without == x) return concat("; use target.squeeze(", i, ") or input.unsqueeze(", i, ")");
    }
  if (numel(x) == numel(t)) return "; use target.reshape(input.shape)";
  return "; losses do not broadcast, use target.expand(input.shape) where that is meant";
}

void check_pair(const char* op, const Tensor& x, const Tensor& t) {
  DNN_CHECK(is_floating(x.dtype()), TypeError, op, ": expected a floating input, got ", x.dtype(), "; use input.float()");
  DNN_CHECK(t.dtype() == x.dtype(), TypeError, op, ": expected a target of the input's dtype ", x.dtype(), ", got ", t.dtype(),
            "; use target.to(input.dtype)");
  DNN_CHECK(x.shape() == t.shape(), ValueError, op, ": expected a target of the input's shape ", x.shape(), ", got ", t.shape(),
            fix_for(x.shape(), t.shape()));
}

void check_inside(const char* op, const Tensor& outside) {
  host_check({&outside}, [op, count = outside.numel()](const void* const* data) {
    const auto* flags = static_cast<const uint8_t*>(data[0]);
    uint8_t all = 0;
    for (int64_t i = 0; i < count; ++i) all |= flags[i];
    DNN_CHECK(!(all & PointwiseLossArgs::kTargetOutside), ValueError, op, ": expected targets from 0 to 1, got some outside");
    DNN_CHECK(!(all & PointwiseLossArgs::kInputOutside), ValueError, op,
              ": expected inputs from 0 to 1 (the output of a sigmoid), got some outside; for logits use binary_cross_entropy_with_logits");
  });
}

// --- The kernels ---

// Several tensors of one shape as the first one lies in memory, without gaps: by copies of those that do not.
void align(const char* op, std::initializer_list<Tensor*> tensors) {
  const Tensor dense = Tensor::empty_like(**tensors.begin(), DType::UInt8);
  for (Tensor* tensor : tensors) *tensor = in_order_of(dense, *tensor, op);
}

Tensor launch_loss(LossOp op, Tensor x, Tensor t, double parameter, Reduction reduction) {
  const char* op_name = name(op);
  align(op_name, {&x, &t});
  const int64_t n = x.numel(), chunks = PointwiseLossArgs::chunks(n);
  const bool whole = reduction != Reduction::None;
  const Tensor y = whole ? Tensor::empty({}, x.dtype(), x.device(), op_name) : Tensor::empty_like(x, x.dtype());
  const Tensor partial = whole ? Tensor::empty({chunks}, DType::Float64, x.device(), op_name) : Tensor();
  const Tensor outside = takes_probabilities(op) ? Tensor::empty({chunks}, DType::UInt8, x.device(), op_name) : Tensor();
  launch(op_name, kernel::pointwise_loss,
         PointwiseLossArgs{.x = x.data(),
                           .t = t.data(),
                           .y = whole ? nullptr : y.data(),
                           .total = whole ? y.data() : nullptr,
                           .partial = whole ? partial.data<double>() : nullptr,
                           .outside = outside.defined() ? outside.data<uint8_t>() : nullptr,
                           .n = n,
                           .scale = reduction == Reduction::Mean ? 1 / static_cast<double>(n) : 1,
                           .parameter = parameter,
                           .op = op,
                           .dtype = x.dtype()},
         x.device());
  if (outside.defined()) check_inside(op_name, outside);
  return y;
}

Tensor launch_slope(LossOp op, Tensor x, Tensor t, Tensor g, double parameter, double scale) {
  const bool single = g.ndim() == 0;
  if (single)
    align(name(op), {&x, &t});
  else
    align(name(op), {&x, &t, &g});
  const Tensor dx = Tensor::empty_like(x, x.dtype());
  launch(name(op), kernel::pointwise_loss_backward,
         PointwiseLossBackwardArgs{.x = x.data(),
                                   .t = t.data(),
                                   .g = g.data(),
                                   .dx = dx.data(),
                                   .n = x.numel(),
                                   .g_step = single ? 0 : 1,
                                   .scale = scale,
                                   .parameter = parameter,
                                   .op = op,
                                   .dtype = x.dtype()},
         x.device());
  return dx;
}

}  // namespace

Tensor pointwise_loss(LossOp op, const Tensor& x, const Tensor& t, double parameter, Reduction reduction) {
  check_pair(name(op), x, t);
  if (is_half(x.dtype()))
    return to_dtype(pointwise_loss(op, to_dtype(x, DType::Float32), to_dtype(t, DType::Float32), parameter, reduction), x.dtype());
  const Tensor y = launch_loss(op, x.detach(), t.detach(), parameter, reduction);
  if (!any_requires_grad({&x, &t})) return y;
  const double scale = reduction == Reduction::Mean ? 1 / static_cast<double>(x.numel()) : 1;
  record(name(op), y, {&x, &t},
         [op, parameter, scale, x = Saved::input(x), t = Saved::input(t)](const Node& node, const Tensor& g) -> Grads {
           const Tensor a = x.get(node), b = t.get(node);
           Grads grads(2);
           if (node.needs(0) || is_symmetric(op))
             grads[0] = GradMode::enabled() ? g * scale * composed_slope(op, a, b, parameter) : launch_slope(op, a, b, g, parameter, scale);
           if (node.needs(1)) grads[1] = is_symmetric(op) ? -grads[0] : g * scale * target_slope(op, a, b, parameter);
           return grads;
         });
  return y;
}

}  // namespace dnncore::ops
