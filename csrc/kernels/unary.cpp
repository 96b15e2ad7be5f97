// y = op(x): one row per op and arithmetic type, the layouts are elementwise_loops.h's.
#include "kernels/elementwise.h"
#include "kernels/elementwise_loops.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <UnaryOp op, class T>
DNN_INLINE Vec<T> apply(Vec<T> x) {
  using V = Vec<T>;
  if constexpr (op == UnaryOp::neg) return -x;
  if constexpr (op == UnaryOp::abs) return abs(x);
  if constexpr (op == UnaryOp::sign) {  // 0 for -0, NaN for NaN
    const V one = copysign(V::set(1), x);
    return select(abs(x) > V::zero(), one, x + V::zero());
  }
  if constexpr (op == UnaryOp::square) return x * x;
  if constexpr (op == UnaryOp::sqrt) return sqrt(x);
  if constexpr (op == UnaryOp::rsqrt) return V::set(1) / sqrt(x);
  if constexpr (op == UnaryOp::reciprocal) return V::set(1) / x;
  if constexpr (op == UnaryOp::exp) return exp(x);
  if constexpr (op == UnaryOp::expm1) return expm1(x);
  if constexpr (op == UnaryOp::log) return log(x);
  if constexpr (op == UnaryOp::log1p) return log1p(x);
  if constexpr (op == UnaryOp::log2) return log2(x);
  if constexpr (op == UnaryOp::log10) return log10(x);
  if constexpr (op == UnaryOp::sin) return sin(x);
  if constexpr (op == UnaryOp::cos) return cos(x);
  if constexpr (op == UnaryOp::tanh) return tanh(x);
  if constexpr (op == UnaryOp::sigmoid) return sigmoid(x);
  if constexpr (op == UnaryOp::relu) return max(V::zero(), x);  // NaN and -0 pass
  if constexpr (op == UnaryOp::gelu) return gelu(x);
  if constexpr (op == UnaryOp::erf) return erf(x);
  if constexpr (op == UnaryOp::softplus) return softplus(x);
  if constexpr (op == UnaryOp::floor) return floor(x);
  if constexpr (op == UnaryOp::ceil) return ceil(x);
  if constexpr (op == UnaryOp::trunc) return trunc(x);
  if constexpr (op == UnaryOp::round) return round_even(x);
}

constexpr bool is_bitwise(UnaryOp op) { return op == UnaryOp::bitwise_not; }

template <UnaryOp op, class T>
void float_row(const std::byte* const* in, std::byte* out, int64_t n, int flags) {
  map_vectors<T, 1>(
      in, out, n, flags, [](Vec<T> x) __attribute__((always_inline)) { return apply<op, T>(x); });
}

template <UnaryOp op, class T>
void predicate_row(const std::byte* const* in, std::byte* out, int64_t n, int) {
  const T* x = reinterpret_cast<const T*>(in[0]);
  uint8_t* y = reinterpret_cast<uint8_t*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T v = x[i];
    if constexpr (op == UnaryOp::logical_not)
      y[i] = v == T(0);
    else if constexpr (!std::is_floating_point_v<T>)
      y[i] = op == UnaryOp::isfinite;
    else if constexpr (op == UnaryOp::isnan)
      y[i] = v != v;
    else if constexpr (op == UnaryOp::isinf)
      y[i] = std::abs(v) == std::numeric_limits<T>::infinity();
    else
      y[i] = std::abs(v) < std::numeric_limits<T>::infinity();
  }
}

// Overflow wraps: arithmetic on the unsigned twin.
template <UnaryOp op, class T>
void integer_row(const std::byte* const* in, std::byte* out, int64_t n, int) {
  using U = std::make_unsigned_t<T>;
  const T* x = reinterpret_cast<const T*>(in[0]);
  T* y = reinterpret_cast<T*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T v = x[i];
    if constexpr (op == UnaryOp::neg) y[i] = static_cast<T>(U(0) - static_cast<U>(v));
    if constexpr (op == UnaryOp::abs) y[i] = v < 0 ? static_cast<T>(U(0) - static_cast<U>(v)) : v;
    if constexpr (op == UnaryOp::sign) y[i] = static_cast<T>((v > 0) - (v < 0));
    if constexpr (op == UnaryOp::square) y[i] = static_cast<T>(static_cast<U>(v) * static_cast<U>(v));
    if constexpr (op == UnaryOp::relu) y[i] = v > 0 ? v : T(0);
    if constexpr (op == UnaryOp::bitwise_not) y[i] = static_cast<T>(~v);
  }
}

void bool_not_row(const std::byte* const* in, std::byte* out, int64_t n, int) {
  const uint8_t* x = reinterpret_cast<const uint8_t*>(in[0]);
  uint8_t* y = reinterpret_cast<uint8_t*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] ^ 1;
}

template <UnaryOp op, class T>
constexpr Row row_of() {
  constexpr bool kIntegerToo =
      op == UnaryOp::neg || op == UnaryOp::abs || op == UnaryOp::sign || op == UnaryOp::square || op == UnaryOp::relu || is_bitwise(op);
  if constexpr (is_predicate(op))
    return predicate_row<op, T>;
  else if constexpr (std::is_floating_point_v<T> && is_bitwise(op))
    return nullptr;
  else if constexpr (std::is_floating_point_v<T>)
    return float_row<op, T>;
  else
    return kIntegerToo ? integer_row<op, T> : nullptr;
}

// The ops that make no sense for T have no row; the op layer never asks for them.
template <class T>
Row row_for(UnaryOp op) {
  static constexpr Row kRows[] = {
#define UNARY(name) row_of<UnaryOp::name, T>(),
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  };
  return kRows[static_cast<int>(op)];
}

Row row_for(UnaryOp op, DType dtype) {
  switch (dtype) {
    case DType::Float64:
      return row_for<double>(op);
    case DType::Int64:
      return row_for<int64_t>(op);
    case DType::Int32:
      return row_for<int32_t>(op);
    case DType::UInt8:
      return row_for<uint8_t>(op);
    case DType::Bool:
      return is_bitwise(op) ? bool_not_row : row_for<uint8_t>(op);
    default:
      return row_for<float>(op);
  }
}

double cost(UnaryOp op, DType dtype) {
  const bool wide = dtype == DType::Float64;
  switch (op) {
    case UnaryOp::exp:
    case UnaryOp::tanh:
    case UnaryOp::sigmoid:
    case UnaryOp::log:
      return wide ? 3 : 0.5;
    case UnaryOp::gelu:
    case UnaryOp::erf:
      return wide ? 20 : 0.7;
    case UnaryOp::log2:
    case UnaryOp::log10:
    case UnaryOp::sin:
    case UnaryOp::cos:
      return wide ? 12 : 2;
    case UnaryOp::log1p:
    case UnaryOp::softplus:
      return wide ? 3 : 1;
    case UnaryOp::expm1:
      return 3;
    default:
      return 0.06 * static_cast<double>(itemsize(dtype));
  }
}

}  // namespace

void unary(const UnaryArgs& args, const Tasks& tasks) {
  run_elementwise<1>({.in = {static_cast<const std::byte*>(args.x)},
                      .out = static_cast<std::byte*>(args.y),
                      .shape = args.shape,
                      .in_strides = {&args.x_strides},
                      .out_strides = args.y_strides,
                      .in_dtype = {args.dtype},
                      .out_dtype = args.out_dtype(),
                      .row = row_for(args.op, args.dtype)},
                     tasks);
}

Schedule unary_schedule(const UnaryArgs& args) { return elementwise_schedule(args.shape, cost(args.op, args.dtype)); }

}  // namespace dnncore::DNNCORE_ISA
