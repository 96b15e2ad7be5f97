// From the arguments of a convolution to the geometry that its kernels and all its gradients share.
#pragma once

#include "ops/conv.h"

namespace dnncore::ops {

// x (N, C, in...), w (K, C / groups, filter...), y (N, K, out...) with `dims` spatial dimensions. The same for the convolution, which
// makes y, for the transposed one, which makes x, and for the gradient of w.
struct ConvGeometry {
  const char* op = nullptr;
  int dims = 0;
  ConvShape shape;

  Shape x_shape() const { return tensor_shape(shape.n, shape.c, shape.in); }
  Shape y_shape() const { return tensor_shape(shape.n, shape.k, shape.out); }
  Shape w_shape() const { return tensor_shape(shape.k, shape.c / shape.groups, shape.filter); }

 private:
  Shape tensor_shape(int64_t rows, int64_t channels, const Extent& extent) const;
};

// Everything is checked; x with or without its batch dimension.
ConvGeometry conv_geometry(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings);
ConvGeometry conv_transpose_geometry(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings);

const char* conv_name(int dims, bool transposed);

}  // namespace dnncore::ops
