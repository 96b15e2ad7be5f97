#include <cmath>

#include "kernels/copy.h"
#include "ops/inplace.h"

namespace dnncore::ops {

namespace {

// Integers that `dtype` cannot hold are refused where a user names them; arithmetic wraps them as PyTorch's does.
void check_fits(const char* op, const Scalar& value, DType dtype) {
  if (value.kind == Scalar::Kind::Float || (dtype != DType::UInt8 && dtype != DType::Int32)) return;
  const int64_t low = dtype == DType::UInt8 ? 0 : INT32_MIN, high = dtype == DType::UInt8 ? 255 : INT32_MAX;
  DNN_CHECK(value.as_int >= low && value.as_int <= high, ValueError, op, ": ", value.as_int, " does not fit ", dtype);
}

void launch_fill(const char* op, const Tensor& y, const Scalar& value) {
  FillArgs args{.y = y.data(), .shape = y.shape(), .y_strides = y.strides(), .dtype = y.dtype()};
  if (is_floating(y.dtype())) {
    args.as_double = value.as_double;
  } else if (value.kind != Scalar::Kind::Float) {
    args.as_int = y.dtype() == DType::Bool ? value.as_int != 0 : value.as_int;
  } else if (y.dtype() == DType::Bool) {
    args.as_int = value.as_double != 0;
  } else {
    DNN_CHECK(std::isfinite(value.as_double) && std::abs(value.as_double) < 0x1p63, ValueError, op, ": ", value.as_double, " does not fit ",
              y.dtype());
    args.as_int = static_cast<int64_t>(value.as_double);
  }
  Strides* strides[] = {&args.y_strides};
  coalesce(args.shape, strides, 1);
  launch(op, kernel::fill, args, y.device());
}

int64_t count_steps(double start, double end, double step) {
  DNN_CHECK(std::isfinite(start) && std::isfinite(end) && std::isfinite(step), ValueError, "arange: expected finite bounds and step, got ",
            start, ", ", end, ", ", step);
  DNN_CHECK(step != 0, ValueError, "arange: step must not be 0");
  DNN_CHECK((end - start) * step >= 0, ValueError, "arange: bounds ", start, " and ", end, " do not fit the sign of step ", step);
  const double count = std::ceil((end - start) / step);
  DNN_CHECK(count < 0x1p62, ValueError, "arange: too many elements (", count, ")");
  return static_cast<int64_t>(count);
}

int64_t count_int_steps(int64_t start, int64_t end, int64_t step) {
  DNN_CHECK(step != 0, ValueError, "arange: step must not be 0");
  DNN_CHECK(step > 0 ? end >= start : end <= start, ValueError, "arange: bounds ", start, " and ", end, " do not fit the sign of step ",
            step);
  const auto span =
      step > 0 ? static_cast<uint64_t>(end) - static_cast<uint64_t>(start) : static_cast<uint64_t>(start) - static_cast<uint64_t>(end);
  const auto stride = step > 0 ? static_cast<uint64_t>(step) : ~static_cast<uint64_t>(step) + 1;
  const uint64_t count = span / stride + (span % stride != 0);
  DNN_CHECK(count < uint64_t{1} << 62, ValueError, "arange: too many elements (", count, ")");
  return static_cast<int64_t>(count);
}

}  // namespace

Tensor full(const Shape& shape, const Scalar& value, DType dtype, Device device, const char* op) {
  check_fits(op, value, dtype);
  const Tensor y = Tensor::empty(shape, dtype, device, op);
  launch_fill(op, y, value);
  return y;
}

Tensor scalar_tensor(const Scalar& value, DType dtype, Device device) {
  const Tensor y = Tensor::empty({}, dtype, device, "scalar_tensor");
  launch_fill("scalar_tensor", y, value);
  return y;
}

Tensor zeros(const Shape& shape, DType dtype, Device device) { return full(shape, Scalar::of(int64_t{0}), dtype, device, "zeros"); }
Tensor ones(const Shape& shape, DType dtype, Device device) { return full(shape, Scalar::of(int64_t{1}), dtype, device, "ones"); }

Tensor full_like(const Tensor& x, const Scalar& value, DType dtype, Device device) {
  check_fits("full_like", value, dtype);
  const Tensor y = Tensor::empty_like(x, dtype, device);
  launch_fill("full_like", y, value);
  return y;
}

void fill_(const Tensor& x, const Scalar& value) {
  const bool records = records_inplace("fill_", x);
  check_fits("fill_", value, x.dtype());
  launch_fill("fill_", x, value);
  if (records) return become("fill_", x, x.detach(), true);  // nothing of what it was is left
  x.storage()->bump_version();
}

Tensor arange(const Scalar& start, const Scalar& end, const Scalar& step, DType dtype, Device device) {
  DNN_CHECK(dtype != DType::Bool, TypeError, "arange: expected a number type, got bool");
  const bool whole = start.kind != Scalar::Kind::Float && end.kind != Scalar::Kind::Float && step.kind != Scalar::Kind::Float;
  const int64_t count =
      whole ? count_int_steps(start.as_int, end.as_int, step.as_int) : count_steps(start.as_double, end.as_double, step.as_double);
  DNN_CHECK(whole || is_floating(dtype) || (std::trunc(step.as_double) == step.as_double && std::trunc(start.as_double) == start.as_double),
            ValueError, "arange: start ", start.as_double, " and step ", step.as_double, " are not whole numbers, as ", dtype, " needs");
  const Tensor y = Tensor::empty({count}, dtype, device, "arange");
  RangeArgs args{.y = y.data(), .n = count, .start = start.as_double, .step = step.as_double, .dtype = dtype};
  args.int_start = whole ? start.as_int : static_cast<int64_t>(start.as_double);
  args.int_step = whole ? step.as_int : static_cast<int64_t>(step.as_double);
  launch("arange", kernel::range, args, device);
  return y;
}

Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device) {
  DNN_CHECK(steps >= 0, ValueError, "linspace: expected steps >= 0, got ", steps);
  DNN_CHECK(is_floating(dtype), TypeError, "linspace: expected a floating dtype, got ", dtype);
  const Tensor y = Tensor::empty({steps}, dtype, device, "linspace");
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
  launch("linspace", kernel::range, RangeArgs{.y = y.data(), .n = steps, .start = start, .step = step, .dtype = dtype}, device);
  if (steps > 1) launch_fill("linspace", y.view_as({}, {}, steps - 1), Scalar::of(end));  // exact, whatever the step rounds to
  return y;
}

Tensor eye(int64_t rows, int64_t columns, DType dtype, Device device) {
  const Tensor y = full({rows, columns}, Scalar::of(int64_t{0}), dtype, device, "eye");
  const int64_t diagonal = std::min(rows, columns);
  launch_fill("eye", y.view_as({diagonal}, {columns + 1}, 0), Scalar::of(int64_t{1}));
  return y;
}

}  // namespace dnncore::ops
