#include "kernels/softmax.h"

#include "lines.h"

namespace dnncore::cuda {
namespace {

template <class T, class Group, int kept>
__global__ void __launch_bounds__(Group::kThreads) softmax_lines(SoftmaxArgs args) {
  const int64_t lines = args.outer * args.inner, y_outer = (args.op == SoftmaxOp::logsumexp ? 1 : args.n) * args.inner;
  for (int64_t first = int64_t{blockIdx.x} * Group::kLines; first < lines; first += int64_t{gridDim.x} * Group::kLines) {
    // Groups past the end do the last line once more, and write nothing: whole warps meet in the sums.
    const bool mine = first + Group::line() < lines;
    const int64_t line = mine ? first + Group::line() : lines - 1, o = line / args.inner, i = line - o * args.inner;
    Line<Group, T, kept> x(static_cast<const T*>(args.x) + o * args.x_outer + i, args.n, args.inner);
    T* const y = static_cast<T*>(args.y) + o * y_outer + i;
    const PowerSum<T> sum = power_sum(x);
    if (!mine) continue;
    if (args.op == SoftmaxOp::softmax) {
      const T factor = 1 / sum.total();
      x.write(y, [&](T v, int64_t) { return std::exp(v - sum.largest) * factor; });
      continue;
    }
    const T log = std::log1p(sum.beyond_one());
    if (args.op == SoftmaxOp::log_softmax)
      x.write(y, [&](T v, int64_t) { return (v - sum.largest) - log; });
    else if (Group::rank() == 0)
      *y = std::fabs(sum.largest) == std::numeric_limits<T>::infinity() ? sum.largest : sum.largest + log;
  }
}

template <class T, class Group, int kept>
__global__ void __launch_bounds__(Group::kThreads) softmax_backward_lines(SoftmaxBackwardArgs args) {
  const int64_t lines = args.outer * args.inner;
  const bool logs = args.op == SoftmaxOp::log_softmax;
  for (int64_t first = int64_t{blockIdx.x} * Group::kLines; first < lines; first += int64_t{gridDim.x} * Group::kLines) {
    const bool mine = first + Group::line() < lines;
    const int64_t line = mine ? first + Group::line() : lines - 1, o = line / args.inner;
    const int64_t at = o * args.n * args.inner + line - o * args.inner;
    Line<Group, T, kept> dy(static_cast<const T*>(args.dy) + at, args.n, args.inner),
        y(static_cast<const T*>(args.y) + at, args.n, args.inner);
    T sum = 0;
    dy.each_with(y, [&](T g, T v, int64_t) { sum += logs ? g : g * v; });
    sum = Group::joined(sum, Plus{});
    T* const dx = static_cast<T*>(args.dx) + at;
    if (mine) dy.write_with(y, dx, [&](T g, T v, int64_t) { return logs ? g - std::exp(v) * sum : v * (g - sum); });
  }
}

template <int lines_kept, class Args, class Launch>
void visit_kernels(const Args& args, const Launch& launch) {
  const int64_t lines = args.outer * args.inner;
  if (lines == 0) return;
  const auto with = [&](auto tag) {
    const auto fn = [&](auto group, auto kept) {
      using Group = decltype(group);
      launch(tag, group, kept, blocks_for_lines<Group>(lines));
    };
    args.inner == 1 ? visit_rows<decltype(tag), lines_kept>(args.n, fn) : visit_columns<decltype(tag)>(args.n, fn);
  };
  args.dtype == DType::Float64 ? with(double{}) : with(float{});
}

}  // namespace

void softmax(const SoftmaxArgs& args, cudaStream_t stream) {
  visit_kernels<1>(args, [&](auto tag, auto group, auto kept, unsigned blocks) {
    using Group = decltype(group);
    launch_grid("softmax", softmax_lines<decltype(tag), Group, decltype(kept)::value>, blocks, Group::kThreads, stream, 0, args);
  });
}

void softmax_backward(const SoftmaxBackwardArgs& args, cudaStream_t stream) {
  visit_kernels<2>(args, [&](auto tag, auto group, auto kept, unsigned blocks) {
    using Group = decltype(group);
    launch_grid("softmax_backward", softmax_backward_lines<decltype(tag), Group, decltype(kept)::value>, blocks, Group::kThreads, stream, 0,
                args);
  });
}

}  // namespace dnncore::cuda
