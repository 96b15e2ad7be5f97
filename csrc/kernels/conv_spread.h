// Convolution with few output channels and few of its columns outside the input (the gradient for data above all): the taps of a filter row
// lie beside the channels in the lanes of a vector, so that a pixel of x, times one panel, is its share of all the outputs of a row that it
// reaches. The shares are added up in a window of vectors that moves along the row by one pixel. x is read where it is.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/conv_plan.h"
#include "kernels/gemm_pack.h"

namespace dnncore::DNNCORE_ISA {

inline constexpr int kMostSpread = max_conv_rows(kSpreadWidth);

// The window with its first `by` lanes gone, zeros beyond the next `kept` ones (elsewhere what comes from pixels that do not reach it).
template <class T>
class Shift {
 public:
  Shift(int64_t by, int64_t kept) : by_(by), kept_(kept) {
#if defined(__AVX512F__)
    constexpr int N = Vec<T>::N;
    Bits<T> from[N];
    for (int i = 0; i < N; ++i) from[i] = static_cast<Bits<T>>(by + i);
    indices_ = Vec<Bits<T>>::load(from).v;
    low_ = static_cast<decltype(low_)>((1u << std::min<int64_t>(kept, N)) - 1);
    high_ = static_cast<decltype(high_)>((1u << std::clamp<int64_t>(kept - N, 0, N)) - 1);
#endif
  }
  DNN_INLINE void operator()(Vec<T> (&window)[kSpreadWidth]) const {
#if defined(__AVX512F__)
    using Raw = typename Vec<T>::Raw;
    const Raw low = window[0].v, high = window[1].v;
    if constexpr (sizeof(T) == 4) {
      window[0].v = (Raw)_mm512_maskz_permutex2var_ps(low_, (__m512)low, (__m512i)indices_, (__m512)high);
      window[1].v = (Raw)_mm512_maskz_permutexvar_ps(high_, (__m512i)indices_, (__m512)high);
    } else {
      window[0].v = (Raw)_mm512_maskz_permutex2var_pd(low_, (__m512d)low, (__m512i)indices_, (__m512d)high);
      window[1].v = (Raw)_mm512_maskz_permutexvar_pd(high_, (__m512i)indices_, (__m512d)high);
    }
#else
    constexpr int N = Vec<T>::N;
    T lanes[4 * N];
    window[0].store(lanes);
    window[1].store(lanes + N);
    Vec<T>::zero().store(lanes + by_ + kept_);
    Vec<T>::zero().store(lanes + by_ + kept_ + N);
    window[0] = Vec<T>::load(lanes + by_);
    window[1] = Vec<T>::load(lanes + by_ + N);
#endif
  }

 private:
  [[maybe_unused]] int64_t by_, kept_;
#if defined(__AVX512F__)
  typename Vec<Bits<T>>::Raw indices_;
  std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8> low_, high_;
#endif
};

template <class T>
struct SpreadTile {
  const T* x;       // of the first pixel
  int64_t x_pixel;  // bytes between pixels
  const T* panel;   // [row of the filter][channel of x][tap from the last to the first, channel of y; zeros]
  const Run* runs;  // in x and in the panel
  int64_t count;
  T* y;             // of the row; dense
  int64_t k, cols;  // channels and pixels of the row
  int64_t output;   // the first one that the first pixel reaches; may be negative
  const T* bias;    // N entries
  T lowest;         // of y: 0 or minus infinity
  T* window;        // of the pixels before
};

template <class T>
DNN_INLINE void store_spread(const SpreadTile<T>& tile, int64_t output, Vec<T> sums) {
  constexpr int N = Vec<T>::N;
  if (output < 0 || output >= tile.cols) return;
  const Vec<T> y = max(Vec<T>::set(tile.lowest), sums + Vec<T>::load(tile.bias));
  // What a vector has beyond the pixel is overwritten by the next ones.
  const int64_t left = (tile.cols - output) * tile.k;
  left >= N ? y.store(tile.y + output * tile.k) : y.store(tile.y + output * tile.k, left);
}

// MR pixels of x, and the outputs that end with them.
template <class T, int MR>
void spread_tile_kernel(const SpreadTile<T>& tile, const Shift<T>& shift) {
  constexpr int N = Vec<T>::N;
  Vec<T> acc[MR][kSpreadWidth], window[kSpreadWidth];
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < kSpreadWidth; ++v) acc[i][v] = Vec<T>::zero();
  }
  for (const Run *run = tile.runs, *end = run + tile.count; run != end; ++run)
    accumulate<T, Multiply, MR, kSpreadWidth, Order::Rows, false>(acc, tile.x + run->strip, tile.x_pixel, tile.panel + run->panel,
                                                                  kSpreadWidth * kVecBytes, run->steps, Partial<T>(N));
  for (int v = 0; v < kSpreadWidth; ++v) window[v] = Vec<T>::load(tile.window + v * N);
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    for (int v = 0; v < kSpreadWidth; ++v) window[v] = window[v] + acc[i][v];
    store_spread(tile, tile.output + i, window[0]);
    shift(window);
  }
  for (int v = 0; v < kSpreadWidth; ++v) window[v].store(tile.window + v * N);
}

template <class T>
using SpreadTileFn = void (*)(const SpreadTile<T>&, const Shift<T>&);

template <class T>
struct SpreadTileTable {
  SpreadTileFn<T> kernels[kMostSpread];  // [pixels - 1]
};
extern const SpreadTileTable<float> kFloatSpreadTiles;
extern const SpreadTileTable<double> kDoubleSpreadTiles;

template <class T>
class SpreadConvolution {
 public:
  SpreadConvolution(const Problem& problem, const ConvPlan& plan, std::byte* scratch)
      : p_(problem), plan_(plan), scratch_(make_conv_scratch(problem, scratch)) {}

  void pack(Range) const {
    auto* position = reinterpret_cast<int32_t*>(scratch_.runs);
    order_taps(p_, position);
    T* const panel = static_cast<T*>(p_.workspace);
    std::fill_n(panel, p_.taps() / p_.filter.w * p_.c * kLanes, T{0});
    for (int64_t tap = 0; tap < p_.taps(); ++tap) {
      if (position[tap] < 0) continue;
      const int64_t row = position[tap] / p_.filter.w, lane = (p_.filter.w - 1 - position[tap] % p_.filter.w) * p_.k;
      for (int64_t c = 0; c < p_.c; ++c)
        for (int64_t k = 0; k < p_.k; ++k)
          panel[(row * p_.c + c) * kLanes + lane + k] = static_cast<const T*>(p_.w)[k * p_.w_k + c * p_.w_c + tap];
    }
  }

  void multiply(int64_t task) const {
    const Region region = region_of(p_, plan_, task);
    if (region.empty()) return;
    T* const bias = reinterpret_cast<T*>(scratch_.tile);
    std::fill_n(bias, Vec<T>::N, T{0});
    if (p_.bias != nullptr) std::copy_n(static_cast<const T*>(p_.bias), p_.k, bias);
    const Shift<T> shift(p_.k, (p_.filter.w - 1) * p_.k);
    for (int64_t plane = region.planes.begin; plane < region.planes.end; ++plane)
      for (int64_t row = region.rows.begin; row < region.rows.end; ++row) multiply_row(region, plane, row, shift);
  }

 private:
  static constexpr int64_t kLanes = kSpreadWidth * Vec<T>::N;

  int64_t list_runs(const Phase& phase, int64_t plane, int64_t row) const {
    Run* run = scratch_.runs;
    for_each_filter_row(p_, phase, plane, row, [&](int64_t, int64_t, int64_t tap, int64_t source_row) {
      *run++ = {source_row * p_.in.w * p_.x_pixel, tap / p_.filter.w * p_.c * kLanes, p_.c};
    });
    return run - scratch_.runs;
  }

  void multiply_row(const Region& region, int64_t plane, int64_t row, const Shift<T>& shift) const {
    const auto& [d, h, w, first_tap] = region.phase;
    T window[kLanes] = {};
    SpreadTile<T> tile;
    tile.x_pixel = p_.x_pixel * static_cast<int64_t>(sizeof(T));
    tile.panel = static_cast<const T*>(p_.workspace);
    tile.runs = scratch_.runs;
    tile.count = list_runs(region.phase, plane, row);
    tile.y = static_cast<T*>(p_.y) + output_offset(p_, region, plane, row);
    tile.k = p_.k, tile.cols = w.count;
    tile.bias = reinterpret_cast<const T*>(scratch_.tile);
    tile.lowest = p_.activation == Activation::Relu ? T{0} : -std::numeric_limits<T>::infinity();
    tile.window = window;
    const auto& kernels = spread_tiles().kernels;
    const T* const x = static_cast<const T*>(p_.x) + plane / d.count * p_.in.count() * p_.x_pixel;
    const int64_t tiles = ceil_div(p_.in.w, kMostSpread);
    Range pixels{0, 0};
    for (int64_t i = 0; i < tiles; ++i) {
      pixels = {pixels.end, p_.in.w * (i + 1) / tiles};
      tile.x = x + pixels.begin * p_.x_pixel;
      tile.output = pixels.begin - w.offset - (w.taps - 1);
      kernels[pixels.size() - 1](tile, shift);
    }
    finish_row(tile, p_.in.w - w.offset - (w.taps - 1), shift);
  }

  // The outputs that end in the padding.
  void finish_row(const SpreadTile<T>& tile, int64_t output, const Shift<T>& shift) const {
    Vec<T> window[kSpreadWidth];
    for (int v = 0; v < kSpreadWidth; ++v) window[v] = Vec<T>::load(tile.window + v * Vec<T>::N);
    for (; output < tile.cols; ++output) {
      store_spread(tile, output, window[0]);
      shift(window);
    }
    if (p_.activation > Activation::Relu)
      finish_block({tile.y, p_.k, nullptr, p_.dtype, p_.activation, false, false}, tile.y, p_.k, 0, 0, tile.cols, p_.k);
  }

  static const SpreadTileTable<T>& spread_tiles() {
    if constexpr (sizeof(T) == 8)
      return kDoubleSpreadTiles;
    else
      return kFloatSpreadTiles;
  }

  const Problem& p_;
  const ConvPlan& plan_;
  ConvScratch scratch_;
};

}  // namespace dnncore::DNNCORE_ISA
