// y = op(x): one functor per op, the loops are elementwise.h's.
#include "kernels/elementwise.h"

#include "elementwise.h"
#include "math.h"

namespace dnncore::cuda {
namespace {

template <UnaryOp op, class W>
__device__ __forceinline__ W floating_value(W x) {
  if constexpr (op == UnaryOp::neg) return -x;
  if constexpr (op == UnaryOp::abs) return std::fabs(x);
  if constexpr (op == UnaryOp::sign) return x > 0 ? W(1) : x < 0 ? W(-1) : x == 0 ? W(0) : x;
  if constexpr (op == UnaryOp::square) return x * x;
  if constexpr (op == UnaryOp::sqrt) return std::sqrt(x);
  if constexpr (op == UnaryOp::rsqrt) return 1 / std::sqrt(x);
  if constexpr (op == UnaryOp::reciprocal) return 1 / x;
  if constexpr (op == UnaryOp::exp) return std::exp(x);
  if constexpr (op == UnaryOp::expm1) return std::expm1(x);
  if constexpr (op == UnaryOp::log) return std::log(x);
  if constexpr (op == UnaryOp::log1p) return std::log1p(x);
  if constexpr (op == UnaryOp::log2) return std::log2(x);
  if constexpr (op == UnaryOp::log10) return std::log10(x);
  if constexpr (op == UnaryOp::sin) return std::sin(x);
  if constexpr (op == UnaryOp::cos) return std::cos(x);
  if constexpr (op == UnaryOp::tanh) return std::tanh(x);
  if constexpr (op == UnaryOp::sigmoid) return sigmoid(x);
  if constexpr (op == UnaryOp::relu) return relu(x);
  if constexpr (op == UnaryOp::gelu) return gelu(x);
  if constexpr (op == UnaryOp::erf) return std::erf(x);
  if constexpr (op == UnaryOp::softplus) return softplus(x);
  if constexpr (op == UnaryOp::floor) return std::floor(x);
  if constexpr (op == UnaryOp::ceil) return std::ceil(x);
  if constexpr (op == UnaryOp::trunc) return std::trunc(x);
  if constexpr (op == UnaryOp::round) return std::nearbyint(x);
}

// Overflow wraps: arithmetic on the unsigned twin.
template <UnaryOp op, class T>
__device__ __forceinline__ T integer_value(T x) {
  using U = std::make_unsigned_t<T>;
  if constexpr (op == UnaryOp::neg) return static_cast<T>(U(0) - static_cast<U>(x));
  [[maybe_unused]] const bool negative = std::is_signed_v<T> && x < T(1) && x != T(0);
  if constexpr (op == UnaryOp::abs) return negative ? static_cast<T>(U(0) - static_cast<U>(x)) : x;
  if constexpr (op == UnaryOp::sign) return static_cast<T>((x > 0) - negative);
  if constexpr (op == UnaryOp::square) return static_cast<T>(static_cast<U>(x) * static_cast<U>(x));
  if constexpr (op == UnaryOp::relu) return x > 0 ? x : T(0);
  if constexpr (op == UnaryOp::bitwise_not) return static_cast<T>(~x);
}

template <UnaryOp op, class W>
__device__ __forceinline__ bool predicate(W x) {
  if constexpr (op == UnaryOp::logical_not) return x == W(0);
  if constexpr (!std::is_floating_point_v<W>) return op == UnaryOp::isfinite;
  if constexpr (op == UnaryOp::isnan) return x != x;
  if constexpr (op == UnaryOp::isinf) return std::fabs(static_cast<double>(x)) == std::numeric_limits<double>::infinity();
  return std::fabs(static_cast<double>(x)) < std::numeric_limits<double>::infinity();
}

template <UnaryOp op, class T>
struct Unary {
  __device__ __forceinline__ auto operator()(T x) const {
    if constexpr (is_predicate(op))
      return predicate<op>(to_working(x));
    else if constexpr (kIsFloating<T>)
      return from_working<T>(floating_value<op>(to_working(x)));
    else if constexpr (std::is_same_v<T, bool>)
      return !x;
    else
      return integer_value<op>(x);
  }
};

// The ops that make no sense for T have no kernel; the op layer never asks for them.
template <UnaryOp op, class T>
constexpr bool exists() {
  constexpr bool kIntegerToo =
      op == UnaryOp::neg || op == UnaryOp::abs || op == UnaryOp::sign || op == UnaryOp::square || op == UnaryOp::relu;
  if (is_predicate(op)) return true;
  if (kIsFloating<T>) return op != UnaryOp::bitwise_not;
  return op == UnaryOp::bitwise_not || (kIntegerToo && !std::is_same_v<T, bool>);
}
template <UnaryOp op, class T>
using Result = std::conditional_t<is_predicate(op), bool, T>;

// All ops with results of one type in one kernel.
template <class T, class Out>
struct AnyUnary {
  UnaryOp op;
  __device__ __forceinline__ Out operator()(T x) const {
    switch (op) {
#define UNARY(name)                                                                                                                 \
  case UnaryOp::name:                                                                                                               \
    if constexpr (exists<UnaryOp::name, T>() && std::is_same_v<Result<UnaryOp::name, T>, Out>) return Unary<UnaryOp::name, T>{}(x); \
    break;
#define KERNEL(name, Args)
#include "kernels/kernels.def"
      default:
        break;
    }
    return Out{};
  }
};

template <class T, class Out>
void run_any(const UnaryArgs& args, cudaStream_t stream) {
  map_any("unary", stream, AnyUnary<T, Out>{args.op}, args.shape, static_cast<Out*>(args.y), args.y_strides,
          input<T>(args.x, args.x_strides));
}

// float32: a kernel for each op.
template <UnaryOp op>
void run(const UnaryArgs& args, cudaStream_t stream) {
  using Out = Result<op, float>;
  if constexpr (exists<op, float>())
    map("unary", stream, Unary<op, float>{}, AnyUnary<float, Out>{op}, args.shape, static_cast<Out*>(args.y), args.y_strides,
        input<float>(args.x, args.x_strides));
}
void run_float(const UnaryArgs& args, cudaStream_t stream) {
  switch (args.op) {
#define UNARY(name)   \
  case UnaryOp::name: \
    return run<UnaryOp::name>(args, stream);
#define KERNEL(name, Args)
#include "kernels/kernels.def"
    default:
      return;
  }
}

}  // namespace

void unary(const UnaryArgs& args, cudaStream_t stream) {
  if (args.dtype == DType::Float32) return run_float(args, stream);
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, float>) is_predicate(args.op) ? run_any<T, bool>(args, stream) : run_any<T, T>(args, stream);
  });
}

}  // namespace dnncore::cuda
