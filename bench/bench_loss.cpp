// Softmax and losses without Python.
#include "bench.h"

namespace dnncore::bench {
namespace {

void add_softmax(const char* label, SoftmaxOp op, int64_t outer, int64_t n, int64_t inner) {
  const int64_t count = outer * n * inner;
  const auto x = buffer(count, DType::Float32), y = buffer(count, DType::Float32, Fill::Zero);
  SoftmaxArgs args;
  args.x = x->data();
  args.y = y->data();
  args.outer = outer, args.n = n, args.inner = inner, args.x_outer = n * inner;
  args.op = op;
  add(kernel::softmax, concat(label, "/", outer, "x", n, "x", inner), bytes(8.0 * static_cast<double>(count)), args, {x, y});
}

void add_softmax_backward(const char* label, SoftmaxOp op, int64_t outer, int64_t n) {
  const int64_t count = outer * n;
  const auto dy = buffer(count, DType::Float32), y = buffer(count, DType::Float32), dx = buffer(count, DType::Float32, Fill::Zero);
  SoftmaxBackwardArgs args;
  args.dy = dy->data();
  args.y = y->data();
  args.dx = dx->data();
  args.outer = outer, args.n = n;
  args.op = op;
  add(kernel::softmax_backward, concat(label, "/", outer, "x", n), bytes(12.0 * static_cast<double>(count)), args, {dy, y, dx});
}

void add_pointwise_loss(LossOp op, int64_t n) {
  const auto x = buffer(n, DType::Float32), t = buffer(n, DType::Float32, Fill::Zero), total = buffer(1, DType::Float32, Fill::Zero);
  const auto partial = buffer(PointwiseLossArgs::chunks(n), DType::Float64, Fill::Zero);
  const auto outside = buffer(PointwiseLossArgs::chunks(n), DType::UInt8, Fill::Zero);
  PointwiseLossArgs args;
  args.x = x->data();
  args.t = t->data();
  args.total = total->data();
  args.partial = reinterpret_cast<double*>(partial->data());
  args.outside = reinterpret_cast<uint8_t*>(outside->data());
  args.n = n;
  args.op = op;
  const char* label = kLossNames[static_cast<int>(op)];
  add(kernel::pointwise_loss, concat(label, "/", n), bytes(8.0 * static_cast<double>(n)), args, {x, t, total, partial, outside});

  const auto g = buffer(1, DType::Float32), dx = buffer(n, DType::Float32, Fill::Zero);
  PointwiseLossBackwardArgs back;
  back.x = x->data();
  back.t = t->data();
  back.g = g->data();
  back.dx = dx->data();
  back.n = n;
  back.g_step = 0;
  back.op = op;
  add(kernel::pointwise_loss_backward, concat(label, "/", n), bytes(12.0 * static_cast<double>(n)), back, {x, t, g, dx});
}

}  // namespace

void add_loss_rows() {
  for (const auto& [label, op] : {std::pair{"softmax", SoftmaxOp::softmax}, std::pair{"log_softmax", SoftmaxOp::log_softmax}}) {
    add_softmax(label, op, 128, 10, 1);
    add_softmax(label, op, 128, 1000, 1);
    add_softmax(label, op, 640, 10000, 1);
    add_softmax(label, op, 4, 21, 65536);
    add_softmax_backward(label, op, 128, 1000);
    add_softmax_backward(label, op, 640, 10000);
  }
  add_softmax("logsumexp", SoftmaxOp::logsumexp, 128, 1000, 1);
  for (LossOp op : {LossOp::mse, LossOp::bce_with_logits}) {
    add_pointwise_loss(op, 128 * 784);
    add_pointwise_loss(op, 4 << 20);
  }
}

}  // namespace dnncore::bench
