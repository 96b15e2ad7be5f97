// Rows of at most kRun entries are sorted by one task; longer ones as runs that later phases merge, every task one piece of kRun
// entries of the result. Runs: radix by bytes, which skips bytes all keys share; below kShort blocks sorted by counting, merged.
#include "kernels/sort.h"

#include <algorithm>

#include "kernels/elementwise_loops.h"
#include "kernels/sort_pairs.h"

namespace dnncore::DNNCORE_ISA {

namespace {

constexpr int64_t kRun = SortArgs::kRun;
constexpr int64_t kShort = 512;
constexpr int64_t kRanked = 32;

int64_t runs_of(int64_t n) { return (n + kRun - 1) / kRun; }

// Sorts `count` pairs at `a`; `b` is as large. Returns where the result lies.
template <class P, int kBytes>
P* radix_sort(P* a, P* b, int64_t count) {
  uint32_t counts[kBytes][256] = {};
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t key = key_of(a[i]);
    for (int byte = 0; byte < kBytes; ++byte) ++counts[byte][key >> (8 * byte) & 255];
  }
  for (int byte = 0; byte < kBytes; ++byte) {
    uint32_t* place = counts[byte];
    if (place[key_of(a[0]) >> (8 * byte) & 255] == count) continue;
    uint32_t start = 0;
    for (int digit = 0; digit < 256; ++digit) start += std::exchange(place[digit], start);
    for (int64_t i = 0; i < count; ++i) b[place[key_of(a[i]) >> (8 * byte) & 255]++] = a[i];
    std::swap(a, b);
  }
  return a;
}

// How many of the first `k` pairs of the merged a and b come from a.
template <class P>
int64_t split_of(const P* a, int64_t a_count, const P* b, int64_t b_count, int64_t k) {
  int64_t low = std::max<int64_t>(0, k - b_count), high = std::min(k, a_count);
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (a[middle] < b[k - middle - 1])
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

template <class P>
void merge_piece(const P* a, const P* a_end, const P* b, const P* b_end, P* to, int64_t count) {
  for (; count > 0 && a < a_end && b < b_end; --count) {
    const bool second = *b < *a;
    *to++ = second ? *b : *a;
    b += second;
    a += !second;
  }
  if (count > 0) std::memcpy(to, a < a_end ? a : b, static_cast<size_t>(count) * sizeof(P));
}

inline uint64_t rank_key(uint64_t pair) { return pair; }
inline uint64_t rank_key(const WidePair& pair) { return pair.key; }

// Every pair's place is the number of those before it, counted without a branch and always over kRanked keys, so that the loop is
// unrolled. Pairs arrive in the order of their positions: among equal keys the earlier ones come before.
template <class P>
void rank_sort(const P* a, P* b, int64_t count) {
  uint64_t keys[kRanked];
  for (int64_t i = 0; i < count; ++i) keys[i] = rank_key(a[i]);
  std::fill(keys + count, keys + kRanked, ~uint64_t{0});
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t key = keys[i];
    uint64_t place = 0;
    for (int64_t j = 0; j < kRanked; ++j) {
      if constexpr (std::is_same_v<P, WidePair>)
        place += (keys[j] < key) | ((keys[j] == key) & (j < i));
      else
        place += keys[j] < key;
    }
    b[place] = a[i];
  }
}

// std::sort instead costs 18 ns per entry of rows of 64.
template <class P>
P* merge_sort(P* a, P* b, int64_t count) {
  for (int64_t i = 0; i < count; i += kRanked) rank_sort(a + i, b + i, std::min(kRanked, count - i));
  for (int64_t length = kRanked; length < count; length *= 2) {
    std::swap(a, b);
    for (int64_t i = 0; i < count; i += 2 * length) {
      const int64_t middle = std::min(count, i + length), end = std::min(count, i + 2 * length);
      merge_piece(a + i, a + middle, a + middle, a + end, b + i, end - i);
    }
  }
  return b;
}

// The pairs of row[begin, begin + count) in order, somewhere in scratch.
template <class T>
const PairOf<T>* sorted_run(const T* row, int64_t begin, int64_t count, bool descending, std::byte* scratch) {
  using P = PairOf<T>;
  P* a = reinterpret_cast<P*>(scratch);
  for (int64_t i = 0; i < count; ++i) a[i] = make_pair<T>(key_of_value(row[begin + i], descending), begin + i);
  if (count >= kShort) return radix_sort<P, sizeof(KeyOf<T>)>(a, a + kRun, count);
  return merge_sort(a, a + kRun, count);
}

template <class T>
void sort_short_rows(const SortArgs& args, const Tasks& tasks) {
  const int64_t per_task = rows_per_task(2 * args.n);
  for (int64_t r = tasks.begin * per_task; r < std::min(args.rows, tasks.end * per_task); ++r) {
    const T* row = static_cast<const T*>(args.x) + r * args.n;
    const auto* pairs = sorted_run(row, 0, args.n, args.descending, tasks.scratch);
    write_sorted(pairs, args.n, row, static_cast<T*>(args.values) + r * args.n, args.indices + r * args.n);
  }
}

// Phase 0 leaves the runs in the first half of the workspace; phase p merges pairs of runs of kRun << (p - 1) from one half into the
// other, the last one into the result.
template <class T>
void sort_long_piece(const SortArgs& args, int64_t phase, int64_t task, std::byte* scratch) {
  using P = PairOf<T>;
  const int64_t runs = runs_of(args.n), r = task / runs, begin = task % runs * kRun, count = std::min(kRun, args.n - begin);
  const T* row = static_cast<const T*>(args.x) + r * args.n;
  P* halves[2] = {static_cast<P*>(args.workspace) + r * args.n, static_cast<P*>(args.workspace) + (args.rows + r) * args.n};
  if (phase == 0) {
    const P* pairs = sorted_run(row, begin, count, args.descending, scratch);
    std::memcpy(halves[0] + begin, pairs, static_cast<size_t>(count) * sizeof(P));
    return;
  }
  const int64_t length = kRun << (phase - 1), first = begin / (2 * length) * 2 * length;
  const P* from = halves[(phase - 1) % 2];
  const P *a = from + first, *a_end = from + std::min(args.n, first + length), *b_end = from + std::min(args.n, first + 2 * length);
  const int64_t taken = split_of(a, a_end - a, a_end, b_end - a_end, begin - first);
  const bool last = 2 * length >= args.n;
  P* to = last ? reinterpret_cast<P*>(scratch) : halves[phase % 2] + begin;
  merge_piece(a + taken, a_end, a_end + (begin - first - taken), b_end, to, count);
  if (last) write_sorted(to, count, row, static_cast<T*>(args.values) + r * args.n + begin, args.indices + r * args.n + begin);
}

}  // namespace

void sort(const SortArgs& args, const Tasks& tasks) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (args.n <= kRun) return sort_short_rows<T>(args, tasks);
    for (int64_t task = tasks.begin; task < tasks.end; ++task) sort_long_piece<T>(args, tasks.phase, task, tasks.scratch);
  });
}

Schedule sort_schedule(const SortArgs& args) {
  Schedule schedule;
  const double entries = static_cast<double>(args.rows * args.n);
  if (args.n <= kRun) {
    const int64_t per_task = rows_per_task(2 * args.n);
    schedule.tasks[0] = args.n > 0 ? (args.rows + per_task - 1) / per_task : 0;
    schedule.nanoseconds = 10 * entries;
    return schedule;
  }
  std::fill_n(schedule.tasks, 3, args.rows * runs_of(args.n));
  for (int64_t length = kRun; length < args.n; length *= 2) ++schedule.phases;
  schedule.nanoseconds = static_cast<double>(10 + 3 * schedule.phases) * entries;
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
