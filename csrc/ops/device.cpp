// Tensors from one device to another.
#include "ops/common.h"
#include "ops/layout.h"

namespace dnncore::ops {

namespace {

// The elements of a dense tensor, byte by byte, in the order in which it has them in memory.
Tensor moved(const Tensor& x, Device device, const char* op) {
  const Tensor y = Tensor::empty_like(x, x.dtype(), device);
  const auto bytes = static_cast<size_t>(x.nbytes());
  const Device from = x.device();
  if (bytes == 0) return y;
  if (from == Device{})
    devices::module(op, device).upload(device.index, y.data(), x.data(), bytes);
  else if (device == Device{})
    devices::module(op, from).download(from.index, y.data(), x.data(), bytes);
  else
    devices::module(op, device).copy(device.index, y.data(), from.index, x.data(), bytes);
  return y;
}

bool is_dense(const Tensor& x) { return x.strides() == dense_strides(x.shape(), &x.strides(), 1); }

}  // namespace

Tensor on_host(const Tensor& x) {
  if (x.device() == Device{}) return x;
  host_reads("to");
  const Tensor from = x.detach();
  return moved(is_dense(from) ? from : clone(from), Device{}, "to");
}

Tensor to_device(const Tensor& x, Device device, const char* op) {
  if (x.device() == device) return x;
  if (device != Device{}) devices::module(op, device);
  host_reads(op);
  const Tensor from = x.detach(), y = moved(is_dense(from) ? from : clone(from), device, op);
  if (any_requires_grad({&x}))
    record(op, y, {&x}, [back = x.device(), op](const Node&, const Tensor& g) -> Grads { return {to_device(g, back, op)}; });
  return y;
}

}  // namespace dnncore::ops
