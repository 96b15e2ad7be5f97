// Pooling of windows in one, two or three dimensions, channels-last: x is (N, D, H, W, C) and y (N, D', H', W', C), both dense. Output p of
// a dimension looks at the elements p stride - pad + f dilation, f in [0, filter), that lie inside; adaptive: at [p in / out] up to
// [(p + 1) in / out], rounded down and up. Sums follow from the shape alone; outputs overlap no input.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "kernels/conv.h"

namespace dnncore {

struct PoolShape {
  int64_t n = 0, c = 0;
  Extent in, out;           // each at least 1
  Extent filter;            // of the largest window where adaptive
  Extent stride, dilation;  // of no meaning where adaptive
  Extent pad{0, 0, 0};
  bool adaptive = false;
  DType dtype = DType::Float32;  // Float32 or Float64

  int64_t taps() const { return filter.count(); }
  int64_t x_bytes() const { return n * in.count() * c * static_cast<int64_t>(itemsize(dtype)); }
  int64_t y_bytes() const { return n * out.count() * c * static_cast<int64_t>(itemsize(dtype)); }
  // Which element of its window an output is: tap (fd filter.h + fh) filter.w + fw, as uint8 where that fits, else int32.
  DType position_dtype() const { return taps() <= 256 ? DType::UInt8 : DType::Int32; }
  int64_t position_bytes() const { return n * out.count() * c * static_cast<int64_t>(itemsize(position_dtype())); }
};

// y = the largest of the window; the first of equal ones, the last NaN where there is one. Every window holds an element of x.
struct MaxPoolArgs {
  const void* x = nullptr;
  void* y = nullptr;
  void* positions = nullptr;  // where it was; may be null
  PoolShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    return {operand(this, &x, Role::Read, shape.x_bytes()), operand(this, &y, Role::Write, shape.y_bytes()),
            operand(this, &positions, Role::Write, shape.position_bytes())};
  }
};

// dx = the sum of dy over the windows whose largest element this is, in ascending order of the windows.
struct MaxPoolBackwardArgs {
  const void* dy = nullptr;
  const void* positions = nullptr;
  void* dx = nullptr;
  PoolShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    return {operand(this, &dy, Role::Read, shape.y_bytes()), operand(this, &positions, Role::Read, shape.position_bytes()),
            operand(this, &dx, Role::Write, shape.x_bytes())};
  }
};

// indices = (d in.h + h) in.w + w of the elements at `positions`.
struct MaxPoolIndicesArgs {
  const void* positions = nullptr;
  int64_t* indices = nullptr;  // as y
  PoolShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &positions, Role::Read, shape.position_bytes()),
            operand(this, &indices, Role::Write, shape.n * shape.out.count() * shape.c * 8)};
  }
};

// What the sum over a window is divided by: `fixed` where that is not 0, else the number of its elements inside x, or inside x and its
// padding. Dilation is 1.
struct PoolDivisor {
  int64_t fixed = 0;
  bool counts_padding = true;
};

// y = the mean of the window, one rounding away from its sum over the divisor.
struct AvgPoolArgs {
  const void* x = nullptr;
  void* y = nullptr;
  PoolShape shape;
  PoolDivisor divisor;

  bool in_place() const { return false; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &x, Role::Read, shape.x_bytes()), operand(this, &y, Role::Write, shape.y_bytes())};
  }
};

// dx = the sum of dy / divisor over the windows that hold this element, in ascending order of the windows.
struct AvgPoolBackwardArgs {
  const void* dy = nullptr;
  void* dx = nullptr;
  PoolShape shape;
  PoolDivisor divisor;

  bool in_place() const { return false; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &dy, Role::Read, shape.y_bytes()), operand(this, &dx, Role::Write, shape.x_bytes())};
  }
};

}  // namespace dnncore
