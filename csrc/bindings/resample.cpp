// Resampling: dnncore.nn.functional checks modes and sizes.
#include "ops/resample.h"

#include <string>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

ResampleMode mode_of(const std::string& name, bool antialias) {
  if (name == "nearest") return ResampleMode::Nearest;
  if (name == "nearest-exact") return ResampleMode::NearestExact;
  if (name == "bicubic") return antialias ? ResampleMode::CubicAntialias : ResampleMode::Cubic;
  return antialias ? ResampleMode::LinearAntialias : ResampleMode::Linear;
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
}

}  // namespace dnncore::bindings
