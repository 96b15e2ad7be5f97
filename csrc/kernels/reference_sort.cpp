#include <algorithm>
#include <numeric>
#include <vector>

#include "core/parallel.h"
#include "kernels/reference.h"
#include "kernels/sort.h"

namespace dnncore::reference {

namespace {

// The first `k` positions of a row in order.
template <class T>
std::vector<int64_t> order_of(const T* row, int64_t n, bool descending) {
  const auto less = [row](int64_t i, int64_t j) {
    const auto a = widen(row[i]), b = widen(row[j]);
    return a < b || (a == a && b != b);
  };
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return descending ? less(j, i) : less(i, j); });
  return order;
}

template <class Args>
void first_of_rows(const Args& args, int64_t k) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t r = 0; r < args.rows; ++r) {
      const T* row = static_cast<const T*>(args.x) + r * args.n;
      const std::vector<int64_t> order = order_of(row, args.n, args.descending);
      for (int64_t i = 0; i < k; ++i) {
        args.indices[r * k + i] = order[static_cast<size_t>(i)];
        static_cast<T*>(args.values)[r * k + i] = row[order[static_cast<size_t>(i)]];
      }
    }
  });
}

}  // namespace

void sort(const SortArgs& args, const Tasks&) { first_of_rows(args, args.n); }
void topk(const TopkArgs& args, const Tasks&) { first_of_rows(args, args.k); }

}  // namespace dnncore::reference
