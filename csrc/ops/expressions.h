// Formulas of tensors and numbers as they are written on paper. For ops/*.cpp alone.
#pragma once

#include "ops/common.h"

namespace dnncore::ops::expressions {

inline Tensor operator-(const Tensor& a) { return unary(UnaryOp::neg, a); }
inline Tensor operator!(const Tensor& a) { return unary(UnaryOp::logical_not, a); }

#define DNN_EXPRESSION(symbol, op)                                                                                  \
  inline Tensor operator symbol(const Tensor& a, const Tensor& b) { return binary(BinaryOp::op, a, b); }            \
  inline Tensor operator symbol(const Tensor& a, double b) { return binary(BinaryOp::op, a, Scalar::of(b)); }       \
  inline Tensor operator symbol(const Tensor& a, int64_t b) { return binary(BinaryOp::op, a, Scalar::of(b)); }      \
  inline Tensor operator symbol(const Tensor& a, int b) { return binary(BinaryOp::op, a, Scalar::of(int64_t{b})); } \
  inline Tensor operator symbol(double a, const Tensor& b) { return binary(BinaryOp::op, Scalar::of(a), b); }       \
  inline Tensor operator symbol(int64_t a, const Tensor& b) { return binary(BinaryOp::op, Scalar::of(a), b); }
DNN_EXPRESSION(+, add)
DNN_EXPRESSION(-, sub)
DNN_EXPRESSION(*, mul)
DNN_EXPRESSION(/, div)
DNN_EXPRESSION(==, eq)
DNN_EXPRESSION(!=, ne)
DNN_EXPRESSION(<, lt)
DNN_EXPRESSION(<=, le)
DNN_EXPRESSION(>, gt)
DNN_EXPRESSION(>=, ge)
#undef DNN_EXPRESSION
inline Tensor operator&(const Tensor& a, const Tensor& b) { return binary(BinaryOp::bitwise_and, a, b); }
inline Tensor operator|(const Tensor& a, const Tensor& b) { return binary(BinaryOp::bitwise_or, a, b); }
inline Tensor operator^(const Tensor& a, const Tensor& b) { return binary(BinaryOp::bitwise_xor, a, b); }

inline Tensor abs(const Tensor& x) { return unary(UnaryOp::abs, x); }
inline Tensor square(const Tensor& x) { return unary(UnaryOp::square, x); }
inline Tensor sqrt(const Tensor& x) { return unary(UnaryOp::sqrt, x); }
inline Tensor exp(const Tensor& x) { return unary(UnaryOp::exp, x); }
inline Tensor log(const Tensor& x) { return unary(UnaryOp::log, x); }
inline Tensor isnan(const Tensor& x) { return unary(UnaryOp::isnan, x); }
inline Tensor sum(const Tensor& x, const Shape& dims = {}, bool keepdim = false) { return reduce(ReduceOp::sum, x, dims, keepdim); }
// 0-D, of x's dtype.
inline Tensor number_like(const Tensor& x, double value) { return scalar_tensor(Scalar::of(value), x.dtype(), x.device()); }
inline Tensor zeros_like(const Tensor& x) { return zeros(x.shape(), x.dtype(), x.device()); }

// 0 ... n-1, int64.
inline Tensor positions(int64_t n, Device device) {
  return arange(Scalar::of(int64_t{0}), Scalar::of(n), Scalar::of(int64_t{1}), DType::Int64, device);
}
// A vector seen along `dim` of a tensor of `ndim` dimensions.
inline Tensor along(const Tensor& vector, int dim, int ndim) {
  Shape shape = Shape::filled(ndim, 1);
  shape[dim] = vector.numel();
  return reshape(vector, shape);
}

}  // namespace dnncore::ops::expressions
