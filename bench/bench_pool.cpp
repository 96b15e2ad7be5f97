// Pooling: windows of well-known networks, and some out of cache, with their gradients.
#include "bench.h"

namespace dnncore::bench {
namespace {

struct Case {
  const char* name;
  int64_t n, c, side, filter, stride, pad;
};

constexpr Case kMax[] = {{"P1_lenet", 64, 6, 28, 2, 2, 0},
                         {"P2_alexnet", 16, 64, 55, 3, 2, 0},
                         {"P3_resnet", 8, 64, 112, 3, 2, 1},
                         {"googlenet", 16, 480, 14, 3, 1, 1},
                         {"out_of_cache_disjoint", 32, 64, 112, 2, 2, 0},
                         {"out_of_cache_overlapping", 32, 64, 112, 3, 2, 1}};
constexpr Case kMean[] = {
    {"P3_resnet50_end", 8, 2048, 7, 7, 7, 0}, {"lenet", 64, 6, 28, 2, 2, 0}, {"out_of_cache_disjoint", 32, 64, 112, 2, 2, 0}};

PoolShape shape_of(const Case& c) {
  const int64_t out = (c.side + 2 * c.pad - c.filter) / c.stride + 1;
  PoolShape s{.n = c.n, .c = c.c};
  s.in = {1, c.side, c.side}, s.out = {1, out, out}, s.filter = {1, c.filter, c.filter};
  s.stride = {1, c.stride, c.stride}, s.pad = {0, c.pad, c.pad};
  return s;
}

void add_max_rows(const Case& c) {
  const PoolShape shape = shape_of(c);
  const auto x = buffer(shape.x_bytes() / 4, DType::Float32), y = buffer(shape.y_bytes() / 4, DType::Float32);
  const auto positions = buffer(shape.position_bytes(), DType::UInt8, Fill::Zero);
  const auto indices = buffer(shape.y_bytes() / 4, DType::Int64, Fill::Zero);
  const double forth = static_cast<double>(shape.x_bytes() + shape.y_bytes()), places = static_cast<double>(shape.position_bytes());
  const Operands operands = {x, y, positions, indices};
  const MaxPoolArgs args{.x = x->data(), .y = y->data(), .positions = positions->data(), .shape = shape};
  add(kernel::max_pool, c.name, bytes(forth + places), args, operands);
  launch("max_pool", kernel::max_pool, args, {});  // the positions the next two read
  add(kernel::max_pool_backward, c.name, bytes(forth + places),
      MaxPoolBackwardArgs{.dy = y->data(), .positions = positions->data(), .dx = x->data(), .shape = shape}, operands);
  auto* to = reinterpret_cast<int64_t*>(indices->data());
  add(kernel::max_pool_indices, c.name, bytes(9 * places),
      MaxPoolIndicesArgs{.positions = positions->data(), .indices = to, .shape = shape}, operands);
}

void add_mean_rows(const Case& c) {
  const PoolShape shape = shape_of(c);
  const auto x = buffer(shape.x_bytes() / 4, DType::Float32), y = buffer(shape.y_bytes() / 4, DType::Float32);
  const double moved = static_cast<double>(shape.x_bytes() + shape.y_bytes());
  add(kernel::avg_pool, c.name, bytes(moved), AvgPoolArgs{.x = x->data(), .y = y->data(), .shape = shape}, {x, y});
  add(kernel::avg_pool_backward, c.name, bytes(moved), AvgPoolBackwardArgs{.dy = y->data(), .dx = x->data(), .shape = shape}, {x, y});
}

}  // namespace

void add_pool_rows() {
  for (const Case& c : kMax) add_max_rows(c);
  for (const Case& c : kMean) add_mean_rows(c);
}

}  // namespace dnncore::bench
