// The kernel of matrix products in memory: a tile of C per block, whose operands come into shared memory several steps ahead by
// asynchronous copies, while an Engine (gemm_simt.h, gemm_mma.h) multiplies what is there. Sums as product.h says: chunk by chunk.
#pragma once

#include "copy_async.h"
#include "product.h"

namespace dnncore::cuda::product {

// One of the two operands, rows x k. One of its strides is 1, or the dimension's size is.
template <class T>
struct Strided {
  static constexpr int V = static_cast<int>(16 / sizeof(T));
  const T* data;
  int64_t rows, row_step, k_step, batch_step;
  bool along_k, packs;  // packs: V numbers side by side are aligned

  Strided(const void* from, int64_t rows_, int64_t k, int64_t row_stride, int64_t k_stride, int64_t batch, int64_t batch_stride)
      : data(static_cast<const T*>(from)),
        rows(rows_),
        row_step(rows_ > 1 ? row_stride : 1),
        k_step(k > 1 ? k_stride : 1),
        batch_step(batch > 1 ? batch_stride : 0),
        along_k(k > 1 ? k_stride == 1 : row_step != 1),
        packs(is_multiple({rows_ > 1 && along_k ? row_step : 0, k > 1 && !along_k ? k_step : 0, batch_step}, V) && is_aligned(from, 16)) {}
};

__device__ __forceinline__ int clamped(int64_t left, int most) { return static_cast<int>(left < 0 ? 0 : left < most ? left : most); }

// p + step, which the compiler shall not work out beforehand for every p of a loop: registers are for sums.
template <class T>
__device__ __forceinline__ const T* advanced(const T* p, int64_t step) {
  p += step;
#ifdef __CUDA_ARCH__
  asm volatile("" : "+l"(p));
#endif
  return p;
}

// What an engine's Slab of sums becomes: a warp's kSlabRows x kSlabColumns, in shared memory, go to C in whole lines.
template <class Engine, class T>
struct Epilogue {
  using W = Working<T>;
  static constexpr int V = static_cast<int>(16 / sizeof(W)), kRow = Engine::kSlabColumns + Engine::kSlabPad;
  static constexpr int kPacks = Engine::kSlabRows * Engine::kSlabColumns / V, kPerLane = (kPacks + 31) / 32;
  static constexpr int kBytes = Engine::kThreads / 32 * Engine::kSlabRows * kRow * static_cast<int>(sizeof(W));
  const Problem& p;
  const Output<T>& output;
  int64_t z, row, column;    // of the slab
  int chunk, rows, columns;  // those inside C

  __device__ __forceinline__ Epilogue(const Problem& p_, const Output<T>& output_, int64_t z_, int64_t row_, int64_t column_, int chunk_)
      : p(p_),
        output(output_),
        z(z_),
        row(row_),
        column(column_),
        chunk(chunk_),
        rows(clamped(p.m - row, Engine::kSlabRows)),
        columns(clamped(p.n - column, Engine::kSlabColumns)) {}

  // Pack i of this lane: fn(its place in the slab, its row and column there).
  template <class Fn>
  __device__ __forceinline__ void visit(W* slab, int i, const Fn& fn) const {
    const int pack = i * 32 + static_cast<int>(threadIdx.x) % 32;
    constexpr int kAcross = Engine::kSlabColumns / V;
    const int r = pack / kAcross, c = pack % kAcross * V;
    if (r < rows && c < columns) fn(slab + r * kRow + c, r, c);
  }

  __device__ __forceinline__ void finish(W* slab) const {
    if (output.packs && columns % V == 0)
      finish_packs(slab);
    else
      finish_singles(slab);
  }
  // What the sums so far are, if any, is read for all packs before the first is used.
  __device__ __forceinline__ void finish_packs(W* slab) const {
    if (output.holds(p, chunk)) {
      Pack<W, V> held[kPerLane];
#pragma unroll
      for (int i = 0; i < kPerLane; ++i)
        visit(slab, i, [&](W*, int r, int c) { held[i] = output.template held<V>(chunk, z, row + r, column + c); });
#pragma unroll
      for (int i = 0; i < kPerLane; ++i)
        visit(slab, i, [&](W* at, int, int) {
#pragma unroll
          for (int v = 0; v < V; ++v) at[v] = held[i].v[v] + at[v];
        });
    }
#pragma unroll 1
    for (int i = 0; i < kPerLane; ++i)
      visit(slab, i, [&](const W* at, int r, int c) {
        output.template put<V>(p, z, chunk, row + r, column + c, *reinterpret_cast<const Pack<W, V>*>(at));
      });
  }
  __device__ __forceinline__ void finish_singles(const W* slab) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 1
    for (int i = lane; i < Engine::kSlabRows * Engine::kSlabColumns; i += 32) {
      const int r = i / Engine::kSlabColumns, c = i % Engine::kSlabColumns;
      if (r < rows && c < columns) output.template add<1>(p, z, chunk, row + r, column + c, Pack<W, 1>{{slab[r * kRow + c]}});
    }
  }
};

template <class Engine, class T>
__global__ void __launch_bounds__(Engine::kThreads, Engine::kBlocks)
    multiply_tiles(Problem p, Strided<T> a, Strided<T> b, Output<T> output) {
  using W = Working<T>;
  using Finish = Epilogue<Engine, T>;
  constexpr int kSteps = Engine::kSteps, kStages = Engine::kStages, BK = Engine::BK;
  static_assert(kSteps % 2 == 0 && kStages * Engine::kStage >= Finish::kBytes);
  unsigned char* const shared = shared_memory<unsigned char>();
  int64_t row, column;
  tile_position(blockIdx.x, (p.m + Engine::M - 1) / Engine::M, (p.n + Engine::N - 1) / Engine::N, row, column);
  row *= Engine::M, column *= Engine::N;

  for (int64_t z = blockIdx.z; z < p.batch; z += gridDim.z) {
    const int first = p.split ? static_cast<int>(blockIdx.y) : 0, last = p.split ? first + 1 : static_cast<int>(p.chunks);
    for (int chunk = first; chunk < last; ++chunk) {
      const int64_t begin = chunk * p.chunk;
      const int length = static_cast<int>(p.k - begin < p.chunk ? p.k - begin : p.chunk), tiles = (length + BK - 1) / BK;
      Engine engine(a, b, z, row, column, begin);
      const auto fetch = [&](int tile) {
        if (tile < tiles) engine.fetch(a, b, std::min(length - tile * BK, int{BK}), shared + tile % kStages * Engine::kStage);
        close_copies();
      };
#pragma unroll
      for (int tile = 0; tile + 1 < kStages; ++tile) fetch(tile);
      wait_for_copies<kStages - 2>();
      __syncthreads();
      const unsigned char* stage = shared;
      engine.load(a, b, stage, 0, 0);
#pragma unroll 1
      for (int tile = 0; tile < tiles; ++tile) {
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          if (step + 1 == kSteps) {  // the numbers of this step are in registers: on to the next tile
            wait_for_copies<kStages - 2>();
            __syncthreads();
            stage = shared + (tile + 1) % kStages * Engine::kStage;
          }
          engine.load(a, b, stage, (step + 1) % kSteps, (step + 1) % 2);
          if (step == 0) fetch(tile + kStages - 1);
          engine.multiply(step % 2);
        }
      }
      __syncthreads();
      W* const slab = reinterpret_cast<W*>(shared) + static_cast<int>(threadIdx.x) / 32 * Engine::kSlabRows * Finish::kRow;
#pragma unroll 1
      for (int i = 0; i < Engine::kSlabs; ++i) {
        engine.put_slab(slab, Finish::kRow);
        __syncwarp();
        Finish(p, output, z, row + engine.slab_row(i), column + engine.slab_column(), chunk).finish(slab);
        __syncwarp();
      }
      __syncthreads();
    }
  }
}

template <class Engine, class T>
void launch_tiles(const char* what, const Problem& p, const Strided<T>& a, const Strided<T>& b, const Output<T>& output,
                  cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(p.tiles(Engine::M, Engine::N)), p.split ? static_cast<unsigned>(p.chunks) : 1,
                  static_cast<unsigned>(std::min<int64_t>(p.batch, 65535)));
  constexpr size_t kShared = size_t{Engine::kStages} * Engine::kStage;
  if constexpr (kShared > kPlainShared) allow_shared(what, multiply_tiles<Engine, T>, kShared);
  launch_grid(what, multiply_tiles<Engine, T>, grid, Engine::kThreads, stream, kShared, p, a, b, output);
}

}  // namespace dnncore::cuda::product
