// Composed mathematics, products and Einstein sums, draws from given distributions.
#include <cmath>
#include <tuple>

#include "autograd/tape.h"
#include "bindings/bindings.h"
#include "bindings/in_place.h"
#include "ops/tensor_ops.h"

namespace dnncore::bindings {

namespace {

using GeneratorRef = Ref<ops::Generator>;

Tensor as_tensor_beside(const TensorOrNumber& value, const Tensor& x) {
  if (const auto* tensor = std::get_if<Tensor>(&value)) return *tensor;
  const Scalar& number = std::get<Scalar>(value);
  return scalar_tensor(number, ops::result_type(x, number), x.device());
}

// --- Elementwise ------------------------------------------------------------------------------------------------------
void bind_pointwise(py::module_& m) {
  const py::arg other("other");
  function_and_method(m, "logaddexp", &ops::logaddexp, other, "log(exp(input) + exp(other)) without overflow.");
  function_and_method(m, "hypot", &ops::hypot, other, "sqrt(input^2 + other^2) without overflow.");
  function_and_method(m, "frac", &ops::frac, "The part after the point, with the sign of the input.");
  function_and_method(
      m, "fmod", [](const Tensor& x, const TensorOrNumber& z) { return ops::fmod(x, as_tensor_beside(z, x)); }, other,
      "Remainder with the sign of the input.");
  function_and_method(
      m, "float_power", [](const Tensor& x, const TensorOrNumber& z) { return ops::float_power(x, as_tensor_beside(z, x)); },
      py::arg("exponent"), "Power in float64.");
  function_and_method(
      m, "lerp", [](const Tensor& x, const Tensor& end, const TensorOrNumber& w) { return ops::lerp(x, end, as_tensor_beside(w, x)); },
      py::arg("end"), py::arg("weight"), "input + weight * (end - input).");
  const std::tuple<const char*, BinaryOp, const char*> joint[] = {{"addcmul", BinaryOp::mul, "input + value * tensor1 * tensor2."},
                                                                  {"addcdiv", BinaryOp::div, "input + value * tensor1 / tensor2."}};
  for (const auto& [name, op, doc] : joint)
    function_and_method(
        m, name,
        [op = op](const Tensor& x, const Tensor& a, const Tensor& b, const Scalar& value) { return ops::addc(op, x, a, b, value); },
        py::arg("tensor1"), py::arg("tensor2"), py::kw_only(), py::arg("value") = 1, doc);
  const std::tuple<const char*, BinaryOp, const char*> truths[] = {
      {"logical_and", BinaryOp::bitwise_and, "True where neither element is 0."},
      {"logical_or", BinaryOp::bitwise_or, "True where an element of the two is not 0."},
      {"logical_xor", BinaryOp::bitwise_xor, "True where exactly one element of the two is not 0."}};
  for (const auto& [name, op, doc] : truths)
    function_and_method(
        m, name, [op = op](const Tensor& x, const Tensor& z) { return ops::logical(op, x, z); }, other, doc);
  function_and_method(m, "nan_to_num", &ops::nan_to_num, py::arg("nan") = py::none(), py::arg("posinf") = py::none(),
                      py::arg("neginf") = py::none(), "A copy with NaN and infinities replaced, by 0 and the largest numbers.");
  const auto bound = [&](const char* name, BinaryOp beyond, const char* keyword, const char* doc) {
    function_and_method(
        m, name,
        [beyond](const Tensor& x, const TensorOrNumber& limit) {
          return ops::where(apply(beyond, x, limit), as_tensor_beside(limit, x), x);
        },
        py::arg(keyword), doc);
  };
  bound("clamp_min", BinaryOp::lt, "min", "Values below the bound raised to it.");
  bound("clamp_max", BinaryOp::gt, "max", "Values above the bound lowered to it.");
}

// --- Norms and statistics ---------------------------------------------------------------------------------------------
double order_of(const py::object& p) {
  if (p.is_none()) return 2;
  if (!PyUnicode_Check(p.ptr())) return p.cast<double>();
  const auto name = p.cast<std::string>();
  if (name == "inf" || name == "-inf") return name == "inf" ? HUGE_VAL : -HUGE_VAL;
  DNN_CHECK(name == "fro", ValueError, "norm: expected p 'fro' or a number, got '", name, "'");
  return 2;
}

void bind_statistics(py::module_& m) {
  function_and_method(
      m, "norm",
      [](const Tensor& x, const py::object& p, const Dims& dim, bool keepdim, std::optional<DType> dtype) {
        return ops::vector_norm(dtype ? ops::to_dtype(x, *dtype) : x, order_of(p), dim.dims, keepdim);
      },
      py::arg("p") = "fro", py::arg("dim") = py::none(), py::arg("keepdim") = false, py::arg("dtype") = py::none(),
      "The p-norm of the elements over one, several or all dimensions; slope 0 where it is 0.");
  const auto spread_and_mean = [&](const char* name, Tensor (*spread)(const Tensor&, const Shape&, double, bool), const char* doc) {
    function_and_method(
        m, name,
        [spread](const Tensor& x, const Dims& dim, double correction, bool keepdim) {
          return py::make_tuple(spread(x, dim.dims, correction, keepdim), ops::reduce(ReduceOp::mean, x, dim.dims, keepdim));
        },
        py::arg("dim") = py::none(), py::kw_only(), py::arg("correction") = 1.0, py::arg("keepdim") = false, doc);
  };
  spread_and_mean("var_mean", &ops::variance, "(var(), mean()).");
  spread_and_mean("std_mean", &ops::standard_deviation, "(std(), mean()).");
  function_and_method(m, "cov", &ops::cov, py::kw_only(), py::arg("correction") = 1, "Covariances of the rows of a matrix.");
  function_and_method(m, "corrcoef", &ops::corrcoef, "Correlations of the rows of a matrix.");
  m.def("cdist", &ops::cdist, py::arg("x1"), py::arg("x2"), py::arg("p") = 2.0, "p-norm distances of all pairs of rows.");
}

// --- Products ---------------------------------------------------------------------------------------------------------
void check_ranks(const char* op, const Tensor& a, int rank_a, const Tensor& b, int rank_b) {
  DNN_CHECK(a.ndim() == rank_a && b.ndim() == rank_b, ValueError, op, ": expected tensors of ", rank_a, " and ", rank_b,
            " dimensions, got shapes ", a.shape(), " and ", b.shape());
  DNN_CHECK(rank_a < 3 || a.size(0) == b.size(0), ValueError, op, ": expected one batch size, got shapes ", a.shape(), " and ", b.shape());
}

// beta * input + alpha * (a @ b).
void bind_added_product(py::module_& m, const char* name, const char* first, const char* second, int rank_a, int rank_b) {
  function_and_method(
      m, name,
      [=](const Tensor& x, const Tensor& a, const Tensor& b, const Scalar& beta, const Scalar& alpha) {
        check_ranks(name, a, rank_a, b, rank_b);
        return ops::add_product(name, x, ops::matmul(a, b), beta, alpha);
      },
      py::arg(first), py::arg(second), py::kw_only(), py::arg("beta") = 1, py::arg("alpha") = 1, "beta * input + alpha * product.");
}

Tensor tensordot(const Tensor& a, const Tensor& b, const py::object& dims) {
  if (is_sequence(dims)) {
    const auto pair = dims.cast<py::sequence>();
    DNN_CHECK(pair.size() == 2, ValueError, "tensordot: expected dims as a number or two sequences, got ", pair.size(), " entries");
    const auto side = [](const py::object& object) { return object.cast<Dims>().dims; };
    return ops::tensordot(a, b, side(pair[0]), side(pair[1]));
  }
  const auto count = dims.cast<int64_t>();
  DNN_CHECK(count >= 0 && count <= a.ndim() && count <= b.ndim(), ValueError, "tensordot: expected dims between 0 and ",
            std::min(a.ndim(), b.ndim()), ", got ", count);
  Shape last, first;
  for (int64_t i = 0; i < count; ++i) {
    last.push_back(a.ndim() - count + i);
    first.push_back(i);
  }
  return ops::tensordot(a, b, last, first);
}

void bind_contractions(py::module_& m) {
  bind_added_product(m, "addmm", "mat1", "mat2", 2, 2);
  bind_added_product(m, "addmv", "mat", "vec", 2, 1);
  bind_added_product(m, "baddbmm", "batch1", "batch2", 3, 3);
  function_and_method(
      m, "mv",
      [](const Tensor& a, const Tensor& b) {
        check_ranks("mv", a, 2, b, 1);
        return ops::matmul(a, b);
      },
      py::arg("vec"), "Product of a matrix and a vector.");
  const auto inner = [](const Tensor& a, const Tensor& b) {
    check_ranks("vdot", a, 1, b, 1);
    return ops::matmul(a, b);
  };
  function_and_method(m, "vdot", inner, py::arg("other"), "Inner product of two vectors.");
  function_and_method(m, "outer", &ops::outer, py::arg("vec2"), "All products of the elements of two vectors.");
  function_and_method(m, "kron", &ops::kron, py::arg("other"), "Kronecker product.");
  m.def("tensordot", &tensordot, py::arg("a"), py::arg("b"), py::arg("dims") = 2,
        "Products summed over the last dims of a and the first of b, or over two lists of dimensions.");
  m.def(
      "einsum",
      [](const std::string& equation, const py::args& args) {
        const bool packed = args.size() == 1 && !is_tensor(args[0].ptr()) && is_sequence(args[0]);
        return ops::einsum(equation, (packed ? py::reinterpret_borrow<py::object>(args[0]) : py::object(args)).cast<std::vector<Tensor>>());
      },
      py::arg("equation"), "Einstein sum: letters name dimensions, those missing after '->' are summed.");
}

// --- Draws ------------------------------------------------------------------------------------------------------------
Tensor normal(const TensorOrNumber& mean, const TensorOrNumber& std, const std::optional<Shape>& size, const GeneratorRef& generator) {
  const NoGrad no_grad;
  const auto* center = std::get_if<Tensor>(&mean);
  const auto* spread = std::get_if<Tensor>(&std);
  DNN_CHECK(size.has_value() != (center || spread), TypeError, "normal: expected size for two numbers, and none for tensors");
  if (size)
    return ops::random(RandomOp::normal, *size, DType::Float32, default_device(), std::get<Scalar>(mean).as_double,
                       std::get<Scalar>(std).as_double, 0, 0, generator);
  const Tensor& like = center ? *center : *spread;
  const Tensor m = as_tensor_beside(mean, like).detach(), s = as_tensor_beside(std, like).detach();
  DNN_CHECK(is_floating(like.dtype()), TypeError, "normal: expected floating tensors, got ", like.dtype());
  const Tensor negative = ops::reduce(ReduceOp::any, ops::binary(BinaryOp::lt, s, Scalar::of(0.0)), {}, false);
  DNN_CHECK(!ops::host_value<bool>("normal", negative), ValueError, "normal: expected std >= 0");
  const Shape shape = broadcast_shapes("normal", m.shape(), s.shape());
  const Tensor draws = ops::random(RandomOp::normal, shape, ops::result_type(m, s), m.device(), 0, 1, 0, 0, generator);
  return ops::binary(BinaryOp::add, m, ops::binary(BinaryOp::mul, s, draws));
}

void bind_draws(py::module_& m) {
  function_and_method(m, "multinomial", &ops::multinomial, py::arg("num_samples"), py::arg("replacement") = false, py::kw_only(),
                      py::arg("generator") = py::none(), "Positions drawn with probabilities in proportion to the input.");
  m.def("normal", &normal, py::arg("mean") = 0.0, py::arg("std") = 1.0, py::arg("size") = py::none(), py::kw_only(),
        py::arg("generator") = py::none(), "Normal draws with the given means and standard deviations.");
}

}  // namespace

void bind_compose(py::module_& m) {
  bind_pointwise(m);
  bind_statistics(m);
  bind_contractions(m);
  bind_draws(m);
}

}  // namespace dnncore::bindings
