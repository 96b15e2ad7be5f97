// How a step is written down (StepRecorder), and what is made of it: constants, launches that are joined, memory that is packed.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "autograd/plan.h"
#include "autograd/tape.h"
#include "core/check.h"

namespace dnncore {
namespace {

constexpr int64_t kSlot = 64;  // alignment in the arena and of argument structs

int64_t aligned(int64_t bytes) { return (bytes + kSlot - 1) / kSlot * kSlot; }

}  // namespace

StepRecorder::StepRecorder(const std::vector<Tensor>& inputs) : inputs_(inputs), plan_(make_ref<Plan>()) {
  for (const Tensor& input : inputs) plan_->inputs_.emplace_back(input);
  plan_->threads_ = parallel::num_threads();
  plan_->isa_ = cpu::table().isa;
  plan_->grad_mode_ = GradMode::enabled();
}

StepRecorder::~StepRecorder() { end(); }

void StepRecorder::begin() {
  for (auto& storage : Storage::all())
    if (storage->bytes() > 0) known_.push_back({storage->data(), static_cast<int64_t>(storage->bytes()), storage, -1});
  std::sort(known_.begin(), known_.end(), [](const Known& a, const Known& b) { return a.data < b.data; });
  for (size_t i = 0; i < inputs_.size(); ++i)
    for (Known& known : known_)
      if (known.storage == inputs_[i].storage()) known.input = static_cast<int>(i);
  before_ = set_recorder(this);
  begun_ = true;
}

void StepRecorder::end() {
  if (!begun_) return;
  begun_ = false;
  set_recorder(before_);
}

void StepRecorder::refuse(const std::string& reason) {
  if (why_.empty()) why_ = reason;
}

void StepRecorder::cannot_repeat(const char* op, const char* what) { refuse(concat(op, " ", what)); }

void StepRecorder::created(Storage& storage) {
  if (!why_.empty() || storage.bytes() == 0) return;
  made_at_[storage.data()] = static_cast<int>(made_.size());
  made_.push_back({storage.watch(), storage.data(), static_cast<int64_t>(storage.bytes())});
}

void StepRecorder::host_wrote(Storage& storage) {
  if (!why_.empty() || storage.bytes() == 0) return;
  const Found found = find(storage.data());
  if (found.made >= 0) made_[static_cast<size_t>(found.made)].constant = Ref<Storage>(&storage);
}

StepRecorder::Found StepRecorder::find(const void* pointer) {
  const auto* data = static_cast<const std::byte*>(pointer);
  auto it = made_at_.upper_bound(data);
  for (int tries = 0; it != made_at_.begin() && tries < 16; ++tries) {
    --it;
    const Made& made = made_[static_cast<size_t>(it->second)];
    if (data < made.data + made.bytes && made.watch->alive()) return {it->second, -1, data - made.data};
  }
  auto known = std::upper_bound(known_.begin(), known_.end(), data, [](const std::byte* at, const Known& k) { return at < k.data; });
  for (int tries = 0; known != known_.begin() && tries < 16; ++tries) {
    --known;
    if (data < known->data + known->bytes) return {-1, static_cast<int>(known - known_.begin()), data - known->data};
  }
  return {};
}

bool StepRecorder::fixes_values(const Tensor& x) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Tensor& input = inputs_[i];
    if (input.storage() != x.storage() || !input.is_contiguous()) continue;
    const auto* bytes = input.data<std::byte>();
    plan_->values_.push_back({i, {bytes, bytes + input.nbytes()}});
    return true;
  }
  return false;
}

bool StepRecorder::is_made(const Storage& storage) const {
  const auto it = made_at_.find(storage.data());
  return it != made_at_.end() && made_[static_cast<size_t>(it->second)].watch->alive();
}

bool StepRecorder::is_constant(const Tensor& x) const {
  return is_made(*x.storage()) && made_[static_cast<size_t>(made_at_.at(x.storage()->data()))].constant;
}

// Where the memory lies at a replay, as far as it is known already: memory of the step is given its place at the end.
bool StepRecorder::place(Found found, Role role, const char* op, Place& place) {
  const bool writes = role == Role::Write || role == Role::Accumulate;  // the latter also where a part of fresh memory is written
  if (found.made >= 0) {
    Made& made = made_[static_cast<size_t>(found.made)];
    if (made.constant) {
      if (writes) refuse(concat(op, " changes a tensor made from Python values in place"));
      plan_->fixed_set_.insert(made.constant.get());
      place = {Place::Fixed, 0, 0};
      return true;
    }
    if (role == Role::Read && made.writes == 0) refuse(concat(op, " reads memory that no kernel of the step wrote"));
    const int now = static_cast<int>(plan_->actions_.size());
    if (made.first < 0) made.first = now;
    made.last = now;
    made.writes += writes;
    made.op = op;
    place = {Place::Arena, found.made, found.offset};
    return true;
  }
  if (found.known < 0) {
    refuse(concat(op, " uses memory that is not of a tensor known here; made by another thread?"));
    return false;
  }
  Known& known = known_[static_cast<size_t>(found.known)];
  if (known.input >= 0) {
    if (writes) refuse(concat(op, " changes an argument in place"));
    const Tensor& input = inputs_[static_cast<size_t>(known.input)];
    place = {Place::Input, known.input,
             static_cast<const std::byte*>(known.data) + found.offset - static_cast<const std::byte*>(input.data())};
    return true;
  }
  if (place_in_grad(known, found.offset, op, place)) return true;
  if (plan_->fixed_set_.insert(known.storage.get()).second) plan_->fixed_.push_back(known.storage);
  if (writes && std::find(plan_->written_.begin(), plan_->written_.end(), known.storage) == plan_->written_.end())
    plan_->written_.push_back(known.storage);
  place = {Place::Fixed, 0, 0};
  return true;
}

// Whether it is the gradient that a leaf had before the step.
bool StepRecorder::place_in_grad(const Known& known, int64_t offset, const char* op, Place& place) {
  for (auto& [leaf, state] : leaf_states_) {
    if (!state.before || state.before->storage != known.storage) continue;
    if (state.shared && (state.cleared || state.set)) {
      refuse(concat(op, " uses a gradient of before the step that was replaced in it and is known outside; keep a clone() of it"));
      return false;
    }
    plan_->leaves_[static_cast<size_t>(state.index)].needs_grad = true;
    place = {Place::Grad, state.index, known.data + offset - static_cast<std::byte*>(Tensor(state.before).data())};
    return true;
  }
  return false;
}

void StepRecorder::record(LaunchRecord record) {
  if (!why_.empty()) return;
  const auto at = static_cast<uint32_t>(aligned(static_cast<int64_t>(plan_->args_.size())));
  plan_->args_.resize(at + record.args.size());
  std::memcpy(plan_->args_.data() + at, record.args.data(), record.args.size());
  bool whole = false;
  int64_t bytes = 0;
  SeenLaunch seen{record.elements, {}};
  for (const Operand& operand : record.operands) {
    const void* pointer = nullptr;
    std::memcpy(&pointer, record.args.data() + operand.field, sizeof(pointer));
    if (pointer == nullptr || operand.bytes == 0) continue;
    if (operand.role != Role::Scratch) bytes += operand.bytes * (operand.role == Role::Accumulate ? 2 : 1);
    Place where;
    if (!place(find(pointer), operand.role, record.op, where)) return;
    whole |= operand.role == Role::Accumulate || (operand.role == Role::Write && where.kind != Place::Arena);
    if (where.kind != Place::Fixed) plan_->patches_.push_back({at + operand.field, where});
    if (where.kind == Place::Grad) seen.elements = 0;  // gradients may share memory in ways that are not known yet
    const bool writes = operand.role == Role::Write || operand.role == Role::Accumulate;
    const int made = where.kind == Place::Arena ? where.index : -1;
    const bool all = made >= 0 && where.offset == 0 && made_[static_cast<size_t>(made)].bytes == operand.bytes;
    seen.operands.push_back({static_cast<const std::byte*>(pointer), operand.bytes, writes, made, all});
  }
  seen_.push_back(std::move(seen));
  plan_->actions_.push_back({whole ? Plan::Action::RunWhole : Plan::Action::RunLaunch, static_cast<int32_t>(plan_->launches_.size())});
  plan_->launches_.push_back(
      {record.kernel, record.op, std::move(record.module), at, static_cast<uint32_t>(record.args.size()), record.flops, bytes});
}

void StepRecorder::checked(HostCheck check, std::initializer_list<const Tensor*> tensors) {
  if (!why_.empty()) return;
  const auto at = static_cast<uint32_t>(aligned(static_cast<int64_t>(plan_->args_.size())));
  plan_->args_.resize(at + tensors.size() * sizeof(void*));
  uint32_t field = at;
  for (const Tensor* tensor : tensors) {
    const void* pointer = tensor->data();
    std::memcpy(plan_->args_.data() + field, &pointer, sizeof(pointer));
    if (tensor->nbytes() > 0) {
      Place where;
      if (!place(find(pointer), Role::Read, "check", where)) return;
      if (where.kind != Place::Fixed) plan_->patches_.push_back({field, where});
    }
    field += sizeof(void*);
  }
  plan_->actions_.push_back({Plan::Action::Check, static_cast<int32_t>(plan_->checks_.size())});
  plan_->checks_.push_back({std::move(check), at});
}

StepRecorder::LeafState& StepRecorder::leaf(TensorImpl& tensor) {
  const auto [it, fresh] = leaf_states_.try_emplace(&tensor);
  if (fresh) {
    it->second.index = static_cast<int>(plan_->leaves_.size());
    it->second.before = tensor.grad;
    it->second.shared = tensor.grad && (tensor.grad->use_count() > 2 || tensor.grad->storage->use_count() > 2);  // leaf, here; known_
    plan_->leaves_.push_back({Ref<TensorImpl>(&tensor)});
  }
  return it->second;
}

void StepRecorder::reads_grad(TensorImpl& tensor) {
  if (!why_.empty() || is_made(*tensor.storage)) return;
  const LeafState& state = leaf(tensor);
  if (state.cleared || state.set) return;
  Plan::Leaf& known = plan_->leaves_[static_cast<size_t>(state.index)];
  (state.before ? known.needs_one : known.needs_none) = true;
}

void StepRecorder::set_grad(TensorImpl& tensor, const Tensor& grad) {
  if (!why_.empty() || is_made(*tensor.storage)) return;
  LeafState& state = leaf(tensor);
  if (!grad.defined()) {
    state.cleared = true;
    plan_->actions_.push_back({Plan::Action::ClearGrad, state.index});
    // A gradient of before that nobody can look at from now on gives its memory to the step, as it does in Python.
    const TensorImpl* before = state.before.get();
    if (before == nullptr || before->use_count() > 2 || before->storage->use_count() > 2) return;  // leaf, here; known_
    std::erase_if(known_, [&](const Known& known) { return known.storage == before->storage; });
    state.before = nullptr;
    return;
  }
  state.set = true;
  Place place;  // stays Fixed where there are no elements
  if (grad.numel() > 0) {
    const Found found = find(grad.storage()->data());
    if (found.made < 0 || made_[static_cast<size_t>(found.made)].constant) return refuse("grad is set to a tensor from outside the step");
    place = {Place::Arena, found.made, grad.impl()->offset * static_cast<int64_t>(itemsize(grad.dtype()))};
  }
  plan_->actions_.push_back({Plan::Action::SetGrad, static_cast<int32_t>(plan_->grads_.size())});
  plan_->grads_.push_back({state.index, place, grad.shape(), grad.strides(), grad.dtype()});
}

bool StepRecorder::optimizes(OptimizerStep& optimizer) {
  if (!why_.empty()) return true;
  plan_->actions_.push_back({Plan::Action::Optimize, static_cast<int32_t>(plan_->optimizers_.size())});
  plan_->optimizers_.emplace_back(&optimizer, optimizer.generation());
  return true;
}

bool StepRecorder::leaks(const std::vector<Tensor>& results) const {
  for (const Made& made : made_) {
    if (!made.watch->alive() || made.constant) continue;
    bool expected = false;
    for (const Tensor& result : results) expected |= result.storage()->data() == made.data;
    for (const auto& [leaf, state] : leaf_states_) expected |= leaf->grad && leaf->grad->storage->data() == made.data;
    if (!expected) return true;
  }
  return false;
}

Ref<Plan> StepRecorder::finish(const std::vector<Tensor>& results) {
  end();
  Plan& plan = *plan_;
  if (leaks(results)) refuse("a tensor made in the step is kept outside of it; return it, or keep a copy of its values");
  if (!plan.requires_grad_is_as_recorded()) refuse("requires_grad of a tensor is changed");
  if (!why_.empty()) return nullptr;

  // Places of the memory of the step: results, then gradients that stay, then the arena.
  std::vector<Place> places(made_.size(), {Place::Arena, 0, -1});
  const auto live_made = [&](const Storage& storage) { return is_made(storage) ? made_at_.at(storage.data()) : -1; };
  for (const auto& [leaf, state] : leaf_states_) {
    const int index = leaf->grad ? live_made(*leaf->grad->storage) : -1;
    if (index < 0 || places[static_cast<size_t>(index)].kind == Place::Kept) continue;
    places[static_cast<size_t>(index)] = {Place::Kept, static_cast<int32_t>(plan.kept_bytes_.size()), 0};
    plan.kept_bytes_.push_back(made_[static_cast<size_t>(index)].bytes);
  }
  for (const Tensor& result : results) {
    Plan::Result entry{{}, result.shape(), result.strides(), result.dtype(), {}};
    const int64_t offset = result.impl()->offset * static_cast<int64_t>(itemsize(result.dtype()));
    const int index = live_made(*result.storage());
    if (index >= 0 && !made_[static_cast<size_t>(index)].constant) {
      Place& place = places[static_cast<size_t>(index)];
      if (place.kind == Place::Arena) {
        place = {Place::Output, static_cast<int32_t>(plan.output_bytes_.size()), 0};
        plan.output_bytes_.push_back(made_[static_cast<size_t>(index)].bytes);
      }
      entry.place = {place.kind, place.index, offset};
    } else {
      entry.fixed = result.detach();
      for (size_t i = 0; i < inputs_.size(); ++i)
        if (inputs_[i].storage() == result.storage()) {
          const int64_t from = inputs_[i].impl()->offset * static_cast<int64_t>(itemsize(result.dtype()));
          entry.place = {Place::Input, static_cast<int32_t>(i), offset - from};
          entry.fixed = {};
        }
      for (const Known& known : known_)
        if (known.input < 0 && known.storage == result.storage() && place_in_grad(known, offset, "a result", entry.place)) entry.fixed = {};
    }
    plan.results_.push_back(std::move(entry));
  }
  compute_constants(places);
  for (const Plan::Gradient& grad : plan.grads_)  // optimizers read them without a launch
    if (grad.place.kind == Place::Arena) made_[static_cast<size_t>(grad.place.index)].last = static_cast<int>(plan.actions_.size());

  join(places);
  plan.buffers_.resize(made_.size());
  for (size_t i = 0; i < made_.size(); ++i) {
    plan.buffers_[i] = {aligned(made_[i].bytes), places[i], made_[i].first, made_[i].last};
    if (made_[i].first < 0 || made_[i].constant || stands_in_[i] != static_cast<int>(i))
      plan.buffers_[i].place.kind = Place::Fixed;  // takes no memory of the step
    if (made_[i].constant) plan.fixed_.push_back(made_[i].constant);
  }
  pack();
  const auto settle = [&](Place& place) {
    if (place.kind != Place::Arena) return;
    const Place& base = plan.buffers_[static_cast<size_t>(stands_in_[static_cast<size_t>(place.index)])].place;
    place = {base.kind, base.index, base.offset + place.offset};
  };
  for (Plan::Patch& patch : plan.patches_) settle(patch.place);
  for (Plan::Gradient& grad : plan.grads_) settle(grad.place);
  std::stable_sort(plan.patches_.begin(), plan.patches_.end(),
                   [](const Plan::Patch& a, const Plan::Patch& b) { return a.place.kind < b.place.kind; });
  return plan_;
}

// A number that a launch fills in is the same every time: it is filled in once, here, and its launch is dropped.
void StepRecorder::compute_constants(const std::vector<Place>& places) {
  std::vector<bool> is_grad(made_.size(), false);
  for (const Plan::Gradient& grad : plan_->grads_)
    if (grad.place.kind == Place::Arena) is_grad[static_cast<size_t>(grad.place.index)] = true;
  const auto constant_of = [&](const Plan::Action& action) {  // the storage, or -1
    if (!Plan::is_launch(action) || plan_->launches_[static_cast<size_t>(action.index)].kernel != kernel::fill.index) return -1;
    const std::vector<Seen>& operands = seen_[static_cast<size_t>(action.index)].operands;
    const int made = operands.empty() || operands[0].bytes > kSlot || !operands[0].whole ? -1 : operands[0].made;
    const auto at = static_cast<size_t>(made);
    return made < 0 || made_[at].writes > 1 || is_grad[at] || places[at].kind != Place::Arena ? -1 : made;
  };
  std::vector<int> now;  // where an action of before is, or the next one
  std::vector<Plan::Action> actions;
  for (const Plan::Action& action : plan_->actions_) {
    now.push_back(static_cast<int>(actions.size()));
    if (const int made = constant_of(action); made >= 0)
      fill_in(made, plan_->launches_[static_cast<size_t>(action.index)]);
    else
      actions.push_back(action);
  }
  for (Made& made : made_)
    if (made.first >= 0) made.first = now[static_cast<size_t>(made.first)], made.last = now[static_cast<size_t>(made.last)];
  plan_->actions_ = std::move(actions);
}

// Gives a storage memory of its own, whose address the arguments get for good, and runs the launch that fills it.
void StepRecorder::fill_in(int made, const Plan::Launch& launch) {
  const auto constant = make_ref<Storage>(static_cast<size_t>(made_[static_cast<size_t>(made)].bytes));
  std::erase_if(plan_->patches_, [&](const Plan::Patch& patch) {
    if (patch.place.kind != Place::Arena || patch.place.index != made) return false;
    const std::byte* address = constant->data() + patch.place.offset;
    std::memcpy(plan_->args_.data() + patch.at, &address, sizeof(address));
    return true;
  });
  detail::run_on_cpu(launch.kernel, plan_->args_.data() + launch.args, detail::Interruptible::No);
  made_[static_cast<size_t>(made)].constant = constant;
}

// --- Joined launches: see detail::Joined ---

// Whether the launch of action `next` can be done task by task with those from `begin` on: memory that one of two writes and the other
// uses is the same for both, element by element.
bool StepRecorder::joins(size_t begin, size_t next) const {
  const auto& actions = plan_->actions_;
  const auto seen_at = [&](size_t at) -> const SeenLaunch* {
    return Plan::is_launch(actions[at]) ? &seen_[static_cast<size_t>(actions[at].index)] : nullptr;
  };
  const SeenLaunch *first = seen_at(begin), *mine = seen_at(next);
  if (first == nullptr || mine == nullptr || mine->elements == 0 || mine->elements != first->elements) return false;
  for (size_t at = begin; at < next; ++at)
    for (const Seen& theirs : seen_at(at)->operands)
      for (const Seen& operand : mine->operands) {
        const bool apart = theirs.data + theirs.bytes <= operand.data || operand.data + operand.bytes <= theirs.data;
        const bool same = theirs.data == operand.data && theirs.bytes == operand.bytes;
        if ((theirs.writes || operand.writes) && !apart && !same) return false;
      }
  return true;
}

void StepRecorder::join(const std::vector<Place>& places) {
  stands_in_.resize(made_.size());
  std::iota(stands_in_.begin(), stands_in_.end(), 0);
  const size_t count = plan_->actions_.size();
  for (size_t begin = 0, end = 0; begin < count; begin = end) {
    end = begin + 1;
    while (end < count && end - begin < Plan::kMostJoined && joins(begin, end)) ++end;
    if (end - begin > 1) join_range(begin, end, places);
  }
}

void StepRecorder::join_range(size_t begin, size_t end, const std::vector<Place>& places) {
  Plan::Action& head = plan_->actions_[begin];
  for (size_t at = begin; at < end; ++at) {
    Plan::Action& action = plan_->actions_[at];
    if (action.kind == Plan::Action::RunWhole) head.kind = Plan::Action::RunWhole;
    action.joined = 0;
    for (const Seen& written : seen_[static_cast<size_t>(action.index)].operands)
      for (size_t later = at + 1; later < end && written.writes; ++later)
        for (const Seen& read : seen_[static_cast<size_t>(plan_->actions_[later].index)].operands)
          plan_->launches_[static_cast<size_t>(action.index)].reread |= read.data == written.data;
  }
  head.joined = static_cast<int32_t>(end - begin);
  share_memory(begin, end, places);
  for (Made& made : made_)  // all tasks of all of them are under way at once
    if (made.first >= 0 && made.first < static_cast<int>(end) && made.last >= static_cast<int>(begin)) {
      made.first = std::min(made.first, static_cast<int>(begin));
      made.last = std::max(made.last, static_cast<int>(end) - 1);
    }
}

// What one of the launches makes takes the memory of what an earlier one was the last to use, element by element: a long row of them needs
// no more memory than one after the other.
void StepRecorder::share_memory(size_t begin, size_t end, const std::vector<Place>& places) {
  const auto operands_at = [&](size_t at) -> const std::vector<Seen>& {
    return seen_[static_cast<size_t>(plan_->actions_[at].index)].operands;
  };
  const auto in_arena = [&](const Seen& operand) {
    return operand.made >= 0 && places[static_cast<size_t>(operand.made)].kind == Place::Arena &&
           !made_[static_cast<size_t>(operand.made)].constant;
  };
  const auto owner_of = [&](const Seen& operand) { return stands_in_[static_cast<size_t>(operand.made)]; };  // of the memory
  const auto has = [](const std::vector<int>& owners, int one) { return std::find(owners.begin(), owners.end(), one) != owners.end(); };
  std::vector<int> in_part;  // one element that is repeated is read by every task, until the last one is done
  for (size_t at = begin; at < end; ++at)
    for (const Seen& operand : operands_at(at))
      if (in_arena(operand) && !operand.whole) in_part.push_back(owner_of(operand));

  std::vector<int> used;  // by the launches so far, as a whole
  for (size_t at = begin; at < end; ++at) {
    for (const Seen& operand : operands_at(at)) {
      if (!operand.writes || !operand.whole || !in_arena(operand)) continue;
      const Made& made = made_[static_cast<size_t>(operand.made)];
      if (made.first != static_cast<int>(at)) continue;
      const auto free = std::find_if(used.begin(), used.end(), [&](int owner) {
        const Made& other = made_[static_cast<size_t>(owner)];
        return other.bytes == made.bytes && other.last < static_cast<int>(at);
      });
      if (free == used.end()) continue;
      stands_in_[static_cast<size_t>(operand.made)] = *free;
      made_[static_cast<size_t>(*free)].last = made.last;
    }
    for (const Seen& operand : operands_at(at))
      if (in_arena(operand) && !has(used, owner_of(operand)) && !has(in_part, owner_of(operand))) used.push_back(owner_of(operand));
  }
}

// The largest first, each at the lowest place that is free while it lives.
void StepRecorder::pack() {
  std::vector<Plan::Buffer*> order, placed;
  for (Plan::Buffer& buffer : plan_->buffers_)
    if (buffer.place.kind == Place::Arena) order.push_back(&buffer);
  std::stable_sort(order.begin(), order.end(), [](const Plan::Buffer* a, const Plan::Buffer* b) { return a->bytes > b->bytes; });
  for (Plan::Buffer* buffer : order) {
    int64_t offset = 0;
    for (const Plan::Buffer* other : placed) {  // by offset
      if (other->last < buffer->first || buffer->last < other->first) continue;
      if (offset + buffer->bytes <= other->place.offset) break;
      offset = std::max(offset, other->place.offset + other->bytes);
    }
    buffer->place = {Place::Arena, 0, offset};
    placed.insert(std::upper_bound(placed.begin(), placed.end(), buffer,
                                   [](const Plan::Buffer* a, const Plan::Buffer* b) { return a->place.offset < b->place.offset; }),
                  buffer);
    plan_->arena_bytes_ = std::max(plan_->arena_bytes_, offset + buffer->bytes);
  }
  std::map<int, int64_t> change;  // of the bytes alive, by time
  for (const Plan::Buffer* buffer : order) {
    change[buffer->first] += buffer->bytes;
    change[buffer->last + 1] -= buffer->bytes;
  }
  int64_t alive = 0;
  for (const auto& [time, bytes] : change) plan_->live_bytes_ = std::max(plan_->live_bytes_, alive += bytes);
}

}  // namespace dnncore
