// Activations with parameters, dropout and the step function.
#include <string>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

ActivationOp activation_named(const std::string& name) {
  for (int i = 0; i < static_cast<int>(ActivationOp::count); ++i)
    if (name == kActivationNames[i]) return static_cast<ActivationOp>(i);
  throw ValueError(concat("activation: unknown name '", name, "'"));
}

// 0 below 0 and for NaN, `values` at 0, 1 above. It has no gradient.
Tensor heaviside(const Tensor& x, const Tensor& values) {
  DNN_CHECK(x.dtype() == values.dtype(), TypeError, "heaviside: expected values of dtype ", x.dtype(), ", got ", values.dtype());
  const Tensor step = ops::to_dtype(ops::binary(BinaryOp::gt, x, Scalar::of(int64_t{0})), x.dtype());
  return ops::where(ops::binary(BinaryOp::eq, x, Scalar::of(int64_t{0})), values.detach(), step);
}

}  // namespace

void bind_activation(py::module_& m) {
  m.def("activation_names", [] { return std::vector<std::string>(std::begin(kActivationNames), std::end(kActivationNames)); });
  m.def(
      "_activation",
      [](const std::string& name, const Tensor& x, double a, double b, double c, bool inplace) {
        const ActivationOp op = activation_named(name);
        if (!inplace) return ops::activation(op, x, {a, b, c});
        ops::activation_(op, x, {a, b, c});
        return x;
      },
      py::arg("name"), py::arg("input"), py::arg("a") = 0.0, py::arg("b") = 0.0, py::arg("c") = 0.0, py::arg("inplace") = false);
  m.def(
      "_dropout",
      [](const Tensor& x, double p, bool inplace) {
        if (!inplace) return ops::dropout(x, p);
        ops::dropout_(x, p);
        return x;
      },
      py::arg("input"), py::arg("p"), py::arg("inplace") = false);
  function_and_method(m, "heaviside", &heaviside, py::arg("values"), "The step function: 0 below 0, `values` at 0, 1 above.");
}

}  // namespace dnncore::bindings
