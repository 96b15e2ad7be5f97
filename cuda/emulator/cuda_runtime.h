// The part of CUDA that our kernels use, run on the CPU: for tests of their logic where no GPU is. Found in place of the toolkit's header
// by the same name. The threads of a block are fibers of one thread of the system, blocks run one after the other; a block whose threads
// wait for each other in vain, or not all at the same place, ends the process with a message. DNNCORE_EMULATOR_ORDER=reverse or a number
// (a seed) runs the threads of a block in another order, which shows missing barriers.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>

#define DNN_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
using cudaStream_t = struct CUstream_st*;
const char* cudaGetErrorString(cudaError_t error);

namespace emulator {

struct Block {
  dim3 grid, size;
  uint3 index;
  std::byte* shared;  // dynamic
};
struct Thread {
  uint3 index;
  unsigned lane, warp;
};

extern Block block;
extern const Thread* thread;

inline constexpr size_t kMostShared = 227 << 10;  // a Hopper block's

// Runs body() once per thread of the grid.
cudaError_t run(dim3 grid, dim3 size, size_t shared, const std::function<void()>& body);
void block_barrier(const char* where);
void warp_barrier(unsigned mask, const char* where);
// What each lane of the running thread's warp put there: 16 bytes each.
std::byte* warp_slot(unsigned lane);

template <class T>
T exchange(unsigned mask, T value, unsigned from, const char* where) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>);
  std::memcpy(warp_slot(thread->lane), &value, sizeof(T));
  warp_barrier(mask, where);
  T found;
  std::memcpy(&found, warp_slot(from), sizeof(T));
  warp_barrier(mask, where);
  return found;
}

unsigned ballot(unsigned mask, bool predicate);

// Copies that the running thread ordered, in groups; they happen when it waits for them, as late as a device may do them.
void copy_later(void* to, const void* from, int bytes, int valid);
void close_copies();
void wait_for_copies(int running);

}  // namespace emulator

#define blockIdx (::emulator::block.index)
#define gridDim (::emulator::block.grid)
#define blockDim (::emulator::block.size)
#define threadIdx (::emulator::thread->index)
inline constexpr int warpSize = 32;

inline void __syncthreads() { emulator::block_barrier("__syncthreads"); }
inline void __syncwarp(unsigned mask = ~0u) { emulator::warp_barrier(mask, "__syncwarp"); }
inline void __threadfence() {}

// Groups of `width` lanes; a lane without a partner keeps its value.
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const unsigned lane = emulator::thread->lane, first = lane & ~static_cast<unsigned>(width - 1);
  return emulator::exchange(mask, value, first + (static_cast<unsigned>(from) & static_cast<unsigned>(width - 1)), "__shfl_sync");
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const unsigned lane = emulator::thread->lane, from = lane ^ static_cast<unsigned>(bits);
  return emulator::exchange(mask, value, (from ^ lane) < static_cast<unsigned>(width) ? from : lane, "__shfl_xor_sync");
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const unsigned lane = emulator::thread->lane, end = (lane & ~static_cast<unsigned>(width - 1)) + static_cast<unsigned>(width);
  return emulator::exchange(mask, value, lane + by < end ? lane + by : lane, "__shfl_down_sync");
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const unsigned lane = emulator::thread->lane, first = lane & ~static_cast<unsigned>(width - 1);
  return emulator::exchange(mask, value, lane >= first + by ? lane - by : lane, "__shfl_up_sync");
}
inline unsigned __ballot_sync(unsigned mask, bool predicate) { return emulator::ballot(mask, predicate); }
inline int __any_sync(unsigned mask, bool predicate) { return emulator::ballot(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, bool predicate) { return emulator::ballot(mask, !predicate) == 0; }

// Threads of an emulated device never run at once.
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to = before + value;
  return before;
}
template <class T>
T atomicMax(T* to, T value) {
  const T before = *to;
  if (value > before) *to = value;
  return before;
}
template <class T>
T atomicMin(T* to, T value) {
  const T before = *to;
  if (value < before) *to = value;
  return before;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Product = unsigned __int128;
  return static_cast<unsigned long long>(Product{a} * b >> 64);
}
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
template <class T>
T __ldg(const T* p) {
  return *p;
}
inline float rsqrtf(float x) { return static_cast<float>(1 / std::sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
