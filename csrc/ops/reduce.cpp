#include "ops/common.h"

namespace dnncore::ops {

namespace {

const char* name(ReduceOp op) { return kReduceNames[static_cast<int>(op)]; }

// Whether the order of the elements is part of the answer.
bool picks_place(ReduceOp op) { return op == ReduceOp::argmax || op == ReduceOp::argmin; }

// Which dimensions are reduced.
struct Reduced {
  bool at[kMaxDims] = {};
  int64_t count = 1;  // elements per result
};

Reduced reduced_dims(ReduceOp op, const Tensor& x, const Shape& dims) {
  Reduced result;
  if (dims.empty()) std::fill_n(result.at, x.ndim(), true);
  for (int64_t dim : dims) {
    const int at = wrap_dim(name(op), dim, x.ndim());
    DNN_CHECK(!result.at[at], ValueError, name(op), ": dimension ", at, " appears twice in ", dims);
    result.at[at] = true;
  }
  for (int i = 0; i < x.ndim(); ++i)
    if (result.at[i]) result.count *= x.size(i);
  return result;
}

void check_reduction(ReduceOp op, const Tensor& x, const Shape& dims, int64_t count) {
  const bool picks = op == ReduceOp::max || op == ReduceOp::min || op == ReduceOp::argmax || op == ReduceOp::argmin;
  DNN_CHECK(!picks || count > 0, ValueError, name(op), ": expected at least one element to choose from, got shape ", x.shape(),
            " reduced over ", dims.empty() ? std::string("all dimensions") : to_string(dims));
  if (op == ReduceOp::mean) check_floating("mean", x);
}

void launch_reduce(ReduceOp op, const Tensor& x, const Tensor& y, const Reduced& reduced) {
  const Tensor workspace = Tensor::empty({ReduceArgs::kWorkspace}, DType::UInt8, x.device(), name(op));
  ReduceArgs args{.x = x.data(), .y = y.data(), .workspace = workspace.data(), .op = op, .dtype = x.dtype()};
  for (int i = 0; i < x.ndim(); ++i) {
    if (reduced.at[i]) {
      args.reduced_shape.push_back(x.size(i));
      args.reduced_strides.push_back(x.stride(i));
    } else {
      args.shape.push_back(x.size(i));
      args.x_strides.push_back(x.stride(i));
    }
  }
  args.y_strides = contiguous_strides(args.shape);
  Strides* kept[] = {&args.y_strides, &args.x_strides};
  coalesce(args.shape, kept, 2);
  Strides* inner[] = {&args.reduced_strides};
  (picks_place(op) ? join_dimensions : coalesce)(args.reduced_shape, inner, 1);
  launch(name(op), kernel::reduce, args, x.device());
}

// g or y, of the kept shape, with the reduced dimensions back as size 1.
Tensor with_kept_dims(const Tensor& y, const Shape& kept) { return reshape(y, kept); }

}  // namespace

void refuse_zeros_when_recording(const char* op, const Tensor& x) {
  if (!GradMode::enabled()) return;
  const NoGrad no_grad;
  const Tensor zero = reduce(ReduceOp::any, binary(BinaryOp::eq, x, Scalar::of(0.0)), {}, false);
  DNN_CHECK(!host_value<bool>("prod", zero), StateError, op, ": second derivatives are not available where a factor is 0");
}

namespace {

// d prod / dx_i is the product of the others: exact also where some x are 0.
Tensor prod_gradient(const Tensor& g, const Tensor& x, const Shape& dims) {
  refuse_zeros_when_recording("prod", x);
  const Scalar one = Scalar::of(1.0);
  const Tensor is_zero = binary(BinaryOp::eq, x, Scalar::of(0.0));
  const Tensor zeros_in = reduce(ReduceOp::sum, is_zero, dims, true);
  const Tensor zero = scalar_tensor(Scalar::of(0.0), x.dtype(), x.device());
  const Tensor no_zeros = where(is_zero, scalar_tensor(one, x.dtype(), x.device()), x);
  const Tensor product = reduce(ReduceOp::prod, no_zeros, dims, true);
  const Tensor none = binary(BinaryOp::eq, zeros_in, Scalar::of(int64_t{0}));
  const Tensor single = binary(BinaryOp::eq, zeros_in, Scalar::of(int64_t{1}));
  const Tensor at_zero = where(single, product, zero);
  const Tensor elsewhere = where(none, binary(BinaryOp::div, product, no_zeros), zero);
  return binary(BinaryOp::mul, g, where(is_zero, at_zero, elsewhere));
}

// Shared evenly among the elements that attain the extreme value; where there are NaNs these are they.
Tensor extreme_gradient(const Tensor& g, const Tensor& x, const Tensor& y, const Shape& dims) {
  const Tensor attains = binary(BinaryOp::bitwise_or, binary(BinaryOp::eq, x, y), unary(UnaryOp::isnan, x));
  const Tensor count = reduce(ReduceOp::sum, attains, dims, true);
  return where(attains, binary(BinaryOp::div, g, to_dtype(count, g.dtype())), scalar_tensor(Scalar::of(0.0), g.dtype(), g.device()));
}

void record_reduce(ReduceOp op, const Tensor& x, const Tensor& y, const Shape& dims, const Shape& kept, int64_t count) {
  if (op == ReduceOp::sum || op == ReduceOp::mean) {
    record(name(op), y, {&x}, [op, kept, count, from = x.shape()](const Node&, const Tensor& g) -> Grads {
      const Tensor share = op == ReduceOp::mean ? binary(BinaryOp::div, g, Scalar::of(static_cast<double>(count))) : g;
      return {expand(with_kept_dims(share, kept), from)};
    });
  } else if (op == ReduceOp::prod) {
    record(name(op), y, {&x}, [dims, kept, x = Saved::input(x)](const Node& node, const Tensor& g) -> Grads {
      return {prod_gradient(with_kept_dims(g, kept), x.get(node), dims)};
    });
  } else if (op == ReduceOp::max || op == ReduceOp::min) {
    record(name(op), y, {&x}, [dims, kept, x = Saved::input(x), y = Saved::output(y)](const Node& node, const Tensor& g) -> Grads {
      return {extreme_gradient(with_kept_dims(g, kept), x.get(node), with_kept_dims(y.get(node), kept), dims)};
    });
  }
}

}  // namespace

Tensor reduce(ReduceOp op, const Tensor& x, const Shape& dims, bool keepdim) {
  const Reduced reduced = reduced_dims(op, x, dims);
  check_reduction(op, x, dims, reduced.count);
  Shape shape, kept;
  for (int i = 0; i < x.ndim(); ++i) {
    kept.push_back(reduced.at[i] ? 1 : x.size(i));
    if (!reduced.at[i] || keepdim) shape.push_back(kept.back());
  }
  const DType out = ReduceArgs{.op = op, .dtype = x.dtype()}.out_dtype();
  const Tensor y = Tensor::empty(shape, out, x.device(), name(op));
  launch_reduce(op, x, y, reduced);
  if (is_floating(out) && any_requires_grad({&x})) record_reduce(op, x, y, dims, kept, reduced.count);
  return y;
}

Tensor variance(const Tensor& x, const Shape& dims, double correction, bool keepdim) {
  const Tensor mean = reduce(ReduceOp::mean, x, dims, true);
  const Tensor squares = unary(UnaryOp::square, binary(BinaryOp::sub, x, mean));
  const double count = static_cast<double>(x.numel()) / static_cast<double>(std::max<int64_t>(mean.numel(), 1));
  const Tensor sum = reduce(ReduceOp::sum, squares, dims, keepdim);
  return binary(BinaryOp::div, sum, Scalar::of(std::max(count - correction, 0.0)));
}

// Where all values are equal the slope is taken as 0, as PyTorch does; that of sqrt would be 0 / 0.
Tensor standard_deviation(const Tensor& x, const Shape& dims, double correction, bool keepdim) {
  const Tensor squared = variance(x, dims, correction, keepdim);
  if (!squared.requires_grad()) return unary(UnaryOp::sqrt, squared);
  const Tensor flat = binary(BinaryOp::eq, squared, Scalar::of(0.0));
  const Tensor zero = scalar_tensor(Scalar::of(0.0), squared.dtype(), squared.device()),
               one = scalar_tensor(Scalar::of(1.0), squared.dtype(), squared.device());
  return where(flat, zero, unary(UnaryOp::sqrt, where(flat, one, squared)));
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Shape dims;
  const int extra = x.ndim() - shape.ndim();
  for (int i = 0; i < x.ndim(); ++i)
    if (i < extra || (shape[i - extra] == 1 && x.size(i) != 1)) dims.push_back(i);
  const Tensor summed = dims.empty() ? x : reduce(ReduceOp::sum, x, dims, true);
  return reshape(summed, shape);
}

}  // namespace dnncore::ops
