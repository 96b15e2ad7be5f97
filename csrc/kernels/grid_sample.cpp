// Sampling at given places and its gradients, vectorised over the channels.
#include "kernels/grid_sample.h"

#include "kernels/grid_taps.h"
#include "kernels/pool_windows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int kMostTaps = 16;
constexpr int64_t kPlaceCost = 64;  // of finding the taps, in elements

template <class T>
struct Tap {
  const T* x;
  T weight;
};

template <class T>
void forward(const GridSampleArgs& args, const Tasks& tasks) {
  using V = Vec<T>;
  const GridShape& s = args.shape;
  const int64_t per_task = rows_per_task(s.c + kPlaceCost), end = std::min(s.n * s.points, tasks.end * per_task);
  for (int64_t i = tasks.begin * per_task; i < end; ++i) {
    const T* x = static_cast<const T*>(args.x) + i / s.points * s.in.count() * s.c;
    T* y = static_cast<T*>(args.y) + i * s.c;
    Tap<T> taps[kMostTaps];
    int count = 0;
    for_each_grid_tap(s, static_cast<const T*>(args.grid), static_cast<const T*>(args.tangent), i, [&](int64_t at, T weight, const T*) {
      taps[count++] = {x + at * s.c, weight};
    });
    for_channels<T>(
        s.c, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
          constexpr int U = kRegisters<vectors>;
          V sum[U];
          for (V& v : sum) v = V::zero();
          for (int t = 0; t < count; ++t) {
            const V by = V::set(taps[t].weight);
            for (int u = 0; u < U; ++u) sum[u] = fma(load_channels<vectors>(taps[t].x + c + u * V::N, lanes), by, sum[u]);
          }
          for (int u = 0; u < U; ++u) store_channels<vectors>(sum[u], y + c + u * V::N, lanes);
        });
  }
}

// A task owns some channels of a sample and goes through its points: enough slices for 16 tasks, of whole vectors.
int64_t slice_of(const GridShape& s) { return std::clamp<int64_t>((s.n * s.c / 16 + 15) / 16 * 16, 16, 256); }
int64_t slices_of(const GridShape& s) { return (s.c + slice_of(s) - 1) / slice_of(s); }

template <class T>
void backward_input(const GridSampleBackwardInputArgs& args, const Tasks& tasks) {
  using V = Vec<T>;
  const GridShape& s = args.shape;
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    const int64_t sample = task / slices_of(s), first = task % slices_of(s) * slice_of(s), channels = std::min(slice_of(s), s.c - first);
    T* dx = static_cast<T*>(args.dx) + sample * s.in.count() * s.c + first;
    for (int64_t q = 0; q < s.in.count(); ++q) std::memset(dx + q * s.c, 0, static_cast<size_t>(channels) * sizeof(T));
    for (int64_t i = sample * s.points; i < (sample + 1) * s.points; ++i) {
      const T* dy = static_cast<const T*>(args.dy) + i * s.c + first;
      for_each_grid_tap(s, static_cast<const T*>(args.grid), static_cast<const T*>(args.tangent), i, [&](int64_t at, T weight, const T*) {
        const V by = V::set(weight);
        for_channels<T>(
            channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
              for (int u = 0; u < kRegisters<vectors>; ++u) {
                T* to = dx + at * s.c + c + u * V::N;
                store_channels<vectors>(fma(load_channels<vectors>(dy + c + u * V::N, lanes), by, load_channels<vectors>(to, lanes)), to,
                                        lanes);
              }
            });
      });
    }
  }
}

template <class T>
DNN_INLINE T dot(const T* a, const T* b, int64_t n) {
  using V = Vec<T>;
  V sum = V::zero();
  for_channels<T>(
      n, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        for (int u = 0; u < kRegisters<vectors>; ++u)
          sum = fma(load_channels<vectors>(a + c + u * V::N, lanes), load_channels<vectors>(b + c + u * V::N, lanes), sum);
      });
  return reduce_add(sum);
}

template <class T>
void backward_grid(const GridSampleBackwardGridArgs& args, const Tasks& tasks) {
  const GridShape& s = args.shape;
  const int64_t per_task = rows_per_task(s.c + kPlaceCost), end = std::min(s.n * s.points, tasks.end * per_task);
  for (int64_t i = tasks.begin * per_task; i < end; ++i) {
    const T* x = static_cast<const T*>(args.x) + i / s.points * s.in.count() * s.c;
    const T* dy = static_cast<const T*>(args.dy) + i * s.c;
    T sum[3] = {};
    for_each_grid_tap(s, static_cast<const T*>(args.grid), static_cast<const T*>(args.tangent), i, [&](int64_t at, T, const T* slopes) {
      const T product = dot(x + at * s.c, dy, s.c);
      for (int a = 0; a < 3; ++a) sum[a] += slopes[a] * product;
    });
    std::copy_n(sum, s.spatial, static_cast<T*>(args.dgrid) + i * s.spatial);
  }
}

Schedule by_points(const GridShape& s) {
  Schedule schedule;
  const int64_t per_task = rows_per_task(s.c + kPlaceCost);
  schedule.tasks[0] = (s.n * s.points + per_task - 1) / per_task;
  schedule.nanoseconds = static_cast<double>(s.n * s.points * (s.c + kPlaceCost));
  return schedule;
}

}  // namespace

void grid_sample(const GridSampleArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? forward<double>(args, tasks) : forward<float>(args, tasks);
}
Schedule grid_sample_schedule(const GridSampleArgs& args) { return by_points(args.shape); }

void grid_sample_backward_input(const GridSampleBackwardInputArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward_input<double>(args, tasks) : backward_input<float>(args, tasks);
}
Schedule grid_sample_backward_input_schedule(const GridSampleBackwardInputArgs& args) {
  Schedule schedule = by_points(args.shape);
  schedule.tasks[0] = args.shape.n * slices_of(args.shape);
  return schedule;
}

void grid_sample_backward_grid(const GridSampleBackwardGridArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward_grid<double>(args, tasks) : backward_grid<float>(args, tasks);
}
Schedule grid_sample_backward_grid_schedule(const GridSampleBackwardGridArgs& args) { return by_points(args.shape); }

}  // namespace dnncore::DNNCORE_ISA
