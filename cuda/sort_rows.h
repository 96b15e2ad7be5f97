// Rows brought into order, in place of their results: an entry is a pair of a key, whose unsigned order is the wanted one, and its
// position, so that no two are equal and any way to order them is stable. Pairs lie in `indices`, those of 8-byte dtypes with their keys in
// `values`. A bitonic network: what is no further apart than kTile is compared in shared memory, the rest by launches of their own.
#pragma once

#include <bit>

#include "kernels/sort.h"
#include "numbers.h"

namespace dnncore::cuda {

struct WidePair {
  uint64_t key, position;
};
template <class T>
using KeyOf = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
template <class T>
using PairOf = std::conditional_t<sizeof(T) == 8, WidePair, uint64_t>;

__device__ __forceinline__ bool before(uint64_t a, uint64_t b) { return a < b; }
__device__ __forceinline__ bool before(const WidePair& a, const WidePair& b) {
  return a.key < b.key || (a.key == b.key && a.position < b.position);
}
__device__ __forceinline__ uint64_t key_of(uint64_t pair) { return pair >> 32; }
__device__ __forceinline__ uint64_t key_of(const WidePair& pair) { return pair.key; }
__device__ __forceinline__ int64_t position_of(uint64_t pair) { return static_cast<int64_t>(pair & 0xffffffffu); }
__device__ __forceinline__ int64_t position_of(const WidePair& pair) { return static_cast<int64_t>(pair.position); }

template <class T>
__device__ __forceinline__ KeyOf<T> ascending_key(T x) {
  using Key = KeyOf<T>;
  constexpr Key kTop = Key{1} << (sizeof(Key) * 8 - 1);
  if constexpr (kIsHalf<T>) {
    return ascending_key(to_working(x));
  } else if constexpr (std::is_floating_point_v<T>) {
    // Adding 0 makes a zero positive; all NaNs share the largest key.
    const Key bits = std::bit_cast<Key>(x + T(0));
    return x != x ? ~Key{0} : bits & kTop ? ~bits : bits | kTop;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<Key>(x) ^ kTop;
  } else {
    return static_cast<Key>(x);
  }
}
template <class T>
__device__ __forceinline__ KeyOf<T> key_of_value(T x, bool descending) {
  return ascending_key(x) ^ (descending ? ~KeyOf<T>{0} : KeyOf<T>{0});
}

// After every other one.
template <class T>
__device__ __forceinline__ PairOf<T> last_pair() {
  if constexpr (sizeof(T) == 8)
    return {~uint64_t{0}, ~uint64_t{0}};
  else
    return ~uint64_t{0};
}

// The rows that are sorted, `n` pairs each.
template <class T>
struct SortedRows {
  using P = PairOf<T>;

  const T* x;
  T* values;
  int64_t* indices;
  int64_t rows, n, x_step;  // x_step: from row to row of x

  __device__ __forceinline__ P load(int64_t i) const {
    if constexpr (sizeof(T) == 8)
      return {reinterpret_cast<const uint64_t*>(values)[i], static_cast<uint64_t>(indices[i])};
    else
      return static_cast<uint64_t>(indices[i]);
  }
  __device__ __forceinline__ void store(int64_t i, const P& pair) const {
    if constexpr (sizeof(T) == 8) {
      reinterpret_cast<uint64_t*>(values)[i] = pair.key;
      indices[i] = static_cast<int64_t>(pair.position);
    } else {
      indices[i] = static_cast<int64_t>(pair);
    }
  }
  static __device__ __forceinline__ P pair(KeyOf<T> key, int64_t position) {
    if constexpr (sizeof(T) == 8)
      return {key, static_cast<uint64_t>(position)};
    else
      return static_cast<uint64_t>(key) << 32 | static_cast<uint64_t>(position);
  }
  __device__ __forceinline__ void finish(int64_t row, int64_t at, const P& pair) const {
    const int64_t position = position_of(pair);
    indices[row * n + at] = position;
    values[row * n + at] = x[row * x_step + position];
  }
};

inline constexpr int kTile = 2048;  // pairs of a block, 32 KiB of the wide ones

// Comparison c is between the places i and j, `apart` from each other; the first step of a merge compares from both ends.
__device__ __forceinline__ int64_t lower_place(int64_t c, int64_t apart) { return 2 * c - (c & (apart - 1)); }
__device__ __forceinline__ int64_t upper_place(int64_t i, int64_t apart, bool flips) { return flips ? i ^ (2 * apart - 1) : i + apart; }

// One step in shared memory.
template <bool kFlips, class P>
__device__ __forceinline__ void compare_shared(P* pairs, int apart) {
  for (int c = static_cast<int>(threadIdx.x); c < kTile / 2; c += kBlock) {
    const int i = static_cast<int>(lower_place(c, apart)), j = static_cast<int>(upper_place(i, apart, kFlips));
    if (before(pairs[j], pairs[i])) {
      const P other = pairs[i];
      pairs[i] = pairs[j];
      pairs[j] = other;
    }
  }
  __syncthreads();
}

enum class Stage { Start, Resume };  // pairs not sorted yet; the last steps of a merge of more than a tile

// Tiles of `width` places, a power of two up to kTile: kTile / width of them in a block. `first`: pairs are made of x; `last`: the rows are
// done.
template <class T, Stage stage>
__global__ void __launch_bounds__(kBlock) sort_tiles(SortedRows<T> s, int width, bool first, bool last, bool descending) {
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
    if constexpr (stage == Stage::Start) {
      for (int apart = 1; apart < width; apart *= 2) {
        compare_shared<true>(pairs, apart);
        for (int nearer = apart / 2; nearer > 0; nearer /= 2) compare_shared<false>(pairs, nearer);
      }
    } else {
      for (int apart = width / 2; apart > 0; apart /= 2) compare_shared<false>(pairs, apart);
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

// One step of a merge of more than a tile. Places past the end of a row hold what comes after everything.
template <class T>
__global__ void __launch_bounds__(kBlock) compare_far(SortedRows<T> s, int64_t comparisons, int64_t apart, bool flips) {
  for (int64_t c = global_thread(); c < s.rows * comparisons; c += grid_threads()) {
    const int64_t row = c / comparisons, local = c % comparisons;
    const int64_t i = lower_place(local, apart), j = upper_place(i, apart, flips);
    if (j >= s.n) continue;
    const auto low = s.load(row * s.n + i), high = s.load(row * s.n + j);
    if (before(high, low)) s.store(row * s.n + i, high), s.store(row * s.n + j, low);
  }
}

// Of x where `from_x`, else of the pairs that are there.
template <class T>
void sort_rows(const char* what, cudaStream_t stream, const SortedRows<T>& s, bool from_x, bool descending) {
  if (s.rows == 0 || s.n == 0) return;
  int64_t width = 2;
  while (width < s.n) width *= 2;
  const int tile = static_cast<int>(std::min<int64_t>(width, kTile));
  const unsigned blocks = blocks_for(s.rows * ((s.n + tile - 1) / tile), kTile / tile);
  launch_grid(what, sort_tiles<T, Stage::Start>, blocks, kBlock, stream, 0, s, tile, from_x, width == tile, descending);
  for (int64_t apart = tile; apart < width; apart *= 2) {
    for (int64_t nearer = apart; nearer >= tile; nearer /= 2)
      launch_grid(what, compare_far<T>, blocks_for(s.rows * (width / 2)), kBlock, stream, 0, s, width / 2, nearer, nearer == apart);
    launch_grid(what, sort_tiles<T, Stage::Resume>, blocks, kBlock, stream, 0, s, tile, false, 2 * apart == width, descending);
  }
}

}  // namespace dnncore::cuda
