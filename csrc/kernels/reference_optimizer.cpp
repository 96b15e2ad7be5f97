// The rules of the optimizers, one element at a time in float64 on the stored state, as PyTorch's torch/optim/<rule>.py has them.
#include <algorithm>

#include "kernels/optimizer.h"
#include "kernels/reference.h"

namespace dnncore {

struct Tasks;

namespace reference {

namespace {

double sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
double larger(double a, double b) { return std::isnan(a) || a > b ? a : b; }

// One element: p, its gradient and state, and the counters as they are in this step (`t` counts from 1).
template <class T>
struct Element {
  double p, d;
  T* state[kOptimizerBuffers];
  const double* counters;
  double t;
  const OptimizerGroup& s;

  double store(int k, double value) { return *state[k] = static_cast<T>(value); }
  void moments() {
    store(0, *state[0] + (d - *state[0]) * (1 - s.beta1));
    store(1, s.beta2 * *state[1] + (1 - s.beta2) * d * d);
  }

  double sgd() {
    if (state[0] == nullptr) return p - s.lr * d;
    store(0, t == 1 ? d : s.momentum * *state[0] + (1 - s.dampening) * d);
    return p - s.lr * (s.nesterov != 0 ? d + s.momentum * *state[0] : *state[0]);
  }
  double adam() {
    moments();
    const double square = state[2] == nullptr ? *state[1] : store(2, larger(*state[2], *state[1]));
    return p - s.lr / (1 - std::pow(s.beta1, t)) * *state[0] / (std::sqrt(square) / std::sqrt(1 - std::pow(s.beta2, t)) + s.eps);
  }
  double adamax() {
    store(0, *state[0] + (d - *state[0]) * (1 - s.beta1));
    store(1, larger(s.beta2 * *state[1], std::fabs(d) + s.eps));
    return p - s.lr / (1 - std::pow(s.beta1, t)) * *state[0] / *state[1];
  }
  double nadam() {
    moments();
    const double mu = s.beta1 * (1 - 0.5 * std::pow(0.96, t * s.momentum_decay));
    const double next = s.beta1 * (1 - 0.5 * std::pow(0.96, (t + 1) * s.momentum_decay)), product = counters[1] * mu;
    const double root = std::sqrt(*state[1] / (1 - std::pow(s.beta2, t))) + s.eps;
    return p - s.lr * (1 - mu) / (1 - product) * d / root - s.lr * next / (1 - product * next) * *state[0] / root;
  }
  double radam() {
    moments();
    const double m = *state[0] / (1 - std::pow(s.beta1, t)), power = std::pow(s.beta2, t), limit = 2 / (1 - s.beta2) - 1;
    const double rho = limit - 2 * t * power / (1 - power);
    if (rho <= 5) return p - s.lr * m;
    const double rectify = std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
    return p - s.lr * m * rectify * std::sqrt(1 - power) / (std::sqrt(*state[1]) + s.eps);
  }
  double rmsprop() {
    double square = store(0, s.alpha * *state[0] + (1 - s.alpha) * d * d);
    if (state[2] != nullptr) {
      store(2, *state[2] + (d - *state[2]) * (1 - s.alpha));
      square -= static_cast<double>(*state[2]) * *state[2];
      square = square < 0 ? 0 : square;
    }
    const double direction = d / (std::sqrt(square) + s.eps);
    return p - s.lr * (state[1] == nullptr ? direction : store(1, s.momentum * *state[1] + direction));
  }
  double adagrad() {
    store(0, *state[0] + d * d);
    return p - s.lr / (1 + (t - 1) * s.lr_decay) * d / (std::sqrt(*state[0]) + s.eps);
  }
  double adadelta() {
    store(0, s.rho * *state[0] + (1 - s.rho) * d * d);
    const double delta = std::sqrt(*state[1] + s.eps) / std::sqrt(*state[0] + s.eps) * d;
    store(1, s.rho * *state[1] + (1 - s.rho) * delta * delta);
    return p - s.lr * delta;
  }
  double rprop() {
    const double agreement = static_cast<T>(d * *state[0]);  // may underflow: then neither faster nor slower
    const double factor = agreement > 0 ? s.eta_plus : agreement < 0 ? s.eta_minus : agreement == 0 ? 1 : agreement;
    const double size = *state[1] * static_cast<T>(factor);
    store(1, size < s.step_min ? s.step_min : size > s.step_max ? s.step_max : size);
    store(0, agreement < 0 ? 0 : d);
    return p - sign_of(*state[0]) * *state[1];
  }
  double asgd() {
    const double eta = counters[1], mu = counters[2];
    const double moved = p * (1 - s.lambd * eta) - eta * d;
    store(0, mu == 1 ? moved : *state[0] + (moved - *state[0]) * mu);
    return moved;
  }

  double updated(OptimizerRule rule) {
    using Formula = double (Element::*)();
    static constexpr Formula formulas[] = {&Element::sgd,     &Element::adam,    &Element::adamax,   &Element::nadam, &Element::radam,
                                           &Element::rmsprop, &Element::adagrad, &Element::adadelta, &Element::rprop, &Element::asgd};
    return (this->*formulas[static_cast<int>(rule)])();
  }
};

template <class T>
void update_segment(OptimizerRule rule, const OptimizerSegment& segment, const OptimizerGroup& s) {
  auto* p = static_cast<T*>(segment.parameter);
  const auto* g = static_cast<const T*>(segment.gradient);
  for (int64_t i = 0; i < segment.length; ++i) {
    const double gradient = s.maximize != 0 ? -g[i] : g[i];
    const bool decoupled = s.decoupled != 0;
    Element<T> element{.p = decoupled ? p[i] * (1 - s.lr * s.weight_decay) : p[i],
                       .d = decoupled ? gradient : gradient + s.weight_decay * p[i],
                       .state = {},
                       .counters = segment.counters,
                       .t = segment.counters == nullptr ? 0 : segment.counters[0] + 1,
                       .s = s};
    for (int k = 0; k < kOptimizerBuffers; ++k)
      element.state[k] = segment.buffers[k] == nullptr ? nullptr : static_cast<T*>(segment.buffers[k]) + i;
    p[i] = static_cast<T>(element.updated(rule));
  }
}

void advance(OptimizerRule rule, double* counters, const OptimizerGroup& s) {
  if (counters == nullptr) return;
  const double t = counters[0] += 1;
  if (rule == OptimizerRule::nadam) counters[1] *= s.beta1 * (1 - 0.5 * std::pow(0.96, t * s.momentum_decay));
  if (rule != OptimizerRule::asgd) return;
  counters[1] = s.lr / std::pow(1 + s.lambd * s.lr * t, s.alpha);
  counters[2] = 1 / std::max(1.0, t - s.t0);
}

}  // namespace

void optimizer(const OptimizerArgs& args, const Tasks&) {
  for (int64_t i = 0; i < args.segment_count; ++i) {
    const OptimizerSegment& segment = args.segments[i];
    const OptimizerGroup& settings = args.groups[segment.group];
    if (segment.dtype == DType::Float64)
      update_segment<double>(args.rule, segment, settings);
    else
      update_segment<float>(args.rule, segment, settings);
    advance(args.rule, segment.counters, settings);
  }
}

}  // namespace reference
}  // namespace dnncore
