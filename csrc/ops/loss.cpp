// Losses of class scores: cross-entropy and negative log likelihood. Scores are (C,), (N, C) or (N, C, d1, ...); inside they are rows of
// adjacent classes, (N d1 ..., C).
#include "kernels/cross_entropy.h"
#include "ops/common.h"

namespace dnncore::ops {

namespace {

struct ClassLoss {
  const char* op;
  int64_t ignore_index;
  double smoothing;
  Reduction reduction;
};

int class_dim(const Tensor& x) { return x.ndim() == 1 ? 0 : 1; }

// (N, d1, ...), the shape of class numbers and of unreduced losses.
Shape rows_shape(const Tensor& x) {
  Shape shape = x.shape();
  shape.erase(class_dim(x));
  return shape;
}

// (N, C, d1, ...) -> (N d1 ..., C); records itself.
Tensor to_rows(const Tensor& x) {
  if (x.ndim() == 2) return x;
  if (x.ndim() == 1) return reshape(x, {1, x.size(0)});
  Shape order = {0};
  for (int i = 2; i < x.ndim(); ++i) order.push_back(i);
  order.push_back(1);
  return reshape(permute(x, order), {numel(rows_shape(x)), x.size(1)});
}

// Back to `shape`: a view, its classes adjacent in memory.
Tensor from_rows(const Tensor& rows, const Shape& shape) {
  if (shape.ndim() == 2) return rows;
  if (shape.ndim() == 1) return reshape(rows, shape);
  Shape apart = {shape[0]}, order = {0, shape.ndim() - 1};
  for (int i = 2; i < shape.ndim(); ++i) {
    apart.push_back(shape[i]);
    order.push_back(i - 1);
  }
  apart.push_back(shape[1]);
  return permute(reshape(rows, apart), order);
}

Tensor adjacent_rows(const Tensor& x, const char* op) {
  const Tensor rows = to_rows(x);
  return rows.stride(1) == 1 || rows.size(1) <= 1 ? rows : copy_of(rows, rows.dtype(), op);
}

void check_scores(const char* op, const Tensor& x) {
  DNN_CHECK(x.ndim() >= 1, ValueError, op, ": expected input of shape (C,), (N, C) or (N, C, d1, ...), got ", x.shape());
  DNN_CHECK(is_floating(x.dtype()), TypeError, op, ": expected a floating input, got ", x.dtype(), "; cast with .float()");
}

void check_weight(const char* op, const Tensor& x, const Tensor& weight) {
  if (!weight.defined()) return;
  const int64_t classes = x.size(class_dim(x));
  DNN_CHECK(weight.ndim() == 1 && weight.size(0) == classes, ValueError, op, ": expected weight of shape (", classes,
            ",), one per class, got ", weight.shape());
  DNN_CHECK(weight.dtype() == x.dtype(), TypeError, op, ": expected weight of the input's dtype ", x.dtype(), ", got ", weight.dtype(),
            "; use weight.to(input.dtype)");
  DNN_CHECK(!any_requires_grad({&weight}), StateError, op, ": there is no gradient of the class weights; use weight.detach()");
}

// (N, T, C) for targets (N, T): as sequences are computed, not as losses take them.
bool has_classes_last(const Tensor& x, const Tensor& target) {
  Shape rows = x.shape();
  rows.erase(x.ndim() - 1);
  return x.ndim() > 2 && target.shape() == rows;
}

// Every class number is looked at here, and once more by the kernel as it uses it.
void check_class_numbers(const ClassLoss& loss, const Tensor& x, const Tensor& target) {
  const char* op = loss.op;
  DNN_CHECK(target.dtype() == DType::Int64, TypeError, op, ": expected int64 class indices, got ", target.dtype(),
            "; convert them with .long()");
  const Shape expected = rows_shape(x);
  DNN_CHECK(target.shape() == expected, ValueError, op, ": expected targets of shape ", expected, " to match input ", x.shape(), ", got ",
            target.shape(),
            has_classes_last(x, target)         ? "; the classes are dimension 1 of the input: use input.movedim(-1, 1)"
            : target.numel() == numel(expected) ? concat("; use target.reshape", expected)
                                                : std::string());
  host_check({&target}, [op, count = target.numel(), classes = x.size(class_dim(x)), ignored = loss.ignore_index](const void* const* data) {
    const auto* indices = static_cast<const int64_t*>(data[0]);
    for (int64_t i = 0; i < count; ++i)
      DNN_CHECK((indices[i] >= 0 && indices[i] < classes) || indices[i] == ignored, ValueError, op, ": target ", indices[i],
                " at position ", i, " is outside [0, ", classes, ") for ", classes, " classes");
  });
}

void check_probabilities(const Tensor& x, const Tensor& target) {
  DNN_CHECK(target.shape() == x.shape(), ValueError, "cross_entropy: expected probabilities of the input's shape ", x.shape(), ", got ",
            target.shape());
  DNN_CHECK(target.dtype() == x.dtype(), TypeError, "cross_entropy: expected probabilities of the input's dtype ", x.dtype(), ", got ",
            target.dtype(), "; use target.to(input.dtype)");
}

// A floating target of another shape than the input's is taken for class numbers, and refused as such.
bool holds_probabilities(const Tensor& x, const Tensor& target) {
  return is_floating(target.dtype()) && (target.shape() == x.shape() || target.ndim() > std::max(x.ndim() - 1, 1));
}

// 1 where the sum of weights is 0: nothing depends on the scores there, and the gradient is 0. Without class weights it is a count.
Tensor divisor(const Tensor& total, bool is_count) {
  if (is_count) return binary(BinaryOp::maximum, total, Scalar::of(1.0));
  return where(binary(BinaryOp::eq, total, Scalar::of(0.0)), scalar_tensor(Scalar::of(1.0), total.dtype(), total.device()), total);
}

// b of kernels/cross_entropy.h, (rows, C), for probabilities or for class numbers (rows,).
Tensor coefficients(const ClassLoss& loss, const Tensor& target, const Tensor& weight, int64_t classes, DType dtype) {
  Tensor b = target;
  Tensor counted;
  if (!is_floating(target.dtype())) {
    const Tensor numbers = unsqueeze(target, 1);
    const Tensor every = arange(Scalar::of(int64_t{0}), Scalar::of(classes), Scalar::of(int64_t{1}), DType::Int64, target.device());
    b = to_dtype(binary(BinaryOp::eq, numbers, every), dtype);
    counted = to_dtype(binary(BinaryOp::ne, numbers, Scalar::of(loss.ignore_index)), dtype);
  }
  if (loss.smoothing != 0)
    b = binary(BinaryOp::add, binary(BinaryOp::mul, b, Scalar::of(1 - loss.smoothing)),
               Scalar::of(loss.smoothing / static_cast<double>(classes)));
  if (weight.defined()) b = binary(BinaryOp::mul, b, weight);
  return counted.defined() ? binary(BinaryOp::mul, b, counted) : b;
}

// The gradient of one row's loss, (rows, C), made of ops that record themselves.
Tensor composed_slope(const ClassLoss& loss, const Tensor& x, const Tensor& target, const Tensor& weight) {
  const Tensor rows = to_rows(x);
  const Tensor b = coefficients(loss, target, weight, rows.size(1), x.dtype());
  return binary(BinaryOp::sub, binary(BinaryOp::mul, softmax(rows, 1), reduce(ReduceOp::sum, b, {1}, true)), b);
}

// Loss rows to the result; `total` is what the mean divides by (undefined: the number of rows).
Tensor reduced(const Tensor& losses, const Tensor& total, Reduction reduction, const Shape& shape) {
  if (reduction == Reduction::None) return reshape(losses, shape);
  if (reduction == Reduction::Mean && !total.defined()) return reduce(ReduceOp::mean, losses, {}, false);
  const Tensor sum = reduce(ReduceOp::sum, losses, {}, false);
  return reduction == Reduction::Mean ? binary(BinaryOp::div, sum, total) : sum;
}

// Where the probabilities are learnt too.
Tensor composed_cross_entropy(const ClassLoss& loss, const Tensor& x, const Tensor& target, const Tensor& weight) {
  const Tensor logs = log_softmax(to_rows(x), 1);
  const Tensor b = coefficients(loss, to_rows(target), weight, logs.size(1), x.dtype());
  const Tensor losses = unary(UnaryOp::neg, reduce(ReduceOp::sum, binary(BinaryOp::mul, b, logs), {1}, false));
  return reduced(losses, {}, loss.reduction, rows_shape(x));
}

// `x` is float32 or float64; `target` rows of class numbers or of probabilities, contiguous.
Tensor fused_cross_entropy(const ClassLoss& loss, const Tensor& x, const Tensor& target, const Tensor& weight) {
  const bool counts = !is_floating(target.dtype());
  const bool needs_grad = any_requires_grad({&x});
  const Tensor rows = adjacent_rows(x.detach(), loss.op);
  const int64_t count = rows.size(0), classes = rows.size(1);
  const Tensor losses = Tensor::empty({count}, x.dtype(), x.device(), loss.op);
  const Tensor slope = needs_grad ? Tensor::empty({count, classes}, x.dtype(), x.device(), loss.op) : Tensor();
  const bool weighs = counts && loss.reduction == Reduction::Mean;
  const Tensor weights = weighs ? Tensor::empty({count}, x.dtype(), x.device(), loss.op) : Tensor();
  launch(loss.op, kernel::cross_entropy,
         CrossEntropyArgs{.x = rows.data(),
                          .target = counts ? target.data<int64_t>() : nullptr,
                          .probabilities = counts ? nullptr : target.data(),
                          .weight = weight.defined() ? weight.data() : nullptr,
                          .loss = losses.data(),
                          .dx = needs_grad ? slope.data() : nullptr,
                          .row_weight = weighs ? weights.data() : nullptr,
                          .rows = count,
                          .classes = classes,
                          .x_row = rows.stride(0),
                          .ignore_index = loss.ignore_index,
                          .smoothing = loss.smoothing,
                          .dtype = x.dtype()},
         x.device());
  // Of rows that are not ignored: read by the gradient, never by the host.
  const Tensor total = weighs ? reduce(ReduceOp::sum, weights, {}, false) : Tensor();
  const Tensor y = reduced(losses, total, loss.reduction, rows_shape(x));
  if (needs_grad)
    record(loss.op, y, {&x}, [loss, slope, total, target, weight, count, x = Saved::input(x)](const Node& node, const Tensor& g) -> Grads {
      const Tensor scores = x.get(node);
      Tensor share = g;
      if (loss.reduction == Reduction::None) share = reshape(g, {count, 1});
      if (loss.reduction == Reduction::Mean)
        share = total.defined() ? binary(BinaryOp::div, g, divisor(total, !weight.defined())) : binary(BinaryOp::div, g, Scalar::of(count));
      const Tensor each = GradMode::enabled() ? composed_slope(loss, scores, target, weight) : slope;
      return {from_rows(binary(BinaryOp::mul, each, share), scores.shape())};
    });
  return y;
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& weight, int64_t ignore_index, double smoothing,
                     Reduction reduction) {
  const ClassLoss loss{"cross_entropy", ignore_index, smoothing, reduction};
  check_scores(loss.op, logits);
  check_weight(loss.op, logits, weight);
  DNN_CHECK(smoothing >= 0 && smoothing <= 1, ValueError, "cross_entropy: expected label_smoothing from 0 to 1, got ", smoothing);
  const bool probabilities = holds_probabilities(logits, target);
  Tensor rows;
  if (probabilities) {
    check_probabilities(logits, target);
  } else {
    rows = contiguous(target);
    check_class_numbers(loss, logits, rows);
    rows = reshape(rows, {rows.numel()});
  }
  const Tensor x = as_float(logits), q = as_float(target), factors = weight.defined() ? contiguous(as_float(weight)) : weight;
  const bool learns_target = probabilities && any_requires_grad({&target});
  if (probabilities && !learns_target) rows = contiguous(to_rows(q));
  const Tensor y = learns_target ? composed_cross_entropy(loss, x, q, factors) : fused_cross_entropy(loss, x, rows, factors);
  return to_dtype(y, logits.dtype());
}

Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index, Reduction reduction) {
  const ClassLoss loss{"nll_loss", ignore_index, 0, reduction};
  check_scores(loss.op, input);
  check_weight(loss.op, input, weight);
  const Tensor given = contiguous(target);
  check_class_numbers(loss, input, given);
  const Tensor numbers = reshape(given, {given.numel()}), rows = to_rows(input);
  const Scalar zero = Scalar::of(int64_t{0}), one = Scalar::of(int64_t{1});
  const Tensor counted = binary(BinaryOp::ne, numbers, Scalar::of(ignore_index));
  const Tensor column = where(counted, numbers, scalar_tensor(zero, DType::Int64, input.device()));
  const Tensor every = arange(zero, Scalar::of(rows.size(0)), one, DType::Int64, input.device());
  Tensor losses = unary(UnaryOp::neg, index(rows, 0, {every, column}));
  Tensor weights = to_dtype(counted, input.dtype());
  if (weight.defined()) {
    weights = binary(BinaryOp::mul, weights, index(weight, 0, {column}));
    losses = binary(BinaryOp::mul, losses, weights);
  }
  losses = where(counted, losses, scalar_tensor(Scalar::of(0.0), input.dtype(), input.device()));
  const Tensor total = reduction == Reduction::Mean ? reduce(ReduceOp::sum, weights, {}, false) : Tensor();
  return reduced(losses, total, reduction, rows_shape(input));
}

}  // namespace dnncore::ops
