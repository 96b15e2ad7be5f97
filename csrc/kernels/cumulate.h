// Running results along the middle dimension of contiguous x (outer, n, inner). Sums and products of floating types run in float64
// and are rounded once per entry, those of integers wrap; halves are the caller's to widen.
//   sum, prod: float32, float64, int64. logsumexp: float32, float64. max, min: every dtype but the halves; `indices` (as y, int64)
//   gets the position of the latest entry that attains the extreme, and a NaN stays from where it appears.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

enum class CumulateOp : uint8_t { sum, prod, logsumexp, max, min };

struct CumulateArgs {
  const void* x = nullptr;
  void* y = nullptr;
  int64_t* indices = nullptr;  // of max and min, else null
  void* workspace = nullptr;   // workspace_bytes(), null for none
  int64_t outer = 0, n = 0, inner = 1;
  CumulateOp op = CumulateOp::sum;
  DType dtype = DType::Float32;

  // A row of adjacent entries is cut into blocks of this length, whose totals are found first.
  inline static constexpr int64_t kLength = 1 << 14;
  bool in_blocks() const { return inner == 1 && op <= CumulateOp::prod && n > kLength; }
  int64_t blocks() const { return in_blocks() ? (n + kLength - 1) / kLength : 1; }
  int64_t workspace_bytes() const { return in_blocks() ? outer * blocks() * 8 : 0; }

  bool in_place() const { return false; }
  std::array<Operand, 4> operands() const {
    const int64_t count = outer * n * inner, bytes = count * static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, bytes), operand(this, &y, Role::Write, bytes), operand(this, &indices, Role::Write, count * 8),
            operand(this, &workspace, Role::Scratch, workspace_bytes())};
  }
};

}  // namespace dnncore
