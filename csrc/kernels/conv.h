// Convolution (cross-correlation, the filter is not flipped) in one, two or three dimensions, and its two gradients, channels-last:
//   y[n, p, k] = activation(bias[k] + sum over f, c of x[n, p stride - pad + f dilation, c] w[k, c, f]),   x is 0 outside its extent,
// with p, f positions of (depth, height, width); a missing dimension has extent 1. Output channel k of group k / (K / groups) sums over the
// C / groups channels of its group. x is (N, D, H, W, C) and y (N, D', H', W', K): channels adjacent, pixels x_pixel and y_pixel elements
// apart (more than C or K: a slice of the channels of a wider tensor); what is written is dense. w is (K, C / groups, filter), contiguous.
// Outputs overlap no input. Rounding is the tensor's at every ISA; the order of every sum follows from the shape alone.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "kernels/gemm.h"

namespace dnncore {

struct Extent {
  int64_t d = 1, h = 1, w = 1;
  int64_t count() const { return d * h * w; }
};

struct ConvShape {
  int64_t n = 0, c = 0, k = 0, groups = 1;  // c and k: of all groups together
  Extent in, out, filter;                   // each at least 1
  Extent stride, dilation;                  // each at least 1
  Extent pad{0, 0, 0};                      // zeros before the first element, not negative; `out` says how many follow the last
  int64_t x_pixel = 0, y_pixel = 0;
  DType dtype = DType::Float32;  // Float32 or Float64

  int64_t taps() const { return filter.count(); }
  double flops() const { return 2.0 * static_cast<double>(n * out.count() * k) * static_cast<double>(c / groups * taps()); }
  int64_t x_bytes() const { return n == 0 ? 0 : ((n * in.count() - 1) * x_pixel + c) * size(); }
  int64_t y_bytes() const { return n == 0 ? 0 : ((n * out.count() - 1) * y_pixel + k) * size(); }
  int64_t w_bytes() const { return k * (c / groups) * taps() * size(); }
  int64_t size() const { return static_cast<int64_t>(itemsize(dtype)); }
};

// Direct: every product of the definition. Winograd: where a table has it for this shape (3x3, stride 1, one group), with the larger
// rounding error that docs/convolution.md states; elsewhere the same as Direct.
enum class ConvAlgorithm : uint8_t { Direct, Winograd };

struct ConvForwardArgs {
  const void* x = nullptr;
  const void* w = nullptr;
  const void* bias = nullptr;  // k entries; may be null
  void* y = nullptr;           // dense: shape.y_pixel == shape.k
  void* workspace = nullptr;   // workspace_bytes, 64-byte aligned; null when that is 0
  ConvShape shape;
  Activation activation = Activation::None;
  ConvAlgorithm algorithm = ConvAlgorithm::Direct;
  int64_t workspace_bytes = 0;

  bool in_place() const { return false; }
  double flops() const { return shape.flops(); }
  std::array<Operand, 5> operands() const {
    return {operand(this, &x, Role::Read, shape.x_bytes()), operand(this, &w, Role::Read, shape.w_bytes()),
            operand(this, &bias, Role::Read, shape.k * shape.size()), operand(this, &y, Role::Write, shape.y_bytes()),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

// dx[n, q, c] = bias[c] + sum over p, f, k with p stride - pad + f dilation = q of dy[n, p, k] w[k, c, f]. With a bias: the transposed
// convolution forward.
struct ConvBackwardDataArgs {
  const void* dy = nullptr;
  const void* w = nullptr;
  const void* bias = nullptr;  // c entries; may be null
  void* dx = nullptr;          // dense: shape.x_pixel == shape.c
  void* workspace = nullptr;   // workspace_bytes, 64-byte aligned; null when that is 0
  ConvShape shape;
  ConvAlgorithm algorithm = ConvAlgorithm::Direct;
  int64_t workspace_bytes = 0;

  bool in_place() const { return false; }
  double flops() const { return shape.flops(); }
  std::array<Operand, 5> operands() const {
    return {operand(this, &dy, Role::Read, shape.y_bytes()), operand(this, &w, Role::Read, shape.w_bytes()),
            operand(this, &bias, Role::Read, shape.c * shape.size()), operand(this, &dx, Role::Write, shape.x_bytes()),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

// dw[k, c, f] = sum over n, p of dy[n, p, k] x[n, p stride - pad + f dilation, c], and dbias[k] = sum over n, p of dy[n, p, k].
struct ConvBackwardWeightArgs {
  const void* x = nullptr;
  const void* dy = nullptr;
  void* dw = nullptr;         // (k, c / groups, filter), contiguous
  void* dbias = nullptr;      // k entries; may be null
  void* workspace = nullptr;  // workspace_bytes, 64-byte aligned; null when that is 0
  ConvShape shape;
  int64_t workspace_bytes = 0;

  bool in_place() const { return false; }
  double flops() const { return shape.flops(); }
  std::array<Operand, 5> operands() const {
    return {operand(this, &x, Role::Read, shape.x_bytes()), operand(this, &dy, Role::Read, shape.y_bytes()),
            operand(this, &dw, Role::Write, shape.w_bytes()), operand(this, &dbias, Role::Write, shape.k * shape.size()),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

}  // namespace dnncore
