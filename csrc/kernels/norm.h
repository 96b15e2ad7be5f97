// Normalisation of x, which lies in memory as (batch, outer, channels, inner): every batch entry b and group of neighbouring channels has
// one mean and one variance over `outer`, `inner` and the channels of the group,
//   y = activation((x - mean[b, group]) rstd[b, group] weight[c] + bias[c]),  rstd = 1 / sqrt(variance + eps), variance over n.
// Batch norm has one batch entry and a group per channel, group and instance norm a batch entry per sample, layer norm (rows, 1, n, 1)
// and one group. Sums over spans of a few hundred elements, taken about the span's own mean, are merged in double: mean and variance are
// within 2e-7 of float64, whatever the mean. The bits follow from the shape alone.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"
#include "kernels/gemm.h"

namespace dnncore {

// Where mean and rstd come from: the data; the data, with the mean taken as 0 (RMS norm: only rows, (batch, 1, n, 1) with one group); the
// running statistics (only with one batch entry and a group per channel). An activation comes only with a group per channel.
enum class Statistics : uint8_t { Centered, Uncentered, Running };

struct NormShape {
  int64_t batch = 1, outer = 1, channels = 0, inner = 1, groups = 1;  // each at least 1, groups divides channels

  int64_t width() const { return channels / groups; }
  int64_t statistics() const { return batch * groups; }
  int64_t count() const { return outer * width() * inner; }  // elements of one mean
  int64_t elements() const { return batch * outer * channels * inner; }
};

struct NormArgs {
  const void* x = nullptr;
  const void* weight = nullptr;  // (channels); null: 1
  const void* bias = nullptr;    // (channels); null: 0
  void* y = nullptr;             // as x lies; overlaps no input
  double* mean = nullptr;        // shape.statistics() entries; also where they come from the running statistics
  double* rstd = nullptr;
  // (channels), where groups == channels; may be null. Running: read. Else r = r + momentum (the batch entries' mean of theirs - r) with
  // the variance over n - 1, where momentum < 0 stands for 1 / (*batches + 1); then *batches grows by 1.
  void* running_mean = nullptr;
  void* running_var = nullptr;
  int64_t* batches = nullptr;  // may be null
  void* workspace = nullptr;
  NormShape shape;
  double eps = 0, momentum = 0;
  int64_t workspace_bytes = 0;
  Statistics statistics = Statistics::Centered;
  Activation activation = Activation::None;  // None or Relu
  DType dtype = DType::Float32;              // Float32 or Float64, of everything but mean and rstd

  bool updates() const { return statistics != Statistics::Running && running_mean != nullptr; }
  bool in_place() const { return updates(); }
  std::array<Operand, 10> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    const int64_t bytes = shape.elements() * size, channels = shape.channels * size;
    const int64_t statistics_bytes = shape.statistics() * static_cast<int64_t>(sizeof(double));
    const Role running = updates() ? Role::Accumulate : Role::Read;
    return {operand(this, &x, Role::Read, bytes),
            operand(this, &weight, Role::Read, channels),
            operand(this, &bias, Role::Read, channels),
            operand(this, &y, Role::Write, bytes),
            operand(this, &mean, Role::Write, statistics_bytes),
            operand(this, &rstd, Role::Write, statistics_bytes),
            operand(this, &running_mean, running, channels),
            operand(this, &running_var, running, channels),
            operand(this, &batches, running, sizeof(int64_t)),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

// With g = dy (0 where the ReLU gave 0), z = (x - mean) rstd and means over the elements of a statistic:
//   dx = rstd (weight g - mean(weight g) - z mean(weight g z)), without the first mean where Uncentered, without both where Running;
//   dweight = sum g z, dbias = sum g per channel.
struct NormBackwardArgs {
  const void* dy = nullptr;
  const void* x = nullptr;
  const void* weight = nullptr;
  const void* bias = nullptr;  // read for the ReLU alone
  const double* mean = nullptr;
  const double* rstd = nullptr;
  void* dx = nullptr;       // dy and dx lie as x does; the three results may be null, and overlap no input
  void* dweight = nullptr;  // (channels)
  void* dbias = nullptr;
  void* workspace = nullptr;
  NormShape shape;
  int64_t workspace_bytes = 0;
  Statistics statistics = Statistics::Centered;
  Activation activation = Activation::None;
  DType dtype = DType::Float32;

  bool in_place() const { return false; }
  std::array<Operand, 10> operands() const {
    const auto size = static_cast<int64_t>(itemsize(dtype));
    const int64_t bytes = shape.elements() * size, channels = shape.channels * size;
    const int64_t statistics_bytes = shape.statistics() * static_cast<int64_t>(sizeof(double));
    return {operand(this, &dy, Role::Read, bytes),
            operand(this, &x, Role::Read, bytes),
            operand(this, &weight, Role::Read, channels),
            operand(this, &bias, Role::Read, channels),
            operand(this, &mean, Role::Read, statistics_bytes),
            operand(this, &rstd, Role::Read, statistics_bytes),
            operand(this, &dx, Role::Write, bytes),
            operand(this, &dweight, Role::Write, channels),
            operand(this, &dbias, Role::Write, channels),
            operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

}  // namespace dnncore
