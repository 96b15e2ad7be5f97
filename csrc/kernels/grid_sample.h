// Sampling at given places, channels-last: x is (N, D, H, W, C), grid (N, points, spatial) holds places (x, y) or (x, y, z) from -1 to 1, y
// is (N, points, C), all dense. Every output is a weighted sum of the elements around its place. `tangent`, as grid: the weights are
// replaced by their derivatives along it; null: not so. The order of every sum follows from the shape alone.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "kernels/conv.h"

namespace dnncore {

enum class GridMode : uint8_t { Linear, Nearest, Cubic };
enum class GridPadding : uint8_t { Zeros, Border, Reflection };  // what lies beyond the borders

struct GridShape {
  int64_t n = 0, c = 0, points = 0;  // points of one sample
  Extent in;
  int spatial = 2;
  GridMode mode = GridMode::Linear;
  GridPadding padding = GridPadding::Zeros;
  bool align_corners = false;    // -1 and 1 are the centres of the outermost elements, instead of their edges
  DType dtype = DType::Float32;  // Float32 or Float64

  int64_t size() const { return static_cast<int64_t>(itemsize(dtype)); }
  int64_t x_bytes() const { return n * in.count() * c * size(); }
  int64_t y_bytes() const { return n * points * c * size(); }
  int64_t grid_bytes() const { return n * points * spatial * size(); }
};

struct GridSampleArgs {
  const void* x = nullptr;
  const void* grid = nullptr;
  const void* tangent = nullptr;
  void* y = nullptr;
  GridShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 4> operands() const {
    return {operand(this, &x, Role::Read, shape.x_bytes()), operand(this, &grid, Role::Read, shape.grid_bytes()),
            operand(this, &tangent, Role::Read, shape.grid_bytes()), operand(this, &y, Role::Write, shape.y_bytes())};
  }
};

// dx = the sum of weight dy over the points an element was taken for, in ascending order.
struct GridSampleBackwardInputArgs {
  const void* dy = nullptr;
  const void* grid = nullptr;
  const void* tangent = nullptr;
  void* dx = nullptr;
  GridShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 4> operands() const {
    return {operand(this, &dy, Role::Read, shape.y_bytes()), operand(this, &grid, Role::Read, shape.grid_bytes()),
            operand(this, &tangent, Role::Read, shape.grid_bytes()), operand(this, &dx, Role::Write, shape.x_bytes())};
  }
};

// dgrid = the derivative of the sum of dy y.
struct GridSampleBackwardGridArgs {
  const void* x = nullptr;
  const void* dy = nullptr;
  const void* grid = nullptr;
  const void* tangent = nullptr;
  void* dgrid = nullptr;
  GridShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 5> operands() const {
    return {operand(this, &x, Role::Read, shape.x_bytes()), operand(this, &dy, Role::Read, shape.y_bytes()),
            operand(this, &grid, Role::Read, shape.grid_bytes()), operand(this, &tangent, Role::Read, shape.grid_bytes()),
            operand(this, &dgrid, Role::Write, shape.grid_bytes())};
  }
};

}  // namespace dnncore
