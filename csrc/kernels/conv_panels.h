// Convolution by panels of output channels: [pack the weights], then sums of outputs over all taps with the tiles of conv_tile.h. A task
// copies the strips of the input it needs, with a zero halo, to where they stay in L2, and reads every panel once for all its outputs.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/conv_plan.h"
#include "kernels/gemm_pack.h"

namespace dnncore::DNNCORE_ISA {

template <class T>
class PanelConvolution {
 public:
  PanelConvolution(const Problem& problem, const ConvPlan& plan, std::byte* scratch)
      : p_(problem), plan_(plan), tiles_(conv_tiles<T>()), scratch_(make_conv_scratch(problem, scratch)) {}

  // Panels: [group][block of channels][panel][tap][channel][panel's lanes], zero beyond the channels of y.
  void pack(Range tasks) const {
    auto* position = reinterpret_cast<int32_t*>(scratch_.runs);
    order_taps(p_, position);
    const Range items{p_.groups * plan_.panels * tasks.begin / plan_.pack_tasks, p_.groups * plan_.panels * tasks.end / plan_.pack_tasks};
    for (int64_t item = items.begin; item < items.end; ++item)
      for (int64_t block = 0; block < plan_.blocks; ++block) {
        const int64_t group = item / plan_.panels, panel = item % plan_.panels;
        pack_panel(group, block, panel, position, panel_at(group, block, panel));
      }
    if (tasks.begin == 0) pack_bias();
  }

  // [tap][channel][lanes]
  void pack_panel(int64_t group, int64_t block, int64_t panel, const int32_t* position, T* out) const {
    const Range channels = channels_of(block);
    const int64_t first = panel * plan_.panel, lanes = lanes_of(panel), taps = p_.taps();
    const T* w = static_cast<const T*>(p_.w) + group * p_.k * p_.c * taps + first * p_.w_k + channels.begin * p_.w_c;
    const auto at = [&](int64_t c, int64_t tap) { return out + (position[tap] * channels.size() + c) * lanes; };
    const auto live = [&](int64_t j) { return std::clamp<int64_t>(p_.k - first - j, 0, plan_.lanes); };
    if (p_.w_c == taps && p_.w_k != 1) {
      for (int64_t j = 0; j < lanes; j += plan_.lanes)
        turn_weights(w + j * p_.w_k, live(j), channels.size() * taps, taps, position,
                     [&](int64_t c, int64_t tap) { return at(c, tap) + j; });
      return;
    }
    for (int64_t c = 0; c < channels.size(); ++c) {
      const T* const row = w + c * p_.w_c;
      if (c + kAhead < channels.size())  // rows are far apart: nothing else fetches the next ones in time
        for (int64_t i = 0; i < std::min(lanes, p_.k - first) * p_.w_k; i += 64 / sizeof(T)) __builtin_prefetch(row + kAhead * p_.w_c + i);
      for (int64_t j = 0; j < lanes; j += plan_.lanes) {
        if (p_.w_k != 1)
          turn_weights(row + j * p_.w_k, live(j), taps, taps, position, [&](int64_t, int64_t tap) { return at(c, tap) + j; });
        else if (position[0] >= 0)  // one tap: the channels of y are adjacent
          Vec<T>::load(row + j, live(j)).store(at(c, 0) + j);
      }
    }
  }

  void multiply(int64_t task) const {
    const Region region = region_of(p_, plan_, task);
    if (region.empty()) return;
    for (int64_t block = 0; block < plan_.blocks; ++block) multiply_block(region, block);
    if (plan_.streams) stream_fence();
  }

 private:
  // Strips of consecutive planes: [plane][tap of the depth][row][column][channel].
  struct Strip {
    int64_t row, plane_tap, plane;  // elements between them
    int64_t rows, cols;
  };
  static constexpr int64_t kAhead = 4;  // rows of weights

  Range channels_of(int64_t block) const { return piece_of(p_.c, plan_.block, block); }
  int64_t lanes_of(int64_t panel) const { return std::min(plan_.panel, plan_.padded - panel * plan_.panel); }
  T* panel_at(int64_t group, int64_t block, int64_t panel) const {
    const Range channels = channels_of(block);
    return static_cast<T*>(p_.workspace) +
           p_.taps() * ((group * p_.c + channels.begin) * plan_.padded + panel * plan_.panel * channels.size());
  }
  T* bias_at(int64_t group, int64_t panel) const {
    return static_cast<T*>(p_.workspace) + p_.groups * p_.taps() * p_.c * plan_.padded + group * plan_.padded + panel * plan_.panel;
  }

  void pack_bias() const {
    for (int64_t group = 0; group < p_.groups; ++group)
      for (int64_t k = 0; k < plan_.padded; ++k)
        bias_at(group, 0)[k] = p_.bias == nullptr || k >= p_.k ? T{0} : static_cast<const T*>(p_.bias)[group * p_.k + k];
  }

  // `count` adjacent weights (channel, tap) of each lane, a vector for each.
  template <class At>
  void turn_weights(const T* w, int64_t live, int64_t count, int64_t taps, const int32_t* position, At&& at) const {
    constexpr int N = Vec<T>::N;
    int64_t c = 0, tap = 0;
    for (int64_t first = 0; first < count; first += N) {
      const int64_t left = std::min<int64_t>(N, count - first);
      Vec<T> r[N];
      DNN_UNROLL
      for (int i = 0; i < N; ++i)
        r[i] = i >= live ? Vec<T>::zero() : left == N ? Vec<T>::load(w + i * p_.w_k + first) : Vec<T>::load(w + i * p_.w_k + first, left);
      transpose(r);
      for (int64_t i = 0; i < left; ++i) {
        if (position[tap] >= 0) r[i].store(at(c, tap));
        if (++tap == taps) tap = 0, ++c;
      }
    }
  }

  void multiply_block(const Region& region, int64_t block) const {
    const Phase& phase = region.phase;
    Strip strip;
    strip.rows = phase.h.span(region.rows.size()), strip.cols = phase.w.span(region.cols.size());
    strip.row = strip.cols * plan_.pitch;
    strip.plane_tap = strip.rows * strip.row;
    strip.plane = phase.d.taps * strip.plane_tap;
    T* const strips = reinterpret_cast<T*>(scratch_.strips);
    for (int64_t plane = region.planes.begin; plane < region.planes.end; ++plane)
      copy_strip(region, block, strip, plane, strips + (plane - region.planes.begin) * strip.plane);
    for (int64_t panel = region.panels.begin; panel < region.panels.end; ++panel)
      for (int64_t plane = region.planes.begin; plane < region.planes.end; ++plane)
        for (int64_t row = region.rows.begin; row < region.rows.end; ++row)
          multiply_row(region, block, panel, strip, strips + (plane - region.planes.begin) * strip.plane, plane, row);
  }

  // What lies outside the input: rows are left out, columns are zero.
  void copy_strip(const Region& region, int64_t block, const Strip& strip, int64_t plane, T* out) const {
    const Axis &d = region.phase.d, &w = region.phase.w;
    const Range channels = channels_of(block);
    const T* x = static_cast<const T*>(p_.x) + plane / d.count * p_.in.count() * p_.x_pixel + region.group * p_.c + channels.begin;
    const int64_t source_col = w.source(region.cols.begin, 0);
    // Columns first <= q < last lie inside.
    const int64_t first = std::clamp<int64_t>(ceil_div(std::max<int64_t>(0, -source_col), w.gather), 0, strip.cols);
    const int64_t last = std::clamp<int64_t>(ceil_div(std::max<int64_t>(0, w.extent - source_col), w.gather), first, strip.cols);
    for_each_source_row(p_, region, plane, strip.rows, [&](int64_t td, int64_t r, int64_t source_row) {
      T* row = out + td * strip.plane_tap + r * strip.row;
      std::fill_n(row, first * plan_.pitch, T{0});
      std::fill_n(row + last * plan_.pitch, (strip.cols - last) * plan_.pitch, T{0});
      copy_pixels(row + first * plan_.pitch, x + (source_row * p_.in.w + source_col + first * w.gather) * p_.x_pixel, w.gather * p_.x_pixel,
                  last - first, channels.size());
    });
  }

  void copy_pixels(T* out, const T* x, int64_t x_step, int64_t pixels, int64_t channels) const {
    constexpr int N = Vec<T>::N;
    if (x_step == channels && plan_.pitch == channels) channels *= pixels, pixels = 1;
    for (int64_t i = 0; i < pixels; ++i, out += plan_.pitch, x += x_step) {
      int64_t c = 0;
      for (; c + N <= channels; c += N) Vec<T>::load(x + c).store(out + c);
      for (; c < channels; ++c) out[c] = x[c];
    }
  }

  static int64_t outside(const Region& region, int64_t tap) {
    const Axis& w = region.phase.w;
    return (w.inside(w.source(region.cols.begin, tap)) ? 0 : kFirstPixel) | (w.inside(w.source(region.cols.end - 1, tap)) ? 0 : kLastPixel);
  }

  // The taps of a row of outputs that lie inside the input; returns their runs' count.
  int64_t list_runs(const Region& region, const Strip& strip, int64_t plane, int64_t row, int64_t channels, int64_t lanes) const {
    const Axis &h = region.phase.h, &w = region.phase.w;
    const int64_t runs_per_row = plan_.merged && w.tap_step <= 1 ? std::min<int64_t>(1, w.taps) : w.taps;
    const int64_t taps_per_run = runs_per_row == w.taps ? 1 : w.taps;
    Run* run = scratch_.runs;
    for_each_filter_row(p_, region.phase, plane, row, [&](int64_t td, int64_t th, int64_t tap, int64_t) {
      const int64_t at = td * strip.plane_tap + ((row - region.rows.begin) * h.step + th * h.tap_step) * strip.row;
      for (int64_t tw = 0; tw < runs_per_row; ++tw)
        *run++ = {at + tw * w.tap_step * plan_.pitch, (tap + tw) * channels * lanes, taps_per_run * channels,
                  runs_per_row == w.taps ? outside(region, tw) : 0};
    });
    return run - scratch_.runs;
  }

  void multiply_row(const Region& region, int64_t block, int64_t panel, const Strip& strip, const T* strips, int64_t plane,
                    int64_t row) const {
    const auto& [d, h, w, first_tap] = region.phase;
    const int64_t lanes = lanes_of(panel), vectors = lanes / plan_.lanes, first = panel * plan_.panel;
    const bool is_last = block + 1 == plan_.blocks;
    static constexpr T kZeros[kMaxWidth * Vec<T>::N] = {};
    ConvTile<T> tile;
    tile.pixel = w.step * plan_.pitch * static_cast<int64_t>(sizeof(T));
    tile.panel = panel_at(region.group, block, panel);
    tile.runs = scratch_.runs;
    tile.count = list_runs(region, strip, plane, row, channels_of(block).size(), lanes);
    tile.y_pixel = w.out_step * p_.y_pixel;
    tile.cols = std::min(lanes, p_.k - first);
    tile.bias = is_last ? bias_at(region.group, panel) : kZeros;
    tile.lowest = is_last && p_.activation == Activation::Relu ? T{0} : -std::numeric_limits<T>::infinity();
    tile.add = block > 0;
    tile.streams = plan_.streams;
    T* const y = static_cast<T*>(p_.y) + output_offset(p_, region, plane, row) + first;
    const auto& kernels = tiles_.kernels[vectors - 1];
    const int64_t tiles = ceil_div(region.cols.size(), max_conv_rows(static_cast<int>(vectors)));
    Range cols{0, 0};
    for (int64_t i = 0; i < tiles; ++i) {
      cols = {cols.end, region.cols.size() * (i + 1) / tiles};
      tile.strip = strips + cols.begin * w.step * plan_.pitch;
      tile.y = y + cols.begin * tile.y_pixel;
      tile.edges = (i == 0 ? kFirstPixel : 0) | (i + 1 == tiles ? kLastPixel : 0);
      if (kMaskedStores || tile.cols == lanes)
        kernels[cols.size() - 1](tile);
      else
        multiply_ragged(kernels[cols.size() - 1], tile, cols.size(), lanes);
    }
    if (is_last && p_.activation > Activation::Relu)
      finish_block({y, tile.y_pixel, nullptr, p_.dtype, p_.activation, false, false}, y, tile.y_pixel, 0, 0, region.cols.size(), tile.cols);
  }

  // Through a buffer with room for whole vectors.
  void multiply_ragged(ConvTileFn<T> kernel, const ConvTile<T>& tile, int64_t pixels, int64_t lanes) const {
    T* const sums = reinterpret_cast<T*>(scratch_.tile);
    ConvTile<T> whole = tile;
    whole.y = sums;
    whole.y_pixel = whole.cols = lanes;
    for (int64_t i = 0; i < pixels && tile.add; ++i) std::copy_n(tile.y + i * tile.y_pixel, tile.cols, sums + i * lanes);
    kernel(whole);
    for (int64_t i = 0; i < pixels; ++i) std::copy_n(sums + i * lanes, tile.cols, tile.y + i * tile.y_pixel);
  }

  const Problem& p_;
  const ConvPlan& plan_;
  const ConvTileTable<T>& tiles_;
  ConvScratch scratch_;
};

}  // namespace dnncore::DNNCORE_ISA
