// Rows of a table summed in bags, and the gradients, vectorised over the columns.
#include "kernels/embedding.h"

#include "kernels/pool_windows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kIdCost = 16;  // of finding a row, in elements
constexpr int64_t kAhead = 8;    // rows that are fetched ahead: the hardware does not see them coming

template <class T>
DNN_INLINE void fetch_row(const T* row, int64_t columns) {
  for (int64_t c = 0; c < columns; c += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + c);
}

// As for_channels, twice as many registers first: a row is walked through less often.
template <class T, class Fn>
DNN_INLINE void for_columns(int64_t columns, Fn&& fn) {
  constexpr int kGroup = 2 * kPoolGroup, kStep = kGroup * Vec<T>::N;
  int64_t c = 0;
  for (; c + kStep <= columns; c += kStep) fn(c, std::integral_constant<int, kGroup>{}, Vec<T>::N);
  for_channels<T>(
      columns - c, [&](int64_t rest, auto vectors, int64_t lanes) __attribute__((always_inline)) { fn(c + rest, vectors, lanes); });
}

int64_t counted(const BagShape& s, const int64_t* ids, int64_t begin, int64_t end) {
  int64_t count = 0;
  for (int64_t i = begin; i < end; ++i) count += s.counts(ids[i]);
  return count;
}

// --- Forward: tasks are ranges of bags ---

int64_t bags_per_task(const BagShape& s) {
  const int64_t ids = s.bags > 0 ? (s.ids + s.bags - 1) / s.bags : 0;
  return rows_per_task((s.columns + kIdCost) * (ids + 1));
}

// fn(bag) for the bags of these tasks.
template <class Fn>
DNN_INLINE void for_each_bag(const BagShape& s, const Tasks& tasks, Fn&& fn) {
  const int64_t per_task = bags_per_task(s), end = std::min(s.bags, tasks.end * per_task);
  for (int64_t b = tasks.begin * per_task; b < end; ++b) fn(b);
}

Schedule by_bags(const BagShape& s) {
  const int64_t per_task = bags_per_task(s);
  Schedule schedule;
  schedule.tasks[0] = (s.bags + per_task - 1) / per_task;
  schedule.nanoseconds = static_cast<double>(s.ids + s.bags) * (2 + 0.1 * static_cast<double>(s.columns * s.size()));
  return schedule;
}

template <class T, bool kStream>
void look_up(const EmbeddingArgs& args, const Tasks& tasks) {
  const BagShape& s = args.shape;
  for_each_bag(s, tasks, [&](int64_t b) {
    const int64_t id = args.ids[b];
    T* y = static_cast<T*>(args.y) + b * s.columns;
    if (!s.counts(id)) {
      std::memset(y, 0, static_cast<size_t>(s.columns) * sizeof(T));
      return;
    }
    const T* row = static_cast<const T*>(args.weight) + id * s.columns;
    for_channels<T>(
        s.columns, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
          for (int u = 0; u < kRegisters<vectors>; ++u)
            put_channels<kStream, vectors>(load_channels<vectors>(row + c + u * Vec<T>::N, lanes), y + c + u * Vec<T>::N, lanes);
        });
  });
}

template <class T>
void sum_bag(const EmbeddingArgs& args, int64_t b) {
  using V = Vec<T>;
  const BagShape& s = args.shape;
  const int64_t begin = s.begin(args.starts, b), end = s.end(args.starts, b);
  const T* weight = static_cast<const T*>(args.weight);
  const T* factors = static_cast<const T*>(args.factors);
  T* y = static_cast<T*>(args.y) + b * s.columns;
  const int64_t count = s.mode == BagMode::Mean ? counted(s, args.ids, begin, end) : 0;
  const V by = V::set(static_cast<T>(std::max<int64_t>(count, 1)));
  for_columns<T>(
      s.columns, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        constexpr int U = kRegisters<vectors>;
        V sum[U];
        for (V& v : sum) v = V::zero();
        for (int64_t i = begin; i < end; ++i) {
          const int64_t next = args.ids[std::min(i + kAhead, s.ids - 1)];
          if (c == 0 && s.counts(next)) fetch_row(weight + next * s.columns, s.columns);
          if (!s.counts(args.ids[i])) continue;
          const T* row = weight + args.ids[i] * s.columns + c;
          if (factors == nullptr) {
            for (int u = 0; u < U; ++u) sum[u] = sum[u] + load_channels<vectors>(row + u * V::N, lanes);
          } else {
            const V factor = V::set(factors[i]);
            for (int u = 0; u < U; ++u) sum[u] = fma(load_channels<vectors>(row + u * V::N, lanes), factor, sum[u]);
          }
        }
        for (int u = 0; u < U; ++u) store_channels<vectors>(count > 1 ? sum[u] / by : sum[u], y + c + u * V::N, lanes);
      });
}

template <class T>
void largest_of_bag(const EmbeddingArgs& args, int64_t b) {
  using V = Vec<T>;
  const BagShape& s = args.shape;
  const int64_t begin = s.begin(args.starts, b), end = s.end(args.starts, b);
  T* y = static_cast<T*>(args.y) + b * s.columns;
  int64_t* best = args.best + b * s.columns;
  for_channels<T>(
      s.columns, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        constexpr int U = kRegisters<vectors>;
        for (int u = 0; u < U; ++u) {
          const int64_t at = c + u * V::N;
          V largest = V::zero();
          Vec<Bits<T>> from = Vec<Bits<T>>::set(-1);
          for (int64_t i = begin; i < end; ++i) {
            if (!s.counts(args.ids[i])) continue;
            const V x = load_channels<vectors>(static_cast<const T*>(args.weight) + args.ids[i] * s.columns + at, lanes);
            const Mask<T> takes = (x > largest) | (is_nan(x) & ~is_nan(largest)) | Mask<T>{from.v < 0};
            largest = select(takes, x, largest);
            from.v = takes.v ? Vec<Bits<T>>::set(static_cast<Bits<T>>(args.ids[i])).v : from.v;
          }
          store_channels<vectors>(largest, y + at, lanes);
          for (int64_t j = 0; j < lanes; ++j) best[at + j] = from.v[j];
        }
      });
}

template <class T>
void embedding_as(const EmbeddingArgs& args, const Tasks& tasks) {
  const BagShape& s = args.shape;
  if (s.mode == BagMode::Max) return for_each_bag(s, tasks, [&](int64_t b) { largest_of_bag<T>(args, b); });
  if (args.starts != nullptr || s.per_bag != 1 || args.factors != nullptr)
    return for_each_bag(s, tasks, [&](int64_t b) { sum_bag<T>(args, b); });
  with_stream(pool_streams(args.y, s.y_bytes(), s.columns, s.dtype, tasks), [&](auto stream) { look_up<T, stream>(args, tasks); });
}

// --- Backward: one task sorts the places by row, in ascending order within each; then tasks are ranges of rows ---

struct Sorted {
  int32_t* end;    // of every row in the next one
  int32_t* place;  // rows of dy, sorted by the row of the table they go to
  void* factor;    // of every place; null: 1

  explicit Sorted(const EmbeddingBackwardArgs& args) {
    const BagShape& s = args.shape;
    end = static_cast<int32_t*>(args.workspace);
    place = end + s.rows;
    factor = args.factors == nullptr && s.mode == BagMode::Sum ? nullptr : place + s.ids + (s.rows + s.ids) % 2;  // aligned for float64
  }
  static int64_t bytes(const BagShape& s) { return (s.rows + s.ids + 1) / 2 * 8 + s.ids * s.size(); }
};

template <class T>
void sort_places(const EmbeddingBackwardArgs& args) {
  const BagShape& s = args.shape;
  const Sorted sorted(args);
  std::memset(sorted.end, 0, static_cast<size_t>(s.rows) * sizeof(int32_t));
  for (int64_t i = 0; i < s.ids; ++i)
    if (s.counts(args.ids[i])) ++sorted.end[args.ids[i]];
  for (int32_t row = 0, begin = 0; row < s.rows; ++row) {
    const int32_t count = sorted.end[row];
    sorted.end[row] = begin;
    begin += count;
  }
  for (int64_t b = 0; b < s.bags; ++b) {
    const int64_t begin = s.begin(args.starts, b), end = s.end(args.starts, b);
    T share = 1;
    if (s.mode == BagMode::Mean) share /= static_cast<T>(std::max<int64_t>(1, counted(s, args.ids, begin, end)));
    for (int64_t i = begin; i < end; ++i) {
      if (!s.counts(args.ids[i])) continue;
      const int32_t at = sorted.end[args.ids[i]]++;
      sorted.place[at] = static_cast<int32_t>(b);
      if (sorted.factor != nullptr)
        static_cast<T*>(sorted.factor)[at] = args.factors == nullptr ? share : static_cast<const T*>(args.factors)[i];
    }
  }
}

template <class T, bool kWeighed, bool kStream>
DNN_INLINE void sum_row(const EmbeddingBackwardArgs& args, const Sorted& sorted, int64_t row) {
  using V = Vec<T>;
  const int64_t columns = args.shape.columns;
  const T* dy = static_cast<const T*>(args.dy);
  T* dweight = static_cast<T*>(args.dweight) + row * columns;
  const int64_t begin = row > 0 ? sorted.end[row - 1] : 0, end = sorted.end[row], last = sorted.end[args.shape.rows - 1] - 1;
  for (int64_t i = begin; i < end; ++i) fetch_row(dy + sorted.place[std::min(i + kAhead, last)] * columns, columns);
  const V by = V::set(static_cast<T>(end - begin));
  for_columns<T>(
      columns, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        constexpr int U = kRegisters<vectors>;
        V sum[U];
        for (V& v : sum) v = V::zero();
        for (int64_t i = begin; i < end; ++i) {
          const T* from = dy + sorted.place[i] * columns + c;
          if constexpr (kWeighed) {
            const V factor = V::set(static_cast<const T*>(sorted.factor)[i]);
            for (int u = 0; u < U; ++u) sum[u] = fma(load_channels<vectors>(from + u * V::N, lanes), factor, sum[u]);
          } else {
            for (int u = 0; u < U; ++u) sum[u] = sum[u] + load_channels<vectors>(from + u * V::N, lanes);
          }
        }
        const bool divides = args.by_frequency && end - begin > 1;
        for (int u = 0; u < U; ++u) put_channels<kStream, vectors>(divides ? sum[u] / by : sum[u], dweight + c + u * V::N, lanes);
      });
}

// Each row counts as its share of the ids: few rows with many ids are one task each.
int64_t table_rows_per_task(const BagShape& s) { return s.rows > 0 ? rows_per_task(s.columns * (1 + s.ids / s.rows)) : 1; }

template <class T>
void backward(const EmbeddingBackwardArgs& args, const Tasks& tasks) {
  if (tasks.phase == 0) return sort_places<T>(args);
  const BagShape& s = args.shape;
  const Sorted sorted(args);
  const int64_t per_task = table_rows_per_task(s), end = std::min(s.rows, tasks.end * per_task);
  const auto sum_rows = [&](auto weighed, auto stream) {
    for (int64_t row = tasks.begin * per_task; row < end; ++row) sum_row<T, weighed, stream>(args, sorted, row);
  };
  with_stream(pool_streams(args.dweight, s.table_bytes(), s.columns, s.dtype, tasks),
              [&](auto stream) { sorted.factor != nullptr ? sum_rows(std::true_type{}, stream) : sum_rows(std::false_type{}, stream); });
}

// --- The gradient of the factors: tasks are ranges of bags ---

template <class T>
void backward_factors(const EmbeddingBackwardFactorsArgs& args, const Tasks& tasks) {
  using V = Vec<T>;
  const BagShape& s = args.shape;
  T* dfactors = static_cast<T*>(args.dfactors);
  for_each_bag(s, tasks, [&](int64_t b) {
    const T* dy = static_cast<const T*>(args.dy) + b * s.columns;
    for (int64_t i = s.begin(args.starts, b); i < s.end(args.starts, b); ++i) {
      V sum = V::zero();
      if (s.counts(args.ids[i])) {
        const T* row = static_cast<const T*>(args.weight) + args.ids[i] * s.columns;
        for_channels<T>(
            s.columns, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
              for (int u = 0; u < kRegisters<vectors>; ++u)
                sum = fma(load_channels<vectors>(row + c + u * V::N, lanes), load_channels<vectors>(dy + c + u * V::N, lanes), sum);
            });
      }
      dfactors[i] = reduce_add(sum);
    }
  });
}

}  // namespace

void embedding(const EmbeddingArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? embedding_as<double>(args, tasks) : embedding_as<float>(args, tasks);
}
Schedule embedding_schedule(const EmbeddingArgs& args) { return by_bags(args.shape); }

void embedding_backward(const EmbeddingBackwardArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward<double>(args, tasks) : backward<float>(args, tasks);
}
Schedule embedding_backward_schedule(const EmbeddingBackwardArgs& args) {
  const BagShape& s = args.shape;
  const int64_t per_task = table_rows_per_task(s);
  Schedule schedule;
  schedule.phases = 2;
  schedule.tasks[1] = (s.rows + per_task - 1) / per_task;
  schedule.nanoseconds =
      static_cast<double>(s.ids) * (3 + 0.1 * static_cast<double>(s.columns * s.size())) + 0.03 * static_cast<double>(s.table_bytes());
  return schedule;
}
int64_t embedding_backward_workspace(const EmbeddingBackwardArgs& args) { return Sorted::bytes(args.shape); }

void embedding_backward_factors(const EmbeddingBackwardFactorsArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward_factors<double>(args, tasks) : backward_factors<float>(args, tasks);
}
Schedule embedding_backward_factors_schedule(const EmbeddingBackwardFactorsArgs& args) { return by_bags(args.shape); }

}  // namespace dnncore::DNNCORE_ISA
