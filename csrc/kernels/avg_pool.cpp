// Average pooling and its gradient, vectorised over the channels. The sum of a window is that of its rows, each summed by itself. Every
// element of dx is written once, as in max pooling.
#include "kernels/pool_windows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kManyTaps = 16;           // from here on windows are summed row by row
constexpr int64_t kMostChannels = 1 << 16;  // whose sums fit scratch memory

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

// Sum of a window; Width: elements across, where that is known.
template <int Vectors, int Width, class T>
DNN_INLINE void sum_window(const PoolShape& s, const T* image, const Reach& d, const Reach& h, const Reach& w, int64_t lanes,
                           Vec<T> (&sum)[kRegisters<Vectors>]) {
  using V = Vec<T>;
  constexpr int U = kRegisters<Vectors>;
  const int64_t across = Width == 0 ? w.end - w.begin : Width;
  for (V& v : sum) v = V::zero();
  for (int64_t fd = d.begin; fd < d.end; ++fd)
    for (int64_t fh = h.begin; fh < h.end; ++fh) {
      const T* x = image + (((d.first + fd) * s.in.h + h.first + fh) * s.in.w + w.first + w.begin) * s.c;
      V line[U];
      for (int u = 0; u < U; ++u) line[u] = load_channels<Vectors>(x + u * V::N, lanes);
      for (int64_t i = 1; i < across; ++i)
        for (int u = 0; u < U; ++u) line[u] = line[u] + load_channels<Vectors>(x + i * s.c + u * V::N, lanes);
      for (int u = 0; u < U; ++u) sum[u] = sum[u] + line[u];
    }
}

// The same sums, of all channels of a row before the next row: memory is read in its order. `sums` has room for the channels.
template <class T>
void sum_rows(const PoolShape& s, const T* image, const Reach& d, const Reach& h, const Reach& w, int64_t channels, T* sums) {
  for (int64_t fd = d.begin; fd < d.end; ++fd)
    for (int64_t fh = h.begin; fh < h.end; ++fh)
      for_channels<T>(
          channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
            Vec<T> line[kRegisters<vectors>];
            const T* next = image + (((d.first + fd) * s.in.h + h.first + fh + 1) * s.in.w + w.first + w.begin) * s.c + c;
            for (int64_t i = 0; i < w.end - w.begin; ++i)
              for (int u = 0; u < kRegisters<vectors>; ++u) __builtin_prefetch(next + i * s.c + u * Vec<T>::N, 0, 2);
            sum_window<vectors, 0>(s, image + c, {d.first, fd, fd + 1}, {h.first, fh, fh + 1}, w, lanes, line);
            const bool first = fd == d.begin && fh == h.begin;
            for (int u = 0; u < kRegisters<vectors>; ++u) {
              T* sum = sums + c + u * Vec<T>::N;
              store_channels<vectors>((first ? Vec<T>::zero() : load_channels<vectors>(sum, lanes)) + line[u], sum, lanes);
            }
          });
}

template <int Width, class T>
void forward_tiles(const AvgPoolArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const Divider<T> divide(args.divisor.fixed != 0 ? args.divisor.fixed : s.taps());
  for_each_tile<T>(
      s, tasks, [&](int64_t x, int64_t y, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        Vec<T> sum[1];
        sum_window<vectors, Width>(s, static_cast<const T*>(args.x) + x, {0, 0, 1}, {0, 0, s.filter.h}, {0, 0, s.filter.w}, lanes, sum);
        store_channels<vectors>(divide(sum[0]), static_cast<T*>(args.y) + y, lanes);
      });
}

template <bool kStream, class T>
void forward(const AvgPoolArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  for_each_block(window_blocks(s), tasks, [&](const PoolBlock& block) {
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
            Vec<T> sum[kRegisters<vectors>];
            if (w.end - w.begin == 2)
              sum_window<vectors, 2>(s, image + c, d, h, w, lanes, sum);
            else
              sum_window<vectors, 0>(s, image + c, d, h, w, lanes, sum);
            for (int u = 0; u < kRegisters<vectors>; ++u) put_channels<kStream, vectors>(divide(sum[u]), y + c + u * Vec<T>::N, lanes);
          });
    }
  });
}

template <class T>
void backward_tiles(const AvgPoolBackwardArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const Divider<T> divide(args.divisor.fixed != 0 ? args.divisor.fixed : s.taps());
  for_each_tile<T>(
      s, tasks, [&](int64_t x, int64_t y, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        const Vec<T> share = divide(load_channels<vectors>(static_cast<const T*>(args.dy) + y, lanes));
        T* dx = static_cast<T*>(args.dx) + x;
        for (int64_t fh = 0; fh < s.filter.h; ++fh, dx += s.in.w * s.c)
          for (int64_t fw = 0; fw < s.filter.w; ++fw) store_channels<vectors>(share, dx + fw * s.c, lanes);
      });
}

// A row of dx: what its windows lie above, and the divisors.
template <class T>
struct Row {
  const PoolShape& s;
  const PoolDims& dims;
  const PoolDivisor& divisor;
  const T* dy;  // of the image
  Owners d, h;

  Divider<T> divider(int64_t pd, int64_t ph, int64_t pw) const {
    if (divisor.fixed != 0) return Divider<T>(divisor.fixed);
    return Divider<T>(covered(dims.d, pd, divisor) * covered(dims.h, ph, divisor) * covered(dims.w, pw, divisor));
  }
  // Adds the gradient of window pw to every tap of its sums.
  template <int Vectors, int W>
  DNN_INLINE void add(int64_t pw, int64_t c, int64_t lanes, Vec<T> (&sum)[W][kRegisters<Vectors>]) const {
    for (int64_t pd = d.begin; pd < d.end; ++pd)
      for (int64_t ph = h.begin; ph < h.end; ++ph) {
        const Divider<T> divide = divider(pd, ph, pw);
        for (int u = 0; u < kRegisters<Vectors>; ++u) {
          const T* from = dy + ((pd * s.out.h + ph) * s.out.w + pw) * s.c + c + u * Vec<T>::N;
          const Vec<T> share = divide(load_channels<Vectors>(from, lanes));
          for (int f = 0; f < W; ++f) sum[f][u] = sum[f][u] + share;
        }
      }
  }
};

// The windows that hold an element, gathered.
template <bool kStream, int Vectors, class T>
DNN_INLINE void gather(const Row<T>& row, const PoolBlock& block, int64_t c, T* dx, int64_t lanes) {
  constexpr int U = kRegisters<Vectors>;
  Owners w = row.dims.w.owners(block.begin);
  for (int64_t qw = block.begin; qw < block.end; ++qw) {
    row.dims.w.advance(w, qw);
    Vec<T> sum[1][U];
    for (Vec<T>& v : sum[0]) v = Vec<T>::zero();
    for (int64_t pw = w.begin; pw < w.end; ++pw) row.template add<Vectors>(pw, c, lanes, sum);
    for (int u = 0; u < U; ++u) put_channels<kStream, Vectors>(sum[0][u], dx + qw * row.s.c + u * Vec<T>::N, lanes);
  }
}

template <bool kStream, int Vectors, int W, int S, class T>
DNN_INLINE void overlap(const Row<T>& row, const PoolBlock& block, int64_t c, T* dx, int64_t lanes) {
  give_to_overlapping<kStream, Vectors, W, S>(
      row.dims.w, block, row.s.c, dx, lanes, [&](int64_t pw, Vec<T>(&sum)[W][kRegisters<Vectors>]) __attribute__((always_inline)) {
        row.template add<Vectors>(pw, c, lanes, sum);
      });
}

// Those of all elements of a window.
template <int Vectors, class T>
struct Gradients {
  Vec<T> of[kRegisters<Vectors>];

  DNN_INLINE Gradients(const T* dy, const Divider<T>& divide, int64_t lanes) {
    for (int u = 0; u < kRegisters<Vectors>; ++u) of[u] = divide(load_channels<Vectors>(dy + u * Vec<T>::N, lanes));
  }
  DNN_INLINE Vec<T> operator()(int u, int64_t) const { return of[u]; }
};

// One row of windows above a row of dx, which share no element.
template <bool kStream, class T>
void give(const Row<T>& row, const PoolBlock& block, T* dx) {
  const PoolShape& s = row.s;
  const T* const dy = row.dy + (row.d.begin * s.out.h + row.h.begin) * s.out.w * s.c + block.c;
  const bool top = row.dims.h.tap(row.h.begin, block.row % s.in.h) == 0;
  give_to_disjoint<kStream>(
      row.dims.w, block, s.c, dx, [&](int64_t pw, int64_t i, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        const Divider<T> divide = row.divider(row.d.begin, row.h.begin, pw);
        const T* const from = dy + pw * s.c + i;
        if (top) prefetch_channels<vectors>(from + s.out.w * s.c);
        return Gradients<vectors, T>(from, divide, lanes);
      });
}

template <bool kStream, class T>
void backward(const AvgPoolBackwardArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  for_each_block(gradient_blocks(s), tasks, [&](const PoolBlock& block) {
    const Row<T> row{s,
                     dims,
                     args.divisor,
                     static_cast<const T*>(args.dy) + block.row / (s.in.h * s.in.d) * s.out.count() * s.c,
                     dims.d.owners(block.row / s.in.h % s.in.d),
                     dims.h.owners(block.row % s.in.h)};
    T* const dx = static_cast<T*>(args.dx) + block.row * s.in.w * s.c + block.c;
    const bool one = row.d.end - row.d.begin == 1 && row.h.end - row.h.begin == 1;
    if (!s.adaptive && one && s.filter.w <= s.stride.w) return give<kStream>(row, block, dx);
    for_channels<T>(
        block.channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
          if (!s.adaptive && s.filter.w == 3 && s.stride.w == 2)
            overlap<kStream, vectors, 3, 2>(row, block, block.c + c, dx + c, lanes);
          else if (!s.adaptive && s.filter.w == 3 && s.stride.w == 1)
            overlap<kStream, vectors, 3, 1>(row, block, block.c + c, dx + c, lanes);
          else
            gather<kStream, vectors>(row, block, block.c + c, dx + c, lanes);
        });
  });
}

template <class T>
void forward_of(const AvgPoolArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  if (are_few_tiles(s)) return s.filter.w == 2 ? forward_tiles<2, T>(args, tasks) : forward_tiles<0, T>(args, tasks);
  with_stream(pool_streams(args.y, s.y_bytes(), s.c, s.dtype, tasks), [&](auto stream) { forward<stream(), T>(args, tasks); });
}

template <class T>
void backward_of(const AvgPoolBackwardArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  if (are_few_tiles(s)) return backward_tiles<T>(args, tasks);
  with_stream(pool_streams(args.dx, s.x_bytes(), s.c, s.dtype, tasks), [&](auto stream) { backward<stream(), T>(args, tasks); });
}

}  // namespace

void avg_pool(const AvgPoolArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? forward_of<double>(args, tasks) : forward_of<float>(args, tasks);
}

Schedule avg_pool_schedule(const AvgPoolArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(window_blocks(s), 0.03 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

void avg_pool_backward(const AvgPoolBackwardArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward_of<double>(args, tasks) : backward_of<float>(args, tasks);
}

Schedule avg_pool_backward_schedule(const AvgPoolBackwardArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(gradient_blocks(s), 0.03 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

}  // namespace dnncore::DNNCORE_ISA
