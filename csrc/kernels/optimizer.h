// One step of an optimizer over a table of segments, one launch for all parameters (rule 6). The formulas are PyTorch's; they stand in
// reference_optimizer.cpp, once per rule. Buffers and counters of a rule, in this order:
//   sgd       momentum_buffer                          (counter: steps that wrote the buffer)
//   adam      exp_avg, exp_avg_sq, max_exp_avg_sq      step
//   adamax    exp_avg, exp_inf                         step
//   nadam     exp_avg, exp_avg_sq                      step, mu_product
//   radam     exp_avg, exp_avg_sq                      step
//   rmsprop   square_avg, momentum_buffer, grad_avg    step
//   adagrad   sum                                      step
//   adadelta  square_avg, acc_delta                    step
//   rprop     prev, step_size                          step
//   asgd      ax                                       step, eta, mu
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

enum class OptimizerRule : uint8_t { sgd, adam, adamax, nadam, radam, rmsprop, adagrad, adadelta, rprop, asgd };

inline constexpr int kOptimizerBuffers = 3;
inline constexpr int kOptimizerCounters = 3;
// Segments begin at multiples of this in the walk over all of them, so that whole vectors of an aligned tensor stay aligned in every task.
inline constexpr int64_t kSegmentAlignment = 64;

// Lives in tensor memory; its pointers stay valid because the optimizer owns the parameters, gradients and states it names.
struct OptimizerSegment {
  void* parameter;
  const void* gradient;
  void* buffers[kOptimizerBuffers];  // null where the group's settings need none
  double* counters;                  // kOptimizerCounters values; null for sgd without momentum
  double coefficients[4];            // of this step, from counters and settings: set and used by the kernel
  int64_t begin;                     // where it stands in the walk: a multiple of kSegmentAlignment
  int64_t length;
  int32_t group;
  DType dtype;  // Float32 or Float64
};

// Settings of a group, in memory: a captured step reads them anew. Flags are 0 or 1; a rule reads those it knows.
struct OptimizerGroup {
  double lr = 0, weight_decay = 0, decoupled = 0, maximize = 0;
  double momentum = 0, dampening = 0, nesterov = 0;
  double beta1 = 0, beta2 = 0, eps = 0, amsgrad = 0, momentum_decay = 0;
  double alpha = 0, centered = 0, rho = 0, lr_decay = 0, initial = 0;
  double eta_minus = 0, eta_plus = 0, step_min = 0, step_max = 0;
  double lambd = 0, t0 = 0;
};

struct OptimizerArgs {
  OptimizerSegment* segments = nullptr;  // `begin` ascends
  const OptimizerGroup* groups = nullptr;
  int64_t segment_count = 0, group_count = 0;
  int64_t total_length = 0;  // end of the last segment in the walk
  OptimizerRule rule = OptimizerRule::sgd;

  bool in_place() const { return true; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &segments, Role::Accumulate, segment_count * static_cast<int64_t>(sizeof(OptimizerSegment))),
            operand(this, &groups, Role::Read, group_count * static_cast<int64_t>(sizeof(OptimizerGroup)))};
  }
};

}  // namespace dnncore
