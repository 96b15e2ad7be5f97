// softmax and its kin as functions and methods; losses, most of which the Python layer names.
#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

using OptionalDType = std::optional<DType>;
using OptionalTensor = std::optional<Tensor>;

ops::Reduction reduction_of(const char* op, const std::string& name) {
  if (name == "mean") return ops::Reduction::Mean;
  if (name == "sum") return ops::Reduction::Sum;
  DNN_CHECK(name == "none", ValueError, op, ": expected reduction 'mean', 'sum' or 'none', got '", name, "'");
  return ops::Reduction::None;
}

Tensor pointwise_loss(const std::string& kind, const Tensor& input, const Tensor& target, double parameter, const std::string& reduction) {
  for (int op = 0; op < static_cast<int>(LossOp::count); ++op)
    if (kind == kLossNames[op])
      return ops::pointwise_loss(static_cast<LossOp>(op), input, target, parameter, reduction_of(kind.c_str(), reduction));
  throw ValueError(concat("pointwise_loss: there is no loss '", kind, "'"));
}

}  // namespace

void bind_loss(py::module_& m) {
  const auto along = [&](const char* name, Tensor (*fn)(const Tensor&, int64_t), const char* doc) {
    function_and_method(
        m, name, [fn](const Tensor& x, int64_t dim, OptionalDType dtype) { return fn(dtype ? ops::to_dtype(x, *dtype) : x, dim); },
        py::arg("dim"), py::kw_only(), py::arg("dtype") = py::none(), doc);
  };
  along("softmax", &ops::softmax, "exp(x) over its sum along a dimension.");
  along("log_softmax", &ops::log_softmax, "Logarithm of softmax().");
  function_and_method(
      m, "logsumexp", [](const Tensor& x, const Dims& dim, bool keepdim) { return ops::logsumexp(x, dim.dims, keepdim); }, py::arg("dim"),
      py::arg("keepdim") = false, "log(sum(exp(x))) along one or several dimensions, without overflow.");
  m.def(
      "cross_entropy",
      [](const Tensor& input, const Tensor& target, const OptionalTensor& weight, int64_t ignore_index, const std::string& reduction,
         double label_smoothing) {
        return ops::cross_entropy(input, target, weight.value_or(Tensor()), ignore_index, label_smoothing,
                                  reduction_of("cross_entropy", reduction));
      },
      py::arg("input"), py::arg("target"), py::arg("weight") = py::none(), py::kw_only(), py::arg("ignore_index") = -100,
      py::arg("reduction") = "mean", py::arg("label_smoothing") = 0.0,
      "Cross entropy of logits (N, C, ...) and class indices (N, ...) or probabilities (N, C, ...).");
  m.def(
      "_nll_loss",
      [](const Tensor& input, const Tensor& target, const OptionalTensor& weight, int64_t ignore_index, const std::string& reduction) {
        return ops::nll_loss(input, target, weight.value_or(Tensor()), ignore_index, reduction_of("nll_loss", reduction));
      },
      py::arg("input"), py::arg("target"), py::arg("weight"), py::arg("ignore_index"), py::arg("reduction"),
      "Negative log likelihood of log-probabilities (N, C, ...) and class indices (N, ...).");
  m.def("_pointwise_loss", &pointwise_loss, py::arg("kind"), py::arg("input"), py::arg("target"), py::arg("parameter"),
        py::arg("reduction"), "A loss of kernels/pointwise_loss.h; `parameter` is its beta, delta or eps.");
  m.def(
      "_loss_names", [] { return std::vector<std::string>(std::begin(kLossNames), std::end(kLossNames)); },
      "The kinds of _pointwise_loss().");
}

}  // namespace dnncore::bindings
