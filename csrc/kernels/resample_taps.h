// The elements that resampling makes an element of, and their weights: what the tables hold.
#pragma once

#include "kernels/resample.h"

namespace dnncore {

template <class T>
constexpr T resample_cubic(T x, T a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

template <class T>
constexpr T resample_triangle(T x) {
  return std::max(T(0), 1 - std::fabs(x));
}

// PyTorch chooses in float32, whatever the tensor.
template <class T>
constexpr int64_t resample_nearest(const ResampleAxis& axis, T offset, int64_t p) {
  const T at = (static_cast<T>(p) + offset) * static_cast<T>(axis.step);
  return std::min(static_cast<int64_t>(std::floor(at)), axis.from - 1);
}

// The elements of `from` that element p of `to` is made of: fn(element, weight), ascending, each once.
class ResampleTaps {
 public:
  constexpr ResampleTaps(const ResampleShape& shape, const ResampleAxis& axis) : s_(shape), axis_(axis) {}

  template <class Fn>
  constexpr void visit(int64_t p, Fn&& fn) const {
    if (s_.mode == ResampleMode::Nearest) return fn(resample_nearest(axis_, 0.0f, p), 1.0);
    if (s_.mode == ResampleMode::NearestExact) return fn(resample_nearest(axis_, 0.5f, p), 1.0);
    if (axis_.from == axis_.to && axis_.step == 1) return fn(p, 1.0);
    if (s_.mode == ResampleMode::Linear) return linear(p, fn);
    if (s_.mode == ResampleMode::Cubic) return cubics(p, fn);
    antialiased(p, fn);
  }

 private:
  constexpr double place(int64_t p) const {
    const double at = static_cast<double>(p);
    return s_.align_corners ? at * axis_.step : (at + 0.5) * axis_.step - 0.5;
  }
  template <class Fn>
  constexpr void linear(int64_t p, Fn&& fn) const {
    const double at = std::clamp(place(p), 0.0, static_cast<double>(axis_.from - 1));
    const int64_t first = static_cast<int64_t>(at);
    const double share = at - static_cast<double>(first);
    fn(first, 1 - share);
    if (share > 0) fn(first + 1, share);
  }
  template <class Fn>
  constexpr void cubics(int64_t p, Fn&& fn) const {
    const double at = place(p), first = std::floor(at), t = at - first;
    const double weights[] = {resample_cubic(t + 1, -0.75), resample_cubic(t, -0.75), resample_cubic(1 - t, -0.75),
                              resample_cubic(2 - t, -0.75)};
    const auto inside = [&](int i) { return std::clamp<int64_t>(static_cast<int64_t>(first) - 1 + i, 0, axis_.from - 1); };
    double sum = weights[0];  // of the taps that the border brings together
    for (int i = 1; i < 4; ++i) {
      if (inside(i) == inside(i - 1)) {
        sum += weights[i];
        continue;
      }
      fn(inside(i - 1), sum);
      sum = weights[i];
    }
    fn(inside(3), sum);
  }
  template <class Fn>
  constexpr void antialiased(int64_t p, Fn&& fn) const {
    const bool is_cubic = s_.mode == ResampleMode::CubicAntialias;
    const double wide = std::max(axis_.step, 1.0), reach = (is_cubic ? 2 : 1) * wide, centre = axis_.step * (static_cast<double>(p) + 0.5);
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
    const int64_t end = std::min(axis_.from, static_cast<int64_t>(centre + reach + 0.5));
    const auto weight = [&](int64_t q) {
      const double x = (static_cast<double>(q) - centre + 0.5) / wide;
      return is_cubic ? resample_cubic(x, -0.5) : resample_triangle(x);
    };
    double sum = 0;
    for (int64_t q = first; q < end; ++q) sum += weight(q);
    for (int64_t q = first; q < end; ++q) fn(q, weight(q) / sum);
  }

  const ResampleShape& s_;
  const ResampleAxis& axis_;
};

}  // namespace dnncore
