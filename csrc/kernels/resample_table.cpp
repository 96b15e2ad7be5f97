// The tables of resampling, one task per dimension. One body for every ISA: the choice of elements does not depend on it.
#include <cstring>

#include "core/launch.h"
#include "kernels/resample_taps.h"

namespace dnncore::baseline {

void resample_table(const ResampleTableArgs& args, const Tasks& tasks);
Schedule resample_table_schedule(const ResampleTableArgs& args);

namespace {

// The taps of neighbours move together, so that the outputs an element goes to are adjacent as well.
template <class T>
void write_axis(const ResampleShape& s, int index, std::byte* table) {
  const ResampleAxis& axis = s.axes[index];
  const int64_t rows = s.rows(index);
  auto* first = reinterpret_cast<int32_t*>(table);
  int32_t* begin = first + rows;
  auto* weights = reinterpret_cast<T*>(table + s.head_bytes(index));
  std::memset(table, 0, static_cast<size_t>(s.table_bytes(index)));
  const ResampleTaps taps(s, axis);
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
