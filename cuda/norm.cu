// Normalisation of anything but rows: sums per batch entry and channel, of whole blocks or of parts that are joined after; the coefficients
// of each channel; one pass over the elements. The sums are float64's, about an element of the statistic, so that they may be added up.
#include "kernels/norm.h"

#include "norm_coefficients.h"

namespace dnncore::cuda {
namespace {

// Where the sums of a channel come from: channels are adjacent (columns) or in runs of `inner` elements (segments).
struct SumPlan {
  int64_t batch, outer, channels, inner;
  int64_t parts = 1, each = 0;  // of the outer * inner elements of a channel
  int across = 1;               // channels per block

  __host__ __device__ int64_t items() const { return batch * channels; }
  __host__ __device__ int64_t blocks() const { return batch * ((channels + across - 1) / across) * parts; }
  int64_t bytes() const { return items() * parts * static_cast<int64_t>(sizeof(TwoSums)); }
};

constexpr int kColumns = 32;

SumPlan sum_plan(int64_t batch, int64_t outer, int64_t channels, int64_t inner) {
  SumPlan plan{batch, outer, channels, inner};
  if (inner == 1) plan.across = kColumns;
  const Split split(outer * inner, plan.blocks(), 16 * kBlock / plan.across, kManyBlocks);
  plan.parts = split.parts, plan.each = split.each;
  return plan;
}

// Terms: of(batch entry, channel) is what they need of a channel; add(sums, it, position, outer) adds an element's.

template <class T>
struct Moments {
  const T* x;
  NormShape shape;

  struct Of {
    double pivot;
  };
  // An element of the statistic that channel c of batch entry b belongs to.
  __device__ double pivot(int64_t b, int64_t c) const {
    const int64_t width = shape.channels / shape.groups;
    return static_cast<double>(x[(b * shape.outer * shape.channels + c / width * width) * shape.inner]);
  }
  __device__ Of of(int64_t b, int64_t c) const { return {pivot(b, c)}; }
  __device__ void add(TwoSums& sums, const Of& of, int64_t at, int64_t) const {
    const double d = static_cast<double>(x[at]) - of.pivot;
    sums.first += d, sums.second = std::fma(d, d, sums.second);
  }
};

// g and g (x - mean).
template <class T>
struct Slopes {
  NormBackwardArgs args;

  struct Of {
    NormCoefficients<T> c;
    double mean;
  };
  __device__ Of of(int64_t b, int64_t c) const {
    const int64_t s = b * args.shape.groups + c / (args.shape.channels / args.shape.groups);
    return {forward_coefficients<T>(args.mean[s], args.rstd[s], entry<T>(args.weight, c, 1), entry<T>(args.bias, c, 0)), args.mean[s]};
  }
  __device__ void add(TwoSums& sums, const Of& of, int64_t at, int64_t) const {
    const T x = static_cast<const T*>(args.x)[at];
    const auto g = static_cast<double>(slope_through(of.c, static_cast<const T*>(args.dy)[at], x, args.activation));
    sums.first += g, sums.second = std::fma(g, static_cast<double>(x) - of.mean, sums.second);
  }
};

// Of rows, which are the outer dimension here: g and g z.
template <class T>
struct RowSlopes {
  NormBackwardArgs args;

  struct Of {
    int64_t group;
  };
  __device__ Of of(int64_t, int64_t c) const { return {c / (args.shape.channels / args.shape.groups)}; }
  __device__ void add(TwoSums& sums, const Of& of, int64_t at, int64_t row) const {
    const int64_t s = row * args.shape.groups + of.group;
    const auto g = static_cast<double>(static_cast<const T*>(args.dy)[at]);
    sums.first += g;
    sums.second = std::fma(g, (static_cast<double>(static_cast<const T*>(args.x)[at]) - args.mean[s]) * args.rstd[s], sums.second);
  }
};

template <class Term>
__global__ void __launch_bounds__(kBlock) sum_channels(Term term, SumPlan plan, TwoSums* partial) {
  __shared__ TwoSums room[kBlock];
  const int thread = static_cast<int>(threadIdx.x);
  const bool columns = plan.across > 1;
  const int rank = thread / plan.across, threads = kBlock / plan.across;
  const int64_t tiles = (plan.channels + plan.across - 1) / plan.across;
  for (int64_t block = blockIdx.x; block < plan.blocks(); block += gridDim.x) {
    const int64_t part = block % plan.parts, tile = block / plan.parts % tiles, b = block / plan.parts / tiles;
    const int64_t c = tile * plan.across + thread % plan.across;
    const int64_t begin = part * plan.each, end = std::min(begin + plan.each, plan.outer * plan.inner);
    TwoSums sums;
    if (c < plan.channels) {
      const auto of = term.of(b, c);
      int64_t p = begin + rank, o = p / plan.inner, i = p - o * plan.inner;
      const int64_t outer_step = threads / plan.inner, inner_step = threads - outer_step * plan.inner;
#pragma unroll 4
      for (; p < end; p += threads) {
        term.add(sums, of, ((b * plan.outer + o) * plan.channels + c) * plan.inner + i, o);
        o += outer_step, i += inner_step;
        if (i >= plan.inner) i -= plan.inner, ++o;
      }
    }
    sums = columns ? columns_joined(sums, Plus{}, plan.across, room) : block_joined(sums, Plus{}, room);
    if (rank == 0 && c < plan.channels) partial[(b * plan.channels + c) * plan.parts + part] = sums;
  }
}

// Sums of `count` adjacent pairs by a warp.
__device__ __forceinline__ TwoSums sum_of(const TwoSums* sums, int64_t count) {
  TwoSums total;
  for (int64_t i = threadIdx.x % 32; i < count; i += 32) total = total + sums[i];
  return warp_joined(total, Plus{});
}

// A warp per statistic, whose sums lie side by side. The sums of squares about the mean stay for the running statistics.
template <class T>
__global__ void __launch_bounds__(kBlock)
    finish_statistics(NormArgs args, Moments<T> moments, int64_t parts, const TwoSums* partial, double* squares) {
  const int64_t width = args.shape.channels / args.shape.groups, statistics = args.shape.batch * args.shape.groups;
  const auto n = static_cast<double>(args.shape.outer * width * args.shape.inner);
  for (int64_t s = global_thread() / 32; s < statistics; s += grid_threads() / 32) {
    const TwoSums sums = sum_of(partial + s * width * parts, width * parts);
    if (threadIdx.x % 32 != 0) continue;
    const double off = sums.first / n, about = sums.second - off * sums.first;
    squares[s] = about < 0 ? 0 : about;
    args.mean[s] = moments.pivot(s / args.shape.groups, s % args.shape.groups * width) + off;
    args.rstd[s] = 1 / std::sqrt(squares[s] / n + args.eps);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) take_running(NormArgs args) {
  for (int64_t c = global_thread(); c < args.shape.channels; c += grid_threads()) {
    args.mean[c] = entry<T>(args.running_mean, c, 0);
    args.rstd[c] = 1 / std::sqrt(entry<T>(args.running_var, c, 0) + args.eps);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) update_running(NormArgs args, const double* squares) {
  const auto n = static_cast<double>(args.shape.outer * args.shape.inner), entries = static_cast<double>(args.shape.batch);
  const double factor = args.momentum < 0 ? 1 / static_cast<double>(*args.batches + 1) : args.momentum;
  for (int64_t c = global_thread(); c < args.shape.channels; c += grid_threads()) {
    double mean = 0, square = 0;
    for (int64_t b = 0; b < args.shape.batch; ++b) {
      mean += args.mean[b * args.shape.channels + c];
      square += squares[b * args.shape.channels + c];
    }
    T& to_mean = static_cast<T*>(args.running_mean)[c];
    T& to_var = static_cast<T*>(args.running_var)[c];
    to_mean = static_cast<T>((1 - factor) * static_cast<double>(to_mean) + factor * (mean / entries));
    to_var = static_cast<T>((1 - factor) * static_cast<double>(to_var) + factor * (square / (n - 1) / entries));
  }
}
__global__ void count_batch(int64_t* batches) { ++*batches; }

template <class T>
__global__ void __launch_bounds__(kBlock) find_coefficients(NormArgs args, NormCoefficients<T>* coefficients) {
  const int64_t channels = args.shape.channels, width = channels / args.shape.groups;
  for (int64_t i = global_thread(); i < args.shape.batch * channels; i += grid_threads()) {
    const int64_t c = i % channels, s = i / channels * args.shape.groups + c / width;
    coefficients[i] = forward_coefficients<T>(args.mean[s], args.rstd[s], entry<T>(args.weight, c, 1), entry<T>(args.bias, c, 0));
  }
}

// A warp per batch entry and channel.
__global__ void __launch_bounds__(kBlock) join_parts(int64_t items, int64_t parts, const TwoSums* partial, TwoSums* sums) {
  for (int64_t i = global_thread() / 32; i < items; i += grid_threads() / 32) {
    const TwoSums sum = sum_of(partial + i * parts, parts);
    if (threadIdx.x % 32 == 0) sums[i] = sum;
  }
}

// A warp per statistic.
template <class T>
__global__ void __launch_bounds__(kBlock) find_slopes(NormBackwardArgs args, const TwoSums* sums, NormCoefficients<T>* coefficients) {
  const int64_t width = args.shape.channels / args.shape.groups, statistics = args.shape.batch * args.shape.groups;
  for (int64_t s = global_thread() / 32; s < statistics; s += grid_threads() / 32) {
    const int64_t first = s % args.shape.groups * width;
    TwoSums total;
    for (int64_t i = threadIdx.x % 32; i < width; i += 32) {
      const double weight = entry<T>(args.weight, first + i, 1);
      const TwoSums& sum = sums[s * width + i];
      total = total + TwoSums{weight * sum.first, weight * sum.second};
    }
    total = warp_joined(total, Plus{});
    for (int64_t i = threadIdx.x % 32; i < width; i += 32)
      coefficients[s * width + i] = backward_coefficients<T>(args, args.mean[s], args.rstd[s], total, entry<T>(args.weight, first + i, 1),
                                                             entry<T>(args.bias, first + i, 0));
  }
}

// Over the batch entries of `sums`; `of_z`: the second sum is of z already.
template <class T>
__global__ void __launch_bounds__(kBlock) sum_batch(NormBackwardArgs args, int64_t batch, bool of_z, const TwoSums* sums) {
  const int64_t channels = args.shape.channels, width = channels / args.shape.groups;
  for (int64_t c = global_thread(); c < channels; c += grid_threads()) {
    TwoSums total;
    for (int64_t b = 0; b < batch; ++b) {
      const TwoSums& sum = sums[b * channels + c];
      total = total + TwoSums{sum.first, sum.second * (of_z ? 1.0 : args.rstd[b * args.shape.groups + c / width])};
    }
    if (args.dweight != nullptr) static_cast<T*>(args.dweight)[c] = static_cast<T>(total.second);
    if (args.dbias != nullptr) static_cast<T*>(args.dbias)[c] = static_cast<T>(total.first);
  }
}

// --- The pass over the elements: f(coefficients, position, in...) by packs of adjacent elements ---

struct ElementPlan {
  int64_t outer, channels, inner, count;
  Divider by_inner, by_channels, by_outer;  // where the count is short
  bool is_short;

  explicit ElementPlan(const NormShape& shape)
      : outer(shape.outer), channels(shape.channels), inner(shape.inner), count(shape.elements()), is_short(count <= 0x7fffffff) {
    if (!is_short) return;
    by_inner = Divider(static_cast<uint32_t>(inner));
    by_channels = Divider(static_cast<uint32_t>(channels));
    by_outer = Divider(static_cast<uint32_t>(outer));
  }
  __device__ __forceinline__ int64_t quotient(int64_t n, const Divider& divider, int64_t divisor) const {
    return is_short ? divider.divide(static_cast<uint32_t>(n)) : n / divisor;
  }
};

template <class T, int N, bool backward>
__global__ void __launch_bounds__(kBlock)
    map_elements(ElementPlan plan, Activation activation, const NormCoefficients<T>* coefficients, const T* x, const T* dy, T* out) {
  for (int64_t at = global_thread() * N; at < plan.count; at += grid_threads() * N) {
    const int64_t run = plan.quotient(at, plan.by_inner, plan.inner);  // of inner elements
    const int64_t row = plan.quotient(run, plan.by_channels, plan.channels);
    int64_t i = at - run * plan.inner, c = run - row * plan.channels;
    int64_t b = plan.quotient(row, plan.by_outer, plan.outer), o = row - b * plan.outer;
    const auto in = *reinterpret_cast<const Pack<T, N>*>(x + at);
    Pack<T, N> slopes = in;
    if constexpr (backward) slopes = *reinterpret_cast<const Pack<T, N>*>(dy + at);
    Pack<T, N> result;
    NormCoefficients<T> k = coefficients[b * plan.channels + c];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if constexpr (backward)
        result.v[j] = slope_of_input(k, slopes.v[j], in.v[j], activation);
      else
        result.v[j] = normalised(k, in.v[j], activation);
      if (j + 1 == N || ++i < plan.inner) continue;
      i = 0;
      if (++c == plan.channels) {
        c = 0;
        if (++o == plan.outer) o = 0, ++b;
      }
      k = coefficients[b * plan.channels + c];
    }
    *reinterpret_cast<Pack<T, N>*>(out + at) = result;
  }
}

template <bool backward, class T>
void launch_elements(const NormShape& shape, Activation activation, const NormCoefficients<T>* coefficients, const T* x, const T* dy,
                     T* out, cudaStream_t stream) {
  constexpr int kPack = 16 / sizeof(T);
  const ElementPlan plan(shape);
  const auto aligned = [](const T* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  const bool packs = plan.count % kPack == 0 && aligned(x) && aligned(out) && (dy == nullptr || aligned(dy));
  launch_grid(backward ? "norm_backward" : "norm", packs ? map_elements<T, kPack, backward> : map_elements<T, 1, backward>,
              blocks_for(packs ? plan.count / kPack : plan.count), kBlock, stream, 0, plan, activation, coefficients, x, dy, out);
}

// --- The steps ---

SumPlan sum_plan(const NormShape& shape) { return sum_plan(shape.batch, shape.outer, shape.channels, shape.inner); }
SumPlan row_sum_plan(const NormShape& shape) { return sum_plan(1, shape.batch, shape.channels, 1); }

// The workspace in order: coefficients of each batch entry and channel, then the sums of parts, then what comes of them.
template <class T>
struct Room {
  NormCoefficients<T>* coefficients;
  TwoSums* partial;
  TwoSums* sums;

  Room(void* workspace, const NormShape& shape, const SumPlan& plan)
      : coefficients(static_cast<NormCoefficients<T>*>(workspace)),
        partial(reinterpret_cast<TwoSums*>(coefficients + shape.batch * shape.channels)),
        sums(partial + plan.items() * plan.parts) {}
};

int64_t room_bytes(const NormShape& shape, const SumPlan& plan) {
  return shape.batch * shape.channels * static_cast<int64_t>(sizeof(NormCoefficients<double>)) + plan.bytes() +
         plan.items() * static_cast<int64_t>(sizeof(TwoSums));
}

template <class T>
void forward(const NormArgs& args, cudaStream_t stream) {
  const SumPlan plan = sum_plan(args.shape);
  const Room<T> room(args.workspace, args.shape, plan);
  const auto* const x = static_cast<const T*>(args.x);
  const unsigned channel_blocks = blocks_for(args.shape.channels);
  if (args.statistics == Statistics::Running) {
    launch_grid("norm", take_running<T>, channel_blocks, kBlock, stream, 0, args);
  } else {
    const Moments<T> moments{x, args.shape};
    auto* const squares = reinterpret_cast<double*>(room.sums);
    launch_grid("norm", sum_channels<Moments<T>>, blocks_for(plan.blocks(), 1), kBlock, stream, 0, moments, plan, room.partial);
    launch_grid("norm", finish_statistics<T>, blocks_for(args.shape.statistics() * 32), kBlock, stream, 0, args, moments, plan.parts,
                room.partial, squares);
    if (args.updates()) launch_grid("norm", update_running<T>, channel_blocks, kBlock, stream, 0, args, squares);
    if (args.updates() && args.batches != nullptr) launch_grid("norm", count_batch, 1, 1, stream, 0, args.batches);
  }
  launch_grid("norm", find_coefficients<T>, blocks_for(args.shape.batch * args.shape.channels), kBlock, stream, 0, args, room.coefficients);
  launch_elements<false, T>(args.shape, args.activation, room.coefficients, x, nullptr, static_cast<T*>(args.y), stream);
}

template <class T>
void parameter_slopes(const NormBackwardArgs& args, int64_t batch, bool of_z, const TwoSums* sums, cudaStream_t stream) {
  if (args.dweight == nullptr && args.dbias == nullptr) return;
  launch_grid("norm_backward", sum_batch<T>, blocks_for(args.shape.channels), kBlock, stream, 0, args, batch, of_z, sums);
}

template <class Term>
void launch_sums(const Term& term, const SumPlan& plan, TwoSums* partial, TwoSums* sums, cudaStream_t stream) {
  launch_grid("norm_backward", sum_channels<Term>, blocks_for(plan.blocks(), 1), kBlock, stream, 0, term, plan, partial);
  launch_grid("norm_backward", join_parts, blocks_for(plan.items() * 32), kBlock, stream, 0, plan.items(), plan.parts, partial, sums);
}

template <class T>
void backward_of_rows(const NormBackwardArgs& args, cudaStream_t stream) {
  if (args.dx != nullptr) norm_rows_backward(args, stream);
  if (args.dweight == nullptr && args.dbias == nullptr) return;
  const SumPlan plan = row_sum_plan(args.shape);
  const Room<T> room(args.workspace, args.shape, plan);
  launch_sums(RowSlopes<T>{args}, plan, room.partial, room.sums, stream);
  parameter_slopes<T>(args, 1, true, room.sums, stream);
}

template <class T>
void backward(const NormBackwardArgs& args, cudaStream_t stream) {
  const SumPlan plan = sum_plan(args.shape);
  const Room<T> room(args.workspace, args.shape, plan);
  launch_sums(Slopes<T>{args}, plan, room.partial, room.sums, stream);
  parameter_slopes<T>(args, args.shape.batch, false, room.sums, stream);
  if (args.dx == nullptr) return;
  launch_grid("norm_backward", find_slopes<T>, blocks_for(args.shape.statistics() * 32), kBlock, stream, 0, args, room.sums,
              room.coefficients);
  launch_elements<true, T>(args.shape, args.activation, room.coefficients, static_cast<const T*>(args.x), static_cast<const T*>(args.dy),
                           static_cast<T*>(args.dx), stream);
}

}  // namespace

void norm(const NormArgs& args, cudaStream_t stream) {
  if (has_norm_rows(args)) return norm_rows(args, stream);
  args.dtype == DType::Float64 ? forward<double>(args, stream) : forward<float>(args, stream);
}
int64_t norm_workspace(const NormArgs& args) { return has_norm_rows(args) ? 0 : room_bytes(args.shape, sum_plan(args.shape)); }

void norm_backward(const NormBackwardArgs& args, cudaStream_t stream) {
  if (has_norm_rows(args))
    return args.dtype == DType::Float64 ? backward_of_rows<double>(args, stream) : backward_of_rows<float>(args, stream);
  args.dtype == DType::Float64 ? backward<double>(args, stream) : backward<float>(args, stream);
}
int64_t norm_backward_workspace(const NormBackwardArgs& args) {
  return room_bytes(args.shape, has_norm_rows(args) ? row_sum_plan(args.shape) : sum_plan(args.shape));
}

}  // namespace dnncore::cuda
