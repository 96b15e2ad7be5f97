// y = op(x, z): one functor per op, the loops are elementwise.h's.
#include "kernels/elementwise.h"

#include "elementwise.h"
#include "math.h"

namespace dnncore::cuda {
namespace {

template <class W>
__device__ __forceinline__ W floor_divided(W x, W z) {
  if (z == 0) return x / z;
  const W rest = std::fmod(x, z);
  W quotient = (x - rest) / z;
  if (rest != 0 && (z < 0) != (rest < 0)) quotient -= 1;
  return quotient == 0 ? std::copysign(W(0), x / z) : std::nearbyint(quotient);
}

template <class W>
__device__ __forceinline__ W remainder_of(W x, W z) {
  const W rest = std::fmod(x, z);
  return rest != 0 && (z < 0) != (rest < 0) ? rest + z : rest;
}

template <BinaryOp op, class W>
__device__ __forceinline__ W floating_value(W x, W z) {
  if constexpr (op == BinaryOp::add) return x + z;
  if constexpr (op == BinaryOp::sub) return x - z;
  if constexpr (op == BinaryOp::mul) return x * z;
  if constexpr (op == BinaryOp::div) return x / z;
  if constexpr (op == BinaryOp::floor_divide) return floor_divided(x, z);
  if constexpr (op == BinaryOp::remainder) return remainder_of(x, z);
  if constexpr (op == BinaryOp::pow) return std::pow(x, z);
  if constexpr (op == BinaryOp::maximum) return x != x || x > z ? x : z;
  if constexpr (op == BinaryOp::minimum) return x != x || x < z ? x : z;
  if constexpr (op == BinaryOp::relu_backward) return z <= 0 ? W(0) : x;
  if constexpr (op == BinaryOp::tanh_backward) return x * (1 - z * z);
  if constexpr (op == BinaryOp::sigmoid_backward) return x * (1 - z) * z;
  if constexpr (op == BinaryOp::gelu_backward) return x * (W(0.5) * std::erfc(z * W(-0.70710678118654752440)) + z * normal_density(z));
}

template <class T>
__device__ __forceinline__ T power(T base, T exponent) {
  using U = std::make_unsigned_t<T>;
  uint64_t result = 1;
  for (auto square = static_cast<uint64_t>(base); exponent != 0; exponent >>= 1, square *= square)
    if (exponent & 1) result *= square;
  return static_cast<T>(static_cast<U>(result));
}

template <BinaryOp op, class T>
__device__ __forceinline__ T integer_value(T x, T z) {
  using U = std::make_unsigned_t<T>;
  const U a = static_cast<U>(x), b = static_cast<U>(z);
  if constexpr (op == BinaryOp::add) return static_cast<T>(a + b);
  if constexpr (op == BinaryOp::sub) return static_cast<T>(a - b);
  if constexpr (op == BinaryOp::mul) return static_cast<T>(a * b);
  if constexpr (op == BinaryOp::floor_divide || op == BinaryOp::remainder) {
    constexpr bool kDivides = op == BinaryOp::floor_divide;
    if (z == 0) return 0;
    if constexpr (std::is_signed_v<T>)
      if (z == -1) return kDivides ? static_cast<T>(U(0) - a) : T(0);  // the smallest number has no negative
    const bool rounds_down = std::is_signed_v<T> && x % z != 0 && ((x ^ z) >> (sizeof(T) * 8 - 1)) != 0;
    return static_cast<T>(kDivides ? x / z - rounds_down : x % z + (rounds_down ? z : 0));
  }
  if constexpr (op == BinaryOp::pow) return power(x, z);
  if constexpr (op == BinaryOp::maximum) return x > z ? x : z;
  if constexpr (op == BinaryOp::minimum) return x < z ? x : z;
  if constexpr (op == BinaryOp::bitwise_and) return x & z;
  if constexpr (op == BinaryOp::bitwise_or) return x | z;
  if constexpr (op == BinaryOp::bitwise_xor) return x ^ z;
  if constexpr (op == BinaryOp::relu_backward) return z > 0 ? x : T(0);
}

template <BinaryOp op, class W>
__device__ __forceinline__ bool compare(W x, W z) {
  if constexpr (op == BinaryOp::eq) return x == z;
  if constexpr (op == BinaryOp::ne) return x != z;
  if constexpr (op == BinaryOp::lt) return x < z;
  if constexpr (op == BinaryOp::le) return x <= z;
  if constexpr (op == BinaryOp::gt) return x > z;
  if constexpr (op == BinaryOp::ge) return x >= z;
}

template <BinaryOp op, class T>
struct Binary {
  __device__ __forceinline__ auto operator()(T x, T z) const {
    if constexpr (is_comparison(op))
      return compare<op>(to_working(x), to_working(z));
    else if constexpr (kIsFloating<T>)
      return from_working<T>(floating_value<op>(to_working(x), to_working(z)));
    else if constexpr (std::is_same_v<T, bool>)
      return static_cast<bool>(integer_value<op>(static_cast<uint8_t>(x), static_cast<uint8_t>(z)));
    else
      return integer_value<op>(x, z);
  }
};

constexpr bool is_bitwise(BinaryOp op) { return op >= BinaryOp::bitwise_and && op <= BinaryOp::bitwise_xor; }

// The ops that make no sense for T have no kernel; the op layer never asks for them.
template <BinaryOp op, class T>
constexpr bool exists() {
  constexpr bool kFloatingOnly =
      op == BinaryOp::div || op == BinaryOp::tanh_backward || op == BinaryOp::sigmoid_backward || op == BinaryOp::gelu_backward;
  return kIsFloating<T> ? !is_bitwise(op) : !kFloatingOnly;
}

template <BinaryOp op, class T>
using Result = std::conditional_t<is_comparison(op), bool, T>;

// All ops with results of one type in one kernel.
template <class T, class Out>
struct AnyBinary {
  BinaryOp op;
  __device__ __forceinline__ Out operator()(T x, T z) const {
    switch (op) {
#define BINARY(name)                                                                                                                       \
  case BinaryOp::name:                                                                                                                     \
    if constexpr (exists<BinaryOp::name, T>() && std::is_same_v<Result<BinaryOp::name, T>, Out>) return Binary<BinaryOp::name, T>{}(x, z); \
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
void run_any(const BinaryArgs& args, cudaStream_t stream) {
  map_any("binary", stream, AnyBinary<T, Out>{args.op}, args.shape, static_cast<Out*>(args.y), args.y_strides,
          input<T>(args.x, args.x_strides), input<T>(args.z, args.z_strides));
}

// float32: a kernel for each op.
template <BinaryOp op>
void run(const BinaryArgs& args, cudaStream_t stream) {
  using Out = Result<op, float>;
  if constexpr (exists<op, float>())
    map("binary", stream, Binary<op, float>{}, AnyBinary<float, Out>{op}, args.shape, static_cast<Out*>(args.y), args.y_strides,
        input<float>(args.x, args.x_strides), input<float>(args.z, args.z_strides));
}
void run_float(const BinaryArgs& args, cudaStream_t stream) {
  switch (args.op) {
#define BINARY(name)   \
  case BinaryOp::name: \
    return run<BinaryOp::name>(args, stream);
#define KERNEL(name, Args)
#include "kernels/kernels.def"
    default:
      return;
  }
}

}  // namespace

void binary(const BinaryArgs& args, cudaStream_t stream) {
  if (args.dtype == DType::Float32) return run_float(args, stream);
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, float>) is_comparison(args.op) ? run_any<T, bool>(args, stream) : run_any<T, T>(args, stream);
  });
}

}  // namespace dnncore::cuda
