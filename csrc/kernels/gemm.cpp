// C = activation(A B (+ C) + bias): [pack B], multiply blocks of C, [add up the splits of k]. See gemm.h for the contract,
// gemm_plan.cpp for the choices and gemm_tile.h for the arithmetic.
#include "kernels/gemm.h"

#include "core/parallel.h"
#include "kernels/gemm_dot.h"
#include "kernels/gemm_pack.h"
#include "kernels/gemm_plan.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class S>
const S* offset(const void* base, int64_t elements) {
  return static_cast<const S*>(base) + elements;
}

// Rows of a block in strips of nearly equal height.
struct Strips {
  int64_t count, height, higher;

  Strips(int64_t rows, int64_t most) : count(ceil_div(rows, most)), height(rows / count), higher(rows % count) {}
  Range operator[](int64_t i) const {
    const int64_t begin = i * height + std::min(i, higher);
    return {begin, begin + height + (i < higher)};
  }
};

// S: in memory, T: in registers, Op: one step of the micro-kernel.
template <class S, class T, class Op>
class Product {
 public:
  Product(const GemmArgs& args, const Plan& plan, const TileTable<T>& tiles)
      : args_(args), plan_(plan), panels_(plan.panels), tiles_(tiles) {
    finish_ = {args.c, args.c_row, args.bias, args.out_dtype, args.activation, false, plan.streams};
    sums_in_c_ = plan.splits == 1 && !plan.turned && args.out_dtype == dtype_of<T>::value;
    finishes_ = plan.splits == 1 && !plan.turned && (args.bias || args.activation != Activation::None || !sums_in_c_ || plan.streams);
    finish_.add_c = args.accumulate && !sums_in_c_;
  }

  // Blocks of k times groups of panels; with dots a task per matrix B.
  void pack_shared(int64_t task) const {
    if (plan_.dots)
      return turn_b(static_cast<S*>(args_.workspace) + task * args_.n * args_.k, offset<S>(args_.b, task * args_.b_batch), args_.b_row,
                    args_.b_col, args_.k, args_.n);
    const int64_t groups = ceil_div(args_.n, panels_.width);
    const Range range = part_of(panels_.blocks * groups, 1, plan_.pack_tasks, task);
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t block = i / groups, group = i % groups, count = std::min(range.end - i, groups - group);
      const int64_t steps = steps_of(block), column = group * panels_.width;
      T* out = static_cast<T*>(args_.workspace) + block * panels_.depth * panels_.padded(args_.n) + column * steps;
      pack(out, static_cast<const S*>(args_.b), block, column, std::min(count * panels_.width, args_.n - column));
      i += count;
    }
  }

  void multiply(int64_t item, std::byte* scratch) const {
    int64_t batch = item, split = 0, row_block = 0, column_block = 0;
    if (plan_.items != args_.batch) {
      column_block = item % plan_.n_blocks;
      row_block = item / plan_.n_blocks % plan_.m_blocks;
      split = item / (plan_.n_blocks * plan_.m_blocks) % plan_.splits;
      batch = item / (plan_.n_blocks * plan_.m_blocks * plan_.splits);
    }
    const Range rows = part_of(args_.m, plan_.row_unit, plan_.m_blocks, row_block);
    const Range cols = part_of(args_.n, panels_.width, plan_.n_blocks, column_block);
    const Range blocks{split * plan_.blocks_per_split, std::min(panels_.blocks, (split + 1) * plan_.blocks_per_split)};
    if (rows.size() == 0 || cols.size() == 0) return;
    if (plan_.dots) return multiply_dots(batch, split, rows, blocks, scratch);

    T* b_space = reinterpret_cast<T*>(scratch);
    T* a_space = b_space + (plan_.b_form == BForm::PerTask ? panels_.depth * panels_.padded(cols.size()) : 0);
    T* sums_space = a_space + (plan_.copy_a ? round_up(copied_elements(rows), 64) : 0);
    const Finish finish = finish_of(batch);
    Tile<T> tile{};
    if (plan_.splits > 1) {
      tile.sums = splits() + (split * args_.batch + batch) * args_.m * args_.n + rows.begin * args_.n + cols.begin;
      tile.ld = args_.n;
    } else if (sums_in_c_) {
      tile.sums = static_cast<T*>(args_.c) + batch * args_.c_batch + rows.begin * args_.c_row + cols.begin;
      tile.ld = args_.c_row;
    } else {
      tile.sums = sums_space;
      tile.ld = panels_.padded(cols.size());
    }
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      tile.k = steps_of(block);
      tile.add = block > blocks.begin || (args_.accumulate && sums_in_c_);
      tile.finish = finishes_ && block + 1 == blocks.end ? &finish : nullptr;
      multiply_block(tile, batch, block, rows, cols, a_space, b_space);
    }
    if (!plan_.turned) return;
    T* const block = sums_space + rows.size() * tile.ld;  // of C, whose rows are our columns
    const int64_t ld = panels_.padded(rows.size());
    pack_along<T, T, Multiply>(block, ld, sums_space, tile.ld, cols.size(), rows.size());
    finish_block(finish, block, ld, cols.begin, rows.begin, cols.size(), rows.size());
  }

  // The splits of some rows of C, added in their order.
  void reduce(int64_t task, std::byte* scratch) const {
    const Range rows = part_of(args_.batch * args_.m, 1, plan_.reduce_tasks, task);
    T* sums = reinterpret_cast<T*>(scratch);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const int64_t batch = row / args_.m;
      const T* parts = splits() + row * args_.n;
      for (int64_t j = 0; j < args_.n; ++j) sums[j] = parts[j];
      for (int64_t s = 1; s < plan_.splits; ++s) {
        parts += args_.batch * args_.m * args_.n;
        for (int64_t j = 0; j < args_.n; ++j) sums[j] += parts[j];
      }
      Finish finish = finish_of(batch);
      finish.add_c = args_.accumulate;
      finish_block(finish, sums, args_.n, row % args_.m, 0, 1, args_.n);
    }
  }

 private:
  int64_t steps_of(int64_t block) const { return std::min(panels_.depth, panels_.steps - block * panels_.depth); }
  int64_t k_of(int64_t block) const { return std::min(panels_.depth * Op::kPerStep, args_.k - block * panels_.depth * Op::kPerStep); }
  T* splits() const { return reinterpret_cast<T*>(static_cast<std::byte*>(args_.workspace) + shared_b_bytes(args_, plan_)); }

  Finish finish_of(int64_t batch) const {
    Finish finish = finish_;
    finish.c = static_cast<std::byte*>(args_.c) + batch * args_.c_batch * static_cast<int64_t>(itemsize(args_.out_dtype));
    return finish;
  }

  void pack(T* out, const S* b, int64_t block, int64_t column, int64_t columns) const {
    const S* source = b + block * panels_.depth * Op::kPerStep * args_.b_row + column * args_.b_col;
    pack_block<S, T, Op>(out, panels_.width, source, args_.b_row, args_.b_col, k_of(block), columns);
  }

  void multiply_dots(int64_t batch, int64_t split, Range rows, Range blocks, std::byte* scratch) const {
    const bool turned = plan_.b_form == BForm::Shared;
    const S* b = turned ? offset<S>(args_.workspace, plan_.pack_tasks > 1 ? batch * args_.n * args_.k : 0)
                        : offset<S>(args_.b, batch * args_.b_batch);
    const int64_t b_col = turned ? args_.k : args_.b_col, depth = panels_.depth * Op::kPerStep;
    T* sums = reinterpret_cast<T*>(scratch);
    int64_t ld = args_.n;
    const bool in_c = sums_in_c_ && !finishes_ && args_.k > 0;
    if (plan_.splits > 1) {
      sums = splits() + ((split * args_.batch + batch) * args_.m + rows.begin) * args_.n;
    } else if (in_c) {
      sums = static_cast<T*>(args_.c) + batch * args_.c_batch + rows.begin * args_.c_row;
      ld = args_.c_row;
    } else if (args_.k == 0) {
      std::fill_n(sums, rows.size() * args_.n, T{0});
    }
    dot_rows<S, T, Op>(sums, ld, in_c && args_.accumulate, offset<S>(args_.a, batch * args_.a_batch + rows.begin * args_.a_row),
                       args_.a_row, b, b_col, blocks.begin * depth, std::min(args_.k, blocks.end * depth), rows.size(), args_.n);
    if (plan_.splits > 1 || in_c) return;
    Finish finish = finish_of(batch);
    finish.add_c = args_.accumulate;
    finish_block(finish, sums, ld, rows.begin, 0, rows.size(), args_.n);
  }

  // One block of k: panels of rows outside (the panel of A stays in L1), panels of B inside (they stream from L2).
  void multiply_block(Tile<T> tile, int64_t batch, int64_t block, Range rows, Range cols, T* a_space, T* b_space) const {
    constexpr int64_t kSize = sizeof(T);
    const S* a = offset<S>(args_.a, batch * args_.a_batch + rows.begin * args_.a_row + block * panels_.depth * Op::kPerStep * args_.a_col);
    const S* b = offset<S>(args_.b, batch * args_.b_batch);
    if (plan_.copy_a && plan_.a_order == Order::Rows) copy_rows<S, T, Op>(a_space, a, args_.a_row, k_of(block), rows.size());

    const T* panel = b_space;  // the panel of column j begins at panel + (j - cols.begin) * b_step
    int64_t b_step = tile.k;
    const bool in_place = plan_.b_form == BForm::InPlace;
    if (in_place) {
      panel = reinterpret_cast<const T*>(b) + block * panels_.depth * args_.b_row + cols.begin;
      b_step = 1;
      tile.b_stride = args_.b_row * kSize;
    } else if (plan_.b_form == BForm::PerTask) {
      pack(b_space, b, block, cols.begin, cols.size());
    } else {
      const void* packed = plan_.b_form == BForm::Shared ? args_.workspace : args_.b;
      panel = static_cast<const T*>(packed) + block * panels_.depth * panels_.padded(args_.n) + cols.begin * tile.k;
    }

    const auto& kernels = tiles_.kernels[plan_.a_order == Order::Columns][in_place && kMaskedLoads];
    const Strips strips(rows.size(), plan_.rows);
    T* const sums = tile.sums;
    for (int64_t i = 0; i < strips.count; ++i) {
      const Range strip = strips[i];
      place_a(tile, a, a_space, block, strips, i);
      const int64_t next = plan_.fetches && i + 1 < strips.count ? strips[i + 1].size() : 0;
      for (int64_t j = 0; j < cols.size(); j += panels_.width) {
        tile.cols = std::min(panels_.width, cols.size() - j);
        const int64_t vectors = (tile.cols + Vec<T>::N - 1) / Vec<T>::N;
        tile.b = panel + j * b_step;
        if (!in_place) tile.b_stride = vectors * kVecBytes;
        tile.sums = sums + strip.begin * tile.ld + j;
        tile.row = rows.begin + strip.begin;
        tile.col = cols.begin + j;
        const Range ahead = part_of(next, 1, ceil_div(cols.size(), panels_.width), j / panels_.width);
        tile.ahead = reinterpret_cast<const char*>(a + (strip.end + ahead.begin) * args_.a_row);
        tile.ahead_rows = ahead.size();
        kernels[vectors - 1][strip.size() - 1](tile);
      }
    }
  }

  static constexpr int64_t kGroup = 5;  // strips of a column-major A that are copied together
  int64_t copied_elements(Range rows) const {
    if (plan_.a_order == Order::Rows) return panels_.depth * rows.size() + panels_.lanes;
    return kGroup * (panels_.depth * plan_.rows + panels_.lanes);
  }
  int64_t strip_step(int64_t block) const { return steps_of(block) * plan_.rows + panels_.lanes; }

  // Strips of a column-major A as panels. Its steps lie so far apart that nothing else fetches the next ones in time, and that their lines
  // crowd each other out: each line is read once, for all strips. 1024 x 256 over 2400 steps 86 -> 94 GF/s.
  void copy_strips(T* out, const S* a, int64_t block, const Strips& strips, Range group) const {
    constexpr int64_t kDepth = 8 * Op::kPerStep;
    const int64_t k = k_of(block), begin = strips[group.begin].begin, end = strips[group.end - 1].end;
    for (int64_t p = 0; p < k; p += kDepth) {
      for (int64_t q = p + kDepth; q < std::min(k, p + 2 * kDepth); ++q)
        for (int64_t j = begin; j < end; j += 64 / static_cast<int64_t>(sizeof(S))) __builtin_prefetch(a + q * args_.a_col + j);
      for (int64_t i = group.begin; i < group.end; ++i) {
        const Range strip = strips[i];
        pack_across<S, T, Op>(out + (i - group.begin) * strip_step(block) + p / Op::kPerStep * strip.size(), strip.size(),
                              a + p * args_.a_col + strip.begin, args_.a_col, std::min(kDepth, k - p), strip.size());
      }
    }
  }

  void place_a(Tile<T>& tile, const S* a, T* a_space, int64_t block, const Strips& strips, int64_t i) const {
    constexpr int64_t kSize = sizeof(T);
    const Range strip = strips[i];
    if (plan_.a_order == Order::Rows) {
      tile.a = plan_.copy_a ? static_cast<const void*>(a_space + strip.begin * tile.k) : a + strip.begin * args_.a_row;
      tile.a_stride = plan_.copy_a ? tile.k * kSize : args_.a_row * static_cast<int64_t>(sizeof(S));
    } else if (plan_.copy_a) {
      const int64_t in_group = i % kGroup;
      if (in_group == 0) copy_strips(a_space, a, block, strips, {i, std::min(i + kGroup, strips.count)});
      tile.a = a_space + in_group * strip_step(block);
      tile.a_stride = strip.size() * kSize;
    } else {
      tile.a = a + strip.begin;
      tile.a_stride = args_.a_col * kSize;
    }
  }

  const GemmArgs& args_;
  const Plan& plan_;
  const Panels& panels_;
  const TileTable<T>& tiles_;
  Finish finish_;
  bool sums_in_c_, finishes_;
};

template <class S, class T, class Op>
void run(const GemmArgs& args, const Plan& plan, const TileTable<T>& tiles, const Tasks& tasks) {
  const Product<S, T, Op> product(args, plan, tiles);
  const int64_t stage = tasks.phase + (plan.pack_tasks == 0);  // 0 pack, 1 multiply, 2 reduce
  if (stage == 0) {
    for (int64_t task = tasks.begin; task < tasks.end; ++task) product.pack_shared(task);
  } else if (stage == 1) {
    const int64_t end = std::min(tasks.end * plan.items_per_task, plan.items);
    for (int64_t item = tasks.begin * plan.items_per_task; item < end; ++item) product.multiply(item, tasks.scratch);
    if (plan.streams) stream_fence();
  } else {
    for (int64_t task = tasks.begin; task < tasks.end; ++task) product.reduce(task, tasks.scratch);
  }
}

template <class S, class T, class Op>
void pack_tasks(const GemmPackArgs& args, const Tasks& tasks) {
  if (wants_dots(args.dtype, args.n, args.k))
    return turn_b(static_cast<S*>(args.packed), static_cast<const S*>(args.b), args.b_row, args.b_col, args.k, args.n);
  const Panels panels = make_panels(args.dtype, args.n, args.k);
  for (int64_t block = tasks.begin; block < tasks.end; ++block) {
    const int64_t first = block * panels.depth * Op::kPerStep;
    pack_block<S, T, Op>(static_cast<T*>(args.packed) + block * panels.depth * panels.padded(args.n), panels.width,
                         offset<S>(args.b, first * args.b_row), args.b_row, args.b_col,
                         std::min(panels.depth * Op::kPerStep, args.k - first), args.n);
  }
}

// A B packed for dots is an ordinary matrix along k.
GemmArgs unpacked_dots(GemmArgs args) {
  args.b_packed = false;
  args.b_row = 1;
  args.b_col = args.k;
  return args;
}

// The product as it is computed, and how.
struct Work {
  GemmArgs args;
  Plan plan;
};
Work work_of(const GemmArgs& args) {
  if (turns(args)) {
    const GemmArgs other = turned(args);
    return {other, make_plan(other, true)};
  }
  const GemmArgs same = args.b_packed && wants_dots(args.dtype, args.n, args.k) ? unpacked_dots(args) : args;
  return {same, make_plan(same, false)};
}

bool is_empty(const GemmArgs& args) { return args.m == 0 || args.n == 0 || args.batch == 0; }

}  // namespace

Schedule gemm_schedule(const GemmArgs& args) {
  if (is_empty(args)) return {};
  const Plan plan = work_of(args).plan;
  const int64_t multiply_tasks = ceil_div(plan.items, plan.items_per_task);
  Schedule schedule;
  schedule.phases = 1 + (plan.pack_tasks > 0) + (plan.reduce_tasks > 0);
  int64_t* tasks = schedule.tasks;
  if (plan.pack_tasks > 0) *tasks++ = plan.pack_tasks;
  *tasks++ = multiply_tasks;
  if (plan.reduce_tasks > 0) *tasks = plan.reduce_tasks;
  schedule.nanoseconds = plan.nanoseconds;
  return schedule;
}

void gemm(const GemmArgs& asked, const Tasks& tasks) {
  if (is_empty(asked)) return;
  auto [args, plan] = work_of(asked);
  plan.streams &= !tasks.reread;
  switch (args.dtype) {
    case DType::Float32:
      return run<float, float, Multiply>(args, plan, kFloatTiles, tasks);
    case DType::Float64:
      return run<double, double, Multiply>(args, plan, kDoubleTiles, tasks);
    case DType::Float16:
      return run<float16, float, Multiply>(args, plan, kFloatTiles, tasks);
    default:
#if defined(__AVX512BF16__)
      return run<bfloat16, float, DotPairs>(args, plan, kPairTiles, tasks);
#else
      return run<bfloat16, float, Multiply>(args, plan, kFloatTiles, tasks);
#endif
  }
}

int64_t gemm_workspace(const GemmArgs& args) {
  if (is_empty(args)) return 0;
  const auto [same, plan] = work_of(args);
  return shared_b_bytes(same, plan) + split_bytes(same, plan);
}

Schedule gemm_pack_schedule(const GemmPackArgs& args) {
  if (args.n == 0 || args.k == 0) return {};
  const Panels panels = make_panels(args.dtype, args.n, args.k);
  Schedule schedule;
  schedule.tasks[0] = wants_dots(args.dtype, args.n, args.k) ? 1 : panels.blocks;
  schedule.nanoseconds = 50 + static_cast<double>(panels.steps * panels.padded(args.n) * panels.bytes) / 8;
  return schedule;
}

void gemm_pack(const GemmPackArgs& args, const Tasks& tasks) {
  if (args.n == 0 || args.k == 0) return;
  switch (args.dtype) {
    case DType::Float32:
      return pack_tasks<float, float, Multiply>(args, tasks);
    case DType::Float64:
      return pack_tasks<double, double, Multiply>(args, tasks);
    case DType::Float16:
      return pack_tasks<float16, float, Multiply>(args, tasks);
    default:
#if defined(__AVX512BF16__)
      return pack_tasks<bfloat16, float, DotPairs>(args, tasks);
#else
      return pack_tasks<bfloat16, float, Multiply>(args, tasks);
#endif
  }
}

int64_t gemm_packed_bytes(const GemmPackArgs& args) {
  if (wants_dots(args.dtype, args.n, args.k)) return args.n * args.k * static_cast<int64_t>(itemsize(args.dtype));
  const Panels panels = make_panels(args.dtype, args.n, args.k);
  return panels.steps * panels.padded(args.n) * panels.bytes;
}

}  // namespace dnncore::DNNCORE_ISA
