// Three recorded ops on one geometry, closed under differentiation: the convolution makes y of (x, w), its gradient dx of (dy, w) is the
// transposed convolution, and its gradient dw of (x, dy) has these two as its own.
#include "ops/conv.h"

#include <utility>

#include "kernels/conv_pointwise.h"
#include "ops/conv_geometry.h"
#include "ops/layout.h"
#include "ops/matmul.h"

namespace dnncore::ops {

namespace {

// --- Memory -----------------------------------------------------------------------------------------------------------

// Elements between neighbouring pixels of a tensor whose pixels lie in order with adjacent channels; 0 for any other.
int64_t pixel_stride(const Tensor& x) {
  const int64_t channels = x.size(1);
  if (channels > 1 && x.stride(1) != 1) return 0;
  int64_t pixel = 0, expected = 0;
  for (int i = x.ndim() - 1; i >= 0; --i) {
    if (i == 1 || x.size(i) <= 1) continue;
    if (pixel == 0) pixel = expected = x.stride(i);
    if (x.stride(i) != expected || pixel < channels) return 0;
    expected *= x.size(i);
  }
  return pixel == 0 ? channels : pixel;
}

// x itself, or a copy in the kernels' order.
Tensor in_pixels(const ConvGeometry& geometry, const Tensor& x) {
  if (x.numel() == 0 || pixel_stride(x) > 0) return x;
  const Tensor y = empty_channels_last(x.shape(), x.dtype(), x.device(), geometry.op);
  launch_copy(geometry.op, x.detach(), y, false);
  if (any_requires_grad({&x})) record(geometry.op, y, {&x}, [](const Node&, const Tensor& g) -> Grads { return {g}; });
  return y;
}

// --- Launches ---------------------------------------------------------------------------------------------------------

ConvShape with_pixels(ConvShape s, const Tensor* x, const Tensor* y) {
  s.x_pixel = x ? pixel_stride(*x) : s.c;
  s.y_pixel = y ? pixel_stride(*y) : s.k;
  return s;
}

thread_local bool allows_winograd = false;
ConvAlgorithm algorithm() { return allows_winograd ? ConvAlgorithm::Winograd : ConvAlgorithm::Direct; }

const void* address(const Tensor& x) { return x.defined() ? x.data() : nullptr; }

// A pointwise convolution is a matrix product of the pixels. (The gradient of the weights is not taken as one: its kernel sums dy on the
// way. One core, input in memory: 192 -> 64 channels 1.27 x the product, 512 -> 24 1.2 x, 480 -> 192 the same, 832 -> 384 of 7x7 pixels
// 0.94 x.)
void launch_forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& y,
                    Activation activation) {
  const ConvShape s = with_pixels(geometry.shape, &x, nullptr);
  if (s.n == 0) return;
  const ConvForwardArgs args{
      .x = x.data(), .w = w.data(), .bias = address(bias), .y = y.data(), .shape = s, .activation = activation, .algorithm = algorithm()};
  if (is_pointwise(s)) return run_gemm(geometry.op, as_product(args), x.device());
  launch_with_workspace(geometry.op, kernel::conv_forward, args, x.device());
}

void launch_backward_data(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const Tensor& bias, const Tensor& dx) {
  const ConvShape s = with_pixels(geometry.shape, nullptr, &dy);
  if (s.n == 0) return;
  const ConvBackwardDataArgs args{
      .dy = dy.data(), .w = w.data(), .bias = address(bias), .dx = dx.data(), .shape = s, .algorithm = algorithm()};
  if (is_pointwise(s)) return run_gemm(geometry.op, as_product(args), dy.device());
  launch_with_workspace(geometry.op, kernel::conv_backward_data, args, dy.device());
}

// --- Recorded ---------------------------------------------------------------------------------------------------------

// Over everything but the channels.
Tensor channel_sums(const Tensor& g) {
  Shape dims{0};
  for (int i = 2; i < g.ndim(); ++i) dims.push_back(i);
  return reduce(ReduceOp::sum, g, dims, false);
}

struct WeightGradients {
  Tensor weight, bias;
};

// Not recorded. The gradient of the bias comes from the same pass over dy.
WeightGradients weight_gradients(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy, bool with_bias) {
  const ConvShape s = with_pixels(geometry.shape, &x, &dy);
  if (s.n == 0) return {zeros(geometry.w_shape(), s.dtype, x.device()), with_bias ? zeros({s.k}, s.dtype, x.device()) : Tensor()};
  const Tensor dw = Tensor::empty(geometry.w_shape(), s.dtype, x.device(), geometry.op);
  Tensor dbias;
  if (with_bias) dbias = Tensor::empty({s.k}, s.dtype, x.device(), geometry.op);
  ConvBackwardWeightArgs args{.x = x.data(), .dy = dy.data(), .dw = dw.data(), .shape = s};
  if (with_bias) args.dbias = dbias.data();
  launch_with_workspace(geometry.op, kernel::conv_backward_weight, args, x.device());
  return {dw, dbias};
}

Tensor forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& bias, Activation activation);
Tensor weight_gradient(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy);

// dx of (dy, w), plus `bias`: the transposed convolution.
Tensor backward_data(const ConvGeometry& geometry, const Tensor& dy_any, const Tensor& w_any, const Tensor& bias) {
  const Tensor dy = in_pixels(geometry, dy_any), w = contiguous(w_any);
  const Tensor dx = empty_channels_last(geometry.x_shape(), dy.dtype(), dy.device(), geometry.op);
  launch_backward_data(geometry, dy, w, bias.defined() ? contiguous(bias.detach()) : Tensor(), dx);
  if (!any_requires_grad({&dy, &w, &bias})) return dx;
  const Saved saved_dy = w.requires_grad() ? Saved::input(dy) : Saved(), saved_w = dy.requires_grad() ? Saved::input(w) : Saved();
  record(geometry.op, dx, {&dy, &w, &bias}, [geometry, saved_dy, saved_w](const Node& node, const Tensor& given) -> Grads {
    const Tensor g = in_pixels(geometry, given);
    Grads grads(3);
    if (node.needs(0)) grads[0] = forward(geometry, g, saved_w.get(node), {}, Activation::None);
    if (node.needs(1)) grads[1] = weight_gradient(geometry, g, saved_dy.get(node));
    if (node.needs(2)) grads[2] = channel_sums(g);
    return grads;
  });
  return dx;
}

// dw of (x, dy).
Tensor weight_gradient(const ConvGeometry& geometry, const Tensor& x_any, const Tensor& dy_any) {
  const Tensor x = in_pixels(geometry, x_any), dy = in_pixels(geometry, dy_any);
  const Tensor dw = weight_gradients(geometry, x, dy, false).weight;
  if (!any_requires_grad({&x, &dy})) return dw;
  const Saved saved_x = dy.requires_grad() ? Saved::input(x) : Saved(), saved_dy = x.requires_grad() ? Saved::input(dy) : Saved();
  record(geometry.op, dw, {&x, &dy}, [geometry, saved_x, saved_dy](const Node& node, const Tensor& g) -> Grads {
    Grads grads(2);
    if (node.needs(0)) grads[0] = backward_data(geometry, saved_dy.get(node), g, {});
    if (node.needs(1)) grads[1] = forward(geometry, saved_x.get(node), g, {}, Activation::None);
    return grads;
  });
  return dw;
}

// Of w and bias, as far as they are needed.
void add_weight_gradients(const ConvGeometry& geometry, const Node& node, const Saved& x, const Tensor& g, Grads& grads) {
  if (node.needs(1) && !GradMode::enabled()) {
    const WeightGradients both = weight_gradients(geometry, x.get(node), g, node.needs(2));
    grads[1] = both.weight;
    grads[2] = both.bias;
    return;
  }
  if (node.needs(1)) grads[1] = weight_gradient(geometry, x.get(node), g);
  if (node.needs(2)) grads[2] = channel_sums(g);
}

// y of (x, w).
Tensor forward(const ConvGeometry& geometry, const Tensor& x_any, const Tensor& w_any, const Tensor& bias, Activation activation) {
  const Tensor x = in_pixels(geometry, x_any), w = contiguous(w_any);
  const Tensor y = empty_channels_last(geometry.y_shape(), x.dtype(), x.device(), geometry.op);
  launch_forward(geometry, x, w, bias.defined() ? contiguous(bias.detach()) : Tensor(), y, activation);
  if (!any_requires_grad({&x, &w, &bias})) return y;
  const Saved saved_x = w.requires_grad() ? Saved::input(x) : Saved(), saved_w = x.requires_grad() ? Saved::input(w) : Saved();
  const Saved output = activation == Activation::None ? Saved() : Saved::output(y);
  record(geometry.op, y, {&x, &w, &bias}, [geometry, saved_x, saved_w, output, activation](const Node& node, const Tensor& dy) -> Grads {
    const Tensor given = in_pixels(geometry, dy);
    const Tensor g = activation == Activation::None ? given : activation_gradient(activation, given, output.get(node));
    Grads grads(3);
    if (node.needs(0)) grads[0] = backward_data(geometry, g, saved_w.get(node), {});
    add_weight_gradients(geometry, node, saved_x, g, grads);
    return grads;
  });
  return y;
}

// --- Border -----------------------------------------------------------------------------------------------------------

// The halves go through float32; an input without a batch is a batch of one.
template <class Fn>
Tensor with_plain_operands(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, Fn&& fn) {
  if (is_half(x.dtype())) {
    const auto wide = [](const Tensor& t) { return t.defined() ? to_dtype(t, DType::Float32) : t; };
    return to_dtype(with_plain_operands(dims, wide(x), wide(w), wide(bias), fn), x.dtype());
  }
  if (x.ndim() == dims + 2) return fn(x, w, bias);
  return sole_name(squeeze(fn(unsqueeze(x, 0), w, bias), 0));
}

}  // namespace

bool allow_winograd(bool mode) { return std::exchange(allows_winograd, mode); }
bool winograd_allowed() { return allows_winograd; }

Tensor conv(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings, Activation activation) {
  ConvGeometry geometry = conv_geometry(dims, x, w, bias, settings);
  return with_plain_operands(dims, x, w, bias, [&](const Tensor& images, const Tensor& weight, const Tensor& offset) {
    geometry.shape.dtype = images.dtype();
    return forward(geometry, images, weight, offset, activation);
  });
}

Tensor conv_transpose(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings) {
  ConvGeometry geometry = conv_transpose_geometry(dims, x, w, bias, settings);
  return with_plain_operands(dims, x, w, bias, [&](const Tensor& images, const Tensor& weight, const Tensor& offset) {
    geometry.shape.dtype = images.dtype();
    return backward_data(geometry, images, weight, offset);
  });
}

}  // namespace dnncore::ops
