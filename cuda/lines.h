// Lines of n elements, `step` apart, each of them a group of threads': kept in registers where they are short enough, so that memory is
// read once, else read again at every pass.
#pragma once

#include "reduce.h"

namespace dnncore::cuda {

// Neighbouring lanes of a warp; all threads of a block; a column of 8 threads, 32 apart, of a block of 256. The first two are for lines of
// adjacent elements, which they take 16 bytes at a time.
template <int width_>
struct Lanes {
  static constexpr int kThreads = kBlock, kWidth = width_, kLines = kThreads / kWidth;
  static constexpr bool kAdjacent = true;
  static __device__ int rank() { return static_cast<int>(threadIdx.x) % kWidth; }
  static __device__ int line() { return static_cast<int>(threadIdx.x) / kWidth; }
  template <class T, class Join>
  static __device__ T joined(T x, const Join& join) {
    return warp_joined(x, join, kWidth);
  }
};
template <int threads_>
struct WholeBlock {
  static constexpr int kThreads = threads_, kWidth = kThreads, kLines = 1;
  static constexpr bool kAdjacent = true;
  static __device__ int rank() { return static_cast<int>(threadIdx.x); }
  static __device__ int line() { return 0; }
  template <class T, class Join>
  static __device__ T joined(T x, const Join& join) {
    __shared__ T room[32];
    return block_joined(x, join, room);
  }
};
struct Columns {
  static constexpr int kThreads = kBlock, kLines = 32, kWidth = kThreads / kLines;
  static constexpr bool kAdjacent = false;
  static __device__ int rank() { return static_cast<int>(threadIdx.x) / kLines; }
  static __device__ int line() { return static_cast<int>(threadIdx.x) % kLines; }
  template <class T, class Join>
  static __device__ T joined(T x, const Join& join) {
    __shared__ T room[kThreads];
    return columns_joined(x, join, kLines, room);
  }
};

// What one thread has of a line, V neighbours at a time; `kept` elements at most, 0: it reads them at every pass. Which elements a thread
// has follows from the shape alone, whether memory is aligned or not.
template <class Group, class T, int kept>
class Line {
  static constexpr int V = Group::kAdjacent ? std::min<int>(kept > 0 ? kept : 16, 16 / sizeof(T)) : 1;
  static constexpr int kSteps = kept > 0 ? kept / V : 1;
  using Values = Pack<T, V>;

 public:
  __device__ __forceinline__ Line(const T* x, int64_t n, int64_t step) : x_(x), n_(n), step_(step) {
    if constexpr (kept > 0) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) values_[i] = load(x, position(i));
    }
  }
  // f(element, its position)
  template <class F>
  __device__ __forceinline__ void each(const F& f) {
    visit([&](const Values& x, int64_t j) {
#pragma unroll
      for (int v = 0; v < V; ++v)
        if (j + v < n_) f(x.v[v], j + v);
    });
  }
  template <class F>
  __device__ __forceinline__ void each_with(const Line& other, const F& f) {
    visit_with(other, [&](const Values& x, const Values& z, int64_t j) {
#pragma unroll
      for (int v = 0; v < V; ++v)
        if (j + v < n_) f(x.v[v], z.v[v], j + v);
    });
  }
  // y = f(element, its position, what `beside` has there...): each a line as this one, or null, which gives zeros.
  template <class F, class... Beside>
  __device__ __forceinline__ void write(T* y, const F& f, const Beside*... beside) {
    visit([&](const Values& x, int64_t j) {
      store(
          y, j, [&](int v, const auto&... values) { return f(x.v[v], j + v, values.v[v]...); }, load(beside, j)...);
    });
  }
  template <class F, class... Beside>
  __device__ __forceinline__ void write_with(const Line& other, T* y, const F& f, const Beside*... beside) {
    visit_with(other, [&](const Values& x, const Values& z, int64_t j) {
      store(
          y, j, [&](int v, const auto&... values) { return f(x.v[v], z.v[v], j + v, values.v[v]...); }, load(beside, j)...);
    });
  }

 private:
  static __device__ __forceinline__ int64_t position(int i) { return (Group::rank() + int64_t{i} * Group::kWidth) * V; }
  __device__ __forceinline__ bool packs(const T* x) const {
    return V > 1 && n_ % V == 0 && reinterpret_cast<uintptr_t>(x) % sizeof(Values) == 0;
  }

  __device__ __forceinline__ Values load(const T* x, int64_t j) const {
    Values values{};
    if (x == nullptr || j >= n_) return values;
    if (packs(x)) return *reinterpret_cast<const Values*>(x + j);
#pragma unroll
    for (int v = 0; v < V; ++v)
      if (j + v < n_) values.v[v] = x[(j + v) * step_];
    return values;
  }
  template <class F, class... Beside>
  __device__ __forceinline__ void store(T* y, int64_t j, const F& f, const Beside&... beside) const {
    if (j >= n_) return;
    Values values;
#pragma unroll
    for (int v = 0; v < V; ++v)
      if (j + v < n_) values.v[v] = f(v, beside...);
    if (packs(y)) {
      *reinterpret_cast<Values*>(y + j) = values;
      return;
    }
#pragma unroll
    for (int v = 0; v < V; ++v)
      if (j + v < n_) y[(j + v) * step_] = values.v[v];
  }

  template <class F>
  __device__ __forceinline__ void visit(const F& f) const {
    if constexpr (kept > 0) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) f(values_[i], position(i));
    } else {
#pragma unroll 2
      for (int64_t j = position(0); j < n_; j += Group::kWidth * V) f(load(x_, j), j);
    }
  }
  template <class F>
  __device__ __forceinline__ void visit_with(const Line& other, const F& f) const {
    if constexpr (kept > 0) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) f(values_[i], other.values_[i], position(i));
    } else {
#pragma unroll 2
      for (int64_t j = position(0); j < n_; j += Group::kWidth * V) f(load(x_, j), other.load(other.x_, j), j);
    }
  }

  const T* x_;
  int64_t n_, step_;
  Values values_[kSteps];
};

template <class Group>
unsigned blocks_for_lines(int64_t lines) {
  return blocks_for((lines + Group::kLines - 1) / Group::kLines, 1);
}

// Elements a thread keeps at most: of doubles half as many.
template <class T>
inline constexpr int kMostKept = 64 / sizeof(T);

// fn(Group{}, elements kept): the form for adjacent lines of n elements, of which a group keeps one or two at once.
template <class T, int lines, class Fn>
void visit_rows(int64_t n, Fn&& fn) {
  constexpr int kMost = kMostKept<T>, kLeast = kMost / lines;  // a thread of 1024 has 64 registers
  using Few = std::integral_constant<int, 4>;
  using Many = std::integral_constant<int, kMost>;
  if (n <= 8 * 4) return fn(Lanes<8>{}, Few{});
  if (n <= 32 * 4) return fn(Lanes<32>{}, Few{});
  if (n <= 32 * kMost) return fn(Lanes<32>{}, Many{});
  if (n <= 256 * kMost) return fn(WholeBlock<256>{}, Many{});
  if (n <= 1024 * kLeast) return fn(WholeBlock<1024>{}, std::integral_constant<int, kLeast>{});
  fn(WholeBlock<1024>{}, std::integral_constant<int, 0>{});
}
// Of lines that lie side by side.
template <class T, class Fn>
void visit_columns(int64_t n, Fn&& fn) {
  if (n <= Columns::kWidth * kMostKept<T>) return fn(Columns{}, std::integral_constant<int, kMostKept<T>>{});
  fn(Columns{}, std::integral_constant<int, 0>{});
}

// e^(x - largest) of a line as the number of ones and the others' sum, which keeps its relative accuracy: log1p(others) and
// -others / sum hold for confident lines too. A NaN is the largest; where it is infinite, the others are NaN.
template <class W>
struct PowerSum {
  W largest, ones, others;

  __device__ W total() const { return ones + others; }
  __device__ W beyond_one() const { return (ones - 1) + others; }
};

template <class Group, class T, int kept>
__device__ __forceinline__ PowerSum<T> power_sum(Line<Group, T, kept>& line) {
  T largest = -std::numeric_limits<T>::infinity();
  line.each([&](T v, int64_t) { largest = Larger{}(largest, v); });
  largest = Group::joined(largest, Larger{});
  T ones = 0, others = 0;
  line.each([&](T v, int64_t) {
    if (v == largest)
      ones += 1;
    else
      others += std::exp(v - largest);
  });
  return {largest, Group::joined(ones, Plus{}), Group::joined(others, Plus{}) + (largest - largest)};
}

}  // namespace dnncore::cuda
