// The optimizers of torch.optim over groups of parameters: one launch a step over a table that lives in tensor memory (rules 3 and 6).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "autograd/plan.h"
#include "kernels/optimizer.h"

namespace dnncore::ops {

class OptimizerUpdate final : public OptimizerStep {
 public:
  using Settings = std::vector<std::pair<std::string, double>>;
  using State = std::vector<std::pair<std::string, Tensor>>;

  // `rule`: a name of OptimizerRule.
  explicit OptimizerUpdate(const std::string& rule);

  // Parameters: float32 or float64 leaves, contiguous; each may appear once. The update is as it was when this throws.
  void add_group(const std::vector<Tensor>& parameters, const Settings& settings);
  void set_group(size_t group, const Settings& settings);  // by names of OptimizerGroup's fields
  // Makes the state of every parameter now instead of at its first gradient.
  void prepare();
  // Parameters without a gradient stay as they are.
  void step() override;

  // By PyTorch's names; the tensors share memory with the state, counters are 0-D. Empty before the first update.
  State state(size_t group, size_t index);
  // Complete states only. A tensor of the parameter's dtype and shape is shared, others are converted.
  void set_state(size_t group, size_t index, const State& state);

 private:
  struct Entry {
    Tensor parameter;
    Tensor buffers[kOptimizerBuffers];
    Tensor counters;  // float64, kOptimizerCounters values
  };
  Entry& entry(size_t group, size_t index);
  void follow();  // where the parameters have gone
  bool needs(const OptimizerGroup& settings, int buffer) const;
  void complete_state(Entry& entry, const OptimizerGroup& settings) const;
  // The segments of this step: those with a gradient. Returns where the walk ends.
  int64_t fill_table(std::vector<Tensor>& kept);

  OptimizerRule rule_;
  std::vector<std::vector<Entry>> groups_;
  std::vector<OptimizerGroup> written_;  // what settings_ holds, for decisions of the host
  Tensor settings_;                      // OptimizerGroup per group
  Tensor table_;                         // OptimizerSegment per parameter
  Tensor settings_there_;                // on the parameters' device; undefined: to be written
  Device device_;                        // of all parameters
  int64_t parameter_count_ = 0, segment_count_ = 0;
};

}  // namespace dnncore::ops
