// Mathematics composed of the elementwise families and reductions, whose gradients come with them. Where a formula has a corner,
// both sides of where() are kept finite, since 0 * inf in the unchosen one would reach the gradient.
#include <cmath>

#include "ops/expressions.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

Tensor pow(const Tensor& x, double p) { return binary(BinaryOp::pow, x, Scalar::of(p)); }
Tensor largest(const Tensor& x, const Shape& dims, bool keepdim) { return reduce(ReduceOp::max, x, dims, keepdim); }

// x as a floating tensor.
Tensor floating(const Tensor& x) { return is_floating(x.dtype()) ? x : to_dtype(x, kDefaultFloat); }

// root(sum), with slope 0 where the sum is 0.
template <class Fn>
Tensor flat_at_zero(const Tensor& total, Fn&& root) {
  if (!total.requires_grad()) return root(total);
  const Tensor flat = total == 0.0;
  return where(flat, number_like(total, 0), root(where(flat, number_like(total, 1), total)));
}

int64_t reduced_count(const Tensor& x, const Shape& dims) {
  if (dims.empty()) return x.numel();
  int64_t count = 1;
  for (int64_t dim : dims) count *= x.size(existing_dim("norm", dim, x.ndim()));
  return count;
}

}  // namespace

Tensor vector_norm(const Tensor& x, double p, const Shape& dims, bool keepdim) {
  check_floating("norm", x);
  if (std::isinf(p) || p < 0)
    DNN_CHECK(x.ndim() == 0 || reduced_count(x, dims) > 0, ValueError, "norm: expected at least one element for p = ", p, ", got shape ",
              x.shape());
  const Tensor size = p == 2 ? x : abs(x);
  if (p == 0) return sum(square(unary(UnaryOp::sign, x)), dims, keepdim);
  if (p == 1) return sum(size, dims, keepdim);
  if (std::isinf(p)) return p > 0 ? largest(size, dims, keepdim) : reduce(ReduceOp::min, size, dims, keepdim);
  if (p == 2) return flat_at_zero(sum(square(x), dims, keepdim), [](const Tensor& total) { return sqrt(total); });
  // |x|^p has no slope at 0 for p < 1 either: taken as 0.
  Tensor powers = pow(size, p);
  if (size.requires_grad() && p < 2) {
    const Tensor zero = size == 0.0;
    powers = where(zero, number_like(x, p > 0 ? 0 : HUGE_VAL), pow(where(zero, number_like(x, 1), size), p));
  }
  return flat_at_zero(sum(powers, dims, keepdim), [p](const Tensor& total) { return pow(total, 1 / p); });
}

// max + log1p(exp(-|x - z|)); where both are the same infinity their difference is none.
Tensor logaddexp(const Tensor& x, const Tensor& z) {
  const Tensor a = floating(x), b = floating(z);
  const Tensor same = (a == b) & unary(UnaryOp::isinf, a);
  const Tensor distance = where(same, number_like(a, 0), a - b);
  const Tensor joint = binary(BinaryOp::maximum, a, b) + unary(UnaryOp::log1p, exp(-abs(distance)));
  return where(same, a, joint);
}

// Scaled by the larger one, so that no square overflows.
Tensor hypot(const Tensor& x, const Tensor& z) {
  const Tensor a = floating(x), b = floating(z);
  Tensor scale;
  {
    const NoGrad no_grad;
    scale = binary(BinaryOp::maximum, abs(a.detach()), abs(b.detach()));
  }
  const Tensor plain = (scale == 0.0) | unary(UnaryOp::isinf, scale) | isnan(scale);
  const Tensor unit = where(plain, number_like(scale, 1), scale);
  const Tensor root = flat_at_zero(square(a / unit) + square(b / unit), [](const Tensor& total) { return sqrt(total); });
  return where(unary(UnaryOp::isinf, a) | unary(UnaryOp::isinf, b), number_like(scale, HUGE_VAL), root * unit);
}

Tensor frac(const Tensor& x) {
  check_floating("frac", x);
  return x - unary(UnaryOp::trunc, x);
}

// The remainder with the sign of x, exact: that of floor division of the absolute values.
Tensor fmod(const Tensor& x, const Tensor& z) {
  const Tensor rest = binary(BinaryOp::remainder, abs(x), abs(z));
  return where(x < 0, -rest, rest);
}

// From the nearer end, so that weight 1 gives `end` exactly.
Tensor lerp(const Tensor& x, const Tensor& end, const Tensor& weight) {
  DNN_CHECK(is_floating(x.dtype()) && x.dtype() == end.dtype(), TypeError, "lerp: expected floating tensors of one dtype, got ", x.dtype(),
            " and ", end.dtype());
  const Tensor distance = end - x, w = to_dtype(weight, x.dtype());
  return where(abs(w) < 0.5, x + w * distance, end - distance * (1.0 - w));
}

Tensor addc(BinaryOp op, const Tensor& x, const Tensor& a, const Tensor& b, const Scalar& value) {
  const Tensor joint = binary(op, a, b);
  return x + (value.as_double == 1 ? joint : binary(BinaryOp::mul, joint, value));
}

Tensor logical(BinaryOp op, const Tensor& x, const Tensor& z) { return binary(op, to_dtype(x, DType::Bool), to_dtype(z, DType::Bool)); }

Tensor nan_to_num(const Tensor& x, std::optional<double> nan, std::optional<double> posinf, std::optional<double> neginf) {
  if (!is_floating(x.dtype())) return clone(x);
  const double most = x.dtype() == DType::Float64    ? std::numeric_limits<double>::max()
                      : x.dtype() == DType::Float32  ? std::numeric_limits<float>::max()
                      : x.dtype() == DType::BFloat16 ? 0x1.fep127
                                                     : 65504;
  Tensor y = where(isnan(x), number_like(x, nan.value_or(0)), x);
  y = where(x == HUGE_VAL, number_like(x, posinf.value_or(most)), y);
  return where(x == -HUGE_VAL, number_like(x, neginf.value_or(-most)), y);
}

Tensor float_power(const Tensor& x, const Tensor& exponent) {
  return binary(BinaryOp::pow, to_dtype(x, DType::Float64), to_dtype(exponent, DType::Float64));
}

// Rows are variables, columns observations.
Tensor cov(const Tensor& x, int64_t correction) {
  DNN_CHECK(x.ndim() <= 2, ValueError, "cov: expected at most 2 dimensions, got shape ", x.shape());
  const Tensor rows = floating(x.ndim() == 2 ? x : reshape(x, {1, -1}));
  const Tensor apart = rows - reduce(ReduceOp::mean, rows, {1}, true);
  const Tensor products = matmul(apart, transpose(apart, 0, 1));
  const Tensor y = products / static_cast<double>(std::max<int64_t>(rows.size(1) - correction, 0));
  return x.ndim() == 2 ? y : reshape(y, {});
}

Tensor corrcoef(const Tensor& x) {
  const Tensor c = cov(x, 1);
  if (c.ndim() == 0) return c / c;
  const Tensor deviation = sqrt(diagonal(c, 0, 0, 1));
  const Tensor y = c / unsqueeze(deviation, 1) / unsqueeze(deviation, 0);
  return binary(BinaryOp::minimum, binary(BinaryOp::maximum, y, Scalar::of(-1.0)), Scalar::of(1.0));
}

// Distances of all pairs of rows by differences: the detour over products loses half of the digits where rows are close.
Tensor cdist(const Tensor& x, const Tensor& z, double p) {
  DNN_CHECK(x.ndim() >= 2 && z.ndim() >= 2 && x.size(x.ndim() - 1) == z.size(z.ndim() - 1), ValueError,
            "cdist: expected rows of one length in both tensors, got shapes ", x.shape(), " and ", z.shape());
  DNN_CHECK(p >= 0, ValueError, "cdist: expected p >= 0, got ", p);
  const Tensor apart = unsqueeze(x, -2) - unsqueeze(z, -3);
  if (apart.size(apart.ndim() - 1) == 0) return sum(apart, {-1});
  return vector_norm(apart, p, {-1}, false);
}

// With replacement: the place of a uniform draw in the running sums. Without: the largest of log-weights with Gumbel noise, which are
// distributed as draws one after the other.
Tensor multinomial(const Tensor& weights, int64_t count, bool replacement, const Ref<Generator>& generator) {
  const NoGrad no_grad;
  DNN_CHECK(is_floating(weights.dtype()) && (weights.ndim() == 1 || weights.ndim() == 2), ValueError,
            "multinomial: expected floating weights of 1 or 2 dimensions, got ", weights.dtype(), " of shape ", weights.shape());
  const int last = weights.ndim() - 1;
  const int64_t classes = weights.size(last);
  DNN_CHECK(count > 0 && classes > 0, ValueError, "multinomial: expected num_samples above 0 and at least one class, got ", count, " and ",
            classes);
  const Tensor w = to_dtype(weights.detach(), DType::Float64);
  const Tensor total = sum(w, {last}, true);
  const auto holds = [](const Tensor& truth) { return host_value<bool>("multinomial", reduce(ReduceOp::all, truth, {}, false)); };
  DNN_CHECK(holds((w >= 0.0) & unary(UnaryOp::isfinite, w)) && holds(total > 0.0), ValueError,
            "multinomial: expected finite weights of at least 0 with a sum above 0");
  if (!replacement) {
    const Tensor positive = sum(w > 0.0, {last});
    const bool none = positive.numel() == 0;
    const int64_t possible = none ? classes : host_value<int64_t>("multinomial", reduce(ReduceOp::min, positive, {}, false));
    DNN_CHECK(count <= possible, ValueError, "multinomial: cannot draw ", count, " times without replacement from ", possible,
              " classes of weight above 0");
    const Tensor uniform = random(RandomOp::uniform, w.shape(), DType::Float64, w.device(), 0, 1, 0, 0, generator);
    const Tensor noise = -log(-unary(UnaryOp::log1p, -uniform) + 1e-300);
    return topk(where(w > 0.0, log(w) + noise, number_like(w, -HUGE_VAL)), count, last, true).indices;
  }
  Shape shape = w.shape();
  shape[last] = count;
  const Tensor draws = random(RandomOp::uniform, shape, DType::Float64, w.device(), 0, 1, 0, 0, generator);
  const Tensor running = cumsum(w, last);
  const Tensor top = slice(running, last, classes - 1, classes, 1);
  return searchsorted(running, binary(BinaryOp::minimum, draws * top, top * (1 - 0x1p-52)), true);
}

}  // namespace dnncore::ops
