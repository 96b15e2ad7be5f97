// Indexing by positions: offsets, gather, scatter and the positions of true.
#include "kernels/index.h"

#include "kernels/elementwise_loops.h"

namespace dnncore::DNNCORE_ISA {

// One task: the first position out of range is the one that is named.
void index_offsets(const IndexOffsetsArgs& args, const Tasks&) {
  int64_t* out = args.offsets;
  const int64_t step = args.shape.n > 0 ? args.index_strides.back() : 1;
  const auto run = [&](int64_t offset, int64_t count) {
    const int64_t* index = args.index + offset;
    for (int64_t i = 0; i < count; ++i, ++out) {
      const int64_t position = index[i * step];
      int64_t wrapped = position < 0 ? position + args.size : position;
      if (wrapped < 0 || wrapped >= args.size) [[unlikely]] {
        if (args.bad[1] == 0) {
          args.bad[0] = position;
          args.bad[1] = 1;
        }
        wrapped = 0;
      }
      *out = (args.first ? 0 : *out) + wrapped * args.stride;
    }
  };
  if (args.shape.n == 0) return run(0, 1);
  for_each_run<1>(args.shape, {&args.index_strides}, 0, numel(args.shape),
                  [&](const int64_t* offset, int64_t count) { run(offset[0], count); });
}

Schedule index_offsets_schedule(const IndexOffsetsArgs& args) { return {.nanoseconds = static_cast<double>(numel(args.shape))}; }

namespace {

template <class U>
void gather_rows(const GatherArgs& args, int64_t begin, int64_t end) {
  const U* x = static_cast<const U*>(args.x);
  const int64_t inner = numel(args.inner);
  U* y = static_cast<U*>(args.y) + begin * inner;
  if (inner == 1) {
    for (int64_t i = begin; i < end; ++i) *y++ = x[args.offsets[i]];
    return;
  }
  const bool adjacent = layout_of(args.inner, args.x_strides) == Layout::Adjacent;
  for (int64_t i = begin; i < end; ++i, y += inner) {
    const U* row = x + args.offsets[i];
    if (adjacent)
      std::memcpy(y, row, static_cast<size_t>(inner) * sizeof(U));
    else
      pack(reinterpret_cast<const std::byte*>(row), sizeof(U), args.inner, args.x_strides, 0, inner, reinterpret_cast<std::byte*>(y));
  }
}

}  // namespace

void gather(const GatherArgs& args, const Tasks& tasks) {
  const int64_t rows = rows_per_task(numel(args.inner));
  visit_size(itemsize(args.dtype),
             [&](auto tag) { gather_rows<decltype(tag)>(args, std::min(args.n, tasks.begin * rows), std::min(args.n, tasks.end * rows)); });
}

Schedule gather_schedule(const GatherArgs& args) {
  const int64_t inner = numel(args.inner), rows = rows_per_task(inner);
  Schedule schedule;
  schedule.tasks[0] = (args.n + rows - 1) / rows;
  schedule.nanoseconds = static_cast<double>(args.n) * (2 + 0.1 * static_cast<double>(inner * static_cast<int64_t>(itemsize(args.dtype))));
  return schedule;
}

namespace {

// Duplicates want the order of i, so tasks split the block of an offset, never the offsets.
constexpr int64_t kPiece = 128;

int64_t scatter_tasks(const ScatterArgs& args) {
  const int64_t inner = numel(args.inner);
  return args.n * inner < 2 * kChunk ? 1 : std::clamp<int64_t>(inner / kPiece, 1, 16);
}

template <class T>
T sum_of(T a, T b) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return to_bfloat16(to_float(a) + to_float(b));
  else if constexpr (std::is_same_v<T, float16>)
    return to_float16(to_float(a) + to_float(b));
  else if constexpr (std::is_same_v<T, bool>)
    return a || b;
  else if constexpr (std::is_floating_point_v<T>)
    return a + b;
  else
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

template <class T, bool kAccumulate>
void scatter_range(const ScatterArgs& args, int64_t begin, int64_t end) {
  const T* values = static_cast<const T*>(args.values);
  T* x = static_cast<T*>(args.x);
  const auto put = [](T& to, T value) {
    if constexpr (kAccumulate)
      to = sum_of(to, value);
    else
      to = value;
  };
  if (numel(args.inner) == 1) {
    for (int64_t i = 0; i < args.n; ++i) put(x[args.offsets[i]], values[i * args.value_step]);
    return;
  }
  const int64_t x_step = args.x_strides.back(), value_step = args.value_strides.back();
  for (int64_t i = 0; i < args.n; ++i)
    for_each_run<2>(args.inner, {&args.x_strides, &args.value_strides}, begin, end, [&](const int64_t* offset, int64_t count) {
      T* to = x + args.offsets[i] + offset[0];
      const T* from = values + i * args.value_step + offset[1];
      if (x_step == 1 && value_step == 1) {
#pragma GCC ivdep
        for (int64_t j = 0; j < count; ++j) put(to[j], from[j]);
      } else {
        for (int64_t j = 0; j < count; ++j) put(to[j * x_step], from[j * value_step]);
      }
    });
}

}  // namespace

void scatter(const ScatterArgs& args, const Tasks& tasks) {
  const int64_t inner = numel(args.inner), count = scatter_tasks(args);
  const int64_t begin = inner * tasks.begin / count, end = inner * tasks.end / count;
  if (begin >= end || args.n == 0) return;
  if (args.accumulate)
    visit_dtype(args.dtype, [&](auto tag) { scatter_range<decltype(tag), true>(args, begin, end); });
  else
    visit_size(itemsize(args.dtype), [&](auto tag) { scatter_range<decltype(tag), false>(args, begin, end); });
}

Schedule scatter_schedule(const ScatterArgs& args) {
  Schedule schedule;
  schedule.tasks[0] = scatter_tasks(args);
  const int64_t bytes = numel(args.inner) * static_cast<int64_t>(itemsize(args.dtype));
  schedule.nanoseconds = static_cast<double>(args.n) * (3 + 0.15 * static_cast<double>(bytes));
  return schedule;
}

// One task: a position depends on every entry before it, and a byte per entry is little to read.
void nonzero(const NonzeroArgs& args, const Tasks&) {
  const uint8_t* mask = reinterpret_cast<const uint8_t*>(args.mask);
  int64_t count = 0;
  if (args.positions == nullptr) {
    for (int64_t i = 0; i < args.n;) {
      uint32_t block = 0;
      for (const int64_t end = std::min(args.n, i + kChunk); i < end; ++i) block += mask[i] != 0;
      count += block;
    }
    *args.count = count;
    return;
  }
  int64_t i = 0;
  const auto look = [&](int64_t end) {
    for (; i < end; ++i)
      if (mask[i] && count < args.capacity) args.positions[count++] = i;
  };
  while (i + 8 <= args.n) {
    uint64_t eight;
    std::memcpy(&eight, mask + i, 8);
    if (eight == 0)
      i += 8;
    else
      look(i + 8);
  }
  look(args.n);
  *args.count = count;
}

Schedule nonzero_schedule(const NonzeroArgs& args) {
  return {.nanoseconds = static_cast<double>(args.n) * (args.positions == nullptr ? 0.1 : 1.0)};
}

}  // namespace dnncore::DNNCORE_ISA
