// Cases of pooling, for test_kernels.cpp.
#pragma once

#include "kernel_check.h"
#include "kernels/kernels.h"

namespace dnncore::test {

// Windows of one to three dimensions: disjoint, overlapping, padded, dilated, with gaps, beyond the end, larger than a byte counts,
// adaptive.
inline std::vector<PoolShape> pool_shapes(bool dilated) {
  std::vector<PoolShape> shapes = {
      {.in = {1, 8, 6}, .out = {1, 4, 3}, .filter = {1, 2, 2}, .stride = {1, 2, 2}},
      {.in = {1, 7, 9}, .out = {1, 4, 5}, .filter = {1, 3, 3}, .stride = {1, 2, 2}, .pad = {0, 1, 1}},
      {.in = {1, 6, 7}, .out = {1, 3, 4}, .filter = {1, 3, 2}, .stride = {1, 2, 2}},
      {.in = {1, 1, 300}, .out = {1, 1, 60}, .filter = {1, 1, 3}, .stride = {1, 1, 5}},
      {.in = {5, 4, 6}, .out = {3, 2, 3}, .filter = {2, 3, 3}, .stride = {2, 1, 2}, .pad = {1, 0, 1}},
      {.in = {1, 20, 20}, .out = {1, 2, 2}, .filter = {1, 17, 17}, .stride = {1, 3, 3}},
      {.in = {3, 7, 5}, .out = {2, 3, 7}, .filter = {2, 3, 2}, .adaptive = true},
      {.in = {1, 7, 7}, .out = {1, 1, 1}, .filter = {1, 7, 7}},
  };
  if (dilated)
    shapes.push_back(
        {.in = {1, 9, 8}, .out = {1, 3, 4}, .filter = {1, 3, 3}, .stride = {1, 2, 1}, .dilation = {1, 2, 3}, .pad = {0, 0, 1}});
  return shapes;
}

template <class Fn>
void for_each_pool(bool dilated, Fn&& fn) {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (PoolShape s : pool_shapes(dilated))
      for (int64_t c : {1, 3, 6, 16, 17, 70, 300})
        for (int64_t n : {1, 2}) {
          CAPTURE(std::string(name(dtype)));
          CAPTURE(c);
          CAPTURE(s.filter.h);
          CAPTURE(s.filter.w);
          s.n = n;
          s.c = c;
          s.dtype = dtype;
          fn(s);
        }
}

inline void cases_max_pool() {
  for_each_pool(true, [](const PoolShape& s) {
    Array x = whole(s.dtype, s.n * s.in.count() * s.c);
    x.set(x.size() / 2, NAN).set(x.size() / 3, -INFINITY);
    Array ignored(s.dtype, s.n * s.out.count() * s.c);
    MaxPoolArgs args{.x = x.data(), .shape = s};
    check_kernel(kernel::max_pool, args, &MaxPoolArgs::y, ignored, {});
    args.y = ignored.data();
    check_kernel(kernel::max_pool, args, &MaxPoolArgs::positions, Array(s.position_dtype(), ignored.size()), {});
  });
}

// Positions of the reference, of random input.
inline Array pool_positions(const PoolShape& s) {
  const Array x = real(s.dtype, s.n * s.in.count() * s.c), y(s.dtype, s.n * s.out.count() * s.c);
  Array positions(s.position_dtype(), y.size());
  run(dnncore_table_reference, kernel::max_pool, MaxPoolArgs{.x = x.data(), .y = y.data(), .positions = positions.data(), .shape = s},
      Cut::Whole);
  return positions;
}

inline void cases_max_pool_backward() {
  for_each_pool(true, [](const PoolShape& s) {
    const Array positions = pool_positions(s), dy = whole(s.dtype, positions.size());
    const MaxPoolBackwardArgs args{.dy = dy.data(), .positions = positions.data(), .shape = s};
    check_kernel(kernel::max_pool_backward, args, &MaxPoolBackwardArgs::dx, Array(s.dtype, s.n * s.in.count() * s.c), {});
  });
}

inline void cases_max_pool_indices() {
  for_each_pool(true, [](const PoolShape& s) {
    const Array positions = pool_positions(s);
    const auto indices = [&](const CpuTable& table) {
      std::vector<int64_t> found(static_cast<size_t>(positions.size()), -1);
      run(table, kernel::max_pool_indices, MaxPoolIndicesArgs{.positions = positions.data(), .indices = found.data(), .shape = s},
          Cut::SingleTasks);
      return found;
    };
    for (const CpuTable* table : tables()) CHECK(indices(*table) == indices(dnncore_table_reference));
  });
}

template <class Fn>
void for_each_mean(Fn&& fn) {
  for_each_pool(false, [&](const PoolShape& s) {
    for (const PoolDivisor divisor : {PoolDivisor{0, true}, PoolDivisor{0, false}, PoolDivisor{3, true}}) fn(s, divisor);
  });
}

inline void cases_avg_pool() {
  for_each_mean([](const PoolShape& s, const PoolDivisor& divisor) {
    const Array x = whole(s.dtype, s.n * s.in.count() * s.c);
    const AvgPoolArgs args{.x = x.data(), .shape = s, .divisor = divisor};
    check_kernel(kernel::avg_pool, args, &AvgPoolArgs::y, Array(s.dtype, s.n * s.out.count() * s.c), {1});
  });
}

inline void cases_avg_pool_backward() {
  for_each_mean([](const PoolShape& s, const PoolDivisor& divisor) {
    const Array dy = whole(s.dtype, s.n * s.out.count() * s.c);
    const AvgPoolBackwardArgs args{.dy = dy.data(), .shape = s, .divisor = divisor};
    // Of quotients of up to 3 whole numbers, each rounded.
    check_kernel(kernel::avg_pool_backward, args, &AvgPoolBackwardArgs::dx, Array(s.dtype, s.n * s.in.count() * s.c),
                 {2, 16 * ulp(s.dtype, 3)});
  });
}

}  // namespace dnncore::test
