// y = op(x, z): one row per op and arithmetic type, the layouts are elementwise_loops.h's.
#include "kernels/elementwise.h"
#include "kernels/elementwise_loops.h"
#include "kernels/math.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <BinaryOp op, class T>
DNN_INLINE Vec<T> apply(Vec<T> x, Vec<T> z) {
  using V = Vec<T>;
  if constexpr (op == BinaryOp::add) return x + z;
  if constexpr (op == BinaryOp::sub) return x - z;
  if constexpr (op == BinaryOp::mul) return x * z;
  if constexpr (op == BinaryOp::div) return x / z;
  if constexpr (op == BinaryOp::pow) return pow(x, z);
  if constexpr (op == BinaryOp::maximum) return select(is_nan(z), z, max(z, x));  // max(z, x) is x when x is NaN
  if constexpr (op == BinaryOp::minimum) return select(is_nan(z), z, min(z, x));
  if constexpr (op == BinaryOp::relu_backward) return select(z <= V::zero(), V::zero(), x);
  if constexpr (op == BinaryOp::tanh_backward) return x * ((V::set(1) - z) * (V::set(1) + z));
  if constexpr (op == BinaryOp::sigmoid_backward) return x * ((V::set(1) - z) * z);
  if constexpr (op == BinaryOp::gelu_backward) return x * gelu_slope(z);
}

constexpr bool is_lanewise(BinaryOp op) { return op == BinaryOp::floor_divide || op == BinaryOp::remainder; }
constexpr bool is_bitwise(BinaryOp op) { return op == BinaryOp::bitwise_and || op == BinaryOp::bitwise_or || op == BinaryOp::bitwise_xor; }
constexpr bool is_backward(BinaryOp op) { return op >= BinaryOp::relu_backward; }

template <BinaryOp op, class T>
void float_row(const std::byte* const* in, std::byte* out, int64_t n, int flags) {
  map_vectors<T, 2>(
      in, out, n, flags, [](Vec<T> x, Vec<T> z) __attribute__((always_inline)) { return apply<op, T>(x, z); });
}

// Long bodies are compiled for adjacent operands only.
constexpr bool takes_scalars(BinaryOp op) {
  return op != BinaryOp::pow && op != BinaryOp::gelu_backward && !is_lanewise(op) && !is_comparison(op) && !is_bitwise(op);
}
template <BinaryOp op, class T>
void adjacent_float_row(const std::byte* const* in, std::byte* out, int64_t n, int) {
  constexpr int64_t N = Vec<T>::N;
  const T* x = reinterpret_cast<const T*>(in[0]);
  const T* z = reinterpret_cast<const T*>(in[1]);
  T* y = reinterpret_cast<T*>(out);
  for (int64_t i = 0; i < n; i += N) {
    const int64_t count = std::min(N, n - i);
    apply<op, T>(Vec<T>::load(x + i, count), Vec<T>::load(z + i, count)).store(y + i, count);
  }
}

// Python's rules, as PyTorch computes them: the remainder has the divisor's sign, the quotient is rounded down from it.
template <class T>
T remainder_of(T x, T z) {
  const T r = std::fmod(x, z);
  return r != 0 && (z < 0) != (r < 0) ? r + z : r;
}
template <class T>
T floor_divide_of(T x, T z) {
  if (z == 0) return x / z;
  const T r = std::fmod(x, z);
  T q = (x - r) / z;
  if (r != 0 && (z < 0) != (r < 0)) q -= 1;
  if (q == 0) return std::copysign(T(0), x / z);
  const T whole = std::floor(q);
  return q - whole > T(0.5) ? whole + 1 : whole;
}

template <class T>
T integer_power(T x, T exponent) {
  using U = std::make_unsigned_t<T>;
  uint64_t result = 1, base = static_cast<U>(x);
  for (auto e = static_cast<U>(exponent); e != 0; e = static_cast<U>(e >> 1)) {
    if (e & 1) result *= base;
    base *= base;
  }
  return static_cast<T>(result);
}

template <BinaryOp op, class T>
T scalar_apply(T x, T z) {
  if constexpr (std::is_floating_point_v<T>) {
    return op == BinaryOp::remainder ? remainder_of(x, z) : floor_divide_of(x, z);
  } else {
    using U = std::make_unsigned_t<T>;
    using Wide = std::conditional_t<(sizeof(T) < 4), uint32_t, U>;  // small types would promote to int, whose product may overflow
    if constexpr (op == BinaryOp::add) return static_cast<T>(static_cast<Wide>(x) + static_cast<Wide>(z));
    if constexpr (op == BinaryOp::sub) return static_cast<T>(static_cast<Wide>(x) - static_cast<Wide>(z));
    if constexpr (op == BinaryOp::mul) return static_cast<T>(static_cast<Wide>(x) * static_cast<Wide>(z));
    if constexpr (op == BinaryOp::pow) return integer_power(x, z);
    if constexpr (op == BinaryOp::maximum) return x > z ? x : z;
    if constexpr (op == BinaryOp::minimum) return x < z ? x : z;
    if constexpr (op == BinaryOp::bitwise_and) return static_cast<T>(x & z);
    if constexpr (op == BinaryOp::bitwise_or) return static_cast<T>(x | z);
    if constexpr (op == BinaryOp::bitwise_xor) return static_cast<T>(x ^ z);
    if constexpr (op == BinaryOp::floor_divide || op == BinaryOp::remainder) {
      constexpr bool kQuotient = op == BinaryOp::floor_divide;
      if (std::is_signed_v<T> && z == static_cast<T>(-1)) return kQuotient ? static_cast<T>(U(0) - static_cast<U>(x)) : T(0);  // min / -1
      const T q = static_cast<T>(x / z), r = static_cast<T>(x % z);
      const bool down = r != 0 && (r < 0) != (z < 0);
      return kQuotient ? static_cast<T>(q - down) : static_cast<T>(down ? r + z : r);
    }
  }
}

template <BinaryOp op, class T>
void scalar_row(const std::byte* const* in, std::byte* out, int64_t n, int) {
  const T* x = reinterpret_cast<const T*>(in[0]);
  const T* z = reinterpret_cast<const T*>(in[1]);
  T* y = reinterpret_cast<T*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = scalar_apply<op, T>(x[i], z[i]);
}

template <BinaryOp op, class T>
void comparison_row(const std::byte* const* in, std::byte* out, int64_t n, int) {
  const T* x = reinterpret_cast<const T*>(in[0]);
  const T* z = reinterpret_cast<const T*>(in[1]);
  uint8_t* y = reinterpret_cast<uint8_t*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T a = x[i], b = z[i];
    if constexpr (op == BinaryOp::eq) y[i] = a == b;
    if constexpr (op == BinaryOp::ne) y[i] = a != b;
    if constexpr (op == BinaryOp::lt) y[i] = a < b;
    if constexpr (op == BinaryOp::le) y[i] = a <= b;
    if constexpr (op == BinaryOp::gt) y[i] = a > b;
    if constexpr (op == BinaryOp::ge) y[i] = a >= b;
  }
}

template <BinaryOp op, class T>
constexpr Row row_of() {
  if constexpr (is_comparison(op)) {
    return comparison_row<op, T>;
  } else if constexpr (std::is_floating_point_v<T>) {
    if constexpr (is_bitwise(op))
      return nullptr;
    else if constexpr (is_lanewise(op))
      return scalar_row<op, T>;
    else if constexpr (takes_scalars(op))
      return float_row<op, T>;
    else
      return adjacent_float_row<op, T>;
  } else {
    if constexpr (is_backward(op) || op == BinaryOp::div)
      return nullptr;
    else
      return scalar_row<op, T>;
  }
}

template <class T>
Row row_for(BinaryOp op) {
  static constexpr Row kRows[] = {
#define BINARY(name) row_of<BinaryOp::name, T>(),
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  };
  return kRows[static_cast<int>(op)];
}

Row row_for(BinaryOp op, DType dtype) {
  switch (dtype) {
    case DType::Float64:
      return row_for<double>(op);
    case DType::Int64:
      return row_for<int64_t>(op);
    case DType::Int32:
      return row_for<int32_t>(op);
    case DType::UInt8:
    case DType::Bool:
      return row_for<uint8_t>(op);
    default:
      return row_for<float>(op);
  }
}

double cost(BinaryOp op, DType dtype) {
  switch (op) {
    case BinaryOp::pow:
      return dtype == DType::Float64 ? 25 : 4;
    case BinaryOp::floor_divide:
    case BinaryOp::remainder:
      return is_floating(dtype) ? 10 : 3;
    case BinaryOp::gelu_backward:
      return dtype == DType::Float64 ? 25 : 1;
    default:
      return 0.08 * static_cast<double>(itemsize(dtype));
  }
}

}  // namespace

void binary(const BinaryArgs& args, const Tasks& tasks) {
  run_elementwise<2>({.in = {static_cast<const std::byte*>(args.x), static_cast<const std::byte*>(args.z)},
                      .out = static_cast<std::byte*>(args.y),
                      .shape = args.shape,
                      .in_strides = {&args.x_strides, &args.z_strides},
                      .out_strides = args.y_strides,
                      .in_dtype = {args.dtype, args.dtype},
                      .out_dtype = args.out_dtype(),
                      .row = row_for(args.op, args.dtype),
                      .takes_scalars = is_floating(args.dtype) && takes_scalars(args.op)},
                     tasks);
}

Schedule binary_schedule(const BinaryArgs& args) { return elementwise_schedule(args.shape, cost(args.op, args.dtype)); }

}  // namespace dnncore::DNNCORE_ISA
