// Winograd's F(4x4, 3x3) (Lavin and Gray 2016, arXiv:1509.09308): 3x3 with stride 1 by 36 products for 16 outputs instead of 144. Tiles of
// 6x6 inputs and the filters are transformed, multiplied channel by channel as 36 matrices, and transformed back to 4x4 outputs.
// [transform the filters], then tasks: some tiles times some panels of output channels.
#pragma once

#include "kernels/conv_panels.h"

namespace dnncore::DNNCORE_ISA {

struct WinogradPlan {
  bool possible;
  ConvPlan panels;            // how output channels are cut, with all input channels in one block
  int64_t pitch;              // elements between transformed tiles
  int64_t tiles_h, tiles_w;   // of one plane (image, depth)
  int64_t tiles, tiles_task;  // of all planes; of a task
  int64_t tile_blocks, panel_blocks, tasks;
  double nanoseconds;
  int64_t workspace_bytes;  // transformed filters [panel][36][channel][panel's lanes], then the bias
};
WinogradPlan make_winograd_plan(const Problem& problem);

// float32 only: the rounding error is some ten times the direct one's.
class Winograd {
 public:
  Winograd(const Problem& problem, const WinogradPlan& plan, std::byte* scratch) : p_(problem), plan_(plan), scratch_(scratch) {}

  void pack(Range tasks) const;
  void multiply(int64_t task) const;

 private:
  using F = Vec<float>;

  float* filters_of(int64_t panel) const { return static_cast<float*>(p_.workspace) + 36 * p_.c * panel * plan_.panels.panel; }
  float* bias() const { return static_cast<float*>(p_.workspace) + 36 * p_.c * plan_.panels.padded; }
  int64_t lanes_of(int64_t panel) const { return std::min(plan_.panels.panel, plan_.panels.padded - panel * plan_.panels.panel); }

  void transform_filters(int64_t panel, const float* packed) const;
  void transform_inputs(Range tiles, float* out) const;
  void transform_input(int64_t tile, float* out, int64_t step) const;
  void multiply_panel(int64_t panel, int64_t tiles, const float* inputs, float* sums) const;
  void transform_outputs(int64_t panel, Range tiles, const float* sums) const;

  const Problem& p_;
  const WinogradPlan& plan_;
  std::byte* scratch_;
};

}  // namespace dnncore::DNNCORE_ISA
