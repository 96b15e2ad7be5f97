// Strided copy with cast, fill and ranges. Same-type copies move bits: whole runs, transposed tiles or element by element; casts are rows
// of elementwise_loops.h between the arithmetic types, the halves travel as float32.
#include "kernels/copy.h"

#include <utility>

#include "kernels/elementwise_loops.h"
#include "kernels/transpose.h"

namespace dnncore::DNNCORE_ISA {
namespace {

// Truncates towards zero, saturates, NaN gives 0.
template <class To, class From>
To to_integer(From x) {
  constexpr From kEnd = static_cast<From>(std::numeric_limits<To>::max() / 2 + 1) * 2;  // one past the largest
  constexpr From kBegin = static_cast<From>(std::numeric_limits<To>::min());
  const bool inside = x > kBegin - 1 && x < kEnd;
  const To r = static_cast<To>(inside ? x : From(0));
  return x >= kEnd ? std::numeric_limits<To>::max() : x <= kBegin ? std::numeric_limits<To>::min() : r;
}

struct Boolean {  // Bool's storage; destination only, as a source it is uint8_t's 0 and 1
  uint8_t value;
};

template <class From, class To>
void cast_row(const std::byte* const* in, std::byte* out, int64_t n, int) {
  const From* x = reinterpret_cast<const From*>(in[0]);
  To* y = reinterpret_cast<To*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<To, Boolean>)
      y[i].value = x[i] != From(0);
    else if constexpr (std::is_floating_point_v<From> && !std::is_floating_point_v<To>)
      y[i] = to_integer<To>(x[i]);
    else
      y[i] = static_cast<To>(x[i]);
  }
}

template <class From>
Row cast_to(DType to) {
  switch (to) {
    case DType::Float64:
      return cast_row<From, double>;
    case DType::Int64:
      return cast_row<From, int64_t>;
    case DType::Int32:
      return cast_row<From, int32_t>;
    case DType::UInt8:
      return cast_row<From, uint8_t>;
    case DType::Bool:
      return cast_row<From, Boolean>;
    default:
      return cast_row<From, float>;
  }
}

Row cast_for(DType from, DType to) {
  switch (from) {
    case DType::Float64:
      return cast_to<double>(to);
    case DType::Int64:
      return cast_to<int64_t>(to);
    case DType::Int32:
      return cast_to<int32_t>(to);
    case DType::UInt8:
    case DType::Bool:
      return cast_to<uint8_t>(to);
    default:
      return cast_to<float>(to);
  }
}

void stream_bytes(const std::byte* x, std::byte* y, int64_t n) {
  using V = Vec<uint8_t>;
  const int64_t head = std::min<int64_t>(n, -reinterpret_cast<uintptr_t>(y) % kVecBytes);
  std::memcpy(y, x, static_cast<size_t>(head));
  int64_t i = head;
  for (; i + kVecBytes <= n; i += kVecBytes) V::load(reinterpret_cast<const uint8_t*>(x) + i).stream(reinterpret_cast<uint8_t*>(y) + i);
  std::memcpy(y + i, x + i, static_cast<size_t>(n - i));
}

enum class Path : uint8_t { Flat, Transposed, Runs };

struct CopyPlan {
  Path path = Path::Runs;
  int64_t tasks = 0;
  int across = 0;        // Transposed: the dimension along which x is adjacent
  int64_t tiles = 0;     // of the planes (across, last)
  int64_t per_task = 0;  // tiles of a task: about a chunk
};

CopyPlan plan_of(const CopyArgs& args) {
  const int64_t total = numel(args.shape);
  CopyPlan plan{.tasks = (total + kChunk - 1) / kChunk};
  if (args.x_dtype != args.y_dtype || total == 0) return plan;
  if (layout_of(args.shape, args.x_strides) == Layout::Adjacent && layout_of(args.shape, args.y_strides) == Layout::Adjacent) {
    plan.path = Path::Flat;
    return plan;
  }
  const int last = args.shape.n - 1;
  if (args.y_strides[last] != 1 || args.x_strides[last] <= 1 || args.shape[last] < 2) return plan;
  for (int d = 0; d < last; ++d) {
    if (args.x_strides[d] != 1 || args.shape[d] < 2) continue;
    plan.path = Path::Transposed;
    plan.across = d;
    plan.tiles = total / (args.shape[d] * args.shape[last]) * tiles_of(args.shape[d]) * tiles_of(args.shape[last]);
    plan.per_task = std::max<int64_t>(1, kChunk / (std::min(args.shape[d], kTile) * std::min(args.shape[last], kTile)));
    plan.tasks = (plan.tiles + plan.per_task - 1) / plan.per_task;
  }
  return plan;
}

// Task: some tiles of the planes (across, last) at the places of the other dimensions.
template <class U>
void copy_transposed(const CopyArgs& args, const CopyPlan& plan, const Tasks& tasks) {
  const int last = args.shape.n - 1, across = plan.across;
  const int64_t rows = args.shape[across], cols = args.shape[last];
  const int64_t row_tiles = tiles_of(rows), col_tiles = tiles_of(cols);
  Shape rest = args.shape;
  Strides x_rest = args.x_strides, y_rest = args.y_strides;
  for (int d : {last, across}) rest.erase(d), x_rest.erase(d), y_rest.erase(d);
  for (int64_t tile = tasks.begin * plan.per_task; tile < std::min(tasks.end * plan.per_task, plan.tiles); ++tile) {
    int64_t place = tile / (row_tiles * col_tiles), x_offset = 0, y_offset = 0;
    for (int d = rest.n - 1; d >= 0; --d) {
      x_offset += place % rest[d] * x_rest[d];
      y_offset += place % rest[d] * y_rest[d];
      place /= rest[d];
    }
    const int64_t row = tile / col_tiles % row_tiles * kTile, col = tile % col_tiles * kTile;
    const int64_t x_step = args.x_strides[last], y_step = args.y_strides[across];
    transpose_tile(static_cast<const U*>(args.x) + x_offset + row + col * x_step, x_step,
                   static_cast<U*>(args.y) + y_offset + row * y_step + col, y_step, std::min(kTile, rows - row),
                   std::min(kTile, cols - col));
  }
}

// A few bytes, or many: by whole registers of which the last two may overlap. A call of memcpy costs as much as 64 bytes.
DNN_INLINE void copy_bytes(const uint8_t* x, uint8_t* y, int64_t n) {
  using V = Vec<uint8_t>;
  if (n >= kVecBytes) {
    for (int64_t i = 0; i + kVecBytes <= n; i += kVecBytes) V::load(x + i).store(y + i);
    V::load(x + n - kVecBytes).store(y + n - kVecBytes);
    return;
  }
  const auto both_ends = [&](auto size) {
    uint8_t first[size()], last[size()];
    std::memcpy(first, x, size()), std::memcpy(last, x + n - size(), size());
    std::memcpy(y, first, size()), std::memcpy(y + n - size(), last, size());
  };
  if (n >= 32) return both_ends(std::integral_constant<int, 32>{});
  if (n >= 16) return both_ends(std::integral_constant<int, 16>{});
  if (n >= 8) return both_ends(std::integral_constant<int, 8>{});
  if (n >= 4) return both_ends(std::integral_constant<int, 4>{});
  for (int64_t i = 0; i < n; ++i) y[i] = x[i];
}

template <class U>
void copy_runs(const CopyArgs& args, int64_t begin, int64_t end) {
  const int last = args.shape.n - 1;
  const int64_t x_step = args.x_strides[last], y_step = args.y_strides[last];
  for_each_run<2>(args.shape, {&args.x_strides, &args.y_strides}, begin, end, [&](const int64_t* offset, int64_t count) {
    const U* x = static_cast<const U*>(args.x) + offset[0];
    U* y = static_cast<U*>(args.y) + offset[1];
    if (x_step == 1 && y_step == 1)
      copy_bytes(reinterpret_cast<const uint8_t*>(x), reinterpret_cast<uint8_t*>(y), count * static_cast<int64_t>(sizeof(U)));
    else if (x_step == 0 && y_step == 1)
      std::fill_n(y, count, *x);
    else
      for (int64_t i = 0; i < count; ++i) y[i * y_step] = x[i * x_step];
  });
}

// One rounding from float64 to a half: float32 rounded to odd keeps what the second rounding needs.
float round_to_odd(double x) {
  const float r = static_cast<float>(x);
  if (static_cast<double>(r) == x || x != x || std::abs(r) == std::numeric_limits<float>::infinity()) return r;
  uint32_t u = std::bit_cast<uint32_t>(r);
  if (std::abs(static_cast<double>(r)) > std::abs(x)) --u;
  return std::bit_cast<float>(u | 1u);
}

template <class T>
T from_double(double x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return to_bfloat16(round_to_odd(x));
  else if constexpr (std::is_same_v<T, float16>)
    return to_float16(round_to_odd(x));
  else
    return static_cast<T>(x);
}

}  // namespace

void copy(const CopyArgs& args, const Tasks& tasks) {
  const int64_t total = numel(args.shape);
  const int64_t begin = tasks.begin * kChunk, end = std::min(tasks.end * kChunk, total);
  if (args.x_dtype != args.y_dtype) {
    run_elementwise<1>({.in = {static_cast<const std::byte*>(args.x)},
                        .out = static_cast<std::byte*>(args.y),
                        .shape = args.shape,
                        .in_strides = {&args.x_strides},
                        .out_strides = args.y_strides,
                        .in_dtype = {args.x_dtype},
                        .out_dtype = args.y_dtype,
                        .row = cast_for(args.x_dtype, args.y_dtype)},
                       tasks);
    return;
  }
  const CopyPlan plan = plan_of(args);
  const auto size = static_cast<int64_t>(itemsize(args.x_dtype));
  if (plan.path == Path::Flat) {
    const std::byte* x = static_cast<const std::byte*>(args.x) + begin * size;
    std::byte* y = static_cast<std::byte*>(args.y) + begin * size;
    if (total * size < kStreamBytes || tasks.reread) {
      std::memcpy(y, x, static_cast<size_t>((end - begin) * size));
    } else {
      stream_bytes(x, y, (end - begin) * size);
      stream_fence();
    }
    return;
  }
  visit_size(size, [&](auto tag) {
    using U = decltype(tag);
    if (plan.path == Path::Transposed)
      copy_transposed<U>(args, plan, tasks);
    else
      copy_runs<U>(args, begin, end);
  });
}

Schedule copy_schedule(const CopyArgs& args) {
  Schedule schedule;
  schedule.tasks[0] = plan_of(args).tasks;
  const double cost = layout_of(args.shape, args.x_strides) == Layout::Strided ? 0.3 : 0.06;
  schedule.nanoseconds = static_cast<double>(numel(args.shape)) * static_cast<double>(itemsize(args.y_dtype)) * cost;
  return schedule;
}

void fill(const FillArgs& args, const Tasks& tasks) {
  const int64_t begin = tasks.begin * kChunk, end = std::min(tasks.end * kChunk, numel(args.shape));
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr bool kFloating = is_floating(dtype_of<T>::value);
    T value;
    if constexpr (kFloating)
      value = from_double<T>(args.as_double);
    else
      value = static_cast<T>(args.as_int);
    const int64_t step = args.shape.n > 0 ? args.y_strides.back() : 1;
    T* y = static_cast<T*>(args.y);
    if (layout_of(args.shape, args.y_strides) == Layout::Adjacent) {
      std::fill(y + begin, y + end, value);
      return;
    }
    for_each_run<1>(args.shape, {&args.y_strides}, begin, end, [&](const int64_t* offset, int64_t count) {
      for (int64_t i = 0; i < count; ++i) y[offset[0] + i * step] = value;
    });
  });
}

Schedule fill_schedule(const FillArgs& args) { return elementwise_schedule(args.shape, 0.04 * static_cast<double>(itemsize(args.dtype))); }

void range(const RangeArgs& args, const Tasks& tasks) {
  const int64_t begin = tasks.begin * kChunk, end = std::min(tasks.end * kChunk, args.n);
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = static_cast<T*>(args.y);
    for (int64_t i = begin; i < end; ++i) {
      if constexpr (is_floating(dtype_of<T>::value))
        y[i] = from_double<T>(args.start + static_cast<double>(i) * args.step);
      else  // wraps
        y[i] = static_cast<T>(
            static_cast<int64_t>(static_cast<uint64_t>(args.int_start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(args.int_step)));
    }
  });
}

Schedule range_schedule(const RangeArgs& args) { return elementwise_schedule(Shape{args.n}, 1.0); }

}  // namespace dnncore::DNNCORE_ISA
