// Resampling along one to three dimensions, channels-last: x is (N, D, H, W, C) and y (N, D', H', W', C), both dense. Along each dimension
// an output is a weighted sum of adjacent elements; resample_table writes down which, resample adds them up. Transposed: the other way
// round, which is the gradient. Outputs overlap no input; the order of every sum follows from the shape alone.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "kernels/conv.h"

namespace dnncore {

// Nearest: the element at or before; NearestExact: centre to centre. Linear: a triangle, Cubic: R. Keys 1981 with a = -0.75; antialiased:
// as wide as the step from output to output where that is larger than one element, cubic then with a = -0.5, and normalised.
enum class ResampleMode : uint8_t { Nearest, NearestExact, Linear, Cubic, LinearAntialias, CubicAntialias };

struct ResampleAxis {
  int64_t from = 1, to = 1;  // at most INT32_MAX
  double step = 1;           // elements of `from` per element of `to`
};

struct ResampleShape {
  int64_t n = 0, c = 0;
  ResampleAxis axes[3];  // depth, height, width
  ResampleMode mode = ResampleMode::Nearest;
  bool align_corners = false;  // the first element of `to` lies on the first of `from`, instead of edge on edge
  bool transposed = false;
  DType dtype = DType::Float32;  // Float32 or Float64

  Extent before() const { return {axes[0].from, axes[1].from, axes[2].from}; }
  Extent after() const { return {axes[0].to, axes[1].to, axes[2].to}; }
  Extent in() const { return transposed ? after() : before(); }
  Extent out() const { return transposed ? before() : after(); }
  int64_t size() const { return static_cast<int64_t>(itemsize(dtype)); }
  int64_t x_bytes() const { return n * in().count() * c * size(); }
  int64_t y_bytes() const { return n * out().count() * c * size(); }

  // Weights of one element of `to`.
  int64_t most_taps(int axis) const {
    constexpr double kReach[] = {0, 0, 1, 2, 1, 2};
    const double reach = kReach[static_cast<int>(mode)];
    if (mode < ResampleMode::LinearAntialias) return mode < ResampleMode::Linear ? 1 : static_cast<int64_t>(2 * reach);
    const double wide = 2 * std::ceil(reach * std::max(axes[axis].step, 1.0)) + 1;
    return static_cast<int64_t>(std::min(wide, static_cast<double>(axes[axis].from)));
  }
  // The table of an axis: int32 first[rows], int32 begin[rows + 1], then the weights in `dtype`. Output r is the sum over i of
  // weights[begin[r] + i] x[first[r] + i], i in [0, begin[r + 1] - begin[r]). first[r] and first[r] + count never fall.
  int64_t rows(int axis) const { return transposed ? axes[axis].from : axes[axis].to; }
  int64_t head_bytes(int axis) const { return (2 * rows(axis) + 2) * 4; }
  int64_t table_bytes(int axis) const { return head_bytes(axis) + (axes[axis].to * most_taps(axis) * size() + 7) / 8 * 8; }
  int64_t table_offset(int axis) const { return axis == 0 ? 0 : table_offset(axis - 1) + table_bytes(axis - 1); }
  int64_t table_bytes() const { return table_offset(2) + table_bytes(2); }
};

struct ResampleTableArgs {
  void* table = nullptr;
  ResampleShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 1> operands() const { return {operand(this, &table, Role::Write, shape.table_bytes())}; }
};

struct ResampleArgs {
  const void* x = nullptr;
  const void* table = nullptr;
  void* y = nullptr;
  ResampleShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    return {operand(this, &x, Role::Read, shape.x_bytes()), operand(this, &table, Role::Read, shape.table_bytes()),
            operand(this, &y, Role::Write, shape.y_bytes())};
  }
};

// One axis of a table.
template <class T>
struct ResampleRows {
  const int32_t* first;
  const int32_t* begin;
  const T* all;

  ResampleRows(const ResampleShape& s, const void* table, int axis) {
    const auto* bytes = static_cast<const std::byte*>(table) + s.table_offset(axis);
    first = reinterpret_cast<const int32_t*>(bytes);
    begin = first + s.rows(axis);
    all = reinterpret_cast<const T*>(bytes + s.head_bytes(axis));
  }
  int64_t count(int64_t r) const { return begin[r + 1] - begin[r]; }
  int64_t end(int64_t r) const { return first[r] + count(r); }
  const T* weights(int64_t r) const { return all + begin[r]; }
};

}  // namespace dnncore
