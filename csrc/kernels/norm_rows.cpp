// A statistic of adjacent elements, each with its own weight: layer and RMS norm. A row stays in L1 for its three passes.
#include "kernels/norm_parts.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kChannels = 1024;  // per task of phase 1
constexpr int64_t kFlush = 64;       // rows whose weight gradients are added before they go to float64

// Row r has the weights from first_weight(r) on.
int64_t first_weight(const NormShape& shape, int64_t row) { return row % shape.groups * shape.width(); }

template <class T>
DNN_INLINE Vec<T> load_up_to(const T* p, int64_t count) {
  return count >= Vec<T>::N ? Vec<T>::load(p) : Vec<T>::load(p, count);
}

template <class T>
double mean_square(const T* x, int64_t n) {
  using V = Vec<T>;
  double total = 0;
  for (int64_t from = 0; from < n; from += kNormSpan<T>) {
    const int64_t to = std::min(n, from + kNormSpan<T>);
    V a = V::zero(), b = a;
    int64_t i = from;
    for (; i + 2 * V::N <= to; i += 2 * V::N) {
      const V u = V::load(x + i), v = V::load(x + i + V::N);
      a = fma(u, u, a);
      b = fma(v, v, b);
    }
    for (; i < to; i += V::N) {
      const V u = load_up_to(x + i, to - i);
      a = fma(u, u, a);
    }
    total += reduce_add(a + b);
  }
  return total / static_cast<double>(n);
}

template <class T>
SpanMoments row_moments(const T* x, int64_t n) {
  SpanMoments all;
  for (int64_t from = 0; from < n; from += kNormSpan<T>) all.merge(span_moments(x + from, 1, 0, std::min(kNormSpan<T>, n - from)));
  return all;
}

template <class T>
void write_row(const T* x, T* y, int64_t n, const T* weight, const T* bias, double mean, double rstd, bool stream) {
  using V = Vec<T>;
  const T rounded = static_cast<T>(mean);
  const V centre = V::set(rounded), scale = V::set(static_cast<T>(rstd));
  const V shift = V::set(static_cast<T>((static_cast<double>(rounded) - mean) * rstd));
  int64_t at = 0;
  const auto z = [&](V v) __attribute__((always_inline)) { return fma(v - centre, scale, shift); };
  if (weight == nullptr && bias == nullptr) return map_row(x, y, n, stream, z);
  constexpr int64_t N = V::N;
  const auto with = [&](V v, V w, V b) __attribute__((always_inline)) { return fma(z(v), w, b); };
  const bool aligned = stream && reinterpret_cast<uintptr_t>(y) % kVecBytes == 0;
  const V one = V::set(1), zero = V::zero();
  const auto all = [&](auto store) __attribute__((always_inline)) {
    if (weight != nullptr && bias != nullptr)
      for (; at + N <= n; at += N) store(with(V::load(x + at), V::load(weight + at), V::load(bias + at)), y + at);
    else
      for (; at + N <= n; at += N)
        store(with(V::load(x + at), weight ? V::load(weight + at) : one, bias ? V::load(bias + at) : zero), y + at);
  };
  if (aligned)
    all([](V v, T * p) __attribute__((always_inline)) { v.stream(p); });
  else
    all([](V v, T * p) __attribute__((always_inline)) { v.store(p); });
  if (at < n)
    with(V::load(x + at, n - at), weight ? V::load(weight + at, n - at) : one, bias ? V::load(bias + at, n - at) : zero)
        .store(y + at, n - at);
}

template <class T>
void forward(const NormArgs& args, const Tasks& tasks) {
  const int64_t n = args.shape.width(), rows = args.shape.statistics(), each = rows_per_task(n);
  const bool stream = norm_streams(args);
  for (int64_t row = tasks.begin * each; row < std::min(rows, tasks.end * each); ++row) {
    const T* x = static_cast<const T*>(args.x) + row * n;
    double square = 0, mean = 0;
    if (args.statistics == Statistics::Uncentered) {
      square = mean_square(x, n);
    } else {
      const SpanMoments found = row_moments(x, n);
      mean = found.mean;
      square = found.squares / found.n;
    }
    args.mean[row] = mean;
    args.rstd[row] = rstd_of(square, 1, args.eps);
    const int64_t first = first_weight(args.shape, row);
    const auto entries = [&](const void* values) { return values == nullptr ? nullptr : static_cast<const T*>(values) + first; };
    write_row(x, static_cast<T*>(args.y) + row * n, n, entries(args.weight), entries(args.bias), mean, args.rstd[row], stream);
  }
  if (stream) stream_fence();
}

// --- Backward ---

// Rows of a task, and how many tasks: each has sums of its own for the weights' gradients.
struct Split {
  int64_t rows, each, tasks;
};

Split split_of(const NormShape& shape) {
  const int64_t rows = shape.statistics();
  const int64_t wanted = std::clamp<int64_t>(std::min(shape.elements() / 65536, std::max<int64_t>(rows / 8, 2)), 1, 64);
  const int64_t each = ceil_div(ceil_div(rows, wanted), shape.groups) * shape.groups;  // whole samples: the weights come round once
  return {rows, each, ceil_div(rows, each)};
}

// The sums of task t: dweight and dbias of all channels in float64, then the same in T of the rows since the last flush.
template <class T>
struct RowSums {
  double *dweight, *dbias;
  T *near_weight, *near_bias;
};

template <class T>
int64_t sums_bytes(int64_t channels) {
  return ceil_div(2 * channels * static_cast<int64_t>(sizeof(double) + sizeof(T)), 64) * 64;
}

template <class T>
RowSums<T> sums_of(const NormBackwardArgs& args, int64_t task) {
  const int64_t channels = args.shape.channels;
  double* const wide = reinterpret_cast<double*>(static_cast<std::byte*>(args.workspace) + task * sums_bytes<T>(channels));
  T* const near = reinterpret_cast<T*>(wide + 2 * channels);
  return {wide, wide + channels, near, near + channels};
}

template <class T>
void flush(const RowSums<T>& sums, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) {
    sums.dweight[c] += static_cast<double>(sums.near_weight[c]);
    sums.dbias[c] += static_cast<double>(sums.near_bias[c]);
    sums.near_weight[c] = sums.near_bias[c] = T(0);
  }
}

// sum of weight dy and of weight dy (x - centre).
template <class T>
void row_sums(const T* dy, const T* x, const T* weight, int64_t n, T centre, double& sum, double& sum_x) {
  using V = Vec<T>;
  const V m = V::set(centre), one = V::set(1);
  for (int64_t from = 0; from < n; from += kNormSpan<T>) {
    const int64_t to = std::min(n, from + kNormSpan<T>);
    V a = V::zero(), b = a, c = a, d = a;
    const auto add = [&](V g, V v, V w, V & to_sum, V & to_x) __attribute__((always_inline)) {
      const V scaled = g * w;
      to_sum = to_sum + scaled;
      to_x = fma(scaled, v - m, to_x);
    };
    int64_t i = from;
    for (; i + 2 * V::N <= to; i += 2 * V::N) {
      add(V::load(dy + i), V::load(x + i), weight ? V::load(weight + i) : one, a, c);
      add(V::load(dy + i + V::N), V::load(x + i + V::N), weight ? V::load(weight + i + V::N) : one, b, d);
    }
    for (; i < to; i += V::N)  // the lanes beyond have dy == 0
      add(load_up_to(dy + i, to - i), load_up_to(x + i, to - i), weight ? load_up_to(weight + i, to - i) : one, a, c);
    sum += reduce_add(a + b);
    sum_x += reduce_add(c + d);
  }
}

// One row: dx, and its part of the weights' gradients; either may be null. What the rows below need is fetched ahead: 15.8 -> 9.5 ms for
// 32768 x 768 together with stores past the caches. (Four rows at a time, which load the weights' sums once, were slower: 2.2 against
// 1.5 ms for 4096 x 768.)
template <bool kStream, class T>
void row_gradient(const NormBackwardArgs& args, int64_t row, const RowSums<T>* sums) {
  using V = Vec<T>;
  const int64_t n = args.shape.width(), first = first_weight(args.shape, row);
  const T* const dy = static_cast<const T*>(args.dy) + row * n;
  const T* const x = static_cast<const T*>(args.x) + row * n;
  const T* const weight = args.weight == nullptr ? nullptr : static_cast<const T*>(args.weight) + first;
  T* const dx = args.dx == nullptr ? nullptr : static_cast<T*>(args.dx) + row * n;
  const double mean = args.mean[row], rstd = args.rstd[row];
  const T rounded = static_cast<T>(mean);
  double sum = 0, sum_x = 0;
  if (dx != nullptr) row_sums(dy, x, weight, n, rounded, sum, sum_x);
  const Slopes<T> s = slopes_of<T>(args.statistics, mean, rstd, 1, sum, sum_x - (mean - static_cast<double>(rounded)) * sum, n);
  const V slope = V::set(s.slope), along = V::set(s.along), shift = V::set(s.shift), one = V::set(1);
  const V centre = V::set(rounded), off = V::set(static_cast<T>((static_cast<double>(rounded) - mean) * rstd));
  const auto body = [&](int64_t i, auto load, auto store, auto store_dx) __attribute__((always_inline)) {
    __builtin_prefetch(dy + 2 * n + i, 0, 2);
    __builtin_prefetch(x + 2 * n + i, 0, 2);
    const V g = load(dy + i), d = load(x + i) - centre;
    if (dx != nullptr) {
      if (!kStream) __builtin_prefetch(dx + n + i, 1, 2);
      store_dx(fma(g * (weight ? load(weight + i) : one), slope, fma(d, along, shift)), dx + i);
    }
    if (sums == nullptr) return;
    T* const near_weight = sums->near_weight + first + i;
    T* const near_bias = sums->near_bias + first + i;
    store(fma(g, fma(d, slope, off), load(near_weight)), near_weight);
    store(g + load(near_bias), near_bias);
  };
  const auto whole = [](const T* p) __attribute__((always_inline)) { return V::load(p); };
  const auto store = [](V v, T * p) __attribute__((always_inline)) { v.store(p); };
  const auto past = [](V v, T * p) __attribute__((always_inline)) { kStream ? v.stream(p) : v.store(p); };
  int64_t i = 0;
  for (; i + V::N <= n; i += V::N) body(i, whole, store, past);
  const int64_t left = n - i;
  const auto some = [&](V v, T * p) __attribute__((always_inline)) { v.store(p, left); };
  if (left > 0)
    body(
        i, [&](const T* p) __attribute__((always_inline)) { return V::load(p, left); }, some, some);
}

// Rows [begin, end).
template <bool kStream, class T>
void row_gradients(const NormBackwardArgs& args, int64_t begin, int64_t end, const RowSums<T>* sums) {
  for (int64_t row = begin; row < end; ++row) {
    row_gradient<kStream>(args, row, sums);
    if (sums == nullptr) continue;
    if ((row - begin + 1) % (kFlush * args.shape.groups) == 0 || row + 1 == end) flush(*sums, args.shape.channels);
  }
}

template <class T>
void backward(const NormBackwardArgs& args, const Tasks& tasks) {
  const Split split = split_of(args.shape);
  const int64_t channels = args.shape.channels;
  const bool weights = args.dweight != nullptr || args.dbias != nullptr;
  if (tasks.phase == 1) {
    for (int64_t c = tasks.begin * kChannels; c < std::min(channels, tasks.end * kChannels); ++c) {
      double dweight = 0, dbias = 0;
      for (int64_t t = 0; t < split.tasks; ++t) {
        dweight += sums_of<T>(args, t).dweight[c];
        dbias += sums_of<T>(args, t).dbias[c];
      }
      if (args.dweight != nullptr) static_cast<T*>(args.dweight)[c] = static_cast<T>(dweight);
      if (args.dbias != nullptr) static_cast<T*>(args.dbias)[c] = static_cast<T>(dbias);
    }
    return;
  }
  const int64_t row_bytes = args.shape.width() * static_cast<int64_t>(sizeof(T));
  const bool stream = norm_streams(args) && row_bytes % kVecBytes == 0 && reinterpret_cast<uintptr_t>(args.dx) % kVecBytes == 0;
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    const int64_t begin = task * split.each, end = std::min(split.rows, begin + split.each);
    RowSums<T> sums{};
    if (weights) {
      sums = sums_of<T>(args, task);
      std::memset(static_cast<void*>(sums.dweight), 0, static_cast<size_t>(sums_bytes<T>(channels)));
    }
    const RowSums<T>* const to = weights ? &sums : nullptr;
    stream ? row_gradients<true>(args, begin, end, to) : row_gradients<false>(args, begin, end, to);
  }
  if (stream) stream_fence();
}

}  // namespace

void norm_rows(const NormArgs& args, const Tasks& tasks) {
  args.dtype == DType::Float64 ? forward<double>(args, tasks) : forward<float>(args, tasks);
}
Schedule norm_rows_schedule(const NormArgs& args) {
  const int64_t tasks = ceil_div(args.shape.statistics(), rows_per_task(args.shape.width()));
  return {1, {tasks, 1, 1}, norm_cost(args, 0.3) + 40 * static_cast<double>(args.shape.statistics())};
}
int64_t norm_rows_workspace(const NormArgs&) { return 0; }

void norm_rows_backward(const NormBackwardArgs& args, const Tasks& tasks) {
  args.dtype == DType::Float64 ? backward<double>(args, tasks) : backward<float>(args, tasks);
}
Schedule norm_rows_backward_schedule(const NormBackwardArgs& args) {
  const bool weights = args.dweight != nullptr || args.dbias != nullptr;
  return {weights ? 2 : 1, {split_of(args.shape).tasks, ceil_div(args.shape.channels, kChannels), 1}, norm_cost(args, 0.5)};
}
int64_t norm_rows_backward_workspace(const NormBackwardArgs& args) {
  if (args.dweight == nullptr && args.dbias == nullptr) return 0;
  const int64_t channels = args.shape.channels;
  return split_of(args.shape).tasks * (args.dtype == DType::Float64 ? sums_bytes<double>(channels) : sums_bytes<float>(channels));
}

}  // namespace dnncore::DNNCORE_ISA
