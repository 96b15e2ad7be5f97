// A row is read once; the loss, its gradient and the weight of the row come of it.
#include "kernels/cross_entropy.h"

#include "lines.h"

namespace dnncore::cuda {
namespace {

// b of the contract without the target's own term.
template <class T>
struct Common {
  const T* weight;
  const T* q;
  T even, share;

  __device__ Common(const CrossEntropyArgs& args, const T* probabilities)
      : weight(static_cast<const T*>(args.weight)),
        q(probabilities),
        even(static_cast<T>(args.smoothing / static_cast<double>(args.classes))),
        share(static_cast<T>(1 - args.smoothing)) {}
  __device__ T operator()(int64_t j) const {
    const T b = q == nullptr ? even : std::fma(q[j], share, even);
    return weight == nullptr ? b : b * weight[j];
  }
};

template <class Group, class T, int kept>
__device__ __forceinline__ void write_row(const CrossEntropyArgs& args, int64_t row, bool mine) {
  constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();
  const T* const x = static_cast<const T*>(args.x) + row * args.x_row;
  T* const dx = args.dx == nullptr ? nullptr : static_cast<T*>(args.dx) + row * args.classes;
  const T* const q = args.probabilities == nullptr ? nullptr : static_cast<const T*>(args.probabilities) + row * args.classes;
  Line<Group, T, kept> line(x, args.classes, 1);
  const PowerSum<T> sum = power_sum(line);
  const int64_t target = q == nullptr ? args.target[row] : -1;
  const bool ignored = q == nullptr && target == args.ignore_index;
  const bool in_range = q != nullptr || (target >= 0 && target < args.classes);
  const T weight = q == nullptr && in_range && args.weight != nullptr ? static_cast<const T*>(args.weight)[target] : T(1);
  const T own = q != nullptr || !in_range ? T(0) : static_cast<T>((1 - args.smoothing) * static_cast<double>(weight));
  // mass = sum of b, below = sum of b (largest - x).
  double mass = own, below = 0;
  if (own != 0) below = static_cast<double>(own) * (static_cast<double>(sum.largest) - static_cast<double>(x[target]));
  const bool dense = args.smoothing != 0 || q != nullptr;
  const Common<T> common(args, q);
  if (dense) {
    double common_mass = 0, common_below = 0;
    line.each([&](T v, int64_t j) {
      const T b = common(j);
      common_mass += static_cast<double>(b);
      common_below += static_cast<double>(b * (sum.largest - v));
    });
    mass += Group::joined(common_mass, Plus{});
    below += Group::joined(common_below, Plus{});
  }
  const bool bad = !in_range || !(std::fabs(sum.largest) < std::numeric_limits<T>::infinity());
  if (!mine) return;
  if (Group::rank() == 0) {
    const double loss = mass * static_cast<double>(std::log1p(sum.beyond_one())) + below;
    if (args.loss != nullptr) static_cast<T*>(args.loss)[row] = ignored ? T(0) : bad ? kNaN : static_cast<T>(loss);
    if (args.row_weight != nullptr) static_cast<T*>(args.row_weight)[row] = ignored ? T(0) : weight;
  }
  if (dx == nullptr) return;
  const T factor = static_cast<T>(args.scale * mass / static_cast<double>(sum.total())), scale = static_cast<T>(args.scale);
  line.write(dx, [&](T v, int64_t j) {
    T slope = std::exp(v - sum.largest);
    if (j == target && !dense)  // softmax - 1 without cancellation: minus what all the others have
      slope = (v == sum.largest ? -sum.beyond_one() : slope - sum.total()) * factor;
    else
      slope = std::fma(slope, factor, dense ? -scale * common(j) : T(0)) - (j == target ? scale * own : T(0));
    return ignored ? T(0) : bad ? kNaN : slope;
  });
}

template <class T, class Group, int kept>
__global__ void __launch_bounds__(Group::kThreads) cross_entropy_rows(CrossEntropyArgs args) {
  for (int64_t first = int64_t{blockIdx.x} * Group::kLines; first < args.rows; first += int64_t{gridDim.x} * Group::kLines) {
    // Groups past the end do the last row once more, and write nothing: whole warps meet in the sums.
    const int64_t row = first + Group::line();
    write_row<Group, T, kept>(args, std::min(row, args.rows - 1), row < args.rows);
  }
}

template <class T>
void run(const CrossEntropyArgs& args, cudaStream_t stream) {
  visit_rows<T, 1>(args.classes, [&](auto group, auto kept) {
    using Group = decltype(group);
    launch_grid("cross_entropy", cross_entropy_rows<T, Group, decltype(kept)::value>, blocks_for_lines<Group>(args.rows), Group::kThreads,
                stream, 0, args);
  });
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args, cudaStream_t stream) {
  if (args.rows == 0) return;
  args.dtype == DType::Float64 ? run<double>(args, stream) : run<float>(args, stream);
}

}  // namespace dnncore::cuda
