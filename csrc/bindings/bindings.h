// What the binding files share: errors at the border, the casters of Tensor, DType, Shape and numbers, and who registers what.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <variant>

#include "bindings/tensor_type.h"
#include "core/launch.h"
#include "core/tensor.h"
#include "ops/common.h"
#include "ops/layout.h"
#include "ops/ops.h"

PYBIND11_DECLARE_HOLDER_TYPE(T, dnncore::Ref<T>, true)

namespace dnncore::bindings {

namespace py = pybind11;

// --- Errors -----------------------------------------------------------------------------------------------------------
void set_python_error() noexcept;  // inside a catch block: the exception in flight as a Python error

// The body of a hand-written slot. A daemon thread that Python ends while it waits for the GIL unwinds through here.
template <class Fn, class Result = std::invoke_result_t<Fn>>
Result guarded(Fn&& fn) {
  try {
    return fn();
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    set_python_error();
    if constexpr (std::is_pointer_v<Result>)
      return nullptr;
    else
      return Result(-1);
  }
}

inline PyObject* new_ref(PyObject* object) {
  Py_INCREF(object);
  return object;
}

// --- Arguments --------------------------------------------------------------------------------------------------------
struct DTypeObject {
  DType value;
};
Device default_device();  // of new tensors
struct DeviceArg {        // None, 'cpu', 'cuda', 'cuda:1' or a device
  std::optional<Device> device;
  Device value_or(Device other) const { return device.value_or(other); }
  Device or_default() const { return device.value_or(default_device()); }
};
struct Dims {  // None, one int or several
  Shape dims;
  bool given = false;
};
using ops::MemoryFormat;
using OptionalFormat = std::optional<MemoryFormat>;
using TensorOrNumber = std::variant<Tensor, Scalar>;  // of an elementwise function

py::handle dtype_object(DType dtype);
std::optional<DType> dtype_from_python(py::handle object);  // nullopt: not a dtype at all; TypeError: one that is not supported
std::optional<Device> device_from_python(py::handle object);
Device cuda_device(const char* op, py::handle object);  // None: the current one; a number, a name or a device

bool scalar_from_python(PyObject* object, Scalar& scalar);  // Python and NumPy numbers; ValueError beyond 64 bits
// Numbers, tensors and NumPy arrays; false for anything else.
bool operand_from_python(PyObject* object, TensorOrNumber& operand);
bool is_sequence(py::handle object);  // of numbers: no str, bytes or mapping
bool shape_from_python(py::handle object, Shape& shape);
// view(2, 3) and view((2, 3)); `keyword` is the named form (size=...), or null.
Shape shape_from_args(const char* op, const py::args& args, py::handle keyword = {});
py::tuple tuple_of(const Shape& shape);
Tensor scalar_tensor(const Scalar& value, DType dtype, Device device);  // 0-D
DType default_dtype(const Scalar& value);                               // PyTorch's default: float32, int64, bool

// --- Arrays -----------------------------------------------------------------------------------------------------------
bool is_numpy_array(py::handle object);   // false without importing NumPy when nobody has
bool is_numpy_scalar(py::handle object);  // numpy.generic
DType dtype_from_numpy(const char* op, py::handle descr);
// Whether a dimension steps inside what smaller ones reach: sure that not when false.
bool may_overlap(const Shape& shape, const Strides& strides);
enum class Sharing { Copy, Share };
// Shares the memory where the layout allows (`Share`), or copies into a contiguous tensor.
Tensor tensor_from_numpy(const char* op, py::handle array, Sharing sharing);
py::object tensor_to_numpy(const char* op, const Tensor& x);
Tensor tensor_from_dlpack(py::handle object, std::optional<bool> copy);
// Anything dnncore.tensor takes; dtype inferred when not given.
Tensor tensor_from_data(const char* op, py::handle data, std::optional<DType> dtype, Sharing sharing);
py::object tensor_to_list(const Tensor& x);
py::object item_to_python(const char* op, const Tensor& x);  // ValueError unless it has one element

// A deleter for foreign memory: drops the reference under the GIL from whatever thread, leaks it once Python is gone.
Storage::Deleter release_later(PyObject* owner);

// --- Composed operations shared by methods and functions --------------------------------------------------------------
Tensor apply(BinaryOp op, const TensorOrNumber& a, const TensorOrNumber& b);
void apply_(BinaryOp op, const Tensor& a, const TensorOrNumber& b);
Tensor expand_to(const char* op, const Tensor& x, const Shape& shape);
void require_grad_allowed(const Tensor& x);
void set_requires_grad(const Tensor& x, bool requires_grad);

// --- Registration -----------------------------------------------------------------------------------------------------
void bind_autograd(py::module_& m);
void bind_activation(py::module_& m);
void bind_dtype(py::module_& m);
void bind_tensor_type(py::module_& m);
void bind_tensor_methods(py::module_& m);
void bind_creation(py::module_& m);
void bind_numpy(py::module_& m);
void bind_dlpack(py::module_& m);
void bind_embedding(py::module_& m);
void bind_elementwise(py::module_& m);
void bind_ops(py::module_& m);
void bind_loss(py::module_& m);
void bind_norm(py::module_& m);
void bind_random(py::module_& m);
void bind_devices(py::module_& m);
void bind_resample(py::module_& m);
void bind_repr(py::module_& m);
void bind_train(py::module_& m);
void bind_plan(py::module_& m);
void bind_layout(py::module_& m);
void bind_materialize(py::module_& m);
void bind_select(py::module_& m);
void bind_arrange(py::module_& m);
void bind_pool(py::module_& m);
void bind_compose(py::module_& m);
void bind_conv(py::module_& m);
void bind_recurrent(py::module_& m);
void bind_system(py::module_& m);

// Adds a method to the Tensor type: fn(const Tensor& self, ...).
template <class Fn, class... Extra>
void method(const char* name, Fn&& fn, const Extra&... extra) {
  py::handle type(reinterpret_cast<PyObject*>(tensor_type()));
  py::setattr(type, name, py::cpp_function(std::forward<Fn>(fn), py::name(name), py::is_method(type), extra...));
}

// The same as a function dnncore.<name>(input, ...) and as a method.
template <class Fn, class... Extra>
void function_and_method(py::module_& m, const char* name, const Fn& fn, const Extra&... extra) {
  m.def(name, fn, py::arg("input"), extra...);
  method(name, fn, extra...);
}

}  // namespace dnncore::bindings

namespace pybind11::detail {

template <>
struct type_caster<dnncore::Tensor> {
  PYBIND11_TYPE_CASTER(dnncore::Tensor, const_name("Tensor"));
  bool load(handle source, bool) {
    if (!dnncore::bindings::is_tensor(source.ptr())) return false;
    value = dnncore::bindings::tensor_of(source.ptr());
    return true;
  }
  static handle cast(const dnncore::Tensor& tensor, return_value_policy, handle) { return dnncore::bindings::wrap(tensor); }
};

template <>
struct type_caster<dnncore::DType> {
  PYBIND11_TYPE_CASTER(dnncore::DType, const_name("dtype"));
  bool load(handle source, bool) {
    const auto dtype = dnncore::bindings::dtype_from_python(source);
    if (dtype) value = *dtype;
    return dtype.has_value();
  }
  static handle cast(dnncore::DType dtype, return_value_policy, handle) { return dnncore::bindings::dtype_object(dtype).inc_ref(); }
};

template <>
struct type_caster<dnncore::bindings::DeviceArg> {
  PYBIND11_TYPE_CASTER(dnncore::bindings::DeviceArg, const_name("device | str | None"));
  bool load(handle source, bool) {
    if (source.is_none()) return true;
    const auto device = dnncore::bindings::device_from_python(source);
    if (device) value.device = device;
    return device.has_value();
  }
};

template <>
struct type_caster<dnncore::Shape> {
  PYBIND11_TYPE_CASTER(dnncore::Shape, const_name("tuple[int, ...]"));
  bool load(handle source, bool) { return dnncore::bindings::shape_from_python(source, value); }
  static handle cast(const dnncore::Shape& shape, return_value_policy, handle) { return dnncore::bindings::tuple_of(shape).release(); }
};

template <>
struct type_caster<dnncore::bindings::Dims> {
  PYBIND11_TYPE_CASTER(dnncore::bindings::Dims, const_name("int | tuple[int, ...] | None"));
  bool load(handle source, bool) {
    if (source.is_none()) return true;
    value.given = true;
    if (dnncore::bindings::is_sequence(source)) return dnncore::bindings::shape_from_python(source, value.dims);
    type_caster<int64_t> one;
    if (!one.load(source, true)) return false;
    value.dims.push_back(one);
    return true;
  }
};

template <>
struct type_caster<dnncore::Scalar> {
  PYBIND11_TYPE_CASTER(dnncore::Scalar, const_name("float"));
  bool load(handle source, bool) { return dnncore::bindings::scalar_from_python(source.ptr(), value); }
};

template <>
struct type_caster<dnncore::bindings::TensorOrNumber> {
  PYBIND11_TYPE_CASTER(dnncore::bindings::TensorOrNumber, const_name("Tensor | float"));
  bool load(handle source, bool) { return dnncore::bindings::operand_from_python(source.ptr(), value); }
};

}  // namespace pybind11::detail
