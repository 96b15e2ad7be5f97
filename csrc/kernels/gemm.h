// C[b] = activation(A[b] B[b] (+ C[b] when accumulate) + bias), b in [0, batch): A is m x k, B is k x n, C is m x n.
// Row and column strides of A and B are free (a transpose is a swap of strides) as long as one of the two is 1 or its dimension
// has size <= 1; C's columns are adjacent. C overlaps no input. Rounding is float32 (float64 for float64) at every ISA;
// the order of the sum over k depends on neither m nor the number of threads. k == 0 gives activation(bias) or activation(C + bias).
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

enum class Activation : uint8_t { None, Relu, Tanh, Sigmoid, Gelu };
inline constexpr int kActivationCount = 5;

struct GemmArgs {
  const void* a = nullptr;
  const void* b = nullptr;     // when b_packed: the panels gemm_pack wrote (batch 1), strides of B as given to gemm_pack
  const void* bias = nullptr;  // n entries (one per column) of the accumulation type; may be null
  void* c = nullptr;
  void* workspace = nullptr;  // workspace_bytes, 64-byte aligned; null when that is 0
  int64_t m = 0, n = 0, k = 0, batch = 1;
  int64_t a_row = 0, a_col = 0, a_batch = 0;  // strides in elements
  int64_t b_row = 0, b_col = 0, b_batch = 0;
  int64_t c_row = 0, c_batch = 0;
  DType dtype = DType::Float32;      // of A and B: Float32, Float64, BFloat16, Float16 (the halves accumulate in float32)
  DType out_dtype = DType::Float32;  // of C: as A's; for the halves also Float32
  Activation activation = Activation::None;
  bool accumulate = false;
  bool b_packed = false;
  int64_t workspace_bytes = 0;
  int64_t packed_bytes = 0;

  bool in_place() const { return accumulate; }
  double flops() const { return 2.0 * static_cast<double>(m * n) * static_cast<double>(k * batch); }
  DType accumulation_dtype() const { return dtype == DType::Float64 ? DType::Float64 : DType::Float32; }

  std::array<Operand, 5> operands() const {
    const auto span = [](int64_t rows, int64_t cols, int64_t row, int64_t col, int64_t count, int64_t step) {
      return rows && cols && count ? (rows - 1) * row + (cols - 1) * col + (count - 1) * step + 1 : int64_t{0};
    };
    const auto size = static_cast<int64_t>(itemsize(dtype));
    const auto out_size = static_cast<int64_t>(itemsize(out_dtype));
    return {operand(this, &a, Role::Read, span(m, k, a_row, a_col, batch, a_batch) * size),
            operand(this, &b, Role::Read, b_packed ? packed_bytes : span(k, n, b_row, b_col, batch, b_batch) * size),
            operand(this, &bias, Role::Read, n * static_cast<int64_t>(itemsize(accumulation_dtype()))),
            operand(this, &c, accumulate ? Role::Accumulate : Role::Write, span(m, n, c_row, 1, batch, c_batch) * out_size),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

// Writes B as the panels `gemm` of the same table reads with b_packed: worth it when one B serves several products.
struct GemmPackArgs {
  const void* b = nullptr;
  void* packed = nullptr;  // CpuTable::gemm_packed_bytes(args) bytes, 64-byte aligned
  int64_t n = 0, k = 0;
  int64_t b_row = 0, b_col = 0;
  int64_t packed_bytes = 0;
  DType dtype = DType::Float32;

  bool in_place() const { return false; }
  std::array<Operand, 2> operands() const {
    const int64_t span = n && k ? (k - 1) * b_row + (n - 1) * b_col + 1 : 0;
    return {operand(this, &b, Role::Read, span * static_cast<int64_t>(itemsize(dtype))), operand(this, &packed, Role::Write, packed_bytes)};
  }
};

}  // namespace dnncore
