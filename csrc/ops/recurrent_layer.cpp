// One recurrent layer: a product of all inputs, a kernel over the steps, and the products of the gradient. Both directions write into one
// y.
#include "ops/recurrent_layer.h"

#include <utility>

#include "ops/expressions.h"
#include "ops/matmul.h"

namespace dnncore::ops {

namespace {

// The address so many elements on; of an empty tensor its own, which may be null.
std::byte* offset(const Tensor& x, int64_t elements) {
  return x.data<std::byte>() + (x.numel() == 0 ? 0 : elements * static_cast<int64_t>(itemsize(x.dtype())));
}

// Direction d of (directions, B, n), dense.
Tensor part(const Tensor& states, size_t d) {
  if (!states.defined()) return {};
  const Shape shape{states.size(1), states.size(2)};
  return states.view_as(shape, contiguous_strides(shape), states.impl()->offset + static_cast<int64_t>(d) * shape[0] * shape[1]);
}

// --- Forward ----------------------------------------------------------------------------------------------------------

// What the gradient needs of one direction; undefined where it is not recorded.
struct Kept {
  Tensor gates, cells, squashed;
};

// b_ih + b_hh, without GRU's part that the reset gate multiplies.
Tensor input_bias(const RecurrentLayer& layer, const RecurrentWeights& w) {
  if (!w.bias_ih.defined()) return {};
  if (layer.cell != Cell::Gru) return binary(BinaryOp::add, w.bias_ih, w.bias_hh);
  const Tensor bias = clone(contiguous(w.bias_ih));
  binary_(BinaryOp::add, slice(bias, 0, 0, 2 * layer.hidden, 1), slice(w.bias_hh, 0, 0, 2 * layer.hidden, 1));
  return bias;
}

// x W_ih^T + bias. Every sum is taken in one order however many rows there are: a sequence's bits depend on no other.
Tensor input_product(const RecurrentLayer& layer, const Tensor& x, const RecurrentWeights& w) {
  const Tensor bias = input_bias(layer, w);
  const Tensor pre = Tensor::empty({x.size(0), w.ih.size(0)}, x.dtype(), x.device(), layer.op);
  run_gemm(layer.op,
           {.a = x.data(),
            .b = w.ih.data(),
            .bias = data_of(bias),
            .c = pre.data(),
            .m = x.size(0),
            .n = w.ih.size(0),
            .k = x.size(1),
            .a_row = x.size(1),
            .a_col = 1,
            .b_row = 1,
            .b_col = x.size(1),
            .c_row = w.ih.size(0),
            .dtype = x.dtype(),
            .out_dtype = x.dtype()},
           x.device());
  return pre;
}

RecurrentShape shape_of(const RecurrentLayer& layer, DType dtype, size_t directions, size_t d) {
  const Steps& steps = layer.steps;
  return {.steps = steps.steps,
          .batch = steps.batch,
          .hidden = layer.hidden,
          .output = layer.output,
          .rows = steps.rows,
          .time_step = steps.time_step,
          .batch_step = steps.batch_step,
          .gate_row = gates_of(layer.cell) * layer.hidden,
          .y_row = static_cast<int64_t>(directions) * layer.output,
          .cell = layer.cell,
          .reverse = d == 1,
          .dtype = dtype};
}

Kept run_direction(const RecurrentLayer& layer, const LayerInputs& in, size_t d, const RecurrentResult& out, bool keep) {
  const RecurrentWeights& w = in.weights[d];
  const Tensor pre = input_product(layer, in.x, w), h0 = part(in.h0, d), c0 = part(in.c0, d), h = part(out.h, d), c = part(out.c, d);
  const bool gated = layer.cell == Cell::Lstm || layer.cell == Cell::Gru;
  const auto rows = [&](bool wanted) {
    return wanted ? Tensor::empty({layer.steps.rows, layer.hidden}, in.x.dtype(), in.x.device(), layer.op) : Tensor();
  };
  const Kept kept{keep && gated ? pre : Tensor(), rows(keep && gated), rows(keep && w.projection.defined())};
  const bool reset_bias = layer.cell == Cell::Gru && w.bias_hh.defined();
  launch_with_workspace(layer.op, kernel::recurrent_forward,
                        RecurrentForwardArgs{.shape = shape_of(layer, in.x.dtype(), in.weights.size(), d),
                                             .pre = pre.data(),
                                             .weight = w.hh.data(),
                                             .hidden_bias = reset_bias ? offset(w.bias_hh, 2 * layer.hidden) : nullptr,
                                             .peephole = data_of(w.peephole),
                                             .projection = data_of(w.projection),
                                             .h0 = data_of(h0),
                                             .c0 = data_of(c0),
                                             .start = static_cast<const int64_t*>(data_of(layer.steps.start)),
                                             .active = static_cast<const int64_t*>(data_of(layer.steps.active)),
                                             .y = offset(out.y, static_cast<int64_t>(d) * layer.output),
                                             .h_n = h.data(),
                                             .c_n = data_of(c),
                                             .gates = data_of(kept.gates),
                                             .cells = data_of(kept.cells),
                                             .squashed = data_of(kept.squashed)},
                        in.x.device());
  return kept;
}

// --- Gradient ---------------------------------------------------------------------------------------------------------

// c (m, n) = (accumulate ? c : 0) + a^T b over `rows` rows, each with its own distance between rows.
struct RowProduct {
  const void* a;
  int64_t a_row;
  const void* b;
  int64_t b_row;
  int64_t rows;
};
void add_rows_product(const char* op, const Tensor& c, int64_t first, int64_t m, const RowProduct& p, bool accumulate) {
  run_gemm(op,
           {.a = p.a,
            .b = p.b,
            .c = offset(c, first * c.size(1)),
            .m = m,
            .n = c.size(1),
            .k = p.rows,
            .a_row = 1,
            .a_col = p.a_row,
            .b_row = p.b_row,
            .b_col = 1,
            .c_row = c.size(1),
            .dtype = c.dtype(),
            .out_dtype = c.dtype(),
            .accumulate = accumulate},
           c.device());
}

struct Arrived {
  Tensor y, h, c;  // contiguous; any may be undefined
};

struct FromKernel {
  Tensor dgates, dnew, dprojected;
};

// The backward kernel of one direction; dh0 and dc0 are written into the d-th parts.
FromKernel run_backward(const RecurrentLayer& layer, const LayerInputs& in, size_t d, const Kept& kept, const Tensor& y,
                        const Arrived& arrived, const Tensor& dh0, const Tensor& dc0) {
  const RecurrentWeights& w = in.weights[d];
  const int64_t column = static_cast<int64_t>(d) * layer.output;
  const auto rows = [&](bool wanted, int64_t n) {
    return wanted ? Tensor::empty({layer.steps.rows, n}, y.dtype(), y.device(), layer.op) : Tensor();
  };
  const FromKernel made{rows(true, gates_of(layer.cell) * layer.hidden), rows(layer.cell == Cell::Gru, layer.hidden),
                        rows(w.projection.defined(), layer.output)};
  const auto at = [&](const Tensor& rows) { return rows.defined() ? offset(rows, column) : nullptr; };
  const Tensor dh_n = part(arrived.h, d), dc_n = part(arrived.c, d), h0 = part(in.h0, d), c0 = part(in.c0, d);
  const Tensor dh0_part = part(dh0, d), dc0_part = part(dc0, d);
  launch_with_workspace(layer.op, kernel::recurrent_backward,
                        RecurrentBackwardArgs{.shape = shape_of(layer, y.dtype(), in.weights.size(), d),
                                              .dy = at(arrived.y),
                                              .dh_n = data_of(dh_n),
                                              .dc_n = data_of(dc_n),
                                              .gates = data_of(kept.gates),
                                              .cells = data_of(kept.cells),
                                              .y = at(y),
                                              .weight = w.hh.data(),
                                              .peephole = data_of(w.peephole),
                                              .projection = data_of(w.projection),
                                              .h0 = data_of(h0),
                                              .c0 = data_of(c0),
                                              .start = static_cast<const int64_t*>(data_of(layer.steps.start)),
                                              .active = static_cast<const int64_t*>(data_of(layer.steps.active)),
                                              .dgates = made.dgates.data(),
                                              .dnew = data_of(made.dnew),
                                              .dprojected = data_of(made.dprojected),
                                              .dh0 = dh0_part.data(),
                                              .dc0 = data_of(dc0_part)},
                        y.device());
  return made;
}

// dW_hh: the products of the gates' gradient and h_{t-1}; rows of GRU's n part from `dnew`.
Tensor hidden_gradient(const RecurrentLayer& layer, const FromKernel& made, const Tensor& y, const Tensor& h0, bool reverse) {
  const Steps& steps = layer.steps;
  const int64_t gates = made.dgates.size(1), n = made.dnew.defined() ? gates - layer.hidden : gates;
  const Tensor dw = Tensor::empty({gates, layer.output}, y.dtype(), y.device(), layer.op);
  const auto add = [&](const Tensor& h, int64_t first, int64_t h_first, int64_t rows, bool accumulate) {
    const auto part = [&](const Tensor& dgates, int64_t row, int64_t m) {
      const RowProduct p{offset(dgates, first * dgates.size(1)), dgates.size(1), offset(h, h_first * h.stride(0)), h.stride(0), rows};
      add_rows_product(layer.op, dw, row, m, p, accumulate);
    };
    part(made.dgates, 0, n);
    if (made.dnew.defined()) part(made.dnew, n, layer.hidden);
  };
  if (steps.packed() || steps.batch_step != 1) {
    add(previous_rows(layer.op, steps, reverse, y, h0), 0, 0, steps.rows, false);
    return dw;
  }
  // Time-major: h_{t-1} are the rows of y beside, and h0.
  const int64_t later = std::max<int64_t>(0, steps.rows - steps.batch), first = steps.rows - later;
  add(y, reverse ? 0 : first, reverse ? first : 0, later, false);
  if (h0.defined() && first > 0) add(h0, reverse ? later : 0, 0, first, true);
  return dw;
}

Tensor column_sums(const Tensor& x) { return reduce(ReduceOp::sum, x, {0}, false); }

// (3, H): of i and f with c_{t-1}, of o with c.
Tensor peephole_gradient(const RecurrentLayer& layer, const Tensor& dgates, const Tensor& cells, const Tensor& c0, bool reverse) {
  using expressions::operator*;
  const int64_t n = layer.hidden;
  const auto gate = [&](int64_t i) { return slice(dgates, 1, i * n, (i + 1) * n, 1); };
  const Tensor before = previous_rows(layer.op, layer.steps, reverse, cells, c0);
  return stack({column_sums(gate(0) * before), column_sums(gate(1) * before), column_sums(gate(3) * cells)}, 0);
}

class RecurrentNode final : public Node {
 public:
  RecurrentNode(RecurrentLayer layer, const LayerInputs& in, const RecurrentResult& out, std::vector<Kept> kept)
      : Node(layer.op), layer_(std::move(layer)), directions_(in.weights.size()), saved_(std::make_unique<SavedParts>()) {
    outputs = 3;
    saved_->kept = std::move(kept);
    saved_->y = Saved::output(out.y);
    for (const Tensor& input : in.all()) saved_->inputs.push_back(saved(input));
  }

  Grads backward(const Grads& grads) override {
    const bool all = GradMode::enabled();
    const LayerInputs in = inputs_from(directions_, [&](size_t i) { return all || reads(i) ? saved_->inputs[i].get(*this) : Tensor(); });
    return all ? composed(in, grads) : fused(in, grads);
  }
  bool release_saved() override {
    saved_.reset();
    return true;
  }

 private:
  struct SavedParts {
    std::vector<Saved> inputs;
    Saved y;
    std::vector<Kept> kept;
  };

  bool wants(size_t direction, size_t weight) const {
    return needs(static_cast<int>(kFirstWeight + direction * kWeightsPerDirection + weight));
  }

  // Whether `fused` looks at the i-th input; others may have changed since.
  bool reads(size_t i) const {
    const auto wanted = [&](size_t weight) { return wants(0, weight) || (directions_ == 2 && wants(1, weight)); };
    if (i == 0) return wanted(0);
    if (i == 1) return wanted(1) || layer_.cell == Cell::Gru;
    if (i < kFirstWeight) return true;
    const size_t weight = (i - kFirstWeight) % kWeightsPerDirection;
    const bool bias = weight == 2 || weight == 3;
    return weight == 0 ? needs(0) : !bias;
  }

  // Only what is needed further up is computed by ops that record themselves.
  Grads composed(const LayerInputs& in, const Grads& grads) const {
    std::vector<Tensor> given = in.all(), wanted;
    std::vector<size_t> numbers;
    for (size_t i = 0; i < given.size(); ++i) {
      if (!needs(static_cast<int>(i))) continue;
      given[i] = stand_in_for(given[i]);
      wanted.push_back(given[i]);
      numbers.push_back(i);
    }
    const RecurrentResult made = recurrent_by_steps(layer_, inputs_from(directions_, [&](size_t i) { return given[i]; }));
    std::vector<Tensor> roots, weights;
    const Tensor outputs[] = {made.y, made.h, made.c};
    for (size_t i = 0; i < 3; ++i) {
      if (!grads[i].defined() || !outputs[i].requires_grad()) continue;
      roots.push_back(outputs[i]);
      weights.push_back(grads[i]);
    }
    const Grads found = gradients(roots, weights, wanted, {.retain_graph = true, .create_graph = true});
    Grads result(given.size());
    for (size_t i = 0; i < found.size(); ++i) result[numbers[i]] = found[i];
    return result;
  }

  // The same values on a branch of their own, so that no path leads on beyond them.
  static Tensor stand_in_for(const Tensor& x) {
    const Tensor y = x.detach();
    record("recurrent", y, {&x}, [](const Node&, const Tensor& g) -> Grads { return {g}; });
    return y;
  }

  Grads fused(const LayerInputs& in, const Grads& given) const {
    const auto dense = [](const Tensor& g) { return g.defined() ? contiguous(g) : g; };
    const Arrived arrived{dense(given[0]), dense(given[1]), dense(given[2])};
    Grads grads(edges.size());
    const Tensor y = saved_->y.get(*this);
    const auto fresh = [&](const Shape& shape) { return Tensor::empty(shape, y.dtype(), y.device(), op); };
    const auto states = [&](int64_t n) { return fresh({static_cast<int64_t>(directions_), layer_.steps.batch, n}); };
    grads[1] = states(layer_.output);
    if (layer_.cell == Cell::Lstm) grads[2] = states(layer_.hidden);
    if (needs(0)) grads[0] = fresh({layer_.steps.rows, in.weights[0].ih.size(1)});
    for (size_t d = 0; d < directions_; ++d) {
      const FromKernel made = run_backward(layer_, in, d, saved_->kept[d], y, arrived, grads[1], grads[2]);
      add_weight_gradients(in, d, made, y, grads);
      if (needs(0)) add_input_gradient(made.dgates, in.weights[d].ih, grads[0], d > 0);
    }
    return grads;
  }

  void add_input_gradient(const Tensor& dgates, const Tensor& w, const Tensor& dx, bool accumulate) const {
    run_gemm(op,
             {.a = dgates.data(),
              .b = w.data(),
              .c = dx.data(),
              .m = dx.size(0),
              .n = dx.size(1),
              .k = w.size(0),
              .a_row = w.size(0),
              .a_col = 1,
              .b_row = dx.size(1),
              .b_col = 1,
              .c_row = dx.size(1),
              .dtype = dx.dtype(),
              .out_dtype = dx.dtype(),
              .accumulate = accumulate},
             dx.device());
  }

  void add_weight_gradients(const LayerInputs& in, size_t d, const FromKernel& made, const Tensor& y, Grads& grads) const {
    const size_t first = kFirstWeight + d * kWeightsPerDirection;
    const bool reverse = d == 1;
    const int64_t rows = layer_.steps.rows;
    const Tensor& dgates = made.dgates;
    const auto product = [&](const Tensor& a, const Tensor& b) {
      const Tensor c = Tensor::empty({a.size(1), b.size(1)}, a.dtype(), a.device(), op);
      add_rows_product(op, c, 0, a.size(1), {a.data(), a.size(1), b.data(), b.size(1), rows}, false);
      return c;
    };
    const Tensor own_y = y.view_as({rows, layer_.output}, y.strides(), y.impl()->offset + static_cast<int64_t>(d) * layer_.output);
    if (wants(d, 0)) grads[first] = product(dgates, in.x);
    if (wants(d, 1)) grads[first + 1] = hidden_gradient(layer_, made, own_y, part(in.h0, d), reverse);
    if (wants(d, 2) || wants(d, 3)) add_bias_gradients(made, wants(d, 2), wants(d, 3), grads[first + 2], grads[first + 3]);
    if (wants(d, 4)) grads[first + 4] = product(made.dprojected, saved_->kept[d].squashed);
    if (wants(d, 5)) grads[first + 5] = peephole_gradient(layer_, dgates, saved_->kept[d].cells, part(in.c0, d), reverse);
  }

  void add_bias_gradients(const FromKernel& made, bool input, bool hidden, Tensor& dinput, Tensor& dhidden) const {
    const Tensor sums = column_sums(made.dgates);
    if (input) dinput = sums;
    if (!hidden) return;
    dhidden = sums;
    if (made.dnew.defined()) dhidden = cat({slice(sums, 0, 0, 2 * layer_.hidden, 1), column_sums(made.dnew)}, 0);
  }

  const RecurrentLayer layer_;
  const size_t directions_;
  std::unique_ptr<SavedParts> saved_;
};

}  // namespace

std::vector<Tensor> LayerInputs::all() const {
  std::vector<Tensor> list{x, h0, c0};
  for (const RecurrentWeights& w : weights)
    for (const auto weight : kWeightOrder) list.push_back(w.*weight);
  return list;
}

RecurrentResult recurrent_layer(const RecurrentLayer& layer, const LayerInputs& inputs) {
  const auto directions = static_cast<int64_t>(inputs.weights.size());
  const std::vector<Tensor> list = inputs.all();
  const bool keep = any_requires_grad(list);
  const auto fresh = [&](const Shape& shape) { return Tensor::empty(shape, inputs.x.dtype(), inputs.x.device(), layer.op); };
  RecurrentResult out{fresh({layer.steps.rows, directions * layer.output}), fresh({directions, layer.steps.batch, layer.output}), {}};
  if (layer.cell == Cell::Lstm) out.c = fresh({directions, layer.steps.batch, layer.hidden});
  std::vector<Kept> kept;
  {
    const NoGrad no_grad;
    for (size_t d = 0; d < inputs.weights.size(); ++d) kept.push_back(run_direction(layer, inputs, d, out, keep));
  }
  if (keep) attach_all(Ref<Node>(new RecurrentNode(layer, inputs, out, std::move(kept))), {out.y, out.h, out.c}, list);
  return out;
}

}  // namespace dnncore::ops
