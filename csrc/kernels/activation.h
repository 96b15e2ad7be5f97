// Activations with parameters over strided operands, like elementwise.h's families: y may be the very view x (same pointer and
// strides), else it overlaps no input. Floating types; halves are computed in float32 and rounded once. Special values follow PyTorch.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "core/shape.h"

namespace dnncore {

enum class ActivationOp : uint8_t {
#define ACTIVATION(name) name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  count
};

inline constexpr const char* kActivationNames[] = {
#define ACTIVATION(name) #name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
};

struct ActivationParameters {
  double a = 0, b = 0, c = 0;
};

// y = f(x), or with `dy` y = dy f'(x); in brackets f' where f has a kink.
//   leaky_relu: x > 0 ? x : a x [0: a]                 elu: x > 0 ? b x : a (e^(c x) - 1) [0: a c]; also celu and selu
//   softplus: a x > b ? x : log(1 + e^(a x)) / a       softsign: x / (1 + |x|)
//   gelu_tanh: x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, slope 0 and 1 at the infinities
//   silu: x / (1 + e^-x)                               mish: x tanh(log(1 + e^x))
//   logsigmoid: -log(1 + e^-x)
//   hardtanh: x limited to [a, b] [0 at a and b]; also relu6
//   hardsigmoid: min(max(x + 3, 0), 6) / 6 [0 at -3 and 3]
//   hardswish: x hardsigmoid(x) [0 at -3, 1 at 3]
//   threshold: x <= a ? b : x [0 at a]
//   hardshrink: |x| <= a ? 0 : x [0]                   softshrink: |x| <= a ? 0 : x - a sign(x) [0]
// x may be f's result in place of its argument where a comparison tells as much: hardtanh, and leaky_relu with a >= 0.
struct ActivationArgs {
  const void* dy = nullptr;  // null: forward
  const void* x = nullptr;
  void* y = nullptr;
  Shape shape;
  Strides dy_strides, x_strides, y_strides;
  ActivationParameters parameters;
  ActivationOp op = ActivationOp::silu;
  DType dtype = DType::Float32;

  bool in_place() const { return x == y || dy == y; }
  int64_t elements() const { return dense_elements(shape, {dy ? &dy_strides : &x_strides, &x_strides}, y_strides); }
  std::array<Operand, 3> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &dy, Role::Read, extent(shape, dy_strides) * size),
            operand(this, &x, Role::Read, extent(shape, x_strides) * size),
            operand(this, &y, in_place() ? Role::Accumulate : Role::Write, extent(shape, y_strides) * size)};
  }
};

}  // namespace dnncore
