// Convolution (cross-correlation) and transposed convolution in one, two or three dimensions. Names, arguments and defaults are PyTorch's.
#pragma once

#include "kernels/conv.h"
#include "ops/ops.h"

namespace dnncore::ops {

// As given: one number for every dimension, or one for each.
struct ConvSettings {
  enum class Padding : uint8_t { Given, Valid, Same };

  Shape stride{1}, padding{0}, dilation{1}, output_padding{0};
  int64_t groups = 1;
  Padding kind = Padding::Given;  // Same: the output has the size of the input; stride 1
};

// x (N, C, in...) or (C, in...); w (K, C / groups, filter...), bias (K) or undefined. The result is dense channels-last.
Tensor conv(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings,
            Activation activation = Activation::None);  // not Gelu
// x (N, C, in...) or (C, in...); w (C, K / groups, filter...), bias (K) or undefined: the gradient of a convolution as a layer.
Tensor conv_transpose(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings);

// Whether convolutions of this thread, and their gradients, may use ConvAlgorithm::Winograd; off at first. allow_winograd returns what it
// was.
bool allow_winograd(bool mode);
bool winograd_allowed();

}  // namespace dnncore::ops
