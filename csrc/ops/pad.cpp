// Padding: constant values by a copy into a filled tensor, the other modes by the position every entry of the result comes from.
#include "ops/expressions.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

struct Sides {
  int64_t left = 0, right = 0;
};

Tensor inner_part(const Tensor& y, const std::vector<Sides>& sides) {
  Tensor part = y;
  for (int i = 0; i < y.ndim(); ++i) {
    const auto [left, right] = sides[static_cast<size_t>(i)];
    if (left > 0 || right > 0) part = slice(part, i, left, y.size(i) - right, 1);
  }
  return part;
}

// Sides of at least 0.
Tensor pad_constant(const Tensor& x, const std::vector<Sides>& sides, const Scalar& value) {
  Shape shape = x.shape();
  for (int i = 0; i < x.ndim(); ++i) shape[i] += sides[static_cast<size_t>(i)].left + sides[static_cast<size_t>(i)].right;
  const Tensor y = full(shape, value, x.dtype(), "pad");
  {
    const NoGrad no_grad;
    launch_copy("pad", x.detach(), inner_part(y, sides), true);
  }
  if (is_floating(x.dtype()) && any_requires_grad({&x}))
    record("pad", y, {&x}, [sides](const Node&, const Tensor& g) -> Grads { return {inner_part(g, sides)}; });
  return y;
}

// Where the entries of a padded dimension of `size` come from.
Tensor sources(PadMode mode, int64_t size, const Sides& sides) {
  const NoGrad no_grad;
  const Tensor at = positions(size + sides.left + sides.right) - sides.left;
  const Scalar zero = Scalar::of(int64_t{0}), last = Scalar::of(size - 1);
  switch (mode) {
    case PadMode::Reflect:  // size - 1 - | size - 1 - |at| |
      return (size - 1) - unary(UnaryOp::abs, (size - 1) - unary(UnaryOp::abs, at));
    case PadMode::Replicate:
      return binary(BinaryOp::minimum, binary(BinaryOp::maximum, at, zero), last);
    default:
      return binary(BinaryOp::remainder, at, Scalar::of(size));
  }
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
    if (side.left == 0 && side.right == 0) continue;
    check_mode(mode, dim, y.size(dim), side);
    y = index(y, dim, {sources(mode, y.size(dim), side)});
  }
  return y.storage() == x.storage() ? clone(y) : y;
}

}  // namespace dnncore::ops
