// How a tensor shows itself, travels in a pickle and is copied.
#include <cstring>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

py::object formatter(const char* name) { return py::module_::import("dnncore._format").attr(name); }

// Methods that need the Python object (its class, its __dict__) check it themselves.
const Tensor& checked_self(const char* name, py::handle self) {
  DNN_CHECK(is_tensor(self.ptr()), TypeError, name, ": expected a Tensor, got ", Py_TYPE(self.ptr())->tp_name);
  return tensor_of(self.ptr());
}

py::object attributes_of(py::handle self) { return py::getattr(self, "__dict__", py::none()); }

py::object new_object(py::handle type, const Tensor& x) {
  PyObject* object = wrap_as(reinterpret_cast<PyTypeObject*>(type.ptr()), x);
  if (!object) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

py::tuple reduce(const py::object& self, int) {
  const Tensor& x = checked_self("__reduce_ex__", self);
  host_reads("pickle");
  const Tensor dense = ops::on_host(ops::contiguous(x.detach()));
  const py::bytes data(static_cast<const char*>(dense.data()), static_cast<size_t>(dense.nbytes()));
  const py::object rebuild = py::module_::import("dnncore._core").attr("_rebuild_tensor");
  return py::make_tuple(rebuild, py::make_tuple(py::type::of(self), data, x.shape(), x.dtype(), x.requires_grad()), attributes_of(self));
}

py::object rebuild(const py::type& type, const py::bytes& data, const Shape& shape, DType dtype, bool requires_grad) {
  DNN_CHECK(PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type.ptr()), tensor_type()), TypeError, "pickle: expected a class of tensors");
  const auto view = static_cast<std::string_view>(data);
  const int64_t bytes = checked_numel("pickle", shape, static_cast<int64_t>(itemsize(dtype))) * static_cast<int64_t>(itemsize(dtype));
  DNN_CHECK(bytes == static_cast<int64_t>(view.size()), ValueError, "pickle: ", view.size(), " bytes do not fit a ", dtype,
            " tensor of shape ", shape);
  host_reads("pickle");
  const Tensor x = Tensor::empty(shape, dtype, {}, "pickle");
  if (bytes > 0) std::memcpy(x.data(), view.data(), view.size());
  if (requires_grad) set_requires_grad(x, true);
  return new_object(type, x);
}

py::object deep_copy(const py::object& self, py::dict memo) {
  const Tensor& x = checked_self("__deepcopy__", self);
  const py::int_ id(reinterpret_cast<uintptr_t>(self.ptr()));
  if (memo.contains(id)) return memo[id];
  DNN_CHECK(x.is_leaf(), StateError,
            "deepcopy: only tensors that were not computed from others can be copied with their gradient; use detach()");
  const Tensor copy = ops::clone(x.detach());
  copy.impl()->requires_grad = x.requires_grad();
  const bool is_parameter = Py_TYPE(self.ptr()) != tensor_type();  // whose copies start without a gradient, as in PyTorch
  if (x.grad().defined() && !is_parameter) copy.set_grad(ops::clone(x.grad().detach()));
  py::object result = new_object(py::type::of(self), copy);
  memo[id] = result;
  const py::object attributes = attributes_of(self);
  if (!attributes.is_none()) result.attr("__dict__").attr("update")(py::module_::import("copy").attr("deepcopy")(attributes, memo));
  return result;
}

py::object shallow_copy(const py::object& self) {
  const Tensor& x = checked_self("__copy__", self);
  if (!x.is_leaf()) return py::cast(ops::view(x, x.shape()));
  const Tensor copy = x.detach();
  copy.impl()->requires_grad = x.requires_grad();
  py::object result = new_object(py::type::of(self), copy);
  const py::object attributes = attributes_of(self);
  if (!attributes.is_none()) result.attr("__dict__").attr("update")(attributes);
  return result;
}

}  // namespace

PyObject* tensor_repr(PyObject* self) {
  return guarded([&] { return formatter("format_tensor")(py::handle(self)).release().ptr(); });
}

void bind_repr(py::module_& m) {
  method("__format__", [](const py::object& self, const py::str& spec) -> py::object {
    const Tensor& x = checked_self("__format__", self);
    if (x.ndim() == 0) return item_to_python("format", x).attr("__format__")(spec);
    DNN_CHECK(py::len(spec) == 0, TypeError, "format: a format such as '", spec.cast<std::string>(), "' applies to 0-d tensors, got shape ",
              x.shape());
    return py::str(self);
  });
  method("__reduce_ex__", &reduce, py::arg("protocol"));
  method("__deepcopy__", &deep_copy, py::arg("memo"));
  method("__copy__", &shallow_copy);
  m.def("_rebuild_tensor", &rebuild, "A tensor from the parts its pickle holds.");
}

}  // namespace dnncore::bindings
