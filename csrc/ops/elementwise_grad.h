// Gradients of the elementwise families, one formula per op.
#pragma once

#include "ops/ops.h"

namespace dnncore::ops {

// y = op(x): leaves a node on the tape (nothing for ops that are flat almost everywhere, whose gradient is zero).
// g * op'(.): `s` is the op's input or its output, whichever the op saves.
Tensor unary_gradient(UnaryOp op, const Tensor& g, const Tensor& s);
void record_unary(UnaryOp op, const Tensor& x, const Tensor& y);
void record_binary(BinaryOp op, const Tensor& x, const Tensor& z, const Tensor& y);

}  // namespace dnncore::ops
