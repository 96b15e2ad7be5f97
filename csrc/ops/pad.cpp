// Padding in the input's order: its elements are copied once, then every border is written from what lies inside.
#include "ops/common.h"
#include "ops/layout.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

namespace {

struct Sides {
  int64_t left = 0, right = 0;
};

Tensor inner_part(const Tensor& y, const std::vector<Sides>& sides, int first_dim = 0) {
  Tensor part = y;
  for (int i = first_dim; i < y.ndim(); ++i) {
    const auto [left, right] = sides[static_cast<size_t>(i)];
    if (left > 0 || right > 0) part = slice(part, i, left, y.size(i) - right, 1);
  }
  return part;
}

Tensor empty_in_order_of(const Tensor& x, const Shape& shape) {
  const bool last = !x.is_contiguous() && is_channels_last(x);
  return last ? empty_channels_last(shape, x.dtype(), x.device(), "pad") : Tensor::empty(shape, x.dtype(), x.device(), "pad");
}

Tensor part_of(const Tensor& x, int dim, int64_t start, int64_t size) { return slice(x, dim, start, start + size, 1); }

Tensor flipped(const Tensor& x, int dim) { return x.size(dim) == 1 ? x : flip_dim(x, dim); }

// One border of `count` elements beside `size` inner ones, which begin at `inner`.
struct Border {
  int dim;
  int64_t at, count;      // where it lies
  int64_t source, width;  // what it is made of
};

std::vector<Border> borders_of(PadMode mode, int dim, int64_t size, const Sides& sides) {
  const auto [left, right] = sides;
  std::vector<Border> borders;
  const auto add = [&](int64_t at, int64_t count, int64_t source, int64_t width) {
    if (count > 0) borders.push_back({dim, at, count, source, width});
  };
  switch (mode) {
    case PadMode::Reflect:
      add(0, left, left + 1, left);
      add(left + size, right, left + size - 1 - right, right);
      break;
    case PadMode::Replicate:
      add(0, left, left, 1);
      add(left + size, right, left + size - 1, 1);
      break;
    default:
      add(0, left, size, left);
      add(left + size, right, left, right);
  }
  return borders;
}

// What a border holds, from its source.
Tensor border_values(PadMode mode, const Tensor& source, const Border& border) {
  if (mode == PadMode::Reflect) return flipped(source, border.dim);
  if (mode == PadMode::Circular) return source;
  Shape shape = source.shape();
  shape[border.dim] = border.count;
  return expand(source, shape);
}

// What its gradient adds to that of the source.
Tensor source_gradient(PadMode mode, const Tensor& g, const Border& border) {
  if (mode == PadMode::Reflect) return flipped(g, border.dim);
  if (mode == PadMode::Circular) return g;
  return reduce(ReduceOp::sum, g, {border.dim}, true);
}

Tensor pad_by_mode(const Tensor& x, const std::vector<Sides>& sides, PadMode mode);

// The gradient of a padding, one dimension after the other from the last, in which borders were written last.
Tensor pad_gradient(const Tensor& g, const std::vector<Sides>& sides, PadMode mode) {
  Tensor dx = g.detach();
  {
    const NoGrad no_grad;
    for (int dim = g.ndim() - 1; dim >= 0; --dim) {
      const Sides& side = sides[static_cast<size_t>(dim)];
      if (side.left == 0 && side.right == 0) continue;
      Shape shape = dx.shape();
      shape[dim] -= side.left + side.right;
      const Tensor inner = empty_in_order_of(dx, shape);
      launch_copy("pad", part_of(dx, dim, side.left, shape[dim]), inner, false);
      for (const Border& border : borders_of(mode, dim, shape[dim], side)) {
        const Tensor values = part_of(dx, dim, border.at, border.count);
        binary_(BinaryOp::add, part_of(inner, dim, border.source - side.left, border.width), source_gradient(mode, values, border));
      }
      dx = inner;
    }
  }
  if (any_requires_grad({&g}))
    record("pad", dx, {&g}, [sides, mode](const Node&, const Tensor& given) -> Grads { return {pad_by_mode(given, sides, mode)}; });
  return dx;
}

Shape padded_shape(const Tensor& x, const std::vector<Sides>& sides) {
  Shape shape = x.shape();
  for (int i = 0; i < x.ndim(); ++i) shape[i] += sides[static_cast<size_t>(i)].left + sides[static_cast<size_t>(i)].right;
  return shape;
}

Tensor pad_by_mode(const Tensor& x, const std::vector<Sides>& sides, PadMode mode) {
  const Tensor y = empty_in_order_of(x, padded_shape(x, sides));
  {
    const NoGrad no_grad;
    launch_copy("pad", x.detach(), inner_part(y, sides), true);
    for (int dim = 0; dim < x.ndim(); ++dim) {
      const Tensor known = inner_part(y, sides, dim + 1);
      for (const Border& border : borders_of(mode, dim, x.size(dim), sides[static_cast<size_t>(dim)])) {
        const Tensor values = border_values(mode, part_of(known, dim, border.source, border.width), border);
        launch_copy("pad", values, part_of(known, dim, border.at, border.count), true);
      }
    }
  }
  if (is_floating(x.dtype()) && any_requires_grad({&x}))
    record("pad", y, {&x}, [sides, mode](const Node&, const Tensor& g) -> Grads { return {pad_gradient(g, sides, mode)}; });
  return y;
}

// Sides of at least 0.
Tensor pad_constant(const Tensor& x, const std::vector<Sides>& sides, const Scalar& value) {
  const Tensor y = empty_in_order_of(x, padded_shape(x, sides)), one = full({}, value, x.dtype(), x.device(), "pad");
  const auto write = [&](const Tensor& border) { launch_copy("pad", expand(one, border.shape()), border, true); };
  {
    const NoGrad no_grad;
    launch_copy("pad", x.detach(), inner_part(y, sides), true);
    for (int dim = 0; dim < x.ndim(); ++dim) {
      const auto [left, right] = sides[static_cast<size_t>(dim)];
      const Tensor rest = inner_part(y, sides, dim + 1);  // dimensions after this one have no borders yet
      if (left > 0) write(part_of(rest, dim, 0, left));
      if (right > 0) write(part_of(rest, dim, y.size(dim) - right, right));
    }
  }
  if (is_floating(x.dtype()) && any_requires_grad({&x}))
    record("pad", y, {&x}, [sides](const Node&, const Tensor& g) -> Grads { return {inner_part(g, sides)}; });
  return y;
}

void check_mode(PadMode mode, int dim, int64_t size, const Sides& sides) {
  const auto [left, right] = sides;
  DNN_CHECK(size > 0, ValueError, "pad: dimension ", dim, " is empty and only mode 'constant' can pad it");
  DNN_CHECK(mode != PadMode::Reflect || (left < size && right < size), ValueError, "pad: mode 'reflect' expects padding below the size ",
            size, " of dimension ", dim, ", got ", left, " and ", right);
  DNN_CHECK(mode != PadMode::Circular || (left <= size && right <= size), ValueError,
            "pad: mode 'circular' expects padding of at most the size ", size, " of dimension ", dim, ", got ", left, " and ", right);
}

}  // namespace

Tensor pad(const Tensor& x, const std::vector<int64_t>& sizes, PadMode mode, const Scalar& value) {
  const int count = static_cast<int>(sizes.size()) / 2;
  DNN_CHECK(sizes.size() % 2 == 0 && count <= x.ndim(), ValueError, "pad: expected two sizes for each of at most ", x.ndim(),
            " dimensions, got ", sizes.size());
  std::vector<Sides> sides(static_cast<size_t>(x.ndim()));
  Tensor y = x;
  for (int i = 0; i < count; ++i) {
    const int dim = x.ndim() - 1 - i;
    Sides side{sizes[static_cast<size_t>(2 * i)], sizes[static_cast<size_t>(2 * i + 1)]};
    const int64_t begin = std::max<int64_t>(-side.left, 0), end = x.size(dim) - std::max<int64_t>(-side.right, 0);
    DNN_CHECK(x.size(dim) + side.left + side.right >= 0 && begin <= x.size(dim) && end >= 0, ValueError, "pad: sizes ", side.left, " and ",
              side.right, " leave nothing of dimension ", dim, " with size ", x.size(dim));
    if (begin > 0 || end < x.size(dim)) y = slice(y, dim, begin, end, 1);
    sides[static_cast<size_t>(dim)] = {std::max<int64_t>(side.left, 0), std::max<int64_t>(side.right, 0)};
  }
  if (mode == PadMode::Constant) return pad_constant(y, sides, value);
  for (int dim = 0; dim < x.ndim(); ++dim) {
    const Sides& side = sides[static_cast<size_t>(dim)];
    if (side.left > 0 || side.right > 0) check_mode(mode, dim, y.size(dim), side);
  }
  return pad_by_mode(y, sides, mode);
}

}  // namespace dnncore::ops
