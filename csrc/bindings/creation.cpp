// New tensors: from Python data (nested lists, numbers, arrays, buffers) and by the factories; and back to lists and numbers.
#include <cmath>
#include <cstring>
#include <limits>

#include "autograd/tape.h"
#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

constexpr int kMaxNesting = kMaxDims;

// The shape of nested sequences and the dtype their leaves agree on.
struct Nest {
  Shape shape;
  std::optional<DType> dtype;
  bool complete = false;  // the first leaf was seen: from then on shapes must agree
};

void join_dtype(Nest& nest, DType dtype) { nest.dtype = nest.dtype ? promote_types(*nest.dtype, dtype) : dtype; }

bool is_array_like(PyObject* object) { return is_tensor(object) || is_numpy_array(object); }

void check_depth(const char* op, const Nest& nest, const Shape& rest, int depth) {
  bool same = depth + rest.ndim() == nest.shape.ndim();
  for (int i = 0; same && i < rest.ndim(); ++i) same = nest.shape[depth + i] == rest[i];
  DNN_CHECK(same, ValueError, op, ": expected sequences of equal lengths (shape ", nest.shape, " so far), got ", rest, " at depth ", depth);
}

// A leaf or an array at `depth`: its shape closes the shape of the whole.
void meet(const char* op, Nest& nest, const Shape& rest, int depth, DType dtype) {
  if (!nest.complete) {
    for (int64_t size : rest) nest.shape.push_back(size);
    nest.complete = true;
  }
  check_depth(op, nest, rest, depth);
  join_dtype(nest, dtype);
}

DType leaf_dtype(const char* op, PyObject* object) {
  if (is_numpy_scalar(object)) return dtype_from_numpy(op, py::handle(object).attr("dtype"));
  Scalar scalar;
  DNN_CHECK(scalar_from_python(object, scalar), TypeError, op, ": cannot make a tensor of ", Py_TYPE(object)->tp_name);
  return default_dtype(scalar);
}

py::object fast_sequence(PyObject* object) {
  auto items = py::reinterpret_steal<py::object>(PySequence_Fast(object, "expected a sequence"));
  if (!items) throw py::error_already_set();
  return items;
}

// Owned, and the length checked again: code of an exotic element may change the list it sits in.
py::object item_at(const char* op, const py::object& items, int64_t i, int64_t count) {
  DNN_CHECK(PySequence_Fast_GET_SIZE(items.ptr()) == count, ValueError, op, ": a sequence changed its length while it was read");
  return py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(items.ptr(), i));
}

void survey(const char* op, PyObject* object, int depth, Nest& nest) {
  if (is_tensor(object)) return meet(op, nest, tensor_of(object).shape(), depth, tensor_of(object).dtype());
  if (is_numpy_array(object)) {
    const Tensor array = tensor_from_numpy(op, object, Sharing::Share);
    return meet(op, nest, array.shape(), depth, array.dtype());
  }
  if (!is_sequence(object)) return meet(op, nest, {}, depth, leaf_dtype(op, object));
  DNN_CHECK(depth < kMaxNesting, ValueError, op, ": sequences nested deeper than ", kMaxNesting, " levels");
  const py::object items = fast_sequence(object);
  const auto count = static_cast<int64_t>(PySequence_Fast_GET_SIZE(items.ptr()));
  if (!nest.complete && depth == nest.shape.ndim()) nest.shape.push_back(count);
  DNN_CHECK(depth < nest.shape.ndim() && nest.shape[depth] == count, ValueError, op, ": expected sequences of equal lengths (shape ",
            nest.shape, " so far), got a sequence of length ", count, " at depth ", depth);
  if (count == 0) {
    nest.complete = true;
    DNN_CHECK(depth + 1 == nest.shape.ndim(), ValueError, op, ": expected sequences of equal depth (shape ", nest.shape, " so far)");
  }
  for (int64_t i = 0; i < count; ++i) survey(op, item_at(op, items, i, count).ptr(), depth + 1, nest);
}

template <class T>
T narrowed(const char* op, const Scalar& value) {
  constexpr DType dtype = dtype_of<T>::value;
  if constexpr (dtype == DType::Bool) {
    return value.kind == Scalar::Kind::Float ? value.as_double != 0 : value.as_int != 0;
  } else if constexpr (dtype == DType::BFloat16) {
    return to_bfloat16(static_cast<float>(value.as_double));
  } else if constexpr (dtype == DType::Float16) {
    return to_float16(static_cast<float>(value.as_double));
  } else if constexpr (is_floating(dtype)) {
    return static_cast<T>(value.as_double);
  } else {
    int64_t whole = value.as_int;
    if (value.kind == Scalar::Kind::Float) {
      DNN_CHECK(std::abs(value.as_double) < 0x1p63, ValueError, op, ": ", value.as_double, " does not fit ", dtype);
      whole = static_cast<int64_t>(value.as_double);
    }
    DNN_CHECK(whole >= std::numeric_limits<T>::min() && whole <= std::numeric_limits<T>::max(), ValueError, op, ": ", whole,
              " does not fit ", dtype);
    return static_cast<T>(whole);
  }
}

// Leaves in row-major order into contiguous memory.
template <class T>
void fill_leaves(const char* op, PyObject* object, int depth, const Tensor& whole, T*& next) {
  if (is_array_like(object)) {
    host_reads(op);
    const Tensor part = is_tensor(object) ? ops::on_host(tensor_of(object).detach()) : tensor_from_numpy(op, object, Sharing::Share);
    bool fits = part.ndim() + depth == whole.ndim();
    for (int i = 0; fits && i < part.ndim(); ++i) fits = part.size(i) == whole.size(depth + i);
    DNN_CHECK(fits, ValueError, op, ": an array changed its shape while it was read");
    const Tensor dense = ops::contiguous(ops::to_dtype(part, whole.dtype()));
    if (dense.numel() > 0) std::memcpy(next, dense.data(), static_cast<size_t>(dense.nbytes()));
    next += dense.numel();
  } else if (depth == whole.ndim()) {
    Scalar scalar;
    DNN_CHECK(scalar_from_python(object, scalar), TypeError, op, ": cannot make a tensor of ", Py_TYPE(object)->tp_name);
    *next++ = narrowed<T>(op, scalar);
  } else {
    const py::object items = fast_sequence(object);
    for (int64_t i = 0; i < whole.size(depth); ++i) fill_leaves(op, item_at(op, items, i, whole.size(depth)).ptr(), depth + 1, whole, next);
  }
}

Tensor tensor_from_nest(const char* op, PyObject* object, std::optional<DType> dtype) {
  Nest nest;
  survey(op, object, 0, nest);
  const Tensor result = Tensor::empty(nest.shape, dtype.value_or(nest.dtype.value_or(ops::kDefaultFloat)), {}, op);
  if (Recorder* recorder = current_recorder()) recorder->host_wrote(*result.storage());
  visit_dtype(result.dtype(), [&](auto tag) {
    auto* next = result.data<decltype(tag)>();
    fill_leaves(op, object, 0, result, next);
  });
  return result;
}

Tensor fresh_copy(const Tensor& x, DType dtype) {
  const NoGrad no_grad;
  const Tensor result = Tensor::empty(x.shape(), dtype, x.device(), "tensor");
  ops::copy_(result, x.detach());
  return result;
}

// What was made of the data, where it was asked for; tensors stay where they are unless asked.
Tensor moved(const char* op, const Tensor& x, const py::object& data, const DeviceArg& device) {
  return ops::to_device(x, is_tensor(data.ptr()) ? device.value_or(x.device()) : device.or_default(), op);
}

template <class T>
py::object to_number(T value) {
  if constexpr (std::is_same_v<T, bool>)
    return py::bool_(value);
  else if constexpr (std::is_integral_v<T>)
    return py::int_(value);
  else if constexpr (std::is_floating_point_v<T>)
    return py::float_(static_cast<double>(value));
  else
    return py::float_(static_cast<double>(to_float(value)));
}

template <class T>
py::object list_of(const Tensor& x, int dim, const T* data) {
  if (dim == x.ndim()) return to_number(*data);
  py::list result(static_cast<size_t>(x.size(dim)));
  for (int64_t i = 0; i < x.size(dim); ++i) PyList_SET_ITEM(result.ptr(), i, list_of(x, dim + 1, data + i * x.stride(dim)).release().ptr());
  return result;
}

// --- Factories --------------------------------------------------------------------------------------------------------
Tensor with_grad(Tensor x, bool requires_grad) {
  if (requires_grad) set_requires_grad(x, true);
  return x;
}

using OptionalDType = std::optional<DType>;

// zeros(*size, dtype=None, device=None, requires_grad=False), also size=(2, 3) by name.
template <class Fn>
void sized_factory(py::module_& m, const char* name, Fn make, const char* doc) {
  m.def(
      name,
      [name, make](const py::args& args, const py::object& size, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
        return with_grad(make(shape_from_args(name, args, size), dtype.value_or(ops::kDefaultFloat), device.or_default()), requires_grad);
      },
      py::arg("size") = py::none(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false, doc);
  method((std::string("new_") + name).c_str(),
         [name, make](const Tensor& x, const py::args& args, const py::object& size, OptionalDType dtype, const DeviceArg& device,
                      bool requires_grad) {
           return with_grad(make(shape_from_args(name, args, size), dtype.value_or(x.dtype()), device.value_or(x.device())), requires_grad);
         },
         py::arg("size") = py::none(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false,
         (std::string("As ") + name + "(), of this tensor's dtype and device where none is given.").c_str());
}

template <class Fn>
void like_factory(py::module_& m, const char* name, Fn make, const char* doc) {
  m.def(
      name,
      [name, make](const Tensor& x, OptionalDType dtype, const DeviceArg& device, bool requires_grad, OptionalFormat format) {
        const Tensor like = ops::order_of(name, x, format.value_or(MemoryFormat::Preserve));
        return with_grad(make(like, dtype.value_or(x.dtype()), device.value_or(x.device())), requires_grad);
      },
      py::arg("input"), py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false,
      py::arg("memory_format") = py::none(), doc);
}

Tensor full(const Shape& shape, const Scalar& value, OptionalDType dtype, Device device) {
  return ops::full(shape, value, dtype.value_or(default_dtype(value)), device);
}

Tensor arange(const Scalar& first, const std::optional<Scalar>& end, const Scalar& step, OptionalDType dtype, Device device) {
  const Scalar start = end ? first : Scalar::of(int64_t{0});
  const Scalar stop = end ? *end : first;
  const auto is_float = [](const Scalar& s) { return s.kind == Scalar::Kind::Float; };
  const DType inferred = is_float(start) || is_float(stop) || is_float(step) ? ops::kDefaultFloat : DType::Int64;
  return ops::arange(start, stop, step, dtype.value_or(inferred), device);
}

}  // namespace

Tensor tensor_from_data(const char* op, py::handle data, std::optional<DType> dtype, Sharing sharing) {
  const auto finish = [&](const Tensor& x) {
    if (sharing == Sharing::Share && (!dtype || *dtype == x.dtype())) return x;
    return fresh_copy(x, dtype.value_or(x.dtype()));
  };
  PyObject* object = data.ptr();
  if (is_tensor(object)) {
    if (sharing == Sharing::Share) return dtype ? ops::to_dtype(tensor_of(object), *dtype) : tensor_of(object);
    return finish(tensor_of(object));
  }
  if (is_numpy_array(data)) return finish(tensor_from_numpy(op, data, Sharing::Share));
  if (PyList_Check(object) || PyTuple_Check(object)) return tensor_from_nest(op, object, dtype);
  if (py::hasattr(data, "__dlpack__") && py::hasattr(data, "__dlpack_device__")) return finish(tensor_from_dlpack(data, {}));
  if (PyObject_CheckBuffer(object) && !is_numpy_scalar(data)) {
    const py::object array = py::module_::import("numpy").attr("asarray")(py::memoryview(py::reinterpret_borrow<py::object>(data)));
    return finish(tensor_from_numpy(op, array, Sharing::Share));
  }
  if (py::hasattr(data, "__array__") && !is_numpy_scalar(data))
    return finish(tensor_from_numpy(op, py::module_::import("numpy").attr("asarray")(data), Sharing::Share));
  return tensor_from_nest(op, object, dtype);
}

py::object tensor_to_list(const Tensor& x) {
  host_reads("tolist");
  const Tensor here = ops::on_host(x);
  return visit_dtype(x.dtype(), [&](auto tag) { return list_of(here, 0, here.data<decltype(tag)>()); });
}

py::object item_to_python(const char* op, const Tensor& x) {
  DNN_CHECK(x.numel() == 1, ValueError, op, ": a Tensor with ", x.numel(), " elements cannot be converted to Scalar");
  host_reads(op);
  const Tensor here = ops::on_host(x);
  return visit_dtype(x.dtype(), [&](auto tag) { return to_number(*here.data<decltype(tag)>()); });
}

void bind_creation(py::module_& m) {
  m.def(
      "tensor",
      [](const py::object& data, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
        return with_grad(moved("tensor", tensor_from_data("tensor", data, dtype, Sharing::Copy), data, device), requires_grad);
      },
      py::arg("data"), py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false,
      "A new tensor with a copy of `data`: a number, nested sequences, a NumPy array, a tensor or a buffer.\n"
      "Python floats become float32, ints int64, bools bool; arrays keep their dtype.");
  const auto as_tensor = [](const py::object& data, OptionalDType dtype, const DeviceArg& device) {
    return moved("as_tensor", tensor_from_data("as_tensor", data, dtype, Sharing::Share), data, device);
  };
  m.def("as_tensor", as_tensor, py::arg("data"), py::arg("dtype") = py::none(), py::arg("device") = py::none(),
        "As tensor(), but shares the memory of tensors and arrays where no conversion is needed.");
  m.def("asarray", as_tensor, py::arg("data"), py::arg("dtype") = py::none(), py::arg("device") = py::none(), "As as_tensor().");

  sized_factory(
      m, "zeros", [](const Shape& shape, DType dtype, Device device) { return ops::zeros(shape, dtype, device); }, "A tensor of zeros.");
  sized_factory(
      m, "ones", [](const Shape& shape, DType dtype, Device device) { return ops::ones(shape, dtype, device); }, "A tensor of ones.");
  sized_factory(
      m, "empty", [](const Shape& shape, DType dtype, Device device) { return Tensor::empty(shape, dtype, device); },
      "An uninitialised tensor.");
  m.def(
      "empty",
      [](const py::args& args, const py::object& size, OptionalDType dtype, const DeviceArg& device, bool requires_grad,
         MemoryFormat format) {
        const Tensor x = Tensor::empty(shape_from_args("empty", args, size), dtype.value_or(ops::kDefaultFloat), device.or_default());
        return with_grad(ops::order_of("empty", x, format), requires_grad);
      },
      py::arg("size") = py::none(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false,
      py::arg("memory_format"), "An uninitialised tensor in the given order of memory.");
  like_factory(
      m, "zeros_like", [](const Tensor& x, DType dtype, Device device) { return ops::full_like(x, Scalar::of(int64_t{0}), dtype, device); },
      "Zeros of the same shape and dtype.");
  like_factory(
      m, "ones_like", [](const Tensor& x, DType dtype, Device device) { return ops::full_like(x, Scalar::of(int64_t{1}), dtype, device); },
      "Ones of the same shape and dtype.");
  like_factory(
      m, "empty_like", [](const Tensor& x, DType dtype, Device device) { return Tensor::empty_like(x, dtype, device); },
      "An uninitialised tensor of the same shape and dtype.");

  const auto options = [](auto& define, const char* doc) {
    define(py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false, doc);
  };
  auto define_full = [&](const auto&... extra) {
    m.def(
        "full",
        [](const Shape& size, const Scalar& value, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
          return with_grad(full(size, value, dtype, device.or_default()), requires_grad);
        },
        py::arg("size"), py::arg("fill_value"), extra...);
  };
  options(define_full, "A tensor filled with one number.");
  auto define_full_like = [&](const auto&... extra) {
    m.def(
        "full_like",
        [](const Tensor& x, const Scalar& value, OptionalDType dtype, const DeviceArg& device, bool requires_grad, OptionalFormat format) {
          const Tensor like = ops::order_of("full_like", x, format.value_or(MemoryFormat::Preserve));
          return with_grad(ops::full_like(like, value, dtype.value_or(x.dtype()), device.value_or(x.device())), requires_grad);
        },
        py::arg("input"), py::arg("fill_value"), extra...);
  };
  define_full_like(py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false,
                   py::arg("memory_format") = py::none(), "A tensor of the same shape filled with one number.");
  auto define_new_full = [&](const auto&... extra) {
    method(
        "new_full",
        [](const Tensor& x, const Shape& size, const Scalar& value, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
          return with_grad(ops::full(size, value, dtype.value_or(x.dtype()), device.value_or(x.device())), requires_grad);
        },
        py::arg("size"), py::arg("fill_value"), extra...);
  };
  options(define_new_full, "A tensor of this dtype filled with one number.");
  auto define_new_tensor = [&](const auto&... extra) {
    method(
        "new_tensor",
        [](const Tensor& x, const py::object& data, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
          return with_grad(ops::to_device(tensor_from_data("new_tensor", data, dtype.value_or(x.dtype()), Sharing::Copy),
                                          device.value_or(x.device()), "new_tensor"),
                           requires_grad);
        },
        py::arg("data"), extra...);
  };
  options(define_new_tensor, "As dnncore.tensor with this dtype.");
  auto define_arange = [&](const auto&... extra) {
    m.def(
        "arange",
        [](const Scalar& start, const std::optional<Scalar>& end, const Scalar& step, OptionalDType dtype, const DeviceArg& device,
           bool requires_grad) { return with_grad(arange(start, end, step, dtype, device.or_default()), requires_grad); },
        py::arg("start"), py::arg("end") = py::none(), py::arg("step") = 1, extra...);
    m.def(
        "arange",
        [](const Scalar& end, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
          return with_grad(arange(end, {}, Scalar::of(int64_t{1}), dtype, device.or_default()), requires_grad);
        },
        py::arg("end"), extra...);
  };
  options(define_arange, "Numbers from start (0) up to but without end, by step (1).");
  auto define_linspace = [&](const auto&... extra) {
    m.def(
        "linspace",
        [](double start, double end, int64_t steps, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
          return with_grad(ops::linspace(start, end, steps, dtype.value_or(ops::kDefaultFloat), device.or_default()), requires_grad);
        },
        py::arg("start"), py::arg("end"), py::arg("steps"), extra...);
  };
  options(define_linspace, "`steps` numbers from start to end, both included.");
  auto define_eye = [&](const auto&... extra) {
    m.def(
        "eye",
        [](int64_t n, std::optional<int64_t> columns, OptionalDType dtype, const DeviceArg& device, bool requires_grad) {
          return with_grad(ops::eye(n, columns.value_or(n), dtype.value_or(ops::kDefaultFloat), device.or_default()), requires_grad);
        },
        py::arg("n"), py::arg("m") = py::none(), extra...);
  };
  options(define_eye, "The identity matrix of n rows and m columns.");
}

}  // namespace dnncore::bindings
