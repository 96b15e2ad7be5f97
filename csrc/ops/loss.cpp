#include "ops/common.h"

namespace dnncore::ops {

namespace {

void check_cross_entropy(const Tensor& logits, const Tensor& target, int64_t ignore_index) {
  DNN_CHECK(logits.ndim() == 2, ValueError, "cross_entropy: expected logits of shape (N, C), got ", logits.shape());
  DNN_CHECK(logits.dtype() == DType::Float32 || logits.dtype() == DType::Float64, TypeError,
            "cross_entropy: expected float32 or float64 logits, got ", logits.dtype());
  DNN_CHECK(target.dtype() == DType::Int64, TypeError, "cross_entropy: expected int64 class indices, got ", target.dtype(),
            is_floating(target.dtype()) ? "; convert them with .long()" : "");
  DNN_CHECK(target.ndim() == 1 && target.size(0) == logits.size(0), ValueError, "cross_entropy: expected targets of shape (",
            logits.size(0), ",) to match logits ", logits.shape(), ", got ", target.shape(),
            target.ndim() == 2 && target.numel() == logits.size(0) ? "; use target.flatten()" : "");
  const auto* indices = target.data<int64_t>();
  const int64_t classes = logits.size(1);
  for (int64_t i = 0; i < target.size(0); ++i)
    DNN_CHECK((indices[i] >= 0 && indices[i] < classes) || indices[i] == ignore_index, ValueError, "cross_entropy: target ", indices[i],
              " at position ", i, " is outside [0, ", classes, ") for ", classes, " classes");
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, int64_t ignore_index, Reduction reduction) {
  const Tensor indices = contiguous(target);
  check_cross_entropy(logits, indices, ignore_index);
  const int64_t rows = logits.size(0), classes = logits.size(1);
  const bool needs_grad = any_requires_grad({&logits});
  const bool adjacent = logits.stride(1) == 1 || classes <= 1;
  const Tensor x = adjacent ? logits.detach() : copy_of(logits, logits.dtype(), "cross_entropy");
  const Tensor loss = Tensor::empty({rows}, x.dtype(), x.device(), "cross_entropy");
  const Tensor slope = needs_grad ? Tensor::empty({rows, classes}, x.dtype(), x.device(), "cross_entropy") : Tensor();
  launch("cross_entropy", kernel::cross_entropy,
         CrossEntropyArgs{.x = x.data(),
                          .target = indices.data<int64_t>(),
                          .loss = loss.data(),
                          .dx = needs_grad ? slope.data() : nullptr,
                          .rows = rows,
                          .classes = classes,
                          .x_row = x.stride(0),
                          .ignore_index = ignore_index,
                          .dtype = x.dtype()},
         x.device());
  Tensor y = loss;
  Tensor count;  // of rows that are not ignored: read by the gradient, never by the host
  if (reduction != Reduction::None) y = reduce(ReduceOp::sum, loss, {}, false);
  if (reduction == Reduction::Mean) {
    count = to_dtype(reduce(ReduceOp::sum, binary(BinaryOp::ne, indices, Scalar::of(ignore_index)), {}, false), x.dtype());
    y = binary(BinaryOp::div, y, count);
  }
  if (needs_grad)
    record("cross_entropy", y, {&logits}, [slope, count, reduction](const Node&, const Tensor& g) -> Grads {
      if (reduction == Reduction::None) return {binary(BinaryOp::mul, slope, unsqueeze(g, 1))};
      if (reduction == Reduction::Sum) return {binary(BinaryOp::mul, slope, g)};
      // Where every row is ignored the loss is 0 / 0, but nothing depends on the logits.
      const Tensor rows = binary(BinaryOp::maximum, count, Scalar::of(1.0));
      return {binary(BinaryOp::mul, slope, binary(BinaryOp::div, g, rows))};
    });
  return y;
}

}  // namespace dnncore::ops
