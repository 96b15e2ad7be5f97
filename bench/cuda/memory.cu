// What memory bounds, over operands of more than 256 MB: elementwise, softmax, normalisation, Adam.
#include "device.h"

namespace dnncore::bench {
namespace {

void unary_row(UnaryOp op) {
  attempt("memory", concat("unary/", name(op)), [&] {
    const int64_t n = int64_t{1} << 27;
    const Buffer x(n), y(n, DType::Float32, Fill::Zero);
    UnaryArgs args;
    args.op = op, args.x = x.data(), args.y = y.data(), args.shape = {n}, args.x_strides = args.y_strides = {1};
    row("memory", concat("unary/", name(op), "/", n), {Work::Bytes, 8.0 * static_cast<double>(n)},
        {{"dnncore", launch_of(kernel::unary, args)}});
  });
}
void binary_row(BinaryOp op) {
  attempt("memory", concat("binary/", name(op)), [&] {
    const int64_t n = int64_t{1} << 27;
    const Buffer x(n), z(n), y(n, DType::Float32, Fill::Zero);
    BinaryArgs args;
    args.op = op, args.x = x.data(), args.z = z.data(), args.y = y.data(), args.shape = {n};
    args.x_strides = args.z_strides = args.y_strides = {1};
    row("memory", concat("binary/", name(op), "/", n), {Work::Bytes, 12.0 * static_cast<double>(n)},
        {{"dnncore", launch_of(kernel::binary, args)}});
  });
}

void softmax_rows(int64_t rows, int64_t n) {
  const std::string size = concat(rows, "x", n);
  attempt("memory", concat("softmax/", size), [&] {
    const int64_t count = rows * n;
    const Buffer x(count), y(count, DType::Float32, Fill::Zero), dx(count, DType::Float32, Fill::Zero);
    const double moved = 4.0 * static_cast<double>(count);
    const SoftmaxArgs forward{.x = x.data(), .y = y.data(), .outer = rows, .n = n, .inner = 1, .x_outer = n};
    row("memory", concat("softmax/", size), {Work::Bytes, 2 * moved}, {{"dnncore", launch_of(kernel::softmax, forward)}});
    const SoftmaxBackwardArgs backward{.dy = x.data(), .y = y.data(), .dx = dx.data(), .outer = rows, .n = n};
    row("memory", concat("softmax_backward/", size), {Work::Bytes, 3 * moved},
        {{"dnncore", launch_of(kernel::softmax_backward, backward)}});
  });
}

void norm_rows(const std::string& label, const NormShape& shape) {
  attempt("memory", concat("norm/", label), [&] {
    const int64_t count = shape.elements();
    const Buffer x(count), dy(count), y(count, DType::Float32, Fill::Zero), weight(shape.channels), bias(shape.channels);
    const Buffer dweight(shape.channels), dbias(shape.channels);
    const Buffer mean(shape.statistics(), DType::Float64, Fill::Zero), rstd(shape.statistics(), DType::Float64, Fill::Zero);
    const double moved = 4.0 * static_cast<double>(count);
    NormArgs args;
    args.x = x.data(), args.y = y.data(), args.weight = weight.data(), args.bias = bias.data();
    args.mean = static_cast<double*>(mean.data()), args.rstd = static_cast<double*>(rstd.data());
    args.shape = shape, args.eps = 1e-5;
    row("memory", concat("norm/", label), {Work::Bytes, 2 * moved}, {{"dnncore", launch_of(kernel::norm, args)}});
    NormBackwardArgs back;
    back.dy = dy.data(), back.x = x.data(), back.dx = y.data(), back.weight = weight.data(), back.bias = bias.data();
    back.mean = args.mean, back.rstd = args.rstd, back.dweight = dweight.data(), back.dbias = dbias.data();
    back.shape = shape;
    row("memory", concat("norm_backward/", label), {Work::Bytes, 3 * moved}, {{"dnncore", launch_of(kernel::norm_backward, back)}});
  });
}

// `count` parameters of `length` floats each.
void adam_row(int64_t count, int64_t length) {
  const std::string label = concat("adam/", count, "x", length);
  attempt("memory", label, [&] {
    const Buffer parameters(count * length), gradients(count * length), states(2 * count * length, DType::Float32, Fill::Zero);
    const Buffer counters(count * kOptimizerCounters, DType::Float64, Fill::Zero);
    const auto part = [&](const Buffer& of, int64_t i) { return static_cast<float*>(of.data()) + i * length; };
    std::vector<OptimizerSegment> segments(static_cast<size_t>(count));
    OptimizerArgs args;
    for (int64_t i = 0; i < count; ++i) {
      OptimizerSegment& segment = segments[static_cast<size_t>(i)];
      segment.parameter = part(parameters, i), segment.gradient = part(gradients, i);
      segment.buffers[0] = part(states, i), segment.buffers[1] = part(states, count + i);
      segment.counters = static_cast<double*>(counters.data()) + i * kOptimizerCounters;
      segment.begin = args.total_length, segment.length = length, segment.dtype = DType::Float32;
      args.total_length += (length + kSegmentAlignment - 1) / kSegmentAlignment * kSegmentAlignment;
    }
    OptimizerGroup group;
    group.lr = 1e-6, group.beta1 = 0.9, group.beta2 = 0.999, group.eps = 1e-8;
    const auto bytes = [](size_t size) { return static_cast<int64_t>(size); };
    const Buffer table(bytes(segments.size() * sizeof(OptimizerSegment)), DType::UInt8, Fill::Zero);
    const Buffer settings(bytes(sizeof group), DType::UInt8, Fill::Zero);
    device_module().upload(0, table.data(), segments.data(), segments.size() * sizeof(OptimizerSegment));
    device_module().upload(0, settings.data(), &group, sizeof group);
    args.segments = static_cast<OptimizerSegment*>(table.data()), args.groups = static_cast<const OptimizerGroup*>(settings.data());
    args.segment_count = count, args.group_count = 1, args.rule = OptimizerRule::adam;
    row("memory", label, {Work::Bytes, 28.0 * static_cast<double>(count * length)}, {{"dnncore", launch_of(kernel::optimizer, args)}});
  });
}

}  // namespace

void memory_rows() {
  for (UnaryOp op : {UnaryOp::neg, UnaryOp::relu, UnaryOp::exp, UnaryOp::tanh, UnaryOp::sigmoid, UnaryOp::gelu}) unary_row(op);
  for (BinaryOp op : {BinaryOp::add, BinaryOp::mul, BinaryOp::div}) binary_row(op);
  softmax_rows(32768, 4096);
  softmax_rows(int64_t{1} << 20, 128);
  softmax_rows(4096, 32768);
  norm_rows("layer/131072x1024", {.batch = 131072, .channels = 1024});
  norm_rows("batch/64x64x112x112/channels_last", {.outer = 64 * 112 * 112, .channels = 64, .groups = 64});
  norm_rows("batch/64x64x112x112/channels_first", {.outer = 64, .channels = 64, .inner = 112 * 112, .groups = 64});
  adam_row(1, 100'000'000);
  adam_row(161, 159'000);
}

}  // namespace dnncore::bench
