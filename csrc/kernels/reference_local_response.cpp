// Naive local response normalisation, in double.
#include <algorithm>
#include <cmath>

#include "core/launch.h"
#include "kernels/local_response.h"

namespace dnncore::reference {

void local_response(const LocalResponseArgs& args, const Tasks&);
void local_response_backward(const LocalResponseBackwardArgs& args, const Tasks&);

namespace {

// The sum of fn(j) over channels [i - before, i + after].
template <class Fn>
double over_neighbours(const LocalResponse& s, int64_t i, int64_t before, int64_t after, Fn&& fn) {
  double sum = 0;
  for (int64_t j = std::max<int64_t>(0, i - before); j <= std::min(s.c - 1, i + after); ++j) sum += fn(j);
  return sum;
}

template <class T>
double scale_of(const LocalResponse& s, const T* x, int64_t i) {
  return s.k + s.alpha * over_neighbours(s, i, s.before, s.after, [&](int64_t j) { return static_cast<double>(x[j]) * x[j]; });
}

template <class T>
void local_response_as(const LocalResponseArgs& args) {
  const LocalResponse& s = args.shape;
  for (int64_t r = 0; r < s.rows; ++r) {
    const T* x = static_cast<const T*>(args.x) + r * s.c;
    for (int64_t i = 0; i < s.c; ++i) static_cast<T*>(args.y)[r * s.c + i] = static_cast<T>(x[i] / std::pow(scale_of(s, x, i), s.beta));
  }
}

template <class T>
void local_response_backward_as(const LocalResponseBackwardArgs& args) {
  const LocalResponse& s = args.shape;
  for (int64_t r = 0; r < s.rows; ++r) {
    const T* x = static_cast<const T*>(args.x) + r * s.c;
    const T* dy = static_cast<const T*>(args.dy) + r * s.c;
    for (int64_t i = 0; i < s.c; ++i) {
      const double shares = over_neighbours(
          s, i, s.after, s.before, [&](int64_t j) { return static_cast<double>(dy[j]) * x[j] / std::pow(scale_of(s, x, j), s.beta + 1); });
      static_cast<T*>(args.dx)[r * s.c + i] =
          static_cast<T>(dy[i] / std::pow(scale_of(s, x, i), s.beta) - 2 * s.alpha * s.beta * x[i] * shares);
    }
  }
}

}  // namespace

void local_response(const LocalResponseArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? local_response_as<double>(args) : local_response_as<float>(args);
}

void local_response_backward(const LocalResponseBackwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? local_response_backward_as<double>(args) : local_response_backward_as<float>(args);
}

}  // namespace dnncore::reference
