// The update of each rule for one vector: (p, g, state) -> p, state changed in place. Coefficients that depend on the step come from the
// segment, where optimizer.cpp folded the bias corrections in float64. Division and square root are exact: rsqrt14 and a Newton step
// would cost the accuracy and, at 28 bytes a parameter, save nothing.
#pragma once

#include "kernels/optimizer.h"
#include "kernels/simd.h"

namespace dnncore::DNNCORE_ISA {

// max() that keeps a NaN of either.
template <class T>
DNN_INLINE Vec<T> max_or_nan(Vec<T> a, Vec<T> b) {
  return select(is_nan(a), a, max(a, b));
}

// What every rule does first: the sign and the penalty of the gradient, or the decay of the parameter.
template <class T>
struct Gradient {
  using V = Vec<T>;
  Gradient(const OptimizerGroup& group)
      : sign(V::set(group.maximize != 0 ? T(-1) : T(1))),
        weight_decay(V::set(static_cast<T>(group.weight_decay))),
        minus_shrink(V::set(static_cast<T>(-group.lr * group.weight_decay))),
        penalised(group.weight_decay != 0 && group.decoupled == 0),
        shrinks(group.weight_decay != 0 && group.decoupled != 0) {}

  DNN_INLINE V of(V p, V g) const { return penalised ? fma(weight_decay, p, sign * g) : sign * g; }
  DNN_INLINE V shrunk(V p) const { return shrinks ? fma(minus_shrink, p, p) : p; }  // (1 - lr weight_decay) p, rounded once

  V sign, weight_decay, minus_shrink;
  bool penalised, shrinks;
};

// a + (b - a) * part, as torch.lerp does for small parts.
template <class T>
DNN_INLINE Vec<T> lerp(Vec<T> a, Vec<T> b, Vec<T> part) {
  return fma(b - a, part, a);
}

template <class T, bool kMomentum>
struct Sgd {
  using V = Vec<T>;
  static constexpr int kBuffers = kMomentum ? 1 : 0;
  Sgd(const OptimizerSegment& s, const OptimizerGroup& g)
      : gradient(g),
        momentum(V::set(static_cast<T>(g.momentum))),
        undamped(V::set(static_cast<T>(1 - g.dampening))),
        minus_lr(V::set(static_cast<T>(-g.lr))),
        first(s.coefficients[0] != 0),
        nesterov(g.nesterov != 0) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    V d = gradient.of(p, g);
    if constexpr (kMomentum) {
      const V moving = first ? d : fma(momentum, state[0], undamped * d);
      state[0] = moving;
      d = nesterov ? fma(momentum, moving, d) : moving;
    }
    return fma(minus_lr, d, p);
  }

  Gradient<T> gradient;
  V momentum, undamped, minus_lr;
  bool first, nesterov;
};

// The first two moments, shared by Adam, NAdam and RAdam.
template <class T>
struct Moments {
  using V = Vec<T>;
  Moments(const OptimizerGroup& g)
      : part1(V::set(static_cast<T>(1 - g.beta1))), beta2(V::set(static_cast<T>(g.beta2))), part2(V::set(static_cast<T>(1 - g.beta2))) {}

  DNN_INLINE void update(V g, V* state) const {
    state[0] = lerp(state[0], g, part1);
    state[1] = fma(part2 * g, g, beta2 * state[1]);
  }

  V part1, beta2, part2;
};

// coefficients: lr sqrt(1 - beta2^t) / (1 - beta1^t), eps sqrt(1 - beta2^t).
template <class T, bool kAmsgrad>
struct Adam {
  using V = Vec<T>;
  static constexpr int kBuffers = kAmsgrad ? 3 : 2;
  Adam(const OptimizerSegment& s, const OptimizerGroup& g)
      : gradient(g), moments(g), minus_step(V::set(static_cast<T>(-s.coefficients[0]))), eps(V::set(static_cast<T>(s.coefficients[1]))) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    moments.update(gradient.of(p, g), state);
    V square = state[1];
    if constexpr (kAmsgrad) state[2] = square = max_or_nan(state[2], square);
    return fma(minus_step, state[0] / (sqrt(square) + eps), gradient.shrunk(p));
  }

  Gradient<T> gradient;
  Moments<T> moments;
  V minus_step, eps;
};

// coefficients: of the gradient and of the moment, both times sqrt(1 - beta2^t), eps sqrt(1 - beta2^t).
template <class T>
struct NAdam {
  using V = Vec<T>;
  static constexpr int kBuffers = 2;
  NAdam(const OptimizerSegment& s, const OptimizerGroup& g)
      : gradient(g),
        moments(g),
        of_gradient(V::set(static_cast<T>(s.coefficients[0]))),
        of_moment(V::set(static_cast<T>(s.coefficients[1]))),
        eps(V::set(static_cast<T>(s.coefficients[2]))) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    const V d = gradient.of(p, g);
    moments.update(d, state);
    return gradient.shrunk(p) - fma(of_gradient, d, of_moment * state[0]) / (sqrt(state[1]) + eps);
  }

  Gradient<T> gradient;
  Moments<T> moments;
  V of_gradient, of_moment, eps;
};

// coefficients: the step size, and whether it is rectified (else plain momentum).
template <class T>
struct RAdam {
  using V = Vec<T>;
  static constexpr int kBuffers = 2;
  RAdam(const OptimizerSegment& s, const OptimizerGroup& g)
      : gradient(g),
        moments(g),
        minus_step(V::set(static_cast<T>(-s.coefficients[0]))),
        eps(V::set(static_cast<T>(g.eps))),
        rectified(s.coefficients[1] != 0) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    moments.update(gradient.of(p, g), state);
    const V direction = rectified ? state[0] / (sqrt(state[1]) + eps) : state[0];
    return fma(minus_step, direction, gradient.shrunk(p));
  }

  Gradient<T> gradient;
  Moments<T> moments;
  V minus_step, eps;
  bool rectified;
};

// coefficients: lr / (1 - beta1^t).
template <class T>
struct Adamax {
  using V = Vec<T>;
  static constexpr int kBuffers = 2;
  Adamax(const OptimizerSegment& s, const OptimizerGroup& g)
      : gradient(g),
        part1(V::set(static_cast<T>(1 - g.beta1))),
        beta2(V::set(static_cast<T>(g.beta2))),
        eps(V::set(static_cast<T>(g.eps))),
        minus_step(V::set(static_cast<T>(-s.coefficients[0]))) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    const V d = gradient.of(p, g);
    state[0] = lerp(state[0], d, part1);
    state[1] = max_or_nan(beta2 * state[1], abs(d) + eps);
    return fma(minus_step, state[0] / state[1], p);
  }

  Gradient<T> gradient;
  V part1, beta2, eps, minus_step;
};

// Buffers in use: square_avg, then momentum_buffer and grad_avg as the settings ask.
template <class T, bool kMomentum, bool kCentered>
struct RmsProp {
  using V = Vec<T>;
  static constexpr int kBuffers = 1 + kMomentum + kCentered;
  RmsProp(const OptimizerSegment&, const OptimizerGroup& g)
      : gradient(g),
        alpha(V::set(static_cast<T>(g.alpha))),
        part(V::set(static_cast<T>(1 - g.alpha))),
        eps(V::set(static_cast<T>(g.eps))),
        momentum(V::set(static_cast<T>(g.momentum))),
        minus_lr(V::set(static_cast<T>(-g.lr))) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    const V d = gradient.of(p, g);
    V square = state[0] = fma(part * d, d, alpha * state[0]);
    if constexpr (kCentered) {
      V& mean = state[1 + kMomentum];
      mean = lerp(mean, d, part);
      square = fma(-mean, mean, square);
      square = select(square < V::zero(), V::zero(), square);  // a variance that rounding alone makes negative
    }
    const V direction = d / (sqrt(square) + eps);
    if constexpr (!kMomentum) return fma(minus_lr, direction, p);
    state[1] = fma(momentum, state[1], direction);
    return fma(minus_lr, state[1], p);
  }

  Gradient<T> gradient;
  V alpha, part, eps, momentum, minus_lr;
};

// coefficients: lr / (1 + (t - 1) lr_decay).
template <class T>
struct Adagrad {
  using V = Vec<T>;
  static constexpr int kBuffers = 1;
  Adagrad(const OptimizerSegment& s, const OptimizerGroup& g)
      : gradient(g), eps(V::set(static_cast<T>(g.eps))), minus_step(V::set(static_cast<T>(-s.coefficients[0]))) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    const V d = gradient.of(p, g);
    state[0] = fma(d, d, state[0]);
    return fma(minus_step, d / (sqrt(state[0]) + eps), p);
  }

  Gradient<T> gradient;
  V eps, minus_step;
};

template <class T>
struct Adadelta {
  using V = Vec<T>;
  static constexpr int kBuffers = 2;
  Adadelta(const OptimizerSegment&, const OptimizerGroup& g)
      : gradient(g),
        rho(V::set(static_cast<T>(g.rho))),
        part(V::set(static_cast<T>(1 - g.rho))),
        eps(V::set(static_cast<T>(g.eps))),
        minus_lr(V::set(static_cast<T>(-g.lr))) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    const V d = gradient.of(p, g);
    state[0] = fma(part * d, d, rho * state[0]);
    const V delta = sqrt(state[1] + eps) / sqrt(state[0] + eps) * d;
    state[1] = fma(part * delta, delta, rho * state[1]);
    return fma(minus_lr, delta, p);
  }

  Gradient<T> gradient;
  V rho, part, eps, minus_lr;
};

template <class T>
struct Rprop {
  using V = Vec<T>;
  static constexpr int kBuffers = 2;
  Rprop(const OptimizerSegment&, const OptimizerGroup& g)
      : gradient(g),
        eta_minus(V::set(static_cast<T>(g.eta_minus))),
        eta_plus(V::set(static_cast<T>(g.eta_plus))),
        smallest(V::set(static_cast<T>(g.step_min))),
        largest(V::set(static_cast<T>(g.step_max))) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    const V d = gradient.of(p, g), one = V::set(1), zero = V::zero();
    const V agreement = d * state[0];
    const V factor = select(agreement > zero, eta_plus, select(agreement < zero, eta_minus, select(agreement == zero, one, agreement)));
    V size = state[1] * factor;  // comparisons keep its NaN
    size = select(size < smallest, smallest, size);
    size = select(size > largest, largest, size);
    const V kept = select(agreement < zero, zero, d);
    const V sign = select(kept > zero, one, select(kept < zero, -one, kept));
    state[0] = kept;
    state[1] = size;
    return fma(-sign, size, p);
  }

  Gradient<T> gradient;
  V eta_minus, eta_plus, smallest, largest;
};

// coefficients: lambd eta, eta and mu as they were before this step.
template <class T>
struct Asgd {
  using V = Vec<T>;
  static constexpr int kBuffers = 1;
  Asgd(const OptimizerSegment& s, const OptimizerGroup& g)
      : gradient(g),
        minus_decay(V::set(static_cast<T>(-s.coefficients[0]))),
        minus_eta(V::set(static_cast<T>(-s.coefficients[1]))),
        mu(V::set(static_cast<T>(s.coefficients[2]))),
        copies(s.coefficients[2] == 1) {}

  DNN_INLINE V operator()(V p, V g, V* state) const {
    const V d = gradient.of(p, g);
    const V moved = fma(minus_eta, d, fma(minus_decay, p, p));
    state[0] = copies ? moved : fma(moved - state[0], mu, state[0]);
    return moved;
  }

  Gradient<T> gradient;
  V minus_decay, minus_eta, mu;
  bool copies;
};

}  // namespace dnncore::DNNCORE_ISA
