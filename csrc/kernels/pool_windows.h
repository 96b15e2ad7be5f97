// What the pooling kernels share: their tasks, blocks of adjacent pixels and channels.
#pragma once

#include <algorithm>

#include "core/parallel.h"
#include "kernels/elementwise_loops.h"
#include "kernels/pool_dim.h"

namespace dnncore::DNNCORE_ISA {

// Rows of `width` pixels in blocks of pixels and channels; `cost` elements are touched for each one that is written.
struct PoolBlocks {
  int64_t rows, width, channels, pixels_per_block, channels_per_block, per_task;

  PoolBlocks(int64_t rows_of_all, const Extent& extent, int64_t c, int64_t cost) : rows(rows_of_all), width(extent.w), channels(c) {
    channels_per_block = c * cost <= kChunk ? c : std::min(c, std::max<int64_t>(1024, kChunk / cost / 64 * 64));
    pixels_per_block = std::clamp<int64_t>(kChunk / (channels_per_block * cost), 1, width);
    per_task = std::max<int64_t>(1, kChunk / (pixels_per_block * channels_per_block * cost));
  }
  int64_t across() const { return (width + pixels_per_block - 1) / pixels_per_block; }
  int64_t deep() const { return (channels + channels_per_block - 1) / channels_per_block; }
  int64_t count() const { return rows * across() * deep(); }
  int64_t tasks() const { return (count() + per_task - 1) / per_task; }
};

// Some pixels of a row: row, pixels [begin, end), channels [c, c + channels).
struct PoolBlock {
  int64_t row, begin, end, c, channels;
};

template <class Fn>
void for_each_block(const PoolBlocks& blocks, const Tasks& tasks, Fn&& fn) {
  const int64_t end = std::min(blocks.count(), tasks.end * blocks.per_task);
  for (int64_t i = tasks.begin * blocks.per_task; i < end; ++i) {
    const int64_t c = i % blocks.deep() * blocks.channels_per_block, begin = i / blocks.deep() % blocks.across() * blocks.pixels_per_block;
    fn(PoolBlock{i / (blocks.deep() * blocks.across()), begin, std::min(begin + blocks.pixels_per_block, blocks.width), c,
                 std::min(blocks.channels_per_block, blocks.channels - c)});
  }
}

// Registers of channels that are worked on together.
inline constexpr int kPoolGroup = kVecBytes == 64 ? 4 : 2;

// Calls fn(channel, vectors as a constant, lanes) for groups of vectors, single ones and what is left.
template <class T, class Fn>
DNN_INLINE void for_channels(int64_t channels, Fn&& fn) {
  constexpr int64_t N = Vec<T>::N;
  int64_t c = 0;
  for (; c + kPoolGroup * N <= channels; c += kPoolGroup * N) fn(c, std::integral_constant<int, kPoolGroup>{}, N);
  for (; c + N <= channels; c += N) fn(c, std::integral_constant<int, 1>{}, N);
  if (c < channels) fn(c, std::integral_constant<int, 0>{}, channels - c);
}

// `Vectors` of for_channels: 0 stands for one that is not full; kHalf for the lower half of one.
inline constexpr int kHalf = -1;
template <int Vectors>
inline constexpr int kRegisters = Vectors <= 0 ? 1 : Vectors;

template <class T, int... I>
DNN_INLINE Vec<T> load_half_of(const T* p, std::integer_sequence<int, I...>) {
  typedef T Half __attribute__((vector_size(kVecBytes / 2)));
  Half half;
  std::memcpy(&half, p, sizeof(half));
  return {__builtin_shufflevector(half, half, (2 * I < Vec<T>::N ? I : -1)...)};
}
template <class T, int... I>
DNN_INLINE void store_half_of(Vec<T> v, T* p, std::integer_sequence<int, I...>) {
  const auto half = __builtin_shufflevector(v.v, v.v, I...);
  std::memcpy(p, &half, sizeof(half));
}
template <int Vectors, class T>
DNN_INLINE Vec<T> load_channels(const T* p, int64_t lanes) {
  if constexpr (Vectors == kHalf) return load_half_of(p, std::make_integer_sequence<int, Vec<T>::N>{});
  return Vectors == 0 ? Vec<T>::load(p, lanes) : Vec<T>::load(p);
}
template <int Vectors, class T>
DNN_INLINE void store_channels(Vec<T> v, T* p, int64_t lanes) {
  if constexpr (Vectors == kHalf) return store_half_of(v, p, std::make_integer_sequence<int, Vec<T>::N / 2>{});
  Vectors == 0 ? v.store(p, lanes) : v.store(p);
}

// What is larger than the caches is written past them, where every vector of channels is aligned. One core of the reference machine writes
// 27 GB/s so and reads 33: neither the gradient of 2 x 2 windows nor their forward pass reaches a copy's 45.
inline bool pool_streams(const void* y, int64_t bytes, int64_t c, DType dtype, const Tasks& tasks) {
  const bool aligned = reinterpret_cast<uintptr_t>(y) % kVecBytes == 0 && c * static_cast<int64_t>(itemsize(dtype)) % kVecBytes == 0;
  return aligned && bytes >= kStreamBytes && !tasks.reread;
}
template <bool kStream, int Vectors, class T>
DNN_INLINE void put_channels(Vec<T> v, T* p, int64_t lanes) {
  if constexpr (kStream && Vectors != 0)
    v.stream(p);
  else
    store_channels<Vectors>(v, p, lanes);
}
// Calls fn(true or false as a constant).
template <class Fn>
void with_stream(bool stream, Fn&& fn) {
  if (stream) {
    fn(std::true_type{});
    stream_fence();
  } else {
    fn(std::false_type{});
  }
}

// Rows of an image lie too far apart for the hardware to see the next one coming: what is left out here is waited for.
template <int Vectors, class T>
DNN_INLINE void prefetch_channels(const T* p) {
  constexpr int kStep = 64 / static_cast<int>(sizeof(T));
  for (int i = 0; i < Vectors * Vec<T>::N; i += kStep) __builtin_prefetch(p + i, 0, 2);
}

// --- Windows side by side that cover the image, of few channels ---

inline bool are_few_tiles(const PoolShape& s) {
  const PoolDims dims(s);
  const int64_t pixel = s.c * static_cast<int64_t>(itemsize(s.dtype));
  const auto tile = [](const PoolDim& dim) { return dim.pad == 0 && dim.stride == dim.filter && dim.in == dim.out * dim.filter; };
  return !s.adaptive && s.filter.d == 1 && (pixel < kVecBytes || (pixel == kVecBytes && s.x_bytes() < kStreamBytes)) &&
         dims.h.dilation == 1 && dims.w.dilation == 1 && tile(dims.d) && tile(dims.h) && tile(dims.w);
}

inline PoolBlocks window_blocks(const PoolShape& s) { return {s.n * s.out.d * s.out.h, s.out, s.c, s.taps()}; }
inline PoolBlocks gradient_blocks(const PoolShape& s) {
  return are_few_tiles(s) ? window_blocks(s) : PoolBlocks(s.n * s.in.d * s.in.h, s.in, s.c, 1);
}

// Calls fn(element of x, element of y, vectors, lanes) for the first pixels of windows, in their order. A pixel is a vector, or half of one
// where that holds it: what that has beyond the pixel is overwritten by the next ones. Only the last windows of a block take no more than
// their pixels (vectors = 0). Pixel by pixel with masks, an average of 2 x 2 took four times as long.
template <class T, class Fn>
DNN_INLINE void for_each_tile(const PoolShape& s, const Tasks& tasks, Fn&& fn) {
  const auto walk = [&](auto vectors, int64_t lanes) __attribute__((always_inline)) {
    for_each_block(window_blocks(s), tasks, [&](const PoolBlock& block) {
      const int64_t x = block.row * s.filter.h * s.in.w * s.c, y = block.row * s.out.w * s.c;
      const int64_t last = std::max(block.begin, block.end - (lanes - 1) / s.c);
      int64_t pw = block.begin;
      for (; pw < last; ++pw) fn(x + pw * s.filter.w * s.c, y + pw * s.c, vectors, lanes);
      for (; pw < block.end; ++pw) fn(x + pw * s.filter.w * s.c, y + pw * s.c, std::integral_constant<int, 0>{}, s.c);
    });
  };
  if constexpr (kVecBytes >= 32)
    if (2 * s.c <= Vec<T>::N) return walk(std::integral_constant<int, kHalf>{}, Vec<T>::N / 2);
  walk(std::integral_constant<int, 1>{}, Vec<T>::N);
}

// --- The elements of a row of a gradient, from the windows along it ---

// Of windows that share no element: give(p, i, vectors, lanes, put) calls put(tap, gradient vectors) for every tap of window p in
// [begin, end), channels i on; elements in no window get 0.
template <bool kStream, class T, class Give>
DNN_INLINE void give_to_disjoint(const PoolDim& dim, const PoolBlock& block, int64_t c, T* dx, Give&& give) {
  const auto clear = [&](int64_t q) __attribute__((always_inline)) {
    for_channels<T>(
        block.channels, [&](int64_t i, auto vectors, int64_t lanes) __attribute__((always_inline)) {
          for (int u = 0; u < kRegisters<vectors>; ++u)
            put_channels<kStream, vectors>(Vec<T>::zero(), dx + q * c + i + u * Vec<T>::N, lanes);
        });
  };
  int64_t q = block.begin;
  const Owners owners{dim.owners(block.begin).begin, dim.owners(block.end - 1).end};
  for (int64_t p = owners.begin; p < owners.end; ++p) {
    const int64_t first = dim.first(p), end = std::min(first + dim.filter, block.end);
    for (; q < first; ++q) clear(q);
    for_channels<T>(
        block.channels, [&](int64_t i, auto vectors, int64_t lanes) __attribute__((always_inline)) {
          const auto share = give(p, i, vectors, lanes);
          for (int64_t at = q; at < end; ++at)
            for (int u = 0; u < kRegisters<vectors>; ++u)
              put_channels<kStream, vectors>(share(u, at - first), dx + at * c + i + u * Vec<T>::N, lanes);
        });
    q = std::max(q, end);
  }
  for (; q < block.end; ++q) clear(q);
}

// Of windows of W elements, S apart: what a window shares with the next one stays in registers. add(p, sum) adds to sum[tap][u].
template <bool kStream, int Vectors, int W, int S, class T, class Add>
DNN_INLINE void give_to_overlapping(const PoolDim& dim, const PoolBlock& block, int64_t c, T* dx, int64_t lanes, Add&& add) {
  constexpr int U = kRegisters<Vectors>;
  Vec<T> sum[W][U];
  for (auto& tap : sum)
    for (Vec<T>& v : tap) v = Vec<T>::zero();
  const Owners owners{dim.owners(block.begin).begin, dim.owners(block.end - 1).end};
  int64_t q = dim.first(owners.begin);
  const bool strided = !kStream && block.channels > U * Vec<T>::N;  // the row is walked more than once
  const auto put = [&](const Vec<T>(&v)[U], int64_t at) __attribute__((always_inline)) {
    if (at < block.begin || at >= block.end) return;
    T* const to = dx + at * c;
    if (strided) prefetch_channels<Vectors>(to + dim.in * c);
    for (int u = 0; u < U; ++u) put_channels<kStream, Vectors>(v[u], to + u * Vec<T>::N, lanes);
  };
  for (int64_t p = owners.begin; p < owners.end; ++p, q += S) {
    add(p, sum);
    for (int f = 0; f < S; ++f) put(sum[f], q + f);
    for (int f = 0; f < W; ++f)
      for (int u = 0; u < U; ++u) sum[f][u] = f + S < W ? sum[f + S < W ? f + S : 0][u] : Vec<T>::zero();
  }
  if (owners.begin >= owners.end) q = block.begin;
  for (int f = 0; f < W - S; ++f) put(sum[f], q + f);
  const Vec<T> nothing[U] = {};
  for (int64_t at = std::max(block.begin, q + W - S); at < block.end; ++at) put(nothing, at);
}

inline Schedule pool_schedule(const PoolBlocks& blocks, double nanoseconds) {
  Schedule schedule;
  schedule.tasks[0] = blocks.tasks();
  schedule.nanoseconds = nanoseconds;
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
