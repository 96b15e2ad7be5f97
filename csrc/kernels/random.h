// Philox-4x32-10 (Salmon et al., SC 2011), counter (offset + i / 4, 0), key = seed: the same numbers on every ISA and device.
// Values that need 64 bits (integer, permutation, float64) take two words each: counter offset + i / 2.
// Each launch reads the generator's offset from memory and, as its last phase, moves it past the counters it used, so that a replayed
// launch draws new numbers. uniform: low + (high - low) * u, u = 24 (float64 53, float16 11, bfloat16 8) bits in [0, 1). normal:
// Box-Muller. integer: low + floor(64 bits * (high - low) / 2^64). bernoulli: u < p (24 bits for every dtype) as 0 or 1.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

struct GeneratorState {
  uint64_t seed;
  uint64_t offset;  // the next unused counter
};

enum class RandomOp : uint8_t { uniform, normal, integer, bernoulli, permutation };

struct RandomArgs {
  GeneratorState* state = nullptr;
  void* y = nullptr;  // contiguous
  int64_t n = 0;
  double a = 0, b = 1;        // uniform: low, high; normal: mean, standard deviation; bernoulli: p
  int64_t low = 0, high = 0;  // integer
  RandomOp op = RandomOp::uniform;
  DType dtype = DType::Float32;  // of y; permutation: Int64, a Fisher-Yates shuffle of 0..n-1

  bool into_view = false;  // y is part of a live tensor: not interruptible

  // Values that take 64 random bits come two from a counter, the others four.
  constexpr bool takes_pairs() const {
    const bool has_real_values = op == RandomOp::uniform || op == RandomOp::normal;
    return op == RandomOp::integer || op == RandomOp::permutation || (has_real_values && dtype == DType::Float64);
  }
  constexpr int64_t counters_used() const { return takes_pairs() ? n / 2 + n % 2 : n / 4 + (n % 4 != 0); }

  bool in_place() const { return into_view; }
  std::array<Operand, 2> operands() const {
    return {operand(this, &state, Role::Accumulate, sizeof(GeneratorState)),
            operand(this, &y, into_view ? Role::Accumulate : Role::Write, n * static_cast<int64_t>(itemsize(dtype)))};
  }
};

}  // namespace dnncore
