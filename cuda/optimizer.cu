// A step: what depends on its number, a thread per segment; then one walk over all segments in chunks of fixed size, a block each. The
// rules are kernels/optimizer_rules.h's, of one element.
#include "kernels/optimizer.h"

#include "numbers.h"

namespace dnncore::cuda {
namespace {

constexpr int64_t kChunk = 4096;  // elements: a multiple of kSegmentAlignment
static_assert(kChunk % kSegmentAlignment == 0);

// --- The segments, in float64 ---

__device__ void advance_adam(OptimizerSegment& s, const OptimizerGroup& g, double step) {
  const double root2 = std::sqrt(1 - std::pow(g.beta2, step));
  s.coefficients[0] = g.lr * root2 / (1 - std::pow(g.beta1, step));
  s.coefficients[1] = g.eps * root2;
}

__device__ void advance_nadam(OptimizerSegment& s, const OptimizerGroup& g, double step) {
  const double root2 = std::sqrt(1 - std::pow(g.beta2, step));
  const double mu = g.beta1 * (1 - 0.5 * std::pow(0.96, step * g.momentum_decay));
  const double next = g.beta1 * (1 - 0.5 * std::pow(0.96, (step + 1) * g.momentum_decay));
  const double product = s.counters[1] *= mu;
  s.coefficients[0] = g.lr * root2 * (1 - mu) / (1 - product);
  s.coefficients[1] = g.lr * root2 * next / (1 - product * next);
  s.coefficients[2] = g.eps * root2;
}

__device__ void advance_radam(OptimizerSegment& s, const OptimizerGroup& g, double step) {
  const double power2 = std::pow(g.beta2, step), limit = 2 / (1 - g.beta2) - 1;
  const double rho = limit - 2 * step * power2 / (1 - power2);
  const bool rectified = rho > 5;
  s.coefficients[0] = g.lr / (1 - std::pow(g.beta1, step));
  s.coefficients[1] = rectified;
  if (rectified) s.coefficients[0] *= std::sqrt((1 - power2) * (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
}

__device__ void advance_asgd(OptimizerSegment& s, const OptimizerGroup& g, double step) {
  s.coefficients[0] = g.lambd * s.counters[1];
  s.coefficients[1] = s.counters[1];
  s.coefficients[2] = s.counters[2];
  s.counters[1] = g.lr / std::pow(1 + g.lambd * g.lr * step, g.alpha);
  s.counters[2] = 1 / std::max(1.0, step - g.t0);
}

__global__ void __launch_bounds__(kBlock) advance(OptimizerArgs args) {
  for (int64_t i = global_thread(); i < args.segment_count; i += grid_threads()) {
    OptimizerSegment& s = args.segments[i];
    const OptimizerGroup& g = args.groups[s.group];
    if (s.counters == nullptr) continue;
    const double step = s.counters[0] += 1;
    switch (args.rule) {
      case OptimizerRule::sgd:
        s.coefficients[0] = step == 1;
        break;
      case OptimizerRule::adam:
        advance_adam(s, g, step);
        break;
      case OptimizerRule::nadam:
        advance_nadam(s, g, step);
        break;
      case OptimizerRule::radam:
        advance_radam(s, g, step);
        break;
      case OptimizerRule::asgd:
        advance_asgd(s, g, step);
        break;
      case OptimizerRule::adamax:
        s.coefficients[0] = g.lr / (1 - std::pow(g.beta1, step));
        break;
      case OptimizerRule::adagrad:
        s.coefficients[0] = g.lr / (1 + (step - 1) * g.lr_decay);
        break;
      default:
        break;
    }
  }
}

// --- The elements: (p, g, state) -> p, state changed in place ---

// a + (b - a) * part
template <class T>
__device__ __forceinline__ T lerp(T a, T b, T part) {
  return std::fma(b - a, part, a);
}
template <class T>
__device__ __forceinline__ T max_or_nan(T a, T b) {
  return a != a || a > b ? a : b;
}

// What every rule does first: the sign and the penalty of the gradient, or the decay of the parameter.
template <class T>
struct Rule {
  T sign, weight_decay, minus_shrink, minus_lr, eps;
  bool penalised, shrinks;

  __device__ explicit Rule(const OptimizerGroup& g)
      : sign(g.maximize != 0 ? T(-1) : T(1)),
        weight_decay(static_cast<T>(g.weight_decay)),
        minus_shrink(static_cast<T>(-g.lr * g.weight_decay)),
        minus_lr(static_cast<T>(-g.lr)),
        eps(static_cast<T>(g.eps)),
        penalised(g.weight_decay != 0 && g.decoupled == 0),
        shrinks(g.weight_decay != 0 && g.decoupled != 0) {}
  __device__ T gradient(T p, T g) const { return penalised ? std::fma(weight_decay, p, sign * g) : sign * g; }
  __device__ T shrunk(T p) const { return shrinks ? std::fma(minus_shrink, p, p) : p; }
};

template <OptimizerRule rule, class T>
struct Update;

template <class T>
struct Update<OptimizerRule::sgd, T> : Rule<T> {
  T momentum, undamped;
  bool first, nesterov, moves;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g)
      : Rule<T>(g),
        momentum(static_cast<T>(g.momentum)),
        undamped(static_cast<T>(1 - g.dampening)),
        first(s.coefficients[0] != 0),
        nesterov(g.nesterov != 0),
        moves(s.buffers[0] != nullptr) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    T d = this->gradient(p, g);
    if (moves) {
      const T moving = first ? d : std::fma(momentum, state[0], undamped * d);
      state[0] = moving;
      d = nesterov ? std::fma(momentum, moving, d) : moving;
    }
    return std::fma(this->minus_lr, d, p);
  }
};

// The first two moments, shared by Adam, NAdam and RAdam.
template <class T>
struct Moments : Rule<T> {
  T part1, beta2, part2;
  __device__ explicit Moments(const OptimizerGroup& g)
      : Rule<T>(g), part1(static_cast<T>(1 - g.beta1)), beta2(static_cast<T>(g.beta2)), part2(static_cast<T>(1 - g.beta2)) {}
  __device__ void update(T d, T (&state)[kOptimizerBuffers]) const {
    state[0] = lerp(state[0], d, part1);
    state[1] = std::fma(part2 * d, d, beta2 * state[1]);
  }
};

template <class T>
struct Update<OptimizerRule::adam, T> : Moments<T> {
  T minus_step, scaled_eps;
  bool keeps_largest;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g)
      : Moments<T>(g),
        minus_step(static_cast<T>(-s.coefficients[0])),
        scaled_eps(static_cast<T>(s.coefficients[1])),
        keeps_largest(s.buffers[2] != nullptr) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    this->update(this->gradient(p, g), state);
    T square = state[1];
    if (keeps_largest) state[2] = square = max_or_nan(state[2], square);
    return std::fma(minus_step, state[0] / (std::sqrt(square) + scaled_eps), this->shrunk(p));
  }
};

template <class T>
struct Update<OptimizerRule::nadam, T> : Moments<T> {
  T of_gradient, of_moment, scaled_eps;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g)
      : Moments<T>(g),
        of_gradient(static_cast<T>(s.coefficients[0])),
        of_moment(static_cast<T>(s.coefficients[1])),
        scaled_eps(static_cast<T>(s.coefficients[2])) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    const T d = this->gradient(p, g);
    this->update(d, state);
    return this->shrunk(p) - std::fma(of_gradient, d, of_moment * state[0]) / (std::sqrt(state[1]) + scaled_eps);
  }
};

template <class T>
struct Update<OptimizerRule::radam, T> : Moments<T> {
  T minus_step;
  bool rectified;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g)
      : Moments<T>(g), minus_step(static_cast<T>(-s.coefficients[0])), rectified(s.coefficients[1] != 0) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    this->update(this->gradient(p, g), state);
    const T direction = rectified ? state[0] / (std::sqrt(state[1]) + this->eps) : state[0];
    return std::fma(minus_step, direction, this->shrunk(p));
  }
};

template <class T>
struct Update<OptimizerRule::adamax, T> : Rule<T> {
  T part1, beta2, minus_step;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g)
      : Rule<T>(g), part1(static_cast<T>(1 - g.beta1)), beta2(static_cast<T>(g.beta2)), minus_step(static_cast<T>(-s.coefficients[0])) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    const T d = this->gradient(p, g);
    state[0] = lerp(state[0], d, part1);
    state[1] = max_or_nan(beta2 * state[1], std::fabs(d) + this->eps);
    return std::fma(minus_step, state[0] / state[1], p);
  }
};

template <class T>
struct Update<OptimizerRule::rmsprop, T> : Rule<T> {
  T alpha, part, momentum;
  bool moves, centered;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g)
      : Rule<T>(g),
        alpha(static_cast<T>(g.alpha)),
        part(static_cast<T>(1 - g.alpha)),
        momentum(static_cast<T>(g.momentum)),
        moves(s.buffers[1] != nullptr),
        centered(s.buffers[2] != nullptr) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    const T d = this->gradient(p, g);
    T square = state[0] = std::fma(part * d, d, alpha * state[0]);
    if (centered) {
      const T mean = state[2] = lerp(state[2], d, part);
      square = std::fma(-mean, mean, square);
      square = square < 0 ? T(0) : square;  // a variance that rounding alone makes negative
    }
    T direction = d / (std::sqrt(square) + this->eps);
    if (moves) direction = state[1] = std::fma(momentum, state[1], direction);
    return std::fma(this->minus_lr, direction, p);
  }
};

template <class T>
struct Update<OptimizerRule::adagrad, T> : Rule<T> {
  T minus_step;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g) : Rule<T>(g), minus_step(static_cast<T>(-s.coefficients[0])) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    const T d = this->gradient(p, g);
    state[0] = std::fma(d, d, state[0]);
    return std::fma(minus_step, d / (std::sqrt(state[0]) + this->eps), p);
  }
};

template <class T>
struct Update<OptimizerRule::adadelta, T> : Rule<T> {
  T rho, part;
  __device__ Update(const OptimizerSegment&, const OptimizerGroup& g)
      : Rule<T>(g), rho(static_cast<T>(g.rho)), part(static_cast<T>(1 - g.rho)) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    const T d = this->gradient(p, g);
    state[0] = std::fma(part * d, d, rho * state[0]);
    const T delta = std::sqrt(state[1] + this->eps) / std::sqrt(state[0] + this->eps) * d;
    state[1] = std::fma(part * delta, delta, rho * state[1]);
    return std::fma(this->minus_lr, delta, p);
  }
};

template <class T>
struct Update<OptimizerRule::rprop, T> : Rule<T> {
  T eta_minus, eta_plus, smallest, largest;
  __device__ Update(const OptimizerSegment&, const OptimizerGroup& g)
      : Rule<T>(g),
        eta_minus(static_cast<T>(g.eta_minus)),
        eta_plus(static_cast<T>(g.eta_plus)),
        smallest(static_cast<T>(g.step_min)),
        largest(static_cast<T>(g.step_max)) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    const T d = this->gradient(p, g), agreement = d * state[0];
    T size = state[1] * (agreement > 0 ? eta_plus : agreement < 0 ? eta_minus : agreement == 0 ? T(1) : agreement);
    size = size < smallest ? smallest : size > largest ? largest : size;  // comparisons keep its NaN
    const T kept = agreement < 0 ? T(0) : d;
    state[0] = kept, state[1] = size;
    return std::fma(kept > 0 ? T(-1) : kept < 0 ? T(1) : -kept, size, p);
  }
};

template <class T>
struct Update<OptimizerRule::asgd, T> : Rule<T> {
  T minus_decay, minus_eta, mu;
  __device__ Update(const OptimizerSegment& s, const OptimizerGroup& g)
      : Rule<T>(g),
        minus_decay(static_cast<T>(-s.coefficients[0])),
        minus_eta(static_cast<T>(-s.coefficients[1])),
        mu(static_cast<T>(s.coefficients[2])) {}
  __device__ T operator()(T p, T g, T (&state)[kOptimizerBuffers]) const {
    const T moved = std::fma(minus_eta, this->gradient(p, g), std::fma(minus_decay, p, p));
    state[0] = mu == 1 ? moved : lerp(state[0], moved, mu);
    return moved;
  }
};

// --- The walk ---

template <class T, int N>
struct Elements {
  T* p;
  const T* g;
  T* buffers[kOptimizerBuffers];

  __device__ explicit Elements(const OptimizerSegment& s) : p(static_cast<T*>(s.parameter)), g(static_cast<const T*>(s.gradient)) {
    for (int k = 0; k < kOptimizerBuffers; ++k) buffers[k] = static_cast<T*>(s.buffers[k]);
  }
  __device__ bool aligned() const {
    uintptr_t all = reinterpret_cast<uintptr_t>(p) | reinterpret_cast<uintptr_t>(g);
    for (const T* buffer : buffers) all |= reinterpret_cast<uintptr_t>(buffer);
    return all % (N * sizeof(T)) == 0;
  }
  template <class F>
  __device__ __forceinline__ void update(const F& rule, int64_t i) const {
    using Several = Pack<T, N>;
    auto values = *reinterpret_cast<const Several*>(p + i);
    const auto slopes = *reinterpret_cast<const Several*>(g + i);
    Several states[kOptimizerBuffers] = {};
#pragma unroll
    for (int k = 0; k < kOptimizerBuffers; ++k)
      if (buffers[k] != nullptr) states[k] = *reinterpret_cast<const Several*>(buffers[k] + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      T state[kOptimizerBuffers] = {states[0].v[j], states[1].v[j], states[2].v[j]};
      values.v[j] = rule(values.v[j], slopes.v[j], state);
#pragma unroll
      for (int k = 0; k < kOptimizerBuffers; ++k) states[k].v[j] = state[k];
    }
    *reinterpret_cast<Several*>(p + i) = values;
#pragma unroll
    for (int k = 0; k < kOptimizerBuffers; ++k)
      if (buffers[k] != nullptr) *reinterpret_cast<Several*>(buffers[k] + i) = states[k];
  }
};

// Elements [begin, end) of a segment; begin is a multiple of kSegmentAlignment.
template <OptimizerRule rule, class T>
__device__ __forceinline__ void update_segment(const OptimizerSegment& segment, const OptimizerGroup& group, int64_t begin, int64_t end) {
  constexpr int kPack = 16 / sizeof(T);
  const Update<rule, T> update(segment, group);
  const Elements<T, kPack> packs(segment);
  int64_t done = begin;
  if (packs.aligned()) {
    done = begin + (end - begin) / kPack * kPack;
    for (int64_t i = begin + threadIdx.x * kPack; i < done; i += kBlock * kPack) packs.update(update, i);
  }
  for (int64_t i = done + threadIdx.x; i < end; i += kBlock) Elements<T, 1>(segment).update(update, i);
}

template <OptimizerRule rule>
__global__ void __launch_bounds__(kBlock) walk(OptimizerArgs args) {
  for (int64_t chunk = int64_t{blockIdx.x} * kChunk; chunk < args.total_length; chunk += int64_t{gridDim.x} * kChunk) {
    const int64_t chunk_end = std::min(chunk + kChunk, args.total_length);
    int64_t low = 0, high = args.segment_count;  // the last segment that begins at or before the chunk is in [low, high)
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (args.segments[middle].begin <= chunk ? low : high) = middle;
    }
    for (; low < args.segment_count && args.segments[low].begin < chunk_end; ++low) {
      const OptimizerSegment& s = args.segments[low];
      const int64_t begin = std::max<int64_t>(chunk - s.begin, 0), end = std::min(chunk_end - s.begin, s.length);
      if (begin >= end) continue;
      if (s.dtype == DType::Float64)
        update_segment<rule, double>(s, args.groups[s.group], begin, end);
      else
        update_segment<rule, float>(s, args.groups[s.group], begin, end);
    }
  }
}

}  // namespace

void optimizer(const OptimizerArgs& args, cudaStream_t stream) {
  if (args.segment_count == 0) return;
  using Kernel = void (*)(OptimizerArgs);
  static constexpr Kernel kWalks[] = {walk<OptimizerRule::sgd>,     walk<OptimizerRule::adam>,     walk<OptimizerRule::adamax>,
                                      walk<OptimizerRule::nadam>,   walk<OptimizerRule::radam>,    walk<OptimizerRule::rmsprop>,
                                      walk<OptimizerRule::adagrad>, walk<OptimizerRule::adadelta>, walk<OptimizerRule::rprop>,
                                      walk<OptimizerRule::asgd>};
  launch_grid("optimizer", advance, blocks_for(args.segment_count), kBlock, stream, 0, args);
  if (args.total_length > 0)
    launch_grid("optimizer", kWalks[static_cast<int>(args.rule)], blocks_for((args.total_length + kChunk - 1) / kChunk, 1), kBlock, stream,
                0, args);
}

}  // namespace dnncore::cuda
