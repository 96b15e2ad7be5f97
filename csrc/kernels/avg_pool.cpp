// Average pooling and its gradient, vectorised over the channels. The sum of a window is that of its rows, each summed by itself. The
// gradient gathers: every element of dx is written once, by adding up the windows that hold it.
#include "kernels/pool_windows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

int64_t covered(const PoolDim& dim, int64_t p, const PoolDivisor& divisor) {
  const int64_t first = dim.first(p);
  if (dim.adaptive) return dim.last(p) + 1 - first;
  if (divisor.counts_padding) return std::min(dim.filter, dim.in + dim.pad - first);
  return std::min(first + dim.filter, dim.in) - std::max<int64_t>(first, 0);
}

// Division by a number; by a power of two a product, which is as exact.
template <class T>
struct Divider {
  Vec<T> by;
  bool multiplies;

  explicit Divider(int64_t count)
      : by(Vec<T>::set((count & (count - 1)) == 0 ? T(1) / static_cast<T>(count) : static_cast<T>(count))),
        multiplies((count & (count - 1)) == 0) {}
  DNN_INLINE Vec<T> operator()(Vec<T> x) const { return multiplies ? x * by : x / by; }
};

template <class T>
void forward(const AvgPoolArgs& args, const Tasks& tasks) {
  using V = Vec<T>;
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  for_each_block(PoolBlocks(s.n * s.out.d * s.out.h, s.out, s.c, s.taps()), tasks, [&](const PoolBlock& block) {
    const int64_t ph = block.row % s.out.h, pd = block.row / s.out.h % s.out.d;
    const T* image = static_cast<const T*>(args.x) + block.row / (s.out.h * s.out.d) * s.in.count() * s.c + block.c;
    const Reach d = dims.d.reach(pd), h = dims.h.reach(ph);
    const int64_t rows = args.divisor.fixed != 0 ? 0 : covered(dims.d, pd, args.divisor) * covered(dims.h, ph, args.divisor);
    for (int64_t pw = block.begin; pw < block.end; ++pw) {
      const Reach w = dims.w.reach(pw);
      const Divider<T> divide(args.divisor.fixed != 0 ? args.divisor.fixed : rows * covered(dims.w, pw, args.divisor));
      T* y = static_cast<T*>(args.y) + (block.row * s.out.w + pw) * s.c + block.c;
      for_channels<T>(
          block.channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
            constexpr int U = kRegisters<vectors>;
            V sum[U];
            for (V& v : sum) v = V::zero();
            for (int64_t fd = d.begin; fd < d.end; ++fd)
              for (int64_t fh = h.begin; fh < h.end; ++fh) {
                const T* x = image + (((d.first + fd) * s.in.h + h.first + fh) * s.in.w + w.first + w.begin) * s.c + c;
                V line[U];
                for (int u = 0; u < U; ++u) line[u] = load_channels<vectors>(x + u * V::N, lanes);
                for (int64_t fw = w.begin + 1; fw < w.end; ++fw) {
                  x += s.c;
                  for (int u = 0; u < U; ++u) line[u] = line[u] + load_channels<vectors>(x + u * V::N, lanes);
                }
                for (int u = 0; u < U; ++u) sum[u] = sum[u] + line[u];
              }
            for (int u = 0; u < U; ++u) store_channels<vectors>(divide(sum[u]), y + c + u * V::N, lanes);
          });
    }
  });
}

// Whether windows [begin, end) all cover as much as a whole one.
bool all_whole(const PoolDim& dim, const Owners& owners, const PoolDivisor& divisor) {
  if (dim.adaptive || owners.begin == owners.end) return false;
  return covered(dim, owners.begin, divisor) == dim.filter && covered(dim, owners.end - 1, divisor) == dim.filter;
}

template <class T>
void backward(const AvgPoolBackwardArgs& args, const Tasks& tasks) {
  using V = Vec<T>;
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  const PoolDivisor& divisor = args.divisor;
  const bool fixed = divisor.fixed != 0;
  const Divider<T> whole(fixed ? divisor.fixed : s.taps());
  for_each_block(PoolBlocks(s.n * s.in.d * s.in.h, s.in, s.c, 1), tasks, [&](const PoolBlock& block) {
    const int64_t qh = block.row % s.in.h, qd = block.row / s.in.h % s.in.d;
    const Owners d = dims.d.owners(qd), h = dims.h.owners(qh);
    const bool rows_whole = fixed || (all_whole(dims.d, d, divisor) && all_whole(dims.h, h, divisor));
    const T* image = static_cast<const T*>(args.dy) + block.row / (s.in.h * s.in.d) * s.out.count() * s.c + block.c;
    Owners w = dims.w.owners(block.begin);
    for (int64_t qw = block.begin; qw < block.end; ++qw) {
      dims.w.advance(w, qw);
      const bool one_divisor = fixed || (rows_whole && all_whole(dims.w, w, divisor));
      T* dx = static_cast<T*>(args.dx) + (block.row * s.in.w + qw) * s.c + block.c;
      for_channels<T>(
          block.channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
            constexpr int U = kRegisters<vectors>;
            V sum[U];
            for (V& v : sum) v = V::zero();
            for (int64_t pd = d.begin; pd < d.end; ++pd)
              for (int64_t ph = h.begin; ph < h.end; ++ph) {
                const T* dy = image + ((pd * s.out.h + ph) * s.out.w + w.begin) * s.c + c;
                for (int64_t pw = w.begin; pw < w.end; ++pw, dy += s.c) {
                  if (one_divisor) {
                    for (int u = 0; u < U; ++u) sum[u] = sum[u] + load_channels<vectors>(dy + u * V::N, lanes);
                    continue;
                  }
                  const Divider<T> divide(covered(dims.d, pd, divisor) * covered(dims.h, ph, divisor) * covered(dims.w, pw, divisor));
                  for (int u = 0; u < U; ++u) sum[u] = sum[u] + divide(load_channels<vectors>(dy + u * V::N, lanes));
                }
              }
            for (int u = 0; u < U; ++u) store_channels<vectors>(one_divisor ? whole(sum[u]) : sum[u], dx + c + u * V::N, lanes);
          });
    }
  });
}

}  // namespace

void avg_pool(const AvgPoolArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? forward<double>(args, tasks) : forward<float>(args, tasks);
}

Schedule avg_pool_schedule(const AvgPoolArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(PoolBlocks(s.n * s.out.d * s.out.h, s.out, s.c, s.taps()), 0.03 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

void avg_pool_backward(const AvgPoolBackwardArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward<double>(args, tasks) : backward<float>(args, tasks);
}

Schedule avg_pool_backward_schedule(const AvgPoolBackwardArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(PoolBlocks(s.n * s.in.d * s.in.h, s.in, s.c, 1), 0.03 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

}  // namespace dnncore::DNNCORE_ISA
