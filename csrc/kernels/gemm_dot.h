// The second micro-kernel, for products of few columns whose operands both lie along k (a classifier's head, a matrix times a vector): a
// tile of dot products, vectors over k. Each element owns one accumulator and one fixed tree over its lanes, so its bits depend on k alone.
#pragma once

#include "kernels/gemm_pack.h"
#include "kernels/gemm_plan.h"

namespace dnncore::DNNCORE_ISA {

// The tile's accumulators, one row of A and all columns of B stay in registers.
inline constexpr int kMaxDotColumns = kVectorRegisters == 32 ? 5 : 4;
constexpr int max_dot_rows(int columns) {
  if (kVectorRegisters == 32) return columns <= 3 ? 8 : columns == 4 ? 6 : 5;
  return columns == 1 ? 8 : columns == 2 ? 4 : columns == 3 ? 3 : 2;
}

// sums[i * ld + j] = (add ? itself : 0) + A row i times B column j; element (i, p) of A at a[i * a_row + p], (p, j) of B at b[j * b_col +
// p].
template <class S, class T>
using DotFn = void (*)(T* sums, int64_t ld, const S* a, int64_t a_row, const S* b, int64_t b_col, int64_t k, bool add);

namespace detail {

// Lane i of the result is the sum of the lanes of r[i]: log2(N) rounds of exchange and addition.
template <int D, class T>
DNN_INLINE void add_lanes(Vec<T>* r) {
  DNN_UNROLL
  for (int i = 0; i < D; ++i) {
    swap_blocks<D>(r[i], r[i + D], std::make_integer_sequence<int, Vec<T>::N>{});
    r[i] = r[i] + r[i + D];
  }
  if constexpr (D > 1) add_lanes<D / 2>(r);
}

// Lanes of `dots` are the elements first, first + 1, ... of the tile, counted row by row.
template <int MR, int NC, class T>
DNN_INLINE void store_dots(T* sums, int64_t ld, Vec<T> dots, int first, bool add) {
  constexpr int N = Vec<T>::N;
#if defined(__AVX512F__)
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {  // one masked store per row, from where its first element would lie in lane 0
    const int begin = std::max(0, i * NC - first), end = std::min(N, (i + 1) * NC - first);
    if (begin >= end) continue;
    Partial<T> row(1);
    row.bits = static_cast<decltype(row.bits)>((1u << end) - (1u << begin));
    T* p = sums + i * ld - (i * NC - first);
    row.store(p, add ? row.load(p) + dots : dots);
  }
#else
  T lanes[N];
  dots.store(lanes);
  for (int e = first; e < std::min(MR * NC, first + N); ++e) {
    T& sum = sums[e / NC * ld + e % NC];
    sum = add ? sum + lanes[e - first] : lanes[e - first];
  }
#endif
}

template <class S, class T, class Op, int MR, int NC>
void dot_tile(T* sums, int64_t ld, const S* a, int64_t a_row, const S* b, int64_t b_col, int64_t k, bool add) {
  constexpr int N = Vec<T>::N, kStep = N * Op::kPerStep, kGroups = (MR * NC + N - 1) / N;
  Vec<T> acc[kGroups * N];
  DNN_UNROLL
  for (int i = 0; i < kGroups * N; ++i) acc[i] = Vec<T>::zero();
  const auto step = [&](auto&& load) {
    Vec<T> bv[NC];
    DNN_UNROLL
    for (int j = 0; j < NC; ++j) {
      bv[j] = load(b + j * b_col);
      keep_in_register(bv[j]);
    }
    DNN_UNROLL
    for (int i = 0; i < MR; ++i) {
      const Vec<T> av = load(a + i * a_row);
      DNN_UNROLL
      for (int j = 0; j < NC; ++j) acc[i * NC + j] = Op::add(av, bv[j], acc[i * NC + j]);
    }
  };
  int64_t p = 0;
  for (; p + kStep <= k; p += kStep) step([&](const S* at) { return Source<S, T, Op>::along(at + p, kStep); });
  if (p < k) step([&](const S* at) { return Source<S, T, Op>::along(at + p, k - p); });
  DNN_UNROLL
  for (int g = 0; g < kGroups; ++g) {
    add_lanes<N / 2>(acc + g * N);
    store_dots<MR, NC>(sums, ld, acc[g * N], g * N, add);
  }
}

template <class S, class T, class Op, int NC, int... I>
DNN_INLINE DotFn<S, T> dot_of_rows(int rows, std::integer_sequence<int, I...>) {
  static constexpr DotFn<S, T> kernels[] = {&dot_tile<S, T, Op, I + 1, NC>...};
  return kernels[rows - 1];
}

}  // namespace detail

template <class S, class T, class Op>
DotFn<S, T> dot_kernel(int rows, int columns) {
  const auto of = [&]<int NC>(std::integral_constant<int, NC>) {
    return detail::dot_of_rows<S, T, Op, NC>(rows, std::make_integer_sequence<int, max_dot_rows(NC)>{});
  };
  switch (columns) {
    case 1:
      return of(std::integral_constant<int, 1>{});
    case 2:
      return of(std::integral_constant<int, 2>{});
    case 3:
      return of(std::integral_constant<int, 3>{});
    case 4:
      return of(std::integral_constant<int, 4>{});
    default:
      return of(std::integral_constant<int, kMaxDotColumns>{});
  }
}

// out[j * k + p] = b[p * b_row + j * b_col]: B along k.
template <class S>
void turn_b(S* out, const S* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n) {
  constexpr int64_t kRun = 64;  // rows of B held in L1 while their columns are written
  for (int64_t p = 0; p < k; p += kRun)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t q = p; q < std::min(k, p + kRun); ++q) out[j * k + q] = b[q * b_row + j * b_col];
}

// sums[rows][n], `ld` apart, = (add ? themselves : 0) + A B over elements [k0, k1) of k; a and b point at k = 0.
template <class S, class T, class Op>
void dot_rows(T* sums, int64_t ld, bool add, const S* a, int64_t a_row, const S* b, int64_t b_col, int64_t k0, int64_t k1, int64_t rows,
              int64_t n) {
  constexpr int64_t kChunk = 4096;  // of k: the columns of B stay in cache while the rows of A pass by
  const int64_t column_groups = ceil_div(n, kMaxDotColumns);
  for (int64_t p = k0; p < k1; p += kChunk)
    for (int64_t g = 0; g < column_groups; ++g) {
      const Range cols = part_of(n, 1, column_groups, g);
      const int most = max_dot_rows(static_cast<int>(cols.size()));
      for (int64_t i = 0; i < rows; i += most) {
        const int height = static_cast<int>(std::min<int64_t>(most, rows - i));
        dot_kernel<S, T, Op>(height, static_cast<int>(cols.size()))(sums + i * ld + cols.begin, ld, a + i * a_row + p, a_row,
                                                                    b + cols.begin * b_col + p, b_col, std::min(kChunk, k1 - p),
                                                                    add || p > k0);
      }
    }
}

}  // namespace dnncore::DNNCORE_ISA
