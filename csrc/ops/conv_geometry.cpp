#include "ops/conv_geometry.h"

#include <algorithm>

#include "ops/common.h"

namespace dnncore::ops {

namespace {

// Padded images and dilated filters stay below this: positions fit 32 bits in any kernel.
constexpr int64_t kMostPositions = (int64_t{1} << 31) - 1;

constexpr const char* kNames[2][3] = {{"conv1d", "conv2d", "conv3d"}, {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}};
constexpr const char* kSpatial[3] = {", L", ", H, W", ", D, H, W"};

// "(N, 6, H, W)"
std::string pattern(const char* first, const std::string& second, int dims) {
  return concat("(", first, ", ", second, kSpatial[dims - 1], ")");
}

std::string said_groups(int64_t groups) { return groups == 1 ? "" : concat(" and groups=", groups); }

// One number per dimension, each at least `least`.
Shape each_dimension(const char* op, const char* name, const Shape& given, int dims, int64_t least) {
  DNN_CHECK(given.n == 1 || given.n == dims, ValueError, op, ": expected ", name, " as one number", dims > 1 ? concat(" or ", dims) : "",
            ", got ", given);
  for (int64_t value : given) DNN_CHECK(value >= least, ValueError, op, ": expected ", name, " of at least ", least, ", got ", given);
  return given.n == dims ? given : Shape::filled(dims, given[0]);
}

int64_t& entry(Extent& extent, int axis) { return axis == 2 ? extent.w : axis == 1 ? extent.h : extent.d; }

// Of the last `count` dimensions of a shape; missing ones are 1.
Extent last_dimensions(const Shape& shape, int count) {
  Extent extent;
  for (int i = 0; i < count; ++i) entry(extent, 3 - count + i) = shape[shape.n - count + i];
  return extent;
}

void check_kinds(const char* op, const Tensor& x, const Tensor& w, const Tensor& bias) {
  check_device(op, x, w);
  DNN_CHECK(is_floating(x.dtype()), TypeError, op, ": expected a floating input, got ", x.dtype(), "; cast with .float()");
  DNN_CHECK(x.dtype() == w.dtype(), TypeError, op, ": expected input and weight of one dtype, got ", x.dtype(), " and ", w.dtype());
  if (!bias.defined()) return;
  check_device(op, x, bias);
  DNN_CHECK(bias.dtype() == x.dtype(), TypeError, op, ": expected a bias of ", x.dtype(), ", got ", bias.dtype());
}

void check_bias(const char* op, const Tensor& bias, int64_t channels, const Tensor& w) {
  DNN_CHECK(!bias.defined() || (bias.ndim() == 1 && bias.size(0) == channels), ValueError, op, ": expected a bias of shape (", channels,
            ",) to match weight ", w.shape(), ", got ", bias.shape());
}

// Dimensions and groups. `channels`: of x, as the weight has it.
void check_shapes(const char* op, int dims, const Tensor& x, const Tensor& w, int64_t groups, bool transposed) {
  DNN_CHECK(w.ndim() == dims + 2, ValueError, op, ": expected a weight of shape ",
            pattern(transposed ? "C" : "K", transposed ? "K / groups" : "C / groups", dims), ", got ", w.shape());
  for (int64_t size : w.shape()) DNN_CHECK(size > 0, ValueError, op, ": expected a weight without empty dimensions, got ", w.shape());
  DNN_CHECK(groups >= 1, ValueError, op, ": expected groups of at least 1, got ", groups);
  DNN_CHECK(w.size(0) % groups == 0, ValueError, op, ": expected ", transposed ? "input" : "output", " channels that ", groups,
            " groups divide, got weight ", w.shape());
  const int64_t channels = transposed ? w.size(0) : w.size(1) * groups;  // no more than the weight has entries
  const int at = x.ndim() - dims - 1;                                    // of the channels
  DNN_CHECK((at == 0 || at == 1) && x.size(at) == channels, ValueError, op, ": expected input of shape ",
            pattern("N", std::to_string(channels), dims), " to match weight ", w.shape(), said_groups(groups), ", got ", x.shape());
  for (int i = at + 1; i < x.ndim(); ++i)
    DNN_CHECK(x.size(i) > 0, ValueError, op, ": expected images of at least one element, got input of shape ", x.shape());
}

// What does not matter is 1: kernels have fewer cases, and strides stay within the image.
void simplify(ConvShape& shape) {
  for (int axis = 0; axis < 3; ++axis) {
    if (entry(shape.out, axis) == 1) entry(shape.stride, axis) = 1;
    if (entry(shape.filter, axis) == 1) entry(shape.dilation, axis) = 1;
  }
}

// Extent of a filter with holes.
int64_t dilated(const char* op, int64_t filter, int64_t dilation) {
  int64_t reach = 0;
  DNN_CHECK(!__builtin_mul_overflow(filter - 1, dilation, &reach) && reach < kMostPositions, ValueError, op, ": a filter of size ", filter,
            " with dilation ", dilation, " is too large");
  return reach + 1;
}

// Padding before and after along one dimension.
struct Sides {
  int64_t before = 0, after = 0;
};

Sides sides_of(const char* op, ConvSettings::Padding kind, int64_t given, int64_t reach, int64_t stride) {
  switch (kind) {
    case ConvSettings::Padding::Valid:
      return {};
    case ConvSettings::Padding::Same:
      DNN_CHECK(stride == 1, ValueError, op, ": padding 'same' expects stride 1, got ", stride);
      return {(reach - 1) / 2, reach - 1 - (reach - 1) / 2};
    default:
      return {given, given};
  }
}

int64_t padded(const char* op, int64_t size, const Sides& sides) {
  DNN_CHECK(size <= kMostPositions && sides.before <= kMostPositions && size + sides.before + sides.after <= kMostPositions, ValueError, op,
            ": size ", size, " padded by ", sides.before, " and ", sides.after, " is too large");
  return size + sides.before + sides.after;
}

}  // namespace

Shape ConvGeometry::tensor_shape(int64_t rows, int64_t channels, const Extent& extent) const {
  Shape result{rows, channels};
  if (dims == 3) result.push_back(extent.d);
  if (dims >= 2) result.push_back(extent.h);
  result.push_back(extent.w);
  return result;
}

const char* conv_name(int dims, bool transposed) { return kNames[transposed ? 1 : 0][dims - 1]; }

ConvGeometry conv_geometry(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings) {
  const char* op = conv_name(dims, false);
  check_kinds(op, x, w, bias);
  check_shapes(op, dims, x, w, settings.groups, false);
  check_bias(op, bias, w.size(0), w);
  const Shape stride = each_dimension(op, "stride", settings.stride, dims, 1);
  const Shape padding = each_dimension(op, "padding", settings.padding, dims, 0);
  const Shape dilation = each_dimension(op, "dilation", settings.dilation, dims, 1);

  ConvGeometry geometry{.op = op, .dims = dims};
  ConvShape& s = geometry.shape;
  s.n = x.ndim() == dims + 1 ? 1 : x.size(0);
  s.c = w.size(1) * settings.groups;
  s.k = w.size(0);
  s.groups = settings.groups;
  s.dtype = x.dtype();
  s.in = last_dimensions(x.shape(), dims);
  s.filter = last_dimensions(w.shape(), dims);
  s.stride = last_dimensions(stride, dims);
  s.dilation = last_dimensions(dilation, dims);
  for (int axis = 3 - dims; axis < 3; ++axis) {
    const int i = axis - 3 + dims;
    const int64_t reach = dilated(op, entry(s.filter, axis), dilation[i]);
    const Sides sides = sides_of(op, settings.kind, padding[i], reach, stride[i]);
    const int64_t size = padded(op, entry(s.in, axis), sides);
    DNN_CHECK(size >= reach, ValueError, op, ": expected an input at least as large as the filter, got size ", size, " with padding and ",
              reach, " with dilation in spatial dimension ", i, " of input ", x.shape(), " and weight ", w.shape());
    entry(s.pad, axis) = sides.before;
    entry(s.out, axis) = (size - reach) / stride[i] + 1;
  }
  simplify(s);
  checked_numel(op, geometry.y_shape(), s.size());
  return geometry;
}

ConvGeometry conv_transpose_geometry(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvSettings& settings) {
  const char* op = conv_name(dims, true);
  check_kinds(op, x, w, bias);
  check_shapes(op, dims, x, w, settings.groups, true);
  const Shape stride = each_dimension(op, "stride", settings.stride, dims, 1);
  const Shape padding = each_dimension(op, "padding", settings.padding, dims, 0);
  const Shape extra = each_dimension(op, "output_padding", settings.output_padding, dims, 0);
  const Shape dilation = each_dimension(op, "dilation", settings.dilation, dims, 1);

  ConvGeometry geometry{.op = op, .dims = dims};
  ConvShape& s = geometry.shape;
  s.n = x.ndim() == dims + 1 ? 1 : x.size(0);
  s.k = w.size(0);
  s.c = w.size(1) * settings.groups;
  check_bias(op, bias, s.c, w);
  s.groups = settings.groups;
  s.dtype = x.dtype();
  s.out = last_dimensions(x.shape(), dims);
  s.filter = last_dimensions(w.shape(), dims);
  s.stride = last_dimensions(stride, dims);
  s.dilation = last_dimensions(dilation, dims);
  s.pad = Extent{0, 0, 0};
  for (int axis = 3 - dims; axis < 3; ++axis) {
    const int i = axis - 3 + dims;
    DNN_CHECK(extra[i] < std::max(stride[i], dilation[i]), ValueError, op, ": expected output_padding below stride or dilation, got ",
              extra[i], " with stride ", stride[i], " and dilation ", dilation[i]);
    const int64_t reach = dilated(op, entry(s.filter, axis), dilation[i]);
    int64_t size = 0;
    const bool fits = !__builtin_mul_overflow(entry(s.out, axis) - 1, stride[i], &size) && size <= kMostPositions &&
                      extra[i] <= kMostPositions && size + reach + extra[i] <= kMostPositions;
    DNN_CHECK(fits, ValueError, op, ": size ", entry(s.out, axis), " with stride ", stride[i], " gives an output that is too large");
    size += reach + extra[i];
    DNN_CHECK(padding[i] <= (size - 1) / 2, ValueError, op, ": padding ", padding[i], " leaves nothing of size ", size,
              " in spatial dimension ", i, " of input ", x.shape(), " and weight ", w.shape());
    entry(s.pad, axis) = padding[i];
    entry(s.in, axis) = size - 2 * padding[i];
  }
  simplify(s);
  checked_numel(op, geometry.x_shape(), s.size());
  return geometry;
}

}  // namespace dnncore::ops
