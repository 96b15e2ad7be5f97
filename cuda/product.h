// The kernel behind convolutions, and what matrix products share with it: C[z] = A[z] B[z], a tile per block, a part of it in each
// thread's registers. The sum over k goes by chunks: each starts at 0 and adds product after product, then chunk is added to chunk in
// their order. Whether one block goes through all chunks or each has its own, and which tile it has, changes no bit: so the order depends
// on the chunk's length only.
#pragma once

#include "kernels/gemm.h"
#include "math.h"
#include "numbers.h"

namespace dnncore::cuda::product {

// TM x TN values per thread, 32 lanes as lane_rows x lane_columns, warps as warp_rows x warp_columns; BK of k at a time.
template <int TM_, int TN_, int lane_rows, int warp_rows, int warp_columns, int BK_>
struct Tile {
  static constexpr int TM = TM_, TN = TN_, BK = BK_;
  static constexpr int kLaneRows = lane_rows, kLaneColumns = 32 / lane_rows, kWarpColumns = warp_columns;
  static constexpr int kThreads = 32 * warp_rows * warp_columns;
  static constexpr int M = TM * kLaneRows * warp_rows, N = TN * kLaneColumns * warp_columns;
};
using Large = Tile<8, 8, 8, 2, 4, 8>;    // 128 x 128; with a BK of 16 registers spill
using Medium = Tile<8, 4, 4, 2, 2, 16>;  // 64 x 64
using Small = Tile<4, 4, 8, 1, 2, 16>;   // 32 x 32

inline constexpr int64_t kProcessors = 132;  // that a grid shall fill
inline constexpr int64_t kLeastChunk = 512, kChunkStep = 32;

// The length that gives at most `most` chunks.
constexpr int64_t chunk_length(int64_t k, int64_t most) {
  const int64_t steps = (k + most * kChunkStep - 1) / (most * kChunkStep);
  return std::max(kLeastChunk, steps * kChunkStep);
}

struct Problem {
  int64_t m, n, k, batch;
  int64_t chunk, chunks;  // at least one, even of an empty sum
  bool split = false;     // a block per chunk: sums go to `partial`

  Problem(int64_t m_, int64_t n_, int64_t k_, int64_t batch_, int64_t chunk_)
      : m(m_), n(n_), k(k_), batch(batch_), chunk(chunk_), chunks(std::max<int64_t>(1, (k_ + chunk_ - 1) / chunk_)) {}
  int64_t tiles(int64_t M, int64_t N) const { return ((m + M - 1) / M) * ((n + N - 1) / N); }
  template <class T>
  bool fills() const {
    return tiles(T::M, T::N) * batch * chunks >= kProcessors;
  }
};

template <class W>
__device__ __forceinline__ W activate(Activation activation, W x) {
  switch (opaque(activation)) {
    case Activation::Relu:
      return relu(x);
    case Activation::Tanh:
      return std::tanh(x);
    case Activation::Sigmoid:
      return sigmoid(x);
    case Activation::Gelu:
      return gelu(x);
    default:
      return x;
  }
}

// Where sums go: C in T or, for halves that are `wide`, in float.
template <class T>
struct Output {
  using W = Working<T>;
  void* c;
  const W* bias;
  W* partial;  // split: (chunks, batch, m, n); else sums of the chunks so far, in C itself or (batch, m, n)
  int64_t c_row, c_batch, bias_batch, partial_row, partial_batch;
  Activation activation;
  bool accumulate, wide, packs;  // packs: everything is aligned to 16 bytes of W

  __device__ __forceinline__ bool in_working() const { return !kIsHalf<T> || opaque(wide); }

  template <int N>
  __device__ __forceinline__ Pack<W, N> read(int64_t at) const {
    Pack<W, N> x;
    if (in_working()) return *reinterpret_cast<const Pack<W, N>*>(static_cast<const W*>(c) + at);
    const auto stored = *reinterpret_cast<const Pack<T, N>*>(static_cast<const T*>(c) + at);
#pragma unroll
    for (int v = 0; v < N; ++v) x.v[v] = to_working(stored.v[v]);
    return x;
  }
  template <int N>
  __device__ __forceinline__ void write(int64_t at, const Pack<W, N>& x) const {
    if (in_working()) {
      *reinterpret_cast<Pack<W, N>*>(static_cast<W*>(c) + at) = x;
      return;
    }
    Pack<T, N> stored;
#pragma unroll
    for (int v = 0; v < N; ++v) stored.v[v] = from_working<T>(x.v[v]);
    *reinterpret_cast<Pack<T, N>*>(static_cast<T*>(c) + at) = stored;
  }

  // What a chunk's sum is added to: what C held, or the sum of the chunks before.
  __device__ __forceinline__ bool holds(const Problem& p, int64_t chunk) const {
    return !opaque(p.split) && (chunk > 0 || opaque(accumulate));
  }
  template <int N>
  __device__ __forceinline__ Pack<W, N> held(int64_t chunk, int64_t z, int64_t i, int64_t j) const {
    if (chunk == 0) return read<N>(z * c_batch + i * c_row + j);
    return *reinterpret_cast<const Pack<W, N>*>(partial + z * partial_batch + i * partial_row + j);
  }
  template <int N>
  __device__ __forceinline__ void end(int64_t z, int64_t i, int64_t j, Pack<W, N>& sum) const {
    if (bias != nullptr) {
      const auto added = *reinterpret_cast<const Pack<W, N>*>(bias + z * bias_batch + j);
#pragma unroll
      for (int v = 0; v < N; ++v) sum.v[v] += added.v[v];
    }
    if (opaque(activation) != Activation::None) {
#pragma unroll
      for (int v = 0; v < N; ++v) sum.v[v] = activate(activation, sum.v[v]);
    }
    write<N>(z * c_batch + i * c_row + j, sum);
  }

  // A sum that what was held is part of.
  template <int N>
  __device__ __forceinline__ void put(const Problem& p, int64_t z, int64_t chunk, int64_t i, int64_t j, Pack<W, N> sum) const {
    if (opaque(p.split))
      *reinterpret_cast<Pack<W, N>*>(partial + ((chunk * p.batch + z) * p.m + i) * p.n + j) = sum;
    else if (chunk + 1 < p.chunks)
      *reinterpret_cast<Pack<W, N>*>(partial + z * partial_batch + i * partial_row + j) = sum;
    else
      end<N>(z, i, j, sum);
  }
  template <int N>
  __device__ __forceinline__ void add(const Problem& p, int64_t z, int64_t chunk, int64_t i, int64_t j, Pack<W, N> sum) const {
    if (holds(p, chunk)) {
      const auto before = held<N>(chunk, z, i, j);
#pragma unroll
      for (int v = 0; v < N; ++v) sum.v[v] = before.v[v] + sum.v[v];
    }
    put<N>(p, z, chunk, i, j, sum);
  }
};

// An operand's R x BK tile on its way through registers into shared memory, where rows of the operand are adjacent.
// A Source gives V adjacent elements, of one row along k or of one k along the rows, 0 outside.
template <class Source, int R, int BK, int threads>
struct Feed {
  using T = typename Source::Element;
  using W = Working<T>;
  static constexpr int V = Source::V, kPacks = R * BK / V / threads, kRow = R + V;  // kRow: of the tile, which spreads stores over banks
  static_assert(kPacks * V * threads == R * BK);
  typename Source::Row rows[kPacks];
  Pack<T, V> held[kPacks];

  __device__ __forceinline__ static int row_of(bool along_k, int i) {
    const int q = static_cast<int>(threadIdx.x) + i * threads;
    return along_k ? q / (BK / V) : q % (R / V) * V;
  }
  __device__ __forceinline__ static int k_of(bool along_k, int i) {
    const int q = static_cast<int>(threadIdx.x) + i * threads;
    return along_k ? q % (BK / V) * V : q / (R / V);
  }

  __device__ __forceinline__ void start(const Source& source, int64_t z, int64_t first) {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) rows[i] = source.row(z, first + row_of(source.along_k, i));
  }
  __device__ __forceinline__ void fetch(const Source& source, int64_t k, int64_t end) {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) held[i] = source.load(rows[i], k + k_of(source.along_k, i), end);
  }
  __device__ __forceinline__ void store(const Source& source, W* tile) const {
    const bool along_k = source.along_k;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      W* const at = tile + k_of(along_k, i) * kRow + row_of(along_k, i);
      Pack<W, V> x;
#pragma unroll
      for (int v = 0; v < V; ++v) x.v[v] = to_working(held[i].v[v]);
      if (along_k) {
#pragma unroll
        for (int v = 0; v < V; ++v) at[v * kRow] = x.v[v];
      } else {
        *reinterpret_cast<Pack<W, V>*>(at) = x;
      }
    }
  }
};

// This thread's `count` values of a row of a tile in shared memory: groups of up to 16 bytes, `lanes` of them side by side.
template <class W, int count, int lanes>
struct Fragment {
  static constexpr int V = std::min<int>(count, 16 / sizeof(W)), kGroups = count / V;
  W v[count];

  // Of value i, where the warp begins at `first`.
  __device__ __forceinline__ static int index(int first, int lane, int i) { return first + i / V * lanes * V + lane * V + i % V; }
  __device__ __forceinline__ void load(const W* row, int first, int lane) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const auto part = *reinterpret_cast<const Pack<W, V>*>(row + index(first, lane, g * V));
#pragma unroll
      for (int i = 0; i < V; ++i) v[g * V + i] = part.v[i];
    }
  }
};

// Tiles side by side in groups of 8 rows of them: what runs at once shares its operands in the cache.
__device__ __forceinline__ void tile_position(int64_t index, int64_t down, int64_t across, int64_t& row, int64_t& column) {
  constexpr int64_t kGroup = 8;
  const int64_t first = index / (kGroup * across) * kGroup, inside = index % (kGroup * across);
  const int64_t height = down - first < kGroup ? down - first : kGroup;
  row = first + inside % height, column = inside / height;
}

// A thread's sums of one row. What follows moves up and is written by the same code: one body, and no index that only run time knows.
template <class Shape, class Columns, class T, class W>
__device__ __forceinline__ void put_row(const Problem& p, const Output<T>& output, int64_t z, int64_t chunk, int64_t row, int64_t column,
                                        int warp_column, int lane_column, const W (&sums)[Shape::TN]) {
  constexpr int V = Columns::V;
  W left[Shape::TN];
#pragma unroll
  for (int j = 0; j < Shape::TN; ++j) left[j] = sums[j];
#pragma unroll 1
  for (int j = 0; j < Shape::TN; j += V) {
    const int64_t to = column + Columns::index(warp_column, lane_column, j);
    Pack<W, V> pack;
#pragma unroll
    for (int v = 0; v < V; ++v) pack.v[v] = left[v];
#pragma unroll
    for (int i = 0; i + V < Shape::TN; ++i) left[i] = left[i + V];
    if (opaque(output.packs) && to + V <= p.n) {
      output.template add<V>(p, z, chunk, row, to, pack);
      continue;
    }
#pragma unroll 1
    for (int v = 0; v < V && to + v < p.n; ++v) {
      output.template add<1>(p, z, chunk, row, to + v, Pack<W, 1>{{pack.v[0]}});
#pragma unroll
      for (int i = 0; i + 1 < V; ++i) pack.v[i] = pack.v[i + 1];
    }
  }
}

template <class T, class Shape, class A, class B>
__global__ void __launch_bounds__(Shape::kThreads, 2048 / sizeof(Working<T>) / Shape::kThreads)
    multiply(Problem p, A a, B b, Output<T> output) {
  using W = Working<T>;
  constexpr int TM = Shape::TM, TN = Shape::TN, BK = Shape::BK;
  using FeedA = Feed<A, Shape::M, BK, Shape::kThreads>;
  using FeedB = Feed<B, Shape::N, BK, Shape::kThreads>;
  using FragmentA = Fragment<W, TM, Shape::kLaneRows>;
  using FragmentB = Fragment<W, TN, Shape::kLaneColumns>;
  alignas(16) __shared__ W a_tile[2][BK * FeedA::kRow];
  alignas(16) __shared__ W b_tile[2][BK * FeedB::kRow];

  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_row = warp / Shape::kWarpColumns * Shape::kLaneRows * TM,
            warp_column = warp % Shape::kWarpColumns * Shape::kLaneColumns * TN;
  const int lane_row = lane / Shape::kLaneColumns, lane_column = lane % Shape::kLaneColumns;
  int64_t row, column;
  tile_position(blockIdx.x, (p.m + Shape::M - 1) / Shape::M, (p.n + Shape::N - 1) / Shape::N, row, column);
  row *= Shape::M, column *= Shape::N;

  FeedA feed_a;
  FeedB feed_b;
  for (int64_t z = blockIdx.z; z < p.batch; z += gridDim.z) {
    feed_a.start(a, z, row), feed_b.start(b, z, column);
    const int first = p.split ? static_cast<int>(blockIdx.y) : 0, last = p.split ? first + 1 : static_cast<int>(p.chunks);
    for (int chunk = first; chunk < last; ++chunk) {
      W sums[TM][TN] = {};
      const int64_t begin = chunk * p.chunk, end = begin + p.chunk < p.k ? begin + p.chunk : p.k;
      int buffer = 1;
      // The first turn only fetches: what finds the operands may be much code, and stands here once.
#pragma unroll 1
      for (int64_t k = begin - BK; k < end; k += BK) {
        const bool more = k + BK < end;
        if (more) feed_a.fetch(a, k + BK, end), feed_b.fetch(b, k + BK, end);
        if (k >= begin) {
#pragma unroll
          for (int step = 0; step < BK; ++step) {
            FragmentA x;
            FragmentB y;
            x.load(a_tile[buffer] + step * FeedA::kRow, warp_row, lane_row);
            y.load(b_tile[buffer] + step * FeedB::kRow, warp_column, lane_column);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
              for (int j = 0; j < TN; ++j) sums[i][j] += x.v[i] * y.v[j];
          }
        }
        buffer ^= 1;
        if (more) feed_a.store(a, a_tile[buffer]), feed_b.store(b, b_tile[buffer]);
        __syncthreads();
      }
#pragma unroll 1
      for (int i = 0; i < TM; ++i) {
        const int64_t to_row = row + FragmentA::index(warp_row, lane_row, i);
        if (to_row < p.m) put_row<Shape, FragmentB>(p, output, z, chunk, to_row, column, warp_column, lane_column, sums[0]);
#pragma unroll
        for (int r = 0; r + 1 < TM; ++r)
#pragma unroll
          for (int j = 0; j < TN; ++j) sums[r][j] = sums[r + 1][j];
      }
    }
  }
}

// The second pass of a split product.
template <class T>
__global__ void __launch_bounds__(kBlock) join(Problem p, Output<T> output) {
  const int64_t count = p.batch * p.m * p.n;
  for (int64_t at = global_thread(); at < count; at += grid_threads()) {
    const int64_t j = at % p.n, i = at / p.n % p.m, z = at / p.n / p.m;
    Pack<Working<T>, 1> sum{{output.partial[at]}};
    if (output.accumulate) sum.v[0] = output.template held<1>(0, z, i, j).v[0] + sum.v[0];
    for (int64_t chunk = 1; chunk < p.chunks; ++chunk) sum.v[0] += output.partial[chunk * count + at];
    output.template end<1>(z, i, j, sum);
  }
}

template <class Shape, class T, class A, class B>
void launch(const char* what, const Problem& p, const A& a, const B& b, const Output<T>& output, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(p.tiles(Shape::M, Shape::N)), p.split ? static_cast<unsigned>(p.chunks) : 1,
                  static_cast<unsigned>(std::min<int64_t>(p.batch, 65535)));
  launch_grid(what, multiply<T, Shape, A, B>, grid, Shape::kThreads, stream, 0, p, a, b, output);
}

// fn(the tile's type): the largest that fits the shape and fills the device. float64 has but one: nothing is faster with a larger where
// multiplications are slow, and each is a kernel more to compile and carry.
template <class T, class Fn>
void visit_tile(const Problem& p, Fn&& fn) {
  if constexpr (sizeof(T) == 4) {
    if (p.m > Medium::M && p.n > Medium::N && p.fills<Large>()) return fn(Large{});
    if (p.m > Small::M && p.n > Small::N && p.fills<Medium>()) return fn(Medium{});
  }
  fn(Small{});
}

template <class T>
bool wants_split(const Problem& p) {
  bool wanted = false;
  visit_tile<T>(p, [&](auto tile) { wanted = p.chunks > 1 && p.tiles(tile.M, tile.N) * p.batch < kProcessors * 3 / 4; });
  return wanted;
}

template <class T, class A, class B>
void run(const char* what, const Problem& p, const A& a, const B& b, const Output<T>& output, cudaStream_t stream) {
  visit_tile<T>(p, [&](auto tile) { launch<decltype(tile)>(what, p, a, b, output, stream); });
}
template <class T>
void run_join(const char* what, const Problem& p, const Output<T>& output, cudaStream_t stream) {
  launch_grid(what, join<T>, blocks_for(p.batch * p.m * p.n), kBlock, stream, 0, p, output);
}

inline bool is_multiple(std::initializer_list<int64_t> strides, int64_t of) {
  return std::all_of(strides.begin(), strides.end(), [&](int64_t stride) { return stride % of == 0; });
}
inline bool is_aligned(const void* p, int64_t bytes) { return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) == 0; }

// A matrix in memory, one of its two strides 1 (or its dimension of size 1): rows x k as Feed sees it.
template <class T>
struct Matrix {
  using Element = T;
  static constexpr int V = static_cast<int>(16 / sizeof(Working<T>));
  const T* data;
  int64_t rows, row_step, k_step, batch_step;
  bool along_k, packs;

  Matrix(const void* from, int64_t rows_, int64_t k, int64_t row_stride, int64_t k_stride, int64_t batch_stride)
      : data(static_cast<const T*>(from)),
        rows(rows_),
        row_step(rows_ > 1 ? row_stride : 1),
        k_step(k > 1 ? k_stride : 1),
        batch_step(batch_stride),
        along_k(k > 1 ? k_stride == 1 : row_step != 1),
        packs(is_multiple({rows_ > 1 && along_k ? row_step : 0, k > 1 && !along_k ? k_step : 0, batch_stride}, V) &&
              is_aligned(from, V * static_cast<int64_t>(sizeof(T)))) {}

  struct Row {
    const T* at;
    int left;  // rows from this one on, of V
  };
  __device__ __forceinline__ Row row(int64_t z, int64_t r) const {
    return {data + z * batch_step + r * row_step, static_cast<int>(std::clamp<int64_t>(rows - r, 0, V))};
  }
  __device__ __forceinline__ Pack<T, V> load(const Row& from, int64_t k, int64_t end) const {
    const T* const at = from.at + k * k_step;
    const int left_k = static_cast<int>(std::clamp<int64_t>(end - k, 0, V));
    const int left = along_k ? left_k : from.left;
    const bool inside = (along_k ? from.left : left_k) > 0;
    if (packs && inside && left >= V) return *reinterpret_cast<const Pack<T, V>*>(at);
    Pack<T, V> x;
#pragma unroll
    for (int v = 0; v < V; ++v) x.v[v] = inside && v < left ? at[v] : T{};
    return x;
  }
};

}  // namespace dnncore::cuda::product
