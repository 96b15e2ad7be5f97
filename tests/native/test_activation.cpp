// Activations and dropout: against the reference, and the slope composed of ops against the fused gradient.
#include <algorithm>

#include "autograd/tape.h"
#include "kernel_check.h"
#include "kernels/philox.h"
#include "ops/ops.h"

using namespace dnncore;
using namespace dnncore::test;

void cases_activation();
void cases_dropout();
void cases_dropout_backward();

namespace {

constexpr DType kFloats[] = {DType::Float32, DType::Float64, DType::BFloat16, DType::Float16};

// Shape, strides of the inputs, strides of the output.
struct Arrangement {
  Shape shape;
  Strides x, y;
};
const Arrangement kLayouts[] = {
    {{1}, {1}, {1}},
    {{17}, {1}, {1}},
    {{70'001}, {1}, {1}},
    {{0}, {1}, {1}},
    {{5, 7}, {7, 1}, {1, 5}},
    {{6, 65}, {0, 1}, {65, 1}},
    {{3, 4, 5}, {40, 10, 2}, {20, 5, 1}},
    {{9}, {0}, {1}},
};

ActivationParameters parameters_of(ActivationOp op) {
  switch (op) {
    case ActivationOp::leaky_relu:
      return {0.125};
    case ActivationOp::elu:
      return {0.75, 1.5, 0.5};
    case ActivationOp::softplus:
      return {2, 8};
    case ActivationOp::hardtanh:
      return {-0.5, 1.5};
    case ActivationOp::threshold:
      return {0.5, -3};
    default:
      return {0.5};
  }
}

// Parts of straight pieces are exact; the others take a few roundings, each relative to the values involved.
Tolerance tolerance_of(ActivationOp op, DType dtype) {
  switch (op) {
    case ActivationOp::leaky_relu:
    case ActivationOp::hardtanh:
    case ActivationOp::threshold:
    case ActivationOp::hardshrink:
    case ActivationOp::softshrink:
      return {1};
    default:
      return {6, 8 * ulp(dtype == DType::Float64 ? dtype : DType::Float32, 1)};
  }
}

ActivationArgs args_of(ActivationOp op, DType dtype, const Arrangement& layout) {
  ActivationArgs args;
  args.shape = layout.shape;
  args.x_strides = args.dy_strides = layout.x;
  args.y_strides = layout.y;
  args.parameters = parameters_of(op);
  args.op = op;
  args.dtype = dtype;
  return args;
}

}  // namespace

void cases_activation() {
  constexpr double kSpecial[] = {0.0, -0.0, 0.5, -0.5, 1.5, 3, -3, 30, -30, 80, -80, 1e-30, NAN};
  for (int op = 0; op < static_cast<int>(ActivationOp::count); ++op)
    for (DType dtype : kFloats)
      for (const Arrangement& layout : kLayouts)
        for (bool backward : {false, true}) {
          CAPTURE(std::string(kActivationNames[op]));
          CAPTURE(std::string(name(dtype)));
          CAPTURE(to_string(layout.shape));
          CAPTURE(backward);
          ActivationArgs args = args_of(static_cast<ActivationOp>(op), dtype, layout);
          Array x = real(dtype, extent(layout.shape, layout.x), -6, 6);
          if (x.size() > 64)
            for (int64_t i = 0; i < static_cast<int64_t>(std::size(kSpecial)); ++i) x.set(i * 29 % x.size(), kSpecial[i]);
          const Array dy = real(dtype, x.size(), -2, 2, 2);
          args.x = x.data();
          if (backward) args.dy = dy.data();
          check_kernel(kernel::activation, args, &ActivationArgs::y, Array(dtype, extent(layout.shape, layout.y)),
                       tolerance_of(args.op, dtype));
        }
}

void cases_dropout() {
  for (DType dtype : kFloats)
    for (int64_t n : {0, 1, 127, 128, 129, 50'001})
      for (double p : {0.0, 0.3, 0.999}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(n);
        CAPTURE(p);
        const Array x = real(dtype, n), mask(DType::UInt8, n);
        GeneratorState state{11, 5};
        DropoutArgs args;
        args.state = &state;
        args.x = x.data();
        args.mask = reinterpret_cast<uint8_t*>(mask.data());
        args.n = n;
        args.p = p;
        args.dtype = dtype;
        check_kernel<DropoutArgs>(kernel::dropout, args, &DropoutArgs::y, Array(dtype, n), {}, [](const CpuTable&, DropoutArgs& mine) {
          *mine.state = {11, 5};
        });
        CHECK(state.offset == 5 + static_cast<uint64_t>((n + 127) / 128 * 32));
      }
}

void cases_dropout_backward() {
  for (DType dtype : kFloats)
    for (int64_t n : {0, 1, 33, 50'001}) {
      const Array dy = real(dtype, n), mask = whole(DType::UInt8, n, 0, 1);
      DropoutBackwardArgs args;
      args.dy = dy.data();
      args.mask = reinterpret_cast<const uint8_t*>(mask.data());
      args.n = n;
      args.scale = 1 / 0.7;
      args.dtype = dtype;
      check_kernel(kernel::dropout_backward, args, &DropoutBackwardArgs::dx, Array(dtype, n), {});
    }
}

TEST_CASE("dropout's bits are Philox's words in the order of the contract") {
  constexpr int64_t n = 300;
  std::vector<float> x(n, 1), y(n);
  std::vector<uint8_t> mask(n);
  GeneratorState state{uint64_t{7} << 32 | 3, (uint64_t{1} << 32) - 40};  // the counter's low word wraps on the way
  const DropoutArgs args{.state = &state, .x = x.data(), .mask = mask.data(), .y = y.data(), .n = n, .p = 0.5};
  const GeneratorState before = state;
  launch("dropout", kernel::dropout, args, {});
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t counter = before.offset + static_cast<uint64_t>(32 * (i / 128) + i % 32 / 2 + 16 * (i % 2));
    uint32_t words[4][1] = {{static_cast<uint32_t>(counter)}, {static_cast<uint32_t>(counter >> 32)}, {0}, {0}};
    baseline::philox_4x32_10(words, 3, 7);
    CHECK(mask[static_cast<size_t>(i)] == (words[i / 32 % 4][0] >= 0x80000000u));
    CHECK(y[static_cast<size_t>(i)] == 2 * mask[static_cast<size_t>(i)]);
  }
  CHECK(state.offset == before.offset + 96);
}

TEST_CASE("the slope composed of ops is the fused one, and has the slope of its differences") {
  for (int op = 0; op < static_cast<int>(ActivationOp::count); ++op) {
    CAPTURE(std::string(kActivationNames[op]));
    const auto gradient = [&](const Tensor& x, bool composed) {
      const Tensor y = ops::activation(static_cast<ActivationOp>(op), x, parameters_of(static_cast<ActivationOp>(op)));
      const NoGrad mode(composed);
      return y.impl()->grad_fn->backward({ops::full(y.shape(), Scalar::of(1.0), y.dtype(), {})})[0];
    };
    const auto leaf = [](double shift) {
      const Tensor x = ops::linspace(-5.3, 5.1, 37, DType::Float64, {});
      ops::binary_(BinaryOp::add, x, Scalar::of(shift));
      x.impl()->requires_grad = true;
      return x;
    };
    const Tensor x = leaf(0);
    const Tensor fused = gradient(x, false), composed = gradient(x, true);
    for (int64_t i = 0; i < x.numel(); ++i) CHECK(composed.data<double>()[i] == doctest::Approx(fused.data<double>()[i]).epsilon(1e-12));
    constexpr double step = 1e-6;
    const Tensor above = gradient(leaf(step), false), below = gradient(leaf(-step), false);
    if (composed.requires_grad()) backward({ops::reduce(ReduceOp::sum, composed, {}, false)}, {}, {});
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double expected = (above.data<double>()[i] - below.data<double>()[i]) / (2 * step);
      const double second = x.grad().defined() ? x.grad().data<double>()[i] : 0;
      CHECK(second == doctest::Approx(expected).epsilon(1e-5).scale(1e-3));
    }
  }
}
