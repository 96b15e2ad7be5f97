// What the native benchmarks share: rows that go through launch(), buffers from the library's allocator, ceilings of this very run.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "core/launch.h"
#include "core/memory.h"
#include "kernels/contracts.h"

namespace dnncore::bench {

// What one launch does: floating-point operations against the FMA ceiling, or bytes (each read and each written once) against the
// copy ceiling.
struct Work {
  enum Kind { Flop, HalfFlop, Bytes } kind;
  double amount;
};
inline Work flop(double amount) { return {Work::Flop, amount}; }
inline Work half_flop(double amount) { return {Work::HalfFlop, amount}; }  // bfloat16 products
inline Work bytes(double amount) { return {Work::Bytes, amount}; }

// Rows own their operands; the same rows of one family may share them.
using Operands = std::vector<Ref<Storage>>;
enum class Fill : uint8_t { Zero, Normal };  // Normal: roughly N(0, 1), never timed on zeros where the values could matter
Ref<Storage> buffer(int64_t count, DType dtype, Fill fill = Fill::Normal);

// Registers one row per thread count (1, and all allowed cores where there are more).
void add_row(int kernel, const std::string& name, const Work& work, std::function<void()> run);

template <class Args>
void add(KernelId<Args> id, const std::string& name, const Work& work, const Args& args, Operands operands) {
  add_row(id.index, std::string(id.name) + "/" + name, work, [id, args, operands = std::move(operands)] { launch(id.name, id, args, {}); });
}

// One per file.
void add_gemm_rows();
void add_elementwise_rows();
void add_activation_rows();
void add_reduce_rows();
void add_copy_rows();
void add_index_rows();
void add_train_rows();
void add_loss_rows();
void add_norm_rows();
void add_conv_rows();
void add_pool_rows();
void add_resample_rows();
void add_order_rows();
void add_recurrent_rows();
void add_embedding_rows();

}  // namespace dnncore::bench
