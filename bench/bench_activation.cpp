// Activations with parameters and dropout, forward and backward, at 64 K elements (cache) and 16 M elements (memory), float32.
#include "bench.h"

namespace dnncore::bench {
namespace {

constexpr int64_t kSizes[] = {int64_t{1} << 16, int64_t{1} << 24};
constexpr int64_t kLargest = kSizes[1];

struct Arena {
  Ref<Storage> x = buffer(kLargest, DType::Float32), dy = buffer(kLargest, DType::Float32),
               y = buffer(kLargest, DType::Float32, Fill::Zero);
  Ref<Storage> mask = buffer(kLargest, DType::Bool), generator = buffer(2, DType::Int64, Fill::Zero);
  Operands all() const { return {x, dy, y, mask, generator}; }
};

void add_activation(const Arena& arena, ActivationOp op, int64_t n) {
  ActivationArgs args;
  args.op = op;
  args.parameters = op == ActivationOp::softplus ? ActivationParameters{1, 20, 0} : ActivationParameters{0.5, 1, 1};
  args.x = arena.x->data();
  args.y = arena.y->data();
  args.shape = {n};
  args.x_strides = args.dy_strides = args.y_strides = {1};
  const char* name = kActivationNames[static_cast<int>(op)];
  add(kernel::activation, concat(name, "/", n), bytes(8.0 * static_cast<double>(n)), args, arena.all());
  args.dy = arena.dy->data();
  add(kernel::activation, concat(name, "_backward/", n), bytes(12.0 * static_cast<double>(n)), args, arena.all());
}

void add_dropout(const Arena& arena, int64_t n) {
  DropoutArgs args;
  args.state = reinterpret_cast<GeneratorState*>(arena.generator->data());
  args.x = arena.x->data();
  args.mask = reinterpret_cast<uint8_t*>(arena.mask->data());
  args.y = arena.y->data();
  args.n = n;
  args.p = 0.5;
  add(kernel::dropout, concat(n), bytes(9.0 * static_cast<double>(n)), args, arena.all());
  DropoutBackwardArgs backward;
  backward.dy = arena.dy->data();
  backward.mask = args.mask;
  backward.dx = arena.y->data();
  backward.n = n;
  backward.scale = 2;
  add(kernel::dropout_backward, concat(n), bytes(9.0 * static_cast<double>(n)), backward, arena.all());
}

}  // namespace

void add_activation_rows() {
  const Arena arena;
  for (int64_t n : kSizes) {
    for (int op = 0; op < static_cast<int>(ActivationOp::count); ++op) add_activation(arena, static_cast<ActivationOp>(op), n);
    add_dropout(arena, n);
  }
}

}  // namespace dnncore::bench
