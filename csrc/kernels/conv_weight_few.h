// The weight gradient of a convolution from one channel to few, vectorised over the pixels: of vectors over taps or channels a part would
// stay empty. What conv_backward_weight() hands over when is_few_weight().
#pragma once

#include "core/parallel.h"
#include "kernels/conv.h"

namespace dnncore::DNNCORE_ISA {

bool is_few_weight(const ConvShape& s);

Schedule few_backward_weight_schedule(const ConvBackwardWeightArgs& args);
void few_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks);
int64_t few_backward_weight_workspace(const ConvBackwardWeightArgs& args);

}  // namespace dnncore::DNNCORE_ISA
