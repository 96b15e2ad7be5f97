#include "kernels/dropout.h"
#include "ops/inplace.h"

namespace dnncore::ops {

namespace {

void check(const Tensor& x, double p) {
  DNN_CHECK(is_floating(x.dtype()), TypeError, "dropout: expected a floating tensor, got ", x.dtype(), "; cast with .float()");
  DNN_CHECK(p >= 0 && p < 1, ValueError, "dropout: expected a probability 0 <= p < 1, got ", p);
}

// Draws the mask and multiplies; x and y are contiguous, and may be one.
void launch_dropout(const Tensor& x, const Tensor& mask, const Tensor& y, double p) {
  launch("dropout", kernel::dropout,
         DropoutArgs{.state = default_generator()->state(),
                     .x = x.data(),
                     .mask = mask.data<uint8_t>(),
                     .y = y.data(),
                     .n = x.numel(),
                     .p = p,
                     .dtype = x.dtype()},
         x.device());
}

Tensor backward(const Tensor& g, const Tensor& mask, double scale) {
  const Tensor dy = contiguous(g);
  const Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device(), "dropout");
  launch("dropout", kernel::dropout_backward,
         DropoutBackwardArgs{
             .dy = dy.data(), .mask = mask.data<uint8_t>(), .dx = dx.data(), .n = dy.numel(), .scale = scale, .dtype = dy.dtype()},
         dy.device());
  return dx;
}

}  // namespace

Tensor dropout(const Tensor& x, double p) {
  check(x, p);
  const Tensor from = contiguous(x);
  const Tensor mask = Tensor::empty(x.shape(), DType::UInt8, x.device(), "dropout");
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device(), "dropout");
  launch_dropout(from, mask, y, p);
  if (any_requires_grad({&x}))
    record("dropout", y, {&x}, [mask, scale = 1 / (1 - p)](const Node&, const Tensor& g) -> Grads {
      if (GradMode::enabled()) return {binary(BinaryOp::mul, g, binary(BinaryOp::mul, to_dtype(mask, g.dtype()), Scalar::of(scale)))};
      return {backward(g, mask, scale)};
    });
  return y;
}

void dropout_(const Tensor& x, double p) {
  check(x, p);
  if (records_inplace("dropout", x)) return become("dropout", x, dropout(stand_in(x), p));
  if (!x.is_contiguous()) return copy_(x, dropout(x.detach(), p));
  launch_dropout(x, Tensor::empty(x.shape(), DType::UInt8, x.device(), "dropout"), x, p);
  x.storage()->bump_version();
}

}  // namespace dnncore::ops
