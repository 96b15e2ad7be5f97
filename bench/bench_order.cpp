// Along dimensions, order and running results: 1 Mi entries in one row and in rows of 1024.
#include "bench.h"

namespace dnncore::bench {
namespace {

constexpr int64_t kCount = 1 << 20, kRow = 1 << 10;

int64_t* positions_of(const Ref<Storage>& storage) { return reinterpret_cast<int64_t*>(storage->data()); }

void add_along_rows() {
  const auto table = buffer(kCount, DType::Float32), out = buffer(kCount, DType::Float32, Fill::Zero);
  const auto index = buffer(kCount, DType::Int64, Fill::Zero);
  for (int64_t i = 0; i < kCount; ++i) positions_of(index)[i] = i * 40503 % kRow;
  const Shape shape = {kRow};
  for (bool columns : {false, true}) {
    const int64_t row = columns ? 1 : kRow, step = columns ? kRow : 1;
    const std::string name = concat(columns ? "columns/" : "rows/", kRow, "x", kRow);
    GatherDimArgs gather{.x = table->data(), .index = positions_of(index), .y = out->data(), .shape = shape, .n = kRow, .size = kRow};
    gather.x_strides = gather.index_strides = gather.y_strides = {row};
    gather.x_step = gather.index_step = gather.y_step = step;
    add(kernel::gather_dim, name, bytes(16.0 * kCount), gather, {table, index, out});
    ScatterDimArgs scatter{
        .x = out->data(), .index = positions_of(index), .values = table->data(), .shape = shape, .n = kRow, .size = kRow};
    scatter.x_strides = scatter.index_strides = scatter.value_strides = {row};
    scatter.x_step = scatter.index_step = scatter.value_step = step;
    scatter.op = ScatterOp::sum;
    add(kernel::scatter_dim, "sum/" + name, bytes(20.0 * kCount), scatter, {table, index, out});
  }
}

void add_sort_rows() {
  for (DType dtype : {DType::Float32, DType::Int64})
    for (int64_t n : {int64_t{64}, kRow, kCount}) {
      SortArgs sort{.rows = kCount / n, .n = n, .dtype = dtype};
      const auto x = buffer(kCount, dtype), values = buffer(kCount, dtype, Fill::Zero), indices = buffer(kCount, DType::Int64, Fill::Zero);
      const auto workspace = buffer(std::max<int64_t>(sort.workspace_bytes(), 1), DType::UInt8, Fill::Zero);
      sort.x = x->data();
      sort.values = values->data();
      sort.indices = positions_of(indices);
      if (sort.workspace_bytes() > 0) sort.workspace = workspace->data();
      const double moved = static_cast<double>(kCount * (2 * static_cast<int64_t>(itemsize(dtype)) + 8));
      add(kernel::sort, concat(name(dtype), "/", sort.rows, "x", n), bytes(moved), sort, {x, values, indices, workspace});
      if (n == 64) continue;
      TopkArgs topk{.rows = sort.rows, .n = n, .k = 10, .dtype = dtype};
      const auto room = buffer(std::max<int64_t>(topk.workspace_bytes(), 1), DType::UInt8, Fill::Zero);
      topk.x = x->data();
      topk.values = values->data();
      topk.indices = positions_of(indices);
      if (topk.workspace_bytes() > 0) topk.workspace = room->data();
      add(kernel::topk, concat(name(dtype), "/10 of ", topk.rows, "x", n),
          bytes(static_cast<double>(kCount * static_cast<int64_t>(itemsize(dtype)))), topk, {x, values, indices, room});
    }
}

void add_cumulate_rows() {
  const auto x = buffer(kCount, DType::Float32), y = buffer(kCount, DType::Float32, Fill::Zero);
  const auto indices = buffer(kCount, DType::Int64, Fill::Zero), workspace = buffer(1 << 16, DType::UInt8, Fill::Zero);
  const auto row = [&](const char* name, CumulateOp op, int64_t outer, int64_t n, int64_t inner) {
    CumulateArgs args{.x = x->data(), .y = y->data(), .outer = outer, .n = n, .inner = inner, .op = op};
    if (op >= CumulateOp::max) args.indices = positions_of(indices);
    if (args.workspace_bytes() > 0) args.workspace = workspace->data();
    add(kernel::cumulate, concat(name, "/", outer, "x", n, "x", inner), bytes(8.0 * kCount), args, {x, y, indices, workspace});
  };
  row("sum", CumulateOp::sum, 1, kCount, 1);
  row("sum", CumulateOp::sum, kRow, kRow, 1);
  row("sum", CumulateOp::sum, 1, kRow, kRow);
  row("max", CumulateOp::max, kRow, kRow, 1);
}

}  // namespace

void add_order_rows() {
  add_along_rows();
  add_sort_rows();
  add_cumulate_rows();
}

}  // namespace dnncore::bench
