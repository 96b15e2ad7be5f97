// What several op families share.
#pragma once

#include "autograd/tape.h"
#include "core/launch.h"
#include "ops/ops.h"

namespace dnncore::ops {

// In-place changes are not on the tape: refuse them where a gradient would silently be wrong, and where memory is read-only.
inline void check_inplace(const char* op, const Tensor& x, std::initializer_list<const Tensor*> sources = {}) {
  DNN_CHECK(x.storage()->writable(), ValueError, op, ": the tensor shares read-only memory; write to a clone() instead");
  for (int i = 0; i < x.ndim(); ++i)
    DNN_CHECK(x.stride(i) != 0 || x.size(i) <= 1, ValueError, op, ": several elements of the tensor share one place in memory (expand());",
              " write to a clone() instead");
  if (!GradMode::enabled()) return;
  DNN_CHECK(!x.requires_grad(), StateError, op, ": in-place change of a tensor of shape ", x.shape(),
            " that requires grad; use the out-of-place form, or no_grad() to change it without history");
  for (const Tensor* source : sources)
    DNN_CHECK(
        !source->requires_grad(), StateError, op,
        ": a value that requires grad cannot be written in place with its history; detach() it, or build the result with where() or cat()");
}

inline void check_device(const char* op, const Tensor& x, const Tensor& z) {
  DNN_CHECK(x.device() == z.device(), ValueError, op, ": expected tensors on one device, got ", x.device(), " and ", z.device());
}

// A 0-D tensor of the number in `dtype`; integers wrap.
Tensor scalar_tensor(const Scalar& value, DType dtype);

// Copies into fresh contiguous memory; no gradient link.
Tensor copy_of(const Tensor& x, DType dtype, const char* op);
// y = x cast, element by element; same shape. into_view: y is part of a live tensor.
void launch_copy(const char* op, const Tensor& x, const Tensor& y, bool into_view);

}  // namespace dnncore::ops
