// Resampling forth and back, its tables, sampling at places of a grid, and local response normalisation.
#include "bench.h"

namespace dnncore::bench {
namespace {

struct Case {
  const char* name;
  int64_t n, c, from, to;
  ResampleMode mode;
};

constexpr Case kCases[] = {{"nearest_twice", 8, 64, 56, 112, ResampleMode::Nearest},
                           {"linear_twice", 8, 64, 56, 112, ResampleMode::Linear},
                           {"cubic_twice", 8, 64, 56, 112, ResampleMode::Cubic},
                           {"linear_half", 8, 64, 112, 56, ResampleMode::Linear},
                           {"linear_antialias_half", 8, 64, 112, 56, ResampleMode::LinearAntialias},
                           {"linear_rgb", 16, 3, 256, 224, ResampleMode::Linear}};

void add_case(const Case& c, bool transposed) {
  ResampleShape shape{.n = c.n, .c = c.c, .mode = c.mode, .transposed = transposed};
  shape.axes[1] = shape.axes[2] = {c.from, c.to, static_cast<double>(c.from) / static_cast<double>(c.to)};
  const auto x = buffer(shape.x_bytes() / 4, DType::Float32), y = buffer(shape.y_bytes() / 4, DType::Float32);
  const auto table = buffer(shape.table_bytes(), DType::UInt8, Fill::Zero);
  const std::string name = c.name + std::string(transposed ? "_back" : "");
  const ResampleTableArgs writes{.table = table->data(), .shape = shape};
  add(kernel::resample_table, name, bytes(static_cast<double>(shape.table_bytes())), writes, {table});
  launch("resample_table", kernel::resample_table, writes, {});  // what the next reads
  add(kernel::resample, name, bytes(static_cast<double>(shape.x_bytes() + shape.y_bytes())),
      ResampleArgs{.x = x->data(), .table = table->data(), .y = y->data(), .shape = shape}, {x, y, table});
}

void add_response(const char* name, int64_t rows, int64_t channels) {
  const LocalResponse shape{.rows = rows, .c = channels, .before = 2, .after = 2, .alpha = 2e-5, .beta = 0.75, .k = 2};
  const auto x = buffer(rows * channels, DType::Float32), y = buffer(rows * channels, DType::Float32);
  const auto dx = buffer(rows * channels, DType::Float32);
  const double each = static_cast<double>(shape.bytes());
  add(kernel::local_response, name, bytes(2 * each), LocalResponseArgs{.x = x->data(), .y = y->data(), .shape = shape}, {x, y});
  add(kernel::local_response_backward, name, bytes(3 * each),
      LocalResponseBackwardArgs{.x = x->data(), .dy = y->data(), .dx = dx->data(), .shape = shape}, {x, y, dx});
}

void add_grid(const char* name, int64_t n, int64_t c, int64_t side, GridMode mode) {
  const GridShape shape{.n = n, .c = c, .points = side * side, .in = {1, side, side}, .mode = mode};
  const auto x = buffer(n * side * side * c, DType::Float32), y = buffer(n * side * side * c, DType::Float32);
  const auto grid = buffer(n * side * side * 2, DType::Float32), dgrid = buffer(n * side * side * 2, DType::Float32);
  const double each = static_cast<double>(shape.x_bytes()), places = static_cast<double>(shape.grid_bytes());
  add(kernel::grid_sample, name, bytes(2 * each + places),
      GridSampleArgs{.x = x->data(), .grid = grid->data(), .y = y->data(), .shape = shape}, {x, grid, y});
  add(kernel::grid_sample_backward_input, name, bytes(2 * each + places),
      GridSampleBackwardInputArgs{.dy = y->data(), .grid = grid->data(), .dx = x->data(), .shape = shape}, {x, grid, y});
  add(kernel::grid_sample_backward_grid, name, bytes(2 * each + 2 * places),
      GridSampleBackwardGridArgs{.x = x->data(), .dy = y->data(), .grid = grid->data(), .dgrid = dgrid->data(), .shape = shape},
      {x, grid, y, dgrid});
}

}  // namespace

void add_resample_rows() {
  for (const Case& c : kCases)
    for (bool transposed : {false, true}) add_case(c, transposed);
  add_grid("linear", 8, 64, 56, GridMode::Linear);
  add_grid("linear_rgb", 16, 3, 224, GridMode::Linear);
  add_grid("cubic", 8, 64, 56, GridMode::Cubic);
  add_response("alexnet1", 16 * 55 * 55, 64);
  add_response("alexnet2", 16 * 27 * 27, 192);
}

}  // namespace dnncore::bench
