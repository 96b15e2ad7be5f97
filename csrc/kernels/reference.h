// Shared by the reference kernels: every value is widened (floating types to double, the others to int64), computed on and narrowed.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "core/dtype.h"
#include "core/shape.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"

namespace dnncore::reference {

template <class T>
inline constexpr bool is_half = std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>;
template <class T>
inline constexpr bool is_float = std::is_floating_point_v<T> || is_half<T>;

template <class T>
using Wide = std::conditional_t<is_float<T>, double, int64_t>;

template <class T>
Wide<T> widen(T x) {
  if constexpr (is_half<T>)
    return to_float(x);
  else
    return static_cast<Wide<T>>(x);
}

// A half takes two roundings, through float32, as the kernels do.
template <class T, class W>
T narrow(W x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, float16>)
    return to_float16(static_cast<float>(x));
  else if constexpr (is_float<T> || std::is_same_v<T, bool>)
    return static_cast<T>(x);
  else if constexpr (std::is_floating_point_v<W>) {
    using Limits = std::numeric_limits<T>;
    if (std::isnan(x)) return 0;
    if (x <= static_cast<W>(Limits::min())) return Limits::min();
    if (x >= static_cast<W>(Limits::max())) return Limits::max();
    return static_cast<T>(x);
  } else
    return static_cast<T>(x);
}

// fn(position, offset of each operand) over the shape in row-major order.
template <class Fn, class... S>
void for_each(const Shape& shape, Fn&& fn, const S&... strides) {
  const int64_t count = numel(shape);
  for (int64_t position = 0; position < count; ++position) {
    const auto offset = [&](const Strides& steps) {
      int64_t sum = 0, rest = position;
      for (int d = shape.n - 1; d >= 0; rest /= shape[d--]) sum += rest % shape[d] * steps[d];
      return sum;
    };
    fn(position, offset(strides)...);
  }
}

double unary_value(UnaryOp op, double x);
double activation_value(Activation activation, double x);

}  // namespace dnncore::reference
