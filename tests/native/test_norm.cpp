// The normalisation kernels of every table against the reference.
#include "kernel_check.h"

namespace dnncore::test {

namespace {

// What the contract has: RMS norm of rows, running statistics of one batch entry and a group per channel.
bool exists(const NormShape& shape, Statistics statistics) {
  if (statistics == Statistics::Uncentered) return shape.outer == 1 && shape.inner == 1 && shape.groups == 1 && shape.channels > 1;
  return statistics == Statistics::Centered || (shape.batch == 1 && shape.groups == shape.channels);
}

constexpr NormShape kShapes[] = {
    {1, 1, 1, 1, 1},    {1, 50, 17, 1, 17},  {1, 3, 5, 37, 5},  {1, 2000, 64, 1, 64}, {1, 9, 33, 300, 33},  // batch norm
    {7, 1, 33, 1, 1},   {300, 1, 768, 1, 1}, {3, 1, 2, 19, 1},                                              // layer norm
    {2, 1, 6, 25, 3},   {2, 25, 6, 1, 3},    {3, 1, 4, 20, 4},  {3, 20, 4, 1, 4},     {2, 700, 48, 1, 8},   // group and instance norm
    {2, 1, 48, 700, 8}, {1, 31, 16, 1, 16},  {1, 32, 15, 1, 15}};

template <class Args>
void lend(const CpuTable& table, KernelId<Args> id, Args& args, std::vector<std::byte>& workspace) {
  args.workspace_bytes = workspace_bytes(id, args, table);
  workspace.resize(static_cast<size_t>(args.workspace_bytes) + 64);
  args.workspace = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) & ~uintptr_t{63});
}

double epsilon(DType dtype) { return dtype == DType::Float64 ? std::ldexp(1.0, -53) : std::ldexp(1.0, -24); }

}  // namespace

void cases_norm() {
  std::vector<std::byte> workspace;
  for (const NormShape& shape : kShapes)
    for (const DType dtype : {DType::Float32, DType::Float64})
      for (const Statistics statistics : {Statistics::Centered, Statistics::Uncentered, Statistics::Running}) {
        const bool running = statistics == Statistics::Running;
        if (!exists(shape, statistics)) continue;
        const Array x = real(dtype, shape.elements(), 7, 12), weight = real(dtype, shape.channels),
                    bias = real(dtype, shape.channels, -3, 3, 2);
        const Array mean = real(dtype, shape.channels, 8, 11), variance = real(dtype, shape.channels, 1, 3);
        std::vector<double> means(static_cast<size_t>(shape.statistics())), rstds(means);
        NormArgs args{.x = x.data(), .weight = weight.data(), .bias = bias.data(), .mean = means.data(), .rstd = rstds.data()};
        args.shape = shape, args.eps = 1e-5, args.momentum = 0.1, args.statistics = statistics, args.dtype = dtype;
        args.activation = shape.groups == shape.channels && shape.channels % 2 ? Activation::Relu : Activation::None;
        if (running) args.running_mean = mean.data(), args.running_var = variance.data();
        const std::function<void(const CpuTable&, NormArgs&)> prepare = [&](const CpuTable& table, NormArgs& mine) {
          lend(table, kernel::norm, mine, workspace);
        };
        // x - mean is rounded at 12, then scaled by rstd (a constant row: 1 / sqrt(eps)) and by a weight of at most 3.
        const double scale = shape.count() == 1 && statistics == Statistics::Centered ? 320 : 8;
        const double rounding = 12 * 3 * scale * 2 * epsilon(dtype);
        check_kernel(kernel::norm, args, &NormArgs::y, Array(dtype, shape.elements()), {4, rounding}, prepare);
        if (running || shape.groups != shape.channels || shape.count() * shape.batch < 2) continue;
        Array y(dtype, shape.elements());
        args.y = y.data();
        Array other = variance;
        args.running_var = other.data();
        check_kernel(kernel::norm, args, &NormArgs::running_mean, mean, {4, 12 * 4 * epsilon(dtype)}, prepare);
      }
}

void cases_norm_backward() {
  std::vector<std::byte> workspace;
  for (const NormShape& shape : kShapes)
    for (const DType dtype : {DType::Float32, DType::Float64})
      for (const Statistics statistics : {Statistics::Centered, Statistics::Uncentered, Statistics::Running}) {
        if (!exists(shape, statistics)) continue;
        const Array x = real(dtype, shape.elements()), dy = real(dtype, shape.elements(), -3, 3, 2);
        const Array weight = real(dtype, shape.channels), bias = real(dtype, shape.channels, -3, 3, 2);
        std::vector<double> means(static_cast<size_t>(shape.statistics()), 0.25), rstds(means.size(), 0.5);
        if (statistics == Statistics::Uncentered) std::fill(means.begin(), means.end(), 0.0);
        NormBackwardArgs args{.dy = dy.data(), .x = x.data(), .weight = weight.data(), .mean = means.data(), .rstd = rstds.data()};
        args.shape = shape, args.statistics = statistics, args.dtype = dtype;
        const std::function<void(const CpuTable&, NormBackwardArgs&)> prepare = [&](const CpuTable& table, NormBackwardArgs& mine) {
          lend(table, kernel::norm_backward, mine, workspace);
        };
        const double eps = epsilon(dtype);
        Array dx(dtype, shape.elements()), dweight(dtype, shape.channels), dbias(dtype, shape.channels);
        args.dx = dx.data(), args.dweight = dweight.data(), args.dbias = dbias.data();
        // Terms of at most rstd * weight * dy * max(1, z^2) = 0.5 * 3 * 3 * 2.7, in a handful of roundings.
        check_kernel(kernel::norm_backward, args, &NormBackwardArgs::dx, dx, {4, 12.2 * 16 * eps}, prepare);
        // Sums of n products of at most 3 * 1.7, with the hard bound of their rounding.
        const double n = static_cast<double>(shape.elements() / shape.channels);
        check_kernel(kernel::norm_backward, args, &NormBackwardArgs::dweight, dweight, {4, n * n * 5.1 * eps}, prepare);
        check_kernel(kernel::norm_backward, args, &NormBackwardArgs::dbias, dbias, {4, n * n * 3 * eps}, prepare);
      }
}

}  // namespace dnncore::test
