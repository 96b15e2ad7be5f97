#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "kernels/along.h"
#include "kernels/reference.h"

namespace dnncore::reference {

void gather_dim(const GatherDimArgs& args, const Tasks&) {
  const size_t size = itemsize(args.dtype);
  const auto* x = static_cast<const std::byte*>(args.x);
  auto* y = static_cast<std::byte*>(args.y);
  for_each(
      args.shape,
      [&](int64_t, int64_t from, int64_t at, int64_t to) {
        for (int64_t j = 0; j < args.n; ++j) {
          const int64_t position = args.index[at + j * args.index_step];
          if (position < 0 || position >= args.size) continue;
          std::memcpy(y + static_cast<size_t>(to + j * args.y_step) * size, x + static_cast<size_t>(from + position * args.x_step) * size,
                      size);
        }
      },
      args.x_strides, args.index_strides, args.y_strides);
}

namespace {

template <class W>
W combined(ScatterOp op, W a, W b) {
  switch (op) {
    case ScatterOp::assign:
      return b;
    case ScatterOp::amax:
      return a != a || b != b ? a + b : std::max(a, b);
    case ScatterOp::amin:
      return a != a || b != b ? a + b : std::min(a, b);
    default:
      if constexpr (std::is_same_v<W, int64_t>) {  // wraps
        const auto x = static_cast<uint64_t>(a), z = static_cast<uint64_t>(b);
        return static_cast<W>(op == ScatterOp::sum ? x + z : x * z);
      } else {
        return op == ScatterOp::sum ? a + b : a * b;
      }
  }
}

}  // namespace

void scatter_dim(const ScatterDimArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* x = static_cast<T*>(args.x);
    const T* values = static_cast<const T*>(args.values);
    for_each(
        args.shape,
        [&](int64_t, int64_t to, int64_t at, int64_t from) {
          for (int64_t j = 0; j < args.n; ++j) {
            const int64_t position = args.index[at + j * args.index_step];
            if (position < 0 || position >= args.size) continue;
            T& target = x[to + position * args.x_step];
            target = narrow<T>(combined(args.op, widen(target), widen(values[from + j * args.value_step])));
          }
        },
        args.x_strides, args.index_strides, args.value_strides);
  });
}

}  // namespace dnncore::reference
