// Operands of the matrix products that convolutions are, as product.h's sources: elements found in channels-last tensors, 0 outside them.
#pragma once

#include "elementwise.h"
#include "kernels/conv.h"
#include "product.h"

namespace dnncore::cuda::conv {

// n / d and what is left, of numbers that fit 31 bits or not.
struct Parts {
  Divider divider;
  int64_t divisor;

  explicit Parts(int64_t d) : divider(d <= 0x7fffffff ? static_cast<uint32_t>(d) : 1u), divisor(d) {}
  __device__ __forceinline__ int64_t divide(int64_t n, int64_t& rest) const {
    const int64_t quotient = n <= 0x7fffffff && divisor <= 0x7fffffff ? divider.divide(static_cast<uint32_t>(n)) : n / divisor;
    rest = n - quotient * divisor;
    return quotient;
  }
};

struct Position {
  int64_t d, h, w;
};
// Index <-> position, row-major.
struct Places {
  Parts d, h, w;

  explicit Places(const Extent& e) : d(e.d), h(e.h), w(e.w) {}
  __device__ __forceinline__ int64_t count() const { return d.divisor * h.divisor * w.divisor; }
  __device__ __forceinline__ bool holds(const Position& p) const {
    return p.d >= 0 && p.d < d.divisor && p.h >= 0 && p.h < h.divisor && p.w >= 0 && p.w < w.divisor;
  }
  __device__ __forceinline__ int64_t index(const Position& p) const { return (p.d * h.divisor + p.h) * w.divisor + p.w; }
  // Returns what is left over: the image.
  __device__ __forceinline__ int64_t find(int64_t index, Position& p) const { return d.divide(h.divide(w.divide(index, p.w), p.h), p.d); }
};

// The pixel of x that output pixel and tap meet in, and the other way round.
struct Window {
  Places in, out, filter;
  Extent dilation, pad;
  Parts stride_d, stride_h, stride_w;

  explicit Window(const ConvShape& s)
      : in(s.in),
        out(s.out),
        filter(s.filter),
        dilation(s.dilation),
        pad(s.pad),
        stride_d(s.stride.d),
        stride_h(s.stride.h),
        stride_w(s.stride.w) {}
  __device__ __forceinline__ Position origin(const Position& p) const {
    return {p.d * stride_d.divisor - pad.d, p.h * stride_h.divisor - pad.h, p.w * stride_w.divisor - pad.w};
  }
  __device__ __forceinline__ bool input(const Position& origin, const Position& tap, Position& q) const {
    q = {origin.d + tap.d * dilation.d, origin.h + tap.h * dilation.h, origin.w + tap.w * dilation.w};
    return in.holds(q);
  }
  __device__ __forceinline__ Position reverse_origin(const Position& q) const { return {q.d + pad.d, q.h + pad.h, q.w + pad.w}; }
  __device__ __forceinline__ bool output(const Position& origin, const Position& tap, Position& p) const {
    const int64_t d = origin.d - tap.d * dilation.d, h = origin.h - tap.h * dilation.h, w = origin.w - tap.w * dilation.w;
    if (d < 0 || h < 0 || w < 0) return false;
    int64_t rest_d, rest_h, rest_w;
    p = {stride_d.divide(d, rest_d), stride_h.divide(h, rest_h), stride_w.divide(w, rest_w)};
    return (rest_d | rest_h | rest_w) == 0 && out.holds(p);
  }
};

// Rows are output pixels, k is (tap, channel) of x. Transposed: rows are pixels of x, channels those of dy.
template <class T, bool transposed>
struct Pixels {
  using Element = T;
  static constexpr int V = static_cast<int>(16 / sizeof(T));
  static constexpr bool along_k = true;
  const T* data;
  Window window;
  Parts channels;  // of a group
  int64_t rows, pixel;
  bool packs;

  Pixels(const void* x, const ConvShape& s)
      : data(static_cast<const T*>(x)),
        window(s),
        channels((transposed ? s.k : s.c) / s.groups),
        rows(s.n * (transposed ? s.in : s.out).count()),
        pixel(transposed ? s.y_pixel : s.x_pixel),
        packs(product::is_multiple({channels.divisor, pixel}, V) && product::is_aligned(x, 16)) {}

  struct Row {
    const T* image;  // of the group; null outside
    Position origin;
  };
  __device__ __forceinline__ Row row(int64_t z, int64_t r) const {
    if (r >= rows) return {nullptr, {}};
    Position p;
    const Places& places = transposed ? window.in : window.out;
    const int64_t image = places.find(r, p);
    return {data + image * (transposed ? window.out : window.in).count() * pixel + z * channels.divisor,
            transposed ? window.reverse_origin(p) : window.origin(p)};
  }
  __device__ __forceinline__ const T* at(const Row& row, int64_t k) const {
    int64_t channel;
    Position tap, q;
    window.filter.find(channels.divide(k, channel), tap);
    if (transposed ? !window.output(row.origin, tap, q) : !window.input(row.origin, tap, q)) return nullptr;
    return row.image + (transposed ? window.out : window.in).index(q) * pixel + channel;
  }
  __device__ __forceinline__ Pack<T, V> load(const Row& row, int64_t k, int64_t end) const {
    Pack<T, V> x{};
    if (row.image == nullptr || k >= end) return x;
    if (packs) {
      const T* const from = at(row, k);
      return from == nullptr ? x : *reinterpret_cast<const Pack<T, V>*>(from);
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const T* const from = k + v < end ? at(row, k + v) : nullptr;
      if (from != nullptr) x.v[v] = *from;
    }
    return x;
  }
};

// Rows are (tap, channel), k is the output pixel: what of x that tap meets there.
template <class T>
struct Taps {
  using Element = T;
  static constexpr int V = static_cast<int>(16 / sizeof(T));
  static constexpr bool along_k = false;
  const T* data;
  Window window;
  Parts channels;
  int64_t rows, pixel;
  bool packs;

  Taps(const void* x, const ConvShape& s)
      : data(static_cast<const T*>(x)),
        window(s),
        channels(s.c / s.groups),
        rows(channels.divisor * s.taps()),
        pixel(s.x_pixel),
        packs(product::is_multiple({channels.divisor, pixel}, V) && product::is_aligned(x, 16)) {}

  struct Row {
    const T* group;
    int64_t first;
  };
  __device__ __forceinline__ Row row(int64_t z, int64_t r) const { return {data + z * channels.divisor, r}; }
  __device__ __forceinline__ Pack<T, V> load(const Row& row, int64_t k, int64_t end) const {
    Pack<T, V> x{};
    if (k >= end || row.first >= rows) return x;
    Position p;
    const int64_t image = window.out.find(k, p);
    const Position origin = window.origin(p);
    const T* const from = row.group + image * window.in.count() * pixel;
    const auto at = [&](int64_t r) -> const T* {
      int64_t channel;
      Position tap, q;
      window.filter.find(channels.divide(r, channel), tap);
      return window.input(origin, tap, q) ? from + window.in.index(q) * pixel + channel : nullptr;
    };
    if (packs) {
      const T* const found = at(row.first);
      return found == nullptr ? x : *reinterpret_cast<const Pack<T, V>*>(found);
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const T* const found = row.first + v < rows ? at(row.first + v) : nullptr;
      if (found != nullptr) x.v[v] = *found;
    }
    return x;
  }
};

}  // namespace dnncore::cuda::conv
