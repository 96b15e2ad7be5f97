// Largest elements of windows, and the gradient as a gather: every element looks for the windows that chose it. A thread has 16 bytes of
// channels of one pixel.
#include "kernels/pool_dim.h"
#include "pixels.h"

namespace dnncore::cuda {
namespace {

// Where in its window an output is: one byte or four.
struct Positions {
  void* data;
  bool wide;

  Positions(const PoolShape& s, const void* p) : data(const_cast<void*>(p)), wide(s.position_dtype() != DType::UInt8) {}
  template <int N>
  __device__ __forceinline__ void load(int64_t i, int (&tap)[N]) const {
    if (wide) {
      const auto pack = *reinterpret_cast<const Pack<int32_t, N>*>(static_cast<const int32_t*>(data) + i);
      for (int j = 0; j < N; ++j) tap[j] = pack.v[j];
    } else {
      const auto pack = *reinterpret_cast<const Pack<uint8_t, N>*>(static_cast<const uint8_t*>(data) + i);
      for (int j = 0; j < N; ++j) tap[j] = pack.v[j];
    }
  }
  template <int N>
  __device__ __forceinline__ void store(int64_t i, const int (&tap)[N]) const {
    if (wide) {
      Pack<int32_t, N> pack;
      for (int j = 0; j < N; ++j) pack.v[j] = tap[j];
      *reinterpret_cast<Pack<int32_t, N>*>(static_cast<int32_t*>(data) + i) = pack;
    } else {
      Pack<uint8_t, N> pack;
      for (int j = 0; j < N; ++j) pack.v[j] = static_cast<uint8_t>(tap[j]);
      *reinterpret_cast<Pack<uint8_t, N>*>(static_cast<uint8_t*>(data) + i) = pack;
    }
  }
};

struct Windows {
  PoolDims dims;
  Extent in, out, filter;
  int64_t c;
  Positions positions;

  Windows(const PoolShape& s, const void* p) : dims(s), in(s.in), out(s.out), filter(s.filter), c(s.c), positions(s, p) {}
};

template <class T, int N>
__global__ void __launch_bounds__(kBlock) max_forward(Windows s, Pixels outputs, const T* x, T* y) {
  for (int64_t i = global_thread(); i < outputs.count; i += grid_threads()) {
    const Pixel p = outputs.at(i);
    const Reach d = s.dims.d.reach(p.d), h = s.dims.h.reach(p.h), w = s.dims.w.reach(p.w);
    T largest[N];
    int tap[N];
#pragma unroll
    for (int j = 0; j < N; ++j) largest[j] = -std::numeric_limits<T>::infinity(), tap[j] = -1;
    for (int64_t fd = d.begin; fd < d.end; ++fd)
      for (int64_t fh = h.begin; fh < h.end; ++fh) {
        const int64_t row = (p.n * s.in.d + d.first + fd * s.dims.d.dilation) * s.in.h + h.first + fh * s.dims.h.dilation;
        const T* const from = x + (row * s.in.w + w.first) * s.c + p.c;
        const int first = static_cast<int>((fd * s.filter.h + fh) * s.filter.w);
#pragma unroll 4
        for (int64_t fw = w.begin; fw < w.end; ++fw) {
          const auto found = *reinterpret_cast<const Pack<T, N>*>(from + fw * s.dims.w.dilation * s.c);
#pragma unroll
          for (int j = 0; j < N; ++j)
            if (found.v[j] > largest[j] || found.v[j] != found.v[j] || tap[j] < 0) {
              largest[j] = found.v[j];
              tap[j] = first + static_cast<int>(fw);
            }
        }
      }
    Pack<T, N> result;
#pragma unroll
    for (int j = 0; j < N; ++j) result.v[j] = largest[j];
    *reinterpret_cast<Pack<T, N>*>(y + i * N) = result;
    if (s.positions.data != nullptr) s.positions.store(i * N, tap);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kBlock) max_backward(Windows s, Pixels inputs, const T* dy, T* dx) {
  for (int64_t i = global_thread(); i < inputs.count; i += grid_threads()) {
    const Pixel q = inputs.at(i);
    const Owners d = s.dims.d.owners(q.d), h = s.dims.h.owners(q.h), w = s.dims.w.owners(q.w);
    Pack<T, N> sum{};
    for (int64_t pd = d.begin; pd < d.end; ++pd)
      for (int64_t ph = h.begin; ph < h.end; ++ph) {
        const int64_t fd = s.dims.d.tap(pd, q.d), fh = s.dims.h.tap(ph, q.h);
        if (fd < 0 || fh < 0) continue;
        const int64_t row = ((q.n * s.out.d + pd) * s.out.h + ph) * s.out.w;
        for (int64_t pw = w.begin; pw < w.end; ++pw) {
          const int64_t fw = s.dims.w.tap(pw, q.w);
          if (fw < 0) continue;
          const int64_t at = (row + pw) * s.c + q.c;
          const int wanted = static_cast<int>((fd * s.filter.h + fh) * s.filter.w + fw);
          int tap[N];
          s.positions.load(at, tap);
          const auto gradient = *reinterpret_cast<const Pack<T, N>*>(dy + at);
#pragma unroll
          for (int j = 0; j < N; ++j) sum.v[j] += tap[j] == wanted ? gradient.v[j] : T(0);
        }
      }
    *reinterpret_cast<Pack<T, N>*>(dx + i * N) = sum;
  }
}

__global__ void __launch_bounds__(kBlock) max_indices(Windows s, Pixels outputs, int64_t* indices) {
  for (int64_t i = global_thread(); i < outputs.count; i += grid_threads()) {
    const Pixel p = outputs.at(i);
    int tap[1];
    s.positions.load(i, tap);
    const int width = static_cast<int>(s.filter.w), height = static_cast<int>(s.filter.h);
    const int fw = tap[0] % width, fh = tap[0] / width % height, fd = tap[0] / width / height;
    const int64_t d = s.dims.d.first(p.d) + fd * s.dims.d.dilation, h = s.dims.h.first(p.h) + fh * s.dims.h.dilation;
    indices[i] = (d * s.in.h + h) * s.in.w + s.dims.w.first(p.w) + fw * s.dims.w.dilation;
  }
}

}  // namespace

void max_pool(const MaxPoolArgs& args, cudaStream_t stream) {
  const PoolShape& s = args.shape;
  visit_pixels(
      s.dtype, s.n, s.out, s.c,
      [&](auto tag, auto pack, const Pixels& outputs) {
        using T = decltype(tag);
        launch_grid("max_pool", max_forward<T, pack>, blocks_for(outputs.count), kBlock, stream, 0, Windows(s, args.positions), outputs,
                    static_cast<const T*>(args.x), static_cast<T*>(args.y));
      },
      args.x, args.y, args.positions);
}

void max_pool_backward(const MaxPoolBackwardArgs& args, cudaStream_t stream) {
  const PoolShape& s = args.shape;
  visit_pixels(
      s.dtype, s.n, s.in, s.c,
      [&](auto tag, auto pack, const Pixels& inputs) {
        using T = decltype(tag);
        launch_grid("max_pool_backward", max_backward<T, pack>, blocks_for(inputs.count), kBlock, stream, 0, Windows(s, args.positions),
                    inputs, static_cast<const T*>(args.dy), static_cast<T*>(args.dx));
      },
      args.dy, args.dx, args.positions);
}

void max_pool_indices(const MaxPoolIndicesArgs& args, cudaStream_t stream) {
  const PoolShape& s = args.shape;
  const Pixels outputs(s.n, s.out, s.c, 1);
  if (outputs.count > 0)
    launch_grid("max_pool_indices", max_indices, blocks_for(outputs.count), kBlock, stream, 0, Windows(s, args.positions), outputs,
                args.indices);
}

}  // namespace dnncore::cuda
