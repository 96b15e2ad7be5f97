// How a product is cut up. Everything follows from the shape, the strides and the ISA; the order of the sum over k from n, k and the order
// of A alone.
#pragma once

#include <algorithm>

#include "core/parallel.h"
#include "kernels/gemm_tile.h"

namespace dnncore::DNNCORE_ISA {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// What B's panels look like; gemm_pack and gemm must agree on it, so m plays no part.
struct Panels {
  int64_t lanes;    // of a vector
  int64_t bytes;    // of an element the micro-kernel reads
  int64_t steps;    // over k: elements, or pairs of bfloat16
  int64_t depth;    // steps in a block of k; C is updated once per block
  int64_t blocks;   // of k, at least 1
  int64_t vectors;  // in a panel
  int64_t width;    // columns in a panel

  int64_t padded(int64_t n) const { return (n + lanes - 1) & -lanes; }
};
Panels make_panels(DType dtype, int64_t n, int64_t k);

// Few columns that would leave much of a vector empty: gemm_dot.h's kernel when A lies along k too. B is then wanted along k as well, and
// gemm_pack writes just that, unconverted.
bool wants_dots(DType dtype, int64_t n, int64_t k);

enum class BForm : uint8_t {
  InPlace,
  PerTask,
  Shared,
  Given
};  // read where it lies, packed by each task, packed once before, packed by the caller

struct Plan {
  Panels panels;
  bool dots;
  bool turned;  // the transpose of C is computed, see turns()
  Order a_order;
  bool copy_a;
  bool fetches;  // A is read from far: the next rows come while these are multiplied
  bool streams;  // C goes past the caches
  BForm b_form;
  int64_t rows;                // of the highest tile
  int64_t row_unit;            // of blocks of rows
  int64_t m_blocks, n_blocks;  // a grid of blocks of C
  int64_t splits;              // of k, summed in their order at the end
  int64_t blocks_per_split;
  int64_t items, items_per_task;  // products of one block of C: (batch, split, row block, column block)
  int64_t pack_tasks, reduce_tasks;
  double nanoseconds;
};
Plan make_plan(const GemmArgs& args, bool turned);

// Few rows times the transpose of a large matrix: computed as C^T = B^T A^T, where the large one is read as it lies and only the few rows
// are packed. Every sum is over the same products in the same order, so the bits are the same.
bool turns(const GemmArgs& args);
GemmArgs turned(const GemmArgs& args);  // A and B exchanged; C and bias as they were

int64_t shared_b_bytes(const GemmArgs& args, const Plan& plan);
int64_t split_bytes(const GemmArgs& args, const Plan& plan);

// [begin, end) of part `index` of `parts` nearly equal ones of `total`, cut at multiples of `unit`.
struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};
inline Range part_of(int64_t total, int64_t unit, int64_t parts, int64_t index) {
  if (parts == 1) return {0, total};
  const int64_t units = ceil_div(total, unit);
  return {std::min(total, units * index / parts * unit), std::min(total, units * (index + 1) / parts * unit)};
}

}  // namespace dnncore::DNNCORE_ISA
