// Depthwise convolution (one input and one output channel per group) in its three directions, vectorised over the channels: what the
// kernels of conv.h hand over when is_depthwise().
#pragma once

#include "core/parallel.h"
#include "kernels/conv.h"

namespace dnncore::DNNCORE_ISA {

inline bool is_depthwise(const ConvShape& s) { return s.groups > 1 && s.c == s.groups && s.k == s.groups; }

Schedule depthwise_forward_schedule(const ConvForwardArgs& args);
void depthwise_forward(const ConvForwardArgs& args, const Tasks& tasks);  // no workspace

Schedule depthwise_backward_data_schedule(const ConvBackwardDataArgs& args);
void depthwise_backward_data(const ConvBackwardDataArgs& args, const Tasks& tasks);  // no workspace

Schedule depthwise_backward_weight_schedule(const ConvBackwardWeightArgs& args);
void depthwise_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks);
int64_t depthwise_backward_weight_workspace(const ConvBackwardWeightArgs& args);

}  // namespace dnncore::DNNCORE_ISA
