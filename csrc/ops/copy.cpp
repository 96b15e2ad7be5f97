#include "kernels/copy.h"
#include "ops/inplace.h"
#include "ops/layout.h"

namespace dnncore::ops {

void host_check(std::initializer_list<const Tensor*> tensors, HostCheck fn) {
  const void* data[4];
  Tensor copies[4];
  size_t count = 0;
  for (const Tensor* tensor : tensors) {
    copies[count] = on_host(*tensor);
    data[count] = copies[count].data();
    ++count;
  }
  fn(data);
  if (detail::recorder != nullptr) detail::recorder->checked(std::move(fn), tensors);
}

void launch_copy(const char* op, const Tensor& x, const Tensor& y, bool into_view) {
  CopyArgs args{.x = x.data(),
                .y = y.data(),
                .shape = y.shape(),
                .x_strides = x.strides(),
                .y_strides = y.strides(),
                .x_dtype = x.dtype(),
                .y_dtype = y.dtype(),
                .into_view = into_view};
  Strides* strides[] = {&args.y_strides, &args.x_strides};
  coalesce(args.shape, strides, 2);
  launch(op, kernel::copy, args, y.device());
}

Tensor copy_of(const Tensor& x, DType dtype, const char* op) {
  const Tensor y = Tensor::empty(x.shape(), dtype, x.device(), op);
  launch_copy(op, x, y, false);
  return y;
}

Tensor to_dtype(const Tensor& x, DType dtype) { return x.dtype() == dtype ? x : to(x, dtype, MemoryFormat::Preserve); }

Tensor clone(const Tensor& x) { return clone(x, MemoryFormat::Preserve); }

Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : contiguous(x, MemoryFormat::Contiguous); }

namespace {

// Leading dimensions of size 1 may be dropped, as in every assignment of NumPy and PyTorch.
Tensor fitted(const Tensor& source, const Shape& target) {
  Tensor from = source;
  while (from.ndim() > target.ndim() && from.size(0) == 1) from = select(from, 0, 0);
  const Shape shape = broadcast_shapes("copy_", from.shape(), target);
  DNN_CHECK(shape == target, ValueError, "copy_: a source of shape ", source.shape(), " does not fit a destination of shape ", target);
  return from.shape() == target ? from : expand(from, target);
}

}  // namespace

void copy_(const Tensor& destination, const Tensor& source) {
  if (source.device() != destination.device()) return copy_(destination, to_device(source, destination.device(), "copy_"));
  const bool records = records_inplace("copy_", destination, {&source});
  if (records) {
    const Tensor value = to_dtype(fitted(source, destination.shape()), destination.dtype());
    return become("copy_", destination, value.is(source) ? clone(source) : value);  // the source keeps its node to itself
  }
  Tensor from = fitted(source.detach(), destination.shape());
  if (overlaps(from, destination)) from = copy_of(from, from.dtype(), "copy_");
  launch_copy("copy_", from, destination, true);
  destination.storage()->bump_version();
}

// A new tensor, since strides are never negative.
Tensor flip_dim(const Tensor& x, int64_t dim) {
  const int at = existing_dim("flip", dim, x.ndim());
  const int64_t size = x.size(at);
  const Tensor order = arange(Scalar::of(size - 1), Scalar::of(int64_t{-1}), Scalar::of(int64_t{-1}), DType::Int64, x.device());
  return index(x, at, {order});
}

namespace {

// y in the order of the tensors that it is made of along `dim`; one of size 1 there does not tell where that dimension belongs.
Tensor order_of_parts(const std::vector<Tensor>& tensors, const Tensor& y, int dim) {
  std::vector<Strides> strides;
  for (const Tensor& tensor : tensors) {
    strides.push_back(tensor.strides());
    if (tensor.size(dim) <= 1) strides.back()[dim] = 0;
  }
  return y.view_as(y.shape(), dense_strides(y.shape(), strides.data(), static_cast<int>(strides.size())), 0);
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int64_t dim) {
  DNN_CHECK(!tensors.empty(), ValueError, "cat: expected at least one tensor");
  DNN_CHECK(tensors[0].ndim() > 0, ValueError, "cat: expected tensors of at least one dimension, got a 0-D tensor; use stack()");
  const int at = wrap_dim("cat", dim, tensors[0].ndim());
  Shape shape = tensors[0].shape();
  shape[at] = 0;
  DType dtype = tensors[0].dtype();
  for (const Tensor& tensor : tensors) {
    DNN_CHECK(tensor.ndim() == shape.ndim(), ValueError, "cat: expected tensors of ", shape.ndim(), " dimensions, got shape ",
              tensor.shape());
    for (int i = 0; i < shape.ndim(); ++i)
      DNN_CHECK(i == at || tensor.size(i) == tensors[0].size(i), ValueError, "cat: shapes ", tensors[0].shape(), " and ", tensor.shape(),
                " differ outside dimension ", at);
    shape[at] += tensor.size(at);
    dtype = promote_types(dtype, tensor.dtype());
  }
  const Tensor y = Tensor::empty(shape, dtype, tensors[0].device(), "cat");
  if (const Tensor like = order_of_parts(tensors, y, at); is_channels_last(like)) y.impl()->strides = like.strides();
  int64_t start = 0;
  for (const Tensor& tensor : tensors) {
    const int64_t size = tensor.size(at);
    launch_copy("cat", tensor, y.view_as(tensor.shape(), y.strides(), start * y.stride(at)), false);
    start += size;
  }
  if (any_requires_grad(tensors)) {
    std::vector<int64_t> sizes;
    std::vector<DType> dtypes;
    for (const Tensor& tensor : tensors) {
      sizes.push_back(tensor.size(at));
      dtypes.push_back(tensor.dtype());
    }
    record_list("cat", y, tensors, [at, sizes, dtypes](const Node& node, const Tensor& g) {
      Grads grads(sizes.size());
      int64_t begin = 0;
      for (size_t i = 0; i < sizes.size(); ++i) {
        if (node.needs(static_cast<int>(i))) grads[i] = to_dtype(slice(g, at, begin, begin + sizes[i], 1), dtypes[i]);
        begin += sizes[i];
      }
      return grads;
    });
  }
  return y;
}

Tensor stack(const std::vector<Tensor>& tensors, int64_t dim) {
  DNN_CHECK(!tensors.empty(), ValueError, "stack: expected at least one tensor");
  const int at = wrap_dim("stack", dim, tensors[0].ndim() + 1);
  std::vector<Tensor> rows;
  for (const Tensor& tensor : tensors) {
    DNN_CHECK(tensor.shape() == tensors[0].shape(), ValueError, "stack: expected tensors of one shape, got ", tensors[0].shape(), " and ",
              tensor.shape());
    rows.push_back(unsqueeze(tensor, at));
  }
  return cat(rows, at);
}

}  // namespace dnncore::ops
