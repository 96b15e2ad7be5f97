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

// --- Changes of requires_grad, the newest at the end ---
struct Change {
  const TensorImpl* leaf;
  const Storage* storage;
  bool before;
};
constexpr size_t kKeptChanges = 4096;
std::deque<Change> changes;  // under the host's lock, as every change
uint64_t change_count = 0;
uint64_t move_count = 0;  // of leaves, under the host's lock too

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

void leaf_moved() { ++move_count; }

Plan::Plan() : changes_seen_(change_count), moves_seen_(move_count) {}

std::string Plan::mismatch() const {
  if (parallel::num_threads() != threads_) return "another number of threads";
  if (GradMode::enabled() != grad_mode_) return "gradients switched on or off";
  if (isa_ != cpu::table().isa) return "another instruction set";
  if (moves_seen_ != move_count) return "parameters that moved to another device";
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
  return std::all_of(values_.begin(), values_.end(), [&](const Values& then) {
    return std::equal(then.bytes.begin(), then.bytes.end(), inputs[then.input].data<std::byte>());
  });
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
  room->kept.resize(kept_bytes_.size());
  memory::empty_cache();  // what the step took in Python would lie idle from now on
  // The gradients of before become the memory of those that replace them; move_in() looks whether somebody else knows them.
  for (const Gradient& grad : grads_) {
    const Leaf& leaf = leaves_[static_cast<size_t>(grad.leaf)];
    if (grad.place.kind != Place::Kept || leaf.needs_grad || !leaf.tensor->grad) continue;
    const Ref<Storage>& storage = leaf.tensor->grad->storage;
    const auto index = static_cast<size_t>(grad.place.index);
    if (!storage->foreign() && static_cast<int64_t>(storage->bytes()) == kept_bytes_[index]) room->kept[index] = storage;
  }
  for (size_t k = 0; k < kept_bytes_.size(); ++k)
    if (!room->kept[k]) room->kept[k] = make_ref<Storage>(static_cast<size_t>(kept_bytes_[k]));
  room->arena = make_ref<Storage>(static_cast<size_t>(arena_bytes_));
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

  const auto storage_at = [&](const Place& place) {
    const auto index = static_cast<size_t>(place.index);
    switch (place.kind) {
      case Place::Input:
        return inputs[index].storage();
      case Place::Grad:
        return grads_before[index]->storage;
      case Place::Arena:
        return room.arena;
      case Place::Kept:
        return room.kept[index];
      case Place::Output:
        return outputs[index];
      default:
        return make_ref<Storage>(0);  // of a gradient without elements
    }
  };

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
        const int64_t offset = grad.place.offset / static_cast<int64_t>(itemsize(grad.dtype));
        leaves_[static_cast<size_t>(grad.leaf)].tensor->grad =
            make_ref<TensorImpl>(storage_at(grad.place), offset, grad.shape, grad.strides, grad.dtype);
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
    int64_t offset = result.place.offset / static_cast<int64_t>(itemsize(result.dtype));
    if (result.place.kind == Place::Input) offset += inputs[index].impl()->offset;
    if (result.place.kind == Place::Grad) offset += grads_before[index]->offset;
    results.emplace_back(make_ref<TensorImpl>(storage_at(result.place), offset, result.shape, result.strides, result.dtype));
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

}  // namespace dnncore
