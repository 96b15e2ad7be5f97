// The reference bodies of convolution, for what the vectorised ones leave to them.
#pragma once

#include "core/parallel.h"
#include "kernels/conv.h"

namespace dnncore::reference {

void conv_forward(const ConvForwardArgs& args, const Tasks&);
void conv_backward_data(const ConvBackwardDataArgs& args, const Tasks&);
void conv_backward_weight(const ConvBackwardWeightArgs& args, const Tasks&);

}  // namespace dnncore::reference
