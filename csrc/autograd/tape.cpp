#include "autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "autograd/hooks.h"
#include "core/launch.h"
#include "ops/layout.h"
#include "ops/ops.h"

namespace dnncore {

namespace {

thread_local bool grad_enabled = true;
std::atomic<uint64_t> next_sequence{1};

// The end of the line: gradients of a leaf are written into its .grad, or added to what is there.
class Accumulator final : public Node {
 public:
  explicit Accumulator(const Ref<TensorImpl>& leaf) : Node("accumulate_grad"), leaf_(leaf) {
    sequence = 0;  // after every node: what several uses of the leaf send is summed first
    leaf_->accumulator = this;
  }
  ~Accumulator() override { leaf_->accumulator = nullptr; }

  Grads backward(const Grads& grads) override {
    accumulate_grad(Tensor(leaf_), grads[0]);
    return {};
  }
  const Ref<HookList>& hooks() const { return leaf_->hooks; }

 private:
  Ref<TensorImpl> leaf_;
};

struct Later {
  bool operator()(const Node* a, const Node* b) const { return a->sequence < b->sequence; }
};

// One walk of backward(): gradients that have arrived, and the nodes they wait at, newest first. A node is older than every node that
// uses its output, so when it comes to the front all of its gradient is there.
class Walk {
 public:
  explicit Walk(bool retain_graph) : retain_graph_(retain_graph) {}

  // Only paths to `edges` are walked, and what arrives there is kept.
  void capture(const std::vector<Edge>& edges, const std::vector<Edge>& roots) {
    captured_.resize(edges.size());
    for (size_t i = 0; i < edges.size(); ++i) wanted_[edges[i].node.get()].push_back({edges[i].input, i});
    mark_paths(roots);
  }
  Grads take_captured() { return std::move(captured_); }

  void add(const Edge& edge, const Tensor& grad) {
    if (!on_path(edge.node.get())) return;
    auto [entry, first] = arrived_.try_emplace(edge.node.get());
    Grads& slots = entry->second;
    if (first) {
      slots.resize(edge.node->outputs);
      queue_.push(edge.node.get());
      alive_.push_back(edge.node);
    }
    Tensor& slot = slots[edge.input];
    slot = slot.defined() ? ops::binary(BinaryOp::add, slot, grad) : grad;
  }

  void run() {
    while (!queue_.empty()) {
      Node* node = queue_.top();
      queue_.pop();
      auto entry = arrived_.extract(node);
      step(*node, std::move(entry.mapped()));
    }
  }

 private:
  struct Wanted {
    uint32_t output;
    size_t index;
  };

  bool on_path(const Node* node) const { return wanted_.empty() || paths_.count(node) != 0; }

  // Older nodes first, so that whoever leads to a wanted one is known before his users are asked.
  void mark_paths(const std::vector<Edge>& roots) {
    std::vector<Node*> reached;
    std::unordered_set<const Node*> seen;
    const auto visit = [&](const Edge& edge) {
      if (edge.node && seen.insert(edge.node.get()).second) reached.push_back(edge.node.get());
    };
    for (const Edge& root : roots) visit(root);
    for (size_t i = 0; i < reached.size(); ++i)
      for (const Edge& edge : reached[i]->edges) visit(edge);
    std::sort(reached.begin(), reached.end(), [](const Node* a, const Node* b) { return a->sequence < b->sequence; });
    for (const Node* node : reached) {
      bool leads = wanted_.count(node) != 0;
      for (const Edge& edge : node->edges) leads |= paths_.count(edge.node.get()) != 0;
      if (leads) paths_.insert(node);
    }
  }

  void step(Node& node, Grads arrived) {
    watch(node, arrived);
    if (!wanted_.empty() && !capture_at(node, arrived)) return;
    DNN_CHECK(!node.released, StateError, "backward: the graph of this '", node.op,
              "' was already freed by an earlier backward(); pass retain_graph=True to the earlier call");
    Grads grads = node.backward(arrived);
    arrived.clear();
    if (!retain_graph_) node.released = node.release_saved();
    for (size_t i = 0; i < grads.size(); ++i)
      if (grads[i].defined() && node.edges[i].node) {
        const Tensor grad = std::move(grads[i]);
        add(node.edges[i], grad);
      }
  }

  // Keeps what arrived here if it is wanted; false when nothing wanted lies beyond.
  bool capture_at(const Node& node, const Grads& arrived) {
    if (const auto found = wanted_.find(&node); found != wanted_.end())
      for (const Wanted& wanted : found->second) captured_[wanted.index] = arrived[wanted.output];
    for (const Edge& edge : node.edges)
      if (paths_.count(edge.node.get()) != 0) return true;
    return false;
  }

  static void watch(Node& node, Grads& arrived) {
    if (node.sequence == 0) {  // an accumulator
      if (const Ref<HookList>& hooks = static_cast<Accumulator&>(node).hooks()) arrived[0] = hooks->run(arrived[0]);
      return;
    }
    if (!node.watchers) return;
    const auto lists = node.watchers->hooks;  // a hook may add hooks
    for (const auto& [output, hooks] : lists)
      if (arrived[output].defined()) arrived[output] = hooks->run(arrived[output]);
    std::vector<Tensor> retained;
    for (TensorImpl* output : node.watchers->retained) retained.emplace_back(Ref<TensorImpl>(output));
    for (const Tensor& output : retained)
      if (const Tensor& grad = arrived[output.impl()->output_number]; grad.defined()) accumulate_grad(output, grad);
  }

  const bool retain_graph_;
  std::unordered_map<Node*, Grads> arrived_;
  std::priority_queue<Node*, std::vector<Node*>, Later> queue_;
  std::vector<Ref<Node>> alive_;
  std::unordered_map<const Node*, std::vector<Wanted>> wanted_;
  std::unordered_set<const Node*> paths_;
  Grads captured_;
};

Tensor first_gradient(const Tensor& root, const Tensor& given) {
  DNN_CHECK(root.requires_grad(), StateError, "backward: the tensor does not require grad and has no history to follow");
  if (!given.defined()) {
    DNN_CHECK(root.numel() == 1, StateError, "backward: expected a tensor of one element (or a gradient argument), got shape ",
              root.shape());
    return ops::full(root.shape(), Scalar::of(1.0), root.dtype(), root.device());
  }
  DNN_CHECK(given.shape() == root.shape(), ValueError, "backward: expected a gradient of shape ", root.shape(), ", got ", given.shape());
  DNN_CHECK(given.dtype() == root.dtype(), TypeError, "backward: expected a gradient of dtype ", root.dtype(), ", got ", given.dtype());
  DNN_CHECK(given.device() == root.device(), StateError, "backward: expected a gradient on ", root.device(), ", got one on ",
            given.device());
  return given;
}

void walk_from(Walk& walk, const std::vector<Tensor>& roots, const std::vector<Tensor>& grads) {
  std::vector<Tensor> first;
  for (size_t i = 0; i < roots.size(); ++i) first.push_back(first_gradient(roots[i], i < grads.size() ? grads[i] : Tensor()));
  for (size_t i = 0; i < roots.size(); ++i) walk.add(gradient_edge(roots[i]), first[i]);
  walk.run();
}

// Gradients whose memory nobody else is given: a change of one in place changes no other, nor one that the walk began with.
Grads with_own_memory(Grads found, const std::vector<Tensor>& given) {
  std::unordered_set<const void*> seen;
  for (const Tensor& grad : given)
    if (grad.defined()) seen.insert(grad.data());
  for (Tensor& grad : found)
    if (grad.defined() && grad.numel() > 0 && !seen.insert(grad.data()).second) grad = ops::clone(grad);
  return found;
}

}  // namespace

bool GradMode::enabled() { return grad_enabled; }
void GradMode::set_enabled(bool enabled) { grad_enabled = enabled; }

Node::Node(const char* op) : op(op), sequence(next_sequence.fetch_add(1, std::memory_order_relaxed)) {}

Node::~Node() {
  for (Edge& edge : edges)
    if (edge.node) release_later(std::move(edge.node));
}

void release_later(Ref<Node> node) {
  thread_local Node* dead = nullptr;
  thread_local bool draining = false;
  if (node->use_count() > 1) return;  // somebody else keeps it
  Node* last = node.take();
  last->next_dead_ = std::exchange(dead, last);
  if (draining) return;
  draining = true;
  while (dead != nullptr) {
    Node* next = std::exchange(dead, dead->next_dead_);
    next->release();
  }
  draining = false;
}

Tensor Saved::get(const Node& node) const {
  if (!tensor_.defined()) return {};
  DNN_CHECK(tensor_.version() == version_, StateError, node.op, ": a tensor of shape ", tensor_.shape(),
            " needed for its gradient was changed in place afterwards (version ", tensor_.version(), ", expected ", version_,
            "); change a clone() instead");
  if (output_ < 0 || !GradMode::enabled()) return tensor_;
  const Tensor output = tensor_.detach();
  output.impl()->grad_fn = Ref<Node>(const_cast<Node*>(&node));
  output.impl()->output_number = static_cast<uint32_t>(output_);
  return output;
}

Edge gradient_edge(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  TensorImpl* impl = tensor.impl();
  if (impl->grad_fn) return {impl->grad_fn, impl->output_number};
  if (!impl->requires_grad) return {};
  if (impl->accumulator == nullptr) return {Ref<Node>(new Accumulator(tensor.ref())), 0};
  return {Ref<Node>(impl->accumulator), 0};
}

void attach(const Ref<Node>& node, const Tensor& output, std::initializer_list<const Tensor*> inputs) {
  node->edges.reserve(inputs.size());
  for (const Tensor* input : inputs) node->edges.push_back(gradient_edge(*input));
  output.impl()->grad_fn = node;
  output.impl()->output_number = 0;
}

void attach(const Ref<Node>& node, const Tensor& output, const std::vector<Tensor>& inputs) { attach_all(node, {output}, inputs); }

void attach_all(const Ref<Node>& node, const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs) {
  node->edges.reserve(inputs.size());
  for (const Tensor& input : inputs) node->edges.push_back(gradient_edge(input));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].defined()) continue;
    outputs[i].impl()->grad_fn = node;
    outputs[i].impl()->output_number = static_cast<uint32_t>(i);
  }
}

void Node::forget(const TensorImpl* output) {
  auto& retained = watchers->retained;
  retained.erase(std::remove(retained.begin(), retained.end(), output), retained.end());
}

void accumulate_grad(const Tensor& tensor, const Tensor& grad) {
  DNN_CHECK(grad.shape() == tensor.shape(), StateError, "backward: gradient of shape ", grad.shape(), " for a tensor of shape ",
            tensor.shape());
  DNN_CHECK(grad.device() == tensor.device(), StateError, "backward: gradient on ", grad.device(), " for a tensor on ", tensor.device());
  const Tensor before = tensor.grad();
  if (before.defined()) {
    if (GradMode::enabled())
      tensor.set_grad(ops::binary(BinaryOp::add, before, grad));
    else
      ops::binary_(BinaryOp::add, before, grad);
    return;
  }
  // Kept without a copy when nobody else can see it.
  const bool row_major = tensor.is_contiguous();
  const bool dense = grad.is_contiguous() || (!row_major && ops::is_channels_last(grad));
  const bool ours = grad.impl()->use_count() == 1 && grad.storage()->use_count() == 1 && dense;
  tensor.set_grad(ours ? grad : ops::clone(grad, row_major ? ops::MemoryFormat::Contiguous : ops::MemoryFormat::Preserve));
}

void backward(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, const BackwardOptions& options) {
  const NoGrad mode(options.create_graph);
  Walk walk(options.retain_graph);
  walk_from(walk, roots, grads);
}

Grads gradients(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, const std::vector<Tensor>& inputs,
                const BackwardOptions& options) {
  const NoGrad mode(options.create_graph);
  std::vector<Edge> ends, starts;
  for (const Tensor& input : inputs) ends.push_back(gradient_edge(input));
  for (const Tensor& root : roots) starts.push_back(gradient_edge(root));
  Walk walk(options.retain_graph);
  walk.capture(ends, starts);
  walk_from(walk, roots, grads);
  return with_own_memory(walk.take_captured(), grads);
}

// --- Hooks ------------------------------------------------------------------------------------------------------------

int64_t HookList::add(Ref<GradHook> hook) {
  entries_.push_back({next_, std::move(hook)});
  return next_++;
}

void HookList::remove(int64_t number) {
  entries_.erase(std::remove_if(entries_.begin(), entries_.end(), [number](const Entry& entry) { return entry.number == number; }),
                 entries_.end());
}

Tensor HookList::run(Tensor grad) const {
  if (Recorder* recorder = current_recorder()) recorder->cannot_repeat("hook", "runs Python during backward");
  const std::vector<Entry> entries = entries_;  // a hook may remove itself
  for (const Entry& entry : entries) {
    const Tensor changed = entry.hook->call(grad);
    if (!changed.defined()) continue;
    DNN_CHECK(changed.shape() == grad.shape(), ValueError, "hook: expected a gradient of shape ", grad.shape(), ", got ", changed.shape());
    DNN_CHECK(changed.dtype() == grad.dtype(), TypeError, "hook: expected a gradient of dtype ", grad.dtype(), ", got ", changed.dtype());
    grad = changed;
  }
  return grad;
}

namespace {

Node::Watchers& watchers_of(const Tensor& tensor) {
  Node& node = *tensor.impl()->grad_fn;
  if (!node.watchers) node.watchers = std::make_unique<Node::Watchers>();
  return *node.watchers;
}

}  // namespace

const Ref<HookList>& hooks_of(const Tensor& tensor) {
  TensorImpl* impl = tensor.impl();
  if (!impl->hooks) {
    impl->hooks = make_ref<HookList>();
    if (impl->grad_fn) watchers_of(tensor).hooks.push_back({impl->output_number, impl->hooks});
  }
  return impl->hooks;
}

void retain_grad(const Tensor& tensor) {
  TensorImpl* impl = tensor.impl();
  if (!impl->grad_fn || impl->retains_grad) return;  // a leaf keeps its gradient anyway
  watchers_of(tensor).retained.push_back(impl);
  impl->retains_grad = true;
}

}  // namespace dnncore
