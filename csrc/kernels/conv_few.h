// Convolution with few output channels: vectors over the pixels of a row, the weights broadcast, since vectors over channels would stay
// half empty. The strips are planes of one channel, and of every `step`-th column where the outputs are that far apart.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/conv_depthwise.h"
#include "kernels/conv_plan.h"
#include "kernels/gemm_pack.h"

namespace dnncore::DNNCORE_ISA {

template <class T>
inline constexpr int kMostFew = Vec<T>::N / 2;
inline constexpr int64_t kPlaneBytes = 64 << 10;
inline constexpr int kFewVectors = 3;  // in a tile; four, two rows of LeNet-5's first layer, won 3 % more

namespace detail {

template <int D, class T>
DNN_INLINE void transpose_halves(Vec<T> (&r)[kMostFew<T>]) {
  if constexpr (D > 0) {
    DNN_UNROLL
    for (int i = 0; i < kMostFew<T>; ++i)
      if ((i & D) == 0) swap_blocks<D>(r[i], r[i + D], std::make_integer_sequence<int, Vec<T>::N>{});
    transpose_halves<D / 2>(r);
  }
}

template <class Half, class T, int... I>
DNN_INLINE Half half_of(Vec<T> a, bool upper, std::integer_sequence<int, I...>) {
  return upper ? __builtin_shufflevector(a.v, a.v, (static_cast<int>(sizeof...(I)) + I)...) : __builtin_shufflevector(a.v, a.v, I...);
}

}  // namespace detail

template <class T>
struct FewTile {
  const T* strip;  // of the first pixel
  int64_t x_step;  // elements between steps of a run, in the strip
  const T* panel;  // [step][channel of y]
  int64_t w_step;  // elements between steps of a run, in the panel
  const Run* runs;
  int64_t count;
  T* y;                       // of the first pixel
  int64_t y_pixel;            // elements between pixels of y
  int64_t x_at[kFewVectors];  // of each vector, in the strip: elements
  int64_t y_at[kFewVectors];  // and in y
  int64_t live[kFewVectors];  // its pixels
  const T* bias;              // twice kMostFew entries, the same
  T lowest;                   // of y: 0 or minus infinity
  bool add;                   // to what y holds
};

template <class T, int MR>
__attribute__((noinline)) void add_old(const FewTile<T>& tile, const T* y, int64_t live, Vec<T> (&r)[kMostFew<T>]) {
  constexpr int H = kMostFew<T>;
  for (int i = 0; i < H; ++i) {
    T old[2 * H] = {};
    if (i < live) std::memcpy(old, y + i * tile.y_pixel, MR * sizeof(T));
    if (i + H < live) std::memcpy(old + H, y + (i + H) * tile.y_pixel, MR * sizeof(T));
    r[i] = Vec<T>::load(old) + r[i];
  }
}

// sums[channel] of a vector of pixels to y[pixel][channel]: the two halves of the vectors are turned at once.
template <class T, int MR>
DNN_INLINE void store_few(const FewTile<T>& tile, const Vec<T> (&sums)[MR], T* y, int64_t live) {
  constexpr int H = kMostFew<T>;
  typedef T Half __attribute__((vector_size(kVecBytes / 2)));
  Vec<T> r[H];
  DNN_UNROLL
  for (int i = 0; i < H; ++i) r[i] = i < MR ? sums[i] : Vec<T>::zero();
  detail::transpose_halves<H / 2>(r);
  const Vec<T> bias = Vec<T>::load(tile.bias), lowest = Vec<T>::set(tile.lowest);
  if (tile.add) [[unlikely]]
    add_old<T, MR>(tile, y, live, r);
  DNN_UNROLL
  for (int i = 0; i < H; ++i) r[i] = max(lowest, r[i] + bias);
  const auto pixel = [&](int i) { return detail::half_of<Half>(r[i % H], i >= H, std::make_integer_sequence<int, H>{}); };
  if (live == 2 * H && tile.y_pixel == MR) [[likely]] {
    // Dense pixels: a store may spill into the places of the next ones, which are written after it.
    constexpr int kSpilling = 2 * H - (H + MR - 1) / MR + 1;
    DNN_UNROLL
    for (int i = 0; i < 2 * H; ++i) {
      const Half x = pixel(i);
      std::memcpy(y + i * MR, &x, i < kSpilling ? sizeof(Half) : MR * sizeof(T));
    }
    return;
  }
  DNN_UNROLL
  for (int i = 0; i < 2 * H; ++i) {
    if (i >= live) return;
    const Half x = pixel(i);
    std::memcpy(y + i * tile.y_pixel, &x, MR * sizeof(T));
  }
}

template <class T, int MR, int NRV>
void few_tile_kernel(const FewTile<T>& tile) {
  Vec<T> acc[NRV][MR];
  DNN_UNROLL
  for (int v = 0; v < NRV; ++v) {
    DNN_UNROLL
    for (int i = 0; i < MR; ++i) acc[v][i] = Vec<T>::zero();
  }
  for (const Run *run = tile.runs, *end = run + tile.count; run != end; ++run) {
    const T* x = tile.strip + run->strip;
    const T* w = tile.panel + run->panel;
    for (int64_t step = 0; step < run->steps; ++step, x += tile.x_step, w += tile.w_step) {
      Vec<T> pixels[NRV];
      DNN_UNROLL
      for (int v = 0; v < NRV; ++v) pixels[v] = Vec<T>::load(x + tile.x_at[v]);
      DNN_UNROLL
      for (int i = 0; i < MR; ++i) {
        const Vec<T> weight = broadcast<T>(w + i);
        DNN_UNROLL
        for (int v = 0; v < NRV; ++v) acc[v][i] = fma(weight, pixels[v], acc[v][i]);
      }
    }
  }
  DNN_UNROLL
  for (int v = 0; v < NRV; ++v) store_few<T, MR>(tile, acc[v], tile.y + tile.y_at[v], tile.live[v]);
}

template <class T>
using FewTileFn = void (*)(const FewTile<T>&);

// kernels[vectors - 1][channels - 1]
template <class T>
struct FewTileTable {
  FewTileFn<T> kernels[kFewVectors][kMostFew<T>];
};
extern const FewTileTable<float> kFloatFewTiles;
extern const FewTileTable<double> kDoubleFewTiles;

// `rows` runs of `count` elements, `step` apart in x, with zeros before and after them in rows of `width`.
template <class T>
__attribute__((noinline)) void copy_runs(T* to, int64_t width, int64_t before, const T* x, int64_t x_row, int64_t step, int64_t rows,
                                         int64_t count) {
  constexpr int N = Vec<T>::N;
  const int64_t whole = step == 1 ? count / N * N : 0, after = before + count;
  for (int64_t row = 0; row < rows; ++row, to += width, x += x_row) {
    for (int64_t i = 0; i < before; ++i) to[i] = T{0};
    for (int64_t i = 0; i < whole; i += N) Vec<T>::load(x + i).store(to + before + i);
    if (whole > 0)
      Vec<T>::load(x + count - N).store(to + after - N);
    else
      for (int64_t i = 0; i < count; ++i) to[before + i] = x[i * step];
    for (int64_t i = after; i < width; ++i) to[i] = T{0};
  }
}

// Rows and columns of an image of one channel, from `row` and `column` on, zeros outside.
template <class T>
void copy_plane(T* to, const T* x, const Extent& in, int64_t pixel, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  const Range inside = positions_inside(column, 1, columns, in.w), exist = positions_inside(row, 1, rows, in.h);
  std::fill_n(to, exist.begin * columns, T{0});
  copy_runs(to + exist.begin * columns, columns, inside.begin, x + ((row + exist.begin) * in.w + column + inside.begin) * pixel,
            in.w * pixel, pixel, exist.size(), inside.size());
  std::fill(to + exist.end * columns, to + rows * columns, T{0});
}

template <class T>
class FewConvolution {
 public:
  FewConvolution(const Problem& problem, const ConvPlan& plan, std::byte* scratch)
      : p_(problem), plan_(plan), scratch_(make_conv_scratch(problem, scratch)) {}

  // [group][block of channels][tap][channel][channel of y]
  void pack(Range tasks) const {
    auto* position = reinterpret_cast<int32_t*>(scratch_.runs);
    order_taps(p_, position);
    const int64_t taps = p_.taps();
    const Range groups{p_.groups * tasks.begin / plan_.pack_tasks, p_.groups * tasks.end / plan_.pack_tasks};
    for (int64_t group = groups.begin; group < groups.end; ++group) {
      const T* w = static_cast<const T*>(p_.w) + group * p_.k * p_.c * taps;
      for (int64_t c = 0; c < p_.c; ++c) {
        const Range channels = channels_of(c / plan_.block);
        T* const out = panel_at(group, channels.begin);
        for (int64_t tap = 0; tap < taps; ++tap)
          for (int64_t k = 0; k < p_.k && position[tap] >= 0; ++k)
            out[(position[tap] * channels.size() + c - channels.begin) * p_.k + k] = w[k * p_.w_k + c * p_.w_c + tap];
      }
    }
  }

  void multiply(int64_t task) const {
    const Region region = region_of(p_, plan_, task);
    if (region.empty()) return;
    if (fits_planes(region)) return multiply_planes(region);
    for (int64_t block = 0; block < plan_.blocks; ++block) multiply_block(region, block);
  }

 private:
  // [plane][tap of the depth][row][channel][remainder of the column][column / step]: elements between them.
  struct Strip {
    int64_t rows, remainder, channel, row, plane_tap, plane;
  };

  Range channels_of(int64_t block) const { return piece_of(p_.c, plan_.block, block); }
  T* panel_at(int64_t group, int64_t channel) const { return static_cast<T*>(p_.workspace) + p_.taps() * (group * p_.c + channel) * p_.k; }

  void multiply_block(const Region& region, int64_t block) const {
    constexpr int N = Vec<T>::N;
    const auto& [d, h, w, first_tap] = region.phase;
    Strip strip;
    strip.rows = h.span(region.rows.size());
    strip.remainder = round_up(region.cols.size(), N) + (w.taps > 0 ? (w.taps - 1) * w.tap_step / w.step : 0);
    strip.channel = w.step * strip.remainder;
    strip.row = channels_of(block).size() * strip.channel;
    strip.plane_tap = strip.rows * strip.row;
    strip.plane = d.taps * strip.plane_tap;
    T* const strips = reinterpret_cast<T*>(scratch_.strips);
    for (int64_t plane = region.planes.begin; plane < region.planes.end; ++plane)
      copy_strip(region, block, strip, plane, strips + (plane - region.planes.begin) * strip.plane);
    set_bias(region.group, block);
    // Planes with the same taps fill a tile together where one row does not.
    int64_t runs = 0;
    const int64_t together = region.cols.size() <= N && p_.out.d == 1 ? kFewVectors : 1;
    for (int64_t plane = region.planes.begin; plane < region.planes.end; plane += together) {
      bool whole = false;  // the rows of the filter that the last row met
      for (int64_t row = region.rows.begin; row < region.rows.end; ++row) {
        const bool meets_all = h.inside(h.source(row, 0)) && h.inside(h.source(row, h.taps - 1));
        if (!meets_all || !whole) runs = list_runs(region.phase, strip, plane, row, channels_of(block).size());
        whole = meets_all;
        multiply_row(region, block, strip, plane, std::min(together, region.planes.end - plane), row, runs);
      }
    }
  }

  // Whole rows of one channel, adjacent pixels: then x is copied once for every column of the filter, without the pixels that have no
  // output, and rows of any length fill their vectors (LeNet-5's first layer 263 -> 225 us).
  bool fits_planes(const Region& region) const {
    const auto& [d, h, w, first_tap] = region.phase;
    const auto adjacent = [](const Axis& a) { return a.step == 1 && a.tap_step == 1 && a.gather == 1 && a.out_step == 1; };
    const int64_t pixels = region.rows.size() * region.cols.size();
    return p_.c == 1 && d.taps == 1 && d.count == 1 && d.inside(d.source(0, 0)) && adjacent(h) && adjacent(w) && w.taps > 1 &&
           region.cols.size() == p_.out.w && pixels >= Vec<T>::N && p_.activation <= Activation::Relu &&
           w.taps * h.span(region.rows.size()) * p_.out.w * p_.size() <= kPlaneBytes;
  }

  void multiply_planes(const Region& region) const {
    constexpr int64_t N = Vec<T>::N;
    const auto& [d, h, w, first_tap] = region.phase;
    const int64_t rows = h.span(region.rows.size()), size = rows * p_.out.w, pixels = region.rows.size() * p_.out.w;
    set_bias(region.group, 0);
    T* const planes = reinterpret_cast<T*>(scratch_.strips);
    for (int64_t th = 0; th < h.taps; ++th) scratch_.runs[th] = {th * p_.out.w, (first_tap + th * w.taps) * p_.k, w.taps};
    FewTile<T> tile;
    tile.strip = planes, tile.x_step = size;
    tile.panel = panel_at(region.group, 0), tile.w_step = p_.k;
    tile.runs = scratch_.runs, tile.count = h.taps;
    tile.y_pixel = p_.y_pixel;
    tile.bias = reinterpret_cast<const T*>(scratch_.tile);
    tile.lowest = p_.activation == Activation::Relu ? T{0} : -std::numeric_limits<T>::infinity();
    tile.add = false;
    const int64_t vectors = ceil_div(pixels, N), tiles = ceil_div(vectors, kFewVectors);
    for (int64_t plane = region.planes.begin; plane < region.planes.end; ++plane) {
      const T* const x = static_cast<const T*>(p_.x) + (plane * p_.in.d + d.source(0, 0)) * p_.in.h * p_.in.w * p_.x_pixel + region.group;
      for (int64_t tw = 0; tw < w.taps; ++tw)
        copy_plane(planes + tw * size, x, p_.in, p_.x_pixel, h.source(region.rows.begin, 0), rows, w.source(0, tw), p_.out.w);
      tile.y = static_cast<T*>(p_.y) + output_offset(p_, region, plane, region.rows.begin);
      for (int64_t i = 0; i < tiles; ++i) {
        const Range part = part_of(vectors, 1, tiles, i);
        for (int64_t v = 0; v < part.size(); ++v) {  // the last one begins where it is full
          tile.x_at[v] = std::min((part.begin + v) * N, pixels - N);
          tile.y_at[v] = tile.x_at[v] * tile.y_pixel, tile.live[v] = N;
        }
        few_tiles().kernels[part.size() - 1][p_.k - 1](tile);
      }
    }
  }

  // Long before it is read as vectors: set for every row, it took a quarter of the time of a layer of one channel.
  void set_bias(int64_t group, int64_t block) const {
    constexpr int64_t H = kMostFew<T>;
    T* const bias = reinterpret_cast<T*>(scratch_.tile);
    std::fill_n(bias, 2 * H, T{0});
    for (int64_t k = 0; k < p_.k && block + 1 == plan_.blocks && p_.bias != nullptr; ++k)
      bias[k] = bias[k + H] = static_cast<const T*>(p_.bias)[group * p_.k + k];
  }

  void copy_strip(const Region& region, int64_t block, const Strip& strip, int64_t plane, T* out) const {
    const Axis &d = region.phase.d, &w = region.phase.w;
    const Range channels = channels_of(block);
    const T* x = static_cast<const T*>(p_.x) + plane / d.count * p_.in.count() * p_.x_pixel + region.group * p_.c + channels.begin;
    for (int64_t b = 0; b < w.step; ++b) {
      const Columns cols = columns_of(w, w.source(region.cols.begin, 0) + b * w.gather, strip.remainder);
      for_each_source_row(p_, region, plane, strip.rows, [&](int64_t td, int64_t r, int64_t source_row) {
        copy_row(cols, x + source_row * p_.in.w * p_.x_pixel, channels.size(), strip,
                 out + td * strip.plane_tap + r * strip.row + b * strip.remainder);
      });
    }
  }

  // Of a row of the strip: [begin, end) lie inside the input, from its pixel `first`, `distance` apart.
  struct Columns {
    int64_t begin, end, first, distance;
  };
  static Columns columns_of(const Axis& w, int64_t start, int64_t count) {
    const int64_t distance = w.step * w.gather;
    const int64_t begin = std::clamp<int64_t>(ceil_div(std::max<int64_t>(0, -start), distance), 0, count);
    const int64_t end = std::clamp<int64_t>(ceil_div(std::max<int64_t>(0, w.extent - start), distance), begin, count);
    return {begin, end, start + begin * distance, distance};
  }

  // Columns outside the input are zero, and so are those that only fill vectors.
  void copy_row(const Columns& cols, const T* x, int64_t channels, const Strip& strip, T* out) const {
    turn_pixels(out + cols.begin, x + cols.first * p_.x_pixel, cols.distance * p_.x_pixel, channels, cols.end - cols.begin, strip.channel);
    for (int64_t c = 0; c < channels; ++c) {
      std::fill_n(out + c * strip.channel, cols.begin, T{0});
      std::fill_n(out + c * strip.channel + cols.end, strip.remainder - cols.end, T{0});
    }
  }

  // out[channel][pixel] from x[pixel][channel].
  static void turn_pixels(T* out, const T* x, int64_t x_step, int64_t channels, int64_t pixels, int64_t out_step) {
    constexpr int N = Vec<T>::N;
    if (x_step == 1) {
      for (; pixels >= N; pixels -= N, x += N, out += N) Vec<T>::load(x).store(out);
      return static_cast<void>(std::copy_n(x, pixels, out));
    }
    if (channels < N / 4) {
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t i = 0; i < pixels; ++i) out[c * out_step + i] = x[i * x_step + c];
      return;
    }
    for (int64_t first = 0; first < pixels; first += N) {
      const int64_t live = std::min<int64_t>(N, pixels - first);
      for (int64_t c = 0; c < channels; c += N) {
        const int64_t rows = std::min<int64_t>(N, channels - c);
        const T* from = x + first * x_step + c;
        Vec<T> r[N];
        DNN_UNROLL
        for (int i = 0; i < N; ++i)
          r[i] = i >= live ? Vec<T>::zero() : rows == N ? Vec<T>::load(from + i * x_step) : Vec<T>::load(from + i * x_step, rows);
        transpose(r);
        for (int64_t i = 0; i < rows; ++i) {
          T* const to = out + (c + i) * out_step + first;
          live == N ? r[i].store(to) : r[i].store(to, live);
        }
      }
    }
  }

  // Along the taps of a row where they are more than the channels and adjacent, else along the channels.
  bool runs_along_taps(const Axis& w, int64_t channels) const { return w.step == 1 && w.taps > channels; }

  // From the first row of the strip that the output row meets.
  int64_t list_runs(const Phase& phase, const Strip& strip, int64_t plane, int64_t row, int64_t channels) const {
    const Axis &h = phase.h, &w = phase.w;
    const bool along_taps = runs_along_taps(w, channels);
    Run* run = scratch_.runs;
    for_each_filter_row(p_, phase, plane, row, [&](int64_t td, int64_t th, int64_t tap, int64_t) {
      const int64_t at = td * strip.plane_tap + th * h.tap_step * strip.row;
      for (int64_t c = 0; along_taps && c < channels; ++c) *run++ = {at + c * strip.channel, (tap * channels + c) * p_.k, w.taps};
      for (int64_t tw = 0; !along_taps && tw < w.taps; ++tw) {
        const int64_t column = tw * w.tap_step;
        *run++ = {at + column % w.step * strip.remainder + column / w.step, (tap + tw) * channels * p_.k, channels};
      }
    });
    return run - scratch_.runs;
  }

  void multiply_row(const Region& region, int64_t block, const Strip& strip, int64_t plane, int64_t planes, int64_t row,
                    int64_t runs) const {
    constexpr int N = Vec<T>::N;
    const auto& w = region.phase.w;
    const int64_t channels = channels_of(block).size(), cols = region.cols.size();
    const bool is_last = block + 1 == plan_.blocks;
    FewTile<T> tile;
    tile.x_step = runs_along_taps(w, channels) ? w.tap_step : strip.channel;
    tile.w_step = runs_along_taps(w, channels) ? channels * p_.k : p_.k;
    tile.panel = panel_at(region.group, channels_of(block).begin);
    tile.runs = scratch_.runs;
    tile.count = runs;
    tile.y_pixel = w.out_step * p_.y_pixel;
    tile.bias = reinterpret_cast<const T*>(scratch_.tile);
    tile.lowest = is_last && p_.activation == Activation::Relu ? T{0} : -std::numeric_limits<T>::infinity();
    tile.add = block > 0;
    T* const y = static_cast<T*>(p_.y) + output_offset(p_, region, plane, row);
    const T* const x = reinterpret_cast<const T*>(scratch_.strips) + (plane - region.planes.begin) * strip.plane +
                       (row - region.rows.begin) * region.phase.h.step * strip.row;
    const auto& kernels = few_tiles().kernels;
    if (planes > 1) {
      for (int64_t v = 0; v < planes; ++v)
        tile.x_at[v] = v * strip.plane, tile.y_at[v] = v * p_.out.count() * p_.y_pixel, tile.live[v] = cols;
      tile.strip = x, tile.y = y;
      kernels[planes - 1][p_.k - 1](tile);
    } else {
      // The last vector begins where it is full, and does some pixels again.
      const bool overlaps = cols >= N && plan_.blocks == 1;
      const int64_t vectors = ceil_div(cols, N), tiles = ceil_div(vectors, kFewVectors);
      tile.strip = x, tile.y = y;
      Range part{0, 0};
      for (int64_t i = 0; i < tiles; ++i) {
        part = {part.end, vectors * (i + 1) / tiles};
        for (int64_t v = 0; v < part.size(); ++v) {
          const int64_t first = (part.begin + v) * N, column = overlaps ? std::min(first, cols - N) : first;
          tile.x_at[v] = column, tile.y_at[v] = column * tile.y_pixel, tile.live[v] = std::min<int64_t>(N, cols - column);
        }
        kernels[part.size() - 1][p_.k - 1](tile);
      }
    }
    if (!is_last || p_.activation <= Activation::Relu) return;
    for (int64_t i = 0; i < planes; ++i) {
      T* const sums = y + i * p_.out.count() * p_.y_pixel;
      finish_block({sums, tile.y_pixel, nullptr, p_.dtype, p_.activation, false, false}, sums, tile.y_pixel, 0, 0, cols, p_.k);
    }
  }

  static const FewTileTable<T>& few_tiles() {
    if constexpr (sizeof(T) == 8)
      return kDoubleFewTiles;
    else
      return kFloatFewTiles;
  }

  const Problem& p_;
  const ConvPlan& plan_;
  ConvScratch scratch_;
};

}  // namespace dnncore::DNNCORE_ISA
