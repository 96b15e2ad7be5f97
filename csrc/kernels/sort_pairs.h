// Entries as pairs of a key, whose unsigned order is the wanted one, and the position: no two are equal, so that any way to order the
// pairs is stable. Up to 4 bytes: one 64-bit word, key above position.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/simd.h"
#include "kernels/sort.h"

namespace dnncore::DNNCORE_ISA {

struct WidePair {
  uint64_t key, position;
  friend bool operator<(const WidePair& a, const WidePair& b) { return a.key < b.key || (a.key == b.key && a.position < b.position); }
};

template <class T>
using KeyOf = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
template <class T>
using PairOf = std::conditional_t<sizeof(T) == 8, WidePair, uint64_t>;

inline uint64_t key_of(uint64_t pair) { return pair >> 32; }
inline uint64_t key_of(const WidePair& pair) { return pair.key; }
inline int64_t position_of(uint64_t pair) { return static_cast<int64_t>(pair & 0xffffffffu); }
inline int64_t position_of(const WidePair& pair) { return static_cast<int64_t>(pair.position); }

template <class T>
DNN_INLINE KeyOf<T> ascending_key(T x) {
  using Key = KeyOf<T>;
  constexpr Key kTop = Key{1} << (sizeof(Key) * 8 - 1);
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    return ascending_key(to_float(x));
  } else if constexpr (std::is_floating_point_v<T>) {
    // Adding 0 makes a zero positive; all NaNs share the largest key.
    const Key bits = std::bit_cast<Key>(x + T{0});
    const Key key = bits & kTop ? ~bits : bits | kTop;
    return x != x ? ~Key{0} : key;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<Key>(x) ^ kTop;
  } else {
    return static_cast<Key>(x);
  }
}

template <class T>
DNN_INLINE KeyOf<T> key_of_value(T x, bool descending) {
  const KeyOf<T> flip = descending ? ~KeyOf<T>{0} : KeyOf<T>{0};
  return ascending_key(x) ^ flip;
}

template <class T>
DNN_INLINE PairOf<T> make_pair(KeyOf<T> key, int64_t position) {
  if constexpr (sizeof(T) == 8)
    return {key, static_cast<uint64_t>(position)};
  else
    return static_cast<uint64_t>(key) << 32 | static_cast<uint64_t>(position);
}

template <class T>
void write_sorted(const PairOf<T>* pairs, int64_t count, const T* row, T* values, int64_t* indices) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t position = position_of(pairs[i]);
    indices[i] = position;
    values[i] = row[position];
  }
}

}  // namespace dnncore::DNNCORE_ISA
