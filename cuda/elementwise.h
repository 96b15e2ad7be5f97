// Elementwise loops over operands of one shape, as kernels/elementwise.h has them: dense ones 16 bytes at a time, others by positions
// taken apart dimension by dimension.
#pragma once

#include "core/shape.h"
#include "numbers.h"

namespace dnncore::cuda {

// Division by a constant (Granlund and Montgomery, 1994), of numbers below 2^31.
struct Divider {
  uint32_t divisor = 1, magic = 0, shift = 0;

  Divider() = default;
  explicit Divider(uint32_t d) : divisor(d) {
    while ((uint64_t{1} << shift) < d) ++shift;
    magic = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift) - d)) / d + 1);
  }
  __device__ __forceinline__ uint32_t divide(uint32_t n) const { return (__umulhi(n, magic) + n) >> shift; }
};

enum class WalkOrder : bool { Memory, Positions };

// Where K operands are, over joined dimensions in the order of the first operand's memory, or as they stand.
template <int K>
struct Walk {
  int64_t count;
  int dims;
  Divider dividers[kMaxDims];
  int64_t sizes[kMaxDims], strides[K][kMaxDims];

  Walk(const Shape& shape, const Strides* const (&operands)[K], WalkOrder order = WalkOrder::Memory) : count(numel(shape)) {
    Shape joined = shape;
    Strides copies[K], *pointers[K];
    for (int k = 0; k < K; ++k) copies[k] = *operands[k], pointers[k] = &copies[k];
    (order == WalkOrder::Memory ? coalesce : join_dimensions)(joined, pointers, K);
    dims = joined.n;
    for (int d = 0; d < dims; ++d) {
      if (is_short() && count > 0) dividers[d] = Divider(static_cast<uint32_t>(joined[d]));
      sizes[d] = joined[d];
      for (int k = 0; k < K; ++k) strides[k][d] = copies[k][d];
    }
  }
  __host__ __device__ bool is_short() const { return count <= 0x7fffffff; }

  __device__ __forceinline__ void offsets(int64_t position, int64_t (&at)[K]) const {
    for (int k = 0; k < K; ++k) at[k] = 0;
#pragma unroll 1
    for (int d = dims - 1; d >= 0; --d) {
      const int64_t rest = d == 0 ? 0 : is_short() ? dividers[d].divide(static_cast<uint32_t>(position)) : position / sizes[d];
      const int64_t index = position - rest * sizes[d];
      for (int k = 0; k < K; ++k) at[k] += index * strides[k][d];
      position = rest;
    }
  }
};

// An input of a loop, and its strides.
template <class T>
struct Input {
  const T* data;
  const Strides* strides;
};
template <class T>
Input<T> input(const void* data, const Strides& strides) {
  return {static_cast<const T*>(data), &strides};
}

namespace detail {

template <class T>
struct DenseInput {
  const T* data;
  bool repeated;  // one element

  template <int N>
  __device__ __forceinline__ Pack<T, N> load(int64_t i) const {
    if (!repeated) return *reinterpret_cast<const Pack<T, N>*>(data + i);
    Pack<T, N> pack;
    for (int j = 0; j < N; ++j) pack.v[j] = *data;
    return pack;
  }
};

template <int N, class F, class Out, class... In>
__device__ __forceinline__ void map_packs(const F& f, Out* y, int64_t i, const Pack<In, N>&... in) {
  Pack<Out, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.v[j] = f(in.v[j]...);
  *reinterpret_cast<Pack<Out, N>*>(y + i) = out;
}

// Each thread has N adjacent elements; the last of all, fewer.
template <int N, class F, class Out, class... In>
__global__ void __launch_bounds__(kBlock) map_dense(F f, Out* y, int64_t n, DenseInput<In>... in) {
  for (int64_t i = global_thread() * N; i < n; i += grid_threads() * N) {
    if (i + N <= n)
      map_packs<N>(f, y, i, in.template load<N>(i)...);
    else
      for (int64_t j = i; j < n; ++j) map_packs<1>(f, y, j, in.template load<1>(j)...);
  }
}

template <int K, size_t... I, class F, class Out, class... In>
__device__ __forceinline__ void map_at(const F& f, const Walk<K>& walk, int64_t position, std::index_sequence<I...>, Out* y,
                                       const In*... in) {
  int64_t at[K];
  walk.offsets(position, at);
  y[at[0]] = f(in[at[I + 1]]...);
}

template <class F, class Out, class... In>
__global__ void __launch_bounds__(kBlock) map_strided(F f, Walk<1 + sizeof...(In)> walk, Out* y, const In*... in) {
  for (int64_t i = global_thread(); i < walk.count; i += grid_threads()) map_at(f, walk, i, std::index_sequence_for<In...>{}, y, in...);
}

template <class T>
bool is_aligned(const T* p, int count) {
  return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * static_cast<size_t>(count)) == 0;
}

}  // namespace detail

// y = f(in...) element by element. Dense and aligned operands are read 16 bytes at a time by `dense`, all others one by one by `strided`:
// the same function in a form that may serve several, since a kernel for each function and layout would be most of the library.
template <class Dense, class Strided, class Out, class... In>
void map(const char* what, cudaStream_t stream, const Dense& dense, const Strided& strided, const Shape& shape, Out* y,
         const Strides& y_strides, const Input<In>&... in) {
  const int64_t n = numel(shape);
  if (n == 0) return;
  constexpr int kPack = static_cast<int>(16 / std::max({sizeof(Out), sizeof(In)...}));
  [[maybe_unused]] const auto repeated = [&](const Strides& strides) { return n > 1 && layout_of(shape, strides) == Layout::Scalar; };
  [[maybe_unused]] const auto fits = [&](const auto& from) {
    return repeated(*from.strides) || (layout_of(shape, *from.strides) == Layout::Adjacent && detail::is_aligned(from.data, kPack));
  };
  if (layout_of(shape, y_strides) == Layout::Adjacent && detail::is_aligned(y, kPack) && (fits(in) && ...))
    return launch_grid(what, detail::map_dense<kPack, Dense, Out, In...>, blocks_for((n + kPack - 1) / kPack), kBlock, stream, 0, dense, y,
                       n, detail::DenseInput<In>{in.data, repeated(*in.strides)}...);
  const Walk<1 + sizeof...(In)> walk(shape, {&y_strides, in.strides...});
  launch_grid(what, detail::map_strided<Strided, Out, In...>, blocks_for(n), kBlock, stream, 0, strided, walk, y, in.data...);
}
template <class F, class Out, class... In>
void map(const char* what, cudaStream_t stream, const F& f, const Shape& shape, Out* y, const Strides& y_strides, const Input<In>&... in) {
  map(what, stream, f, f, shape, y, y_strides, in...);
}

}  // namespace dnncore::cuda
