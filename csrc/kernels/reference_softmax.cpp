#include "core/parallel.h"
#include "kernels/kernels.h"
#include "kernels/reference.h"
#include "kernels/softmax.h"

namespace dnncore::reference {

namespace {

template <class T>
void softmax_line(const SoftmaxArgs& args, const T* x, T* y) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t j = 0; j < args.n; ++j) {
    const double v = x[j * args.inner];
    largest = std::isnan(v) || v > largest ? v : largest;
  }
  if (args.op == SoftmaxOp::logsumexp && std::isinf(largest)) {
    for (int64_t j = 0; j < args.n; ++j)
      if (std::isnan(x[j * args.inner])) largest = std::numeric_limits<double>::quiet_NaN();
    *y = static_cast<T>(largest);
    return;
  }
  double others = 0;  // beyond one of the largest
  bool counted = false;
  for (int64_t j = 0; j < args.n; ++j) {
    const bool first_largest = !counted && x[j * args.inner] == static_cast<T>(largest);
    counted |= first_largest;
    const double power = std::exp(x[j * args.inner] - largest);
    sum += power;
    others += first_largest ? power - 1 : power;
  }
  const double log = std::log1p(others);
  if (args.op == SoftmaxOp::logsumexp) {
    *y = static_cast<T>(largest + log);
    return;
  }
  for (int64_t j = 0; j < args.n; ++j) {
    const double v = x[j * args.inner] - largest;
    y[j * args.inner] = static_cast<T>(args.op == SoftmaxOp::softmax ? std::exp(v) / sum : v - log);
  }
}

template <class T>
void softmax_as(const SoftmaxArgs& args) {
  const int64_t y_outer = (args.op == SoftmaxOp::logsumexp ? 1 : args.n) * args.inner;
  for (int64_t o = 0; o < args.outer; ++o)
    for (int64_t i = 0; i < args.inner; ++i)
      softmax_line(args, static_cast<const T*>(args.x) + o * args.x_outer + i, static_cast<T*>(args.y) + o * y_outer + i);
}

template <class T>
void softmax_backward_as(const SoftmaxBackwardArgs& args) {
  for (int64_t o = 0; o < args.outer; ++o)
    for (int64_t i = 0; i < args.inner; ++i) {
      const int64_t at = o * args.n * args.inner + i;
      const T* dy = static_cast<const T*>(args.dy) + at;
      const T* y = static_cast<const T*>(args.y) + at;
      T* dx = static_cast<T*>(args.dx) + at;
      const bool logs = args.op == SoftmaxOp::log_softmax;
      double sum = 0;
      for (int64_t j = 0; j < args.n * args.inner; j += args.inner)
        sum += logs ? static_cast<double>(dy[j]) : static_cast<double>(dy[j]) * static_cast<double>(y[j]);
      for (int64_t j = 0; j < args.n * args.inner; j += args.inner) {
        const double g = dy[j], v = y[j];
        dx[j] = static_cast<T>(logs ? g - std::exp(v) * sum : v * (g - sum));
      }
    }
}

}  // namespace

void softmax(const SoftmaxArgs& args, const Tasks&) { args.dtype == DType::Float64 ? softmax_as<double>(args) : softmax_as<float>(args); }

void softmax_backward(const SoftmaxBackwardArgs& args, const Tasks&) {
  args.dtype == DType::Float64 ? softmax_backward_as<double>(args) : softmax_backward_as<float>(args);
}

}  // namespace dnncore::reference
