// Where the windows of pooling lie along each dimension, and which windows hold an element.
#pragma once

#include <algorithm>

#include "kernels/pool.h"

namespace dnncore {

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

  constexpr int64_t first(int64_t p) const { return adaptive ? p * in / out : p * stride - pad; }
  constexpr int64_t last(int64_t p) const { return adaptive ? ((p + 1) * in + out - 1) / out - 1 : first(p) + (filter - 1) * dilation; }
  constexpr Reach reach(int64_t p) const {
    const int64_t from = first(p);
    if (adaptive) return {from, 0, last(p) + 1 - from};
    if (dilation == 1) return {from, std::max<int64_t>(0, -from), std::min(filter, in - from)};
    return {from, from < 0 ? (dilation - 1 - from) / dilation : 0, std::min(filter, (in - from + dilation - 1) / dilation)};
  }
  constexpr Owners owners(int64_t q) const {
    if (adaptive) return {q * out / in, std::min(out, ((q + 1) * out + in - 1) / in)};
    const int64_t before = q + pad - (filter - 1) * dilation;
    return {before > 0 ? (before + stride - 1) / stride : 0, std::min(out, (q + pad) / stride + 1)};
  }
  // owners(q) from owners(q - 1), without divisions.
  constexpr void advance(Owners& owners, int64_t q) const {
    while (owners.begin < out && last(owners.begin) < q) ++owners.begin;
    while (owners.end < out && first(owners.end) <= q) ++owners.end;
  }
  // The tap of window p that is element q, or -1.
  constexpr int64_t tap(int64_t p, int64_t q) const {
    const int64_t offset = q - first(p);
    if (adaptive || dilation == 1) return offset;
    return offset % dilation == 0 ? offset / dilation : -1;
  }
};

constexpr PoolDim pool_dim(const PoolShape& s, int64_t Extent::*dim) {
  return {s.in.*dim, s.out.*dim, s.filter.*dim, s.stride.*dim, s.adaptive ? 1 : s.dilation.*dim, s.pad.*dim, s.adaptive};
}

struct PoolDims {
  PoolDim d, h, w;
  constexpr explicit PoolDims(const PoolShape& s) : d(pool_dim(s, &Extent::d)), h(pool_dim(s, &Extent::h)), w(pool_dim(s, &Extent::w)) {}
};

}  // namespace dnncore
