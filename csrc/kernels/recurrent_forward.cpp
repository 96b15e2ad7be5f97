// The reference's loops.
#include "core/parallel.h"
#include "kernels/reference_recurrent.h"

namespace dnncore::DNNCORE_ISA {

void recurrent_forward(const RecurrentForwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? reference::recurrent_forward_as<double>(args) : reference::recurrent_forward_as<float>(args);
}

int64_t recurrent_forward_workspace(const RecurrentForwardArgs&) { return 0; }

Schedule recurrent_forward_schedule(const RecurrentForwardArgs&) { return {.nanoseconds = 1e6}; }

}  // namespace dnncore::DNNCORE_ISA
