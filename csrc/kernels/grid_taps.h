// The elements that a place is sampled from, and their weights with derivatives.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/grid_sample.h"

namespace dnncore {

// A number and its derivative along the tangent.
template <class T>
struct Dual {
  T value, along;
  friend constexpr Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.value * b.along + a.along * b.value}; }
};

// Along one dimension: elements inside x, their weights, and the derivatives of these by the coordinate of the grid.
template <class T>
struct GridAxis {
  int count = 0;
  int64_t at[4];
  Dual<T> weight[4], slope[4];

  constexpr void add(int64_t element, T w, T first, T second, T direction) {
    at[count] = element;
    weight[count] = {w, first * direction};
    slope[count++] = {first, second * direction};
  }
};

template <class T>
struct GridPlace {
  T at, slope;  // in elements, and by the coordinate it comes from
};

template <class T>
constexpr GridPlace<T> clipped(GridPlace<T> p, int64_t size) {
  const T last = static_cast<T>(size - 1);
  if (p.at <= 0) return {0, 0};
  return p.at >= last ? GridPlace<T>{last, 0} : p;
}

// Mirrored at both ends, which are centres of elements where `corners`, else edges.
template <class T>
constexpr GridPlace<T> reflected(GridPlace<T> p, int64_t size, bool corners) {
  const T low = corners ? T(0) : T(-0.5), span = static_cast<T>(corners ? size - 1 : size);
  if (span == 0) return {0, 0};
  const T offset = std::fabs(p.at - low), rest = std::fmod(offset, span);
  const T sign = p.at < low ? T(-1) : T(1);
  if (std::fmod(std::floor(offset / span), T(2)) == 0) return {rest + low, sign * p.slope};
  return {span - rest + low, -sign * p.slope};
}

template <class T>
constexpr GridPlace<T> padded(const GridShape& s, GridPlace<T> p, int64_t size) {
  if (s.padding == GridPadding::Border) return clipped(p, size);
  if (s.padding == GridPadding::Reflection) return clipped(reflected(p, size, s.align_corners), size);
  return p;
}

template <class T>
constexpr GridAxis<T> cubic_axis(const GridShape& s, GridPlace<T> p, int64_t size, T direction) {
  constexpr T a = T(-0.75);
  GridAxis<T> axis;
  const T first = std::floor(p.at), t = p.at - first;
  for (int i = 0; i < 4; ++i) {
    const T x = t + static_cast<T>(1 - i), d = std::fabs(x), sign = x < 0 ? T(-1) : T(1);  // from element `first - 1 + i`
    const bool near = i == 1 || i == 2;
    const T weight = near ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    const T slope = near ? (3 * (a + 2) * d - 2 * (a + 3)) * d : (3 * a * d - 10 * a) * d + 8 * a;
    const T curve = near ? 6 * (a + 2) * d - 2 * (a + 3) : 6 * a * d - 10 * a;
    const T element = padded(s, GridPlace<T>{first + static_cast<T>(i - 1), T(1)}, size).at;
    if (element >= 0 && element < static_cast<T>(size))
      axis.add(static_cast<int64_t>(std::nearbyint(element)), weight, sign * slope * p.slope, curve * p.slope * p.slope, direction);
  }
  return axis;
}

template <class T>
constexpr GridAxis<T> grid_axis(const GridShape& s, int64_t size, T coordinate, T direction) {
  const T n = static_cast<T>(size);
  GridPlace<T> p =
      s.align_corners ? GridPlace<T>{(coordinate + 1) / 2 * (n - 1), (n - 1) / 2} : GridPlace<T>{((coordinate + 1) * n - 1) / 2, n / 2};
  GridAxis<T> axis;
  if (!(std::fabs(p.at) < T(1 << 30))) return axis;  // no place at all, or far out
  if (s.mode == GridMode::Cubic) return cubic_axis(s, p, size, direction);
  p = padded(s, p, size);
  if (s.mode == GridMode::Nearest) {
    const T nearest = std::nearbyint(p.at);
    if (nearest >= 0 && nearest < n) axis.add(static_cast<int64_t>(nearest), 1, 0, 0, 0);
    return axis;
  }
  const T first = std::floor(p.at), share = p.at - first;
  if (first >= 0 && first < n) axis.add(static_cast<int64_t>(first), 1 - share, -p.slope, 0, direction);
  if (first + 1 >= 0 && first + 1 < n) axis.add(static_cast<int64_t>(first) + 1, share, p.slope, 0, direction);
  return axis;
}

// Calls fn(element of the sample, weight, its derivatives by x, y, z) for every element of point `i`, counted over all samples.
template <class T, class Fn>
constexpr void for_each_grid_tap(const GridShape& s, const T* grid, const T* tangent, int64_t i, Fn&& fn) {
  const int64_t sizes[] = {s.in.w, s.in.h, s.in.d};
  GridAxis<T> axes[3];
  for (int a = 0; a < s.spatial; ++a)
    axes[a] = grid_axis(s, sizes[a], grid[i * s.spatial + a], tangent == nullptr ? T(0) : tangent[i * s.spatial + a]);
  if (s.spatial == 2) axes[2].add(0, 1, 0, 0, 0);
  const auto part = [&](Dual<T> d) { return tangent == nullptr ? d.value : d.along; };
  for (int d = 0; d < axes[2].count; ++d)
    for (int h = 0; h < axes[1].count; ++h)
      for (int w = 0; w < axes[0].count; ++w) {
        const Dual<T> x = axes[0].weight[w], y = axes[1].weight[h], z = axes[2].weight[d];
        const T slopes[] = {part(axes[0].slope[w] * y * z), part(x * axes[1].slope[h] * z), part(x * y * axes[2].slope[d])};
        fn((axes[2].at[d] * s.in.h + axes[1].at[h]) * s.in.w + axes[0].at[w], part(x * y * z), slopes);
      }
}

}  // namespace dnncore
