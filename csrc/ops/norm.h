// Normalisations (norm.cpp); names, arguments and defaults are those of torch.nn.functional. weight and bias may be undefined.
#pragma once

#include <optional>

#include "core/tensor.h"
#include "kernels/gemm.h"

namespace dnncore::ops {

// Buffers of a layer, all of them or none; `batches` (int64, 0-D) may be undefined. momentum none: 1 / number of batches.
struct RunningStatistics {
  Tensor mean, var, batches;
  std::optional<double> momentum;
};

// Over all but dimension 1. Not training: by the running statistics. activation: None or Relu.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const RunningStatistics& running, bool training, double eps,
                  Activation activation = Activation::None);
// Per sample and channel, or by the running statistics.
Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const RunningStatistics& running, bool use_input_stats,
                     double eps);
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps);
// Over the last dimensions, which have the sizes `shape`, as weight and bias do.
Tensor layer_norm(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias, double eps);
Tensor rms_norm(const Tensor& x, const Shape& shape, const Tensor& weight, std::optional<double> eps);  // none: the dtype's epsilon

}  // namespace dnncore::ops
