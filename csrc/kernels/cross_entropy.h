// loss[i] = logsumexp(x[i, :]) - x[i, target[i]]; dx[i, j] = scale * (softmax(x[i, :])[j] - [j == target[i]]).
// Rows with target == ignore_index: loss 0, gradient 0. Both outputs from one read of the row; either may be null.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

struct CrossEntropyArgs {
  const void* x = nullptr;          // rows x classes, row stride x_row, columns adjacent
  const int64_t* target = nullptr;  // rows, contiguous; in range or ignore_index; any other gives a row of NaN
  void* loss = nullptr;             // rows, contiguous, of dtype
  void* dx = nullptr;               // rows x classes, contiguous, of dtype
  int64_t rows = 0, classes = 0, x_row = 0;
  int64_t ignore_index = -100;
  double scale = 1;              // of dx
  DType dtype = DType::Float32;  // Float32 or Float64

  bool in_place() const { return false; }
  std::array<Operand, 4> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, (rows ? (rows - 1) * x_row + classes : 0) * size), operand(this, &target, Role::Read, rows * 8),
            operand(this, &loss, Role::Write, rows * size), operand(this, &dx, Role::Write, rows * classes * size)};
  }
};

}  // namespace dnncore
