// Indexing by positions: offsets, gather, scatter and the positions of true.
#include "kernels/index.h"

#include "combine.h"
#include "elementwise.h"
#include "ordered.h"

namespace dnncore::cuda {
namespace {

// Positions in their order, and where an operand has them.
Walk<2> in_order_of(const Shape& shape, const Strides& strides) {
  const Strides dense = contiguous_strides(shape);
  return {shape, {&dense, &strides}};
}

// The first position out of range has the least mark, which is below 0 until it is named.
constexpr int64_t kMark = std::numeric_limits<int64_t>::max();

__global__ void __launch_bounds__(kBlock)
    find_offsets(Walk<2> walk, const int64_t* index, int64_t* offsets, int64_t* bad, int64_t size, int64_t stride, bool first) {
  for (int64_t i = global_thread(); i < walk.count; i += grid_threads()) {
    int64_t at[2];
    walk.offsets(i, at);
    const int64_t position = index[at[1]], wrapped = position < 0 ? position + size : position;
    const bool valid = wrapped >= 0 && wrapped < size;
    if (!valid && bad[1] != 1) atomicMin(reinterpret_cast<long long*>(bad + 1), static_cast<long long>(at[0] - kMark));
    offsets[at[0]] = (first ? 0 : offsets[at[0]]) + (valid ? wrapped * stride : 0);
  }
}

__global__ void name_bad(Walk<2> walk, const int64_t* index, int64_t* bad) {
  if (bad[1] >= 0) return;
  int64_t at[2];
  walk.offsets(bad[1] + kMark, at);
  bad[0] = index[at[1]];
  bad[1] = 1;
}

template <class U>
__global__ void __launch_bounds__(kBlock) gather_elements(Walk<2> inner, int64_t n, const U* x, const int64_t* offsets, U* y) {
  for (int64_t i = global_thread(); i < n * inner.count; i += grid_threads()) {
    const int64_t row = n * inner.count <= 0x7fffffff ? static_cast<uint32_t>(i) / static_cast<uint32_t>(inner.count) : i / inner.count;
    int64_t at[2];
    inner.offsets(i - row * inner.count, at);
    y[i] = x[offsets[row] + at[1]];
  }
}

// Rows of `packs` 16-byte words; those of x may lie anywhere.
template <class U>
__global__ void __launch_bounds__(kBlock) gather_rows(int64_t packs, int64_t n, const U* x, const int64_t* offsets, U* y) {
  constexpr int kPack = 16 / sizeof(U);
  for (int64_t i = global_thread(); i < n * packs; i += grid_threads()) {
    const int64_t row = n * packs <= 0x7fffffff ? static_cast<uint32_t>(i) / static_cast<uint32_t>(packs) : i / packs;
    const U* const from = x + offsets[row] + (i - row * packs) * kPack;
    Pack<U, kPack> pack;
    if (reinterpret_cast<uintptr_t>(from) % 16 == 0)
      pack = *reinterpret_cast<const Pack<U, kPack>*>(from);
    else
      for (int j = 0; j < kPack; ++j) pack.v[j] = from[j];
    *reinterpret_cast<Pack<U, kPack>*>(y + i * kPack) = pack;
  }
}

template <class U>
void run_gather(const GatherArgs& args, cudaStream_t stream) {
  constexpr int kPack = static_cast<int>(16 / sizeof(U));
  const int64_t inner = numel(args.inner);
  if (args.n == 0 || inner == 0) return;
  const auto* const x = static_cast<const U*>(args.x);
  auto* const y = static_cast<U*>(args.y);
  if (layout_of(args.inner, args.x_strides) == Layout::Adjacent && inner % kPack == 0 && detail::is_aligned(y, kPack))
    return launch_grid("gather", gather_rows<U>, blocks_for(args.n * (inner / kPack)), kBlock, stream, 0, inner / kPack, args.n, x,
                       args.offsets, y);
  launch_grid("gather", gather_elements<U>, blocks_for(args.n * inner), kBlock, stream, 0, in_order_of(args.inner, args.x_strides), args.n,
              x, args.offsets, y);
}

// --- Scatter: a block owns a range of offsets and a slice of the elements of each ---

struct Scattered {
  int64_t n, value_step, range;
  int lanes;
};

template <class T, ScatterOp op>
__global__ void __launch_bounds__(kBlock) scatter_blocks(Scattered s, Walk<2> inner, T* x, const int64_t* offsets, const T* values) {
  __shared__ OrderedList<int64_t> list;
  const int64_t begin = blockIdx.x * s.range, end = begin + s.range;
  const auto find = [&](int64_t i, int64_t& place, int64_t& entry) {
    place = offsets[i], entry = i;
    return place >= begin && place < end;
  };
  in_order(list, s.n, s.lanes, find, [&](int first) {
    for (int64_t e = int64_t{blockIdx.y} * s.lanes + threadIdx.x % s.lanes; e < inner.count; e += int64_t{gridDim.y} * s.lanes) {
      int64_t at[2];
      inner.offsets(e, at);
      T& to = x[list.place[first] + at[0]];
      T value = to;
      for (int i = first; i >= 0; i = list.next[i]) value = combine(op, value, values[list.entry[i] * s.value_step + at[1]]);
      to = value;
    }
  });
}

template <class T, ScatterOp op>
void run_scatter(const ScatterArgs& args, cudaStream_t stream) {
  if (args.n == 0 || numel(args.inner) == 0 || args.x_extent == 0) return;
  const Walk<2> inner(args.inner, {&args.x_strides, &args.value_strides});
  int lanes = 1;
  while (lanes < kBlock && lanes < inner.count) lanes *= 2;
  const int64_t slices = std::clamp<int64_t>(inner.count / (4 * kBlock), 1, kOrderedBlocks);
  const int64_t ranges = std::min(args.x_extent, kOrderedBlocks / slices), range = (args.x_extent + ranges - 1) / ranges;
  launch_grid("scatter", scatter_blocks<T, op>, dim3(static_cast<unsigned>(ranges), static_cast<unsigned>(slices)), kBlock, stream, 0,
              Scattered{args.n, args.value_step, range, lanes}, inner, static_cast<T*>(args.x), args.offsets,
              static_cast<const T*>(args.values));
}

// --- Positions of true ---

constexpr int64_t kPiece = 1 << 14;  // entries of a block, at least
constexpr int64_t kPieces = 64;      // blocks at most: each counts what lies before its own

__device__ __forceinline__ int64_t sum_of_block(int64_t sum) {
  __shared__ int64_t parts[kBlock / 32];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(kAllLanes, sum, by);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  sum = 0;
  for (const int64_t part : parts) sum += part;
  __syncthreads();
  return sum;
}

// True entries of [0, end), counted by the threads `thread` of `threads`.
__device__ __forceinline__ int64_t count_true(const bool* mask, int64_t end, int64_t thread, int64_t threads) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(mask);
  int64_t count = 0;
  if (reinterpret_cast<uintptr_t>(bytes) % 16 != 0) {
    for (int64_t i = thread; i < end; i += threads) count += bytes[i];
    return count;
  }
  for (int64_t i = thread; i < end / 16; i += threads) {
    const auto pack = *reinterpret_cast<const Pack<uint32_t, 4>*>(bytes + 16 * i);
    for (int j = 0; j < 4; ++j) count += __popc(pack.v[j]);  // true is 1
  }
  for (int64_t i = end / 16 * 16 + thread; i < end; i += threads) count += bytes[i];
  return count;
}

__global__ void set_count(int64_t* count) { *count = 0; }

__global__ void __launch_bounds__(kBlock) count_all(const bool* mask, int64_t n, int64_t* count) {
  const int64_t sum = sum_of_block(count_true(mask, n, global_thread(), grid_threads()));
  if (threadIdx.x == 0) atomicAdd(reinterpret_cast<unsigned long long*>(count), static_cast<unsigned long long>(sum));
}

__global__ void __launch_bounds__(kBlock) write_positions(NonzeroArgs args, int64_t piece) {
  __shared__ int totals[2][kBlock / 32];
  const int64_t begin = std::min(args.n, blockIdx.x * piece), end = std::min(args.n, begin + piece);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t written = sum_of_block(count_true(args.mask, begin, threadIdx.x, kBlock));
  int parity = 0;
  for (int64_t base = begin; base < end; base += kBlock, parity ^= 1) {
    const int64_t i = base + threadIdx.x;
    const bool hit = i < end && args.mask[i];
    const unsigned found = __ballot_sync(kAllLanes, hit);
    if (lane == 0) totals[parity][warp] = __popc(found);
    __syncthreads();
    int64_t at = written + __popc(found & ((1u << lane) - 1));
    for (unsigned w = 0; w < kBlock / 32; ++w) {
      if (w < warp) at += totals[parity][w];
      written += totals[parity][w];
    }
    if (hit && at < args.capacity) args.positions[at] = i;
  }
  if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0) *args.count = written;
}

}  // namespace

void index_offsets(const IndexOffsetsArgs& args, cudaStream_t stream) {
  if (numel(args.shape) == 0) return;
  const Walk<2> walk = in_order_of(args.shape, args.index_strides);
  launch_grid("index_offsets", find_offsets, blocks_for(walk.count), kBlock, stream, 0, walk, args.index, args.offsets, args.bad, args.size,
              args.stride, args.first);
  launch_grid("index_offsets", name_bad, 1, 1, stream, 0, walk, args.index, args.bad);
}

void gather(const GatherArgs& args, cudaStream_t stream) {
  visit_size(itemsize(args.dtype), [&](auto tag) { run_gather<decltype(tag)>(args, stream); });
}

void scatter(const ScatterArgs& args, cudaStream_t stream) {
  if (args.accumulate)
    visit_dtype(args.dtype, [&](auto tag) { run_scatter<decltype(tag), ScatterOp::sum>(args, stream); });
  else
    visit_size(itemsize(args.dtype), [&](auto tag) { run_scatter<decltype(tag), ScatterOp::assign>(args, stream); });
}

void nonzero(const NonzeroArgs& args, cudaStream_t stream) {
  if (args.positions != nullptr && args.n > 0) {
    const int64_t pieces = std::clamp<int64_t>(args.n / kPiece, 1, kPieces), piece = ((args.n + pieces - 1) / pieces + 15) / 16 * 16;
    launch_grid("nonzero", write_positions, blocks_for(pieces, 1), kBlock, stream, 0, args, piece);
    return;
  }
  launch_grid("nonzero", set_count, 1, 1, stream, 0, args.count);
  const unsigned blocks = std::min(blocks_for((args.n + 15) / 16), 1024u);
  if (args.n > 0) launch_grid("nonzero", count_all, blocks, kBlock, stream, 0, args.mask, args.n, args.count);
}

}  // namespace dnncore::cuda
