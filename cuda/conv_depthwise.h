// Convolutions of groups of one input channel, and the sum that the gradient of a bias is: bound by memory.
#pragma once

#include "grid.h"
#include "kernels/conv.h"

namespace dnncore::cuda::conv {

inline bool is_depthwise(const ConvShape& s) { return s.groups > 1 && s.c == s.groups; }

void depthwise_forward(const ConvForwardArgs& args, cudaStream_t stream);
void depthwise_backward_data(const ConvBackwardDataArgs& args, cudaStream_t stream);
int64_t depthwise_weight_bytes(const ConvShape& s);
void depthwise_backward_weight(const ConvBackwardWeightArgs& args, cudaStream_t stream);

int64_t bias_bytes(const ConvShape& s);
void bias_gradient(const ConvBackwardWeightArgs& args, cudaStream_t stream);

}  // namespace dnncore::cuda::conv
