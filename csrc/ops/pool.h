// Pooling of (N, C, *spatial) or (C, *spatial) with one to three spatial dimensions, which the caller names. Results are channels-last.
#pragma once

#include "core/shape.h"
#include "core/tensor.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

// Per spatial dimension, or one number for all of them.
struct PoolWindows {
  Shape kernel;
  Shape stride;  // empty: the kernel
  Shape padding = {0};
  Shape dilation = {1};
  bool ceil_mode = false;  // windows that begin inside and end beyond count too
};

// Positions within a plane of x, int64; undefined where nobody asks.
ValuesAndIndices max_pool(int spatial, const Tensor& x, const PoolWindows& windows, bool with_indices);
ValuesAndIndices adaptive_max_pool(int spatial, const Tensor& x, const Shape& output_size, bool with_indices);
// divisor 0: the size of the window, with or without the padding in it.
Tensor avg_pool(int spatial, const Tensor& x, const PoolWindows& windows, bool count_include_pad, int64_t divisor);
// output_size: -1 keeps a size; empty dimensions give an empty result.
Tensor adaptive_avg_pool(int spatial, const Tensor& x, const Shape& output_size);

}  // namespace dnncore::ops
