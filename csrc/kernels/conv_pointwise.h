// Convolutions that are matrix products: a filter of one tap, at every pixel.
#pragma once

#include "kernels/conv.h"
#include "kernels/gemm.h"

namespace dnncore {

inline bool is_pointwise(const ConvShape& s) {
  const auto same = [](const Extent& a, const Extent& b) { return a.d == b.d && a.h == b.h && a.w == b.w; };
  const Extent one;
  return s.groups == 1 && s.taps() == 1 && same(s.stride, one) && same(s.pad, Extent{0, 0, 0}) && same(s.in, s.out);
}

// y = x w^T, a row per pixel.
inline GemmArgs as_product(const ConvForwardArgs& args) {
  const ConvShape& s = args.shape;
  return {.a = args.x,
          .b = args.w,
          .bias = args.bias,
          .c = args.y,
          .m = s.n * s.in.count(),
          .n = s.k,
          .k = s.c,
          .a_row = s.x_pixel,
          .a_col = 1,
          .b_row = 1,
          .b_col = s.c,
          .c_row = s.k,
          .dtype = s.dtype,
          .out_dtype = s.dtype,
          .activation = args.activation};
}

// dx = dy w.
inline GemmArgs as_product(const ConvBackwardDataArgs& args) {
  const ConvShape& s = args.shape;
  return {.a = args.dy,
          .b = args.w,
          .bias = args.bias,
          .c = args.dx,
          .m = s.n * s.in.count(),
          .n = s.c,
          .k = s.k,
          .a_row = s.y_pixel,
          .a_col = 1,
          .b_row = s.c,
          .b_col = 1,
          .c_row = s.c,
          .dtype = s.dtype,
          .out_dtype = s.dtype};
}

}  // namespace dnncore
