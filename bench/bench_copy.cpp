// Copies: plain, transposed and with casts; fill and range. 64 MB of float32.
#include "bench.h"

namespace dnncore::bench {
namespace {

constexpr int64_t kSide = 4096, kCount = kSide * kSide;

void add_copy(const std::string& label, DType from, DType to, const Strides& x_strides, const Operands& operands) {
  CopyArgs args;
  args.x = operands[0]->data();
  args.y = operands[1]->data();
  args.shape = {kSide, kSide};
  args.x_strides = x_strides;
  args.y_strides = {kSide, 1};
  args.x_dtype = from;
  args.y_dtype = to;
  add(kernel::copy, label, bytes(static_cast<double>(kCount) * static_cast<double>(itemsize(from) + itemsize(to))), args, operands);
}

}  // namespace

void add_copy_rows() {
  const Operands operands = {buffer(kCount, DType::Float32), buffer(kCount, DType::Float32, Fill::Zero)};
  add_copy("contiguous", DType::Float32, DType::Float32, {kSide, 1}, operands);
  add_copy("transposed", DType::Float32, DType::Float32, {1, kSide}, operands);
  add_copy("broadcast_row", DType::Float32, DType::Float32, {0, 1}, operands);
  for (DType half : {DType::BFloat16, DType::Float16}) {
    add_copy(concat("float32_to_", name(half)), DType::Float32, half, {kSide, 1}, {operands[0], operands[1]});
    add_copy(concat(name(half), "_to_float32"), half, DType::Float32, {kSide, 1}, {buffer(kCount, half), operands[1]});
  }
  add_copy("uint8_to_float32", DType::UInt8, DType::Float32, {kSide, 1}, {buffer(kCount, DType::UInt8), operands[1]});

  FillArgs fill;
  fill.y = operands[1]->data();
  fill.shape = {kCount};
  fill.y_strides = {1};
  fill.as_double = 1;
  add(kernel::fill, concat(kCount), bytes(4.0 * kCount), fill, operands);

  RangeArgs range;
  range.y = operands[1]->data();
  range.n = kCount;
  add(kernel::range, concat(kCount), bytes(4.0 * kCount), range, operands);
}

}  // namespace dnncore::bench
