// Cases of resampling and of local response normalisation, for test_kernels.cpp.
#pragma once

#include "kernel_check.h"
#include "kernels/kernels.h"

namespace dnncore::test {

inline ResampleAxis resample_axis(int64_t from, int64_t to, bool corners) {
  if (corners) return {from, to, to > 1 ? static_cast<double>(from - 1) / static_cast<double>(to - 1) : 0};
  return {from, to, static_cast<double>(from) / static_cast<double>(to)};
}

// One to three dimensions, larger and smaller, every mode, forth and back.
template <class Fn>
void for_each_resample(Fn&& fn) {
  constexpr int64_t kSizes[][6] = {{1, 1, 7, 1, 1, 12}, {1, 5, 6, 1, 9, 4}, {1, 8, 8, 1, 8, 3},
                                   {3, 4, 2, 2, 7, 5},  {1, 1, 1, 1, 4, 3}, {1, 40, 33, 1, 3, 2}};
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int mode = 0; mode < 6; ++mode)
      for (const auto& sizes : kSizes)
        for (int64_t c : {1, 3, 17, 70})
          for (bool transposed : {false, true}) {
            const bool corners = mode >= 2 && c == 17;
            ResampleShape s{.n = 2, .c = c, .mode = static_cast<ResampleMode>(mode), .align_corners = corners, .transposed = transposed};
            for (int i = 0; i < 3; ++i) s.axes[i] = resample_axis(sizes[i], sizes[3 + i], corners);
            s.dtype = dtype;
            CAPTURE(std::string(name(dtype)));
            CAPTURE(mode);
            CAPTURE(c);
            CAPTURE(transposed);
            CAPTURE(sizes[2]);
            fn(s);
          }
}

inline Array resample_table_of(const ResampleShape& s) {
  Array table(DType::UInt8, s.table_bytes());
  run(dnncore_table_reference, kernel::resample_table, ResampleTableArgs{.table = table.data(), .shape = s}, Cut::SingleTasks);
  return table;
}

template <class T>
std::vector<double> dense_table(const ResampleShape& s, int axis) {
  const Array table = resample_table_of(s);
  const ResampleRows<T> rows(s, table.data(), axis);
  const int64_t columns = s.transposed ? s.axes[axis].to : s.axes[axis].from;
  std::vector<double> dense(static_cast<size_t>(s.rows(axis) * columns));
  for (int64_t r = 0; r < s.rows(axis); ++r) {
    CHECK(rows.end(r) <= columns);
    for (int64_t i = 0; i < rows.count(r); ++i) dense[static_cast<size_t>(r * columns + rows.first[r] + i)] = rows.weights(r)[i];
  }
  return dense;
}

// The weights of an output add up to 1, and the table that goes back is the transpose.
inline void cases_resample_table() {
  for_each_resample([](const ResampleShape& s) {
    if (s.transposed || s.dtype != DType::Float64) return;
    ResampleShape back = s;
    back.transposed = true;
    for (int axis = 0; axis < 3; ++axis) {
      const std::vector<double> forth = dense_table<double>(s, axis), transposed = dense_table<double>(back, axis);
      const auto [from, to, step] = s.axes[axis];
      for (int64_t r = 0; r < to; ++r) {
        double sum = 0;
        for (int64_t q = 0; q < from; ++q) {
          sum += forth[static_cast<size_t>(r * from + q)];
          CHECK(forth[static_cast<size_t>(r * from + q)] == transposed[static_cast<size_t>(q * to + r)]);
        }
        CHECK(std::fabs(sum - 1) < 1e-14);
      }
    }
  });
}

inline void cases_resample() {
  for_each_resample([](const ResampleShape& s) {
    const Array table = resample_table_of(s), x = real(s.dtype, s.n * s.in().count() * s.c);
    const ResampleArgs args{.x = x.data(), .table = table.data(), .shape = s};
    // The weights of a gradient add up to the outputs per element: 27 x 2 x 3 at most here, of values up to 3.
    check_kernel(kernel::resample, args, &ResampleArgs::y, Array(s.dtype, s.n * s.out().count() * s.c), {0, 64 * ulp(s.dtype, 4)});
  });
}

template <class Fn>
void for_each_response(Fn&& fn) {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int64_t c : {1, 2, 15, 16, 17, 64, 300})
      for (int64_t reach : {0, 1, 4, 11})
        for (double beta : {0.75, 1.0, 0.3}) {
          CAPTURE(std::string(name(dtype)));
          CAPTURE(c);
          CAPTURE(reach);
          CAPTURE(beta);
          fn(LocalResponse{.rows = 37,
                           .c = c,
                           .before = std::min((reach + 1) / 2, c - 1),
                           .after = std::min(reach / 2, c - 1),
                           .alpha = 0.2,
                           .beta = beta,
                           .k = 2,
                           .dtype = dtype});
        }
}

inline void cases_local_response() {
  for_each_response([](const LocalResponse& s) {
    const Array x = real(s.dtype, s.rows * s.c);
    const LocalResponseArgs args{.x = x.data(), .shape = s};
    check_kernel(kernel::local_response, args, &LocalResponseArgs::y, Array(s.dtype, x.size()), {16});
  });
}

inline void cases_local_response_backward() {
  for_each_response([](const LocalResponse& s) {
    const Array x = real(s.dtype, s.rows * s.c), dy = real(s.dtype, s.rows * s.c, -3, 3, 7);
    const LocalResponseBackwardArgs args{.x = x.data(), .dy = dy.data(), .shape = s};
    check_kernel(kernel::local_response_backward, args, &LocalResponseBackwardArgs::dx, Array(s.dtype, x.size()),
                 {16, 32 * ulp(s.dtype, 4)});
  });
}

}  // namespace dnncore::test
