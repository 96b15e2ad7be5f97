// What ops that end in a matrix product share.
#pragma once

#include "ops/common.h"

namespace dnncore::ops {

// Launches `gemm` with the workspace it wants; nothing where the result is empty.
void run_gemm(const char* op, const GemmArgs& args, Device device);

// g * activation'(.) from the activation's result y; not for Gelu, whose gradient needs its input.
Tensor activation_gradient(Activation activation, const Tensor& g, const Tensor& y);

}  // namespace dnncore::ops
