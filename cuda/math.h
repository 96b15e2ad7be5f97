// Functions of one number that several kernels share, in float or double. NaN passes through all of them.
#pragma once

#include <cmath>

#include "grid.h"

namespace dnncore::cuda {

template <class W>
__device__ __forceinline__ W relu(W x) {
  return x < 0 ? W(0) : x;
}
template <class W>
__device__ __forceinline__ W sigmoid(W x) {
  const W e = std::exp(-std::fabs(x));
  return (x < 0 ? e : W(1)) / (1 + e);
}
template <class W>
__device__ __forceinline__ W softplus(W x) {
  return (x < 0 ? W(0) : x) + std::log1p(std::exp(-std::fabs(x)));
}
template <class W>
__device__ __forceinline__ W gelu(W x) {
  return W(0.5) * x * std::erfc(x * W(-0.70710678118654752440));
}
// Of the standard normal distribution.
template <class W>
__device__ __forceinline__ W normal_density(W x) {
  return std::exp(W(-0.5) * x * x) * W(0.39894228040143267794);
}

}  // namespace dnncore::cuda
