// y[r, c] = x[c, r] for a tile that stays in L1/L2. 4- and 8-byte elements: N x N blocks in registers, N = lanes: log2(N) rounds of
// interleaving rows i and i + N/2 turn the index (row, lane) by one bit each.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/simd.h"

namespace dnncore::DNNCORE_ISA {

inline constexpr int64_t kTile = 128;
inline int64_t tiles_of(int64_t size) { return (size + kTile - 1) / kTile; }

template <class T, int... I>
DNN_INLINE Vec<T> interleave_low(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  constexpr int N = Vec<T>::N;
  return {__builtin_shufflevector(a.v, b.v, (I / 2 + (I % 2) * N)...)};
}
template <class T, int... I>
DNN_INLINE Vec<T> interleave_high(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  constexpr int N = Vec<T>::N;
  return {__builtin_shufflevector(a.v, b.v, (N / 2 + I / 2 + (I % 2) * N)...)};
}

// Rows of x are `x_step` apart, rows of y `y_step`.
template <class T>
DNN_INLINE void transpose_block(const T* x, int64_t x_step, T* y, int64_t y_step) {
  constexpr int N = Vec<T>::N;
  constexpr auto kLanes = std::make_integer_sequence<int, N>{};
  Vec<T> a[N], b[N];
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) a[i] = Vec<T>::load(x + i * x_step);
#pragma GCC unroll 4
  for (int width = N; width > 1; width /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < N / 2; ++i) {
      b[2 * i] = interleave_low(a[i], a[i + N / 2], kLanes);
      b[2 * i + 1] = interleave_high(a[i], a[i + N / 2], kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) a[i] = b[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) a[i].store(y + i * y_step);
}

// Blocks of 64-byte rows and columns: every line of x and of y is touched by one block only, so that power-of-two steps, whose lines
// share a few sets of the caches, cost nothing extra.
template <class U>
void transpose_tile(const U* x, int64_t x_step, U* y, int64_t y_step, int64_t rows, int64_t cols) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(U));
  int64_t blocked_rows = 0, blocked_cols = 0;
  if constexpr (sizeof(U) >= 4) {
    using T = Bits<std::conditional_t<sizeof(U) == 4, float, double>>;
    constexpr int64_t N = Vec<T>::N;
    blocked_rows = rows / kLine * kLine;
    blocked_cols = cols / kLine * kLine;
    for (int64_t r = 0; r < blocked_rows; r += kLine)
      for (int64_t c = 0; c < blocked_cols; c += kLine)
        for (int64_t i = r; i < r + kLine; i += N)
          for (int64_t j = c; j < c + kLine; j += N)
            transpose_block(reinterpret_cast<const T*>(x) + i + j * x_step, x_step, reinterpret_cast<T*>(y) + i * y_step + j, y_step);
  } else {
    // Through a buffer whose rows are a little longer than a line, so that reading its columns meets all sets of L1.
    constexpr int64_t kWidth = kLine + 64 / kLine;
    alignas(64) U buffer[kLine * kWidth];
    blocked_rows = rows / kLine * kLine;
    blocked_cols = cols / kLine * kLine;
    for (int64_t r = 0; r < blocked_rows; r += kLine)
      for (int64_t c = 0; c < blocked_cols; c += kLine) {
        for (int64_t j = 0; j < kLine; ++j) std::memcpy(buffer + j * kWidth, x + r + (c + j) * x_step, 64);
        for (int64_t i = 0; i < kLine; ++i) {
          U line[kLine];
          for (int64_t j = 0; j < kLine; ++j) line[j] = buffer[j * kWidth + i];
          std::memcpy(y + (r + i) * y_step + c, line, 64);
        }
      }
  }
  for (int64_t r = 0; r < blocked_rows; ++r)
    for (int64_t c = blocked_cols; c < cols; ++c) y[r * y_step + c] = x[r + c * x_step];
  for (int64_t r = blocked_rows; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) y[r * y_step + c] = x[r + c * x_step];
}

}  // namespace dnncore::DNNCORE_ISA
