// Products of 16 x 16 and 16 x 8 pieces in the tensor cores, a warp together (PTX: mma.m16n8k16, ldmatrix); where there are none, the same
// from numbers that lanes hand to each other.
#pragma once

#include "numbers.h"

namespace dnncore::cuda {

// 16 lines of an operand times 16 of k, as four pieces of 8 x 8: lines 0-7 and 8-15 of k 0-7, then of k 8-15. In each, lane l has
// line l / 4, k 2 (l % 4) and the one after it, as one word.
struct alignas(16) Piece {
  uint32_t v[4];
};
// 16 rows x 8 columns of sums: lane l has columns 2 (l % 4) and the one after it of row l / 4, then of row l / 4 + 8.
struct Sums {
  float v[4];
};

namespace detail {

template <class T>
__device__ __forceinline__ T from_lane(T value, int lane) {
#ifndef DNN_EMULATED
  T found;
#pragma unroll
  for (size_t i = 0; i < sizeof(T) / 4; ++i)
    reinterpret_cast<uint32_t*>(&found)[i] = __shfl_sync(kAllLanes, reinterpret_cast<const uint32_t*>(&value)[i], lane);
  return found;
#else
  return __shfl_sync(kAllLanes, value, lane);
#endif
}

template <class T>
__device__ __forceinline__ float half_of(uint32_t word, int which) {
  return to_working(T{static_cast<uint16_t>(word >> 16 * which)});
}

struct alignas(8) Words {
  uint32_t v[2];
};

template <class T>
__device__ __forceinline__ void add_product_by_hand(Sums& sums, const Piece& a, uint32_t b0, uint32_t b1) {
  const int lane = static_cast<int>(threadIdx.x) % 32, row = lane / 4 * 4, column = lane % 4 * 2;
  Piece rows[4];
  Words columns[2][4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    rows[i] = from_lane(a, row + i);
    columns[0][i] = from_lane(Words{{b0, b1}}, column * 4 + i);
    columns[1][i] = from_lane(Words{{b0, b1}}, column * 4 + 4 + i);
  }
#pragma unroll
  for (int k = 0; k < 16; ++k)
#pragma unroll
    for (int v = 0; v < 4; ++v)
      sums.v[v] += half_of<T>(rows[k % 8 / 2].v[k / 8 * 2 + v / 2], k % 2) * half_of<T>(columns[v % 2][k % 8 / 2].v[k / 8], k % 2);
}

}  // namespace detail

// sums += a b, where b has 8 lines: one word of each of k 0-7 and 8-15.
template <class T>
__device__ __forceinline__ void add_product(Sums& sums, const Piece& a, uint32_t b0, uint32_t b1) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  float(&c)[4] = sums.v;
  if constexpr (std::is_same_v<T, bfloat16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b0), "r"(b1));
#elif defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, float16>) {
    float(&c)[4] = sums.v;
#pragma unroll
    for (int half = 0; half < 2; ++half)
      asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a.v[2 * half]), "r"(a.v[2 * half + 1]), "r"(half == 0 ? b0 : b1));
  } else
    detail::add_product_by_hand<T>(sums, a, b0, b1);
#else
  detail::add_product_by_hand<T>(sums, a, b0, b1);
#endif
}

// From shared memory: lane l says where 8 adjacent numbers of 8 x 8 piece l / 8 are: of its line l % 8, or when `turned` of its k l % 8.
// Both places are told, whichever holds: one instruction of two then runs, and no register is moved about a branch.
__device__ __forceinline__ Piece load_piece(bool turned, const void* line_at, const void* k_at) {
  Piece piece;
#ifndef DNN_EMULATED
  asm volatile(
      "{\n .reg .pred turned;\n setp.ne.s32 turned, %6, 0;\n"
      " @!turned ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
      " @turned ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%5];\n}"
      : "=r"(piece.v[0]), "=r"(piece.v[1]), "=r"(piece.v[2]), "=r"(piece.v[3])
      : "r"(static_cast<unsigned>(__cvta_generic_to_shared(line_at))), "r"(static_cast<unsigned>(__cvta_generic_to_shared(k_at))),
        "r"(static_cast<int>(turned))
      : "memory");
#else
  const int line = static_cast<int>(threadIdx.x) % 32 / 4, k = static_cast<int>(threadIdx.x) % 4 * 2;
  for (int i = 0; i < 4; ++i) {
    const auto* const first = static_cast<const uint16_t*>(__shfl_sync(kAllLanes, turned ? k_at : line_at, 8 * i + (turned ? k : line)));
    const auto* const second =
        static_cast<const uint16_t*>(__shfl_sync(kAllLanes, turned ? k_at : line_at, 8 * i + (turned ? k + 1 : line)));
    piece.v[i] = first[turned ? line : k] | uint32_t{second[turned ? line : k + 1]} << 16;
  }
#endif
  return piece;
}

}  // namespace dnncore::cuda
