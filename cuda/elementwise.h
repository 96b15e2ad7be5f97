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

// Adjacent elements [i, i + N); past the end of n, zeros.
template <class T>
struct DenseInput {
  const T* data;
  bool repeated;  // one element

  template <int N>
  __device__ __forceinline__ Pack<T, N> load(int64_t i, int64_t n) const {
    if (!repeated && i + N <= n) return *reinterpret_cast<const Pack<T, N>*>(data + i);
    Pack<T, N> pack{};
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (repeated || i + j < n) pack.v[j] = data[repeated ? 0 : i + j];
    return pack;
  }
};

template <int N, class T>
__device__ __forceinline__ void store(const Pack<T, N>& pack, T* y, int64_t i, int64_t n) {
  if (i + N <= n) {
    *reinterpret_cast<Pack<T, N>*>(y + i) = pack;
    return;
  }
#pragma unroll
  for (int j = 0; j + 1 < N; ++j)
    if (i + j < n) y[i + j] = pack.v[j];
}

template <int N, class F, class Out, class... In>
__device__ __forceinline__ void map_packs(const F& f, Out* y, int64_t i, int64_t n, const Pack<In, N>&... in) {
  Pack<Out, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.v[j] = f(in.v[j]...);
  store(out, y, i, n);
}

// Each thread has N adjacent elements.
template <int N, class F, class Out, class... In>
__global__ void __launch_bounds__(kBlock) map_dense(F f, Out* y, int64_t n, DenseInput<In>... in) {
  for (int64_t i = global_thread() * N; i < n; i += grid_threads() * N) map_packs<N>(f, y, i, n, in.template load<N>(i, n)...);
}

template <class T, int N>
__device__ __forceinline__ void move_up(Pack<T, N>& pack) {
#pragma unroll
  for (int j = 0; j + 1 < N; ++j) pack.v[j] = pack.v[j + 1];
}

// One element after the other, by one body of code; the result of `count` elements is the last `count` of those returned.
template <class Out, int N, class F, class... In>
__device__ __forceinline__ Pack<Out, N> map_in_turn(const F& f, int count, Pack<In, N>... in) {
  Pack<Out, N> out{};
#pragma unroll 1
  for (int j = 0; j < count; ++j) {
    const Out next = f(in.v[0]...);
    (move_up(in), ...);
    move_up(out);
    out.v[N - 1] = next;
  }
  return out;
}

template <class T, int N>
__device__ __forceinline__ Pack<T, N> first(T x) {
  Pack<T, N> pack{};
  pack.v[0] = x;
  return pack;
}
template <int N, size_t... I, class F, class Out, class... In>
__device__ __forceinline__ void map_at(const F& f, const Walk<1 + sizeof...(In)>& walk, bool dense, int64_t i, std::index_sequence<I...>,
                                       Out* y, const DenseInput<In>&... in) {
  int64_t at[1 + sizeof...(In)] = {};
  if (!dense) walk.offsets(i, at);
  const auto out =
      map_in_turn<Out, N>(f, dense ? N : 1, (dense ? in.template load<N>(i, walk.count) : first<In, N>(in.data[at[I + 1]]))...);
  if (dense)
    store(out, y, i, walk.count);
  else
    y[at[0]] = out.v[N - 1];
}

// Both layouts with one body of f.
template <int N, class F, class Out, class... In>
__global__ void __launch_bounds__(kBlock) map_any(F f, Walk<1 + sizeof...(In)> walk, bool dense, Out* y, DenseInput<In>... in) {
  const int step = dense ? N : 1;
  for (int64_t i = global_thread() * step; i < walk.count; i += grid_threads() * step)
    map_at<N>(f, walk, dense, i, std::index_sequence_for<In...>{}, y, in...);
}

template <class T>
bool is_aligned(const T* p, int count) {
  return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * static_cast<size_t>(count)) == 0;
}
// Whether all operands are adjacent and aligned to packs of N, in whatever order of dimensions, or one repeated element.
template <int N, class Out, class... In>
bool is_dense(const Walk<1 + sizeof...(In)>& walk, const Out* y, const Input<In>&... in) {
  if (walk.count <= 1) return true;
  int k = 0;
  [[maybe_unused]] const auto fits = [&](const auto& from) {
    ++k;
    return walk.strides[k][0] == 0 || (walk.strides[k][0] == 1 && is_aligned(from.data, N));
  };
  return walk.dims == 1 && walk.strides[0][0] == 1 && is_aligned(y, N) && (fits(in) && ...);
}
template <class In>
DenseInput<In> dense_input(const Shape& shape, const Input<In>& in) {
  return {in.data, layout_of(shape, *in.strides) == Layout::Scalar};
}
template <class... T>
inline constexpr int kPack = static_cast<int>(16 / std::max({sizeof(T)...}));

}  // namespace detail

// y = f(in...) element by element, whatever the layouts: for functions that choose what they do at run time.
template <class F, class Out, class... In>
void map_any(const char* what, cudaStream_t stream, const F& f, const Shape& shape, Out* y, const Strides& y_strides,
             const Input<In>&... in) {
  constexpr int kPack = std::min(detail::kPack<Out, In...>, 8);
  const Walk<1 + sizeof...(In)> walk(shape, {&y_strides, in.strides...});
  if (walk.count == 0) return;
  const bool dense = detail::is_dense<kPack>(walk, y, in...);
  launch_grid(what, detail::map_any<kPack, F, Out, In...>, blocks_for(dense ? (walk.count + kPack - 1) / kPack : walk.count), kBlock,
              stream, 0, f, walk, dense, y, detail::dense_input(shape, in)...);
}

// The same where the function is worth a kernel of its own for dense and aligned operands, which are read 16 bytes at a time; `any` is the
// function in a form that may serve several, since a kernel for each function and layout would be most of the library.
template <class Dense, class Any, class Out, class... In>
void map(const char* what, cudaStream_t stream, const Dense& dense, const Any& any, const Shape& shape, Out* y, const Strides& y_strides,
         const Input<In>&... in) {
  constexpr int kPack = detail::kPack<Out, In...>;
  const Walk<1 + sizeof...(In)> walk(shape, {&y_strides, in.strides...});
  if (walk.count == 0) return;
  if (!detail::is_dense<kPack>(walk, y, in...)) return map_any(what, stream, any, shape, y, y_strides, in...);
  launch_grid(what, detail::map_dense<kPack, Dense, Out, In...>, blocks_for((walk.count + kPack - 1) / kPack), kBlock, stream, 0, dense, y,
              walk.count, detail::dense_input(shape, in)...);
}
template <class F, class Out, class... In>
void map(const char* what, cudaStream_t stream, const F& f, const Shape& shape, Out* y, const Strides& y_strides, const Input<In>&... in) {
  map(what, stream, f, f, shape, y, y_strides, in...);
}

}  // namespace dnncore::cuda
