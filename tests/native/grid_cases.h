// Cases of sampling at given places, for test_kernels.cpp.
#pragma once

#include "kernel_check.h"
#include "kernels/kernels.h"

namespace dnncore::test {

template <class Fn>
void for_each_grid(Fn&& fn) {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int64_t c : {1, 3, 17, 70, 300})
      for (int spatial : {2, 3})
        for (GridMode mode : {GridMode::Linear, GridMode::Nearest, GridMode::Cubic})
          for (GridPadding padding : {GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection})
            for (bool along : {false, true}) {
              if (spatial == 3 && mode == GridMode::Cubic) continue;
              CAPTURE(std::string(name(dtype)));
              CAPTURE(c);
              CAPTURE(spatial);
              CAPTURE(static_cast<int>(mode));
              CAPTURE(static_cast<int>(padding));
              CAPTURE(along);
              const GridShape s{.n = 2,
                                .c = c,
                                .points = 53,
                                .in = {spatial == 3 ? 3 : 1, 5, 4},
                                .spatial = spatial,
                                .mode = mode,
                                .padding = padding,
                                .align_corners = c == 17,
                                .dtype = dtype};
              const Array grid = real(dtype, s.n * s.points * spatial, -1.5, 1.5), tangent = real(dtype, grid.size(), -1, 1, 5);
              fn(s, grid.data(), along ? tangent.data() : nullptr);
            }
}

inline void cases_grid_sample() {
  for_each_grid([](const GridShape& s, const void* grid, const void* tangent) {
    const Array x = real(s.dtype, s.n * s.in.count() * s.c);
    const GridSampleArgs args{.x = x.data(), .grid = grid, .tangent = tangent, .shape = s};
    check_kernel(kernel::grid_sample, args, &GridSampleArgs::y, Array(s.dtype, s.n * s.points * s.c), {0, 32 * ulp(s.dtype, 16)});
  });
}

inline void cases_grid_sample_backward_input() {
  for_each_grid([](const GridShape& s, const void* grid, const void* tangent) {
    const Array dy = real(s.dtype, s.n * s.points * s.c);
    const GridSampleBackwardInputArgs args{.dy = dy.data(), .grid = grid, .tangent = tangent, .shape = s};
    check_kernel(kernel::grid_sample_backward_input, args, &GridSampleBackwardInputArgs::dx, Array(s.dtype, s.n * s.in.count() * s.c),
                 {0, 64 * ulp(s.dtype, 64)});
  });
}

// Sums over up to 300 channels of products up to 9, times slopes up to 3.
inline void cases_grid_sample_backward_grid() {
  for_each_grid([](const GridShape& s, const void* grid, const void* tangent) {
    const Array x = real(s.dtype, s.n * s.in.count() * s.c), dy = real(s.dtype, s.n * s.points * s.c, -3, 3, 9);
    const GridSampleBackwardGridArgs args{.x = x.data(), .dy = dy.data(), .grid = grid, .tangent = tangent, .shape = s};
    check_kernel(kernel::grid_sample_backward_grid, args, &GridSampleBackwardGridArgs::dgrid, Array(s.dtype, s.n * s.points * s.spatial),
                 {0, 64 * ulp(s.dtype, 1024)});
  });
}

}  // namespace dnncore::test
