#include "sort_rows.h"

namespace dnncore::cuda {

void sort(const SortArgs& args, cudaStream_t stream) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    const SortedRows<T> rows{static_cast<const T*>(args.x), static_cast<T*>(args.values), args.indices, args.rows, args.n, args.n};
    sort_rows("sort", stream, rows, true, args.descending);
  });
}

}  // namespace dnncore::cuda
