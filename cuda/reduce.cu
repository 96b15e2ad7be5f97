// Reductions: the threads of a block lie along the dimension in which x is adjacent, be it reduced (rows) or kept (columns). Few long
// results are split; the parts' results are in the workspace, where a second grid joins them.
#include "reduce.h"

#include "elementwise.h"
#include "kernels/reduce.h"

namespace dnncore::cuda {
namespace {

// --- What is reduced: a value to start from, one more element, two results, and what is written ---

template <class T>
using Total = std::conditional_t<kIsFloating<T>, Working<T>, uint64_t>;
template <class T>
using TotalOut = std::conditional_t<kIsFloating<T>, T, int64_t>;

template <class T>
struct Sum {
  using In = T;
  using Value = Total<T>;
  using Out = TotalOut<T>;
  Value divisor;  // of a mean; else 1
  explicit Sum(const ReduceArgs& args) : divisor(static_cast<Value>(args.op == ReduceOp::mean ? numel(args.reduced_shape) : 1)) {}
  __device__ Value start() const { return 0; }
  __device__ Value add(Value a, T x, int64_t) const { return a + static_cast<Value>(to_working(x)); }
  __device__ Value operator()(Value a, Value b) const { return a + b; }
  __device__ Out finish(Value a) const {
    if constexpr (kIsFloating<T>)
      return from_working<T>(a / divisor);
    else
      return static_cast<Out>(a);
  }
};

template <class T>
struct Product {
  using In = T;
  using Value = std::conditional_t<kIsFloating<T>, double, uint64_t>;  // errors of many factors near 1 have one sign
  using Out = TotalOut<T>;
  explicit Product(const ReduceArgs&) {}
  __device__ Value start() const { return 1; }
  __device__ Value add(Value a, T x, int64_t) const { return a * static_cast<Value>(to_working(x)); }
  __device__ Value operator()(Value a, Value b) const { return a * b; }
  __device__ Out finish(Value a) const {
    if constexpr (kIsFloating<T>)
      return from_working<T>(static_cast<Working<T>>(a));
    else
      return static_cast<Out>(a);
  }
};

template <class W>
constexpr W kLowest = std::is_floating_point_v<W> ? -std::numeric_limits<W>::infinity() : std::numeric_limits<W>::lowest();
template <class W>
constexpr W kHighest = std::is_floating_point_v<W> ? std::numeric_limits<W>::infinity() : std::numeric_limits<W>::max();

template <class T>
struct Extreme {
  using In = T;
  using Value = Working<T>;
  using Out = T;
  bool largest;
  explicit Extreme(const ReduceArgs& args) : largest(args.op == ReduceOp::max) {}
  __device__ Value start() const { return largest ? kLowest<Value> : kHighest<Value>; }
  __device__ Value add(Value a, T x, int64_t) const { return (*this)(a, to_working(x)); }
  // 0 is above -0: the order that values come in, which is the layout's, leaves no trace.
  __device__ Value operator()(Value a, Value b) const {
    if constexpr (kIsFloating<T>)
      if (a == b) return std::signbit(a) != largest ? a : b;
    return a != a || (largest ? a > b : a < b) ? a : b;
  }
  __device__ Out finish(Value a) const { return from_working<T>(a); }
};

template <class W>
struct Place {
  W value;
  int64_t position;
};

template <class T>
struct ExtremePlace {
  using In = T;
  using Value = Place<std::conditional_t<kIsFloating<T>, Working<T>, int64_t>>;
  using Out = int64_t;
  bool largest;
  explicit ExtremePlace(const ReduceArgs& args) : largest(args.op == ReduceOp::argmax) {}
  __device__ Value start() const {
    using W = decltype(Value::value);
    return {largest ? kLowest<W> : kHighest<W>, std::numeric_limits<int64_t>::max()};
  }
  __device__ Value add(Value a, T x, int64_t position) const {
    return (*this)(a, {static_cast<decltype(Value::value)>(to_working(x)), position});
  }
  // Of equals, and of NaN, the first.
  __device__ Value operator()(Value a, Value b) const {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan ? a : b;
    if (a_nan || a.value == b.value) return a.position < b.position ? a : b;
    return (largest ? a.value > b.value : a.value < b.value) ? a : b;
  }
  __device__ Out finish(Value a) const { return a.position; }
};

template <class T>
struct Truth {
  using In = T;
  using Value = int;
  using Out = bool;
  bool all;
  explicit Truth(const ReduceArgs& args) : all(args.op == ReduceOp::all) {}
  __device__ Value start() const { return all; }
  __device__ Value add(Value a, T x, int64_t) const { return (*this)(a, to_working(x) != 0); }
  __device__ Value operator()(Value a, Value b) const { return all ? a & b : a | b; }
  __device__ Out finish(Value a) const { return a != 0; }
};

// --- The loops ---

struct Plan {
  Walk<2> kept;  // of x, y; in x's order
  Walk<1> reduced;
  int64_t parts, each;  // of the reduced elements
  int along, across;    // threads per result, results per block
  bool rows;            // the threads of a result lie side by side
  bool adjacent;        // the reduced elements of a result are
};

// Elements [begin, end) by the `rank`th of `threads` threads; along one dimension in four chains.
template <class Op, class T>
__device__ __forceinline__ typename Op::Value take_strided(const Op& op, const Walk<1>& reduced, const T* x, int64_t begin, int64_t end,
                                                           int rank, int threads) {
  typename Op::Value found[4];
  for (auto& value : found) value = op.start();
  int64_t r = begin + rank;
  if (reduced.dims == 1) {
    const int64_t step = reduced.strides[0][0];
#pragma unroll 1
    for (; r + 3 * threads < end; r += 4 * threads) {
      T values[4];
#pragma unroll
      for (int u = 0; u < 4; ++u) values[u] = x[(r + u * threads) * step];
#pragma unroll
      for (int u = 0; u < 4; ++u) found[u] = op.add(found[u], values[u], r + u * threads);
    }
  }
#pragma unroll 1
  for (; r < end; r += threads) {
    int64_t at[1];
    reduced.offsets(r, at);
    const typename Op::Value next = op.add(found[0], x[at[0]], r);
    found[0] = found[1], found[1] = found[2], found[2] = found[3], found[3] = next;
  }
  return op(op(found[0], found[1]), op(found[2], found[3]));
}

// The same of adjacent and aligned elements, 16 bytes at a time.
template <class Op, class T>
__device__ __forceinline__ typename Op::Value take_packs(const Op& op, const T* x, int64_t begin, int64_t end, int rank, int threads) {
  constexpr int kPack = static_cast<int>(16 / sizeof(T)), kChains = kPack < 4 ? kPack : 4;
  typename Op::Value found[kChains];
  for (auto& value : found) value = op.start();
  const int64_t whole = begin + (end - begin) / kPack * kPack;
#pragma unroll 2
  for (int64_t r = begin + rank * kPack; r < whole; r += threads * kPack) {
    const auto pack = *reinterpret_cast<const Pack<T, kPack>*>(x + r);
#pragma unroll
    for (int j = 0; j < kPack; ++j) found[j % kChains] = op.add(found[j % kChains], pack.v[j], r + j);
  }
  if (whole + rank < end) found[0] = op.add(found[0], x[whole + rank], whole + rank);
  for (int c = 1; c < kChains; ++c) found[0] = op(found[0], found[c]);
  return found[0];
}

template <class Op>
__global__ void __launch_bounds__(kBlock)
    reduce_parts(Op op, Plan plan, const typename Op::In* x, typename Op::Out* y, typename Op::Value* partial) {
  using T = typename Op::In;
  __shared__ typename Op::Value room[kBlock];
  const bool rows = plan.rows;
  const int thread = static_cast<int>(threadIdx.x), along = plan.along, across = plan.across;
  const int rank = rows ? thread % along : thread / across, result = rows ? thread / along : thread % across;
  const int64_t groups = (plan.kept.count + across - 1) / across;
  for (int64_t block = blockIdx.x; block < groups * plan.parts; block += gridDim.x) {
    const int64_t part = block % plan.parts, k = block / plan.parts * across + result;
    const int64_t begin = part * plan.each, end = std::min(begin + plan.each, plan.reduced.count);
    const bool mine = k < plan.kept.count;
    typename Op::Value found = op.start();
    int64_t at[2] = {0, 0};
    if (mine) {
      plan.kept.offsets(k, at);
      const T* const from = x + at[0];
      if (rows && along >= 32 && plan.adjacent && reinterpret_cast<uintptr_t>(from + begin) % 16 == 0)
        found = take_packs(op, from, begin, end, rank, along);
      else
        found = take_strided(op, plan.reduced, from, begin, end, rank, along);
    }
    if (!rows)
      found = columns_joined(found, op, across, room);
    else if (along <= 32)
      found = warp_joined(found, op, along);
    else
      found = block_joined(found, op, room);
    if (!mine || rank != 0) continue;
    if (plan.parts == 1)
      y[at[1]] = op.finish(found);
    else
      partial[k * plan.parts + part] = found;
  }
}

// A warp per result.
template <class Op>
__global__ void __launch_bounds__(kBlock)
    reduce_partial(Op op, Walk<2> kept, int64_t parts, const typename Op::Value* partial, typename Op::Out* y) {
  const int64_t warps = grid_threads() / 32;
  for (int64_t k = global_thread() / 32; k < kept.count; k += warps) {
    auto found = op.start();
    for (int64_t p = threadIdx.x % 32; p < parts; p += 32) found = op(found, partial[k * parts + p]);
    found = warp_joined(found, op);
    int64_t at[2];
    kept.offsets(k, at);
    if (threadIdx.x % 32 == 0) y[at[1]] = op.finish(found);
  }
}

int power_of_two_from(int64_t n, int most) {
  int power = 1;
  while (power < most && power < n) power *= 2;
  return power;
}

constexpr int64_t kLeastPerPart = 16;  // elements of a thread

template <class Op>
void run(const ReduceArgs& args, cudaStream_t stream) {
  const Op op(args);
  const bool places = args.op == ReduceOp::argmax || args.op == ReduceOp::argmin;
  Plan plan{.kept{args.shape, {&args.x_strides, &args.y_strides}},
            .reduced{args.reduced_shape, {&args.reduced_strides}, places ? WalkOrder::Positions : WalkOrder::Memory},
            .parts = 1,
            .each = 0,
            .along = kBlock,
            .across = 1,
            .rows = true,
            .adjacent = false};
  if (plan.kept.count == 0) return;
  const int64_t count = plan.reduced.count;
  plan.adjacent = plan.reduced.dims == 1 && plan.reduced.strides[0][0] == 1;
  const bool columns = plan.kept.count > 1 && plan.kept.strides[0][plan.kept.dims - 1] == 1;
  plan.rows = !columns;
  if (columns) {
    plan.across = power_of_two_from(plan.kept.count, 32);
    plan.along = kBlock / plan.across;
  } else if (count <= 1024) {
    plan.along = power_of_two_from((count + 3) / 4, 32);
    plan.across = kBlock / plan.along;
  }
  const int64_t groups = (plan.kept.count + plan.across - 1) / plan.across;
  const int64_t room = ReduceArgs::kWorkspace / static_cast<int64_t>(sizeof(typename Op::Value)) / plan.kept.count;
  const Split split(count, groups, kLeastPerPart * plan.along, room);
  plan.parts = split.parts;
  plan.each = (split.each + 15) / 16 * 16;  // the parts of an aligned row are aligned
  plan.parts = std::max<int64_t>(1, count > 0 ? (count + plan.each - 1) / plan.each : 1);
  const auto* const x = static_cast<const typename Op::In*>(args.x);
  auto* const y = static_cast<typename Op::Out*>(args.y);
  auto* const partial = static_cast<typename Op::Value*>(args.workspace);
  launch_grid("reduce", reduce_parts<Op>, blocks_for(groups * plan.parts, 1), kBlock, stream, 0, op, plan, x, y, partial);
  if (plan.parts > 1)
    launch_grid("reduce", reduce_partial<Op>, blocks_for(plan.kept.count * 32), kBlock, stream, 0, op, plan.kept, plan.parts,
                static_cast<const typename Op::Value*>(partial), y);
}

}  // namespace

void reduce(const ReduceArgs& args, cudaStream_t stream) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    switch (args.op) {
      case ReduceOp::sum:
      case ReduceOp::mean:
        return run<Sum<T>>(args, stream);
      case ReduceOp::prod:
        return run<Product<T>>(args, stream);
      case ReduceOp::max:
      case ReduceOp::min:
        return run<Extreme<T>>(args, stream);
      case ReduceOp::argmax:
      case ReduceOp::argmin:
        return run<ExtremePlace<T>>(args, stream);
      default:
        return run<Truth<T>>(args, stream);
    }
  });
}

}  // namespace dnncore::cuda
