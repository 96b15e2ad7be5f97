#include <algorithm>

#include "core/parallel.h"
#include "kernels/kernels.h"
#include "kernels/pointwise_loss.h"
#include "kernels/reference.h"

namespace dnncore::reference {

namespace {

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x))) + (std::isnan(x) ? x : 0); }
double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
double at_least(double x, double least) { return x < least ? least : x; }  // NaN stays

double loss_value(LossOp op, double x, double t, double parameter) {
  const double d = std::fabs(x - t);
  switch (op) {
    case LossOp::mse:
      return d * d;
    case LossOp::l1:
      return d;
    case LossOp::smooth_l1:
      return d < parameter ? d * d / (2 * parameter) : d - parameter / 2;
    case LossOp::huber:
      return d <= parameter ? d * d / 2 : parameter * (d - parameter / 2);
    case LossOp::bce:
      return (t - 1) * at_least(std::log1p(-x), -100) - t * at_least(std::log(x), -100);
    case LossOp::bce_with_logits: {
      const double wrong = x > 0 ? 1 - t : t;
      return (wrong == 0 ? 0 : std::fabs(x) * wrong) + std::log1p(std::exp(-std::fabs(x)));
    }
    case LossOp::kl_div:
      return (t == 0 ? 0 : t * std::log(t)) - t * x;
    case LossOp::kl_div_log:
      return std::exp(t) * (t - x);
    case LossOp::poisson_nll_log:
      return std::exp(x) - t * x;
    case LossOp::poisson_nll:
      return x - t * std::log(x + parameter);
    default:
      return softplus(-t * x);
  }
}

double loss_slope(LossOp op, double x, double t, double parameter) {
  const double d = x - t;
  switch (op) {
    case LossOp::mse:
      return 2 * d;
    case LossOp::l1:
      return sign(d);
    case LossOp::smooth_l1:
      return std::fabs(d) < parameter ? d / parameter : sign(d);
    case LossOp::huber:
      return std::fabs(d) <= parameter ? d : parameter * sign(d);
    case LossOp::bce:
      return d / at_least((1 - x) * x, 1e-12);
    case LossOp::bce_with_logits:
      return sigmoid(x) - t;
    case LossOp::kl_div:
      return -t;
    case LossOp::kl_div_log:
      return -std::exp(t);
    case LossOp::poisson_nll_log:
      return std::exp(x) - t;
    case LossOp::poisson_nll:
      return 1 - t / (x + parameter);
    default:
      return -t * sigmoid(-t * x);
  }
}

bool outside_unit(double x) { return x < 0 || x > 1; }

template <class T>
void pointwise_loss_as(const PointwiseLossArgs& args) {
  const T* x = static_cast<const T*>(args.x);
  const T* t = static_cast<const T*>(args.t);
  double total = 0;
  if (args.outside != nullptr) std::fill_n(args.outside, PointwiseLossArgs::chunks(args.n), uint8_t{0});
  for (int64_t i = 0; i < args.n; ++i) {
    const double loss = loss_value(args.op, x[i], t[i], args.parameter);
    total += loss;
    if (args.y != nullptr) static_cast<T*>(args.y)[i] = static_cast<T>(loss);
    if (!takes_probabilities(args.op)) continue;
    uint8_t& outside = args.outside[i / PointwiseLossArgs::kChunkElements];
    if (outside_unit(t[i])) outside |= PointwiseLossArgs::kTargetOutside;
    if (args.op == LossOp::bce && outside_unit(x[i])) outside |= PointwiseLossArgs::kInputOutside;
  }
  if (args.total != nullptr) *static_cast<T*>(args.total) = static_cast<T>(total * args.scale);
}

template <class T>
void pointwise_loss_backward_as(const PointwiseLossBackwardArgs& args) {
  for (int64_t i = 0; i < args.n; ++i) {
    const double slope = loss_slope(args.op, static_cast<const T*>(args.x)[i], static_cast<const T*>(args.t)[i], args.parameter);
    static_cast<T*>(args.dx)[i] = static_cast<T>(args.scale * static_cast<double>(static_cast<const T*>(args.g)[i * args.g_step]) * slope);
  }
}

}  // namespace

void pointwise_loss(const PointwiseLossArgs& args, const Tasks&) {
  args.dtype == DType::Float64 ? pointwise_loss_as<double>(args) : pointwise_loss_as<float>(args);
}

void pointwise_loss_backward(const PointwiseLossBackwardArgs& args, const Tasks&) {
  args.dtype == DType::Float64 ? pointwise_loss_backward_as<double>(args) : pointwise_loss_backward_as<float>(args);
}

}  // namespace dnncore::reference
