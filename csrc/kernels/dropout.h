// Dropout of n adjacent elements: y = x keep / (1 - p), each element kept with probability 1 - p. An element is kept when 32 random bits
// are at least p 2^32. Element i of a block of 128 has word i / 32 of the block's counter (i % 32) / 2 + 16 (i % 2); each block uses 32
// counters from the generator's offset on (Philox-4x32-10, random.h). So the mask is the same on every ISA.
// The last phase moves the generator past the counters used: a replayed launch draws a new mask.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "kernels/random.h"

namespace dnncore {

// Floating types; halves are computed in float32 and rounded once. y may be x. 0 <= p < 1. A dropped NaN or infinity gives NaN.
struct DropoutArgs {
  static constexpr int kBlockCounters = 32, kBlockElements = 4 * kBlockCounters;

  GeneratorState* state = nullptr;
  const void* x = nullptr;
  uint8_t* mask = nullptr;  // 1: kept
  void* y = nullptr;
  int64_t n = 0;
  double p = 0;
  DType dtype = DType::Float32;

  bool in_place() const { return x == y; }
  constexpr uint64_t threshold() const { return static_cast<uint64_t>(p * 0x1p32); }
  constexpr uint64_t counters_used() const { return static_cast<uint64_t>((n + kBlockElements - 1) / kBlockElements * kBlockCounters); }
  std::array<Operand, 4> operands() const {
    const auto bytes = n * static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &state, Role::Accumulate, sizeof(GeneratorState)), operand(this, &x, Role::Read, bytes),
            operand(this, &mask, Role::Write, n), operand(this, &y, in_place() ? Role::Accumulate : Role::Write, bytes)};
  }
};

// dx = dy mask scale.
struct DropoutBackwardArgs {
  const void* dy = nullptr;
  const uint8_t* mask = nullptr;  // n adjacent elements, as dx
  void* dx = nullptr;
  int64_t n = 0;
  double scale = 1;
  DType dtype = DType::Float32;

  bool in_place() const { return dy == dx; }
  int64_t elements() const { return n; }
  std::array<Operand, 3> operands() const {
    const auto bytes = n * static_cast<int64_t>(itemsize(dtype));
    return {operand(this, &dy, Role::Read, bytes), operand(this, &mask, Role::Read, n),
            operand(this, &dx, in_place() ? Role::Accumulate : Role::Write, bytes)};
  }
};

}  // namespace dnncore
