// Softmax over adjacent rows: one read of x from memory, one write of y; what is between stays in the cache.
// Over a strided dimension: tiles of columns copied into scratch memory, vectorised over the columns (PyTorch's inner loop).
#include "kernels/softmax.h"

#include "kernels/softmax_rows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kRowGroup = 64;          // rows at most whose logarithms are taken together
constexpr int64_t kGroupElements = 4096;   // elements at most of such a group: it stays in L1
constexpr int64_t kTileBytes = 128 << 10;  // of a tile of columns: L2 holds it beside the lines on their way

// --- Adjacent rows ---

template <class T>
void softmax_rows(const SoftmaxArgs& args, int64_t begin, int64_t end, std::byte* scratch) {
  using V = Vec<T>;
  const int64_t n = args.n;
  const bool stream = rows_stream(args.outer * n * static_cast<int64_t>(sizeof(T)), n * static_cast<int64_t>(sizeof(T)));
  for (int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(args.x) + row * args.x_outer;
    T* y = static_cast<T*>(args.y) + row * n;
    if (n <= V::N) {
      V e;
      const RowSum<T> sum = sum_short_row(x, n, e);
      (e * V::set(static_cast<T>(1 / sum.total()))).store(y, n);
      continue;
    }
    T* e = stream ? reinterpret_cast<T*>(scratch) : y;
    const V factor = V::set(static_cast<T>(1 / sum_long_row<T, Ones::Together>(x, n, e, largest_of_row(x, n)).total()));
    map_row(
        e, y, n, stream, [&](V v) __attribute__((always_inline)) { return v * factor; });
  }
  if (stream) stream_fence();
}

// log(sum e^x) = shift + log1p(first) with what the row gives.
template <class T>
void log_rows(const SoftmaxArgs& args, int64_t begin, int64_t end) {
  using V = Vec<T>;
  const int64_t n = args.n;
  const bool only_sum = args.op == SoftmaxOp::logsumexp;
  const bool stream = !only_sum && args.outer * n * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
  const int64_t most = std::max<int64_t>(1, std::min(kRowGroup, kGroupElements / n));
  for (int64_t group = begin; group < end; group += most) {
    const int64_t count = std::min(most, end - group);
    double logs[kRowGroup + Vec<double>::N] = {};
    T largest[kRowGroup];
    for (int64_t r = 0; r < count; ++r) {
      const T* x = static_cast<const T*>(args.x) + (group + r) * args.x_outer;
      V e;
      const RowSum<T> sum = n <= V::N ? sum_short_row(x, n, e) : sum_long_row<T>(x, n, nullptr, largest_of_row(x, n));
      largest[r] = sum.largest;
      logs[r] = sum.beyond_one();
    }
    for (int64_t r = 0; r < count; r += Vec<double>::N) log1p(Vec<double>::load(logs + r)).store(logs + r);
    for (int64_t r = 0; r < count; ++r) {
      const T* x = static_cast<const T*>(args.x) + (group + r) * args.x_outer;
      if (only_sum) {
        T sum = static_cast<T>(static_cast<double>(largest[r]) + logs[r]);
        if (std::isinf(largest[r])) {  // infinite, unless there is a NaN too
          bool has_nan = false;
          for (int64_t j = 0; j < n; ++j) has_nan |= std::isnan(x[j]);
          if (!has_nan) sum = largest[r];
        }
        static_cast<T*>(args.y)[group + r] = sum;
        continue;
      }
      const V shift = V::set(largest[r]), log = V::set(static_cast<T>(logs[r]));
      map_row(
          x, static_cast<T*>(args.y) + (group + r) * n, n, stream, [&](V v) __attribute__((always_inline)) { return (v - shift) - log; });
    }
  }
  if (stream) stream_fence();
}

template <class T>
void backward_rows(const SoftmaxBackwardArgs& args, int64_t begin, int64_t end) {
  using V = Vec<T>;
  constexpr int64_t N = V::N, kSpan = 64 * N;
  const int64_t n = args.n;
  const bool logs = args.op == SoftmaxOp::log_softmax;
  for (int64_t row = begin; row < end; ++row) {
    const T* dy = static_cast<const T*>(args.dy) + row * n;
    const T* y = static_cast<const T*>(args.y) + row * n;
    T* dx = static_cast<T*>(args.dx) + row * n;
    double total = 0;
    for (int64_t from = 0; from < n; from += kSpan) {
      const int64_t to = std::min(n, from + kSpan);
      V sum = V::zero();
      const auto term = [&](V g, V v) __attribute__((always_inline)) { return logs ? sum + g : fma(g, v, sum); };
      int64_t i = from;
      for (; i + N <= to; i += N) sum = term(V::load(dy + i), V::load(y + i));
      if (i < to) sum = term(V::load(dy + i, to - i), V::load(y + i, to - i));
      total += reduce_add(sum);
    }
    const V sum = V::set(static_cast<T>(total));
    const auto slope = [&](V g, V v) __attribute__((always_inline)) { return logs ? g - exp(v) * sum : v * (g - sum); };
    int64_t i = 0;
    for (; i + N <= n; i += N) slope(V::load(dy + i), V::load(y + i)).store(dx + i);
    if (i < n) slope(V::load(dy + i, n - i), V::load(y + i, n - i)).store(dx + i, n - i);
  }
}

// --- Strided columns ---

// Columns per tile: what fits kTileBytes, a whole number of vectors.
template <class T>
int64_t tile_columns(int64_t n, int64_t inner) {
  constexpr int64_t N = Vec<T>::N, kMost = 256;
  const int64_t fit = kTileBytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(n, 1) / N * N;
  const int64_t needed = (inner + N - 1) / N * N;
  return std::max<int64_t>(N, std::min({fit, needed, kMost}));
}

// log(sum e^x) = largest + log, or e^x / sum = e * factor, of one vector of columns.
template <class T>
struct ColumnSums {
  Vec<T> largest, factor, log;
};

// tile: n x step, one vector wide here. Softmax leaves its exponentials there.
template <class T>
DNN_INLINE ColumnSums<T> sum_columns(T* tile, int64_t n, int64_t step, bool keeps_powers) {
  using V = Vec<T>;
  constexpr int64_t kSpan = PartialSum<T, Ones::Apart>::kSpan;
  const V one = V::set(1), rounder = V::set(kRounder<T>);
  V largest = V::load(tile);
  for (int64_t j = 1; j < n; ++j) largest = max(V::load(tile + j * step), largest);
  V ones = V::zero(), others = V::zero();
  for (int64_t from = 0; from < n; from += kSpan) {
    PartialSum<T, Ones::Apart> sum;
    for (int64_t j = from; j < std::min(n, from + kSpan); ++j) {
      const V power = exp_of_negative(V::load(tile + j * step) - largest);
      sum.add(power);
      if (keeps_powers) power.store(tile + j * step);
    }
    ones = ones + (((sum.all - sum.others) + rounder) - rounder);
    others = others + sum.others;
  }
  others = others + (largest - largest);  // NaN where the largest is infinite
  if (keeps_powers) return {largest, one / (ones + others), V::zero()};
  return {largest, V::zero(), log1p((ones - one) + others)};
}

// One tile: x and y point at its first column; `room` is scratch memory.
template <class T>
void softmax_tile(const SoftmaxArgs& args, const T* x, T* y, int64_t width, std::byte* room) {
  using V = Vec<T>;
  const int64_t n = args.n, inner = args.inner, step = tile_columns<T>(n, inner);
  T* const tile = reinterpret_cast<T*>(room);
  ColumnSums<T>* const sums = reinterpret_cast<ColumnSums<T>*>(tile + n * step);
  const bool keeps_powers = args.op == SoftmaxOp::softmax;
  for (int64_t j = 0; j < n; ++j)
    for_vectors<T>(
        width, [&](int64_t i, int64_t lanes)
                   __attribute__((always_inline)) { load_lanes(x + j * inner + i, lanes).store(tile + j * step + i); });
  if (args.op == SoftmaxOp::logsumexp) {
    for_vectors<T>(width, [&](int64_t i, int64_t lanes) {
      const ColumnSums<T> found = sum_columns(tile + i, n, step, false);
      const Mask<T> infinite = abs(found.largest) == V::set(std::numeric_limits<T>::infinity());
      V sum = found.largest + found.log;
      if (any(infinite)) {
        Mask<T> has_nan = is_nan(V::zero());
        for (int64_t j = 0; j < n; ++j) has_nan = has_nan | is_nan(V::load(tile + j * step + i));
        sum = select(infinite & ~has_nan, found.largest, sum);
      }
      store_lanes(sum, y + i, lanes);
    });
    return;
  }
  for_vectors<T>(width, [&](int64_t i, int64_t) { sums[i / V::N] = sum_columns(tile + i, n, step, keeps_powers); });
  for (int64_t j = 0; j < n; ++j)
    for_vectors<T>(
        width, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
          const V v = V::load(tile + j * step + i);
          const ColumnSums<T>& found = sums[i / V::N];
          store_lanes(keeps_powers ? v * found.factor : (v - found.largest) - found.log, y + j * inner + i, lanes);
        });
}

template <class T>
void backward_tile(const SoftmaxBackwardArgs& args, int64_t at, int64_t width, std::byte* room) {
  using V = Vec<T>;
  constexpr int64_t kSpan = 64;
  const int64_t n = args.n, inner = args.inner, step = tile_columns<T>(n, inner);
  const T* const dy = static_cast<const T*>(args.dy) + at;
  const T* const y = static_cast<const T*>(args.y) + at;
  T* const dx = static_cast<T*>(args.dx) + at;
  T* const sum = reinterpret_cast<T*>(room);
  T* const part = sum + step;
  const bool logs = args.op == SoftmaxOp::log_softmax;
  for_vectors<T>(width, [&](int64_t i, int64_t) { V::zero().store(sum + i); });
  for (int64_t from = 0; from < n; from += kSpan) {
    for_vectors<T>(width, [&](int64_t i, int64_t) { V::zero().store(part + i); });
    for (int64_t j = from; j < std::min(n, from + kSpan); ++j)
      for_vectors<T>(
          width, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
            const V g = load_lanes(dy + j * inner + i, lanes), before = V::load(part + i);
            (logs ? before + g : fma(g, load_lanes(y + j * inner + i, lanes), before)).store(part + i);
          });
    for_vectors<T>(width, [&](int64_t i, int64_t) { (V::load(sum + i) + V::load(part + i)).store(sum + i); });
  }
  for (int64_t j = 0; j < n; ++j)
    for_vectors<T>(
        width, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
          const V g = load_lanes(dy + j * inner + i, lanes), v = load_lanes(y + j * inner + i, lanes), s = V::load(sum + i);
          store_lanes(logs ? g - exp(v) * s : v * (g - s), dx + j * inner + i, lanes);
        });
}

// --- Tasks ---

// Rows, or tiles of columns: how many there are and how many a task takes.
struct Division {
  int64_t items, per_task;
  int64_t tasks() const { return (items + per_task - 1) / per_task; }
};

template <class T, class Args>
Division divide(const Args& args) {
  if (args.inner == 1) return {args.outer, std::max<int64_t>(1, kChunk / std::max<int64_t>(args.n, 1))};
  const int64_t columns = tile_columns<T>(args.n, args.inner);
  const int64_t tiles = (args.inner + columns - 1) / columns;
  return {args.outer * tiles, std::max<int64_t>(1, kChunk / std::max<int64_t>(args.n * columns, 1))};
}

// Calls f(outer index, first column, columns) for the tiles of a task.
template <class T, class Args, class F>
void for_tiles(const Args& args, int64_t begin, int64_t end, F&& f) {
  const int64_t columns = tile_columns<T>(args.n, args.inner), tiles = (args.inner + columns - 1) / columns;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t first = item % tiles * columns;
    f(item / tiles, first, std::min(columns, args.inner - first));
  }
}

template <class T>
void forward(const SoftmaxArgs& args, const Tasks& tasks) {
  const Division division = divide<T>(args);
  const int64_t begin = tasks.begin * division.per_task, end = std::min(division.items, tasks.end * division.per_task);
  if (args.inner > 1) {
    const int64_t y_outer = (args.op == SoftmaxOp::logsumexp ? 1 : args.n) * args.inner;
    for_tiles<T>(args, begin, end, [&](int64_t outer, int64_t first, int64_t width) {
      softmax_tile<T>(args, static_cast<const T*>(args.x) + outer * args.x_outer + first, static_cast<T*>(args.y) + outer * y_outer + first,
                      width, tasks.scratch);
    });
  } else if (args.op == SoftmaxOp::softmax) {
    softmax_rows<T>(args, begin, end, tasks.scratch);
  } else {
    log_rows<T>(args, begin, end);
  }
}

template <class T>
void backward(const SoftmaxBackwardArgs& args, const Tasks& tasks) {
  const Division division = divide<T>(args);
  const int64_t begin = tasks.begin * division.per_task, end = std::min(division.items, tasks.end * division.per_task);
  if (args.inner == 1) return backward_rows<T>(args, begin, end);
  for_tiles<T>(args, begin, end, [&](int64_t outer, int64_t first, int64_t width) {
    backward_tile<T>(args, outer * args.n * args.inner + first, width, tasks.scratch);
  });
}

template <class Args>
Schedule schedule_of(const Args& args, double nanoseconds) {
  Schedule schedule;
  const bool wide = args.dtype == DType::Float64;
  schedule.tasks[0] = wide ? divide<double>(args).tasks() : divide<float>(args).tasks();
  schedule.nanoseconds = static_cast<double>(args.outer * args.inner) * (20 + nanoseconds * (wide ? 4 : 1) * static_cast<double>(args.n));
  return schedule;
}

}  // namespace

void softmax(const SoftmaxArgs& args, const Tasks& tasks) {
  args.dtype == DType::Float64 ? forward<double>(args, tasks) : forward<float>(args, tasks);
}

Schedule softmax_schedule(const SoftmaxArgs& args) { return schedule_of(args, 0.5); }

void softmax_backward(const SoftmaxBackwardArgs& args, const Tasks& tasks) {
  args.dtype == DType::Float64 ? backward<double>(args, tasks) : backward<float>(args, tasks);
}

Schedule softmax_backward_schedule(const SoftmaxBackwardArgs& args) {
  return schedule_of(args, args.op == SoftmaxOp::log_softmax ? 0.5 : 0.3);
}

}  // namespace dnncore::DNNCORE_ISA
