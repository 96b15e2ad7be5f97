// Rows of a table, found by id, and their sums, means and maxima in bags. Differentiable any number of times.
#pragma once

#include "core/tensor.h"
#include "kernels/embedding.h"

namespace dnncore::ops {

// ids int32 or int64 of any shape, 0 <= id < rows (IndexError otherwise): the rows, (..., columns). `padding` (-1: none) gets no gradient;
// by_frequency: the gradient of a row is divided by the number of its ids.
Tensor embedding(const Tensor& weight, const Tensor& ids, int64_t padding, bool by_frequency);

struct Bags {
  Tensor ids;      // (bags, ids) or, with offsets, (ids,)
  Tensor offsets;  // where each bag begins, 0 first; undefined for two-dimensional ids
  Tensor factors;  // as the ids, Sum only; may be undefined
  BagMode mode = BagMode::Mean;
  bool include_last_offset = false;  // offsets end with the number of ids
};
// (bags, columns); `padding` counts nowhere.
Tensor embedding_bag(const Tensor& weight, const Bags& bags, int64_t padding, bool by_frequency);

// Rows that ids name, scaled down to a norm of max_norm where theirs is larger.
void embedding_renorm_(const Tensor& weight, const Tensor& ids, double max_norm, double norm_type);

}  // namespace dnncore::ops
