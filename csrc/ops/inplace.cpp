#include "ops/inplace.h"

#include "autograd/hooks.h"

namespace dnncore::ops {

namespace {

Tensor with_history(const Tensor& old, const Tensor& x) {
  old.impl()->grad_fn = x.impl()->grad_fn;
  old.impl()->output_number = x.impl()->output_number;
  return old;
}

}  // namespace

void check_inplace(const char* op, const Tensor& x) {
  DNN_CHECK(x.storage()->writable(), ValueError, op, ": the tensor shares read-only memory; write to a clone() instead");
  for (int i = 0; i < x.ndim(); ++i)
    DNN_CHECK(x.stride(i) != 0 || x.size(i) <= 1, ValueError, op, ": several elements of the tensor share one place in memory (expand());",
              " write to a clone() instead");
}

bool records_inplace(const char* op, const Tensor& x, std::initializer_list<const Tensor*> sources) {
  check_inplace(op, x);
  if (!GradMode::enabled()) return false;
  DNN_CHECK(!(x.is_leaf() && x.requires_grad()), StateError, op, ": in-place change of a leaf of shape ", x.shape(),
            " that requires grad; use the out-of-place form, or no_grad() to change it without history");
  const bool records = is_floating(x.dtype()) && (x.requires_grad() || any_requires_grad(sources));
  DNN_CHECK(!records || (!x.impl()->is_view && x.storage()->views() == 0), StateError, op, ": in-place change of a ",
            x.impl()->is_view ? "view" : "tensor that has views", ", of shape ", x.shape(),
            ", that takes part in a gradient; change a clone(), or use the out-of-place form");
  return records;
}

Tensor stand_in(const Tensor& x) { return with_history(x.detach(), x); }

Tensor before_change(const Tensor& x) { return with_history(copy_of(x, x.dtype(), "clone"), x); }

void become(const char* op, const Tensor& x, const Tensor& y, bool written) {
  if (!written) launch_copy(op, y, x, true);
  x.storage()->bump_version();
  TensorImpl* impl = x.impl();
  const bool retained = impl->retains_grad;
  if (retained) impl->grad_fn->forget(impl);
  impl->hooks = nullptr;  // those of the old value stay with its node
  impl->retains_grad = false;
  impl->grad_fn = y.impl()->grad_fn;
  impl->output_number = y.impl()->output_number;
  if (retained) retain_grad(x);
}

}  // namespace dnncore::ops
