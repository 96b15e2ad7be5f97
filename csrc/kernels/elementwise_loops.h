// The loop nest of the elementwise families. Bodies ("rows") see adjacent elements only: a strided operand is packed into a block of the
// thread's scratch memory, a repeated one is filled into it (or handed over as it is, where the row says it takes scalars), halves are
// converted there. So an op is compiled once per arithmetic type, whatever the layout.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/simd.h"

namespace dnncore::DNNCORE_ISA {

enum RowFlags : int { kStream = 1, kScalar0 = 2 };  // kScalar0 << i: input i is one element, repeated

// out[i] = op(in[0][i], ...), i in [0, n); after its inputs a row finds the parameters of the call.
using Row = void (*)(const std::byte* const* in, std::byte* out, int64_t n, int flags);

inline constexpr int64_t kBlock = 1024;            // elements packed at a time: 4 KB of float32 per operand stays in L1
inline constexpr int64_t kChunk = 16384;           // elements per task: the dearest op takes 50 us
inline constexpr int64_t kLongRow = 64;            // from here on a row is served in place, below it packing wins
inline constexpr int64_t kStreamBytes = 16 << 20;  // outputs from here on go past the caches

// Whole rows of n elements: a task of about a chunk.
inline int64_t rows_per_task(int64_t n) { return std::max<int64_t>(1, kChunk / std::max<int64_t>(n, 1)); }

// Calls fn(i, lanes) for the vectors of n adjacent elements; lanes is N, or what is left.
template <class T, class Fn>
DNN_INLINE void for_vectors(int64_t n, Fn&& fn) {
  constexpr int64_t N = Vec<T>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) fn(i, N);
  if (i < n) fn(i, n - i);
}
template <class T>
DNN_INLINE Vec<T> load_lanes(const T* p, int64_t lanes) {
  return lanes >= Vec<T>::N ? Vec<T>::load(p) : Vec<T>::load(p, lanes);
}
template <class T>
DNN_INLINE void store_lanes(Vec<T> v, T* p, int64_t lanes) {
  lanes >= Vec<T>::N ? v.store(p) : v.store(p, lanes);
}

// Calls fn(offsets, count) for every run along the last dimension inside the flattened range [begin, end); offsets in elements.
template <int K, class Fn>
void for_each_run(const Shape& shape, const Strides* const (&strides)[K], int64_t begin, int64_t end, Fn&& fn) {
  if (begin >= end) return;
  const int last = shape.n - 1;
  int64_t index[kMaxDims];
  int64_t offset[K] = {};
  for (int64_t rest = begin, d = last; d >= 0; --d) {
    index[d] = rest % shape[d];
    rest /= shape[d];
    for (int k = 0; k < K; ++k) offset[k] += index[d] * (*strides[k])[d];
  }
  const int64_t row = shape[last];
  int64_t step[K] = {};  // from row to row
  if (last > 0)
    for (int k = 0; k < K; ++k) step[k] = (*strides[k])[last - 1];
  while (begin < end) {
    int d = last;
    const int64_t rows = last > 0 && index[last] == 0 ? std::min(shape[last - 1] - index[last - 1], (end - begin) / row) : 0;
    if (rows > 0) {
      for (int64_t r = 0; r < rows; ++r) {
        fn(offset, row);
        for (int k = 0; k < K; ++k) offset[k] += step[k];
      }
      begin += rows * row;
      index[--d] += rows;
    } else {
      const int64_t count = std::min(row - index[last], end - begin);
      fn(offset, count);
      begin += count;
      index[last] += count;
      for (int k = 0; k < K; ++k) offset[k] += count * (*strides[k])[last];
    }
    for (; d > 0 && index[d] == shape[d]; --d) {
      for (int k = 0; k < K; ++k) offset[k] += (*strides[k])[d - 1] - shape[d] * (*strides[k])[d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

// block[0 .. end - begin) = elements [begin, end) of the strided x.
template <class U>
void pack_runs(const U* x, const Shape& shape, const Strides& strides, int64_t begin, int64_t end, U* out) {
  const int64_t step = strides.back();
  for_each_run<1>(shape, {&strides}, begin, end, [&](const int64_t* offset, int64_t count) {
    const U* in = x + offset[0];
    if (step == 0)
      std::fill_n(out, count, *in);
    else if (step == 1)
      for (int64_t i = 0; i < count; ++i) out[i] = in[i];
    else
      for (int64_t i = 0; i < count; ++i) out[i] = in[i * step];
    out += count;
  });
}

// The same where a row is read many times, such as one value per channel for all pixels: once, then doubled.
template <class U>
void pack_repeated(const U* x, const Shape& shape, const Strides& strides, int64_t begin, int64_t end, U* out) {
  const int64_t row = shape.back(), group = row * shape[shape.n - 2];
  while (begin < end) {
    const int64_t count = std::min(end, (begin / group + 1) * group) - begin;
    int64_t done = std::min(count, row);
    pack_runs(x, shape, strides, begin, begin + done, out);
    for (int64_t n; done < count; done += n) {
      n = std::min(done, count - done);
      std::memcpy(out + done, out, static_cast<size_t>(n) * sizeof(U));
    }
    begin += count;
    out += count;
  }
}

__attribute__((noinline)) inline void pack(const std::byte* x, int size, const Shape& shape, const Strides& strides, int64_t begin,
                                           int64_t end, std::byte* block) {
  const bool repeated = shape.n > 1 && strides[shape.n - 2] == 0;
  visit_size(size, [&](auto tag) {
    using U = decltype(tag);
    (repeated ? pack_repeated<U> : pack_runs<U>)(reinterpret_cast<const U*>(x), shape, strides, begin, end, reinterpret_cast<U*>(block));
  });
}

__attribute__((noinline)) inline void unpack(const std::byte* block, int size, const Shape& shape, const Strides& strides, int64_t begin,
                                             int64_t end, std::byte* y) {
  visit_size(size, [&](auto tag) {
    using U = decltype(tag);
    const int64_t step = strides.back();
    const U* in = reinterpret_cast<const U*>(block);
    for_each_run<1>(shape, {&strides}, begin, end, [&](const int64_t* offset, int64_t count) {
      U* out = reinterpret_cast<U*>(y) + offset[0];
      for (int64_t i = 0; i < count; ++i) out[i * step] = in[i];
      in += count;
    });
  });
}

__attribute__((noinline)) inline void fill_block(const std::byte* x, int size, int64_t count, std::byte* block) {
  visit_size(size,
             [&](auto tag) { std::fill_n(reinterpret_cast<decltype(tag)*>(block), count, *reinterpret_cast<const decltype(tag)*>(x)); });
}

// K inputs of `in_dtype` and an output; the rows of the halves are float32's.
template <int K>
struct Elementwise {
  const std::byte* in[K];
  std::byte* out;
  const Shape& shape;
  const Strides* in_strides[K];
  const Strides& out_strides;
  DType in_dtype[K];
  DType out_dtype;
  Row row;
  bool takes_scalars = false;
  bool converts_halves = true;  // false: they are moved as they are
  const void* parameters = nullptr;
};

__attribute__((noinline)) inline void half_to_float(DType dtype, const std::byte* x, float* y, int64_t n) {
  if (dtype == DType::BFloat16)
    halves_to_float(reinterpret_cast<const bfloat16*>(x), y, n);
  else
    halves_to_float(reinterpret_cast<const float16*>(x), y, n);
}
__attribute__((noinline)) inline void float_to_half(DType dtype, const float* x, std::byte* y, int64_t n) {
  if (dtype == DType::BFloat16)
    float_to_halves(x, reinterpret_cast<bfloat16*>(y), n);
  else
    float_to_halves(x, reinterpret_cast<float16*>(y), n);
}

// `count` elements whose operands are adjacent or repeated: at once if the row takes them so, else block by block.
template <int K>
void run_row(const Elementwise<K>& e, const std::byte* const (&in)[K], const bool (&scalar)[K], std::byte* out, int64_t count, int stream,
             std::byte* scratch) {
  const std::byte* from[K + 1];
  from[K] = static_cast<const std::byte*>(e.parameters);
  std::byte* block[K];
  const auto converted = [&](DType dtype) { return e.converts_halves && is_half(dtype); };
  bool blocked = converted(e.out_dtype);
  int flags = stream;
  for (int k = 0; k < K; ++k) {
    from[k] = in[k];
    block[k] = scratch + k * kBlock * 8;
    const bool half = converted(e.in_dtype[k]);
    blocked |= half && !scalar[k];
    if (!scalar[k]) continue;
    if (half) half_to_float(e.in_dtype[k], in[k], reinterpret_cast<float*>(block[k]), 1);
    const std::byte* value = half ? block[k] : in[k];
    const int size = half ? 4 : static_cast<int>(itemsize(e.in_dtype[k]));
    if (e.takes_scalars) {
      flags |= kScalar0 << k;
      from[k] = value;
    } else {
      blocked = true;
      fill_block(value, size, std::min(count, kBlock), block[k]);
      from[k] = block[k];
    }
  }
  if (!blocked) return e.row(from, out, count, flags);

  const int64_t out_size = static_cast<int64_t>(itemsize(e.out_dtype));
  float* result = reinterpret_cast<float*>(scratch + K * kBlock * 8);
  for (int64_t i = 0; i < count; i += kBlock) {
    const int64_t n = std::min(kBlock, count - i);
    for (int k = 0; k < K; ++k) {
      if (scalar[k]) continue;
      const std::byte* p = in[k] + i * static_cast<int64_t>(itemsize(e.in_dtype[k]));
      from[k] = p;
      if (!converted(e.in_dtype[k])) continue;
      half_to_float(e.in_dtype[k], p, reinterpret_cast<float*>(block[k]), n);
      from[k] = block[k];
    }
    if (!converted(e.out_dtype)) {
      e.row(from, out + i * out_size, n, flags);
      continue;
    }
    e.row(from, reinterpret_cast<std::byte*>(result), n, flags & ~kStream);
    float_to_half(e.out_dtype, result, out + i * out_size, n);
  }
}

template <int K>
void run_elementwise(const Elementwise<K>& e, const Tasks& tasks) {
  const int64_t total = numel(e.shape);
  const int64_t begin = tasks.begin * kChunk, end = std::min(tasks.end * kChunk, total);
  if (begin >= end) return;
  const int64_t out_size = static_cast<int64_t>(itemsize(e.out_dtype));
  int64_t in_size[K];
  Layout layout[K];
  bool scalar[K];
  const Strides* strides[K + 1];
  const int last = e.shape.n - 1;
  bool flat = layout_of(e.shape, e.out_strides) == Layout::Adjacent;
  const bool out_flat = flat;
  bool rows = last >= 0 && e.shape[last] >= kLongRow && e.out_strides[last] == 1;
  bool in_place = false;
  for (int k = 0; k < K; ++k) {
    strides[k] = e.in_strides[k];
    in_size[k] = static_cast<int64_t>(itemsize(e.in_dtype[k]));
    layout[k] = layout_of(e.shape, *strides[k]);
    flat &= layout[k] != Layout::Strided;
    rows = rows && (*strides[k])[last] <= 1;
    in_place |= e.in[k] == e.out;
  }
  strides[K] = &e.out_strides;
  // The lines of an output that is an input are in the cache already.
  const int stream = !in_place && !tasks.reread && total * out_size >= kStreamBytes ? kStream : 0;
  const std::byte* in[K];

  if (flat) {
    for (int k = 0; k < K; ++k) {
      scalar[k] = layout[k] == Layout::Scalar;
      in[k] = e.in[k] + (scalar[k] ? 0 : begin * in_size[k]);
    }
    run_row<K>(e, in, scalar, e.out + begin * out_size, end - begin, stream, tasks.scratch);
  } else if (rows) {
    for (int k = 0; k < K; ++k) scalar[k] = (*strides[k])[last] == 0;
    for_each_run<K + 1>(e.shape, strides, begin, end, [&](const int64_t* offset, int64_t count) {
      for (int k = 0; k < K; ++k) in[k] = e.in[k] + offset[k] * in_size[k];
      run_row<K>(e, in, scalar, e.out + offset[K] * out_size, count, stream, tasks.scratch);
    });
  } else {
    std::byte* const packed = tasks.scratch + (K + 1) * kBlock * 8;
    std::byte* const result = packed + K * kBlock * 8;
    for (int64_t i = begin; i < end; i += kBlock) {
      const int64_t n = std::min(kBlock, end - i);
      for (int k = 0; k < K; ++k) {
        scalar[k] = layout[k] == Layout::Scalar;
        in[k] = e.in[k] + (scalar[k] ? 0 : i * in_size[k]);
        if (layout[k] != Layout::Strided) continue;
        in[k] = packed + k * kBlock * 8;
        pack(e.in[k], static_cast<int>(in_size[k]), e.shape, *strides[k], i, i + n, packed + k * kBlock * 8);
      }
      run_row<K>(e, in, scalar, out_flat ? e.out + i * out_size : result, n, out_flat ? stream : 0, tasks.scratch);
      if (!out_flat) unpack(result, static_cast<int>(out_size), e.shape, e.out_strides, i, i + n, e.out);
    }
  }
  if (stream) stream_fence();
}

// Bytes by which streams are prefetched: the hardware stops at every page. On Zen 4 one core moves 5 to 10 % more; 512 gave 2, 8192 as
// much.
inline constexpr int64_t kAhead = 2048;

// The vector loop of a float row: f on every vector of adjacent inputs or repeated values, loads and stores within [0, n) only.
// Long bodies are compiled for adjacent operands only (kScalars false).
template <class T, int K, bool kScalars = true, class F>
DNN_INLINE void map_vectors(const std::byte* const* in, std::byte* out, int64_t n, int flags, F&& f) {
  constexpr int64_t N = Vec<T>::N;
  T* y = reinterpret_cast<T*>(out);
  const T* x[K];
  for (int k = 0; k < K; ++k) x[k] = reinterpret_cast<const T*>(in[k]);
  const auto loop = [&](auto... scalar) __attribute__((always_inline)) {
    constexpr bool kRepeated[] = {decltype(scalar)::value...};
    Vec<T> repeated[K];
    for (int k = 0; k < K; ++k) repeated[k] = kRepeated[k] ? Vec<T>::set(*x[k]) : Vec<T>::zero();
    const auto at = [&](int k, int64_t i) __attribute__((always_inline)) { return kRepeated[k] ? repeated[k] : Vec<T>::load(x[k] + i); };
    const auto part = [&](int64_t i, int64_t count) __attribute__((always_inline)) {
      const auto head = [&](int k) __attribute__((always_inline)) { return kRepeated[k] ? repeated[k] : Vec<T>::load(x[k] + i, count); };
      if constexpr (K == 1)
        f(head(0)).store(y + i, count);
      else
        f(head(0), head(1)).store(y + i, count);
    };
    const auto whole = [&](int64_t i) __attribute__((always_inline)) {
      if constexpr (K == 1)
        return f(at(0, i));
      else
        return f(at(0, i), at(1, i));
    };
    int64_t i = 0;
    if (flags & kStream) {
      i = std::min<int64_t>(n, (-reinterpret_cast<uintptr_t>(y) % kVecBytes) / sizeof(T));
      if (i > 0) part(0, i);
      for (; i + N <= n; i += N) {
        for (int k = 0; k < K; ++k)
          if (!kRepeated[k]) __builtin_prefetch(reinterpret_cast<const char*>(x[k] + i) + kAhead);
        whole(i).stream(y + i);
      }
    }
    for (; i + N <= n; i += N) whole(i).store(y + i);
    if (i < n) part(i, n - i);
  };
  if constexpr (K == 1) {
    loop(std::false_type{});
  } else if constexpr (!kScalars) {
    loop(std::false_type{}, std::false_type{});
  } else {
    const int scalars = flags & (3 * kScalar0);
    if (scalars == 0)
      loop(std::false_type{}, std::false_type{});
    else if (scalars == kScalar0)
      loop(std::true_type{}, std::false_type{});
    else if (scalars == 2 * kScalar0)
      loop(std::false_type{}, std::true_type{});
    else
      loop(std::true_type{}, std::true_type{});
  }
}

inline Schedule elementwise_schedule(const Shape& shape, double nanoseconds_per_element) {
  const int64_t n = numel(shape);
  Schedule schedule;
  schedule.tasks[0] = (n + kChunk - 1) / kChunk;
  schedule.nanoseconds = static_cast<double>(n) * nanoseconds_per_element;
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
