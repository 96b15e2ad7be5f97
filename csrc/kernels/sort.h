// Order along rows. Entries compare as numbers with NaN above all of them and -0 equal to 0; equal entries keep their order, also when
// descending. Rows are adjacent and contiguous; `n` is below 2^31.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

// values[row, i] = x[row, indices[row, i]], in order.
struct SortArgs {
  const void* x = nullptr;
  void* values = nullptr;
  int64_t* indices = nullptr;
  void* workspace = nullptr;  // workspace_bytes(), null for none
  int64_t rows = 0, n = 0;
  DType dtype = DType::Float32;
  bool descending = false;

  inline static constexpr int64_t kRun = 1 << 15;  // entries sorted by one task; two halves of its pairs fit a thread's scratch
  // A pair of key and position: 8 bytes, 16 for dtypes of 8 bytes.
  static constexpr int64_t pair_bytes(DType dtype) { return itemsize(dtype) == 8 ? 16 : 8; }
  int64_t workspace_bytes() const { return n > kRun ? 2 * rows * n * pair_bytes(dtype) : 0; }

  bool in_place() const { return false; }
  std::array<Operand, 4> operands() const {
    const int64_t bytes = rows * n * static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, bytes), operand(this, &values, Role::Write, bytes),
            operand(this, &indices, Role::Write, rows * n * 8), operand(this, &workspace, Role::Scratch, workspace_bytes())};
  }
};

// The first k entries of the sorted rows.
struct TopkArgs {
  const void* x = nullptr;
  void* values = nullptr;      // (rows, k)
  int64_t* indices = nullptr;  // (rows, k)
  void* workspace = nullptr;   // workspace_bytes(), null for none
  int64_t rows = 0, n = 0, k = 0;
  DType dtype = DType::Float32;
  bool descending = true;

  inline static constexpr int64_t kMaxK = 4096;
  inline static constexpr int64_t kPart = 1 << 16;  // entries searched by one task
  int64_t parts() const { return n > 2 * kPart ? (n + kPart - 1) / kPart : 1; }
  int64_t workspace_bytes() const { return parts() > 1 ? rows * parts() * k * SortArgs::pair_bytes(dtype) : 0; }

  bool in_place() const { return false; }
  std::array<Operand, 4> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, rows * n * size), operand(this, &values, Role::Write, rows * k * size),
            operand(this, &indices, Role::Write, rows * k * 8), operand(this, &workspace, Role::Scratch, workspace_bytes())};
  }
};

}  // namespace dnncore
