#include <limits>

#include "kernels/softmax.h"
#include "ops/common.h"
#include "ops/layout.h"

namespace dnncore::ops {

namespace {

const char* name(SoftmaxOp op) { return op == SoftmaxOp::softmax ? "softmax" : op == SoftmaxOp::log_softmax ? "log_softmax" : "logsumexp"; }

// x as (outer, n, inner) in memory order.
struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
};

// Of a dense tensor: what has smaller strides than `dim` lies inside.
Lines lines_of(const Tensor& x, int dim) {
  const int64_t n = x.ndim() == 0 ? 1 : x.size(dim);
  const int64_t inner = n > 1 ? x.stride(dim) : 1;
  return {n * inner == 0 ? 0 : x.numel() / (n * inner), n, inner};
}

Tensor fused_gradient(SoftmaxOp op, const Tensor& g, const Tensor& y, int dim) {
  const Tensor dx = Tensor::empty_like(y, y.dtype());
  const Tensor dy = in_order_of(dx, g, "softmax"), values = in_order_of(dx, y, "softmax");
  const Lines lines = lines_of(dx, dim);
  if (dx.numel() > 0)
    launch(name(op), kernel::softmax_backward,
           SoftmaxBackwardArgs{.dy = dy.data(),
                               .y = values.data(),
                               .dx = dx.data(),
                               .outer = lines.outer,
                               .n = lines.n,
                               .inner = lines.inner,
                               .op = op,
                               .dtype = dx.dtype()},
           dx.device());
  return dx;
}

// The same of ops that record themselves.
Tensor composed_gradient(SoftmaxOp op, const Tensor& g, const Tensor& y, int dim) {
  const Shape dims = g.ndim() == 0 ? Shape{} : Shape{dim};
  if (op == SoftmaxOp::log_softmax)
    return binary(BinaryOp::sub, g, binary(BinaryOp::mul, unary(UnaryOp::exp, y), reduce(ReduceOp::sum, g, dims, true)));
  const Tensor sum = reduce(ReduceOp::sum, binary(BinaryOp::mul, g, y), dims, true);
  return binary(BinaryOp::mul, y, binary(BinaryOp::sub, g, sum));
}

void launch_softmax(SoftmaxOp op, const Tensor& x, const Tensor& y, const Lines& lines, int64_t x_outer) {
  if (x.numel() == 0) return;
  launch(name(op), kernel::softmax,
         SoftmaxArgs{.x = x.data(),
                     .y = y.data(),
                     .outer = lines.outer,
                     .n = lines.n,
                     .inner = lines.inner,
                     .x_outer = x_outer,
                     .op = op,
                     .dtype = x.dtype()},
         x.device());
}

// Rows of adjacent elements with gaps between them.
bool is_rows(const Tensor& x, int dim) { return x.ndim() == 2 && dim == 1 && x.stride(1) == 1 && x.stride(0) >= x.size(1); }

Tensor softmax_of_floats(SoftmaxOp op, const Tensor& input, int dim) {
  Tensor x = input.detach();
  Tensor y = Tensor::empty_like(x, x.dtype());
  if (!same_order(x, y) && !is_rows(x, dim)) {
    x = copy_of(x, x.dtype(), name(op));
    y = Tensor::empty(x.shape(), x.dtype(), x.device(), name(op));
  }
  const Lines lines = lines_of(y, dim);
  if (lines.inner > 1 && lines.n > SoftmaxArgs::kMostStrided) {
    const Tensor turned = contiguous(transpose(input, dim, -1));
    return transpose(softmax_of_floats(op, turned, x.ndim() - 1), dim, -1);
  }
  launch_softmax(op, x, y, lines, same_order(x, y) ? lines.n * lines.inner : x.stride(0));
  if (any_requires_grad({&input}))
    record(name(op), y, {&input}, [op, dim, saved = Saved::output(y)](const Node& node, const Tensor& g) -> Grads {
      const Tensor y = saved.get(node);
      return {GradMode::enabled() ? composed_gradient(op, g, y, dim) : fused_gradient(op, g, y, dim)};
    });
  return y;
}

Tensor with_softmax(SoftmaxOp op, const Tensor& x, int64_t dim) {
  check_floating(name(op), x);
  const int at = wrap_dim(name(op), dim, x.ndim());
  if (is_half(x.dtype())) return to_dtype(softmax_of_floats(op, to_dtype(x, DType::Float32), at), x.dtype());
  return softmax_of_floats(op, x, at);
}

// Over one dimension of a float32 or float64 tensor.
Tensor logsumexp_along(const Tensor& input, int dim, bool keepdim) {
  Tensor x = input.detach();
  if (!x.is_contiguous() && !is_rows(x, dim)) x = copy_of(x, x.dtype(), "logsumexp");
  Lines lines;
  for (int i = 0; i < x.ndim(); ++i) (i < dim ? lines.outer : i == dim ? lines.n : lines.inner) *= x.size(i);
  Shape shape = x.shape();
  shape[dim] = 1;
  if (!keepdim) shape.erase(dim);
  if (lines.inner > 1 && lines.n > SoftmaxArgs::kMostStrided) {
    const Tensor y = logsumexp_along(contiguous(transpose(input, dim, -1)), x.ndim() - 1, true);
    return reshape(transpose(y, dim, -1), shape);
  }
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device(), "logsumexp");
  if (lines.n == 0) fill_(y, Scalar::of(-std::numeric_limits<double>::infinity()));
  launch_softmax(SoftmaxOp::logsumexp, x, y, lines, is_rows(x, dim) ? x.stride(0) : lines.n * lines.inner);
  if (any_requires_grad({&input}))
    record("logsumexp", y, {&input},
           [dim, keepdim, x = Saved::input(input), y = Saved::output(y)](const Node& node, const Tensor& g) -> Grads {
             const auto kept = [&](const Tensor& t) { return keepdim ? t : unsqueeze(t, dim); };
             const Tensor sum = kept(y.get(node));
             // Where everything is -inf the sum does not depend on x.
             const Tensor lowest = binary(BinaryOp::eq, sum, Scalar::of(-std::numeric_limits<double>::infinity()));
             const Tensor shift = where(lowest, scalar_tensor(Scalar::of(0.0), sum.dtype(), sum.device()), sum);
             const Tensor share = unary(UnaryOp::exp, binary(BinaryOp::sub, x.get(node), shift));
             return {binary(BinaryOp::mul, kept(g), share)};
           });
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x, int64_t dim) { return with_softmax(SoftmaxOp::softmax, x, dim); }

Tensor log_softmax(const Tensor& x, int64_t dim) { return with_softmax(SoftmaxOp::log_softmax, x, dim); }

Tensor logsumexp(const Tensor& x, const Shape& dims, bool keepdim) {
  check_floating("logsumexp", x);
  if (is_half(x.dtype())) return to_dtype(logsumexp(to_dtype(x, DType::Float32), dims, keepdim), x.dtype());
  if (x.ndim() == 0) {
    for (int64_t dim : dims) wrap_dim("logsumexp", dim, 0);
    return reshape(logsumexp_along(reshape(x, {1}), 0, true), {});
  }
  if (dims.ndim() == 1) return logsumexp_along(x, wrap_dim("logsumexp", dims[0], x.ndim()), keepdim);
  // Several: moved to the end and joined.
  bool reduced[kMaxDims] = {};
  for (int64_t dim : dims) {
    const int at = wrap_dim("logsumexp", dim, x.ndim());
    DNN_CHECK(!reduced[at], ValueError, "logsumexp: dimension ", at, " appears twice in ", dims);
    reduced[at] = true;
  }
  Shape order, kept, with_ones;
  int64_t count = 1;
  for (int i = 0; i < x.ndim(); ++i) {
    const bool goes = dims.empty() || reduced[i];
    with_ones.push_back(goes ? 1 : x.size(i));
    if (goes) {
      count *= x.size(i);
    } else {
      order.push_back(i);
      kept.push_back(x.size(i));
    }
  }
  for (int i = 0; i < x.ndim(); ++i)
    if (dims.empty() || reduced[i]) order.push_back(i);
  Shape joined = kept;
  joined.push_back(count);
  const Tensor y = logsumexp_along(reshape(permute(x, order), joined), kept.ndim(), false);
  return keepdim ? reshape(y, with_ones) : y;
}

}  // namespace dnncore::ops
