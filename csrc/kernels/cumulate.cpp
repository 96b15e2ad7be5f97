// A block of a row runs as kLanes pieces side by side, since one chain of additions would wait four cycles for each; where other
// dimensions lie inside, their entries are the lanes.
#include "kernels/cumulate.h"

#include <cmath>

#include "kernels/elementwise_loops.h"

namespace dnncore::DNNCORE_ISA {

namespace {

constexpr int kLanes = 8;
constexpr int64_t kTile = 1024;    // of a row, scanned with kLanes chains
constexpr int64_t kColumns = 256;  // of the inner dimensions, per task
constexpr int64_t kLength = CumulateArgs::kLength;

template <class T>
using Total = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

template <CumulateOp op, class A>
DNN_INLINE A joined(A a, A b) {
  return op == CumulateOp::sum ? a + b : a * b;
}
template <CumulateOp op, class A>
constexpr A kStart = op == CumulateOp::sum ? A{0} : A{1};

template <CumulateOp op, class T>
Total<T> total_of(const T* x, int64_t n) {
  using A = Total<T>;
  A lanes[kLanes];
  std::fill_n(lanes, kLanes, kStart<op, A>);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lanes[k] = joined<op>(lanes[k], static_cast<A>(x[i + k]));
  A total = kStart<op, A>;
  for (A lane : lanes) total = joined<op>(total, lane);
  for (; i < n; ++i) total = joined<op>(total, static_cast<A>(x[i]));
  return total;
}

// In tiles, whose pieces lie 512 bytes apart or so: those of a whole block would meet in the same sets of the cache (5 times slower).
template <CumulateOp op, class T>
void scan_block(const T* x, T* y, int64_t n, Total<T> running) {
  using A = Total<T>;
  while (n >= 8 * kLanes) {
    const int64_t piece = std::min(n, kTile) / kLanes;
    A lanes[kLanes];
    for (int k = 0; k < kLanes; ++k) {
      lanes[k] = running;
      running = joined<op>(running, total_of<op>(x + k * piece, piece));
    }
    for (int64_t i = 0; i < piece; ++i)
      for (int k = 0; k < kLanes; ++k) {
        lanes[k] = joined<op>(lanes[k], static_cast<A>(x[k * piece + i]));
        y[k * piece + i] = static_cast<T>(lanes[k]);
      }
    x += kLanes * piece;
    y += kLanes * piece;
    n -= kLanes * piece;
  }
  for (int64_t i = 0; i < n; ++i) {
    running = joined<op>(running, static_cast<A>(x[i]));
    y[i] = static_cast<T>(running);
  }
}

template <CumulateOp op, class A>
A total_before(const A* totals, int64_t block) {
  A total = kStart<op, A>;
  for (int64_t i = 0; i < block; ++i) total = joined<op>(total, totals[i]);
  return total;
}

// Phase 0 of a row in blocks: totals; phase 1: what came before a block, then the block.
template <CumulateOp op, class T>
void scan_rows(const CumulateArgs& args, const Tasks& tasks) {
  using A = Total<T>;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  if (!args.in_blocks()) {
    const int64_t per_task = rows_per_task(args.n);
    for (int64_t r = tasks.begin * per_task; r < std::min(args.outer, tasks.end * per_task); ++r)
      scan_block<op>(x + r * args.n, y + r * args.n, args.n, kStart<op, A>);
    return;
  }
  const int64_t blocks = args.blocks();
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    const int64_t block = task % blocks, at = task / blocks * args.n + block * kLength, count = std::min(kLength, args.n - block * kLength);
    A* totals = static_cast<A*>(args.workspace) + task / blocks * blocks;
    if (tasks.phase == 0)
      totals[block] = total_of<op>(x + at, count);
    else
      scan_block<op>(x + at, y + at, count, total_before<op>(totals, block));
  }
}

template <CumulateOp op, class T>
void scan_columns(const CumulateArgs& args, int64_t task) {
  using A = Total<T>;
  const int64_t stripes = (args.inner + kColumns - 1) / kColumns, begin = task % stripes * kColumns;
  const int64_t columns = std::min(kColumns, args.inner - begin), at = task / stripes * args.n * args.inner + begin;
  const T* x = static_cast<const T*>(args.x) + at;
  T* y = static_cast<T*>(args.y) + at;
  A running[kColumns];
  std::fill_n(running, columns, kStart<op, A>);
  for (int64_t j = 0; j < args.n; ++j, x += args.inner, y += args.inner)
#pragma GCC ivdep
    for (int64_t c = 0; c < columns; ++c) {
      running[c] = joined<op>(running[c], static_cast<A>(x[c]));
      y[c] = static_cast<T>(running[c]);
    }
}

// Running extremes and logsumexp: one chain per row, any strides.
template <class T, class Step>
void for_each_row(const CumulateArgs& args, int64_t task, Step&& step) {
  const int64_t per_task = rows_per_task(args.n);
  for (int64_t r = task * per_task; r < std::min(args.outer * args.inner, (task + 1) * per_task); ++r) {
    const int64_t at = r / args.inner * args.n * args.inner + r % args.inner;
    step(static_cast<const T*>(args.x) + at, static_cast<T*>(args.y) + at, at);
  }
}

template <class T>
void extremes(const CumulateArgs& args, int64_t task) {
  const bool largest = args.op == CumulateOp::max;
  for_each_row<T>(args, task, [&](const T* x, T* y, int64_t at) {
    T best = x[0];
    int64_t best_at = 0;
    for (int64_t j = 0; j < args.n; ++j) {
      const T value = x[j * args.inner];
      if (value != value || (best == best && (largest ? value >= best : value <= best))) {
        best = value;
        best_at = j;
      }
      y[j * args.inner] = best;
      args.indices[at + j * args.inner] = best_at;
    }
  });
}

// exp(running) = exp(most) * sum, rescaled when a larger entry comes.
template <class T>
void log_sums(const CumulateArgs& args, int64_t task) {
  for_each_row<T>(args, task, [&](const T* x, T* y, int64_t) {
    double most = -HUGE_VAL, sum = 0;
    for (int64_t j = 0; j < args.n; ++j) {
      const double value = x[j * args.inner];
      if (value > most || value != value) {
        sum = sum == 0 ? 1 : sum * std::exp(most - value) + 1;
        most = value;
      } else if (most > -HUGE_VAL) {
        sum += value == most ? 1 : std::exp(value - most);
      }
      y[j * args.inner] = static_cast<T>(most + std::log(sum));
    }
  });
}

template <class T>
void sums(const CumulateArgs& args, const Tasks& tasks) {
  const bool sum = args.op == CumulateOp::sum;
  if (args.inner == 1) return sum ? scan_rows<CumulateOp::sum, T>(args, tasks) : scan_rows<CumulateOp::prod, T>(args, tasks);
  for (int64_t task = tasks.begin; task < tasks.end; ++task)
    sum ? scan_columns<CumulateOp::sum, T>(args, task) : scan_columns<CumulateOp::prod, T>(args, task);
}

}  // namespace

void cumulate(const CumulateArgs& args, const Tasks& tasks) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (args.op <= CumulateOp::prod) {
      if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, int64_t>) sums<T>(args, tasks);
    } else if (args.op == CumulateOp::logsumexp) {
      if constexpr (std::is_floating_point_v<T>)
        for (int64_t task = tasks.begin; task < tasks.end; ++task) log_sums<T>(args, task);
    } else if constexpr (!std::is_same_v<T, bfloat16> && !std::is_same_v<T, float16>) {
      for (int64_t task = tasks.begin; task < tasks.end; ++task) extremes<T>(args, task);
    }
  });
}

Schedule cumulate_schedule(const CumulateArgs& args) {
  Schedule schedule;
  const double entries = static_cast<double>(args.outer * args.n * args.inner);
  const bool sums = args.op <= CumulateOp::prod;
  schedule.nanoseconds = entries * (sums ? 0.6 : args.op == CumulateOp::logsumexp ? 20 : 2);
  const int64_t per_task = rows_per_task(args.n);
  if (entries == 0)
    schedule.tasks[0] = 0;
  else if (args.in_blocks())
    schedule.tasks[0] = schedule.tasks[1] = args.outer * args.blocks();
  else if (sums && args.inner > 1)
    schedule.tasks[0] = args.outer * ((args.inner + kColumns - 1) / kColumns);
  else
    schedule.tasks[0] = (args.outer * args.inner + per_task - 1) / per_task;
  schedule.phases = args.in_blocks() ? 2 : 1;
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
