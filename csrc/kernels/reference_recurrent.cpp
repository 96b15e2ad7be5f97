// The reference bodies of recurrent layers: one sequence after the other, in double.
#include <cmath>
#include <vector>

#include "core/launch.h"
#include "kernels/recurrent.h"

namespace dnncore::reference {
namespace {

// Walks through the steps of one sequence.
struct SequenceSteps {
  const RecurrentShape& shape;
  const int64_t* start;
  const int64_t* active;
  int64_t b;

  bool runs(int64_t t) const { return t >= 0 && t < shape.steps && b < shape.running(active, t); }
  int64_t row(int64_t t) const { return shape.first_row(start, t) + b * shape.batch_step; }
  int64_t before(int64_t t) const { return shape.reverse ? t + 1 : t - 1; }
};

// Entry j of the state before step t: of the row of the step before it, or of the initial state, which may be null.
template <class T>
double state_before(const SequenceSteps& steps, int64_t t, const void* rows, int64_t distance, const void* initial, int64_t entries,
                    int64_t j) {
  if (const int64_t before = steps.before(t); steps.runs(before)) return static_cast<const T*>(rows)[steps.row(before) * distance + j];
  return initial != nullptr ? static_cast<const T*>(initial)[steps.b * entries + j] : T(0);
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

template <class T>
T* row_of(void* rows, int64_t row, int64_t distance) {
  return rows == nullptr ? nullptr : static_cast<T*>(rows) + row * distance;
}
template <class T>
const T* row_of(const void* rows, int64_t row, int64_t distance) {
  return rows == nullptr ? nullptr : static_cast<const T*>(rows) + row * distance;
}

// One step: `h` (P) and `c` (H) hold the state before it and the one after it.
template <class T>
void recurrent_step(const RecurrentForwardArgs& args, int64_t row, std::vector<double>& h, std::vector<double>& c) {
  const RecurrentShape& s = args.shape;
  const int64_t H = s.hidden, P = s.output;
  const T* const pre = row_of<T>(args.pre, row, s.gate_row);
  const T* const peephole = static_cast<const T*>(args.peephole);
  const auto product = [&](int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < P; ++k) sum += static_cast<double>(static_cast<const T*>(args.weight)[j * P + k]) * h[k];
    return sum;
  };
  const auto peek = [&](int64_t part, int64_t j, double cell) { return peephole == nullptr ? 0 : peephole[part * H + j] * cell; };
  std::vector<double> activated(static_cast<size_t>(s.gates())), kept(static_cast<size_t>(H)), out(static_cast<size_t>(H));
  for (int64_t j = 0; j < H; ++j) {
    if (s.cell == Cell::Lstm) {
      const double i = logistic(pre[j] + product(j) + peek(0, j, c[j])), f = logistic(pre[H + j] + product(H + j) + peek(1, j, c[j]));
      const double g = std::tanh(pre[2 * H + j] + product(2 * H + j));
      kept[j] = c[j] = f * c[j] + i * g;
      const double o = logistic(pre[3 * H + j] + product(3 * H + j) + peek(2, j, c[j]));
      activated[j] = i, activated[H + j] = f, activated[2 * H + j] = g, activated[3 * H + j] = o;
      out[j] = o * std::tanh(c[j]);
    } else if (s.cell == Cell::Gru) {
      const double r = logistic(pre[j] + product(j)), z = logistic(pre[H + j] + product(H + j));
      kept[j] = product(2 * H + j) + (args.hidden_bias == nullptr ? 0 : static_cast<const T*>(args.hidden_bias)[j]);
      const double n = std::tanh(pre[2 * H + j] + r * kept[j]);
      activated[j] = r, activated[H + j] = z, activated[2 * H + j] = n;
      out[j] = n + z * (h[j] - n);
    } else {
      const double sum = pre[j] + product(j);
      out[j] = s.cell == Cell::RnnTanh ? std::tanh(sum) : sum < 0 ? 0 : sum;
    }
  }
  if (T* const gates = row_of<T>(args.gates, row, s.gate_row); gates != nullptr && s.cell >= Cell::Lstm) {
    for (int64_t j = 0; j < s.gates(); ++j) gates[j] = static_cast<T>(activated[j]);
    for (int64_t j = 0; j < H; ++j) row_of<T>(args.cells, row, H)[j] = static_cast<T>(kept[j]);
  }
  if (T* const squashed = row_of<T>(args.squashed, row, H))
    for (int64_t j = 0; j < H; ++j) squashed[j] = static_cast<T>(out[j]);
  for (int64_t p = 0; p < P; ++p) {
    double sum = args.projection == nullptr ? out[p] : 0;
    for (int64_t j = 0; args.projection != nullptr && j < H; ++j)
      sum += static_cast<double>(static_cast<const T*>(args.projection)[p * H + j]) * out[j];
    h[p] = row_of<T>(args.y, row, s.y_row)[p] = static_cast<T>(sum);
  }
}

template <class T>
void recurrent_forward_as(const RecurrentForwardArgs& args) {
  const RecurrentShape& s = args.shape;
  std::vector<double> h(static_cast<size_t>(s.output)), c(static_cast<size_t>(s.hidden));
  for (int64_t b = 0; b < s.batch; ++b) {
    const SequenceSteps steps{s, args.start, args.active, b};
    for (int64_t p = 0; p < s.output; ++p) h[p] = state_before<T>(steps, -2, nullptr, 0, args.h0, s.output, p);
    for (int64_t j = 0; j < s.hidden; ++j) c[j] = state_before<T>(steps, -2, nullptr, 0, args.c0, s.hidden, j);
    for (int64_t i = 0; i < s.steps; ++i)
      if (const int64_t t = s.step_at(i); steps.runs(t)) recurrent_step<T>(args, steps.row(t), h, c);
    for (int64_t p = 0; p < s.output; ++p) static_cast<T*>(args.h_n)[b * s.output + p] = static_cast<T>(h[p]);
    for (int64_t j = 0; s.cell == Cell::Lstm && j < s.hidden; ++j) static_cast<T*>(args.c_n)[b * s.hidden + j] = static_cast<T>(c[j]);
  }
}

// One step: `dh` (P) and `dc` (H) hold the gradient by the state after it, without dy, and then by the one before it.
template <class T>
void recurrent_backward_step(const RecurrentBackwardArgs& args, const SequenceSteps& steps, int64_t t, std::vector<double>& dh,
                             std::vector<double>& dc) {
  const RecurrentShape& s = args.shape;
  const int64_t H = s.hidden, P = s.output, row = steps.row(t);
  const T* const gates = row_of<T>(args.gates, row, s.gate_row);
  const T* const cells = row_of<T>(args.cells, row, H);
  const T* const y = row_of<T>(args.y, row, s.y_row);
  const T* const peephole = static_cast<const T*>(args.peephole);
  T* const dgates = row_of<T>(args.dgates, row, s.gate_row);
  for (int64_t p = 0; args.dy != nullptr && p < P; ++p) dh[p] += row_of<T>(args.dy, row, s.y_row)[p];
  std::vector<double> dout = dh, carried(static_cast<size_t>(P));
  if (args.projection != nullptr) {
    dout.assign(static_cast<size_t>(H), 0.0);
    for (int64_t p = 0; p < P; ++p) {
      row_of<T>(args.dprojected, row, P)[p] = static_cast<T>(dh[p]);
      for (int64_t j = 0; j < H; ++j) dout[j] += dh[p] * static_cast<const T*>(args.projection)[p * H + j];
    }
  }
  std::vector<double> d(static_cast<size_t>(s.gates()));  // by the products
  for (int64_t j = 0; j < H; ++j) {
    if (s.cell == Cell::Lstm) {
      const double i = gates[j], f = gates[H + j], g = gates[2 * H + j], o = gates[3 * H + j], squashed = std::tanh(cells[j]);
      const double c_before = state_before<T>(steps, t, args.cells, H, args.c0, H, j);
      const auto peek = [&](int64_t part) { return peephole == nullptr ? 0.0 : static_cast<double>(peephole[part * H + j]); };
      d[3 * H + j] = dout[j] * squashed * o * (1 - o);
      const double by_c = dc[j] + dout[j] * o * (1 - squashed * squashed) + d[3 * H + j] * peek(2);
      d[j] = by_c * g * i * (1 - i);
      d[H + j] = by_c * c_before * f * (1 - f);
      d[2 * H + j] = by_c * i * (1 - g * g);
      dc[j] = by_c * f + d[j] * peek(0) + d[H + j] * peek(1);
    } else if (s.cell == Cell::Gru) {
      const double r = gates[j], z = gates[H + j], n = gates[2 * H + j];
      const double by_n = dout[j] * (1 - z) * (1 - n * n);
      d[j] = by_n * cells[j] * r * (1 - r);
      d[H + j] = dout[j] * (state_before<T>(steps, t, args.y, s.y_row, args.h0, P, j) - n) * z * (1 - z);
      d[2 * H + j] = by_n * r;
      row_of<T>(args.dnew, row, H)[j] = static_cast<T>(by_n * r);
      dgates[2 * H + j] = static_cast<T>(by_n);
      carried[j] = dout[j] * z;
    } else {
      d[j] = s.cell == Cell::RnnTanh ? dout[j] * (1 - static_cast<double>(y[j]) * y[j]) : y[j] <= 0 ? 0 : dout[j];  // nan passes
    }
  }
  for (int64_t j = 0; j < (s.cell == Cell::Gru ? 2 * H : s.gates()); ++j) dgates[j] = static_cast<T>(d[j]);
  for (int64_t p = 0; p < P; ++p) {
    dh[p] = carried[p];
    for (int64_t j = 0; j < s.gates(); ++j) dh[p] += d[j] * static_cast<const T*>(args.weight)[j * P + p];
  }
}

template <class T>
void recurrent_backward_as(const RecurrentBackwardArgs& args) {
  const RecurrentShape& s = args.shape;
  std::vector<double> dh(static_cast<size_t>(s.output)), dc(static_cast<size_t>(s.hidden));
  for (int64_t b = 0; b < s.batch; ++b) {
    const SequenceSteps steps{s, args.start, args.active, b};
    for (int64_t p = 0; p < s.output; ++p) dh[p] = state_before<T>(steps, -2, nullptr, 0, args.dh_n, s.output, p);
    for (int64_t j = 0; j < s.hidden; ++j) dc[j] = state_before<T>(steps, -2, nullptr, 0, args.dc_n, s.hidden, j);
    for (int64_t i = s.steps - 1; i >= 0; --i)
      if (const int64_t t = s.step_at(i); steps.runs(t)) recurrent_backward_step<T>(args, steps, t, dh, dc);
    for (int64_t p = 0; p < s.output; ++p) static_cast<T*>(args.dh0)[b * s.output + p] = static_cast<T>(dh[p]);
    for (int64_t j = 0; s.cell == Cell::Lstm && j < s.hidden; ++j) static_cast<T*>(args.dc0)[b * s.hidden + j] = static_cast<T>(dc[j]);
  }
}

}  // namespace

void recurrent_forward(const RecurrentForwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? recurrent_forward_as<double>(args) : recurrent_forward_as<float>(args);
}

void recurrent_backward(const RecurrentBackwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? recurrent_backward_as<double>(args) : recurrent_backward_as<float>(args);
}

}  // namespace dnncore::reference
