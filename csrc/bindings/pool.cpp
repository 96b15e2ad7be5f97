// Pooling: dnncore.nn.functional checks nothing and names the number of spatial dimensions.
#include "ops/pool.h"

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

py::object with_indices(const ops::ValuesAndIndices& found) {
  if (!found.indices.defined()) return py::cast(found.values);
  return py::make_tuple(found.values, found.indices);
}

// None keeps a size: -1.
Shape output_sizes(const char* op, const py::object& sizes) {
  Shape shape;
  const auto add = [&](py::handle size) {
    const int64_t value = size.is_none() ? -1 : size.cast<int64_t>();
    DNN_CHECK(size.is_none() || value >= 0, ValueError, op, ": expected output sizes of at least 0, got ", value);
    shape.push_back(value);
  };
  if (is_sequence(sizes))
    for (py::handle size : sizes) add(size);
  else
    add(sizes);
  return shape;
}

}  // namespace

void bind_pool(py::module_& m) {
  m.def(
      "_max_pool",
      [](int spatial, const Tensor& x, const Dims& kernel, const Dims& stride, const Dims& padding, const Dims& dilation, bool ceil_mode,
         bool return_indices) {
        return with_indices(ops::max_pool(spatial, x, {kernel.dims, stride.dims, padding.dims, dilation.dims, ceil_mode}, return_indices));
      },
      py::arg("spatial"), py::arg("input"), py::arg("kernel_size"), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
      py::arg("ceil_mode"), py::arg("return_indices"));
  m.def(
      "_avg_pool",
      [](int spatial, const Tensor& x, const Dims& kernel, const Dims& stride, const Dims& padding, bool ceil_mode, bool count_include_pad,
         std::optional<int64_t> divisor) {
        DNN_CHECK(!divisor || *divisor != 0, ValueError, "avg_pool", spatial, "d: expected a divisor_override that is not 0");
        return ops::avg_pool(spatial, x, {kernel.dims, stride.dims, padding.dims, {1}, ceil_mode}, count_include_pad, divisor.value_or(0));
      },
      py::arg("spatial"), py::arg("input"), py::arg("kernel_size"), py::arg("stride"), py::arg("padding"), py::arg("ceil_mode"),
      py::arg("count_include_pad"), py::arg("divisor_override"));
  m.def(
      "_adaptive_max_pool",
      [](int spatial, const Tensor& x, const py::object& output_size, bool return_indices) {
        return with_indices(ops::adaptive_max_pool(spatial, x, output_sizes("adaptive_max_pool", output_size), return_indices));
      },
      py::arg("spatial"), py::arg("input"), py::arg("output_size"), py::arg("return_indices"));
  m.def(
      "_adaptive_avg_pool",
      [](int spatial, const Tensor& x, const py::object& output_size) {
        return ops::adaptive_avg_pool(spatial, x, output_sizes("adaptive_avg_pool", output_size));
      },
      py::arg("spatial"), py::arg("input"), py::arg("output_size"));
}

}  // namespace dnncore::bindings
