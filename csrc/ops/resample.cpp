#include "ops/resample.h"

#include "kernels/local_response.h"
#include "ops/common.h"
#include "ops/layout.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

namespace {

constexpr const char* kInterpolate = "interpolate";

ResampleAxis axis_of(int64_t from, int64_t to, double factor, bool align_corners) {
  DNN_CHECK(to >= 1 && to <= INT32_MAX && from <= INT32_MAX, ValueError, kInterpolate, ": expected sizes from 1 to ", INT32_MAX, ", got ",
            from, " to ", to);
  const double quotient = factor > 0 ? 1 / factor : static_cast<double>(from) / static_cast<double>(to);
  return {from, to, !align_corners ? quotient : to > 1 ? static_cast<double>(from - 1) / static_cast<double>(to - 1) : 0.0};
}

// Positions in the tables are 32-bit.
void check_table(const ResampleShape& s) {
  for (int i = 0; i < 3; ++i)
    DNN_CHECK(s.axes[i].to * s.most_taps(i) <= INT32_MAX, ValueError, kInterpolate, ": from ", s.axes[i].from, " to ", s.axes[i].to,
              " elements takes more than ", INT32_MAX, " weights");
}

Shape sizes_of(const Extent& extent, int spatial) {
  const Shape all = {extent.d, extent.h, extent.w};
  Shape shape;
  for (int i = 3 - spatial; i < 3; ++i) shape.push_back(all[i]);
  return shape;
}

Tensor resampled(const Tensor& x, ResampleShape s, int spatial) {
  const Tensor from = channels_last(x.detach(), kInterpolate);
  Shape shape = {s.n, s.c};
  for (int64_t size : sizes_of(s.out(), spatial)) shape.push_back(size);
  const Tensor y = empty_channels_last(shape, x.dtype(), x.device(), kInterpolate);
  if (y.numel() > 0) {
    const Tensor table = Tensor::empty({s.table_bytes()}, DType::UInt8, x.device(), kInterpolate);
    launch(kInterpolate, kernel::resample_table, ResampleTableArgs{.table = table.data(), .shape = s}, y.device());
    launch(kInterpolate, kernel::resample, ResampleArgs{.x = from.data(), .table = table.data(), .y = y.data(), .shape = s}, y.device());
  }
  if (any_requires_grad({&x}))
    record(kInterpolate, y, {&x}, [s, spatial](const Node&, const Tensor& g) -> Grads {
      ResampleShape back = s;
      back.transposed = !s.transposed;
      return {resampled(g, back, spatial)};
    });
  return y;
}

// --- Local response ---

constexpr const char* kResponse = "local_response_norm";

struct Response {
  int64_t before, after;
  double alpha, beta, k;
};

// The sum of channels [c - before, c + after].
Tensor neighbours(const Tensor& x, int64_t before, int64_t after) {
  const int64_t c = x.size(1);
  const std::vector<int64_t> sides = {0, 0, before, after};
  const Tensor padded = pad(x, sides, PadMode::Constant, Scalar::of(0.0));
  Tensor sum = slice(padded, 1, 0, c, 1);
  for (int64_t shift = 1; shift <= before + after; ++shift) sum = binary(BinaryOp::add, sum, slice(padded, 1, shift, shift + c, 1));
  return sum;
}

Tensor scale_of(const Tensor& x, const Response& r) {
  const Tensor sum = neighbours(unary(UnaryOp::square, x), r.before, r.after);
  return binary(BinaryOp::add, binary(BinaryOp::mul, sum, Scalar::of(r.alpha)), Scalar::of(r.k));
}

// x (N, C, P); of ops that record themselves.
Tensor composed_response(const Tensor& x, const Response& r) {
  return binary(BinaryOp::div, x, binary(BinaryOp::pow, scale_of(x, r), Scalar::of(r.beta)));
}

Tensor composed_gradient(const Tensor& x, const Tensor& g, const Response& r) {
  const Tensor scale = scale_of(x, r), part = binary(BinaryOp::div, g, binary(BinaryOp::pow, scale, Scalar::of(r.beta)));
  const Tensor shares = neighbours(binary(BinaryOp::div, binary(BinaryOp::mul, part, x), scale), r.after, r.before);
  const Tensor slope = binary(BinaryOp::mul, x, Scalar::of(2 * r.alpha * r.beta));
  return binary(BinaryOp::sub, part, binary(BinaryOp::mul, slope, shares));
}

LocalResponse shape_of(const Tensor& x, const Response& r) {
  return {.rows = x.size(0) * x.size(2),
          .c = x.size(1),
          .before = r.before,
          .after = r.after,
          .alpha = r.alpha,
          .beta = r.beta,
          .k = r.k,
          .dtype = x.dtype()};
}

Tensor fused_gradient(const Tensor& x, const Tensor& g, const Response& r) {
  const Tensor values = channels_last(x.detach(), kResponse), dy = channels_last(g.detach(), kResponse);
  const Tensor dx = empty_channels_last(x.shape(), x.dtype(), x.device(), kResponse);
  launch(kResponse, kernel::local_response_backward,
         LocalResponseBackwardArgs{.x = values.data(), .dy = dy.data(), .dx = dx.data(), .shape = shape_of(x, r)}, dx.device());
  return dx;
}

Tensor fused_response(const Tensor& x, const Response& r) {
  const Tensor values = channels_last(x.detach(), kResponse);
  const Tensor y = empty_channels_last(x.shape(), x.dtype(), x.device(), kResponse);
  launch(kResponse, kernel::local_response, LocalResponseArgs{.x = values.data(), .y = y.data(), .shape = shape_of(x, r)}, y.device());
  if (any_requires_grad({&x}))
    record(kResponse, y, {&x}, [r, saved = Saved::input(x)](const Node& node, const Tensor& g) -> Grads {
      const Tensor x = saved.get(node);
      return {GradMode::enabled() ? composed_gradient(x, g, r) : fused_gradient(x, g, r)};
    });
  return y;
}

}  // namespace

Tensor interpolate(const Tensor& x, ResampleMode mode, const Shape& sizes, const std::vector<double>& factors, bool align_corners) {
  if (is_half(x.dtype())) return to_dtype(interpolate(to_dtype(x, DType::Float32), mode, sizes, factors, align_corners), x.dtype());
  const int spatial = x.ndim() - 2;
  ResampleShape s{.n = x.size(0), .c = x.size(1), .mode = mode, .align_corners = align_corners, .dtype = x.dtype()};
  for (int i = 0; i < spatial; ++i)
    s.axes[3 - spatial + i] = axis_of(x.size(2 + i), sizes[i], factors[static_cast<size_t>(i)], align_corners);
  check_table(s);
  return resampled(x, s, spatial);
}

Tensor local_response_norm(const Tensor& x, int64_t size, double alpha, double beta, double k) {
  check_floating(kResponse, x);
  DNN_CHECK(x.ndim() >= 3, ValueError, kResponse, ": expected input of shape (N, C, ...), of at least 3 dimensions, got ", x.shape());
  DNN_CHECK(size >= 1, ValueError, kResponse, ": expected a size of at least 1, got ", size);
  if (is_half(x.dtype())) return to_dtype(local_response_norm(to_dtype(x, DType::Float32), size, alpha, beta, k), x.dtype());
  if (x.numel() == 0) return clone(x);
  const int64_t n = x.size(0), c = x.size(1), reach = c - 1;
  const Response r{std::min(size / 2, reach), std::min((size - 1) / 2, reach), alpha / static_cast<double>(size), beta, k};
  const Tensor lines = reshape(x, {n, c, -1});
  const Tensor y = c > LocalResponse::kMostChannels ? composed_response(lines, r) : fused_response(lines, r);
  return sole_name(reshape(y, x.shape()));
}

}  // namespace dnncore::ops
