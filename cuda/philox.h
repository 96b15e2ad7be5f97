// Philox-4x32-10 of one counter (Salmon et al., SC 2011): kernels/philox.h's numbers.
#pragma once

#include "grid.h"

namespace dnncore::cuda {

__device__ __forceinline__ uint4 philox(uint64_t counter, uint64_t seed) {
  uint4 w{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
    const uint64_t a = uint64_t{w.x} * 0xd2511f53u, b = uint64_t{w.z} * 0xcd9e8d57u;
    w = {static_cast<uint32_t>(b >> 32) ^ w.y ^ key0, static_cast<uint32_t>(b), static_cast<uint32_t>(a >> 32) ^ w.w ^ key1,
         static_cast<uint32_t>(a)};
  }
  return w;
}

}  // namespace dnncore::cuda
