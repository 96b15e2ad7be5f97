// Local response normalisation, vectorised over the channels: what is summed over neighbours lies in scratch memory between zeros.
#include "kernels/local_response.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/elementwise_loops.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {
namespace {

// Rows between zeros; a vector may be loaded from any channel on.
template <class T>
class Padded {
 public:
  Padded(const LocalResponse& s, std::byte* memory, int64_t before, int64_t after)
      : data_(reinterpret_cast<T*>(memory)), before_(before), reach_(before + after), c_(s.c) {}

  int64_t width() const { return c_ + reach_ + Vec<T>::N; }
  static int64_t width(const LocalResponse& s) { return s.c + s.before + s.after + Vec<T>::N; }
  T* row(int64_t r) const { return data_ + r * width() + before_; }
  void clear(int64_t rows) const { std::memset(data_, 0, static_cast<size_t>(rows * width()) * sizeof(T)); }
  DNN_INLINE Vec<T> sum(int64_t r, int64_t i) const {
    const T* p = data_ + r * width() + i;
    Vec<T> sum = Vec<T>::load(p);
    for (int64_t o = 1; o <= reach_; ++o) sum = sum + Vec<T>::load(p + o);
    return sum;
  }

 private:
  T* data_;
  int64_t before_, reach_, c_;
};

// s^beta; beta = 3/4, which the papers use, is two roots, within 2 units in the last place.
template <class T>
struct Power {
  Vec<T> beta;
  bool three_quarters;
  explicit Power(double exponent) : beta(Vec<T>::set(static_cast<T>(exponent))), three_quarters(exponent == 0.75) {}
  DNN_INLINE Vec<T> operator()(Vec<T> s) const {
    if (!three_quarters) return pow(s, beta);
    const Vec<T> root = sqrt(s);
    return root * sqrt(root);
  }
};

// Rows that are worked on together: their scratch memory stays in L1.
template <class T>
int64_t rows_at_once(const LocalResponse& s) {
  return std::clamp<int64_t>(16384 / static_cast<int64_t>(sizeof(T)) / (2 * Padded<T>::width(s)), 1, 64);
}

template <class T>
void squares(const LocalResponse& s, const T* x, int64_t rows, const Padded<T>& into) {
  into.clear(rows);
  for (int64_t r = 0; r < rows; ++r)
    for_vectors<T>(
        s.c, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
          const Vec<T> v = load_lanes(x + r * s.c + i, lanes);
          store_lanes(v * v, into.row(r) + i, lanes);
        });
}

// fn(first row, rows) over the rows of the tasks.
template <class T, class Fn>
void for_row_groups(const LocalResponse& s, const Tasks& tasks, Fn&& fn) {
  const int64_t per_task = rows_per_task(s.c), at_once = rows_at_once<T>(s), end = std::min(s.rows, tasks.end * per_task);
  for (int64_t r = tasks.begin * per_task; r < end; r += at_once) fn(r, std::min(at_once, end - r));
}

template <class T>
void forward(const LocalResponseArgs& args, const Tasks& tasks) {
  const LocalResponse& s = args.shape;
  const Padded<T> squared(s, tasks.scratch, s.before, s.after);
  const Power<T> power(s.beta);
  const Vec<T> alpha = Vec<T>::set(static_cast<T>(s.alpha)), k = Vec<T>::set(static_cast<T>(s.k));
  for_row_groups<T>(s, tasks, [&](int64_t first, int64_t rows) {
    const T* x = static_cast<const T*>(args.x) + first * s.c;
    T* y = static_cast<T*>(args.y) + first * s.c;
    squares(s, x, rows, squared);
    for (int64_t r = 0; r < rows; ++r)
      for_vectors<T>(
          s.c, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
            const Vec<T> scale = fma(squared.sum(r, i), alpha, k);
            store_lanes(load_lanes(x + r * s.c + i, lanes) / power(scale), y + r * s.c + i, lanes);
          });
  });
}

template <class T>
void backward(const LocalResponseBackwardArgs& args, const Tasks& tasks) {
  const LocalResponse& s = args.shape;
  const int64_t at_once = rows_at_once<T>(s);
  const Padded<T> squared(s, tasks.scratch, s.before, s.after);
  const Padded<T> shares(s, tasks.scratch + at_once * Padded<T>::width(s) * static_cast<int64_t>(sizeof(T)), s.after, s.before);
  const Power<T> power(s.beta);
  const Vec<T> alpha = Vec<T>::set(static_cast<T>(s.alpha)), k = Vec<T>::set(static_cast<T>(s.k));
  const Vec<T> slope = Vec<T>::set(static_cast<T>(-2 * s.alpha * s.beta));
  for_row_groups<T>(s, tasks, [&](int64_t first, int64_t rows) {
    const T* x = static_cast<const T*>(args.x) + first * s.c;
    const T* dy = static_cast<const T*>(args.dy) + first * s.c;
    T* dx = static_cast<T*>(args.dx) + first * s.c;
    squares(s, x, rows, squared);
    shares.clear(rows);
    for (int64_t r = 0; r < rows; ++r)
      for_vectors<T>(
          s.c, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
            const Vec<T> scale = fma(squared.sum(r, i), alpha, k), part = load_lanes(dy + r * s.c + i, lanes) / power(scale);
            store_lanes(part, dx + r * s.c + i, lanes);
            store_lanes(part * load_lanes(x + r * s.c + i, lanes) / scale, shares.row(r) + i, lanes);
          });
    for (int64_t r = 0; r < rows; ++r)
      for_vectors<T>(
          s.c, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
            const Vec<T> towards = slope * load_lanes(x + r * s.c + i, lanes);
            store_lanes(fma(shares.sum(r, i), towards, load_lanes(dx + r * s.c + i, lanes)), dx + r * s.c + i, lanes);
          });
  });
}

Schedule schedule_of(const LocalResponse& s, double nanoseconds_each) {
  Schedule schedule;
  const int64_t per_task = rows_per_task(s.c);
  schedule.tasks[0] = (s.rows + per_task - 1) / per_task;
  schedule.nanoseconds = nanoseconds_each * static_cast<double>(s.rows * s.c);
  return schedule;
}

}  // namespace

void local_response(const LocalResponseArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? forward<double>(args, tasks) : forward<float>(args, tasks);
}
Schedule local_response_schedule(const LocalResponseArgs& args) { return schedule_of(args.shape, 1); }

void local_response_backward(const LocalResponseBackwardArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward<double>(args, tasks) : backward<float>(args, tasks);
}
Schedule local_response_backward_schedule(const LocalResponseBackwardArgs& args) { return schedule_of(args.shape, 2); }

}  // namespace dnncore::DNNCORE_ISA
