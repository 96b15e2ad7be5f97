// Vec<T>: one register of the ISA this text is compiled for; the loop nests are written once over it. Built on the compilers' vector
// extensions: an ISA overrides only what it has an instruction for. Include only from files compiled once per ISA (DNNCORE_ISA defined).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "core/dtype.h"

#if defined(__SSE2__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of GCC 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifndef DNNCORE_ISA
#error "simd.h belongs to files compiled once per ISA"
#endif

#define DNN_INLINE inline __attribute__((always_inline))

namespace dnncore::DNNCORE_ISA {

#if defined(__AVX512F__)
inline constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVecBytes = 32;
#else
inline constexpr int kVecBytes = 16;
#endif

// Whether fma() rounds once. Where it does not (SSE2), math.h computes in float64.
#if defined(__FMA__) || defined(__ARM_NEON)
inline constexpr bool kFused = true;
#else
inline constexpr bool kFused = false;
#endif

template <class T>
struct Vec {
  static constexpr int N = kVecBytes / static_cast<int>(sizeof(T));
  typedef T Raw __attribute__((vector_size(kVecBytes)));
  Raw v;

  static DNN_INLINE Vec load(const T* p) {
    Vec r;
    std::memcpy(&r.v, p, sizeof(Raw));
    return r;
  }
  static DNN_INLINE Vec set(T x) { return {x - Raw{}}; }  // x + 0 would lose the sign of -0
  static DNN_INLINE Vec zero() { return {Raw{}}; }
  DNN_INLINE void store(T* p) const { std::memcpy(p, &v, sizeof(Raw)); }

  // The first `count` lanes, the others zero (load) or untouched (store): no byte beyond them is accessed.
  static DNN_INLINE Vec load(const T* p, int64_t count);
  DNN_INLINE void store(T* p, int64_t count) const;

  // Past the caches; p is aligned to kVecBytes. stream_fence() orders it before what other threads read.
  DNN_INLINE void stream(T* p) const;

  friend DNN_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
  friend DNN_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
  friend DNN_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
  friend DNN_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
  friend DNN_INLINE Vec operator-(Vec a) { return {-a.v}; }
};

// Integers of T's width: what comparisons and bit patterns of Vec<T> are made of.
template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

template <class T>
struct Mask {  // all ones or all zeros per lane
  typename Vec<Bits<T>>::Raw v;

  friend DNN_INLINE Mask operator&(Mask a, Mask b) { return {a.v & b.v}; }
  friend DNN_INLINE Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
  friend DNN_INLINE Mask operator~(Mask a) { return {~a.v}; }
};

template <class T>
DNN_INLINE Mask<T> operator<(Vec<T> a, Vec<T> b) {
  return {a.v < b.v};
}
template <class T>
DNN_INLINE Mask<T> operator<=(Vec<T> a, Vec<T> b) {
  return {a.v <= b.v};
}
template <class T>
DNN_INLINE Mask<T> operator>(Vec<T> a, Vec<T> b) {
  return {a.v > b.v};
}
template <class T>
DNN_INLINE Mask<T> operator>=(Vec<T> a, Vec<T> b) {
  return {a.v >= b.v};
}
template <class T>
DNN_INLINE Mask<T> operator==(Vec<T> a, Vec<T> b) {
  return {a.v == b.v};
}
template <class T>
DNN_INLINE Mask<T> operator!=(Vec<T> a, Vec<T> b) {
  return {a.v != b.v};
}
template <class T>
DNN_INLINE Vec<T> select(Mask<T> m, Vec<T> a, Vec<T> b) {
  return {m.v ? a.v : b.v};
}
template <class T>
DNN_INLINE Mask<T> is_nan(Vec<T> a) {
  return a != a;
}

template <class T>
DNN_INLINE bool any(Mask<T> m) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask((__m512i)m.v, (__m512i)m.v) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8((__m256i)m.v) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8((__m128i)m.v) != 0;
#else
  for (int i = 0; i < Vec<T>::N; ++i)
    if (m.v[i]) return true;
  return false;
#endif
}

template <class T>
DNN_INLINE Vec<Bits<T>> bits(Vec<T> a) {
  return {(typename Vec<Bits<T>>::Raw)a.v};
}
template <class T>
DNN_INLINE Vec<T> from_bits(Vec<Bits<T>> a) {
  return {(typename Vec<T>::Raw)a.v};
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// All ones in the first `count` 32-bit lanes.
DNN_INLINE __m256i first_lanes(int64_t count) {
  alignas(32) static constexpr int32_t kOnesThenZeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOnesThenZeros + 8 - count));
}
#endif

template <class T>
DNN_INLINE Vec<T> Vec<T>::load(const T* p, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), p)};
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm256_maskload_ps(p, first_lanes(count))};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm256_maskload_pd(p, first_lanes(2 * count))};
#endif
  Vec r = zero();
  std::memcpy(&r.v, p, static_cast<size_t>(count) * sizeof(T));
  return r;
}

template <class T>
DNN_INLINE void Vec<T>::store(T* p, int64_t count) const {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), (__m512)v);
  if constexpr (std::is_same_v<T, double>) return _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << count) - 1), (__m512d)v);
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>) return _mm256_maskstore_ps(p, first_lanes(count), (__m256)v);
  if constexpr (std::is_same_v<T, double>) return _mm256_maskstore_pd(p, first_lanes(2 * count), (__m256d)v);
#endif
  std::memcpy(p, &v, static_cast<size_t>(count) * sizeof(T));
}

template <class T>
DNN_INLINE void Vec<T>::stream(T* p) const {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)v);
#elif defined(__SSE2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)v);
#else
  store(p);
#endif
}

DNN_INLINE void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// a * b + c with one rounding where the ISA has it. SSE2 has not: two roundings.
template <class T>
DNN_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  using Raw [[maybe_unused]] = typename Vec<T>::Raw;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v)};
#elif defined(__FMA__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v)};
#elif defined(__ARM_NEON)
  if constexpr (std::is_same_v<T, float>) return {(Raw)vfmaq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)vfmaq_f64((float64x2_t)c.v, (float64x2_t)a.v, (float64x2_t)b.v)};
#endif
  return a * b + c;
}

// min and max as SSE has them: a < b ? a : b, so b when either is NaN.
template <class T>
DNN_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  using Raw [[maybe_unused]] = typename Vec<T>::Raw;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm512_min_ps((__m512)a.v, (__m512)b.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm512_min_pd((__m512d)a.v, (__m512d)b.v)};
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm256_min_ps((__m256)a.v, (__m256)b.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm256_min_pd((__m256d)a.v, (__m256d)b.v)};
#elif defined(__SSE2__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm_min_ps((__m128)a.v, (__m128)b.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm_min_pd((__m128d)a.v, (__m128d)b.v)};
#endif
  return select(a < b, a, b);
}
template <class T>
DNN_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  using Raw [[maybe_unused]] = typename Vec<T>::Raw;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm512_max_ps((__m512)a.v, (__m512)b.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm512_max_pd((__m512d)a.v, (__m512d)b.v)};
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm256_max_ps((__m256)a.v, (__m256)b.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm256_max_pd((__m256d)a.v, (__m256d)b.v)};
#elif defined(__SSE2__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm_max_ps((__m128)a.v, (__m128)b.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm_max_pd((__m128d)a.v, (__m128d)b.v)};
#endif
  return select(a > b, a, b);
}

template <class T>
DNN_INLINE Vec<T> sqrt(Vec<T> a) {
  using Raw [[maybe_unused]] = typename Vec<T>::Raw;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm512_sqrt_ps((__m512)a.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm512_sqrt_pd((__m512d)a.v)};
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm256_sqrt_ps((__m256)a.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm256_sqrt_pd((__m256d)a.v)};
#elif defined(__SSE2__)
  if constexpr (std::is_same_v<T, float>) return {(Raw)_mm_sqrt_ps((__m128)a.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)_mm_sqrt_pd((__m128d)a.v)};
#elif defined(__ARM_NEON)
  if constexpr (std::is_same_v<T, float>) return {(Raw)vsqrtq_f32((float32x4_t)a.v)};
  if constexpr (std::is_same_v<T, double>) return {(Raw)vsqrtq_f64((float64x2_t)a.v)};
#else
  for (int i = 0; i < Vec<T>::N; ++i) a.v[i] = std::sqrt(a.v[i]);
  return a;
#endif
}

template <class T>
DNN_INLINE Vec<T> abs(Vec<T> a) {
  return from_bits<T>({bits(a).v & std::numeric_limits<Bits<T>>::max()});
}
template <class T>
DNN_INLINE Vec<T> copysign(Vec<T> magnitude, Vec<T> sign) {
  constexpr Bits<T> kSign = std::numeric_limits<Bits<T>>::min();
  return from_bits<T>({(bits(magnitude).v & ~kSign) | (bits(sign).v & kSign)});
}

// Adding and subtracting 1.5 * 2^(mantissa bits) rounds to the nearest integer; in between, the low bits hold that integer.
template <class T>
inline constexpr T kRounder = sizeof(T) == 8 ? T(0x1.8p52) : T(0x1.8p23);

// To integral values, any magnitude, -0 kept. Written without SSE4.1, which is as fast where the data comes from memory.
template <class T>
DNN_INLINE Vec<T> round_even(Vec<T> x) {
  const Vec<T> big = Vec<T>::set(sizeof(T) == 8 ? T(0x1p52) : T(0x1p23));
  const Vec<T> a = abs(x);
  return select(a < big, copysign((a + big) - big, x), x);
}
template <class T>
DNN_INLINE Vec<T> floor(Vec<T> x) {
  const Vec<T> r = round_even(x);
  return copysign(r - select(r > x, Vec<T>::set(1), Vec<T>::zero()), x);
}
template <class T>
DNN_INLINE Vec<T> ceil(Vec<T> x) {
  const Vec<T> r = round_even(x);
  return copysign(r + select(r < x, Vec<T>::set(1), Vec<T>::zero()), x);
}
template <class T>
DNN_INLINE Vec<T> trunc(Vec<T> x) {
  return copysign(floor(abs(x)), x);
}

// x * 2^n, rounded once, for n = rounded - kRounder<T>; x is of order 1.
template <class T>
DNN_INLINE Vec<T> scale(Vec<T> x, Vec<T> rounded) {
#if defined(__AVX512F__)
  const Vec<T> n = rounded - Vec<T>::set(kRounder<T>);
  if constexpr (sizeof(T) == 4)
    return {(typename Vec<T>::Raw)_mm512_scalef_ps((__m512)x.v, (__m512)n.v)};
  else
    return {(typename Vec<T>::Raw)_mm512_scalef_pd((__m512d)x.v, (__m512d)n.v)};
#else
  constexpr int kMantissa = sizeof(T) == 8 ? 52 : 23;
  constexpr std::make_unsigned_t<Bits<T>> kBias = sizeof(T) == 8 ? 1023 : 127;
  // Two factors: 2^n itself may overflow or be subnormal. kRounder's bits end in zeros, so the difference is n; unsigned, because only
  // AVX-512 shifts 64-bit integers arithmetically and because NaN lanes may wrap.
  typedef std::make_unsigned_t<Bits<T>> Unsigned __attribute__((vector_size(kVecBytes)));
  const Unsigned n = (Unsigned)rounded.v - (Unsigned)Vec<T>::set(kRounder<T>).v;
  const Unsigned half = ((n + 4096) >> 1) - 2048;
  const Unsigned rest = n - half;
  return x * Vec<T>{(typename Vec<T>::Raw)((half + kBias) << kMantissa)} * Vec<T>{(typename Vec<T>::Raw)((rest + kBias) << kMantissa)};
#endif
}

#if defined(__AVX512F__)
// table[i] for the low four bits of every lane of `i`.
DNN_INLINE Vec<float> pick(const float (&table)[16], Vec<int32_t> i) {
  return {(Vec<float>::Raw)_mm512_permutexvar_ps((__m512i)i.v, _mm512_loadu_ps(table))};
}
#endif

// f over all lanes: lanes i and i + N/2 first, then N/4 and so on, whatever the ISA's own instructions would do.
template <int kWidth, class T, class F, int... I>
DNN_INLINE Vec<T> fold_lanes(Vec<T> a, F f, std::integer_sequence<int, I...> lanes) {
  if constexpr (kWidth == 0)
    return a;
  else
    return fold_lanes<kWidth / 2>(f(a, Vec<T>{__builtin_shufflevector(a.v, a.v, ((I + kWidth) % Vec<T>::N)...)}), f, lanes);
}
template <class T, class F>
DNN_INLINE T reduce_lanes(Vec<T> a, F f) {
  return fold_lanes<Vec<T>::N / 2>(a, f, std::make_integer_sequence<int, Vec<T>::N>{}).v[0];
}
template <class T>
DNN_INLINE T reduce_add(Vec<T> a) {
  return reduce_lanes(
      a, [](Vec<T> x, Vec<T> y) __attribute__((always_inline)) { return x + y; });
}
template <class T>
DNN_INLINE T reduce_max(Vec<T> a) {  // of numbers
  return reduce_lanes(
      a, [](Vec<T> x, Vec<T> y) __attribute__((always_inline)) { return max(x, y); });
}

// The lower and the upper half of the lanes as float64, and back.
DNN_INLINE void widen(Vec<float> x, Vec<double>& low, Vec<double>& high) {
#if defined(__AVX512F__)
  low.v = (Vec<double>::Raw)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x.v));
  high.v = (Vec<double>::Raw)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x.v, 1));
#elif defined(__AVX2__)
  low.v = (Vec<double>::Raw)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x.v));
  high.v = (Vec<double>::Raw)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x.v, 1));
#elif defined(__SSE2__)
  low.v = (Vec<double>::Raw)_mm_cvtps_pd((__m128)x.v);
  high.v = (Vec<double>::Raw)_mm_cvtps_pd(_mm_movehl_ps((__m128)x.v, (__m128)x.v));
#else
  for (int i = 0; i < Vec<double>::N; ++i) low.v[i] = x.v[i], high.v[i] = x.v[i + Vec<double>::N];
#endif
}
DNN_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
#if defined(__AVX512F__)
  const __m512 r = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low.v));
  return {(Vec<float>::Raw)_mm512_insertf32x8(r, _mm512_cvtpd_ps((__m512d)high.v), 1)};
#elif defined(__AVX2__)
  return {(Vec<float>::Raw)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)high.v), _mm256_cvtpd_ps((__m256d)low.v))};
#elif defined(__SSE2__)
  return {(Vec<float>::Raw)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)low.v), _mm_cvtpd_ps((__m128d)high.v))};
#else
  Vec<float> r;
  for (int i = 0; i < Vec<double>::N; ++i) r.v[i] = static_cast<float>(low.v[i]), r.v[i + Vec<double>::N] = static_cast<float>(high.v[i]);
  return r;
#endif
}

// The halves: N values of storage to float32 and back, as core/dtype.h converts them.
DNN_INLINE Vec<float> load_half(const bfloat16* p) {
#if defined(__AVX512F__)
  return {(Vec<float>::Raw)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16)};
#elif defined(__AVX2__)
  return {(Vec<float>::Raw)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16)};
#elif defined(__SSE2__)
  return {(Vec<float>::Raw)_mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::N; ++i) r.v[i] = to_float(p[i]);
  return r;
#endif
}
DNN_INLINE Vec<float> load_half(const float16* p) {
#if defined(__AVX512F__)
  return {(Vec<float>::Raw)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
#elif defined(__AVX2__)
  return {(Vec<float>::Raw)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::N; ++i) r.v[i] = to_float(p[i]);
  return r;
#endif
}
DNN_INLINE void store_half(Vec<float> x, bfloat16* p) {
#if defined(__SSE2__)
  typedef uint32_t Unsigned __attribute__((vector_size(kVecBytes)));
  const Unsigned u = (Unsigned)x.v;
  const Unsigned rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  const Unsigned r = (Unsigned)select(is_nan(x), Vec<float>{(Vec<float>::Raw)((u >> 16) | 0x40)}, Vec<float>{(Vec<float>::Raw)rounded}).v;
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16((__m512i)r));
#elif defined(__AVX2__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi32(_mm256_castsi256_si128((__m256i)r), _mm256_extracti128_si256((__m256i)r, 1)));
#else
  const __m128i sign_extended = _mm_srai_epi32(_mm_slli_epi32((__m128i)r, 16), 16);  // packs saturates as signed
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi32(sign_extended, sign_extended));
#endif
#else
  for (int i = 0; i < Vec<float>::N; ++i) p[i] = to_bfloat16(x.v[i]);
#endif
}
DNN_INLINE void store_half(Vec<float> x, float16* p) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph((__m512)x.v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__AVX2__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph((__m256)x.v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < Vec<float>::N; ++i) p[i] = to_float16(x.v[i]);
#endif
}

template <class Half>
DNN_INLINE void halves_to_float(const Half* x, float* y, int64_t n) {
  constexpr int N = Vec<float>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) load_half(x + i).store(y + i);
  for (; i < n; ++i) y[i] = to_float(x[i]);
}
template <class Half>
DNN_INLINE void float_to_halves(const float* x, Half* y, int64_t n) {
  constexpr int N = Vec<float>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) store_half(Vec<float>::load(x + i), y + i);
  for (; i < n; ++i) {
    if constexpr (std::is_same_v<Half, bfloat16>)
      y[i] = to_bfloat16(x[i]);
    else
      y[i] = to_float16(x[i]);
  }
}

}  // namespace dnncore::DNNCORE_ISA
