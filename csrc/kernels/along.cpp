// Picking and putting along a dimension. A task owns whole rows, so that equal positions meet in the order of j.
#include "kernels/along.h"

#include "kernels/elementwise_loops.h"

namespace dnncore::DNNCORE_ISA {

namespace {

constexpr int64_t kLine = 16;  // neighbouring rows that share a cache line stay in one task

int64_t lines_per_task(int64_t n) { return (kChunk / std::max<int64_t>(n, 1) / kLine + 1) * kLine; }

// fn(offsets, j) for the rows [begin, end): along the dimension first where that is how the index lies in memory, else row by row
// for every j, so that a cache line of the index is used whole.
template <class Fn>
void for_each_entry(const Shape& shape, const Strides* const (&strides)[3], const int64_t (&steps)[3], int64_t n, int64_t begin,
                    int64_t end, Fn&& fn) {
  const int last = shape.n - 1;
  const int64_t r0 = (*strides[0])[last], r1 = (*strides[1])[last], r2 = (*strides[2])[last];
  const auto [s0, s1, s2] = steps;
  for_each_run<3>(shape, strides, begin, end, [&](const int64_t* at, int64_t count) {
    if (count == 1 || s1 <= r1) {
      for (int64_t r = 0; r < count; ++r)
        for (int64_t j = 0; j < n; ++j) fn(at[0] + r * r0, at[1] + r * r1 + j * s1, at[2] + r * r2 + j * s2);
    } else {
      for (int64_t j = 0; j < n; ++j)
        for (int64_t r = 0; r < count; ++r) fn(at[0] + r * r0, at[1] + r * r1 + j * s1, at[2] + r * r2 + j * s2);
    }
  });
}

Schedule along_schedule(const Shape& shape, int64_t n, double nanoseconds) {
  const int64_t rows = numel(shape), per_task = lines_per_task(n);
  Schedule schedule;
  schedule.tasks[0] = n > 0 ? (rows + per_task - 1) / per_task : 0;
  schedule.nanoseconds = nanoseconds * static_cast<double>(rows * n);
  return schedule;
}

template <class T>
T combined(ScatterOp op, T a, T b) {
  using Unsigned = uint64_t;
  switch (op) {
    case ScatterOp::sum:
      if constexpr (std::is_same_v<T, bool>)
        return a || b;
      else if constexpr (std::is_integral_v<T>)
        return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
      else
        return a + b;
    case ScatterOp::prod:
      if constexpr (std::is_same_v<T, bool>)
        return a && b;
      else if constexpr (std::is_integral_v<T>)
        return static_cast<T>(static_cast<Unsigned>(a) * static_cast<Unsigned>(b));
      else
        return a * b;
    case ScatterOp::amax:
      return b > a || b != b ? b : a;  // once a is NaN no b is larger
    default:
      return b < a || b != b ? b : a;
  }
}

template <class T, ScatterOp op>
void scatter_rows(const ScatterDimArgs& args, int64_t begin, int64_t end) {
  T* x = static_cast<T*>(args.x);
  const T* values = static_cast<const T*>(args.values);
  const int64_t *index = args.index, size = args.size, step = args.x_step;
  for_each_entry(args.shape, {&args.x_strides, &args.index_strides, &args.value_strides}, {0, args.index_step, args.value_step}, args.n,
                 begin, end, [=](int64_t row, int64_t at, int64_t from) {
                   const int64_t position = index[at];
                   if (static_cast<uint64_t>(position) >= static_cast<uint64_t>(size)) return;
                   T& to = x[row + position * step];
                   if constexpr (op == ScatterOp::assign)
                     to = values[from];
                   else
                     to = combined<T>(op, to, values[from]);
                 });
}

template <class T>
void reduce_rows(const ScatterDimArgs& args, int64_t begin, int64_t end) {
  switch (args.op) {
    case ScatterOp::sum:
      return scatter_rows<T, ScatterOp::sum>(args, begin, end);
    case ScatterOp::prod:
      return scatter_rows<T, ScatterOp::prod>(args, begin, end);
    case ScatterOp::amax:
      return scatter_rows<T, ScatterOp::amax>(args, begin, end);
    default:
      return scatter_rows<T, ScatterOp::amin>(args, begin, end);
  }
}

}  // namespace

void gather_dim(const GatherDimArgs& args, const Tasks& tasks) {
  const int64_t rows = numel(args.shape), per_task = lines_per_task(args.n);
  const int64_t begin = std::min(rows, tasks.begin * per_task), end = std::min(rows, tasks.end * per_task);
  visit_size(itemsize(args.dtype), [&](auto tag) {
    using U = decltype(tag);
    const U* x = static_cast<const U*>(args.x);
    U* y = static_cast<U*>(args.y);
    const int64_t *index = args.index, size = args.size, step = args.x_step;
    for_each_entry(args.shape, {&args.x_strides, &args.index_strides, &args.y_strides}, {0, args.index_step, args.y_step}, args.n, begin,
                   end, [=](int64_t row, int64_t at, int64_t to) {
                     const int64_t position = index[at];
                     if (static_cast<uint64_t>(position) < static_cast<uint64_t>(size)) y[to] = x[row + position * step];
                   });
  });
}

Schedule gather_dim_schedule(const GatherDimArgs& args) { return along_schedule(args.shape, args.n, 1.0); }

void scatter_dim(const ScatterDimArgs& args, const Tasks& tasks) {
  const int64_t rows = numel(args.shape), per_task = lines_per_task(args.n);
  const int64_t begin = std::min(rows, tasks.begin * per_task), end = std::min(rows, tasks.end * per_task);
  if (args.op == ScatterOp::assign)
    return visit_size(itemsize(args.dtype), [&](auto tag) { scatter_rows<decltype(tag), ScatterOp::assign>(args, begin, end); });
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, bfloat16> && !std::is_same_v<T, float16>) reduce_rows<T>(args, begin, end);
  });
}

Schedule scatter_dim_schedule(const ScatterDimArgs& args) { return along_schedule(args.shape, args.n, 1.5); }

}  // namespace dnncore::DNNCORE_ISA
