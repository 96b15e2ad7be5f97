#include "core/launch.h"
#include "kernels/conv.h"

namespace dnncore {
namespace reference {
void conv_backward_weight(const ConvBackwardWeightArgs& args, const Tasks&);
}  // namespace reference
namespace DNNCORE_ISA {
void conv_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks) { reference::conv_backward_weight(args, tasks); }
Schedule conv_backward_weight_schedule(const ConvBackwardWeightArgs&) { return {1, {1, 1, 1}, 1e6}; }
int64_t conv_backward_weight_workspace(const ConvBackwardWeightArgs&) { return 0; }
}  // namespace DNNCORE_ISA
}  // namespace dnncore
