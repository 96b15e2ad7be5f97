// What is put where something is already.
#pragma once

#include "kernels/along.h"
#include "numbers.h"

namespace dnncore::cuda {

// Integers wrap; a NaN wins amax and amin.
template <class T>
__device__ __forceinline__ T combine(ScatterOp op, T a, T b) {
  if (op == ScatterOp::assign) return b;
  if constexpr (kIsHalf<T>)
    return from_working<T>(combine(op, to_working(a), to_working(b)));
  else if constexpr (std::is_same_v<T, bool>)
    return op == ScatterOp::sum || op == ScatterOp::amax ? a || b : a && b;
  else {
    if (op == ScatterOp::amax) return b > a || b != b ? b : a;
    if (op == ScatterOp::amin) return b < a || b != b ? b : a;
    if constexpr (std::is_floating_point_v<T>)
      return op == ScatterOp::sum ? a + b : a * b;
    else
      return static_cast<T>(op == ScatterOp::sum ? static_cast<uint64_t>(a) + static_cast<uint64_t>(b)
                                                 : static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
}

}  // namespace dnncore::cuda
