// Sampling of (N, C, H, W) or (N, C, D, H, W) at the places of a grid. Results are channels-last.
#pragma once

#include "core/tensor.h"
#include "kernels/grid_sample.h"

namespace dnncore::ops {

// grid (N, H', W', 2) or (N, D', H', W', 3). Differentiable twice by both.
Tensor grid_sample(const Tensor& x, const Tensor& grid, GridMode mode, GridPadding padding, bool align_corners);

}  // namespace dnncore::ops
