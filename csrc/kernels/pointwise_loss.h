// One loss per pair (x, t) of adjacent elements, and its slope. Special values follow PyTorch.
//   mse (x - t)^2.  l1 |x - t|.  smooth_l1 (beta): d^2 / 2 beta below beta, |d| - beta / 2 beyond.  huber (delta): d^2 / 2 up to delta,
//   delta (|d| - delta / 2) beyond.  bce -t log x - (1 - t) log(1 - x), logarithms from -100 up.  bce_with_logits the same of sigmoid(x).
//   kl_div t (log t - x), 0 where t is 0.  kl_div_log e^t (t - x).  poisson_nll_log e^x - t x.  poisson_nll (eps): x - t log(x + eps).
//   soft_margin log(1 + e^(-t x)).
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

enum class LossOp : uint8_t {
#define LOSS(name) name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  count
};
inline constexpr const char* kLossNames[] = {
#define LOSS(name) #name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
};

// Whether t is a probability: one outside [0, 1] is reported.
constexpr bool takes_probabilities(LossOp op) { return op == LossOp::bce || op == LossOp::bce_with_logits; }

// Either y[i] = loss(x[i], t[i]), or total[0] = scale * sum of them.
struct PointwiseLossArgs {
  const void* x = nullptr;
  const void* t = nullptr;
  void* y = nullptr;           // n; or null
  void* total = nullptr;       // one, of dtype; or null
  double* partial = nullptr;   // a sum per chunk; with `total` only
  uint8_t* outside = nullptr;  // per chunk: which of its values lie outside [0, 1]; with takes_probabilities(op) only
  int64_t n = 0;
  double scale = 1;
  double parameter = 1;  // beta, delta, eps
  LossOp op = LossOp::mse;
  DType dtype = DType::Float32;  // Float32 or Float64

  static constexpr int64_t kChunkElements = 16384;
  static constexpr int64_t chunks(int64_t n) { return (n + kChunkElements - 1) / kChunkElements; }
  // Bits of `outside`: a t, or an x of bce, that is outside [0, 1].
  static constexpr uint8_t kTargetOutside = 1, kInputOutside = 2;

  bool in_place() const { return false; }
  std::array<Operand, 6> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, n * size),
            operand(this, &t, Role::Read, n * size),
            operand(this, &y, Role::Write, n * size),
            operand(this, &total, Role::Write, size),
            operand(this, &partial, Role::Scratch, chunks(n) * 8),
            operand(this, &outside, Role::Write, chunks(n))};
  }
};

// dx[i] = scale * g[i] * d loss / dx; g_step 0: one g for all.
struct PointwiseLossBackwardArgs {
  const void* x = nullptr;
  const void* t = nullptr;
  const void* g = nullptr;
  void* dx = nullptr;  // overlaps no input
  int64_t n = 0, g_step = 1;
  double scale = 1;
  double parameter = 1;
  LossOp op = LossOp::mse;
  DType dtype = DType::Float32;  // Float32 or Float64

  bool in_place() const { return false; }
  std::array<Operand, 4> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &x, Role::Read, n * size), operand(this, &t, Role::Read, n * size),
            operand(this, &g, Role::Read, (g_step == 0 ? 1 : n) * size), operand(this, &dx, Role::Write, n * size)};
  }
};

}  // namespace dnncore
