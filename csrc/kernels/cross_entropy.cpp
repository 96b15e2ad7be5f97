// Softmax and cross-entropy with its gradient, a row at a time while it is in the cache. The largest logit's exponential is exactly 1 and
// is counted apart from the others, whose sum keeps its relative accuracy: log1p(others) and -others / sum hold for confident rows too.
#include "kernels/cross_entropy.h"

#include "kernels/elementwise_loops.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kRowGroup = 64;  // rows whose logarithms are taken together

// Sum of e^(x - largest) as `largest_count` ones and the others.
template <class T>
struct RowSum {
  T largest, largest_count, others;
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
  return {largest, reduce_add(select(top, V::set(1), V::zero())), reduce_add(select(top, V::zero(), e))};
}

// Any length; the exponentials go to `e`, unless null.
template <class T>
RowSum<T> sum_long_row(const T* x, int64_t classes, T* e) {
  using V = Vec<T>;
  constexpr int64_t N = V::N, kSpan = 64 * N;  // lanes add 64 values before they are joined in float64
  V a = V::load(x), b = a;
  int64_t i = 0;
  for (; i + 2 * N <= classes; i += 2 * N) {
    a = max(V::load(x + i), a);
    b = max(V::load(x + i + N), b);
  }
  T largest = reduce_max(max(a, b));
  for (; i < classes; ++i) largest = std::max(largest, x[i]);
  const V top_value = V::set(largest);
  double count = 0, others = 0;
  for (int64_t begin = 0; begin < classes; begin += kSpan) {
    const int64_t end = std::min(classes, begin + kSpan);
    V ones = V::zero(), rest = V::zero();
    for (i = begin; i < end; i += N) {
      const int64_t lanes = std::min(N, end - i);
      V v = top_value + V::set(-std::numeric_limits<T>::infinity());
      if (lanes == N)
        v = V::load(x + i);
      else
        for (int64_t j = 0; j < lanes; ++j) v.v[j] = x[i + j];
      const Mask<T> top = v == top_value;
      const V power = exp(v - top_value);
      ones = ones + select(top, V::set(1), V::zero());
      rest = rest + select(top, V::zero(), power);
      if (e == nullptr) continue;
      if (lanes == N)
        power.store(e + i);
      else
        power.store(e + i, lanes);
    }
    count += reduce_add(ones);
    others += reduce_add(rest);
  }
  return {largest, static_cast<T>(count), static_cast<T>(others)};
}

template <class T>
void rows_range(const CrossEntropyArgs& args, int64_t begin, int64_t end) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  const int64_t classes = args.classes;
  const bool one_register = classes <= N;
  const T scale = static_cast<T>(args.scale);
  const T* const x0 = static_cast<const T*>(args.x);
  T* const dx0 = static_cast<T*>(args.dx);
  T* const loss = static_cast<T*>(args.loss);
  for (int64_t group = begin; group < end; group += kRowGroup) {
    const int64_t count = std::min(kRowGroup, end - group);
    double beyond_one[kRowGroup + Vec<double>::N] = {}, below_largest[kRowGroup] = {};  // loss = log1p(first) + second
    for (int64_t r = 0; r < count; ++r) {
      const int64_t row = group + r, target = args.target[row];
      const T* x = x0 + row * args.x_row;
      T* dx = dx0 == nullptr ? nullptr : dx0 + row * classes;
      if (target == args.ignore_index) {
        if (dx != nullptr) std::fill_n(dx, classes, T(0));
        continue;
      }
      V e;
      const RowSum<T> sum = one_register ? sum_short_row(x, classes, e) : sum_long_row(x, classes, dx);
      if (!std::isfinite(sum.largest) || static_cast<uint64_t>(target) >= static_cast<uint64_t>(classes)) [[unlikely]] {
        beyond_one[r] = std::numeric_limits<double>::quiet_NaN();
        if (dx != nullptr) std::fill_n(dx, classes, std::numeric_limits<T>::quiet_NaN());
        continue;
      }
      const double total = static_cast<double>(sum.largest_count) + static_cast<double>(sum.others);
      beyond_one[r] = static_cast<double>(sum.largest_count - T(1)) + static_cast<double>(sum.others);
      below_largest[r] = static_cast<double>(sum.largest) - static_cast<double>(x[target]);
      if (dx == nullptr) continue;
      const V factor = V::set(static_cast<T>(args.scale / total));
      if (one_register) {
        (e * factor).store(dx, classes);
      } else {
        int64_t i = 0;
        for (; i + N <= classes; i += N) (V::load(dx + i) * factor).store(dx + i);
        if (i < classes) (V::load(dx + i, classes - i) * factor).store(dx + i, classes - i);
      }
      // softmax - 1 without cancellation: minus what all the others have.
      if (x[target] == sum.largest)
        dx[target] = static_cast<T>(-args.scale * beyond_one[r] / total);
      else
        dx[target] -= scale;
    }
    if (loss == nullptr) continue;
    for (int64_t r = 0; r < count; r += Vec<double>::N) log1p(Vec<double>::load(beyond_one + r)).store(beyond_one + r);
    for (int64_t r = 0; r < count; ++r) loss[group + r] = static_cast<T>(beyond_one[r] + below_largest[r]);
  }
}

int64_t rows_per_task(const CrossEntropyArgs& args) {
  const int64_t rows = kChunk / 4 / std::max<int64_t>(args.classes, 1);
  return std::max<int64_t>(1, rows / kRowGroup * kRowGroup);
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args, const Tasks& tasks) {
  const int64_t rows = rows_per_task(args);
  const int64_t begin = tasks.begin * rows, end = std::min(args.rows, tasks.end * rows);
  if (args.dtype == DType::Float64)
    rows_range<double>(args, begin, end);
  else
    rows_range<float>(args, begin, end);
}

Schedule cross_entropy_schedule(const CrossEntropyArgs& args) {
  const int64_t rows = rows_per_task(args);
  Schedule schedule;
  schedule.tasks[0] = (args.rows + rows - 1) / rows;
  schedule.nanoseconds = static_cast<double>(args.rows) * (20 + 0.8 * static_cast<double>(args.classes));
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
