// x[key] and x[key] = value, by PyTorch's rules: integers, slices, None and ... make a view first; then masks and tensors of positions
// gather from it. Advanced dimensions that stand together stay in place, otherwise they come first.
// Negative steps, which PyTorch refuses, are NumPy's: the values in reverse order, a copy since strides are never negative.
#include "autograd/tape.h"
#include "bindings/bindings.h"
#include "ops/inplace.h"

namespace dnncore::bindings {

namespace {

// A key taken apart. `view` has every basic part applied; dimension d of it is indexed by advanced[d], if that is defined.
struct Plan {
  Tensor view;
  std::vector<Tensor> advanced;
  std::vector<bool> reversed;  // dimensions that a negative step reads backwards
  int axis = 0;                // of the original tensor, for messages
  int dim = 0;                 // of the view: the next one to be consumed
  bool any_advanced = false, any_reversed = false;

  void keep(const Tensor& index = {}, bool backwards = false) {
    const bool moves = index.defined() && index.device() == Device{};  // positions may come from the CPU
    advanced.push_back(moves ? ops::to_device(index, view.device(), "index") : index);
    reversed.push_back(backwards);
    any_advanced |= index.defined();
    any_reversed |= backwards;
    ++dim;
  }
};

bool is_list_like(PyObject* item) { return is_sequence(item) && !is_numpy_array(item); }

bool is_bool(PyObject* item) {
  if (PyBool_Check(item)) return true;
  if (PyLong_Check(item)) return false;
  return is_numpy_scalar(item) && py::handle(item).attr("dtype").attr("kind").cast<std::string>() == "b";
}

// Told by its type alone, which is the case of nearly every index.
bool is_basic(PyObject* item) { return PyLong_Check(item) || PySlice_Check(item) || item == Py_None || item == Py_Ellipsis; }

// A tensor of positions or a mask: int64 or bool.
Tensor index_tensor(PyObject* item) {
  Tensor index;
  if (is_tensor(item)) {
    index = tensor_of(item);
  } else if (is_numpy_array(item)) {
    py::object array = py::reinterpret_borrow<py::object>(item);
    const auto kind = array.attr("dtype").attr("kind").cast<std::string>();
    const auto bytes = array.attr("dtype").attr("itemsize").cast<int>();
    // Narrow integers widen to int64 without loss; uint8 stays what it is and is refused below.
    if (kind == "i" || (kind == "u" && bytes > 1 && bytes < 8)) array = array.attr("astype")("int64");
    index = tensor_from_numpy("index", array, Sharing::Share);
  } else {
    index = tensor_from_data("index", item, {}, Sharing::Share);
    if (index.numel() == 0 && is_floating(index.dtype())) index = ops::to_dtype(index, DType::Int64);  // []
  }
  DNN_CHECK(index.dtype() != DType::UInt8, TypeError,
            "index: a uint8 tensor could be a mask or positions; use x.bool() for a mask, x.long() for positions");
  DNN_CHECK(!is_floating(index.dtype()), IndexError, "index: tensors used as indices must be int64, int32 or bool, got ", index.dtype());
  return index.dtype() == DType::Bool ? index : ops::to_dtype(index, DType::Int64);
}

// How many dimensions of the tensor an item consumes.
int consumed_dims(PyObject* item, const Tensor& index) {
  if (item == Py_None || item == Py_Ellipsis || is_bool(item)) return 0;
  return index.defined() && index.dtype() == DType::Bool ? index.ndim() : 1;
}

void apply_integer(Plan& plan, int64_t position) {
  const int64_t size = plan.view.size(plan.dim);
  DNN_CHECK(position >= -size && position < size, IndexError, "index ", position, " is out of bounds for dimension ", plan.axis,
            " with size ", size);
  plan.view = ops::select(plan.view, plan.dim, position);
  ++plan.axis;
}

void apply_slice(Plan& plan, PyObject* item) {
  Py_ssize_t start, stop, step;
  if (PySlice_Unpack(item, &start, &stop, &step) < 0) throw py::error_already_set();
  const Py_ssize_t size = plan.view.size(plan.dim);
  const Py_ssize_t length = PySlice_AdjustIndices(size, &start, &stop, step);
  ++plan.axis;
  if (step < 0) {  // the same positions, ascending
    step = -std::max<Py_ssize_t>(step, -std::max<Py_ssize_t>(size, 1));
    const Py_ssize_t last = length > 0 ? start : -1;
    start = length > 0 ? start - (length - 1) * step : 0;
    plan.view = ops::slice(plan.view, plan.dim, start, last + 1, step);
    plan.keep({}, length > 1);
  } else {
    if (length != size) plan.view = ops::slice(plan.view, plan.dim, start, std::max(start, stop), step);
    plan.keep();
  }
}

// True adds a dimension of size 1, False one of size 0.
void apply_bool(Plan& plan, bool value) {
  plan.view = ops::unsqueeze(plan.view, plan.dim);
  plan.keep(ops::zeros({value ? 1 : 0}, DType::Int64, plan.view.device()));
}

void apply_mask(Plan& plan, const Tensor& mask) {
  if (mask.ndim() == 0) return apply_bool(plan, ops::host_value<bool>("index", mask));
  for (int i = 0; i < mask.ndim(); ++i)
    DNN_CHECK(mask.size(i) == plan.view.size(plan.dim + i), IndexError, "index: the shape of the mask ", mask.shape(), " at dimension ", i,
              " does not match the shape of the indexed tensor ", plan.view.shape(), " at dimension ", plan.dim + i);
  for (const Tensor& positions : ops::nonzero(mask)) plan.keep(positions);
  plan.axis += mask.ndim();
}

void apply_item(Plan& plan, PyObject* item, const Tensor& index) {
  if (item == Py_None) {
    plan.view = ops::unsqueeze(plan.view, plan.dim);
    plan.keep();
  } else if (PySlice_Check(item)) {
    apply_slice(plan, item);
  } else if (is_bool(item)) {
    apply_bool(plan, PyObject_IsTrue(item) == 1);
  } else if (!index.defined()) {
    const Py_ssize_t position = PyNumber_AsSsize_t(item, PyExc_IndexError);
    if (position == -1 && PyErr_Occurred()) throw py::error_already_set();
    apply_integer(plan, position);
  } else if (index.dtype() == DType::Bool) {
    apply_mask(plan, index);
  } else if (index.ndim() == 0) {
    apply_integer(plan, ops::host_value<int64_t>("index", index));
  } else {
    plan.keep(index);
    ++plan.axis;
  }
}

Plan plan_of(const Tensor& x, PyObject* key) {
  const bool several = PyTuple_Check(key);
  const Py_ssize_t count = several ? PyTuple_GET_SIZE(key) : 1;
  DNN_CHECK(count <= 64, IndexError, "index: too many indices (", count, ")");
  std::vector<Tensor> indices(static_cast<size_t>(count));
  int consumed = 0, ellipses = 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = several ? PyTuple_GET_ITEM(key, i) : key;
    const bool basic = is_basic(item);
    if (!basic && (is_tensor(item) || is_numpy_array(item) || is_list_like(item)))
      indices[i] = index_tensor(item);
    else
      DNN_CHECK(basic || is_bool(item) || PyIndex_Check(item), IndexError,
                "index: only integers, slices, None, ..., masks and integer tensors are valid indices, got ", Py_TYPE(item)->tp_name);
    ellipses += item == Py_Ellipsis;
    consumed += consumed_dims(item, indices[i]);
  }
  DNN_CHECK(ellipses <= 1, IndexError, "index: an index can only have a single ellipsis ('...')");
  DNN_CHECK(consumed <= x.ndim(), IndexError, "index: too many indices for a tensor of ", x.ndim(), " dimensions, got ", consumed);
  Plan plan{.view = x, .advanced = {}, .reversed = {}};
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = several ? PyTuple_GET_ITEM(key, i) : key;
    if (item != Py_Ellipsis) {
      apply_item(plan, item, indices[i]);
      continue;
    }
    for (int skipped = x.ndim() - consumed; skipped > 0; --skipped, ++plan.axis) plan.keep();
  }
  while (plan.dim < plan.view.ndim()) plan.keep();
  return plan;
}

// Advanced dimensions next to each other: `first` is the first of them. Otherwise they are permuted to the front.
struct Gather {
  Tensor view;
  int first = 0;
  std::vector<Tensor> indices;
  std::vector<int> reversed;  // dimensions of the result
};

Gather gather_of(const Plan& plan) {
  Gather gather{plan.view, 0, {}, {}};
  std::vector<int> order;  // dimensions of the view: advanced ones, then the others
  int last = -1;
  bool adjacent = true;
  Shape broadcast;
  for (int dim = 0; dim < plan.view.ndim(); ++dim) {
    if (!plan.advanced[dim].defined()) continue;
    adjacent &= last < 0 || dim == last + 1;
    last = dim;
    order.push_back(dim);
    gather.indices.push_back(plan.advanced[dim]);
    broadcast = broadcast_shapes("index", broadcast, plan.advanced[dim].shape());
  }
  const int count = static_cast<int>(order.size());
  gather.first = adjacent ? order[0] : 0;
  for (int dim = 0, kept = 0; dim < plan.view.ndim(); ++dim) {
    if (plan.advanced[dim].defined()) continue;
    order.push_back(dim);
    if (plan.reversed[dim]) gather.reversed.push_back(kept < gather.first ? kept : kept + broadcast.ndim());
    ++kept;
  }
  if (!adjacent) {
    Shape dims;
    for (int dim : order) dims.push_back(dim);
    gather.view = ops::permute(plan.view, dims);
  }
  DNN_CHECK(plan.view.ndim() - count + broadcast.ndim() <= kMaxDims, IndexError, "index: the result would have more than ", kMaxDims,
            " dimensions");
  return gather;
}

std::vector<int> reversed_dims(const Plan& plan) {
  std::vector<int> dims;
  for (int dim = 0; dim < static_cast<int>(plan.reversed.size()); ++dim)
    if (plan.reversed[dim]) dims.push_back(dim);
  return dims;
}

Tensor flipped(Tensor x, const std::vector<int>& dims) {
  for (int dim : dims) x = ops::flip_dim(x, dim);
  return x;
}

// The values to write, with leading dimensions of size 1 dropped, in the order a reversed destination wants them.
Tensor arranged_values(const Tensor& values, const Shape& target, const std::vector<int>& reversed) {
  if (reversed.empty()) return values;
  Tensor from = values;
  while (from.ndim() > target.ndim() && from.size(0) == 1) from = ops::select(from, 0, 0);
  return flipped(expand_to("setitem", from, target), reversed);
}

Tensor value_tensor(PyObject* value) {
  if (is_tensor(value)) return tensor_of(value);
  DNN_CHECK(is_numpy_array(value) || is_sequence(value), TypeError, "setitem: cannot assign a ", Py_TYPE(value)->tp_name, " to a tensor");
  return tensor_from_data("setitem", value, {}, Sharing::Share);
}

bool same_view(const Tensor& a, const Tensor& b) {
  return a.storage() == b.storage() && a.dtype() == b.dtype() && a.impl()->offset == b.impl()->offset && a.shape() == b.shape() &&
         a.strides() == b.strides();
}

void assign_gathered(const Plan& plan, const Tensor& values) {
  const Gather gather = gather_of(plan);
  Shape target;
  Shape broadcast;
  for (const Tensor& index : gather.indices) broadcast = broadcast_shapes("setitem", broadcast, index.shape());
  for (int i = 0; i < gather.first; ++i) target.push_back(gather.view.size(i));
  for (int64_t size : broadcast) target.push_back(size);
  for (int i = gather.first + static_cast<int>(gather.indices.size()); i < gather.view.ndim(); ++i) target.push_back(gather.view.size(i));
  ops::index_put_(gather.view, gather.first, gather.indices, arranged_values(values, target, gather.reversed), false);
}

// x[key] = value without history; `value` is a number or undefined where there are `values`.
void write(const Tensor& x, PyObject* key, const Scalar& number, const Tensor& values) {
  const Plan plan = plan_of(x, key);
  if (plan.any_advanced) return assign_gathered(plan, values.defined() ? values : scalar_tensor(number, x.dtype(), x.device()));
  if (!values.defined()) return ops::fill_(plan.view, number);
  if (!plan.any_reversed && same_view(values, plan.view)) return;  // the end of x[key] += v
  ops::copy_(plan.view, arranged_values(values, plan.view.shape(), reversed_dims(plan)));
}

Tensor subscript(const Tensor& x, PyObject* key) {
  const Plan plan = plan_of(x, key);
  if (!plan.any_advanced) {
    const Tensor result = flipped(plan.view, reversed_dims(plan));
    return result.is(x) ? ops::view(x, x.shape()) : result;  // x[...] is a new tensor
  }
  const Gather gather = gather_of(plan);
  return flipped(ops::index(gather.view, gather.first, gather.indices), gather.reversed);
}

void assign(const Tensor& x, PyObject* key, PyObject* value) {
  DNN_CHECK(value, TypeError, "delitem: elements of a tensor cannot be deleted");
  Scalar number;
  Tensor values = scalar_from_python(value, number) ? Tensor() : value_tensor(value);
  const bool moves = values.defined() && values.device() == Device{} && (values.ndim() == 0 || !is_tensor(value));
  if (moves) values = ops::to_device(values, x.device(), "setitem");
  const bool records = ops::records_inplace("setitem", x, {&values});
  const NoGrad no_grad;  // the view that is written must not join the tape
  const Tensor before = records ? ops::stand_in(x) : Tensor();
  write(x, key, number, values);
  if (!records) return;
  const Tensor places = ops::arange(Scalar::of(int64_t{0}), Scalar::of(x.numel()), Scalar::of(int64_t{1}), DType::Int64, x.device());
  ops::record_assignment(x, before, values, ops::contiguous(subscript(ops::reshape(places, x.shape()), key)));
}

}  // namespace

Tensor expand_to(const char* op, const Tensor& x, const Shape& shape) {
  const Shape joined = broadcast_shapes(op, x.shape(), shape);
  DNN_CHECK(joined == shape, ValueError, op, ": a value of shape ", x.shape(), " does not fit shape ", shape);
  return ops::expand(x, shape);
}

PyObject* tensor_subscript(PyObject* self, PyObject* key) {
  return guarded([&]() -> PyObject* {
    const Tensor& x = tensor_of(self);
    if (PyLong_CheckExact(key) && x.ndim() > 0) {  // x[i] needs no plan
      const Py_ssize_t position = PyNumber_AsSsize_t(key, PyExc_IndexError);
      if (position == -1 && PyErr_Occurred()) return nullptr;
      return wrap(ops::select(x, 0, position));
    }
    return wrap(subscript(x, key));
  });
}

int tensor_assign_subscript(PyObject* self, PyObject* key, PyObject* value) {
  return guarded([&]() -> int {
    assign(tensor_of(self), key, value);
    return 0;
  });
}

PyObject* tensor_item(PyObject* self, Py_ssize_t index) {
  return guarded([&]() -> PyObject* {
    const Tensor& x = tensor_of(self);
    DNN_CHECK(x.ndim() > 0, IndexError, "index: a 0-d tensor cannot be indexed by a number; use item()");
    return wrap(ops::select(x, 0, index));
  });
}

}  // namespace dnncore::bindings
