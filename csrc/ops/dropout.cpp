#include "kernels/dropout.h"
#include "ops/inplace.h"
#include "ops/layout.h"

namespace dnncore::ops {

namespace {

void check(const Tensor& x, double p) {
  check_floating("dropout", x);
  DNN_CHECK(p >= 0 && p < 1, ValueError, "dropout: expected a probability 0 <= p < 1, got ", p);
}

// Draws the mask and multiplies; all three are dense in one order, x and y may be one.
void launch_dropout(const Tensor& x, const Tensor& mask, const Tensor& y, double p) {
  DropoutArgs args{.x = x.data(), .mask = mask.data<uint8_t>(), .y = y.data(), .n = x.numel(), .p = p, .dtype = x.dtype()};
  Tensor keeper;
  args.state = default_generator()->state_on(x.device(), args.counters_used(), keeper);
  launch("dropout", kernel::dropout, args, x.device());
}

Tensor backward(const Tensor& g, const Tensor& mask, double scale) {
  const Tensor dy = in_order_of(mask, g, "dropout");
  const Tensor dx = Tensor::empty_like(mask, dy.dtype());
  launch("dropout", kernel::dropout_backward,
         DropoutBackwardArgs{
             .dy = dy.data(), .mask = mask.data<uint8_t>(), .dx = dx.data(), .n = dy.numel(), .scale = scale, .dtype = dy.dtype()},
         dy.device());
  return dx;
}

}  // namespace

Tensor dropout(const Tensor& x, double p) {
  check(x, p);
  const Tensor mask = Tensor::empty_like(x, DType::UInt8);
  const Tensor y = Tensor::empty_like(x, x.dtype());
  launch_dropout(in_order_of(y, x, "dropout"), mask, y, p);
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
  const Tensor mask = Tensor::empty_like(x, DType::UInt8);
  if (!same_order(x, mask)) return copy_(x, dropout(x.detach(), p));
  launch_dropout(x, mask, x, p);
  x.storage()->bump_version();
}

}  // namespace dnncore::ops
