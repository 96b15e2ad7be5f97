#include "ops/optimizer.h"

#include <algorithm>
#include <unordered_set>

#include "kernels/optimizer.h"
#include "ops/common.h"

namespace dnncore::ops {

namespace {

struct RuleNames {
  const char* name;
  const char* buffers[kOptimizerBuffers];
  const char* counters[kOptimizerCounters];  // those that are part of the visible state
};

// In the order of OptimizerRule.
constexpr RuleNames kRules[] = {
    {"sgd", {"momentum_buffer"}, {}},
    {"adam", {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}, {"step"}},
    {"adamax", {"exp_avg", "exp_inf"}, {"step"}},
    {"nadam", {"exp_avg", "exp_avg_sq"}, {"step", "mu_product"}},
    {"radam", {"exp_avg", "exp_avg_sq"}, {"step"}},
    {"rmsprop", {"square_avg", "momentum_buffer", "grad_avg"}, {"step"}},
    {"adagrad", {"sum"}, {"step"}},
    {"adadelta", {"square_avg", "acc_delta"}, {"step"}},
    {"rprop", {"prev", "step_size"}, {"step"}},
    {"asgd", {"ax"}, {"step", "eta", "mu"}},
};

const RuleNames& names_of(OptimizerRule rule) { return kRules[static_cast<size_t>(rule)]; }

struct SettingName {
  const char* name;
  double OptimizerGroup::*field;
};

constexpr SettingName kSettings[] = {
#define SETTING(name) \
  { #name, &OptimizerGroup::name }
    SETTING(lr),       SETTING(weight_decay), SETTING(decoupled), SETTING(maximize), SETTING(momentum), SETTING(dampening),
    SETTING(nesterov), SETTING(beta1),        SETTING(beta2),     SETTING(eps),      SETTING(amsgrad),  SETTING(momentum_decay),
    SETTING(alpha),    SETTING(centered),     SETTING(rho),       SETTING(lr_decay), SETTING(initial),  SETTING(eta_minus),
    SETTING(eta_plus), SETTING(step_min),     SETTING(step_max),  SETTING(lambd),    SETTING(t0),
#undef SETTING
};

OptimizerGroup group_of(const char* op, const OptimizerUpdate::Settings& settings) {
  OptimizerGroup group;
  for (const auto& setting : settings) {
    const auto* found =
        std::find_if(std::begin(kSettings), std::end(kSettings), [&](const SettingName& known) { return setting.first == known.name; });
    DNN_CHECK(found != std::end(kSettings), ValueError, op, ": no setting '", setting.first, "'");
    group.*found->field = setting.second;
  }
  return group;
}

template <class T>
Tensor table_of(size_t count, const char* op) {
  return Tensor::empty({static_cast<int64_t>(count * sizeof(T))}, DType::UInt8, {}, op);
}

void check_parameter(const char* op, const Tensor& parameter) {
  const bool floats = parameter.dtype() == DType::Float32 || parameter.dtype() == DType::Float64;
  DNN_CHECK(floats, TypeError, op, ": expected float32 or float64 parameters, got ", parameter.dtype());
  DNN_CHECK(parameter.is_leaf(), ValueError, op, ": can only update leaf tensors, got the result of '", parameter.impl()->grad_fn->op, "'");
  DNN_CHECK(parameter.is_contiguous(), ValueError, op, ": expected a contiguous parameter, got shape ", parameter.shape(), " with strides ",
            parameter.strides());
  DNN_CHECK(parameter.storage()->writable(), ValueError, op, ": a parameter of shape ", parameter.shape(), " shares read-only memory");
}

Tensor checked_gradient(const char* op, const Tensor& parameter) {
  const Tensor grad = parameter.grad();
  DNN_CHECK(grad.shape() == parameter.shape() && grad.dtype() == parameter.dtype(), ValueError, op, ": a parameter of shape ",
            parameter.shape(), " (", parameter.dtype(), ") has a gradient of shape ", grad.shape(), " (", grad.dtype(), ")");
  return grad.is_contiguous() ? grad : contiguous(grad.detach());
}

// What a buffer holds before the first update.
double initial_value(OptimizerRule rule, int buffer, const OptimizerGroup& settings) {
  if (rule == OptimizerRule::adagrad) return settings.initial;
  return rule == OptimizerRule::rprop && buffer == 1 ? settings.lr : 0;
}

// On the host.
Tensor initial_counters(OptimizerRule rule, const OptimizerGroup& settings, const char* op) {
  const Tensor counters = Tensor::empty({kOptimizerCounters}, DType::Float64, {}, op);
  auto* values = counters.data<double>();
  values[0] = 0;
  values[1] = rule == OptimizerRule::asgd ? settings.lr : 1;  // eta; mu_product
  values[2] = 1;                                              // mu
  return counters;
}

void host_writes() {
  if (Recorder* recorder = current_recorder()) recorder->cannot_repeat("optimizer", "changes its settings or state");
}

double number_in(const Tensor& x) {
  const Tensor wide = on_host(copy_of(x, DType::Float64, "optimizer"));
  return *wide.data<double>();
}

}  // namespace

OptimizerUpdate::OptimizerUpdate(const std::string& rule) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules), [&](const RuleNames& names) { return rule == names.name; });
  DNN_CHECK(found != std::end(kRules), ValueError, "optimizer: no rule '", rule, "'");
  rule_ = static_cast<OptimizerRule>(found - kRules);
}

void OptimizerUpdate::add_group(const std::vector<Tensor>& parameters, const Settings& settings) {
  const char* op = names_of(rule_).name;
  follow();
  std::unordered_set<TensorImpl*> seen;
  for (const auto& group : groups_)
    for (const Entry& entry : group) seen.insert(entry.parameter.impl());
  std::vector<Entry> entries;
  for (const Tensor& parameter : parameters) {
    check_parameter(op, parameter);
    DNN_CHECK(seen.insert(parameter.impl()).second, ValueError, op, ": a parameter of shape ", parameter.shape(), " appears twice");
    entries.emplace_back().parameter = parameter;
  }
  const Device device = !groups_.empty() && parameter_count_ > 0 ? device_ : parameters.empty() ? Device{} : parameters[0].device();
  for (const Tensor& parameter : parameters)
    DNN_CHECK(parameter.device() == device, StateError, op, ": expected all parameters on ", device, ", got one on ", parameter.device());
  host_writes();
  const OptimizerGroup group = group_of(op, settings);
  const Tensor written = table_of<OptimizerGroup>(groups_.size() + 1, op);
  std::uninitialized_copy_n(written_.data(), groups_.size(), written.data<OptimizerGroup>());
  std::construct_at(written.data<OptimizerGroup>() + groups_.size(), group);
  const Tensor table = table_of<OptimizerSegment>(seen.size(), op);
  groups_.reserve(groups_.size() + 1);
  written_.push_back(group);
  groups_.push_back(std::move(entries));
  settings_ = written;
  settings_there_ = {};
  device_ = device;
  table_ = table;
  parameter_count_ = static_cast<int64_t>(seen.size());
}

void OptimizerUpdate::set_group(size_t group, const Settings& settings) {
  const char* op = names_of(rule_).name;
  DNN_CHECK(group < groups_.size(), IndexError, op, ": group ", group, " of ", groups_.size());
  host_writes();
  settings_.data<OptimizerGroup>()[group] = written_[group] = group_of(op, settings);
  settings_there_ = {};
}

bool OptimizerUpdate::needs(const OptimizerGroup& settings, int buffer) const {
  if (names_of(rule_).buffers[buffer] == nullptr) return false;
  if (rule_ == OptimizerRule::sgd) return settings.momentum != 0;
  if (rule_ == OptimizerRule::adam) return buffer < 2 || settings.amsgrad != 0;
  if (rule_ == OptimizerRule::rmsprop) return buffer == 0 || (buffer == 1 ? settings.momentum > 0 : settings.centered != 0);
  return true;
}

void OptimizerUpdate::complete_state(Entry& entry, const OptimizerGroup& settings) const {
  const char* op = names_of(rule_).name;
  for (int k = 0; k < kOptimizerBuffers; ++k)
    if (needs(settings, k) && !entry.buffers[k].defined())
      entry.buffers[k] = full(entry.parameter.shape(), Scalar::of(initial_value(rule_, k, settings)), entry.parameter.dtype(),
                              entry.parameter.device(), op);
  if (!entry.counters.defined() && (rule_ != OptimizerRule::sgd || needs(settings, 0)))
    entry.counters = to_device(initial_counters(rule_, settings, op), device_, op);
}

void OptimizerUpdate::follow() {
  const char* op = names_of(rule_).name;
  const auto at = std::find_if(groups_.begin(), groups_.end(), [](const auto& group) { return !group.empty(); });
  if (at == groups_.end() || at->front().parameter.device() == device_) return;
  const Device device = at->front().parameter.device();
  for (const auto& group : groups_)
    for (const Entry& entry : group)
      DNN_CHECK(entry.parameter.device() == device, StateError, op, ": expected all parameters on ", device, ", got one on ",
                entry.parameter.device());
  host_writes();
  const NoGrad no_grad;
  for (auto& group : groups_)
    for (Entry& entry : group) {
      for (Tensor& buffer : entry.buffers)
        if (buffer.defined()) buffer = to_device(buffer, device, op);
      if (entry.counters.defined()) entry.counters = to_device(entry.counters, device, op);
    }
  settings_there_ = {};
  device_ = device;
}

void OptimizerUpdate::prepare() {
  follow();
  for (size_t g = 0; g < groups_.size(); ++g)
    for (Entry& entry : groups_[g]) complete_state(entry, written_[g]);
}

int64_t OptimizerUpdate::fill_table(std::vector<Tensor>& kept) {
  const char* op = names_of(rule_).name;
  auto* segments = table_.data<OptimizerSegment>();
  int64_t end = 0;
  segment_count_ = 0;
  for (size_t g = 0; g < groups_.size(); ++g)
    for (Entry& entry : groups_[g]) {
      if (!entry.parameter.impl()->grad) continue;
      check_parameter(op, entry.parameter);
      kept.push_back(checked_gradient(op, entry.parameter));
      DNN_CHECK(entry.parameter.device() == device_ && kept.back().device() == device_, StateError, op,
                ": expected parameters and gradients on ", device_, ", got a parameter of shape ", entry.parameter.shape(), " on ",
                entry.parameter.device(), " with a gradient on ", kept.back().device());
      complete_state(entry, written_[g]);
      OptimizerSegment& segment = *std::construct_at(segments + segment_count_++);
      segment.parameter = entry.parameter.data();
      segment.gradient = kept.back().data();
      for (int k = 0; k < kOptimizerBuffers; ++k) segment.buffers[k] = needs(written_[g], k) ? entry.buffers[k].data() : nullptr;
      segment.counters = entry.counters.defined() ? entry.counters.data<double>() : nullptr;
      segment.begin = end;
      segment.length = entry.parameter.numel();
      segment.group = static_cast<int32_t>(g);
      segment.dtype = entry.parameter.dtype();
      end += (segment.length + kSegmentAlignment - 1) / kSegmentAlignment * kSegmentAlignment;
    }
  return end;
}

void OptimizerUpdate::step() {
  follow();
  Recorder* recorder = current_recorder();
  const bool as_a_whole = recorder != nullptr && recorder->optimizes(*this);
  if (as_a_whole) set_recorder(nullptr);
  const struct Restored {
    Recorder* recorder;
    ~Restored() { set_recorder(recorder); }
  } restored{recorder};
  std::vector<Tensor> kept;  // gradients live until the launch is over, even if another thread lets them go
  kept.reserve(static_cast<size_t>(parameter_count_));
  const int64_t total = fill_table(kept);
  if (segment_count_ == 0) return;
  if (!settings_there_.defined()) settings_there_ = to_device(settings_, device_, "optimizer");
  const Tensor table = to_device(table_, device_, "optimizer");
  launch(names_of(rule_).name, kernel::optimizer,
         OptimizerArgs{.segments = table.data<OptimizerSegment>(),
                       .groups = settings_there_.data<OptimizerGroup>(),
                       .segment_count = segment_count_,
                       .group_count = static_cast<int64_t>(groups_.size()),
                       .total_length = total,
                       .rule = rule_},
         device_);
  for (const auto& group : groups_)
    for (const Entry& entry : group)
      if (entry.parameter.impl()->grad) entry.parameter.storage()->bump_version();
}

OptimizerUpdate::Entry& OptimizerUpdate::entry(size_t group, size_t index) {
  DNN_CHECK(group < groups_.size() && index < groups_[group].size(), IndexError, names_of(rule_).name, ": no parameter ", index,
            " in group ", group);
  return groups_[group][index];
}

OptimizerUpdate::State OptimizerUpdate::state(size_t group, size_t index) {
  follow();
  const Entry& found = entry(group, index);
  const RuleNames& names = names_of(rule_);
  State state;
  if (!found.counters.defined()) return state;
  if (rule_ == OptimizerRule::sgd && *on_host(found.counters).data<double>() == 0) return state;  // memory, but no value yet
  for (int k = 0; k < kOptimizerCounters; ++k)
    if (names.counters[k] != nullptr) state.emplace_back(names.counters[k], found.counters.view_as({}, {}, k));
  for (int k = 0; k < kOptimizerBuffers; ++k)
    if (found.buffers[k].defined()) state.emplace_back(names.buffers[k], found.buffers[k]);
  return state;
}

void OptimizerUpdate::set_state(size_t group, size_t index, const State& state) {
  host_writes();
  follow();
  Entry& found = entry(group, index);
  const RuleNames& names = names_of(rule_);
  const NoGrad no_grad;
  Entry fresh{.parameter = found.parameter, .buffers = {}, .counters = initial_counters(rule_, written_[group], names.name)};
  std::unordered_set<std::string> known;
  const auto value_of = [&](const char* key) -> const Tensor* {
    known.insert(key);
    const auto at = std::find_if(state.begin(), state.end(), [&](const auto& pair) { return pair.first == key; });
    return at == state.end() ? nullptr : &at->second;
  };
  for (int k = 0; k < kOptimizerCounters && names.counters[k] != nullptr; ++k) {
    const Tensor* value = value_of(names.counters[k]);
    DNN_CHECK(value != nullptr && value->numel() == 1, ValueError, names.name, ": expected a state with one number '", names.counters[k],
              "'");
    fresh.counters.data<double>()[k] = number_in(*value);
  }
  for (int k = 0; k < kOptimizerBuffers && names.buffers[k] != nullptr; ++k) {
    const Tensor* value = value_of(names.buffers[k]);
    DNN_CHECK(value != nullptr || !needs(written_[group], k), ValueError, names.name, ": expected a state with '", names.buffers[k], "'");
    if (value == nullptr) continue;
    const Tensor& parameter = found.parameter;
    DNN_CHECK(value->shape() == parameter.shape(), ValueError, names.name, ": expected ", names.buffers[k], " of shape ", parameter.shape(),
              ", got ", value->shape());
    const bool fits = value->dtype() == parameter.dtype() && value->is_contiguous();
    fresh.buffers[k] = to_device(fits ? *value : copy_of(*value, parameter.dtype(), names.name), device_, names.name);
  }
  for (const auto& pair : state)
    DNN_CHECK(known.contains(pair.first), ValueError, names.name, ": no part of the state is called '", pair.first, "'");
  if (rule_ == OptimizerRule::sgd) fresh.counters.data<double>()[0] = fresh.buffers[0].defined();
  fresh.counters = to_device(fresh.counters, device_, names.name);
  found = std::move(fresh);
}

}  // namespace dnncore::ops
