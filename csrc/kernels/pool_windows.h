// What the pooling kernels share: where windows lie, which windows hold an element, and the tasks: blocks of adjacent pixels and channels.
#pragma once

#include <algorithm>

#include "core/parallel.h"
#include "kernels/elementwise_loops.h"
#include "kernels/pool.h"

namespace dnncore::DNNCORE_ISA {

// Of one window along one dimension: tap f is element first + f dilation; taps [begin, end) are inside.
struct Reach {
  int64_t first, begin, end;
};

// Windows [begin, end) along one dimension: all that hold an element, and with a dilation some that pass over it.
struct Owners {
  int64_t begin, end;
};

struct PoolDim {
  int64_t in, out, filter, stride, dilation, pad;
  bool adaptive;

  int64_t first(int64_t p) const { return adaptive ? p * in / out : p * stride - pad; }
  int64_t last(int64_t p) const { return adaptive ? ((p + 1) * in + out - 1) / out - 1 : first(p) + (filter - 1) * dilation; }
  Reach reach(int64_t p) const {
    const int64_t from = first(p);
    if (adaptive) return {from, 0, last(p) + 1 - from};
    if (dilation == 1) return {from, std::max<int64_t>(0, -from), std::min(filter, in - from)};
    return {from, from < 0 ? (dilation - 1 - from) / dilation : 0, std::min(filter, (in - from + dilation - 1) / dilation)};
  }
  Owners owners(int64_t q) const {
    if (adaptive) return {q * out / in, std::min(out, ((q + 1) * out + in - 1) / in)};
    const int64_t before = q + pad - (filter - 1) * dilation;
    return {before > 0 ? (before + stride - 1) / stride : 0, std::min(out, (q + pad) / stride + 1)};
  }
  // owners(q) from owners(q - 1), without divisions.
  void advance(Owners& owners, int64_t q) const {
    while (owners.begin < out && last(owners.begin) < q) ++owners.begin;
    while (owners.end < out && first(owners.end) <= q) ++owners.end;
  }
  // The tap of window p that is element q, or -1.
  int64_t tap(int64_t p, int64_t q) const {
    const int64_t offset = q - first(p);
    if (adaptive || dilation == 1) return offset;
    return offset % dilation == 0 ? offset / dilation : -1;
  }
};

inline PoolDim pool_dim(const PoolShape& s, int64_t Extent::*dim) {
  return {s.in.*dim, s.out.*dim, s.filter.*dim, s.stride.*dim, s.adaptive ? 1 : s.dilation.*dim, s.pad.*dim, s.adaptive};
}

struct PoolDims {
  PoolDim d, h, w;
  explicit PoolDims(const PoolShape& s) : d(pool_dim(s, &Extent::d)), h(pool_dim(s, &Extent::h)), w(pool_dim(s, &Extent::w)) {}
};

// Rows of `width` pixels in blocks of pixels and channels; `cost` elements are touched for each one that is written.
struct PoolBlocks {
  int64_t rows, width, channels, pixels_per_block, channels_per_block, per_task;

  PoolBlocks(int64_t rows_of_all, const Extent& extent, int64_t c, int64_t cost) : rows(rows_of_all), width(extent.w), channels(c) {
    channels_per_block = c * cost <= kChunk ? c : std::min(c, std::max<int64_t>(64, kChunk / cost / 64 * 64));
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

// Calls fn(channel, vectors as a constant, lanes) for groups of four vectors, single ones and what is left.
template <class T, class Fn>
DNN_INLINE void for_channels(int64_t channels, Fn&& fn) {
  constexpr int64_t N = Vec<T>::N;
  int64_t c = 0;
  for (; c + 4 * N <= channels; c += 4 * N) fn(c, std::integral_constant<int, 4>{}, N);
  for (; c + N <= channels; c += N) fn(c, std::integral_constant<int, 1>{}, N);
  if (c < channels) fn(c, std::integral_constant<int, 0>{}, channels - c);
}

// `Vectors` of for_channels: 0 stands for one that is not full.
template <int Vectors>
inline constexpr int kRegisters = Vectors == 0 ? 1 : Vectors;
template <int Vectors, class T>
DNN_INLINE Vec<T> load_channels(const T* p, int64_t lanes) {
  return Vectors == 0 ? Vec<T>::load(p, lanes) : Vec<T>::load(p);
}
template <int Vectors, class T>
DNN_INLINE void store_channels(Vec<T> v, T* p, int64_t lanes) {
  Vectors == 0 ? v.store(p, lanes) : v.store(p);
}

inline Schedule pool_schedule(const PoolBlocks& blocks, double nanoseconds) {
  Schedule schedule;
  schedule.tasks[0] = blocks.tasks();
  schedule.nanoseconds = nanoseconds;
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
