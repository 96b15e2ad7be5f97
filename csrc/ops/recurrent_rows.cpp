// Rows of (step, sequence) pairs: dense, packed, and from one to the other.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/index.h"
#include "ops/common.h"
#include "ops/recurrent_layer.h"

namespace dnncore::ops {

namespace {

// y row i = x row rows[i]; x's rows are adjacent elements at a fixed distance.
void gather_rows(const char* op, const Tensor& x, const std::vector<int64_t>& rows, const Tensor& y) {
  if (y.numel() == 0) return;
  std::vector<int64_t> offsets = rows;
  for (int64_t& row : offsets) row *= x.stride(0);
  const Tensor places = to_device(whole_numbers(op, offsets), x.device(), op);
  launch(op, kernel::gather,
         GatherArgs{.x = x.data(),
                    .offsets = places.data<int64_t>(),
                    .y = y.data(),
                    .n = y.size(0),
                    .x_extent = extent(x.shape(), x.strides()),
                    .inner = {y.size(1)},
                    .x_strides = {1},
                    .dtype = x.dtype()},
         x.device());
}

// y row rows[i] = x row i; both contiguous.
void scatter_rows(const char* op, const Tensor& x, const std::vector<int64_t>& rows, const Tensor& y) {
  if (x.numel() == 0) return;
  std::vector<int64_t> offsets = rows;
  for (int64_t& row : offsets) row *= y.size(1);
  const Tensor places = to_device(whole_numbers(op, offsets), x.device(), op);
  launch(op, kernel::scatter,
         ScatterArgs{.x = y.data(),
                     .offsets = places.data<int64_t>(),
                     .values = x.data(),
                     .n = x.size(0),
                     .x_extent = y.numel(),
                     .inner = {y.size(1)},
                     .x_strides = {1},
                     .value_strides = {1},
                     .value_step = y.size(1),
                     .dtype = y.dtype()},
         y.device());
}

// Row of the first sequence at each step.
std::vector<int64_t> starts_of(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> starts;
  int64_t rows = 0;
  for (int64_t size : sizes) {
    starts.push_back(rows);
    rows += size;
  }
  return starts;
}

// Dense rows as (steps, batch, n).
Tensor unfolded(const Steps& steps, const Tensor& rows) {
  const int64_t row = rows.stride(0);
  return rows.view_as({steps.steps, steps.batch, rows.size(1)}, {steps.time_step * row, steps.batch_step * row, 1}, rows.impl()->offset);
}

Tensor steps_from(const Tensor& x, int64_t first, int64_t count) {
  Shape shape = x.shape();
  shape[0] = count;
  return x.view_as(shape, x.strides(), x.impl()->offset + first * x.stride(0));
}

void previous_dense(const char* op, const Steps& steps, bool reverse, const Tensor& rows, const Tensor& first, const Tensor& y) {
  const Tensor from = unfolded(steps, rows), to = unfolded(steps, y);
  const int64_t count = steps.steps - 1;
  if (count > 0) launch_copy(op, steps_from(from, reverse ? 1 : 0, count), steps_from(to, reverse ? 0 : 1, count), true);
  const Tensor begin = steps_from(to, reverse ? count : 0, 1);
  if (first.defined())
    launch_copy(op, first.view_as(begin.shape(), contiguous_strides(begin.shape()), first.impl()->offset), begin, true);
  else
    fill_(begin, Scalar::of(0.0));
}

void previous_packed(const char* op, const Steps& steps, bool reverse, const Tensor& rows, const Tensor& first, const Tensor& y) {
  const std::vector<int64_t> starts = starts_of(steps.sizes);
  std::vector<int64_t> before, begins, sequences;  // the row before each one; rows where sequences begin, and which
  for (size_t t = 0; t < starts.size(); ++t) {
    const bool first_run = reverse ? t + 1 == starts.size() : t == 0;
    const size_t from = first_run ? t : reverse ? t + 1 : t - 1;
    const int64_t running = first_run ? 0 : steps.sizes[from];
    for (int64_t b = 0; b < steps.sizes[t]; ++b) {
      before.push_back(b < running ? starts[from] + b : 0);
      if (b < running) continue;
      begins.push_back(starts[t] + b);
      sequences.push_back(b);
    }
  }
  gather_rows(op, rows, before, y);
  Tensor beginning = zeros({static_cast<int64_t>(begins.size()), y.size(1)}, y.dtype(), y.device());
  if (first.defined()) gather_rows(op, first, sequences, beginning);
  scatter_rows(op, beginning, begins, y);
}

}  // namespace

Tensor whole_numbers(const char* op, const std::vector<int64_t>& values) {
  const Tensor y = Tensor::empty({static_cast<int64_t>(values.size())}, DType::Int64, {}, op);
  if (!values.empty()) std::memcpy(y.data(), values.data(), values.size() * sizeof(int64_t));
  if (Recorder* recorder = current_recorder()) recorder->host_wrote(*y.storage());
  return y;
}

Steps dense_steps(int64_t steps, int64_t batch, bool batch_first) {
  return {
      .steps = steps, .batch = batch, .rows = steps * batch, .time_step = batch_first ? 1 : batch, .batch_step = batch_first ? steps : 1};
}

Steps packed_steps(const char* op, const std::vector<int64_t>& sizes, int64_t batch, Device device) {
  const std::vector<int64_t> starts = starts_of(sizes);
  Steps steps{.steps = static_cast<int64_t>(sizes.size()), .batch = batch, .sizes = sizes};
  if (!sizes.empty()) steps.rows = starts.back() + sizes.back();
  steps.start = to_device(whole_numbers(op, starts), device, op);
  steps.active = to_device(whole_numbers(op, sizes), device, op);
  return steps;
}

Tensor previous_rows(const char* op, const Steps& steps, bool reverse, const Tensor& rows, const Tensor& first) {
  const Tensor y = Tensor::empty({steps.rows, rows.size(1)}, rows.dtype(), rows.device(), op);
  if (y.numel() > 0) (steps.packed() ? previous_packed : previous_dense)(op, steps, reverse, rows, first, y);
  return y;
}

std::vector<int64_t> Packing::inverse() const {
  std::vector<int64_t> positions(order.size());
  for (size_t i = 0; i < order.size(); ++i) positions[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return positions;
}

Packing packing_of(const std::vector<int64_t>& lengths, int64_t steps, bool batch_first) {
  const auto batch = static_cast<int64_t>(lengths.size());
  Packing p;
  p.order.resize(lengths.size());
  std::iota(p.order.begin(), p.order.end(), int64_t{0});
  const auto length = [&](int64_t b) { return lengths[static_cast<size_t>(b)]; };
  p.sorted = std::is_sorted(lengths.rbegin(), lengths.rend());
  if (!p.sorted) std::stable_sort(p.order.begin(), p.order.end(), [&](int64_t a, int64_t b) { return length(a) > length(b); });
  for (int64_t t = 0, running = batch; t < steps; ++t) {
    while (running > 0 && length(p.order[static_cast<size_t>(running - 1)]) <= t) --running;
    if (running == 0) break;
    p.sizes.push_back(running);
    for (int64_t i = 0; i < running; ++i) {
      const int64_t b = p.order[static_cast<size_t>(i)];
      p.rows.push_back(batch_first ? b * steps + t : t * batch + b);
    }
  }
  return p;
}

// Each of the two is the other's gradient.
Tensor picked_rows(const char* op, const Tensor& given, const std::vector<int64_t>& rows) {
  const Tensor x = contiguous(given), y = Tensor::empty({static_cast<int64_t>(rows.size()), x.size(1)}, x.dtype(), x.device(), op);
  gather_rows(op, x, rows, y);
  if (any_requires_grad({&x}))
    record(op, y, {&x}, [op, rows, total = x.size(0)](const Node&, const Tensor& g) -> Grads { return {spread_rows(op, g, rows, total)}; });
  return y;
}

Tensor spread_rows(const char* op, const Tensor& given, const std::vector<int64_t>& rows, int64_t total) {
  const Tensor x = contiguous(given), y = zeros({total, x.size(1)}, x.dtype(), x.device());
  scatter_rows(op, x, rows, y);
  if (any_requires_grad({&x}))
    record(op, y, {&x}, [op, rows](const Node&, const Tensor& g) -> Grads { return {picked_rows(op, g, rows)}; });
  return y;
}

}  // namespace dnncore::ops
