// Gradients of the elementwise families, one formula per op.
#pragma once

#include "ops/ops.h"

namespace dnncore::ops {

// y = op(x): leaves a node on the tape (nothing for ops that are flat almost everywhere, whose gradient is zero).
void record_unary(UnaryOp op, const Tensor& x, const Tensor& y);
void record_binary(BinaryOp op, const Tensor& x, const Tensor& z, const Tensor& y);

}  // namespace dnncore::ops
