#include <cmath>
#include <numbers>

#include "ops/common.h"
#include "ops/elementwise_grad.h"
#include "ops/inplace.h"
#include "ops/layout.h"

namespace dnncore::ops {

namespace {

bool is_bitwise(BinaryOp op) { return op >= BinaryOp::bitwise_and && op <= BinaryOp::bitwise_xor; }

// Rounding ops, and those whose value is a whole number for a whole number.
bool keeps_integers(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg:
    case UnaryOp::abs:
    case UnaryOp::sign:
    case UnaryOp::square:
    case UnaryOp::relu:
      return true;
    default:
      return false;
  }
}

bool is_rounding(UnaryOp op) { return op >= UnaryOp::floor && op <= UnaryOp::round; }

// The dtype the kernel computes in; TypeError where the op has no meaning.
DType compute_dtype(UnaryOp op, DType dtype) {
  if (is_predicate(op)) return dtype;
  if (op == UnaryOp::bitwise_not) {
    DNN_CHECK(!is_floating(dtype), TypeError, "bitwise_not: expected an integer or bool tensor, got ", dtype);
    return dtype;
  }
  if (keeps_integers(op) || is_rounding(op)) {
    DNN_CHECK(dtype != DType::Bool, TypeError, name(op), ": expected a number tensor, got bool; cast with .int() or .float()");
    return dtype;
  }
  return is_floating(dtype) ? dtype : kDefaultFloat;
}

void launch_unary(UnaryOp op, const Tensor& x, const Tensor& y) {
  UnaryArgs args{
      .x = x.data(), .y = y.data(), .shape = x.shape(), .x_strides = x.strides(), .y_strides = y.strides(), .op = op, .dtype = x.dtype()};
  Strides* strides[] = {&args.y_strides, &args.x_strides};
  coalesce(args.shape, strides, 2);
  launch(name(op), kernel::unary, args, x.device());
}

// x and z have the compute dtype and broadcast to y's shape.
void launch_binary(BinaryOp op, const Tensor& x, const Tensor& z, const Tensor& y) {
  BinaryArgs args{.x = x.data(), .z = z.data(), .y = y.data(), .op = op, .dtype = x.dtype()};
  if (x.shape() == z.shape() && x.is_contiguous() && z.is_contiguous() && y.is_contiguous()) {
    args.shape = {x.numel()};
    args.x_strides = args.z_strides = args.y_strides = {1};
  } else {
    args.shape = y.shape();
    args.x_strides = broadcast_strides(x.shape(), x.strides(), y.shape());
    args.z_strides = broadcast_strides(z.shape(), z.strides(), y.shape());
    args.y_strides = y.strides();
    Strides* strides[] = {&args.y_strides, &args.x_strides, &args.z_strides};
    coalesce(args.shape, strides, 3);
  }
  launch(name(op), kernel::binary, args, y.device());
}

DType compute_dtype(BinaryOp op, DType dtype) {
  if (op == BinaryOp::div && !is_floating(dtype)) return kDefaultFloat;
  DNN_CHECK(!is_bitwise(op) || !is_floating(dtype), TypeError, name(op), ": expected integer or bool tensors, got ", dtype);
  DNN_CHECK(op != BinaryOp::sub || dtype != DType::Bool, TypeError,
            "sub: subtraction of bool tensors has no meaning; use ^ or logical_not()");
  const bool needs_numbers = op == BinaryOp::floor_divide || op == BinaryOp::remainder || op == BinaryOp::pow;
  return needs_numbers && dtype == DType::Bool ? DType::Int64 : dtype;
}

// Whole numbers have no infinity: a zero divisor or a negative exponent is an error, found before anything is written.
void check_integer_operand(BinaryOp op, const Tensor& z) {
  if (is_floating(z.dtype()) || z.numel() == 0) return;
  const NoGrad no_grad;
  if (op == BinaryOp::floor_divide || op == BinaryOp::remainder) {
    const Tensor zero = reduce(ReduceOp::any, binary(BinaryOp::eq, z, Scalar::of(int64_t{0})), {}, false);
    host_check({&zero}, [op](const void* const* data) {
      DNN_CHECK(!*static_cast<const bool*>(data[0]), DivisionByZero, name(op), ": integer division by zero");
    });
  } else if (op == BinaryOp::pow) {
    const Tensor negative = reduce(ReduceOp::any, binary(BinaryOp::lt, z, Scalar::of(int64_t{0})), {}, false);
    host_check({&negative}, [](const void* const* data) {
      DNN_CHECK(!*static_cast<const bool*>(data[0]), ValueError,
                "pow: integers to negative integer powers are not allowed; cast with .float()");
    });
  }
}

// The sum of two truths is a truth, stored as 0 or 1.
BinaryOp on_bools(BinaryOp op, DType dtype) { return dtype == DType::Bool && op == BinaryOp::add ? BinaryOp::bitwise_or : op; }

// x and z already have one dtype.
Tensor binary_same(BinaryOp op, const Tensor& x, const Tensor& z) {
  op = on_bools(op, x.dtype());
  check_integer_operand(op, z);
  const bool same = x.shape() == z.shape();
  const Shape shape = same ? x.shape() : broadcast_shapes(name(op), x.shape(), z.shape());
  const DType out = is_comparison(op) ? DType::Bool : x.dtype();
  const Tensor y = empty_result(name(op), shape, out, {&x, &z});
  launch_binary(op, x, z, y);
  if (is_floating(out) && any_requires_grad({&x, &z})) record_binary(op, x, z, y);
  return y;
}

// A 0-d tensor of the CPU is a number, which may stand beside any device.
Tensor beside(const char* op, const Tensor& x, const Tensor& other) {
  const bool moves = x.ndim() == 0 && x.device() == Device{} && other.device() != Device{};
  return moves ? to_device(x, other.device(), op) : x;
}

}  // namespace

Tensor unary(UnaryOp op, const Tensor& x) {
  const DType dtype = compute_dtype(op, x.dtype());
  if (!is_floating(dtype) && is_rounding(op)) return clone(x);
  const Tensor from = to_dtype(x, dtype);
  const Tensor y = Tensor::empty_like(from, is_predicate(op) ? DType::Bool : dtype);
  launch_unary(op, from, y);
  if (is_floating(y.dtype()) && any_requires_grad({&from})) record_unary(op, from, y);
  return y;
}

void unary_(UnaryOp op, const Tensor& x) {
  const bool records = records_inplace(name(op), x);
  DNN_CHECK(!is_predicate(op) && compute_dtype(op, x.dtype()) == x.dtype(), TypeError, name(op), "_: the result is not ", x.dtype(),
            ", which the tensor holds; use the out-of-place form");
  if (!is_floating(x.dtype()) && is_rounding(op)) return;
  if (records) return become(name(op), x, unary(op, before_change(x)));
  launch_unary(op, x, x);
  x.storage()->bump_version();
}

Tensor binary(BinaryOp op, const Tensor& x, const Tensor& z) {
  if (x.device() != z.device()) {
    const Tensor a = beside(name(op), x, z), b = beside(name(op), z, x);
    check_device(name(op), a, b);
    return binary(op, a, b);
  }
  const DType dtype = compute_dtype(op, result_type(x, z));
  return binary_same(op, to_dtype(x, dtype), to_dtype(z, dtype));
}

Tensor binary(BinaryOp op, const Tensor& x, const Scalar& z) {
  const DType dtype = compute_dtype(op, result_type(x, z));
  // A number keeps float32 precision next to a half tensor.
  if (is_half(dtype) && !is_comparison(op)) {
    const Tensor wide = binary_same(op, to_dtype(x, DType::Float32), scalar_tensor(z, DType::Float32, x.device()));
    return to_dtype(wide, dtype);
  }
  if (op == BinaryOp::pow && is_floating(dtype) && z.as_double == 2.0) return unary(UnaryOp::square, to_dtype(x, dtype));
  return binary_same(op, to_dtype(x, dtype), scalar_tensor(z, dtype, x.device()));
}

Tensor binary(BinaryOp op, const Scalar& x, const Tensor& z) {
  const DType dtype = compute_dtype(op, result_type(z, x));
  if (is_half(dtype) && !is_comparison(op)) {
    const Tensor wide = binary_same(op, scalar_tensor(x, DType::Float32, z.device()), to_dtype(z, DType::Float32));
    return to_dtype(wide, dtype);
  }
  return binary_same(op, scalar_tensor(x, dtype, z.device()), to_dtype(z, dtype));
}

void binary_(BinaryOp op, const Tensor& x, const Tensor& z) {
  if (x.device() != z.device() && z.ndim() == 0 && z.device() == Device{}) return binary_(op, x, beside(name(op), z, x));
  const bool records = records_inplace(name(op), x, {&z});
  check_device(name(op), x, z);
  const DType dtype = compute_dtype(op, result_type(x, z));
  const bool fits = !is_comparison(op) && (dtype == x.dtype() || (is_floating(dtype) && is_floating(x.dtype())));
  DNN_CHECK(fits, TypeError, name(op), "_: the result is ", is_comparison(op) ? DType::Bool : dtype, ", which a tensor of ", x.dtype(),
            " cannot hold; use the out-of-place form");
  const Shape shape = broadcast_shapes(name(op), x.shape(), z.shape());
  DNN_CHECK(shape == x.shape(), ValueError, name(op), "_: an operand of shape ", z.shape(), " does not fit the tensor of shape ", x.shape(),
            ", which an in-place op never enlarges");
  if (records) {
    const bool saves_nothing = op == BinaryOp::add || op == BinaryOp::sub;
    const Tensor before = saves_nothing ? stand_in(x) : before_change(x);
    const Tensor other = z.is(x) ? before : overlaps(z, x) ? clone(z) : z;
    return become(name(op), x, to_dtype(binary(op, before, other), x.dtype()));
  }
  if (dtype != x.dtype()) return copy_(x, binary(op, x.detach(), z.detach()));
  Tensor operand = to_dtype(z.detach(), dtype);
  check_integer_operand(op, operand);
  // Another view of the same memory would be read after it was written.
  const bool same_view = operand.data() == x.data() && operand.shape() == x.shape() && operand.strides() == x.strides();
  if (!same_view && overlaps(operand, x)) operand = copy_of(operand, dtype, name(op));
  launch_binary(on_bools(op, dtype), x, operand, x);
  x.storage()->bump_version();
}

void binary_(BinaryOp op, const Tensor& x, const Scalar& z) {
  const DType dtype = compute_dtype(op, result_type(x, z));
  if (is_half(x.dtype()) && is_half(dtype)) {
    if (records_inplace(name(op), x)) return become(name(op), x, binary(op, before_change(x), z));
    return copy_(x, binary(op, x.detach(), z));
  }
  binary_(op, x, scalar_tensor(z, dtype, x.device()));
}

Tensor where(const Tensor& condition, const Tensor& x, const Tensor& z) {
  DNN_CHECK(condition.dtype() == DType::Bool, TypeError, "where: expected a bool condition, got ", condition.dtype());
  if (x.device() != z.device() || condition.device() != x.device()) {
    const Tensor& there = condition.device() != Device{} ? condition : x.device() != Device{} ? x : z;
    const Tensor of = beside("where", condition, there), a = beside("where", x, there), b = beside("where", z, there);
    check_device("where", of, a);
    check_device("where", a, b);
    return where(of, a, b);
  }
  const DType dtype = result_type(x, z);
  const Tensor a = to_dtype(x, dtype), b = to_dtype(z, dtype);
  const Shape shape = broadcast_shapes("where", broadcast_shapes("where", a.shape(), b.shape()), condition.shape());
  const Tensor y = empty_result("where", shape, dtype, {&condition, &a, &b});
  WhereArgs args{.condition = condition.data(),
                 .x = a.data(),
                 .z = b.data(),
                 .y = y.data(),
                 .shape = shape,
                 .condition_strides = broadcast_strides(condition.shape(), condition.strides(), shape),
                 .x_strides = broadcast_strides(a.shape(), a.strides(), shape),
                 .z_strides = broadcast_strides(b.shape(), b.strides(), shape),
                 .y_strides = y.strides(),
                 .dtype = dtype};
  Strides* strides[] = {&args.y_strides, &args.x_strides, &args.z_strides, &args.condition_strides};
  coalesce(args.shape, strides, 4);
  launch("where", kernel::where, args, y.device());
  if (is_floating(dtype) && any_requires_grad({&a, &b}))
    record("where", y, {&a, &b},
           [condition = Saved::input(condition), sa = a.shape(), sb = b.shape()](const Node& node, const Tensor& g) -> Grads {
             const Tensor zero = scalar_tensor(Scalar::of(0.0), g.dtype(), g.device());
             const Tensor chosen = condition.get(node);
             return {node.needs(0) ? sum_to(where(chosen, g, zero), sa) : Tensor(),
                     node.needs(1) ? sum_to(where(chosen, zero, g), sb) : Tensor()};
           });
  return y;
}

}  // namespace dnncore::ops
