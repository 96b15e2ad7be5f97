// Local response normalisation over the adjacent channels of rows of c elements (A. Krizhevsky et al. 2012, 3.3), dense:
//   y[i] = x[i] / s[i]^beta,   s[i] = k + alpha * sum of x[j]^2 over j in [i - before, i + after] that are channels.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

struct LocalResponse {
  static constexpr int64_t kMostChannels = 32768;  // rows of which fit scratch memory

  int64_t rows = 0, c = 0;        // at most kMostChannels
  int64_t before = 0, after = 0;  // below c
  double alpha = 0, beta = 0, k = 0;
  DType dtype = DType::Float32;  // Float32 or Float64

  int64_t bytes() const { return rows * c * static_cast<int64_t>(itemsize(dtype)); }
};

struct LocalResponseArgs {
  const void* x = nullptr;
  void* y = nullptr;
  LocalResponse shape;

  bool in_place() const { return false; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &x, Role::Read, shape.bytes()), operand(this, &y, Role::Write, shape.bytes())};
  }
};

// dx[i] = dy[i] / s[i]^beta - 2 alpha beta x[i] * sum of dy[j] x[j] / s[j]^(beta + 1) over j in [i - after, i + before].
struct LocalResponseBackwardArgs {
  const void* x = nullptr;
  const void* dy = nullptr;
  void* dx = nullptr;
  LocalResponse shape;

  bool in_place() const { return false; }
  std::array<Operand, 3> operands() const {
    return {operand(this, &x, Role::Read, shape.bytes()), operand(this, &dy, Role::Read, shape.bytes()),
            operand(this, &dx, Role::Write, shape.bytes())};
  }
};

}  // namespace dnncore
