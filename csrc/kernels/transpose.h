// y[r, c] = x[c, r] for a tile that stays in L1/L2. 4- and 8-byte elements: blocks of P registers of N lanes: every round of interleaving
// registers i and i + P/2 turns the index (register, lane) by one bit, so log2(P) rounds take it to (lane, register).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
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

// kRounds rounds over P registers.
template <int P, int kRounds, class T>
DNN_INLINE void turn(Vec<T> (&a)[P]) {
  constexpr auto kLanes = std::make_integer_sequence<int, Vec<T>::N>{};
#pragma GCC unroll 4
  for (int round = 0; round < kRounds; ++round) {
    Vec<T> b[P];
#pragma GCC unroll 8
    for (int i = 0; i < P / 2; ++i) {
      b[2 * i] = interleave_low(a[i], a[i + P / 2], kLanes);
      b[2 * i + 1] = interleave_high(a[i], a[i + P / 2], kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < P; ++i) a[i] = b[i];
  }
}

constexpr int log2_of(int n) { return n == 1 ? 0 : 1 + log2_of(n / 2); }

template <class T>
DNN_INLINE void transpose_block(const T* x, int64_t x_step, T* y, int64_t y_step) {
  constexpr int N = Vec<T>::N;
  Vec<T> a[N];
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) a[i] = Vec<T>::load(x + i * x_step);
  turn<N, log2_of(N)>(a);
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) a[i].store(y + i * y_step);
}

// At least N rows and columns; the last blocks of both begin early enough to be whole. Blocks of one 64-byte line of rows and columns
// after the other: lines are touched by few blocks, so that power-of-two steps, whose lines share a few sets of the caches, cost little.
// The inner loop follows the longer runs, a line's worth of them at a time: what the prefetchers see. Prefetching by hand lost.
template <class T>
void transpose_blocks(const T* x, int64_t x_step, T* y, int64_t y_step, int64_t rows, int64_t cols) {
  constexpr int64_t N = Vec<T>::N, kLine = 64 / static_cast<int64_t>(sizeof(T));
  const auto line = [&](int64_t r, int64_t c) {
    for (int64_t i = r; i < std::min(r + kLine, rows); i += N)
      for (int64_t j = c; j < std::min(c + kLine, cols); j += N) {
        const int64_t row = std::min(i, rows - N), col = std::min(j, cols - N);
        transpose_block(x + row + col * x_step, x_step, y + row * y_step + col, y_step);
      }
  };
  if (x_step > y_step) {
    for (int64_t c = 0; c < cols; c += kLine)
      for (int64_t r = 0; r < rows; r += kLine) line(r, c);
  } else {
    for (int64_t r = 0; r < rows; r += kLine)
      for (int64_t c = 0; c < cols; c += kLine) line(r, c);
  }
}

// `count` adjacent elements, P / 2 <= count <= P, by two copies that may overlap.
template <int P, class T>
DNN_INLINE void copy_few(const T* x, T* y, int64_t count) {
  constexpr size_t kHalf = P / 2 * sizeof(T);
  std::memcpy(y, x, kHalf);
  std::memcpy(y + count - P / 2, x + count - P / 2, kHalf);
}

// P / 2 < cols <= P columns, such as the channels of an image, and N rows or more: interleaved in registers, P to a row.
template <int P, class T>
void transpose_to_few(const T* x, int64_t x_step, T* y, int64_t y_step, int64_t rows, int64_t cols) {
  constexpr int64_t N = Vec<T>::N;
  const bool dense = cols == P && y_step == P;
  for (int64_t r = 0; r < rows; r += N) {
    const int64_t row = std::min(r, rows - N);
    Vec<T> a[P];
#pragma GCC unroll 16
    for (int64_t j = 0; j < P; ++j) a[j] = Vec<T>::load(x + row + std::min(j, cols - 1) * x_step);
    turn<P, log2_of(P)>(a);
    alignas(64) T buffer[P * N];
    T* const to = dense ? y + row * P : buffer;
#pragma GCC unroll 16
    for (int j = 0; j < P; ++j) a[j].store(to + j * N);
    if (dense) continue;
    for (int64_t i = 0; i < N; ++i) copy_few<P>(buffer + i * P, y + (row + i) * y_step, cols);
  }
}

// The way back: P / 2 < rows <= P, and N columns or more.
template <int P, class T>
void transpose_from_few(const T* x, int64_t x_step, T* y, int64_t y_step, int64_t rows, int64_t cols) {
  constexpr int64_t N = Vec<T>::N;
  alignas(64) T buffer[P * kTile];
  const bool dense = rows == P && x_step == P;
  if (!dense)
    for (int64_t c = 0; c < cols; ++c) copy_few<P>(x + c * x_step, buffer + c * P, rows);
  const T* const from = dense ? x : buffer;
  for (int64_t c = 0; c < cols; c += N) {
    const int64_t col = std::min(c, cols - N);
    Vec<T> a[P];
#pragma GCC unroll 16
    for (int j = 0; j < P; ++j) a[j] = Vec<T>::load(from + col * P + j * N);
    turn<P, log2_of(static_cast<int>(N))>(a);
    for (int64_t i = 0; i < rows; ++i) a[i].store(y + i * y_step + col);
  }
}

// fn(std::integral_constant<int, P>) of the smallest power of two P >= count, 2 <= P <= N.
template <int N, class Fn>
DNN_INLINE void visit_power_of_two(int64_t count, Fn&& fn) {
  if (count <= 2) return fn(std::integral_constant<int, 2>{});
  if constexpr (N >= 4)
    if (count <= 4) return fn(std::integral_constant<int, 4>{});
  if constexpr (N >= 8)
    if (count <= 8) return fn(std::integral_constant<int, 8>{});
  if constexpr (N >= 16) fn(std::integral_constant<int, 16>{});
}

template <class T>
void transpose_elements(const T* x, int64_t x_step, T* y, int64_t y_step, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) y[r * y_step + c] = x[r + c * x_step];
}

// Elements of one or two bytes: through a buffer whose rows are a little longer than a line, so that reading its columns meets all sets of
// L1.
template <class T>
void transpose_small_elements(const T* x, int64_t x_step, T* y, int64_t y_step, int64_t rows, int64_t cols) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T)), kWidth = kLine + 64 / kLine;
  alignas(64) T buffer[kLine * kWidth];
  const int64_t blocked_rows = rows / kLine * kLine, blocked_cols = cols / kLine * kLine;
  for (int64_t r = 0; r < blocked_rows; r += kLine)
    for (int64_t c = 0; c < blocked_cols; c += kLine) {
      for (int64_t j = 0; j < kLine; ++j) std::memcpy(buffer + j * kWidth, x + r + (c + j) * x_step, 64);
      for (int64_t i = 0; i < kLine; ++i) {
        T line[kLine];
        for (int64_t j = 0; j < kLine; ++j) line[j] = buffer[j * kWidth + i];
        std::memcpy(y + (r + i) * y_step + c, line, 64);
      }
    }
  transpose_elements(x + blocked_cols * x_step, x_step, y + blocked_cols, y_step, blocked_rows, cols - blocked_cols);
  transpose_elements(x + blocked_rows, x_step, y + blocked_rows * y_step, y_step, rows - blocked_rows, cols);
}

// Columns of x are `x_step` apart, rows of y `y_step`; at most kTile of both.
template <class U>
void transpose_tile(const U* x, int64_t x_step, U* y, int64_t y_step, int64_t rows, int64_t cols) {
  if constexpr (sizeof(U) < 4) {
    transpose_small_elements(x, x_step, y, y_step, rows, cols);
  } else {
    using T = Bits<std::conditional_t<sizeof(U) == 4, float, double>>;
    constexpr int N = Vec<T>::N;
    const T* from = reinterpret_cast<const T*>(x);
    T* to = reinterpret_cast<T*>(y);
    if (rows >= N && cols >= N)
      transpose_blocks(from, x_step, to, y_step, rows, cols);
    else if (rows >= N)
      visit_power_of_two<N>(cols, [&](auto p) { transpose_to_few<p()>(from, x_step, to, y_step, rows, cols); });
    else if (cols >= N)
      visit_power_of_two<N>(rows, [&](auto p) { transpose_from_few<p()>(from, x_step, to, y_step, rows, cols); });
    else
      transpose_elements(from, x_step, to, y_step, rows, cols);
  }
}

}  // namespace dnncore::DNNCORE_ISA
