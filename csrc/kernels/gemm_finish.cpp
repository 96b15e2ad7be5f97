// What follows the sums: the part of C before them, bias, activation and rounding to C's type.
#include <algorithm>

#include "kernels/gemm_pack.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <Activation kActivation, class T>
DNN_INLINE Vec<T> activate(Vec<T> x) {
  if constexpr (kActivation == Activation::Relu) return max(Vec<T>::zero(), x);  // the second one when either is NaN
  if constexpr (kActivation == Activation::Tanh) return tanh(x);
  if constexpr (kActivation == Activation::Sigmoid) return sigmoid(x);
  if constexpr (kActivation == Activation::Gelu) return gelu(x);
  return x;
}

template <class T>
DNN_INLINE Vec<T> load(const T* p, int64_t count) {
  return count >= Vec<T>::N ? Vec<T>::load(p) : Partial<T>(count).load(p);
}
template <class T>
DNN_INLINE void store(T* p, Vec<T> x, int64_t count) {
  count >= Vec<T>::N ? x.store(p) : Partial<T>(count).store(p, x);
}
DNN_INLINE Vec<float> load(const bfloat16* p, int64_t count) { return Source<bfloat16, float, Multiply>::some(p, count); }
DNN_INLINE Vec<float> load(const float16* p, int64_t count) { return Source<float16, float, Multiply>::some(p, count); }

#if defined(__AVX512F__)
using Halves = __m256i;
DNN_INLINE Halves round_halves(Vec<float> x, bfloat16) {
  // Not vcvtneps2bf16, which flushes subnormals to zero.
  const __m512i bits = (__m512i)x.v;
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask((__m512)x.v, (__m512)x.v, _CMP_UNORD_Q);
  const __m512i chosen = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16));
}
DNN_INLINE Halves round_halves(Vec<float> x, float16) { return _mm512_cvtps_ph((__m512)x.v, _MM_FROUND_TO_NEAREST_INT); }
#elif defined(__AVX2__)
using Halves = __m128i;
DNN_INLINE Halves round_halves(Vec<float> x, bfloat16) {
  const __m256i bits = (__m256i)x.v;
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i nan = (__m256i)_mm256_cmp_ps((__m256)x.v, (__m256)x.v, _CMP_UNORD_Q);
  const __m256i chosen = _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
  const __m256i high = _mm256_srli_epi32(chosen, 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}
DNN_INLINE Halves round_halves(Vec<float> x, float16) { return _mm256_cvtps_ph((__m256)x.v, _MM_FROUND_TO_NEAREST_INT); }
#else
struct Halves {
  uint16_t bits[Vec<float>::N];
};
DNN_INLINE Halves round_halves(Vec<float> x, bfloat16) {
  Halves r;
  for (int i = 0; i < Vec<float>::N; ++i) r.bits[i] = to_bfloat16(x.v[i]).bits;
  return r;
}
DNN_INLINE Halves round_halves(Vec<float> x, float16) {
  Halves r;
  for (int i = 0; i < Vec<float>::N; ++i) r.bits[i] = to_float16(x.v[i]).bits;
  return r;
}
#endif

template <class H>
DNN_INLINE void store_half(H* p, Vec<float> x, int64_t count) {
  const Halves halves = round_halves(x, H{});
  if (count >= Vec<float>::N)
    std::memcpy(p, &halves, sizeof(halves));
  else
    std::memcpy(p, &halves, static_cast<size_t>(count) * sizeof(H));
}
DNN_INLINE void store(bfloat16* p, Vec<float> x, int64_t count) { store_half(p, x, count); }
DNN_INLINE void store(float16* p, Vec<float> x, int64_t count) { store_half(p, x, count); }

template <class T, class O>
DNN_INLINE void put(const Finish& finish, O* p, Vec<T> x, int64_t count) {
  if constexpr (std::is_same_v<T, O>)
    if (finish.streams && count >= Vec<T>::N) return x.stream(p);
  store(p, x, count);
}

template <Activation kActivation, class T, class O>
void finish_rows(const Finish& finish, const T* sums, int64_t ld, int64_t row0, int64_t col0, int64_t rows, int64_t cols) {
  constexpr int N = Vec<T>::N;
  const T* bias = finish.bias ? static_cast<const T*>(finish.bias) + col0 : nullptr;
  O* c = static_cast<O*>(finish.c) + row0 * finish.c_row + col0;
  if (bias == nullptr && ld == cols && finish.c_row == cols) {  // without gaps: one row, whose vectors are full (6 channels of an image)
    cols *= rows;
    rows = 1;
  }
  for (int64_t i = 0; i < rows; ++i, sums += ld, c += finish.c_row)
    for (int64_t j = 0; j < cols; j += N) {
      Vec<T> x = load(sums + j, cols - j);
      if (finish.add_c) x = load(c + j, cols - j) + x;
      if (bias) x = x + load(bias + j, cols - j);
      put(finish, c + j, activate<kActivation>(x), cols - j);
    }
}

template <class T, class O>
void finish_to(const Finish& finish, const T* sums, int64_t ld, int64_t row0, int64_t col0, int64_t rows, int64_t cols) {
  switch (finish.activation) {
    case Activation::None:
      return finish_rows<Activation::None, T, O>(finish, sums, ld, row0, col0, rows, cols);
    case Activation::Relu:
      return finish_rows<Activation::Relu, T, O>(finish, sums, ld, row0, col0, rows, cols);
    case Activation::Tanh:
      return finish_rows<Activation::Tanh, T, O>(finish, sums, ld, row0, col0, rows, cols);
    case Activation::Sigmoid:
      return finish_rows<Activation::Sigmoid, T, O>(finish, sums, ld, row0, col0, rows, cols);
    case Activation::Gelu:
      return finish_rows<Activation::Gelu, T, O>(finish, sums, ld, row0, col0, rows, cols);
  }
}

}  // namespace

template <>
void finish_block(const Finish& finish, const float* sums, int64_t ld, int64_t row0, int64_t col0, int64_t rows, int64_t cols) {
  if (finish.out == DType::BFloat16) return finish_to<float, bfloat16>(finish, sums, ld, row0, col0, rows, cols);
  if (finish.out == DType::Float16) return finish_to<float, float16>(finish, sums, ld, row0, col0, rows, cols);
  finish_to<float, float>(finish, sums, ld, row0, col0, rows, cols);
}

template <>
void finish_block(const Finish& finish, const double* sums, int64_t ld, int64_t row0, int64_t col0, int64_t rows, int64_t cols) {
  finish_to<double, double>(finish, sums, ld, row0, col0, rows, cols);
}

template <class T>
void store_ragged(const Tile<T>& tile, T* buffer, int rows, int ld) {
  constexpr int N = Vec<T>::N;
  if (tile.add || tile.finish == nullptr) {
    const bool keep = tile.finish != nullptr;  // the sums go on to finish_block
    for (int i = 0; i < rows; ++i) {
      T* sums = tile.sums + i * tile.ld;
      T* block = buffer + i * ld;
      for (int64_t j = 0; j < tile.cols; j += N) {
        Vec<T> x = Vec<T>::load(block + j);
        if (tile.add) x = load(sums + j, tile.cols - j) + x;
        if (keep)
          x.store(block + j);
        else
          store(sums + j, x, tile.cols - j);
      }
    }
  }
  if (tile.finish) finish_block(*tile.finish, buffer, ld, tile.row, tile.col, rows, tile.cols);
}
template void store_ragged(const Tile<float>&, float*, int, int);
template void store_ragged(const Tile<double>&, double*, int, int);

}  // namespace dnncore::DNNCORE_ISA
