// Selection along a dimension. Gradients of gather and scatter_add are each other, so that they can be taken again.
#include <cmath>

#include "kernels/along.h"
#include "ops/expressions.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

void check_positions(const char* op, const Tensor& index, int dim, int64_t size) {
  if (index.numel() == 0) return;
  const NoGrad no_grad;
  const Tensor flat = index.detach();
  const Tensor low = reduce(ReduceOp::min, flat, {}, false), high = reduce(ReduceOp::max, flat, {}, false);
  host_check({&low, &high}, [op, dim, size](const void* const* data) {
    const int64_t least = *static_cast<const int64_t*>(data[0]), most = *static_cast<const int64_t*>(data[1]);
    DNN_CHECK(least >= 0 && most < size, IndexError, op, ": index ", least < 0 ? least : most, " is out of bounds for dimension ", dim,
              " with size ", size);
  });
}

// A 0-D tensor counts as a vector of one entry.
Tensor with_dims(const Tensor& x) { return x.ndim() == 0 ? reshape(x, {1}) : x; }

int check_along(const char* op, const Tensor& x, int64_t dim, const Tensor& index) {
  DNN_CHECK(index.dtype() == DType::Int64, TypeError, op, ": expected an int64 index, got ", index.dtype());
  DNN_CHECK(index.ndim() == x.ndim(), ValueError, op, ": expected an index of ", x.ndim(), " dimensions, got shape ", index.shape());
  check_device(op, x, index);
  const int at = wrap_dim(op, dim, x.ndim());
  for (int i = 0; i < x.ndim() && index.numel() > 0; ++i)
    DNN_CHECK(i == at || index.size(i) <= x.size(i), ValueError, op, ": index of shape ", index.shape(), " exceeds the tensor of shape ",
              x.shape(), " outside dimension ", at);
  check_positions(op, index, at, x.size(at));
  return at;
}

Shape without(const Shape& shape, int dim) {
  Shape result = shape;
  result.erase(dim);
  if (result.empty()) result.push_back(1);
  return result;
}

Strides strides_without(const Tensor& x, int dim) {
  Strides result = x.strides();
  result.erase(dim);
  if (result.empty()) result.push_back(0);
  return result;
}

// x[index along dim] = op(.., values) in place; x is fresh, values at least as large as the index.
void launch_scatter(const char* op, const Tensor& x, int dim, const Tensor& index, const Tensor& values, ScatterOp how) {
  ScatterDimArgs args{.x = x.data(),
                      .index = index.data<int64_t>(),
                      .values = values.data(),
                      .shape = without(index.shape(), dim),
                      .x_strides = strides_without(x, dim),
                      .index_strides = strides_without(index, dim),
                      .value_strides = strides_without(values, dim),
                      .n = index.size(dim),
                      .size = x.size(dim),
                      .x_step = x.stride(dim),
                      .index_step = index.stride(dim),
                      .value_step = values.stride(dim),
                      .op = how,
                      .dtype = x.dtype()};
  Strides* strides[] = {&args.index_strides, &args.x_strides, &args.value_strides};
  coalesce(args.shape, strides, 3);
  launch(op, kernel::scatter_dim, args, x.device());
}

// Halves are combined in float32 and rounded once. No gradient link.
Tensor scattered(const char* op, const Tensor& x, int dim, const Tensor& index, const Tensor& src, ScatterOp how) {
  const bool wide = how != ScatterOp::assign && is_half(x.dtype());
  const DType dtype = wide ? DType::Float32 : x.dtype();
  const NoGrad no_grad;
  const Tensor y = copy_of(x.detach(), dtype, op);
  if (index.numel() > 0) launch_scatter(op, y, dim, index, to_dtype(src.detach(), dtype), how);
  return to_dtype(y, x.dtype());
}

// The part of src that an index of this shape reads.
Tensor part_for(const char* op, const Tensor& src, const Tensor& x, const Tensor& index) {
  DNN_CHECK(src.dtype() == x.dtype(), TypeError, op, ": expected src of ", x.dtype(), " as the tensor, got ", src.dtype());
  DNN_CHECK(src.ndim() == index.ndim(), ValueError, op, ": expected src of ", index.ndim(), " dimensions, got shape ", src.shape());
  Tensor part = src;
  for (int i = 0; i < index.ndim(); ++i) {
    DNN_CHECK(index.size(i) <= src.size(i) || index.numel() == 0, ValueError, op, ": index of shape ", index.shape(),
              " exceeds src of shape ", src.shape());
    if (index.size(i) < src.size(i)) part = slice(part, i, 0, index.size(i), 1);
  }
  return part;
}

// Whether an entry of the index is the last one to write its place.
Tensor writes_last(const Shape& shape, int dim, const Tensor& index) {
  const NoGrad no_grad;
  const Tensor order = reshape(positions(index.numel(), index.device()), index.shape());
  const Tensor winner = scattered("scatter", zeros(shape, DType::Int64, index.device()), dim, index, order, ScatterOp::assign);
  return gather(winner, dim, index) == order;
}

// The neutral element of a reduction.
Scalar neutral(ScatterOp how, DType dtype) {
  if (how == ScatterOp::sum) return Scalar::of(int64_t{0});
  if (how == ScatterOp::prod) return Scalar::of(int64_t{1});
  const bool most = how == ScatterOp::amin;
  if (is_floating(dtype)) return Scalar::of(most ? HUGE_VAL : -HUGE_VAL);
  switch (dtype) {
    case DType::Int64:
      return Scalar::of(most ? INT64_MAX : INT64_MIN);
    case DType::Int32:
      return Scalar::of(int64_t{most ? INT32_MAX : INT32_MIN});
    case DType::UInt8:
      return Scalar::of(int64_t{most ? 255 : 0});
    default:
      return Scalar::of(int64_t{most});
  }
}

// The product of the others, exact also where some are 0: `product` is that of all entries that are not 0, `zeros` how many are.
Tensor others(const Tensor& value, const Tensor& is_zero, const Tensor& product, const Tensor& zeros_in) {
  const Tensor zero = number_like(product, 0);
  const Tensor filled = where(is_zero, number_like(value, 1), value);
  return where(is_zero, where(zeros_in == 1, product, zero), where(zeros_in == 0, product / filled, zero));
}

Tensor scatter_prod(const Tensor& x, int at, const Tensor& index, const Tensor& src) {
  const Tensor y = scattered("scatter_reduce", x, at, index, src, ScatterOp::prod);
  if (!is_floating(x.dtype()) || !any_requires_grad({&x, &src})) return y;
  record("scatter_reduce", y, {&x, &src},
         [at, x = Saved::input(x), index = Saved::input(index), src = Saved::input(src)](const Node& node, const Tensor& g) -> Grads {
           const Tensor a = x.get(node), b = src.get(node), i = index.get(node), one = number_like(a, 1);
           refuse_zeros_when_recording("scatter_reduce", a);
           refuse_zeros_when_recording("scatter_reduce", b);
           const Tensor a_zero = a == 0.0, b_zero = b == 0.0;
           const Tensor zeros_in =
               scattered("scatter_reduce", to_dtype(a_zero, DType::Int64), at, i, to_dtype(b_zero, DType::Int64), ScatterOp::sum);
           const Tensor product = scatter_prod(where(a_zero, one, a), at, i, where(b_zero, one, b));
           return {node.needs(0) ? g * others(a, a_zero, product, zeros_in) : Tensor(),
                   node.needs(1) ? gather(g, at, i) * others(b, b_zero, gather(product, at, i), gather(zeros_in, at, i)) : Tensor()};
         });
  return y;
}

// Gradient shared evenly among the entries that attain the extreme; where there are NaNs these are they.
Tensor scatter_extreme(const Tensor& x, int at, const Tensor& index, const Tensor& src, ScatterOp how) {
  const Tensor y = scattered("scatter_reduce", x, at, index, src, how);
  if (!is_floating(x.dtype()) || !any_requires_grad({&x, &src})) return y;
  record("scatter_reduce", y, {&x, &src},
         [at, x = Saved::input(x), index = Saved::input(index), src = Saved::input(src), y = Saved::output(y)](const Node& node,
                                                                                                               const Tensor& g) -> Grads {
           const Tensor a = x.get(node), b = src.get(node), i = index.get(node), best = y.get(node).detach(), zero = number_like(g, 0);
           const Tensor a_attains = (a == best) | isnan(a), b_attains = (b == gather(best, at, i)) | isnan(b);
           const Tensor count = scatter_add(to_dtype(a_attains, g.dtype()), at, i, to_dtype(b_attains, g.dtype()));
           const Tensor share = g / count;
           return {where(a_attains, share, zero), where(b_attains, gather(share, at, i), zero)};
         });
  return y;
}

// One index per position of the dimension; int32 is taken too.
Tensor checked_vector(const char* op, const Tensor& x, int64_t dim, const Tensor& index) {
  DNN_CHECK(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, TypeError, op, ": expected an int64 index, got ",
            index.dtype());
  DNN_CHECK(index.ndim() <= 1, ValueError, op, ": expected a 1-d index, got shape ", index.shape());
  const Tensor vector = with_dims(to_dtype(index, DType::Int64));
  const int at = wrap_dim(op, dim, x.ndim());
  check_positions(op, vector, at, x.ndim() == 0 ? 1 : x.size(at));
  return vector;
}

Shape with_size(const Shape& shape, int dim, int64_t size) {
  Shape result = shape;
  result[dim] = size;
  return result;
}

void check_source(const char* op, const Tensor& x, const Tensor& source, int at, const Tensor& index) {
  const Shape expected = with_size(x.shape(), at, index.numel());
  DNN_CHECK(source.shape() == expected, ValueError, op, ": expected a source of shape ", expected, ", got ", source.shape());
  DNN_CHECK(source.dtype() == x.dtype(), TypeError, op, ": expected a source of ", x.dtype(), " as the tensor, got ", source.dtype());
}

// A copy of x with slices along `at` set, or added to.
Tensor with_slices(const Tensor& x, int at, const Tensor& index, const Tensor& source, bool accumulate) {
  const NoGrad no_grad;
  const DType dtype = accumulate && is_half(x.dtype()) ? DType::Float32 : x.dtype();
  const Tensor y = copy_of(x.detach(), dtype, accumulate ? "index_add" : "index_copy");
  if (index.numel() > 0 && x.numel() > 0) index_put_(y, at, {index}, to_dtype(source.detach(), dtype), accumulate);
  return to_dtype(y, x.dtype());
}

}  // namespace

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index) {
  if (x.ndim() == 0 || index.ndim() == 0) return reshape(gather(with_dims(x), dim, with_dims(index)), index.shape());
  const int at = check_along("gather", x, dim, index);
  const Tensor y = Tensor::empty(index.shape(), x.dtype(), x.device(), "gather");
  GatherDimArgs args{.x = x.data(),
                     .index = index.data<int64_t>(),
                     .y = y.data(),
                     .shape = without(index.shape(), at),
                     .x_strides = strides_without(x, at),
                     .index_strides = strides_without(index, at),
                     .y_strides = strides_without(y, at),
                     .n = index.size(at),
                     .size = x.size(at),
                     .x_step = x.stride(at),
                     .index_step = index.stride(at),
                     .y_step = y.stride(at),
                     .dtype = x.dtype()};
  Strides* strides[] = {&args.index_strides, &args.x_strides, &args.y_strides};
  coalesce(args.shape, strides, 3);
  if (index.numel() > 0) launch("gather", kernel::gather_dim, args, x.device());
  if (is_floating(x.dtype()) && any_requires_grad({&x}))
    record("gather", y, {&x}, [at, index = Saved::input(index), from = x.shape()](const Node& node, const Tensor& g) -> Grads {
      return {scatter_add(zeros(from, g.dtype(), g.device()), at, index.get(node), g)};
    });
  return y;
}

Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  if (x.ndim() == 0) return reshape(scatter(with_dims(x), dim, with_dims(index), with_dims(src)), {});
  const int at = check_along("scatter", x, dim, index);
  const Tensor part = part_for("scatter", src, x, index);
  const Tensor y = scattered("scatter", x, at, index, part, ScatterOp::assign);
  if (is_floating(x.dtype()) && any_requires_grad({&x, &part}))
    record("scatter", y, {&x, &part}, [at, index = Saved::input(index), shape = x.shape()](const Node& node, const Tensor& g) -> Grads {
      const Tensor i = index.get(node);
      Grads grads(2);
      if (node.needs(0)) grads[0] = scatter(g, at, i, Scalar::of(0.0));
      if (node.needs(1)) grads[1] = where(writes_last(shape, at, i), gather(g, at, i), number_like(g, 0));
      return grads;
    });
  return y;
}

Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Scalar& value) {
  return scatter(x, dim, index, expand(scalar_tensor(value, x.dtype(), x.device()), index.shape()));
}

Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  if (x.ndim() == 0) return reshape(scatter_add(with_dims(x), dim, with_dims(index), with_dims(src)), {});
  const int at = check_along("scatter_add", x, dim, index);
  const Tensor part = part_for("scatter_add", src, x, index);
  const Tensor y = scattered("scatter_add", x, at, index, part, ScatterOp::sum);
  if (is_floating(x.dtype()) && any_requires_grad({&x, &part}))
    record("scatter_add", y, {&x, &part}, [at, index = Saved::input(index)](const Node& node, const Tensor& g) -> Grads {
      return {g, node.needs(1) ? gather(g, at, index.get(node)) : Tensor()};
    });
  return y;
}

Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, const std::string& reduce, bool include_self) {
  if (x.ndim() == 0) return reshape(scatter_reduce(with_dims(x), dim, with_dims(index), with_dims(src), reduce, include_self), {});
  const std::pair<const char*, ScatterOp> known[] = {
      {"sum", ScatterOp::sum}, {"mean", ScatterOp::sum}, {"prod", ScatterOp::prod}, {"amax", ScatterOp::amax}, {"amin", ScatterOp::amin}};
  const auto* found = std::find_if(std::begin(known), std::end(known), [&](const auto& entry) { return reduce == entry.first; });
  DNN_CHECK(found != std::end(known), ValueError, "scatter_reduce: expected reduce 'sum', 'prod', 'mean', 'amax' or 'amin', got '", reduce,
            "'");
  const ScatterOp how = found->second;
  const int at = check_along("scatter_reduce", x, dim, index);
  const Tensor part = part_for("scatter_reduce", src, x, index);
  const Tensor start = include_self ? x : scatter(x, at, index, neutral(how, x.dtype()));
  if (how == ScatterOp::prod) return scatter_prod(start, at, index, part);
  if (how != ScatterOp::sum) return scatter_extreme(start, at, index, part, how);
  const Tensor total = scatter_add(start, at, index, part);
  if (reduce == "sum") return total;
  const Tensor ones_in = ones(x.shape(), DType::Int64, x.device());
  const Tensor count = scatter_add(include_self ? ones_in : scatter(ones_in, at, index, Scalar::of(int64_t{0})), at, index,
                                   ones(index.shape(), DType::Int64, x.device()));
  const Tensor at_least_one = binary(BinaryOp::maximum, count, Scalar::of(int64_t{1}));
  if (!is_floating(x.dtype())) return to_dtype(binary(BinaryOp::floor_divide, total, at_least_one), x.dtype());
  return total / to_dtype(at_least_one, x.dtype());
}

Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim) {
  DNN_CHECK(indices.dtype() == DType::Int64, TypeError, "take_along_dim: expected int64 indices, got ", indices.dtype());
  if (!dim) return gather(flatten(x, 0, -1), 0, flatten(indices, 0, -1));
  DNN_CHECK(x.ndim() == indices.ndim(), ValueError, "take_along_dim: expected indices of ", x.ndim(), " dimensions, got shape ",
            indices.shape());
  const int at = existing_dim("take_along_dim", *dim, x.ndim());
  const Shape joined = broadcast_shapes("take_along_dim", with_size(x.shape(), at, 1), with_size(indices.shape(), at, 1));
  return gather(expand(x, with_size(joined, at, x.size(at))), at, expand(indices, with_size(joined, at, indices.size(at))));
}

Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source, const Scalar& alpha) {
  if (x.ndim() == 0) return reshape(index_add(with_dims(x), dim, index, with_dims(source), alpha), {});
  const Tensor vector = checked_vector("index_add", x, dim, index);
  const int at = wrap_dim("index_add", dim, x.ndim());
  check_source("index_add", x, source, at, vector);
  const bool scaled = alpha.as_double != 1;
  const Tensor added = scaled ? to_dtype(binary(BinaryOp::mul, source, alpha), x.dtype()) : source;
  const Tensor y = with_slices(x, at, vector, added, true);
  if (is_floating(x.dtype()) && any_requires_grad({&x, &added}))
    record("index_add", y, {&x, &added}, [at, index = Saved::input(vector)](const Node& node, const Tensor& g) -> Grads {
      return {g, node.needs(1) ? ops::index(g, at, {index.get(node)}) : Tensor()};
    });
  return y;
}

// Of equal positions the last one stays; the gradient takes them as different, as PyTorch does.
Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source) {
  if (x.ndim() == 0) return reshape(index_copy(with_dims(x), dim, index, with_dims(source)), {});
  const Tensor vector = checked_vector("index_copy", x, dim, index);
  const int at = wrap_dim("index_copy", dim, x.ndim());
  check_source("index_copy", x, source, at, vector);
  const Tensor y = with_slices(x, at, vector, source, false);
  if (is_floating(x.dtype()) && any_requires_grad({&x, &source}))
    record("index_copy", y, {&x, &source}, [at, index = Saved::input(vector)](const Node& node, const Tensor& g) -> Grads {
      return {node.needs(0) ? index_fill(g, at, index.get(node), number_like(g, 0)) : Tensor(),
              node.needs(1) ? ops::index(g, at, {index.get(node)}) : Tensor()};
    });
  return y;
}

Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& value) {
  DNN_CHECK(value.ndim() == 0, ValueError, "index_fill: expected a number or a 0-d tensor, got shape ", value.shape());
  if (x.ndim() == 0) return reshape(index_fill(with_dims(x), dim, index, value), {});
  const Tensor vector = checked_vector("index_fill", x, dim, index);
  const int at = wrap_dim("index_fill", dim, x.ndim());
  const Tensor chosen = zeros({x.size(at)}, DType::Bool, x.device());
  if (vector.numel() > 0) index_put_(chosen, 0, {vector}, scalar_tensor(Scalar::of(true), DType::Bool, x.device()), false);
  return where(along(chosen, at, x.ndim()), to_dtype(value, x.dtype()), x);
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  DNN_CHECK(mask.dtype() == DType::Bool, TypeError, "masked_select: expected a bool mask, got ", mask.dtype());
  const Shape shape = broadcast_shapes("masked_select", x.shape(), mask.shape());
  const Tensor all = with_dims(expand(x, shape)), chosen = with_dims(expand(mask, shape));
  return ops::index(all, 0, nonzero(chosen));
}

Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source) {
  DNN_CHECK(mask.dtype() == DType::Bool, TypeError, "masked_scatter: expected a bool mask, got ", mask.dtype());
  DNN_CHECK(source.dtype() == x.dtype(), TypeError, "masked_scatter: expected a source of ", x.dtype(), " as the tensor, got ",
            source.dtype());
  const Shape shape = broadcast_shapes("masked_scatter", x.shape(), mask.shape());
  const Tensor all = expand(x, shape), chosen = flatten(expand(mask, shape), 0, -1);
  const Tensor rank = cumsum(to_dtype(chosen, DType::Int64), 0);
  const int64_t count = chosen.numel() > 0 ? host_value<int64_t>("masked_scatter", select(rank, 0, -1)) : 0;
  DNN_CHECK(count <= source.numel(), ValueError, "masked_scatter: expected a source of at least ", count, " elements, got shape ",
            source.shape());
  if (count == 0) return clone(all);
  const Tensor from = binary(BinaryOp::maximum, rank - 1, Scalar::of(int64_t{0}));
  const Tensor values = ops::index(flatten(source, 0, -1), 0, {from});
  return where(reshape(chosen, shape), reshape(values, shape), all);
}

}  // namespace dnncore::ops
