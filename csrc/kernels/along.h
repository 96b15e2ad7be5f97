// Elements picked and put along one dimension, as torch.gather and torch.scatter. `shape` holds the sizes of the index in the other
// dimensions, `n` its size along the dimension; steps are those of the dimension. Positions are 0 <= p < size; others are skipped.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "core/shape.h"

namespace dnncore {

namespace along {
inline int64_t reach(const Shape& shape, const Strides& strides, int64_t n, int64_t step) {
  const int64_t rows = extent(shape, strides);
  return rows && n ? rows + (n - 1) * step : 0;
}
}  // namespace along

// y[row, j] = x[row, index[row, j]]
struct GatherDimArgs {
  const void* x = nullptr;
  const int64_t* index = nullptr;
  void* y = nullptr;
  Shape shape;
  Strides x_strides, index_strides, y_strides;
  int64_t n = 0, size = 0;
  int64_t x_step = 1, index_step = 1, y_step = 1;
  DType dtype = DType::Float32;

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    const auto bytes = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, along::reach(shape, x_strides, size, x_step) * bytes),
            operand(this, &index, Role::Read, along::reach(shape, index_strides, n, index_step) * 8),
            operand(this, &y, Role::Write, along::reach(shape, y_strides, n, y_step) * bytes)};
  }
};

enum class ScatterOp : uint8_t { assign, sum, prod, amax, amin };

// x[row, index[row, j]] = op(x[...], values[row, j]) in the order of j: the last of equal positions stays, and sums are the same in
// every run. Reductions take every dtype but the halves; a NaN wins amax and amin.
struct ScatterDimArgs {
  void* x = nullptr;
  const int64_t* index = nullptr;
  const void* values = nullptr;
  Shape shape;
  Strides x_strides, index_strides, value_strides;
  int64_t n = 0, size = 0;
  int64_t x_step = 1, index_step = 1, value_step = 1;
  ScatterOp op = ScatterOp::assign;
  DType dtype = DType::Float32;

  bool in_place() const { return true; }
  std::array<Operand, 3> operands() const {
    const auto bytes = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Accumulate, along::reach(shape, x_strides, size, x_step) * bytes),
            operand(this, &index, Role::Read, along::reach(shape, index_strides, n, index_step) * 8),
            operand(this, &values, Role::Read, along::reach(shape, value_strides, n, value_step) * bytes)};
  }
};

}  // namespace dnncore
