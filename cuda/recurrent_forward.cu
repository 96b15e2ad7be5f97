// A launch per step, two with a projection: products and cells at once. How many sequences run is read on the device.
#include <cmath>

#include "kernels/recurrent.h"

#include "elementwise.h"
#include "math.h"
#include "recurrent_tile.h"

namespace dnncore::cuda {
namespace {

template <class T>
struct Forward {
  RecurrentForwardArgs args;
  int64_t step;  // the i-th that is run

  __device__ __forceinline__ int64_t time(int64_t i) const { return args.shape.reverse ? args.shape.steps - 1 - i : i; }
  __device__ __forceinline__ int64_t running(int64_t i) const { return args.active != nullptr ? args.active[time(i)] : args.shape.batch; }
  __device__ __forceinline__ int64_t row(int64_t i, int64_t b) const {
    const int64_t t = time(i);
    return (args.start != nullptr ? args.start[t] : t * args.shape.time_step) + b * args.shape.batch_step;
  }
  // h_{t-1}; null: zero.
  __device__ __forceinline__ const T* before(int64_t b) const {
    if (step > 0 && b < running(step - 1)) return static_cast<const T*>(args.y) + row(step - 1, b) * args.shape.y_row;
    return args.h0 == nullptr ? nullptr : static_cast<const T*>(args.h0) + b * args.shape.output;
  }
  __device__ __forceinline__ bool ends(int64_t b) const { return step + 1 == args.shape.steps || b >= running(step + 1); }
};

template <class T>
__global__ void __launch_bounds__(kBlock) begin_states(RecurrentForwardArgs args) {
  const RecurrentShape& s = args.shape;
  const auto copy = [](void* to, const void* from, int64_t n) {
    if (to == nullptr) return;
    for (int64_t i = global_thread(); i < n; i += grid_threads())
      static_cast<T*>(to)[i] = from == nullptr ? T(0) : static_cast<const T*>(from)[i];
  };
  copy(args.h_n, args.h0, s.batch * s.output);
  if (s.cell == Cell::Lstm) copy(args.c_n, args.c0, s.batch * s.hidden);
}

template <class T>
__device__ __forceinline__ T lstm_unit(const Forward<T>& f, int64_t b, int64_t unit, int64_t row, const T (&sums)[4]) {
  const RecurrentForwardArgs& a = f.args;
  const int64_t H = a.shape.hidden;
  const T* const pre = static_cast<const T*>(a.pre) + row * a.shape.gate_row + unit;
  const auto* const peephole = static_cast<const T*>(a.peephole);
  T* const state = static_cast<T*>(a.c_n) + b * H + unit;
  const T before = *state;
  T x[4];
#pragma unroll
  for (int g = 0; g < 4; ++g) x[g] = pre[g * H] + sums[g];
  if (peephole != nullptr) x[0] = std::fma(peephole[unit], before, x[0]), x[1] = std::fma(peephole[H + unit], before, x[1]);
  const T i = sigmoid(x[0]), forget = sigmoid(x[1]), g = std::tanh(x[2]);
  const T c = std::fma(forget, before, i * g);
  if (peephole != nullptr) x[3] = std::fma(peephole[2 * H + unit], c, x[3]);
  const T o = sigmoid(x[3]);
  *state = c;
  if (a.gates != nullptr) {
    T* const gates = static_cast<T*>(a.gates) + row * a.shape.gate_row + unit;
    gates[0] = i, gates[H] = forget, gates[2 * H] = g, gates[3 * H] = o;
    static_cast<T*>(a.cells)[row * H + unit] = c;
  }
  return o * std::tanh(c);
}

template <class T>
__device__ __forceinline__ T gru_unit(const Forward<T>& f, int64_t b, int64_t unit, int64_t row, const T (&sums)[3]) {
  const RecurrentForwardArgs& a = f.args;
  const int64_t H = a.shape.hidden;
  const T* const pre = static_cast<const T*>(a.pre) + row * a.shape.gate_row + unit;
  const T r = sigmoid(pre[0] + sums[0]), z = sigmoid(pre[H] + sums[1]);
  const T part = a.hidden_bias == nullptr ? sums[2] : sums[2] + static_cast<const T*>(a.hidden_bias)[unit];
  const T n = std::tanh(std::fma(r, part, pre[2 * H]));
  if (a.gates != nullptr) {
    T* const gates = static_cast<T*>(a.gates) + row * a.shape.gate_row + unit;
    gates[0] = r, gates[H] = z, gates[2 * H] = n;
    static_cast<T*>(a.cells)[row * H + unit] = part;
  }
  const T* const before = f.before(b);
  return std::fma(z, (before == nullptr ? T(0) : before[unit]) - n, n);
}

template <class T, Cell kCell>
__global__ void __launch_bounds__(kBlock) run_step(Forward<T> f) {
  constexpr int kGates = static_cast<int>(gates_of(kCell));
  const RecurrentForwardArgs& a = f.args;
  const int64_t H = a.shape.hidden, P = a.shape.output, running = f.running(f.step);
  const int64_t first_row = int64_t{blockIdx.x} * kStepRows, first_unit = int64_t{blockIdx.y} * kStepUnits;
  if (first_row >= running) return;
  T sums[kGates] = {};
  if (f.step > 0 || a.h0 != nullptr) {
    const auto* const weight = static_cast<const T*>(a.weight);
    add_step_products<kGates, true>(
        sums, P,
        [&](int row, int64_t k) {
          const T* const h = first_row + row < running ? f.before(first_row + row) : nullptr;
          return h == nullptr ? T(0) : h[k];
        },
        [&](int gate, int unit, int64_t k) { return first_unit + unit < H ? weight[(gate * H + first_unit + unit) * P + k] : T(0); });
  }
  const int64_t b = step_row(), unit = step_unit();
  if (b >= running || unit >= H) return;
  const int64_t row = f.row(f.step, b);
  T h;
  if constexpr (kCell == Cell::Lstm)
    h = lstm_unit(f, b, unit, row, sums);
  else if constexpr (kCell == Cell::Gru)
    h = gru_unit(f, b, unit, row, sums);
  else {
    const T x = static_cast<const T*>(a.pre)[row * a.shape.gate_row + unit] + sums[0];
    h = kCell == Cell::RnnTanh ? std::tanh(x) : relu(x);
  }
  if (a.projection != nullptr) {
    if (a.squashed != nullptr)
      static_cast<T*>(a.squashed)[row * H + unit] = h;
    else
      static_cast<T*>(a.workspace)[b * H + unit] = h;
    return;
  }
  static_cast<T*>(a.y)[row * a.shape.y_row + unit] = h;
  if (f.ends(b)) static_cast<T*>(a.h_n)[b * P + unit] = h;
}

// y = squashed W_hr^T.
template <class T>
__global__ void __launch_bounds__(kBlock) run_projection(Forward<T> f) {
  const RecurrentForwardArgs& a = f.args;
  const int64_t H = a.shape.hidden, P = a.shape.output, running = f.running(f.step);
  const int64_t first_row = int64_t{blockIdx.x} * kStepRows, first_unit = int64_t{blockIdx.y} * kStepUnits;
  if (first_row >= running) return;
  const auto* const weight = static_cast<const T*>(a.projection);
  T sums[1] = {};
  add_step_products<1, true>(
      sums, H,
      [&](int row, int64_t k) {
        const int64_t b = first_row + row;
        if (b >= running) return T(0);
        return a.squashed != nullptr ? static_cast<const T*>(a.squashed)[f.row(f.step, b) * H + k]
                                     : static_cast<const T*>(a.workspace)[b * H + k];
      },
      [&](int, int unit, int64_t k) { return first_unit + unit < P ? weight[(first_unit + unit) * H + k] : T(0); });
  const int64_t b = step_row(), unit = step_unit();
  if (b >= running || unit >= P) return;
  static_cast<T*>(a.y)[f.row(f.step, b) * a.shape.y_row + unit] = sums[0];
  if (f.ends(b)) static_cast<T*>(a.h_n)[b * P + unit] = sums[0];
}

template <class T, Cell kCell>
void run(const RecurrentForwardArgs& args, cudaStream_t stream) {
  const RecurrentShape& s = args.shape;
  launch_grid("recurrent_forward", begin_states<T>, blocks_for(s.batch * std::max(s.hidden, s.output)), kBlock, stream, 0, args);
  for (int64_t i = 0; i < s.steps && s.rows > 0; ++i) {
    const Forward<T> f{args, i};
    launch_grid("recurrent_forward", run_step<T, kCell>, step_grid(s.hidden, s.batch), step_block(), stream, 0, f);
    if (args.projection != nullptr)
      launch_grid("recurrent_forward", run_projection<T>, step_grid(s.output, s.batch), step_block(), stream, 0, f);
  }
}

template <class T>
void run_as(const RecurrentForwardArgs& args, cudaStream_t stream) {
  switch (args.shape.cell) {
    case Cell::RnnTanh:
      return run<T, Cell::RnnTanh>(args, stream);
    case Cell::RnnRelu:
      return run<T, Cell::RnnRelu>(args, stream);
    case Cell::Lstm:
      return run<T, Cell::Lstm>(args, stream);
    case Cell::Gru:
      return run<T, Cell::Gru>(args, stream);
  }
}

}  // namespace

void recurrent_forward(const RecurrentForwardArgs& args, cudaStream_t stream) {
  if (args.shape.batch == 0 || args.shape.hidden == 0 || args.shape.output == 0) return;
  args.shape.dtype == DType::Float64 ? run_as<double>(args, stream) : run_as<float>(args, stream);
}

int64_t recurrent_forward_workspace(const RecurrentForwardArgs& args) {
  return args.projection != nullptr && args.squashed == nullptr ? args.shape.batch * args.shape.hidden * args.shape.size() : 0;
}

}  // namespace dnncore::cuda
