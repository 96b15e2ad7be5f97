// Elementwise families: every op of kernels.def at 64 K elements (cache) and 16 M elements (memory), float32; bitwise ops on int32.
#include "bench.h"

namespace dnncore::bench {
namespace {

constexpr int64_t kSizes[] = {int64_t{1} << 16, int64_t{1} << 24};
constexpr int64_t kLargest = kSizes[1];

// Shared by all rows: they are timed one after the other.
struct Arena {
  Ref<Storage> x = buffer(kLargest, DType::Float32), z = buffer(kLargest, DType::Float32), y = buffer(kLargest, DType::Float32, Fill::Zero);
  Ref<Storage> ints = buffer(kLargest, DType::Int32), mask = buffer(kLargest, DType::Bool);
  Operands all() const { return {x, z, y, ints, mask}; }
};

bool wants_integers(UnaryOp op) { return op == UnaryOp::bitwise_not; }
bool wants_integers(BinaryOp op) { return op >= BinaryOp::bitwise_and && op <= BinaryOp::bitwise_xor; }

void add_unary(const Arena& arena, UnaryOp op, int64_t n) {
  UnaryArgs args;
  args.op = op;
  args.dtype = wants_integers(op) ? DType::Int32 : DType::Float32;
  args.x = wants_integers(op) ? arena.ints->data() : arena.x->data();
  args.y = arena.y->data();
  args.shape = {n};
  args.x_strides = args.y_strides = {1};
  const auto moved = static_cast<double>(n) * static_cast<double>(4 + itemsize(args.out_dtype()));
  add(kernel::unary, concat(kUnaryNames[static_cast<int>(op)], "/", n), bytes(moved), args, arena.all());
}

void add_binary(const Arena& arena, BinaryOp op, int64_t n) {
  BinaryArgs args;
  args.op = op;
  args.dtype = wants_integers(op) ? DType::Int32 : DType::Float32;
  args.x = wants_integers(op) ? arena.ints->data() : arena.x->data();
  args.z = wants_integers(op) ? arena.ints->data() : arena.z->data();
  args.y = arena.y->data();
  args.shape = {n};
  args.x_strides = args.z_strides = args.y_strides = {1};
  const auto moved = static_cast<double>(n) * static_cast<double>((args.x == args.z ? 4 : 8) + itemsize(args.out_dtype()));
  add(kernel::binary, concat(kBinaryNames[static_cast<int>(op)], "/", n), bytes(moved), args, arena.all());
}

void add_where(const Arena& arena, int64_t n) {
  WhereArgs args;
  args.condition = arena.mask->data();
  args.x = arena.x->data();
  args.z = arena.z->data();
  args.y = arena.y->data();
  args.shape = {n};
  args.condition_strides = args.x_strides = args.z_strides = args.y_strides = {1};
  add(kernel::where, concat(n), bytes(static_cast<double>(n) * 13), args, arena.all());
}

// A bias row added to a matrix, and a product with a transposed matrix.
void add_strided(const Arena& arena) {
  BinaryArgs args;
  args.x = arena.x->data();
  args.z = arena.z->data();
  args.y = arena.y->data();
  args.shape = {4096, 4096};
  args.x_strides = args.y_strides = {4096, 1};
  args.z_strides = {0, 1};
  add(kernel::binary, "add_row/4096x4096", bytes(8.0 * kLargest), args, arena.all());
  args.op = BinaryOp::mul;
  args.z_strides = {1, 4096};
  add(kernel::binary, "mul_transposed/4096x4096", bytes(12.0 * kLargest), args, arena.all());
}

}  // namespace

void add_elementwise_rows() {
  const Arena arena;
  for (int64_t n : kSizes) {
    for (int op = 0; op < static_cast<int>(UnaryOp::count); ++op) add_unary(arena, static_cast<UnaryOp>(op), n);
    for (int op = 0; op < static_cast<int>(BinaryOp::count); ++op) add_binary(arena, static_cast<BinaryOp>(op), n);
    add_where(arena, n);
  }
  add_strided(arena);
}

}  // namespace dnncore::bench
