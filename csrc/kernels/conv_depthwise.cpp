#include "kernels/conv_depthwise.h"

namespace dnncore {
namespace reference {
void conv_forward(const ConvForwardArgs& args, const Tasks&);
void conv_backward_data(const ConvBackwardDataArgs& args, const Tasks&);
void conv_backward_weight(const ConvBackwardWeightArgs& args, const Tasks&);
}  // namespace reference
namespace DNNCORE_ISA {
void depthwise_forward(const ConvForwardArgs& args, const Tasks& tasks) { reference::conv_forward(args, tasks); }
Schedule depthwise_forward_schedule(const ConvForwardArgs&) { return {1, {1, 1, 1}, 1e6}; }
void depthwise_backward_data(const ConvBackwardDataArgs& args, const Tasks& tasks) { reference::conv_backward_data(args, tasks); }
Schedule depthwise_backward_data_schedule(const ConvBackwardDataArgs&) { return {1, {1, 1, 1}, 1e6}; }
void depthwise_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks) { reference::conv_backward_weight(args, tasks); }
Schedule depthwise_backward_weight_schedule(const ConvBackwardWeightArgs&) { return {1, {1, 1, 1}, 1e6}; }
int64_t depthwise_backward_weight_workspace(const ConvBackwardWeightArgs&) { return 0; }
}  // namespace DNNCORE_ISA
}  // namespace dnncore
