// Operands of the matrix products that convolutions are, as product.h's sources: elements found in channels-last tensors, 0 outside them.
#pragma once

#include "elementwise.h"
#include "kernels/conv.h"
#include "product.h"

namespace dnncore::cuda::conv {

// n / d and what is left, of numbers below 2^31.
struct Parts {
  Divider divider;
  int divisor;

  explicit Parts(int64_t d) : divider(static_cast<uint32_t>(d)), divisor(static_cast<int>(d)) {}
  __device__ __forceinline__ uint32_t divide(uint32_t n, int& rest) const {
    const uint32_t quotient = divider.divide(n);
    rest = static_cast<int>(n) - static_cast<int>(quotient) * divisor;
    return quotient;
  }
};
// Of all numbers: Divider's method in twice its width.
struct WideParts {
  uint64_t magic;
  int64_t divisor;
  int shift = 0;

  explicit WideParts(int64_t d) : divisor(d) {
    __extension__ using Wide = unsigned __int128;
    while ((uint64_t{1} << shift) < static_cast<uint64_t>(d)) ++shift;
    magic = static_cast<uint64_t>((Wide{1} << 64) * ((uint64_t{1} << shift) - static_cast<uint64_t>(d)) / static_cast<uint64_t>(d) + 1);
  }
  __device__ __forceinline__ int64_t divide(int64_t n, int64_t& rest) const {
    const auto u = static_cast<uint64_t>(n);
    const auto quotient = static_cast<int64_t>((__umul64hi(u, magic) + u) >> shift);
    rest = n - quotient * divisor;
    return quotient;
  }
};

struct Position {
  int d, h, w;
};
// Index <-> position, row-major.
struct Places {
  Parts d, h, w;
  WideParts images;

  explicit Places(const Extent& e) : d(e.d), h(e.h), w(e.w), images(e.count()) {}
  __device__ __forceinline__ int64_t count() const { return images.divisor; }
  __device__ __forceinline__ bool holds(const Position& p) const {
    return p.d >= 0 && p.d < d.divisor && p.h >= 0 && p.h < h.divisor && p.w >= 0 && p.w < w.divisor;
  }
  __device__ __forceinline__ int64_t index(const Position& p) const { return (p.d * h.divisor + p.h) * w.divisor + p.w; }
  // Returns what is left over: the image.
  __device__ __forceinline__ int64_t find(int64_t index, Position& p) const {
    const int64_t image = index <= 0x7fffffff ? 0 : images.divide(index, index);
    return image + d.divide(h.divide(w.divide(static_cast<uint32_t>(index), p.w), p.h), p.d);
  }
};

// V adjacent elements that find(v) points at, null where there is none. All places are found before one is read, by one body of code.
template <class T, int V, class Find>
__device__ __forceinline__ Pack<T, V> gather(bool packs, const Find& find) {
  const T* from[V] = {};
#pragma unroll 1
  for (int v = 0; v < V; v += packs ? V : 1) {
#pragma unroll
    for (int r = 0; r + 1 < V; ++r) from[r] = from[r + 1];
    from[V - 1] = find(v);
  }
  Pack<T, V> x{};
  if (packs) {
    if (from[V - 1] != nullptr) x = *reinterpret_cast<const Pack<T, V>*>(from[V - 1]);
    return x;
  }
#pragma unroll
  for (int v = 0; v < V; ++v)
    if (from[v] != nullptr) x.v[v] = *from[v];
  return x;
}

// The pixel of x that output pixel and tap meet in, and the other way round. Places of one image and of one filter are below 2^31.
struct Window {
  Places in, out, filter;
  Position dilation, pad;
  Parts stride_d, stride_h, stride_w;

  explicit Window(const ConvShape& s)
      : in(s.in),
        out(s.out),
        filter(s.filter),
        dilation{narrow(s.dilation.d), narrow(s.dilation.h), narrow(s.dilation.w)},
        pad{narrow(s.pad.d), narrow(s.pad.h), narrow(s.pad.w)},
        stride_d(narrow(s.stride.d)),
        stride_h(narrow(s.stride.h)),
        stride_w(narrow(s.stride.w)) {
    const int64_t most = std::max({s.in.count(), s.out.count(), s.c * s.taps(), s.k * s.taps(),
                                   span(s.in.d, s.out.d, s.filter.d, s.stride.d, s.dilation.d, s.pad.d),
                                   span(s.in.h, s.out.h, s.filter.h, s.stride.h, s.dilation.h, s.pad.h),
                                   span(s.in.w, s.out.w, s.filter.w, s.stride.w, s.dilation.w, s.pad.w)});
    DNN_CHECK(most <= kMost, ValueError, "conv: CUDA's kernels take images and filters of less than 2^31 places, got ", most);
  }
  __device__ __forceinline__ Position origin(const Position& p) const {
    return {p.d * stride_d.divisor - pad.d, p.h * stride_h.divisor - pad.h, p.w * stride_w.divisor - pad.w};
  }
  __device__ __forceinline__ bool input(const Position& origin, const Position& tap, Position& q) const {
    q = {origin.d + tap.d * dilation.d, origin.h + tap.h * dilation.h, origin.w + tap.w * dilation.w};
    return in.holds(q);
  }
  __device__ __forceinline__ Position reverse_origin(const Position& q) const { return {q.d + pad.d, q.h + pad.h, q.w + pad.w}; }
  __device__ __forceinline__ bool output(const Position& origin, const Position& tap, Position& p) const {
    const int d = origin.d - tap.d * dilation.d, h = origin.h - tap.h * dilation.h, w = origin.w - tap.w * dilation.w;
    if ((d | h | w) < 0) return false;
    int rest_d, rest_h, rest_w;
    p.d = static_cast<int>(stride_d.divide(static_cast<uint32_t>(d), rest_d));
    p.h = static_cast<int>(stride_h.divide(static_cast<uint32_t>(h), rest_h));
    p.w = static_cast<int>(stride_w.divide(static_cast<uint32_t>(w), rest_w));
    return (rest_d | rest_h | rest_w) == 0 && out.holds(p);
  }

 private:
  static constexpr int64_t kMost = 0x7fffffff;
  // A step that is never taken may be longer.
  static int narrow(int64_t n) { return static_cast<int>(std::min(n, kMost)); }
  static int64_t span(int64_t in, int64_t out, int64_t filter, int64_t stride, int64_t dilation, int64_t pad) {
    return std::max(in + pad, (out - 1) * stride + (filter - 1) * dilation + 1);
  }
};

// Rows are output pixels, k is (tap, channel) of x. Transposed: rows are pixels of x, channels those of dy.
template <class T>
struct Pixels {
  using Element = T;
  static constexpr int V = static_cast<int>(16 / sizeof(T));
  static constexpr bool along_k = true;
  const T* data;
  Window window;
  Parts channels;  // of a group
  int64_t rows, pixel;
  bool transposed, packs;

  Pixels(const void* x, const ConvShape& s, bool transposed_)
      : data(static_cast<const T*>(x)),
        window(s),
        channels((transposed_ ? s.k : s.c) / s.groups),
        rows(s.n * (transposed_ ? s.in : s.out).count()),
        pixel(transposed_ ? s.y_pixel : s.x_pixel),
        transposed(transposed_),
        packs(product::is_multiple({channels.divisor, pixel}, V) && product::is_aligned(x, 16)) {}

  struct Row {
    const T* image;  // of the group; null outside
    Position origin;
  };
  __device__ __forceinline__ Row row(int64_t z, int64_t r) const {
    if (r >= rows) return {nullptr, {}};
    Position p;
    const Places &ours = transposed ? window.in : window.out, &others = transposed ? window.out : window.in;
    const int64_t image = ours.find(r, p);
    return {data + image * others.count() * pixel + z * channels.divisor, transposed ? window.reverse_origin(p) : window.origin(p)};
  }
  __device__ __forceinline__ const T* at(const Row& row, int64_t k) const {
    int channel;
    Position tap, q;
    window.filter.find(channels.divide(static_cast<uint32_t>(k), channel), tap);
    if (transposed ? !window.output(row.origin, tap, q) : !window.input(row.origin, tap, q)) return nullptr;
    return row.image + (transposed ? window.out.index(q) : window.in.index(q)) * pixel + channel;
  }
  __device__ __forceinline__ Pack<T, V> load(const Row& row, int64_t k, int64_t end) const {
    if (row.image == nullptr || k >= end) return {};
    return gather<T, V>(packs, [&](int v) { return k + v < end ? at(row, k + v) : nullptr; });
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
        rows(s.c / s.groups * s.taps()),
        pixel(s.x_pixel),
        packs(product::is_multiple({channels.divisor, pixel}, V) && product::is_aligned(x, 16)) {}

  struct Row {
    const T* group;
    int64_t first;
  };
  __device__ __forceinline__ Row row(int64_t z, int64_t r) const { return {data + z * channels.divisor, r}; }
  __device__ __forceinline__ Pack<T, V> load(const Row& row, int64_t k, int64_t end) const {
    if (k >= end || row.first >= rows) return {};
    Position p;
    const int64_t image = window.out.find(k, p);
    const Position origin = window.origin(p);
    const T* const from = row.group + image * window.in.count() * pixel;
    return gather<T, V>(packs, [&](int v) -> const T* {
      if (row.first + v >= rows) return nullptr;
      int channel;
      Position tap, q;
      window.filter.find(channels.divide(static_cast<uint32_t>(row.first + v), channel), tap);
      return window.input(origin, tap, q) ? from + window.in.index(q) * pixel + channel : nullptr;
    });
  }
};

}  // namespace dnncore::cuda::conv
