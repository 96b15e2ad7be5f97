// Moves operands of the product into the order the micro-kernel reads, converting the halves to what it multiplies.
// A panel is [step][width]: the lanes of one step over k lie side by side, zero beyond the matrix.
#pragma once

#include <algorithm>

#include "core/dtype.h"
#include "kernels/gemm_tile.h"

namespace dnncore::DNNCORE_ISA {

DNN_INLINE Vec<float> to_floats(const float* p) { return Vec<float>::load(p); }
DNN_INLINE Vec<double> to_floats(const double* p) { return Vec<double>::load(p); }

DNN_INLINE Vec<float> to_floats(const bfloat16* p) {
#if defined(__AVX512F__)
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {(Vec<float>::Raw)_mm512_slli_epi32(wide, 16)};
#elif defined(__AVX2__)
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {(Vec<float>::Raw)_mm256_slli_epi32(wide, 16)};
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::N; ++i) r.v[i] = to_float(p[i]);
  return r;
#endif
}

DNN_INLINE Vec<float> to_floats(const float16* p) {
#if defined(__AVX512F__)
  return {(Vec<float>::Raw)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
#elif defined(__F16C__)
  return {(Vec<float>::Raw)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::N; ++i) r.v[i] = to_float(p[i]);
  return r;
#endif
}

// Lanes of one step, or steps of one lane, as vectors; what lies beyond `count` or `k` elements is zero and not read.
template <class S, class T, class Op>
struct Source {
  static constexpr int N = Vec<T>::N;

  static DNN_INLINE Vec<T> some(const S* p, int64_t count) {
    if (count >= N) return to_floats(p);
    if constexpr (std::is_same_v<S, T>) {
      return Partial<T>(count).load(p);
    } else {
      S lanes[N] = {};
      std::memcpy(lanes, p, static_cast<size_t>(count) * sizeof(S));
      return to_floats(lanes);
    }
  }
  static DNN_INLINE Vec<T> across(const S* p, int64_t /*k_stride*/, int64_t /*k*/, int64_t count) { return some(p, count); }
  static DNN_INLINE Vec<T> along(const S* p, int64_t k) { return some(p, k); }
};

#if defined(__AVX512BF16__)
// Two steps of k share 32 bits, the earlier one in the lower half.
template <>
struct Source<bfloat16, float, DotPairs> {
  static constexpr int N = Vec<float>::N;

  static DNN_INLINE __m512i widen_row(const bfloat16* p, int64_t count) {
    const auto mask = static_cast<__mmask16>(count >= N ? 0xffffu : (1u << count) - 1);
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
  }
  static DNN_INLINE Vec<float> across(const bfloat16* p, int64_t k_stride, int64_t k, int64_t count) {
    const __m512i low = widen_row(p, count);
    const __m512i high = k > 1 ? widen_row(p + k_stride, count) : _mm512_setzero_si512();
    return {(Vec<float>::Raw)_mm512_or_si512(low, _mm512_slli_epi32(high, 16))};
  }
  static DNN_INLINE Vec<float> along(const bfloat16* p, int64_t k) {
    const auto mask = static_cast<__mmask32>(k >= 2 * N ? ~0u : (1u << k) - 1);
    return {(Vec<float>::Raw)_mm512_maskz_loadu_epi16(mask, p)};
  }
};
#endif

namespace detail {

template <int D, class T, int... I>
DNN_INLINE void swap_blocks(Vec<T>& a, Vec<T>& b, std::integer_sequence<int, I...>) {
  constexpr int N = Vec<T>::N;
  const auto low = __builtin_shufflevector(a.v, b.v, ((I & D) ? N + I - D : I)...);
  b.v = __builtin_shufflevector(a.v, b.v, ((I & D) ? N + I : I + D)...);
  a.v = low;
}

template <int D, class T>
DNN_INLINE void transpose_by(Vec<T> (&r)[Vec<T>::N]) {
  DNN_UNROLL
  for (int i = 0; i < Vec<T>::N; ++i)
    if ((i & D) == 0) swap_blocks<D>(r[i], r[i + D], std::make_integer_sequence<int, Vec<T>::N>{});
  if constexpr (D > 1) transpose_by<D / 2>(r);
}

}  // namespace detail

// N x N, in registers: log2(N) rounds that exchange blocks of lanes.
template <class T>
DNN_INLINE void transpose(Vec<T> (&r)[Vec<T>::N]) {
  detail::transpose_by<Vec<T>::N / 2>(r);
}

#if defined(__AVX2__)
// Four floats of N rows: register c holds those of rows c, 4 + c, 8 + c ... in its 128-bit parts.
template <int C, class Rows>
DNN_INLINE Vec<float> quad_of_rows(const Rows& rows) {
  const auto at = [&](int i) { return reinterpret_cast<const float*>(rows.row(i)); };
#if defined(__AVX512F__)
  __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(at(C)));
  x = _mm512_insertf32x4(x, _mm_loadu_ps(at(4 + C)), 1);
  x = _mm512_insertf32x4(x, _mm_loadu_ps(at(8 + C)), 2);
  x = _mm512_insertf32x4(x, _mm_loadu_ps(at(12 + C)), 3);
#else
  const __m256 x = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at(C))), _mm_loadu_ps(at(4 + C)), 1);
#endif
  return {(Vec<float>::Raw)x};
}
#if defined(__AVX512F__)
#define DNN_SHUFFLE(name) _mm512_##name
#else
#define DNN_SHUFFLE(name) _mm256_##name
#endif
// panel[step][width] of N lanes and `blocks` times N steps. Half the shuffles of transpose(): the loads put the 128-bit parts in place.
DNN_INLINE void pack_along_floats(float* out, int64_t width, const void* src, int64_t stride_bytes, int64_t blocks) {
  using Floats = decltype(DNN_SHUFFLE(setzero_ps)());
  using Doubles = decltype(DNN_SHUFFLE(setzero_pd)());
  RowAddresses<Vec<float>::N> rows(src, stride_bytes);
  for (int64_t i = 0; i < blocks * (Vec<float>::N / 4); ++i, out += 4 * width) {
    const auto x0 = (Floats)quad_of_rows<0>(rows).v, x1 = (Floats)quad_of_rows<1>(rows).v;
    const auto x2 = (Floats)quad_of_rows<2>(rows).v, x3 = (Floats)quad_of_rows<3>(rows).v;
    const auto low = (Doubles)DNN_SHUFFLE(unpacklo_ps)(x0, x1), high = (Doubles)DNN_SHUFFLE(unpackhi_ps)(x0, x1);
    const auto low2 = (Doubles)DNN_SHUFFLE(unpacklo_ps)(x2, x3), high2 = (Doubles)DNN_SHUFFLE(unpackhi_ps)(x2, x3);
    DNN_SHUFFLE(storeu_ps)(out, (Floats)DNN_SHUFFLE(unpacklo_pd)(low, low2));
    DNN_SHUFFLE(storeu_ps)(out + width, (Floats)DNN_SHUFFLE(unpackhi_pd)(low, low2));
    DNN_SHUFFLE(storeu_ps)(out + 2 * width, (Floats)DNN_SHUFFLE(unpacklo_pd)(high, high2));
    DNN_SHUFFLE(storeu_ps)(out + 3 * width, (Floats)DNN_SHUFFLE(unpackhi_pd)(high, high2));
    rows.advance(4 * sizeof(float));
  }
}
#undef DNN_SHUFFLE
#endif

// panel[step][width] from elements (k, lane) at src[k * k_stride + lane], 0 <= k < `k`, 0 <= lane < lanes <= width. Writes whole vectors:
// up to N - 1 elements past the panel when width is no multiple of N.
template <class S, class T, class Op>
void pack_across(T* panel, int64_t width, const S* src, int64_t k_stride, int64_t k, int64_t lanes) {
  constexpr int N = Vec<T>::N;
  for (int64_t p = 0; p < k; p += Op::kPerStep, panel += width, src += Op::kPerStep * k_stride) {
    int64_t j = 0;
    for (; j + N <= lanes; j += N) Source<S, T, Op>::across(src + j, k_stride, k - p, N).store(panel + j);
    for (; j < width; j += N) {
      if (j < lanes)
        Source<S, T, Op>::across(src + j, k_stride, k - p, lanes - j).store(panel + j);
      else
        Vec<T>::zero().store(panel + j);
    }
  }
}

// The same from src[lane * lane_stride + k]; width is a multiple of N.
template <class S, class T, class Op>
void pack_along(T* panel, int64_t width, const S* src, int64_t lane_stride, int64_t k, int64_t lanes) {
  constexpr int N = Vec<T>::N;
  const int64_t steps = (k + Op::kPerStep - 1) / Op::kPerStep;
  for (int64_t j = 0; j < width; j += N) {
    const int64_t live = std::clamp<int64_t>(lanes - j, 0, N);
    int64_t p = 0;
#if defined(__AVX2__)
    if constexpr (std::is_same_v<T, float> && sizeof(S) * Op::kPerStep == sizeof(float)) {
      const int64_t whole = live == N ? k / (N * Op::kPerStep) : 0;
      pack_along_floats(panel + j, width, src + j * lane_stride, lane_stride * static_cast<int64_t>(sizeof(S)), whole);
      p = whole * N;
    }
#endif
    for (; p < steps; p += N) {
      const int64_t left = k - p * Op::kPerStep;
      const S* at = src + j * lane_stride + p * Op::kPerStep;
      Vec<T> r[N];
      DNN_UNROLL
      for (int i = 0; i < N; ++i) r[i] = i < live ? Source<S, T, Op>::along(at + i * lane_stride, left) : Vec<T>::zero();
      transpose(r);
      T* out = panel + p * width + j;
      if (steps - p >= N) [[likely]] {
        DNN_UNROLL
        for (int i = 0; i < N; ++i) r[i].store(out + i * width);
      } else {
        for (int64_t i = 0; i < steps - p; ++i) r[i].store(out + i * width);
      }
    }
  }
}

// rows[row][step] from src[row * row_stride + k]: a plain copy, since the micro-kernel reads A by rows as fast as by panels. Writes whole
// vectors, up to N - 1 elements past the end.
template <class S, class T, class Op>
void copy_rows(T* out, const S* src, int64_t row_stride, int64_t k, int64_t rows) {
  constexpr int N = Vec<T>::N;
  const int64_t steps = (k + Op::kPerStep - 1) / Op::kPerStep;
  for (int64_t i = 0; i < rows; ++i, out += steps, src += row_stride)
    for (int64_t p = 0; p < steps; p += N) Source<S, T, Op>::along(src + p * Op::kPerStep, k - p * Op::kPerStep).store(out + p);
}

// One block of B, `k` elements deep and `cols` wide, as panels of `width` columns; the last one is as narrow as whole vectors allow.
template <class S, class T, class Op>
void pack_block(T* out, int64_t width, const S* b, int64_t b_row, int64_t b_col, int64_t k, int64_t cols) {
  constexpr int N = Vec<T>::N;
  constexpr int64_t kDepth = 16 * Op::kPerStep;  // rows of B read together, so that their columns stream in long runs
  const int64_t steps = (k + Op::kPerStep - 1) / Op::kPerStep;
  const auto width_at = [&](int64_t j) { return std::min(width, (cols - j + N - 1) / N * N); };
  if (b_col == 1 || cols <= 1) {
    for (int64_t p = 0; p < k; p += kDepth) {
      // Rows are far apart, so that nothing else fetches the next ones in time.
      for (int64_t q = p + kDepth; q < std::min(k, p + 2 * kDepth); ++q)
        for (int64_t j = 0; j < cols; j += 64 / static_cast<int64_t>(sizeof(S))) __builtin_prefetch(b + q * b_row + j);
      for (int64_t j = 0; j < cols; j += width) {
        const int64_t w = width_at(j);
        pack_across<S, T, Op>(out + j * steps + p / Op::kPerStep * w, w, b + p * b_row + j, b_row, std::min(kDepth, k - p),
                              std::min(w, cols - j));
      }
    }
  } else {
    for (int64_t j = 0; j < cols; j += width)
      pack_along<S, T, Op>(out + j * steps, width_at(j), b + j * b_col, b_col, k, std::min(width, cols - j));
  }
}

}  // namespace dnncore::DNNCORE_ISA
