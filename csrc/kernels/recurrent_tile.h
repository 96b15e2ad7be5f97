// Products of recurrent layers: a few rows by weights packed once per call. Columns are vectors of units times gates: the gates of one
// vector of units lie side by side, so that its cells can be computed as soon as its sums are there.
#pragma once

#include <algorithm>
#include <array>

#include "kernels/gemm_pack.h"

namespace dnncore::DNNCORE_ISA {

// A tile keeps MR x W sums in registers.
inline constexpr int kMaxPanel = kVectorRegisters == 32 ? 4 : 2;
constexpr int tile_rows(int width) { return kVectorRegisters == 16 || width == 4 ? 6 : 8; }
inline constexpr int kMaxTileRows = tile_rows(1);

// A vector's lanes of units: all, or the first `count`.
template <class T, bool kRagged>
struct Lanes {
  int64_t count;
  DNN_INLINE Vec<T> load(const T* p) const { return kRagged ? Vec<T>::load(p, count) : Vec<T>::load(p); }
  DNN_INLINE void store(T* p, Vec<T> x) const { kRagged ? x.store(p, count) : x.store(p); }
};

// How a weight (gates x units, k) is packed: blocks of `units` vectors of units, `columns` = units * gates vectors each, in panels of
// `width` vectors: [block][panel][k][vector of the panel][lane]. The last panel of a block may be narrower. Where units do not fill their
// vector, their gates follow each other without a gap, and zeros follow the last.
template <class T>
struct PanelPlan {
  static constexpr int64_t N = Vec<T>::N;
  int64_t gates, entries, k;  // entries: units of one gate
  int64_t units, width;

  PanelPlan(int64_t gate_count, int64_t unit_count, int64_t steps) : gates(gate_count), entries(unit_count), k(steps) {
    width = gates == 3 && kMaxPanel == 4 ? 3 : kMaxPanel;
    units = gates == 1 ? width : gates == 3 && width == 2 ? 2 : 1;
  }
  int64_t vectors() const { return (entries + N - 1) / N; }
  int64_t blocks() const { return (vectors() + units - 1) / units; }
  int64_t columns() const { return units * gates; }
  int64_t units_of(int64_t block) const { return std::min(units, vectors() - block * units); }
  int64_t columns_of(int64_t block) const {
    const int64_t lanes = std::min(units * N, entries - block * units * N);
    return lanes / N * gates + (lanes % N * gates + N - 1) / N;
  }
  int64_t block_elements() const { return columns() * N * k; }
  int64_t elements() const { return blocks() * block_elements(); }
  int64_t tile_height() const { return tile_rows(static_cast<int>(width)); }
};

template <class T>
using RowsOfVector = std::array<const T*, Vec<T>::N>;

// The rows of the weight, k apart, that make vector `column` of a block: row gate * entries + unit in every lane; null: none.
template <class T>
RowsOfVector<T> rows_of_vector(const PanelPlan<T>& plan, const T* weight, int64_t block, int64_t column) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t unit = (block * plan.units + column / plan.gates) * N, count = std::min(N, plan.entries - unit);
  RowsOfVector<T> rows{};
  for (int64_t lane = 0; lane < N; ++lane) {
    const int64_t at = column % plan.gates * N + lane;
    if (at < plan.gates * count) rows[static_cast<size_t>(lane)] = weight + (at / count * plan.entries + unit + at % count) * plan.k;
  }
  return rows;
}

// One vector of a panel. `whole`: its rows lie k apart.
template <class T>
void pack_vector(T* panel, int64_t width, const RowsOfVector<T>& rows, int64_t k, [[maybe_unused]] bool whole) {
  constexpr int N = Vec<T>::N;
  int64_t p = 0;
#if defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>) {
    if (whole) {
      pack_along_floats(panel, width, rows[0], k * static_cast<int64_t>(sizeof(T)), k / N);
      p = k / N * N;
    }
  }
#endif
  for (; p < k; p += N) {
    const int64_t steps = std::min<int64_t>(N, k - p);
    Vec<T> r[N];
    DNN_UNROLL
    for (size_t i = 0; i < N; ++i) r[i] = rows[i] != nullptr ? Vec<T>::load(rows[i] + p, steps) : Vec<T>::zero();
    transpose(r);
    for (int64_t i = 0; i < steps; ++i) r[i].store(panel + (p + i) * width);
  }
}

template <class T>
void pack_panels(const PanelPlan<T>& plan, const T* weight, int64_t block, T* packed) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t columns = plan.columns_of(block);
  for (int64_t column = 0; column < columns; ++column) {
    const int64_t panel = column / plan.width, width = std::min(plan.width, columns - panel * plan.width) * N;
    const bool whole = (block * plan.units + column / plan.gates + 1) * N <= plan.entries;
    pack_vector(packed + panel * plan.width * N * plan.k + column % plan.width * N, width, rows_of_vector(plan, weight, block, column),
                plan.k, whole);
  }
}

template <class T>
using ProductTile = void (*)(const T* a, int64_t a_stride, const T* panel, int64_t k, T* sums, int64_t ld);

// sums = A B: a_stride in bytes. The panel comes from L2, or from L3 for few rows, as fast as the prefetchers of the hardware bring it: 25
// bytes per cycle for one row. Prefetching it by hand, 4 or 8 KB ahead, took 2 to 25 % longer, most for one and two rows.
template <class T, int MR, int W>
void product_tile(const T* a, int64_t a_stride, const T* panel, int64_t k, T* sums, int64_t ld) {
  constexpr int N = Vec<T>::N;
  Vec<T> acc[MR][W];
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < W; ++v) acc[i][v] = Vec<T>::zero();
  }
  accumulate<T, Multiply, MR, W, Order::Rows, false>(acc, a, a_stride, panel, W * N * static_cast<int64_t>(sizeof(T)), k, Partial<T>(N));
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < W; ++v) acc[i][v].store(sums + i * ld + v * N);
  }
}

template <class T, int W, int... I>
constexpr std::array<ProductTile<T>, kMaxTileRows> product_tiles(std::integer_sequence<int, I...>) {
  return {&product_tile<T, I + 1, W>...};
}
// kProductTiles[vectors - 1][rows - 1]
template <class T>
inline constexpr std::array<ProductTile<T>, kMaxTileRows> kProductTiles[kMaxPanel] = {
    product_tiles<T, 1>(std::make_integer_sequence<int, tile_rows(1)>{}),
    product_tiles<T, 2>(std::make_integer_sequence<int, tile_rows(2)>{}),
#if defined(__AVX512F__) || defined(__aarch64__)
    product_tiles<T, 3>(std::make_integer_sequence<int, tile_rows(3)>{}),
    product_tiles<T, 4>(std::make_integer_sequence<int, tile_rows(4)>{}),
#endif
};

// sums (rows x columns()) of one block. `a`: rows at most plan.tile_height(), `a_row` elements apart; null: zero.
template <class T>
void multiply_block(const PanelPlan<T>& plan, const T* packed, int64_t block, const T* a, int64_t a_row, int64_t rows, T* sums) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t columns = plan.columns_of(block), ld = plan.columns() * N;
  if (a == nullptr) {
    std::fill_n(sums, rows * ld, T(0));
    return;
  }
  for (int64_t column = 0; column < columns; column += plan.width) {
    const int64_t width = std::min(plan.width, columns - column);
    kProductTiles<T>[width - 1][static_cast<size_t>(rows - 1)](a, a_row * static_cast<int64_t>(sizeof(T)), packed + column * N * plan.k,
                                                               plan.k, sums + column * N, ld);
  }
}

// Calls f(first, count) for [begin, end) in pieces of at most `height` rows that differ by one at most.
template <class F>
DNN_INLINE void for_row_tiles(int64_t begin, int64_t end, int64_t height, F&& f) {
  for (int64_t tiles = (end - begin + height - 1) / height; tiles > 0; --tiles) {
    const int64_t rows = (end - begin + tiles - 1) / tiles;
    f(begin, rows);
    begin += rows;
  }
}

}  // namespace dnncore::DNNCORE_ISA
