#include "autograd/tape.h"

#include <atomic>
#include <queue>
#include <unordered_map>

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
    const Tensor leaf(leaf_);
    const Tensor& grad = grads[0];
    DNN_CHECK(grad.shape() == leaf.shape(), StateError, "backward: gradient of shape ", grad.shape(), " for a tensor of shape ",
              leaf.shape());
    if (leaf.grad().defined()) {
      ops::binary_(BinaryOp::add, leaf.grad(), grad);
    } else {
      // Kept without a copy when nobody else can see it.
      const bool ours = grad.impl()->use_count() == 1 && grad.storage()->use_count() == 1 && grad.is_contiguous();
      leaf.set_grad(ours ? grad : ops::clone(grad));
    }
    return {};
  }

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
  void add(const Edge& edge, const Tensor& grad) {
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

  void run(bool retain_graph) {
    while (!queue_.empty()) {
      Node* node = queue_.top();
      queue_.pop();
      auto entry = arrived_.extract(node);
      step(*node, std::move(entry.mapped()), retain_graph);
    }
  }

 private:
  void step(Node& node, Grads arrived, bool retain_graph) {
    DNN_CHECK(!node.released, StateError, "backward: the graph of this '", node.op,
              "' was already freed by an earlier backward(); pass retain_graph=True to the earlier call");
    Grads grads = node.backward(arrived);
    arrived.clear();
    if (!retain_graph) node.released = node.release_saved();
    for (size_t i = 0; i < grads.size(); ++i)
      if (grads[i].defined() && node.edges[i].node) {
        const Tensor grad = std::move(grads[i]);
        add(node.edges[i], grad);
      }
  }

  std::unordered_map<Node*, Grads> arrived_;
  std::priority_queue<Node*, std::vector<Node*>, Later> queue_;
  std::vector<Ref<Node>> alive_;
};

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

void attach(const Ref<Node>& node, const Tensor& output, const std::vector<Tensor>& inputs) {
  node->edges.reserve(inputs.size());
  for (const Tensor& input : inputs) node->edges.push_back(gradient_edge(input));
  output.impl()->grad_fn = node;
  output.impl()->output_number = 0;
}

void backward(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, bool retain_graph) {
  const NoGrad no_grad;
  Walk walk;
  for (size_t i = 0; i < roots.size(); ++i) {
    const Tensor& root = roots[i];
    DNN_CHECK(root.requires_grad(), StateError, "backward: the tensor does not require grad and has no history to follow");
    Tensor grad = i < grads.size() ? grads[i] : Tensor();
    if (!grad.defined()) {
      DNN_CHECK(root.numel() == 1, StateError, "backward: expected a tensor of one element (or a gradient argument), got shape ",
                root.shape());
      grad = ops::full(root.shape(), Scalar::of(1.0), root.dtype());
    }
    DNN_CHECK(grad.shape() == root.shape(), ValueError, "backward: expected a gradient of shape ", root.shape(), ", got ", grad.shape());
    DNN_CHECK(grad.dtype() == root.dtype(), TypeError, "backward: expected a gradient of dtype ", root.dtype(), ", got ", grad.dtype());
    walk.add(gradient_edge(root), grad);
  }
  walk.run(retain_graph);
}

}  // namespace dnncore
