// Tiles of products of halves in the tensor cores: each warp has WM x WN sums.
#pragma once

#include "gemm_tiles.h"
#include "mma.h"

namespace dnncore::cuda::product {

template <class T, int WM, int WN, int warp_rows, int warp_columns, int stages, int blocks>
struct Mma {
  static constexpr int BK = 32, kSteps = BK / 16, kStages = stages, kBlocks = blocks;
  static constexpr int kThreads = 32 * warp_rows * warp_columns, M = WM * warp_rows, N = WN * warp_columns;
  static constexpr int kSlabs = WM / 16, kSlabRows = 16, kSlabColumns = WN, kSlabPad = 8;

  // Lines of 16-byte chunks: a row's BK of k, or one k's rows. A chunk's place is its number XOR the line's, so that 8 lines which are
  // read at once, or the chunks of one, never meet in a bank.
  template <int R, bool is_b>
  struct Tile {
    static constexpr int kLineAlongK = BK * 2, kLineAlongRows = std::max(R, 64) * 2, kBytes = BK * kLineAlongRows, kChunks = R * BK / 8;
    const T* at;
    int line, width, lines, place;  // the first chunk: its line, numbers before it in the line; rows inside; where it goes
    int source;                     // where this lane reads for its warp

    __device__ __forceinline__ static int place_along_k(int row, int chunk) { return row * kLineAlongK + ((chunk ^ (row / 2 % 4)) << 4); }
    __device__ __forceinline__ static int place_along_rows(int k, int chunk) { return k * kLineAlongRows + ((chunk ^ (k % 8)) << 4); }

    __device__ __forceinline__ Tile(const Strided<T>& x, int64_t z, int64_t row, int64_t k, int warp_first) {
      const int thread = static_cast<int>(threadIdx.x), across = x.along_k ? BK / 8 : R / 8, chunk = thread % across;
      line = thread / across, width = chunk * 8, lines = clamped(x.rows - row, R);
      place = x.along_k ? place_along_k(line, chunk) : place_along_rows(line, chunk);
      at = x.data + z * x.batch_step + row * x.row_step + k * x.k_step + line * (x.along_k ? x.row_step : x.k_step) + width;
      // Of B, what one product takes comes in neighbouring words.
      const int lane = thread % 32, inside = lane % 8, low = is_b ? lane / 16 : lane / 8 % 2, high = is_b ? lane / 8 % 2 : lane / 16;
      source = x.along_k ? place_along_k(warp_first + low * 8 + inside, high) : place_along_rows(high * 8 + inside, warp_first / 8 + low);
    }

    __device__ __forceinline__ void fetch(const Strided<T>& x, int ks, unsigned char* tile) {
      const int step = x.along_k ? kThreads / (BK / 8) : kThreads / (R / 8), to_step = step * (x.along_k ? kLineAlongK : kLineAlongRows);
      const int inside = x.along_k ? lines : ks, valid = std::clamp((x.along_k ? ks : lines) - width, 0, 8);
      const int64_t from_step = step * (x.along_k ? x.row_step : x.k_step);
      unsigned char* to = tile + place;
      const T* from = at;
      at = advanced(at, BK * x.k_step);
      if (kChunks < kThreads && static_cast<int>(threadIdx.x) >= kChunks) return;
      constexpr int kCopies = std::max(kChunks / kThreads, 1);
      if (x.packs) {
#pragma unroll
        for (int i = 0; i < kCopies; ++i) {
          copy_async<16>(to + i * to_step, from, line + i * step < inside ? valid * 2 : 0);
          from = advanced(from, from_step);
        }
      } else {
#pragma unroll 1
        for (int i = 0; i < kCopies; ++i) {
          Pack<T, 8> held;
#pragma unroll
          for (int v = 0; v < 8; ++v) held.v[v] = line + i * step < inside && v < valid ? from[v] : T{};
          *reinterpret_cast<Pack<T, 8>*>(to + i * to_step) = held;
          from += from_step;
        }
      }
    }
    // XOR leaves alone what the line and the warp put into the place.
    template <int count>
    __device__ __forceinline__ void load(bool along_k, const unsigned char* tile, int step, Piece (&pieces)[count]) const {
#pragma unroll
      for (int i = 0; i < count; ++i)
        pieces[i] =
            load_piece(!along_k, tile + (source ^ step * 32) + i * 16 * kLineAlongK, tile + (source ^ i * 32) + step * 16 * kLineAlongRows);
    }
  };
  using TileA = Tile<M, false>;
  using TileB = Tile<N, true>;
  static constexpr int kStage = TileA::kBytes + TileB::kBytes;

  Sums sums[WM / 16][WN / 8] = {};
  Piece x[2][WM / 16], y[2][WN / 16];

  __device__ __forceinline__ static int warp_row() { return static_cast<int>(threadIdx.x) / 32 / warp_columns * WM; }
  __device__ __forceinline__ static int warp_column() { return static_cast<int>(threadIdx.x) / 32 % warp_columns * WN; }

  TileA tile_a;
  TileB tile_b;

  __device__ __forceinline__ Mma(const Strided<T>& a, const Strided<T>& b, int64_t z, int64_t row, int64_t column, int64_t k)
      : tile_a(a, z, row, k, warp_row()), tile_b(b, z, column, k, warp_column()) {}
  __device__ __forceinline__ void fetch(const Strided<T>& a, const Strided<T>& b, int ks, unsigned char* stage) {
    tile_a.fetch(a, ks, stage);
    tile_b.fetch(b, ks, stage + TileA::kBytes);
  }
  __device__ __forceinline__ void load(const Strided<T>& a, const Strided<T>& b, const unsigned char* stage, int step, int which) {
    tile_a.load(a.along_k, stage, step, x[which]);
    tile_b.load(b.along_k, stage + TileA::kBytes, step, y[which]);
  }
  __device__ __forceinline__ void multiply(int which) {
#pragma unroll
    for (int i = 0; i < WM / 16; ++i)
#pragma unroll
      for (int j = 0; j < WN / 8; ++j)
        add_product<T>(sums[i][j], x[which][i], y[which][j / 2].v[j % 2 * 2], y[which][j / 2].v[j % 2 * 2 + 1]);
  }

  __device__ __forceinline__ static int slab_row(int i) { return warp_row() + i * 16; }
  __device__ __forceinline__ static int slab_column() { return warp_column(); }
  __device__ __forceinline__ void put_slab(float* slab, int row) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float* const at = slab + lane / 4 * row + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < WN / 8; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<Pack<float, 2>*>(at + half * 8 * row + j * 8) = {{sums[0][j].v[2 * half], sums[0][j].v[2 * half + 1]}};
#pragma unroll
    for (int i = 0; i + 1 < WM / 16; ++i)
#pragma unroll
      for (int j = 0; j < WN / 8; ++j) sums[i][j] = sums[i + 1][j];
  }
};

}  // namespace dnncore::cuda::product
