#include "ops/norm.h"

#include <limits>

#include "kernels/norm.h"
#include "ops/expressions.h"
#include "ops/layout.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

// What the forward pass and its gradient share.
struct Norm {
  const char* op;
  NormShape shape;
  double eps = 0;
  Statistics statistics = Statistics::Centered;
  Activation activation = Activation::None;
  // For the gradient composed of ops: x reshaped, which of its dimensions a mean is over, and how weight and bias lie beside it.
  Shape view, dims, parameters;
  Strides order;  // of x and y in memory: the one that `shape` speaks of
};

void check_parameter(const char* op, const char* name, const Tensor& x, const Tensor& parameter, const Shape& shape) {
  if (!parameter.defined()) return;
  check_device(op, x, parameter);
  DNN_CHECK(parameter.shape() == shape, ValueError, op, ": expected ", name, " of shape ", shape, " for input of shape ", x.shape(),
            ", got ", parameter.shape());
  DNN_CHECK(parameter.dtype() == x.dtype() || (is_half(x.dtype()) && parameter.dtype() == DType::Float32), TypeError, op, ": expected ",
            name, " of ", x.dtype(), " as the input, got ", parameter.dtype());
}

void check_eps(const char* op, double eps) { DNN_CHECK(eps >= 0, ValueError, op, ": expected eps of at least 0, got ", eps); }

Tensor dense(const Tensor& x, DType dtype) { return x.defined() ? to_dtype(contiguous(x.detach()), dtype) : x; }

// --- Gradients --------------------------------------------------------------------------------------------------------
struct Measured {
  Tensor mean, rstd;  // float64, one per statistic
};

Grads fused_gradient(const Norm& norm, const Node& node, const Tensor& g, const Tensor& input, const Tensor& weight, const Tensor& bias,
                     const Measured& found) {
  Grads grads(3);
  const Tensor order = input.detach().view_as(input.shape(), norm.order, input.impl()->offset);  // no element of it is read
  const Tensor x = in_order_of(order, input.detach(), norm.op), dy = in_order_of(order, g.detach(), norm.op);
  const Tensor w = dense(weight, x.dtype()), b = dense(bias, x.dtype());
  if (node.needs(0)) grads[0] = Tensor::empty_like(order, x.dtype());
  if (node.needs(1)) grads[1] = Tensor::empty(weight.shape(), x.dtype(), x.device(), norm.op);
  if (node.needs(2)) grads[2] = Tensor::empty(bias.shape(), x.dtype(), x.device(), norm.op);
  launch_with_workspace(norm.op, kernel::norm_backward,
                        NormBackwardArgs{.dy = dy.data(),
                                         .x = x.data(),
                                         .weight = data_of(w),
                                         .bias = data_of(b),
                                         .mean = found.mean.data<double>(),
                                         .rstd = found.rstd.data<double>(),
                                         .dx = data_of(grads[0]),
                                         .dweight = data_of(grads[1]),
                                         .dbias = data_of(grads[2]),
                                         .shape = norm.shape,
                                         .statistics = norm.statistics,
                                         .activation = norm.activation,
                                         .dtype = x.dtype()},
                        x.device());
  return grads;
}

// The same of ops that record themselves.
Grads composed_gradient(const Norm& norm, const Node& node, const Tensor& dy, const Tensor& input, const Tensor& weight, const Tensor& bias,
                        const Measured& found) {
  const auto mean = [&](const Tensor& t) { return reduce(ReduceOp::mean, t, norm.dims, true); };
  const auto beside = [&](const Tensor& t) { return t.defined() ? reshape(t, norm.parameters) : t; };
  const Tensor x = reshape(input, norm.view), w = beside(weight), b = beside(bias);
  const bool given = norm.statistics == Statistics::Running, centered = norm.statistics == Statistics::Centered;
  const Tensor centre = given ? x - to_dtype(beside(found.mean), x.dtype()) : centered ? x - mean(x) : x;
  const Tensor rstd = given ? to_dtype(beside(found.rstd), x.dtype()) : unary(UnaryOp::rsqrt, mean(square(centre)) + norm.eps);
  const Tensor z = centre * rstd;
  Tensor g = reshape(dy, norm.view);
  if (norm.activation == Activation::Relu) {
    const Tensor scaled = w.defined() ? z * w : z;
    g = binary(BinaryOp::relu_backward, g, b.defined() ? scaled + b : scaled);
  }
  Grads grads(3);
  if (node.needs(1)) grads[1] = reshape(sum_to(g * z, norm.parameters), weight.shape());
  if (node.needs(2)) grads[2] = reshape(sum_to(g, norm.parameters), bias.shape());
  if (!node.needs(0)) return grads;
  Tensor slope = w.defined() ? g * w : g;
  if (!given) {
    const Tensor along = z * mean(slope * z);
    slope = (centered ? slope - mean(slope) : slope) - along;
  }
  grads[0] = reshape(rstd * slope, input.shape());
  return grads;
}

void record_norm(const Norm& norm, const Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias, const Measured& found) {
  record(norm.op, y, {&x, &weight, &bias},
         [norm, found, x = Saved::input(x), weight = saved(weight), bias = saved(bias), has_weight = weight.defined(),
          has_bias = bias.defined()](const Node& node, const Tensor& g) -> Grads {
           const Tensor input = x.get(node), w = has_weight ? weight.get(node) : Tensor(), b = has_bias ? bias.get(node) : Tensor();
           const bool composed = GradMode::enabled() || input.numel() == 0;
           return (composed ? composed_gradient : fused_gradient)(norm, node, g, input, w, b, found);
         });
}

// --- Forward ----------------------------------------------------------------------------------------------------------
// The kernel's view of a layer's buffers: float32 for halves, written back when they changed.
struct RunningBuffers {
  Tensor mean, var;
};

void write_back(const Tensor& to, const Tensor& from) {
  const NoGrad no_grad;
  if (from.data() == to.data())
    to.storage()->bump_version();
  else
    copy_(to, from);
}

// x, weight and bias are float32 or float64 of one kind; `ordered` is x in the order that norm.shape speaks of.
Tensor normalize(const Norm& norm, const Tensor& x, const Tensor& ordered, const Tensor& weight, const Tensor& bias,
                 const RunningStatistics& running = {}) {
  const Tensor y = Tensor::empty_like(ordered, x.dtype());
  const Shape one_each = {norm.shape.statistics()};
  const Measured found{Tensor::empty(one_each, DType::Float64, x.device(), norm.op),
                       Tensor::empty(one_each, DType::Float64, x.device(), norm.op)};
  const bool updates = norm.statistics != Statistics::Running && running.mean.defined();
  if (x.numel() > 0) {
    const Tensor w = dense(weight, x.dtype()), b = dense(bias, x.dtype());
    const RunningBuffers buffers{dense(running.mean, x.dtype()), dense(running.var, x.dtype())};
    launch_with_workspace(norm.op, kernel::norm,
                          NormArgs{.x = ordered.data(),
                                   .weight = data_of(w),
                                   .bias = data_of(b),
                                   .y = y.data(),
                                   .mean = found.mean.data<double>(),
                                   .rstd = found.rstd.data<double>(),
                                   .running_mean = data_of(buffers.mean),
                                   .running_var = data_of(buffers.var),
                                   .batches = updates && running.batches.defined() ? running.batches.data<int64_t>() : nullptr,
                                   .shape = norm.shape,
                                   .eps = norm.eps,
                                   .momentum = running.momentum.value_or(-1),
                                   .statistics = norm.statistics,
                                   .activation = norm.activation,
                                   .dtype = x.dtype()},
                          x.device());
    if (updates) {
      write_back(running.mean, buffers.mean);
      write_back(running.var, buffers.var);
      if (running.batches.defined()) running.batches.storage()->bump_version();
    }
  } else if (updates && running.batches.defined()) {
    binary_(BinaryOp::add, running.batches, Scalar::of(int64_t{1}));
  }
  if (!any_requires_grad({&x, &weight, &bias})) return y;
  Norm recorded = norm;
  recorded.order = y.strides();
  record_norm(recorded, y, x, weight, bias, found);
  return y;
}

// (batch, outer, channels, inner) of a dense tensor whose dimension 0 is the outermost where batch > 1, and whose dimension 1 are channels.
NormShape shape_of(const Tensor& x, int64_t batch, int64_t groups) {
  const int64_t each = x.numel() / std::max<int64_t>(batch, 1), channels = x.size(1);
  const int64_t inner = channels > 1 ? x.stride(1) : each;
  return {batch, std::max<int64_t>(each, 1) / std::max<int64_t>(channels * inner, 1), channels, inner, groups};
}

// x, or a copy without gradient link, in an order that its result can have too and in which whole samples follow each other.
Tensor ordered_samples(const char* op, const Tensor& x, bool samples) {
  const Tensor like = Tensor::empty_like(x.detach(), x.dtype());
  const bool outermost = x.size(0) <= 1 || like.stride(0) * x.size(0) == x.numel();
  if (samples && !outermost && x.numel() > 0) return copy_of(x.detach(), x.dtype(), op);
  return in_order_of(like, x.detach(), op);
}

int64_t spatial_size(const Tensor& x) {
  int64_t size = 1;
  for (int i = 2; i < x.ndim(); ++i) size *= x.size(i);
  return size;
}

void check_channels(const char* op, const Tensor& x) {
  check_floating(op, x);
  DNN_CHECK(x.ndim() >= 2, ValueError, op, ": expected input of shape (N, C, ...), got ", x.shape());
}

void check_running(const char* op, const Tensor& x, const RunningStatistics& running, bool updates) {
  DNN_CHECK(running.mean.defined() == running.var.defined(), ValueError, op, ": expected running_mean and running_var both or neither");
  const Shape channels = {x.size(1)};
  check_parameter(op, "running_mean", x, running.mean, channels);
  check_parameter(op, "running_var", x, running.var, channels);
  if (!running.mean.defined()) return;
  DNN_CHECK(!running.mean.requires_grad() && !running.var.requires_grad(), ValueError, op,
            ": expected running_mean and running_var that do not require grad");
  if (!updates) return;
  check_inplace(op, running.mean);
  check_inplace(op, running.var);
  DNN_CHECK(!running.momentum || (*running.momentum >= 0 && *running.momentum <= 1), ValueError, op,
            ": expected momentum between 0 and 1, or None, got ", running.momentum.value_or(0));
  DNN_CHECK(running.momentum || running.batches.defined(), ValueError, op,
            ": a cumulative average (momentum None) needs num_batches_tracked");
  if (!running.batches.defined()) return;
  check_inplace(op, running.batches);
  DNN_CHECK(running.batches.dtype() == DType::Int64 && running.batches.numel() == 1, ValueError, op,
            ": expected num_batches_tracked of one int64, got ", running.batches.dtype(), " of shape ", running.batches.shape());
}

// Casts of halves around the work in float32.
template <class Fn>
Tensor in_working_dtype(const Tensor& x, const Tensor& weight, const Tensor& bias, Fn&& fn) {
  return to_dtype(fn(as_float(x), as_float(weight), as_float(bias)), x.dtype());
}

// The last dimensions of x, from where the normalised ones begin.
int check_normalized(const char* op, const Tensor& x, const Shape& shape) {
  check_floating(op, x);
  DNN_CHECK(shape.ndim() > 0, ValueError, op, ": expected a normalized_shape of at least one dimension, got ()");
  const int first = x.ndim() - shape.ndim();
  bool fits = first >= 0;
  for (int i = 0; fits && i < shape.ndim(); ++i) fits = x.size(first + i) == shape[i];
  DNN_CHECK(fits, ValueError, op, ": expected input whose last dimensions are normalized_shape ", shape, ", got ", x.shape());
  return first;
}

Tensor row_norm(Norm norm, const Tensor& x, int first, const Tensor& weight, const Tensor& bias) {
  Shape last;
  for (int i = first; i < x.ndim(); ++i) last.push_back(x.size(i));
  const int64_t n = numel(last), rows = n == 0 ? 0 : x.numel() / n;
  norm.shape = {rows, 1, n, 1, 1};
  norm.view = {rows, n};
  norm.dims = {1};
  norm.parameters = {1, n};
  const Strides adjacent = contiguous_strides(last);
  return in_working_dtype(x, weight, bias, [&](const Tensor& x, const Tensor& w, const Tensor& b) {
    Tensor ordered = in_order_of(Tensor::empty_like(x.detach(), x.dtype()), x.detach(), norm.op);
    for (int i = first; i < x.ndim(); ++i)
      if (x.size(i) > 1 && ordered.stride(i) != adjacent[i - first]) {
        ordered = copy_of(x.detach(), x.dtype(), norm.op);
        break;
      }
    return normalize(norm, x, ordered, w, b);
  });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const RunningStatistics& running, bool training, double eps,
                  Activation activation) {
  const char* op = "batch_norm";
  check_channels(op, x);
  check_eps(op, eps);
  check_parameter(op, "weight", x, weight, {x.size(1)});
  check_parameter(op, "bias", x, bias, {x.size(1)});
  check_running(op, x, running, training);
  DNN_CHECK(training || running.mean.defined(), ValueError, op, ": expected running_mean and running_var when not training");
  DNN_CHECK(!training || x.size(0) * spatial_size(x) != 1, ValueError, op,
            ": Expected more than 1 value per channel when training, got input size ", x.shape());
  Norm norm{.op = op, .eps = eps, .statistics = training ? Statistics::Centered : Statistics::Running, .activation = activation};
  norm.view = {x.size(0), x.size(1), spatial_size(x)};
  norm.dims = {0, 2};
  norm.parameters = {1, x.size(1), 1};
  return in_working_dtype(x, weight, bias, [&](const Tensor& x, const Tensor& w, const Tensor& b) {
    const Tensor ordered = ordered_samples(op, x, false);
    norm.shape = shape_of(ordered, 1, x.size(1));
    return normalize(norm, x, ordered, w, b, running);
  });
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const RunningStatistics& running, bool use_input_stats,
                     double eps) {
  const char* op = "instance_norm";
  if (!use_input_stats) return batch_norm(x, weight, bias, running, false, eps);
  check_channels(op, x);
  check_eps(op, eps);
  check_parameter(op, "weight", x, weight, {x.size(1)});
  check_parameter(op, "bias", x, bias, {x.size(1)});
  check_running(op, x, running, true);
  DNN_CHECK(spatial_size(x) != 1, ValueError, op, ": Expected more than 1 spatial element when training, got input size ", x.shape());
  Norm norm{.op = op, .eps = eps};
  norm.view = {x.size(0), x.size(1), spatial_size(x)};
  norm.dims = {2};
  norm.parameters = {1, x.size(1), 1};
  return in_working_dtype(x, weight, bias, [&](const Tensor& x, const Tensor& w, const Tensor& b) {
    const Tensor ordered = ordered_samples(op, x, true);
    norm.shape = shape_of(ordered, x.size(0), x.size(1));
    return normalize(norm, x, ordered, w, b, running);
  });
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  const char* op = "group_norm";
  check_channels(op, x);
  check_eps(op, eps);
  const int64_t channels = x.size(1);
  DNN_CHECK(groups > 0 && channels % groups == 0, ValueError, op, ": expected a number of channels that num_groups=", groups,
            " divides, got input of shape ", x.shape());
  check_parameter(op, "weight", x, weight, {channels});
  check_parameter(op, "bias", x, bias, {channels});
  DNN_CHECK(x.size(0) * (channels / groups) * spatial_size(x) != 1, ValueError, op,
            ": Expected more than 1 value per channel when training, got input size ", x.shape());
  Norm norm{.op = op, .eps = eps};
  norm.view = {x.size(0), groups, channels / groups, spatial_size(x)};
  norm.dims = {2, 3};
  norm.parameters = {1, groups, channels / groups, 1};
  return in_working_dtype(x, weight, bias, [&](const Tensor& x, const Tensor& w, const Tensor& b) {
    const Tensor ordered = ordered_samples(op, x, true);
    norm.shape = shape_of(ordered, x.size(0), groups);
    return normalize(norm, x, ordered, w, b);
  });
}

Tensor layer_norm(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias, double eps) {
  const int first = check_normalized("layer_norm", x, shape);
  check_eps("layer_norm", eps);
  check_parameter("layer_norm", "weight", x, weight, shape);
  check_parameter("layer_norm", "bias", x, bias, shape);
  return row_norm({.op = "layer_norm", .eps = eps}, x, first, weight, bias);
}

Tensor rms_norm(const Tensor& x, const Shape& shape, const Tensor& weight, std::optional<double> eps) {
  const int first = check_normalized("rms_norm", x, shape);
  check_parameter("rms_norm", "weight", x, weight, shape);
  const double least = x.dtype() == DType::Float64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  check_eps("rms_norm", eps.value_or(least));
  return row_norm({.op = "rms_norm", .eps = eps.value_or(least), .statistics = Statistics::Uncentered}, x, first, weight, Tensor());
}

}  // namespace dnncore::ops
