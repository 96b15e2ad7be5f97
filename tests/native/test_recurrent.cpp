// The recurrent kernels of every table against the reference.
#include "kernel_check.h"

namespace dnncore::test {

namespace {

enum class Layout { TimeMajor, BatchFirst, Packed, Both };  // Both: two directions beside each other in rows of twice the width

struct Case {
  Cell cell;
  int64_t steps, batch, hidden, output;
  Layout layout;
  bool reverse, states, peephole, inference;
};

constexpr Cell kCells[] = {Cell::RnnTanh, Cell::RnnRelu, Cell::Lstm, Cell::Gru};

// Sizes around the tiles, every cell and layout; then the LSTM's own.
std::vector<Case> all_cases() {
  constexpr int64_t kSizes[][3] = {{3, 1, 1},  {5, 2, 16}, {2, 7, 17}, {4, 13, 33}, {1, 5, 20},  {3, 40, 48},
                                   {2, 1, 80}, {0, 3, 5},  {2, 0, 5},  {6, 33, 15}, {2, 3, 130}, {3, 4, 300}};
  std::vector<Case> cases;
  int turn = 0;
  for (const Cell cell : kCells)
    for (const auto& [steps, batch, hidden] : kSizes)
      for (const Layout layout : {Layout::TimeMajor, Layout::BatchFirst, Layout::Packed, Layout::Both}) {
        const int bits = turn++ * 7;
        cases.push_back(
            {cell, steps, batch, hidden, hidden, layout, bits % 2 == 0, bits % 3 != 0, cell == Cell::Lstm && bits % 5 == 0, bits % 4 == 1});
      }
  for (const Layout layout : {Layout::TimeMajor, Layout::Packed})
    for (const auto& [batch, hidden, output] : {std::array<int64_t, 3>{3, 20, 5}, {40, 33, 17}, {1, 70, 64}})
      for (const bool inference : {false, true})
        cases.push_back({Cell::Lstm, 4, batch, hidden, output, layout, inference, !inference, batch == 3, inference});
  return cases;
}

// The operands of one layer, with the results of the reference.
struct Layer {
  RecurrentShape shape;
  Array start, active, pre, weight, hidden_bias, peephole, projection, h0, c0;
  Array y, h_n, c_n, gates, cells, squashed, dy, dh_n, dc_n, dgates, dnew, dprojected, dh0, dc0;
  bool packed;

  static RecurrentShape shape_of(const Case& from, DType dtype) {
    RecurrentShape s;
    s.steps = from.steps, s.batch = from.batch, s.hidden = from.hidden, s.output = from.output, s.cell = from.cell;
    s.rows = from.steps * from.batch;
    if (from.layout == Layout::Packed)
      for (int64_t t = s.rows = 0; t < s.steps; ++t) s.rows += running(from, t);
    const bool batch_first = from.layout == Layout::BatchFirst;
    s.time_step = batch_first ? 1 : s.batch, s.batch_step = batch_first ? s.steps : 1;
    const int64_t wide = from.layout == Layout::Both ? 2 : 1;
    s.gate_row = s.gates() * wide, s.y_row = s.output * wide;
    s.reverse = from.reverse, s.dtype = dtype;
    return s;
  }
  static int64_t running(const Case& from, int64_t t) {
    return std::min(from.batch, std::max<int64_t>(from.batch * (from.steps - t) / (from.steps + 1), 1));
  }

  Layer(const Case& from, DType dtype)
      : shape(shape_of(from, dtype)),
        start(DType::Int64, from.steps),
        active(Array(DType::Int64, from.steps).fill([&](int64_t t) { return static_cast<double>(running(from, t)); })),
        pre(real(dtype, shape.rows * shape.gate_row, -2, 2)),
        weight(real(dtype, shape.gates() * shape.output, -bound(), bound(), 2)),
        hidden_bias(real(dtype, shape.hidden, -1, 1, 3)),
        peephole(real(dtype, 3 * shape.hidden, -1, 1, 4)),
        projection(real(dtype, shape.output * shape.hidden, -bound(), bound(), 5)),
        h0(real(dtype, shape.batch * shape.output, -1, 1, 6)),
        c0(real(dtype, shape.batch * shape.hidden, -1, 1, 7)),
        y(dtype, shape.rows * shape.y_row),
        h_n(dtype, shape.batch * shape.output),
        c_n(dtype, shape.batch * shape.hidden),
        gates(dtype, shape.rows * shape.gate_row),
        cells(dtype, shape.rows * shape.hidden),
        squashed(dtype, shape.rows * shape.hidden),
        dy(real(dtype, shape.rows * shape.y_row, -1, 1, 8)),
        dh_n(real(dtype, shape.batch * shape.output, -1, 1, 9)),
        dc_n(real(dtype, shape.batch * shape.hidden, -1, 1, 10)),
        dgates(gates),
        dnew(cells),
        dprojected(dtype, shape.rows * shape.output),
        dh0(h_n),
        dc0(c_n),
        packed(from.layout == Layout::Packed) {
    for (int64_t t = 1; t < from.steps; ++t) start.set(t, start.at(t - 1) + active.at(t - 1));
  }
  double bound() const { return 2 / std::sqrt(static_cast<double>(shape.hidden)); }

  RecurrentForwardArgs forward(const Case& from) {
    RecurrentForwardArgs args{.shape = shape, .pre = pre.data(), .weight = weight.data()};
    const bool lstm = from.cell == Cell::Lstm, projects = from.output != from.hidden;
    if (from.cell == Cell::Gru && from.batch % 2 == 1) args.hidden_bias = hidden_bias.data();
    if (from.peephole) args.peephole = peephole.data();
    if (projects) args.projection = projection.data();
    if (from.states) args.h0 = h0.data();
    if (from.states && lstm) args.c0 = c0.data();
    if (packed) args.start = as_counts(start), args.active = as_counts(active);
    args.y = y.data(), args.h_n = h_n.data();
    if (lstm) args.c_n = c_n.data();
    if (from.inference || from.cell < Cell::Lstm) return args;
    args.gates = gates.data(), args.cells = cells.data();
    if (projects) args.squashed = squashed.data();
    return args;
  }
  RecurrentBackwardArgs backward(const Case& from) {
    const RecurrentForwardArgs f = forward(from);
    RecurrentBackwardArgs args{.shape = shape, .gates = f.gates, .cells = f.cells, .y = f.y, .weight = f.weight, .peephole = f.peephole};
    args.projection = f.projection, args.h0 = f.h0, args.c0 = f.c0, args.start = f.start, args.active = f.active;
    const bool lstm = from.cell == Cell::Lstm;
    if (from.batch != 13) args.dy = dy.data();
    if (from.states) args.dh_n = dh_n.data();
    if (from.states && lstm) args.dc_n = dc_n.data();
    args.dgates = dgates.data(), args.dh0 = dh0.data();
    if (lstm) args.dc0 = dc0.data();
    if (from.cell == Cell::Gru) args.dnew = dnew.data();
    if (f.projection != nullptr) args.dprojected = dprojected.data();
    return args;
  }

 private:
  static const int64_t* as_counts(const Array& x) { return reinterpret_cast<const int64_t*>(x.data()); }
};

// What a table asks for.
template <class Args>
std::function<void(const CpuTable&, Args&)> lender(KernelId<Args> id, std::vector<std::byte>& memory) {
  return [id, &memory](const CpuTable& table, Args& args) {
    args.workspace_bytes = workspace_bytes(id, args, table);
    memory.assign(static_cast<size_t>(args.workspace_bytes) + 64, std::byte{0x7f});
    args.workspace = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
  };
}

// Values of order 1 of sums of P products; a step passes its errors on to the next.
Tolerance tolerance_of(const Layer& layer) {
  const double one = ulp(layer.shape.dtype, 1.0);
  return {0, one * static_cast<double>(8 + layer.shape.hidden) * static_cast<double>(1 + layer.shape.steps)};
}

template <class Args>
void check_outputs(KernelId<Args> id, const Args& args, Tolerance tolerance, std::vector<std::pair<void * Args::*, Array*>> outputs) {
  std::vector<std::byte> memory;
  for (const auto& [field, array] : outputs) {
    if (args.*field == nullptr) continue;
    check_kernel(id, args, field, *array, tolerance, lender(id, memory));
  }
}

}  // namespace

void cases_recurrent_forward() {
  for (const DType dtype : {DType::Float32, DType::Float64})
    for (const Case& c : all_cases()) {
      CAPTURE(static_cast<int>(c.cell));
      CAPTURE(static_cast<int>(c.layout));
      CAPTURE(c.batch);
      CAPTURE(c.hidden);
      CAPTURE(c.output);
      Layer layer(c, dtype);
      using Args = RecurrentForwardArgs;
      check_outputs<Args>(kernel::recurrent_forward, layer.forward(c), tolerance_of(layer),
                          {{&Args::y, &layer.y},
                           {&Args::h_n, &layer.h_n},
                           {&Args::c_n, &layer.c_n},
                           {&Args::gates, &layer.gates},
                           {&Args::cells, &layer.cells},
                           {&Args::squashed, &layer.squashed}});
    }
}

void cases_recurrent_backward() {
  for (const DType dtype : {DType::Float32, DType::Float64})
    for (const Case& c : all_cases()) {
      if (c.inference && c.cell >= Cell::Lstm) continue;
      CAPTURE(static_cast<int>(c.cell));
      CAPTURE(static_cast<int>(c.layout));
      CAPTURE(c.batch);
      CAPTURE(c.hidden);
      CAPTURE(c.output);
      Layer layer(c, dtype);
      run(dnncore_table_reference, kernel::recurrent_forward, layer.forward(c), Cut::Whole);
      using Args = RecurrentBackwardArgs;
      check_outputs<Args>(kernel::recurrent_backward, layer.backward(c), tolerance_of(layer),
                          {{&Args::dgates, &layer.dgates},
                           {&Args::dnew, &layer.dnew},
                           {&Args::dprojected, &layer.dprojected},
                           {&Args::dh0, &layer.dh0},
                           {&Args::dc0, &layer.dc0}});
    }
}

}  // namespace dnncore::test
