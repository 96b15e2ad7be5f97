// Reductions of a 4096 x 4096 matrix (and of 256 x 256): over everything, over rows, over columns.
#include "bench.h"

namespace dnncore::bench {
namespace {

enum class Over : uint8_t { All, Columns, Rows };

void add_reduction(ReduceOp op, int64_t side, Over over, const Operands& operands) {
  ReduceArgs args;
  args.op = op;
  args.dtype = op == ReduceOp::any || op == ReduceOp::all ? DType::Bool : DType::Float32;
  args.x = operands[args.dtype == DType::Bool ? 1 : 0]->data();
  args.y = operands[2]->data();
  args.workspace = operands[3]->data();
  const char* label = "all";
  if (over == Over::All) {
    args.shape = args.x_strides = args.y_strides = {};
    args.reduced_shape = {side * side};
    args.reduced_strides = {1};
  } else {
    const bool columns = over == Over::Columns;  // the sizes that vanish
    label = columns ? "dim1" : "dim0";
    args.shape = args.reduced_shape = {side};
    args.x_strides = {columns ? side : 1};
    args.reduced_strides = {columns ? 1 : side};
    args.y_strides = {1};
  }
  const auto moved = static_cast<double>(side * side) * static_cast<double>(itemsize(args.dtype));
  add(kernel::reduce, concat(kReduceNames[static_cast<int>(op)], "/", side, "x", side, "/", label), bytes(moved), args, operands);
}

}  // namespace

void add_reduce_rows() {
  constexpr int64_t kSide = 4096;
  const Operands operands = {buffer(kSide * kSide, DType::Float32), buffer(kSide * kSide, DType::Bool, Fill::Zero),
                             buffer(kSide, DType::Int64, Fill::Zero), buffer(ReduceArgs::kWorkspace, DType::UInt8, Fill::Zero)};
  for (int64_t side : {int64_t{256}, kSide})
    for (int op = 0; op < static_cast<int>(ReduceOp::count); ++op)
      for (Over over : {Over::All, Over::Columns, Over::Rows}) add_reduction(static_cast<ReduceOp>(op), side, over, operands);
}

}  // namespace dnncore::bench
