// One recurrent layer in one direction over whole sequences, and its gradient. Gates in PyTorch's order: LSTM i, f, g, o; GRU r, z, n.
// A row is one sequence at one step: sequence b at step t is row first_row(t) + b * batch_step of every matrix of rows, and the first
// running(t) sequences run at t. Dense: all of them, at t * time_step + b * batch_step (time-major B, 1; batch-first 1, T). With `start`
// and `active` (T entries each): start[t] + b * batch_step, of active[t] sequences, which never grow with t; the rows are all of theirs.
// `reverse` goes through the steps from the last, so that a sequence begins at its own last step. Weights, states and the matrices of
// H entries per row are contiguous; the rows of gates are gate_row and those of y and dy y_row elements apart. Outputs overlap no input,
// unless said otherwise. Every sum over k is taken one after the other, so a sequence's bits depend on no other sequence.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

enum class Cell : uint8_t { RnnTanh, RnnRelu, Lstm, Gru };
constexpr int64_t gates_of(Cell cell) { return cell == Cell::Lstm ? 4 : cell == Cell::Gru ? 3 : 1; }

struct RecurrentShape {
  int64_t steps = 0, batch = 0, hidden = 0, output = 0;  // T, B, H, and P: entries of y, H without a projection
  int64_t rows = 0;                                      // of every matrix of rows: T * B where dense
  int64_t time_step = 0, batch_step = 1;                 // in rows; time_step only where dense
  int64_t gate_row = 0, y_row = 0;                       // in elements: at least gates() and output
  Cell cell = Cell::Lstm;
  bool reverse = false;
  DType dtype = DType::Float32;  // Float32 or Float64

  int64_t gates() const { return gates_of(cell) * hidden; }
  int64_t step_at(int64_t i) const { return reverse ? steps - 1 - i : i; }  // the i-th that is run
  int64_t first_row(const int64_t* start, int64_t t) const { return start != nullptr ? start[t] : t * time_step; }
  int64_t running(const int64_t* active, int64_t t) const { return active != nullptr ? active[t] : batch; }

  int64_t size() const { return static_cast<int64_t>(itemsize(dtype)); }
  int64_t row_bytes(int64_t distance, int64_t entries) const { return rows == 0 ? 0 : ((rows - 1) * distance + entries) * size(); }
  double flops(bool projects) const {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(output) * static_cast<double>(gates() + (projects ? hidden : 0));
  }
};

// With s = pre + W_hh h_{t-1} by gate (+ the peephole's share), h_0 = h0, c_0 = c0:
//   RNN   h = tanh(s) or max(0, s)
//   LSTM  i, f, o = sigmoid(s_i + p_i c_{t-1}), sigmoid(s_f + p_f c_{t-1}), sigmoid(s_o + p_o c),  g = tanh(s_g),
//         c = f c_{t-1} + i g,  h = o tanh(c), projected: h = W_hr (o tanh(c))
//   GRU   r, z = sigmoid(s),  n = tanh(pre_n + r (W_hn h_{t-1} + b_hn)),  h = n + z (h_{t-1} - n)
// PyTorch's formulas; the peephole after Gers and Schmidhuber (2000), the projection after Sak et al. (2014).
struct RecurrentForwardArgs {
  RecurrentShape shape;
  const void* pre = nullptr;          // rows of gates: W_ih x + b_ih + b_hh, without b_hh in GRU's n part
  const void* weight = nullptr;       // W_hh (gates, P)
  const void* hidden_bias = nullptr;  // GRU: b_hn (H); may be null
  const void* peephole = nullptr;     // LSTM: p_i, p_f, p_o (3, H); may be null
  const void* projection = nullptr;   // LSTM: W_hr (P, H); null: P == H
  const void* h0 = nullptr;           // (B, P); null: zero, and the first step takes no product
  const void* c0 = nullptr;           // LSTM: (B, H); null: zero
  const int64_t* start = nullptr;     // both or none
  const int64_t* active = nullptr;
  void* y = nullptr;          // rows of P: h of every step
  void* h_n = nullptr;        // (B, P): after each sequence's last step; of a sequence without steps: h0
  void* c_n = nullptr;        // LSTM: (B, H), in the same way
  void* gates = nullptr;      // what the gradient needs, null in inference. LSTM, GRU: rows of gates, activated; may be pre's memory
  void* cells = nullptr;      // LSTM: rows of H, c; GRU: rows of H, W_hn h_{t-1} + b_hn; null where `gates` is
  void* squashed = nullptr;   // LSTM with a projection: rows of H, o tanh(c); null where `gates` is
  void* workspace = nullptr;  // workspace_bytes, 64-byte aligned; null when that is 0
  int64_t workspace_bytes = 0;

  bool in_place() const { return false; }
  double flops() const { return shape.flops(projection != nullptr); }
  std::array<Operand, 16> operands() const {
    const RecurrentShape& s = shape;
    const int64_t gate_bytes = s.row_bytes(s.gate_row, s.gates()), cell_bytes = s.row_bytes(s.hidden, s.hidden);
    const int64_t h_bytes = s.batch * s.output * s.size(), c_bytes = s.batch * s.hidden * s.size(), step_bytes = s.steps * 8;
    const auto written = [](int64_t distance, int64_t entries) { return distance == entries ? Role::Write : Role::Accumulate; };
    return {operand(this, &pre, Role::Read, gate_bytes),
            operand(this, &weight, Role::Read, s.gates() * s.output * s.size()),
            operand(this, &hidden_bias, Role::Read, s.hidden * s.size()),
            operand(this, &peephole, Role::Read, 3 * s.hidden * s.size()),
            operand(this, &projection, Role::Read, s.output * s.hidden * s.size()),
            operand(this, &h0, Role::Read, h_bytes),
            operand(this, &c0, Role::Read, c_bytes),
            operand(this, &start, Role::Read, step_bytes),
            operand(this, &active, Role::Read, step_bytes),
            operand(this, &y, written(s.y_row, s.output), s.row_bytes(s.y_row, s.output)),
            operand(this, &h_n, Role::Write, h_bytes),
            operand(this, &c_n, Role::Write, c_bytes),
            operand(this, &gates, written(s.gate_row, s.gates()), gate_bytes),
            operand(this, &cells, Role::Write, cell_bytes),
            operand(this, &squashed, Role::Write, cell_bytes),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

// The gradient by pre, in `dgates`, and by the initial states. Those of the weights and biases are products of these matrices over all
// rows: dW_hh = dgates^T h_{t-1} and db_hh = sum dgates, with `dnew` in place of GRU's n part; dW_hr = dprojected^T squashed.
struct RecurrentBackwardArgs {
  RecurrentShape shape;
  const void* dy = nullptr;     // rows of P, y_row apart; may be null
  const void* dh_n = nullptr;   // (B, P); may be null
  const void* dc_n = nullptr;   // LSTM: (B, H); may be null
  const void* gates = nullptr;  // the next four: as the forward kernel left them; gates and cells null for RNN
  const void* cells = nullptr;
  const void* y = nullptr;           // RNN and GRU
  const void* weight = nullptr;      // W_hh (gates, P)
  const void* peephole = nullptr;    // LSTM: (3, H); may be null
  const void* projection = nullptr;  // LSTM: (P, H); may be null
  const void* h0 = nullptr;          // GRU: (B, P); null: zero
  const void* c0 = nullptr;          // LSTM: (B, H); null: zero
  const int64_t* start = nullptr;    // both or none
  const int64_t* active = nullptr;
  void* dgates = nullptr;      // rows of gates: the gradient by pre
  void* dnew = nullptr;        // GRU: rows of H, the gradient by W_hn h_{t-1} + b_hn
  void* dprojected = nullptr;  // LSTM with a projection: rows of P, the whole gradient by y
  void* dh0 = nullptr;         // (B, P)
  void* dc0 = nullptr;         // LSTM: (B, H)
  void* workspace = nullptr;   // workspace_bytes, 64-byte aligned; null when that is 0
  int64_t workspace_bytes = 0;

  bool in_place() const { return false; }
  double flops() const { return shape.flops(projection != nullptr); }
  std::array<Operand, 19> operands() const {
    const RecurrentShape& s = shape;
    const int64_t gate_bytes = s.row_bytes(s.gate_row, s.gates()), cell_bytes = s.row_bytes(s.hidden, s.hidden);
    const int64_t y_bytes = s.row_bytes(s.y_row, s.output), step_bytes = s.steps * 8;
    const int64_t h_bytes = s.batch * s.output * s.size(), c_bytes = s.batch * s.hidden * s.size();
    return {operand(this, &dy, Role::Read, y_bytes),
            operand(this, &dh_n, Role::Read, h_bytes),
            operand(this, &dc_n, Role::Read, c_bytes),
            operand(this, &gates, Role::Read, gate_bytes),
            operand(this, &cells, Role::Read, cell_bytes),
            operand(this, &y, Role::Read, y_bytes),
            operand(this, &weight, Role::Read, s.gates() * s.output * s.size()),
            operand(this, &peephole, Role::Read, 3 * s.hidden * s.size()),
            operand(this, &projection, Role::Read, s.output * s.hidden * s.size()),
            operand(this, &h0, Role::Read, h_bytes),
            operand(this, &c0, Role::Read, c_bytes),
            operand(this, &start, Role::Read, step_bytes),
            operand(this, &active, Role::Read, step_bytes),
            operand(this, &dgates, s.gate_row == s.gates() ? Role::Write : Role::Accumulate, gate_bytes),
            operand(this, &dnew, Role::Write, cell_bytes),
            operand(this, &dprojected, Role::Write, s.row_bytes(s.output, s.output)),
            operand(this, &dh0, Role::Write, h_bytes),
            operand(this, &dc0, Role::Write, c_bytes),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

}  // namespace dnncore
