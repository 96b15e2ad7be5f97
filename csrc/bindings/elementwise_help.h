// What help() says about the elementwise functions, one line each.
#pragma once

#include "kernels/elementwise.h"

namespace dnncore::bindings {

constexpr const char* summary(UnaryOp op) {
  // clang-format off
  switch (op) {
    case UnaryOp::neg: return "-x of every element.";
    case UnaryOp::abs: return "The absolute value of every element.";
    case UnaryOp::sign: return "-1, 0 or 1: the sign of every element.";
    case UnaryOp::square: return "x * x of every element.";
    case UnaryOp::sqrt: return "The square root of every element.";
    case UnaryOp::rsqrt: return "1 / sqrt(x) of every element.";
    case UnaryOp::reciprocal: return "1 / x of every element.";
    case UnaryOp::exp: return "e to the power of every element.";
    case UnaryOp::expm1: return "exp(x) - 1 of every element, exact near 0.";
    case UnaryOp::log: return "The natural logarithm of every element.";
    case UnaryOp::log1p: return "log(1 + x) of every element, exact near 0.";
    case UnaryOp::log2: return "The logarithm to base 2 of every element.";
    case UnaryOp::log10: return "The logarithm to base 10 of every element.";
    case UnaryOp::sin: return "The sine of every element, in radians.";
    case UnaryOp::cos: return "The cosine of every element, in radians.";
    case UnaryOp::tanh: return "The hyperbolic tangent of every element.";
    case UnaryOp::sigmoid: return "1 / (1 + exp(-x)) of every element.";
    case UnaryOp::relu: return "max(x, 0) of every element.";
    case UnaryOp::gelu: return "x (1 + erf(x / sqrt(2))) / 2 of every element.";
    case UnaryOp::erf: return "The error function of every element.";
    case UnaryOp::softplus: return "log(1 + exp(x)) of every element.";
    case UnaryOp::floor: return "The largest whole number that is not above, for every element.";
    case UnaryOp::ceil: return "The smallest whole number that is not below, for every element.";
    case UnaryOp::trunc: return "Every element without its fraction.";
    case UnaryOp::round: return "The nearest whole number, halves to the even one, for every element.";
    case UnaryOp::isnan: return "True where an element is not a number.";
    case UnaryOp::isinf: return "True where an element is infinite.";
    case UnaryOp::isfinite: return "True where an element is neither infinite nor not a number.";
    case UnaryOp::logical_not: return "True where an element is 0.";
    case UnaryOp::bitwise_not: return "Every bit flipped; of bool tensors the logical not.";
    default: return nullptr;
  }
  // clang-format on
}

constexpr const char* summary(BinaryOp op) {
  // clang-format off
  switch (op) {
    case BinaryOp::mul: return "input * other, broadcast.";
    case BinaryOp::floor_divide: return "floor(input / other), broadcast.";
    case BinaryOp::remainder: return "input - other * floor(input / other), with other's sign, broadcast.";
    case BinaryOp::pow: return "input to the power of other, broadcast.";
    case BinaryOp::maximum: return "The larger of two elements, broadcast; NaN where one is NaN.";
    case BinaryOp::minimum: return "The smaller of two elements, broadcast; NaN where one is NaN.";
    case BinaryOp::eq: return "input == other, broadcast: a bool tensor.";
    case BinaryOp::ne: return "input != other, broadcast: a bool tensor.";
    case BinaryOp::lt: return "input < other, broadcast: a bool tensor.";
    case BinaryOp::le: return "input <= other, broadcast: a bool tensor.";
    case BinaryOp::gt: return "input > other, broadcast: a bool tensor.";
    case BinaryOp::ge: return "input >= other, broadcast: a bool tensor.";
    case BinaryOp::bitwise_and: return "input & other, bit by bit, broadcast.";
    case BinaryOp::bitwise_or: return "input | other, bit by bit, broadcast.";
    case BinaryOp::bitwise_xor: return "input ^ other, bit by bit, broadcast.";
    default: return nullptr;
  }
  // clang-format on
}

}  // namespace dnncore::bindings
