// The Tensor type: life, identity, attributes. Numbers are in tensor_number.cpp, indexing in tensor_index.cpp.
#include "bindings/tensor_type.h"
#include "autograd/plan.h"

#include <structmember.h>

#include <vector>

#include "autograd/hooks.h"
#include "autograd/tape.h"
#include "bindings/bindings.h"

namespace dnncore::bindings {

PyTypeObject* detail::tensor_type = nullptr;

PyObject* wrap_as(PyTypeObject* type, const Tensor& tensor) {
  PyObject* object = type->tp_alloc(type, 0);
  if (!object) return nullptr;
  new (&reinterpret_cast<TensorObject*>(object)->tensor) Tensor(tensor);
  tensor.impl()->host_object = object;
  return object;
}

PyObject* wrap(const Tensor& tensor) {
  if (!tensor.defined()) return new_ref(Py_None);
  auto* host = static_cast<PyObject*>(tensor.impl()->host_object);
  // An object being destroyed (its __dict__ may run code) has no references and is not revived.
  if (host && Py_REFCNT(host) > 0) return new_ref(host);
  return wrap_as(tensor_type(), tensor);
}

namespace {

const Tensor& self_of(PyObject* self) { return tensor_of(self); }

void tensor_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  auto* object = reinterpret_cast<TensorObject*>(self);
  // Before the weak references: their callbacks may meet the same TensorImpl again.
  if (object->tensor.impl()->host_object == self) object->tensor.impl()->host_object = nullptr;
  if (object->weak_references) PyObject_ClearWeakRefs(self);
  object->tensor.~Tensor();
  type->tp_free(self);
  Py_DECREF(type);
}

// What this object alone keeps alive: a hook or a Python function further down may refer back to it. Stops wherever somebody else holds
// on, so nothing is visited that could outlive this object.
int visit_history(const TensorImpl* impl, visitproc visit, void* arg) {
  if (impl->use_count() != 1) return 0;
  const bool last_of_node = impl->grad_fn && impl->grad_fn->use_count() == 1;
  if (impl->hooks && impl->hooks->use_count() == (impl->grad_fn ? 2u : 1u) && (last_of_node || !impl->grad_fn)) {
    int stop = 0;
    impl->hooks->for_each([&](const GradHook& hook) {
      if (auto* object = static_cast<PyObject*>(hook.host_object()); object && stop == 0) stop = visit(object, arg);
    });
    if (stop != 0) return stop;
  }
  constexpr int kLongestWalk = 1000;  // a collection looks at every tensor
  std::vector<const Node*> nodes;
  if (last_of_node) nodes.push_back(impl->grad_fn.get());
  for (size_t i = 0; i < nodes.size(); ++i) {
    Py_VISIT(static_cast<PyObject*>(nodes[i]->host_object()));
    for (const Edge& edge : nodes[i]->edges)
      if (edge.node && edge.node->use_count() == 1 && nodes.size() < kLongestWalk) nodes.push_back(edge.node.get());
  }
  return 0;
}

int tensor_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return visit_history(tensor_of(self).impl(), visit, arg);
}

// Tensor(data): a tensor argument is shared without its history, everything else goes the way of dnncore.tensor.
PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* data = nullptr;
  static const char* names[] = {"data", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Tensor", const_cast<char**>(names), &data)) return nullptr;
  return guarded(
      [&] { return wrap_as(type, is_tensor(data) ? tensor_of(data).detach() : tensor_from_data("Tensor", data, {}, Sharing::Copy)); });
}

Py_hash_t tensor_hash(PyObject* self) { return PyBaseObject_Type.tp_hash(self); }

Py_ssize_t tensor_length(PyObject* self) {
  return guarded([&]() -> Py_ssize_t {
    DNN_CHECK(self_of(self).ndim() > 0, TypeError, "len() of a 0-d tensor");
    return static_cast<Py_ssize_t>(self_of(self).size(0));
  });
}

PyObject* tensor_iter(PyObject* self) {
  return guarded([&] {
    DNN_CHECK(self_of(self).ndim() > 0, TypeError, "iteration over a 0-d tensor");
    return PySeqIter_New(self);
  });
}

int tensor_contains(PyObject* self, PyObject* value) {
  return guarded([&]() -> int {
    TensorOrNumber other;
    DNN_CHECK(operand_from_python(value, other), TypeError, "contains: expected a number or a tensor, got ", Py_TYPE(value)->tp_name);
    const NoGrad no_grad;
    const Tensor equal = apply(BinaryOp::eq, self_of(self), other);
    return ops::host_value<bool>("contains", ops::reduce(ReduceOp::any, equal, {}, false)) ? 1 : 0;
  });
}

// --- Attributes -------------------------------------------------------------------------------------------------------
template <auto get>
PyObject* getter(PyObject* self, void*) {
  return guarded([&]() -> PyObject* { return py::cast(get(self_of(self))).release().ptr(); });
}

template <auto get>
constexpr PyGetSetDef attribute(const char* name, const char* doc) {
  return {name, getter<get>, nullptr, doc, nullptr};
}

Tensor swap_last(const char* op, const Tensor& x) {
  DNN_CHECK(x.ndim() >= 2, ValueError, op, ": expected at least 2 dimensions, got shape ", x.shape());
  return ops::transpose(x, -2, -1);
}

Tensor reverse_dims(const Tensor& x) {
  Shape dims;
  for (int i = x.ndim() - 1; i >= 0; --i) dims.push_back(i);
  return ops::permute(x, dims);
}

int set_requires_grad_attribute(PyObject* self, PyObject* value, void*) {
  return guarded([&]() -> int {
    DNN_CHECK(value && PyBool_Check(value), TypeError, "requires_grad: expected a bool");
    set_requires_grad(self_of(self), value == Py_True);
    return 0;
  });
}

int set_grad_attribute(PyObject* self, PyObject* value, void*) {
  return guarded([&]() -> int {
    const Tensor& x = self_of(self);
    if (!value || value == Py_None) {
      x.set_grad({});
      return 0;
    }
    DNN_CHECK(is_tensor(value), TypeError, "grad: expected a Tensor or None, got ", Py_TYPE(value)->tp_name);
    const Tensor& grad = tensor_of(value);
    DNN_CHECK(!grad.is(x), ValueError, "grad: a tensor cannot be its own gradient");
    DNN_CHECK(grad.shape() == x.shape(), ValueError, "grad: expected shape ", x.shape(), ", got ", grad.shape());
    DNN_CHECK(grad.dtype() == x.dtype(), TypeError, "grad: expected dtype ", x.dtype(), ", got ", grad.dtype());
    DNN_CHECK(grad.device() == x.device(), StateError, "grad: expected a gradient on ", x.device(), ", got one on ", grad.device());
    x.set_grad(grad);
    return 0;
  });
}

PyObject* get_grad_fn(PyObject* self, void*) {
  return guarded([&]() -> PyObject* {
    const Tensor& x = self_of(self);
    return x.is_leaf() ? new_ref(Py_None) : py::cast(GradFn{x.impl()->grad_fn}).release().ptr();
  });
}

PyGetSetDef attributes[] = {
    attribute<[](const Tensor& x) { return x.shape(); }>("shape", "Sizes of all dimensions, a tuple."),
    attribute<[](const Tensor& x) { return x.dtype(); }>("dtype", "Element type."),
    attribute<[](const Tensor& x) { return x.device(); }>("device", "Where the memory is."),
    attribute<[](const Tensor& x) { return x.device().type == DeviceType::CUDA; }>("is_cuda", "Whether the memory is a CUDA device's."),
    attribute<[](const Tensor& x) { return x.ndim(); }>("ndim", "Number of dimensions."),
    attribute<[](const Tensor& x) { return x.nbytes(); }>("nbytes", "Bytes of all elements."),
    attribute<[](const Tensor& x) { return itemsize(x.dtype()); }>("itemsize", "Bytes of one element."),
    attribute<reverse_dims>("T", "A view with all dimensions reversed."),
    attribute<[](const Tensor& x) { return swap_last("mT", x); }>("mT", "A view with the last two dimensions swapped."),
    attribute<[](const Tensor& x) { return x.detach(); }>("data", "The same memory without history; as detach()."),
    attribute<[](const Tensor& x) { return x.version(); }>("_version", "How often the memory was changed in place."),
    attribute<[](const Tensor& x) { return x.impl()->retains_grad; }>("retains_grad",
                                                                      "Whether retain_grad() was called; False for leaves."),
    attribute<[](const Tensor& x) { return x.is_leaf(); }>("is_leaf", "True unless an operation that is on the tape made it."),
    {"requires_grad", getter<[](const Tensor& x) { return x.requires_grad(); }>, set_requires_grad_attribute,
     "Whether backward() computes a gradient for it; may be set on leaves of floating dtype.", nullptr},
    {"grad", getter<[](const Tensor& x) { return x.grad(); }>, set_grad_attribute,
     "The accumulated gradient of a leaf or of a tensor that retains it, or None.", nullptr},
    {"grad_fn", get_grad_fn, nullptr, "The node of the tape that made it, or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

constexpr const char* kTensorDoc =
    "A multi-dimensional array of one dtype, a strided view of memory it may share with other tensors.\n\n"
    "Made by dnncore.tensor, zeros, rand, from_numpy and their kin. Tensor(other) shares other's memory without its history.";

template <class Fn>
void add_slot(std::vector<PyType_Slot>& slots, int id, Fn* pointer) {
  slots.push_back({id, reinterpret_cast<void*>(pointer)});
}

std::vector<PyType_Slot> type_slots() {
  std::vector<PyType_Slot> slots;
  add_slot(slots, Py_tp_new, tensor_new);
  add_slot(slots, Py_tp_dealloc, tensor_dealloc);
  add_slot(slots, Py_tp_traverse, tensor_traverse);
  add_slot(slots, Py_tp_hash, tensor_hash);
  add_slot(slots, Py_tp_richcompare, tensor_richcompare);
  add_slot(slots, Py_tp_iter, tensor_iter);
  add_slot(slots, Py_tp_repr, tensor_repr);
  add_slot(slots, Py_mp_length, tensor_length);
  add_slot(slots, Py_mp_subscript, tensor_subscript);
  add_slot(slots, Py_mp_ass_subscript, tensor_assign_subscript);
  add_slot(slots, Py_sq_length, tensor_length);
  add_slot(slots, Py_sq_item, tensor_item);
  add_slot(slots, Py_sq_contains, tensor_contains);
  slots.push_back({Py_tp_getset, attributes});
  slots.push_back({Py_tp_members, members});
  slots.push_back({Py_tp_methods, elementwise_methods()});
  slots.push_back({Py_tp_doc, const_cast<char*>(kTensorDoc)});
  for (PyType_Slot* slot = number_slots(); slot->slot; ++slot) slots.push_back(*slot);
  slots.push_back({0, nullptr});
  return slots;
}

}  // namespace

void require_grad_allowed(const Tensor& x) {
  DNN_CHECK(is_floating(x.dtype()), StateError, "requires_grad: only floating-point tensors can require gradients, got ", x.dtype());
}

void set_requires_grad(const Tensor& x, bool requires_grad) {
  if (!x.is_leaf()) {
    DNN_CHECK(
        requires_grad, StateError,
        "requires_grad: this tensor was computed from others and belongs to their graph; use x.detach() for a tensor without gradient");
    return;
  }
  if (requires_grad) require_grad_allowed(x);
  if (x.impl()->requires_grad != requires_grad) requires_grad_changes(*x.impl());
  x.impl()->requires_grad = requires_grad;
}

void bind_tensor_type(py::module_& m) {
  std::vector<PyType_Slot> slots = type_slots();
  PyType_Spec spec{"dnncore.Tensor", sizeof(TensorObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  detail::tensor_type = reinterpret_cast<PyTypeObject*>(type);
  m.attr("Tensor") = py::handle(type);
  // NumPy leaves `array + tensor` to our reflected operator, while np.exp(tensor) still works through __array__
  // (`__array_ufunc__ = None` would forbid the latter).
  py::setattr(type, "__array_priority__", py::int_(1000));
}

}  // namespace dnncore::bindings
