// Products of a step of a recurrent layer: a block has 32 sequences times 8 units, a thread one of them with all its gates.
#pragma once

#include "grid.h"

namespace dnncore::cuda {

inline constexpr int kStepUnits = 8, kStepRows = 32, kStepDepth = 32;

inline dim3 step_block() { return dim3(kStepUnits, kStepRows); }
inline dim3 step_grid(int64_t units, int64_t rows) {
  return dim3(static_cast<unsigned>((rows + kStepRows - 1) / kStepRows), static_cast<unsigned>((units + kStepUnits - 1) / kStepUnits));
}
__device__ __forceinline__ int64_t step_unit() { return int64_t{blockIdx.y} * kStepUnits + threadIdx.x; }
__device__ __forceinline__ int64_t step_row() { return int64_t{blockIdx.x} * kStepRows + threadIdx.y; }

// sums[g] += a(row, k) b(g, unit, k) for k in [0, depth), one after the other; rows and units are numbers within the block, and both
// functions give 0 for those that are not there. kAlong: b is adjacent along k, else along the units.
template <int kGates, bool kAlong, class T, class A, class B>
__device__ __forceinline__ void add_step_products(T (&sums)[kGates], int64_t depth, const A& a, const B& b) {
  __shared__ T a_tile[kStepRows][kStepDepth + 1], b_tile[kGates * kStepUnits][kStepDepth + 1];
  constexpr int kThreads = kStepUnits * kStepRows;
  const int thread = static_cast<int>(threadIdx.y) * kStepUnits + static_cast<int>(threadIdx.x);
  for (int64_t first = 0; first < depth; first += kStepDepth) {
    for (int i = thread; i < kStepRows * kStepDepth; i += kThreads) {
      const int row = i / kStepDepth, k = i % kStepDepth;
      a_tile[row][k] = first + k < depth ? a(row, first + k) : T(0);
    }
    for (int i = thread; i < kGates * kStepUnits * kStepDepth; i += kThreads) {
      const int column = kAlong ? i / kStepDepth : i % (kGates * kStepUnits), k = kAlong ? i % kStepDepth : i / (kGates * kStepUnits);
      b_tile[column][k] = first + k < depth ? b(column / kStepUnits, column % kStepUnits, first + k) : T(0);
    }
    __syncthreads();
#pragma unroll 8
    for (int k = 0; k < kStepDepth; ++k) {
      const T value = a_tile[threadIdx.y][k];
#pragma unroll
      for (int g = 0; g < kGates; ++g) sums[g] = std::fma(value, b_tile[g * kStepUnits + threadIdx.x][k], sums[g]);
    }
    __syncthreads();
  }
}

}  // namespace dnncore::cuda
