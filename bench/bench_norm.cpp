// Normalisation: batch norm channels-last and channels-first, layer norm; forward and backward.
#include "bench.h"

namespace dnncore::bench {
namespace {

template <class Args>
void add_with_workspace(KernelId<Args> id, const std::string& name, double moved, Args args, Operands operands) {
  args.workspace_bytes = workspace_bytes(id, args, Device{});
  operands.push_back(buffer(args.workspace_bytes / 8 + 1, DType::Float64, Fill::Zero));
  args.workspace = operands.back()->data();
  add(id, name, bytes(moved), args, operands);
}

double* numbers(const Ref<Storage>& storage) { return reinterpret_cast<double*>(storage->data()); }

void add_norm(const std::string& name, const NormShape& shape) {
  const int64_t count = shape.elements();
  const auto x = buffer(count, DType::Float32), y = buffer(count, DType::Float32, Fill::Zero), dy = buffer(count, DType::Float32);
  const auto weight = buffer(shape.channels, DType::Float32), bias = buffer(shape.channels, DType::Float32);
  const auto dweight = buffer(shape.channels, DType::Float32), dbias = buffer(shape.channels, DType::Float32);
  const auto mean = buffer(shape.statistics(), DType::Float64, Fill::Zero), rstd = buffer(shape.statistics(), DType::Float64);
  const double moved = 4.0 * static_cast<double>(count);
  NormArgs args;
  args.x = x->data(), args.y = y->data(), args.weight = weight->data(), args.bias = bias->data();
  args.mean = numbers(mean), args.rstd = numbers(rstd);
  args.shape = shape, args.eps = 1e-5;
  add_with_workspace(kernel::norm, name, 2 * moved, args, {x, y, weight, bias, mean, rstd});

  NormBackwardArgs back;
  back.dy = dy->data(), back.x = x->data(), back.dx = y->data(), back.weight = weight->data(), back.bias = bias->data();
  back.mean = numbers(mean), back.rstd = numbers(rstd);
  back.dweight = dweight->data(), back.dbias = dbias->data();
  back.shape = shape;
  add_with_workspace(kernel::norm_backward, name, 3 * moved, back, {x, y, dy, weight, bias, mean, rstd, dweight, dbias});
}

}  // namespace

void add_norm_rows() {
  const struct { int64_t n, c, pixels; } images[] = {{8, 64, 56 * 56}, {128, 16, 32 * 32}, {32, 64, 112 * 112}};
  for (const auto& [n, c, pixels] : images) {
    const std::string size = concat(n, "x", c, "x", pixels);
    add_norm(concat("batch/", size, "/channels_last"), {.outer = n * pixels, .channels = c, .groups = c});
    add_norm(concat("batch/", size, "/channels_first"), {.outer = n, .channels = c, .inner = pixels, .groups = c});
  }
  for (int64_t rows : {4096, 32768}) add_norm(concat("layer/", rows, "x768"), {.batch = rows, .channels = 768});
}

}  // namespace dnncore::bench
