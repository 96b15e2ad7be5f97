// The micro-kernel of convolution: gemm_tile.h's register tile, MR pixels of one output row by NRV vectors of output channels, kept in
// registers over all taps and channels. The pixels lie at equal distance in a strip of the input, so that each tap is one more run of k.
#pragma once

#include "kernels/gemm_tile.h"

namespace dnncore::DNNCORE_ISA {

// The highest tile of each width. 9x3 fills 31 of 32 registers; beyond 16x1 the loads, one for every product, gain nothing more.
constexpr int max_conv_rows(int width) {
  if (kVectorRegisters == 32) return width == 1 ? 16 : width == 2 ? 14 : 9;
  return width == 1 ? 12 : 6;
}
inline constexpr int kMaxConvRows = max_conv_rows(1);

// Adjacent products of one tap, or of taps that lie side by side: `steps` elements of the strip times as many rows of the panel.
struct Run {
  int64_t strip, panel;  // where it begins, in elements
  int64_t steps;
  int64_t outside = 0;  // bits: what the first, the last pixel of the row would take is padding
};
inline constexpr int64_t kFirstPixel = 1, kLastPixel = 2;

template <class T>
struct ConvTile {
  const T* strip;  // of the first pixel
  int64_t pixel;   // bytes between pixels of the strip
  const T* panel;
  const Run* runs;
  int64_t count;
  T* y;             // of the first pixel and channel
  int64_t y_pixel;  // elements between pixels of y
  int64_t cols;     // (NRV - 1) N < cols <= NRV N; a multiple of N unless kMaskedStores
  const T* bias;    // NRV N entries
  T lowest;         // of y: 0 or minus infinity
  bool add;         // to what y holds
  int64_t edges;    // bits: it has the row's first, its last pixel
  bool streams;     // whole vectors of y go past the caches
};

template <class T, int MR, int NRV>
void conv_tile_kernel(const ConvTile<T>& tile) {
  constexpr int N = Vec<T>::N;
  const Partial<T> last(tile.cols - (NRV - 1) * N);
  Vec<T> acc[MR][NRV];
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < NRV; ++v) {
      acc[i][v] = Vec<T>::zero();
      if (!tile.streams) __builtin_prefetch(tile.y + i * tile.y_pixel + v * N, 1);
    }
  }
  for (const Run *run = tile.runs, *end = run + tile.count; run != end; ++run) {
    const T *x = tile.strip + run->strip, *w = tile.panel + run->panel;
    const auto add = [&](auto first, auto rows) __attribute__((always_inline)) {
      accumulate<T, Multiply, MR, NRV, Order::Rows, false, first, rows>(acc, x, tile.pixel, w, NRV * kVecBytes, run->steps, last);
    };
    // Tiles of few pixels wait for the panel anyway: of 4 x 4 pixels, one left out lost 3 %.
    constexpr int kSome = MR > 4 ? MR - 1 : MR;
    const int64_t outside = kSome < MR ? run->outside & tile.edges : 0;
    if (outside == kFirstPixel)
      add(std::integral_constant<int, MR - kSome>{}, std::integral_constant<int, kSome>{});
    else if (outside == kLastPixel)
      add(std::integral_constant<int, 0>{}, std::integral_constant<int, kSome>{});
    else
      add(std::integral_constant<int, 0>{}, std::integral_constant<int, MR>{});
  }
  const Vec<T> lowest = Vec<T>::set(tile.lowest);
  DNN_UNROLL
  for (int v = 0; v < NRV; ++v) {
    const Vec<T> bias = Vec<T>::load(tile.bias + v * N);
    DNN_UNROLL
    for (int i = 0; i < MR; ++i) {
      T* p = tile.y + i * tile.y_pixel + v * N;
      const bool masked = kMaskedStores && v == NRV - 1;
      if (tile.add) acc[i][v] = (masked ? last.load(p) : Vec<T>::load(p)) + acc[i][v];
      const Vec<T> y = max(lowest, acc[i][v] + bias);  // the second one when it is NaN
      if (tile.streams)
        y.stream(p);
      else
        masked ? last.store(p, y) : y.store(p);
    }
  }
}

template <class T>
using ConvTileFn = void (*)(const ConvTile<T>&);

// kernels[vectors - 1][pixels - 1]
template <class T>
struct ConvTileTable {
  ConvTileFn<T> kernels[kMaxWidth][kMaxConvRows];
};

namespace detail {

template <class T, int NRV, int... I>
constexpr void fill_conv_rows(ConvTileFn<T> (&out)[kMaxConvRows], std::integer_sequence<int, I...>) {
  ((out[I] = &conv_tile_kernel<T, I + 1, NRV>), ...);
}
template <class T, int... W>
constexpr void fill_conv_widths(ConvTileTable<T>& table, std::integer_sequence<int, W...>) {
  (fill_conv_rows<T, W + 1>(table.kernels[W], std::make_integer_sequence<int, max_conv_rows(W + 1)>{}), ...);
}

}  // namespace detail

template <class T>
constexpr ConvTileTable<T> make_conv_tile_table() {
  ConvTileTable<T> table{};
  detail::fill_conv_widths(table, std::make_integer_sequence<int, kMaxWidth>{});
  return table;
}

extern const ConvTileTable<float> kFloatConvTiles;
extern const ConvTileTable<double> kDoubleConvTiles;
template <class T>
const ConvTileTable<T>& conv_tiles() {
  if constexpr (sizeof(T) == 8)
    return kDoubleConvTiles;
  else
    return kFloatConvTiles;
}

}  // namespace dnncore::DNNCORE_ISA
