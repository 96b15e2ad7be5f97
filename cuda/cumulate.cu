// Running results. Rows: a block scans tiles of a row, threads then warps then tiles; a long row of sums is cut into blocks, whose totals
// are found first. Columns, and short rows: a thread each.
#include "kernels/cumulate.h"

#include "reduce.h"

namespace dnncore::cuda {
namespace {

// An op: what an entry is, what two neighbours give, and what is written of it.
template <class T>
using Total = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

template <class T>
struct Summed {
  using Value = Total<T>;
  bool product;
  __device__ Value start() const { return static_cast<Value>(product ? 1 : 0); }
  __device__ Value of(T x, int64_t) const { return static_cast<Value>(x); }
  __device__ Value operator()(Value a, Value b) const { return product ? a * b : a + b; }
  __device__ void write(const CumulateArgs& args, int64_t at, Value a) const { static_cast<T*>(args.y)[at] = static_cast<T>(a); }
};

// log(sum e^x) as largest + log(sum of e^(x - largest)).
struct Powers {
  double largest, sum;
};
template <class T>
struct LogSummed {
  using Value = Powers;
  __device__ Value start() const { return {-std::numeric_limits<double>::infinity(), 0}; }
  __device__ Value of(T x, int64_t) const { return {static_cast<double>(x), 1}; }
  __device__ Value operator()(Value a, Value b) const {
    const double largest = Larger{}(a.largest, b.largest);
    if (!(std::fabs(largest) < std::numeric_limits<double>::infinity())) return {largest, 1};
    return {largest, a.sum * std::exp(a.largest - largest) + b.sum * std::exp(b.largest - largest)};
  }
  __device__ void write(const CumulateArgs& args, int64_t at, Value a) const {
    static_cast<T*>(args.y)[at] = static_cast<T>(a.largest + std::log(a.sum));
  }
};

template <class T>
struct alignas(8) Placed {
  T value;
  int64_t position;
};
template <class T>
struct Extreme {
  using Value = Placed<T>;
  bool largest;
  __device__ Value start() const { return {T(0), -1}; }
  __device__ Value of(T x, int64_t position) const { return {x, position}; }
  __device__ Value operator()(Value a, Value b) const {
    if (a.position < 0 || b.position < 0) return a.position < 0 ? b : a;
    const bool nan = a.value != a.value;
    return b.value != b.value || (!nan && (largest ? b.value >= a.value : b.value <= a.value)) ? b : a;
  }
  __device__ void write(const CumulateArgs& args, int64_t at, Value a) const {
    static_cast<T*>(args.y)[at] = a.value;
    args.indices[at] = a.position;
  }
};

constexpr int kEach = 4;  // adjacent entries of a thread in a tile
constexpr int kTile = kEach * kBlock;
constexpr int64_t kShort = 32;  // of rows: a thread each

// What the threads before this one have, and all of them.
template <class Op, class Value = typename Op::Value>
__device__ __forceinline__ void scan_block(const Op& op, Value mine, Value* room, Value& before, Value& all) {
  constexpr int kWarps = kBlock / 32;
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Value scanned = mine;
  for (unsigned by = 1; by < 32; by *= 2) {
    const Value other = shuffle_up(scanned, by);
    if (lane >= by) scanned = op(other, scanned);
  }
  before = shuffle_up(scanned, 1);
  if (lane == 0) before = op.start();
  __syncthreads();
  if (lane == 31) room[warp] = scanned;
  __syncthreads();
  Value earlier = op.start();
  for (unsigned w = 0; w < warp; ++w) earlier = op(earlier, room[w]);
  before = op(earlier, before);
  all = op.start();
  for (int w = 0; w < kWarps; ++w) all = op(all, room[w]);
}

// Parts of a row of `length` entries each; `totals`: what every part comes to, or null where a row is one part.
template <class Op, class T>
__global__ void __launch_bounds__(kBlock) scan_rows(Op op, CumulateArgs args, int64_t length, const typename Op::Value* totals) {
  using Value = typename Op::Value;
  __shared__ Value room[kBlock / 32];
  const int64_t parts = (args.n + length - 1) / length;
  for (int64_t i = blockIdx.x; i < args.outer * parts; i += gridDim.x) {
    const int64_t row = i / parts, part = i % parts, end = std::min((part + 1) * length, args.n);
    const T* const x = static_cast<const T*>(args.x) + row * args.n;
    Value running = op.start();
    for (int64_t p = 0; p < part; ++p) running = op(running, totals[row * parts + p]);
    for (int64_t tile = part * length; tile < end; tile += kTile) {
      const int64_t first = tile + threadIdx.x * kEach;
      Value values[kEach], mine = op.start(), before, all;
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        values[j] = first + j < end ? op.of(x[first + j], first + j) : op.start();
        mine = op(mine, values[j]);
      }
      scan_block(op, mine, room, before, all);
      Value sum = op(running, before);
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        sum = op(sum, values[j]);
        if (first + j < end) op.write(args, row * args.n + first + j, sum);
      }
      running = op(running, all);
    }
  }
}

template <class Op, class T>
__global__ void __launch_bounds__(kBlock) find_totals(Op op, CumulateArgs args, typename Op::Value* totals) {
  using Value = typename Op::Value;
  __shared__ Value room[kBlock / 32];
  const int64_t parts = (args.n + CumulateArgs::kLength - 1) / CumulateArgs::kLength;
  for (int64_t i = blockIdx.x; i < args.outer * parts; i += gridDim.x) {
    const int64_t begin = i % parts * CumulateArgs::kLength, end = std::min(begin + CumulateArgs::kLength, args.n);
    const T* const x = static_cast<const T*>(args.x) + i / parts * args.n;
    Value total = op.start();
    for (int64_t j = begin + threadIdx.x; j < end; j += kBlock) total = op(total, op.of(x[j], j));
    total = block_joined(total, op, room);
    if (threadIdx.x == 0) totals[i] = total;
  }
}

template <class Op, class T>
__global__ void __launch_bounds__(kBlock) scan_columns(Op op, CumulateArgs args) {
  for (int64_t r = global_thread(); r < args.outer * args.inner; r += grid_threads()) {
    const int64_t outer = r / args.inner, first = outer * args.n * args.inner + r - outer * args.inner;
    auto running = op.start();
    for (int64_t j = 0; j < args.n; ++j) {
      const int64_t at = first + j * args.inner;
      running = op(running, op.of(static_cast<const T*>(args.x)[at], j));
      op.write(args, at, running);
    }
  }
}

template <class T, class Op>
void run(const Op& op, const CumulateArgs& args, cudaStream_t stream) {
  if (args.inner > 1 || args.n <= kShort)
    return launch_grid("cumulate", scan_columns<Op, T>, blocks_for(args.outer * args.inner), kBlock, stream, 0, op, args);
  auto* const totals = static_cast<typename Op::Value*>(args.workspace);
  const int64_t length = args.in_blocks() ? CumulateArgs::kLength : args.n;
  const unsigned blocks = blocks_for(args.outer * args.blocks(), 1);
  if constexpr (std::is_same_v<Op, Summed<T>>)  // the only one that the contract cuts
    if (args.in_blocks()) launch_grid("cumulate", find_totals<Op, T>, blocks, kBlock, stream, 0, op, args, totals);
  launch_grid("cumulate", scan_rows<Op, T>, blocks, kBlock, stream, 0, op, args, length, totals);
}

}  // namespace

void cumulate(const CumulateArgs& args, cudaStream_t stream) {
  if (args.outer * args.n * args.inner == 0) return;
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!kIsHalf<T>)
      if (args.op >= CumulateOp::max) return run<T>(Extreme<T>{args.op == CumulateOp::max}, args, stream);
    if constexpr (std::is_floating_point_v<T>)
      if (args.op == CumulateOp::logsumexp) return run<T>(LogSummed<T>{}, args, stream);
    if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, int64_t>) run<T>(Summed<T>{args.op == CumulateOp::prod}, args, stream);
  });
}

}  // namespace dnncore::cuda
