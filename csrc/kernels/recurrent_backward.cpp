// The reference's loops.
#include "core/parallel.h"
#include "kernels/reference_recurrent.h"

namespace dnncore::DNNCORE_ISA {

void recurrent_backward(const RecurrentBackwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? reference::recurrent_backward_as<double>(args) : reference::recurrent_backward_as<float>(args);
}

int64_t recurrent_backward_workspace(const RecurrentBackwardArgs&) { return 0; }

Schedule recurrent_backward_schedule(const RecurrentBackwardArgs&) { return {.nanoseconds = 1e6}; }

}  // namespace dnncore::DNNCORE_ISA
