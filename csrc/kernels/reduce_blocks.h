// The inner loops of reduce.cpp, one of each kind per op and arithmetic type: a block of adjacent elements into one state, and rows of
// adjacent columns into a state per column.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/reduce.h"
#include "kernels/simd.h"

namespace dnncore::DNNCORE_ISA {

// A partial result; floating types are held in float64, integers in int64, whichever the op's element type says.
struct State {
  union {
    double real;
    int64_t integer;
  };
  int64_t index;  // of argmax, argmin: -1 while nothing was seen
};

template <class T>
using Held = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;

template <class T>
DNN_INLINE Held<T>& held(State& state) {
  if constexpr (std::is_floating_point_v<T>)
    return state.real;
  else
    return state.integer;
}

constexpr bool is_arg(ReduceOp op) { return op == ReduceOp::argmax || op == ReduceOp::argmin; }
constexpr bool is_sum(ReduceOp op) { return op == ReduceOp::sum || op == ReduceOp::mean; }
constexpr bool is_logical(ReduceOp op) { return op == ReduceOp::any || op == ReduceOp::all; }
constexpr bool wants_largest(ReduceOp op) { return op == ReduceOp::max || op == ReduceOp::argmax; }

template <ReduceOp op, class H>
constexpr H identity() {
  using Limits = std::numeric_limits<H>;
  if (op == ReduceOp::prod || op == ReduceOp::all) return 1;
  if (is_sum(op) || op == ReduceOp::any) return 0;
  if (wants_largest(op)) return Limits::has_infinity ? -Limits::infinity() : Limits::min();
  return Limits::has_infinity ? Limits::infinity() : Limits::max();
}

// Whether a replaces b, both numbers or NaN; equal ones stay.
template <ReduceOp op, class H>
DNN_INLINE bool better(H a, H b) {
  if (b != b) return false;
  return a != a || (wants_largest(op) ? a > b : a < b);
}

// Joins what comes later in row-major order into `to`.
template <ReduceOp op, class H>
DNN_INLINE void join(H& to, int64_t& to_index, H from, int64_t from_index) {
  if constexpr (is_sum(op) && std::is_same_v<H, int64_t>) {
    to = static_cast<H>(static_cast<uint64_t>(to) + static_cast<uint64_t>(from));
  } else if constexpr (op == ReduceOp::prod && std::is_same_v<H, int64_t>) {
    to = static_cast<H>(static_cast<uint64_t>(to) * static_cast<uint64_t>(from));
  } else if constexpr (is_sum(op)) {
    to += from;
  } else if constexpr (op == ReduceOp::prod) {
    to *= from;
  } else if constexpr (op == ReduceOp::any) {
    to = to != 0 || from != 0;
  } else if constexpr (op == ReduceOp::all) {
    to = to != 0 && from != 0;
  } else {
    const bool take = is_arg(op) && to_index < 0 ? from_index >= 0 : better<op>(from, to);
    to = take ? from : to;
    to_index = take ? from_index : to_index;
  }
}

inline constexpr int64_t kSumBlock = 1024;  // elements summed in T before they join in float64

template <class T>
T sum_block(const T* x, int64_t n) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  V a = V::zero(), b = V::zero(), c = V::zero(), d = V::zero();
  int64_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N) {
    a = a + V::load(x + i);
    b = b + V::load(x + i + N);
    c = c + V::load(x + i + 2 * N);
    d = d + V::load(x + i + 3 * N);
  }
  for (; i + N <= n; i += N) a = a + V::load(x + i);
  if (i < n) b = b + V::load(x + i, n - i);
  return reduce_add((a + b) + (c + d));
}

// The extremum of n >= 1 elements; NaN when one is.
template <ReduceOp op, class T>
T extremum_block(const T* x, int64_t n) {
  if constexpr (std::is_floating_point_v<T>) {
    using V = Vec<T>;
    constexpr int64_t N = V::N;
    const auto pick = [](V a, V b) __attribute__((always_inline)) { return wants_largest(op) ? max(a, b) : min(a, b); };
    if (n < N) {
      T r = x[0];
      for (int64_t i = 1; i < n; ++i) r = better<op>(x[i], r) ? x[i] : r;
      return r;
    }
    V a = V::load(x + n - N), b = a;  // the last lanes; an extremum may meet an element twice
    Mask<T> nan = is_nan(a);
    int64_t i = 0;
    for (; i + 2 * N <= n; i += 2 * N) {
      const V u = V::load(x + i), v = V::load(x + i + N);
      nan = nan | is_nan(u) | is_nan(v);
      a = pick(u, a);
      b = pick(v, b);
    }
    if (i + N <= n) {
      const V u = V::load(x + i);
      nan = nan | is_nan(u);
      a = pick(u, a);
    }
    if (any(nan)) return std::numeric_limits<T>::quiet_NaN();
    return reduce_lanes(pick(a, b), pick);
  } else {
    T r = x[0];
    for (int64_t i = 1; i < n; ++i) r = wants_largest(op) ? std::max(r, x[i]) : std::min(r, x[i]);
    return r;
  }
}

// Where `value`, or a NaN if it is one, stands first among the elements; it is there.
template <class T>
int64_t place_of(const T* x, T value) {
  int64_t i = 0;
  if constexpr (std::is_floating_point_v<T>) {
    if (value != value) {
      while (x[i] == x[i]) ++i;
      return i;
    }
  }
  while (x[i] != value) ++i;
  return i;
}
template <class T>
int64_t place_of(const T* x, int64_t n, T value) {
  int64_t i = 0;
  if constexpr (std::is_floating_point_v<T>) {
    using V = Vec<T>;
    const auto here = [&](V v) __attribute__((always_inline)) { return any(value != value ? is_nan(v) : v == V::set(value)); };
    while (i + V::N <= n && !here(V::load(x + i))) i += V::N;
  }
  return i + place_of(x + i, value);
}

// n adjacent elements whose first has the given position among the reduced ones.
template <ReduceOp op, class T>
void reduce_block(const std::byte* data, int64_t n, int64_t position, State& state) {
  const T* x = reinterpret_cast<const T*>(data);
  Held<T>& value = held<T>(state);
  for (int64_t i = 0; i < n; i += kSumBlock) {
    const int64_t count = std::min(kSumBlock, n - i);
    Held<T> r = identity<op, Held<T>>();
    int64_t index = -1;
    if constexpr (is_sum(op) && std::is_floating_point_v<T>) {
      r = sum_block(x + i, count);
    } else if constexpr (is_sum(op) || op == ReduceOp::prod) {
      for (int64_t j = 0; j < count; ++j) join<op>(r, index, static_cast<Held<T>>(x[i + j]), 0);
    } else if constexpr (is_logical(op)) {
      int hit = 0;  // of what decides: a true one for any, a false one for all
      for (int64_t j = 0; j < count; ++j) hit |= (x[i + j] != T(0)) == (op == ReduceOp::any);
      r = hit ? op == ReduceOp::any : op == ReduceOp::all;
    } else {
      const T extremum = extremum_block<op>(x + i, count);
      r = static_cast<Held<T>>(extremum);
      if constexpr (is_arg(op)) {
        if (state.index >= 0 && !better<op>(r, value)) continue;
        index = position + i + place_of(x + i, count, extremum);
      }
    }
    join<op>(value, state.index, r, index);
    if (is_logical(op) && (value != 0) == (op == ReduceOp::any)) return;
  }
}

inline constexpr int64_t kColumns = 2048;  // per task: rows of 8 KB keep the prefetchers going, 512 columns read at half the speed
inline constexpr int64_t kRowBatch = 64;   // rows summed in T before they join in float64
inline constexpr int64_t kRowGroup = 8;    // rows read side by side

// sums[c] += x[0..8)[c] pairwise.
template <class T>
void add_row_group(const T* x, int64_t row, int64_t cols, T* sums) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  const auto group = [&](auto load) __attribute__((always_inline)) {
    return ((load(x) + load(x + row)) + (load(x + 2 * row) + load(x + 3 * row))) +
           ((load(x + 4 * row) + load(x + 5 * row)) + (load(x + 6 * row) + load(x + 7 * row)));
  };
  int64_t c = 0;
  for (; c + N <= cols; c += N)
    (V::load(sums + c) + group([c](const T* p) __attribute__((always_inline)) { return V::load(p + c); })).store(sums + c);
  if (const int64_t rest = cols - c; rest > 0)
    (V::load(sums + c, rest) + group([ c, rest ](const T* p) __attribute__((always_inline)) {
       return V::load(p + c, rest);
     })).store(sums + c, rest);
}

// values[c] = the extremum of values[c] and the column's `rows` elements; NaN stays.
template <ReduceOp op, class T>
void extremum_columns(const T* x, int64_t row, int64_t rows, int64_t cols, T* values) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  const auto pick = [](V a, V v) __attribute__((always_inline)) {
    return select(is_nan(v) | (wants_largest(op) ? v > a : v < a), v, a);  // nothing compares above a NaN, so it stays
  };
  for (int64_t r = 0; r < rows; ++r, x += row) {
    int64_t c = 0;
    for (; c + N <= cols; c += N) pick(V::load(values + c), V::load(x + c)).store(values + c);
    if (const int64_t rest = cols - c; rest > 0) pick(V::load(values + c, rest), V::load(x + c, rest)).store(values + c, rest);
  }
}

// `rows` rows of `cols` <= kColumns adjacent elements, `row` elements apart, into states[0 .. cols).
template <ReduceOp op, class T>
void reduce_columns(const std::byte* data, int64_t row, int64_t rows, int64_t cols, int64_t position, State* states) {
  const T* x = reinterpret_cast<const T*>(data);
  if constexpr (is_sum(op) && std::is_floating_point_v<T>) {
    T sums[kColumns];
    for (int64_t r = 0; r < rows;) {
      std::fill_n(sums, cols, T(0));
      const int64_t end = std::min(rows, r + kRowBatch);
      for (; r + kRowGroup <= end; r += kRowGroup) add_row_group(x + r * row, row, cols, sums);
      for (; r < end; ++r)
        for (int64_t c = 0; c < cols; ++c) sums[c] += x[r * row + c];
      for (int64_t c = 0; c < cols; ++c) states[c].real += sums[c];
    }
  } else {
    using A = std::conditional_t<is_sum(op) || op == ReduceOp::prod, Held<T>, T>;
    A values[kColumns];
    int64_t indices[is_arg(op) ? kColumns : 1] = {};
    if constexpr (is_logical(op))
      std::fill_n(values, cols, identity<op, A>());
    else if constexpr (is_sum(op) || op == ReduceOp::prod)
      std::fill_n(values, cols, identity<op, A>());
    else
      for (int64_t c = 0; c < cols; ++c) values[c] = x[c];
    if constexpr (is_arg(op)) std::fill_n(indices, cols, position);
    constexpr bool kExtremum = op == ReduceOp::max || op == ReduceOp::min;
    if constexpr (kExtremum && std::is_floating_point_v<T>) extremum_columns<op>(x, row, rows, cols, values);
    for (int64_t r = 0; r < (kExtremum && std::is_floating_point_v<T> ? 0 : rows); ++r) {
      const T* from = x + r * row;
      for (int64_t c = 0; c < cols; ++c) {
        const T v = from[c];
        if constexpr (is_logical(op)) {
          values[c] = op == ReduceOp::any ? (values[c] != T(0)) | (v != T(0)) : (values[c] != T(0)) & (v != T(0));
        } else if constexpr (is_arg(op)) {
          const bool take = better<op>(v, values[c]);
          values[c] = take ? v : values[c];
          indices[c] = take ? position + r : indices[c];
        } else if constexpr (is_sum(op) || op == ReduceOp::prod) {
          int64_t unused = 0;
          join<op>(values[c], unused, static_cast<A>(v), 0);
        } else {
          values[c] = better<op>(v, values[c]) ? v : values[c];
        }
      }
    }
    for (int64_t c = 0; c < cols; ++c)
      join<op>(held<T>(states[c]), states[c].index, static_cast<Held<T>>(values[c]), is_arg(op) ? indices[c] : 0);
  }
}

}  // namespace dnncore::DNNCORE_ISA
