// The tape: each op that needs a gradient leaves a Node behind; backward() walks them from the newest to the oldest.
// A node's backward receives one gradient per output (undefined where none arrived) and returns one per input.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace dnncore {

// Whether ops on this thread leave nodes behind.
class GradMode {
 public:
  static bool enabled();
  static void set_enabled(bool enabled);
};

class NoGrad {
 public:
  explicit NoGrad(bool enabled = false) : before_(GradMode::enabled()) { GradMode::set_enabled(enabled); }
  ~NoGrad() { GradMode::set_enabled(before_); }
  NoGrad(const NoGrad&) = delete;

 private:
  bool before_;
};

struct Edge {
  Ref<Node> node;  // null: this input needs no gradient
  uint32_t input = 0;
};

using Grads = std::vector<Tensor>;

class HookList;

class Node : public RefCounted {
 public:
  explicit Node(const char* op);
  ~Node() override;

  virtual Grads backward(const Grads& grads) = 0;
  // Frees what was saved for backward; false when there was nothing, so that backward may come again.
  virtual bool release_saved() { return false; }
  virtual void* host_object() const { return nullptr; }  // the Python object that computes it, for the garbage collector (not owned)

  // Who sees the gradients that arrive here.
  struct Watchers {
    std::vector<std::pair<uint32_t, Ref<HookList>>> hooks;  // by output
    std::vector<TensorImpl*> retained;                      // outputs that keep theirs; they forget() themselves
  };
  std::unique_ptr<Watchers> watchers;
  void forget(const TensorImpl* output);

  const char* op;
  uint64_t sequence;        // later nodes have larger numbers
  std::vector<Edge> edges;  // one per input of the op
  uint32_t outputs = 1;
  bool released = false;  // its saved tensors are gone: a second backward is an error

  bool needs(int input) const { return static_cast<bool>(edges[static_cast<size_t>(input)].node); }

 private:
  friend void release_later(Ref<Node> node);
  Node* next_dead_ = nullptr;
};

// A tensor kept for the backward pass. Reading it after an in-place change raises StateError naming the op.
class Saved {
 public:
  Saved() = default;
  // An input is kept with its history; an output of the node itself without (it would be a cycle), and gets it back from get().
  static Saved input(const Tensor& tensor) { return Saved(tensor, -1); }
  static Saved output(const Tensor& tensor, int number = 0) { return Saved(tensor.detach(), number); }
  Tensor get(const Node& node) const;

 private:
  Saved(const Tensor& tensor, int output) : tensor_(tensor), version_(tensor.version()), output_(output) {}
  Tensor tensor_;
  uint32_t version_ = 0;
  int output_ = -1;  // its number, of an output
};

// Drops a reference without recursion, however long the chain of nodes behind it.
void release_later(Ref<Node> node);

// Where gradient of `tensor` goes: its grad_fn, or the accumulator of a leaf that requires grad, or nowhere.
Edge gradient_edge(const Tensor& tensor);

inline bool any_requires_grad(std::initializer_list<const Tensor*> tensors) {
  if (!GradMode::enabled()) return false;
  for (const Tensor* tensor : tensors)
    if (tensor->defined() && tensor->requires_grad()) return true;
  return false;
}

inline bool any_requires_grad(const std::vector<Tensor>& tensors) {
  return GradMode::enabled() &&
         std::any_of(tensors.begin(), tensors.end(), [](const Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); });
}

// Makes `node` the origin of `output` with edges to `inputs`.
void attach(const Ref<Node>& node, const Tensor& output, std::initializer_list<const Tensor*> inputs);
void attach(const Ref<Node>& node, const Tensor& output, const std::vector<Tensor>& inputs);
// The same of several outputs in the node's order; undefined ones are not there.
void attach_all(const Ref<Node>& node, const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs);

// The node of an op whose backward is a callable: Grads fn(const Node& node, const Tensor& grad).
template <class Fn>
class FunctionNode final : public Node {
 public:
  FunctionNode(const char* op, Fn fn) : Node(op), fn_(std::make_unique<Fn>(std::move(fn))) {}
  Grads backward(const Grads& grads) override { return (*fn_)(static_cast<const Node&>(*this), grads[0]); }
  bool release_saved() override {
    if constexpr (std::is_trivially_destructible_v<Fn>) return false;  // sizes and settings only
    fn_.reset();
    return true;
  }

 private:
  std::unique_ptr<Fn> fn_;
};

// record("mul", out, {&a, &b}, [a = Saved::input(a), ...](const Node& node, const Tensor& g) -> Grads {...});
// Call only when any_requires_grad(inputs): the closure saves tensors.
template <class Fn>
void record(const char* op, const Tensor& output, std::initializer_list<const Tensor*> inputs, Fn fn) {
  attach(Ref<Node>(new FunctionNode<Fn>(op, std::move(fn))), output, inputs);
}

// The same for an op of a list of tensors.
template <class Fn>
void record_list(const char* op, const Tensor& output, const std::vector<Tensor>& inputs, Fn fn) {
  attach(Ref<Node>(new FunctionNode<Fn>(op, std::move(fn))), output, inputs);
}

struct BackwardOptions {
  bool retain_graph = false;  // keep what was saved for another pass
  bool create_graph = false;  // put the pass itself on the tape
};

// Gradients of the sum of `roots` (weighted by `grads`, ones when undefined and the root is a scalar) accumulated into every leaf
// that requires grad. One native call; nodes are walked without recursion.
void backward(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, const BackwardOptions& options = {});
// The same gradients of `inputs`, leaves or not, returned and written nowhere; undefined where no path leads.
Grads gradients(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, const std::vector<Tensor>& inputs,
                const BackwardOptions& options = {});
// Adds to tensor.grad, or sets it.
void accumulate_grad(const Tensor& tensor, const Tensor& grad);

}  // namespace dnncore
