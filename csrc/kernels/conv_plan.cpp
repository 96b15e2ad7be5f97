// The choices are measured ones; the bits of the result depend on none of them except `block`.
#include "kernels/conv_plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/elementwise_loops.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kPanelBytes = 320 << 10;  // of one panel's weights: with a strip, most of a 1 MB L2
constexpr int64_t kStripBytes = 384 << 10;
constexpr double kTaskFlops = 2e6;
constexpr int64_t kMostTasksWanted = 24;
constexpr int64_t kTileBytes = kMaxConvRows * kMaxWidth * kVecBytes;

int64_t euclidean(int64_t a, int64_t b) { return (a % b + b) % b; }

// Of the phase of the outputs that filter position f reaches in backward-data.
int64_t phase_of_tap(int64_t f, int64_t stride, int64_t dilation, int64_t pad) { return euclidean(f * dilation - pad, stride); }

Axis axis_of(const Problem& p, int64_t Extent::*dim, int64_t phase) {
  return make_axis(p.backward, p.in.*dim, p.out.*dim, p.filter.*dim, p.stride.*dim, p.dilation.*dim, p.pad.*dim, phase);
}

int64_t phases_of(const Problem& p, int64_t Extent::*dim) { return p.backward ? std::min(p.stride.*dim, p.out.*dim) : 1; }

// Taps of all phases of one dimension below `phase`; stride counts them all.
int64_t taps_before(const Problem& p, int64_t Extent::*dim, int64_t phase) {
  int64_t taps = 0;
  for (int64_t i = 0; i < phase; ++i) taps += axis_of(p, dim, i).taps;
  return taps;
}

// The filter's extent in strip positions, at most, and the distance of two outputs.
struct Reach {
  int64_t taps, span, step;
  int64_t of(int64_t outputs) const { return (outputs - 1) * step + span; }
};
Reach reach_of(const Problem& p, int64_t Extent::*dim) {
  Reach reach{0, 1, 1};
  for (int64_t i = 0; i < phases_of(p, dim); ++i) {
    const Axis axis = axis_of(p, dim, i);
    reach = {std::max(reach.taps, axis.taps), std::max(reach.span, axis.span(1)), std::max(reach.step, axis.step)};
  }
  return reach;
}

struct StripSize {
  Reach d, h, w;
  int64_t extra;  // columns
  int64_t pixel_bytes;
  int64_t bytes(int64_t rows, int64_t cols) const { return d.taps * h.of(rows) * (w.of(cols) + extra) * pixel_bytes; }
};

// Vectors in a panel: the widest, where two wide ones are not better than three and one.
int64_t panel_width(int64_t vectors) {
  if (vectors <= kMaxWidth) return vectors;
  return kMaxWidth == 3 && vectors % 3 == 0 && vectors % 2 != 0 ? 3 : 2;
}

// Pixels a multiple of 512 bytes apart fall into few sets of the first-level cache.
int64_t strip_pitch(int64_t channels, int64_t size, bool few) {
  if (few) return channels;
  return channels * size % 512 == 0 ? channels + 64 / size : channels;
}

void choose_block(const Problem& p, ConvPlan& plan) {
  const int64_t fitting = std::max<int64_t>(1, kPanelBytes / (p.taps() * plan.panel * p.size()));
  plan.blocks = ceil_div(p.c, fitting);
  plan.block = plan.blocks == 1 ? p.c : round_up(ceil_div(p.c, plan.blocks), 16);
}

// Halves the block until the strip of one tile fits. False when it never does.
bool fit_block(const Problem& p, ConvPlan& plan, StripSize& strip, int64_t tile, int64_t limit) {
  for (;; plan.block = ceil_div(plan.block, 2)) {
    plan.pitch = strip_pitch(plan.block, p.size(), plan.few);
    strip.pixel_bytes = plan.pitch * p.size();
    if (strip.bytes(1, tile) <= limit) break;
    if (plan.block == 1) return false;
  }
  plan.blocks = ceil_div(p.c, plan.block);
  plan.merged = plan.pitch == p.c;
  return true;
}

// The largest count up to `most`, at least 1, whose bytes stay below kStripBytes.
template <class Bytes>
int64_t fitting(int64_t most, Bytes&& bytes) {
  int64_t low = 1, high = most;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    bytes(middle) <= kStripBytes ? low = middle : high = middle - 1;
  }
  return low;
}

void cut_outputs(const Problem& p, ConvPlan& plan, const StripSize& strip, int64_t tile) {
  const int64_t plane_count = p.n * axis_of(p, &Extent::d, 0).count, height = axis_of(p, &Extent::h, 0).count;
  const int64_t row = axis_of(p, &Extent::w, 0).count;
  const auto even = [](int64_t total, int64_t part) { return ceil_div(total, ceil_div(total, part)); };
  plan.cols = row;
  if (strip.bytes(1, row) > kStripBytes) {
    const int64_t tiles = fitting(ceil_div(row, tile), [&](int64_t count) { return strip.bytes(1, count * tile); });
    plan.cols = std::min(row, tiles * tile);
  }
  plan.col_blocks = ceil_div(row, plan.cols);
  plan.rows = even(height, fitting(height, [&](int64_t count) { return strip.bytes(count, plan.cols); }));
  plan.planes = 1;
  if (plan.rows == height && plan.col_blocks == 1)
    plan.planes = fitting(plane_count, [&](int64_t count) { return count * strip.bytes(height, row); });
  plan.panel_blocks = 1;

  const double flops = 2.0 * static_cast<double>(p.n * p.out.count() * p.k) * static_cast<double>(p.c * p.groups * p.taps());
  const auto wanted = static_cast<int64_t>(std::clamp(flops / kTaskFlops, 1.0, static_cast<double>(kMostTasksWanted)));
  const auto count = [&] {
    plan.plane_blocks = ceil_div(plane_count, plan.planes);
    plan.row_blocks = ceil_div(height, plan.rows);
    return plan.phases * p.groups * plan.plane_blocks * plan.row_blocks * plan.col_blocks * plan.panel_blocks;
  };
  if (count() < wanted) plan.planes = std::max<int64_t>(1, plan.planes * count() / wanted);
  // Many weights are better read by few tasks; few panels leave the rows. (Fewer panels to a task instead, for four images at once: 7 x 7
  // pixels of 512 channels then read their weights twice and not eight times, and lost 2 to 5 % for 4, 8 or 12 parts.)
  const int64_t weight_bytes = p.taps() * p.c * plan.padded * p.size();
  if (count() < wanted && weight_bytes > (1 << 20)) plan.panel_blocks = std::min(plan.panels, ceil_div(wanted, count()));
  if (count() < wanted) plan.rows = even(height, std::max<int64_t>(1, plan.rows * count() / wanted));
  if (count() < wanted) plan.panel_blocks = std::min(plan.panels, ceil_div(wanted * plan.panel_blocks, count()));
  plan.tasks = count();
}

// Whether a filter row's taps beside the channels take fewer cycles than vectors of pixels: there are fewer pixels of x than of y, or none
// is left over in their last vector. Ends of tiles were timed.
bool spreads(const Problem& p, const ConvPlan& plan) {
  if (!plan.few || plan.blocks > 1 || plan.col_blocks > 1 || p.groups > 1 || p.y_pixel != p.k) return false;
  const Axis w = axis_of(p, &Extent::w, 0);
  const int64_t share = kSpreadWidth * plan.lanes;
  if (p.stride.w > 1 || p.dilation.w > 1 || w.offset <= -w.taps || p.filter.w * p.k > share) return false;
  const int64_t steps = p.c * reach_of(p, &Extent::d).taps * reach_of(p, &Extent::h).taps;
  return p.in.w * (kSpreadWidth * steps + 8) < ceil_div(w.count, plan.lanes) * (w.taps * p.k * steps + 64);
}

}  // namespace

Problem problem_of(const ConvForwardArgs& a) {
  const ConvShape& s = a.shape;
  const int64_t c = s.c / s.groups, k = s.k / s.groups;
  return {a.x,      a.w,      a.bias,     a.y,   a.workspace, false,        s.n,          s.groups,
          c,        k,        s.in,       s.out, s.x_pixel,   s.y_pixel,    c * s.taps(), s.taps(),
          s.filter, s.stride, s.dilation, s.pad, s.dtype,     a.activation, a.algorithm};
}

Problem problem_of(const ConvBackwardDataArgs& a) {
  const ConvShape& s = a.shape;
  const int64_t c = s.c / s.groups, k = s.k / s.groups;
  return {a.dy,       a.w,       a.bias,    a.dx,     a.workspace,  true,     s.n,      s.groups,   k,     c,       s.out,
          s.in,       s.y_pixel, s.x_pixel, s.taps(), c * s.taps(), s.filter, s.stride, s.dilation, s.pad, s.dtype, Activation::None,
          a.algorithm};
}

Axis make_axis(bool backward, int64_t in, int64_t out, int64_t filter, int64_t stride, int64_t dilation, int64_t pad, int64_t phase) {
  if (!backward) {
    const int64_t gather = filter > 1 ? std::gcd(stride, dilation) : stride;
    return {0, 1, out, 0, 1, filter, in, -pad, gather, stride / gather, filter > 1 ? dilation / gather : 0};
  }
  // Taps f with phase + pad - f dilation a multiple of the stride, the last one first: its source position is the lowest.
  const int64_t period = stride / std::gcd(stride, dilation);
  int64_t first = 0;
  while (first < std::min(period, filter) && phase_of_tap(first, stride, dilation, pad) != phase) ++first;
  Axis axis{phase, stride, ceil_div(std::max<int64_t>(0, out - phase), stride), 0, -period, 0, in, 0, 1, 1, period * dilation / stride};
  if (first >= std::min(period, filter)) return axis;
  axis.taps = (filter - 1 - first) / period + 1;
  axis.filter_first = first + (axis.taps - 1) * period;
  axis.offset = (phase + pad - axis.filter_first * dilation) / stride;
  return axis;
}

Phase make_phase(const Problem& p, int64_t index) {
  const int64_t phases_w = phases_of(p, &Extent::w), phases_h = phases_of(p, &Extent::h);
  const int64_t w = index % phases_w, h = index / phases_w % phases_h, d = index / (phases_w * phases_h);
  Phase phase{axis_of(p, &Extent::d, d), axis_of(p, &Extent::h, h), axis_of(p, &Extent::w, w), 0};
  if (p.backward)
    phase.first_tap = (taps_before(p, &Extent::d, d) * p.filter.h + phase.d.taps * taps_before(p, &Extent::h, h)) * p.filter.w +
                      phase.d.taps * phase.h.taps * taps_before(p, &Extent::w, w);
  return phase;
}

void order_taps(const Problem& p, int32_t* position) {
  if (!p.backward) return std::iota(position, position + p.taps(), 0);
  std::fill_n(position, p.taps(), -1);  // of a stride longer than the output: it reaches nothing
  const int64_t phases = phases_of(p, &Extent::d) * phases_of(p, &Extent::h) * phases_of(p, &Extent::w);
  for (int64_t i = 0; i < phases; ++i) {
    const auto [d, h, w, first] = make_phase(p, i);
    int64_t at = first;
    for (int64_t td = 0; td < d.taps; ++td)
      for (int64_t th = 0; th < h.taps; ++th)
        for (int64_t tw = 0; tw < w.taps; ++tw)
          position[((d.filter_first + td * d.filter_step) * p.filter.h + h.filter_first + th * h.filter_step) * p.filter.w +
                   w.filter_first + tw * w.filter_step] = static_cast<int32_t>(at++);
  }
}

Region region_of(const Problem& p, const ConvPlan& plan, int64_t task) {
  const auto next = [&](int64_t count) {
    const int64_t index = task % count;
    task /= count;
    return index;
  };
  const int64_t panel_block = next(plan.panel_blocks), col_block = next(plan.col_blocks), row_block = next(plan.row_blocks);
  const Phase phase = make_phase(p, next(plan.phases));
  const int64_t plane_block = next(plan.plane_blocks), group = task;
  return {phase,
          piece_of(p.n * phase.d.count, plan.planes, plane_block),
          piece_of(phase.h.count, plan.rows, row_block),
          piece_of(phase.w.count, plan.cols, col_block),
          {plan.panels * panel_block / plan.panel_blocks, plan.panels * (panel_block + 1) / plan.panel_blocks},
          group};
}

int64_t output_offset(const Problem& p, const Region& region, int64_t plane, int64_t row) {
  const auto& [d, h, w, first_tap] = region.phase;
  const int64_t out_plane = plane / d.count * p.out.d + d.out_first + plane % d.count * d.out_step;
  const int64_t out_row = out_plane * p.out.h + h.out_first + row * h.out_step;
  return (out_row * p.out.w + w.out_first + region.cols.begin * w.out_step) * p.y_pixel + region.group * p.k;
}

int64_t conv_scratch_fixed(const Problem& p) { return round_up(p.taps() * static_cast<int64_t>(sizeof(Run)), 64) + kTileBytes; }

ConvScratch make_conv_scratch(const Problem& p, std::byte* scratch) {
  const int64_t fixed = conv_scratch_fixed(p);
  return {reinterpret_cast<Run*>(scratch), scratch + fixed - kTileBytes, scratch + fixed};
}

ConvPlan make_panel_plan(const Problem& p) {
  ConvPlan plan{};
  plan.lanes = kVecBytes / p.size();
  plan.padded = round_up(p.k, plan.lanes);
  plan.width = panel_width(plan.padded / plan.lanes);
  plan.panel = plan.width * plan.lanes;
  plan.panels = ceil_div(p.k, plan.panel);
  plan.block = p.c, plan.blocks = 1;
  return plan;
}

ConvPlan make_conv_plan(const Problem& p) {
  ConvPlan plan = make_panel_plan(p);
  if (p.c == 0) return plan;
  plan.few = p.k <= plan.lanes / 2;
  if (plan.few) plan.padded = plan.panel = p.k;
  plan.phases = phases_of(p, &Extent::d) * phases_of(p, &Extent::h) * phases_of(p, &Extent::w);
  choose_block(p, plan);
  const int64_t tile = plan.few ? plan.lanes : max_conv_rows(static_cast<int>(plan.width));
  StripSize strip{reach_of(p, &Extent::d), reach_of(p, &Extent::h), reach_of(p, &Extent::w), 0, 0};
  if (plan.few) strip.extra = strip.w.step * (plan.lanes + 1);
  const int64_t limit = static_cast<int64_t>(kScratchBytes) - conv_scratch_fixed(p);
  plan.possible = fit_block(p, plan, strip, tile, limit);
  if (!plan.possible) return plan;
  cut_outputs(p, plan, strip, tile);
  // Of a row that is one tile, products with padding are left out, tap by tap (7 x 7 pixels, 3 x 3 taps: a tenth of all).
  const bool pads = p.pad.w > 0 && p.filter.w > 1 && p.in.w <= tile && plan.block >= 32;
  plan.merged = plan.merged && !pads;
  const int64_t weights = p.groups * p.taps() * p.c * plan.padded;
  plan.pack_tasks = std::clamp<int64_t>(weights >> 15, 1, p.groups * plan.panels);
  plan.workspace_bytes = (weights + p.groups * round_up(plan.padded, plan.lanes)) * p.size();
  plan.spread = spreads(p, plan);
  if (plan.spread) plan.pack_tasks = 1, plan.workspace_bytes = p.taps() / p.filter.w * p.c * kSpreadWidth * kVecBytes;
  const bool aligned = p.y_pixel * p.size() % kVecBytes == 0 && p.k % plan.lanes == 0 && reinterpret_cast<uintptr_t>(p.y) % kVecBytes == 0;
  plan.streams =
      plan.blocks == 1 && aligned && p.activation <= Activation::Relu && p.n * p.out.count() * p.y_pixel * p.size() >= kStreamBytes;
  const double flops = 2.0 * static_cast<double>(p.n * p.out.count() * p.k) * static_cast<double>(p.c * p.groups * p.taps());
  plan.nanoseconds = 500 + flops / (p.size() == 8 ? 50 : 100) + static_cast<double>(plan.workspace_bytes) / 20;
  return plan;
}

}  // namespace dnncore::DNNCORE_ISA
