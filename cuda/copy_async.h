// Copies from global to shared memory that run on while their thread goes on, in groups that end in order. Before sm_80 they end at once.
#pragma once

#include "grid.h"

namespace dnncore::cuda {

// `bytes` (4, 8 or 16) of shared memory, aligned as both sides must be: `valid` of them from `from`, then zeros.
template <int bytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, int valid) {
#ifdef DNN_EMULATED
  emulator::copy_later(to, from, bytes, valid);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(valid) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(at), "l"(from), "n"(bytes), "r"(valid) : "memory");
#else
  alignas(16) unsigned char held[bytes] = {};
  if (valid == bytes)
    __builtin_memcpy(held, __builtin_assume_aligned(from, bytes), bytes);
  else
    for (int i = 0; i < valid; ++i) held[i] = static_cast<const unsigned char*>(from)[i];
  __builtin_memcpy(__builtin_assume_aligned(to, bytes), held, bytes);
#endif
}

// Ends this thread's group.
__device__ __forceinline__ void close_copies() {
#ifdef DNN_EMULATED
  emulator::close_copies();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until at most `running` of this thread's groups are not there yet.
template <int running>
__device__ __forceinline__ void wait_for_copies() {
#ifdef DNN_EMULATED
  emulator::wait_for_copies(running);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(running) : "memory");
#endif
}

}  // namespace dnncore::cuda
