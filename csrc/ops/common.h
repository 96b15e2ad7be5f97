// What several op families share.
#pragma once

#include "autograd/tape.h"
#include "core/launch.h"
#include "ops/ops.h"

namespace dnncore::ops {

// An in-place change may need the tape: see inplace.h.
void check_inplace(const char* op, const Tensor& x);

// A view whose base nobody else names: no longer counted as one.
inline Tensor sole_name(const Tensor& y) {
  y.impl()->mark_view(false);
  return y;
}

// Of what may be undefined.
inline void* data_of(const Tensor& x) { return x.defined() ? x.data() : nullptr; }
inline Tensor dense(const Tensor& x) { return x.defined() ? contiguous(x.detach()) : Tensor(); }
inline Saved saved(const Tensor& x) { return x.defined() ? Saved::input(x) : Saved(); }
inline Tensor as_float(const Tensor& x) { return x.defined() && is_half(x.dtype()) ? to_dtype(x, DType::Float32) : x; }

inline void check_device(const char* op, const Tensor& x, const Tensor& z) {
  DNN_CHECK(x.device() == z.device(), StateError, op, ": expected tensors on one device, got ", x.device(), " and ", z.device());
}

inline void check_floating(const char* op, const Tensor& x) {
  DNN_CHECK(is_floating(x.dtype()), TypeError, op, ": expected a floating tensor, got ", x.dtype(), "; cast with .float()");
}

// With the workspace that the kernel wants.
template <class Args>
void launch_with_workspace(const char* op, KernelId<Args> id, Args args, Device device) {
  args.workspace_bytes = workspace_bytes(id, args, device);
  Tensor workspace;
  if (args.workspace_bytes > 0) {
    workspace = Tensor::empty({args.workspace_bytes}, DType::UInt8, device, op);
    args.workspace = workspace.data();
  }
  launch(op, id, args, device);
}

// The tensor, or where it is on a device a dense copy of it in the host's memory: waits for the device.
Tensor on_host(const Tensor& x);

// A check of values on the host, made now and at every repetition of a recorded step; fn gets the addresses of the (dense) tensors.
void host_check(std::initializer_list<const Tensor*> tensors, HostCheck fn);
// A value that the host goes on with: a step that needs one cannot be recorded.
template <class T>
T host_value(const char* op, const Tensor& x) {
  host_reads(op);
  return *on_host(x).data<T>();
}

// Gradients of products count the zeros among the factors, which is not differentiable once more: refused instead of wrong.
void refuse_zeros_when_recording(const char* op, const Tensor& x);

// A 0-D tensor of the number in `dtype`; integers wrap.
Tensor scalar_tensor(const Scalar& value, DType dtype, Device device);

// Copies into fresh contiguous memory; no gradient link.
Tensor copy_of(const Tensor& x, DType dtype, const char* op);
// y = x cast, element by element; same shape. into_view: y is part of a live tensor.
void launch_copy(const char* op, const Tensor& x, const Tensor& y, bool into_view);

}  // namespace dnncore::ops
