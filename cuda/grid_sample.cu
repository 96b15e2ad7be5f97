// Sampling at given places. Forward: a thread has 16 bytes of channels of one point. The gradient by x: a block owns some elements of x and
// goes through the points in order, keeps the weights that fall on its elements in a list, and every thread adds up what is its own. The
// gradient by the grid: a group of lanes for each point.
#include "kernels/grid_taps.h"
#include "pixels.h"

namespace dnncore::cuda {
namespace {

template <class T>
struct Places {
  GridShape shape;
  const T *grid, *tangent;

  template <class Args>
  explicit Places(const Args& args)
      : shape(args.shape), grid(static_cast<const T*>(args.grid)), tangent(static_cast<const T*>(args.tangent)) {}
};

template <class T, int N>
__global__ void __launch_bounds__(kBlock) sample(Places<T> places, Pixels outputs, const T* x, T* y) {
  const GridShape& s = places.shape;
  const int64_t elements = s.in.d * s.in.h * s.in.w;
  for (int64_t i = global_thread(); i < outputs.count; i += grid_threads()) {
    const Pixel p = outputs.at(i);
    const T* const from = x + p.n * elements * s.c + p.c;
    Pack<T, N> sum{};
    for_each_grid_tap(s, places.grid, places.tangent, p.n * s.points + p.w, [&](int64_t at, T weight, const T*) {
      const auto found = *reinterpret_cast<const Pack<T, N>*>(from + at * s.c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum.v[j] += weight * found.v[j];
    });
    *reinterpret_cast<Pack<T, N>*>(y + i * N) = sum;
  }
}

constexpr int kOwned = 128;    // elements of x, points looked at together, and threads of a block
constexpr int kMostTaps = 16;  // of one point
constexpr int kChannels = 8;   // of one thread
constexpr int kOwnedWarps = kOwned / 32;

template <class T>
struct TapList {
  uint16_t element[kOwned * kMostTaps], point[kOwned * kMostTaps];
  T weight[kOwned * kMostTaps];
  int totals[2][kOwnedWarps];
};

template <class T>
__global__ void __launch_bounds__(kOwned) scatter_taps(Places<T> places, int64_t tiles, int64_t slices, const T* dy, T* dx) {
  __shared__ TapList<T> list;
  const GridShape& s = places.shape;
  const int64_t elements = s.in.d * s.in.h * s.in.w, blocks = s.n * slices * tiles;
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int parity = 0;
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    const int64_t first = block % tiles * kOwned, c = block / tiles % slices * kChannels, n = block / tiles / slices;
    const int channels = static_cast<int>(std::min<int64_t>(kChannels, s.c - c));
    T sum[kChannels] = {};
    for (int64_t base = 0; base < s.points; base += kOwned) {
      const int64_t point = base + threadIdx.x;
      const auto visit = [&](auto&& fn) {
        if (point >= s.points) return;
        for_each_grid_tap(s, places.grid, places.tangent, n * s.points + point, [&](int64_t at, T weight, const T*) {
          if (at >= first && at < first + kOwned) fn(static_cast<uint16_t>(at - first), weight);
        });
      };
      int count = 0;
      visit([&](uint16_t, T) { ++count; });
      int place = count;  // becomes the sum up to this thread
      for (unsigned by = 1; by < 32; by *= 2) {
        const int other = __shfl_up_sync(kAllLanes, place, by);
        if (lane >= by) place += other;
      }
      if (lane == 31) list.totals[parity][warp] = place;
      __syncthreads();
      place -= count;
      int listed = 0;
      for (unsigned w = 0; w < kOwnedWarps; ++w) {
        if (w < warp) place += list.totals[parity][w];
        listed += list.totals[parity][w];
      }
      parity ^= 1;
      if (listed == 0) continue;
      if (count > 0)
        visit([&](uint16_t element, T weight) {
          list.element[place] = element, list.point[place] = static_cast<uint16_t>(threadIdx.x), list.weight[place] = weight;
          ++place;
        });
      __syncthreads();
      for (int i = 0; i < listed; ++i) {
        if (list.element[i] != threadIdx.x) continue;
        const T* const from = dy + (n * s.points + base + list.point[i]) * s.c + c;
#pragma unroll
        for (int j = 0; j < kChannels; ++j)
          if (j < channels) sum[j] += list.weight[i] * from[j];
      }
      __syncthreads();
    }
    if (first + threadIdx.x < elements) {
      T* const to = dx + (n * elements + first + threadIdx.x) * s.c + c;
#pragma unroll
      for (int j = 0; j < kChannels; ++j)
        if (j < channels) to[j] = sum[j];
    }
  }
}

// `lanes`, a power of two up to 32, share the channels of a point.
template <class T>
__global__ void __launch_bounds__(kBlock) grid_gradient(Places<T> places, int lanes, const T* x, const T* dy, T* dgrid) {
  const GridShape& s = places.shape;
  const int64_t elements = s.in.d * s.in.h * s.in.w, points = s.n * s.points;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  for (int64_t base = global_thread() / 32 * (32 / lanes); base < points; base += grid_threads() / lanes) {
    const int64_t i = base + threadIdx.x % 32 / lanes;
    T sum[3] = {};
    if (i < points)
      for_each_grid_tap(s, places.grid, places.tangent, i, [&](int64_t at, T, const T* slopes) {
        const T* const from = x + (i / s.points * elements + at) * s.c;
        T product = 0;
        for (int64_t c = lane; c < s.c; c += lanes) product += from[c] * dy[i * s.c + c];
#pragma unroll
        for (int a = 0; a < 3; ++a) sum[a] += slopes[a] * product;
      });
    for (int by = lanes / 2; by > 0; by /= 2)
#pragma unroll
      for (int a = 0; a < 3; ++a) sum[a] += __shfl_xor_sync(kAllLanes, sum[a], by);
#pragma unroll
    for (int a = 0; a < 3; ++a)
      if (lane == 0 && i < points && a < s.spatial) dgrid[i * s.spatial + a] = sum[a];
  }
}

}  // namespace

void grid_sample(const GridSampleArgs& args, cudaStream_t stream) {
  const GridShape& s = args.shape;
  visit_pixels(
      s.dtype, s.n, {1, 1, s.points}, s.c,
      [&](auto tag, auto pack, const Pixels& outputs) {
        using T = decltype(tag);
        launch_grid("grid_sample", sample<T, pack>, blocks_for(outputs.count), kBlock, stream, 0, Places<T>(args), outputs,
                    static_cast<const T*>(args.x), static_cast<T*>(args.y));
      },
      args.x, args.y);
}

void grid_sample_backward_input(const GridSampleBackwardInputArgs& args, cudaStream_t stream) {
  const GridShape& s = args.shape;
  const int64_t tiles = (s.in.count() + kOwned - 1) / kOwned, slices = (s.c + kChannels - 1) / kChannels;
  if (s.n * slices * tiles == 0) return;
  const auto with = [&](auto tag) {
    using T = decltype(tag);
    launch_grid("grid_sample_backward_input", scatter_taps<T>, blocks_for(s.n * slices * tiles, 1), kOwned, stream, 0, Places<T>(args),
                tiles, slices, static_cast<const T*>(args.dy), static_cast<T*>(args.dx));
  };
  s.dtype == DType::Float64 ? with(double{}) : with(float{});
}

void grid_sample_backward_grid(const GridSampleBackwardGridArgs& args, cudaStream_t stream) {
  const GridShape& s = args.shape;
  if (s.n * s.points == 0) return;
  int lanes = 1;
  while (lanes < 32 && lanes < s.c) lanes *= 2;
  const auto with = [&](auto tag) {
    using T = decltype(tag);
    launch_grid("grid_sample_backward_grid", grid_gradient<T>, blocks_for(s.n * s.points * lanes), kBlock, stream, 0, Places<T>(args),
                lanes, static_cast<const T*>(args.x), static_cast<const T*>(args.dy), static_cast<T*>(args.dgrid));
  };
  s.dtype == DType::Float64 ? with(double{}) : with(float{});
}

}  // namespace dnncore::cuda
