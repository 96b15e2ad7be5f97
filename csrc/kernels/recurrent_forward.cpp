// Weights are packed once; then the steps, one tile of rows and units after the other: its sums over k in registers, by way of L1 the
// cells. Either tasks are ranges of sequences, each of which walks through all steps by itself, or ranges of units, one phase per step.
#include "core/parallel.h"
#include "kernels/math.h"
#include "kernels/recurrent.h"
#include "kernels/recurrent_tile.h"

namespace dnncore::DNNCORE_ISA {
namespace {

// --- Plan ---

// Weights that every task of sequences reads at every step: half of L2 or so. Beyond it ranges of units, of which each core keeps its own
// in L2. At H = 128 and 200 two threads are 3 % faster by sequences, at H = 256 (1 MB) one thread is 6 % slower.
constexpr int64_t kMostSharedBytes = int64_t{3} << 18;
constexpr int64_t kLeastSequences = 6;      // of a task, where there are more
constexpr double kLeastNanoseconds = 2500;  // of a step that is worth more than one task

// With so few sequences the stream of weights is the limit, and odd steps go through the units from the last, whose weights L2 still
// holds: 8 % for 1 MB of weights on one core, 1 or 2 % for 4 MB. With more sequences going backward lost 1 to 4 %.
constexpr int64_t kMostStreamed = 2;
// Rows of `pre` that are fetched ahead: 2 to 6 % of 5 to 40 MB, nothing of 3 MB, -2 % of 1 MB, which L2 and L3 give fast enough.
constexpr int64_t kLeastFetched = int64_t{4} << 20;

struct Plan {
  bool by_units;
  int64_t tasks;  // ranges of sequences or of blocks of units
};

template <class T>
PanelPlan<T> gate_panels(const RecurrentShape& s) {
  return {gates_of(s.cell), s.hidden, s.output};
}
template <class T>
PanelPlan<T> projection_panels(const RecurrentShape& s) {
  return {1, s.output, s.hidden};
}

// Products at 60 GF/s of float32, weights read at 40 GB/s, a quarter of a nanosecond for each gate.
double step_nanoseconds(const RecurrentShape& s) {
  const double size = static_cast<double>(s.size()), weights = static_cast<double>(s.gates() * s.output);
  const auto batch = static_cast<double>(s.batch);
  return size * (batch * weights / 120 + weights / 40 + batch * static_cast<double>(s.gates()) / 16);
}

template <class T>
Plan plan_of(const RecurrentForwardArgs& args) {
  const RecurrentShape& s = args.shape;
  const PanelPlan<T> panels = gate_panels<T>(s);
  const bool small = panels.elements() * s.size() <= kMostSharedBytes && s.batch >= 2 * kLeastSequences;
  if (args.projection == nullptr && !small) return {true, step_nanoseconds(s) < kLeastNanoseconds ? 1 : panels.blocks()};
  int64_t tasks = 1;
  while (tasks < 64 && s.batch >= 2 * tasks * kLeastSequences) tasks *= 2;
  return {false, tasks};
}

// The first of `tasks` equal ranges of `count`; that of `tasks` is the end.
int64_t share(int64_t count, int64_t tasks, int64_t task) { return count * task / tasks; }

bool needs_product(const RecurrentForwardArgs& args) { return args.shape.steps > 1 || args.h0 != nullptr; }

// One step alone packs a block just before it reads it: in scratch memory, which stays in L2.
template <class T>
bool packs_in_passing(const RecurrentForwardArgs& args) {
  const int64_t block_bytes = gate_panels<T>(args.shape).block_elements() * args.shape.size();
  return plan_of<T>(args).by_units && args.shape.steps == 1 && block_bytes <= static_cast<int64_t>(kScratchBytes);
}

// --- Cells ---

// One step as its rows see it. Steps from one sequence to the next in elements.
template <class T>
struct Step {
  const T *pre, *hidden_bias, *peephole;
  const T* before;  // h_{t-1}; null: zero
  T *out, *h_n, *c, *gates, *cells;
  int64_t gate_step, before_step, out_step, cell_step;
  int64_t hidden, output;
  int64_t ends_from;  // the first sequence whose last step this is
};

// The sums of one gate: one after the other as they are packed.
template <class T, bool kRagged>
DNN_INLINE Vec<T> sum_of(const Lanes<T, kRagged>& lanes, const T* sums, int64_t gate) {
  return lanes.load(sums + gate * (kRagged ? lanes.count : Vec<T>::N));
}

// h of one vector of units of sequence b.
template <class T>
DNN_INLINE Vec<T> gate(Vec<T> x) {
  return sigmoid(x);
}
#if defined(__AVX512F__)
// 1 / (1 + 2^k 2^(j/16) 2^f) with -x log2(e) = k + j/16 + f: within 9e-8, and exact beyond 104. A fifth less time than sigmoid(), whose
// small values are more exact: 2 % of a layer of 128 units. Two rows interleaved by hand took 3 % less, estimated reciprocals as long.
DNN_INLINE Vec<float> gate(Vec<float> x) {
  using V = Vec<float>;
  constexpr float kLog2e = 1.44269504f, kSixteenths = kRounder<float> / 16;
  const V a = min(V::set(104.0f), max(V::set(-104.0f), x));  // NaN passes
  const V rounded = fma(a, V::set(-kLog2e), V::set(kSixteenths));
  const V n = rounded - V::set(kSixteenths);
  const V f = fma(a, V::set(-kLog2e), -n);
  const V power = pick(detail::kExpPowers, bits(rounded));
  const V tail = fma(fma(V::set(5.55041087e-2f), f, V::set(2.40226507e-1f)), f, V::set(6.93147182e-1f)) * f;
  const V e = {(V::Raw)_mm512_scalef_ps((__m512)fma(power, tail, power).v, (__m512)n.v)};
  return V::set(1) / (V::set(1) + e);
}
#endif

template <class T, bool kRagged>
DNN_INLINE Vec<T> lstm_unit(const Step<T>& s, const Lanes<T, kRagged>& lanes, int64_t b, int64_t unit, const T* sums) {
  using V = Vec<T>;
  const int64_t H = s.hidden;
  const T* const pre = s.pre + b * s.gate_step + unit;
  T* const state = s.c + b * H + unit;
  const V before = lanes.load(state);
  V x[4];
  DNN_UNROLL
  for (int g = 0; g < 4; ++g) x[g] = lanes.load(pre + g * H) + sum_of(lanes, sums, g);
  if (s.peephole != nullptr) {
    x[0] = fma(lanes.load(s.peephole + unit), before, x[0]);
    x[1] = fma(lanes.load(s.peephole + H + unit), before, x[1]);
  }
  const V i = gate(x[0]), f = gate(x[1]), g = tanh(x[2]);
  const V c = fma(f, before, i * g);
  if (s.peephole != nullptr) x[3] = fma(lanes.load(s.peephole + 2 * H + unit), c, x[3]);
  const V o = gate(x[3]);
  lanes.store(state, c);
  if (s.gates != nullptr) {
    T* const gates = s.gates + b * s.gate_step + unit;
    lanes.store(gates, i), lanes.store(gates + H, f), lanes.store(gates + 2 * H, g), lanes.store(gates + 3 * H, o);
    lanes.store(s.cells + b * s.cell_step + unit, c);
  }
  return o * tanh(c);
}

template <class T, bool kRagged>
DNN_INLINE Vec<T> gru_unit(const Step<T>& s, const Lanes<T, kRagged>& lanes, int64_t b, int64_t unit, const T* sums) {
  using V = Vec<T>;
  const int64_t H = s.hidden;
  const T* const pre = s.pre + b * s.gate_step + unit;
  const V r = gate(lanes.load(pre) + sum_of(lanes, sums, 0)), z = gate(lanes.load(pre + H) + sum_of(lanes, sums, 1));
  V part = sum_of(lanes, sums, 2);
  if (s.hidden_bias != nullptr) part = part + lanes.load(s.hidden_bias + unit);
  const V n = tanh(fma(r, part, lanes.load(pre + 2 * H)));
  if (s.gates != nullptr) {
    T* const gates = s.gates + b * s.gate_step + unit;
    lanes.store(gates, r), lanes.store(gates + H, z), lanes.store(gates + 2 * H, n);
    lanes.store(s.cells + b * s.cell_step + unit, part);
  }
  const V before = s.before == nullptr ? V::zero() : lanes.load(s.before + b * s.before_step + unit);
  return fma(z, before - n, n);
}

template <class T, Cell kCell, bool kRagged>
DNN_INLINE Vec<T> unit_of(const Step<T>& s, const Lanes<T, kRagged>& lanes, int64_t b, int64_t unit, const T* sums) {
  if constexpr (kCell == Cell::Lstm) return lstm_unit(s, lanes, b, unit, sums);
  if constexpr (kCell == Cell::Gru) return gru_unit(s, lanes, b, unit, sums);
  const Vec<T> x = lanes.load(s.pre + b * s.gate_step + unit) + sum_of(lanes, sums, 0);
  return kCell == Cell::RnnTanh ? tanh(x) : max(Vec<T>::zero(), x);
}

// One vector of units of `rows` sequences from b on; `sums` of the first, `ld` between them.
template <class T, Cell kCell, bool kRagged>
void finish_vector(const Step<T>& s, int64_t b, int64_t rows, int64_t unit, const T* sums, int64_t ld) {
  const Lanes<T, kRagged> lanes{s.hidden - unit};
  for (int64_t end = b + rows; b < end; ++b, sums += ld) {
    const Vec<T> h = unit_of<T, kCell, kRagged>(s, lanes, b, unit, sums);
    lanes.store(s.out + b * s.out_step + unit, h);
    if (b >= s.ends_from) lanes.store(s.h_n + b * s.output + unit, h);
  }
}

template <class T, Cell kCell>
void finish_tile(const Step<T>& s, int64_t b, int64_t rows, int64_t unit, int64_t vectors, const T* sums, int64_t ld) {
  constexpr int64_t N = Vec<T>::N;
  for (int64_t v = 0; v < vectors; ++v, unit += N, sums += gates_of(kCell) * N)
    unit + N <= s.hidden ? finish_vector<T, kCell, false>(s, b, rows, unit, sums, ld)
                         : finish_vector<T, kCell, true>(s, b, rows, unit, sums, ld);
}

// --- Steps ---

template <class T, Cell kCell>
struct Walk {
  const RecurrentForwardArgs& args;
  PanelPlan<T> panels, projection;
  T *packed, *packed_projection, *squashed;
  int64_t packed_step;  // from one block to the next
  bool fetches;

  Walk(const RecurrentForwardArgs& a, std::byte* scratch)
      : args(a), panels(gate_panels<T>(a.shape)), projection(projection_panels<T>(a.shape)) {
    fetches = a.shape.row_bytes(a.shape.gate_row, a.shape.gates()) >= kLeastFetched;
    const bool passing = packs_in_passing<T>(a);
    packed = reinterpret_cast<T*>(passing ? scratch : static_cast<std::byte*>(a.workspace));
    packed_step = passing ? 0 : panels.block_elements();
    packed_projection = packed + panels.elements();
    squashed = packed_projection + projection.elements();
  }

  void pack(int64_t block) const {
    if (needs_product(args)) pack_panels(panels, static_cast<const T*>(args.weight), block, packed + block * packed_step);
  }
  void pack_projection(int64_t block) const {
    pack_panels(projection, static_cast<const T*>(args.projection), block, packed_projection + block * projection.block_elements());
  }

  // The final states of sequences without steps; c_n holds the state on the way.
  void initialize(int64_t begin, int64_t end, int64_t unit, int64_t unit_end) const {
    const auto copy = [&](void* to, const void* from, int64_t entries, int64_t last) {
      for (int64_t b = begin; to != nullptr && b < end; ++b) {
        T* const row = static_cast<T*>(to) + b * entries;
        if (from == nullptr)
          std::fill(row + unit, row + last, T(0));
        else
          std::copy(static_cast<const T*>(from) + b * entries + unit, static_cast<const T*>(from) + b * entries + last, row + unit);
      }
    };
    const RecurrentShape& s = args.shape;
    copy(args.h_n, args.h0, s.output, args.projection == nullptr ? unit_end : s.output);
    if (kCell == Cell::Lstm) copy(args.c_n, args.c0, s.hidden, unit_end);
  }

  // Sequences [begin, end), as many as run, and blocks [block, block_end) of step i.
  void step(int64_t i, int64_t begin, int64_t end, int64_t block, int64_t block_end) const {
    const RecurrentShape& s = args.shape;
    const int64_t t = s.step_at(i), before = i == 0 ? 0 : s.step_at(i - 1), H = s.hidden;
    const int64_t row = s.first_row(args.start, t), running = s.running(args.active, t);
    end = std::min(end, running);
    Step<T> step{};
    step.pre = static_cast<const T*>(args.pre) + row * s.gate_row;
    step.hidden_bias = static_cast<const T*>(args.hidden_bias), step.peephole = static_cast<const T*>(args.peephole);
    step.h_n = static_cast<T*>(args.h_n), step.c = static_cast<T*>(args.c_n);
    step.gates = args.gates == nullptr ? nullptr : static_cast<T*>(args.gates) + row * s.gate_row;
    step.cells = args.cells == nullptr ? nullptr : static_cast<T*>(args.cells) + row * H;
    step.gate_step = s.batch_step * s.gate_row, step.cell_step = s.batch_step * H;
    step.hidden = H, step.output = s.output;
    const int64_t ends_from = i + 1 == s.steps ? 0 : s.running(args.active, s.step_at(i + 1));
    step.ends_from = args.projection == nullptr ? ends_from : end;
    T* const y = static_cast<T*>(args.y) + row * s.y_row;
    step.out = y, step.out_step = s.batch_step * s.y_row;
    if (args.projection != nullptr) {
      step.out = args.squashed == nullptr ? squashed : static_cast<T*>(args.squashed) + row * H;
      step.out_step = args.squashed == nullptr ? H : step.cell_step;
    }
    const int64_t walked = i == 0 ? begin : std::clamp(s.running(args.active, before), begin, std::max(begin, end));
    if (walked > begin) {
      step.before = static_cast<const T*>(args.y) + s.first_row(args.start, before) * s.y_row;
      step.before_step = s.batch_step * s.y_row;
      cells(step, begin, walked, block, block_end);
    }
    step.before = static_cast<const T*>(args.h0), step.before_step = s.output;
    if (end > walked) cells(step, walked, end, block, block_end);
    if (args.projection != nullptr) project(step, begin, end, ends_from, y);
  }

 private:
  // To L2, while the product goes on: rows lie too far apart for the hardware to see the next ones coming.
  static void fetch_gates(const Step<T>& step, int64_t b, int64_t rows, int64_t unit, int64_t units) {
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int64_t i = b; i < b + rows; ++i)
      for (int64_t gate = 0; gate < gates_of(kCell); ++gate)
        for (int64_t j = unit; j < unit + units; j += kLine)
          __builtin_prefetch(step.pre + i * step.gate_step + gate * step.hidden + j, 0, 2);
  }

  void cells(Step<T>& step, int64_t begin, int64_t end, int64_t block, int64_t block_end) const {
    constexpr int64_t N = Vec<T>::N;
    alignas(64) T sums[kMaxTileRows * kMaxPanel * 3 * N];
    const int64_t ld = panels.columns() * N;
    for (; block < block_end; ++block) {
      const int64_t unit = block * panels.units * N, vectors = panels.units_of(block);
      for_row_tiles(begin, end, panels.tile_height(), [&](int64_t b, int64_t rows) {
        const T* const before = step.before == nullptr ? nullptr : step.before + b * step.before_step;
        if (fetches) fetch_gates(step, b, rows, unit, vectors * N);
        multiply_block(panels, packed + block * packed_step, block, before, step.before_step, rows, sums);
        finish_tile<T, kCell>(step, b, rows, unit, vectors, sums, ld);
      });
    }
  }

  // y = squashed W_hr^T.
  void project(const Step<T>& step, int64_t begin, int64_t end, int64_t ends_from, T* y) const {
    constexpr int64_t N = Vec<T>::N;
    alignas(64) T sums[kMaxTileRows * kMaxPanel * N];
    const int64_t ld = projection.columns() * N, y_step = args.shape.batch_step * args.shape.y_row;
    for (int64_t block = 0; block < projection.blocks(); ++block) {
      const int64_t first = block * ld, count = std::min(ld, step.output - first);
      for_row_tiles(begin, end, projection.tile_height(), [&](int64_t b, int64_t rows) {
        multiply_block(projection, packed_projection + block * projection.block_elements(), block, step.out + b * step.out_step,
                       step.out_step, rows, sums);
        for (int64_t i = 0; i < rows; ++i) {
          std::copy_n(sums + i * ld, count, y + (b + i) * y_step + first);
          if (b + i >= ends_from) std::copy_n(sums + i * ld, count, step.h_n + (b + i) * step.output + first);
        }
      });
    }
  }
};

template <class T, Cell kCell>
void forward(const RecurrentForwardArgs& args, const Tasks& tasks) {
  constexpr int64_t N = Vec<T>::N;
  const RecurrentShape& s = args.shape;
  const Plan plan = plan_of<T>(args);
  const Walk<T, kCell> walk(args, tasks.scratch);
  const bool backward = plan.by_units && s.batch <= kMostStreamed && tasks.phase % 2 == 1;
  for (int64_t next = tasks.begin; next < tasks.end; ++next) {
    const int64_t task = backward ? tasks.begin + tasks.end - 1 - next : next;
    if (plan.by_units) {
      const int64_t blocks = walk.panels.blocks(), end = share(blocks, plan.tasks, task + 1);
      for (int64_t block = share(blocks, plan.tasks, task); block < end; ++block) {
        const int64_t unit = block * walk.panels.units * N, unit_end = std::min(s.hidden, unit + walk.panels.units * N);
        if (tasks.phase == 0) walk.pack(block), walk.initialize(0, s.batch, unit, unit_end);
        if (tasks.phase < s.steps) walk.step(tasks.phase, 0, s.batch, block, block + 1);
      }
    } else if (tasks.phase == 0) {
      const int64_t blocks = walk.panels.blocks();
      task < blocks ? walk.pack(task) : walk.pack_projection(task - blocks);
    } else {
      const int64_t begin = share(s.batch, plan.tasks, task), end = share(s.batch, plan.tasks, task + 1);
      walk.initialize(begin, end, 0, s.hidden);
      for (int64_t i = 0; i < s.steps; ++i) walk.step(i, begin, end, 0, walk.panels.blocks());
    }
  }
}

template <class T>
void forward_as(const RecurrentForwardArgs& args, const Tasks& tasks) {
  switch (args.shape.cell) {
    case Cell::RnnTanh:
      return forward<T, Cell::RnnTanh>(args, tasks);
    case Cell::RnnRelu:
      return forward<T, Cell::RnnRelu>(args, tasks);
    case Cell::Lstm:
      return forward<T, Cell::Lstm>(args, tasks);
    case Cell::Gru:
      return forward<T, Cell::Gru>(args, tasks);
  }
}

template <class T>
Schedule schedule_as(const RecurrentForwardArgs& args) {
  const RecurrentShape& s = args.shape;
  const Plan plan = plan_of<T>(args);
  const int64_t blocks = gate_panels<T>(s).blocks() + (args.projection == nullptr ? 0 : projection_panels<T>(s).blocks());
  Schedule schedule;
  schedule.phases = plan.by_units ? std::max<int64_t>(1, s.steps) : 2;
  schedule.tasks[0] = plan.by_units ? plan.tasks : blocks;
  schedule.tasks[1] = schedule.tasks[2] = plan.tasks;
  const double packing = 2 * static_cast<double>(s.size() * s.gates() * s.output) / 40;
  const double whole_steps = s.batch == 0 ? 0 : static_cast<double>(s.rows) / static_cast<double>(s.batch);
  schedule.nanoseconds = packing + whole_steps * step_nanoseconds(s) * (args.projection == nullptr ? 1 : 1.25);
  return schedule;
}

}  // namespace

void recurrent_forward(const RecurrentForwardArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? forward_as<double>(args, tasks) : forward_as<float>(args, tasks);
}

int64_t recurrent_forward_workspace(const RecurrentForwardArgs& args) {
  const RecurrentShape& s = args.shape;
  const auto elements = [&](auto tag) {
    using T = decltype(tag);
    const int64_t gates = packs_in_passing<T>(args) ? 0 : gate_panels<T>(s).elements();
    return args.projection == nullptr ? gates : gates + projection_panels<T>(s).elements() + s.batch * s.hidden;
  };
  return s.size() * (s.dtype == DType::Float64 ? elements(double{}) : elements(float{}));
}

Schedule recurrent_forward_schedule(const RecurrentForwardArgs& args) {
  return args.shape.dtype == DType::Float64 ? schedule_as<double>(args) : schedule_as<float>(args);
}

}  // namespace dnncore::DNNCORE_ISA
