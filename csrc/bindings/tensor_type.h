// The Python type of tensors: a hand-written heap type, because `a + b` has one microsecond from Python to Python.
// One living Python object stands for one TensorImpl (impl->host_object), so that `x.grad is x.grad`.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "autograd/tape.h"
#include "core/tensor.h"

namespace dnncore::bindings {

struct TensorObject {
  PyObject_HEAD;
  PyObject* weak_references;
  Tensor tensor;  // always defined
};

namespace detail {
extern PyTypeObject* tensor_type;
}
inline PyTypeObject* tensor_type() { return detail::tensor_type; }

inline bool is_tensor(PyObject* object) { return Py_TYPE(object) == tensor_type() || PyType_IsSubtype(Py_TYPE(object), tensor_type()); }
inline const Tensor& tensor_of(PyObject* object) { return reinterpret_cast<TensorObject*>(object)->tensor; }

// A new reference: the living object of this tensor or a fresh one; None when undefined. nullptr with MemoryError set.
PyObject* wrap(const Tensor& tensor);
// A fresh object of `type`, a subclass; `tensor` has no object yet.
PyObject* wrap_as(PyTypeObject* type, const Tensor& tensor);

// A node of the tape as Python sees it.
struct GradFn {
  Ref<Node> node;
};

// Slots written in other files.
PyObject* tensor_subscript(PyObject* self, PyObject* key);
int tensor_assign_subscript(PyObject* self, PyObject* key, PyObject* value);  // value null: deletion, refused
PyObject* tensor_item(PyObject* self, Py_ssize_t index);
PyObject* tensor_repr(PyObject* self);
PyType_Slot* number_slots();         // ends with {0, nullptr}
PyMethodDef* elementwise_methods();  // ends with {nullptr, ...}
PyObject* tensor_richcompare(PyObject* self, PyObject* other, int op);

}  // namespace dnncore::bindings
