// What a training step needs beside products: the loss with its gradient, the SGD update, random numbers.
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

// `count` parameters of `length` floats each, momentum 0.9.
void add_sgd(int64_t count, int64_t length) {
  const auto parameters = buffer(count * length, DType::Float32), gradients = buffer(count * length, DType::Float32);
  const auto momenta = buffer(count * length, DType::Float32, Fill::Zero);
  const auto table = buffer(count * static_cast<int64_t>(sizeof(SgdSegment)), DType::UInt8, Fill::Zero);
  const auto settings = buffer(sizeof(SgdGroup), DType::UInt8, Fill::Zero);
  auto* segments = reinterpret_cast<SgdSegment*>(table->data());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = i * length * 4;
    segments[i] = {parameters->data() + at, gradients->data() + at, momenta->data() + at, length, 0, DType::Float32, false};
  }
  auto* group = reinterpret_cast<SgdGroup*>(settings->data());
  *group = {1e-6, 0.9, 0, 0, false, false};
  SgdArgs args;
  args.segments = segments;
  args.groups = group;
  args.segment_count = count;
  args.group_count = 1;
  args.total_length = count * length;
  add(kernel::sgd, concat(count, "x", length), bytes(20.0 * static_cast<double>(count * length)), args,
      {parameters, gradients, momenta, table, settings});
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
  add_sgd(8, 12500);
  add_sgd(161, 159000);
  add_random(RandomOp::uniform, "uniform");
  add_random(RandomOp::normal, "normal");
}

}  // namespace dnncore::bench
