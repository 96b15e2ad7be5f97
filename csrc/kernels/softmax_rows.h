// What softmax and cross-entropy share: a row of adjacent logits as e^(x - largest) and their sum. The largest logit's exponential is
// exactly 1 and is counted apart from the others, whose sum keeps its relative accuracy: log1p(others) and -others / sum hold for
// confident rows too.
#pragma once

#include "kernels/elementwise_loops.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {

// Sum of e^(x - largest) as `largest_count` ones and the others, which are NaN where the largest is infinite.
template <class T>
struct RowSum {
  T largest, largest_count, others;

  double total() const { return static_cast<double>(largest_count) + static_cast<double>(others); }
  double beyond_one() const { return static_cast<double>(largest_count - T(1)) + static_cast<double>(others); }
};

// One register per row.
template <class T>
DNN_INLINE RowSum<T> sum_short_row(const T* x, int64_t classes, Vec<T>& e) {
  using V = Vec<T>;
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  alignas(kVecBytes) static constexpr auto kLane = [] {
    struct {
      T v[V::N];
    } lanes{};
    for (int i = 0; i < V::N; ++i) lanes.v[i] = static_cast<T>(i);
    return lanes;
  }();
  const Mask<T> used = V::load(kLane.v) < V::set(static_cast<T>(classes));
  const V v = select(used, V::load(x, classes), V::set(kLowest));
  const T largest = reduce_max(v);
  const Mask<T> top = v == V::set(largest);
  e = exp(v - V::set(largest));
  return {largest, reduce_add(select(top, V::set(1), V::zero())), reduce_add(select(top, V::zero(), e)) + (largest - largest)};
}

// Of at least one register.
template <class T>
DNN_INLINE T largest_of_row(const T* x, int64_t classes) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  V a = V::load(x), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * N <= classes; i += 4 * N) {
    a = max(V::load(x + i), a);
    b = max(V::load(x + i + N), b);
    c = max(V::load(x + i + 2 * N), c);
    d = max(V::load(x + i + 3 * N), d);
  }
  for (; i + N <= classes; i += N) a = max(V::load(x + i), a);
  a = max(V::load(x + classes - N), a);
  return reduce_max(max(max(a, b), max(c, d)));
}

// e^x for x <= 0 or NaN: one clamp less.
DNN_INLINE Vec<float> exp_of_negative(Vec<float> x) {
  if constexpr (kFused) return detail::exp_clamped(max(Vec<float>::set(-104.0f), x));
  return exp(x);
}
DNN_INLINE Vec<double> exp_of_negative(Vec<double> x) { return exp(x); }

enum class Ones : bool { Together, Apart };  // whether the exponentials that are 1 are told from the others

// Exponentials e <= 1 added up, Apart also without those that are 1: the difference is their number, since at most kSpan values per lane
// come together here. (A count beside the sum of the others took two selects per vector more.)
template <class T, Ones kOnes>
struct PartialSum {
  static constexpr int64_t kSpan = 64;
  Vec<T> all = Vec<T>::zero(), others = Vec<T>::zero();

  DNN_INLINE void add(Vec<T> e) {
    all = all + e;
    if constexpr (kOnes == Ones::Apart) others = others + select(e < Vec<T>::set(1), e, Vec<T>::zero());
  }
};

// Of at least one register; the exponentials go to `e`, unless null. Together: all of the sum is in `others`.
template <class T, Ones kOnes = Ones::Apart>
RowSum<T> sum_long_row(const T* x, int64_t classes, T* e, T largest) {
  using V = Vec<T>;
  constexpr int64_t N = V::N, kSpan = PartialSum<T, kOnes>::kSpan * N;
  const V top_value = V::set(largest);
  double count = 0, others = 0;
  for (int64_t begin = 0; begin < classes; begin += kSpan) {
    const int64_t end = std::min(classes, begin + kSpan);
    PartialSum<T, kOnes> sum;
    int64_t i = begin;
    const auto loop = [&](auto store) __attribute__((always_inline)) {
      for (; i + N <= end; i += N) {
        const V power = exp_of_negative(V::load(x + i) - top_value);
        sum.add(power);
        store(power);
      }
    };
    if (e != nullptr)
      loop([&](V power) __attribute__((always_inline)) { power.store(e + i); });
    else
      loop([](V) {});
    if (i < end) {
      V v = V::set(-std::numeric_limits<T>::infinity());
      for (int64_t j = 0; j < end - i; ++j) v.v[j] = x[i + j];
      const V power = exp(v - top_value);
      sum.add(power);
      if (e != nullptr) power.store(e + i, end - i);
    }
    if constexpr (kOnes == Ones::Together) {
      others += reduce_add(sum.all);
    } else {
      const double rest = reduce_add(sum.others), ones = static_cast<double>(reduce_add(sum.all)) - rest;
      constexpr double kWhole = kRounder<double>;
      count += (ones + kWhole) - kWhole;
      others += rest;
    }
  }
  return {largest, static_cast<T>(count), static_cast<T>(others) + (largest - largest)};
}

// y[i] = f(x[i]) of vectors; past the caches when `stream`. y may be x.
template <class T, class F>
DNN_INLINE void map_row(const T* x, T* y, int64_t n, bool stream, F&& f) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  int64_t i = 0;
  if (stream) {
    i = std::min<int64_t>(n, (-reinterpret_cast<uintptr_t>(y) % kVecBytes) / sizeof(T));
    if (i > 0) f(V::load(x, i)).store(y, i);
    for (; i + N <= n; i += N) f(V::load(x + i)).stream(y + i);
  } else {
    for (; i + N <= n; i += N) f(V::load(x + i)).store(y + i);
  }
  if (i < n) f(V::load(x + i, n - i)).store(y + i, n - i);
}

// Whether an output of so many bytes goes past the caches, its rows being built in the thread's scratch memory.
inline bool rows_stream(int64_t total_bytes, int64_t row_bytes) {
  return total_bytes >= kStreamBytes && row_bytes <= static_cast<int64_t>(kScratchBytes);
}

}  // namespace dnncore::DNNCORE_ISA
