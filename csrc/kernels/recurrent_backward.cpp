// Backward through time. Each step is a product dh = dgates W_hh with W_hh packed once into panels of columns, then the derivatives of the
// cell. dgates is written twice: as the result, and into rows that do not crowd one set of the cache, which the next product reads.
// Either stripes of the batch walk through all steps by themselves, or the panels are the tasks of one phase per step. See recurrent.h.
#include "kernels/recurrent.h"

#include "core/parallel.h"
#include "kernels/gemm_pack.h"
#include "kernels/gemm_plan.h"
#include "kernels/math.h"
#include "kernels/recurrent_tile.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kPanelBytes = 192 << 10;  // of the block of a panel that all rows pass by
constexpr int64_t kLeastRows = 8;           // of a stripe, where there are several
constexpr int64_t kMostStripes = 16;
constexpr int64_t kLeastProducts = 512 << 10;  // of a step that is worth a phase

// A matrix of k x n in panels of whole vectors, each [k][width]; every sum over k is made in blocks of `depth`.
struct Packed {
  int64_t n, k, lanes, vectors, panels, depth;

  Packed(int64_t k_, int64_t n_, int64_t lanes_) : n(n_), k(k_), lanes(lanes_), vectors(ceil_div(n_, lanes_)) {
    panels = ceil_div(vectors, kMaxWidth);
    if (panels > 1 && panels % 2 == 1) ++panels;  // an odd number leaves one of two threads waiting
    const int64_t most = kPanelBytes / (kMaxWidth * kVecBytes);
    depth = round_up(ceil_div(k, ceil_div(k, most)), 8);
  }
  int64_t padded() const { return vectors * lanes; }
  int64_t elements() const { return k * padded(); }
  Range panel(int64_t i) const { return part_of(vectors, 1, panels, i); }  // in vectors
};

// Sequences first, first + stride, ...
struct Stripe {
  int64_t first, stride;

  int64_t count(int64_t sequences) const { return sequences <= first ? 0 : ceil_div(sequences - first, stride); }
  int64_t at(int64_t i) const { return first + i * stride; }
};

struct BackwardPlan {
  Packed recurrent, projection;
  bool by_panels;
  int64_t stripes;
  int64_t dgates_row, dy_row, dh_row, cell_row;                              // between rows in the workspace
  int64_t projection_at, dgates_at, dh_at, carried_at, dy_at, dout_at, end;  // in elements

  explicit BackwardPlan(const RecurrentBackwardArgs& args)
      : recurrent(args.shape.gates(), args.shape.output, lanes_of(args.shape.dtype)),
        projection(args.shape.output, args.shape.hidden, lanes_of(args.shape.dtype)) {
    const RecurrentShape& s = args.shape;
    const bool projects = args.projection != nullptr;
    choose(s, projects, args.active != nullptr);
    const int64_t lanes = recurrent.lanes;
    dgates_row = round_up(s.gates(), lanes) + lanes;
    dy_row = round_up(s.output, lanes) + lanes;
    dh_row = recurrent.padded() + lanes;
    cell_row = projection.padded() + lanes;
    projection_at = recurrent.elements();
    dgates_at = projection_at + (projects ? projection.elements() : 0);
    dh_at = dgates_at + s.batch * dgates_row * (by_panels ? 2 : 1);
    carried_at = dh_at + s.batch * dh_row;
    dy_at = carried_at + (s.cell >= Cell::Lstm ? s.batch * cell_row : 0);
    dout_at = dy_at + (projects ? s.batch * dy_row : 0);
    end = dout_at + (projects ? s.batch * cell_row : 0);
  }
  // Stripes need no phases but read all of W_hh each: of 8 rows where it stays in a core's cache, else rather of 16, and where fewer run in
  // the end (256 units, 32 sequences of 1 to 100 steps: 82 -> 87 GF/s). Two cores, 128 units, batch 32: 195 against 136 GF/s by panels; 650
  // units, batch 20: 200 against 183; 512 units, batch 4: 37 against 74.
  void choose(const RecurrentShape& s, bool projects, bool packed) {
    const int64_t bytes = recurrent.elements() * s.size(), rows = bytes <= (1 << 20) && !packed ? kLeastRows : 2 * kLeastRows;
    const int64_t fewest = std::clamp<int64_t>(s.batch / kLeastRows, 1, 2);
    stripes = std::clamp<int64_t>(s.batch / rows, fewest, kMostStripes);
    const bool few = s.batch < 2 * kLeastRows || (bytes > (8 << 20) && s.batch < 4 * kLeastRows);
    by_panels = few && !projects && s.batch > 1 && s.batch * recurrent.elements() >= kLeastProducts && recurrent.panels > 1;
  }
  static int64_t lanes_of(DType dtype) { return kVecBytes / static_cast<int64_t>(itemsize(dtype)); }
};

template <class T>
const TileTable<T>& tiles_of() {
  if constexpr (sizeof(T) == 8)
    return kDoubleTiles;
  else
    return kFloatTiles;
}

// c = a times some panels, for `rows` rows.
template <class T>
void multiply(T* c, int64_t c_row, const T* a, int64_t a_row, const Packed& matrix, const T* packed, int64_t rows, Range panels) {
  const auto& tiles = tiles_of<T>().kernels[0][0];
  Tile<T> tile{};
  tile.a_stride = a_row * static_cast<int64_t>(sizeof(T));
  tile.ld = c_row;
  for (int64_t first = 0; first < matrix.k; first += matrix.depth) {
    tile.k = std::min(matrix.depth, matrix.k - first);
    tile.add = first > 0;
    for (int64_t p = panels.begin; p < panels.end; ++p) {
      const Range vectors = matrix.panel(p);
      const int64_t column = vectors.begin * matrix.lanes, strips = ceil_div(rows, max_rows(static_cast<int>(vectors.size())));
      tile.cols = vectors.size() * matrix.lanes;
      tile.b = packed + column * matrix.k + first * tile.cols;
      tile.b_stride = tile.cols * static_cast<int64_t>(sizeof(T));
      for (int64_t i = 0; i < strips; ++i) {
        const Range strip = part_of(rows, 1, strips, i);
        tile.a = a + strip.begin * a_row + first;
        tile.sums = c + strip.begin * c_row + column;
        tiles[vectors.size() - 1][strip.size() - 1](tile);
      }
    }
  }
}

// --- The cells ---

// What the derivatives of one row read and write.
template <class T>
struct Row {
  const T* dout;     // the gradient by the output, without dy; may be null
  const T* dy;       // may be null
  const T* carried;  // dc, or GRU's share of dh that passes by the product; may be null
  const T* gates;
  const T* cells;
  const T* y;
  const T* before;  // of c, or GRU's h; may be null
  const T* peephole;
  T* carries;
  T* dgates;
  T* dnew;
  T* copy;  // of dgates as the product reads it
};

template <class T, bool kRagged>
DNN_INLINE Vec<T> load_or_zero(const Lanes<T, kRagged>& lanes, const T* p, int64_t j) {
  return p == nullptr ? Vec<T>::zero() : lanes.load(p + j);
}
template <class T>
DNN_INLINE Vec<T> sigmoid_slope(Vec<T> s) {
  return s * (Vec<T>::set(1) - s);
}
template <class T>
DNN_INLINE Vec<T> tanh_slope(Vec<T> t) {
  return fma(-t, t, Vec<T>::set(1));
}

template <Cell kCell, class T, bool kRagged>
DNN_INLINE void differentiate(const Row<T>& row, int64_t j, int64_t hidden, const Lanes<T, kRagged>& lanes) {
  using V = Vec<T>;
  V dout = load_or_zero(lanes, row.dout, j) + load_or_zero(lanes, row.dy, j);
  const auto gate = [&](int64_t part) __attribute__((always_inline)) { return lanes.load(row.gates + part * hidden + j); };
  const auto put = [&](int64_t part, V d) __attribute__((always_inline)) {
    lanes.store(row.dgates + part * hidden + j, d);
    lanes.store(row.copy + part * hidden + j, d);
  };
  if constexpr (kCell == Cell::Lstm) {
    const V i = gate(0), f = gate(1), g = gate(2), o = gate(3), squashed = tanh(lanes.load(row.cells + j));
    const V d_o = dout * squashed * sigmoid_slope(o);
    V dc = fma(dout * o, tanh_slope(squashed), load_or_zero(lanes, row.carried, j));
    if (row.peephole != nullptr) dc = fma(d_o, lanes.load(row.peephole + 2 * hidden + j), dc);
    const V d_i = dc * g * sigmoid_slope(i), d_f = dc * load_or_zero(lanes, row.before, j) * sigmoid_slope(f);
    put(0, d_i);
    put(1, d_f);
    put(2, dc * i * tanh_slope(g));
    put(3, d_o);
    dc = dc * f;
    if (row.peephole != nullptr) dc = fma(d_i, lanes.load(row.peephole + j), fma(d_f, lanes.load(row.peephole + hidden + j), dc));
    lanes.store(row.carries + j, dc);
  } else if constexpr (kCell == Cell::Gru) {
    const V r = gate(0), z = gate(1), n = gate(2);
    dout = dout + load_or_zero(lanes, row.carried, j);
    const V d_n = dout * (V::set(1) - z) * tanh_slope(n), d_new = d_n * r;
    put(0, d_n * lanes.load(row.cells + j) * sigmoid_slope(r));
    put(1, dout * (load_or_zero(lanes, row.before, j) - n) * sigmoid_slope(z));
    lanes.store(row.dgates + 2 * hidden + j, d_n);
    lanes.store(row.dnew + j, d_new);
    lanes.store(row.copy + 2 * hidden + j, d_new);
    lanes.store(row.carries + j, dout * z);
  } else {
    const V y = lanes.load(row.y + j);
    put(0, kCell == Cell::RnnTanh ? dout * tanh_slope(y) : select(y <= V::zero(), V::zero(), dout));
  }
}

template <Cell kCell, class T>
void differentiate_row(const Row<T>& row, Range units, int64_t hidden) {
  int64_t j = units.begin;
  for (; j + Vec<T>::N <= units.end; j += Vec<T>::N) differentiate<kCell>(row, j, hidden, Lanes<T, false>{});
  if (j < units.end) differentiate<kCell>(row, j, hidden, Lanes<T, true>{units.end - j});
}

// --- The steps ---

template <class T>
class Walk {
 public:
  Walk(const RecurrentBackwardArgs& args, const BackwardPlan& plan)
      : args_(args), shape_(args.shape), plan_(plan), space_(static_cast<T*>(args.workspace)) {}

  void pack(int64_t task) const {
    if (task < plan_.recurrent.panels)
      pack_panel(space_, args_.weight, plan_.recurrent, task);
    else
      pack_panel(space_ + plan_.projection_at, args_.projection, plan_.projection, task - plan_.recurrent.panels);
  }

  // The i-th step from the end, for the columns of some panels; i == steps: what has come through goes into the initial states.
  void step(int64_t i, Stripe stripe, Range panels) const {
    const int64_t steps = shape_.steps, t = i < steps ? time_of(i) : 0;
    const int64_t done = i > 0 ? stripe.count(shape_.running(args_.active, time_of(i - 1))) : 0;
    const int64_t now = i < steps ? stripe.count(shape_.running(args_.active, t)) : 0;
    const int64_t lanes = plan_.recurrent.lanes;
    const Range columns{plan_.recurrent.panel(panels.begin).begin * lanes,
                        std::min(shape_.output, plan_.recurrent.panel(panels.end - 1).end * lanes)};
    const Range units = args_.projection != nullptr ? Range{0, shape_.hidden} : columns;
    if (done > 0)
      multiply(dh(stripe.first), stripe.stride * plan_.dh_row, dgates(i - 1, stripe.first), stripe.stride * plan_.dgates_row,
               plan_.recurrent, space_, done, panels);
    for (int64_t r = now; r < done; ++r) finish(stripe.at(r), true, columns, units);
    if (i == steps)
      for (int64_t r = ever(stripe); r < stripe.count(shape_.batch); ++r) finish(stripe.at(r), false, columns, units);
    if (args_.projection != nullptr && now > 0) project(t, stripe, done, now);
    for (int64_t r = 0; r < now; ++r) differentiate_at(i, t, stripe.at(r), r < done, units);
  }

 private:
  int64_t time_of(int64_t i) const { return shape_.step_at(shape_.steps - 1 - i); }
  int64_t ever(Stripe stripe) const { return shape_.steps > 0 ? stripe.count(shape_.running(args_.active, 0)) : 0; }
  T* dgates(int64_t i, int64_t b) const {
    return space_ + plan_.dgates_at + ((plan_.by_panels ? i & 1 : 0) * shape_.batch + b) * plan_.dgates_row;
  }
  T* dh(int64_t b) const { return space_ + plan_.dh_at + b * plan_.dh_row; }
  T* carried(int64_t b) const { return space_ + plan_.carried_at + b * plan_.cell_row; }
  T* whole_dy(int64_t b) const { return space_ + plan_.dy_at + b * plan_.dy_row; }
  T* dout(int64_t b) const { return space_ + plan_.dout_at + b * plan_.cell_row; }

  static const T* row_of(const void* rows, int64_t row, int64_t distance) {
    return rows == nullptr ? nullptr : static_cast<const T*>(rows) + row * distance;
  }
  static T* row_of(void* rows, int64_t row, int64_t distance) { return rows == nullptr ? nullptr : static_cast<T*>(rows) + row * distance; }

  void pack_panel(T* out, const void* matrix, const Packed& packed, int64_t panel) const {
    const Range vectors = packed.panel(panel);
    const int64_t column = vectors.begin * packed.lanes;
    pack_block<T, T, Multiply>(out + column * packed.k, vectors.size() * packed.lanes, static_cast<const T*>(matrix) + column, packed.n, 1,
                               packed.k, std::min(packed.n, vectors.end * packed.lanes) - column);
  }

  // The gradients by the state of sequence b before its first step: `ran` or as they came.
  const T* dh_of(int64_t b, bool ran) const { return ran ? dh(b) : row_of(args_.dh_n, b, shape_.output); }
  const T* carried_of(int64_t b, bool ran) const { return ran ? carried(b) : row_of(args_.dc_n, b, shape_.hidden); }

  void finish(int64_t b, bool ran, Range columns, Range units) const {
    const T *dh = dh_of(b, ran), *carried = carried_of(b, ran);
    T *dh0 = row_of(args_.dh0, b, shape_.output), *dc0 = row_of(args_.dc0, b, shape_.hidden);
    for (int64_t j = columns.begin; j < columns.end; ++j) dh0[j] = dh == nullptr ? 0 : dh[j];
    if (shape_.cell == Cell::Gru && ran)
      for (int64_t j = columns.begin; j < columns.end; ++j) dh0[j] += carried[j];
    if (shape_.cell == Cell::Lstm)
      for (int64_t j = units.begin; j < units.end; ++j) dc0[j] = carried == nullptr ? 0 : carried[j];
  }

  // dprojected, and its product with the projection.
  void project(int64_t t, Stripe stripe, int64_t done, int64_t now) const {
    for (int64_t r = 0; r < now; ++r) {
      const int64_t b = stripe.at(r), row = row_at(t, b);
      const T *dh = dh_of(b, r < done), *dy = row_of(args_.dy, row, shape_.y_row);
      T *result = row_of(args_.dprojected, row, shape_.output), *copy = whole_dy(b);
      for (int64_t j = 0; j < shape_.output; ++j) copy[j] = (dh == nullptr ? 0 : dh[j]) + (dy == nullptr ? 0 : dy[j]);
      std::copy_n(copy, shape_.output, result);
    }
    multiply(dout(stripe.first), stripe.stride * plan_.cell_row, whole_dy(stripe.first), stripe.stride * plan_.dy_row, plan_.projection,
             space_ + plan_.projection_at, now, {0, plan_.projection.panels});
  }

  int64_t row_at(int64_t t, int64_t b) const { return shape_.first_row(args_.start, t) + b * shape_.batch_step; }

  // Row b of the state that step t began with.
  const T* before(int64_t t, int64_t b) const {
    const bool lstm = shape_.cell == Cell::Lstm;
    const int64_t earlier = shape_.reverse ? t + 1 : t - 1;
    if (earlier < 0 || earlier >= shape_.steps || b >= shape_.running(args_.active, earlier))
      return row_of(lstm ? args_.c0 : args_.h0, b, shape_.hidden);
    return row_of(lstm ? args_.cells : args_.y, row_at(earlier, b), lstm ? shape_.hidden : shape_.y_row);
  }

  void differentiate_at(int64_t i, int64_t t, int64_t b, bool ran, Range units) const {
    const bool projects = args_.projection != nullptr;
    const int64_t row = row_at(t, b);
    Row<T> r{};
    r.dout = projects ? dout(b) : dh_of(b, ran);
    r.dy = projects ? nullptr : row_of(args_.dy, row, shape_.y_row);
    r.carried = carried_of(b, ran);
    r.gates = row_of(args_.gates, row, shape_.gate_row);
    r.cells = row_of(args_.cells, row, shape_.hidden);
    r.y = row_of(args_.y, row, shape_.y_row);
    r.before = shape_.cell >= Cell::Lstm ? before(t, b) : nullptr;
    r.peephole = static_cast<const T*>(args_.peephole);
    r.carries = carried(b);
    r.dgates = row_of(args_.dgates, row, shape_.gate_row);
    r.dnew = row_of(args_.dnew, row, shape_.hidden);
    r.copy = dgates(i, b);
    switch (shape_.cell) {
      case Cell::RnnTanh:
        return differentiate_row<Cell::RnnTanh>(r, units, shape_.hidden);
      case Cell::RnnRelu:
        return differentiate_row<Cell::RnnRelu>(r, units, shape_.hidden);
      case Cell::Lstm:
        return differentiate_row<Cell::Lstm>(r, units, shape_.hidden);
      case Cell::Gru:
        return differentiate_row<Cell::Gru>(r, units, shape_.hidden);
    }
  }

  const RecurrentBackwardArgs& args_;
  const RecurrentShape& shape_;
  const BackwardPlan& plan_;
  T* const space_;
};

template <class T>
void run(const RecurrentBackwardArgs& args, const BackwardPlan& plan, const Tasks& tasks) {
  const Walk<T> walk(args, plan);
  const int64_t steps = args.shape.steps;
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    if (tasks.phase == 0) {
      walk.pack(task);
    } else if (plan.by_panels) {
      walk.step(tasks.phase - 1, {0, 1}, {task, task + 1});
    } else {
      for (int64_t i = 0; i <= steps; ++i) walk.step(i, {task, plan.stripes}, {0, plan.recurrent.panels});
    }
  }
}

bool is_empty(const RecurrentShape& shape) { return shape.batch == 0 || shape.hidden == 0 || shape.output == 0; }

}  // namespace

Schedule recurrent_backward_schedule(const RecurrentBackwardArgs& args) {
  if (is_empty(args.shape)) return {};
  const BackwardPlan plan(args);
  const bool wide = kVecBytes >= 32, is_double = args.shape.dtype == DType::Float64;
  Schedule schedule;
  schedule.phases = plan.by_panels ? args.shape.steps + 2 : 2;
  schedule.tasks[0] = plan.recurrent.panels + (args.projection != nullptr ? plan.projection.panels : 0);
  schedule.tasks[1] = schedule.tasks[2] = plan.by_panels ? plan.recurrent.panels : plan.stripes;
  schedule.nanoseconds = 300 + args.flops() / (wide ? 90 : 20) * (is_double ? 2 : 1);
  return schedule;
}

int64_t recurrent_backward_workspace(const RecurrentBackwardArgs& args) {
  return is_empty(args.shape) ? 0 : BackwardPlan(args).end * args.shape.size();
}

void recurrent_backward(const RecurrentBackwardArgs& args, const Tasks& tasks) {
  if (is_empty(args.shape)) return;
  const BackwardPlan plan(args);
  args.shape.dtype == DType::Float64 ? run<double>(args, plan, tasks) : run<float>(args, plan, tasks);
}

}  // namespace dnncore::DNNCORE_ISA
