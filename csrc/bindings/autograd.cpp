// The tape as Python sees it: modes, backward, hooks, and nodes whose gradient is written in Python.
#include "autograd/hooks.h"
#include "bindings/bindings.h"

#include <mutex>
#include <set>

namespace dnncore::bindings {

namespace {

// A Python object that tensors and nodes own: let go under the GIL, from whatever thread.
class Owned {
 public:
  explicit Owned(py::handle object) : object_(object), release_(release_later(object.ptr())) {}
  ~Owned() { reset(); }
  Owned(const Owned&) = delete;
  py::handle get() const { return object_; }
  void reset() {
    object_ = {};
    if (const Storage::Deleter release = std::exchange(release_, nullptr)) release();
  }

 private:
  py::handle object_;
  Storage::Deleter release_;
};

Tensor tensor_or_none(const char* op, py::handle object) {
  if (object.is_none()) return {};
  DNN_CHECK(is_tensor(object.ptr()), TypeError, op, ": expected a Tensor or None, got ", Py_TYPE(object.ptr())->tp_name);
  return tensor_of(object.ptr());
}

// --- Hooks ------------------------------------------------------------------------------------------------------------
class PythonHook final : public GradHook {
 public:
  explicit PythonHook(py::handle function) : function_(function) {}
  Tensor call(const Tensor& grad) override {
    const py::gil_scoped_acquire gil;
    return tensor_or_none("hook", function_.get()(grad));
  }
  void* host_object() const override { return function_.get().ptr(); }

 private:
  Owned function_;
};

struct HookHandle {
  Ref<HookList> hooks;
  int64_t number;
  void remove() { hooks->remove(number); }
};

HookHandle register_hook(const Tensor& x, const py::function& hook) {
  DNN_CHECK(x.requires_grad(), StateError, "register_hook: the tensor of shape ", x.shape(), " does not require grad");
  const Ref<HookList>& hooks = hooks_of(x);
  return {hooks, hooks->add(Ref<GradHook>(new PythonHook(hook)))};
}

void bind_hooks(py::module_& m) {
  py::class_<HookHandle>(m, "_HookHandle", "Stands for a registered hook.")
      .def("remove", &HookHandle::remove, "Take the hook away; a second call does nothing.")
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](HookHandle& handle, const py::args&) { handle.remove(); });
  method("register_hook", &register_hook, py::arg("hook"),
         "Call hook(grad) whenever the gradient of this tensor is computed; what it returns, unless None, takes its place.");
  method(
      "retain_grad",
      [](const Tensor& x) {
        DNN_CHECK(x.requires_grad(), StateError, "retain_grad: the tensor of shape ", x.shape(), " does not require grad");
        retain_grad(x);
      },
      "Keep the gradient of a tensor that is not a leaf in its .grad.");
}

// --- Nodes written in Python ------------------------------------------------------------------------------------------
const char* kept_name(const std::string& name) {
  static std::mutex mutex;
  static auto* names = new std::set<std::string>();
  const std::lock_guard lock(mutex);
  return names->insert(name).first->c_str();
}

// function(node, *grads) -> one gradient or None per input; function(None) frees what was saved and says whether there was anything.
class PythonNode final : public Node {
 public:
  PythonNode(const char* op, py::handle function, const std::vector<Tensor>& inputs) : Node(op), function_(function) {
    for (const Tensor& input : inputs) {
      edges.push_back(gradient_edge(input));
      shapes_.push_back(input.shape());
      dtypes_.push_back(input.dtype());
    }
  }

  Grads backward(const Grads& grads) override {
    const py::gil_scoped_acquire gil;
    py::tuple args(grads.size() + 1);
    args[0] = py::cast(GradFn{Ref<Node>(this)});
    for (size_t i = 0; i < grads.size(); ++i) args[i + 1] = grads[i];
    const py::object result = py::reinterpret_steal<py::object>(PyObject_CallObject(function_.get().ptr(), args.ptr()));
    if (!result) throw py::error_already_set();
    const auto found = py::cast<py::sequence>(result);
    DNN_CHECK(found.size() == edges.size(), StateError, op, ": expected ", edges.size(), " gradients from backward(), got ", found.size());
    Grads answer;
    for (size_t i = 0; i < edges.size(); ++i) answer.push_back(checked(i, found[i]));
    return answer;
  }
  bool release_saved() override {
    const py::gil_scoped_acquire gil;
    return py::cast<bool>(function_.get()(py::none()));
  }
  void* host_object() const override { return function_.get().ptr(); }

 private:
  Tensor checked(size_t i, py::handle object) const {
    const Tensor grad = tensor_or_none(op, object);
    if (!grad.defined() || !edges[i].node) return {};
    DNN_CHECK(grad.shape() == shapes_[i], StateError, op, ": backward() returned a gradient of shape ", grad.shape(), " for input ", i,
              " of shape ", shapes_[i]);
    return grad.dtype() == dtypes_[i] ? grad : ops::to_dtype(grad, dtypes_[i]);
  }

  Owned function_;
  std::vector<Shape> shapes_;
  std::vector<DType> dtypes_;
};

// The outputs with the node as their origin: new tensors of the same memory.
std::vector<Tensor> record_function(const std::string& name, const py::function& function, const std::vector<Tensor>& inputs,
                                    const std::vector<Tensor>& outputs, const std::vector<bool>& differentiable) {
  if (Recorder* recorder = current_recorder()) recorder->cannot_repeat("Function", "runs Python during backward");
  const Ref<Node> node(new PythonNode(kept_name(name), function, inputs));
  node->outputs = static_cast<uint32_t>(outputs.size());
  std::vector<Tensor> results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    Tensor result = outputs[i].detach();
    if (differentiable[i] && is_floating(result.dtype())) {
      result.impl()->grad_fn = node;
      result.impl()->output_number = static_cast<uint32_t>(i);
    }
    results.push_back(result);
  }
  return results;
}

void bind_nodes(py::module_& m) {
  py::class_<GradFn>(m, "Node", "A node of the tape: the operation that made a tensor.")
      .def(
          "name", [](const GradFn& fn) { return std::string(fn.node->op) + "Backward"; }, "The operation's name and Backward.")
      .def("__repr__", [](const GradFn& fn) { return "<" + std::string(fn.node->op) + "Backward>"; })
      .def(
          "__eq__", [](const GradFn& a, const GradFn& b) { return a.node == b.node; }, py::is_operator())
      .def("__hash__", [](const GradFn& fn) { return reinterpret_cast<uintptr_t>(fn.node.get()) >> 4; })
      .def_property_readonly(
          "next_functions",
          [](const GradFn& fn) {
            py::list next;
            for (const Edge& edge : fn.node->edges)
              next.append(py::make_tuple(edge.node ? py::cast(GradFn{edge.node}) : py::none(), edge.input));
            return py::tuple(next);
          },
          "The nodes that the gradient goes to, each with the number of its output; None where it ends.");
  py::class_<Saved>(m, "_Saved", "A tensor kept for the gradient of a function.")
      .def_static("input", &Saved::input, py::arg("tensor"))
      .def_static("output", &Saved::output, py::arg("tensor"), py::arg("number"))
      .def(
          "get", [](const Saved& saved, const GradFn& fn) { return saved.get(*fn.node); }, py::arg("node"),
          "The tensor; RuntimeError when it was changed in place.");
  m.def("_record_function", &record_function, py::arg("name"), py::arg("function"), py::arg("inputs"), py::arg("outputs"),
        py::arg("differentiable"), "Put a function whose gradient is written in Python on the tape.");
}

// --- Backward ---------------------------------------------------------------------------------------------------------
using Tensors = std::vector<Tensor>;
using OptionalTensors = std::vector<std::optional<Tensor>>;

Tensors or_undefined(const char* op, const std::optional<OptionalTensors>& tensors, size_t count) {
  DNN_CHECK(!tensors || tensors->size() == count, ValueError, op, ": expected ", count, " gradients, got ", tensors ? tensors->size() : 0);
  Tensors result(count);
  for (size_t i = 0; tensors && i < count; ++i) result[i] = (*tensors)[i].value_or(Tensor());
  return result;
}

// Into the .grad of all leaves, or of `inputs` alone.
void run_backward(const Tensors& roots, const Tensors& grads, const BackwardOptions& options, const std::optional<Tensors>& inputs) {
  if (!inputs) return backward(roots, grads, options);
  DNN_CHECK(!inputs->empty(), ValueError, "backward: expected at least one tensor in inputs");
  for (const Tensor& input : *inputs)
    DNN_CHECK(input.requires_grad(), StateError, "backward: a tensor of shape ", input.shape(), " in inputs does not require grad");
  const Grads found = gradients(roots, grads, *inputs, options);
  const NoGrad mode(options.create_graph);
  for (size_t i = 0; i < found.size(); ++i)
    if (found[i].defined()) accumulate_grad((*inputs)[i], found[i]);
}

void bind_backward(py::module_& m) {
  m.def(
      "_backward",
      [](const Tensors& tensors, const std::optional<OptionalTensors>& gradients, std::optional<bool> retain_graph, bool create_graph,
         const std::optional<Tensors>& inputs) {
        run_backward(tensors, or_undefined("backward", gradients, tensors.size()), {retain_graph.value_or(create_graph), create_graph},
                     inputs);
      },
      py::arg("tensors"), py::arg("gradients") = py::none(), py::arg("retain_graph") = py::none(), py::arg("create_graph") = false,
      py::arg("inputs") = py::none(), "backward() from several tensors at once.");
  m.def(
      "_gradients",
      [](const Tensors& outputs, const Tensors& inputs, const std::optional<OptionalTensors>& grad_outputs, bool retain_graph,
         bool create_graph) {
        return gradients(outputs, or_undefined("grad", grad_outputs, outputs.size()), inputs, {retain_graph, create_graph});
      },
      py::arg("outputs"), py::arg("inputs"), py::arg("grad_outputs"), py::arg("retain_graph"), py::arg("create_graph"),
      "Gradients of the outputs' sum with respect to the inputs, None where no path leads.");
  method(
      "backward",
      [](const Tensor& x, const std::optional<Tensor>& gradient, std::optional<bool> retain_graph, bool create_graph,
         const std::optional<Tensors>& inputs) {
        run_backward({x}, {gradient.value_or(Tensor())}, {retain_graph.value_or(create_graph), create_graph}, inputs);
      },
      py::arg("gradient") = py::none(), py::arg("retain_graph") = py::none(), py::arg("create_graph") = false,
      py::arg("inputs") = py::none(),
      "Add the gradients of this tensor (a scalar, or weighted by `gradient`) to every leaf that requires grad, or to `inputs` alone.");
}

void bind_modes(py::module_& m) {
  m.def("is_grad_enabled", &GradMode::enabled, "Whether operations of this thread are put on the tape.");
  m.def(
      "_set_grad_enabled",
      [](bool enabled) {
        const bool before = GradMode::enabled();
        GradMode::set_enabled(enabled);
        return before;
      },
      py::arg("enabled"), "Switch the tape of this thread on or off; returns what it was.");
  method(
      "requires_grad_",
      [](const Tensor& x, bool requires_grad) {
        set_requires_grad(x, requires_grad);
        return x;
      },
      py::arg("requires_grad") = true, "Set requires_grad of a leaf; returns the tensor.");
  method(
      "detach", [](const Tensor& x) { return x.detach(); }, "The same memory without history.");
  method(
      "detach_",
      [](const Tensor& x) {
        TensorImpl* impl = x.impl();
        if (impl->retains_grad) impl->grad_fn->forget(impl);
        impl->grad_fn = nullptr;
        impl->hooks = nullptr;
        impl->retains_grad = impl->requires_grad = false;
        impl->output_number = 0;
        return x;
      },
      "Forget the history; returns the tensor.");
}

}  // namespace

void bind_autograd(py::module_& m) {
  bind_modes(m);
  bind_nodes(m);
  bind_hooks(m);
  bind_backward(m);
}

}  // namespace dnncore::bindings
