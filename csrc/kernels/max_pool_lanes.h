// One vector of channels in max pooling: the largest so far with its position, and the shares of a gradient. Positions are kept as narrow
// as in memory where the instruction set has masks for lanes, else as wide as the numbers.
#pragma once

#include <limits>

#include "kernels/pool.h"
#include "kernels/pool_windows.h"

namespace dnncore::DNNCORE_ISA {

struct NoPosition {};

template <class Position, class Base>
DNN_INLINE Position* at_position(Base* positions, int64_t i) {
  if constexpr (std::is_same_v<Position, NoPosition>)
    return nullptr;
  else
    return static_cast<Position*>(positions) + i;
}

#if defined(__AVX512F__)

template <class T>
using Choice = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;

template <class T>
DNN_INLINE Choice<T> first_lanes(int64_t count) {
  return static_cast<Choice<T>>((1u << count) - 1);
}
template <int Predicate>
DNN_INLINE __mmask16 compare(Vec<float> a, Vec<float> b) {
  return _mm512_cmp_ps_mask((__m512)a.v, (__m512)b.v, Predicate);
}
template <int Predicate>
DNN_INLINE __mmask8 compare(Vec<double> a, Vec<double> b) {
  return _mm512_cmp_pd_mask((__m512d)a.v, (__m512d)b.v, Predicate);
}
template <class T>
DNN_INLINE Choice<T> greater(Vec<T> a, Vec<T> b) {
  return compare<_CMP_GT_OQ>(a, b);
}
template <class T>
DNN_INLINE Choice<T> greater_or_nan(Vec<T> a, Vec<T> b) {
  return static_cast<Choice<T>>(compare<_CMP_GT_OQ>(a, b) | compare<_CMP_UNORD_Q>(a, a));
}
DNN_INLINE Vec<float> choose(__mmask16 m, Vec<float> a, Vec<float> b) {
  return {(Vec<float>::Raw)_mm512_mask_mov_ps((__m512)b.v, m, (__m512)a.v)};
}
DNN_INLINE Vec<double> choose(__mmask8 m, Vec<double> a, Vec<double> b) {
  return {(Vec<double>::Raw)_mm512_mask_mov_pd((__m512d)b.v, m, (__m512d)a.v)};
}

template <class T, class Position>
struct Positions;
template <class T>
struct Positions<T, uint8_t> {
  __m128i v;
  DNN_INLINE void set(int64_t tap) { v = _mm_set1_epi8(static_cast<char>(tap)); }
  DNN_INLINE void choose(Choice<T> m, int64_t tap) { v = _mm_mask_mov_epi8(v, m, _mm_set1_epi8(static_cast<char>(tap))); }
  DNN_INLINE void store(uint8_t* p, int64_t lanes) const {
    if (lanes == 16)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v);
    else
      _mm_mask_storeu_epi8(p, first_lanes<float>(lanes), v);
  }
  DNN_INLINE void load(const uint8_t* p, int64_t lanes) {
    v = lanes == 16 ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)) : _mm_maskz_loadu_epi8(first_lanes<float>(lanes), p);
  }
  DNN_INLINE Choice<T> are(int64_t tap) const {
    return static_cast<Choice<T>>(_mm_cmpeq_epi8_mask(v, _mm_set1_epi8(static_cast<char>(tap))));
  }
};
template <class T>
struct Positions<T, int32_t> {
  __m512i v;
  DNN_INLINE void set(int64_t tap) { v = _mm512_set1_epi32(static_cast<int>(tap)); }
  DNN_INLINE void choose(Choice<T> m, int64_t tap) { v = _mm512_mask_set1_epi32(v, m, static_cast<int>(tap)); }
  DNN_INLINE void store(int32_t* p, int64_t lanes) const { _mm512_mask_storeu_epi32(p, first_lanes<float>(lanes), v); }
  DNN_INLINE void load(const int32_t* p, int64_t lanes) { v = _mm512_maskz_loadu_epi32(first_lanes<float>(lanes), p); }
  DNN_INLINE Choice<T> are(int64_t tap) const {
    return static_cast<Choice<T>>(_mm512_cmpeq_epi32_mask(v, _mm512_set1_epi32(static_cast<int>(tap))));
  }
};

DNN_INLINE Vec<float> add_where(__mmask16 m, Vec<float> sum, Vec<float> g) {
  return {(Vec<float>::Raw)_mm512_mask_add_ps((__m512)sum.v, m, (__m512)sum.v, (__m512)g.v)};
}
DNN_INLINE Vec<double> add_where(__mmask8 m, Vec<double> sum, Vec<double> g) {
  return {(Vec<double>::Raw)_mm512_mask_add_pd((__m512d)sum.v, m, (__m512d)sum.v, (__m512d)g.v)};
}

#else

template <class T>
using Choice = Mask<T>;

template <class T>
DNN_INLINE Mask<T> greater(Vec<T> a, Vec<T> b) {
  return a > b;
}
template <class T>
DNN_INLINE Mask<T> greater_or_nan(Vec<T> a, Vec<T> b) {
  return (a > b) | is_nan(a);
}
template <class T>
DNN_INLINE Vec<T> choose(Mask<T> m, Vec<T> a, Vec<T> b) {
  return select(m, a, b);
}

template <class T, class Position>
struct Positions {
  using Lanes = Vec<Bits<T>>;
  Lanes v;
  DNN_INLINE void set(int64_t tap) { v = Lanes::set(static_cast<Bits<T>>(tap)); }
  DNN_INLINE void choose(Mask<T> m, int64_t tap) { v.v = m.v ? Lanes::set(static_cast<Bits<T>>(tap)).v : v.v; }
  DNN_INLINE void store(Position* p, int64_t lanes) const {
#if defined(__AVX2__)
    if constexpr (sizeof(T) == 4 && sizeof(Position) == 1)
      if (lanes == Lanes::N) {
        const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)v.v), _mm256_extracti128_si256((__m256i)v.v, 1));
        return _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(halves, halves));
      }
#endif
    for (int64_t i = 0; i < lanes; ++i) p[i] = static_cast<Position>(v.v[i]);
  }
  DNN_INLINE void load(const Position* p, int64_t lanes) {
#if defined(__AVX2__)
    if constexpr (sizeof(T) == 4 && sizeof(Position) == 1)
      if (lanes == Lanes::N) {
        v.v = (typename Lanes::Raw)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
        return;
      }
#endif
    v = Lanes::zero();
    for (int64_t i = 0; i < lanes; ++i) v.v[i] = p[i];
  }
  DNN_INLINE Mask<T> are(int64_t tap) const { return {v.v == Lanes::set(static_cast<Bits<T>>(tap)).v}; }
};

template <class T>
DNN_INLINE Vec<T> add_where(Mask<T> m, Vec<T> sum, Vec<T> g) {
  return sum + select(m, g, Vec<T>::zero());
}

#endif

template <class T>
struct Positions<T, NoPosition> {
  DNN_INLINE void set(int64_t) {}
  DNN_INLINE void choose(Choice<T>, int64_t) {}
  DNN_INLINE void store(NoPosition*, int64_t) const {}
};

template <class T, class Position>
struct Largest {
  Vec<T> value;
  Positions<T, Position> position;

  DNN_INLINE void start(int64_t tap) {
    value = Vec<T>::set(-std::numeric_limits<T>::infinity());
    position.set(tap);
  }
  template <bool Careful>
  DNN_INLINE void take(Vec<T> v, int64_t tap) {
    const Choice<T> better = Careful ? greater_or_nan(v, value) : greater(v, value);
    value = choose(better, v, value);
    position.choose(better, tap);
  }
  DNN_INLINE void store_positions(Position* p, int64_t i, int64_t lanes) const { position.store(at_position<Position>(p, i), lanes); }
};

// The gradient of some windows, for the elements that were largest.
template <int Vectors, class T, class Position>
struct Share {
  Vec<T> g;
  Positions<T, Position> position;

  Share() = default;
  DNN_INLINE Share(const MaxPoolBackwardArgs& args, int64_t at, int64_t lanes)
      : g(load_channels<Vectors>(static_cast<const T*>(args.dy) + at, lanes)) {
    position.load(static_cast<const Position*>(args.positions) + at, lanes);
  }
  DNN_INLINE Vec<T> add_to(Vec<T> sum, int64_t tap) const { return add_where(position.are(tap), sum, g); }
};

// The same of some vectors; `tap` counts from `first`.
template <int Vectors, class T, class Position>
struct Shares {
  Share<Vectors, T, Position> of[kRegisters<Vectors>];
  int64_t first;

  DNN_INLINE Shares(const MaxPoolBackwardArgs& args, int64_t at, int64_t lanes, int64_t first) : first(first) {
    for (int u = 0; u < kRegisters<Vectors>; ++u) of[u] = {args, at + u * Vec<T>::N, lanes};
  }
  DNN_INLINE Vec<T> operator()(int u, int64_t tap) const { return of[u].add_to(Vec<T>::zero(), first + tap); }
};

}  // namespace dnncore::DNNCORE_ISA
