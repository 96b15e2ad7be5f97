// torch.optim.SGD's update over a table of segments, one launch for all parameters (rule 6). Per element of segment s, group g:
//   d = maximize ? -grad : grad;  d += weight_decay * p;
//   momentum != 0: buf = (first step of the segment) ? d : momentum * buf + (1 - dampening) * d;  d = nesterov ? d + momentum * buf : buf
//   p -= lr * d
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

// Lives in tensor memory; its pointers stay valid because the optimizer owns the parameters, gradients and states it names.
struct SgdSegment {
  void* parameter;
  const void* gradient;
  void* momentum;  // null without momentum
  int64_t length;
  int32_t group;
  DType dtype;       // Float32 or Float64
  bool initialised;  // the momentum buffer holds a value; set by the kernel after the first update
};

// Settings of a group, in memory: a captured step reads them anew.
struct SgdGroup {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize;
};

struct SgdArgs {
  SgdSegment* segments = nullptr;
  const SgdGroup* groups = nullptr;
  int64_t segment_count = 0, group_count = 0;
  int64_t total_length = 0;  // sum of the lengths

  bool in_place() const { return true; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &segments, Role::Accumulate, segment_count * static_cast<int64_t>(sizeof(SgdSegment))),
            operand(this, &groups, Role::Read, group_count * static_cast<int64_t>(sizeof(SgdGroup)))};
  }
};

}  // namespace dnncore
