// A launch per step from the end, two with a projection: dh = dgates W_hh of the step before (in this order), then the derivatives of the
// cells. One more gives what has come through to the initial states. How many sequences run is read on the device.
#include <cmath>

#include "kernels/recurrent.h"

#include "elementwise.h"
#include "recurrent_tile.h"

namespace dnncore::cuda {
namespace {

// The i-th step from the end; i == steps: after the last.
template <class T>
struct Backward {
  RecurrentBackwardArgs args;
  int64_t step;

  __device__ __forceinline__ int64_t time(int64_t i) const { return args.shape.reverse ? i : args.shape.steps - 1 - i; }
  __device__ __forceinline__ int64_t running_at(int64_t t) const { return args.active != nullptr ? args.active[t] : args.shape.batch; }
  __device__ __forceinline__ int64_t row_at(int64_t t, int64_t b) const {
    return (args.start != nullptr ? args.start[t] : t * args.shape.time_step) + b * args.shape.batch_step;
  }
  // Sequences whose gradient comes from the step before, and those that run now.
  __device__ __forceinline__ int64_t done() const { return step > 0 ? running_at(time(step - 1)) : 0; }
  __device__ __forceinline__ int64_t now() const { return step < args.shape.steps ? running_at(time(step)) : 0; }

  // The workspace: dc or GRU's share of dh that passes by the product, then with a projection dh whole.
  __device__ __forceinline__ T* carried(int64_t b) const { return static_cast<T*>(args.workspace) + b * args.shape.hidden; }
  // The state that step t began with; null: zero.
  __device__ __forceinline__ const T* before(int64_t t, int64_t b) const {
    const bool lstm = args.shape.cell == Cell::Lstm;
    const int64_t earlier = args.shape.reverse ? t + 1 : t - 1;
    if (earlier >= 0 && earlier < args.shape.steps && b < running_at(earlier))
      return lstm ? static_cast<const T*>(args.cells) + row_at(earlier, b) * args.shape.hidden
                  : static_cast<const T*>(args.y) + row_at(earlier, b) * args.shape.y_row;
    const void* const first = lstm ? args.c0 : args.h0;
    return first == nullptr ? nullptr : static_cast<const T*>(first) + b * args.shape.hidden;
  }
};

template <class T>
__device__ __forceinline__ T or_zero(const void* p, int64_t i) {
  return p == nullptr ? T(0) : static_cast<const T*>(p)[i];
}

// dh of a unit by way of the product; every thread of the block takes part.
template <class T>
__device__ __forceinline__ T product_of(const Backward<T>& f, int64_t done) {
  const RecurrentBackwardArgs& a = f.args;
  const int64_t H = a.shape.hidden, P = a.shape.output, depth = gates_of(a.shape.cell) * H;
  const int64_t first_row = int64_t{blockIdx.x} * kStepRows, first_unit = int64_t{blockIdx.y} * kStepUnits;
  T sums[1] = {};
  if (first_row >= done) return T(0);
  const auto* const weight = static_cast<const T*>(a.weight);
  const int64_t t = f.time(f.step - 1);
  add_step_products<1, false>(
      sums, depth,
      [&](int row, int64_t k) {
        const int64_t b = first_row + row;
        if (b >= done) return T(0);
        const int64_t at = f.row_at(t, b);
        if (a.dnew != nullptr && k >= 2 * H) return static_cast<const T*>(a.dnew)[at * H + k - 2 * H];
        return static_cast<const T*>(a.dgates)[at * a.shape.gate_row + k];
      },
      [&](int, int unit, int64_t k) { return first_unit + unit < P ? weight[k * P + first_unit + unit] : T(0); });
  return sums[0];
}

template <class T>
__device__ __forceinline__ T sigmoid_slope(T s) {
  return s * (1 - s);
}
template <class T>
__device__ __forceinline__ T tanh_slope(T t) {
  return std::fma(-t, t, T(1));
}

// Of one unit: `dout` is the gradient by the cell's output without what is carried, which `carried` is.
template <class T>
__device__ __forceinline__ void differentiate(const Backward<T>& f, int64_t t, int64_t b, int64_t unit, T dout, T carried) {
  const RecurrentBackwardArgs& a = f.args;
  const int64_t H = a.shape.hidden, row = f.row_at(t, b);
  const auto* const gates = static_cast<const T*>(a.gates) + row * a.shape.gate_row + unit;
  T* const dgates = static_cast<T*>(a.dgates) + row * a.shape.gate_row + unit;
  if (a.shape.cell == Cell::Lstm) {
    const T* const before = f.before(t, b);
    const auto* const peephole = static_cast<const T*>(a.peephole);
    const T i = gates[0], forget = gates[H], g = gates[2 * H], o = gates[3 * H];
    const T squashed = std::tanh(static_cast<const T*>(a.cells)[row * H + unit]);
    const T d_o = dout * squashed * sigmoid_slope(o);
    T dc = std::fma(dout * o, tanh_slope(squashed), carried);
    if (peephole != nullptr) dc = std::fma(d_o, peephole[2 * H + unit], dc);
    const T d_i = dc * g * sigmoid_slope(i), d_f = dc * (before == nullptr ? T(0) : before[unit]) * sigmoid_slope(forget);
    dgates[0] = d_i, dgates[H] = d_f, dgates[2 * H] = dc * i * tanh_slope(g), dgates[3 * H] = d_o;
    dc = dc * forget;
    if (peephole != nullptr) dc = std::fma(d_i, peephole[unit], std::fma(d_f, peephole[H + unit], dc));
    f.carried(b)[unit] = dc;
  } else if (a.shape.cell == Cell::Gru) {
    const T* const before = f.before(t, b);
    const T r = gates[0], z = gates[H], n = gates[2 * H];
    dout = dout + carried;
    const T d_n = dout * (1 - z) * tanh_slope(n);
    dgates[0] = d_n * static_cast<const T*>(a.cells)[row * H + unit] * sigmoid_slope(r);
    dgates[H] = dout * ((before == nullptr ? T(0) : before[unit]) - n) * sigmoid_slope(z);
    dgates[2 * H] = d_n;
    static_cast<T*>(a.dnew)[row * H + unit] = d_n * r;
    f.carried(b)[unit] = dout * z;
  } else {
    const T y = static_cast<const T*>(a.y)[row * a.shape.y_row + unit];
    dgates[0] = a.shape.cell == Cell::RnnTanh ? dout * tanh_slope(y) : y <= 0 ? T(0) : dout;
  }
}

// What is carried to sequence b at this step: what the step before left, or what came from outside.
template <class T>
__device__ __forceinline__ T carried_of(const Backward<T>& f, int64_t b, int64_t unit, bool ran) {
  if (f.args.shape.cell == Cell::RnnTanh || f.args.shape.cell == Cell::RnnRelu) return T(0);
  if (ran) return f.carried(b)[unit];
  return or_zero<T>(f.args.dc_n, b * f.args.shape.hidden + unit);
}

// Entry `unit` of the gradient by h0, of sequences whose first step is done or that never ran.
template <class T>
__device__ __forceinline__ void finish_h(const Backward<T>& f, int64_t b, int64_t unit, T dh, bool ran) {
  if (f.args.shape.cell == Cell::Gru && ran) dh += f.carried(b)[unit];
  static_cast<T*>(f.args.dh0)[b * f.args.shape.output + unit] = dh;
}
template <class T>
__device__ __forceinline__ void finish_c(const Backward<T>& f, int64_t b, int64_t unit, bool ran) {
  if (f.args.shape.cell == Cell::Lstm) static_cast<T*>(f.args.dc0)[b * f.args.shape.hidden + unit] = carried_of(f, b, unit, ran);
}

template <class T>
__global__ void __launch_bounds__(kBlock) run_step(Backward<T> f) {
  const RecurrentBackwardArgs& a = f.args;
  const int64_t P = a.shape.output, done = f.done(), now = f.now();
  const T product = product_of(f, done);
  const int64_t b = step_row(), unit = step_unit();
  if (b >= a.shape.batch || unit >= P) return;
  const bool ran = b < done;
  const T dh = ran ? product : or_zero<T>(a.dh_n, b * P + unit);
  const bool ends = f.step == a.shape.steps;
  if (b < now) {
    const int64_t t = f.time(f.step);
    const T whole = dh + or_zero<T>(a.dy, f.row_at(t, b) * a.shape.y_row + unit);
    if (a.projection != nullptr)
      static_cast<T*>(a.dprojected)[f.row_at(t, b) * P + unit] = whole;
    else
      differentiate(f, t, b, unit, whole, carried_of(f, b, unit, ran));
  } else if (ran || (ends && b >= (a.shape.steps > 0 ? f.running_at(0) : 0))) {
    finish_h(f, b, unit, dh, ran);
    if (a.projection == nullptr) finish_c(f, b, unit, ran);
  }
}

// After run_step, with a projection: dout = dprojected W_hr, and the cells.
template <class T>
__global__ void __launch_bounds__(kBlock) run_projected(Backward<T> f) {
  const RecurrentBackwardArgs& a = f.args;
  const int64_t H = a.shape.hidden, P = a.shape.output, done = f.done(), now = f.now();
  const int64_t first_row = int64_t{blockIdx.x} * kStepRows, first_unit = int64_t{blockIdx.y} * kStepUnits;
  const int64_t t = f.step < a.shape.steps ? f.time(f.step) : 0;
  T sums[1] = {};
  if (first_row < now) {
    const auto* const weight = static_cast<const T*>(a.projection);
    add_step_products<1, false>(
        sums, P,
        [&](int row, int64_t k) {
          const int64_t b = first_row + row;
          return b < now ? static_cast<const T*>(a.dprojected)[f.row_at(t, b) * P + k] : T(0);
        },
        [&](int, int unit, int64_t k) { return first_unit + unit < H ? weight[k * H + first_unit + unit] : T(0); });
  }
  const int64_t b = step_row(), unit = step_unit();
  if (b >= a.shape.batch || unit >= H) return;
  const bool ran = b < done, ends = f.step == a.shape.steps;
  if (b < now)
    differentiate(f, t, b, unit, sums[0], carried_of(f, b, unit, ran));
  else if (ran || (ends && b >= (a.shape.steps > 0 ? f.running_at(0) : 0)))
    finish_c(f, b, unit, ran);
}

template <class T>
void run(const RecurrentBackwardArgs& args, cudaStream_t stream) {
  const RecurrentShape& s = args.shape;
  for (int64_t i = 0; i <= s.steps; ++i) {
    const Backward<T> f{args, i};
    launch_grid("recurrent_backward", run_step<T>, step_grid(s.output, s.batch), step_block(), stream, 0, f);
    if (args.projection != nullptr)
      launch_grid("recurrent_backward", run_projected<T>, step_grid(s.hidden, s.batch), step_block(), stream, 0, f);
  }
}

}  // namespace

void recurrent_backward(const RecurrentBackwardArgs& args, cudaStream_t stream) {
  if (args.shape.batch == 0 || args.shape.hidden == 0 || args.shape.output == 0) return;
  args.shape.dtype == DType::Float64 ? run<double>(args, stream) : run<float>(args, stream);
}

int64_t recurrent_backward_workspace(const RecurrentBackwardArgs& args) {
  const RecurrentShape& s = args.shape;
  return s.cell == Cell::Lstm || s.cell == Cell::Gru ? s.batch * s.hidden * s.size() : 0;
}

}  // namespace dnncore::cuda
