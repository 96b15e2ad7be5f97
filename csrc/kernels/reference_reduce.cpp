// Naive reductions and indexing: the oracle.
#include <cstring>

#include "core/launch.h"
#include "kernels/index.h"
#include "kernels/reduce.h"
#include "kernels/reference.h"

namespace dnncore::reference {

void reduce(const ReduceArgs& args, const Tasks&);
void index_offsets(const IndexOffsetsArgs& args, const Tasks&);
void gather(const GatherArgs& args, const Tasks&);
void scatter(const ScatterArgs& args, const Tasks&);
void nonzero(const NonzeroArgs& args, const Tasks&);

namespace {

template <class W>
struct Reduction {
  W value;
  int64_t position = 0;
};

template <class W>
bool is_nan(W x) {
  return x != x;
}

// One more element; the first one of a max or min is taken as it is.
template <class W>
void add(ReduceOp op, Reduction<W>& so_far, W x, int64_t position) {
  const auto sum = [](W a, W b) {
    if constexpr (std::is_same_v<W, int64_t>)
      return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    else
      return a + b;
  };
  const auto product = [](W a, W b) {
    if constexpr (std::is_same_v<W, int64_t>)
      return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    else
      return a * b;
  };
  const bool largest = op == ReduceOp::max || op == ReduceOp::argmax;
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      so_far.value = sum(so_far.value, x);
      break;
    case ReduceOp::prod:
      so_far.value = product(so_far.value, x);
      break;
    case ReduceOp::any:
      so_far.value = so_far.value != 0 || x != 0;
      break;
    case ReduceOp::all:
      so_far.value = so_far.value != 0 && x != 0;
      break;
    default:
      if (position == 0 || (!is_nan(so_far.value) && (is_nan(x) || (largest ? x > so_far.value : x < so_far.value))))
        so_far = {x, position};
  }
}

template <class T>
void reduce_as(const ReduceArgs& args) {
  using W = Wide<T>;
  const int64_t count = numel(args.reduced_shape);
  const auto one = [&](int64_t, int64_t kept, int64_t to) {
    Reduction<W> result{static_cast<W>(args.op == ReduceOp::prod || args.op == ReduceOp::all)};
    for_each(
        args.reduced_shape,
        [&](int64_t position, int64_t inner) { add(args.op, result, widen(static_cast<const T*>(args.x)[kept + inner]), position); },
        args.reduced_strides);
    if (args.op == ReduceOp::mean) result.value /= static_cast<W>(count == 0 && !is_float<T> ? 1 : count);
    if (args.op == ReduceOp::argmax || args.op == ReduceOp::argmin)
      static_cast<int64_t*>(args.y)[to] = result.position;
    else
      visit_dtype(args.out_dtype(), [&](auto tag) { static_cast<decltype(tag)*>(args.y)[to] = narrow<decltype(tag)>(result.value); });
  };
  for_each(args.shape, one, args.x_strides, args.y_strides);
}

}  // namespace

void reduce(const ReduceArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) { reduce_as<decltype(tag)>(args); });
}

void index_offsets(const IndexOffsetsArgs& args, const Tasks&) {
  for_each(
      args.shape,
      [&](int64_t i, int64_t at) {
        int64_t position = args.index[at];
        const bool valid = position >= -args.size && position < args.size;
        if (!valid && args.bad[1] == 0) {
          args.bad[0] = position;
          args.bad[1] = 1;
        }
        if (position < 0) position += args.size;
        args.offsets[i] = (args.first ? 0 : args.offsets[i]) + (valid ? position * args.stride : 0);
      },
      args.index_strides);
}

void gather(const GatherArgs& args, const Tasks&) {
  const auto size = static_cast<int64_t>(itemsize(args.dtype));
  const int64_t block = numel(args.inner);
  const auto* x = static_cast<const std::byte*>(args.x);
  auto* y = static_cast<std::byte*>(args.y);
  for (int64_t i = 0; i < args.n; ++i)
    for_each(
        args.inner,
        [&](int64_t position, int64_t inner) {
          std::memcpy(y + (i * block + position) * size, x + (args.offsets[i] + inner) * size, static_cast<size_t>(size));
        },
        args.x_strides);
}

void scatter(const ScatterArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto* x = static_cast<T*>(args.x);
    const auto* values = static_cast<const T*>(args.values);
    for (int64_t i = 0; i < args.n; ++i)
      for_each(
          args.inner,
          [&](int64_t, int64_t to, int64_t from) {
            T& target = x[args.offsets[i] + to];
            const T value = values[i * args.value_step + from];
            if (!args.accumulate)
              target = value;
            else if constexpr (is_float<T>)
              target = narrow<T>(widen(target) + widen(value));
            else
              target = narrow<T>(static_cast<int64_t>(static_cast<uint64_t>(widen(target)) + static_cast<uint64_t>(widen(value))));
          },
          args.x_strides, args.value_strides);
  });
}

void nonzero(const NonzeroArgs& args, const Tasks&) {
  int64_t count = 0;
  for (int64_t i = 0; i < args.n; ++i) {
    if (!args.mask[i]) continue;
    if (args.positions != nullptr && count < args.capacity) args.positions[count] = i;
    ++count;
  }
  *args.count = count;
}

}  // namespace dnncore::reference
