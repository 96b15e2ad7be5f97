// Tensors from one device to another.
#include <optional>

#include "core/devices.h"
#include "core/parallel.h"
#include "core/pinned.h"
#include "ops/common.h"
#include "ops/layout.h"

namespace dnncore::ops {

namespace {

constexpr size_t kUnlockBytes = size_t{256} << 10;  // take some 20 microseconds, from which on other launches drop the host's lock too

// The elements of a dense tensor, byte by byte, in the order in which it has them in memory.
Tensor moved(const Tensor& x, Device device, const char* op, Wait wait = Wait::Yes) {
  const Tensor y = Tensor::empty_like(x, x.dtype(), device);
  const auto bytes = static_cast<size_t>(x.nbytes());
  const Device from = x.device();
  if (bytes == 0) return y;
  std::optional<parallel::HostUnlocked> unlocked;
  if (from != Device{} || bytes >= kUnlockBytes) unlocked.emplace();  // the device is waited for
  if (from == Device{}) {
    const bool queued = wait == Wait::No && pinned::holds(x.data());
    devices::module(op, device).upload(device.index, y.data(), x.data(), bytes, queued ? Wait::No : Wait::Yes);
    if (queued) pinned::read_by(device, x.data());
  } else if (device == Device{})
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

Tensor to_device(const Tensor& x, Device device, const char* op, Wait wait) {
  if (x.device() == device) return x;
  if (device != Device{}) devices::module(op, device);
  host_reads(op);
  const Tensor from = x.detach(), y = moved(is_dense(from) ? from : clone(from), device, op, wait);
  if (any_requires_grad({&x}))
    record(op, y, {&x}, [back = x.device(), op](const Node&, const Tensor& g) -> Grads { return {to_device(g, back, op)}; });
  return y;
}

bool is_pinned(const Tensor& x) { return x.device() == Device{} && pinned::holds(x.data()); }

Tensor pin_memory(const Tensor& x) {
  DNN_CHECK(x.device() == Device{}, StateError, "pin_memory: expected a tensor on the CPU, got one on ", x.device());
  if (is_pinned(x)) return x;
  host_reads("pin_memory");
  const auto bytes = static_cast<size_t>(x.nbytes());
  void* const data = pinned::allocate("pin_memory", bytes);
  auto storage = make_ref<Storage>(data, bytes, [data] { pinned::deallocate(data); });
  const Strides strides = dense_strides(x.shape(), &x.strides(), 1);
  const Tensor y(make_ref<TensorImpl>(std::move(storage), 0, x.shape(), strides, x.dtype()));
  copy_(y, x.detach());
  return y;
}

}  // namespace dnncore::ops
