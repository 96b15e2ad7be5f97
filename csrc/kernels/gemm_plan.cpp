// The choices are measured ones; the bits of C depend on none of them except `depth` and `splits`, which m does not touch.
#include "kernels/gemm_plan.h"
#include "kernels/elementwise_loops.h"
#include "kernels/gemm.h"

#include <bit>
#include <utility>

namespace dnncore::DNNCORE_ISA {
namespace {

#if defined(__AVX512BF16__)
constexpr bool kHasPairs = true;
#else
constexpr bool kHasPairs = false;
#endif

constexpr int64_t kDepth = 256;                 // steps in a block of k, for every type: float64 lost 2 % at 128 and 1 % at 192
constexpr int64_t kBlockBytesB = 768 << 10;     // of B packed by one task: most of a 1 MB L2
constexpr int64_t kBlockBytesA = 384 << 10;     // of A copied by one task
constexpr int64_t kBlockBytesSums = 256 << 10;  // of float32 sums kept beside a half C

constexpr double kSmallNanoseconds = 8e3;  // below: one task, and a plan that costs little itself
constexpr double kTaskNanoseconds = 60e3;
constexpr double kLeastTaskNanoseconds = 9e3;  // of the few tasks of a short product
// Of a turned product, each task packs the few columns of B anew where there are not many tasks: it costs less than a phase of its own
// (two cores, 32 rows times 512 x 256: 199 against 160 GF/s; 4096 x 1024: 180 against 215).
constexpr int64_t kTurnedRows = 128, kTurnedBlocks = 8;
// A is fetched ahead where it is larger and read by fewer panels of B: elsewhere the pieces of k cost up to 2 %.
constexpr int64_t kFetchedBytesA = 2 << 20;
constexpr int64_t kFetchedPanels = 12;
// Of a column-major A that is copied: the least rows of C in a block, cut at whole lines of A, and the least columns that repay another
// copy. 1024 x 256 over 9600 steps, one core: 128 x 128 83 GF/s, 64 x 256 87, 128 x 256 91.
constexpr int64_t kCopiedRows = 128, kCopiedUnit = 16, kCopiedColumns = 512;
// From here on k is split: there would be few tasks otherwise. m has no say, so that a row's bits do not depend on its neighbours.
constexpr int64_t kSplitSteps = 16384, kSplitColumns = 64;

constexpr int lane_bits(DType dtype) { return std::countr_zero(static_cast<unsigned>(kVecBytes)) - (dtype == DType::Float64 ? 3 : 2); }

double nanoseconds_per_flop(DType dtype) {
  constexpr double kFloat = 1.0 / (kVecBytes >= 32 ? 105 : 22);
  if (dtype == DType::Float64) return kFloat * 2;
  return dtype == DType::BFloat16 && kHasPairs ? kFloat / 1.7 : kFloat;
}

// Rows of A a multiple of 2 KiB apart fall into few sets of the first-level cache.
bool crowds_cache(const GemmArgs& args, int64_t stride) { return (stride * static_cast<int64_t>(itemsize(args.dtype)) & 2047) == 0; }

bool must_copy_a(const GemmArgs& args, Order order) {
  if (!is_half(args.dtype)) return false;
  if (args.dtype == DType::Float16 || !kHasPairs) return true;
  return order == Order::Columns || (args.k & 1) != 0;
}

bool b_in_place(const GemmArgs& args, const Panels& panels) {
  if ((args.b_col != 1 && args.n > 1) || is_half(args.dtype)) return false;
  if (!kMaskedLoads && panels.padded(args.n) != args.n) return false;
  if (args.n <= panels.width && args.b_row * panels.bytes <= 256) return true;  // already a panel
  if (args.m <= 128 && !crowds_cache(args, args.b_row)) return true;            // 3 % at 128; at 256 a copy is as good or better
  return args.m <= 16 || args.n * args.k * panels.bytes <= (32 << 10);
}

// A and B as they lie or rearranged; before the grid is cut.
void choose_forms(const GemmArgs& args, Plan& plan) {
  const int64_t vectors = plan.panels.padded(args.n) / plan.panels.lanes;
  if (!args.b_packed && kMaxWidth == 3 && args.k > 128 && vectors % 2 == 0 && vectors % 3 != 0 && vectors > 3) {
    plan.panels.vectors = 2;  // 2 + 2 beats 3 + 1, except when A passes by too quickly
    plan.panels.width = 2 * plan.panels.lanes;
  }
  const int64_t width = plan.panels.width;
  const bool rows = plan.a_order == Order::Rows;
  plan.rows = max_rows(plan.dots ? 1 : static_cast<int>(plan.panels.vectors));
  plan.row_unit = plan.rows;
  plan.copy_a = !plan.dots && must_copy_a(args, plan.a_order);
  if (!plan.dots && !plan.copy_a && crowds_cache(args, rows ? args.a_row : args.a_col) && args.m > 4) {
    plan.copy_a = args.n > (rows ? 4 : 2) * width;
    if (rows && !plan.copy_a) plan.rows = std::min<int64_t>(plan.rows, 6);  // as many lines of one set as leave room for B
  }
  if (plan.dots)
    plan.b_form = args.b_row == 1 || args.k <= 1 ? BForm::InPlace : BForm::Shared;
  else if (args.b_packed)
    plan.b_form = BForm::Given;
  else
    plan.b_form = b_in_place(args, plan.panels) ? BForm::InPlace : BForm::PerTask;
}

// Whether the whole of C, written once, is larger than the caches. Measured, one core, 25088 rows: 64 -> 256 channels 90 -> 97 GF/s, and
// still 82 -> 84 with a pass that reads C at once.
bool streams_c(const GemmArgs& args, const Plan& plan) {
  const int64_t size = plan.panels.bytes;
  if (plan.splits > 1 || plan.dots || plan.turned || plan.panels.blocks > 1 || args.accumulate || args.batch > 1) return false;
  const bool aligned = args.c_row * size % kVecBytes == 0 && reinterpret_cast<uintptr_t>(args.c) % kVecBytes == 0;
  return aligned && static_cast<int64_t>(itemsize(args.out_dtype)) == size && args.m * args.n * size >= kStreamBytes;
}

// Dots: rows only, since the sums of a block wait in scratch.
void cut_rows(const GemmArgs& args, Plan& plan, double item_ns) {
  const auto wanted = static_cast<int64_t>(item_ns / kTaskNanoseconds);
  const int64_t most = (kBlockBytesSums >> 3) / args.n / plan.rows * plan.rows;
  plan.m_blocks = std::max(ceil_div(args.m, most), std::clamp<int64_t>(wanted, 1, std::min<int64_t>(32, ceil_div(args.m, plan.rows))));
}

void cut_grid(const GemmArgs& args, Plan& plan, double item_ns) {
  const Panels& panels = plan.panels;
  const bool copies_columns = plan.copy_a && plan.a_order == Order::Columns;
  if (copies_columns) plan.row_unit = kCopiedUnit;
  const int64_t row_panels = ceil_div(args.m, plan.rows), column_panels = ceil_div(args.n, panels.width);
  const double whole_ns = item_ns * static_cast<double>(args.batch);
  const auto tasks =
      static_cast<uint64_t>(std::clamp(whole_ns / kTaskNanoseconds, std::clamp(whole_ns / kLeastTaskNanoseconds, 1.0, 4.0), 32.0));
  auto wanted = static_cast<int64_t>(std::bit_floor(tasks));  // a power of two divides best
  if (plan.turned) wanted = std::min(wanted, args.m / kTurnedRows);
  const int64_t parts = std::max<int64_t>(1, wanted / std::min(wanted, args.batch * plan.splits));
  const int64_t column_bytes = std::max<int64_t>(1, panels.depth) * panels.bytes;
  int64_t most_rows = std::max(plan.rows, kBlockBytesA / column_bytes / plan.rows * plan.rows);
  int64_t most_columns = std::max(panels.width, kBlockBytesB / column_bytes / panels.width * panels.width);
  if (is_half(args.out_dtype)) {
    most_columns = std::min<int64_t>(most_columns, 1024 / panels.width * panels.width);
    most_rows = std::max(plan.rows, std::min(most_rows, kBlockBytesSums / 4 / most_columns));
  }
  if (plan.turned) most_rows = std::max(plan.rows, std::min(most_rows, kBlockBytesSums / panels.bytes / panels.padded(args.n)));
  plan.m_blocks = ceil_div(args.m, most_rows);
  plan.n_blocks = ceil_div(args.n, most_columns);
  const auto widen = [&](int64_t& mine, int64_t other, int64_t limit) {
    if (mine * other < parts) mine = std::max(mine, std::min(ceil_div(parts, other), limit));
  };
  const int64_t copied_rows = args.m < 8 * kCopiedRows ? kCopiedRows / 2 : kCopiedRows;
  const int64_t most_blocks = copies_columns ? args.m / copied_rows : row_panels / (plan.copy_a || plan.turned ? 2 : 4);
  // Rows are cut where columns are too few, or where A is copied and would be once per column block; else B is packed by its only user.
  if (column_panels < std::min<int64_t>(parts, 8) || args.m > 512 || (plan.copy_a && args.m >= 256))
    widen(plan.m_blocks, plan.n_blocks, std::max<int64_t>(1, most_blocks));
  const auto copies = static_cast<uint64_t>(std::max<int64_t>(1, args.n / (copies_columns ? kCopiedColumns : 96)));
  const auto reused = static_cast<int64_t>(std::bit_floor(copies));
  widen(plan.n_blocks, plan.m_blocks, plan.copy_a ? std::min(reused, column_panels) : column_panels);  // a copy of A wants to be reused
  // An odd number of equal items leaves one of two threads waiting for the last: 3 % of 33 items at 2048^3.
  if (plan.m_blocks > 2 && (plan.m_blocks * plan.n_blocks & 1) != 0) ++plan.m_blocks;
}

}  // namespace

Panels make_panels(DType dtype, int64_t n, int64_t k) {
  const int bits = lane_bits(dtype);
  Panels panels;
  panels.bytes = dtype == DType::Float64 ? 8 : 4;
  panels.lanes = int64_t{1} << bits;
  panels.steps = dtype == DType::BFloat16 && kHasPairs ? (k + 1) / 2 : k;
  panels.blocks = 1;
  panels.depth = panels.steps;
  if (panels.steps > kDepth) {
    panels.depth = round_up(ceil_div(panels.steps, ceil_div(panels.steps, kDepth)), 8);
    panels.blocks = ceil_div(panels.steps, panels.depth);
  }
  const int64_t vectors = (n + panels.lanes - 1) >> bits;
  panels.vectors = std::clamp<int64_t>(vectors, 1, kMaxWidth);
  panels.width = panels.vectors << bits;
  return panels;
}

bool wants_dots(DType dtype, int64_t n, int64_t k) {
  const int64_t lanes = int64_t{1} << lane_bits(dtype);
  if (n == 1) return true;
  return k >= 8 * lanes && n <= 2 * lanes && 4 * n <= 3 * ((n + lanes - 1) & -lanes);
}

// Measured, one core of a Zen 4, 784 -> 512 and 1024 -> 4096: 16 rows 1.36 and 1.49 x, 32 rows 1.08 and 1.14, 64 rows 1.07 and 1.11,
// 128 rows 1.00 and 1.12; rows that leave lanes of a vector empty lose (20 rows 0.78), so does a matrix too small to repay the turn of C.
// A matrix in row order stays: where its rows crowd the cache, 64 rows times 512 x 512 won 1.11 x in a loop of its own and lost 0.8 x
// in a training step, where the weight comes from far.
bool turns(const GemmArgs& args) {
  if (args.b_packed || args.accumulate || is_half(args.dtype) || args.b_row != 1 || args.a_col != 1) return false;
  const int64_t lanes = int64_t{1} << lane_bits(args.dtype), padded = (args.m + lanes - 1) & -lanes;
  return args.m <= 128 && 10 * padded <= 11 * args.m && args.n >= 256 && args.k >= 256 && args.k < kSplitSteps;
}

GemmArgs turned(const GemmArgs& args) {
  GemmArgs result = args;
  std::swap(result.a, result.b);
  std::swap(result.m, result.n);
  result.a_row = args.b_col, result.a_col = args.b_row, result.a_batch = args.b_batch;
  result.b_row = args.a_col, result.b_col = args.a_row, result.b_batch = args.a_batch;
  return result;
}

Plan make_plan(const GemmArgs& args, bool turned) {
  Plan plan{};
  plan.turned = turned;
  plan.panels = make_panels(args.dtype, args.n, args.k);
  const Panels& panels = plan.panels;
  plan.a_order = args.a_col == 1 || args.k <= 1 ? Order::Rows : Order::Columns;
  plan.dots = !turned && plan.a_order == Order::Rows && wants_dots(args.dtype, args.n, args.k);
  choose_forms(args, plan);

  const double flops = 2.0 * static_cast<double>(args.m) * static_cast<double>(args.n) * static_cast<double>(args.k);
  const int64_t a_size = args.m * args.k, b_size = args.k * args.n, c_size = args.m * args.n;
  const double item_ns = flops * nanoseconds_per_flop(args.dtype) + static_cast<double>((a_size + b_size + 2 * c_size) * panels.bytes) / 25;
  plan.nanoseconds = 100 + item_ns * static_cast<double>(args.batch);
  plan.splits = plan.m_blocks = plan.n_blocks = 1;
  plan.blocks_per_split = panels.blocks;
  plan.items = plan.items_per_task = args.batch;
  const bool splits = panels.steps >= kSplitSteps && args.n <= kSplitColumns;
  const int64_t padded = panels.padded(args.n);
  const bool in_scratch = a_size <= (64 << 10) && padded * panels.depth <= (96 << 10) && padded * args.m <= (64 << 10);
  if (plan.nanoseconds > kSmallNanoseconds || !in_scratch || splits) {
    if (splits) {
      plan.blocks_per_split = ceil_div(panels.blocks, std::min<int64_t>(32, panels.steps / 4096));
      plan.splits = ceil_div(panels.blocks, plan.blocks_per_split);
    }
    plan.dots ? cut_rows(args, plan, item_ns) : cut_grid(args, plan, item_ns);
    plan.items = args.batch * plan.splits * plan.m_blocks * plan.n_blocks;
    const double each = plan.nanoseconds / static_cast<double>(plan.items);
    plan.items_per_task = std::clamp<int64_t>(static_cast<int64_t>(20e3 / each), 1, plan.items);
  }
  if (plan.b_form == BForm::PerTask && plan.m_blocks > (turned ? kTurnedBlocks : 1) && (args.batch == 1 || args.b_batch == 0))
    plan.b_form = BForm::Shared;
  if (plan.b_form == BForm::Shared)
    plan.pack_tasks = plan.dots ? (args.b_batch == 0 ? 1 : args.batch)
                                : std::clamp<int64_t>(panels.steps * panels.padded(args.n) * panels.bytes >> (turned ? 13 : 16), 1, 64);
  const bool crowded = crowds_cache(args, args.a_row);
  plan.fetches = plan.a_order == Order::Rows && !plan.dots && !plan.copy_a && !crowded && a_size * panels.bytes > kFetchedBytesA &&
                 ceil_div(args.n, panels.width) <= kFetchedPanels;
  plan.streams = streams_c(args, plan);
  if (plan.splits > 1) plan.reduce_tasks = std::clamp<int64_t>(plan.splits * args.batch * c_size >> 16, 1, 64);
  return plan;
}

int64_t shared_b_bytes(const GemmArgs& args, const Plan& plan) {
  if (plan.b_form != BForm::Shared) return 0;
  if (plan.dots) return round_up(plan.pack_tasks * args.n * args.k * static_cast<int64_t>(itemsize(args.dtype)), 64);
  return round_up(plan.panels.steps * plan.panels.padded(args.n) * plan.panels.bytes, 64);
}

int64_t split_bytes(const GemmArgs& args, const Plan& plan) {
  return plan.splits > 1 ? plan.splits * args.batch * args.m * args.n * plan.panels.bytes : 0;
}

}  // namespace dnncore::DNNCORE_ISA
