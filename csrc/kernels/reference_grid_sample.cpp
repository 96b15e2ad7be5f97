// Naive sampling at given places: element by element, in double; the places and weights in the tensor's type.
#include <vector>

#include "core/launch.h"
#include "kernels/grid_sample.h"
#include "kernels/grid_taps.h"

namespace dnncore::reference {

void grid_sample(const GridSampleArgs& args, const Tasks&);
void grid_sample_backward_input(const GridSampleBackwardInputArgs& args, const Tasks&);
void grid_sample_backward_grid(const GridSampleBackwardGridArgs& args, const Tasks&);

namespace {

// fn(point, element of x, weight, slopes), elements and points counted over all samples.
template <class T, class Fn>
void for_each_sampled(const GridShape& s, const void* grid, const void* tangent, Fn&& fn) {
  for (int64_t i = 0; i < s.n * s.points; ++i)
    for_each_grid_tap(s, static_cast<const T*>(grid), static_cast<const T*>(tangent), i, [&](int64_t at, T weight, const T* slopes) {
      fn(i, i / s.points * s.in.count() + at, static_cast<double>(weight), slopes);
    });
}

template <class T>
void write(const std::vector<double>& sums, void* to) {
  for (size_t i = 0; i < sums.size(); ++i) static_cast<T*>(to)[i] = static_cast<T>(sums[i]);
}

template <class T>
void sample_as(const GridSampleArgs& args) {
  const GridShape& s = args.shape;
  std::vector<double> sums(static_cast<size_t>(s.n * s.points * s.c));
  for_each_sampled<T>(s, args.grid, args.tangent, [&](int64_t i, int64_t at, double weight, const T*) {
    for (int64_t c = 0; c < s.c; ++c) sums[static_cast<size_t>(i * s.c + c)] += weight * static_cast<const T*>(args.x)[at * s.c + c];
  });
  write<T>(sums, args.y);
}

template <class T>
void sample_backward_input_as(const GridSampleBackwardInputArgs& args) {
  const GridShape& s = args.shape;
  std::vector<double> sums(static_cast<size_t>(s.n * s.in.count() * s.c));
  for_each_sampled<T>(s, args.grid, args.tangent, [&](int64_t i, int64_t at, double weight, const T*) {
    for (int64_t c = 0; c < s.c; ++c) sums[static_cast<size_t>(at * s.c + c)] += weight * static_cast<const T*>(args.dy)[i * s.c + c];
  });
  write<T>(sums, args.dx);
}

template <class T>
void sample_backward_grid_as(const GridSampleBackwardGridArgs& args) {
  const GridShape& s = args.shape;
  std::vector<double> sums(static_cast<size_t>(s.n * s.points * s.spatial));
  for_each_sampled<T>(s, args.grid, args.tangent, [&](int64_t i, int64_t at, double, const T* slopes) {
    double product = 0;
    for (int64_t c = 0; c < s.c; ++c)
      product += static_cast<double>(static_cast<const T*>(args.x)[at * s.c + c]) * static_cast<const T*>(args.dy)[i * s.c + c];
    for (int a = 0; a < s.spatial; ++a) sums[static_cast<size_t>(i * s.spatial + a)] += static_cast<double>(slopes[a]) * product;
  });
  write<T>(sums, args.dgrid);
}

}  // namespace

void grid_sample(const GridSampleArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? sample_as<double>(args) : sample_as<float>(args);
}

void grid_sample_backward_input(const GridSampleBackwardInputArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? sample_backward_input_as<double>(args) : sample_backward_input_as<float>(args);
}

void grid_sample_backward_grid(const GridSampleBackwardGridArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? sample_backward_grid_as<double>(args) : sample_backward_grid_as<float>(args);
}

}  // namespace dnncore::reference
