// A bitonic network: what is no further apart than a tile is compared in shared memory, the rest by launches of their own.
#include "sort_rows.h"

namespace dnncore::cuda {
namespace {

constexpr int kTile = 2048;  // pairs of a block, 32 KiB of the wide ones

// Comparison c is between the places i and j, `apart` from each other; the first step of a merge compares from both ends.
__device__ __forceinline__ int64_t lower_place(int64_t c, int64_t apart) { return 2 * c - (c & (apart - 1)); }
__device__ __forceinline__ int64_t upper_place(int64_t i, int64_t apart, bool flips) { return flips ? i ^ (2 * apart - 1) : i + apart; }

template <class P>
__device__ __forceinline__ void put_in_order(P& low, P& high) {
  if (!before(high, low)) return;
  const P other = low;
  low = high;
  high = other;
}

// One step in shared memory.
template <bool kFlips, class P>
__device__ __forceinline__ void compare_shared(P* pairs, int apart) {
  for (int c = static_cast<int>(threadIdx.x); c < kTile / 2; c += kBlock) {
    const int i = static_cast<int>(lower_place(c, apart)), j = static_cast<int>(upper_place(i, apart, kFlips));
    put_in_order(pairs[i], pairs[j]);
  }
  __syncthreads();
}

// Tiles of `width` places, a power of two up to kTile: kTile / width of them in a block. `first`: pairs are made of x; `last`: the rows are
// done; `resumes`: the last steps of a merge of more than a tile, instead of sorting the tile.
template <class T>
__global__ void __launch_bounds__(kBlock) sort_tiles(SortedRows<T> s, int width, bool first, bool last, bool resumes, bool descending) {
  using P = PairOf<T>;
  __shared__ P pairs[kTile];
  const int64_t tiles_per_row = (s.n + width - 1) / width, tiles = s.rows * tiles_per_row;
  const int tiles_per_block = kTile / width;
  for (int64_t block = blockIdx.x; block * tiles_per_block < tiles; block += gridDim.x) {
    for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kBlock) {
      const int64_t tile = block * tiles_per_block + i / width, row = tile / tiles_per_row;
      const int64_t at = tile % tiles_per_row * width + i % width;
      const bool exists = tile < tiles && at < s.n;
      if (!exists)
        pairs[i] = last_pair<T>();
      else
        pairs[i] = first ? SortedRows<T>::pair(key_of_value(s.x[row * s.x_step + at], descending), at) : s.load(row * s.n + at);
    }
    __syncthreads();
    for (int apart = resumes ? width : 1; apart <= (resumes ? width : width / 2); apart *= 2) {
      if (!resumes) compare_shared<true>(pairs, apart);
      for (int nearer = apart / 2; nearer > 0; nearer /= 2) compare_shared<false>(pairs, nearer);
    }
    for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kBlock) {
      const int64_t tile = block * tiles_per_block + i / width, row = tile / tiles_per_row;
      const int64_t at = tile % tiles_per_row * width + i % width;
      if (tile >= tiles || at >= s.n) continue;
      last ? s.finish(row, at, pairs[i]) : s.store(row * s.n + at, pairs[i]);
    }
    __syncthreads();
  }
}

// kSteps steps of a merge of more than a tile, the first of them between places that are `apart`: a thread has the 2^kSteps pairs that meet
// in them, `step` from each other. Where the merge begins, the upper half of them mirrors the lower. Places past the end of a row hold what
// comes after everything.
template <class T, int kSteps>
__global__ void __launch_bounds__(kBlock) compare_far(SortedRows<T> s, int64_t groups, int64_t apart, bool flips) {
  constexpr int kPairs = 1 << kSteps;
  const int64_t step = apart >> (kSteps - 1);
  for (int64_t c = global_thread(); c < s.rows * groups; c += grid_threads()) {
    const int64_t row = c / groups, group = c % groups, offset = group & (step - 1), base = (group - offset) * kPairs;
    const auto place = [&](int e) { return base + e * step + (flips && e >= kPairs / 2 ? step - 1 - offset : offset); };
    if (place(0) >= s.n) continue;
    PairOf<T> pairs[kPairs];
#pragma unroll
    for (int e = 0; e < kPairs; ++e) pairs[e] = place(e) < s.n ? s.load(row * s.n + place(e)) : last_pair<T>();
#pragma unroll
    for (int e = 0; e < kPairs / 2; ++e) put_in_order(pairs[e], pairs[flips ? kPairs - 1 - e : e + kPairs / 2]);
#pragma unroll
    for (int nearer = kPairs / 4; nearer > 0; nearer /= 2)
#pragma unroll
      for (int e = 0; e < kPairs; ++e)
        if ((e & nearer) == 0) put_in_order(pairs[e], pairs[e + nearer]);
#pragma unroll
    for (int e = 0; e < kPairs; ++e)
      if (place(e) < s.n) s.store(row * s.n + place(e), pairs[e]);
  }
}

// Steps of one merge from `apart` down to a tile, in as few passes as registers allow: of 2^20 entries 18 instead of 45. What pairs consist
// of depends on the size of T alone.
template <class T>
void merge_far(const char* what, cudaStream_t stream, const SortedRows<T>& s, int64_t width, int64_t apart, int tile) {
  using Stored = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  const SortedRows<Stored> pairs{nullptr, reinterpret_cast<Stored*>(s.values), s.indices, s.rows, s.n, s.n};
  const auto compare = [&](int64_t first, auto steps) {
    const int64_t groups = width >> steps;
    launch_grid(what, compare_far<Stored, steps>, blocks_for(s.rows * groups), kBlock, stream, 0, pairs, groups, first, first == apart);
    return first >> steps;
  };
  for (int64_t nearer = apart; nearer >= tile;) {
    if (nearer >= 4 * tile)
      nearer = compare(nearer, std::integral_constant<int, 3>{});
    else if (nearer >= 2 * tile)
      nearer = compare(nearer, std::integral_constant<int, 2>{});
    else
      nearer = compare(nearer, std::integral_constant<int, 1>{});
  }
}

}  // namespace

template <class T>
void sort_rows(const char* what, cudaStream_t stream, const SortedRows<T>& s, bool from_x, bool descending) {
  if (s.rows == 0 || s.n == 0) return;
  int64_t width = 2;
  while (width < s.n) width *= 2;
  const int tile = static_cast<int>(std::min<int64_t>(width, kTile));
  const unsigned blocks = blocks_for(s.rows * ((s.n + tile - 1) / tile), kTile / tile);
  launch_grid(what, sort_tiles<T>, blocks, kBlock, stream, 0, s, tile, from_x, width == tile, false, descending);
  for (int64_t apart = tile; apart < width; apart *= 2) {
    merge_far(what, stream, s, width, apart, tile);
    launch_grid(what, sort_tiles<T>, blocks, kBlock, stream, 0, s, tile, false, 2 * apart == width, true, descending);
  }
}

template void sort_rows(const char*, cudaStream_t, const SortedRows<float>&, bool, bool);
template void sort_rows(const char*, cudaStream_t, const SortedRows<double>&, bool, bool);
template void sort_rows(const char*, cudaStream_t, const SortedRows<bfloat16>&, bool, bool);
template void sort_rows(const char*, cudaStream_t, const SortedRows<float16>&, bool, bool);
template void sort_rows(const char*, cudaStream_t, const SortedRows<int64_t>&, bool, bool);
template void sort_rows(const char*, cudaStream_t, const SortedRows<int32_t>&, bool, bool);
template void sort_rows(const char*, cudaStream_t, const SortedRows<uint8_t>&, bool, bool);
template void sort_rows(const char*, cudaStream_t, const SortedRows<bool>&, bool, bool);

void sort(const SortArgs& args, cudaStream_t stream) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    const SortedRows<T> rows{static_cast<const T*>(args.x), static_cast<T*>(args.values), args.indices, args.rows, args.n, args.n};
    sort_rows("sort", stream, rows, true, args.descending);
  });
}

}  // namespace dnncore::cuda
