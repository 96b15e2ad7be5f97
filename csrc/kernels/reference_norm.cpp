// Naive normalisation: two passes in double.
#include <vector>

#include "core/parallel.h"
#include "kernels/kernels.h"
#include "kernels/norm.h"
#include "kernels/reference.h"

namespace dnncore::reference {

namespace {

// fn(channel, element) for the elements of statistic s.
template <class Fn>
void for_statistic(const NormShape& shape, int64_t s, Fn&& fn) {
  const int64_t b = s / shape.groups, first = s % shape.groups * shape.width();
  for (int64_t o = 0; o < shape.outer; ++o)
    for (int64_t c = first; c < first + shape.width(); ++c)
      for (int64_t i = 0; i < shape.inner; ++i) fn(c, ((b * shape.outer + o) * shape.channels + c) * shape.inner + i);
}

template <class T>
double entry(const void* values, int64_t i, double otherwise) {
  return values == nullptr ? otherwise : static_cast<const T*>(values)[i];
}

// Mean, and mean of the squares about it.
template <class T>
void measure(const NormArgs& args, int64_t s, double& mean, double& variance) {
  const T* x = static_cast<const T*>(args.x);
  if (args.statistics == Statistics::Running) {
    mean = entry<T>(args.running_mean, s % args.shape.groups, 0);
    variance = entry<T>(args.running_var, s % args.shape.groups, 0);
    return;
  }
  const auto n = static_cast<double>(args.shape.count());
  double sum = 0, squares = 0, rest = 0;
  if (args.statistics == Statistics::Centered) for_statistic(args.shape, s, [&](int64_t, int64_t at) { sum += x[at]; });
  mean = sum / n;
  for_statistic(args.shape, s, [&](int64_t, int64_t at) {
    squares += (x[at] - mean) * (x[at] - mean);
    rest += x[at] - mean;
  });
  if (args.statistics == Statistics::Centered) {
    mean += rest / n;
    squares -= rest * rest / n;
  }
  variance = squares / n;
}

template <class T>
void update_running(const NormArgs& args, const std::vector<double>& variances) {
  const NormShape& shape = args.shape;
  const auto n = static_cast<double>(shape.count()), entries = static_cast<double>(shape.batch);
  const double factor = args.momentum < 0 ? 1 / static_cast<double>(*args.batches + 1) : args.momentum;
  for (int64_t c = 0; c < shape.channels; ++c) {
    double mean = 0, variance = 0;
    for (int64_t b = 0; b < shape.batch; ++b) {
      mean += args.mean[b * shape.channels + c] / entries;
      variance += variances[static_cast<size_t>(b * shape.channels + c)] * n / (n - 1) / entries;
    }
    T& to_mean = static_cast<T*>(args.running_mean)[c];
    T& to_var = static_cast<T*>(args.running_var)[c];
    to_mean = static_cast<T>((1 - factor) * static_cast<double>(to_mean) + factor * mean);
    to_var = static_cast<T>((1 - factor) * static_cast<double>(to_var) + factor * variance);
  }
}

template <class T>
T output(double x, double mean, double rstd, double weight, double bias, Activation activation) {
  const T y = static_cast<T>((x - mean) * rstd * weight + bias);
  return activation == Activation::Relu && y <= 0 ? T(0) : y;
}

template <class T>
void forward(const NormArgs& args) {
  std::vector<double> variances(static_cast<size_t>(args.shape.statistics()));
  for (int64_t s = 0; s < args.shape.statistics(); ++s) {
    double& variance = variances[static_cast<size_t>(s)];
    measure<T>(args, s, args.mean[s], variance);
    args.rstd[s] = 1 / std::sqrt(variance + args.eps);
    for_statistic(args.shape, s, [&](int64_t c, int64_t at) {
      static_cast<T*>(args.y)[at] = output<T>(static_cast<const T*>(args.x)[at], args.mean[s], args.rstd[s], entry<T>(args.weight, c, 1),
                                              entry<T>(args.bias, c, 0), args.activation);
    });
  }
  if (args.updates()) update_running<T>(args, variances);
  if (args.updates() && args.batches != nullptr) ++*args.batches;
}

template <class T>
void backward(const NormBackwardArgs& args) {
  const NormShape& shape = args.shape;
  const auto n = static_cast<double>(shape.count());
  std::vector<double> dweight(static_cast<size_t>(shape.channels)), dbias(dweight.size());
  for (int64_t s = 0; s < shape.statistics(); ++s) {
    const auto g = [&](int64_t c, int64_t at) -> double {
      const T y = output<T>(static_cast<const T*>(args.x)[at], args.mean[s], args.rstd[s], entry<T>(args.weight, c, 1),
                            entry<T>(args.bias, c, 0), Activation::None);
      return args.activation == Activation::Relu && y <= 0 ? T(0) : static_cast<const T*>(args.dy)[at];
    };
    const auto z = [&](int64_t at) { return (static_cast<const T*>(args.x)[at] - args.mean[s]) * args.rstd[s]; };
    double mean_g = 0, mean_gz = 0;
    for_statistic(shape, s, [&](int64_t c, int64_t at) {
      const double weight = entry<T>(args.weight, c, 1), slope = g(c, at);
      mean_g += weight * slope / n;
      mean_gz += weight * slope * z(at) / n;
      dweight[static_cast<size_t>(c)] += slope * z(at);
      dbias[static_cast<size_t>(c)] += slope;
    });
    if (args.statistics != Statistics::Centered) mean_g = 0;
    if (args.statistics == Statistics::Running) mean_gz = 0;
    if (args.dx == nullptr) continue;
    for_statistic(shape, s, [&](int64_t c, int64_t at) {
      static_cast<T*>(args.dx)[at] = static_cast<T>(args.rstd[s] * (entry<T>(args.weight, c, 1) * g(c, at) - mean_g - z(at) * mean_gz));
    });
  }
  for (size_t c = 0; c < dweight.size(); ++c) {
    if (args.dweight != nullptr) static_cast<T*>(args.dweight)[c] = static_cast<T>(dweight[c]);
    if (args.dbias != nullptr) static_cast<T*>(args.dbias)[c] = static_cast<T>(dbias[c]);
  }
}

}  // namespace

void norm(const NormArgs& args, const Tasks&) { args.dtype == DType::Float64 ? forward<double>(args) : forward<float>(args); }

void norm_backward(const NormBackwardArgs& args, const Tasks&) {
  args.dtype == DType::Float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace dnncore::reference
