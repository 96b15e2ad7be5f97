// b[i, j] = weight[j] ((1 - smoothing) q[i, j] + smoothing / classes), q the target's probabilities or its one-hot row; then
// loss[i] = -sum_j b[i, j] log_softmax(x[i, :])[j];  dx[i, j] = scale * (softmax(x[i, :])[j] sum_k b[i, k] - b[i, j]).
// Rows with target == ignore_index: loss 0, gradient 0, row_weight 0. All outputs from one read of the row; any may be null.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

struct CrossEntropyArgs {
  const void* x = nullptr;              // rows x classes, row stride x_row, columns adjacent
  const int64_t* target = nullptr;      // rows, contiguous; in range or ignore_index; any other gives a row of NaN
  const void* probabilities = nullptr;  // rows x classes, contiguous, of dtype; target is not read then
  const void* weight = nullptr;         // classes, contiguous, of dtype; null: ones
  void* loss = nullptr;                 // rows, contiguous, of dtype
  void* dx = nullptr;                   // rows x classes, contiguous, of dtype
  void* row_weight = nullptr;           // rows, contiguous, of dtype: weight[target], what the mean divides by
  int64_t rows = 0, classes = 0, x_row = 0;
  int64_t ignore_index = -100;
  double scale = 1;  // of dx
  double smoothing = 0;
  DType dtype = DType::Float32;  // Float32 or Float64

  bool in_place() const { return false; }
  std::array<Operand, 7> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, (rows ? (rows - 1) * x_row + classes : 0) * size),
            operand(this, &target, Role::Read, rows * 8),
            operand(this, &probabilities, Role::Read, rows * classes * size),
            operand(this, &weight, Role::Read, classes * size),
            operand(this, &loss, Role::Write, rows * size),
            operand(this, &dx, Role::Write, rows * classes * size),
            operand(this, &row_weight, Role::Write, rows * size)};
  }
};

}  // namespace dnncore
