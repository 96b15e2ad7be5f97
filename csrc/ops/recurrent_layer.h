// One recurrent layer in its directions, over rows of (step, sequence) pairs: what ops/recurrent*.cpp share.
#pragma once

#include "autograd/tape.h"
#include "ops/recurrent.h"

namespace dnncore::ops {

// Which row belongs to which sequence at which step, as kernels/recurrent.h describes it.
struct Steps {
  int64_t steps = 0, batch = 0, rows = 0;
  int64_t time_step = 0, batch_step = 1;
  Tensor start, active;        // int64, one per step; undefined where dense
  std::vector<int64_t> sizes;  // the same as `active`, where the host looks

  bool packed() const { return start.defined(); }
  bool batch_first() const { return time_step == 1 && batch_step == steps; }
};
Steps dense_steps(int64_t steps, int64_t batch, bool batch_first);
// `sizes` sequences at each step, which never grow; `batch` counts those without a step too.
Steps packed_steps(const char* op, const std::vector<int64_t>& sizes, int64_t batch, Device device);

// Sequences from the longest to the shortest, and what packing a padded batch does.
struct Packing {
  std::vector<int64_t> order;  // position in the sorted batch -> sequence
  std::vector<int64_t> sizes;  // sequences that run at each step
  std::vector<int64_t> rows;   // row of the padded batch, for each packed row
  bool sorted = true;          // as they were

  std::vector<int64_t> inverse() const;  // sequence -> position
};
Packing packing_of(const std::vector<int64_t>& lengths, int64_t steps, bool batch_first);
Tensor picked_rows(const char* op, const Tensor& x, const std::vector<int64_t>& rows);                 // row rows[i] of x as row i
Tensor spread_rows(const char* op, const Tensor& x, const std::vector<int64_t>& rows, int64_t total);  // the inverse, zeros elsewhere
Tensor whole_numbers(const char* op, const std::vector<int64_t>& values);

// Rows of h_{t-1} (or c_{t-1}), in fresh memory: `rows` (rows, n), a row of it at a fixed distance, and `first` (B, n) or undefined for
// zeros.
Tensor previous_rows(const char* op, const Steps& steps, bool reverse, const Tensor& rows, const Tensor& first);

struct RecurrentLayer {
  const char* op;
  Cell cell;
  int64_t hidden = 0, output = 0;
  Steps steps;
};

struct LayerInputs {
  Tensor x;       // (rows, I)
  Tensor h0, c0;  // (directions, B, P), (directions, B, H); may be undefined
  std::vector<RecurrentWeights> weights;

  std::vector<Tensor> all() const;  // in the order of the node's edges
};
inline constexpr size_t kFirstWeight = 3;  // after x, h0, c0

// The i-th of `all()` is make(i).
template <class Fn>
LayerInputs inputs_from(size_t directions, Fn&& make) {
  LayerInputs in{make(0), make(1), make(2), {}};
  for (size_t d = 0; d < directions; ++d)
    in.weights.push_back(weights_from([&](size_t i) { return make(kFirstWeight + d * kWeightsPerDirection + i); }));
  return in;
}

// y (rows, directions P), h and c (directions, B, ...).
RecurrentResult recurrent_layer(const RecurrentLayer& layer, const LayerInputs& inputs);
// The same of ops that record themselves, step by step.
RecurrentResult recurrent_by_steps(const RecurrentLayer& layer, const LayerInputs& inputs);

}  // namespace dnncore::ops
