// Convolution: the shapes C1-C21, depthwise and grouped ones, forward and the two gradients.
#include "bench.h"
#include "conv_shapes.h"

namespace dnncore::bench {
namespace {

Ref<Storage> bytes_of(int64_t bytes) { return buffer(bytes / 4 + 1, DType::Float32); }

template <class Args>
void add_case(KernelId<Args> id, const ConvCase& c, Args args, Operands operands) {
  args.workspace_bytes = workspace_bytes(id, args, Device{});
  operands.push_back(bytes_of(args.workspace_bytes));
  args.workspace = operands.back()->data();
  add(id, c.name, flop(args.flops()), args, operands);
}

}  // namespace

void add_conv_rows() {
  for (const ConvCase& c : kConvCases) {
    const ConvShape shape = shape_of(c);
    const Operands operands = {bytes_of(shape.x_bytes()), bytes_of(shape.w_bytes()), bytes_of(shape.y_bytes()), bytes_of(shape.k * 4)};
    void *x = operands[0]->data(), *w = operands[1]->data(), *y = operands[2]->data(), *bias = operands[3]->data();
    add_case(kernel::conv_forward, c, {.x = x, .w = w, .bias = bias, .y = y, .shape = shape}, operands);
    add_case(kernel::conv_backward_weight, c, {.x = x, .dy = y, .dw = w, .dbias = bias, .shape = shape}, operands);
    if (!c.has_data_gradient) continue;
    add_case(kernel::conv_backward_data, c, {.dy = y, .w = w, .dx = x, .shape = shape}, operands);
  }
}

}  // namespace dnncore::bench
