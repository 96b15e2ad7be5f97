// Depthwise convolution (one input and one output channel per group) in its three directions, vectorised over the channels: what the
// kernels of conv.h hand over when is_depthwise().
#pragma once

#include "kernels/conv.h"
#include "kernels/gemm_plan.h"

namespace dnncore::DNNCORE_ISA {

// Positions i in [0, count) with 0 <= first + i * step < extent.
inline Range positions_inside(int64_t first, int64_t step, int64_t count, int64_t extent) {
  const int64_t begin = first >= 0 ? 0 : std::min(count, ceil_div(-first, step));
  return {begin, first >= extent ? begin : std::max(begin, std::min(count, (extent - 1 - first) / step + 1))};
}

inline bool is_depthwise(const ConvShape& s) { return s.groups > 1 && s.c == s.groups && s.k == s.groups; }

Schedule depthwise_forward_schedule(const ConvForwardArgs& args);
void depthwise_forward(const ConvForwardArgs& args, const Tasks& tasks);  // no workspace

Schedule depthwise_backward_data_schedule(const ConvBackwardDataArgs& args);
void depthwise_backward_data(const ConvBackwardDataArgs& args, const Tasks& tasks);  // no workspace

Schedule depthwise_backward_weight_schedule(const ConvBackwardWeightArgs& args);
void depthwise_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks);
int64_t depthwise_backward_weight_workspace(const ConvBackwardWeightArgs& args);

}  // namespace dnncore::DNNCORE_ISA
