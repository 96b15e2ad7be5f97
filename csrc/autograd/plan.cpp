#include "autograd/plan.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <iomanip>
#include <numeric>
#include <sstream>
#include <utility>

#include "autograd/tape.h"
#include "core/check.h"

namespace dnncore {
namespace {

constexpr int kMostJoined = 32;  // launches done task by task
constexpr int64_t kSlot = 64;    // alignment in the arena and of argument structs

int64_t aligned(int64_t bytes) { return (bytes + kSlot - 1) / kSlot * kSlot; }

// --- Changes of requires_grad, the newest at the end ---
struct Change {
  const TensorImpl* leaf;
  const Storage* storage;
  bool before;
};
constexpr size_t kKeptChanges = 4096;
std::deque<Change> changes;  // under the host's lock, as every change
uint64_t change_count = 0;

// fn(change) for each; false where there were too many to know.
template <class Fn>
bool changes_since(uint64_t seen, Fn&& fn) {
  if (change_count - seen > changes.size()) return false;
  for (size_t i = changes.size() - static_cast<size_t>(change_count - seen); i < changes.size(); ++i) fn(changes[i]);
  return true;
}

const char* kind_name(Place::Kind kind) {
  constexpr const char* names[] = {"outside", "input", "gradient before", "arena", "gradient", "result"};
  return names[kind];
}

}  // namespace

void requires_grad_changes(const TensorImpl& leaf) {
  changes.push_back({&leaf, leaf.storage.get(), leaf.requires_grad});
  if (changes.size() > kKeptChanges) changes.pop_front();
  ++change_count;
}

// --- Replay -----------------------------------------------------------------------------------------------------------

std::string Plan::mismatch() const {
  if (parallel::num_threads() != threads_) return "another number of threads";
  if (GradMode::enabled() != grad_mode_) return "gradients switched on or off";
  if (isa_ != cpu::table().isa) return "another instruction set";
  for (const Leaf& leaf : leaves_) {
    const TensorImpl* grad = leaf.tensor->grad.get();
    if (leaf.needs_none && grad != nullptr) return "a gradient that was not there when the step was recorded";
    if (leaf.needs_one && grad == nullptr) return "no gradient where there was one when the step was recorded";
    if (leaf.needs_grad && (grad == nullptr || grad->dtype != leaf.tensor->dtype || grad->shape != leaf.tensor->shape ||
                            !Tensor(leaf.tensor->grad).is_contiguous()))
      return "no gradient where the step adds to one";
  }
  for (const auto& [optimizer, generation] : optimizers_)
    if (optimizer->generation() != generation) return "hooks or a loaded state of an optimizer";
  if (changes_seen_ == change_count && changed_.empty()) return {};
  return requires_grad_is_as_recorded() ? std::string() : "requires_grad of a tensor";
}

// The leaves may be gone: they are not asked, the changes tell.
bool Plan::requires_grad_is_as_recorded() const {
  const bool known = changes_since(changes_seen_, [&](const Change& change) {
    if (fixed_set_.count(change.storage) != 0) changed_.try_emplace(change.leaf, change.before).first->second.now = !change.before;
  });
  if (!known) return false;
  changes_seen_ = change_count;
  for (auto it = changed_.begin(); it != changed_.end();) {
    if (it->second.recorded != it->second.now) return false;
    it = changed_.erase(it);
  }
  return true;
}

bool Plan::takes(const std::vector<Tensor>& inputs) const {
  if (inputs.size() != inputs_.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!(Layout(inputs[i]) == inputs_[i]) || inputs[i].requires_grad()) return false;
    if (fixed_set_.count(inputs[i].storage().get()) != 0) return false;
    for (const Leaf& leaf : leaves_)
      if (leaf.tensor->grad && leaf.tensor->grad->storage == inputs[i].storage()) return false;
  }
  return true;
}

std::unique_ptr<Plan::Room> Plan::take_room() {
  {
    std::lock_guard guard(mutex_);
    if (!rooms_.empty()) {
      auto room = std::move(rooms_.back());
      rooms_.pop_back();
      return room;
    }
  }
  auto room = std::make_unique<Room>();
  room->args = args_;
  room->arena = make_ref<Storage>(static_cast<size_t>(arena_bytes_));
  for (int64_t bytes : kept_bytes_) room->kept.push_back(make_ref<Storage>(static_cast<size_t>(bytes)));
  patch(*room, Place::Arena, {room->arena->data()});
  std::vector<std::byte*> kept;
  for (const auto& storage : room->kept) kept.push_back(storage->data());
  patch(*room, Place::Kept, kept);
  return room;
}

void Plan::patch(Room& room, Place::Kind kind, const std::vector<std::byte*>& bases) const {
  auto patch = std::lower_bound(patches_.begin(), patches_.end(), kind, [](const Patch& p, Place::Kind k) { return p.place.kind < k; });
  for (; patch != patches_.end() && patch->place.kind == kind; ++patch) {
    const std::byte* address = bases[static_cast<size_t>(patch->place.index)] + patch->place.offset;
    std::memcpy(room.args.data() + patch->at, &address, sizeof(address));
  }
}

Plan::Stay::~Stay() {
  if (std::uncaught_exceptions() > exceptions_) return;  // gradients that the step would have replaced are in its memory
  std::lock_guard guard(plan_.mutex_);
  plan_.rooms_.push_back(std::move(room_));
}

std::vector<Ref<Storage>> Plan::move_in(Room& room, const std::vector<Tensor>& inputs) {
  std::vector<Ref<Storage>> outputs;
  std::vector<std::byte*> bases;
  const auto place_all = [&](Place::Kind kind) {
    if (!bases.empty()) patch(room, kind, bases);
    bases.clear();
  };
  for (int64_t bytes : output_bytes_) {
    outputs.push_back(make_ref<Storage>(static_cast<size_t>(bytes)));
    bases.push_back(outputs.back()->data());
  }
  place_all(Place::Output);
  for (const Tensor& input : inputs) bases.push_back(static_cast<std::byte*>(input.data()));
  place_all(Place::Input);
  for (const Leaf& leaf : leaves_) bases.push_back(leaf.needs_grad ? static_cast<std::byte*>(Tensor(leaf.tensor->grad).data()) : nullptr);
  place_all(Place::Grad);

  // Gradients of the last replay that somebody still looks at stay what they are.
  bool moved = false;
  std::vector<uint32_t> holders(room.kept.size(), 1);
  for (const Leaf& leaf : leaves_) {
    const TensorImpl* grad = leaf.tensor->grad.get();
    if (grad == nullptr || grad->use_count() != 1 || leaf.needs_grad) continue;
    for (size_t k = 0; k < room.kept.size(); ++k) holders[k] += grad->storage == room.kept[k];
  }
  for (size_t k = 0; k < room.kept.size(); ++k)
    if (room.kept[k]->use_count() > holders[k]) {
      room.kept[k] = make_ref<Storage>(static_cast<size_t>(kept_bytes_[k]));
      moved = true;
    }
  if (moved) {
    for (const auto& storage : room.kept) bases.push_back(storage->data());
    place_all(Place::Kept);
  }
  return outputs;
}

std::vector<Tensor> Plan::run(const std::vector<Tensor>& inputs) {
  Stay stay(*this);
  Room& room = stay.room();
  const std::vector<Ref<Storage>> outputs = move_in(room, inputs);
  std::vector<Ref<TensorImpl>> grads_before;  // by leaf; in use even where the step clears them
  if (std::any_of(leaves_.begin(), leaves_.end(), [](const Leaf& leaf) { return leaf.needs_grad; }))
    for (const Leaf& leaf : leaves_) grads_before.push_back(leaf.tensor->grad);

  for (const Action& action : actions_) {
    const auto index = static_cast<size_t>(action.index);
    switch (action.kind) {
      case Action::RunLaunch:
      case Action::RunWhole:
        run_launches_of(action, room);
        break;
      case Action::Check:
        checks_[index].check(reinterpret_cast<const void* const*>(room.args.data() + checks_[index].args));
        break;
      case Action::ClearGrad:
        leaves_[index].tensor->grad = nullptr;
        break;
      case Action::SetGrad: {
        const Gradient& grad = grads_[index];
        const Ref<Storage>& storage = grad.place.kind == Place::Kept ? room.kept[static_cast<size_t>(grad.place.index)] : room.arena;
        const int64_t offset = grad.place.offset / static_cast<int64_t>(itemsize(grad.dtype));
        leaves_[static_cast<size_t>(grad.leaf)].tensor->grad = make_ref<TensorImpl>(storage, offset, grad.shape, grad.strides, grad.dtype);
        break;
      }
      case Action::Optimize:
        optimizers_[index].first->step();
        break;
    }
  }
  for (const auto& storage : written_) storage->bump_version();

  std::vector<Tensor> results;
  for (const Result& result : results_) {
    if (result.place.kind == Place::Fixed) {
      results.push_back(result.fixed.detach());
      continue;
    }
    const auto index = static_cast<size_t>(result.place.index);
    const Ref<Storage>& storage = result.place.kind == Place::Output ? outputs[index]
                                  : result.place.kind == Place::Kept ? room.kept[index]
                                  : result.place.kind == Place::Grad ? grads_before[index]->storage
                                                                     : inputs[index].storage();
    int64_t offset = result.place.offset / static_cast<int64_t>(itemsize(result.dtype));
    if (result.place.kind == Place::Input) offset += inputs[index].impl()->offset;
    if (result.place.kind == Place::Grad) offset += grads_before[index]->offset;
    results.emplace_back(make_ref<TensorImpl>(storage, offset, result.shape, result.strides, result.dtype));
  }
  return results;
}

void Plan::run_launches_of(const Action& action, const Room& room) const {
  const auto interruptible = action.kind == Action::RunWhole ? detail::Interruptible::No : detail::Interruptible::Yes;
  const auto launch_at = [&](int i) -> const Launch& { return launches_[static_cast<size_t>((&action + i)->index)]; };
  if (action.joined == 1) return detail::run_on_cpu(launch_at(0).kernel, room.args.data() + launch_at(0).args, interruptible);
  detail::Joined joined[kMostJoined];
  for (int i = 0; i < action.joined; ++i) joined[i] = {launch_at(i).kernel, room.args.data() + launch_at(i).args, launch_at(i).reread};
  if (action.joined > 1) detail::run_joined_on_cpu(joined, static_cast<size_t>(action.joined), interruptible);
}

// Runs the launches; seen(action, seconds) after each, where seconds are wanted.
template <class Seen>
void Plan::run_launches(Room& room, Seen&& seen) {
  for (size_t i = 0; i < actions_.size(); ++i) {
    const auto index = static_cast<size_t>(actions_[i].index);
    if (actions_[i].kind == Action::Optimize)
      optimizers_[index].first->step();
    else if (is_launch(actions_[i]))
      run_launches_of(actions_[i], room);
    else
      continue;
    seen(i);
  }
}

void Plan::run_kernels(const std::vector<Tensor>& inputs) {
  DNN_CHECK(takes(inputs) && mismatch().empty(), StateError, "run_kernels: expected inputs and a state that the plan fits");
  Stay stay(*this);
  const std::vector<Ref<Storage>> outputs = move_in(stay.room(), inputs);
  run_launches(stay.room(), [](size_t) {});
}

std::string Plan::profile(const std::vector<Tensor>& inputs, int repeats) {
  DNN_CHECK(takes(inputs) && mismatch().empty(), StateError, "profile: expected inputs and a state that the plan fits");
  DNN_CHECK(repeats > 0, ValueError, "profile: expected at least one repeat, got ", repeats);
  using Clock = std::chrono::steady_clock;
  Stay stay(*this);
  const std::vector<Ref<Storage>> outputs = move_in(stay.room(), inputs);
  std::vector<std::vector<double>> times(actions_.size());
  for (int repeat = 0; repeat < repeats; ++repeat) {
    auto before = Clock::now();
    run_launches(stay.room(), [&](size_t action) {
      const auto now = Clock::now();
      times[action].push_back(std::chrono::duration<double>(now - before).count());
      before = now;
    });
  }
  std::ostringstream out;
  double total = 0;
  for (size_t i = 0; i < actions_.size(); ++i) {
    if (times[i].empty()) continue;
    if (actions_[i].joined == 0) {
      out << std::string(27, ' ') << "  " << words(actions_[i]) << '\n';
      continue;
    }
    const auto middle = times[i].begin() + static_cast<std::ptrdiff_t>(times[i].size() / 2);
    std::nth_element(times[i].begin(), middle, times[i].end());
    total += *middle;
    out << std::fixed << std::setprecision(1) << std::setw(9) << *middle * 1e6 << " us";
    if (actions_[i].kind != Action::Optimize) {
      const double flops = launches_[static_cast<size_t>(actions_[i].index)].flops;
      const bool product = flops > 0;
      double work = flops;
      for (int k = 0; k < actions_[i].joined && !product; ++k)
        work += static_cast<double>(launches_[static_cast<size_t>(actions_[i + static_cast<size_t>(k)].index)].bytes);
      out << std::setw(8) << work / *middle * 1e-9 << (product ? " GFLOP/s" : " GB/s   ");
    } else {
      out << std::string(16, ' ');
    }
    out << "  " << words(actions_[i]) << '\n';
  }
  out << std::setw(9) << total * 1e6 << " us in all, medians of " << repeats << '\n';
  return out.str();
}

int64_t Plan::launches() const { return std::count_if(actions_.begin(), actions_.end(), is_launch); }

double Plan::flops() const {
  return std::accumulate(launches_.begin(), launches_.end(), 0.0, [](double sum, const Launch& launch) { return sum + launch.flops; });
}

std::string Plan::words(const Action& action) const {
  const auto index = static_cast<size_t>(action.index);
  std::ostringstream out;
  switch (action.kind) {
    case Action::RunLaunch:
    case Action::RunWhole: {
      const Launch& launch = launches_[index];
      out << launch.op << " (" << kernel::kNames[launch.kernel] << ')';
      if (!launch.module.empty()) out << " in " << launch.module;
      if (launch.flops > 0) out << ", " << launch.flops << " flop";
      out << ", " << launch.bytes << " bytes";
      if (action.joined != 1) out << (action.joined == 0 ? ", joined with the one before" : ", joined with the next");
      break;
    }
    case Action::Check:
      out << "check of values on the host";
      break;
    case Action::ClearGrad:
      out << "gradient " << index << " cleared";
      break;
    case Action::SetGrad:
      out << "gradient " << grads_[index].leaf << " of shape " << concat(grads_[index].shape) << " set";
      break;
    case Action::Optimize:
      out << "optimizer update " << index;
      break;
  }
  return out.str();
}

std::string Plan::describe() const {
  std::ostringstream out;
  out << launches() << " launches, " << optimizers_.size() << " optimizer updates, " << checks_.size() << " checks on the host, " << flops()
      << " flop in matrix products\n"
      << "arena: " << arena_bytes_ << " bytes for " << live_bytes_
      << " that live at one time at most; gradients kept: " << std::accumulate(kept_bytes_.begin(), kept_bytes_.end(), int64_t{0})
      << " bytes; results: " << std::accumulate(output_bytes_.begin(), output_bytes_.end(), int64_t{0}) << " bytes\n";
  for (size_t i = 0; i < actions_.size(); ++i) {
    out << i << "  " << words(actions_[i]);
    if (is_launch(actions_[i])) {
      const Launch& launch = launches_[static_cast<size_t>(actions_[i].index)];
      const char* separator = ": ";
      for (const Patch& patch : patches_)
        if (patch.at >= launch.args && patch.at < launch.args + launch.size)
          out << std::exchange(separator, ", ") << kind_name(patch.place.kind) << ' ' << patch.place.index << '+' << patch.place.offset;
    }
    out << '\n';
  }
  out << "memory of the arena, from launch to launch:\n";
  for (const Buffer& buffer : buffers_)
    if (buffer.place.kind == Place::Arena)
      out << "  " << buffer.place.offset << ": " << buffer.bytes << " bytes, " << buffer.first << " to " << buffer.last << '\n';
  return out.str();
}

// --- Recording --------------------------------------------------------------------------------------------------------

StepRecorder::StepRecorder(const std::vector<Tensor>& inputs) : inputs_(inputs), plan_(make_ref<Plan>()) {
  for (const Tensor& input : inputs) plan_->inputs_.emplace_back(input);
  plan_->threads_ = parallel::num_threads();
  plan_->isa_ = cpu::table().isa;
  plan_->grad_mode_ = GradMode::enabled();
  plan_->changes_seen_ = change_count;
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
    return;
  }
  state.set = true;
  const Found found = find(grad.storage()->data());
  if (found.made < 0 || made_[static_cast<size_t>(found.made)].constant) return refuse("grad is set to a tensor from outside the step");
  const int64_t offset = grad.impl()->offset * static_cast<int64_t>(itemsize(grad.dtype()));
  plan_->actions_.push_back({Plan::Action::SetGrad, static_cast<int32_t>(plan_->grads_.size())});
  plan_->grads_.push_back({state.index, {Place::Arena, found.made, offset}, grad.shape(), grad.strides(), grad.dtype()});
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
    made_[static_cast<size_t>(grad.place.index)].last = static_cast<int>(plan.actions_.size());

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
  for (const Plan::Gradient& grad : plan_->grads_) is_grad[static_cast<size_t>(grad.place.index)] = true;
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
    while (end < count && end - begin < kMostJoined && joins(begin, end)) ++end;
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
