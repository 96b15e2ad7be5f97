// Candidates collect in a buffer of twice k; whenever it is full the better half stays and its worst key becomes the bar. Blocks
// without an entry above the bar, nearly all of them once it has settled, cost one vectorised comparison each.
#include <algorithm>

#include "kernels/elementwise_loops.h"
#include "kernels/sort.h"
#include "kernels/sort_pairs.h"

namespace dnncore::DNNCORE_ISA {

namespace {

constexpr int64_t kStep = 64;  // entries looked at together

template <class P>
void keep_first(P* pairs, int64_t& count, int64_t k) {
  if (count > k) std::nth_element(pairs, pairs + (k - 1), pairs + count);
  count = std::min(count, k);
}

// The least min(k, count) pairs of row[begin, begin + count), in order, in scratch; returns how many.
template <class T>
int64_t select(const T* row, int64_t begin, int64_t count, int64_t k, bool descending, PairOf<T>* found) {
  using Key = KeyOf<T>;
  const int64_t capacity = std::max(2 * k, k + kStep);
  int64_t kept = 0;
  Key bar = ~Key{0};
  bool full = false;  // a bar of the largest key still lets everything in
  const T* x = row + begin;
  for (int64_t i = 0; i < count; i += kStep) {
    const int64_t block = std::min(kStep, count - i);
    Key keys[kStep];
    Key least = ~Key{0};
    for (int64_t j = 0; j < block; ++j) {
      keys[j] = key_of_value(x[i + j], descending);
      least = std::min(least, keys[j]);
    }
    if (full && least >= bar) continue;  // an equal entry came earlier and wins
    for (int64_t j = 0; j < block; ++j) {
      if (full && keys[j] >= bar) continue;
      found[kept++] = make_pair<T>(keys[j], begin + i + j);
      if (kept < capacity) continue;
      keep_first(found, kept, k);
      bar = static_cast<Key>(key_of(found[k - 1]));
      full = true;
    }
  }
  keep_first(found, kept, k);
  std::sort(found, found + kept);
  return kept;
}

template <class T>
void topk_as(const TopkArgs& args, const Tasks& tasks) {
  using P = PairOf<T>;
  const int64_t parts = args.parts();
  P* found = reinterpret_cast<P*>(tasks.scratch);
  const auto write = [&](const P* pairs, int64_t r) {
    write_sorted(pairs, args.k, static_cast<const T*>(args.x) + r * args.n, static_cast<T*>(args.values) + r * args.k,
                 args.indices + r * args.k);
  };
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    const int64_t r = tasks.phase == 0 ? task / parts : task;
    const T* row = static_cast<const T*>(args.x) + r * args.n;
    P* candidates = static_cast<P*>(args.workspace) + r * parts * args.k;
    if (parts == 1) {
      select(row, 0, args.n, args.k, args.descending, found);
      write(found, r);
    } else if (tasks.phase == 0) {
      const int64_t part = task % parts, begin = part * TopkArgs::kPart, count = std::min(TopkArgs::kPart, args.n - begin);
      const int64_t kept = select(row, begin, count, args.k, args.descending, found);
      P* mine = candidates + part * args.k;
      std::memcpy(mine, found, static_cast<size_t>(kept) * sizeof(P));
      // A last part shorter than k fills up with pairs above all others.
      std::memset(static_cast<void*>(mine + kept), 0xff, static_cast<size_t>(args.k - kept) * sizeof(P));
    } else {
      std::partial_sort(candidates, candidates + args.k, candidates + parts * args.k);
      write(candidates, r);
    }
  }
}

}  // namespace

void topk(const TopkArgs& args, const Tasks& tasks) {
  visit_dtype(args.dtype, [&](auto tag) { topk_as<decltype(tag)>(args, tasks); });
}

Schedule topk_schedule(const TopkArgs& args) {
  Schedule schedule;
  schedule.phases = args.parts() > 1 ? 2 : 1;
  schedule.tasks[0] = args.n > 0 && args.k > 0 ? args.rows * args.parts() : 0;
  schedule.tasks[1] = schedule.tasks[2] = args.rows;
  schedule.nanoseconds = static_cast<double>(args.rows) * (static_cast<double>(args.n) * 0.5 + 60.0 * static_cast<double>(args.k));
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
