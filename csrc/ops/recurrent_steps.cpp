// A recurrent layer as it is written on paper, of ops that record themselves: what its second derivatives are made of.
#include "ops/expressions.h"
#include "ops/recurrent_layer.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

struct State {
  Tensor h, c;
};

Tensor columns(const Tensor& x, int64_t begin, int64_t count) { return slice(x, 1, begin, begin + count, 1); }
Tensor sigmoid(const Tensor& x) { return unary(UnaryOp::sigmoid, x); }
Tensor tanh(const Tensor& x) { return unary(UnaryOp::tanh, x); }

State lstm_step(const RecurrentWeights& w, const Tensor& s, const Tensor& c) {
  const int64_t n = c.size(1);
  const auto gate = [&](int64_t i) { return columns(s, i * n, n); };
  const auto seen = [&](const Tensor& gate, int64_t row, const Tensor& cell) {
    return sigmoid(w.peephole.defined() ? gate + select(w.peephole, 0, row) * cell : gate);
  };
  const Tensor next = seen(gate(1), 1, c) * c + seen(gate(0), 0, c) * tanh(gate(2));
  const Tensor h = seen(gate(3), 2, next) * tanh(next);
  return {w.projection.defined() ? linear(h, w.projection, {}) : h, next};
}

Tensor gru_step(const Tensor& from_x, const Tensor& from_h, const Tensor& h) {
  const int64_t n = h.size(1);
  const auto gate = [&](int64_t i) { return sigmoid(columns(from_x, i * n, n) + columns(from_h, i * n, n)); };
  const Tensor r = gate(0), z = gate(1), news = tanh(columns(from_x, 2 * n, n) + r * columns(from_h, 2 * n, n));
  return news + z * (h - news);
}

State step(Cell cell, const RecurrentWeights& w, const Tensor& from_x, const State& state) {
  const Tensor from_h = linear(state.h, w.hh, w.bias_hh);
  switch (cell) {
    case Cell::Lstm:
      return lstm_step(w, from_x + from_h, state.c);
    case Cell::Gru:
      return {gru_step(from_x, from_h, state.h), {}};
    default:
      return {unary(cell == Cell::RnnTanh ? UnaryOp::tanh : UnaryOp::relu, from_x + from_h), {}};
  }
}

// The first `count` rows replaced.
Tensor with_head(const Tensor& all, const Tensor& head, int64_t count) {
  if (!all.defined() || count == all.size(0)) return head;
  return cat({head, slice(all, 0, count, all.size(0), 1)}, 0);
}

Tensor rows_at(const Steps& steps, const Tensor& x, int64_t t) {
  if (steps.packed()) {
    const auto at = static_cast<size_t>(t);
    int64_t start = 0;
    for (size_t i = 0; i < at; ++i) start += steps.sizes[i];
    return slice(x, 0, start, start + steps.sizes[at], 1);
  }
  if (steps.batch_first()) return select(reshape(x, {steps.batch, steps.steps, x.size(1)}), 1, t);
  return select(reshape(x, {steps.steps, steps.batch, x.size(1)}), 0, t);
}

// The steps' results in the order of the rows.
Tensor joined(const Steps& steps, const std::vector<Tensor>& ys, const Tensor& like, int64_t n) {
  if (steps.rows == 0) return zeros({0, n}, like.dtype());
  if (steps.packed()) return cat(ys, 0);
  return reshape(stack(ys, steps.batch_first() ? 1 : 0), {steps.rows, n});
}

RecurrentResult one_direction(const RecurrentLayer& layer, const Tensor& x, State state, const RecurrentWeights& w, bool reverse) {
  const Steps& steps = layer.steps;
  if (!state.h.defined()) state.h = zeros({steps.batch, layer.output}, x.dtype());
  if (layer.cell == Cell::Lstm && !state.c.defined()) state.c = zeros({steps.batch, layer.hidden}, x.dtype());
  const Tensor pre = linear(x, w.ih, w.bias_ih);
  std::vector<Tensor> ys(static_cast<size_t>(steps.steps));
  for (int64_t i = 0; i < steps.steps; ++i) {
    const int64_t t = reverse ? steps.steps - 1 - i : i;
    const int64_t running = steps.packed() ? steps.sizes[static_cast<size_t>(t)] : steps.batch;
    const auto head = [&](const Tensor& all) { return all.defined() ? slice(all, 0, 0, running, 1) : all; };
    const State next = step(layer.cell, w, rows_at(steps, pre, t), {head(state.h), head(state.c)});
    state = {with_head(state.h, next.h, running), with_head(state.c, next.c, running)};
    ys[static_cast<size_t>(t)] = next.h;
  }
  return {joined(steps, ys, x, layer.output), state.h, state.c};
}

}  // namespace

RecurrentResult recurrent_by_steps(const RecurrentLayer& layer, const LayerInputs& inputs) {
  std::vector<Tensor> ys, hs, cs;
  for (size_t d = 0; d < inputs.weights.size(); ++d) {
    const auto of = [&](const Tensor& states) { return states.defined() ? select(states, 0, static_cast<int64_t>(d)) : states; };
    const RecurrentResult one = one_direction(layer, inputs.x, {of(inputs.h0), of(inputs.c0)}, inputs.weights[d], d == 1);
    ys.push_back(one.y);
    hs.push_back(one.h);
    if (one.c.defined()) cs.push_back(one.c);
  }
  return {ys.size() == 1 ? ys[0] : cat(ys, 1), stack(hs, 0), cs.empty() ? Tensor() : stack(cs, 0)};
}

}  // namespace dnncore::ops
