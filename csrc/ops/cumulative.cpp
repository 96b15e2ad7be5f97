// Running sums, products, extremes. Gradients run the same way backwards, composed of ops that have gradients themselves.
#include <cmath>

#include "kernels/cumulate.h"
#include "ops/expressions.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

// Integers and truths run in int64, halves in float32.
DType running_dtype(CumulateOp op, DType dtype) {
  if (is_half(dtype)) return DType::Float32;
  return op <= CumulateOp::prod && !is_floating(dtype) ? DType::Int64 : dtype;
}

// x as the kernel takes it, dtype aside. No gradient link.
ValuesAndIndices run(const char* op, CumulateOp how, const Tensor& x, int at) {
  const NoGrad no_grad;
  const DType dtype = running_dtype(how, x.dtype());
  const Tensor from = contiguous(to_dtype(x.detach(), dtype));
  ValuesAndIndices y{Tensor::empty(x.shape(), dtype, x.device(), op), {}};
  if (how >= CumulateOp::max) y.indices = Tensor::empty(x.shape(), DType::Int64, x.device(), op);
  CumulateArgs args{.x = from.data(),
                    .y = y.values.data(),
                    .indices = y.indices.defined() ? y.indices.data<int64_t>() : nullptr,
                    .outer = 1,
                    .n = x.ndim() > 0 ? x.size(at) : 1,
                    .op = how,
                    .dtype = dtype};
  for (int i = 0; i < x.ndim(); ++i) (i < at ? args.outer : args.inner) *= i == at ? 1 : x.size(i);
  const Tensor workspace = Tensor::empty({args.workspace_bytes()}, DType::UInt8, x.device(), op);
  if (args.workspace_bytes() > 0) args.workspace = workspace.data();
  if (x.numel() > 0) launch(op, kernel::cumulate, args, x.device());
  if (is_floating(x.dtype())) y.values = to_dtype(y.values, x.dtype());
  return y;
}

// Sums from every entry to the last one.
Tensor reversed_cumsum(const Tensor& x, int64_t dim) {
  if (x.ndim() == 0 || x.numel() == 0) return x;
  return flip_dim(cumsum(flip_dim(x, dim), dim), dim);
}

// dy_j / dx_i is y_j / x_i while no entry is 0. The first 0 of a row gets the products of the others, taken with a 1 in its place;
// entries after it get nothing, since it stays among their factors.
Tensor cumprod_gradient(const Tensor& g, const Tensor& x, const Tensor& y, int64_t dim) {
  refuse_zeros_when_recording("cumprod", x);
  const Tensor zero = number_like(x, 0), one = number_like(x, 1);
  const Tensor is_zero = x == 0.0;
  const Tensor zeros_to_here = cumsum(is_zero, dim);
  const Tensor before = reversed_cumsum(g * y, dim) / where(is_zero, one, x);
  const Tensor first = is_zero & (zeros_to_here == 1);
  const Tensor others = cumprod(where(first, one, x), dim);
  const Tensor at_first = reversed_cumsum(where(zeros_to_here > 0, g * others, zero), dim);
  return where(zeros_to_here == 0, before, where(first, at_first, zero));
}

}  // namespace

Tensor cumsum(const Tensor& x, int64_t dim) {
  const int at = wrap_dim("cumsum", dim, x.ndim());
  const Tensor y = run("cumsum", CumulateOp::sum, x, at).values;
  if (is_floating(x.dtype()) && any_requires_grad({&x}))
    record("cumsum", y, {&x}, [at](const Node&, const Tensor& g) -> Grads { return {reversed_cumsum(g, at)}; });
  return y;
}

Tensor cumprod(const Tensor& x, int64_t dim) {
  const int at = wrap_dim("cumprod", dim, x.ndim());
  const Tensor y = run("cumprod", CumulateOp::prod, x, at).values;
  if (is_floating(x.dtype()) && any_requires_grad({&x}))
    record("cumprod", y, {&x}, [at, x = Saved::input(x), y = Saved::output(y)](const Node& node, const Tensor& g) -> Grads {
      return {cumprod_gradient(g, x.get(node), y.get(node), at)};
    });
  return y;
}

// dx_i = exp(x_i) * sum over j >= i of g_j exp(-y_j), with the gradient split by sign so that the sums stay in logarithms.
Tensor logcumsumexp(const Tensor& x, int64_t dim) {
  check_floating("logcumsumexp", x);
  const int at = wrap_dim("logcumsumexp", dim, x.ndim());
  const Tensor y = run("logcumsumexp", CumulateOp::logsumexp, x, at).values;
  if (any_requires_grad({&x}))
    record("logcumsumexp", y, {&x}, [at, x = Saved::input(x), y = Saved::output(y)](const Node& node, const Tensor& g) -> Grads {
      if (g.numel() == 0 || g.ndim() == 0) return {g};
      const Tensor a = x.get(node), b = y.get(node), least = number_like(g, -HUGE_VAL);
      const auto part = [&](const Tensor& chosen, const Tensor& size) {
        const Tensor logs = where(chosen, log(where(chosen, size, number_like(g, 1))) - b, least);
        return exp(flip_dim(logcumsumexp(flip_dim(logs, at), at), at) + a);
      };
      return {part(g > 0.0, g) - part(g < 0.0, -g)};
    });
  return y;
}

ValuesAndIndices cumulative_extreme(CumulateOp op, const Tensor& x, int64_t dim) {
  const char* name = op == CumulateOp::max ? "cummax" : "cummin";
  const int at = wrap_dim(name, dim, x.ndim());
  ValuesAndIndices y = run(name, op, x, at);
  if (is_floating(x.dtype()) && any_requires_grad({&x})) y.values = gather(x, at, y.indices);
  return y;
}

}  // namespace dnncore::ops
