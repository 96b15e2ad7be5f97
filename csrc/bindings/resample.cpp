// Resampling: dnncore.nn.functional checks modes and sizes of interpolations.
#include "ops/resample.h"

#include <string>

#include "bindings/bindings.h"
#include "ops/grid_sample.h"

namespace dnncore::bindings {

namespace {

ResampleMode mode_of(const std::string& name, bool antialias) {
  if (name == "nearest") return ResampleMode::Nearest;
  if (name == "nearest-exact") return ResampleMode::NearestExact;
  if (name == "bicubic") return antialias ? ResampleMode::CubicAntialias : ResampleMode::Cubic;
  return antialias ? ResampleMode::LinearAntialias : ResampleMode::Linear;
}

GridMode grid_mode_of(const std::string& name) {
  if (name == "bilinear") return GridMode::Linear;
  if (name == "nearest") return GridMode::Nearest;
  DNN_CHECK(name == "bicubic", ValueError, "grid_sample: expected a mode of bilinear, nearest, bicubic, got '", name, "'");
  return GridMode::Cubic;
}

GridPadding padding_of(const std::string& name) {
  if (name == "zeros") return GridPadding::Zeros;
  if (name == "border") return GridPadding::Border;
  DNN_CHECK(name == "reflection", ValueError, "grid_sample: expected a padding_mode of zeros, border, reflection, got '", name, "'");
  return GridPadding::Reflection;
}

}  // namespace

void bind_resample(py::module_& m) {
  m.def(
      "_interpolate",
      [](const Tensor& x, const std::string& mode, const Shape& sizes, const std::vector<double>& factors, bool align_corners,
         bool antialias) { return ops::interpolate(x, mode_of(mode, antialias), sizes, factors, align_corners); },
      py::arg("input"), py::arg("mode"), py::arg("sizes"), py::arg("factors"), py::arg("align_corners"), py::arg("antialias"));
  m.def("_local_response_norm", &ops::local_response_norm, py::arg("input"), py::arg("size"), py::arg("alpha"), py::arg("beta"),
        py::arg("k"));
  m.def(
      "_grid_sample",
      [](const Tensor& x, const Tensor& grid, const std::string& mode, const std::string& padding, bool align_corners) {
        return ops::grid_sample(x, grid, grid_mode_of(mode), padding_of(padding), align_corners);
      },
      py::arg("input"), py::arg("grid"), py::arg("mode"), py::arg("padding_mode"), py::arg("align_corners"));
}

}  // namespace dnncore::bindings
