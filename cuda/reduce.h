// Values joined over the lanes of a warp and the threads of a block. Trees whose shape is that of the block: the bits of a sum follow from
// the numbers of threads and elements alone. All lanes of a warp, or all threads of a block, take part, and all get the result.
#pragma once

#include <cstring>

#include "numbers.h"

namespace dnncore::cuda {

struct Plus {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
// A NaN of either stays.
struct Larger {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a != a || a > b ? a : b;
  }
};

namespace detail {

// Any value of whole 32-bit words through shuffles of words.
template <class T, class Shuffle>
__device__ __forceinline__ T shuffle_words(T x, const Shuffle& shuffle) {
  if constexpr (std::is_arithmetic_v<T>) {
    return shuffle(x);
  } else {
    static_assert(sizeof(T) % 4 == 0);
    unsigned words[sizeof(T) / 4];
    std::memcpy(words, &x, sizeof x);
#pragma unroll
    for (unsigned& word : words) word = shuffle(word);
    std::memcpy(&x, words, sizeof x);
    return x;
  }
}

}  // namespace detail

template <class T>
__device__ __forceinline__ T shuffle_xor(T x, int bits) {
  return detail::shuffle_words(x, [&](auto word) { return __shfl_xor_sync(kAllLanes, word, bits); });
}
template <class T>
__device__ __forceinline__ T shuffle_up(T x, unsigned by) {
  return detail::shuffle_words(x, [&](auto word) { return __shfl_up_sync(kAllLanes, word, by); });
}
template <class T>
__device__ __forceinline__ T shuffle_from(T x, int lane) {
  return detail::shuffle_words(x, [&](auto word) { return __shfl_sync(kAllLanes, word, lane); });
}

// Over `width` neighbouring lanes, a power of two; the lower lane's value is join's first.
template <class T, class Join>
__device__ __forceinline__ T warp_joined(T x, const Join& join, int width = 32) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int bits = 1; bits < width; bits *= 2) {
    const T other = shuffle_xor(x, bits);
    const bool upper = lane & bits;
    x = join(upper ? other : x, upper ? x : other);
  }
  return x;
}

// Over the threads of a block of whole warps in one dimension; `room`: a value per warp, in shared memory.
template <class T, class Join>
__device__ __forceinline__ T block_joined(T x, const Join& join, T* room) {
  const int warps = static_cast<int>(blockDim.x / 32);
  x = warp_joined(x, join);
  if (warps == 1) return x;
  __syncthreads();  // who still reads the room's last values
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
  __syncthreads();
  x = room[0];
  for (int w = 1; w < warps; ++w) x = join(x, room[w]);
  return x;
}

// Over the threads whose numbers are the same modulo `across`, a power of two up to 32; `room`: a value per warp and column.
template <class T, class Join>
__device__ __forceinline__ T columns_joined(T x, const Join& join, int across, T* room) {
  const int warps = static_cast<int>(blockDim.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  for (int bits = across; bits < 32; bits *= 2) {
    const T other = shuffle_xor(x, bits);
    const bool upper = lane & bits;
    x = join(upper ? other : x, upper ? x : other);
  }
  __syncthreads();
  if (lane < across) room[static_cast<int>(threadIdx.x / 32) * across + lane] = x;
  __syncthreads();
  x = room[lane % across];
  for (int w = 1; w < warps; ++w) x = join(x, room[w * across + lane % across]);
  return x;
}

// Blocks that fill the largest GPU a few times over: what work is split into, whatever runs it.
inline constexpr int64_t kManyBlocks = 2048;

// Into how many equal parts `length` steps are split where `blocks` blocks work without it: no part is shorter than `least`.
struct Split {
  int64_t parts = 1, each = 0;

  Split(int64_t length, int64_t blocks, int64_t least, int64_t most) : each(length) {
    const int64_t wanted = std::min({(kManyBlocks + blocks - 1) / std::max<int64_t>(blocks, 1), length / least, most});
    if (wanted <= 1) return;
    each = (length + wanted - 1) / wanted;
    parts = (length + each - 1) / each;
  }
};

}  // namespace dnncore::cuda
