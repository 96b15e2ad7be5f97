// What a training step needs beside products: the loss with its gradient, the updates of SGD and Adam, random numbers.
#include "bench.h"

namespace dnncore::bench {
namespace {

void add_cross_entropy(int64_t rows, int64_t classes) {
  const auto x = buffer(rows * classes, DType::Float32), dx = buffer(rows * classes, DType::Float32, Fill::Zero);
  const auto target = buffer(rows, DType::Int64, Fill::Zero), loss = buffer(rows, DType::Float32, Fill::Zero);
  CrossEntropyArgs args;
  args.x = x->data();
  args.target = reinterpret_cast<const int64_t*>(target->data());
  args.loss = loss->data();
  args.dx = dx->data();
  args.rows = rows, args.classes = classes, args.x_row = classes;
  args.scale = 1.0 / static_cast<double>(rows);
  add(kernel::cross_entropy, concat(rows, "x", classes), bytes(8.0 * static_cast<double>(rows * classes)), args, {x, dx, target, loss});
}

// `count` parameters of `length` floats each; a state of one buffer (SGD with momentum) or two (Adam).
void add_optimizer(OptimizerRule rule, const char* label, int64_t count, int64_t length) {
  const int buffers = rule == OptimizerRule::sgd ? 1 : 2;
  const auto parameters = buffer(count * length, DType::Float32), gradients = buffer(count * length, DType::Float32);
  const auto states = buffer(count * length * buffers, DType::Float32, Fill::Zero);
  const auto table = buffer(count * static_cast<int64_t>(sizeof(OptimizerSegment)), DType::UInt8, Fill::Zero);
  const auto settings = buffer(sizeof(OptimizerGroup), DType::UInt8, Fill::Zero);
  const auto counters = buffer(count * kOptimizerCounters, DType::Float64, Fill::Zero);
  OptimizerArgs args;
  args.segments = reinterpret_cast<OptimizerSegment*>(table->data());
  for (int64_t i = 0; i < count; ++i) {
    OptimizerSegment& segment = args.segments[i];
    segment.parameter = parameters->data() + i * length * 4;
    segment.gradient = gradients->data() + i * length * 4;
    for (int k = 0; k < buffers; ++k) segment.buffers[k] = states->data() + (k * count + i) * length * 4;
    segment.counters = reinterpret_cast<double*>(counters->data()) + i * kOptimizerCounters;
    segment.begin = args.total_length;
    segment.length = length;
    segment.dtype = DType::Float32;
    args.total_length += (length + kSegmentAlignment - 1) / kSegmentAlignment * kSegmentAlignment;
  }
  auto* group = std::construct_at(reinterpret_cast<OptimizerGroup*>(settings->data()));
  group->lr = 1e-6, group->momentum = 0.9, group->beta1 = 0.9, group->beta2 = 0.999, group->eps = 1e-8;
  args.groups = group;
  args.segment_count = count;
  args.group_count = 1;
  args.rule = rule;
  add(kernel::optimizer, concat(label, "/", count, "x", length), bytes((12.0 + 8 * buffers) * static_cast<double>(count * length)), args,
      {parameters, gradients, states, table, settings, counters});
}

void add_random(RandomOp op, const char* label) {
  constexpr int64_t kCount = 1 << 22;
  const auto state = buffer(sizeof(GeneratorState), DType::UInt8, Fill::Zero), y = buffer(kCount, DType::Float32, Fill::Zero);
  RandomArgs args;
  args.state = reinterpret_cast<GeneratorState*>(state->data());
  args.y = y->data();
  args.n = kCount;
  args.op = op;
  args.b = 1;
  add(kernel::random, concat(label, "/", kCount), bytes(4.0 * kCount), args, {state, y});
}

}  // namespace

void add_train_rows() {
  add_cross_entropy(128, 10);
  add_cross_entropy(128, 1000);
  add_cross_entropy(640, 10000);
  for (const auto& [count, length] : {std::pair<int64_t, int64_t>{8, 12500}, {100, 1000}, {161, 159000}}) {
    add_optimizer(OptimizerRule::sgd, "sgd", count, length);
    add_optimizer(OptimizerRule::adam, "adam", count, length);
  }
  add_random(RandomOp::uniform, "uniform");
  add_random(RandomOp::normal, "normal");
}

}  // namespace dnncore::bench
