// What the kernels of normalisation share: where an element belongs, sums in float64, and the coefficients of a channel.
#pragma once

#include "elementwise.h"
#include "kernels/norm.h"
#include "reduce.h"

namespace dnncore::cuda {

struct TwoSums {
  double first = 0, second = 0;

  __device__ TwoSums operator+(const TwoSums& other) const { return {first + other.first, second + other.second}; }
};

// Forward: y = (x - centre) scale + shift, with centre the mean rounded to T: what rounding took from it is in the shift.
// Backward: dx = g scale + (x - centre) along + back.
template <class T>
struct alignas(8 * sizeof(T)) NormCoefficients {
  T centre, scale, shift, along, back;
};

template <class T>
__device__ __forceinline__ double entry(const void* values, int64_t i, double otherwise) {
  return values == nullptr ? otherwise : static_cast<double>(static_cast<const T*>(values)[i]);
}

template <class T>
__device__ __forceinline__ NormCoefficients<T> forward_coefficients(double mean, double rstd, double weight, double bias) {
  const double scale = rstd * weight;
  const T centre = static_cast<T>(mean);
  const double off = mean - static_cast<double>(centre);
  return {centre, static_cast<T>(scale), static_cast<T>(std::fma(-off, scale, bias)), 0, 0};
}

// `sums` over a statistic: of weight g, and of weight g (x - mean).
template <class T>
__device__ __forceinline__ NormCoefficients<T> backward_coefficients(const NormBackwardArgs& args, double mean, double rstd,
                                                                     const TwoSums& sums, double weight, double bias) {
  NormCoefficients<T> found = forward_coefficients<T>(mean, rstd, weight, bias);
  const auto count = static_cast<double>(args.shape.outer * (args.shape.channels / args.shape.groups) * args.shape.inner);
  const double along = args.statistics == Statistics::Running ? 0.0 : -rstd * rstd * rstd * sums.second / count;
  const double back = args.statistics == Statistics::Centered ? -rstd * sums.first / count : 0.0;
  found.along = static_cast<T>(along);
  found.back = static_cast<T>(back - along * (mean - static_cast<double>(found.centre)));
  return found;
}

template <class T>
__device__ __forceinline__ T normalised(const NormCoefficients<T>& c, T x, Activation activation) {
  const T y = std::fma(x - c.centre, c.scale, c.shift);
  return activation == Activation::Relu && y <= 0 ? T(0) : y;
}
// dy, or 0 where the ReLU gave 0.
template <class T>
__device__ __forceinline__ T slope_through(const NormCoefficients<T>& c, T dy, T x, Activation activation) {
  return activation == Activation::Relu && std::fma(x - c.centre, c.scale, c.shift) <= 0 ? T(0) : dy;
}
template <class T>
__device__ __forceinline__ T slope_of_input(const NormCoefficients<T>& c, T dy, T x, Activation activation) {
  return std::fma(slope_through(c, dy, x, activation), c.scale, std::fma(x - c.centre, c.along, c.back));
}

// Rows: a statistic is of adjacent elements, each with its own weight, and one group of threads has it in its registers.
template <class Args>
bool has_norm_rows(const Args& args) {
  const bool one_group_each = args.shape.groups == args.shape.channels;
  return args.shape.inner == 1 && args.shape.outer == 1 && (!one_group_each || args.statistics == Statistics::Uncentered);
}

void norm_rows(const NormArgs& args, cudaStream_t stream);
void norm_rows_backward(const NormBackwardArgs& args, cudaStream_t stream);  // dx alone

}  // namespace dnncore::cuda
