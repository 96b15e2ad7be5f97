// softmax, log_softmax and logsumexp over the middle dimension of (outer, n, inner), and the gradients of the first two.
// Rows with a NaN, with +inf, or of nothing but -inf are NaN; logsumexp is +inf or -inf there, as PyTorch's.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

enum class SoftmaxOp : uint8_t { softmax, log_softmax, logsumexp };

struct SoftmaxArgs {
  const void* x = nullptr;  // element (o, j, i) at o * x_outer + j * inner + i
  void* y = nullptr;        // contiguous (outer, n, inner); logsumexp: (outer, inner); overlaps no part of x
  int64_t outer = 0, n = 0, inner = 1, x_outer = 0;
  SoftmaxOp op = SoftmaxOp::softmax;
  DType dtype = DType::Float32;  // Float32 or Float64

  static constexpr int64_t kMostStrided = 16384;  // n at most, where inner > 1

  bool in_place() const { return false; }
  std::array<Operand, 2> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    const int64_t read = outer * n * inner == 0 ? 0 : (outer - 1) * x_outer + n * inner;
    return {operand(this, &x, Role::Read, read * size),
            operand(this, &y, Role::Write, outer * (op == SoftmaxOp::logsumexp ? 1 : n) * inner * size)};
  }
};

// softmax: dx = y (dy - sum dy y). log_softmax: dx = dy - e^y sum dy. All contiguous (outer, n, inner).
struct SoftmaxBackwardArgs {
  const void* dy = nullptr;
  const void* y = nullptr;
  void* dx = nullptr;  // overlaps no input
  int64_t outer = 0, n = 0, inner = 1;
  SoftmaxOp op = SoftmaxOp::softmax;
  DType dtype = DType::Float32;  // Float32 or Float64

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    const int64_t bytes = outer * n * inner * static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &dy, Role::Read, bytes), operand(this, &y, Role::Read, bytes), operand(this, &dx, Role::Write, bytes)};
  }
};

}  // namespace dnncore
