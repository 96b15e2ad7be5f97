// Recurrent networks over whole sequences: layers, directions and dropout between layers. Semantics and defaults are PyTorch's.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "kernels/recurrent.h"
#include "ops/ops.h"

namespace dnncore::ops {

struct RecurrentSettings {
  const char* layer;  // begins every message; lives forever
  Cell cell = Cell::Lstm;
  int64_t layers = 1;
  bool bidirectional = false;
  bool batch_first = false;  // of input and output; states are (layers * directions, B, ...) always
  double dropout = 0;        // between layers; 0 where not training

  int64_t directions() const { return bidirectional ? 2 : 1; }
};

// Of one layer and direction; what it has not is undefined. G gates, P = H without a projection.
struct RecurrentWeights {
  Tensor ih, hh;            // (G H, I), (G H, P)
  Tensor bias_ih, bias_hh;  // (G H), both or none
  Tensor projection;        // LSTM: (P, H)
  Tensor peephole;          // LSTM: (3, H), of the gates i, f, o
};

// The order of lists of weights: those Python gives, and the edges of a layer's node.
inline constexpr std::array kWeightOrder{&RecurrentWeights::ih,      &RecurrentWeights::hh,         &RecurrentWeights::bias_ih,
                                         &RecurrentWeights::bias_hh, &RecurrentWeights::projection, &RecurrentWeights::peephole};
inline constexpr size_t kWeightsPerDirection = kWeightOrder.size();

// The i-th weight is make(i).
template <class Fn>
RecurrentWeights weights_from(Fn&& make) {
  RecurrentWeights made;
  for (size_t i = 0; i < kWeightsPerDirection; ++i) made.*kWeightOrder[i] = make(i);
  return made;
}

// Those there are become fn(weight).
template <class Fn>
RecurrentWeights mapped(const RecurrentWeights& w, Fn&& fn) {
  return weights_from([&](size_t i) {
    const Tensor& each = w.*kWeightOrder[i];
    return each.defined() ? fn(each) : each;
  });
}

struct RecurrentResult {
  Tensor y;     // (T, B, directions P) or batch first; the rows of a packed input
  Tensor h, c;  // (layers * directions, B, P) and (..., H); c of an LSTM alone
};

// x (T, B, I), (B, T, I) where batch first, or (T, I) with states (layers * directions, P). Undefined states are zeros. With `lengths`, one
// from 0 to T for each sequence, the others' steps are as if they were not there: y is 0 beyond, and h, c are those of the last step.
RecurrentResult recurrent(const RecurrentSettings& settings, const Tensor& x, const Tensor& h0, const Tensor& c0,
                          const std::vector<RecurrentWeights>& weights, const std::optional<std::vector<int64_t>>& lengths);
// As PyTorch's PackedSequence. data (rows, I): those of the first step, then of the second; `sizes` says how many, and never grows.
// `order`: which sequence each of the sorted ones was, and `back` its inverse; undefined where they were sorted. States are unsorted.
struct PackedRows {
  Tensor data;
  std::vector<int64_t> sizes;
  Tensor order, back;
};
RecurrentResult recurrent_packed(const RecurrentSettings& settings, const PackedRows& packed, const Tensor& h0, const Tensor& c0,
                                 const std::vector<RecurrentWeights>& weights);
// One step: x (B, I) or (I), states (B, H) or (H), as are h and c; y is not set.
RecurrentResult recurrent_step(const RecurrentSettings& settings, const Tensor& x, const Tensor& h0, const Tensor& c0,
                               const RecurrentWeights& weights);

}  // namespace dnncore::ops
