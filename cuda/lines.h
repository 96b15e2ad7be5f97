// Lines of n elements, `step` apart, each of them a group of threads': kept in registers where they are short enough, so that memory is
// read once, else read again at every pass.
#pragma once

#include "reduce.h"

namespace dnncore::cuda {

// Neighbouring lanes of a warp; all threads of a block; a column of 8 threads, 32 apart, of a block of 256.
template <int width_>
struct Lanes {
  static constexpr int kThreads = kBlock, kWidth = width_, kLines = kThreads / kWidth;
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
  static __device__ int rank() { return static_cast<int>(threadIdx.x) / kLines; }
  static __device__ int line() { return static_cast<int>(threadIdx.x) % kLines; }
  template <class T, class Join>
  static __device__ T joined(T x, const Join& join) {
    __shared__ T room[kThreads];
    return columns_joined(x, join, kLines, room);
  }
};

// What one thread has of a line; `kept` elements at most, 0: it reads them at every pass.
template <class Group, class T, int kept>
class Line {
 public:
  __device__ __forceinline__ Line(const T* x, int64_t n, int64_t step) : x_(x), n_(n), step_(step) {
    if constexpr (kept > 0) {
#pragma unroll
      for (int u = 0; u < kept; ++u) values_[u] = position(u) < n ? x[position(u) * step] : T(0);
    }
  }
  // f(element, its position)
  template <class F>
  __device__ __forceinline__ void each(const F& f) {
    if constexpr (kept > 0) {
#pragma unroll
      for (int u = 0; u < kept; ++u)
        if (position(u) < n_) f(values_[u], position(u));
    } else {
#pragma unroll 4
      for (int64_t j = Group::rank(); j < n_; j += Group::kWidth) {
        T value = x_[j * step_];
        f(value, j);
      }
    }
  }
  template <class F>
  __device__ __forceinline__ void each_with(Line& other, const F& f) {
    if constexpr (kept > 0) {
#pragma unroll
      for (int u = 0; u < kept; ++u)
        if (position(u) < n_) f(values_[u], other.values_[u], position(u));
    } else {
#pragma unroll 4
      for (int64_t j = Group::rank(); j < n_; j += Group::kWidth) f(x_[j * step_], other.x_[j * other.step_], j);
    }
  }

 private:
  static __device__ __forceinline__ int64_t position(int u) { return Group::rank() + u * Group::kWidth; }

  const T* x_;
  int64_t n_, step_;
  T values_[kept > 0 ? kept : 1];
};

// Elements a thread keeps at most: of doubles half as many.
template <class T>
inline constexpr int kMostKept = 64 / sizeof(T);

// fn(Group{}, elements kept): the form for adjacent lines of n elements.
template <class T, class Fn>
void visit_rows(int64_t n, Fn&& fn) {
  constexpr int kMost = kMostKept<T>;
  using Few = std::integral_constant<int, 4>;
  using Many = std::integral_constant<int, kMost>;
  if (n <= 8 * 4) return fn(Lanes<8>{}, Few{});
  if (n <= 32 * 4) return fn(Lanes<32>{}, Few{});
  if (n <= 32 * kMost) return fn(Lanes<32>{}, Many{});
  if (n <= 256 * kMost) return fn(WholeBlock<256>{}, Many{});
  if (n <= 1024 * kMost) return fn(WholeBlock<1024>{}, Many{});
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
