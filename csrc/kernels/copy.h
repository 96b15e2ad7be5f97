// Strided copy with cast, fill and ranges. Destinations overlap no source and have no stride 0 where the size exceeds 1.
// Casts follow C and PyTorch: float to integer truncates towards zero (outside the range: unspecified, never undefined behaviour:
// saturated, NaN gives 0), to Bool is x != 0, Bool to number is 0 or 1, integers wrap, halves round to nearest even.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "core/shape.h"

namespace dnncore {

struct CopyArgs {
  const void* x = nullptr;
  void* y = nullptr;
  Shape shape;
  Strides x_strides, y_strides;
  DType x_dtype = DType::Float32, y_dtype = DType::Float32;
  bool into_view = false;  // y is part of a live tensor: not interruptible

  bool in_place() const { return into_view; }
  int64_t elements() const { return dense_elements(shape, {&x_strides}, y_strides); }
  std::array<Operand, 2> operands() const {
    return {
        operand(this, &x, Role::Read, extent(shape, x_strides) * static_cast<int64_t>(itemsize(x_dtype))),
        operand(this, &y, into_view ? Role::Accumulate : Role::Write, extent(shape, y_strides) * static_cast<int64_t>(itemsize(y_dtype)))};
  }
};

// y = value everywhere. The value arrives in the form of `dtype` (Float64 in as_double for floating types, int64 in as_int otherwise).
struct FillArgs {
  void* y = nullptr;
  Shape shape;
  Strides y_strides;
  double as_double = 0;
  int64_t as_int = 0;
  DType dtype = DType::Float32;

  bool in_place() const { return true; }
  std::array<Operand, 1> operands() const {
    return {operand(this, &y, Role::Accumulate, extent(shape, y_strides) * static_cast<int64_t>(itemsize(dtype)))};
  }
};

// y[i] = start + i * step, contiguous; floating types compute in float64 and round once, integers in int64.
struct RangeArgs {
  void* y = nullptr;
  int64_t n = 0;
  double start = 0, step = 1;
  int64_t int_start = 0, int_step = 1;
  DType dtype = DType::Float32;

  bool in_place() const { return false; }
  std::array<Operand, 1> operands() const { return {operand(this, &y, Role::Write, n * static_cast<int64_t>(itemsize(dtype)))}; }
};

}  // namespace dnncore
