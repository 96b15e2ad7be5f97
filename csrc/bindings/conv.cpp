// Convolutions.
#include "ops/conv.h"

#include <string>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

// Sizes as given: the op checks their number.
Shape sizes_of(const char* op, const char* name, py::handle given) {
  const std::optional<Dims> dims = [&]() -> std::optional<Dims> {
    py::detail::type_caster<Dims> caster;
    if (given.is_none() || !caster.load(given, true)) return std::nullopt;
    return static_cast<Dims&>(caster);
  }();
  DNN_CHECK(dims.has_value(), TypeError, op, ": expected ", name, " as an int or a tuple of ints, got ", Py_TYPE(given.ptr())->tp_name);
  return dims->dims;
}

void set_padding(const char* op, py::handle given, ops::ConvSettings& settings) {
  if (!PyUnicode_Check(given.ptr())) {
    settings.padding = sizes_of(op, "padding", given);
    return;
  }
  const auto name = given.cast<std::string>();
  DNN_CHECK(name == "same" || name == "valid", ValueError, op, ": expected padding as numbers, 'same' or 'valid', got '", name, "'");
  settings.kind = name == "same" ? ops::ConvSettings::Padding::Same : ops::ConvSettings::Padding::Valid;
}

Activation epilogue(const char* op, const std::optional<std::string>& name) {
  if (!name) return Activation::None;
  if (*name == "relu") return Activation::Relu;
  if (*name == "tanh") return Activation::Tanh;
  DNN_CHECK(*name == "sigmoid", ValueError, op, ": expected activation None, 'relu', 'tanh' or 'sigmoid', got '", *name, "'");
  return Activation::Sigmoid;
}

constexpr const char* kConv[] = {"conv1d", "conv2d", "conv3d"};
constexpr const char* kTransposed[] = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"};

void bind_forward(py::module_& m, int dims) {
  const char* op = kConv[dims - 1];
  m.def(
      op,
      [op, dims](const Tensor& x, const Tensor& w, const std::optional<Tensor>& bias, const py::object& stride, const py::object& padding,
                 const py::object& dilation, int64_t groups, const std::optional<std::string>& activation) {
        ops::ConvSettings settings{
            .stride = sizes_of(op, "stride", stride), .dilation = sizes_of(op, "dilation", dilation), .groups = groups};
        set_padding(op, padding, settings);
        return ops::conv(dims, x, w, bias.value_or(Tensor()), settings, epilogue(op, activation));
      },
      py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(), py::arg("stride") = 1, py::arg("padding") = 0,
      py::arg("dilation") = 1, py::arg("groups") = 1, py::arg("activation") = py::none(),
      "activation(input * weight + bias), a cross-correlation; weight is (K, C / groups, filter...).");
}

void bind_transposed(py::module_& m, int dims) {
  const char* op = kTransposed[dims - 1];
  m.def(
      op,
      [op, dims](const Tensor& x, const Tensor& w, const std::optional<Tensor>& bias, const py::object& stride, const py::object& padding,
                 const py::object& output_padding, int64_t groups, const py::object& dilation) {
        const ops::ConvSettings settings{.stride = sizes_of(op, "stride", stride),
                                         .padding = sizes_of(op, "padding", padding),
                                         .dilation = sizes_of(op, "dilation", dilation),
                                         .output_padding = sizes_of(op, "output_padding", output_padding),
                                         .groups = groups};
        return ops::conv_transpose(dims, x, w, bias.value_or(Tensor()), settings);
      },
      py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(), py::arg("stride") = 1, py::arg("padding") = 0,
      py::arg("output_padding") = 0, py::arg("groups") = 1, py::arg("dilation") = 1,
      "The gradient of a convolution with respect to its input, as an operation; weight is (C, K / groups, filter...).");
}

}  // namespace

void bind_conv(py::module_& m) {
  m.def("_allow_winograd", &ops::allow_winograd, py::arg("mode"),
        "Whether 3x3 convolutions of this thread may use it; returns what it was.");
  m.def("_winograd_allowed", &ops::winograd_allowed);
  for (int dims = 1; dims <= 3; ++dims) {
    bind_forward(m, dims);
    bind_transposed(m, dims);
  }
}

}  // namespace dnncore::bindings
