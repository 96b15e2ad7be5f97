// A recurrent layer as it is written on paper, of ops that record themselves: what its second derivatives are made of.
#include "ops/common.h"
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

// The first `count` rows.
Tensor head(const Tensor& all, int64_t count) { return !all.defined() || count == all.size(0) ? all : slice(all, 0, 0, count, 1); }

// The first `count` rows replaced.
Tensor with_head(const Tensor& all, const Tensor& rows, int64_t count) {
  if (!all.defined() || count == all.size(0)) return rows;
  return cat({rows, slice(all, 0, count, all.size(0), 1)}, 0);
}

// Parts of some rows each, and all of them: each is the other's gradient. A slice's would be as large as the whole, at every step.
std::vector<Tensor> parted(const Tensor& x, const std::vector<int64_t>& sizes);

Tensor joined(const std::vector<Tensor>& parts) {
  Tensor y;
  {
    const NoGrad no_grad;
    y = cat(parts, 0);
  }
  if (!any_requires_grad(parts)) return y;
  std::vector<int64_t> sizes;
  for (const Tensor& part : parts) sizes.push_back(part.size(0));
  record_list("recurrent", y, parts, [sizes](const Node&, const Tensor& g) -> Grads { return parted(g, sizes); });
  return y;
}

class PartsNode final : public Node {
 public:
  explicit PartsNode(const std::vector<Tensor>& parts) : Node("recurrent") {
    outputs = static_cast<uint32_t>(parts.size());
    for (const Tensor& part : parts) shapes_.push_back(part.shape());
    dtype_ = parts[0].dtype();
    device_ = parts[0].device();
  }

  Grads backward(const Grads& grads) override {
    std::vector<Tensor> parts = grads;
    for (size_t i = 0; i < parts.size(); ++i)
      if (!parts[i].defined()) parts[i] = zeros(shapes_[i], dtype_, device_);
    return {joined(parts)};
  }

 private:
  std::vector<Shape> shapes_;
  DType dtype_;
  Device device_;
};

std::vector<Tensor> parted(const Tensor& given, const std::vector<int64_t>& sizes) {
  const Tensor x = contiguous(given);
  std::vector<Tensor> parts;
  int64_t row = 0;
  for (int64_t size : sizes) {
    parts.push_back(x.view_as({size, x.size(1)}, x.strides(), x.impl()->offset + row * x.size(1)));
    row += size;
  }
  if (parts.empty() || !any_requires_grad({&x})) return parts;
  const Ref<Node> node(new PartsNode(parts));
  attach_all(node, parts, {x});
  return parts;
}

// Rows (outer, inner, n) as (inner, outer, n).
Tensor swapped(const Tensor& rows, int64_t outer, int64_t inner) {
  return reshape(transpose(reshape(rows, {outer, inner, rows.size(1)}), 0, 1), rows.shape());
}

RecurrentResult one_direction(const RecurrentLayer& layer, const Tensor& x, State state, const RecurrentWeights& w, bool reverse) {
  const Steps& steps = layer.steps;
  if (!state.h.defined()) state.h = zeros({steps.batch, layer.output}, x.dtype(), x.device());
  if (layer.cell == Cell::Lstm && !state.c.defined()) state.c = zeros({steps.batch, layer.hidden}, x.dtype(), x.device());
  const bool swaps = steps.batch_first();
  const std::vector<int64_t> sizes = steps.packed() ? steps.sizes : std::vector<int64_t>(static_cast<size_t>(steps.steps), steps.batch);
  const std::vector<Tensor> pre = parted(linear(swaps ? swapped(x, steps.batch, steps.steps) : x, w.ih, w.bias_ih), sizes);
  std::vector<Tensor> ys(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    const size_t t = reverse ? sizes.size() - 1 - i : i;
    const State next = step(layer.cell, w, pre[t], {head(state.h, sizes[t]), head(state.c, sizes[t])});
    state = {with_head(state.h, next.h, sizes[t]), with_head(state.c, next.c, sizes[t])};
    ys[t] = next.h;
  }
  if (steps.rows == 0) return {zeros({0, layer.output}, x.dtype(), x.device()), state.h, state.c};
  const Tensor y = joined(ys);
  return {swaps ? swapped(y, steps.steps, steps.batch) : y, state.h, state.c};
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
