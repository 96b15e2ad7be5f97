// Resampling of (N, C, *spatial) with one to three spatial dimensions, and local response normalisation. Results are channels-last.
#pragma once

#include <vector>

#include "core/tensor.h"
#include "kernels/resample.h"

namespace dnncore::ops {

// To `sizes`; factors, one per spatial dimension: 1 over the step from output to output, 0 where that is the quotient of the sizes.
Tensor interpolate(const Tensor& x, ResampleMode mode, const Shape& sizes, const std::vector<double>& factors, bool align_corners);
// x / (k + alpha * mean of the squares of `size` channels)^beta, of 3 dimensions or more.
Tensor local_response_norm(const Tensor& x, int64_t size, double alpha, double beta, double k);

}  // namespace dnncore::ops
