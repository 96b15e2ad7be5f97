// torch.optim.SGD over groups of parameters: one launch a step over a table that lives in tensor memory (rules 3 and 6).
#pragma once

#include <vector>

#include "core/tensor.h"
#include "kernels/sgd.h"

namespace dnncore::ops {

class SgdUpdate {
 public:
  // Parameters: float32 or float64 leaves, contiguous; each may appear once.
  explicit SgdUpdate(std::vector<std::vector<Tensor>> groups);

  void set_group(size_t group, const SgdGroup& settings);
  // Parameters without a gradient stay as they are.
  void step();

  // Undefined before the first update with momentum.
  Tensor momentum_buffer(size_t group, size_t index) const;
  void set_momentum_buffer(size_t group, size_t index, const Tensor& buffer);

 private:
  struct Entry {
    Tensor parameter;
    Tensor momentum;
    bool initialised = false;
  };
  const Entry& entry(size_t group, size_t index) const;
  // The segments of this step: those with a gradient. Returns the number of elements they hold.
  int64_t fill_table(std::vector<Tensor>& kept);

  std::vector<std::vector<Entry>> groups_;
  Tensor settings_;  // SgdGroup per group
  Tensor table_;     // SgdSegment per parameter
  int64_t segment_count_ = 0;
};

}  // namespace dnncore::ops
