// Indexing: 65,536 rows of 64 floats picked from as many, in scattered order.
#include "bench.h"

namespace dnncore::bench {
namespace {

constexpr int64_t kRows = 1 << 16, kWidth = 64;

// A permutation that jumps: multiplication by an odd number modulo a power of two.
Ref<Storage> scattered_positions(int64_t step) {
  auto storage = buffer(kRows, DType::Int64, Fill::Zero);
  auto* positions = reinterpret_cast<int64_t*>(storage->data());
  for (int64_t i = 0; i < kRows; ++i) positions[i] = i * 40503 % kRows * step;
  return storage;
}

}  // namespace

void add_index_rows() {
  const auto table = buffer(kRows * kWidth, DType::Float32), out = buffer(kRows * kWidth, DType::Float32, Fill::Zero);
  const auto index = scattered_positions(1), offsets = scattered_positions(kWidth), bad = buffer(2, DType::Int64, Fill::Zero);
  const double moved = 8.0 * kRows * kWidth;

  IndexOffsetsArgs positions;
  positions.index = reinterpret_cast<const int64_t*>(index->data());
  const auto computed = buffer(kRows, DType::Int64, Fill::Zero);
  positions.offsets = reinterpret_cast<int64_t*>(computed->data());
  positions.bad = reinterpret_cast<int64_t*>(bad->data());
  positions.shape = {kRows};
  positions.index_strides = {1};
  positions.size = kRows;
  positions.stride = kWidth;
  add(kernel::index_offsets, concat(kRows), bytes(16.0 * kRows), positions, {index, computed, bad});

  GatherArgs gather;
  gather.x = table->data();
  gather.offsets = reinterpret_cast<const int64_t*>(offsets->data());
  gather.y = out->data();
  gather.n = kRows;
  gather.x_extent = kRows * kWidth;
  gather.inner = {kWidth};
  gather.x_strides = {1};
  add(kernel::gather, concat(kRows, "x", kWidth), bytes(moved), gather, {table, offsets, out});

  ScatterArgs scatter;
  scatter.x = out->data();
  scatter.offsets = gather.offsets;
  scatter.values = table->data();
  scatter.n = kRows;
  scatter.x_extent = kRows * kWidth;
  scatter.inner = {kWidth};
  scatter.x_strides = scatter.value_strides = {1};
  scatter.value_step = kWidth;
  add(kernel::scatter, concat(kRows, "x", kWidth), bytes(moved), scatter, {table, offsets, out});
  scatter.accumulate = true;
  add(kernel::scatter, concat("accumulate/", kRows, "x", kWidth), bytes(1.5 * moved), scatter, {table, offsets, out});

  constexpr int64_t kMask = 1 << 22;
  const auto mask = buffer(kMask, DType::Bool), found = buffer(kMask, DType::Int64, Fill::Zero), count = buffer(1, DType::Int64);
  NonzeroArgs nonzero;
  nonzero.mask = reinterpret_cast<const bool*>(mask->data());
  nonzero.positions = reinterpret_cast<int64_t*>(found->data());
  nonzero.count = reinterpret_cast<int64_t*>(count->data());
  nonzero.n = nonzero.capacity = kMask;
  add(kernel::nonzero, concat(kMask), bytes(5.0 * kMask), nonzero, {mask, found, count});  // half of the entries are true
}

}  // namespace dnncore::bench
