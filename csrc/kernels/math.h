// Elementary functions on Vec<float> and Vec<double>. Special values, signed zeros and subnormals follow C.
// Maximal errors in float32 against float64 over all 2^32 inputs: exp, log 1 ULP; tanh, sigmoid, log1p 2; softplus 3; erf 1.5; expm1,
// log2, log10, sin, cos, pow 1; gelu 4 + 1e-7 absolute. float64: exp, log 1; expm1, log1p, sigmoid 2; tanh, softplus 3; the others are the
// C library's, lane by lane.
// float32 takes one of two ways: in float32 where that meets the bound with FMA, else in float64 with one rounding at the end.
#pragma once

#include <cmath>

#include "kernels/simd.h"
#include "kernels/tanh_pieces.h"

namespace dnncore::DNNCORE_ISA {

// c[0] + c[1] x + ... (Horner).
template <class T, size_t N>
DNN_INLINE Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {
  Vec<T> r = Vec<T>::set(c[N - 1]);
  for (int i = static_cast<int>(N) - 2; i >= 0; --i) r = fma(r, x, Vec<T>::set(c[i]));
  return r;
}

template <class F>
DNN_INLINE Vec<float> through_double(F&& f, Vec<float> x) {
  Vec<double> low, high;
  widen(x, low, high);
  return narrow(f(low), f(high));
}

template <class T, class F>
DNN_INLINE Vec<T> lane_by_lane(F&& f, Vec<T> x) {
  Vec<T> r;
  for (int i = 0; i < Vec<T>::N; ++i) r.v[i] = f(x.v[i]);
  return r;
}

namespace detail {

inline constexpr double kLog2e = 1.4426950408889634074, kLn2 = 0.69314718055994530942;
inline constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;  // 33 bits and the rest

// x = n ln 2 + r, |r| <= ln(2) / 2; n stays in its rounder's form for scale().
struct Reduced {
  Vec<double> rounded, r;
};
DNN_INLINE Reduced reduce_exp(Vec<double> x) {
  using V = Vec<double>;
  const V rounded = fma(x, V::set(kLog2e), V::set(kRounder<double>));
  const V n = rounded - V::set(kRounder<double>);
  return {rounded, fma(n, V::set(-kLn2Low), fma(n, V::set(-kLn2High), x))};
}

// (e^r - 1 - r) / r^2 by Taylor's terms up to r^kDegree: 13 leaves 4e-18, 9 (for float32 results) 1e-11.
template <int kDegree>
DNN_INLINE Vec<double> exp_tail(Vec<double> r) {
  constexpr double kTerms[] = {1.0 / 2,     1.0 / 6,      1.0 / 24,      1.0 / 120,      1.0 / 720,       1.0 / 5040,
                               1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
  Vec<double> p = Vec<double>::set(kTerms[kDegree - 2]);
  for (int i = kDegree - 3; i >= 0; --i) p = fma(p, r, Vec<double>::set(kTerms[i]));
  return p;
}

template <int kDegree>
DNN_INLINE Vec<double> exp_double(Vec<double> x) {
  using V = Vec<double>;
  x = min(V::set(710.0), max(V::set(-746.0), x));  // NaN passes
  const Reduced a = reduce_exp(x);
  return scale(V::set(1) + fma(a.r * a.r, exp_tail<kDegree>(a.r), a.r), a.rounded);
}

template <int kDegree>
DNN_INLINE Vec<double> expm1_double(Vec<double> x) {
  using V = Vec<double>;
  const V clamped = min(V::set(710.0), max(V::set(-40.0), x));
  const Reduced a = reduce_exp(clamped);
  const V p = fma(a.r * a.r, exp_tail<kDegree>(a.r), a.r);
  // 2^n p + (2^n - 1), halved so that n = 1024 stays finite.
  const V half = scale(V::set(0.5), a.rounded);
  const V r = fma(half, p, half - V::set(0.5)) * V::set(2);
  return select(x == V::zero(), x, r);
}

// x = 2^k m, m in [sqrt(1/2), sqrt(2)), for positive normal x. k becomes a float64 by way of 2^52's low bits: only AVX-512 converts.
struct Split {
  Vec<double> k, m;
};
DNN_INLINE Split split_log(Vec<double> x) {
  typedef uint64_t Unsigned __attribute__((vector_size(kVecBytes)));
  constexpr uint64_t kRootHalf = 0x3fe6a09e00000000, kTop = uint64_t{1} << 63;
  const Unsigned i = (Unsigned)x.v;
  const Unsigned k = (i - kRootHalf + kTop) >> 52;  // k + 2048
  const Unsigned k_bits = k | (uint64_t{0x433} << 52);
  return {Vec<double>{(Vec<double>::Raw)k_bits} - Vec<double>::set(0x1p52 + 2048), {(Vec<double>::Raw)(i - (k << 52) + kTop)}};
}

// k ln 2 + log(1 + f) + c, as fdlibm's e_log.c sums it.
DNN_INLINE Vec<double> log_sum(Vec<double> k, Vec<double> f, Vec<double> c) {
  using V = Vec<double>;
  constexpr double kTerms[] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
                               1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01};
  const V s = f / (V::set(2) + f);
  const V z = s * s;
  const V half_square = V::set(0.5) * f * f;
  const V tail = fma(s, fma(z, polynomial(z, kTerms), half_square), fma(k, V::set(kLn2Low), c));
  return fma(k, V::set(kLn2High), f - (half_square - tail));
}

// The logarithm's values at 0, infinity, NaN and below 0.
template <class T>
DNN_INLINE Vec<T> log_edges(Vec<T> x, Vec<T> r) {
  using V = Vec<T>;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  r = select(x < V::set(kInfinity), r, x);  // infinity, NaN
  r = select(x == V::zero(), V::set(-kInfinity), r);
  return select(x < V::zero(), V::set(std::numeric_limits<T>::quiet_NaN()), r);
}

DNN_INLINE Vec<double> log_double(Vec<double> x) {
  using V = Vec<double>;
  const Mask<double> tiny = x < V::set(0x1p-1022);
  const Split a = split_log(select(tiny, x * V::set(0x1p54), x));
  const V k = a.k - select(tiny, V::set(54), V::zero());
  return log_edges(x, log_sum(k, a.m - V::set(1), V::zero()));
}

DNN_INLINE Vec<double> log1p_double(Vec<double> x) {
  using V = Vec<double>;
  const V u = V::set(1) + x;
  const Split a = split_log(u);
  const Mask<double> whole = a.k == V::zero();  // then f is x itself
  const V f = select(whole, x, a.m - V::set(1));
  const V rest = select(a.k > V::zero(), V::set(1) - (u - x), x - (u - V::set(1)));
  const V r = log_sum(a.k, f, select(whole, V::zero(), rest / u));
  return select(x == V::zero(), x, log_edges(u, r));
}

DNN_INLINE Vec<double> tanh_double(Vec<double> x) {
  using V = Vec<double>;
  const V e = expm1_double<13>(min(V::set(44.0), V::set(2) * abs(x)));
  const V r = copysign(e / (e + V::set(2)), x);
  return select(abs(x) < V::set(0x1p-28), x, r);
}

DNN_INLINE Vec<double> sigmoid_double(Vec<double> x) {
  using V = Vec<double>;
  const V e = exp_double<13>(-abs(x));
  return select(x < V::zero(), e, V::set(1)) / (V::set(1) + e);
}

template <int kDegree>
DNN_INLINE Vec<double> softplus_double(Vec<double> x) {
  return max(Vec<double>::zero(), x) + log1p_double(exp_double<kDegree>(-abs(x)));
}

// sin (quarter = 0) and cos (quarter = 1) of a float32 value held as float64, |x| <= kSmallAngle: pi/2 in three parts, the first two of
// 33 bits so that n times them is exact; fdlibm's polynomials.
inline constexpr float kSmallAngle = 1.0e6f;
DNN_INLINE Vec<double> sin_quarter(Vec<double> x, int64_t quarter) {
  using V = Vec<double>;
  constexpr double kSin[] = {-1.66666666666666324348e-01, 8.33333333332248946124e-03,  -1.98412698298579493134e-04,
                             2.75573137070700676789e-06,  -2.50507602534068634195e-08, 1.58969099521155010221e-10};
  constexpr double kCos[] = {4.16666666666666019037e-02,  -1.38888888888741095749e-03, 2.48015872894767294178e-05,
                             -2.75573143513906633035e-07, 2.08757232129817482790e-09,  -1.13596475577881948265e-11};
  const V rounded = fma(x, V::set(0.63661977236758134308), V::set(kRounder<double>));
  const V n = rounded - V::set(kRounder<double>);
  V r = fma(n, V::set(-1.57079632673412561417e+00), x);
  r = fma(n, V::set(-6.07710050630396597660e-11), r);
  r = fma(n, V::set(-2.02226624879595063154e-21), r);
  const V z = r * r;
  const V sine = fma(z * r, polynomial(z, kSin), r);
  const V cosine = fma(z * z, polynomial(z, kCos), fma(z, V::set(-0.5), V::set(1)));
  const auto q = bits(rounded).v + quarter;
  const Mask<double> odd = {(q & 1) != 0};
  return from_bits<double>({bits(select(odd, cosine, sine)).v ^ ((q & 2) << 62)});
}

template <class F>
DNN_INLINE Vec<float> sin_float(Vec<float> x, int64_t quarter, F&& precise) {
  const Mask<float> large = ~(abs(x) <= Vec<float>::set(kSmallAngle));
  if (any(large)) [[unlikely]]
    return lane_by_lane([&](float lane) { return static_cast<float>(precise(static_cast<double>(lane))); }, x);
  return through_double([&](Vec<double> half) { return sin_quarter(half, quarter); }, x);
}

// e^x for -104 <= x <= 89 or NaN.
#if defined(__AVX512F__)
// As 2^k 2^(j/16) e^r with |r| <= ln(2) / 32: a third less work than the longer polynomial below. Worst error 0.82 ULP, below 0.87.
DNN_INLINE Vec<float> exp_clamped(Vec<float> x) {
  using V = Vec<float>;
  // clang-format off
  constexpr float kPowers[16] = {
      1.0f, 1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f,
      1.29683959f, 1.35425556f, 1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f,
      1.68179286f, 1.75625217f, 1.8340081f, 1.91520655f};
  constexpr float kRest[16] = {  // what rounding took from the powers, relative
      0.0f, 4.62854715e-08f, -1.19921575e-08f, 4.72978243e-08f, 3.19341815e-08f, 3.62105723e-08f,
      -3.09907193e-08f, -7.47521334e-09f, 1.71142709e-08f, -3.04768335e-08f, 5.23333421e-09f, 6.10759177e-09f,
      -1.47196051e-08f, -5.25879518e-09f, -6.12825968e-09f, 5.14060927e-09f};
  // clang-format on
  constexpr float kSixteenths = kRounder<float> / 16;
  const V rounded = fma(x, V::set(1.44269504f), V::set(kSixteenths));
  const V n = rounded - V::set(kSixteenths);
  const V r = fma(n, V::set(-1.42860677e-6f), fma(n, V::set(-6.93145752e-1f), x));
  const V power = pick(kPowers, bits(rounded));
  const V tail = fma(fma(fma(V::set(1.66664720e-1f), r, V::set(0.5f)), r, V::set(1)), r, pick(kRest, bits(rounded)));
  return {(V::Raw)_mm512_scalef_ps((__m512)fma(power, tail, power).v, (__m512)n.v)};  // which rounds n down
}
#else
DNN_INLINE Vec<float> exp_clamped(Vec<float> x) {
  using V = Vec<float>;
  constexpr float kTerms[] = {1.0f, 1.0f, 4.99999851e-1f, 1.66664720e-1f, 4.16695364e-2f, 8.37312452e-3f, 1.37805939e-3f};
  const V rounded = fma(x, V::set(1.44269504f), V::set(kRounder<float>));
  const V n = rounded - V::set(kRounder<float>);
  const V r = fma(n, V::set(-1.42860677e-6f), fma(n, V::set(-6.93145752e-1f), x));
  return scale(polynomial(r, kTerms), rounded);
}
#endif

DNN_INLINE Vec<float> exp_float(Vec<float> x) {
  return exp_clamped(min(Vec<float>::set(89.0f), max(Vec<float>::set(-104.0f), x)));  // NaN passes
}

// exp for the generic formulas below.
DNN_INLINE Vec<float> exp_any(Vec<float> x) { return exp_float(x); }
DNN_INLINE Vec<double> exp_any(Vec<double> x) { return exp_double<9>(x); }

// The normal distribution's upper tail at a >= 0, exp of a polynomial fitted to its logarithm on [0, 6] so that a times the error stays
// below 2e-10; it falls faster than the tail beyond.
template <class T>
DNN_INLINE Vec<T> normal_tail(Vec<T> a) {
  constexpr T kTerms[] = {T(-6.931471742e-01), T(-7.978847327e-01), T(-3.183086681e-01), T(-3.633908701e-02),
                          T(4.785983464e-03),  T(3.853181435e-05),  T(-2.214729212e-04), T(6.435977193e-05),
                          T(-1.027698139e-05), T(9.300516579e-07),  T(-3.724600780e-08)};
  return exp_any(polynomial(min(Vec<T>::set(15), a), kTerms));
}

// x - x tail(x), or x tail(-x): no cancellation on either side.
template <class T>
DNN_INLINE Vec<T> gelu_any(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x);
  const V tail = normal_tail(a);
  return select(x < V::zero(), x * tail, fma(-min(V::set(15), a), tail, x));
}

// d gelu / dx = Phi(x) + x phi(x).
template <class T>
DNN_INLINE Vec<T> gelu_slope_any(Vec<T> x) {
  using V = Vec<T>;
  const V tail = normal_tail(abs(x));
  const V density = V::set(T(0.39894228040143267794)) * exp_any(V::set(T(-0.5)) * x * x);
  return fma(x, density, select(x < V::zero(), tail, V::set(1) - tail));
}

// Two fits after N. Juffa's my_erff: an odd polynomial below 475/512, 1 - e^p above.
template <class T>
DNN_INLINE Vec<T> erf_any(Vec<T> x) {
  using V = Vec<T>;
  constexpr T kSmall[] = {T(1.28379166e-1), T(-3.76125336e-1), T(1.12819925e-1), T(-2.67681349e-2), T(4.99119423e-3), T(-5.96761703e-4)};
  constexpr T kLarge[] = {T(-1.28717512e-1), T(-6.34846687e-1), T(-1.06777877e-1), T(2.42546219e-2),
                          T(-3.88396438e-3), T(3.83197126e-4),  T(-1.72853470e-5)};
  const V a = min(V::set(4), abs(x));
  const V small = fma(polynomial(x * x, kSmall), x, x);
  const V large = copysign(V::set(1) - exp_any(fma(polynomial(a, kLarge), a, -a)), x);
  return select(abs(x) <= V::set(T(0.927734375)), small, large);
}

template <class F>
DNN_INLINE Vec<float> in_float(F&& f, Vec<float> x) {
  if constexpr (kFused)
    return f(x);
  else
    return through_double(f, x);
}

DNN_INLINE Vec<float> log_float(Vec<float> x) {
  using V = Vec<float>;
  constexpr float kEven[] = {-0.249996200f, -0.166846126f, -0.121483512f, -0.130310059f};
  constexpr float kOdd[] = {0.200120345f, 0.139814854f, 0.140869141f};
  const Mask<float> tiny = x < V::set(0x1p-126f);
  const V normal = select(tiny, x * V::set(0x1p23f), x);
  typedef uint32_t Unsigned __attribute__((vector_size(kVecBytes)));
  const auto exponent = (Vec<int32_t>::Raw)(((Unsigned)normal.v - 0x3f2aaaab) & 0xff800000);  // m in [2/3, 4/3)
  const V f = V{(V::Raw)((Unsigned)normal.v - (Unsigned)exponent)} - V::set(1);
  const V k = fma(V{__builtin_convertvector(exponent, V::Raw)}, V::set(0x1p-23f), select(tiny, V::set(-23), V::zero()));
  const V s = f * f;
  V r = fma(polynomial(s, kOdd), f, polynomial(s, kEven));
  r = fma(r, f, V::set(0.333331972f));
  r = fma(r, f, V::set(-0.5f));
  return log_edges(x, fma(k, V::set(0.693147182f), fma(r, s, f)));
}

// log(u) plus what rounding u = 1 + x lost, over u. By way of float64 it took four times as long.
DNN_INLINE Vec<float> log1p_float(Vec<float> x) {
  using V = Vec<float>;
  const V u = V::set(1) + x;
  const V lost = select(x > V::set(1), V::set(1) - (u - x), x - (u - V::set(1)));
  const Mask<float> exact = abs(x) < V::set(0x1p-24f);  // and both zeros
  const V r = log_float(u) + select((u < V::set(std::numeric_limits<float>::infinity())) & (u > V::zero()), lost / u, V::zero());
  return select(exact, x, r);
}

DNN_INLINE Vec<float> softplus_float(Vec<float> x) { return max(Vec<float>::zero(), x) + log1p_float(exp_float(-abs(x))); }

#if defined(__AVX512F__)
// 14 cycles for 16 lanes on Zen 4, and two thirds of the error of the quotient below, which takes 17. 32 pieces of degree 4 took 12, but
// reach 4.7 ULP; four vectors interleaved by hand took 13.
DNN_INLINE Vec<float> tanh_float(Vec<float> x) {
  using V = Vec<float>;
  constexpr int kSixteenth = 0x3d800000;
  const V a = min(V::set(9.1f), abs(x));  // NaN passes
  // How many half powers of two above 1/16, not below 0: the subtraction saturates.
  const __m512i halves = _mm512_srli_epi32((__m512i)a.v, 22);
  const Vec<int32_t> piece = {(Vec<int32_t>::Raw)_mm512_subs_epu16(halves, _mm512_set1_epi32((kSixteenth >> 22) - 1))};
  const V t = a - pick(kTanhPieces[0], piece);
  V r = pick(kTanhPieces[kTanhDegree + 1], piece);
  for (int i = kTanhDegree; i > 0; --i) r = fma(r, t, pick(kTanhPieces[i], piece));
  return from_bits<float>({bits(r).v | (bits(x).v & std::numeric_limits<int32_t>::min())});
}
#else
// With m = (e^2|x| - 1) / 2 = 2^n p + (2^n - 1/2): m / (m + 1), and below m = 1/3 rather m - m (m / (m + 1)), which does not feel the
// rounding of m + 1. Rounding |x| down a little keeps n = 0, and so m's relative accuracy, up to there. 18 cycles for 16 lanes on
// Zen 4; a polynomial below 0.75 joined with 1 - 2 / (e^2x + 1) took 24.
DNN_INLINE Vec<float> tanh_float(Vec<float> x) {
  using V = Vec<float>;
  constexpr float kTerms[] = {5.000000443e-01f, 1.666683839e-01f, 4.166056134e-02f, 8.287578982e-03f, 1.596175462e-03f};
  const V a = min(V::set(9.1f), abs(x));  // NaN passes
  const V rounded = fma(a - V::set(0.0822f), V::set(2.88539008f), V::set(kRounder<float>));
  const V r = fma(rounded - V::set(kRounder<float>), V::set(-0.693147182f), a + a);
  typedef uint32_t Unsigned __attribute__((vector_size(kVecBytes)));
  const V half_power = {(V::Raw)(((Unsigned)rounded.v << 23) + 0x3f000000)};
  const V m = fma(half_power, fma(r * r, polynomial(r, kTerms), r), half_power - V::set(0.5f));
  const V q = m / (m + V::set(1));
  const V magnitude = select(m < V::set(0.33334f), fma(-m, q, m), q);
  return from_bits<float>({bits(magnitude).v | (bits(x).v & std::numeric_limits<int32_t>::min())});
}
#endif

// With t = e / (1 + e), e = exp(-|x|): 1 - t, or e - e t, which does not feel the rounding of 1 + e. 14 cycles for 16 lanes on Zen 4;
// without the table 15, an estimated reciprocal with one Newton step in place of the division 16, the plain quotient 13 but 2.3 ULP.
DNN_INLINE Vec<float> sigmoid_float(Vec<float> x) {
  using V = Vec<float>;
  const V e = exp_clamped(max(V::set(-104.0f), from_bits<float>({bits(x).v | std::numeric_limits<int32_t>::min()})));
  const V t = e / (V::set(1) + e);
  const V s = select(x < V::zero(), e, V::set(1));
  return fma(-s, t, s);
}

}  // namespace detail

DNN_INLINE Vec<double> exp(Vec<double> x) { return detail::exp_double<13>(x); }
DNN_INLINE Vec<double> expm1(Vec<double> x) { return detail::expm1_double<13>(x); }
DNN_INLINE Vec<double> log(Vec<double> x) { return detail::log_double(x); }
DNN_INLINE Vec<double> log1p(Vec<double> x) { return detail::log1p_double(x); }
DNN_INLINE Vec<double> tanh(Vec<double> x) { return detail::tanh_double(x); }
DNN_INLINE Vec<double> sigmoid(Vec<double> x) { return detail::sigmoid_double(x); }
DNN_INLINE Vec<double> softplus(Vec<double> x) { return detail::softplus_double<13>(x); }
DNN_INLINE Vec<double> log2(Vec<double> x) {
  return lane_by_lane([](double lane) { return std::log2(lane); }, x);
}
DNN_INLINE Vec<double> log10(Vec<double> x) {
  return lane_by_lane([](double lane) { return std::log10(lane); }, x);
}
DNN_INLINE Vec<double> sin(Vec<double> x) {
  return lane_by_lane([](double lane) { return std::sin(lane); }, x);
}
DNN_INLINE Vec<double> cos(Vec<double> x) {
  return lane_by_lane([](double lane) { return std::cos(lane); }, x);
}
DNN_INLINE Vec<double> erf(Vec<double> x) {
  return lane_by_lane([](double lane) { return std::erf(lane); }, x);
}
DNN_INLINE Vec<double> gelu(Vec<double> x) {
  return lane_by_lane([](double lane) { return 0.5 * lane * std::erfc(lane * -0.70710678118654752440); }, x);
}
DNN_INLINE Vec<double> gelu_slope(Vec<double> x) {
  return lane_by_lane(
      [](double lane) {
        return 0.5 * std::erfc(lane * -0.70710678118654752440) + lane * 0.39894228040143267794 * std::exp(-0.5 * lane * lane);
      },
      x);
}
DNN_INLINE Vec<double> pow(Vec<double> x, Vec<double> y) {
  Vec<double> r;
  for (int i = 0; i < Vec<double>::N; ++i) r.v[i] = std::pow(x.v[i], y.v[i]);
  return r;
}

DNN_INLINE Vec<float> exp(Vec<float> x) {
  return detail::in_float([](auto v) { return detail::exp_any(v); }, x);
}
DNN_INLINE Vec<float> log(Vec<float> x) {
  if constexpr (kFused) return detail::log_float(x);
  return through_double(detail::log_double, x);
}
DNN_INLINE Vec<float> tanh(Vec<float> x) {
  if constexpr (kFused) return detail::tanh_float(x);
  return through_double(detail::tanh_double, x);
}
DNN_INLINE Vec<float> sigmoid(Vec<float> x) {
  if constexpr (kFused) return detail::sigmoid_float(x);
  return through_double(detail::sigmoid_double, x);
}
DNN_INLINE Vec<float> erf(Vec<float> x) {
  return detail::in_float([](auto v) { return detail::erf_any(v); }, x);
}
DNN_INLINE Vec<float> gelu(Vec<float> x) {
  return detail::in_float([](auto v) { return detail::gelu_any(v); }, x);
}
DNN_INLINE Vec<float> gelu_slope(Vec<float> x) {
  return detail::in_float([](auto v) { return detail::gelu_slope_any(v); }, x);
}
DNN_INLINE Vec<float> expm1(Vec<float> x) { return through_double(detail::expm1_double<9>, x); }
DNN_INLINE Vec<float> log1p(Vec<float> x) {
  if constexpr (kFused) return detail::log1p_float(x);
  return through_double(detail::log1p_double, x);
}
DNN_INLINE Vec<float> softplus(Vec<float> x) {
  if constexpr (kFused) return detail::softplus_float(x);
  return through_double(detail::softplus_double<9>, x);
}
DNN_INLINE Vec<float> log2(Vec<float> x) {
  return through_double([](Vec<double> v) { return detail::log_double(v) * Vec<double>::set(detail::kLog2e); }, x);
}
DNN_INLINE Vec<float> log10(Vec<float> x) {
  return through_double([](Vec<double> v) { return detail::log_double(v) * Vec<double>::set(0.43429448190325182765); }, x);
}
DNN_INLINE Vec<float> sin(Vec<float> x) {
  const Vec<float> r = detail::sin_float(x, 0, [](double lane) { return std::sin(lane); });
  return select(x == Vec<float>::zero(), x, r);  // -0 stays -0
}
DNN_INLINE Vec<float> cos(Vec<float> x) {
  return detail::sin_float(x, 1, [](double lane) { return std::cos(lane); });
}

// |x|^y = e^(y log|x|) in float64, then the signs of C's pow.
DNN_INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  const auto power = [](Vec<double> base, Vec<double> exponent) {
    using V = Vec<double>;
    const V a = abs(base);
    const V product = select(a == V::set(1), V::zero(), exponent * detail::log_double(a));
    V r = detail::exp_double<9>(product);
    const V half = V::set(0.5) * exponent;
    const Mask<double> whole = round_even(exponent) == exponent;
    const Mask<double> odd = whole & (round_even(half) != half);
    const V nan = V::set(std::numeric_limits<double>::quiet_NaN());
    const Mask<double> finite_negative = (base < V::zero()) & (a < V::set(std::numeric_limits<double>::infinity()));
    r = select(odd, copysign(r, base), r);
    r = select(finite_negative & ~whole, nan, r);
    return select((exponent == V::zero()) | (base == V::set(1)), V::set(1), r);
  };
  Vec<double> x_low, x_high, y_low, y_high;
  widen(x, x_low, x_high);
  widen(y, y_low, y_high);
  return narrow(power(x_low, y_low), power(x_high, y_high));
}

}  // namespace dnncore::DNNCORE_ISA
