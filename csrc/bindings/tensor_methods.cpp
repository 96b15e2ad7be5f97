// Methods of Tensor: what it is, conversions, views, in-place changes. The shape ops exist as functions too.
#include "autograd/tape.h"
#include "bindings/bindings.h"
#include "core/devices.h"

namespace dnncore::bindings {

namespace {

using OptionalDType = std::optional<DType>;
using OptionalDim = std::optional<int64_t>;

// --- Conversions ------------------------------------------------------------------------------------------------------
MemoryFormat format_from_python(const char* op, py::handle object) {
  if (object.is_none()) return MemoryFormat::Preserve;
  DNN_CHECK(py::isinstance<MemoryFormat>(object), TypeError, op, ": expected a memory_format such as dnncore.channels_last, got ",
            py::repr(object).cast<std::string>());
  return object.cast<MemoryFormat>();
}

// x.to(dtype | device | tensor), x.to(device, dtype), with copy= and memory_format=.
Tensor to(const Tensor& x, const py::args& args, const py::kwargs& kwargs) {
  OptionalDType dtype;
  std::optional<Device> device;
  bool copy = false;
  Wait wait = Wait::Yes;
  MemoryFormat format = MemoryFormat::Preserve;
  const auto take = [&](py::handle argument) {
    if (argument.is_none()) return;
    if (is_tensor(argument.ptr())) {
      dtype = tensor_of(argument.ptr()).dtype();
      device = tensor_of(argument.ptr()).device();
    } else if (py::isinstance<Device>(argument)) {
      device = device_from_python(argument);
    } else if (PyUnicode_Check(argument.ptr()) && argument.cast<std::string>().starts_with("c")) {  // cpu, cuda: no dtype begins so
      device = device_from_python(argument);
    } else {
      const auto given = dtype_from_python(argument);
      DNN_CHECK(given, TypeError, "to: expected a dtype, a device or a tensor, got ", py::repr(argument).cast<std::string>());
      dtype = given;
    }
  };
  for (py::handle argument : args) take(argument);
  for (auto [key, value] : kwargs) {
    const auto name = key.cast<std::string>();
    if (name == "copy")
      copy = value.cast<bool>();
    else if (name == "memory_format")
      format = format_from_python("to", value);
    else if (name == "dtype" || name == "device" || name == "other")
      take(value);
    else if (name == "non_blocking")
      wait = value.cast<bool>() ? Wait::No : Wait::Yes;
    else
      throw TypeError(concat("to: unexpected keyword argument '", name, "'"));
  }
  const Tensor there = device ? ops::to_device(x, *device, "to", wait) : x;
  const Tensor result = ops::to(there, dtype.value_or(x.dtype()), format);
  return copy && result.is(x) ? ops::clone(x) : result;
}

void bind_conversions() {
  method("to", &to, "The tensor in another dtype or order of memory; itself when nothing changes.");
  const std::pair<const char*, DType> casts[] = {{"float", DType::Float32},     {"double", DType::Float64}, {"half", DType::Float16},
                                                 {"bfloat16", DType::BFloat16}, {"long", DType::Int64},     {"int", DType::Int32},
                                                 {"byte", DType::UInt8},        {"bool", DType::Bool}};
  for (const auto& [name, dtype] : casts)
    method(
        name, [dtype = dtype](const Tensor& x) { return ops::to_dtype(x, dtype); }, "The tensor cast; itself when it has the dtype.");
  method(
      "type", [](const Tensor& x, DType dtype) { return ops::to_dtype(x, dtype); }, py::arg("dtype"), "As to(dtype).");
  method(
      "type_as", [](const Tensor& x, const Tensor& other) { return ops::to_dtype(x, other.dtype()); }, py::arg("other"), "As to(other).");
  method(
      "cpu", [](const Tensor& x) { return ops::to_device(x, Device{}); }, "The tensor on the CPU; itself if it is there.");
  method(
      "cuda",
      [](const Tensor& x, const py::object& device, bool non_blocking) {
        return ops::to_device(x, cuda_device("cuda", device), "cuda", non_blocking ? Wait::No : Wait::Yes);
      },
      py::arg("device") = py::none(), py::arg("non_blocking") = false,
      "The tensor on a CUDA device, the current one where none is named; itself if it is there.");
  method("pin_memory", &ops::pin_memory, "A copy in pinned memory, which devices read by themselves; itself if it is there.");
  method("is_pinned", &ops::is_pinned, "Whether the memory is pinned.");
  method(
      "record_stream",
      [](const Tensor& x, const py::object& stream) {
        DNN_CHECK(x.device() != Device{}, StateError, "record_stream: expected a tensor on a CUDA device, got one on the CPU");
        const auto handle = stream.attr("cuda_stream").cast<uintptr_t>();
        const void* const own = devices::module("record_stream", x.device()).stream(x.device().index);
        if (reinterpret_cast<const void*>(handle) != own) x.storage()->mark_exported();
      },
      py::arg("stream"), "Note that a stream of another library reads the memory: it is not used again before that is done.");
  method(
      "item", [](const Tensor& x) { return item_to_python("item", x); }, "The only element as a Python number.");
  method("tolist", &tensor_to_list, "Nested lists of Python numbers; a number for a 0-D tensor.");
}

// --- What it is -------------------------------------------------------------------------------------------------------
void bind_properties(py::module_& m) {
  method(
      "dim", [](const Tensor& x) { return x.ndim(); }, "Number of dimensions.");
  method(
      "size",
      [](const Tensor& x, OptionalDim dim) -> py::object {
        if (!dim) return tuple_of(x.shape());
        return py::int_(x.size(existing_dim("size", *dim, x.ndim())));
      },
      py::arg("dim") = py::none(), "The shape, or the size of one dimension.");
  method(
      "stride",
      [](const Tensor& x, OptionalDim dim) -> py::object {
        if (!dim) return tuple_of(x.strides());
        return py::int_(x.stride(existing_dim("stride", *dim, x.ndim())));
      },
      py::arg("dim") = py::none(), "The strides in elements, or that of one dimension.");
  function_and_method(
      m, "numel", [](const Tensor& x) { return x.numel(); }, "Number of elements.");
  method(
      "nelement", [](const Tensor& x) { return x.numel(); }, "Number of elements.");
  method(
      "element_size", [](const Tensor& x) { return itemsize(x.dtype()); }, "Bytes of one element.");
  method(
      "storage_offset", [](const Tensor& x) { return x.impl()->offset; },
      "Elements between the start of the memory and the first element.");
  method(
      "data_ptr",
      [](const Tensor& x) {
        host_reads("data_ptr");
        return reinterpret_cast<uintptr_t>(x.data());
      },
      "Address of the first element.");
  method(
      "is_contiguous",
      [](const Tensor& x, OptionalFormat format) { return ops::has_format("is_contiguous", x, format.value_or(MemoryFormat::Contiguous)); },
      py::arg("memory_format") = py::none(), "Whether the elements lie without gaps in row-major or the given order.");
  function_and_method(
      m, "is_floating_point", [](const Tensor& x) { return is_floating(x.dtype()); }, "Whether the dtype is a floating one.");
  m.def(
      "is_tensor", [](const py::object& object) { return is_tensor(object.ptr()); }, py::arg("obj"), "Whether the object is a Tensor.");
}

// --- Memory -----------------------------------------------------------------------------------------------------------
Tensor masked_fill(const Tensor& x, const Tensor& mask, const TensorOrNumber& value) {
  const auto* number = std::get_if<Scalar>(&value);
  const auto* tensor = std::get_if<Tensor>(&value);
  DNN_CHECK(number || tensor->ndim() == 0, ValueError, "masked_fill: expected a number or a 0-d tensor, got shape ", tensor->shape());
  return ops::where(mask, number ? scalar_tensor(*number, x.dtype(), x.device()) : ops::to_dtype(*tensor, x.dtype()), x);
}

void bind_memory(py::module_& m) {
  const auto clone = [](const Tensor& x, OptionalFormat format) { return ops::clone(x, format.value_or(MemoryFormat::Preserve)); };
  function_and_method(m, "clone", clone, py::kw_only(), py::arg("memory_format") = py::none(), "A copy, on the tape.");
  method(
      "contiguous", [](const Tensor& x, OptionalFormat format) { return ops::contiguous(x, format.value_or(MemoryFormat::Contiguous)); },
      py::arg("memory_format") = py::none(), "The tensor with its elements in row-major or the given order; itself when they are.");
  method(
      "fill_",
      [](const Tensor& x, const TensorOrNumber& value) {
        if (const auto* number = std::get_if<Scalar>(&value)) {
          ops::fill_(x, *number);
        } else {
          const Tensor& source = std::get<Tensor>(value);
          DNN_CHECK(source.ndim() == 0, ValueError, "fill_: expected a number or a 0-d tensor, got shape ", source.shape());
          ops::copy_(x, source);
        }
        return x;
      },
      py::arg("value"), "Set every element.");
  method(
      "zero_",
      [](const Tensor& x) {
        ops::fill_(x, Scalar::of(int64_t{0}));
        return x;
      },
      "Set every element to 0.");
  method(
      "copy_",
      [](const Tensor& x, const Tensor& source, bool) {
        ops::copy_(x, source);
        return x;
      },
      py::arg("src"), py::arg("non_blocking") = false, "Copy the elements of `src`, broadcast and cast.");
  function_and_method(m, "masked_fill", &masked_fill, py::arg("mask"), py::arg("value"), "A copy with `value` where the mask is true.");
  method(
      "masked_fill_",
      [](const Tensor& x, const Tensor& mask, const TensorOrNumber& value) {
        ops::copy_(x, masked_fill(x, expand_to("masked_fill_", mask, x.shape()), value));
        return x;
      },
      py::arg("mask"), py::arg("value"), "Set the elements where the mask is true.");
}

// --- Views ------------------------------------------------------------------------------------------------------------
Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  const int at = existing_dim("narrow", dim, x.ndim());
  const int64_t first = start < 0 ? start + x.size(at) : start;
  DNN_CHECK(length >= 0 && first >= 0 && first <= x.size(at) - length, ValueError, "narrow: start ", start, " and length ", length,
            " exceed dimension ", at, " with size ", x.size(at));
  return ops::slice(x, at, first, first + length, 1);
}

std::vector<Tensor> split(const Tensor& x, int64_t step, int64_t dim) {
  const int at = existing_dim("split", dim, x.ndim());
  const int64_t size = x.size(at);
  DNN_CHECK(step > 0 || (step == 0 && size == 0), ValueError, "split: expected a size above 0, got ", step);
  std::vector<Tensor> parts = {ops::slice(x, at, 0, std::min(step, size), 1)};
  for (int64_t start = std::min(step, size); start < size; start += std::min(step, size - start))
    parts.push_back(ops::slice(x, at, start, start + std::min(step, size - start), 1));
  return parts;
}

std::vector<Tensor> split_sections(const Tensor& x, const std::vector<int64_t>& sizes, int64_t dim) {
  const int at = existing_dim("split", dim, x.ndim());
  int64_t total = 0;
  for (int64_t size : sizes) {
    DNN_CHECK(size >= 0 && size <= x.size(at), ValueError, "split: section size ", size, " does not fit dimension ", at, " with size ",
              x.size(at));
    total += size;
  }
  DNN_CHECK(total == x.size(at), ValueError, "split: expected section sizes that sum to ", x.size(at), ", got ", total);
  std::vector<Tensor> parts;
  int64_t start = 0;
  for (int64_t size : sizes) {
    parts.push_back(ops::slice(x, at, start, start + size, 1));
    start += size;
  }
  return parts;
}

py::tuple tuple_of_tensors(const std::vector<Tensor>& tensors) {
  py::tuple result(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) result[i] = tensors[i];
  return result;
}

py::tuple split_any(const Tensor& x, const py::object& sizes, int64_t dim) {
  if (is_sequence(sizes)) return tuple_of_tensors(split_sections(x, sizes.cast<std::vector<int64_t>>(), dim));
  return tuple_of_tensors(split(x, sizes.cast<int64_t>(), dim));
}

py::tuple chunk(const Tensor& x, int64_t chunks, int64_t dim) {
  DNN_CHECK(chunks > 0, ValueError, "chunk: expected chunks above 0, got ", chunks);
  const int64_t size = x.size(existing_dim("chunk", dim, x.ndim()));
  return tuple_of_tensors(split(x, size / chunks + (size % chunks != 0), dim));
}

py::tuple unbind(const Tensor& x, int64_t dim) {
  const int at = existing_dim("unbind", dim, x.ndim());
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < x.size(at); ++i) parts.push_back(ops::select(x, at, i));
  return tuple_of_tensors(parts);
}

Tensor flip(const Tensor& x, const Shape& dims) {
  bool seen[kMaxDims] = {};
  Tensor y = x;
  for (int64_t dim : dims) {
    const int at = existing_dim("flip", dim, x.ndim());
    DNN_CHECK(!seen[at], ValueError, "flip: dimension ", at, " appears twice in ", dims);
    seen[at] = true;
    y = ops::flip_dim(y, at);
  }
  return dims.empty() ? ops::clone(x) : y;
}

Tensor squeeze(const Tensor& x, const Dims& dims) {
  if (!dims.given) return ops::squeeze(x, {});
  bool drop[kMaxDims] = {};
  for (int64_t dim : dims.dims) drop[wrap_dim("squeeze", dim, x.ndim())] = true;
  Tensor y = x;
  for (int i = x.ndim() - 1; i >= 0; --i)
    if (drop[i] && x.size(i) == 1) y = ops::squeeze(y, i);
  return y.is(x) ? ops::view(x, x.shape()) : y;
}

Tensor transpose_matrix(const Tensor& x) {
  DNN_CHECK(x.ndim() <= 2, ValueError, "t: expected at most 2 dimensions, got shape ", x.shape());
  return x.ndim() < 2 ? x : ops::transpose(x, 0, 1);
}

void bind_shapes(py::module_& m) {
  method(
      "view", [](const Tensor& x, const py::args& shape) { return ops::view(x, shape_from_args("view", shape)); },
      "The same memory under another shape; ValueError where that needs a copy.");
  method(
      "view_as", [](const Tensor& x, const Tensor& other) { return ops::view(x, other.shape()); }, py::arg("other"),
      "As view(other.shape).");
  method(
      "reshape",
      [](const Tensor& x, const py::args& shape, const py::object& named) {
        return ops::reshape(x, shape_from_args("reshape", shape, named));
      },
      py::arg("shape") = py::none(), "Another shape, a view where the strides allow it; one size may be -1.");
  m.def("reshape", &ops::reshape, py::arg("input"), py::arg("shape"), "Another shape, a view where the strides allow it.");
  method(
      "permute",
      [](const Tensor& x, const py::args& dims, const py::object& named) {
        return ops::permute(x, shape_from_args("permute", dims, named));
      },
      py::arg("dims") = py::none(), "A view with the dimensions in another order.");
  m.def("permute", &ops::permute, py::arg("input"), py::arg("dims"), "A view with the dimensions in another order.");
  method(
      "expand", [](const Tensor& x, const py::args& sizes) { return ops::expand(x, shape_from_args("expand", sizes)); },
      "A view that repeats dimensions of size 1; -1 keeps a size.");
  method(
      "expand_as", [](const Tensor& x, const Tensor& other) { return ops::expand(x, other.shape()); }, py::arg("other"),
      "As expand(other.shape).");
  method(
      "flip", [](const Tensor& x, const py::args& dims, const py::object& named) { return flip(x, shape_from_args("flip", dims, named)); },
      py::arg("dims") = py::none(), "A copy with the order along some dimensions reversed.");
  m.def("flip", &flip, py::arg("input"), py::arg("dims"), "A copy with the order along some dimensions reversed.");
  function_and_method(m, "flatten", &ops::flatten, py::arg("start_dim") = 0, py::arg("end_dim") = -1, "Dimensions joined into one.");
  function_and_method(m, "transpose", &ops::transpose, py::arg("dim0"), py::arg("dim1"), "A view with two dimensions swapped.");
  function_and_method(m, "swapaxes", &ops::transpose, py::arg("axis0"), py::arg("axis1"), "As transpose().");
  function_and_method(m, "t", &transpose_matrix, "The transposed matrix, a view.");
  function_and_method(m, "squeeze", &squeeze, py::arg("dim") = py::none(), "A view without the dimensions of size 1.");
  function_and_method(m, "unsqueeze", &ops::unsqueeze, py::arg("dim"), "A view with a new dimension of size 1.");
  function_and_method(m, "select", &ops::select, py::arg("dim"), py::arg("index"), "One position along a dimension, a view.");
  function_and_method(m, "narrow", &narrow, py::arg("dim"), py::arg("start"), py::arg("length"), "A range along a dimension, a view.");
  function_and_method(m, "unbind", &unbind, py::arg("dim") = 0, "All positions along a dimension, a tuple of views.");
  function_and_method(m, "split", &split_any, py::arg("split_size_or_sections"), py::arg("dim") = 0,
                      "Views of one size, or of given sizes.");
  function_and_method(m, "chunk", &chunk, py::arg("chunks"), py::arg("dim") = 0, "At most `chunks` views of equal size.");
}

}  // namespace

void bind_tensor_methods(py::module_& m) {
  bind_conversions();
  bind_properties(m);
  bind_memory(m);
  bind_shapes(m);
}

}  // namespace dnncore::bindings
