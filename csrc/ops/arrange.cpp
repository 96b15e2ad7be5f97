// Elements in another order: views where strides can say it, else copies by existing ops.
#include "ops/expressions.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

struct Diagonal {
  int dim1, dim2;
  int64_t row, column, size;  // where it begins, how long it is
};

Diagonal diagonal_of(const char* op, const Shape& shape, int64_t offset, int64_t dim1, int64_t dim2) {
  DNN_CHECK(shape.ndim() >= 2, ValueError, op, ": expected at least 2 dimensions, got shape ", shape);
  Diagonal d{wrap_dim(op, dim1, shape.ndim()), wrap_dim(op, dim2, shape.ndim()), std::max<int64_t>(-offset, 0),
             std::max<int64_t>(offset, 0), 0};
  DNN_CHECK(d.dim1 != d.dim2, ValueError, op, ": expected two different dimensions, got ", dim1, " and ", dim2);
  d.size = std::max<int64_t>(0, std::min(shape[d.dim1] - d.row, shape[d.dim2] - d.column));
  return d;
}

Tensor diagonal_view(const Tensor& x, const Diagonal& d) {
  Shape shape = x.shape(), strides = x.strides();
  const int64_t step = strides[d.dim1] + strides[d.dim2];
  const int64_t begin = d.size > 0 ? d.row * strides[d.dim1] + d.column * strides[d.dim2] : 0;
  for (int dim : {std::max(d.dim1, d.dim2), std::min(d.dim1, d.dim2)}) {
    shape.erase(dim);
    strides.erase(dim);
  }
  shape.push_back(d.size);
  strides.push_back(step);
  return x.view_as(shape, strides, x.impl()->offset + begin);
}

// Zeros of `shape` with g on a diagonal: the gradient of diagonal(), whose gradient is diagonal() again.
Tensor on_diagonal(const Tensor& g, const Shape& shape, int64_t offset, int64_t dim1, int64_t dim2) {
  const Tensor whole = zeros(shape, g.dtype(), g.device());
  launch_copy("diagonal_backward", g, diagonal_view(whole, diagonal_of("diagonal", shape, offset, dim1, dim2)), true);
  if (any_requires_grad({&g}))
    record("diagonal_backward", whole, {&g},
           [offset, dim1, dim2](const Node&, const Tensor& gg) -> Grads { return {diagonal(gg, offset, dim1, dim2)}; });
  return whole;
}

Tensor unfold_view(const Tensor& x, int at, int64_t size, int64_t step) {
  Shape shape = x.shape(), strides = x.strides();
  shape[at] = (x.size(at) - size) / step + 1;
  strides[at] = shape[at] > 1 ? x.stride(at) * step : x.stride(at);
  shape.push_back(size);
  strides.push_back(x.stride(at));
  return x.view_as(shape, strides, x.impl()->offset);
}

// Windows added back to where they came from, one place of the window at a time.
Tensor folded(const Tensor& g, const Shape& shape, int at, int64_t size, int64_t step) {
  const Tensor whole = zeros(shape, g.dtype(), g.device());
  {
    const NoGrad no_grad;
    const int64_t count = g.size(at);
    for (int64_t k = 0; k < size; ++k)
      binary_(BinaryOp::add, slice(whole, at, k, k + (count - 1) * step + 1, step), select(g.detach(), -1, k));
  }
  if (any_requires_grad({&g}))
    record("unfold_backward", whole, {&g},
           [at, size, step](const Node&, const Tensor& gg) -> Grads { return {unfold(gg, at, size, step)}; });
  return whole;
}

Tensor roll_dim(const Tensor& x, int64_t shift, int at) {
  const int64_t size = x.size(at);
  const int64_t first = size > 0 ? ((size - shift % size) % size) : 0;
  if (first == 0) return x;
  return cat({slice(x, at, first, size, 1), slice(x, at, 0, first, 1)}, at);
}

}  // namespace

Tensor roll(const Tensor& x, const Shape& shifts, const Shape& dims) {
  if (dims.empty()) {
    DNN_CHECK(shifts.ndim() == 1, ValueError, "roll: expected one shift where no dims are given, got ", shifts);
    if (x.numel() == 0) return clone(x);
    return clone(reshape(roll_dim(reshape(x, {-1}), shifts[0], 0), x.shape()));
  }
  DNN_CHECK(shifts.ndim() == dims.ndim(), ValueError, "roll: expected as many shifts as dims, got ", shifts, " and ", dims);
  Tensor y = x;
  for (int i = 0; i < dims.ndim(); ++i) y = roll_dim(y, shifts[i], existing_dim("roll", dims[i], x.ndim()));
  return y.is(x) ? clone(x) : y;
}

Tensor triangle(const char* op, const Tensor& x, int64_t diagonal, bool lower) {
  DNN_CHECK(x.ndim() >= 2, ValueError, op, ": expected at least 2 dimensions, got shape ", x.shape());
  const int64_t columns = x.size(x.ndim() - 1), rows = x.size(x.ndim() - 2);
  diagonal = std::clamp(diagonal, -rows, columns);
  const Tensor column = positions(columns, x.device()), row = unsqueeze(positions(rows, x.device()) + diagonal, 1);
  return where(lower ? column <= row : column >= row, x, number_like(x, 0));
}

Tensor triangle_indices(const char* op, int64_t rows, int64_t columns, int64_t offset, bool lower) {
  DNN_CHECK(rows >= 0 && columns >= 0, ValueError, op, ": expected sizes of at least 0, got ", rows, " and ", columns);
  return stack(nonzero(triangle(op, ones({rows, columns}, DType::Bool, Device{}), offset, lower)), 0);
}

Tensor diagonal(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  const Tensor y = diagonal_view(x, diagonal_of("diagonal", x.shape(), offset, dim1, dim2));
  if (any_requires_grad({&x}))
    record("diagonal", y, {&x}, [from = x.shape(), offset, dim1, dim2](const Node&, const Tensor& g) -> Grads {
      return {on_diagonal(g, from, offset, dim1, dim2)};
    });
  return y;
}

Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  DNN_CHECK(x.ndim() >= 1, ValueError, "diag_embed: expected at least 1 dimension, got a 0-d tensor");
  int first = wrap_dim("diag_embed", dim1, x.ndim() + 1), second = wrap_dim("diag_embed", dim2, x.ndim() + 1);
  DNN_CHECK(first != second, ValueError, "diag_embed: expected two different dimensions, got ", dim1, " and ", dim2);
  const int64_t size = x.size(x.ndim() - 1) + std::abs(offset);
  Shape shape = x.shape();
  shape.erase(x.ndim() - 1);
  shape.insert(std::min(first, second), size);
  shape.insert(std::max(first, second), size);
  return on_diagonal(x, shape, offset, first, second);
}

Tensor diag(const Tensor& x, int64_t offset) {
  DNN_CHECK(x.ndim() == 1 || x.ndim() == 2, ValueError, "diag: expected 1 or 2 dimensions, got shape ", x.shape());
  return x.ndim() == 1 ? diag_embed(x, offset, 0, 1) : clone(diagonal(x, offset, 0, 1));
}

Tensor trace(const Tensor& x) {
  DNN_CHECK(x.ndim() == 2, ValueError, "trace: expected 2 dimensions, got shape ", x.shape());
  return sum(diagonal(x, 0, 0, 1));
}

Tensor repeat(const char* op, const Tensor& x, const Shape& repeats) {
  DNN_CHECK(repeats.ndim() >= x.ndim(), ValueError, op, ": expected at least ", x.ndim(), " repeats for a tensor of shape ", x.shape(),
            ", got ", repeats);
  const int extra = repeats.ndim() - x.ndim();
  Shape apart, wide, shape;
  for (int i = 0; i < repeats.ndim(); ++i) {
    DNN_CHECK(repeats[i] >= 0, ValueError, op, ": expected repeats of at least 0, got ", repeats);
    const int64_t size = i < extra ? 1 : x.size(i - extra);
    shape.push_back(size * repeats[i]);
    if (size != 1 && repeats[i] != 1) {  // beside each other, so that few dimensions suffice
      apart.push_back(1);
      wide.push_back(repeats[i]);
    }
    apart.push_back(size);
    wide.push_back(size == 1 ? repeats[i] : size);
  }
  const Tensor y = reshape(expand(reshape(x, apart), wide), shape);
  return y.storage() == x.storage() ? clone(y) : y;
}

Tensor tile(const Tensor& x, const Shape& repeats) {
  Shape all = repeats;
  while (all.ndim() < x.ndim()) all.insert(0, 1);
  return repeat("tile", x, all);
}

Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, std::optional<int64_t> dim) {
  DNN_CHECK(is_integral(repeats.dtype()) && repeats.ndim() <= 1, ValueError,
            "repeat_interleave: expected whole repeats of 0 or 1 dimensions, got ", repeats.dtype(), " of shape ", repeats.shape());
  const Tensor from = dim && x.ndim() > 0 ? x : reshape(x, {-1});
  const int at = dim && x.ndim() > 0 ? wrap_dim("repeat_interleave", *dim, x.ndim()) : 0;
  const int64_t n = from.size(at);
  DNN_CHECK(repeats.numel() == 1 || repeats.numel() == n, ValueError, "repeat_interleave: expected 1 or ", n, " repeats, got ",
            repeats.numel());
  const Tensor counts = expand(reshape(to_dtype(repeats.detach(), DType::Int64), {-1}), {n});
  if (n == 0) return clone(from);
  DNN_CHECK(host_value<int64_t>("repeat_interleave", reduce(ReduceOp::min, counts, {}, false)) >= 0, ValueError,
            "repeat_interleave: expected repeats of at least 0");
  const double results = host_value<double>("repeat_interleave", reduce(ReduceOp::sum, to_dtype(counts, DType::Float64), {}, false));
  DNN_CHECK(results < 0x1p62, ValueError, "repeat_interleave: the repeats make up more entries than a tensor can have");
  const Tensor ends = cumsum(counts, 0);
  const int64_t total = host_value<int64_t>("repeat_interleave", select(ends, 0, -1));
  return index(from, at, {searchsorted(ends, positions(total, x.device()), true)});
}

Tensor movedim(const Tensor& x, const Shape& source, const Shape& destination) {
  DNN_CHECK(source.ndim() == destination.ndim(), ValueError, "movedim: expected as many destinations as sources, got ", source, " and ",
            destination);
  Shape order = Shape::filled(x.ndim(), -1);
  bool moved[kMaxDims] = {};
  for (int i = 0; i < source.ndim(); ++i) {
    const int from = existing_dim("movedim", source[i], x.ndim()), to = existing_dim("movedim", destination[i], x.ndim());
    DNN_CHECK(!moved[from] && order[to] < 0, ValueError, "movedim: a dimension appears twice in ", source, " or ", destination);
    order[to] = from;
    moved[from] = true;
  }
  for (int to = 0, from = 0; to < x.ndim(); ++to) {
    if (order[to] >= 0) continue;
    while (moved[from]) ++from;
    order[to] = from++;
  }
  return permute(x, order);
}

Tensor unflatten(const Tensor& x, int64_t dim, const Shape& sizes) {
  const int at = existing_dim("unflatten", dim, x.ndim());
  DNN_CHECK(!sizes.empty(), ValueError, "unflatten: expected at least one size");
  int64_t known = 1;
  int unknown = 0;
  for (int64_t size : sizes) size == -1 ? ++unknown : known *= size;
  const bool fits = unknown == 0 ? known == x.size(at) : unknown == 1 && known > 0 && x.size(at) % known == 0;
  DNN_CHECK(fits, ValueError, "unflatten: sizes ", sizes, " do not make up dimension ", at, " with size ", x.size(at));
  Shape shape;
  for (int i = 0; i < at; ++i) shape.push_back(x.size(i));
  for (int64_t size : sizes) shape.push_back(size == -1 ? x.size(at) / known : size);
  for (int i = at + 1; i < x.ndim(); ++i) shape.push_back(x.size(i));
  return view(x, shape);
}

Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step) {
  if (x.ndim() == 0) return select(unfold(reshape(x, {1}), dim, size, step), 0, 0);
  const int at = wrap_dim("unfold", dim, x.ndim());
  DNN_CHECK(size >= 0 && size <= x.size(at), ValueError, "unfold: expected a size between 0 and ", x.size(at), ", the size of dimension ",
            at, ", got ", size);
  DNN_CHECK(step > 0, ValueError, "unfold: expected a step above 0, got ", step);
  const Tensor y = unfold_view(x, at, size, step);
  if (any_requires_grad({&x}))
    record("unfold", y, {&x},
           [from = x.shape(), at, size, step](const Node&, const Tensor& g) -> Grads { return {folded(g, from, at, size, step)}; });
  return y;
}

std::vector<Tensor> tensor_split(const char* op, const Tensor& x, const std::vector<int64_t>& at, int64_t dim) {
  const int d = existing_dim(op, dim, x.ndim());
  std::vector<Tensor> parts;
  int64_t start = 0;
  for (int64_t stop : at) {
    parts.push_back(slice(x, d, start, stop, 1));
    start = stop;
  }
  parts.push_back(slice(x, d, start, x.size(d), 1));
  return parts;
}

std::vector<Tensor> tensor_split(const char* op, const Tensor& x, int64_t sections, int64_t dim) {
  const int d = existing_dim(op, dim, x.ndim());
  DNN_CHECK(sections > 0, ValueError, op, ": expected a number of sections above 0, got ", sections);
  const int64_t size = x.size(d), longer = size % sections;
  std::vector<int64_t> at;
  for (int64_t i = 1; i < sections; ++i) at.push_back(i * (size / sections) + std::min(i, longer));
  return tensor_split(op, x, at, d);
}

std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors) {
  Shape shape;
  for (const Tensor& tensor : tensors) shape = broadcast_shapes("broadcast_tensors", shape, tensor.shape());
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(expand(tensor, shape));
  return result;
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& tensors, bool swap_first_two) {
  DNN_CHECK(!tensors.empty(), ValueError, "meshgrid: expected at least one tensor");
  const int n = static_cast<int>(tensors.size());
  const bool swap = swap_first_two && n >= 2;
  std::vector<Tensor> seen;
  Shape shape;
  for (int i = 0; i < n; ++i) {
    const Tensor& tensor = tensors[static_cast<size_t>(i)];
    DNN_CHECK(tensor.ndim() <= 1, ValueError, "meshgrid: expected tensors of 0 or 1 dimensions, got shape ", tensor.shape());
    DNN_CHECK(tensor.dtype() == tensors[0].dtype(), TypeError, "meshgrid: expected tensors of one dtype, got ", tensors[0].dtype(), " and ",
              tensor.dtype());
    seen.push_back(along(tensor, i, n));
    shape.push_back(tensor.numel());
  }
  for (Tensor& tensor : seen) {
    tensor = expand(tensor, shape);
    if (swap) tensor = transpose(tensor, 0, 1);
  }
  return seen;
}

Tensor at_least(const Tensor& x, int ndim) {
  Tensor y = x;
  if (y.ndim() == 0) y = reshape(y, {1});
  if (ndim >= 2 && y.ndim() == 1) y = unsqueeze(y, 0);
  if (ndim >= 3 && y.ndim() == 2) y = unsqueeze(y, 2);
  return y;
}

Tensor one_hot(const Tensor& x, int64_t classes) {
  const NoGrad no_grad;
  DNN_CHECK(x.dtype() == DType::Int64, TypeError, "one_hot: expected an int64 tensor, got ", x.dtype(), "; cast with .long()");
  DNN_CHECK(classes == -1 || classes > 0, ValueError, "one_hot: expected num_classes of -1 or above 0, got ", classes);
  DNN_CHECK(x.numel() > 0 || classes > 0, ValueError, "one_hot: num_classes cannot be inferred from an empty tensor");
  const Tensor numbers = contiguous(x);
  if (classes == -1) classes = host_value<int64_t>("one_hot", reduce(ReduceOp::max, numbers, {}, false)) + 1;
  host_check({&numbers}, [classes, count = x.numel()](const void* const* data) {
    const auto* number = static_cast<const int64_t*>(data[0]);
    for (int64_t i = 0; i < count; ++i)
      DNN_CHECK(number[i] >= 0 && number[i] < classes, ValueError, "one_hot: expected class indices between 0 and ", classes - 1, ", got ",
                number[i]);
  });
  Shape shape = x.shape();
  shape.push_back(classes);
  return scatter(zeros(shape, DType::Int64, x.device()), -1, unsqueeze(x, x.ndim()), Scalar::of(int64_t{1}));
}

}  // namespace dnncore::ops
