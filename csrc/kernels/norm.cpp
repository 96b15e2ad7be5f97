#include "kernels/norm.h"

#include "core/launch.h"

namespace dnncore {
namespace reference {
void norm(const NormArgs& args, const Tasks&);
void norm_backward(const NormBackwardArgs& args, const Tasks&);
}  // namespace reference
namespace DNNCORE_ISA {
void norm(const NormArgs& args, const Tasks& tasks) { reference::norm(args, tasks); }
Schedule norm_schedule(const NormArgs&) { return {1, {1, 1, 1}, 1e6}; }
int64_t norm_workspace(const NormArgs&) { return 0; }
void norm_backward(const NormBackwardArgs& args, const Tasks& tasks) { reference::norm_backward(args, tasks); }
Schedule norm_backward_schedule(const NormBackwardArgs&) { return {1, {1, 1, 1}, 1e6}; }
int64_t norm_backward_workspace(const NormBackwardArgs&) { return 0; }
}  // namespace DNNCORE_ISA
}  // namespace dnncore
