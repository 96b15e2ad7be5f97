#include "core/launch.h"
#include "kernels/conv.h"

namespace dnncore {
namespace reference {
void conv_forward(const ConvForwardArgs& args, const Tasks&);
void conv_backward_data(const ConvBackwardDataArgs& args, const Tasks&);
}  // namespace reference
namespace DNNCORE_ISA {
void conv_forward(const ConvForwardArgs& args, const Tasks& tasks) { reference::conv_forward(args, tasks); }
Schedule conv_forward_schedule(const ConvForwardArgs&) { return {1, {1, 1, 1}, 1e6}; }
int64_t conv_forward_workspace(const ConvForwardArgs&) { return 0; }
void conv_backward_data(const ConvBackwardDataArgs& args, const Tasks& tasks) { reference::conv_backward_data(args, tasks); }
Schedule conv_backward_data_schedule(const ConvBackwardDataArgs&) { return {1, {1, 1, 1}, 1e6}; }
int64_t conv_backward_data_workspace(const ConvBackwardDataArgs&) { return 0; }
}  // namespace DNNCORE_ISA
}  // namespace dnncore
