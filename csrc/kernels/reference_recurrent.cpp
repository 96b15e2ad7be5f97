#include "kernels/reference_recurrent.h"

#include "core/launch.h"

namespace dnncore::reference {

void recurrent_forward(const RecurrentForwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? recurrent_forward_as<double>(args) : recurrent_forward_as<float>(args);
}

void recurrent_backward(const RecurrentBackwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? recurrent_backward_as<double>(args) : recurrent_backward_as<float>(args);
}

}  // namespace dnncore::reference
