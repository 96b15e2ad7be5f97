// Tiles of products in the instructions of single numbers: rows of an operand are adjacent in shared memory, each thread has TM x TN sums.
#pragma once

#include "gemm_tiles.h"

namespace dnncore::cuda::product {

template <class T, int TM, int TN, int lane_rows, int warp_rows, int warp_columns, int BK_, int blocks>
struct Simt {
  static constexpr int BK = BK_, kSteps = BK, kStages = 4, kBlocks = blocks;
  static constexpr int kLaneRows = lane_rows, kLaneColumns = 32 / lane_rows, kThreads = 32 * warp_rows * warp_columns;
  static constexpr int M = TM * kLaneRows * warp_rows, N = TN * kLaneColumns * warp_columns;
  static constexpr int V = static_cast<int>(16 / sizeof(T)), kRowA = M + V, kRowB = N + V;  // rows that spread single numbers over banks
  static constexpr int kStage = BK * (kRowA + kRowB) * static_cast<int>(sizeof(T));
  using FragmentA = Fragment<T, TM, kLaneRows>;
  using FragmentB = Fragment<T, TN, kLaneColumns>;
  static constexpr int kGroup = FragmentA::V, kSlabs = FragmentA::kGroups;
  static constexpr int kSlabRows = kGroup * kLaneRows, kSlabColumns = TN * kLaneColumns, kSlabPad = V;

  T sums[TM][TN] = {};
  FragmentA x[2];
  FragmentB y[2];

  // Neighbours share a row or a column, in turn: so 16 bytes per lane take half the passes through shared memory.
  __device__ __forceinline__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ __forceinline__ static int lane_row() { return kLaneRows == 1 ? 0 : lane() % 2 + lane() / (2 * kLaneColumns) * 2; }
  __device__ __forceinline__ static int lane_column() { return kLaneRows == 1 ? lane() : lane() / 2 % kLaneColumns; }
  __device__ __forceinline__ static int warp_row() { return static_cast<int>(threadIdx.x) / 32 / warp_columns * kLaneRows * TM; }
  __device__ __forceinline__ static int warp_column() { return static_cast<int>(threadIdx.x) / 32 % warp_columns * kSlabColumns; }

  // A thread's part of the copies of an operand: packs where rows are adjacent in memory too; else single numbers, 8 of k for each of
  // kThreads / 8 rows.
  template <int R>
  struct Feed {
    static constexpr int kRow = R + V, kAcross = kThreads / 8, kPerLine = R / V, kDown = kThreads / kPerLine;
    static_assert(BK % kDown == 0 && R % kAcross == 0 && BK % 8 == 0);
    const T* at;
    int kk, rows, place;  // the first number's k and place in the tile, and rows from there on

    __device__ __forceinline__ Feed(const Strided<T>& x, int64_t z, int64_t row, int64_t k) {
      const int thread = static_cast<int>(threadIdx.x);
      int r;
      if (in_packs(x))
        r = thread % kPerLine * V, kk = thread / kPerLine;
      else
        r = x.along_k ? thread / 8 : thread % kAcross, kk = x.along_k ? thread % 8 : thread / kAcross;
      rows = clamped(x.rows - row - r, R), place = kk * kRow + r;
      at = x.data + z * x.batch_step + (row + r) * x.row_step + (k + kk) * x.k_step;
    }
    __device__ __forceinline__ static bool in_packs(const Strided<T>& x) { return x.packs && !x.along_k; }

    // The next tile, of which `ks` of k are inside.
    __device__ __forceinline__ void fetch(const Strided<T>& x, int ks, T* tile) {
      constexpr int kSize = static_cast<int>(sizeof(T));
      T* const to = tile + place;
      const T* from = at;
      if (in_packs(x)) {
        const int valid = (rows < V ? rows : V) * kSize;
#pragma unroll
        for (int i = 0; i < BK; i += kDown) {
          copy_async<16>(to + i * kRow, from, kk + i < ks ? valid : 0);
          from = advanced(from, kDown * x.k_step);
        }
      } else {
#pragma unroll
        for (int j = 0; j < BK; j += 8) {
          const T* single = from;
#pragma unroll
          for (int i = 0; i < R; i += kAcross) {
            copy_async<kSize>(to + j * kRow + i, single, i < rows && kk + j < ks ? kSize : 0);
            single = advanced(single, kAcross * x.row_step);
          }
          from = advanced(from, 8 * x.k_step);
        }
      }
      at = advanced(at, BK * x.k_step);
    }
  };
  Feed<M> feed_a;
  Feed<N> feed_b;

  __device__ __forceinline__ Simt(const Strided<T>& a, const Strided<T>& b, int64_t z, int64_t row, int64_t column, int64_t k)
      : feed_a(a, z, row, k), feed_b(b, z, column, k) {}
  __device__ __forceinline__ void fetch(const Strided<T>& a, const Strided<T>& b, int ks, unsigned char* stage) {
    T* const tile = reinterpret_cast<T*>(stage);
    feed_a.fetch(a, ks, tile);
    feed_b.fetch(b, ks, tile + BK * kRowA);
  }
  __device__ __forceinline__ void load(const Strided<T>&, const Strided<T>&, const unsigned char* stage, int step, int which) {
    const T* const tile = reinterpret_cast<const T*>(stage);
    x[which].load(tile + step * kRowA, warp_row(), lane_row());
    y[which].load(tile + BK * kRowA + step * kRowB, warp_column(), lane_column());
  }
  __device__ __forceinline__ void multiply(int which) {
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
      for (int j = 0; j < TN; ++j) sums[i][j] += x[which].v[i] * y[which].v[j];
  }

  // A slab is the rows of one group of each lane; the next one's sums move up, since no register's number may depend on run time.
  __device__ __forceinline__ static int slab_row(int i) { return warp_row() + i * kSlabRows; }
  __device__ __forceinline__ static int slab_column() { return warp_column(); }
  __device__ __forceinline__ void put_slab(T* slab, int row) {
    constexpr int VB = FragmentB::V;
#pragma unroll
    for (int i = 0; i < kGroup; ++i)
#pragma unroll
      for (int j = 0; j < TN; j += VB) {
        Pack<T, VB> pack;
#pragma unroll
        for (int v = 0; v < VB; ++v) pack.v[v] = sums[i][j + v];
        *reinterpret_cast<Pack<T, VB>*>(slab + (lane_row() * kGroup + i) * row + FragmentB::index(0, lane_column(), j)) = pack;
      }
#pragma unroll
    for (int i = 0; i + kGroup < TM; ++i)
#pragma unroll
      for (int j = 0; j < TN; ++j) sums[i][j] = sums[i + kGroup][j];
  }
};

}  // namespace dnncore::cuda::product
