// How a grid is launched, and what every kernel needs. All sources here compile with nvcc, and with a C++ compiler for the emulator.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/check.h"

namespace dnncore::cuda {

inline constexpr int kBlock = 256;  // threads, where a kernel has no reason for another number
inline constexpr unsigned kAllLanes = 0xffffffffu;

// From a failed launch on the error is the caller's: StateError with the name of the kernel's family.
inline void check(cudaError_t error, const char* what) {
#ifndef DNN_EMULATED
  if (error != cudaSuccess) static_cast<void>(cudaGetLastError());  // told here, not once more after the next launch
#endif
  DNN_CHECK(error == cudaSuccess, StateError, what, ": ", cudaGetErrorString(error));
}

template <class... Parameters, class... Args>
void launch_grid(const char* what, void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream, size_t shared,
                 const Args&... args) {
#ifdef DNN_EMULATED
  static_cast<void>(stream);
  check(emulator::run(grid, block, shared, [&] { kernel(Parameters(args)...); }), what);
#else
  const auto call = [&](Parameters... values) {
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&values))...};
    return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers, shared, stream);
  };
  check(call(args...), what);
#endif
}

// What a block may always have; more must be allowed, and the device must have it.
inline constexpr size_t kPlainShared = 48 << 10;

inline size_t most_shared() {
#ifdef DNN_EMULATED
  return emulator::kMostShared;
#else
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "shared memory");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
  return static_cast<size_t>(bytes);
#endif
}
template <class... Parameters>
void allow_shared([[maybe_unused]] const char* what, [[maybe_unused]] void (*kernel)(Parameters...), [[maybe_unused]] size_t bytes) {
#ifndef DNN_EMULATED
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        what);
#endif
}

// Dynamic shared memory of a block, aligned to 128 bytes.
template <class T>
__device__ __forceinline__ T* shared_memory() {
#ifdef DNN_EMULATED
  return reinterpret_cast<T*>(emulator::block.shared);
#else
  extern __shared__ __align__(128) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
#endif
}

__device__ __forceinline__ int64_t global_thread() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64_t grid_threads() { return int64_t{gridDim.x} * blockDim.x; }

// x, of which the compiler shall not know that it stays the same: it would make a copy of the loop around for each value.
template <class T>
__device__ __forceinline__ T opaque(T x) {
#ifdef __CUDA_ARCH__
  auto bits = static_cast<int>(x);
  asm volatile("" : "+r"(bits));
  return static_cast<T>(bits);
#else
  return x;
#endif
}

// Blocks for `count` threads of work. A grid never holds more than 2^31 - 1 blocks; kernels go through what is left in strides.
inline unsigned blocks_for(int64_t count, int block = kBlock) {
  return static_cast<unsigned>(std::clamp<int64_t>((count + block - 1) / block, 1, 0x7fffffff));
}

}  // namespace dnncore::cuda
