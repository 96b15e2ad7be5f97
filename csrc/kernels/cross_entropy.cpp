// Softmax and cross-entropy with its gradient, a row at a time while it is in the cache.
#include "kernels/cross_entropy.h"

#include "kernels/softmax_rows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kRowGroup = 64;  // rows whose logarithms are taken together

// loss = mass * log1p(beyond_one) + below_largest.
struct RowLoss {
  double beyond_one, mass, below_largest;
};

template <class T>
struct Row {
  const T* x;
  T* dx;           // or null
  const T* q;      // probabilities, or null
  int64_t target;  // without probabilities
  T* e;            // where the exponentials of a long row go: dx, or scratch memory when dx is streamed
};

// Class numbers without smoothing: one factor per row, and one class that is different.
template <class T>
RowLoss plain_row(const CrossEntropyArgs& args, const Row<T>& row, double mass) {
  using V = Vec<T>;
  const int64_t classes = args.classes;
  V e = V::zero();  // of a short row
  const RowSum<T> sum =
      classes <= V::N ? sum_short_row(row.x, classes, e) : sum_long_row(row.x, classes, row.e, largest_of_row(row.x, classes));
  if (!std::isfinite(sum.largest)) return {std::numeric_limits<double>::quiet_NaN(), 1, 0};
  const double total = sum.total(), beyond = sum.beyond_one();
  const T target = row.x[row.target];
  const RowLoss loss{beyond, mass, mass * (static_cast<double>(sum.largest) - static_cast<double>(target))};
  if (row.dx == nullptr) return loss;
  const V factor = V::set(static_cast<T>(args.scale * mass / total));
  // softmax - 1 without cancellation: minus what all the others have.
  const auto at_target = [&](T power) { return static_cast<T>(target == sum.largest ? -beyond : static_cast<double>(power) - total); };
  if (classes <= V::N) {
    T powers[V::N];
    e.store(powers);
    powers[row.target] = at_target(powers[row.target]);
    (V::load(powers) * factor).store(row.dx, classes);
  } else {
    row.e[row.target] = at_target(row.e[row.target]);
    map_row(
        row.e, row.dx, classes, row.e != row.dx, [&](V v) __attribute__((always_inline)) { return v * factor; });
  }
  return loss;
}

// What of b does not belong to the target alone: factor * common[j].
template <class T>
struct Coefficients {
  const T* weight;  // or null
  const T* q;       // or null
  double even, share;
  double factor;  // of the common part; smoothing / classes for class numbers, so that the terms added are the weights themselves

  Coefficients(const CrossEntropyArgs& args, const T* probabilities)
      : weight(static_cast<const T*>(args.weight)),
        q(probabilities),
        even(args.smoothing / static_cast<double>(args.classes)),
        share(1 - args.smoothing),
        factor(probabilities == nullptr ? even : 1) {}

  // Calls f(j, lanes, common[j ...]) along the row; lanes past the end have 0.
  template <class F>
  DNN_INLINE void for_each(int64_t classes, F&& f) const {
    using V = Vec<T>;
    constexpr int64_t N = V::N;
    const V added = V::set(static_cast<T>(even)), scaled = V::set(static_cast<T>(share));
    for (int64_t j = 0; j < classes; j += N) {
      const int64_t lanes = std::min(N, classes - j);
      const auto load = [&](const T* p) __attribute__((always_inline)) { return lanes == N ? V::load(p + j) : V::load(p + j, lanes); };
      V b = q != nullptr ? fma(load(q), scaled, added) : V::set(1);
      if (weight != nullptr)
        b = b * load(weight);
      else if (lanes < N)
        for (int64_t i = lanes; i < N; ++i) b.v[i] = 0;
      f(j, lanes, b);
    }
  }
};

// mass = sum of common[j], below = sum of common[j] (largest - x[j]).
template <class T>
void sum_coefficients(const Coefficients<T>& coefficients, const T* x, int64_t classes, T largest_value, double& mass, double& below) {
  using V = Vec<T>;
  constexpr int64_t N = V::N, kSpan = 16;  // lanes add 16 values before they are joined in float64
  const V largest = V::set(largest_value);
  V mass_part = V::zero(), below_part = V::zero();
  int64_t added = 0;
  mass = below = 0;
  const auto join = [&] {
    mass += reduce_add(mass_part);
    below += reduce_add(below_part);
    mass_part = below_part = V::zero();
  };
  coefficients.for_each(classes, [&](int64_t j, int64_t lanes, V b) {
    V distance = V::zero();
    if (lanes == N)
      distance = largest - V::load(x + j);
    else
      for (int64_t i = 0; i < lanes; ++i) distance.v[i] = largest_value - x[j + i];
    mass_part = mass_part + b;
    below_part = fma(b, distance, below_part);
    if (++added % kSpan == 0) join();
  });
  join();
  mass *= coefficients.factor;
  below *= coefficients.factor;
}

// Smoothing or probabilities: every class has its coefficient.
template <class T>
RowLoss dense_row(const CrossEntropyArgs& args, const Row<T>& row, double target_weight) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  const int64_t classes = args.classes;
  V e = V::zero();  // of a short row
  const RowSum<T> sum =
      classes <= N ? sum_short_row(row.x, classes, e) : sum_long_row(row.x, classes, row.dx, largest_of_row(row.x, classes));
  if (!std::isfinite(sum.largest)) return {std::numeric_limits<double>::quiet_NaN(), 1, 0};
  if (classes <= N && row.dx != nullptr) e.store(row.dx, classes);
  const Coefficients<T> coefficients(args, row.q);
  double mass, below;
  sum_coefficients(coefficients, row.x, classes, sum.largest, mass, below);
  const double own = row.q != nullptr ? 0 : (1 - args.smoothing) * target_weight;  // the target's own term
  if (row.dx != nullptr) {
    const V factor = V::set(static_cast<T>(args.scale * (mass + own) / sum.total()));
    const V scale = V::set(static_cast<T>(-args.scale * coefficients.factor));
    coefficients.for_each(classes, [&](int64_t j, int64_t lanes, V b) {
      if (lanes == N)
        fma(V::load(row.dx + j), factor, scale * b).store(row.dx + j);
      else
        fma(V::load(row.dx + j, lanes), factor, scale * b).store(row.dx + j, lanes);
    });
    if (own != 0) row.dx[row.target] -= static_cast<T>(args.scale * own);
  }
  if (own != 0) below += own * (static_cast<double>(sum.largest) - static_cast<double>(row.x[row.target]));
  return {sum.beyond_one(), mass + own, below};
}

template <class T>
void rows_range(const CrossEntropyArgs& args, int64_t begin, int64_t end, std::byte* scratch) {
  const int64_t classes = args.classes, row_bytes = classes * static_cast<int64_t>(sizeof(T));
  const bool dense = args.smoothing != 0 || args.probabilities != nullptr;
  const bool stream = !dense && args.dx != nullptr && classes > Vec<T>::N && rows_stream(args.rows * row_bytes, row_bytes);
  const T* const weight = static_cast<const T*>(args.weight);
  T* const loss = static_cast<T*>(args.loss);
  T* const row_weight = static_cast<T*>(args.row_weight);
  for (int64_t group = begin; group < end; group += kRowGroup) {
    const int64_t count = std::min(kRowGroup, end - group);
    double beyond_one[kRowGroup + Vec<double>::N] = {}, mass[kRowGroup] = {}, below_largest[kRowGroup] = {};
    for (int64_t r = 0; r < count; ++r) {
      const int64_t i = group + r;
      Row<T> row{};
      row.x = static_cast<const T*>(args.x) + i * args.x_row;
      row.dx = args.dx == nullptr ? nullptr : static_cast<T*>(args.dx) + i * classes;
      row.e = stream ? reinterpret_cast<T*>(scratch) : row.dx;
      RowLoss found{std::numeric_limits<double>::quiet_NaN(), 1, 0};
      T own_weight = 1;
      if (args.probabilities != nullptr) {
        row.q = static_cast<const T*>(args.probabilities) + i * classes;
        found = dense_row(args, row, 0);
      } else {
        row.target = args.target[i];  // read once: what is checked here is what is used
        const bool in_range = static_cast<uint64_t>(row.target) < static_cast<uint64_t>(classes);
        if (row.target == args.ignore_index) {
          if (row.dx != nullptr) std::fill_n(row.dx, classes, T(0));
          if (row_weight != nullptr) row_weight[i] = 0;
          continue;
        }
        if (in_range) {
          own_weight = weight == nullptr ? T(1) : weight[row.target];
          found = dense ? dense_row(args, row, own_weight) : plain_row(args, row, own_weight);
        }
      }
      if (row_weight != nullptr) row_weight[i] = own_weight;
      beyond_one[r] = found.beyond_one;
      mass[r] = found.mass;
      below_largest[r] = found.below_largest;
      if (std::isnan(found.beyond_one) && row.dx != nullptr) std::fill_n(row.dx, classes, std::numeric_limits<T>::quiet_NaN());
    }
    if (loss == nullptr) continue;
    for (int64_t r = 0; r < count; r += Vec<double>::N) log1p(Vec<double>::load(beyond_one + r)).store(beyond_one + r);
    for (int64_t r = 0; r < count; ++r) loss[group + r] = static_cast<T>(mass[r] * beyond_one[r] + below_largest[r]);
  }
  if (stream) stream_fence();
}

int64_t group_rows_per_task(const CrossEntropyArgs& args) {
  const int64_t rows = kChunk / 4 / std::max<int64_t>(args.classes, 1);
  return std::max<int64_t>(1, rows / kRowGroup * kRowGroup);
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args, const Tasks& tasks) {
  const int64_t rows = group_rows_per_task(args);
  const int64_t begin = tasks.begin * rows, end = std::min(args.rows, tasks.end * rows);
  if (args.dtype == DType::Float64)
    rows_range<double>(args, begin, end, tasks.scratch);
  else
    rows_range<float>(args, begin, end, tasks.scratch);
}

Schedule cross_entropy_schedule(const CrossEntropyArgs& args) {
  const int64_t rows = group_rows_per_task(args);
  Schedule schedule;
  schedule.tasks[0] = (args.rows + rows - 1) / rows;
  schedule.nanoseconds = static_cast<double>(args.rows) * (20 + 0.8 * static_cast<double>(args.classes));
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
