// GEMM: the shapes G1-G14, batches, halves and float64, the fused epilogue, and packing.
#include "bench.h"

namespace dnncore::bench {
namespace {

// "n": as stored row-major; "t": that operand is stored transposed.
struct Case {
  const char* name;
  int64_t m, n, k;
  char a = 'n', b = 'n';
  DType dtype = DType::Float32;
  int64_t batch = 1;
};

constexpr Case kCases[] = {
    {"G1", 64, 64, 64},
    {"G2", 256, 256, 256},
    {"G3", 512, 512, 512},
    {"G4", 1024, 1024, 1024},
    {"G5", 2048, 2048, 2048},
    {"G6", 4096, 4096, 4096},
    {"G7", 128, 512, 784, 'n', 't'},
    {"G8", 512, 784, 128, 't', 'n'},
    {"G9", 64, 10, 512, 'n', 't'},
    {"G10", 128, 4096, 9216, 'n', 't'},
    {"G11", 1760, 16, 1760},
    {"G11", 1760, 32, 1760},
    {"G11", 1760, 64, 1760},
    {"G11", 1760, 128, 1760},
    {"G12", 3072, 16, 1024},
    {"G12", 3072, 64, 1024},
    {"G12", 3072, 16, 1024, 't', 'n'},
    {"G12", 3072, 64, 1024, 't', 'n'},
    {"G13", 35, 700, 2048},
    {"G13", 5124, 700, 2048},
    {"G14", 512, 16, 500000},
    {"gemv", 4096, 1, 4096},
    {"gevm", 1, 4096, 4096},
    {"batched", 64, 64, 64, 'n', 'n', DType::Float32, 64},
    {"float64", 1024, 1024, 1024, 'n', 'n', DType::Float64},
    {"bfloat16", 256, 256, 256, 'n', 'n', DType::BFloat16},
    {"bfloat16", 512, 512, 512, 'n', 'n', DType::BFloat16},
    {"bfloat16", 1024, 1024, 1024, 'n', 'n', DType::BFloat16},
    {"bfloat16", 2048, 2048, 2048, 'n', 'n', DType::BFloat16},
    {"float16", 1024, 1024, 1024, 'n', 'n', DType::Float16},
};

GemmArgs arguments(const Case& c, Operands& operands) {
  operands = {buffer(c.batch * c.m * c.k, c.dtype), buffer(c.batch * c.k * c.n, c.dtype), buffer(c.batch * c.m * c.n, c.dtype, Fill::Zero)};
  GemmArgs args;
  args.a = operands[0]->data();
  args.b = operands[1]->data();
  args.c = operands[2]->data();
  args.m = c.m, args.n = c.n, args.k = c.k, args.batch = c.batch;
  args.a_row = c.a == 'n' ? c.k : 1, args.a_col = c.a == 'n' ? 1 : c.m, args.a_batch = c.m * c.k;
  args.b_row = c.b == 'n' ? c.n : 1, args.b_col = c.b == 'n' ? 1 : c.k, args.b_batch = c.k * c.n;
  args.c_row = c.n, args.c_batch = c.m * c.n;
  args.dtype = args.out_dtype = c.dtype;
  return args;
}

void give_workspace(GemmArgs& args, Operands& operands) {
  args.workspace_bytes = workspace_bytes(kernel::gemm, args, Device{});
  if (args.workspace_bytes == 0) return;
  operands.push_back(buffer(args.workspace_bytes, DType::UInt8, Fill::Zero));
  args.workspace = operands.back()->data();
}

Work work_of(const Case& c) {
  const double amount = 2.0 * static_cast<double>(c.m) * static_cast<double>(c.n) * static_cast<double>(c.k) * static_cast<double>(c.batch);
  if (c.dtype == DType::BFloat16) return half_flop(amount);
  return flop(c.dtype == DType::Float64 ? 2 * amount : amount);  // half as many float64 fit a register: counted in float32 slots
}

std::string label(const Case& c) { return concat(c.name, "/", c.m, "x", c.n, "x", c.k, "/", c.a, c.b, "/", name(c.dtype)); }

// Weights packed beforehand, bias and activation in the epilogue: a Linear layer of a trained network.
void add_packed_row() {
  const Case c{"packed_bias_relu", 128, 512, 784, 'n', 't'};
  Operands operands;
  GemmArgs args = arguments(c, operands);
  GemmPackArgs pack;
  pack.b = args.b;
  pack.n = c.n, pack.k = c.k, pack.b_row = args.b_row, pack.b_col = args.b_col;
  pack.packed_bytes = cpu::table().gemm_packed_bytes(pack);
  operands.push_back(buffer(pack.packed_bytes, DType::UInt8, Fill::Zero));
  pack.packed = operands.back()->data();
  operands.push_back(buffer(c.n, DType::Float32));
  args.bias = operands.back()->data();
  args.activation = Activation::Relu;
  add(kernel::gemm_pack, label(c), bytes(static_cast<double>(c.n * c.k) * 8), pack, operands);
  launch("gemm_pack", kernel::gemm_pack, pack, {});
  args.b = pack.packed;
  args.b_packed = true;
  args.packed_bytes = pack.packed_bytes;
  give_workspace(args, operands);
  add(kernel::gemm, label(c), work_of(c), args, operands);
}

}  // namespace

void add_gemm_rows() {
  for (const Case& c : kCases) {
    Operands operands;
    GemmArgs args = arguments(c, operands);
    give_workspace(args, operands);
    add(kernel::gemm, label(c), work_of(c), args, operands);
  }
  add_packed_row();
}

}  // namespace dnncore::bench
