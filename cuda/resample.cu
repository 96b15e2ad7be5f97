// Resampling by tables: a thread has 16 bytes of channels of one output.
#include "kernels/resample.h"

#include "pixels.h"

namespace dnncore::cuda {
namespace {

template <class T>
struct Tables {
  ResampleRows<T> d, h, w;
  explicit Tables(const ResampleArgs& args) : d(args.shape, args.table, 0), h(args.shape, args.table, 1), w(args.shape, args.table, 2) {}
};

template <class T, int N>
__global__ void __launch_bounds__(kBlock) resample_by(Tables<T> tables, Extent in, Pixels outputs, const T* x, T* y) {
  const int64_t c = outputs.size[0] * N;
  for (int64_t i = global_thread(); i < outputs.count; i += grid_threads()) {
    const Pixel p = outputs.at(i);
    const int first_d = tables.d.first[p.d], first_h = tables.h.first[p.h], first_w = tables.w.first[p.w];
    const int begin_d = tables.d.begin[p.d], begin_h = tables.h.begin[p.h], begin_w = tables.w.begin[p.w];
    const int count_d = tables.d.begin[p.d + 1] - begin_d, count_h = tables.h.begin[p.h + 1] - begin_h;
    const int count_w = tables.w.begin[p.w + 1] - begin_w;
    Pack<T, N> sum;
    const T start = count_d > 0 && count_h > 0 && count_w > 0 ? T(-0.0) : T(0);  // one element stays what it is
#pragma unroll
    for (int j = 0; j < N; ++j) sum.v[j] = start;
    for (int fd = 0; fd < count_d; ++fd)
      for (int fh = 0; fh < count_h; ++fh) {
        const T by = tables.d.all[begin_d + fd] * tables.h.all[begin_h + fh];
        const T* const from = x + (((p.n * in.d + first_d + fd) * in.h + first_h + fh) * in.w + first_w) * c + p.c;
#pragma unroll 2
        for (int fw = 0; fw < count_w; ++fw) {
          const T weight = by * tables.w.all[begin_w + fw];
          const auto found = *reinterpret_cast<const Pack<T, N>*>(from + fw * c);
#pragma unroll
          for (int j = 0; j < N; ++j) sum.v[j] += found.v[j] * weight;
        }
      }
    *reinterpret_cast<Pack<T, N>*>(y + i * N) = sum;
  }
}

}  // namespace

void resample(const ResampleArgs& args, cudaStream_t stream) {
  const ResampleShape& s = args.shape;
  visit_pixels(
      s.dtype, s.n, s.out(), s.c,
      [&](auto tag, auto pack, const Pixels& outputs) {
        using T = decltype(tag);
        launch_grid("resample", resample_by<T, pack>, blocks_for(outputs.count), kBlock, stream, 0, Tables<T>(args), s.in(), outputs,
                    static_cast<const T*>(args.x), static_cast<T*>(args.y));
      },
      args.x, args.y);
}

}  // namespace dnncore::cuda
