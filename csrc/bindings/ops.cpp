// Functions and methods beyond the elementwise ones: arithmetic with keywords, reductions, joining, selection, products, losses.
#include <cmath>
#include <tuple>

#include "autograd/tape.h"
#include "bindings/bindings.h"
#include "ops/tensor_ops.h"

namespace dnncore::bindings {

namespace {

using OptionalDType = std::optional<DType>;

// --- Arithmetic with keywords -----------------------------------------------------------------------------------------
bool is_one(const Scalar& s) { return s.kind == Scalar::Kind::Float ? s.as_double == 1 : s.as_int == 1; }

TensorOrNumber scaled(const TensorOrNumber& x, const Scalar& alpha) {
  if (is_one(alpha)) return x;
  return apply(BinaryOp::mul, x, alpha);
}

Tensor divide(const TensorOrNumber& x, const TensorOrNumber& z, const std::optional<std::string>& rounding_mode) {
  if (!rounding_mode) return apply(BinaryOp::div, x, z);
  if (*rounding_mode == "floor") return apply(BinaryOp::floor_divide, x, z);
  DNN_CHECK(*rounding_mode == "trunc", ValueError, "div: expected rounding_mode None, 'trunc' or 'floor', got '", *rounding_mode, "'");
  const Tensor quotient = apply(BinaryOp::div, x, z);
  const auto* a = std::get_if<Tensor>(&x);
  const auto* b = std::get_if<Tensor>(&z);
  const bool whole = !(a && is_floating(a->dtype())) && !(b && is_floating(b->dtype()));
  DNN_CHECK(!whole, TypeError, "div: rounding_mode 'trunc' expects floating tensors; cast with .double()");
  return ops::unary(UnaryOp::trunc, quotient);
}

void bind_arithmetic(py::module_& m) {
  const std::tuple<const char*, BinaryOp, const char*> sums[] = {{"add", BinaryOp::add, "input + alpha * other."},
                                                                 {"sub", BinaryOp::sub, "input - alpha * other."}};
  for (const auto& [name, op, doc] : sums) {
    const auto out_of_place = [op = op](const TensorOrNumber& x, const TensorOrNumber& z, const Scalar& alpha) {
      return apply(op, x, scaled(z, alpha));
    };
    function_and_method(m, name, out_of_place, py::arg("other"), py::kw_only(), py::arg("alpha") = 1, doc);
    method((std::string(name) + "_").c_str(),
           [op = op](const Tensor& x, const TensorOrNumber& z, const Scalar& alpha) {
             apply_(op, x, scaled(z, alpha));
             return x;
           },
           py::arg("other"), py::kw_only(), py::arg("alpha") = 1, (std::string(name) + "() in place.").c_str());
  }
  function_and_method(m, "div", &divide, py::arg("other"), py::kw_only(), py::arg("rounding_mode") = py::none(),
                      "True division, or rounded.");
  method(
      "div_",
      [](const Tensor& x, const TensorOrNumber& z) {
        apply_(BinaryOp::div, x, z);
        return x;
      },
      py::arg("other"), "True division in place.");
}

// --- Reductions -------------------------------------------------------------------------------------------------------
PyTypeObject* extreme_types[2];  // dnncore.return_types.max and .min

PyTypeObject* make_extreme_type(const char* name) {
  static PyStructSequence_Field fields[] = {{"values", "the extreme values"}, {"indices", "where they are"}, {nullptr, nullptr}};
  PyStructSequence_Desc desc{name, "Values and indices of a reduction along one dimension.", fields, 2};
  PyTypeObject* type = PyStructSequence_NewType(&desc);
  if (!type) throw py::error_already_set();
  return type;
}

struct Extreme {
  Tensor values, indices;
};

// The gradient goes to the element that `indices` names, as in PyTorch, while amax shares it among ties.
Extreme extreme_along(ReduceOp op, const Tensor& x, int64_t dim, bool keepdim) {
  const ReduceOp arg = op == ReduceOp::max ? ReduceOp::argmax : ReduceOp::argmin;
  const Shape dims = {dim};
  if (!any_requires_grad({&x})) return {ops::reduce(op, x, dims, keepdim), ops::reduce(arg, x, dims, keepdim)};
  const Tensor indices = ops::reduce(arg, x, dims, true);
  const Tensor values = ops::gather(x, dim, indices);
  if (keepdim) return {values, indices};
  return {ops::squeeze(values, dim), ops::squeeze(indices, dim)};
}

py::object extreme(ReduceOp op, const Tensor& x, const py::object& dim, bool keepdim) {
  if (dim.is_none()) {
    DNN_CHECK(!keepdim, ValueError, kReduceNames[static_cast<int>(op)], ": keepdim needs a dim");
    return py::cast(ops::reduce(op, x, {}, false));
  }
  if (is_tensor(dim.ptr()))
    return py::cast(ops::binary(op == ReduceOp::max ? BinaryOp::maximum : BinaryOp::minimum, x, tensor_of(dim.ptr())));
  const Extreme found = extreme_along(op, x, dim.cast<int64_t>(), keepdim);
  auto pair = py::reinterpret_steal<py::object>(PyStructSequence_New(extreme_types[op == ReduceOp::min]));
  if (!pair) throw py::error_already_set();
  PyStructSequence_SetItem(pair.ptr(), 0, py::cast(found.values).release().ptr());
  PyStructSequence_SetItem(pair.ptr(), 1, py::cast(found.indices).release().ptr());
  return pair;
}

void bind_reductions(py::module_& m) {
  const std::tuple<const char*, ReduceOp, const char*> cast_first[] = {
      {"sum", ReduceOp::sum, "The sum over one, several or all dimensions."},
      {"mean", ReduceOp::mean, "The mean over one, several or all dimensions."},
      {"prod", ReduceOp::prod, "The product over one, several or all dimensions."}};
  for (const auto& [name, op, doc] : cast_first)
    function_and_method(
        m, name,
        [op = op](const Tensor& x, const Dims& dim, bool keepdim, OptionalDType dtype) {
          return ops::reduce(op, dtype ? ops::to_dtype(x, *dtype) : x, dim.dims, keepdim);
        },
        py::arg("dim") = py::none(), py::arg("keepdim") = false, py::kw_only(), py::arg("dtype") = py::none(), doc);
  const std::tuple<const char*, ReduceOp, const char*> over_dims[] = {
      {"amax", ReduceOp::max, "The largest element over one, several or all dimensions; equal ones share the gradient."},
      {"amin", ReduceOp::min, "The smallest element over one, several or all dimensions; equal ones share the gradient."},
      {"any", ReduceOp::any, "Whether an element is not 0, over one, several or all dimensions."},
      {"all", ReduceOp::all, "Whether no element is 0, over one, several or all dimensions."}};
  for (const auto& [name, op, doc] : over_dims)
    function_and_method(
        m, name, [op = op](const Tensor& x, const Dims& dim, bool keepdim) { return ops::reduce(op, x, dim.dims, keepdim); },
        py::arg("dim") = py::none(), py::arg("keepdim") = false, doc);
  const std::tuple<const char*, ReduceOp, const char*> positions[] = {
      {"argmax", ReduceOp::argmax, "Position of the first largest element, along a dimension or of the flattened tensor."},
      {"argmin", ReduceOp::argmin, "Position of the first smallest element, along a dimension or of the flattened tensor."}};
  for (const auto& [name, op, doc] : positions)
    function_and_method(
        m, name,
        [op = op](const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
          return ops::reduce(op, x, dim ? Shape{*dim} : Shape{}, keepdim);
        },
        py::arg("dim") = py::none(), py::arg("keepdim") = false, doc);
  const std::tuple<const char*, ReduceOp, const char*> extremes[] = {
      {"max", ReduceOp::max, "The largest of all elements, (values, indices) along one dimension, or maximum() of two tensors."},
      {"min", ReduceOp::min, "The smallest of all elements, (values, indices) along one dimension, or minimum() of two tensors."}};
  for (const auto& [name, op, doc] : extremes) {
    extreme_types[op == ReduceOp::min] = make_extreme_type(op == ReduceOp::min ? "dnncore.return_types.min" : "dnncore.return_types.max");
    function_and_method(
        m, name, [op = op](const Tensor& x, const py::object& dim, bool keepdim) { return extreme(op, x, dim, keepdim); },
        py::arg("dim") = py::none(), py::arg("keepdim") = false, doc);
  }
  const auto spread = [&](const char* name, Tensor (*fn)(const Tensor&, const Shape&, double, bool), const char* doc) {
    function_and_method(
        m, name, [fn](const Tensor& x, const Dims& dim, double correction, bool keepdim) { return fn(x, dim.dims, correction, keepdim); },
        py::arg("dim") = py::none(), py::kw_only(), py::arg("correction") = 1.0, py::arg("keepdim") = false, doc);
  };
  spread("var", &ops::variance, "Variance, the sum of squared deviations over n - correction.");
  spread("std", &ops::standard_deviation, "Square root of var().");
}

// --- Selection --------------------------------------------------------------------------------------------------------
DType operand_dtype(const TensorOrNumber& x, const TensorOrNumber& other) {
  if (const auto* tensor = std::get_if<Tensor>(&other)) return ops::result_type(*tensor, std::get<Scalar>(x));
  return promote_types(default_dtype(std::get<Scalar>(x)), default_dtype(std::get<Scalar>(other)));
}

Tensor as_operand(const TensorOrNumber& x, const TensorOrNumber& other) {
  if (const auto* tensor = std::get_if<Tensor>(&x)) return *tensor;
  const auto* tensor = std::get_if<Tensor>(&other);
  return scalar_tensor(std::get<Scalar>(x), operand_dtype(x, other), tensor == nullptr ? Device{} : tensor->device());
}

py::tuple nonzero_tuple(const Tensor& x) {
  const NoGrad no_grad;
  if (x.ndim() == 0) return nonzero_tuple(ops::reshape(x, {1}));
  const std::vector<Tensor> positions = ops::nonzero(ops::to_dtype(x, DType::Bool));
  py::tuple result(positions.size());
  for (size_t i = 0; i < positions.size(); ++i) result[i] = positions[i];
  return result;
}

py::object nonzero(const Tensor& x, bool as_tuple) {
  if (as_tuple) return nonzero_tuple(x);
  const NoGrad no_grad;
  const std::vector<Tensor> positions = x.ndim() == 0 ? std::vector<Tensor>{} : ops::nonzero(ops::to_dtype(x, DType::Bool));
  if (!positions.empty()) return py::cast(ops::stack(positions, 1));
  return py::cast(Tensor::empty({ops::host_value<bool>("nonzero", ops::to_dtype(x, DType::Bool)) ? 1 : 0, 0}, DType::Int64, x.device()));
}

// x where low <= x <= high, else the bound; the gradient at a bound is 1.
Tensor clamp(const Tensor& x, const std::optional<TensorOrNumber>& low, const std::optional<TensorOrNumber>& high) {
  DNN_CHECK(low || high, ValueError, "clamp: at least one of min and max must not be None");
  Tensor y = x;
  if (low) y = ops::where(apply(BinaryOp::lt, y, *low), as_operand(*low, y), y);
  if (high) y = ops::where(apply(BinaryOp::gt, y, *high), as_operand(*high, y), y);
  return y;
}

Tensor isclose(const Tensor& x, const Tensor& z, double rtol, double atol, bool equal_nan) {
  const NoGrad no_grad;
  DNN_CHECK(rtol >= 0 && atol >= 0, ValueError, "isclose: expected rtol and atol of at least 0, got ", rtol, " and ", atol);
  DType dtype = promote_types(x.dtype(), z.dtype());
  if (dtype != DType::Float32) dtype = DType::Float64;  // whole numbers and halves are exact there
  const Tensor a = ops::to_dtype(x, dtype), b = ops::to_dtype(z, dtype);
  const Tensor distance = ops::unary(UnaryOp::abs, ops::binary(BinaryOp::sub, a, b));
  const Tensor room =
      ops::binary(BinaryOp::add, ops::binary(BinaryOp::mul, ops::unary(UnaryOp::abs, b), Scalar::of(rtol)), Scalar::of(atol));
  const Tensor near =
      ops::binary(BinaryOp::bitwise_and, ops::binary(BinaryOp::le, distance, room), ops::unary(UnaryOp::isfinite, distance));
  Tensor close = ops::binary(BinaryOp::bitwise_or, near, ops::binary(BinaryOp::eq, a, b));
  if (equal_nan)
    close = ops::binary(BinaryOp::bitwise_or, close,
                        ops::binary(BinaryOp::bitwise_and, ops::unary(UnaryOp::isnan, a), ops::unary(UnaryOp::isnan, b)));
  return close;
}

bool all_true(const Tensor& x) { return ops::host_value<bool>("allclose", ops::reduce(ReduceOp::all, x, {}, false)); }

void bind_selection(py::module_& m) {
  const auto where = [](const Tensor& condition, const TensorOrNumber& x, const TensorOrNumber& z) {
    return ops::where(condition, as_operand(x, z), as_operand(z, x));
  };
  m.def("where", where, py::arg("condition"), py::arg("input"), py::arg("other"), "`input` where the condition is true, else `other`.");
  m.def("where", &nonzero_tuple, py::arg("condition"), "Positions where the condition is true, as nonzero(as_tuple=True).");
  method(
      "where", [where](const Tensor& x, const Tensor& condition, const TensorOrNumber& z) { return where(condition, x, z); },
      py::arg("condition"), py::arg("other"), "The tensor where the condition is true, else `other`.");
  function_and_method(m, "nonzero", &nonzero, py::kw_only(), py::arg("as_tuple") = false, "Positions of the elements that are not 0.");
  function_and_method(
      m, "index_select",
      [](const Tensor& x, int64_t dim, const Tensor& index) {
        DNN_CHECK(index.ndim() == 1, ValueError, "index_select: expected a 1-d index, got shape ", index.shape());
        return ops::index(x, wrap_dim("index_select", dim, x.ndim()), {ops::to_dtype(index, DType::Int64)});
      },
      py::arg("dim"), py::arg("index"), "Slices picked along a dimension.");
  function_and_method(m, "clamp", &clamp, py::arg("min") = py::none(), py::arg("max") = py::none(), "Values limited to [min, max].");
  const auto close_args = [&](const char* name, const auto& fn, const char* doc) {
    function_and_method(m, name, fn, py::arg("other"), py::arg("rtol") = 1e-5, py::arg("atol") = 1e-8, py::arg("equal_nan") = false, doc);
  };
  close_args("isclose", &isclose, "|input - other| <= atol + rtol |other|, element by element.");
  close_args(
      "allclose",
      [](const Tensor& x, const Tensor& z, double rtol, double atol, bool equal_nan) {
        return all_true(isclose(x, z, rtol, atol, equal_nan));
      },
      "Whether isclose() holds everywhere.");
  function_and_method(
      m, "equal",
      [](const Tensor& x, const Tensor& z) {
        const NoGrad no_grad;
        return x.shape() == z.shape() && all_true(ops::binary(BinaryOp::eq, x, z));
      },
      py::arg("other"), "Whether two tensors have the same shape and elements.");
  m.def("cat", &ops::cat, py::arg("tensors"), py::arg("dim") = 0, "Tensors joined along a dimension.");
  m.def("concat", &ops::cat, py::arg("tensors"), py::arg("dim") = 0, "As cat().");
  m.def("stack", &ops::stack, py::arg("tensors"), py::arg("dim") = 0, "Tensors joined along a new dimension.");
}

// --- Products -------------------------------------------------------------------------------------------------------
Tensor product_of_rank(const char* op, int rank, const Tensor& a, const Tensor& b) {
  DNN_CHECK(a.ndim() == rank && b.ndim() == rank, ValueError, op, ": expected two ", rank, "-d tensors, got shapes ", a.shape(), " and ",
            b.shape());
  DNN_CHECK(rank < 3 || a.size(0) == b.size(0), ValueError, op, ": expected one batch size, got shapes ", a.shape(), " and ", b.shape());
  return ops::matmul(a, b);
}

Activation activation_of(const std::optional<std::string>& name) {
  if (!name) return Activation::None;
  const std::pair<const char*, Activation> known[] = {
      {"relu", Activation::Relu}, {"tanh", Activation::Tanh}, {"sigmoid", Activation::Sigmoid}, {"gelu", Activation::Gelu}};
  for (const auto& [text, activation] : known)
    if (*name == text) return activation;
  throw ValueError(concat("linear: expected activation None, 'relu', 'tanh', 'sigmoid' or 'gelu', got '", *name, "'"));
}

void bind_products(py::module_& m) {
  function_and_method(m, "matmul", &ops::matmul, py::arg("other"), "Matrix product by the rules of @.");
  function_and_method(
      m, "mm", [](const Tensor& a, const Tensor& b) { return product_of_rank("mm", 2, a, b); }, py::arg("mat2"),
      "Product of two matrices.");
  function_and_method(
      m, "bmm", [](const Tensor& a, const Tensor& b) { return product_of_rank("bmm", 3, a, b); }, py::arg("mat2"),
      "Products of two batches of matrices.");
  function_and_method(
      m, "dot", [](const Tensor& a, const Tensor& b) { return product_of_rank("dot", 1, a, b); }, py::arg("other"),
      "Inner product of two vectors.");
  m.def(
      "linear",
      [](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const std::optional<std::string>& activation) {
        return ops::linear(x, weight, bias.value_or(Tensor()), activation_of(activation));
      },
      py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(), py::arg("activation") = py::none(),
      "activation(input @ weight.T + bias); weight is (out, in).");
  m.def(
      "result_type",
      [](const TensorOrNumber& x, const TensorOrNumber& z) {
        const auto* a = std::get_if<Tensor>(&x);
        const auto* b = std::get_if<Tensor>(&z);
        if (a && b) return ops::result_type(*a, *b);
        return a ? operand_dtype(z, x) : operand_dtype(x, z);
      },
      py::arg("tensor1"), py::arg("tensor2"), "The dtype an operation between the two computes in.");
}

}  // namespace

void bind_ops(py::module_& m) {
  bind_arithmetic(m);
  bind_reductions(m);
  bind_selection(m);
  bind_products(m);
}

}  // namespace dnncore::bindings
