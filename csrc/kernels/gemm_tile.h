// The micro-kernel: a register tile of MR rows by NRV vectors, acc += A B over k steps. A is broadcast from memory, B is loaded as vectors;
// both are read packed or in place. It carries GEMM here and is what convolution and LSTM build on (accumulate() with their own epilogue).
// Every element of C sums its k steps one after the other, so its bits depend on no tile size and no neighbour.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "kernels/gemm.h"
#include "kernels/simd.h"

namespace dnncore::DNNCORE_ISA {

#define DNN_UNROLL _Pragma("GCC unroll 32")

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kVectorRegisters = 32;
#else
inline constexpr int kVectorRegisters = 16;
#endif
#if defined(__AVX2__)
inline constexpr bool kMaskedLoads = true;
#else
inline constexpr bool kMaskedLoads = false;
#endif
#if defined(__AVX512F__)
inline constexpr bool kMaskedStores = true;  // AVX2 has them too, but they are slow on AMD
#else
inline constexpr bool kMaskedStores = false;
#endif

// The highest tile of each width in vectors. With 32 registers 8x3 issues 11 loads for 24 products and leaves five registers free.
inline constexpr int kMaxWidth = kVectorRegisters == 32 ? 3 : 2;
constexpr int max_rows(int width) {
  if (kVectorRegisters == 32) return width == 1 ? 24 : width == 2 ? 14 : 8;
  return width == 1 ? 12 : 6;
}
inline constexpr int kMaxRows = max_rows(1);

// The first `count` lanes of a vector, 0 < count <= N.
template <class T>
struct Partial {
#if defined(__AVX512F__)
  using Bits = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
  Bits bits;
  explicit DNN_INLINE Partial(int64_t count) : bits(static_cast<Bits>((1u << count) - 1)) {}
  DNN_INLINE Vec<T> load(const T* p) const {
    if constexpr (sizeof(T) == 4)
      return {(typename Vec<T>::Raw)_mm512_maskz_loadu_ps(bits, p)};
    else
      return {(typename Vec<T>::Raw)_mm512_maskz_loadu_pd(bits, p)};
  }
  DNN_INLINE void store(T* p, Vec<T> x) const {
    if constexpr (sizeof(T) == 4)
      _mm512_mask_storeu_ps(p, bits, (__m512)x.v);
    else
      _mm512_mask_storeu_pd(p, bits, (__m512d)x.v);
  }
#elif defined(__AVX2__)
  __m256i bits;
  explicit DNN_INLINE Partial(int64_t count) {
    if constexpr (sizeof(T) == 4)
      bits = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    else
      bits = _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  DNN_INLINE Vec<T> load(const T* p) const {
    if constexpr (sizeof(T) == 4)
      return {(typename Vec<T>::Raw)_mm256_maskload_ps(p, bits)};
    else
      return {(typename Vec<T>::Raw)_mm256_maskload_pd(p, bits)};
  }
  DNN_INLINE void store(T* p, Vec<T> x) const {
    if constexpr (sizeof(T) == 4)
      _mm256_maskstore_ps(p, bits, (__m256)x.v);
    else
      _mm256_maskstore_pd(p, bits, (__m256d)x.v);
  }
#else
  int64_t count;
  explicit DNN_INLINE Partial(int64_t n) : count(n) {}
  DNN_INLINE Vec<T> load(const T* p) const {
    Vec<T> r = Vec<T>::zero();
    std::memcpy(&r.v, p, static_cast<size_t>(count) * sizeof(T));
    return r;
  }
  DNN_INLINE void store(T* p, Vec<T> x) const { std::memcpy(p, &x.v, static_cast<size_t>(count) * sizeof(T)); }
#endif
};

// What one step over k is: a product of elements, or of a pair of bfloat16 that travels as the 32 bits of a float.
struct Multiply {
  static constexpr int kPerStep = 1;
  template <class T>
  static DNN_INLINE Vec<T> add(Vec<T> a, Vec<T> b, Vec<T> c) {
    return fma(a, b, c);
  }
};
#if defined(__AVX512BF16__)
struct DotPairs {
  static constexpr int kPerStep = 2;
  static DNN_INLINE Vec<float> add(Vec<float> a, Vec<float> b, Vec<float> c) {
    return {(Vec<float>::Raw)_mm512_dpbf16_ps((__m512)c.v, (__m512bh)(__m512)a.v, (__m512bh)(__m512)b.v)};
  }
};
#endif

// Rows: element (i, p) of A lies at i * stride + p, so A is row-major in place or a copied block of rows.
// Columns: at p * stride + i, so A is column-major in place or a packed panel.
enum class Order { Rows, Columns };

// Addresses of MR rows at equal distance from few registers: an x86 address scales its index by 1, 2, 4 or 8.
template <int MR>
struct RowAddresses {
  const char* base[(MR + 7) / 8];
  int64_t s1, s3, s5, s7;

  DNN_INLINE RowAddresses(const void* a, int64_t stride) : s1(stride), s3(3 * stride), s5(5 * stride), s7(7 * stride) {
    DNN_UNROLL
    for (int i = 0; i < (MR + 7) / 8; ++i) base[i] = static_cast<const char*>(a) + i * 8 * stride;
  }
  DNN_INLINE const char* row(int i) const {
    const char* b = base[i >> 3];
    switch (i & 7) {
      case 0:
        return b;
      case 1:
        return b + s1;
      case 2:
        return b + 2 * s1;
      case 3:
        return b + s3;
      case 4:
        return b + 4 * s1;
      case 5:
        return b + s5;
      case 6:
        return b + 2 * s3;
      default:
        return b + s7;
    }
  }
  DNN_INLINE void advance(int64_t bytes) {
    DNN_UNROLL
    for (int i = 0; i < (MR + 7) / 8; ++i) base[i] += bytes;
  }
};

template <class T>
DNN_INLINE Vec<T> broadcast(const void* p) {
  T x;
  std::memcpy(&x, p, sizeof(T));        // a pair of bfloat16 may lie on any even address
  return {x - typename Vec<T>::Raw{}};  // bit for bit: x + 0 would lose the sign of zero and cost an addition
}

// Left alone, GCC loads a vector that serves several products once for each of them.
template <class T>
DNN_INLINE void keep_in_register([[maybe_unused]] Vec<T>& x) {
#if defined(__SSE2__)
  asm("" : "+v"(x.v));
#elif defined(__aarch64__)
  asm("" : "+w"(x.v));
#endif
}

// acc += A B over k steps, of kRows rows from kFirst on. Strides in bytes. kMasked: the last vector of B has only the lanes of `last`.
template <class T, class Op, int MR, int NRV, Order kOrder, bool kMasked, int kFirst = 0, int kRows = MR>
DNN_INLINE void accumulate(Vec<T> (&acc)[MR][NRV], const void* a, int64_t a_stride, const void* b, int64_t b_stride, int64_t k,
                           Partial<T> last) {
  constexpr int N = Vec<T>::N;
  const char* b_bytes = static_cast<const char*>(b);
  const auto step = [&](auto&& a_at) {
    Vec<T> bv[NRV];
    DNN_UNROLL
    for (int v = 0; v < NRV; ++v) {
      const T* p = reinterpret_cast<const T*>(b_bytes) + v * N;
      bv[v] = kMasked && v == NRV - 1 ? last.load(p) : Vec<T>::load(p);
    }
    DNN_UNROLL
    for (int i = kFirst; i < kFirst + kRows; ++i) {
      const Vec<T> av = broadcast<T>(a_at(i));
      DNN_UNROLL
      for (int v = 0; v < NRV; ++v) acc[i][v] = Op::add(av, bv[v], acc[i][v]);
    }
    b_bytes += b_stride;
  };
  if constexpr (kOrder == Order::Rows) {
    RowAddresses<MR> rows(a, a_stride);
    for (int64_t p = 0; p < k; ++p) {
      step([&](int i) { return rows.row(i); });
      rows.advance(sizeof(T));
    }
  } else {
    const char* a_bytes = static_cast<const char*>(a);
    for (int64_t p = 0; p < k; ++p) {
      step([&](int i) { return a_bytes + i * sizeof(T); });
      a_bytes += a_stride;
    }
  }
}

// What follows the last step over k: C = activation(sums (+ C) + bias), rounded to C's type.
struct Finish {
  void* c;  // first element of the matrix
  int64_t c_row;
  const void* bias;  // first column's, or null
  DType out;
  Activation activation;
  bool add_c;    // C is added here and not before
  bool streams;  // whole vectors of C go past the caches
};

// The sums of a block of C, at row0, col0 of the matrix; `ld` between their rows.
template <class T>
void finish_block(const Finish& finish, const T* sums, int64_t ld, int64_t row0, int64_t col0, int64_t rows, int64_t cols);

// One call of the micro-kernel.
template <class T>
struct Tile {
  const void* a;
  int64_t a_stride;  // bytes
  const void* b;
  int64_t b_stride;  // bytes
  int64_t k;         // steps
  T* sums;           // of earlier blocks of k (when `add`), and where this one's go (unless `finish`)
  int64_t ld;
  int64_t cols;  // (NRV - 1) N < cols <= NRV N
  const Finish* finish;
  int64_t row, col;  // in C, for `finish`
  bool add;
  const char* ahead;   // rows of A that a later call reads, to be fetched to L2 meanwhile; Order::Rows only
  int64_t ahead_rows;  // a_stride apart
};

// Where the tile cannot be stored as it stands: `buffer` holds its MR rows of `ld` sums.
template <class T>
void store_ragged(const Tile<T>& tile, T* buffer, int rows, int ld);

// A line of every row ahead with every line of A. Rows lie too far apart for the hardware to see the next ones coming: 25088 rows of 256
// times 256 x 64 went from 79 to 104 GF/s (copied in blocks to L2, as convolution does: 92).
template <class T, class Op, int MR, int NRV, bool kMasked>
DNN_INLINE void accumulate_fetching(Vec<T> (&acc)[MR][NRV], const Tile<T>& tile, Partial<T> last) {
  constexpr int64_t kSize = sizeof(T);
  const char *a = static_cast<const char*>(tile.a), *b = static_cast<const char*>(tile.b);
  const int64_t piece = tile.ahead_rows > 0 ? 64 / kSize : tile.k;
  for (int64_t p = 0; p < tile.k; p += piece) {
    for (int64_t i = 0; i < tile.ahead_rows; ++i) __builtin_prefetch(tile.ahead + i * tile.a_stride + p * kSize, 0, 2);
    accumulate<T, Op, MR, NRV, Order::Rows, kMasked>(acc, a + p * kSize, tile.a_stride, b + p * tile.b_stride, tile.b_stride,
                                                     std::min(piece, tile.k - p), last);
  }
}

template <class T, class Op, int MR, int NRV, Order kOrder, bool kMasked>
void tile_kernel(const Tile<T>& tile) {
  constexpr int N = Vec<T>::N;
  const Partial<T> last(tile.cols - (NRV - 1) * N);
  Vec<T> acc[MR][NRV];
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < NRV; ++v) {
      acc[i][v] = Vec<T>::zero();
      if (tile.finish == nullptr || !tile.finish->streams) __builtin_prefetch(tile.sums + i * tile.ld + v * N, 1);
    }
  }
  if constexpr (kOrder == Order::Rows)
    accumulate_fetching<T, Op, MR, NRV, kMasked>(acc, tile, last);
  else
    accumulate<T, Op, MR, NRV, kOrder, kMasked>(acc, tile.a, tile.a_stride, tile.b, tile.b_stride, tile.k, last);
  if (tile.finish == nullptr && (kMaskedStores || tile.cols == NRV * N)) [[likely]] {
    DNN_UNROLL
    for (int i = 0; i < MR; ++i) {
      DNN_UNROLL
      for (int v = 0; v < NRV; ++v) {
        T* p = tile.sums + i * tile.ld + v * N;
        if (kMaskedStores && v == NRV - 1)
          last.store(p, tile.add ? last.load(p) + acc[i][v] : acc[i][v]);
        else
          (tile.add ? Vec<T>::load(p) + acc[i][v] : acc[i][v]).store(p);
      }
    }
    return;
  }
  alignas(64) T buffer[MR * NRV * N];
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < NRV; ++v) acc[i][v].store(buffer + (i * NRV + v) * N);
  }
  store_ragged(tile, buffer, MR, NRV * N);
}

template <class T>
using TileFn = void (*)(const Tile<T>&);

// kernels[order of A][B masked][vectors - 1][rows - 1]
template <class T>
struct TileTable {
  TileFn<T> kernels[2][2][kMaxWidth][kMaxRows];
};

namespace detail {

template <class T, class Op, int NRV, Order kOrder, bool kMasked, int... I>
constexpr void fill_rows(TileFn<T> (&out)[kMaxRows], std::integer_sequence<int, I...>) {
  ((out[I] = &tile_kernel<T, Op, I + 1, NRV, kOrder, kMasked>), ...);
}

template <class T, class Op, Order kOrder, bool kMasked, int... W>
constexpr void fill_widths(TileFn<T> (&out)[kMaxWidth][kMaxRows], std::integer_sequence<int, W...>) {
  (fill_rows<T, Op, W + 1, kOrder, kMasked>(out[W], std::make_integer_sequence<int, max_rows(W + 1)>{}), ...);
}

}  // namespace detail

template <class T, class Op>
constexpr TileTable<T> make_tile_table() {
  constexpr auto widths = std::make_integer_sequence<int, kMaxWidth>{};
  TileTable<T> table{};
  detail::fill_widths<T, Op, Order::Rows, false>(table.kernels[0][0], widths);
  detail::fill_widths<T, Op, Order::Columns, false>(table.kernels[1][0], widths);
  if constexpr (kMaskedLoads && Op::kPerStep == 1) {  // else a ragged B is packed first
    detail::fill_widths<T, Op, Order::Rows, true>(table.kernels[0][1], widths);
    detail::fill_widths<T, Op, Order::Columns, true>(table.kernels[1][1], widths);
  }
  return table;
}

extern const TileTable<float> kFloatTiles;
extern const TileTable<double> kDoubleTiles;
#if defined(__AVX512BF16__)
extern const TileTable<float> kPairTiles;
#endif

}  // namespace dnncore::DNNCORE_ISA
