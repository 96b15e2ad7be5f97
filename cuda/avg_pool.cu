// Means of windows, and the gradient as a gather. A thread has 16 bytes of channels of one pixel; rows of a window are summed before they
// are added up, so that long sums keep their digits.
#include "kernels/pool_dim.h"
#include "pixels.h"

namespace dnncore::cuda {
namespace {

struct Windows {
  PoolDims dims;
  Extent in, out;
  int64_t c;
  PoolDivisor divisor;

  Windows(const PoolShape& s, const PoolDivisor& by) : dims(s), in(s.in), out(s.out), c(s.c), divisor(by) {}

  __device__ __forceinline__ int64_t elements(const PoolDim& dim, int64_t p) const {
    if (divisor.counts_padding && !dim.adaptive) {
      const int64_t first = dim.first(p);
      return std::min(first + dim.filter, dim.in + dim.pad) - first;
    }
    const Reach reach = dim.reach(p);
    return reach.end - reach.begin;
  }
  __device__ __forceinline__ int64_t elements(int64_t pd, int64_t ph, int64_t pw) const {
    return divisor.fixed != 0 ? divisor.fixed : elements(dims.d, pd) * elements(dims.h, ph) * elements(dims.w, pw);
  }
};

template <class T, int N>
__device__ __forceinline__ void add(Pack<T, N>& sum, const Pack<T, N>& more) {
#pragma unroll
  for (int j = 0; j < N; ++j) sum.v[j] += more.v[j];
}

template <class T, int N>
__global__ void __launch_bounds__(kBlock) avg_forward(Windows s, Pixels outputs, const T* x, T* y) {
  for (int64_t i = global_thread(); i < outputs.count; i += grid_threads()) {
    const Pixel p = outputs.at(i);
    const Reach d = s.dims.d.reach(p.d), h = s.dims.h.reach(p.h), w = s.dims.w.reach(p.w);
    Pack<T, N> sum{};
    for (int64_t fd = d.begin; fd < d.end; ++fd) {
      Pack<T, N> plane{};
      for (int64_t fh = h.begin; fh < h.end; ++fh) {
        const T* const from = x + (((p.n * s.in.d + d.first + fd) * s.in.h + h.first + fh) * s.in.w + w.first) * s.c + p.c;
        Pack<T, N> row[2] = {};
        int64_t fw = w.begin;
#pragma unroll 2
        for (; fw + 1 < w.end; fw += 2) {
          const auto even = *reinterpret_cast<const Pack<T, N>*>(from + fw * s.c);
          const auto odd = *reinterpret_cast<const Pack<T, N>*>(from + (fw + 1) * s.c);
          add(row[0], even), add(row[1], odd);
        }
        if (fw < w.end) add(row[0], *reinterpret_cast<const Pack<T, N>*>(from + fw * s.c));
        add(row[0], row[1]);
        add(plane, row[0]);
      }
      add(sum, plane);
    }
    const T by = static_cast<T>(s.elements(p.d, p.h, p.w));
#pragma unroll
    for (int j = 0; j < N; ++j) sum.v[j] /= by;
    *reinterpret_cast<Pack<T, N>*>(y + i * N) = sum;
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kBlock) avg_backward(Windows s, Pixels inputs, const T* dy, T* dx) {
  for (int64_t i = global_thread(); i < inputs.count; i += grid_threads()) {
    const Pixel q = inputs.at(i);
    const Owners d = s.dims.d.owners(q.d), h = s.dims.h.owners(q.h), w = s.dims.w.owners(q.w);
    Pack<T, N> sum{};
    for (int64_t pd = d.begin; pd < d.end; ++pd)
      for (int64_t ph = h.begin; ph < h.end; ++ph)
        for (int64_t pw = w.begin; pw < w.end; ++pw) {
          const auto gradient =
              *reinterpret_cast<const Pack<T, N>*>(dy + (((q.n * s.out.d + pd) * s.out.h + ph) * s.out.w + pw) * s.c + q.c);
          const T by = static_cast<T>(s.elements(pd, ph, pw));
#pragma unroll
          for (int j = 0; j < N; ++j) sum.v[j] += gradient.v[j] / by;
        }
    *reinterpret_cast<Pack<T, N>*>(dx + i * N) = sum;
  }
}

}  // namespace

void avg_pool(const AvgPoolArgs& args, cudaStream_t stream) {
  const PoolShape& s = args.shape;
  visit_pixels(
      s.dtype, s.n, s.out, s.c,
      [&](auto tag, auto pack, const Pixels& outputs) {
        using T = decltype(tag);
        launch_grid("avg_pool", avg_forward<T, pack>, blocks_for(outputs.count), kBlock, stream, 0, Windows(s, args.divisor), outputs,
                    static_cast<const T*>(args.x), static_cast<T*>(args.y));
      },
      args.x, args.y);
}

void avg_pool_backward(const AvgPoolBackwardArgs& args, cudaStream_t stream) {
  const PoolShape& s = args.shape;
  visit_pixels(
      s.dtype, s.n, s.in, s.c,
      [&](auto tag, auto pack, const Pixels& inputs) {
        using T = decltype(tag);
        launch_grid("avg_pool_backward", avg_backward<T, pack>, blocks_for(inputs.count), kBlock, stream, 0, Windows(s, args.divisor),
                    inputs, static_cast<const T*>(args.dy), static_cast<T*>(args.dx));
      },
      args.dy, args.dx);
}

}  // namespace dnncore::cuda
