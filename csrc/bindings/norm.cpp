// Normalisations.
#include "ops/norm.h"

#include <string>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

using OptionalTensor = std::optional<Tensor>;

Tensor given(const OptionalTensor& x) { return x.value_or(Tensor()); }

Activation epilogue(const std::optional<std::string>& name) {
  DNN_CHECK(!name || *name == "relu", ValueError, "batch_norm: expected activation None or 'relu', got '", name.value_or(""), "'");
  return name ? Activation::Relu : Activation::None;
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def(
      "_batch_norm",
      [](const Tensor& x, const OptionalTensor& mean, const OptionalTensor& var, const OptionalTensor& weight, const OptionalTensor& bias,
         bool training, std::optional<double> momentum, double eps, const OptionalTensor& batches,
         const std::optional<std::string>& activation) {
        return ops::batch_norm(x, given(weight), given(bias), {given(mean), given(var), given(batches), momentum}, training, eps,
                               epilogue(activation));
      },
      py::arg("input"), py::arg("running_mean"), py::arg("running_var"), py::arg("weight"), py::arg("bias"), py::arg("training"),
      py::arg("momentum"), py::arg("eps"), py::arg("num_batches_tracked") = py::none(), py::arg("activation") = py::none());
  m.def(
      "_instance_norm",
      [](const Tensor& x, const OptionalTensor& mean, const OptionalTensor& var, const OptionalTensor& weight, const OptionalTensor& bias,
         bool use_input_stats, double momentum, double eps) {
        return ops::instance_norm(x, given(weight), given(bias), {given(mean), given(var), Tensor(), momentum}, use_input_stats, eps);
      },
      py::arg("input"), py::arg("running_mean"), py::arg("running_var"), py::arg("weight"), py::arg("bias"), py::arg("use_input_stats"),
      py::arg("momentum"), py::arg("eps"));
  m.def(
      "_group_norm",
      [](const Tensor& x, int64_t groups, const OptionalTensor& weight, const OptionalTensor& bias, double eps) {
        return ops::group_norm(x, groups, given(weight), given(bias), eps);
      },
      py::arg("input"), py::arg("num_groups"), py::arg("weight"), py::arg("bias"), py::arg("eps"));
  m.def(
      "_layer_norm",
      [](const Tensor& x, const Shape& shape, const OptionalTensor& weight, const OptionalTensor& bias, double eps) {
        return ops::layer_norm(x, shape, given(weight), given(bias), eps);
      },
      py::arg("input"), py::arg("normalized_shape"), py::arg("weight"), py::arg("bias"), py::arg("eps"));
  m.def(
      "_rms_norm",
      [](const Tensor& x, const Shape& shape, const OptionalTensor& weight, std::optional<double> eps) {
        return ops::rms_norm(x, shape, given(weight), eps);
      },
      py::arg("input"), py::arg("normalized_shape"), py::arg("weight"), py::arg("eps"));
}

}  // namespace dnncore::bindings
