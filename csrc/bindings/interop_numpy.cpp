// NumPy arrays in and out. Memory is shared where the layout is ours: native byte order, aligned, strides that are non-negative multiples
// of the item size. Everything else is copied by NumPy first, or refused when a value would silently change.
#include <pybind11/numpy.h>

#include <algorithm>
#include <numeric>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

// What this file asks of NumPy again and again; null until somebody imported it: before, nothing can be an array.
struct NumPy {
  PyTypeObject* array;
  PyTypeObject* scalar;
};

const NumPy* loaded_numpy() {
  static NumPy* loaded = nullptr;  // immortal
  if (loaded) return loaded;
  PyObject* module = PyDict_GetItemString(PyImport_GetModuleDict(), "numpy");
  if (!module || !PyObject_HasAttrString(module, "generic")) return nullptr;  // absent, or in the middle of its import
  const auto type = [&](const char* name) { return reinterpret_cast<PyTypeObject*>(PyObject_GetAttrString(module, name)); };
  return loaded = new NumPy{type("ndarray"), type("generic")};
}

py::object numpy_dtype(const char* op, DType dtype) {
  static PyObject* known[kDTypeCount];  // immortal
  PyObject*& descr = known[static_cast<int>(dtype)];
  if (descr) return py::reinterpret_borrow<py::object>(descr);
  const py::module_ numpy = py::module_::import("numpy");
  try {
    const py::object type = dtype == DType::BFloat16 ? py::module_::import("ml_dtypes").attr("bfloat16") : py::object(py::str(name(dtype)));
    descr = numpy.attr("dtype")(type).release().ptr();
    return py::reinterpret_borrow<py::object>(descr);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ImportError)) throw;
    throw TypeError(concat(op, ": NumPy has no bfloat16; convert with .float() first, or install ml_dtypes"));
  }
}

const char* cure_for(const std::string& kind) {
  if (kind == "c") return "; pass its real and imaginary parts (x.real, x.imag)";
  if (kind == "i" || kind == "u") return "; pass x.astype(numpy.int32) or x.astype(numpy.int64)";
  if (kind == "f") return "; pass x.astype(numpy.float64)";
  if (kind == "M" || kind == "m") return "; pass x.astype(numpy.int64)";
  if (kind == "O") return "; pass x.astype(numpy.float32) if it holds numbers";
  if (kind == "V") return "; pass one field, such as x['name']";
  return "";
}

struct Layout {
  Shape shape;
  Strides strides;
  bool shareable = true;
  bool overlaps = false;  // one element is seen at several positions
};

// Strides in elements, when the array has any that we can represent.
Layout layout_of(const char* op, const py::array& array) {
  DNN_CHECK(array.ndim() <= kMaxDims, ValueError, op, ": arrays of at most ", kMaxDims, " dimensions are supported, got ", array.ndim());
  const auto item = static_cast<int64_t>(array.itemsize());
  Layout layout;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) layout.shape.push_back(array.shape(i));
  layout.strides = contiguous_strides(layout.shape);
  if (array.size() == 0) return layout;
  for (int i = 0; i < layout.shape.ndim(); ++i) {
    if (layout.shape[i] == 1) continue;  // never stepped through, whatever NumPy says
    const auto stride = static_cast<int64_t>(array.strides(i));
    layout.shareable &= stride >= 0 && stride % item == 0;
    layout.strides[i] = stride / item;
  }
  if (!layout.shareable) return layout;
  layout.overlaps = may_overlap(layout.shape, layout.strides);
  return layout;
}

bool is_native(const py::object& descr) {
  const auto order = descr.attr("byteorder").cast<std::string>();
  return order == "=" || order == "|" || descr.attr("isnative").cast<bool>();
}

Tensor share(const py::array& array, DType dtype, const Layout& layout) {
  host_reads("from_numpy");
  const auto bytes = static_cast<size_t>(extent(layout.shape, layout.strides)) * itemsize(dtype);
  // An overlapping array is read-only here: a write to one element would appear at others.
  const bool writable = array.writeable() && !layout.overlaps;
  auto storage = make_ref<Storage>(const_cast<void*>(array.data()), bytes, release_later(array.ptr()), writable);
  if (writable) storage->mark_exported();  // the array can be written from outside
  return Tensor(make_ref<TensorImpl>(std::move(storage), 0, layout.shape, layout.strides, dtype));
}

// NumPy knows every layout: it makes the contiguous, aligned, native copy.
Tensor copy_by_numpy(const char* op, const py::array& array, DType dtype, const Shape& shape) {
  const py::object descr = dtype == DType::BFloat16 ? py::object(array.dtype()) : numpy_dtype(op, dtype);
  host_reads(op);
  const Tensor result = Tensor::empty(shape, dtype, {}, op);
  if (array.size() == 0) return result;
  const py::array dense = py::module_::import("numpy").attr("array")(array, descr, py::arg("order") = "C", py::arg("copy") = true);
  std::memcpy(result.data(), dense.data(), static_cast<size_t>(result.nbytes()));
  return result;
}

py::object array_method(const Tensor& x, const py::object& dtype, std::optional<bool> copy) {
  py::object array = tensor_to_numpy("__array__", x);
  const py::object numpy = py::module_::import("numpy");
  if (!dtype.is_none() && !py::object(array.attr("dtype")).equal(numpy.attr("dtype")(dtype))) {
    DNN_CHECK(!copy || *copy, ValueError, "__array__: a conversion from ", x.dtype(), " needs a copy, which copy=False forbids");
    return array.attr("astype")(dtype);
  }
  return copy && *copy ? array.attr("copy")() : array;
}

}  // namespace

bool may_overlap(const Shape& shape, const Strides& strides) {
  int order[kMaxDims];
  std::iota(order, order + shape.ndim(), 0);
  std::sort(order, order + shape.ndim(), [&](int a, int b) { return strides[a] < strides[b]; });
  int64_t reach = 0;
  for (int i = 0; i < shape.ndim(); ++i) {
    if (shape[order[i]] == 1) continue;
    if (strides[order[i]] <= reach) return true;
    reach += (shape[order[i]] - 1) * strides[order[i]];
  }
  return false;
}

bool is_numpy_array(py::handle object) {
  const NumPy* numpy = loaded_numpy();
  return numpy && PyType_IsSubtype(Py_TYPE(object.ptr()), numpy->array);
}

bool is_numpy_scalar(py::handle object) {
  const NumPy* numpy = loaded_numpy();
  return numpy && PyType_IsSubtype(Py_TYPE(object.ptr()), numpy->scalar);
}

DType dtype_from_numpy(const char* op, py::handle descr) {
  const auto text = descr.attr("name").cast<std::string>();
  const auto kind = descr.attr("kind").cast<std::string>();
  if (kind == "f" || kind == "i" || kind == "u" || kind == "b" || text == "bfloat16")
    for (int i = 0; i < kDTypeCount; ++i)
      if (text == name(static_cast<DType>(i))) return static_cast<DType>(i);
  throw TypeError(concat(op, ": arrays of dtype ", py::str(descr).cast<std::string>(), " are not supported (nothing is cast silently)",
                         cure_for(kind)));
}

Tensor tensor_from_numpy(const char* op, py::handle object, Sharing sharing) {
  const py::handle masked = PyDict_GetItemString(PyImport_GetModuleDict(), "numpy.ma");
  DNN_CHECK(!masked || !py::isinstance(object, masked.attr("MaskedArray")), TypeError, op,
            ": the mask of a masked array would be lost; pass x.filled(value)");
  const auto array = py::reinterpret_borrow<py::array>(object);
  const DType dtype = dtype_from_numpy(op, array.dtype());
  const Layout layout = layout_of(op, array);
  const bool aligned = reinterpret_cast<uintptr_t>(array.data()) % itemsize(dtype) == 0;
  if (sharing == Sharing::Share && layout.shareable && aligned && is_native(array.dtype()) && array.size() > 0)
    return share(array, dtype, layout);
  return copy_by_numpy(op, array, dtype, layout.shape);
}

py::object tensor_to_numpy(const char* op, const Tensor& x) {
  DNN_CHECK(!x.requires_grad(), StateError, op, ": the tensor requires grad, and NumPy would lose that; use x.detach().numpy()");
  DNN_CHECK(x.device() == Device{}, TypeError, op, ": NumPy cannot read a tensor on ", x.device(), "; use x.cpu().numpy()");
  host_reads(op);
  const auto item = static_cast<py::ssize_t>(itemsize(x.dtype()));
  std::vector<py::ssize_t> shape, strides;
  for (int i = 0; i < x.ndim(); ++i) {
    shape.push_back(x.size(i));
    strides.push_back(x.stride(i) * item);
  }
  const auto descr = py::reinterpret_steal<py::dtype>(numpy_dtype(op, x.dtype()).release());
  // The array keeps a tensor of its own, and that the memory.
  py::array array(descr, shape, strides, x.data(), py::cast(x.detach()));
  if (x.storage()->writable())
    x.storage()->mark_exported();
  else
    array.attr("setflags")(py::arg("write") = false);
  return array;
}

void bind_numpy(py::module_& m) {
  m.def(
      "from_numpy",
      [](const py::object& array) {
        DNN_CHECK(is_numpy_array(array), TypeError, "from_numpy: expected a NumPy array, got ", Py_TYPE(array.ptr())->tp_name);
        return tensor_from_numpy("from_numpy", array, Sharing::Share);
      },
      py::arg("array"),
      "A tensor over the memory of a NumPy array. Copies where the layout cannot be shared (negative or odd strides, other byte order,\n"
      "misaligned). A read-only or overlapping array gives a tensor that refuses in-place changes.");
  method(
      "numpy", [](const Tensor& x) { return tensor_to_numpy("numpy", x); },
      "A NumPy array over the same memory; bfloat16 needs ml_dtypes.");
  method("__array__", &array_method, py::arg("dtype") = py::none(), py::arg("copy") = py::none());
}

}  // namespace dnncore::bindings
