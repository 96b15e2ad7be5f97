// Indexing by tensors of positions: positions become offsets into the view once, gather and scatter follow them.
#include "kernels/index.h"
#include "ops/inplace.h"

namespace dnncore::ops {

namespace {

// What index and index_put_ share: one offset per element of the broadcast shape of the indices.
struct Offsets {
  Shape shape;       // of the broadcast indices
  Tensor positions;  // int64, contiguous
  Shape inner;       // sizes and strides of the dimensions that are not indexed
  Strides inner_strides;
};

void check_indices(const char* op, const Tensor& x, int first_dim, const std::vector<Tensor>& indices) {
  const int count = static_cast<int>(indices.size());
  DNN_CHECK(count > 0 && first_dim >= 0 && first_dim + count <= x.ndim(), IndexError, op, ": too many indices for a tensor of shape ",
            x.shape());
  for (const Tensor& index : indices)
    DNN_CHECK(index.dtype() == DType::Int64, TypeError, op, ": expected int64 indices, got ", index.dtype());
}

Offsets offsets_of(const char* op, const Tensor& x, int first_dim, const std::vector<Tensor>& indices) {
  check_indices(op, x, first_dim, indices);
  Offsets result;
  result.shape = indices[0].shape();
  for (const Tensor& index : indices) result.shape = broadcast_shapes(op, result.shape, index.shape());
  result.positions = Tensor::empty(result.shape, DType::Int64, x.device(), op);
  const Tensor bad = zeros({2}, DType::Int64, x.device());
  for (size_t i = 0; i < indices.size(); ++i) {
    const int dim = first_dim + static_cast<int>(i);
    const Tensor& index = indices[i];
    launch(op, kernel::index_offsets,
           IndexOffsetsArgs{.index = index.data<int64_t>(),
                            .offsets = result.positions.data<int64_t>(),
                            .bad = bad.data<int64_t>(),
                            .shape = result.shape,
                            .index_strides = broadcast_strides(index.shape(), index.strides(), result.shape),
                            .size = x.size(dim),
                            .stride = x.stride(dim),
                            .first = i == 0},
           x.device());
    host_check({&bad}, [dim, size = x.size(dim)](const void* const* data) {
      const auto* found = static_cast<const int64_t*>(data[0]);
      DNN_CHECK(found[1] == 0, IndexError, "index ", found[0], " is out of bounds for dimension ", dim, " with size ", size);
    });
  }
  for (int i = 0; i < x.ndim(); ++i) {
    if (i >= first_dim && i < first_dim + static_cast<int>(indices.size())) continue;
    result.inner.push_back(x.size(i));
    result.inner_strides.push_back(x.stride(i));
  }
  return result;
}

// (broadcast..., before..., after...) -> (before..., broadcast..., after...)
Tensor moved_in_place(const Tensor& y, int broadcast_dims, int first_dim) {
  if (first_dim == 0) return y;
  Shape order;
  for (int i = 0; i < first_dim; ++i) order.push_back(broadcast_dims + i);
  for (int i = 0; i < broadcast_dims; ++i) order.push_back(i);
  for (int i = broadcast_dims + first_dim; i < y.ndim(); ++i) order.push_back(i);
  return permute(y, order);
}

// The inverse, for values.
Tensor moved_to_front(const Tensor& values, int broadcast_dims, int first_dim) {
  if (first_dim == 0) return values;
  Shape order;
  for (int i = 0; i < broadcast_dims; ++i) order.push_back(first_dim + i);
  for (int i = 0; i < first_dim; ++i) order.push_back(i);
  for (int i = broadcast_dims + first_dim; i < values.ndim(); ++i) order.push_back(i);
  return permute(values, order);
}

Shape joined(const Shape& a, const Shape& b) {
  Shape result = a;
  for (int64_t size : b) result.push_back(size);
  return result;
}

void scatter_into(const char* op, const Tensor& x, int first_dim, const std::vector<Tensor>& indices, const Tensor& values,
                  bool accumulate) {
  const Offsets at = offsets_of(op, x, first_dim, indices);
  Shape target;  // as x[indices] would be
  for (int i = 0; i < first_dim; ++i) target.push_back(x.size(i));
  for (int64_t size : at.shape) target.push_back(size);
  for (int i = first_dim + static_cast<int>(indices.size()); i < x.ndim(); ++i) target.push_back(x.size(i));

  Tensor from = to_dtype(values.detach(), x.dtype());
  while (from.ndim() > target.ndim() && from.size(0) == 1) from = select(from, 0, 0);
  const Shape shape = broadcast_shapes(op, from.shape(), target);
  DNN_CHECK(shape == target, ValueError, op, ": values of shape ", values.shape(), " do not fit the indexed shape ", target);
  // Contiguous with the indexed dimensions in front: one step per offset.
  from = copy_of(moved_to_front(expand(from, target), at.shape.ndim(), first_dim), x.dtype(), op);

  const Strides value_strides = contiguous_strides(at.inner);
  launch(op, kernel::scatter,
         ScatterArgs{.x = x.data(),
                     .offsets = at.positions.data<int64_t>(),
                     .values = from.data(),
                     .n = at.positions.numel(),
                     .x_extent = extent(x.shape(), x.strides()),
                     .inner = at.inner,
                     .x_strides = at.inner_strides,
                     .value_strides = value_strides,
                     .value_step = numel(at.inner),
                     .dtype = x.dtype(),
                     .accumulate = accumulate},
         x.device());
}

// Zeros of the shape with g added at the indexed places.
Tensor embed(const Tensor& g, const Shape& shape, int first_dim, const std::vector<Tensor>& positions) {
  const Tensor whole = zeros(shape, g.dtype(), g.device());
  scatter_into("index_backward", whole, first_dim, positions, g, true);
  if (any_requires_grad({&g}))
    record("index_backward", whole, {&g},
           [first_dim, positions](const Node&, const Tensor& gg) -> Grads { return {index(gg, first_dim, positions)}; });
  return whole;
}

}  // namespace

Tensor index(const Tensor& x, int first_dim, const std::vector<Tensor>& indices) {
  const Offsets at = offsets_of("index", x, first_dim, indices);
  const Tensor gathered = Tensor::empty(joined(at.shape, at.inner), x.dtype(), x.device(), "index");
  launch("index", kernel::gather,
         GatherArgs{.x = x.data(),
                    .offsets = at.positions.data<int64_t>(),
                    .y = gathered.data(),
                    .n = at.positions.numel(),
                    .x_extent = extent(x.shape(), x.strides()),
                    .inner = at.inner,
                    .x_strides = at.inner_strides,
                    .dtype = x.dtype()},
         x.device());
  Tensor y;
  {
    const NoGrad no_grad;
    y = moved_in_place(gathered, at.shape.ndim(), first_dim);
  }
  if (any_requires_grad({&x})) {
    std::vector<Saved> saved;
    for (const Tensor& position : indices) saved.push_back(Saved::input(position));
    record("index", y, {&x}, [first_dim, saved, from = x.shape()](const Node& node, const Tensor& g) -> Grads {
      std::vector<Tensor> positions;
      for (const Saved& position : saved) positions.push_back(position.get(node));
      return {embed(g, from, first_dim, positions)};
    });
  }
  return y;
}

void record_assignment(const Tensor& x, const Tensor& before, const Tensor& values, const Tensor& positions) {
  const Tensor after = x.detach();
  const Shape value_shape = values.defined() ? values.shape() : Shape();
  const DType value_dtype = values.defined() ? values.dtype() : x.dtype();
  record("setitem", after, {&before, &values},
         [positions, shape = x.shape(), value_shape, value_dtype](const Node& node, const Tensor& g) -> Grads {
           Grads grads(2);
           const Tensor flat = reshape(g, {g.numel()});
           if (node.needs(0)) {
             Tensor keep;
             {
               const NoGrad no_grad;
               keep = ones({g.numel()}, g.dtype(), g.device());
               index_put_(keep, 0, {positions}, scalar_tensor(Scalar::of(0.0), g.dtype(), g.device()), false);
             }
             grads[0] = reshape(binary(BinaryOp::mul, flat, keep), shape);
           }
           if (node.needs(1)) {
             Shape kept = value_shape;
             while (kept.ndim() > positions.ndim()) kept.erase(0);
             grads[1] = reshape(to_dtype(sum_to(index(flat, 0, {positions}), kept), value_dtype), value_shape);
           }
           return grads;
         });
  become("setitem", x, after, true);
}

void index_put_(const Tensor& x, int first_dim, const std::vector<Tensor>& indices, const Tensor& values, bool accumulate) {
  DNN_CHECK(!records_inplace("index_put_", x, {&values}), StateError,
            "index_put_: a tensor that takes part in a gradient is changed by x[...] = values");
  // What is read must not be written on the way.
  const auto apart = [&x](const Tensor& from) { return overlaps(from, x) ? clone(from.detach()) : from; };
  std::vector<Tensor> positions;
  for (const Tensor& position : indices) positions.push_back(apart(position));
  scatter_into("index_put_", x, first_dim, positions, apart(values), accumulate);
  x.storage()->bump_version();
}

std::vector<Tensor> nonzero(const Tensor& mask) {
  DNN_CHECK(mask.dtype() == DType::Bool, TypeError, "nonzero: expected a bool tensor, got ", mask.dtype());
  const Tensor dense = contiguous(mask.detach());
  const Tensor count = Tensor::empty({1}, DType::Int64, mask.device(), "nonzero");
  NonzeroArgs args{.mask = dense.data<bool>(), .count = count.data<int64_t>(), .n = dense.numel()};
  launch("nonzero", kernel::nonzero, args, mask.device());
  const Tensor flat = Tensor::empty({host_value<int64_t>("nonzero", count)}, DType::Int64, mask.device(), "nonzero");
  args.positions = flat.data<int64_t>();
  args.capacity = flat.numel();
  launch("nonzero", kernel::nonzero, args, mask.device());
  // Flat positions taken apart, innermost dimension first.
  std::vector<Tensor> result(static_cast<size_t>(mask.ndim()));
  Tensor rest = flat;
  for (int i = mask.ndim() - 1; i >= 0; --i) {
    const Scalar size = Scalar::of(std::max<int64_t>(mask.size(i), 1));
    result[static_cast<size_t>(i)] = i == 0 ? rest : binary(BinaryOp::remainder, rest, size);
    if (i > 0) rest = binary(BinaryOp::floor_divide, rest, size);
  }
  return result;
}

}  // namespace dnncore::ops
