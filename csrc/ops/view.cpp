// Views: the same storage under other sizes and strides; the gradient is the inverse view, or a scatter into zeros.
#include "ops/common.h"

namespace dnncore::ops {

namespace {

// Strides of x seen as `shape`, when no copy is needed. Both have the same number of elements.
std::optional<Strides> strides_as(const Tensor& x, const Shape& shape) {
  if (x.numel() == 0) return contiguous_strides(shape);
  Strides strides = Shape::filled(shape.ndim(), 0);
  int to = shape.ndim() - 1;
  int64_t chunk = 1;   // elements of the current run of x's dimensions that step through memory as one
  int64_t viewed = 1;  // of those, already given to dimensions of the result
  int64_t base = x.ndim() > 0 ? x.stride(x.ndim() - 1) : 1;
  for (int from = x.ndim() - 1; from >= 0; --from) {
    chunk *= x.size(from);
    const bool ends = from == 0 || (x.size(from - 1) != 1 && x.stride(from - 1) != chunk * base);
    if (!ends) continue;
    while (to >= 0 && (viewed < chunk || shape[to] == 1)) {
      strides[to] = viewed * base;
      viewed *= shape[to];
      --to;
    }
    if (viewed != chunk) return std::nullopt;
    if (from > 0) base = x.stride(from - 1);
    chunk = viewed = 1;
  }
  for (; to >= 0; --to) strides[to] = 1;  // leading ones of a 0-D or fully used tensor
  return strides;
}

// A single -1 replaced by what is left.
Shape infer_size(const char* op, const Tensor& x, const Shape& shape) {
  Shape result = shape;
  int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < shape.ndim(); ++i) {
    if (shape[i] == -1) {
      DNN_CHECK(unknown < 0, ValueError, op, ": only one size may be -1, got ", shape);
      unknown = i;
    } else {
      DNN_CHECK(shape[i] >= 0 && !__builtin_mul_overflow(known, shape[i], &known), ValueError, op, ": invalid shape ", shape);
    }
  }
  const int64_t count = x.numel();
  if (unknown >= 0) {
    DNN_CHECK(known != 0 ? count % known == 0 : false, ValueError, op, ": shape ", shape, " does not fit ", count, " elements of shape ",
              x.shape());
    result[unknown] = count / known;
  } else {
    DNN_CHECK(known == count, ValueError, op, ": shape ", shape, " does not fit ", count, " elements of shape ", x.shape());
  }
  return result;
}

Tensor view_of(const Tensor& x, const Shape& shape, const Strides& strides, int64_t offset) {
  const Tensor y = x.view_as(shape, strides, offset);
  y.impl()->mark_view(true);
  return y;
}

Tensor viewed(const char* op, const Tensor& x, const Shape& shape, const Strides& strides) {
  const Tensor y = view_of(x, shape, strides, x.impl()->offset);
  if (any_requires_grad({&x}))
    record(op, y, {&x}, [from = x.shape()](const Node&, const Tensor& g) -> Grads { return {reshape(g, from)}; });
  return y;
}

// Part of a dense tensor along one dimension: [start, start + step, ...), or the one at `start` with the dimension dropped.
struct Part {
  int dim;
  int64_t start, step;
  bool drop;
};

// Dense strides for the whole, in the order of such a part.
Strides strides_around(const Tensor& g, const Shape& shape, const Part& part) {
  Strides strides = g.strides();
  if (part.drop)
    strides.insert(part.dim, 0);
  else if (g.size(part.dim) <= 1)
    strides[part.dim] = 0;
  return dense_strides(shape, &strides, 1);
}

// The gradient of such a part: zeros of x's shape with g in its place.
Tensor embed(const Tensor& g, const Shape& shape, const Part& part) {
  const Tensor whole = zeros(shape, g.dtype(), g.device());
  Strides strides = whole.impl()->strides = strides_around(g, shape, part);
  const int64_t offset = part.start * strides[part.dim];
  if (part.drop)
    strides.erase(part.dim);
  else
    strides[part.dim] *= part.step;
  launch_copy("slice_backward", g, whole.view_as(g.shape(), strides, offset), true);
  if (any_requires_grad({&g}))
    record("slice_backward", whole, {&g}, [part, size = g.shape()](const Node&, const Tensor& gg) -> Grads {
      if (part.drop) return {select(gg, part.dim, part.start)};
      return {slice(gg, part.dim, part.start, part.start + part.step * (size[part.dim] - 1) + 1, part.step)};
    });
  return whole;
}

void record_part(const char* op, const Tensor& y, const Tensor& x, const Part& part) {
  if (!any_requires_grad({&x})) return;
  record(op, y, {&x}, [from = x.shape(), part](const Node&, const Tensor& g) -> Grads { return {embed(g, from, part)}; });
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  const Shape size = infer_size("reshape", x, shape);
  if (size == x.shape()) return x;
  if (const auto strides = strides_as(x, size)) return viewed("reshape", x, size, *strides);
  const Tensor dense = contiguous(x);
  return viewed("reshape", dense, size, contiguous_strides(size));
}

Tensor view(const Tensor& x, const Shape& shape) {
  const Shape size = infer_size("view", x, shape);
  const auto strides = strides_as(x, size);
  DNN_CHECK(strides, ValueError, "view: shape ", size, " would need a copy of the tensor of shape ", x.shape(), " and strides ",
            x.strides(), "; use reshape()");
  return viewed("view", x, size, *strides);
}

Tensor flatten(const Tensor& x, int64_t start_dim, int64_t end_dim) {
  if (x.ndim() == 0) return reshape(x, {1});
  const int start = wrap_dim("flatten", start_dim, x.ndim());
  const int end = wrap_dim("flatten", end_dim, x.ndim());
  DNN_CHECK(start <= end, ValueError, "flatten: start_dim ", start_dim, " comes after end_dim ", end_dim);
  Shape shape;
  int64_t joined = 1;
  for (int i = 0; i < x.ndim(); ++i) {
    if (i >= start && i <= end) joined *= x.size(i);
    if (i < start || i > end)
      shape.push_back(x.size(i));
    else if (i == end)
      shape.push_back(joined);
  }
  return reshape(x, shape);
}

Tensor permute(const Tensor& x, const Shape& dims) {
  DNN_CHECK(dims.ndim() == x.ndim(), ValueError, "permute: expected ", x.ndim(), " dimensions, got ", dims);
  Shape shape, strides;
  Shape inverse = Shape::filled(x.ndim(), -1);
  for (int i = 0; i < x.ndim(); ++i) {
    const int from = wrap_dim("permute", dims[i], x.ndim());
    DNN_CHECK(inverse[from] < 0, ValueError, "permute: dimension ", from, " appears twice in ", dims);
    inverse[from] = i;
    shape.push_back(x.size(from));
    strides.push_back(x.stride(from));
  }
  const Tensor y = view_of(x, shape, strides, x.impl()->offset);
  if (any_requires_grad({&x}))
    record("permute", y, {&x}, [inverse](const Node&, const Tensor& g) -> Grads { return {permute(g, inverse)}; });
  return y;
}

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  const int a = wrap_dim("transpose", dim0, x.ndim());
  const int b = wrap_dim("transpose", dim1, x.ndim());
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  const Tensor y = view_of(x, shape, strides, x.impl()->offset);
  if (any_requires_grad({&x})) record("transpose", y, {&x}, [a, b](const Node&, const Tensor& g) -> Grads { return {transpose(g, a, b)}; });
  return y;
}

Tensor expand(const Tensor& x, const Shape& shape) {
  DNN_CHECK(shape.ndim() >= x.ndim(), ValueError, "expand: shape ", shape, " has fewer dimensions than the tensor of shape ", x.shape());
  Shape target = shape;
  const int extra = shape.ndim() - x.ndim();
  for (int i = 0; i < shape.ndim(); ++i) {
    if (shape[i] == -1 && i >= extra) target[i] = x.size(i - extra);
    DNN_CHECK(target[i] >= 0 && (i < extra || x.size(i - extra) == 1 || x.size(i - extra) == target[i]), ValueError,
              "expand: a tensor of shape ", x.shape(), " cannot be expanded to ", shape);
  }
  checked_numel("expand", target, static_cast<int64_t>(itemsize(x.dtype())));
  const Tensor y = view_of(x, target, broadcast_strides(x.shape(), x.strides(), target), x.impl()->offset);
  if (any_requires_grad({&x}))
    record("expand", y, {&x}, [from = x.shape()](const Node&, const Tensor& g) -> Grads { return {sum_to(g, from)}; });
  return y;
}

Tensor squeeze(const Tensor& x, std::optional<int64_t> dim) {
  const int only = dim ? wrap_dim("squeeze", *dim, x.ndim()) : -1;
  Shape shape, strides;
  for (int i = 0; i < x.ndim(); ++i) {
    if (x.size(i) == 1 && (!dim || i == only)) continue;
    shape.push_back(x.size(i));
    strides.push_back(x.stride(i));
  }
  return viewed("squeeze", x, shape, strides);
}

Tensor unsqueeze(const Tensor& x, int64_t dim) {
  const int at = wrap_dim("unsqueeze", dim, x.ndim() + 1);
  Shape shape = x.shape(), strides = x.strides();
  const int64_t step = at < x.ndim() ? x.size(at) * x.stride(at) : 1;
  shape.insert(at, 1);
  strides.insert(at, step);
  return viewed("unsqueeze", x, shape, strides);
}

Tensor select(const Tensor& x, int64_t dim, int64_t position) {
  const int at = existing_dim("select", dim, x.ndim());
  const int64_t size = x.size(at);
  DNN_CHECK(position >= -size && position < size, IndexError, "index ", position, " is out of bounds for dimension ", at, " with size ",
            size);
  const int64_t from = position < 0 ? position + size : position;
  Shape shape = x.shape(), strides = x.strides();
  shape.erase(at);
  strides.erase(at);
  const Tensor y = view_of(x, shape, strides, x.impl()->offset + from * x.stride(at));
  record_part("select", y, x, {.dim = at, .start = from, .step = 1, .drop = true});
  return y;
}

Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t stop, int64_t step) {
  const int at = existing_dim("slice", dim, x.ndim());
  DNN_CHECK(step > 0, ValueError, "slice: expected a step above 0, got ", step);
  const int64_t size = x.size(at);
  const auto clamped = [size](int64_t position) {
    if (position < 0) position += size;
    return position < 0 ? 0 : position > size ? size : position;
  };
  const int64_t from = clamped(start);
  const int64_t to = std::max(clamped(stop), from);
  Shape shape = x.shape(), strides = x.strides();
  shape[at] = (to - from) / step + ((to - from) % step != 0);
  // One element or none: the step is never taken, and must not overflow.
  strides[at] = shape[at] > 1 ? x.stride(at) * step : x.stride(at);
  const Tensor y = view_of(x, shape, strides, x.impl()->offset + (shape[at] > 0 ? from * x.stride(at) : 0));
  record_part("slice", y, x, {.dim = at, .start = from, .step = shape[at] > 1 ? step : 1, .drop = false});
  return y;
}

}  // namespace dnncore::ops
