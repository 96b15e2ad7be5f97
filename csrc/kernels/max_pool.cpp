// Max pooling and its gradient, vectorised over the channels. Every element of dx is written once: windows that share no element give to
// theirs, 3 x 3 ones with strides 1 and 2 keep in registers what two of them share, and for all others an element gathers from its windows.
#include "kernels/max_pool_lanes.h"
#include "kernels/pool_windows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

// Windows of more than 256 taps: no form of their own for 2 or 3 taps across.
template <class Position>
inline constexpr bool kLargeWindows = std::is_same_v<Position, int32_t>;

// Calls fn(true or false as a constant). float32 and usual windows alone write past the caches: every form has to be compiled.
template <class T, class Position, class Fn>
void with_pool_stream(bool streams, Fn&& fn) {
  if constexpr (sizeof(T) == sizeof(float) && !kLargeWindows<Position>)
    with_stream(streams, fn);
  else
    fn(std::false_type{});
}

// The rows of a window that lie inside.
struct PoolRows {
  int64_t count_d, count_h, step_d, step_h;  // elements of x from one to the next
  int64_t first, tap, tap_d, tap_h;          // of the first: element of the image, tap; and from one to the next
};

PoolRows rows_of(const PoolShape& s, const PoolDims& dims, const Reach& d, const Reach& h) {
  const int64_t row = s.in.w * s.c;
  return {.count_d = d.end - d.begin,
          .count_h = h.end - h.begin,
          .step_d = dims.d.dilation * s.in.h * row,
          .step_h = dims.h.dilation * row,
          .first = ((d.first + d.begin * dims.d.dilation) * s.in.h + h.first + h.begin * dims.h.dilation) * row,
          .tap = (d.begin * s.filter.h + h.begin) * s.filter.w,
          .tap_d = s.filter.h * s.filter.w,
          .tap_h = s.filter.w};
}

// The elements that the window below looks at and this one does not.
template <int Vectors, class T>
DNN_INLINE void prefetch_below(const PoolShape& s, const PoolRows& rows, const T* x) {
  for (int64_t h = 0; h < s.stride.h; ++h)
    for (int64_t w = 0; w < s.stride.w; ++w) prefetch_channels<Vectors>(x + rows.count_h * rows.step_h + (h * s.in.w + w) * s.c);
}

// The largest of a window: `across` elements of each row, `step` apart. Width: `across`, where it is known. Without care a NaN is not seen;
// false where there may be one. (Each row by itself first, for shorter chains of comparisons, was no faster. Rows pooled along once, kept
// in scratch memory for all windows above them, took 0.72 -> 0.50 ms from 16 x 480 x 14 x 14 with stride 1, and lost a fifth with
// stride 2.)
template <int Vectors, int Width, bool Careful, class T, class Position>
DNN_INLINE bool find_largest(const PoolRows& rows, const T* x, int64_t across, int64_t step, int64_t tap, int64_t lanes,
                             Largest<T, Position> (&best)[kRegisters<Vectors>]) {
  using V = Vec<T>;
  constexpr int U = kRegisters<Vectors>;
  V sum[U];
  for (int u = 0; u < U; ++u) {
    best[u].start(tap);
    sum[u] = V::zero();
  }
  for (int64_t d = 0; d < rows.count_d; ++d)
    for (int64_t h = 0; h < rows.count_h; ++h) {
      const T* p = x + d * rows.step_d + h * rows.step_h;
      const int64_t first = tap + d * rows.tap_d + h * rows.tap_h;
      for (int64_t w = 0; w < (Width == 0 ? across : Width); ++w, p += step)
        for (int u = 0; u < U; ++u) {
          const V v = load_channels<Vectors>(p + u * V::N, lanes);
          best[u].template take<Careful>(v, first + w);
          if (!Careful) sum[u] = sum[u] + v;
        }
    }
  if (Careful) return true;
  V all = sum[0];
  for (int u = 1; u < U; ++u) all = all + sum[u];
  return !any(is_nan(all));
}

template <bool kStream, int Vectors, int Width, class T, class Position>
DNN_INLINE void pool_window(const PoolRows& rows, const T* x, int64_t across, int64_t step, int64_t tap, int64_t lanes, T* y,
                            Position* positions) {
  constexpr int U = kRegisters<Vectors>;
  Largest<T, Position> best[U];
  if (!find_largest<Vectors, Width, false>(rows, x, across, step, tap, lanes, best)) [[unlikely]]
    find_largest<Vectors, 0, true>(rows, x, across, step, tap, lanes, best);
  for (int u = 0; u < U; ++u) {
    put_channels<kStream, Vectors>(best[u].value, y + u * Vec<T>::N, lanes);
    best[u].store_positions(positions, u * Vec<T>::N, lanes);
  }
}

template <int Width, class T, class Position>
void forward_tiles(const MaxPoolArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const PoolRows rows = rows_of(s, PoolDims(s), {0, 0, 1}, {0, 0, s.filter.h});
  for_each_tile<T>(
      s, tasks, [&](int64_t x, int64_t y, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        pool_window<false, vectors, Width>(rows, static_cast<const T*>(args.x) + x, s.filter.w, s.c, 0, lanes, static_cast<T*>(args.y) + y,
                                           at_position<Position>(args.positions, y));
      });
}

template <bool kStream, class T, class Position>
void forward(const MaxPoolArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  const int64_t step = dims.w.dilation * s.c;
  for_each_block(window_blocks(s), tasks, [&](const PoolBlock& block) {
    const PoolRows rows = rows_of(s, dims, dims.d.reach(block.row / s.out.h % s.out.d), dims.h.reach(block.row % s.out.h));
    const T* image = static_cast<const T*>(args.x) + block.row / (s.out.h * s.out.d) * s.in.count() * s.c + block.c + rows.first;
    for (int64_t pw = block.begin; pw < block.end; ++pw) {
      const Reach w = dims.w.reach(pw);
      const T* x = image + (w.first + w.begin * dims.w.dilation) * s.c;
      const int64_t at = (block.row * s.out.w + pw) * s.c + block.c, across = w.end - w.begin;
      T* y = static_cast<T*>(args.y) + at;
      Position* positions = at_position<Position>(args.positions, at);
      for_channels<T>(
          block.channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
            prefetch_below<vectors>(s, rows, x + c);
            const auto pool = [&](auto width) __attribute__((always_inline)) {
              pool_window<kStream, vectors, width>(rows, x + c, across, step, rows.tap + w.begin, lanes, y + c,
                                                   at_position<Position>(positions, c));
            };
            if constexpr (!kLargeWindows<Position>) {
              if (across == 2) return pool(std::integral_constant<int, 2>{});
              if (across == 3) return pool(std::integral_constant<int, 3>{});
            }
            pool(std::integral_constant<int, 0>{});
          });
    }
  });
}

// The windows that hold an element, gathered.
template <bool kStream, int Vectors, class T, class Position>
DNN_INLINE void gather(const MaxPoolBackwardArgs& args, const PoolDims& dims, const PoolBlock& block, const Owners& d, const Owners& h,
                       int64_t c, T* dx, int64_t lanes) {
  constexpr int U = kRegisters<Vectors>;
  const PoolShape& s = args.shape;
  const int64_t qh = block.row % s.in.h, qd = block.row / s.in.h % s.in.d, image = block.row / (s.in.h * s.in.d) * s.out.count();
  Owners w = dims.w.owners(block.begin);
  for (int64_t qw = block.begin; qw < block.end; ++qw) {
    dims.w.advance(w, qw);
    Vec<T> sum[U];
    for (Vec<T>& v : sum) v = Vec<T>::zero();
    for (int64_t pd = d.begin; pd < d.end; ++pd)
      for (int64_t ph = h.begin; ph < h.end; ++ph) {
        const int64_t fd = dims.d.tap(pd, qd), fh = dims.h.tap(ph, qh);
        if (fd < 0 || fh < 0) continue;
        for (int64_t pw = w.begin; pw < w.end; ++pw) {
          const int64_t fw = dims.w.tap(pw, qw), at = (image + (pd * s.out.h + ph) * s.out.w + pw) * s.c + c;
          if (fw < 0) continue;
          for (int u = 0; u < U; ++u)
            sum[u] = Share<Vectors, T, Position>(args, at + u * Vec<T>::N, lanes).add_to(sum[u], (fd * s.filter.h + fh) * s.filter.w + fw);
        }
      }
    for (int u = 0; u < U; ++u) put_channels<kStream, Vectors>(sum[u], dx + qw * s.c + u * Vec<T>::N, lanes);
  }
}

template <bool kStream, int Vectors, int W, int S, class T, class Position>
DNN_INLINE void overlap(const MaxPoolBackwardArgs& args, const PoolDims& dims, const PoolBlock& block, const Owners& d, const Owners& h,
                        int64_t c, T* dx, int64_t lanes) {
  constexpr int U = kRegisters<Vectors>;
  const PoolShape& s = args.shape;
  const int64_t qh = block.row % s.in.h, qd = block.row / s.in.h % s.in.d, image = block.row / (s.in.h * s.in.d) * s.out.count();
  give_to_overlapping<kStream, Vectors, W, S>(
      dims.w, block, s.c, dx, lanes, [&](int64_t pw, Vec<T>(&sum)[W][U]) __attribute__((always_inline)) {
        const int64_t below = (image + (d.begin * s.out.h + h.end) * s.out.w + pw) * s.c + c;
        if (kStream || block.channels > U * Vec<T>::N) {
          prefetch_channels<Vectors>(static_cast<const T*>(args.dy) + below);
          __builtin_prefetch(static_cast<const Position*>(args.positions) + below, 0, 2);
        }
        for (int64_t pd = d.begin; pd < d.end; ++pd)
          for (int64_t ph = h.begin; ph < h.end; ++ph) {
            const int64_t fd = dims.d.tap(pd, qd), fh = dims.h.tap(ph, qh), tap = (fd * s.filter.h + fh) * s.filter.w;
            if (fd < 0 || fh < 0) continue;
            for (int u = 0; u < U; ++u) {
              const Share<Vectors, T, Position> share(args, (image + (pd * s.out.h + ph) * s.out.w + pw) * s.c + c + u * Vec<T>::N, lanes);
              for (int f = 0; f < W; ++f) sum[f][u] = share.add_to(sum[f][u], tap + f);
            }
          }
      });
}

// One row of windows above a row of dx, which share no element.
template <bool kStream, class T, class Position>
void give(const MaxPoolBackwardArgs& args, const PoolDims& dims, const PoolBlock& block, int64_t pd, int64_t ph, T* dx) {
  const PoolShape& s = args.shape;
  const int64_t fh = dims.h.tap(ph, block.row % s.in.h), fd = dims.d.tap(pd, block.row / s.in.h % s.in.d);
  const int64_t row = (block.row / (s.in.h * s.in.d) * s.out.d + pd) * s.out.h + ph, first = (fd * s.filter.h + fh) * s.filter.w;
  give_to_disjoint<kStream>(
      dims.w, block, s.c, dx, [&](int64_t pw, int64_t i, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        const int64_t at = (row * s.out.w + pw) * s.c + block.c + i, below = at + s.out.w * s.c;
        if (fh == 0) {
          prefetch_channels<vectors>(static_cast<const T*>(args.dy) + below);
          __builtin_prefetch(static_cast<const Position*>(args.positions) + below, 0, 2);
        }
        return Shares<vectors, T, Position>(args, at, lanes, first);
      });
}

template <class T, class Position>
void backward_tiles(const MaxPoolBackwardArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  for_each_tile<T>(
      s, tasks, [&](int64_t x, int64_t y, auto vectors, int64_t lanes) __attribute__((always_inline)) {
        const Share<vectors, T, Position> share(args, y, lanes);
        T* dx = static_cast<T*>(args.dx) + x;
        for (int64_t fh = 0; fh < s.filter.h; ++fh, dx += s.in.w * s.c)
          for (int64_t fw = 0; fw < s.filter.w; ++fw)
            store_channels<vectors>(share.add_to(Vec<T>::zero(), fh * s.filter.w + fw), dx + fw * s.c, lanes);
      });
}

template <bool kStream, class T, class Position>
void backward(const MaxPoolBackwardArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  const bool plain = !s.adaptive && dims.w.dilation == 1;
  for_each_block(gradient_blocks(s), tasks, [&](const PoolBlock& block) {
    const Owners d = dims.d.owners(block.row / s.in.h % s.in.d), h = dims.h.owners(block.row % s.in.h);
    T* const row = static_cast<T*>(args.dx) + block.row * s.in.w * s.c + block.c;
    const bool one = d.end - d.begin == 1 && h.end - h.begin == 1 && dims.d.tap(d.begin, block.row / s.in.h % s.in.d) >= 0 &&
                     dims.h.tap(h.begin, block.row % s.in.h) >= 0;
    if (plain && one && s.filter.w <= s.stride.w) return give<kStream, T, Position>(args, dims, block, d.begin, h.begin, row);
    for_channels<T>(
        block.channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
          if constexpr (!kLargeWindows<Position>) {
            if (plain && s.filter.w == 3 && s.stride.w == 2)
              return overlap<kStream, vectors, 3, 2, T, Position>(args, dims, block, d, h, block.c + c, row + c, lanes);
            if (plain && s.filter.w == 3 && s.stride.w == 1)
              return overlap<kStream, vectors, 3, 1, T, Position>(args, dims, block, d, h, block.c + c, row + c, lanes);
          }
          gather<kStream, vectors, T, Position>(args, dims, block, d, h, block.c + c, row + c, lanes);
        });
  });
}

template <class Position>
void indices_of(const MaxPoolIndicesArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  for_each_block(PoolBlocks(s.n * s.out.d * s.out.h, s.out, s.c, 1), tasks, [&](const PoolBlock& block) {
    const int64_t d = dims.d.first(block.row / s.out.h % s.out.d), h = dims.h.first(block.row % s.out.h);
    for (int64_t pw = block.begin; pw < block.end; ++pw) {
      const int64_t w = dims.w.first(pw), at = (block.row * s.out.w + pw) * s.c + block.c;
      for (int64_t i = at; i < at + block.channels; ++i) {
        const auto tap = static_cast<uint32_t>(static_cast<const Position*>(args.positions)[i]);
        const auto fw = static_cast<uint32_t>(s.filter.w), fh = static_cast<uint32_t>(s.filter.h);
        const int64_t qd = d + tap / fw / fh * dims.d.dilation, qh = h + tap / fw % fh * dims.h.dilation,
                      qw = w + tap % fw * dims.w.dilation;
        args.indices[i] = (qd * s.in.h + qh) * s.in.w + qw;
      }
    }
  });
}

// fn(the type of positions as a value).
template <class Fn>
void with_position(const PoolShape& s, Fn&& fn) {
  s.position_dtype() == DType::UInt8 ? fn(uint8_t{}) : fn(int32_t{});
}

template <class T>
void forward_of(const MaxPoolArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  const auto pool = [&](auto position) {
    using Position = decltype(position);
    if (are_few_tiles(s)) return s.filter.w == 2 ? forward_tiles<2, T, Position>(args, tasks) : forward_tiles<0, T, Position>(args, tasks);
    with_pool_stream<T, Position>(pool_streams(args.y, s.y_bytes(), s.c, s.dtype, tasks),
                                  [&](auto stream) { forward<stream(), T, Position>(args, tasks); });
  };
  args.positions == nullptr ? pool(NoPosition{}) : with_position(s, pool);
}

template <class T>
void backward_of(const MaxPoolBackwardArgs& args, const Tasks& tasks) {
  const PoolShape& s = args.shape;
  with_position(s, [&](auto position) {
    using Position = decltype(position);
    if (are_few_tiles(s)) return backward_tiles<T, Position>(args, tasks);
    with_pool_stream<T, Position>(pool_streams(args.dx, s.x_bytes(), s.c, s.dtype, tasks),
                                  [&](auto stream) { backward<stream(), T, Position>(args, tasks); });
  });
}

}  // namespace

void max_pool(const MaxPoolArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? forward_of<double>(args, tasks) : forward_of<float>(args, tasks);
}

Schedule max_pool_schedule(const MaxPoolArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(window_blocks(s), 0.04 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

void max_pool_backward(const MaxPoolBackwardArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward_of<double>(args, tasks) : backward_of<float>(args, tasks);
}

Schedule max_pool_backward_schedule(const MaxPoolBackwardArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(gradient_blocks(s), 0.04 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

void max_pool_indices(const MaxPoolIndicesArgs& args, const Tasks& tasks) {
  args.shape.position_dtype() == DType::UInt8 ? indices_of<uint8_t>(args, tasks) : indices_of<int32_t>(args, tasks);
}

Schedule max_pool_indices_schedule(const MaxPoolIndicesArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(PoolBlocks(s.n * s.out.d * s.out.h, s.out, s.c, 1), 2.0 * static_cast<double>(s.n * s.out.count() * s.c));
}

}  // namespace dnncore::DNNCORE_ISA
