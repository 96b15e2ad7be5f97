#include "ops/layout.h"

#include "ops/common.h"

namespace dnncore::ops {

namespace {

Strides channels_last_strides(const Shape& shape) {
  Shape order = shape;  // (N, *spatial, C)
  order.erase(1);
  order.push_back(shape[1]);
  Strides strides = contiguous_strides(order);
  const int64_t channel = strides.back();
  strides.n -= 1;
  strides.insert(1, channel);
  return strides;
}

bool has_strides(const Tensor& x, const Strides& strides) {
  for (int i = 0; i < x.ndim(); ++i)
    if (x.size(i) != 1 && x.stride(i) != strides[i]) return false;
  return true;
}

}  // namespace

bool is_channels_last(const Tensor& x) {
  if (x.ndim() < 3 || x.ndim() > 5) return false;
  return x.numel() == 0 || has_strides(x, channels_last_strides(x.shape()));
}

Tensor empty_channels_last(const Shape& shape, DType dtype, Device device, const char* op) {
  Tensor y = Tensor::empty(shape, dtype, device, op);
  y.impl()->strides = channels_last_strides(shape);
  return y;
}

Tensor channels_last(const Tensor& x, const char* op) {
  if (is_channels_last(x)) return x;
  const Tensor y = empty_channels_last(x.shape(), x.dtype(), x.device(), op);
  launch_copy(op, x, y, false);
  return y;
}

Tensor empty_result(const char* op, const Shape& shape, DType dtype, std::initializer_list<const Tensor*> operands) {
  Tensor y = Tensor::empty(shape, dtype, (*operands.begin())->device(), op);
  bool contiguous = true;
  Strides strides[3];
  int count = 0;
  for (const Tensor* operand : operands) {
    contiguous &= operand->is_contiguous();
    strides[count++] = broadcast_strides(operand->shape(), operand->strides(), shape);
  }
  if (!contiguous) y.impl()->strides = dense_strides(shape, strides, count);
  return y;
}

}  // namespace dnncore::ops
