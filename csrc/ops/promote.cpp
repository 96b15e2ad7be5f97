// Promotion as torch.result_type: within a category of numbers, tensors with dimensions decide over 0-D tensors over Python numbers.
#include "ops/common.h"

namespace dnncore::ops {

namespace {

// `weaker` changes the result only when it is of a higher category (bool < integer < floating).
DType combine(DType stronger, DType weaker) {
  if (is_floating(stronger)) return stronger;
  if (stronger == DType::Bool || is_floating(weaker)) return promote_types(stronger, weaker);
  return stronger;
}

DType dtype_of_scalar(const Scalar& value) {
  switch (value.kind) {
    case Scalar::Kind::Bool:
      return DType::Bool;
    case Scalar::Kind::Int:
      return DType::Int64;
    default:
      return kDefaultFloat;
  }
}

}  // namespace

DType result_type(const Tensor& a, const Tensor& b) {
  const bool a_has_dims = a.ndim() > 0;
  const bool b_has_dims = b.ndim() > 0;
  if (a_has_dims == b_has_dims) return promote_types(a.dtype(), b.dtype());
  return a_has_dims ? combine(a.dtype(), b.dtype()) : combine(b.dtype(), a.dtype());
}

DType result_type(const Tensor& a, const Scalar& b) { return combine(a.dtype(), dtype_of_scalar(b)); }

}  // namespace dnncore::ops
