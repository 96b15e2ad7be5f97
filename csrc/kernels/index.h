// Indexing by tensors of positions. Offsets count elements from the start of the indexed view.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "core/shape.h"

namespace dnncore {

// offsets[i] = (first ? 0 : offsets[i]) + wrapped(index[i]) * stride, wrapped(-size <= p < size) non-negative.
// A position out of range contributes 0 and is written to bad[0] as (position), with bad[1] = 1 (the smallest i wins; 0 if none).
struct IndexOffsetsArgs {
  const int64_t* index = nullptr;  // strided over `shape`
  int64_t* offsets = nullptr;      // contiguous over `shape`
  int64_t* bad = nullptr;          // 2 entries, set by the caller to 0 before the first of the index tensors
  Shape shape;
  Strides index_strides;
  int64_t size = 0, stride = 0;
  bool first = true;

  bool in_place() const { return true; }
  std::array<Operand, 3> operands() const {
    return {operand(this, &index, Role::Read, extent(shape, index_strides) * 8),
            operand(this, &offsets, first ? Role::Write : Role::Accumulate, numel(shape) * 8), operand(this, &bad, Role::Accumulate, 16)};
  }
};

// y[i, inner...] = x[offsets[i] + inner . x_strides]: `n` offsets, a block of shape `inner` for each; y is contiguous (n, inner...).
struct GatherArgs {
  const void* x = nullptr;
  const int64_t* offsets = nullptr;
  void* y = nullptr;
  int64_t n = 0;
  int64_t x_extent = 0;  // elements from x on that may be touched
  Shape inner;
  Strides x_strides;
  DType dtype = DType::Float32;

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, x_extent * size), operand(this, &offsets, Role::Read, n * 8),
            operand(this, &y, Role::Write, n * numel(inner) * size)};
  }
};

// x[offsets[i] + inner . x_strides] = (or +=) values[i * value_step + inner . value_strides]; duplicates: in the order of i, so the
// last one stays and sums are the same in every run. `accumulate` takes floating types and integers.
struct ScatterArgs {
  void* x = nullptr;
  const int64_t* offsets = nullptr;
  const void* values = nullptr;
  int64_t n = 0;
  int64_t x_extent = 0;
  Shape inner;
  Strides x_strides, value_strides;
  int64_t value_step = 0;
  DType dtype = DType::Float32;
  bool accumulate = false;

  bool in_place() const { return true; }
  std::array<Operand, 3> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    const int64_t block = extent(inner, value_strides);
    return {operand(this, &x, Role::Accumulate, x_extent * size), operand(this, &offsets, Role::Read, n * 8),
            operand(this, &values, Role::Read, (n && block ? (n - 1) * value_step + block : 0) * size)};
  }
};

// Positions where a contiguous Bool array of n entries is true, ascending. With positions == null only counts.
struct NonzeroArgs {
  const bool* mask = nullptr;
  int64_t* positions = nullptr;  // as many as count[0] said
  int64_t* count = nullptr;      // 1 entry, written
  int64_t n = 0;
  int64_t capacity = 0;

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    return {operand(this, &mask, Role::Read, n), operand(this, &positions, Role::Write, capacity * 8),
            operand(this, &count, Role::Write, 8)};
  }
};

}  // namespace dnncore
