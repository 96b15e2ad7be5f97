// How a weight gradient is cut up: sums over pixels of input times output gradient, one filter row at a time. Everything follows from the
// shape and the ISA. See conv_weight.cpp for what is done and conv_weight_plan.cpp for the choices.
#pragma once

#include "kernels/conv.h"
#include "kernels/gemm_plan.h"

namespace dnncore::DNNCORE_ISA {

// sums += A^T B over pixels (plane, row, step): the adjacent elements of A at a pixel are rows of the tile, those of B its vectors.
template <class T>
struct WeightTile {
  const T* a;
  const T* b;
  int64_t a_step, a_row, a_plane;  // bytes
  int64_t b_step, b_row, b_plane;
  int64_t steps, rows, planes;
  T* sums;
  int64_t ld;          // elements
  const char* ahead;   // a line of what the next chunk reads is fetched at every step: this one,
  int64_t ahead_step;  // and so many bytes further
};
template <class T>
using WeightTileFn = void (*)(const WeightTile<T>&);

inline constexpr int kWeightWidth = 2;  // vectors of the widest tile

// kernels[vectors - 1][rows - 1]
template <class T>
struct WeightTiles {
  WeightTileFn<T> kernels[kWeightWidth][kMaxRows];
};
extern const WeightTiles<float> kFloatWeightTiles;
extern const WeightTiles<double> kDoubleWeightTiles;

// A part of the filter and of the channels of a group: its gradient is a convolution's by itself.
struct WeightBlock {
  int64_t group;
  Range c, k, d, r, s;
  bool first;  // adds up the bias gradient too
};

// Some of the output's pixels: images x one depth x rows x columns.
struct WeightChunk {
  Range n;
  int64_t d;
  Range h, w;
};

// The input of a chunk is copied to a strip [d][n][row][column][element] where all that one output pixel takes from a filter row is
// adjacent and padding is zeros. Columns are those of the input, which outputs share, or each output's own taps when it `unfolds`; rows
// alike. When it `folds`, a column holds all filter rows of its output row.
struct WeightStrip {
  int64_t elements;             // of a column
  int64_t adjacent;             // of a pixel's filter row: (s, elements)
  int64_t filter_rows;          // products of a depth: 1 when folded
  int64_t columns, rows;        // of an image, in output pixels or input pixels
  int64_t step, row, image, d;  // from an output pixel to the next one, its row, image and depth of the filter, in elements
  int64_t filter_row;           // from a filter row to the next
};

struct WeightPlan {
  int64_t lanes, size;  // of a vector, of an element
  bool turned;          // a tile is output channels by vectors of (s, c), else (s, c) by vectors of output channels
  bool folds, unfolds_rows, unfolds;
  bool in_place;  // the strip is the input as it lies
  WeightBlock largest;
  int64_t c_parts, k_parts, d_parts, r_parts, s_parts, blocks;
  WeightChunk largest_chunk;
  int64_t n_chunks, h_chunks, w_chunks, chunks;
  int64_t splits;                      // of the chunks, added in their order at the end
  int64_t items, items_per_task;       // (split, block)
  int64_t finish_c, finish_k;          // parts of a block, of 16 input channels and of a vector of output channels
  int64_t finish_units, finish_tasks;  // (block, part): a phase of its own where there are splits
  int64_t sums;                        // elements of a block with its bias gradient
  double nanoseconds;
};
WeightPlan make_weight_plan(const ConvShape& shape);
WeightBlock weight_block(const ConvShape& shape, const WeightPlan& plan, int64_t index);
WeightChunk weight_chunk(const ConvShape& shape, const WeightPlan& plan, int64_t index);
WeightStrip weight_strip(const ConvShape& shape, const WeightPlan& plan, const WeightBlock& block, const WeightChunk& chunk);
int64_t sums_ld(const WeightPlan& plan, const WeightBlock& block, const WeightStrip& strip);

}  // namespace dnncore::DNNCORE_ISA
