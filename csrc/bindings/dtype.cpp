// dtype and device objects, and the conversion of Python arguments: numbers, shapes, operands.
#include <array>
#include <atomic>
#include <cmath>

#include "bindings/bindings.h"
#include "core/devices.h"

namespace dnncore::bindings {

namespace {

PyObject* dtype_objects[kDTypeCount];  // immortal: one object per dtype

constexpr std::array<std::pair<const char*, DType>, 5> kAliases = {
    {{"float", DType::Float32}, {"double", DType::Float64}, {"half", DType::Float16}, {"long", DType::Int64}, {"int", DType::Int32}}};

DType dtype_of_name(const std::string& text) {
  std::string known;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (text == name(dtype)) return dtype;
    if (i > 0) known += ", ";
    known += name(dtype);
  }
  for (const auto& [alias, dtype] : kAliases)
    if (text == alias) return dtype;
  throw TypeError(concat("dtype: '", text, "' is not supported; expected one of ", known));
}

int64_t int64_of(PyObject* object) {
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(object, &overflow);
  DNN_CHECK(overflow == 0, ValueError, "number: ", py::str(py::handle(object)).cast<std::string>().substr(0, 40), " does not fit int64");
  if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

// numpy.float32(2), numpy.int8(1), numpy.bool_(True) count as Python numbers.
bool scalar_from_numpy(PyObject* object, Scalar& scalar) {
  const auto kind = py::handle(object).attr("dtype").attr("kind").cast<std::string>();
  if (kind == "b") {
    scalar = Scalar::of(PyObject_IsTrue(object) == 1);
  } else if (kind == "i" || kind == "u") {
    scalar = Scalar::of(int64_of(py::reinterpret_steal<py::object>(PyNumber_Index(object)).ptr()));
  } else if (kind == "f") {
    scalar = Scalar::of(PyFloat_AsDouble(object));
  } else {
    return false;
  }
  if (PyErr_Occurred()) throw py::error_already_set();
  return true;
}

// One size: anything with __index__ but bool-free of floats; false when it is no integer.
bool size_from_python(PyObject* object, int64_t& size) {
  if (!PyIndex_Check(object) || (is_tensor(object) && is_floating(tensor_of(object).dtype()))) return false;
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object));
  if (!index) throw py::error_already_set();
  size = int64_of(index.ptr());
  return true;
}

}  // namespace

py::handle dtype_object(DType dtype) { return dtype_objects[static_cast<int>(dtype)]; }

std::optional<DType> dtype_from_python(py::handle object) {
  if (py::isinstance<DTypeObject>(object)) return object.cast<const DTypeObject&>().value;
  if (PyUnicode_Check(object.ptr())) return dtype_of_name(object.cast<std::string>());
  if (object.ptr() == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::Float64;
  if (object.ptr() == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::Int64;
  if (object.ptr() == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::Bool;
  const py::object numpy = py::reinterpret_borrow<py::object>(PyDict_GetItemString(PyImport_GetModuleDict(), "numpy"));
  if (!numpy) return std::nullopt;
  const bool scalar_type = PyType_Check(object.ptr()) && PyObject_IsSubclass(object.ptr(), numpy.attr("generic").ptr()) == 1;
  if (!scalar_type && !py::isinstance(object, numpy.attr("dtype"))) return std::nullopt;
  return dtype_from_numpy("dtype", numpy.attr("dtype")(object));
}

std::optional<Device> device_from_python(py::handle object) {
  if (py::isinstance<Device>(object)) return object.cast<Device>();
  if (!PyUnicode_Check(object.ptr())) return std::nullopt;
  const auto text = object.cast<std::string>();
  if (text == "cpu" || text == "cpu:0") return Device{};
  const bool is_cuda = text == "cuda" || (text.starts_with("cuda:") && text.size() > 5 && text.size() < 8 &&
                                          text.find_first_not_of("0123456789", 5) == std::string::npos);
  DNN_CHECK(is_cuda, ValueError, "device: expected 'cpu', 'cuda' or 'cuda:1', got '", text, "'");
  if (text == "cuda") return devices::current();
  return Device{DeviceType::CUDA, static_cast<int8_t>(std::stoi(text.substr(5)))};
}

namespace {
std::atomic<Device> new_tensors_on{};
}
Device default_device() { return new_tensors_on.load(std::memory_order_relaxed); }

bool scalar_from_python(PyObject* object, Scalar& scalar) {
  if (PyFloat_Check(object)) {
    scalar = Scalar::of(PyFloat_AS_DOUBLE(object));
  } else if (PyBool_Check(object)) {
    scalar = Scalar::of(object == Py_True);
  } else if (PyLong_Check(object)) {
    scalar = Scalar::of(int64_of(object));
  } else {
    return is_numpy_scalar(object) && scalar_from_numpy(object, scalar);
  }
  return true;
}

bool operand_from_python(PyObject* object, TensorOrNumber& operand) {
  if (is_tensor(object)) {
    operand = tensor_of(object);
    return true;
  }
  Scalar scalar;
  if (scalar_from_python(object, scalar)) {
    operand = scalar;
    return true;
  }
  if (!is_numpy_array(object)) return false;
  operand = tensor_from_numpy("array operand", object, Sharing::Share);
  return true;
}

bool is_sequence(py::handle object) {
  PyObject* pointer = object.ptr();
  if (PyTuple_Check(pointer) || PyList_Check(pointer)) return true;
  return PySequence_Check(pointer) && !PyUnicode_Check(pointer) && !PyBytes_Check(pointer) && !PyByteArray_Check(pointer) &&
         !PyDict_Check(pointer) && !is_tensor(pointer) && !is_numpy_scalar(object);
}

bool shape_from_python(py::handle object, Shape& shape) {
  if (!is_sequence(object)) return false;
  const auto items = py::reinterpret_steal<py::object>(PySequence_Fast(object.ptr(), "expected a sequence"));
  if (!items) throw py::error_already_set();
  shape = Shape();
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
    int64_t size = 0;
    if (!size_from_python(PySequence_Fast_GET_ITEM(items.ptr(), i), size)) return false;
    shape.push_back(size);
  }
  return true;
}

Shape shape_from_args(const char* op, const py::args& args, py::handle keyword) {
  Shape shape;
  if (keyword && !keyword.is_none()) {
    DNN_CHECK(args.empty(), TypeError, op, ": sizes were given both by position and by name");
    int64_t size = 0;
    if (size_from_python(keyword.ptr(), size)) return {size};
    DNN_CHECK(shape_from_python(keyword, shape), TypeError, op, ": expected integers, got ", py::repr(keyword).cast<std::string>());
    return shape;
  }
  const bool packed = args.size() == 1 && is_sequence(args[0]);
  DNN_CHECK(shape_from_python(packed ? py::handle(args[0]) : py::handle(args), shape), TypeError, op, ": expected integers, got ",
            py::repr(args).cast<std::string>());
  return shape;
}

py::tuple tuple_of(const Shape& shape) {
  py::tuple result(shape.ndim());
  for (int i = 0; i < shape.ndim(); ++i) PyTuple_SET_ITEM(result.ptr(), i, PyLong_FromLongLong(shape[i]));
  return result;
}

DType default_dtype(const Scalar& value) {
  if (value.kind == Scalar::Kind::Bool) return DType::Bool;
  return value.kind == Scalar::Kind::Int ? DType::Int64 : ops::kDefaultFloat;
}

Tensor scalar_tensor(const Scalar& value, DType dtype, Device device) { return ops::full({}, value, dtype, device); }

void bind_dtype(py::module_& m) {
  py::class_<DTypeObject> dtype(m, "dtype", "Type of the elements of a tensor; one object per type, such as dnncore.float32.");
  dtype.def("__repr__", [](const DTypeObject& d) { return std::string("dnncore.") + name(d.value); })
      .def("__str__", [](const DTypeObject& d) { return std::string("dnncore.") + name(d.value); })
      .def("__reduce__", [](const DTypeObject& d) { return std::string(name(d.value)); })
      .def("__copy__", [](py::object d) { return d; })
      .def("__deepcopy__", [](py::object d, const py::object&) { return d; })
      .def_property_readonly(
          "name", [](const DTypeObject& d) { return name(d.value); }, "Its name, such as 'float32'.")
      .def_property_readonly(
          "itemsize", [](const DTypeObject& d) { return itemsize(d.value); }, "Bytes of one element.")
      .def_property_readonly(
          "is_floating_point", [](const DTypeObject& d) { return is_floating(d.value); }, "Whether it has fractions.");
  dtype.attr("__module__") = "dnncore";
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto value = static_cast<DType>(i);
    dtype_objects[i] = py::cast(DTypeObject{value}).release().ptr();
    m.attr(name(value)) = py::handle(dtype_objects[i]);
  }

  py::class_<Device> device(m, "device", "Where a tensor lives: device('cpu'), device('cuda:0').");
  device.def(py::init([](const DeviceArg& d) { return d.value_or(Device{}); }), py::arg("device"))
      .def("__repr__",
           [](Device d) {
             return d == Device{} ? std::string("device(type='cpu')") : concat("device(type='cuda', index=", int{d.index}, ")");
           })
      .def("__str__", [](Device d) { return concat(d); })
      .def("__eq__",
           [](Device d, const py::object& other) {
             return py::isinstance<Device>(other) ? d == other.cast<Device>()
                                                  : PyUnicode_Check(other.ptr()) && other.cast<std::string>() == concat(d);
           })
      .def("__hash__", [](Device d) { return py::hash(py::str(concat(d))); })
      .def("__reduce__", [](Device d) { return py::make_tuple(py::type::of<Device>(), py::make_tuple(concat(d))); })
      .def_property_readonly(
          "type", [](Device d) { return d == Device{} ? "cpu" : "cuda"; }, "The kind of device, 'cpu' or 'cuda'.")
      .def_property_readonly(
          "index", [](Device d) -> py::object { return d == Device{} ? py::object(py::none()) : py::int_(int{d.index}); },
          "Which of the CUDA devices; None: there is one CPU.");
  device.attr("__module__") = "dnncore";
  m.def("get_default_device", &default_device,
        "The device of new tensors for which none is given: the CPU, unless set_default_device() says another.");
  m.def(
      "set_default_device",
      [](const DeviceArg& given) {
        const Device chosen = given.value_or(Device{});
        if (chosen != Device{}) devices::module("set_default_device", chosen);
        new_tensors_on.store(chosen, std::memory_order_relaxed);
      },
      py::arg("device"),
      "Sets the device of new tensors for which none is given; None: the CPU. from_numpy(), from_dlpack() and files keep theirs.\n"
      "RuntimeError, and no change, where the device cannot be used.");
  m.def("promote_types", &promote_types, py::arg("type1"), py::arg("type2"), "The dtype both convert to.");
}

}  // namespace dnncore::bindings
