// Every kernel of kernels.def against the reference, on every instruction set. A kernel without cases does not compile.
#include "embedding_cases.h"
#include "grid_cases.h"
#include "kernel_check.h"
#include "kernels/contracts.h"
#include "kernels/kernels.h"
#include "loss_cases.h"
#include "pool_cases.h"
#include "resample_cases.h"

using namespace dnncore;
using namespace dnncore::test;

void cases_activation();  // test_activation.cpp
void cases_dropout();
void cases_dropout_backward();
void cases_conv_forward();  // test_conv.cpp
void cases_conv_backward_data();
void cases_conv_backward_weight();
namespace dnncore::test {
void cases_norm();  // test_norm.cpp
void cases_norm_backward();
void cases_recurrent_forward();  // test_recurrent.cpp
void cases_recurrent_backward();
}  // namespace dnncore::test

namespace {

constexpr DType kAll[] = {DType::Float32, DType::Float64, DType::BFloat16, DType::Float16,
                          DType::Int64,   DType::Int32,   DType::UInt8,    DType::Bool};
constexpr DType kFloats[] = {DType::Float32, DType::Float64, DType::BFloat16, DType::Float16};

// Shape, strides of the inputs, strides of the output: contiguous, transposed, broadcast, gaps, around the block sizes, empty.
struct Layout {
  Shape shape;
  Strides x, y;
};
const Layout kLayouts[] = {
    {{1}, {1}, {1}},
    {{17}, {1}, {1}},
    {{1025}, {1}, {1}},
    {{70'001}, {1}, {1}},
    {{0}, {1}, {1}},
    {{33}, {3}, {2}},
    {{5, 7}, {7, 1}, {1, 5}},
    {{5, 7}, {1, 5}, {7, 1}},
    {{6, 65}, {0, 1}, {65, 1}},
    {{65, 6}, {1, 0}, {6, 1}},
    {{3, 4, 5}, {40, 10, 2}, {20, 5, 1}},
    {{9}, {0}, {1}},
};

// --- Products ---

void check_gemm(GemmArgs args, DType dtype, DType out_dtype, bool transposed_a, bool transposed_b, Tolerance tolerance) {
  args.dtype = dtype;
  args.out_dtype = out_dtype;
  const Array a = whole(dtype, args.batch * args.m * args.k, -3, 3, 1), b = whole(dtype, args.batch * args.k * args.n, -3, 3, 2);
  const Array bias = whole(args.accumulation_dtype(), args.n, -9, 9, 3);
  args.a = a.data();
  args.b = b.data();
  if (args.bias != nullptr) args.bias = bias.data();
  args.a_row = transposed_a ? 1 : args.k;
  args.a_col = transposed_a ? args.m : 1;
  args.b_row = transposed_b ? 1 : args.n;
  args.b_col = transposed_b ? args.k : 1;
  args.a_batch = args.m * args.k;
  args.b_batch = args.k * args.n;
  args.c_row = args.n + 3;
  args.c_batch = args.m * args.c_row;
  const Array c = whole(out_dtype, args.batch * args.c_batch, -9, 9, 4);
  std::vector<Array> lent;
  check_kernel<GemmArgs>(kernel::gemm, args, &GemmArgs::c, c, tolerance, [&](const CpuTable& table, GemmArgs& mine) {
    lent.clear();
    lent.reserve(2);
    if (mine.b_packed) {
      GemmPackArgs pack;
      pack.b = mine.b;
      pack.n = mine.n;
      pack.k = mine.k;
      pack.b_row = mine.b_row;
      pack.b_col = mine.b_col;
      pack.dtype = dtype;
      pack.packed_bytes = mine.packed_bytes = table.gemm_packed_bytes(pack);
      pack.packed = lent.emplace_back(DType::UInt8, pack.packed_bytes).data();
      run(table, kernel::gemm_pack, pack, Cut::SingleTasks);
      mine.b = pack.packed;
    }
    mine.workspace_bytes = workspace_bytes(kernel::gemm, mine, table);
    if (mine.workspace_bytes > 0) mine.workspace = lent.emplace_back(DType::UInt8, mine.workspace_bytes).data();
  });
}

void cases_gemm() {
  constexpr int64_t shapes[][3] = {{1, 1, 1},     {1, 70, 33},   {70, 1, 33},  {7, 9, 13},      {16, 64, 16},
                                   {17, 65, 31},  {65, 33, 300}, {0, 5, 3},    {5, 0, 3},       {5, 7, 0},
                                   {128, 97, 64}, {3, 5, 5000},  {31, 200, 1}, {130, 514, 129}, {512, 130, 20}};
  float with_bias = 0;
  for (DType dtype : kFloats)
    for (const auto& [m, n, k] : shapes)
      for (int variant = 0; variant < 6; ++variant) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        CAPTURE(variant);
        GemmArgs args;
        args.m = m;
        args.n = n;
        args.k = k;
        args.batch = variant == 3 ? 3 : 1;
        args.bias = variant % 2 ? &with_bias : nullptr;
        args.accumulate = variant == 2;
        args.b_packed = variant == 4 || variant == 5;
        args.activation = variant == 1 ? Activation::Relu : Activation::None;
        // A half's rounding of a whole number is exact too: both round the same exact sum once.
        check_gemm(args, dtype, dtype, variant & 1, variant & 2 || variant == 5, {});
      }
  for (float* bias : {&with_bias, static_cast<float*>(nullptr)}) {  // A fetched ahead, C past the caches; the last vector is not whole
    GemmArgs args;
    args.m = 65'600;
    args.n = 61;
    args.k = 20;
    args.bias = bias;
    check_gemm(args, DType::Float32, DType::Float32, false, true, {});
  }
  for (Activation activation : {Activation::Tanh, Activation::Sigmoid, Activation::Gelu}) {
    GemmArgs args;
    args.m = 19;
    args.n = 67;
    args.k = 3;
    args.bias = &with_bias;
    args.activation = activation;
    for (DType dtype : {DType::Float32, DType::Float64})
      check_gemm(args, dtype, dtype, false, false, {4, dtype == DType::Float32 ? 1e-7 : 1e-15});
    check_gemm(args, DType::BFloat16, DType::Float32, false, true, {4, 1e-7});
  }
}

void cases_gemm_pack() {}  // its panels are each table's own: packed products above show what they hold

// --- Elementwise ---

bool takes(UnaryOp op, DType dtype) {
  if (is_floating(dtype)) return op != UnaryOp::bitwise_not;
  if (is_predicate(op) || op == UnaryOp::bitwise_not) return true;
  return dtype != DType::Bool &&
         (op == UnaryOp::neg || op == UnaryOp::abs || op == UnaryOp::sign || op == UnaryOp::square || op == UnaryOp::relu);
}

double ulps_of(UnaryOp op, DType dtype) {
  if (op <= UnaryOp::sqrt || op == UnaryOp::relu || op >= UnaryOp::floor) return 0;
  return dtype == DType::Float64 || dtype == DType::Float32 ? 4 : 1;
}

constexpr double kSpecial[] = {0.0, -0.0, 1,  -1,  0.5,  -0.5,     1.5,       2.5, -2.5, 1e-3, 1e-30,
                               30,  -30,  80, -80, 3e38, INFINITY, -INFINITY, NAN, 1e-7, 100};

Array sample(DType dtype, int64_t n, unsigned seed = 1) {
  Array x = is_floating(dtype) ? real(dtype, n, -6, 6, seed) : whole(dtype, n, -100, 100, seed);
  if (is_floating(dtype) && n > 64)
    for (int64_t i = 0; i < static_cast<int64_t>(std::size(kSpecial)); ++i) x.set((i * 29 + seed) % n, kSpecial[i]);
  return x;
}

void cases_unary() {
  for (int op = 0; op < static_cast<int>(UnaryOp::count); ++op)
    for (DType dtype : kAll) {
      if (!takes(static_cast<UnaryOp>(op), dtype)) continue;
      for (const Layout& layout : kLayouts) {
        CAPTURE(std::string(kUnaryNames[op]));
        CAPTURE(std::string(name(dtype)));
        CAPTURE(to_string(layout.shape));
        UnaryArgs args;
        const Array x = sample(dtype, extent(layout.shape, layout.x));
        args.x = x.data();
        args.shape = layout.shape;
        args.x_strides = layout.x;
        args.y_strides = layout.y;
        args.op = static_cast<UnaryOp>(op);
        args.dtype = dtype;
        check_kernel(kernel::unary, args, &UnaryArgs::y, whole(args.out_dtype(), extent(layout.shape, layout.y), 0, 1),
                     {ulps_of(args.op, dtype), args.op == UnaryOp::gelu  ? 4 * ulp(dtype, 1)
                                               : dtype == DType::Float32 ? 1e-37
                                                                         : 0});
      }
    }
}

bool takes(BinaryOp op, DType dtype) {
  const bool bitwise = op == BinaryOp::bitwise_and || op == BinaryOp::bitwise_or || op == BinaryOp::bitwise_xor;
  if (bitwise) return !is_floating(dtype);
  if (op == BinaryOp::div || op >= BinaryOp::relu_backward) return is_floating(dtype);
  return dtype != DType::Bool || is_comparison(op);
}

void cases_binary() {
  for (int op = 0; op < static_cast<int>(BinaryOp::count); ++op)
    for (DType dtype : kAll) {
      if (!takes(static_cast<BinaryOp>(op), dtype)) continue;
      for (const Layout& layout : kLayouts) {
        CAPTURE(std::string(kBinaryNames[op]));
        CAPTURE(std::string(name(dtype)));
        CAPTURE(to_string(layout.shape));
        BinaryArgs args;
        args.op = static_cast<BinaryOp>(op);
        const bool counts =
            !is_floating(dtype) && (args.op == BinaryOp::pow || args.op == BinaryOp::floor_divide || args.op == BinaryOp::remainder);
        const bool rounds = args.op == BinaryOp::pow || args.op >= BinaryOp::tanh_backward;
        const int64_t x_size = extent(layout.shape, layout.x);
        const Array x = args.op >= BinaryOp::tanh_backward ? real(dtype, x_size) : sample(dtype, x_size);
        const Array z = counts ? whole(dtype, extent(layout.shape, layout.y), 1, 7).fill([](int64_t i) { return 1 + i % 7; })
                               : sample(dtype, extent(layout.shape, layout.y), 2);
        args.x = x.data();
        args.z = z.data();
        args.shape = layout.shape;
        args.x_strides = layout.x;
        args.z_strides = args.y_strides = layout.y;
        args.dtype = dtype;
        check_kernel(kernel::binary, args, &BinaryArgs::y, whole(args.out_dtype(), extent(layout.shape, layout.y), 0, 1),
                     {rounds                              ? 4.0
                      : args.op == BinaryOp::floor_divide ? 1
                                                          : 0,
                      rounds ? 16 * ulp(dtype, 1) : 0});
      }
    }
}

void cases_where() {
  for (DType dtype : kAll)
    for (const Layout& layout : kLayouts) {
      CAPTURE(std::string(name(dtype)));
      WhereArgs args;
      const Array condition = whole(DType::Bool, extent(layout.shape, layout.x));
      const Array x = sample(dtype, extent(layout.shape, layout.x), 1), z = sample(dtype, extent(layout.shape, layout.y), 2);
      args.condition = condition.data();
      args.x = x.data();
      args.z = z.data();
      args.shape = layout.shape;
      args.condition_strides = args.x_strides = layout.x;
      args.z_strides = args.y_strides = layout.y;
      args.dtype = dtype;
      check_kernel(kernel::where, args, &WhereArgs::y, Array(dtype, extent(layout.shape, layout.y)), {});
    }
}

void cases_copy() {
  for (DType from : kAll)
    for (DType to : kAll)
      for (const Layout& layout : kLayouts) {
        CAPTURE(std::string(name(from)));
        CAPTURE(std::string(name(to)));
        CAPTURE(to_string(layout.shape));
        CopyArgs args;
        const Array x = sample(from, extent(layout.shape, layout.x));
        args.x = x.data();
        args.shape = layout.shape;
        args.x_strides = layout.x;
        args.y_strides = layout.y;
        args.x_dtype = from;
        args.y_dtype = to;
        check_kernel(kernel::copy, args, &CopyArgs::y, whole(to, extent(layout.shape, layout.y), 0, 1), {});
      }
}

void cases_fill() {
  for (DType dtype : kAll)
    for (const Layout& layout : kLayouts) {
      FillArgs args;
      args.shape = layout.shape;
      args.y_strides = layout.y;
      args.as_double = -2.7;
      args.as_int = 1;
      args.dtype = dtype;
      check_kernel(kernel::fill, args, &FillArgs::y, whole(dtype, extent(layout.shape, layout.y)), {});
    }
}

void cases_range() {
  for (DType dtype : kAll)
    for (int64_t n : {0, 1, 2, 17, 1000, 70'000}) {
      if (dtype == DType::Bool) continue;
      RangeArgs args;
      args.n = n;
      args.start = -3.3;
      args.step = 0.7;
      args.int_start = 5;
      args.int_step = -3;
      args.dtype = dtype;
      CAPTURE(std::string(name(dtype)));
      check_kernel(kernel::range, args, &RangeArgs::y, Array(dtype, n), {});
    }
}

// --- Reductions ---

struct Nest {
  Shape kept, reduced;
  Strides x, y, inner;
};
const Nest kNests[] = {
    {{1}, {1}, {1}, {1}, {1}},        {{1}, {100'003}, {1}, {1}, {1}},     {{37}, {65}, {65}, {1}, {1}},
    {{65}, {37}, {1}, {1}, {65}},     {{5, 6}, {7}, {42, 7}, {6, 1}, {1}}, {{5, 7}, {6}, {42, 1}, {7, 1}, {7}},
    {{4}, {3, 5}, {5}, {2}, {20, 1}}, {{300}, {3}, {3}, {1}, {1}},         {{2}, {0}, {1}, {1}, {1}},
    {{0}, {4}, {4}, {1}, {1}},        {{3}, {40}, {0}, {1}, {2}},
};

void cases_reduce() {
  const Array workspace(DType::UInt8, ReduceArgs::kWorkspace);
  for (int op = 0; op < static_cast<int>(ReduceOp::count); ++op)
    for (DType dtype : kAll)
      for (const Nest& nest : kNests) {
        ReduceArgs args;
        args.op = static_cast<ReduceOp>(op);
        const int64_t count = numel(nest.reduced);
        const bool selects = args.op >= ReduceOp::max && args.op <= ReduceOp::argmin;
        if (args.op == ReduceOp::mean && !is_floating(dtype)) continue;
        if (count == 0 && selects) continue;
        CAPTURE(std::string(kReduceNames[op]));
        CAPTURE(std::string(name(dtype)));
        CAPTURE(to_string(nest.kept));
        CAPTURE(to_string(nest.reduced));
        const int64_t last = (numel(nest.kept) ? extent(nest.kept, nest.x) - 1 : 0) + (count ? extent(nest.reduced, nest.inner) - 1 : 0);
        const bool narrow_product = args.op == ReduceOp::prod;
        Array x = narrow_product                  ? whole(dtype, last + 1, 1, 1)
                  : selects && is_floating(dtype) ? real(dtype, last + 1)
                                                  : whole(dtype, last + 1);
        if (narrow_product && is_floating(dtype)) x.set(last / 2, 3).set(last, -2);
        if (selects && is_floating(dtype) && last > 50) x.set(last / 3, NAN);
        args.x = x.data();
        args.workspace = workspace.data();
        args.shape = nest.kept;
        args.x_strides = nest.x;
        args.y_strides = nest.y;
        args.reduced_shape = nest.reduced;
        args.reduced_strides = nest.inner;
        args.dtype = dtype;
        const Array y(args.out_dtype(), numel(nest.kept) ? extent(nest.kept, nest.y) : 0);
        check_kernel(kernel::reduce, args, &ReduceArgs::y, y, {args.op == ReduceOp::mean ? 1.0 : 0});
      }
}

// --- Indexing ---

void cases_index_offsets() {
  for (int64_t bad_at : {-1, 3, 40}) {
    Array index = whole(DType::Int64, 50, -10, 9);
    if (bad_at >= 0) index.set(bad_at, -11).set(45, 99);
    for (bool first : {true, false}) {
      IndexOffsetsArgs args;
      args.index = typed<int64_t>(index);
      args.shape = {5, 10};
      args.index_strides = {10, 1};
      args.size = 10;
      args.stride = 7;
      args.first = first;
      const auto result = [&](const CpuTable& table, Cut cut) {
        Array both = whole(DType::Int64, 52);
        both.set(50, 0).set(51, 0);
        args.offsets = typed<int64_t>(both);
        args.bad = args.offsets + 50;
        run(table, kernel::index_offsets, args, cut);
        return std::vector<int64_t>(args.offsets, args.offsets + 52);
      };
      const auto expected = result(dnncore_table_reference, Cut::Whole);
      CHECK(expected[51] == (bad_at >= 0));
      for (const CpuTable* table : tables())
        for (Cut cut : {Cut::Whole, Cut::SingleTasks}) CHECK(result(*table, cut) == expected);
    }
  }
}

void cases_gather() {
  for (DType dtype : kAll)
    for (const Shape& inner : {Shape{1}, Shape{3}, Shape{64}, Shape{4, 5}, Shape{0}}) {
      const Strides steps = inner.n == 2 ? Strides{7, 1} : Strides{2};
      const Array x = sample(dtype, 400), offsets = whole(DType::Int64, 1001, 0, 200);
      GatherArgs args;
      args.x = x.data();
      args.offsets = typed<int64_t>(offsets);
      args.n = offsets.size();
      args.x_extent = x.size();
      args.inner = inner;
      args.x_strides = steps;
      args.dtype = dtype;
      check_kernel(kernel::gather, args, &GatherArgs::y, Array(dtype, args.n * numel(inner)), {});
    }
}

void cases_scatter() {
  for (DType dtype : kAll)
    for (bool accumulate : {false, true})
      for (const Shape& inner : {Shape{1}, Shape{3}, Shape{64}, Shape{4, 5}}) {
        if (accumulate && dtype == DType::Bool) continue;
        CAPTURE(std::string(name(dtype)));
        CAPTURE(accumulate);
        ScatterArgs args;
        args.inner = inner;
        args.x_strides = args.value_strides = contiguous_strides(inner);
        args.value_step = numel(inner);
        args.n = 501;
        const Array values = whole(dtype, args.n * numel(inner)), offsets = whole(DType::Int64, args.n, 0, 9);
        Array places = offsets;
        for (int64_t i = 0; i < args.n; ++i)
          places.set(i, offsets.at(i) * static_cast<double>(numel(inner)));  // duplicates, no partial overlap
        const Array x = whole(dtype, 10 * numel(inner));
        args.values = values.data();
        args.offsets = typed<int64_t>(places);
        args.x_extent = x.size();
        args.dtype = dtype;
        args.accumulate = accumulate;
        check_kernel(kernel::scatter, args, &ScatterArgs::x, x, {});
      }
}

void cases_nonzero() {
  for (int64_t n : {0, 1, 63, 64, 65, 1000, 300'000}) {
    const Array mask = whole(DType::Bool, n);
    const auto result = [&](const CpuTable& table, Cut cut, bool counts_only) {
      std::vector<int64_t> found(static_cast<size_t>(n) + 1, -1);
      NonzeroArgs args;
      args.mask = typed<bool>(mask);
      args.n = n;
      args.count = found.data();
      args.positions = counts_only ? nullptr : found.data() + 1;
      args.capacity = counts_only ? 0 : n;
      run(table, kernel::nonzero, args, cut);
      return found;
    };
    for (const CpuTable* table : tables())
      for (Cut cut : {Cut::Whole, Cut::SingleTasks}) {
        CHECK(result(*table, cut, true) == result(dnncore_table_reference, Cut::Whole, true));
        CHECK(result(*table, cut, false) == result(dnncore_table_reference, Cut::Whole, false));
      }
  }
}

// --- Training ---

// Settings that reach every branch of a rule; two groups of the second variant differ in their learning rates.
std::vector<OptimizerGroup> optimizer_variants(OptimizerRule rule) {
  OptimizerGroup plain;
  plain.lr = 0.1, plain.beta1 = 0.9, plain.beta2 = 0.7, plain.eps = 1e-3, plain.alpha = 0.9, plain.rho = 0.9, plain.momentum_decay = 0.1;
  plain.eta_minus = 0.5, plain.eta_plus = 1.2, plain.step_min = 1e-2, plain.step_max = 0.15, plain.lambd = 0.01, plain.t0 = 1;
  OptimizerGroup decayed = plain, decoupled = plain, full = plain;
  decayed.weight_decay = 0.01, decayed.maximize = 1, decayed.momentum = 0.9, decayed.lr_decay = 0.1;
  decoupled.weight_decay = 0.1, decoupled.decoupled = 1, decoupled.dampening = 0.5, decoupled.centered = 1;
  full.amsgrad = 1, full.centered = 1, full.momentum = 0.9, full.nesterov = 1;
  const bool has_decoupled = rule == OptimizerRule::adam || rule == OptimizerRule::nadam || rule == OptimizerRule::radam;
  if (!has_decoupled) decoupled.decoupled = 0;
  return {plain, decayed, decoupled, full};
}

bool optimizer_needs(OptimizerRule rule, const OptimizerGroup& group, int buffer) {
  constexpr int counts[] = {1, 3, 2, 2, 2, 3, 1, 2, 2, 1};
  if (buffer >= counts[static_cast<int>(rule)]) return false;
  if (rule == OptimizerRule::sgd || (rule == OptimizerRule::rmsprop && buffer == 1)) return group.momentum != 0;
  if (rule == OptimizerRule::rmsprop && buffer == 2) return group.centered != 0;
  return rule != OptimizerRule::adam || buffer < 2 || group.amsgrad != 0;
}

// Parameters and buffers after three steps over segments of all lengths.
std::vector<double> optimized(const CpuTable& table, Cut cut, OptimizerRule rule, DType dtype, const OptimizerGroup& settings) {
  constexpr int64_t lengths[] = {1, 17, 40000, 3, 0, 64};
  constexpr size_t kCount = std::size(lengths);
  OptimizerGroup groups[2] = {settings, settings};
  groups[1].lr = 0.05;
  std::vector<Array> arrays;
  double counters[kCount][kOptimizerCounters];
  std::vector<OptimizerSegment> segments(kCount);
  arrays.reserve(5 * kCount);
  OptimizerArgs args;
  for (size_t i = 0; i < kCount; ++i) {
    OptimizerSegment& s = segments[i];
    s.group = static_cast<int32_t>(i % 2), s.length = lengths[i], s.dtype = dtype, s.begin = args.total_length;
    s.parameter = arrays.emplace_back(real(dtype, lengths[i], -1, 1, 1)).data();
    s.gradient = arrays.emplace_back(real(dtype, lengths[i], -1, 1, 2)).data();
    for (int k = 0; k < kOptimizerBuffers; ++k)
      s.buffers[k] = optimizer_needs(rule, settings, k) ? arrays.emplace_back(real(dtype, lengths[i], 0.1, 0.2, 3 + k)).data() : nullptr;
    s.counters = counters[i];
    s.counters[0] = 0, s.counters[1] = rule == OptimizerRule::asgd ? groups[s.group].lr : 1, s.counters[2] = 1;
    args.total_length += (lengths[i] + kSegmentAlignment - 1) / kSegmentAlignment * kSegmentAlignment;
  }
  args.segments = segments.data();
  args.groups = groups;
  args.segment_count = kCount;
  args.group_count = 2;
  args.rule = rule;
  for (int step = 0; step < 3; ++step) run(table, kernel::optimizer, args, cut);
  std::vector<double> values;
  for (const Array& x : arrays)
    for (int64_t i = 0; i < x.size(); ++i) values.push_back(x.at(i));
  for (const auto& own : counters) values.insert(values.end(), std::begin(own), std::end(own));
  return values;
}

void cases_optimizer() {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int r = 0; r <= static_cast<int>(OptimizerRule::asgd); ++r)
      for (const OptimizerGroup& settings : optimizer_variants(static_cast<OptimizerRule>(r))) {
        const auto rule = static_cast<OptimizerRule>(r);
        const auto expected = optimized(dnncore_table_reference, Cut::Whole, rule, dtype, settings);
        for (const CpuTable* table : tables()) {
          CAPTURE(std::string(table->isa));
          CAPTURE(r);
          const auto got = optimized(*table, Cut::Whole, rule, dtype, settings);
          CHECK(got == optimized(*table, Cut::SingleTasks, rule, dtype, settings));
          double worst = 0;
          for (size_t i = 0; i < got.size(); ++i)
            worst = std::max(worst, std::fabs(got[i] - expected[i]) / std::max(1.0, std::fabs(expected[i])));
          CHECK(worst <= 8 * ulp(dtype, 1.5));
        }
      }
}

void cases_random() {
  for (DType dtype : kAll)
    for (RandomOp op : {RandomOp::uniform, RandomOp::normal, RandomOp::integer, RandomOp::bernoulli}) {
      if (op <= RandomOp::normal && !is_floating(dtype)) continue;
      GeneratorState state{11, 5};
      RandomArgs args;
      args.state = &state;
      args.n = 50'001;
      args.a = op == RandomOp::bernoulli ? 0.3 : 0;
      args.high = 2;
      args.op = op;
      args.dtype = dtype;
      check_kernel<RandomArgs>(kernel::random, args, &RandomArgs::y, Array(dtype, args.n), {}, [](const CpuTable&, RandomArgs& mine) {
        *mine.state = {11, 5};
      });
    }
}

}  // namespace

// Uses the samples above.
#include "order_cases.h"

TEST_CASE("cross entropy with smoothing, weights and probabilities") { cases_cross_entropy_of_all_classes(); }

#define KERNEL(name, Args) \
  TEST_CASE("kernel " #name " agrees with the reference") { cases_##name(); }
#include "kernels/kernels.def"
