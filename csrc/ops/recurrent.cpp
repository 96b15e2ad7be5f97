// The border of recurrent networks: checks, the order of rows, layers one after the other.
#include "ops/recurrent.h"

#include <algorithm>

#include "ops/common.h"
#include "ops/recurrent_layer.h"

namespace dnncore::ops {

namespace {

// --- Checks -----------------------------------------------------------------------------------------------------------

struct Sizes {
  int64_t hidden, output;
};

void check_shape(const RecurrentSettings& s, const char* name, const Tensor& weight, const Shape& shape) {
  DNN_CHECK(weight.shape() == shape, ValueError, s.layer, ": expected ", name, " of shape ", shape, ", got ", weight.shape());
}

// Those of one direction, whose inputs have `features` entries.
void check_weights(const RecurrentSettings& s, const RecurrentWeights& w, int64_t features, const Sizes& sizes) {
  const int64_t gates = gates_of(s.cell) * sizes.hidden;
  check_shape(s, "weight_ih", w.ih, {gates, features});
  check_shape(s, "weight_hh", w.hh, {gates, sizes.output});
  DNN_CHECK(w.bias_ih.defined() == w.bias_hh.defined(), ValueError, s.layer, ": expected bias_ih and bias_hh both or neither");
  if (w.bias_ih.defined()) {
    check_shape(s, "bias_ih", w.bias_ih, {gates});
    check_shape(s, "bias_hh", w.bias_hh, {gates});
  }
  if (w.projection.defined()) check_shape(s, "weight_hr", w.projection, {sizes.output, sizes.hidden});
  if (w.peephole.defined()) check_shape(s, "weight_ch", w.peephole, {3, sizes.hidden});
}

Sizes checked_sizes(const RecurrentSettings& s, const std::vector<RecurrentWeights>& weights) {
  DNN_CHECK(static_cast<int64_t>(weights.size()) == s.layers * s.directions() && s.layers > 0, ValueError, s.layer,
            ": expected weights of ", s.layers, " layers in ", s.directions(), " directions, got ", weights.size());
  const RecurrentWeights& w = weights[0];
  DNN_CHECK(w.ih.ndim() == 2 && w.hh.ndim() == 2 && w.hh.size(0) % gates_of(s.cell) == 0, ValueError, s.layer,
            ": expected weight_ih and weight_hh as matrices of ", gates_of(s.cell), " rows for each hidden unit, got shapes ", w.ih.shape(),
            " and ", w.hh.shape());
  const Sizes sizes{w.hh.size(0) / gates_of(s.cell), w.hh.size(1)};
  DNN_CHECK(w.projection.defined() || sizes.hidden == sizes.output, ValueError, s.layer, ": expected weight_hh of shape (", w.hh.size(0),
            ", ", sizes.hidden, "), got ", w.hh.shape());
  const auto directions = static_cast<size_t>(s.directions());
  for (size_t i = 0; i < weights.size(); ++i)
    check_weights(s, weights[i], i < directions ? w.ih.size(1) : s.directions() * sizes.output, sizes);
  return sizes;
}

void check_input(const RecurrentSettings& s, const Tensor& x, const std::vector<RecurrentWeights>& weights) {
  check_floating(s.layer, x);
  for (const RecurrentWeights& w : weights)
    for (const auto weight : kWeightOrder) {
      const Tensor& each = w.*weight;
      DNN_CHECK(!each.defined() || each.dtype() == x.dtype(), TypeError, s.layer,
                ": expected input and weights of one dtype, got input of ", x.dtype(), " and weights of ", each.dtype());
    }
  const int64_t features = weights[0].ih.size(1), given = x.size(x.ndim() - 1);
  DNN_CHECK(given == features, ValueError, s.layer, ": expected input of ", features,
            " features (input_size) in its last dimension, got shape ", x.shape(), "; use input_size=", given);
}

// `other`: what the number of sequences would be with the batch on the other side, or -1.
void check_state(const RecurrentSettings& s, const char* name, const Tensor& state, const Tensor& x, const Shape& shape, int64_t other) {
  if (!state.defined()) return;
  check_device(s.layer, x, state);
  DNN_CHECK(state.dtype() == x.dtype(), TypeError, s.layer, ": expected ", name, " of ", x.dtype(), " as the input, got ", state.dtype());
  if (state.shape() == shape) return;
  std::string advice;
  if (state.ndim() == 3 && shape.ndim() == 3) {
    if (state.shape() == Shape{shape[1], shape[0], shape[2]})
      advice = "; states are never batch-first: use transpose(0, 1)";
    else if (other >= 0 && state.shape() == Shape{shape[0], other, shape[2]})
      advice = concat("; it fits ", other, " sequences, as with batch_first=", s.batch_first ? "False" : "True",
                      ": pass that to the layer, or input.transpose(0, 1)");
  }
  const char* layout = shape.ndim() == 3 ? " (num_layers * directions, batch, size)" : "";
  throw ValueError(concat(s.layer, ": expected ", name, " of shape ", shape, layout, " for input of shape ", x.shape(), ", got ",
                          state.shape(), advice));
}

void check_states(const RecurrentSettings& s, const Tensor& x, const Tensor& h0, const Tensor& c0, const Sizes& sizes) {
  const int64_t states = s.layers * s.directions();
  const bool alone = x.ndim() == 2;
  const int64_t batch = x.size(s.batch_first ? 0 : 1), other = alone ? -1 : x.size(s.batch_first ? 1 : 0);
  const auto shape = [&](int64_t n) { return alone ? Shape{states, n} : Shape{states, batch, n}; };
  check_state(s, "h0", h0, x, shape(sizes.output), other);
  check_state(s, "c0", c0, x, shape(sizes.hidden), other);
}

void check_lengths(const RecurrentSettings& s, const Tensor& x, const std::vector<int64_t>& lengths) {
  DNN_CHECK(x.ndim() == 3, ValueError, s.layer, ": lengths are those of a batch: expected an input of 3 dimensions, got shape ", x.shape());
  const int64_t batch = x.size(s.batch_first ? 0 : 1), steps = x.size(s.batch_first ? 1 : 0);
  const auto count = static_cast<int64_t>(lengths.size());
  if (count != batch) {
    std::string advice;
    if (count == steps)
      advice = concat("; that fits batch_first=", s.batch_first ? "False" : "True", ": pass it to the layer, or input.transpose(0, 1)");
    throw ValueError(concat(s.layer, ": expected ", batch, " lengths, one for each sequence of the input of shape ", x.shape(), ", got ",
                            count, advice));
  }
  for (int64_t length : lengths)
    DNN_CHECK(length >= 0 && length <= steps, ValueError, s.layer, ": expected lengths from 0 to ", steps,
              ", the number of steps of the input of shape ", x.shape(), ", got ", length);
}

// --- Layers -----------------------------------------------------------------------------------------------------------

Tensor dropped(const Tensor& x, double p) {
  if (p == 0) return x;
  return p < 1 ? dropout(x, p) : binary(BinaryOp::mul, x, Scalar::of(0.0));
}

// All layers over rows; states (layers * directions, B, ...) or undefined.
RecurrentResult run_layers(const RecurrentSettings& s, const Tensor& rows, const Steps& steps, const Tensor& h0, const Tensor& c0,
                           const std::vector<RecurrentWeights>& weights, const Sizes& sizes) {
  const RecurrentLayer layer{s.layer, s.cell, sizes.hidden, sizes.output, steps};
  const int64_t directions = s.directions();
  std::vector<Tensor> hs, cs;
  Tensor x = rows;
  for (int64_t l = 0; l < s.layers; ++l) {
    const auto own = [&](const Tensor& states) {
      if (!states.defined()) return states;
      return contiguous(s.layers == 1 ? states : slice(states, 0, l * directions, (l + 1) * directions, 1));
    };
    LayerInputs inputs{x, own(h0), own(c0), {}};
    for (int64_t d = 0; d < directions; ++d)
      inputs.weights.push_back(mapped(weights[static_cast<size_t>(l * directions + d)], [](const Tensor& x) { return contiguous(x); }));
    const RecurrentResult out = recurrent_layer(layer, inputs);
    hs.push_back(out.h);
    if (out.c.defined()) cs.push_back(out.c);
    x = l + 1 < s.layers ? dropped(out.y, s.dropout) : out.y;
  }
  const auto joined = [](const std::vector<Tensor>& parts) {
    return parts.empty() ? Tensor() : parts.size() == 1 ? parts[0] : cat(parts, 0);
  };
  return {x, joined(hs), joined(cs)};
}

// --- Lengths ----------------------------------------------------------------------------------------------------------

Tensor reordered(const char* op, const Tensor& states, const std::vector<int64_t>& order) {
  return states.defined() ? index(states, 1, {to_device(whole_numbers(op, order), states.device(), op)}) : states;
}

RecurrentResult run_lengths(const RecurrentSettings& s, const Tensor& x, const Tensor& h0, const Tensor& c0,
                            const std::vector<RecurrentWeights>& weights, const Sizes& sizes, const std::vector<int64_t>& lengths) {
  const int64_t steps = x.size(s.batch_first ? 1 : 0), total = x.size(0) * x.size(1);
  const Packing p = packing_of(lengths, steps, s.batch_first);
  const Tensor rows = picked_rows(s.layer, reshape(x, {total, x.size(2)}), p.rows);
  const auto sorted = [&](const Tensor& states) { return p.sorted ? states : reordered(s.layer, states, p.order); };
  RecurrentResult out = run_layers(s, rows, packed_steps(s.layer, p.sizes, static_cast<int64_t>(lengths.size()), rows.device()), sorted(h0),
                                   sorted(c0), weights, sizes);
  out.y = spread_rows(s.layer, out.y, p.rows, total);
  if (p.sorted) return out;
  const std::vector<int64_t> back = p.inverse();
  return {out.y, reordered(s.layer, out.h, back), reordered(s.layer, out.c, back)};
}

// Halves go through float32.
template <class Fn>
RecurrentResult in_working_dtype(const Tensor& x, const Tensor& h0, const Tensor& c0, const std::vector<RecurrentWeights>& weights,
                                 Fn&& fn) {
  if (!is_half(x.dtype())) return fn(x, h0, c0, weights);
  const auto narrow = [&](const Tensor& t) { return t.defined() ? to_dtype(t, x.dtype()) : t; };
  std::vector<RecurrentWeights> all;
  for (const RecurrentWeights& w : weights) all.push_back(mapped(w, as_float));
  const RecurrentResult out = fn(as_float(x), as_float(h0), as_float(c0), all);
  return {narrow(out.y), narrow(out.h), narrow(out.c)};
}

RecurrentResult run_batch(const RecurrentSettings& s, const Tensor& x, const Tensor& h0, const Tensor& c0,
                          const std::vector<RecurrentWeights>& weights, const Sizes& sizes,
                          const std::optional<std::vector<int64_t>>& lengths) {
  const int64_t batch = x.size(s.batch_first ? 0 : 1), steps = x.size(s.batch_first ? 1 : 0);
  const bool padded = lengths && std::any_of(lengths->begin(), lengths->end(), [&](int64_t length) { return length < steps; });
  return in_working_dtype(x, h0, c0, weights, [&](const Tensor& x, const Tensor& h, const Tensor& c, const auto& w) {
    RecurrentResult out = padded ? run_lengths(s, x, h, c, w, sizes, *lengths)
                                 : run_layers(s, contiguous(reshape(x, {steps * batch, x.size(2)})),
                                              dense_steps(steps, batch, s.batch_first), h, c, w, sizes);
    out.y = sole_name(reshape(out.y, {x.size(0), x.size(1), out.y.size(1)}));
    return out;
  });
}

}  // namespace

RecurrentResult recurrent(const RecurrentSettings& s, const Tensor& x, const Tensor& h0, const Tensor& c0,
                          const std::vector<RecurrentWeights>& weights, const std::optional<std::vector<int64_t>>& lengths) {
  DNN_CHECK(x.ndim() == 2 || x.ndim() == 3, ValueError, s.layer, ": expected an input of 3 dimensions, ",
            s.batch_first ? "(batch, steps, features)" : "(steps, batch, features)", ", or of 2, (steps, features), got shape ", x.shape());
  const Sizes sizes = checked_sizes(s, weights);
  check_input(s, x, weights);
  check_states(s, x, h0, c0, sizes);
  if (lengths) check_lengths(s, x, *lengths);
  if (x.ndim() == 3) return run_batch(s, x, h0, c0, weights, sizes, lengths);
  RecurrentSettings one = s;
  one.batch_first = false;
  const auto batched = [](const Tensor& t) { return t.defined() ? unsqueeze(t, 1) : t; };
  const auto alone = [](const Tensor& t) { return t.defined() ? sole_name(squeeze(t, 1)) : t; };
  const RecurrentResult out = run_batch(one, unsqueeze(x, 1), batched(h0), batched(c0), weights, sizes, {});
  return {alone(out.y), alone(out.h), alone(out.c)};
}

RecurrentResult recurrent_packed(const RecurrentSettings& s, const PackedRows& packed, const Tensor& h0, const Tensor& c0,
                                 const std::vector<RecurrentWeights>& weights) {
  const Sizes units = checked_sizes(s, weights);
  const Tensor& data = packed.data;
  DNN_CHECK(data.ndim() == 2, ValueError, s.layer, ": expected packed data of shape (rows, features), got ", data.shape());
  check_input(s, data, weights);
  const std::vector<int64_t>& sizes = packed.sizes;
  const int64_t batch = sizes.empty() ? 0 : sizes[0], states = s.layers * s.directions();
  DNN_CHECK(std::is_sorted(sizes.rbegin(), sizes.rend()) && (sizes.empty() || sizes.back() > 0), ValueError, s.layer,
            ": expected batch_sizes of a PackedSequence that are positive and never grow");
  const Steps steps = packed_steps(s.layer, sizes, batch, data.device());
  DNN_CHECK(steps.rows == data.size(0), ValueError, s.layer, ": expected packed data of ", steps.rows,
            " rows, the sum of its batch_sizes, got shape ", data.shape());
  for (const Tensor* indices : {&packed.order, &packed.back})
    DNN_CHECK(!indices->defined() || (indices->dtype() == DType::Int64 && indices->shape() == Shape{batch}), ValueError, s.layer,
              ": expected sorted_indices and unsorted_indices of ", batch, " int64, got ", indices->dtype(), " of shape ",
              indices->shape());
  check_state(s, "h0", h0, data, {states, batch, units.output}, -1);
  check_state(s, "c0", c0, data, {states, batch, units.hidden}, -1);
  const auto ordered = [](const Tensor& states, const Tensor& order) {
    return states.defined() && order.defined() ? index(states, 1, {order}) : states;
  };
  return in_working_dtype(data, h0, c0, weights, [&](const Tensor& x, const Tensor& h, const Tensor& c, const auto& w) {
    const RecurrentResult out = run_layers(s, contiguous(x), steps, ordered(h, packed.order), ordered(c, packed.order), w, units);
    return RecurrentResult{out.y, ordered(out.h, packed.back), ordered(out.c, packed.back)};
  });
}

RecurrentResult recurrent_step(const RecurrentSettings& s, const Tensor& x, const Tensor& h0, const Tensor& c0,
                               const RecurrentWeights& weights) {
  DNN_CHECK(x.ndim() == 1 || x.ndim() == 2, ValueError, s.layer,
            ": expected an input of 2 dimensions, (batch, features), or of 1, got shape ", x.shape());
  const Sizes sizes = checked_sizes(s, {weights});
  check_input(s, x, {weights});
  Shape shape = x.shape();
  shape[x.ndim() - 1] = sizes.hidden;
  check_state(s, "hx", h0, x, shape, -1);
  check_state(s, "cx", c0, x, shape, -1);
  const int64_t batch = x.ndim() == 2 ? x.size(0) : 1;
  const auto as_states = [&](const Tensor& t) { return t.defined() ? reshape(t, {1, batch, t.size(t.ndim() - 1)}) : t; };
  const auto alone = [&](const Tensor& t) { return t.defined() ? sole_name(reshape(t, shape)) : t; };
  const RecurrentResult out = in_working_dtype(x, h0, c0, {weights}, [&](const Tensor& x, const Tensor& h, const Tensor& c, const auto& w) {
    const Tensor rows = contiguous(reshape(x, {batch, x.size(x.ndim() - 1)}));
    return run_layers(s, rows, dense_steps(1, batch, false), as_states(h), as_states(c), w, sizes);
  });
  return {{}, alone(out.h), alone(out.c)};
}

}  // namespace dnncore::ops
