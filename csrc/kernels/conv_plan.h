// Forward and backward-data as one problem, sums over taps of a source image, and how it is cut up. All of it follows from the shape and
// the ISA.
//   y[n, o, k] = activation(bias[k] + sum over taps t, c of x[n, o step + offset(t), c] w[k, c, f(t)])
// on a grid of outputs o. Backward-data with a stride is a problem for each phase of the outputs (o modulo the stride): each has the
// taps that reach it, and every tap belongs to one.
#pragma once

#include "core/parallel.h"
#include "kernels/conv.h"
#include "kernels/conv_tile.h"
#include "kernels/gemm_plan.h"

namespace dnncore::DNNCORE_ISA {

struct Problem {
  const void *x, *w, *bias;  // x: what is summed (dy in backward-data)
  void *y, *workspace;
  bool backward;
  int64_t n, groups, c, k;  // channels of x and of y in one group
  Extent in, out;           // of x and of y
  int64_t x_pixel, y_pixel;
  int64_t w_k, w_c;  // elements between the weights of two channels of y, of x; a tap's is 1
  Extent filter, stride, dilation, pad;
  DType dtype;
  Activation activation;
  ConvAlgorithm algorithm;

  int64_t taps() const { return filter.count(); }
  int64_t size() const { return dtype == DType::Float64 ? 8 : 4; }
};
Problem problem_of(const ConvForwardArgs& args);
Problem problem_of(const ConvBackwardDataArgs& args);

// One dimension of one phase. The strip of the input has every `gather`-th position; in it, output i and tap t meet at
// i * step + t * tap_step, from the first one's on.
struct Axis {
  int64_t out_first, out_step, count;  // outputs out_first + i * out_step, i < count
  int64_t filter_first, filter_step;   // tap t is filter_first + t * filter_step of the filter
  int64_t taps;
  int64_t extent;          // of the source
  int64_t offset, gather;  // strip position p of output 0 and tap 0 is source position offset + gather * p
  int64_t step, tap_step;

  int64_t source(int64_t output, int64_t tap) const { return offset + (output * step + tap * tap_step) * gather; }
  bool inside(int64_t position) const { return position >= 0 && position < extent; }
  int64_t span(int64_t outputs) const { return outputs == 0 || taps == 0 ? 0 : (outputs - 1) * step + (taps - 1) * tap_step + 1; }
};
Axis make_axis(bool backward, int64_t in, int64_t out, int64_t filter, int64_t stride, int64_t dilation, int64_t pad, int64_t phase);

struct Phase {
  Axis d, h, w;
  int64_t first_tap;  // of all taps in the order of phases
};
Phase make_phase(const Problem& problem, int64_t index);
// Where the taps of the filter are in the order of phases, and within one in the order of strip positions.
void order_taps(const Problem& problem, int32_t* position);

inline constexpr int kSpreadWidth = 2;  // vectors of conv_spread.h's tiles

struct ConvPlan {
  bool few;                    // output channels: conv_few.h instead of panels
  bool spread;                 // or conv_spread.h
  bool possible;               // else the strips of a few outputs do not fit into scratch
  int64_t lanes;               // of a vector
  int64_t width, panel;        // of a panel of output channels: vectors, channels
  int64_t padded, panels;      // channels of a group in whole vectors; panels of a group
  int64_t block, blocks;       // of input channels, one after the other: their weights of one panel stay in L2
  int64_t pitch;               // elements between pixels of a strip
  bool streams;                // y goes past the caches
  bool merged;                 // taps of a row of the filter are one run
  int64_t cols, rows, planes;  // of the outputs that a task computes; more than one plane only when they are whole
  int64_t phases, plane_blocks, row_blocks, col_blocks, panel_blocks;
  int64_t tasks, pack_tasks;
  double nanoseconds;
  int64_t workspace_bytes;  // packed weights, then the bias
};
ConvPlan make_conv_plan(const Problem& problem);
// How output channels are cut, with all input channels in one block; the rest is left open.
ConvPlan make_panel_plan(const Problem& problem);

// Outputs of one phase, a task: rows x cols of each of some planes (image, depth), for some panels of channels of a group.
struct Region {
  Phase phase;
  Range planes, rows, cols, panels;
  int64_t group;
  bool empty() const { return planes.size() <= 0 || rows.size() <= 0 || cols.size() <= 0; }
};
Region region_of(const Problem& problem, const ConvPlan& plan, int64_t task);
// Elements from the first of y to the first channel of the group at a row's first pixel of the region.
int64_t output_offset(const Problem& problem, const Region& region, int64_t plane, int64_t row);

// Calls fn(tap of the depth, row of the strip, source row): those inside, for a strip of `rows` that starts with the region's first row.
template <class Fn>
void for_each_source_row(const Problem& problem, const Region& region, int64_t plane, int64_t rows, Fn&& fn) {
  const Axis &d = region.phase.d, &h = region.phase.h;
  for (int64_t td = 0; td < d.taps; ++td) {
    const int64_t source_plane = d.source(plane % d.count, td), first = h.source(region.rows.begin, 0);
    for (int64_t r = 0; d.inside(source_plane) && r < rows; ++r)
      if (h.inside(first + r * h.gather)) fn(td, r, source_plane * problem.in.h + first + r * h.gather);
  }
}
// Calls fn(tap of the depth, tap of the height, first tap of that filter row, source row) for the filter rows that an output row meets.
template <class Fn>
void for_each_filter_row(const Problem& problem, const Phase& phase, int64_t plane, int64_t row, Fn&& fn) {
  const auto& [d, h, w, first_tap] = phase;
  for (int64_t td = 0; td < d.taps; ++td) {
    const int64_t source_plane = d.source(plane % d.count, td);
    for (int64_t th = 0; d.inside(source_plane) && th < h.taps; ++th) {
      const int64_t q = h.source(row, th);
      if (h.inside(q)) fn(td, th, first_tap + (td * h.taps + th) * w.taps, source_plane * problem.in.h + q);
    }
  }
}

// Part `index` of `total`, cut into pieces of `size`.
inline Range piece_of(int64_t total, int64_t size, int64_t index) { return {index * size, std::min(total, (index + 1) * size)}; }

// Of Tasks::scratch: runs of a row of outputs, sums of a tile that cannot be stored as it stands, strips.
struct ConvScratch {
  Run* runs;
  std::byte* tile;
  std::byte* strips;
};
int64_t conv_scratch_fixed(const Problem& problem);
ConvScratch make_conv_scratch(const Problem& problem, std::byte* scratch);

}  // namespace dnncore::DNNCORE_ISA
