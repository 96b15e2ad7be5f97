// y = reduction of x over some of its dimensions. The loop nest has the kept dimensions in `shape` and the reduced ones in
// `reduced_shape`; y is strided over the kept ones. Sums are split by the shape alone: bits do not depend on the threads.
//   sum, mean: float32 in blocks of vector partial sums joined pairwise, halves in float32, integers in int64 (y is then Int64).
//   max, min: NaN propagates; of 0 and -0, which are equal, either. argmax, argmin: position among the reduced dimensions in row-major
//   order, first one wins, a NaN wins over numbers; y is Int64. any, all: y is Bool. prod, sum of an empty set: 1, 0; mean of an empty
//   set: NaN; max, min, arg*: the caller refuses empty sets.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "core/shape.h"

namespace dnncore {

enum class ReduceOp : uint8_t {
#define REDUCE(name) name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  count
};
inline constexpr const char* kReduceNames[] = {
#define REDUCE(name) #name,
#define KERNEL(name, Args)
#include "kernels/kernels.def"
};

struct ReduceArgs {
  const void* x = nullptr;
  void* y = nullptr;
  void* workspace = nullptr;  // kWorkspace bytes, always: partial results of the tasks
  Shape shape;                // kept
  Strides x_strides, y_strides;
  Shape reduced_shape;
  Strides reduced_strides;  // of x
  ReduceOp op = ReduceOp::sum;
  DType dtype = DType::Float32;  // of x

  bool in_place() const { return false; }
  DType out_dtype() const {
    if (op == ReduceOp::any || op == ReduceOp::all) return DType::Bool;
    if (op == ReduceOp::argmax || op == ReduceOp::argmin) return DType::Int64;
    if ((op == ReduceOp::sum || op == ReduceOp::prod) && !is_floating(dtype)) return DType::Int64;
    return dtype;
  }
  inline static constexpr int64_t kWorkspace = 1 << 20;

  std::array<Operand, 3> operands() const {
    const int64_t kept = extent(shape, x_strides);
    const int64_t inner = extent(reduced_shape, reduced_strides);
    const int64_t span = kept && inner ? kept + inner - 1 : 0;
    return {operand(this, &x, Role::Read, span * static_cast<int64_t>(itemsize(dtype))),
            operand(this, &y, Role::Write, extent(shape, y_strides) * static_cast<int64_t>(itemsize(out_dtype()))),
            operand(this, &workspace, Role::Scratch, kWorkspace)};
  }
};

}  // namespace dnncore
