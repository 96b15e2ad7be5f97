// The transforms, the plan and the order of the work of conv_winograd.h.
#include "kernels/conv_winograd.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kInputBytes = 1100 << 10;  // of a task's transformed tiles: read again for every panel, most of them from L2
constexpr int64_t kMostTiles = 56;
constexpr int64_t kTasksWanted = 16;

using F = Vec<float>;

F times(float a, F x) { return F::set(a) * x; }

// The three transforms of one dimension, for the points 0, 1, -1, 2, -2 and infinity.
DNN_INLINE void transform_input_line(const F (&x)[6], F (&y)[6]) {
  const F four = F::set(4), five = F::set(5), two = F::set(2);
  const F a = x[4] - four * x[2], b = x[3] - four * x[1];
  const F c = x[4] - x[2], d = two * (x[3] - x[1]);
  y[0] = four * x[0] - five * x[2] + x[4];
  y[1] = a + b;
  y[2] = a - b;
  y[3] = c + d;
  y[4] = c - d;
  y[5] = four * x[1] - five * x[3] + x[5];
}
DNN_INLINE void transform_filter_line(const F (&x)[3], F (&y)[6]) {
  const F even = x[0] + x[2], far = times(1.0f / 24, x[0]) + times(1.0f / 6, x[2]), odd = times(1.0f / 12, x[1]);
  y[0] = times(0.25f, x[0]);
  y[1] = times(-1.0f / 6, even + x[1]);
  y[2] = times(-1.0f / 6, even - x[1]);
  y[3] = far + odd;
  y[4] = far - odd;
  y[5] = x[2];
}
DNN_INLINE void transform_output_line(const F (&x)[6], F (&y)[4]) {
  const F near_even = x[1] + x[2], near_odd = x[1] - x[2], far_even = x[3] + x[4], far_odd = x[3] - x[4];
  y[0] = x[0] + near_even + far_even;
  y[1] = near_odd + F::set(2) * far_odd;
  y[2] = near_even + F::set(4) * far_even;
  y[3] = near_odd + F::set(8) * far_odd + x[5];
}

bool is_suitable(const Problem& p) {
  const auto ones = [](const Extent& e) { return e.count() == 1; };
  return p.algorithm == ConvAlgorithm::Winograd && p.dtype == DType::Float32 && p.groups == 1 && p.filter.d == 1 && p.filter.h == 3 &&
         p.filter.w == 3 && ones(p.stride) && ones(p.dilation) && p.pad.d == 0 && p.c >= 16 && p.k >= 16 && p.out.h >= 4 && p.out.w >= 4;
}

}  // namespace

WinogradPlan make_winograd_plan(const Problem& p) {
  WinogradPlan plan{};
  if (!is_suitable(p)) return plan;
  plan.panels = make_panel_plan(p);
  const int64_t rows = max_conv_rows(static_cast<int>(plan.panels.width));
  plan.pitch = round_up(p.c, F::N) + (p.c % 128 == 0 ? 16 : 0);  // no power of two between tiles
  plan.tiles_h = ceil_div(p.out.h, 4), plan.tiles_w = ceil_div(p.out.w, 4);
  plan.tiles = p.n * p.out.d * plan.tiles_h * plan.tiles_w;
  plan.tiles_task = std::clamp<int64_t>(kInputBytes / (36 * plan.pitch * 4), rows, kMostTiles) / rows * rows;
  const int64_t scratch = 36 * plan.tiles_task * (plan.pitch + plan.panels.panel) * 4;
  const int64_t packing = (9 * p.c * plan.panels.panel + 16) * 4;
  plan.possible = std::max(scratch, packing) <= static_cast<int64_t>(kScratchBytes);
  plan.tile_blocks = ceil_div(plan.tiles, plan.tiles_task);
  plan.panel_blocks = std::min(plan.panels.panels, ceil_div(kTasksWanted, plan.tile_blocks));
  plan.tasks = plan.tile_blocks * plan.panel_blocks;
  plan.workspace_bytes = (36 * p.c + 1) * plan.panels.padded * 4;
  plan.nanoseconds = 500 + 36.0 * 2 * static_cast<double>(plan.tiles * p.c * p.k) / 80 + static_cast<double>(plan.workspace_bytes) / 10;
  return plan;
}

void Winograd::pack(Range tasks) const {
  const PanelConvolution<float> direct(p_, plan_.panels, scratch_);
  float* const packed = reinterpret_cast<float*>(scratch_) + 16;
  alignas(64) int32_t position[9];
  order_taps(p_, position);
  for (int64_t panel = tasks.begin; panel < tasks.end; ++panel) {
    direct.pack_panel(0, 0, panel, position, packed);
    transform_filters(panel, packed);
    const int64_t first = panel * plan_.panels.panel;
    for (int64_t k = first; k < first + lanes_of(panel); ++k)
      bias()[k] = p_.bias == nullptr || k >= p_.k ? 0.0f : static_cast<const float*>(p_.bias)[k];
  }
}

// packed: [tap][channel][lanes].
void Winograd::transform_filters(int64_t panel, const float* packed) const {
  const int64_t lanes = lanes_of(panel), step = p_.c * lanes;
  float* const out = filters_of(panel);
  for (int64_t i = 0; i < step; i += F::N) {
    F lines[6][3];  // [transformed row][column]
    for (int column = 0; column < 3; ++column) {
      F x[3], y[6];
      for (int row = 0; row < 3; ++row) x[row] = F::load(packed + (row * 3 + column) * step + i);
      transform_filter_line(x, y);
      for (int row = 0; row < 6; ++row) lines[row][column] = y[row];
    }
    for (int row = 0; row < 6; ++row) {
      F y[6];
      transform_filter_line(lines[row], y);
      for (int column = 0; column < 6; ++column) y[column].store(out + (row * 6 + column) * step + i);
    }
  }
}

void Winograd::multiply(int64_t task) const {
  const int64_t panel_block = task % plan_.panel_blocks, tile_block = task / plan_.panel_blocks;
  const Range tiles = piece_of(plan_.tiles, plan_.tiles_task, tile_block);
  const int64_t panels = plan_.panels.panels;
  float* const inputs = reinterpret_cast<float*>(scratch_);
  float* const sums = inputs + 36 * plan_.tiles_task * plan_.pitch;
  transform_inputs(tiles, inputs);
  for (int64_t panel = panels * panel_block / plan_.panel_blocks; panel < panels * (panel_block + 1) / plan_.panel_blocks; ++panel) {
    multiply_panel(panel, tiles.size(), inputs, sums);
    transform_outputs(panel, tiles, sums);
  }
}

// out: [36][tile][channel].
void Winograd::transform_inputs(Range tiles, float* out) const {
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
    transform_input(tile, out + (tile - tiles.begin) * plan_.pitch, tiles.size() * plan_.pitch);
}

void Winograd::transform_input(int64_t tile, float* out, int64_t step) const {
  const int64_t plane = tile / (plan_.tiles_h * plan_.tiles_w), tile_h = tile / plan_.tiles_w % plan_.tiles_h,
                tile_w = tile % plan_.tiles_w;
  const Phase phase = make_phase(p_, 0);
  const int64_t first_h = phase.h.source(4 * tile_h, 0), first_w = phase.w.source(4 * tile_w, 0);
  const float* x = static_cast<const float*>(p_.x) + plane * p_.in.h * p_.in.w * p_.x_pixel;
  const float* pixels[6][6];  // null outside the input
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j)
      pixels[i][j] =
          phase.h.inside(first_h + i) && phase.w.inside(first_w + j) ? x + ((first_h + i) * p_.in.w + first_w + j) * p_.x_pixel : nullptr;
  for (int64_t c = 0; c < p_.c; c += F::N) {
    const int64_t live = std::min<int64_t>(F::N, p_.c - c);
    F lines[6][6];  // [row][transformed column]
    for (int i = 0; i < 6; ++i) {
      F row[6];
      for (int j = 0; j < 6; ++j)
        row[j] = pixels[i][j] == nullptr ? F::zero() : live == F::N ? F::load(pixels[i][j] + c) : F::load(pixels[i][j] + c, live);
      transform_input_line(row, lines[i]);
    }
    for (int j = 0; j < 6; ++j) {
      const F column[6] = {lines[0][j], lines[1][j], lines[2][j], lines[3][j], lines[4][j], lines[5][j]};
      F y[6];
      transform_input_line(column, y);
      for (int i = 0; i < 6; ++i) y[i].store(out + (i * 6 + j) * step + c);
    }
  }
}

// sums: [36][tile][lanes].
void Winograd::multiply_panel(int64_t panel, int64_t tiles, const float* inputs, float* sums) const {
  static constexpr float kZeros[kMaxWidth * F::N] = {};
  const int64_t lanes = lanes_of(panel), vectors = lanes / F::N;
  const Run all{0, 0, p_.c};
  ConvTile<float> tile{};
  tile.pixel = plan_.pitch * 4;
  tile.runs = &all, tile.count = 1;
  tile.y_pixel = tile.cols = lanes;
  tile.bias = kZeros;
  tile.lowest = -std::numeric_limits<float>::infinity();
  const int64_t strips = ceil_div(tiles, max_conv_rows(static_cast<int>(vectors)));
  for (int64_t product = 0; product < 36; ++product) {
    tile.panel = filters_of(panel) + product * p_.c * lanes;
    Range rows{0, 0};
    for (int64_t i = 0; i < strips; ++i) {
      rows = {rows.end, tiles * (i + 1) / strips};
      tile.strip = inputs + (product * tiles + rows.begin) * plan_.pitch;
      tile.y = sums + (product * tiles + rows.begin) * lanes;
      kFloatConvTiles.kernels[vectors - 1][rows.size() - 1](tile);
    }
  }
}

void Winograd::transform_outputs(int64_t panel, Range tiles, const float* sums) const {
  const int64_t lanes = lanes_of(panel), first = panel * plan_.panels.panel, cols = std::min(lanes, p_.k - first);
  const F lowest = F::set(p_.activation == Activation::Relu ? 0 : -std::numeric_limits<float>::infinity());
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    const int64_t plane = tile / (plan_.tiles_h * plan_.tiles_w), h = tile / plan_.tiles_w % plan_.tiles_h * 4,
                  w = tile % plan_.tiles_w * 4;
    const int64_t height = std::min<int64_t>(4, p_.out.h - h), width = std::min<int64_t>(4, p_.out.w - w), row_step = p_.out.w * p_.y_pixel;
    float* const y = static_cast<float*>(p_.y) + ((plane * p_.out.h + h) * p_.out.w + w) * p_.y_pixel + first;
    for (int64_t k = 0; k < cols; k += F::N) {
      const float* from = sums + (tile - tiles.begin) * lanes + k;
      F lines[6][4];  // [row][output column]
      for (int i = 0; i < 6; ++i) {
        F row[6];
        for (int j = 0; j < 6; ++j) row[j] = F::load(from + (i * 6 + j) * tiles.size() * lanes);
        transform_output_line(row, lines[i]);
      }
      const F bias_of = F::load(bias() + first + k);
      for (int64_t j = 0; j < width; ++j) {
        const F column[6] = {lines[0][j], lines[1][j], lines[2][j], lines[3][j], lines[4][j], lines[5][j]};
        F out[4];
        transform_output_line(column, out);
        for (int64_t i = 0; i < height; ++i) {
          float* const p = y + i * row_step + j * p_.y_pixel + k;
          const F value = max(lowest, out[i] + bias_of);
          cols - k >= F::N ? value.store(p) : value.store(p, cols - k);
        }
      }
    }
    for (int64_t i = 0; i < height && p_.activation > Activation::Relu; ++i) {
      float* const row = y + i * row_step;
      finish_block<float>({row, p_.y_pixel, nullptr, p_.dtype, p_.activation, false}, row, p_.y_pixel, 0, 0, width, cols);
    }
  }
}

}  // namespace dnncore::DNNCORE_ISA
