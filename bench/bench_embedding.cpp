// Embeddings: 65,536 ids in scattered order of a table of as many rows of 64 floats, in bags of 16.
#include "bench.h"

namespace dnncore::bench {

void add_embedding_rows() {
  constexpr int64_t kIds = 1 << 16, kColumns = 64, kPerBag = 16;
  BagShape shape;
  shape.ids = shape.rows = kIds;
  shape.bags = kIds / kPerBag;
  shape.per_bag = kPerBag;
  shape.columns = kColumns;
  const auto table = buffer(kIds * kColumns, DType::Float32), out = buffer(kIds * kColumns, DType::Float32, Fill::Zero);
  const auto bags = buffer(shape.bags * kColumns, DType::Float32), ids = buffer(kIds, DType::Int64, Fill::Zero);
  auto* const numbers = reinterpret_cast<int64_t*>(ids->data());
  for (int64_t i = 0; i < kIds; ++i) numbers[i] = i * 40503 % kIds;  // odd, modulo a power of two: every row once
  const std::string name = concat(kIds, "x", kColumns, "/bags_of_", kPerBag);

  EmbeddingArgs forward;
  forward.weight = table->data();
  forward.ids = numbers;
  forward.y = out->data();
  forward.shape = shape;
  add(kernel::embedding, name, bytes(4.0 * kIds * kColumns), forward, {table, ids, out});

  EmbeddingBackwardArgs backward;
  backward.dy = bags->data();
  backward.ids = numbers;
  backward.dweight = out->data();
  backward.shape = shape;
  backward.workspace_bytes = workspace_bytes(kernel::embedding_backward, backward, Device{});
  const auto workspace = buffer(backward.workspace_bytes, DType::UInt8, Fill::Zero);
  backward.workspace = workspace->data();
  add(kernel::embedding_backward, name, bytes(4.0 * kIds * kColumns), backward, {bags, ids, out, workspace});

  EmbeddingBackwardFactorsArgs factors;
  const auto found = buffer(kIds, DType::Float32, Fill::Zero);
  factors.weight = table->data();
  factors.dy = bags->data();
  factors.ids = numbers;
  factors.dfactors = found->data();
  factors.shape = shape;
  add(kernel::embedding_backward_factors, name, bytes(4.0 * kIds * kColumns), factors, {table, bags, ids, found});
}

}  // namespace dnncore::bench
