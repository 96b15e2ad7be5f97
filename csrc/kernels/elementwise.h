// Elementwise families over strided operands of one common shape (broadcasting is stride 0, prepared by the caller).
// y may be the very view x or z (same pointer and strides), else it overlaps no input. Strides of y are never 0 where the size exceeds 1.
// Halves are computed in float32 and rounded once. Special values follow PyTorch.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "core/shape.h"

namespace dnncore {

enum class UnaryOp : uint8_t {
#define UNARY(name) name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  count
};
enum class BinaryOp : uint8_t {
#define BINARY(name) name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  count
};

inline constexpr const char* kUnaryNames[] = {
#define UNARY(name) #name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
};
inline constexpr const char* kBinaryNames[] = {
#define BINARY(name) #name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
};

constexpr const char* name(UnaryOp op) { return kUnaryNames[static_cast<int>(op)]; }
constexpr const char* name(BinaryOp op) { return kBinaryNames[static_cast<int>(op)]; }

constexpr bool is_predicate(UnaryOp op) {
  return op == UnaryOp::isnan || op == UnaryOp::isinf || op == UnaryOp::isfinite || op == UnaryOp::logical_not;
}
constexpr bool is_comparison(BinaryOp op) { return op >= BinaryOp::eq && op <= BinaryOp::ge; }

// y = op(x). y has x's dtype, or Bool for predicates. Transcendental ops take floating types only; neg, abs, sign, square, relu take
// integers too (the caller promotes, so that kernels see only sensible pairs); bitwise_not takes integers and Bool.
//   round: half to even. sign(nan) = nan. relu(nan) = nan. gelu: exact (erf) form. softplus: log(1 + e^x) without overflow.
struct UnaryArgs {
  const void* x = nullptr;
  void* y = nullptr;
  Shape shape;
  Strides x_strides, y_strides;
  UnaryOp op = UnaryOp::neg;
  DType dtype = DType::Float32;

  bool in_place() const { return x == y; }
  int64_t elements() const { return dense_elements(shape, {&x_strides}, y_strides); }
  DType out_dtype() const { return is_predicate(op) ? DType::Bool : dtype; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &x, Role::Read, extent(shape, x_strides) * static_cast<int64_t>(itemsize(dtype))),
            operand(this, &y, in_place() ? Role::Accumulate : Role::Write,
                    extent(shape, y_strides) * static_cast<int64_t>(itemsize(out_dtype())))};
  }
};

// y = op(x, z); x and z have `dtype`, y too, or Bool for comparisons.
//   add, sub, mul on Bool: the caller promotes (sub of bools is refused above). div: floating only. floor_divide, remainder: Python's
//   sign rules; by zero: integers give ZeroDivision above (the op checks), floats inf/nan. maximum, minimum: NaN propagates.
//   pow on integers: exponents are non-negative (checked above). Integer overflow wraps.
//   relu_backward(dy, y), tanh_backward(dy, y), sigmoid_backward(dy, y): gradient from the output; gelu_backward(dy, x).
struct BinaryArgs {
  const void* x = nullptr;
  const void* z = nullptr;
  void* y = nullptr;
  Shape shape;
  Strides x_strides, z_strides, y_strides;
  BinaryOp op = BinaryOp::add;
  DType dtype = DType::Float32;

  bool in_place() const { return x == y || z == y; }
  int64_t elements() const { return dense_elements(shape, {&x_strides, &z_strides}, y_strides); }
  DType out_dtype() const { return is_comparison(op) ? DType::Bool : dtype; }
  std::array<Operand, 3> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, extent(shape, x_strides) * size), operand(this, &z, Role::Read, extent(shape, z_strides) * size),
            operand(this, &y, in_place() ? Role::Accumulate : Role::Write,
                    extent(shape, y_strides) * static_cast<int64_t>(itemsize(out_dtype())))};
  }
};

// y = condition ? x : z; condition is Bool, the rest has `dtype`.
struct WhereArgs {
  const void* condition = nullptr;
  const void* x = nullptr;
  const void* z = nullptr;
  void* y = nullptr;
  Shape shape;
  Strides condition_strides, x_strides, z_strides, y_strides;
  DType dtype = DType::Float32;

  bool in_place() const { return x == y || z == y; }
  int64_t elements() const { return dense_elements(shape, {&condition_strides, &x_strides, &z_strides}, y_strides); }
  std::array<Operand, 4> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &condition, Role::Read, extent(shape, condition_strides)),
            operand(this, &x, Role::Read, extent(shape, x_strides) * size), operand(this, &z, Role::Read, extent(shape, z_strides) * size),
            operand(this, &y, in_place() ? Role::Accumulate : Role::Write, extent(shape, y_strides) * size)};
  }
};

}  // namespace dnncore
