// Reductions. Where the innermost kept dimension is adjacent and the innermost reduced one is not, rows are added column by column; else
// each output reduces its own elements, packed first unless adjacent. Few outputs of many elements are split into parts of fixed size
// whose results wait in the workspace for phase 1.
#include "kernels/reduce.h"

#include "kernels/elementwise_loops.h"
#include "kernels/reduce_blocks.h"

namespace dnncore::DNNCORE_ISA {
namespace {

struct Loops {
  void (*block)(const std::byte* x, int64_t n, int64_t position, State& state);
  void (*columns)(const std::byte* x, int64_t row, int64_t rows, int64_t cols, int64_t position, State* states);
  void (*join)(State& to, State from);
  State identity;
};

template <ReduceOp op, class T>
constexpr Loops loops_of() {
  State identity_state{};
  if constexpr (std::is_floating_point_v<T>)
    identity_state.real = identity<op, double>();
  else
    identity_state.integer = identity<op, int64_t>();
  identity_state.index = -1;
  return {reduce_block<op, T>, reduce_columns<op, T>,
          [](State& to, State from) { join<op>(held<T>(to), to.index, held<T>(from), from.index); }, identity_state};
}

template <class T>
const Loops& loops_for(ReduceOp op) {
  static constexpr Loops kLoops[] = {
#define REDUCE(name) loops_of<ReduceOp::name, T>(),
#define KERNEL(name, Args)
#include "kernels/kernels.def"
  };
  return kLoops[static_cast<int>(op)];
}

const Loops& loops_for(ReduceOp op, DType dtype) {
  switch (dtype) {
    case DType::Float64:
      return loops_for<double>(op);
    case DType::Int64:
      return loops_for<int64_t>(op);
    case DType::Int32:
      return loops_for<int32_t>(op);
    case DType::UInt8:
    case DType::Bool:
      return loops_for<uint8_t>(op);
    default:
      return loops_for<float>(op);
  }
}

// Task: outputs [task / parts * step ...) and part task % parts of the reduced elements.
struct Plan {
  bool columns;
  int64_t kept, reduced;
  int64_t step;    // outputs per task, within one row of the last kept dimension when `columns`
  int64_t groups;  // of outputs
  int64_t parts, part;
};

constexpr int64_t kPart = 65536;  // elements a task reads, about

Plan plan_of(const ReduceArgs& args) {
  Plan plan{};
  plan.kept = numel(args.shape);
  plan.reduced = numel(args.reduced_shape);
  const int kept_last = args.shape.n - 1, reduced_last = args.reduced_shape.n - 1;
  const bool adjacent = reduced_last < 0 || args.reduced_strides[reduced_last] == 1 || plan.reduced <= 1;
  plan.columns = !adjacent && kept_last >= 0 && args.shape[kept_last] > 1 && args.x_strides[kept_last] == 1;
  if (plan.columns) {
    plan.step = std::min(kColumns, args.shape[kept_last]);
    const int64_t blocks = (args.shape[kept_last] + plan.step - 1) / plan.step;
    plan.groups = plan.kept / args.shape[kept_last] * blocks;
  } else {
    plan.step = std::max<int64_t>(1, kPart / std::max<int64_t>(plan.reduced, 1));
    plan.groups = (plan.kept + plan.step - 1) / plan.step;
  }
  const int64_t room = ReduceArgs::kWorkspace / static_cast<int64_t>(sizeof(State)) / std::max<int64_t>(plan.kept, 1);
  const int64_t wanted = plan.groups >= 16 ? 1 : plan.step * plan.reduced / kPart;
  plan.parts = std::clamp<int64_t>(std::min(wanted, room), 1, 256);
  plan.part = (plan.reduced + plan.parts - 1) / plan.parts;
  return plan;
}

void store(const ReduceArgs& args, State state, int64_t reduced, int64_t offset) {
  const bool floating = is_floating(args.dtype);
  if (is_arg(args.op)) {
    static_cast<int64_t*>(args.y)[offset] = state.index;
    return;
  }
  if (args.op == ReduceOp::mean) state.real /= static_cast<double>(reduced);
  switch (args.out_dtype()) {
    case DType::Float32:
      static_cast<float*>(args.y)[offset] = static_cast<float>(state.real);
      break;
    case DType::Float64:
      static_cast<double*>(args.y)[offset] = state.real;
      break;
    case DType::BFloat16:
      static_cast<bfloat16*>(args.y)[offset] = to_bfloat16(static_cast<float>(state.real));
      break;
    case DType::Float16:
      static_cast<float16*>(args.y)[offset] = to_float16(static_cast<float>(state.real));
      break;
    case DType::Int64:
      static_cast<int64_t*>(args.y)[offset] = state.integer;
      break;
    case DType::Int32:
      static_cast<int32_t*>(args.y)[offset] = static_cast<int32_t>(state.integer);
      break;
    default:  // UInt8, and Bool: 0 or 1
      static_cast<uint8_t*>(args.y)[offset] = floating ? static_cast<uint8_t>(state.real != 0) : static_cast<uint8_t>(state.integer);
  }
}

// Elements [begin, end) of one output.
State reduce_one(const ReduceArgs& args, const Loops& loops, const std::byte* x, int64_t begin, int64_t end, std::byte* scratch) {
  State state = loops.identity;
  const auto size = static_cast<int64_t>(itemsize(args.dtype));
  const bool half = is_half(args.dtype);
  float* const converted = reinterpret_cast<float*>(scratch);
  std::byte* const packed = scratch + kBlock * 8;
  const auto adjacent = [&](const std::byte* from, int64_t position, int64_t n) {
    if (!half) return loops.block(from, n, position, state);
    for (int64_t i = 0; i < n; i += kBlock) {
      const int64_t count = std::min(kBlock, n - i);
      half_to_float(args.dtype, from + i * size, converted, count);
      loops.block(reinterpret_cast<const std::byte*>(converted), count, position + i, state);
    }
  };
  const Shape& shape = args.reduced_shape;
  if (layout_of(shape, args.reduced_strides) == Layout::Adjacent) {
    adjacent(x + begin * size, begin, end - begin);
  } else if (shape.back() >= kLongRow && args.reduced_strides.back() == 1) {
    for_each_run<1>(shape, {&args.reduced_strides}, begin, end, [&](const int64_t* offset, int64_t count) {
      adjacent(x + offset[0] * size, begin, count);
      begin += count;
    });
  } else {
    for (; begin < end; begin += kBlock) {
      const int64_t count = std::min(kBlock, end - begin);
      pack(x, static_cast<int>(size), shape, args.reduced_strides, begin, begin + count, packed);
      adjacent(packed, begin, count);
    }
  }
  return state;
}

// Rows [begin, end) of `cols` adjacent outputs.
void reduce_rows(const ReduceArgs& args, const Loops& loops, const std::byte* x, int64_t cols, int64_t begin, int64_t end, State* states,
                 std::byte* scratch) {
  const auto size = static_cast<int64_t>(itemsize(args.dtype));
  const int64_t row = args.reduced_strides.back();
  std::fill_n(states, cols, loops.identity);
  for_each_run<1>(args.reduced_shape, {&args.reduced_strides}, begin, end, [&](const int64_t* offset, int64_t count) {
    const std::byte* from = x + offset[0] * size;
    if (!is_half(args.dtype)) {
      loops.columns(from, row, count, cols, begin, states);
    } else {
      float* const converted = reinterpret_cast<float*>(scratch);
      for (int64_t r = 0; r < count; r += kRowBatch) {
        const int64_t rows = std::min(kRowBatch, count - r);
        for (int64_t i = 0; i < rows; ++i) half_to_float(args.dtype, from + (r + i) * row * size, converted + i * cols, cols);
        loops.columns(reinterpret_cast<const std::byte*>(converted), cols, rows, cols, begin + r, states);
      }
    }
    begin += count;
  });
}

// The parts' results, stored as states[output * parts + part].
void join_parts(const ReduceArgs& args, const Plan& plan, const Loops& loops, int64_t begin, int64_t end) {
  State* states = static_cast<State*>(args.workspace) + begin * plan.parts;
  const auto one = [&](int64_t offset) {
    for (int64_t width = 1; width < plan.parts; width *= 2)
      for (int64_t p = 0; p + width < plan.parts; p += 2 * width) loops.join(states[p], states[p + width]);
    store(args, states[0], plan.reduced, offset);
    states += plan.parts;
  };
  if (args.shape.n == 0) return one(0);
  const int64_t step = args.y_strides.back();
  for_each_run<1>(args.shape, {&args.y_strides}, begin, end, [&](const int64_t* offset, int64_t count) {
    for (int64_t i = 0; i < count; ++i) one(offset[0] + i * step);
  });
}

struct Part {
  int64_t index, begin, end;
};

void reduce_outputs(const ReduceArgs& args, const Plan& plan, const Loops& loops, int64_t group, Part part, std::byte* scratch) {
  const auto size = static_cast<int64_t>(itemsize(args.dtype));
  State* const parts = static_cast<State*>(args.workspace);
  int64_t output = group * plan.step;
  const auto one = [&](int64_t x_offset, int64_t y_offset) {
    const State state = reduce_one(args, loops, static_cast<const std::byte*>(args.x) + x_offset * size, part.begin, part.end, scratch);
    if (plan.parts == 1)
      store(args, state, plan.reduced, y_offset);
    else
      parts[output * plan.parts + part.index] = state;
    ++output;
  };
  if (args.shape.n == 0) return one(0, 0);
  const int64_t x_step = args.x_strides.back(), y_step = args.y_strides.back();
  for_each_run<2>(args.shape, {&args.x_strides, &args.y_strides}, output, std::min(output + plan.step, plan.kept),
                  [&](const int64_t* offset, int64_t count) {
                    for (int64_t i = 0; i < count; ++i) one(offset[0] + i * x_step, offset[1] + i * y_step);
                  });
}

void reduce_column_block(const ReduceArgs& args, const Plan& plan, const Loops& loops, int64_t group, Part part, std::byte* scratch) {
  const auto size = static_cast<int64_t>(itemsize(args.dtype));
  const int64_t width = args.shape.back(), blocks = (width + plan.step - 1) / plan.step;
  const int64_t first = group / blocks * width + group % blocks * plan.step;
  State* const states = reinterpret_cast<State*>(scratch);
  for_each_run<2>(args.shape, {&args.x_strides, &args.y_strides}, first, first + std::min(plan.step, width - group % blocks * plan.step),
                  [&](const int64_t* offset, int64_t cols) {
                    reduce_rows(args, loops, static_cast<const std::byte*>(args.x) + offset[0] * size, cols, part.begin, part.end, states,
                                scratch + kColumns * sizeof(State));
                    const int64_t y_step = args.y_strides.back();
                    for (int64_t c = 0; c < cols; ++c) {
                      if (plan.parts == 1)
                        store(args, states[c], plan.reduced, offset[1] + c * y_step);
                      else
                        static_cast<State*>(args.workspace)[(first + c) * plan.parts + part.index] = states[c];
                    }
                  });
}

}  // namespace

void reduce(const ReduceArgs& args, const Tasks& tasks) {
  const Plan plan = plan_of(args);
  const Loops& loops = loops_for(args.op, args.dtype);
  if (tasks.phase == 1) return join_parts(args, plan, loops, 0, plan.kept);
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    const int64_t index = task % plan.parts;
    const Part part{index, std::min(index * plan.part, plan.reduced), std::min((index + 1) * plan.part, plan.reduced)};
    (plan.columns ? reduce_column_block : reduce_outputs)(args, plan, loops, task / plan.parts, part, tasks.scratch);
  }
}

Schedule reduce_schedule(const ReduceArgs& args) {
  const Plan plan = plan_of(args);
  Schedule schedule;
  schedule.phases = plan.parts == 1 ? 1 : 2;
  schedule.tasks[0] = plan.groups * plan.parts;
  schedule.nanoseconds = static_cast<double>(plan.kept) * (5 + 0.15 * static_cast<double>(plan.reduced));
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
