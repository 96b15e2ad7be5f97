// Order: sort, topk and what follows from them. Gradients go to the entries the indices name.
#include <cmath>

#include "kernels/sort.h"
#include "ops/expressions.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

// The dimension moved to the end, and back.
Tensor to_last(const Tensor& x, int at) {
  if (at == x.ndim() - 1) return x;
  Shape order;
  for (int i = 0; i < x.ndim(); ++i)
    if (i != at) order.push_back(i);
  order.push_back(at);
  return permute(x, order);
}

Tensor from_last(const Tensor& x, int at) {
  if (at == x.ndim() - 1) return x;
  Shape order;
  for (int i = 0; i + 1 < x.ndim(); ++i) order.push_back(i);
  order.insert(at, x.ndim() - 1);
  return contiguous(permute(x, order));
}

void check_length(const char* op, int64_t n) {
  DNN_CHECK(n < (int64_t{1} << 31), ValueError, op, ": expected a dimension of less than 2^31 entries, got ", n);
}

// The first k of every row; k = n sorts. No gradient link.
ValuesAndIndices ordered(const char* op, const Tensor& x, int at, int64_t k, bool descending) {
  const NoGrad no_grad;
  const Tensor rows = contiguous(to_last(x.detach(), at));
  const int64_t n = rows.size(rows.ndim() - 1);
  check_length(op, n);
  Shape shape = rows.shape();
  shape[rows.ndim() - 1] = k;
  ValuesAndIndices y{Tensor::empty(shape, x.dtype(), x.device(), op), Tensor::empty(shape, DType::Int64, x.device(), op)};
  const auto start = [&](auto id, auto args) {
    args.x = rows.data();
    args.values = y.values.data();
    args.indices = y.indices.template data<int64_t>();
    args.n = n;
    args.rows = rows.numel() / std::max<int64_t>(n, 1);
    args.dtype = x.dtype();
    args.descending = descending;
    const Tensor workspace = Tensor::empty({args.workspace_bytes()}, DType::UInt8, x.device(), op);
    if (args.workspace_bytes() > 0) args.workspace = workspace.data();
    if (y.values.numel() > 0) launch(op, id, args, x.device());
  };
  if (k == n)
    start(kernel::sort, SortArgs{});
  else
    start(kernel::topk, TopkArgs{.k = k});
  return {from_last(y.values, at), from_last(y.indices, at)};
}

ValuesAndIndices linked(const Tensor& x, int at, const ValuesAndIndices& found) {
  if (!is_floating(x.dtype()) || !any_requires_grad({&x})) return found;
  return {gather(x, at, found.indices), found.indices};
}

ValuesAndIndices without_dim(const ValuesAndIndices& y, int at, bool keepdim) {
  return keepdim ? y : ValuesAndIndices{squeeze(y.values, at), squeeze(y.indices, at)};
}

}  // namespace

ValuesAndIndices sort(const Tensor& x, int64_t dim, bool descending) {
  const int at = wrap_dim("sort", dim, x.ndim());
  if (x.ndim() == 0) return {clone(x), zeros({}, DType::Int64, x.device())};
  return linked(x, at, ordered("sort", x, at, x.size(at), descending));
}

// A large part of a row is cheaper to sort than to select.
ValuesAndIndices topk(const Tensor& x, int64_t k, int64_t dim, bool largest) {
  if (x.ndim() == 0) {
    wrap_dim("topk", dim, 0);
    DNN_CHECK(k == 0 || k == 1, ValueError, "topk: expected 0 <= k <= 1, got ", k);
    if (k == 1) return {clone(x), zeros({}, DType::Int64, x.device())};
    return {Tensor::empty({0}, x.dtype(), x.device()), Tensor::empty({0}, DType::Int64, x.device())};
  }
  const int at = existing_dim("topk", dim, x.ndim());
  const int64_t n = x.size(at);
  DNN_CHECK(k >= 0 && k <= n, ValueError, "topk: expected 0 <= k <= ", n, ", the size of dimension ", at, ", got ", k);
  if (k <= TopkArgs::kMaxK && (8 * k <= n || k == 0)) return linked(x, at, ordered("topk", x, at, k, largest));
  const ValuesAndIndices all = ordered("topk", x, at, n, largest);
  const auto first = [&](const Tensor& y) { return contiguous(slice(y, at, 0, k, 1)); };
  return linked(x, at, {first(all.values), first(all.indices)});
}

ValuesAndIndices kthvalue(const Tensor& x, int64_t k, int64_t dim, bool keepdim) {
  const int at = wrap_dim("kthvalue", dim, x.ndim());
  const int64_t n = x.ndim() > 0 ? x.size(at) : 1;
  DNN_CHECK(k >= 1 && k <= n, ValueError, "kthvalue: expected 1 <= k <= ", n, ", the size of dimension ", at, ", got ", k);
  if (x.ndim() == 0) return {clone(x), zeros({}, DType::Int64, x.device())};
  const ValuesAndIndices first = topk(x.detach(), k, at, false);
  const auto last = [&](const Tensor& y) { return contiguous(slice(y, at, k - 1, k, 1)); };
  return without_dim(linked(x, at, {last(first.values), last(first.indices)}), at, keepdim);
}

ValuesAndIndices median(const Tensor& x, int64_t dim, bool keepdim) {
  const int at = wrap_dim("median", dim, x.ndim());
  const int64_t n = x.ndim() > 0 ? x.size(at) : 1;
  DNN_CHECK(n > 0, ValueError, "median: expected at least one entry along dimension ", at, ", got shape ", x.shape());
  if (x.ndim() == 0) return {clone(x), zeros({}, DType::Int64, x.device())};
  ValuesAndIndices middle = kthvalue(x.detach(), (n + 1) / 2, at, true);
  if (is_floating(x.dtype())) {
    const NoGrad no_grad;
    const Tensor first_nan = reduce(ReduceOp::argmax, isnan(x), {at}, true);  // 0 where there is none
    const Tensor nan = reduce(ReduceOp::any, isnan(x), {at}, true);
    middle.indices = where(nan, first_nan, middle.indices);
    middle.values = gather(x.detach(), at, middle.indices);
  }
  return without_dim(linked(x, at, middle), at, keepdim);
}

Unique unique(const Tensor& x) {
  const NoGrad no_grad;
  const Tensor flat = flatten(x.detach(), 0, -1);
  const int64_t n = flat.numel();
  if (n == 0) return {clone(flat), Tensor::empty(x.shape(), DType::Int64, x.device()), Tensor::empty({0}, DType::Int64, x.device())};
  const ValuesAndIndices ascending = sort(flat, 0, false);
  const Tensor differs = slice(ascending.values, 0, 1, n, 1) != slice(ascending.values, 0, 0, n - 1, 1);
  const Tensor starts = nonzero(cat({ones({1}, DType::Bool, x.device()), differs}, 0))[0];
  const Tensor group = cumsum(to_dtype(cat({zeros({1}, DType::Bool, x.device()), differs}, 0), DType::Int64), 0);
  const Tensor ends = cat({slice(starts, 0, 1, starts.numel(), 1), full({1}, Scalar::of(n), DType::Int64, x.device())}, 0);
  return {index(ascending.values, 0, {starts}),
          reshape(scatter(zeros({n}, DType::Int64, x.device()), 0, ascending.indices, group), x.shape()), ends - starts};
}

// Binary search, all values a step at a time: `found` entries are known to lie before the value.
Tensor searchsorted(const Tensor& sequence, const Tensor& values, bool right) {
  const NoGrad no_grad;
  DNN_CHECK(sequence.ndim() > 0, ValueError, "searchsorted: expected a sequence of at least one dimension, got a 0-d tensor");
  const bool shared = sequence.ndim() == 1;
  bool fits = shared || sequence.ndim() == values.ndim();
  for (int i = 0; fits && !shared && i + 1 < values.ndim(); ++i) fits = sequence.size(i) == values.size(i);
  DNN_CHECK(fits, ValueError, "searchsorted: expected a 1-d sequence or one whose leading dimensions are those of the values, got shapes ",
            sequence.shape(), " and ", values.shape());
  const DType dtype = promote_types(sequence.dtype(), values.dtype());
  const int64_t n = sequence.size(sequence.ndim() - 1);
  const Tensor from = to_dtype(sequence.detach(), dtype);
  const Tensor wanted = to_dtype(shared ? flatten(values.detach(), 0, -1) : values.detach(), dtype);
  Tensor found = zeros(wanted.shape(), DType::Int64, wanted.device());
  int64_t step = 1;
  while (2 * step <= n) step *= 2;
  for (; step > 0 && n > 0; step /= 2) {
    const Tensor next = found + step;
    const Tensor at = binary(BinaryOp::minimum, next, Scalar::of(n)) - 1;
    const Tensor entry = gather(from, -1, at);
    // A NaN lies above all numbers.
    const Tensor nan = isnan(wanted), entry_nan = isnan(entry);
    const Tensor before = right ? (entry <= wanted) | nan : (entry < wanted) | (nan & (!entry_nan));
    found = where((next <= n) & before, next, found);
  }
  return reshape(found, values.shape());
}

Tensor bincount(const Tensor& x, const Tensor& weights, int64_t minlength) {
  const NoGrad no_grad;
  DNN_CHECK(x.ndim() == 1 && is_integral(x.dtype()), ValueError, "bincount: expected a 1-d integer tensor, got ", x.dtype(), " of shape ",
            x.shape());
  DNN_CHECK(minlength >= 0, ValueError, "bincount: expected minlength >= 0, got ", minlength);
  DNN_CHECK(!weights.defined() || weights.shape() == x.shape(), ValueError, "bincount: expected weights of shape ", x.shape(), ", got ",
            weights.shape());
  const Tensor at = to_dtype(x.detach(), DType::Int64);
  int64_t length = minlength;
  if (x.numel() > 0) {
    const int64_t low = host_value<int64_t>("bincount", reduce(ReduceOp::min, at, {}, false));
    DNN_CHECK(low >= 0, ValueError, "bincount: expected numbers of at least 0, got ", low);
    length = std::max(length, host_value<int64_t>("bincount", reduce(ReduceOp::max, at, {}, false)) + 1);
  }
  const DType dtype = !weights.defined() ? DType::Int64 : weights.dtype() == DType::Float32 ? DType::Float32 : DType::Float64;
  const Tensor counted = weights.defined() ? to_dtype(weights.detach(), dtype) : ones(x.shape(), dtype, x.device());
  return scatter_add(zeros({length}, dtype, x.device()), 0, at, counted);
}

// Bins of equal width, the last one closed; low = high takes the range of the data. Entries outside, and NaN, are not counted.
Tensor histc(const Tensor& x, int64_t bins, double low, double high) {
  const NoGrad no_grad;
  check_floating("histc", x);
  DNN_CHECK(bins > 0, ValueError, "histc: expected bins above 0, got ", bins);
  const Tensor flat = to_dtype(flatten(x.detach(), 0, -1), DType::Float64);
  if (low == high && flat.numel() > 0) {
    low = host_value<double>("histc", reduce(ReduceOp::min, flat, {}, false));
    high = host_value<double>("histc", reduce(ReduceOp::max, flat, {}, false));
  }
  if (low == high) low -= 1, high += 1;
  DNN_CHECK(std::isfinite(low) && std::isfinite(high) && low < high, ValueError, "histc: expected a finite range min < max, got ", low,
            " and ", high);
  const Tensor inside = masked_select(flat, (flat >= low) & (flat <= high));
  const Tensor bin = to_dtype((inside - low) * static_cast<double>(bins) / (high - low), DType::Int64);
  const Tensor last = binary(BinaryOp::minimum, bin, Scalar::of(bins - 1));
  return to_dtype(scatter_add(zeros({bins}, DType::Int64, x.device()), 0, last, ones(last.shape(), DType::Int64, x.device())), x.dtype());
}

Tensor isin(const Tensor& elements, const Tensor& test_elements) {
  const NoGrad no_grad;
  const Tensor known = sort(flatten(test_elements.detach(), 0, -1), 0, false).values;
  if (known.numel() == 0) return zeros(elements.shape(), DType::Bool, elements.device());
  const Tensor at = binary(BinaryOp::minimum, searchsorted(known, elements, false), Scalar::of(known.numel() - 1));
  return reshape(index(known, 0, {flatten(at, 0, -1)}), elements.shape()) == elements;
}

}  // namespace dnncore::ops
