#include "ops/sgd.h"

#include <unordered_set>

#include "ops/common.h"

namespace dnncore::ops {

namespace {

Tensor bytes(size_t count) { return Tensor::empty({static_cast<int64_t>(count)}, DType::UInt8, {}, "sgd"); }

void check_parameter(const Tensor& parameter) {
  const bool floats = parameter.dtype() == DType::Float32 || parameter.dtype() == DType::Float64;
  DNN_CHECK(floats, TypeError, "sgd: expected float32 or float64 parameters, got ", parameter.dtype());
  DNN_CHECK(parameter.is_leaf(), ValueError, "sgd: can only update leaf tensors, got the result of '", parameter.impl()->grad_fn->op, "'");
  DNN_CHECK(parameter.is_contiguous(), ValueError, "sgd: expected a contiguous parameter, got shape ", parameter.shape(), " with strides ",
            parameter.strides());
  DNN_CHECK(parameter.storage()->writable(), ValueError, "sgd: a parameter of shape ", parameter.shape(), " shares read-only memory");
}

Tensor checked_gradient(const Tensor& parameter) {
  const Tensor grad = parameter.grad();
  DNN_CHECK(grad.shape() == parameter.shape() && grad.dtype() == parameter.dtype(), ValueError, "sgd: a parameter of shape ",
            parameter.shape(), " (", parameter.dtype(), ") has a gradient of shape ", grad.shape(), " (", grad.dtype(), ")");
  return contiguous(grad.detach());
}

}  // namespace

SgdUpdate::SgdUpdate(std::vector<std::vector<Tensor>> groups) {
  size_t count = 0;
  std::unordered_set<TensorImpl*> seen;
  for (const auto& parameters : groups) {
    auto& entries = groups_.emplace_back();
    for (const Tensor& parameter : parameters) {
      check_parameter(parameter);
      DNN_CHECK(seen.insert(parameter.impl()).second, ValueError, "sgd: a parameter of shape ", parameter.shape(), " appears twice");
      entries.push_back({parameter});
      ++count;
    }
  }
  settings_ = bytes(groups_.size() * sizeof(SgdGroup));
  std::uninitialized_value_construct_n(settings_.data<SgdGroup>(), groups_.size());
  table_ = bytes(count * sizeof(SgdSegment));
}

void SgdUpdate::set_group(size_t group, const SgdGroup& settings) {
  DNN_CHECK(group < groups_.size(), IndexError, "sgd: group ", group, " of ", groups_.size());
  settings_.data<SgdGroup>()[group] = settings;
}

int64_t SgdUpdate::fill_table(std::vector<Tensor>& kept) {
  auto* segments = table_.data<SgdSegment>();
  int64_t total = 0;
  segment_count_ = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const bool momentum = settings_.data<SgdGroup>()[g].momentum != 0;
    for (Entry& entry : groups_[g]) {
      if (!entry.parameter.grad().defined()) continue;
      check_parameter(entry.parameter);
      const Tensor grad = checked_gradient(entry.parameter);
      if (momentum && !entry.momentum.defined()) entry.momentum = Tensor::empty(entry.parameter.shape(), entry.parameter.dtype());
      segments[segment_count_++] = {.parameter = entry.parameter.data(),
                                    .gradient = grad.data(),
                                    .momentum = momentum ? entry.momentum.data() : nullptr,
                                    .length = entry.parameter.numel(),
                                    .group = static_cast<int32_t>(g),
                                    .dtype = entry.parameter.dtype(),
                                    .initialised = entry.initialised};
      total += entry.parameter.numel();
      kept.push_back(grad);
    }
  }
  return total;
}

void SgdUpdate::step() {
  std::vector<Tensor> kept;  // gradients made contiguous live until the launch is over
  const int64_t total = fill_table(kept);
  if (segment_count_ == 0) return;
  launch("sgd", kernel::sgd,
         SgdArgs{.segments = table_.data<SgdSegment>(),
                 .groups = settings_.data<SgdGroup>(),
                 .segment_count = segment_count_,
                 .group_count = static_cast<int64_t>(groups_.size()),
                 .total_length = total},
         table_.device());
  for (size_t g = 0; g < groups_.size(); ++g)
    for (Entry& entry : groups_[g])
      if (entry.parameter.grad().defined()) {
        entry.parameter.storage()->bump_version();
        entry.initialised |= settings_.data<SgdGroup>()[g].momentum != 0;
      }
}

const SgdUpdate::Entry& SgdUpdate::entry(size_t group, size_t index) const {
  DNN_CHECK(group < groups_.size() && index < groups_[group].size(), IndexError, "sgd: no parameter ", index, " in group ", group);
  return groups_[group][index];
}

Tensor SgdUpdate::momentum_buffer(size_t group, size_t index) const {
  const Entry& found = entry(group, index);
  return found.initialised ? found.momentum : Tensor();
}

void SgdUpdate::set_momentum_buffer(size_t group, size_t index, const Tensor& buffer) {
  auto& found = const_cast<Entry&>(entry(group, index));
  if (!buffer.defined()) {
    found.initialised = false;
    return;
  }
  DNN_CHECK(buffer.shape() == found.parameter.shape(), ValueError, "sgd: expected a momentum buffer of shape ", found.parameter.shape(),
            ", got ", buffer.shape());
  const NoGrad no_grad;
  found.momentum = copy_of(buffer, found.parameter.dtype(), "sgd");
  found.initialised = true;
}

}  // namespace dnncore::ops
