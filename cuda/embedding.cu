// Rows of a table summed in bags: a thread has 16 bytes of columns of one bag. Backward: a block owns a range of rows of the table and a
// slice of the columns, and adds what falls on them in the order of the ids.
#include "kernels/embedding.h"

#include "ordered.h"
#include "pixels.h"

namespace dnncore::cuda {
namespace {

struct Bags {
  BagShape shape;
  const int64_t *ids, *starts;

  template <class Args>
  explicit Bags(const Args& args) : shape(args.shape), ids(args.ids), starts(args.starts) {}

  __device__ __forceinline__ int64_t begin(int64_t b) const { return shape.begin(starts, b); }
  __device__ __forceinline__ int64_t end(int64_t b) const { return shape.end(starts, b); }
  __device__ __forceinline__ int64_t counted(int64_t b) const {
    int64_t count = 0;
    for (int64_t i = begin(b); i < end(b); ++i) count += shape.counts(ids[i]);
    return count;
  }
  // The last one that starts at i or before.
  __device__ __forceinline__ int64_t bag_of(int64_t i) const {
    if (starts == nullptr) return i / shape.per_bag;
    int64_t low = 0, high = shape.bags;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (starts[middle] <= i)
        low = middle + 1;
      else
        high = middle;
    }
    return low - 1;
  }
};

template <class T, int N>
__global__ void __launch_bounds__(kBlock) sum_bags(Bags bags, Pixels outputs, const T* weight, const T* factors, T* y) {
  const BagShape& s = bags.shape;
  const bool looks_up = bags.starts == nullptr && s.per_bag == 1 && factors == nullptr;  // rows stay what they are
  for (int64_t i = global_thread(); i < outputs.count; i += grid_threads()) {
    const Pixel p = outputs.at(i);
    Pack<T, N> sum;
#pragma unroll
    for (int j = 0; j < N; ++j) sum.v[j] = looks_up ? T(-0.0) : T(0);
    int64_t count = 0;
    const int64_t end = bags.end(p.n);
#pragma unroll 4
    for (int64_t k = bags.begin(p.n); k < end; ++k) {
      const int64_t id = bags.ids[k];
      if (!s.counts(id)) continue;
      ++count;
      const auto row = *reinterpret_cast<const Pack<T, N>*>(weight + id * s.columns + p.c);
      const T factor = factors == nullptr ? T(1) : factors[k];
#pragma unroll
      for (int j = 0; j < N; ++j) sum.v[j] += row.v[j] * factor;
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (s.mode == BagMode::Mean && count > 1) sum.v[j] /= static_cast<T>(count);
      if (count == 0) sum.v[j] = 0;
    }
    *reinterpret_cast<Pack<T, N>*>(y + i * N) = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) largest_of_bags(Bags bags, Pixels outputs, const T* weight, T* y, int64_t* best) {
  const BagShape& s = bags.shape;
  for (int64_t i = global_thread(); i < outputs.count; i += grid_threads()) {
    const Pixel p = outputs.at(i);
    T largest = 0;
    int64_t from = -1;
    for (int64_t k = bags.begin(p.n); k < bags.end(p.n); ++k) {
      const int64_t id = bags.ids[k];
      if (!s.counts(id)) continue;
      const T x = weight[id * s.columns + p.c];
      if (from < 0 || x > largest || (x != x && largest == largest)) largest = x, from = id;
    }
    y[i] = largest;
    best[i] = from;
  }
}

// --- Backward ---

// What Mean divides by, and how often each row is found.
template <class T>
struct Shares {
  T* of_bag;
  int32_t* found;

  explicit Shares(const EmbeddingBackwardArgs& args)
      : of_bag(static_cast<T*>(args.workspace)),
        found(reinterpret_cast<int32_t*>(static_cast<std::byte*>(args.workspace) + args.shape.bags * 8)) {}
};

template <class T>
__global__ void __launch_bounds__(kBlock) find_shares(Bags bags, T* of_bag) {
  for (int64_t b = global_thread(); b < bags.shape.bags; b += grid_threads())
    of_bag[b] = 1 / static_cast<T>(std::max<int64_t>(1, bags.counted(b)));
}

__global__ void __launch_bounds__(kBlock) clear_found(int64_t rows, int32_t* found) {
  for (int64_t row = global_thread(); row < rows; row += grid_threads()) found[row] = 0;
}

__global__ void __launch_bounds__(kBlock) count_found(Bags bags, int32_t* found) {
  for (int64_t i = global_thread(); i < bags.shape.ids; i += grid_threads())
    if (bags.shape.counts(bags.ids[i])) atomicAdd(found + bags.ids[i], 1);
}

template <class T>
struct Gradients {
  const T *dy, *factors, *shares;  // of ids, of bags; null: 1
  const int32_t* found;            // null: not divided
  T* dweight;
  int64_t range;
  int lanes;
};

template <class T>
struct BagEntry {
  int64_t bag;
  T factor;
};

template <class T>
__global__ void __launch_bounds__(kBlock) sum_rows(Bags bags, Gradients<T> g) {
  __shared__ OrderedList<BagEntry<T>> list;
  const BagShape& s = bags.shape;
  const int64_t begin = blockIdx.x * g.range, end = std::min(s.rows, begin + g.range);
  const int64_t first_column = int64_t{blockIdx.y} * g.lanes + threadIdx.x % g.lanes, step = int64_t{gridDim.y} * g.lanes;
  const int64_t first_row = begin + threadIdx.x / g.lanes, row_step = kBlock / g.lanes;
  for (int64_t row = first_row; row < end; row += row_step)
    for (int64_t c = first_column; c < s.columns; c += step) g.dweight[row * s.columns + c] = 0;
  __syncthreads();
  const auto find = [&](int64_t i, int64_t& row, BagEntry<T>& entry) {
    row = bags.ids[i];
    if (row < begin || row >= end || !s.counts(row)) return false;
    entry.bag = bags.bag_of(i);
    if (entry.bag < 0) return false;
    entry.factor = g.factors != nullptr ? g.factors[i] : g.shares != nullptr ? g.shares[entry.bag] : T(1);
    return true;
  };
  in_order(list, s.ids, g.lanes, find, [&](int first) {
    for (int64_t c = first_column; c < s.columns; c += step) {
      T& to = g.dweight[list.place[first] * s.columns + c];
      T sum = to;
      for (int i = first; i >= 0; i = list.next[i]) sum += list.entry[i].factor * g.dy[list.entry[i].bag * s.columns + c];
      to = sum;
    }
  });
  if (g.found == nullptr) return;
  __syncthreads();
  for (int64_t row = first_row; row < end; row += row_step)
    if (g.found[row] > 1)
      for (int64_t c = first_column; c < s.columns; c += step) g.dweight[row * s.columns + c] /= static_cast<T>(g.found[row]);
}

template <class T>
void backward(const EmbeddingBackwardArgs& args, cudaStream_t stream) {
  constexpr const char* kName = "embedding_backward";
  const BagShape& s = args.shape;
  if (s.rows == 0 || s.columns == 0) return;
  const Bags bags(args);
  const Shares<T> shares(args);
  const bool is_mean = args.factors == nullptr && s.mode == BagMode::Mean;
  if (is_mean && s.bags > 0) launch_grid(kName, find_shares<T>, blocks_for(s.bags), kBlock, stream, 0, bags, shares.of_bag);
  if (args.by_frequency) {
    launch_grid(kName, clear_found, blocks_for(s.rows), kBlock, stream, 0, s.rows, shares.found);
    if (s.ids > 0) launch_grid(kName, count_found, blocks_for(s.ids), kBlock, stream, 0, bags, shares.found);
  }
  int lanes = 1;
  while (lanes < kBlock && lanes < s.columns) lanes *= 2;
  const int64_t slices = std::clamp<int64_t>(s.columns / (2 * kBlock), 1, 8), ranges = std::min(s.rows, kOrderedBlocks / slices);
  const Gradients<T> gradients{static_cast<const T*>(args.dy),
                               static_cast<const T*>(args.factors),
                               is_mean ? shares.of_bag : nullptr,
                               args.by_frequency ? shares.found : nullptr,
                               static_cast<T*>(args.dweight),
                               (s.rows + ranges - 1) / ranges,
                               lanes};
  launch_grid(kName, sum_rows<T>, dim3(static_cast<unsigned>(ranges), static_cast<unsigned>(slices)), kBlock, stream, 0, bags, gradients);
}

// A warp for each id.
template <class T>
__global__ void __launch_bounds__(kBlock) dot_rows(Bags bags, const T* weight, const T* dy, T* dfactors) {
  const BagShape& s = bags.shape;
  const unsigned lane = threadIdx.x % 32;
  for (int64_t i = global_thread() / 32; i < s.ids; i += grid_threads() / 32) {
    const int64_t id = bags.ids[i], bag = bags.bag_of(i);
    T sum = 0;
    if (s.counts(id) && bag >= 0)
      for (int64_t c = lane; c < s.columns; c += 32) sum += weight[id * s.columns + c] * dy[bag * s.columns + c];
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(kAllLanes, sum, by);
    if (lane == 0) dfactors[i] = sum;
  }
}

}  // namespace

void embedding(const EmbeddingArgs& args, cudaStream_t stream) {
  const BagShape& s = args.shape;
  if (s.mode == BagMode::Max) {
    const Pixels outputs(s.bags, {1, 1, 1}, s.columns, 1);
    const auto with = [&](auto tag) {
      using T = decltype(tag);
      if (outputs.count > 0)
        launch_grid("embedding", largest_of_bags<T>, blocks_for(outputs.count), kBlock, stream, 0, Bags(args), outputs,
                    static_cast<const T*>(args.weight), static_cast<T*>(args.y), args.best);
    };
    return s.dtype == DType::Float64 ? with(double{}) : with(float{});
  }
  visit_pixels(
      s.dtype, s.bags, {1, 1, 1}, s.columns,
      [&](auto tag, auto pack, const Pixels& outputs) {
        using T = decltype(tag);
        launch_grid("embedding", sum_bags<T, pack>, blocks_for(outputs.count), kBlock, stream, 0, Bags(args), outputs,
                    static_cast<const T*>(args.weight), static_cast<const T*>(args.factors), static_cast<T*>(args.y));
      },
      args.weight, args.y);
}

void embedding_backward(const EmbeddingBackwardArgs& args, cudaStream_t stream) {
  args.shape.dtype == DType::Float64 ? backward<double>(args, stream) : backward<float>(args, stream);
}
int64_t embedding_backward_workspace(const EmbeddingBackwardArgs& args) { return args.shape.bags * 8 + args.shape.rows * 4; }

void embedding_backward_factors(const EmbeddingBackwardFactorsArgs& args, cudaStream_t stream) {
  const auto with = [&](auto tag) {
    using T = decltype(tag);
    if (args.shape.ids > 0)
      launch_grid("embedding_backward_factors", dot_rows<T>, blocks_for(args.shape.ids * 32), kBlock, stream, 0, Bags(args),
                  static_cast<const T*>(args.weight), static_cast<const T*>(args.dy), static_cast<T*>(args.dfactors));
  };
  args.shape.dtype == DType::Float64 ? with(double{}) : with(float{});
}

}  // namespace dnncore::cuda
