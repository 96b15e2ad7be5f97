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

// A copy in another dtype or order, on the tape.
Tensor converted(const char* op, const Tensor& x, DType dtype, MemoryFormat format) {
  const Tensor y = Tensor::empty_like(order_of(op, x, format), dtype);
  launch_copy(op, x, y, false);
  if (is_floating(dtype) && any_requires_grad({&x}))
    record(op, y, {&x}, [from = x.dtype()](const Node&, const Tensor& g) -> Grads { return {to_dtype(g, from)}; });
  return y;
}

}  // namespace

bool same_order(const Tensor& x, const Tensor& z) { return has_strides(x, z.strides()); }

Tensor in_order_of(const Tensor& like, const Tensor& x, const char* op) {
  if (same_order(x, like)) return x;
  const Tensor y = Tensor::empty_like(like, x.dtype());
  launch_copy(op, x, y, false);
  return y;
}

Tensor order_of(const char* op, const Tensor& x, MemoryFormat format) {
  if (format == MemoryFormat::Preserve) return x;
  if (format == MemoryFormat::Contiguous) return x.view_as(x.shape(), contiguous_strides(x.shape()), x.impl()->offset);
  const int expected = format == MemoryFormat::ChannelsLast ? 4 : 5;
  DNN_CHECK(x.ndim() == expected, ValueError, op, ": expected a tensor of ", expected, " dimensions for ",
            expected == 4 ? "channels_last" : "channels_last_3d", ", got shape ", x.shape());
  return x.view_as(x.shape(), channels_last_strides(x.shape()), x.impl()->offset);
}

bool has_format(const char* op, const Tensor& x, MemoryFormat format) {
  DNN_CHECK(format != MemoryFormat::Preserve, ValueError, op, ": expected an order of memory, got preserve_format");
  return x.numel() == 0 || has_strides(x, order_of(op, x, format).strides());
}

Tensor contiguous(const Tensor& x, MemoryFormat format) {
  return has_format("contiguous", x, format) ? x : converted("contiguous", x, x.dtype(), format);
}

Tensor clone(const Tensor& x, MemoryFormat format) { return converted("clone", x, x.dtype(), format); }

Tensor to(const Tensor& x, DType dtype, MemoryFormat format) {
  const bool same = x.dtype() == dtype && (format == MemoryFormat::Preserve || has_format("to", x, format));
  return same ? x : converted("to", x, dtype, format);
}

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
