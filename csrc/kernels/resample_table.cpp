// The tables of resampling, one task per dimension. One body for every ISA: the choice of elements does not depend on it.
#include <cstring>

#include "core/launch.h"
#include "kernels/resample.h"

namespace dnncore::baseline {

void resample_table(const ResampleTableArgs& args, const Tasks& tasks);
Schedule resample_table_schedule(const ResampleTableArgs& args);

namespace {

double cubic(double x, double a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

double triangle(double x) { return std::max(0.0, 1 - std::fabs(x)); }

// PyTorch chooses in float32, whatever the tensor.
int64_t nearest(const ResampleAxis& axis, double offset, int64_t p) {
  const float at = (static_cast<float>(p) + static_cast<float>(offset)) * static_cast<float>(axis.step);
  return std::min(static_cast<int64_t>(std::floor(at)), axis.from - 1);
}

// The elements of `from` that element p of `to` is made of: fn(element, weight), ascending, each once.
class Taps {
 public:
  Taps(const ResampleShape& shape, const ResampleAxis& axis) : s_(shape), axis_(axis) {}

  template <class Fn>
  void visit(int64_t p, Fn&& fn) const {
    if (s_.mode == ResampleMode::Nearest) return fn(nearest(axis_, 0, p), 1.0);
    if (s_.mode == ResampleMode::NearestExact) return fn(nearest(axis_, 0.5, p), 1.0);
    if (axis_.from == axis_.to && axis_.step == 1) return fn(p, 1.0);
    if (s_.mode == ResampleMode::Linear) return linear(p, fn);
    if (s_.mode == ResampleMode::Cubic) return cubics(p, fn);
    antialiased(p, fn);
  }

 private:
  double place(int64_t p) const {
    const double at = static_cast<double>(p);
    return s_.align_corners ? at * axis_.step : (at + 0.5) * axis_.step - 0.5;
  }
  template <class Fn>
  void linear(int64_t p, Fn&& fn) const {
    const double at = std::clamp(place(p), 0.0, static_cast<double>(axis_.from - 1));
    const int64_t first = static_cast<int64_t>(at);
    const double share = at - static_cast<double>(first);
    fn(first, 1 - share);
    if (share > 0) fn(first + 1, share);
  }
  template <class Fn>
  void cubics(int64_t p, Fn&& fn) const {
    const double at = place(p), first = std::floor(at), t = at - first;
    const double weights[] = {cubic(t + 1, -0.75), cubic(t, -0.75), cubic(1 - t, -0.75), cubic(2 - t, -0.75)};
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
  void antialiased(int64_t p, Fn&& fn) const {
    const bool is_cubic = s_.mode == ResampleMode::CubicAntialias;
    const double wide = std::max(axis_.step, 1.0), reach = (is_cubic ? 2 : 1) * wide, centre = axis_.step * (static_cast<double>(p) + 0.5);
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
    const int64_t end = std::min(axis_.from, static_cast<int64_t>(centre + reach + 0.5));
    const auto weight = [&](int64_t q) {
      const double x = (static_cast<double>(q) - centre + 0.5) / wide;
      return is_cubic ? cubic(x, -0.5) : triangle(x);
    };
    double sum = 0;
    for (int64_t q = first; q < end; ++q) sum += weight(q);
    for (int64_t q = first; q < end; ++q) fn(q, weight(q) / sum);
  }

  const ResampleShape& s_;
  const ResampleAxis& axis_;
};

// The taps of neighbours move together, so that the outputs an element goes to are adjacent as well.
template <class T>
void write_axis(const ResampleShape& s, int index, std::byte* table) {
  const ResampleAxis& axis = s.axes[index];
  const int64_t rows = s.rows(index);
  auto* first = reinterpret_cast<int32_t*>(table);
  int32_t* begin = first + rows;
  auto* weights = reinterpret_cast<T*>(table + s.head_bytes(index));
  std::memset(table, 0, static_cast<size_t>(s.table_bytes(index)));
  const Taps taps(s, axis);
  const auto visit = [&](auto&& fn) {
    for (int64_t p = 0; p < axis.to; ++p)
      taps.visit(p, [&](int64_t q, double weight) { s.transposed ? fn(q, p, weight) : fn(p, q, weight); });
  };
  visit([&](int64_t row, int64_t column, double) {
    if (begin[row + 1]++ == 0) first[row] = static_cast<int32_t>(column);
  });
  for (int64_t r = 0; r < rows; ++r) {
    if (begin[r + 1] == 0) first[r] = r == 0 ? 0 : first[r - 1] + begin[r] - begin[r - 1];
    begin[r + 1] += begin[r];
  }
  visit([&](int64_t row, int64_t column, double weight) { weights[begin[row] + column - first[row]] = static_cast<T>(weight); });
}

}  // namespace

void resample_table(const ResampleTableArgs& args, const Tasks& tasks) {
  for (int64_t axis = tasks.begin; axis < tasks.end; ++axis) {
    const int i = static_cast<int>(axis);
    auto* table = static_cast<std::byte*>(args.table) + args.shape.table_offset(i);
    args.shape.dtype == DType::Float64 ? write_axis<double>(args.shape, i, table) : write_axis<float>(args.shape, i, table);
  }
}

Schedule resample_table_schedule(const ResampleTableArgs& args) {
  Schedule schedule;
  schedule.tasks[0] = 3;
  for (int i = 0; i < 3; ++i) schedule.nanoseconds += 5.0 * static_cast<double>(args.shape.axes[i].to * args.shape.most_taps(i));
  return schedule;
}

}  // namespace dnncore::baseline
