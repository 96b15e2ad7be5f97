// Recurrent layers over whole sequences without Python, with the results that a gradient needs.
#include "bench.h"

namespace dnncore::bench {
namespace {

struct Sizes {
  int64_t hidden, batch, steps;
};

void add_recurrent(const char* label, Cell cell, const Sizes& sizes) {
  RecurrentShape s;
  s.cell = cell, s.hidden = s.output = sizes.hidden, s.batch = s.time_step = sizes.batch, s.steps = sizes.steps;
  s.rows = s.batch * s.steps, s.gate_row = s.gates(), s.y_row = s.output;
  const auto make = [](int64_t count, Fill fill = Fill::Zero) { return buffer(count, DType::Float32, fill); };
  const auto pre = make(s.rows * s.gates(), Fill::Normal), weight = make(s.gates() * s.output, Fill::Normal);
  for (int64_t i = 0; i < s.gates() * s.output; ++i) reinterpret_cast<float*>(weight->data())[i] *= 0.05f;
  const auto y = make(s.rows * s.output), h_n = make(s.batch * s.output), c_n = make(s.batch * s.hidden);
  const auto gates = make(s.rows * s.gates()), cells = make(s.rows * s.hidden), dnew = make(s.rows * s.hidden);
  const auto dy = make(s.rows * s.output, Fill::Normal), dgates = make(s.rows * s.gates());
  const bool lstm = cell == Cell::Lstm, gated = lstm || cell == Cell::Gru;

  RecurrentForwardArgs args{.shape = s, .pre = pre->data(), .weight = weight->data(), .y = y->data(), .h_n = h_n->data()};
  if (lstm) args.c_n = c_n->data();
  if (gated) args.gates = gates->data(), args.cells = cells->data();
  args.workspace_bytes = workspace_bytes(kernel::recurrent_forward, args, Device{});
  const auto workspace = buffer(args.workspace_bytes + 1, DType::UInt8, Fill::Zero);
  if (args.workspace_bytes > 0) args.workspace = workspace->data();
  launch("bench", kernel::recurrent_forward, args, {});  // the gradient reads what it leaves
  const std::string name = concat(label, "/H", s.hidden, "/B", s.batch, "/T", s.steps);
  add(kernel::recurrent_forward, name, flop(args.flops()), args, {pre, weight, y, h_n, c_n, gates, cells, workspace});

  RecurrentBackwardArgs back{.shape = s, .dy = dy->data(), .gates = args.gates, .cells = args.cells, .y = y->data()};
  back.weight = weight->data(), back.dgates = dgates->data(), back.dh0 = h_n->data();
  if (lstm) back.dc0 = c_n->data();
  if (cell == Cell::Gru) back.dnew = dnew->data();
  back.workspace_bytes = workspace_bytes(kernel::recurrent_backward, back, Device{});
  const auto room = buffer(back.workspace_bytes + 1, DType::UInt8, Fill::Zero);
  if (back.workspace_bytes > 0) back.workspace = room->data();
  add(kernel::recurrent_backward, name, flop(back.flops()), back, {dy, gates, cells, y, weight, dgates, dnew, h_n, c_n, room});
}

}  // namespace

void add_recurrent_rows() {
  for (const Sizes& sizes : {Sizes{128, 32, 50},
                             {200, 20, 20},
                             {650, 20, 35},
                             {256, 16, 150},
                             {256, 32, 150},
                             {256, 64, 150},
                             {512, 16, 25},
                             {512, 32, 25},
                             {512, 64, 25},
                             {512, 128, 25},
                             {1024, 16, 25},
                             {1024, 64, 25},
                             {512, 1, 25},
                             {512, 2, 25},
                             {512, 4, 25},
                             {256, 1, 150},
                             {256, 4, 150}})
    add_recurrent("lstm", Cell::Lstm, sizes);
  for (const Sizes& sizes : {Sizes{128, 32, 50}, {512, 32, 25}, {256, 1, 150}}) {
    add_recurrent("gru", Cell::Gru, sizes);
    add_recurrent("rnn", Cell::RnnTanh, sizes);
  }
}

}  // namespace dnncore::bench
