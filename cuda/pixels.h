// Elements of (N, D, H, W, C), taken apart into their positions, `pack` channels at a time.
#pragma once

#include "elementwise.h"
#include "kernels/conv.h"

namespace dnncore::cuda {

struct Pixel {
  int64_t n, d, h, w, c;
};

struct Pixels {
  int64_t count, size[4];  // of packs; C, W, H, D
  int pack;
  Divider dividers[4];
  bool is_short;

  Pixels(int64_t n, const Extent& extent, int64_t c, int channels_per_pack)
      : count(n * extent.count() * (c / channels_per_pack)),
        size{c / channels_per_pack, extent.w, extent.h, extent.d},
        pack(channels_per_pack),
        is_short(count <= 0x7fffffff) {
    if (is_short && count > 0)
      for (int i = 0; i < 4; ++i) dividers[i] = Divider(static_cast<uint32_t>(size[i]));
  }

  __device__ __forceinline__ Pixel at(int64_t i) const {
    int64_t part[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int64_t rest = is_short ? dividers[k].divide(static_cast<uint32_t>(i)) : i / size[k];
      part[k] = i - rest * size[k];
      i = rest;
    }
    return {i, part[3], part[2], part[1], part[0] * pack};
  }
};

// Channels that a thread takes of dense operands: 16 bytes of T where every pixel allows that, else one.
template <class T, class... Pointers>
int channels_per_thread(int64_t c, Pointers... operands) {
  constexpr int kPack = static_cast<int>(16 / sizeof(T));
  return c % kPack == 0 && (detail::is_aligned(static_cast<const T*>(operands), kPack) && ...) ? kPack : 1;
}

// Calls fn(T, channels per thread as a constant, the pixels), unless there are none.
template <class Fn, class... Pointers>
void visit_pixels(DType dtype, int64_t n, const Extent& extent, int64_t c, const Fn& fn, Pointers... operands) {
  const auto with = [&](auto tag, auto pack) {
    const Pixels pixels(n, extent, c, pack);
    if (pixels.count > 0) fn(tag, pack, pixels);
  };
  const auto of = [&](auto tag) {
    using T = decltype(tag);
    if (channels_per_thread<T>(c, operands...) > 1)
      with(tag, std::integral_constant<int, static_cast<int>(16 / sizeof(T))>{});
    else
      with(tag, std::integral_constant<int, 1>{});
  };
  dtype == DType::Float64 ? of(double{}) : of(float{});
}

}  // namespace dnncore::cuda
