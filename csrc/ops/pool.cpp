#include "ops/pool.h"

#include "kernels/pool.h"
#include "ops/common.h"
#include "ops/layout.h"

namespace dnncore::ops {

namespace {

constexpr int64_t kLargest = INT32_MAX;  // of every setting, and elements of a window: no product below leaves 63 bits
constexpr int64_t Extent::*kDims[] = {&Extent::d, &Extent::h, &Extent::w};

int64_t Extent::*extent_of(int spatial, int i) { return kDims[3 - spatial + i]; }

// --- Settings ---

Shape per_dim(const char* op, const char* name, const Shape& values, int spatial, int64_t least) {
  DNN_CHECK(values.ndim() == 1 || values.ndim() == spatial, ValueError, op, ": expected one ", name, " or ", spatial, ", got ", values);
  Shape all = values.ndim() == spatial ? values : Shape::filled(spatial, values[0]);
  for (int64_t value : all)
    DNN_CHECK(value >= least && value <= kLargest, ValueError, op, ": expected ", name, " from ", least, " to ", kLargest, ", got ",
              values);
  return all;
}

void check_input(const char* op, int spatial, const Tensor& x) {
  check_floating(op, x);
  DNN_CHECK(x.ndim() == spatial + 1 || x.ndim() == spatial + 2, ValueError, op, ": expected an input of ", spatial + 2,
            " dimensions (N, C, ...) or ", spatial + 1, " (C, ...), got shape ", x.shape());
  for (int i = x.ndim() - spatial - 1; i < x.ndim(); ++i)
    DNN_CHECK(x.size(i) > 0, ValueError, op, ": expected every dimension but the batch to have elements, got shape ", x.shape());
}

PoolShape shape_of(int spatial, const Tensor& x) {
  PoolShape s{.n = x.size(0), .c = x.size(1), .dtype = x.dtype()};
  for (int i = 0; i < spatial; ++i) s.in.*extent_of(spatial, i) = x.size(2 + i);
  return s;
}

// Windows that begin in the padding behind x are left out; every window holds an element of x.
int64_t output_size(const char* op, int64_t in, int64_t filter, int64_t stride, int64_t pad, int64_t dilation, bool ceil_mode) {
  const int64_t reach = dilation * (filter - 1) + 1;
  DNN_CHECK(pad <= reach / 2, ValueError, op, ": expected padding of at most half the window, got padding ", pad, " for ", filter,
            " elements with dilation ", dilation);
  const int64_t beyond = in + 2 * pad - reach + (ceil_mode ? stride - 1 : 0);
  DNN_CHECK(beyond >= 0, ValueError, op, ": a window of ", reach, " elements does not fit into ", in, " with padding ", pad);
  int64_t out = beyond / stride + 1;
  if (ceil_mode && (out - 1) * stride >= in + pad) --out;
  for (int64_t p = 0; dilation > 1 && p < out; ++p) {
    const int64_t first = p * stride - pad, next = first < 0 ? first + (dilation - 1 - first) / dilation * dilation : first;
    DNN_CHECK(next < in && next <= first + reach - 1, ValueError, op, ": with padding ", pad, " and dilation ", dilation, " window ", p,
              " holds no element of the input");
  }
  return out;
}

void set_windows(const char* op, int spatial, const PoolWindows& windows, PoolShape& s) {
  const Shape kernel = per_dim(op, "kernel_size", windows.kernel, spatial, 1);
  const Shape stride = windows.stride.empty() ? kernel : per_dim(op, "stride", windows.stride, spatial, 1);
  const Shape padding = per_dim(op, "padding", windows.padding, spatial, 0);
  const Shape dilation = per_dim(op, "dilation", windows.dilation, spatial, 1);
  DNN_CHECK(checked_numel(op, kernel) <= kLargest, ValueError, op, ": expected windows of at most ", kLargest, " elements, got ", kernel);
  for (int i = 0; i < spatial; ++i) {
    const auto dim = extent_of(spatial, i);
    s.filter.*dim = kernel[i];
    s.stride.*dim = stride[i];
    s.pad.*dim = padding[i];
    s.dilation.*dim = dilation[i];
    s.out.*dim = output_size(op, s.in.*dim, kernel[i], stride[i], padding[i], dilation[i], windows.ceil_mode);
  }
}

// Where every output size divides the input's, the windows are ordinary ones.
void set_adaptive_windows(const char* op, int spatial, const Shape& output, PoolShape& s) {
  DNN_CHECK(output.ndim() == 1 || output.ndim() == spatial, ValueError, op, ": expected one output size or ", spatial, ", got ", output);
  for (int i = 0; i < spatial; ++i) {
    const auto dim = extent_of(spatial, i);
    const int64_t size = output[output.ndim() == 1 ? 0 : i], in = s.in.*dim, out = size == -1 ? in : size;
    DNN_CHECK(out >= 0 && out <= kLargest && in <= kLargest, ValueError, op, ": expected output sizes from 0 to ", kLargest, ", got ",
              output);
    s.out.*dim = out;
    if (out == 0) continue;
    s.adaptive |= in % out != 0;
    s.stride.*dim = s.filter.*dim = in / out;
    for (int64_t p = 0; in % out != 0 && p < out; ++p)
      s.filter.*dim = std::max(s.filter.*dim, ((p + 1) * in + out - 1) / out - p * in / out);
  }
  DNN_CHECK(checked_numel(op, {s.filter.d, s.filter.h, s.filter.w}) <= kLargest, ValueError, op, ": expected windows of at most ", kLargest,
            " elements");
}

Shape result_shape(int spatial, const PoolShape& s) {
  Shape shape = {s.n, s.c};
  for (int i = 0; i < spatial; ++i) shape.push_back(s.out.*extent_of(spatial, i));
  return shape;
}

Shape input_shape(int spatial, const PoolShape& s) {
  Shape shape = {s.n, s.c};
  for (int i = 0; i < spatial; ++i) shape.push_back(s.in.*extent_of(spatial, i));
  return shape;
}

// --- Largest ---

Tensor indices_of(const char* op, int spatial, const Tensor& positions, const PoolShape& s) {
  const Tensor indices = empty_channels_last(result_shape(spatial, s), DType::Int64, positions.device(), op);
  if (indices.numel() > 0)
    launch(op, kernel::max_pool_indices, MaxPoolIndicesArgs{.positions = positions.data(), .indices = indices.data<int64_t>(), .shape = s},
           indices.device());
  return indices;
}

Tensor max_backward(const char* op, int spatial, const Tensor& g, const Tensor& positions, const PoolShape& s) {
  const Tensor dx = empty_channels_last(input_shape(spatial, s), g.dtype(), g.device(), op);
  const Tensor dy = channels_last(g.detach(), op);
  if (dy.numel() == 0)
    fill_(dx, Scalar::of(0.0));
  else
    launch(op, kernel::max_pool_backward, MaxPoolBackwardArgs{.dy = dy.data(), .positions = positions.data(), .dx = dx.data(), .shape = s},
           dx.device());
  if (any_requires_grad({&g}))
    record("max_pool_backward", dx, {&g}, [op, spatial, positions, s](const Node&, const Tensor& gg) -> Grads {
      const Tensor indices = indices_of(op, spatial, positions, s);
      const Shape planes = {s.n, s.c, -1};
      if (indices.numel() == 0) return {zeros(result_shape(spatial, s), gg.dtype(), gg.device())};
      return {reshape(gather(reshape(gg, planes), 2, reshape(indices, planes)), result_shape(spatial, s))};
    });
  return dx;
}

ValuesAndIndices max_of(const char* op, int spatial, const Tensor& x, const PoolShape& s, bool with_indices) {
  const Tensor from = channels_last(x.detach(), op);
  const Shape shape = result_shape(spatial, s);
  const Tensor y = empty_channels_last(shape, x.dtype(), x.device(), op);
  const bool records = any_requires_grad({&x});
  const Tensor positions = records || with_indices ? Tensor::empty(shape, s.position_dtype(), x.device(), op) : Tensor();
  if (y.numel() > 0)
    launch(op, kernel::max_pool,
           MaxPoolArgs{.x = from.data(), .y = y.data(), .positions = positions.defined() ? positions.data() : nullptr, .shape = s},
           y.device());
  if (records)
    record(op, y, {&x},
           [op, spatial, positions, s](const Node&, const Tensor& g) -> Grads { return {max_backward(op, spatial, g, positions, s)}; });
  return {y, with_indices ? indices_of(op, spatial, positions, s) : Tensor()};
}

// --- Mean ---

Tensor mean_of(const char* op, int spatial, const Tensor& x, const PoolShape& s, const PoolDivisor& divisor);

Tensor mean_backward(const char* op, int spatial, const Tensor& g, const PoolShape& s, const PoolDivisor& divisor) {
  const Tensor dx = empty_channels_last(input_shape(spatial, s), g.dtype(), g.device(), op);
  const Tensor dy = channels_last(g.detach(), op);
  if (dy.numel() == 0)
    fill_(dx, Scalar::of(0.0));
  else
    launch(op, kernel::avg_pool_backward, AvgPoolBackwardArgs{.dy = dy.data(), .dx = dx.data(), .shape = s, .divisor = divisor},
           dx.device());
  if (any_requires_grad({&g}))
    record("avg_pool_backward", dx, {&g},
           [op, spatial, s, divisor](const Node&, const Tensor& gg) -> Grads { return {mean_of(op, spatial, gg, s, divisor)}; });
  return dx;
}

Tensor mean_of(const char* op, int spatial, const Tensor& x, const PoolShape& s, const PoolDivisor& divisor) {
  const Tensor from = channels_last(x.detach(), op);
  const Tensor y = empty_channels_last(result_shape(spatial, s), x.dtype(), x.device(), op);
  if (y.numel() > 0) launch(op, kernel::avg_pool, AvgPoolArgs{.x = from.data(), .y = y.data(), .shape = s, .divisor = divisor}, y.device());
  if (any_requires_grad({&x}))
    record(op, y, {&x},
           [op, spatial, s, divisor](const Node&, const Tensor& g) -> Grads { return {mean_backward(op, spatial, g, s, divisor)}; });
  return y;
}

// fn of a batch in float32 or float64.
template <class Fn>
Tensor in_batches_of_floats(const char* op, int spatial, const Tensor& x, Fn&& fn) {
  check_input(op, spatial, x);
  const Tensor batch = x.ndim() == spatial + 1 ? unsqueeze(x, 0) : x;
  const Tensor y = is_half(x.dtype()) ? to_dtype(fn(to_dtype(batch, DType::Float32)), x.dtype()) : fn(batch);
  return x.ndim() == spatial + 1 ? squeeze(y, 0) : y;
}

constexpr const char* kMaxNames[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
constexpr const char* kAvgNames[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
constexpr const char* kAdaptiveMaxNames[] = {"adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"};
constexpr const char* kAdaptiveAvgNames[] = {"adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"};

template <class SetWindows>
ValuesAndIndices max_with(const char* op, int spatial, const Tensor& x, bool with_indices, SetWindows&& set) {
  Tensor indices;
  const Tensor y = in_batches_of_floats(op, spatial, x, [&](const Tensor& batch) {
    PoolShape s = shape_of(spatial, batch);
    set(s);
    const ValuesAndIndices found = max_of(op, spatial, batch, s, with_indices);
    indices = found.indices;
    return found.values;
  });
  return {y, indices.defined() && indices.ndim() != x.ndim() ? squeeze(indices, 0) : indices};
}

}  // namespace

ValuesAndIndices max_pool(int spatial, const Tensor& x, const PoolWindows& windows, bool with_indices) {
  const char* op = kMaxNames[spatial - 1];
  return max_with(op, spatial, x, with_indices, [&](PoolShape& s) { set_windows(op, spatial, windows, s); });
}

ValuesAndIndices adaptive_max_pool(int spatial, const Tensor& x, const Shape& output_size, bool with_indices) {
  const char* op = kAdaptiveMaxNames[spatial - 1];
  return max_with(op, spatial, x, with_indices, [&](PoolShape& s) { set_adaptive_windows(op, spatial, output_size, s); });
}

Tensor avg_pool(int spatial, const Tensor& x, const PoolWindows& windows, bool count_include_pad, int64_t divisor) {
  const char* op = kAvgNames[spatial - 1];
  return in_batches_of_floats(op, spatial, x, [&](const Tensor& batch) {
    PoolShape s = shape_of(spatial, batch);
    set_windows(op, spatial, windows, s);
    return mean_of(op, spatial, batch, s, {divisor, count_include_pad});
  });
}

Tensor adaptive_avg_pool(int spatial, const Tensor& x, const Shape& output_size) {
  const char* op = kAdaptiveAvgNames[spatial - 1];
  return in_batches_of_floats(op, spatial, x, [&](const Tensor& batch) {
    PoolShape s = shape_of(spatial, batch);
    set_adaptive_windows(op, spatial, output_size, s);
    return mean_of(op, spatial, batch, s, {0, false});
  });
}

}  // namespace dnncore::ops
