// Reductions: the threads of a block lie along the dimension in which x is adjacent, be it reduced (rows) or kept (columns). Few long
// results are split; the parts' results are in the workspace, where a second grid joins them.
#include "reduce.h"

#include "elementwise.h"
#include "kernels/reduce.h"

namespace dnncore::cuda {
namespace {

// --- Where elements come from: float32 and float64 as they are, others by a switch, since a kernel for each would be most of these ---

template <class T>
struct Plain {
  using W = T;
  static constexpr int kPack = static_cast<int>(16 / sizeof(T));
  const T* data;

  explicit Plain(const ReduceArgs& args) : data(static_cast<const T*>(args.x)) {}
  __device__ W operator()(int64_t at) const { return data[at]; }
  __device__ const void* address(int64_t at) const { return data + at; }
  __device__ Pack<W, kPack> pack(int64_t at) const { return *reinterpret_cast<const Pack<W, kPack>*>(data + at); }
};
struct Halves {
  using W = float;
  static constexpr int kPack = 8;
  const bfloat16* data;
  bool brain;

  explicit Halves(const ReduceArgs& args) : data(static_cast<const bfloat16*>(args.x)), brain(args.dtype == DType::BFloat16) {}
  __device__ W value(bfloat16 x) const { return brain ? to_working(x) : to_working(float16{x.bits}); }
  __device__ W operator()(int64_t at) const { return value(data[at]); }
  __device__ const void* address(int64_t at) const { return data + at; }
  __device__ Pack<W, kPack> pack(int64_t at) const {
    const auto stored = *reinterpret_cast<const Pack<bfloat16, kPack>*>(data + at);
    Pack<W, kPack> x;
#pragma unroll
    for (int j = 0; j < kPack; ++j) x.v[j] = value(stored.v[j]);
    return x;
  }
};
// Elements of any type as W, one by one.
template <class W_>
struct Any {
  using W = W_;
  static constexpr int kPack = 1;
  const void* data;
  DType dtype;

  explicit Any(const ReduceArgs& args) : data(args.x), dtype(args.dtype) {}
  template <class T>
  __device__ W as(int64_t at) const {
    const auto x = to_working(static_cast<const T*>(data)[at]);
    if constexpr (std::is_same_v<W, bool>)
      return x != 0;
    else
      return static_cast<W>(x);
  }
  __device__ W operator()(int64_t at) const {
    switch (dtype) {
      case DType::Int64:
        return as<int64_t>(at);
      case DType::Int32:
        return as<int32_t>(at);
      case DType::UInt8:
        return as<uint8_t>(at);
      case DType::Bool:
        return as<bool>(at);
      default:
        break;
    }
    if constexpr (!std::is_same_v<W, int64_t>) {
      switch (dtype) {
        case DType::Float64:
          return as<double>(at);
        case DType::BFloat16:
          return as<bfloat16>(at);
        case DType::Float16:
          return as<float16>(at);
        default:
          return as<float>(at);
      }
    }
    return W(0);
  }
};

// Where results go: in the type that W has, or in one that it stands for.
struct Results {
  void* data;
  DType dtype;

  template <class T>
  __device__ void put(int64_t at, T value) const {
    static_cast<T*>(data)[at] = value;
  }
  __device__ void write(int64_t at, double value) const { dtype == DType::Float64 ? put(at, value) : write(at, static_cast<float>(value)); }
  __device__ void write(int64_t at, float value) const {
    if (dtype == DType::Float32)
      put(at, value);
    else if (dtype == DType::BFloat16)
      put(at, from_working<bfloat16>(value));
    else
      put(at, from_working<float16>(value));
  }
  __device__ void write(int64_t at, int64_t value) const {
    if (dtype == DType::Int64)
      put(at, value);
    else if (dtype == DType::Int32)
      put(at, static_cast<int32_t>(value));
    else
      put(at, static_cast<uint8_t>(value));
  }
  __device__ void write(int64_t at, bool value) const { put(at, value); }
};

// --- What is reduced: a value to start from, one more element, two results, and what is written ---

// Whole numbers add up and multiply modulo 2^64.
template <class W>
using Total = std::conditional_t<std::is_floating_point_v<W>, W, uint64_t>;
template <class W>
using TotalOut = std::conditional_t<std::is_floating_point_v<W>, W, int64_t>;

template <class W>
struct Sum {
  using Value = Total<W>;
  W divisor;  // of a mean; else 1
  explicit Sum(const ReduceArgs& args) : divisor(static_cast<W>(args.op == ReduceOp::mean ? numel(args.reduced_shape) : 1)) {}
  __device__ Value start() const { return 0; }
  __device__ Value add(Value a, W x, int64_t) const { return a + static_cast<Value>(x); }
  __device__ Value operator()(Value a, Value b) const { return a + b; }
  __device__ TotalOut<W> finish(Value a) const {
    if constexpr (std::is_floating_point_v<W>)
      return a / divisor;
    else
      return static_cast<int64_t>(a);
  }
};

// Floats in float64: errors of many factors near 1 have one sign.
template <class W>
struct Product {
  using Value = Total<W>;
  explicit Product(const ReduceArgs&) {}
  __device__ Value start() const { return 1; }
  __device__ Value add(Value a, W x, int64_t) const { return a * static_cast<Value>(x); }
  __device__ Value operator()(Value a, Value b) const { return a * b; }
  __device__ TotalOut<W> finish(Value a) const { return static_cast<TotalOut<W>>(a); }
};

template <class W>
constexpr W kLowest = std::is_floating_point_v<W> ? -std::numeric_limits<W>::infinity() : std::numeric_limits<W>::lowest();
template <class W>
constexpr W kHighest = std::is_floating_point_v<W> ? std::numeric_limits<W>::infinity() : std::numeric_limits<W>::max();

template <class W>
struct Extreme {
  using Value = W;
  bool largest;
  explicit Extreme(const ReduceArgs& args) : largest(args.op == ReduceOp::max) {}
  __device__ Value start() const { return largest ? kLowest<W> : kHighest<W>; }
  __device__ Value add(Value a, W x, int64_t) const { return (*this)(a, x); }
  // 0 is above -0: the order that values come in, which is the layout's, leaves no trace.
  __device__ Value operator()(Value a, Value b) const {
    if constexpr (std::is_floating_point_v<W>)
      if (a == b) return std::signbit(a) != largest ? a : b;
    return a != a || (largest ? a > b : a < b) ? a : b;
  }
  __device__ W finish(Value a) const { return a; }
};

template <class W>
struct Place {
  W value;
  int64_t position;
};

template <class W>
struct ExtremePlace {
  using Value = Place<W>;
  bool largest;
  explicit ExtremePlace(const ReduceArgs& args) : largest(args.op == ReduceOp::argmax) {}
  __device__ Value start() const { return {largest ? kLowest<W> : kHighest<W>, std::numeric_limits<int64_t>::max()}; }
  __device__ Value add(Value a, W x, int64_t position) const { return (*this)(a, {x, position}); }
  // Of equals, and of NaN, the first.
  __device__ Value operator()(Value a, Value b) const {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool better = largest ? a.value > b.value : a.value < b.value;
    const bool equal = (a_nan && b_nan) || a.value == b.value;
    return (equal ? a.position < b.position : a_nan || (!b_nan && better)) ? a : b;
  }
  __device__ int64_t finish(Value a) const { return a.position; }
};

struct Truth {
  using Value = int;
  bool all;
  explicit Truth(const ReduceArgs& args) : all(args.op == ReduceOp::all) {}
  __device__ Value start() const { return all; }
  __device__ Value add(Value a, bool x, int64_t) const { return (*this)(a, x); }
  __device__ Value operator()(Value a, Value b) const { return all ? a & b : a | b; }
  __device__ bool finish(Value a) const { return a != 0; }
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

// Elements [begin, end) from `base` on by the `rank`th of `threads` threads; along one dimension in four chains.
template <class Op, class From>
__device__ __forceinline__ typename Op::Value take_strided(const Op& op, const Walk<1>& reduced, const From& x, int64_t base, int64_t begin,
                                                           int64_t end, int rank, int threads) {
  typename Op::Value found[4];
  for (auto& value : found) value = op.start();
  int64_t r = begin + rank;
  if (reduced.dims == 1) {
    const int64_t step = reduced.strides[0][0];
#pragma unroll 1
    for (; r + 3 * threads < end; r += 4 * threads) {
      typename From::W values[4];
#pragma unroll
      for (int u = 0; u < 4; ++u) values[u] = x(base + (r + u * threads) * step);
#pragma unroll
      for (int u = 0; u < 4; ++u) found[u] = op.add(found[u], values[u], r + u * threads);
    }
  }
#pragma unroll 1
  for (; r < end; r += threads) {
    int64_t at[1];
    reduced.offsets(r, at);
    const typename Op::Value next = op.add(found[0], x(base + at[0]), r);
    found[0] = found[1], found[1] = found[2], found[2] = found[3], found[3] = next;
  }
  return op(op(found[0], found[1]), op(found[2], found[3]));
}

// The same of adjacent and aligned elements, 16 bytes at a time.
template <class Op, class From>
__device__ __forceinline__ typename Op::Value take_packs(const Op& op, const From& x, int64_t base, int64_t begin, int64_t end, int rank,
                                                         int threads) {
  constexpr int kPack = From::kPack, kChains = kPack < 4 ? kPack : 4;
  typename Op::Value found[kChains];
  for (auto& value : found) value = op.start();
  const int64_t whole = begin + (end - begin) / kPack * kPack;
#pragma unroll 2
  for (int64_t r = begin + rank * kPack; r < whole; r += threads * kPack) {
    const auto pack = x.pack(base + r);
#pragma unroll
    for (int j = 0; j < kPack; ++j) found[j % kChains] = op.add(found[j % kChains], pack.v[j], r + j);
  }
  if (whole + rank < end) found[0] = op.add(found[0], x(base + whole + rank), whole + rank);
  for (int c = 1; c < kChains; ++c) found[0] = op(found[0], found[c]);
  return found[0];
}

template <class Op, class From>
__device__ __forceinline__ typename Op::Value take(const Op& op, const Plan& plan, const From& x, int64_t base, int64_t begin, int64_t end,
                                                   int rank) {
  if constexpr (From::kPack > 1)
    if (plan.rows && plan.along >= 32 && plan.adjacent && reinterpret_cast<uintptr_t>(x.address(base + begin)) % 16 == 0)
      return take_packs(op, x, base, begin, end, rank, plan.along);
  return take_strided(op, plan.reduced, x, base, begin, end, rank, plan.along);
}

template <class Op, class From>
__global__ void __launch_bounds__(kBlock) reduce_parts(Op op, Plan plan, From x, Results y, typename Op::Value* partial) {
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
      found = take(op, plan, x, at[0], begin, end, rank);
    }
    if (!rows)
      found = columns_joined(found, op, across, room);
    else if (along <= 32)
      found = warp_joined(found, op, along);
    else
      found = block_joined(found, op, room);
    if (!mine || rank != 0) continue;
    if (plan.parts == 1)
      y.write(at[1], op.finish(found));
    else
      partial[k * plan.parts + part] = found;
  }
}

// A warp per result.
template <class Op>
__global__ void __launch_bounds__(kBlock) reduce_partial(Op op, Walk<2> kept, int64_t parts, const typename Op::Value* partial, Results y) {
  const int64_t warps = grid_threads() / 32;
  for (int64_t k = global_thread() / 32; k < kept.count; k += warps) {
    auto found = op.start();
    for (int64_t p = threadIdx.x % 32; p < parts; p += 32) found = op(found, partial[k * parts + p]);
    found = warp_joined(found, op);
    int64_t at[2];
    kept.offsets(k, at);
    if (threadIdx.x % 32 == 0) y.write(at[1], op.finish(found));
  }
}

int power_of_two_from(int64_t n, int most) {
  int power = 1;
  while (power < most && power < n) power *= 2;
  return power;
}

constexpr int64_t kLeastPerPart = 16;  // elements of a thread

template <class Op, class From>
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
  const Results y{args.y, args.out_dtype()};
  auto* const partial = static_cast<typename Op::Value*>(args.workspace);
  launch_grid("reduce", reduce_parts<Op, From>, blocks_for(groups * plan.parts, 1), kBlock, stream, 0, op, plan, From(args), y, partial);
  if (plan.parts > 1)
    launch_grid("reduce", reduce_partial<Op>, blocks_for(plan.kept.count * 32), kBlock, stream, 0, op, plan.kept, plan.parts,
                static_cast<const typename Op::Value*>(partial), y);
}

template <template <class> class Op>
void run_each(const ReduceArgs& args, cudaStream_t stream) {
  if (args.dtype == DType::Float32) return run<Op<float>, Plain<float>>(args, stream);
  if (args.dtype == DType::Float64) return run<Op<double>, Plain<double>>(args, stream);
  is_half(args.dtype) ? run<Op<float>, Halves>(args, stream) : run<Op<int64_t>, Any<int64_t>>(args, stream);
}

}  // namespace

void reduce(const ReduceArgs& args, cudaStream_t stream) {
  switch (args.op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      return run_each<Sum>(args, stream);
    case ReduceOp::prod:
      return is_floating(args.dtype) ? run<Product<double>, Any<double>>(args, stream) : run<Product<int64_t>, Any<int64_t>>(args, stream);
    case ReduceOp::max:
    case ReduceOp::min:
      return run_each<Extreme>(args, stream);
    case ReduceOp::argmax:
    case ReduceOp::argmin:
      return run_each<ExtremePlace>(args, stream);
    default:
      return run<Truth, Any<bool>>(args, stream);
  }
}

}  // namespace dnncore::cuda
