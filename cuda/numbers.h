// Element types on the device: halves are stored as core/dtype.h's and computed in float32.
#pragma once

#include <cmath>
#include <limits>

#include "core/dtype.h"
#include "grid.h"
#ifndef DNN_EMULATED
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace dnncore::cuda {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>;
template <class T>
inline constexpr bool kIsFloating = std::is_floating_point_v<T> || kIsHalf<T>;

// What values of T are computed in.
template <class T>
using Working = std::conditional_t<kIsHalf<T>, float, T>;

__device__ __forceinline__ float to_working(bfloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
__device__ __forceinline__ float to_working(float16 x) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(x.bits));
#else
  return to_float(x);
#endif
}
template <class T>
__device__ __forceinline__ T to_working(T x) {
  return x;
}

template <class T>
__device__ __forceinline__ T from_working(Working<T> x) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, bfloat16>)
    return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
  else if constexpr (std::is_same_v<T, float16>)
    return {__half_as_ushort(__float2half_rn(x))};
  else
    return x;
#else
  if constexpr (std::is_same_v<T, bfloat16>)
    return to_bfloat16(x);
  else if constexpr (std::is_same_v<T, float16>)
    return to_float16(x);
  else
    return x;
#endif
}

// As CopyArgs says: through the working type; out of range saturates, NaN gives 0, to Bool is x != 0.
template <class To, class From>
__device__ __forceinline__ To convert(From from) {
  if constexpr (std::is_same_v<To, From>) return from;
  const auto x = to_working(from);
  using W = decltype(x);
  if constexpr (std::is_same_v<To, bool>)
    return x != 0;
  else if constexpr (kIsFloating<To>)
    return from_working<To>(static_cast<Working<To>>(x));
  else if constexpr (std::is_floating_point_v<std::remove_const_t<W>>) {
    using Limits = std::numeric_limits<To>;
    if (x != x) return 0;
    if (x <= static_cast<W>(Limits::min())) return Limits::min();
    if (x >= static_cast<W>(Limits::max())) return Limits::max();
    return static_cast<To>(x);
  } else
    return static_cast<To>(x);
}

// A double rounded once: on the way to a half, float32 keeps what was lost as its last bit (round to odd).
template <class T>
__device__ __forceinline__ T rounded_once(double x) {
  if constexpr (!kIsHalf<T>)
    return static_cast<T>(x);
  else {
    float nearest = static_cast<float>(x);
    const uint32_t bits = __float_as_uint(nearest);
    if (std::fabs(nearest) < std::numeric_limits<float>::infinity() && static_cast<double>(nearest) != x && (bits & 1) == 0)
      nearest = __uint_as_float((x > nearest) == (nearest > 0) && nearest != 0 ? bits + 1 : nearest == 0 ? 1 | (x < 0) << 31 : bits - 1);
    return from_working<T>(nearest);
  }
}

// `count` adjacent elements, read and written at once.
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T v[count];
};

template <class Fn>
void visit_floating(DType dtype, Fn&& fn) {
  visit_dtype(dtype, [&](auto tag) {
    if constexpr (kIsFloating<decltype(tag)>) fn(tag);
  });
}

}  // namespace dnncore::cuda
