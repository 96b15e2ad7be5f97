// Random numbers: generators, the factories that draw, and the in-place forms.
#include <random>

#include "autograd/tape.h"
#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

using ops::Generator;
using GeneratorRef = Ref<Generator>;
using OptionalDType = std::optional<DType>;

// Seeds are 64 bits; negative ones count from 2^64, as in PyTorch.
uint64_t seed_from_python(const py::int_& seed) {
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(seed.ptr(), &overflow);
  if (overflow == 0) return static_cast<uint64_t>(value);
  const uint64_t large = PyLong_AsUnsignedLongLong(seed.ptr());
  if (PyErr_Occurred()) {
    PyErr_Clear();
    throw ValueError("manual_seed: expected a seed of 64 bits");
  }
  return large;
}

uint64_t fresh_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) >> 11;  // 53 bits: exact as a float too
}

Tensor with_grad(const Tensor& x, bool requires_grad) {
  if (requires_grad) set_requires_grad(x, true);
  return x;
}

// rand(*size, generator=None, dtype=None, ...) and rand_like(input, ...).
void sized_draw(py::module_& m, const char* name, RandomOp op, const char* doc) {
  m.def(
      name,
      [name, op](const py::args& args, const py::object& size, const GeneratorRef& generator, OptionalDType dtype, const DeviceArg& device,
                 bool requires_grad) {
        return with_grad(ops::random(op, shape_from_args(name, args, size), dtype.value_or(ops::kDefaultFloat), device.or_default(), 0, 1,
                                     0, 0, generator),
                         requires_grad);
      },
      py::arg("size") = py::none(), py::arg("generator") = py::none(), py::arg("dtype") = py::none(), py::arg("device") = py::none(),
      py::arg("requires_grad") = false, doc);
  m.def((std::string(name) + "_like").c_str(),
        [name, op](const Tensor& x, OptionalDType dtype, const DeviceArg& device, bool requires_grad, OptionalFormat format) {
          const Tensor like = ops::order_of(name, x, format.value_or(MemoryFormat::Preserve));
          const Tensor drawn = ops::random(op, x.shape(), dtype.value_or(x.dtype()), device.value_or(x.device()), 0, 1, 0, 0, {});
          if (like.is_contiguous()) return with_grad(drawn, requires_grad);
          const Tensor y = Tensor::empty_like(like, drawn.dtype(), drawn.device());
          ops::launch_copy(name, drawn, y, false);
          return with_grad(y, requires_grad);
        },
        py::arg("input"), py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false,
        py::arg("memory_format") = py::none(), doc);
}

// 1 with the probability the input holds, element by element.
Tensor bernoulli(const Tensor& p, const GeneratorRef& generator) {
  DNN_CHECK(is_floating(p.dtype()), TypeError, "bernoulli: expected floating probabilities, got ", p.dtype());
  const NoGrad no_grad;
  const Tensor inside =
      ops::binary(BinaryOp::bitwise_and, ops::binary(BinaryOp::ge, p, Scalar::of(0.0)), ops::binary(BinaryOp::le, p, Scalar::of(1.0)));
  DNN_CHECK(ops::host_value<bool>("bernoulli", ops::reduce(ReduceOp::all, inside, {}, false)), ValueError,
            "bernoulli: expected probabilities between 0 and 1");
  const DType draws = p.dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
  const Tensor uniform = ops::random(RandomOp::uniform, p.shape(), draws, p.device(), 0, 1, 0, 0, generator);
  return ops::to_dtype(ops::binary(BinaryOp::lt, uniform, p), p.dtype());
}

Tensor randint(int64_t low, int64_t high, const Shape& size, const GeneratorRef& generator, OptionalDType dtype, const DeviceArg& device) {
  return ops::random(RandomOp::integer, size, dtype.value_or(DType::Int64), device.or_default(), 0, 1, low, high, generator);
}

void bind_generator(py::module_& m) {
  py::class_<Generator, GeneratorRef> generator(m, "Generator", "A stream of random numbers (Philox-4x32-10), keyed by its seed.");
  generator.attr("__module__") = "dnncore";
  generator
      .def(py::init([](const py::int_& seed) { return make_ref<Generator>(seed_from_python(seed)); }), py::arg("seed") = 67280421310721)
      .def(
          "manual_seed",
          [](const GeneratorRef& g, const py::int_& seed) {
            g->manual_seed(seed_from_python(seed));
            return g;
          },
          py::arg("seed"), "Restart the stream from a seed; returns the generator.")
      .def(
          "seed",
          [](Generator& g) {
            g.manual_seed(fresh_seed());
            return g.initial_seed();
          },
          "Restart the stream from a seed of the operating system, which is returned.")
      .def("initial_seed", &Generator::initial_seed, "The seed of the stream.")
      .def(
          "get_state", [](const Generator& g) { return ops::clone(g.state_tensor()); }, "The state, a uint8 tensor.")
      .def(
          "set_state",
          [](Generator& g, const Tensor& state) {
            const Tensor own = g.state_tensor();
            DNN_CHECK(state.dtype() == DType::UInt8 && state.shape() == own.shape(), ValueError,
                      "set_state: expected a uint8 tensor of shape ", own.shape(), ", got ", state.dtype(), " of shape ", state.shape());
            ops::copy_(own, state);
          },
          py::arg("state"), "Continue from a state that get_state returned.");
  m.attr("default_generator") = ops::default_generator();
  m.def(
      "manual_seed",
      [](const py::int_& seed) {
        ops::default_generator()->manual_seed(seed_from_python(seed));
        return ops::default_generator();
      },
      py::arg("seed"), "Restart the default generator from a seed; returns the generator.");
  m.def(
      "seed",
      [] {
        ops::default_generator()->manual_seed(fresh_seed());
        return ops::default_generator()->initial_seed();
      },
      "Restart the default generator from a seed of the operating system, which is returned.");
  m.def(
      "initial_seed", [] { return ops::default_generator()->initial_seed(); }, "The seed of the default generator.");
}

void bind_inplace() {
  method(
      "uniform_",
      [](const Tensor& x, double low, double high, const GeneratorRef& generator) {
        ops::uniform_(x, low, high, generator);
        return x;
      },
      py::arg("from") = 0.0, py::arg("to") = 1.0, py::kw_only(), py::arg("generator") = py::none(), "Fill from the uniform distribution.");
  method(
      "normal_",
      [](const Tensor& x, double mean, double std, const GeneratorRef& generator) {
        ops::normal_(x, mean, std, generator);
        return x;
      },
      py::arg("mean") = 0.0, py::arg("std") = 1.0, py::kw_only(), py::arg("generator") = py::none(), "Fill from the normal distribution.");
  method(
      "bernoulli_",
      [](const Tensor& x, const TensorOrNumber& p, const GeneratorRef& generator) {
        const auto* number = std::get_if<Scalar>(&p);
        const Tensor draws = number
                                 ? ops::random(RandomOp::bernoulli, x.shape(), x.dtype(), x.device(), number->as_double, 0, 0, 0, generator)
                                 : bernoulli(ops::expand(std::get<Tensor>(p), x.shape()), generator);
        ops::copy_(x, draws);
        return x;
      },
      py::arg("p") = 0.5, py::kw_only(), py::arg("generator") = py::none(), "Fill with 1 (probability p) or 0.");
}

}  // namespace

void bind_random(py::module_& m) {
  bind_generator(m);
  bind_inplace();
  sized_draw(m, "rand", RandomOp::uniform, "Numbers drawn uniformly from [0, 1).");
  sized_draw(m, "randn", RandomOp::normal, "Numbers drawn from the standard normal distribution.");
  const auto randint_doc = "Whole numbers drawn uniformly from [low, high); low is 0 when only one bound is given.";
  m.def(
      "randint",
      [](int64_t low, int64_t high, const Shape& size, const GeneratorRef& generator, OptionalDType dtype, const DeviceArg& device) {
        return randint(low, high, size, generator, dtype, device);
      },
      py::arg("low"), py::arg("high"), py::arg("size"), py::kw_only(), py::arg("generator") = py::none(), py::arg("dtype") = py::none(),
      py::arg("device") = py::none(), randint_doc);
  m.def(
      "randint",
      [](int64_t high, const Shape& size, const GeneratorRef& generator, OptionalDType dtype, const DeviceArg& device) {
        return randint(0, high, size, generator, dtype, device);
      },
      py::arg("high"), py::arg("size"), py::kw_only(), py::arg("generator") = py::none(), py::arg("dtype") = py::none(),
      py::arg("device") = py::none(), randint_doc);
  m.def(
      "randperm",
      [](int64_t n, const GeneratorRef& generator, const DeviceArg& device) {
        DNN_CHECK(n >= 0, ValueError, "randperm: expected n >= 0, got ", n);
        return ops::random(RandomOp::permutation, {n}, DType::Int64, device.or_default(), 0, 1, 0, 0, generator);
      },
      py::arg("n"), py::kw_only(), py::arg("generator") = py::none(), py::arg("device") = py::none(), "A random order of 0 ... n-1.");
  function_and_method(
      m, "bernoulli", [](const Tensor& p, const GeneratorRef& generator) { return bernoulli(p, generator); }, py::kw_only(),
      py::arg("generator") = py::none(), "1 with the probability that the input holds, else 0.");
}

}  // namespace dnncore::bindings
