// What the bodies of normalisation share: who serves which shape, moments of spans merged in double, and the coefficients of a channel.
#pragma once

#include "core/parallel.h"
#include "kernels/norm.h"
#include "kernels/softmax_rows.h"

namespace dnncore::DNNCORE_ISA {

// Rows: a statistic is of adjacent elements, each with its own weight. Columns: channels are adjacent. Segments: runs of `inner` elements.
enum class NormPath : uint8_t { Rows, Columns, Segments };

template <class Args>
NormPath norm_path(const Args& args) {
  if (args.shape.inner > 1) return NormPath::Segments;
  return args.shape.outer == 1 && args.statistics != Statistics::Running ? NormPath::Rows : NormPath::Columns;
}

#define DNN_NORM_BODY(path)                                                      \
  void norm_##path(const NormArgs& args, const Tasks& tasks);                    \
  Schedule norm_##path##_schedule(const NormArgs& args);                         \
  int64_t norm_##path##_workspace(const NormArgs& args);                         \
  void norm_##path##_backward(const NormBackwardArgs& args, const Tasks& tasks); \
  Schedule norm_##path##_backward_schedule(const NormBackwardArgs& args);        \
  int64_t norm_##path##_backward_workspace(const NormBackwardArgs& args);
DNN_NORM_BODY(rows)
DNN_NORM_BODY(columns)
DNN_NORM_BODY(segments)
#undef DNN_NORM_BODY

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Count, mean and sum of squared deviations from it.
struct SpanMoments {
  double n = 0, mean = 0, squares = 0;

  void merge(const SpanMoments& other) {
    if (other.n == 0) return;
    if (n == 0) {
      *this = other;
      return;
    }
    const double total = n + other.n, delta = other.mean - mean;
    squares += other.squares + delta * delta * (n * other.n / total);
    mean += delta * (other.n / total);
    n = total;
  }
};

template <class T>
DNN_INLINE Mask<T> first_lanes_mask(int64_t count) {
  alignas(kVecBytes) static constexpr auto kLane = [] {
    struct {
      T v[Vec<T>::N];
    } lanes{};
    for (int i = 0; i < Vec<T>::N; ++i) lanes.v[i] = static_cast<T>(i);
    return lanes;
  }();
  return Vec<T>::load(kLane.v) < Vec<T>::set(static_cast<T>(count));
}

// Elements whose sums are taken about one mean: they stay in L1.
template <class T>
inline constexpr int64_t kNormSpan = 128 * Vec<T>::N;
inline constexpr int kNormAdds = 16;  // squares added up per lane before they go to the next level: within 1e-7 on a coarse grid too

struct SumsAbout {
  double off, squares;  // of x - m, and of their squares
};

template <class T>
SumsAbout sums_about(T about, const T* x, int64_t runs, int64_t stride, int64_t length) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  const V m = V::set(about);
  V rest[4], squares[4], all = V::zero();
  for (int k = 0; k < 4; ++k) rest[k] = squares[k] = V::zero();
  int adds = 0;
  const auto add = [&](V u, int k) __attribute__((always_inline)) {
    rest[k] = rest[k] + u;
    squares[k] = fma(u, u, squares[k]);
  };
  for (int64_t r = 0; r < runs; ++r) {
    const T* p = x + r * stride;
    int64_t i = 0;
    for (; i + 4 * N <= length; i += 4 * N) {
      for (int k = 0; k < 4; ++k) add(V::load(p + i + k * N) - m, k);
      if (++adds == kNormAdds) {
        all = all + ((squares[0] + squares[1]) + (squares[2] + squares[3]));
        for (int k = 0; k < 4; ++k) squares[k] = V::zero();
        adds = 0;
      }
    }
    for (int k = 0; i + N <= length; i += N, ++k) add(V::load(p + i) - m, k);
    if (i < length) add(select(first_lanes_mask<T>(length - i), V::load(p + i, length - i) - m, V::zero()), 3);
  }
  return {reduce_add((rest[0] + rest[1]) + (rest[2] + rest[3])), reduce_add(all + ((squares[0] + squares[1]) + (squares[2] + squares[3])))};
}

// Of `runs` runs of `length` adjacent elements, `stride` apart: in all about kNormSpan. The sums are taken about the mean of the first
// few elements and correct it; where that is further from the mean than half a deviation, once more about the corrected one.
template <class T>
SpanMoments span_moments(const T* x, int64_t runs, int64_t stride, int64_t length) {
  constexpr int64_t N = Vec<T>::N;
  const auto count = static_cast<double>(runs * length);
  const double share = 1 / count;
  T about = length >= N ? reduce_add(Vec<T>::load(x)) * T(1.0 / N) : x[0];
  SumsAbout found = sums_about(about, x, runs, stride, length);
  if (4 * found.off * found.off * share > found.squares) {
    about = static_cast<T>(static_cast<double>(about) + found.off * share);
    found = sums_about(about, x, runs, stride, length);
  }
  return {count, static_cast<double>(about) + found.off * share, std::max(0.0, found.squares - found.off * found.off * share)};
}

// y = (x - centre) scale + shift with centre the mean rounded to T: what rounding took from the mean is in the shift.
template <class T>
struct Affine {
  T centre, scale, shift;
};

template <class T>
Affine<T> affine_of(double mean, double rstd, const void* weight, const void* bias, int64_t channel) {
  const double scale = rstd * (weight == nullptr ? 1.0 : static_cast<double>(static_cast<const T*>(weight)[channel]));
  const double shift = bias == nullptr ? 0.0 : static_cast<double>(static_cast<const T*>(bias)[channel]);
  const T centre = static_cast<T>(mean);
  return {centre, static_cast<T>(scale), static_cast<T>(shift - (mean - static_cast<double>(centre)) * scale)};
}

// dx = g slope + (x - centre) along + shift.
template <class T>
struct Slopes {
  T slope, along, shift;
};

// `sum` and `sum_z` over a statistic of count elements: of weight g, and of weight g (x - mean).
template <class T>
Slopes<T> slopes_of(Statistics statistics, double mean, double rstd, double weight, double sum, double sum_z, int64_t count) {
  const double along = statistics == Statistics::Running ? 0.0 : -rstd * rstd * rstd * sum_z / static_cast<double>(count);
  const double shift = statistics == Statistics::Centered ? -rstd * sum / static_cast<double>(count) : 0.0;
  const double off = mean - static_cast<double>(static_cast<T>(mean));
  return {static_cast<T>(rstd * weight), static_cast<T>(along), static_cast<T>(shift - along * off)};
}

template <bool kRelu, class T>
DNN_INLINE Vec<T> normalised(Vec<T> x, Vec<T> centre, Vec<T> scale, Vec<T> shift) {
  const Vec<T> y = fma(x - centre, scale, shift);
  if constexpr (kRelu) return select(y <= Vec<T>::zero(), Vec<T>::zero(), y);
  return y;
}

// dy, or 0 where the ReLU gave 0.
template <bool kRelu, class T>
DNN_INLINE Vec<T> slope_through(Vec<T> dy, Vec<T> x, Vec<T> centre, Vec<T> scale, Vec<T> shift) {
  if constexpr (kRelu) return select(fma(x - centre, scale, shift) <= Vec<T>::zero(), Vec<T>::zero(), dy);
  return dy;
}

// Moves the running statistics of a channel; `squares` as in SpanMoments, both summed over the batch entries.
template <class T>
void update_running(const NormArgs& args, int64_t channel, double mean, double squares) {
  const auto entries = static_cast<double>(args.shape.batch), n = static_cast<double>(args.shape.count());
  const double factor = args.momentum < 0 ? 1 / static_cast<double>(*args.batches + 1) : args.momentum;
  T& to_mean = static_cast<T*>(args.running_mean)[channel];
  T& to_var = static_cast<T*>(args.running_var)[channel];
  to_mean = static_cast<T>((1 - factor) * static_cast<double>(to_mean) + factor * (mean / entries));
  to_var = static_cast<T>((1 - factor) * static_cast<double>(to_var) + factor * (squares / (n - 1) / entries));
}

inline double rstd_of(double squares, double n, double eps) { return 1 / std::sqrt(squares / n + eps); }

// The statistics of channel c of the running ones.
template <class T>
void take_running(const NormArgs& args, int64_t c) {
  args.mean[c] = static_cast<double>(static_cast<const T*>(args.running_mean)[c]);
  args.rstd[c] = rstd_of(static_cast<double>(static_cast<const T*>(args.running_var)[c]), 1, args.eps);
}

template <class Args, class Fn>
void visit_norm(const Args& args, Fn&& fn) {
  const auto with = [&](auto tag) {
    if (args.activation == Activation::Relu)
      fn(tag, std::true_type{});
    else
      fn(tag, std::false_type{});
  };
  if (args.dtype == DType::Float64)
    with(double{});
  else
    with(float{});
}

// dx[i] = f(dy[i], x[i]) of vectors; past the caches when `stream`.
template <class T, class F>
DNN_INLINE void map_two(const T* dy, const T* x, T* dx, int64_t n, bool stream, F&& f) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  int64_t i = 0;
  if (stream) {
    i = std::min<int64_t>(n, (-reinterpret_cast<uintptr_t>(dx) % kVecBytes) / sizeof(T));
    if (i > 0) f(V::load(dy, i), V::load(x, i)).store(dx, i);
    for (; i + N <= n; i += N) f(V::load(dy + i), V::load(x + i)).stream(dx + i);
  } else {
    for (; i + N <= n; i += N) f(V::load(dy + i), V::load(x + i)).store(dx + i);
  }
  if (i < n) f(V::load(dy + i, n - i), V::load(x + i, n - i)).store(dx + i, n - i);
}

template <class Args>
bool norm_streams(const Args& args) {
  return args.shape.elements() * static_cast<int64_t>(itemsize(args.dtype)) >= kStreamBytes;
}

// Nanoseconds of one thread.
template <class Args>
double norm_cost(const Args& args, double per_element) {
  return 500 + per_element * (args.dtype == DType::Float64 ? 2 : 1) * static_cast<double>(args.shape.elements());
}

}  // namespace dnncore::DNNCORE_ISA
