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

// Of x where `from_x`, else of the pairs that are there.
template <class T>
void sort_rows(const char* what, cudaStream_t stream, const SortedRows<T>& s, bool from_x, bool descending);

}  // namespace dnncore::cuda
