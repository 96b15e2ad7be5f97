// Convolutions C1-C21 and others, forward and the two gradients, against cuDNN in both layouts, with and without TF32.
#include "kernels/conv_pointwise.h"
#include "peers.h"

namespace dnncore::bench {
namespace {

void pass_row(const ConvCase& c, ConvPass pass, const char* label, const ConvShape& shape, const std::function<Run()>& ours) {
  const std::string full = concat(c.name, "/", label);
  attempt("conv", full, [&] {
    std::vector<Timed> timed = {{"dnncore", ours()}};
    if (has_cudnn())
      for (Tf32 tf32 : {Tf32::No, Tf32::Yes})
        for (bool channels_last : {true, false})
          if (auto peer = cudnn_convolution(c, pass, channels_last, tf32)) timed.push_back(*peer);
    row("conv", full, {Work::Flop, shape.flops()}, timed);
  });
}

void case_rows(const ConvCase& c) {
  const ConvShape s = shape_of(c);
  const Buffer x(s.x_bytes() / 4), w(s.w_bytes() / 4), y(s.y_bytes() / 4), bias(s.k);
  pass_row(c, ConvPass::Forward, "forward", s, [&] {
    const ConvForwardArgs args{.x = x.data(), .w = w.data(), .bias = bias.data(), .y = y.data(), .shape = s};
    return is_pointwise(s) ? launch_of(kernel::gemm, as_product(args)) : launch_of(kernel::conv_forward, args);
  });
  pass_row(c, ConvPass::BackwardWeight, "backward_weight", s, [&] {
    return launch_of(kernel::conv_backward_weight, ConvBackwardWeightArgs{.x = x.data(), .dy = y.data(), .dw = w.data(), .shape = s});
  });
  if (!c.has_data_gradient) return;
  pass_row(c, ConvPass::BackwardData, "backward_data", s, [&] {
    const ConvBackwardDataArgs args{.dy = y.data(), .w = w.data(), .dx = x.data(), .shape = s};
    return is_pointwise(s) ? launch_of(kernel::gemm, as_product(args)) : launch_of(kernel::conv_backward_data, args);
  });
}

}  // namespace

void conv_rows() {
  for (const ConvCase& c : kConvCases) attempt("conv", c.name, [&] { case_rows(c); });
}

}  // namespace dnncore::bench
