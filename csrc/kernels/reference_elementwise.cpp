// Naive elementwise kernels, copies and ranges: the oracle.
#include <bit>
#include <numbers>

#include "core/launch.h"
#include "kernels/copy.h"
#include "kernels/elementwise.h"
#include "kernels/reference.h"

namespace dnncore::reference {

void unary(const UnaryArgs& args, const Tasks&);
void binary(const BinaryArgs& args, const Tasks&);
void where(const WhereArgs& args, const Tasks&);
void copy(const CopyArgs& args, const Tasks&);
void fill(const FillArgs& args, const Tasks&);
void range(const RangeArgs& args, const Tasks&);

double unary_value(UnaryOp op, double x) {
  switch (op) {
    case UnaryOp::neg:
      return -x;
    case UnaryOp::abs:
      return std::fabs(x);
    case UnaryOp::sign:
      return std::isnan(x) ? x : (x > 0) - (x < 0);
    case UnaryOp::square:
      return x * x;
    case UnaryOp::sqrt:
      return std::sqrt(x);
    case UnaryOp::rsqrt:
      return 1 / std::sqrt(x);
    case UnaryOp::reciprocal:
      return 1 / x;
    case UnaryOp::exp:
      return std::exp(x);
    case UnaryOp::expm1:
      return std::expm1(x);
    case UnaryOp::log:
      return std::log(x);
    case UnaryOp::log1p:
      return std::log1p(x);
    case UnaryOp::log2:
      return std::log2(x);
    case UnaryOp::log10:
      return std::log10(x);
    case UnaryOp::sin:
      return std::sin(x);
    case UnaryOp::cos:
      return std::cos(x);
    case UnaryOp::tanh:
      return std::tanh(x);
    case UnaryOp::sigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryOp::relu:
      return x < 0 ? 0 : x;
    case UnaryOp::gelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case UnaryOp::erf:
      return std::erf(x);
    case UnaryOp::softplus:
      return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
    case UnaryOp::floor:
      return std::floor(x);
    case UnaryOp::ceil:
      return std::ceil(x);
    case UnaryOp::trunc:
      return std::trunc(x);
    case UnaryOp::round:
      return std::nearbyint(x);
    case UnaryOp::isnan:
      return std::isnan(x);
    case UnaryOp::isinf:
      return std::isinf(x);
    case UnaryOp::isfinite:
      return std::isfinite(x);
    case UnaryOp::logical_not:
      return x == 0;
    default:
      return x;
  }
}

double activation_value(Activation activation, double x) {
  switch (activation) {
    case Activation::Relu:
      return unary_value(UnaryOp::relu, x);
    case Activation::Tanh:
      return unary_value(UnaryOp::tanh, x);
    case Activation::Sigmoid:
      return unary_value(UnaryOp::sigmoid, x);
    case Activation::Gelu:
      return unary_value(UnaryOp::gelu, x);
    default:
      return x;
  }
}

namespace {

int64_t wrapped(uint64_t x) { return static_cast<int64_t>(x); }
uint64_t bits(int64_t x) { return static_cast<uint64_t>(x); }

int64_t unary_value(UnaryOp op, int64_t x) {
  switch (op) {
    case UnaryOp::neg:
      return wrapped(-bits(x));
    case UnaryOp::abs:
      return x < 0 ? wrapped(-bits(x)) : x;
    case UnaryOp::sign:
      return (x > 0) - (x < 0);
    case UnaryOp::square:
      return wrapped(bits(x) * bits(x));
    case UnaryOp::relu:
      return x > 0 ? x : 0;
    case UnaryOp::isnan:
    case UnaryOp::isinf:
      return 0;
    case UnaryOp::isfinite:
      return 1;
    case UnaryOp::logical_not:
      return x == 0;
    case UnaryOp::bitwise_not:
      return ~x;
    default:
      return x;
  }
}

double floor_divide(double x, double z) {
  if (z == 0) return x / z;
  const double rest = std::fmod(x, z);
  double quotient = (x - rest) / z;
  if (rest != 0 && (z < 0) != (rest < 0)) quotient -= 1;
  return quotient == 0 ? std::copysign(0.0, x / z) : std::nearbyint(quotient);
}

double remainder(double x, double z) {
  const double rest = std::fmod(x, z);
  return rest != 0 && (z < 0) != (rest < 0) ? rest + z : rest;
}

double normal_density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }

double binary_value(BinaryOp op, double x, double z) {
  switch (op) {
    case BinaryOp::add:
      return x + z;
    case BinaryOp::sub:
      return x - z;
    case BinaryOp::mul:
      return x * z;
    case BinaryOp::div:
      return x / z;
    case BinaryOp::floor_divide:
      return floor_divide(x, z);
    case BinaryOp::remainder:
      return remainder(x, z);
    case BinaryOp::pow:
      return std::pow(x, z);
    case BinaryOp::maximum:
      return std::isnan(x) || x > z ? x : z;
    case BinaryOp::minimum:
      return std::isnan(x) || x < z ? x : z;
    case BinaryOp::relu_backward:
      return z <= 0 ? 0 : x;
    case BinaryOp::tanh_backward:
      return x * (1 - z * z);
    case BinaryOp::sigmoid_backward:
      return x * (1 - z) * z;
    case BinaryOp::gelu_backward:
      return x * (0.5 * std::erfc(-z / std::numbers::sqrt2) + z * normal_density(z));
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

int64_t power(int64_t base, int64_t exponent) {
  uint64_t result = 1;
  for (uint64_t square = bits(base); exponent > 0; exponent >>= 1, square *= square)
    if (exponent & 1) result *= square;
  return wrapped(result);
}

int64_t binary_value(BinaryOp op, int64_t x, int64_t z) {
  const bool rounds_down = z != 0 && z != -1 && x % z != 0 && (x < 0) != (z < 0);
  switch (op) {
    case BinaryOp::add:
      return wrapped(bits(x) + bits(z));
    case BinaryOp::sub:
      return wrapped(bits(x) - bits(z));
    case BinaryOp::mul:
      return wrapped(bits(x) * bits(z));
    case BinaryOp::floor_divide:
      if (z == 0) return 0;
      return z == -1 ? wrapped(-bits(x)) : x / z - rounds_down;  // -1: the smallest number has no negative
    case BinaryOp::remainder:
      if (z == 0 || z == -1) return 0;
      return x % z + (rounds_down ? z : 0);
    case BinaryOp::pow:
      return power(x, z);
    case BinaryOp::maximum:
      return x > z ? x : z;
    case BinaryOp::minimum:
      return x < z ? x : z;
    case BinaryOp::bitwise_and:
      return x & z;
    case BinaryOp::bitwise_or:
      return x | z;
    case BinaryOp::bitwise_xor:
      return x ^ z;
    case BinaryOp::relu_backward:
      return z <= 0 ? 0 : x;
    default:
      return 0;
  }
}

template <class W>
bool compare(BinaryOp op, W x, W z) {
  switch (op) {
    case BinaryOp::eq:
      return x == z;
    case BinaryOp::ne:
      return x != z;
    case BinaryOp::lt:
      return x < z;
    case BinaryOp::le:
      return x <= z;
    case BinaryOp::gt:
      return x > z;
    default:
      return x >= z;
  }
}

template <class To, class From>
To convert(From x) {
  if constexpr (std::is_same_v<To, bool>)
    return widen(x) != 0;
  else
    return narrow<To>(widen(x));
}

}  // namespace

void unary(const UnaryArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto* x = static_cast<const T*>(args.x);
    for_each(
        args.shape,
        [&](int64_t, int64_t from, int64_t to) {
          const Wide<T> value = unary_value(args.op, widen(x[from]));
          if (is_predicate(args.op))
            static_cast<bool*>(args.y)[to] = value != 0;
          else if constexpr (std::is_same_v<T, bool>)
            static_cast<bool*>(args.y)[to] = args.op == UnaryOp::bitwise_not ? !x[from] : value != 0;
          else
            static_cast<T*>(args.y)[to] = narrow<T>(value);
        },
        args.x_strides, args.y_strides);
  });
}

void binary(const BinaryArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_each(
        args.shape,
        [&](int64_t, int64_t x_at, int64_t z_at, int64_t to) {
          const Wide<T> x = widen(static_cast<const T*>(args.x)[x_at]), z = widen(static_cast<const T*>(args.z)[z_at]);
          if (is_comparison(args.op))
            static_cast<bool*>(args.y)[to] = compare(args.op, x, z);
          else
            static_cast<T*>(args.y)[to] = narrow<T>(binary_value(args.op, x, z));
        },
        args.x_strides, args.z_strides, args.y_strides);
  });
}

void where(const WhereArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_each(
        args.shape,
        [&](int64_t, int64_t at, int64_t x_at, int64_t z_at, int64_t to) {
          const bool chosen = static_cast<const bool*>(args.condition)[at];
          static_cast<T*>(args.y)[to] = chosen ? static_cast<const T*>(args.x)[x_at] : static_cast<const T*>(args.z)[z_at];
        },
        args.condition_strides, args.x_strides, args.z_strides, args.y_strides);
  });
}

void copy(const CopyArgs& args, const Tasks&) {
  visit_dtype(args.x_dtype, [&](auto from) {
    visit_dtype(args.y_dtype, [&](auto to) {
      const auto* x = static_cast<const decltype(from)*>(args.x);
      auto* y = static_cast<decltype(to)*>(args.y);
      for_each(
          args.shape, [&](int64_t, int64_t i, int64_t j) { y[j] = convert<decltype(to)>(x[i]); }, args.x_strides, args.y_strides);
    });
  });
}

void fill(const FillArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto* y = static_cast<T*>(args.y);
    T value;
    if constexpr (is_float<T>)
      value = narrow<T>(args.as_double);
    else
      value = narrow<T>(args.as_int);
    for_each(
        args.shape, [&](int64_t, int64_t i) { y[i] = value; }, args.y_strides);
  });
}

namespace {

// The double rounded once to T: on the way to a half, float32 keeps what was lost as its last bit (round to odd).
template <class T>
T rounded_once(double x) {
  if constexpr (!is_half<T>) return narrow<T>(x);
  const auto nearest = static_cast<float>(x);
  if (!std::isfinite(nearest) || static_cast<double>(nearest) == x || std::bit_cast<uint32_t>(nearest) & 1) return narrow<T>(nearest);
  return narrow<T>(std::nextafter(nearest, x > nearest ? INFINITY : -INFINITY));
}

}  // namespace

void range(const RangeArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto* y = static_cast<T*>(args.y);
    for (int64_t i = 0; i < args.n; ++i)
      if constexpr (is_float<T>)
        y[i] = rounded_once<T>(args.start + static_cast<double>(i) * args.step);
      else
        y[i] = narrow<T>(wrapped(bits(args.int_start) + bits(i) * bits(args.int_step)));
  });
}

}  // namespace dnncore::reference
