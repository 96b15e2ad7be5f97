// Normalisation of adjacent elements: one read and one write of a row. Sums in float64 are free beside the memory's time on GPUs that have
// the units, and make the mean's size irrelevant.
#include "lines.h"
#include "norm_coefficients.h"

namespace dnncore::cuda {
namespace {

template <class T, class Group, int kept>
__global__ void __launch_bounds__(Group::kThreads) normalise_rows(NormArgs args) {
  const int64_t width = args.shape.channels / args.shape.groups, rows = args.shape.batch * args.shape.groups;
  const auto n = static_cast<double>(width);
  for (int64_t first = int64_t{blockIdx.x} * Group::kLines; first < rows; first += int64_t{gridDim.x} * Group::kLines) {
    const bool mine = first + Group::line() < rows;
    const int64_t row = mine ? first + Group::line() : rows - 1, channel = row % args.shape.groups * width;
    Line<Group, T, kept> x(static_cast<const T*>(args.x) + row * width, width, 1);
    double mean = 0;
    if (args.statistics == Statistics::Centered) {
      x.each([&](T v, int64_t) { mean += static_cast<double>(v); });
      mean = Group::joined(mean, Plus{}) / n;
    }
    TwoSums sums;  // of what is left of the mean, and of squares
    x.each([&](T v, int64_t) {
      const double d = static_cast<double>(v) - mean;
      sums.first += d, sums.second = std::fma(d, d, sums.second);
    });
    sums = Group::joined(sums, Plus{});
    if (args.statistics == Statistics::Centered) {
      mean += sums.first / n;
      sums.second -= sums.first * sums.first / n;
    }
    const double rstd = 1 / std::sqrt(sums.second / n + args.eps);
    if (!mine) continue;
    if (Group::rank() == 0) args.mean[row] = mean, args.rstd[row] = rstd;
    T* const y = static_cast<T*>(args.y) + row * width;
    const NormCoefficients<T> c = forward_coefficients<T>(mean, rstd, 1, 0);
    const T* const weight = args.weight == nullptr ? nullptr : static_cast<const T*>(args.weight) + channel;
    const T* const bias = args.bias == nullptr ? nullptr : static_cast<const T*>(args.bias) + channel;
    const auto finished = [&](T v, int64_t, T w, T b) {
      T value = normalised(c, v, Activation::None);
      if (weight != nullptr) value *= w;
      if (bias != nullptr) value += b;
      return value;
    };
    x.write(y, finished, weight, bias);
  }
}

template <class T, class Group, int kept>
__global__ void __launch_bounds__(Group::kThreads) slopes_of_rows(NormBackwardArgs args) {
  const int64_t width = args.shape.channels / args.shape.groups, rows = args.shape.batch * args.shape.groups;
  for (int64_t first = int64_t{blockIdx.x} * Group::kLines; first < rows; first += int64_t{gridDim.x} * Group::kLines) {
    const bool mine = first + Group::line() < rows;
    const int64_t row = mine ? first + Group::line() : rows - 1, channel = row % args.shape.groups * width;
    const T* const weight = args.weight == nullptr ? nullptr : static_cast<const T*>(args.weight) + channel;
    const double mean = args.mean[row], rstd = args.rstd[row];
    Line<Group, T, kept> dy(static_cast<const T*>(args.dy) + row * width, width, 1),
        x(static_cast<const T*>(args.x) + row * width, width, 1);
    TwoSums sums;
    dy.each_with(x, [&](T g, T v, int64_t j) {
      const double slope = static_cast<double>(weight == nullptr ? g : g * weight[j]);
      sums.first += slope, sums.second = std::fma(slope, static_cast<double>(v) - mean, sums.second);
    });
    sums = Group::joined(sums, Plus{});
    if (!mine) continue;
    const NormCoefficients<T> c = backward_coefficients<T>(args, mean, rstd, sums, 1, 0);
    T* const dx = static_cast<T*>(args.dx) + row * width;
    const auto slope = [&](T g, T v, int64_t, T w) { return slope_of_input(c, weight == nullptr ? g : g * w, v, Activation::None); };
    dy.write_with(x, dx, slope, weight);
  }
}

template <int lines_kept, class Args, class Launch>
void visit_kernels(const Args& args, const Launch& launch) {
  const auto with = [&](auto tag) {
    visit_rows<decltype(tag), lines_kept>(args.shape.width(), [&](auto group, auto kept) {
      using Group = decltype(group);
      launch(tag, group, kept, blocks_for_lines<Group>(args.shape.statistics()));
    });
  };
  args.dtype == DType::Float64 ? with(double{}) : with(float{});
}

}  // namespace

void norm_rows(const NormArgs& args, cudaStream_t stream) {
  visit_kernels<1>(args, [&](auto tag, auto group, auto kept, unsigned blocks) {
    using Group = decltype(group);
    launch_grid("norm", normalise_rows<decltype(tag), Group, decltype(kept)::value>, blocks, Group::kThreads, stream, 0, args);
  });
}

void norm_rows_backward(const NormBackwardArgs& args, cudaStream_t stream) {
  visit_kernels<2>(args, [&](auto tag, auto group, auto kept, unsigned blocks) {
    using Group = decltype(group);
    launch_grid("norm_backward", slopes_of_rows<decltype(tag), Group, decltype(kept)::value>, blocks, Group::kThreads, stream, 0, args);
  });
}

}  // namespace dnncore::cuda
