// Max pooling and its gradient, vectorised over the channels. The gradient gathers: every element of dx is written once, by adding up dy of
// the windows whose largest element it is.
#include "kernels/pool_windows.h"

namespace dnncore::DNNCORE_ISA {
namespace {

struct NoPosition {};

// --- Positions of one vector of channels: as wide as the numbers in registers, bytes or int32 in memory ---

template <class T>
DNN_INLINE void store_positions(Vec<Bits<T>>, NoPosition*, int64_t) {}

template <class T>
DNN_INLINE void store_positions(Vec<Bits<T>> v, int32_t* p, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i) p[i] = static_cast<int32_t>(v.v[i]);
}

template <class T>
DNN_INLINE void store_positions(Vec<Bits<T>> v, uint8_t* p, int64_t lanes) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_cvtepi32_storeu_epi8(p, static_cast<__mmask16>((1u << lanes) - 1), (__m512i)v.v);
  else
    _mm512_mask_cvtepi64_storeu_epi8(p, static_cast<__mmask8>((1u << lanes) - 1), (__m512i)v.v);
#else
  for (int64_t i = 0; i < lanes; ++i) p[i] = static_cast<uint8_t>(v.v[i]);
#endif
}

// sum + g where the position is `tap`.
template <class T, class Position>
DNN_INLINE Vec<T> add_where(Vec<T> sum, Vec<T> g, const Position* p, int64_t tap, int64_t lanes) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<Position, uint8_t>) {
    const __m128i bytes = _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << lanes) - 1), p);
    const __mmask16 here = _mm_cmpeq_epi8_mask(bytes, _mm_set1_epi8(static_cast<char>(tap)));
    if constexpr (sizeof(T) == 4)
      return {(typename Vec<T>::Raw)_mm512_mask_add_ps((__m512)sum.v, here, (__m512)sum.v, (__m512)g.v)};
    else
      return {(typename Vec<T>::Raw)_mm512_mask_add_pd((__m512d)sum.v, static_cast<__mmask8>(here), (__m512d)sum.v, (__m512d)g.v)};
  }
#endif
  Vec<Bits<T>> positions = Vec<Bits<T>>::zero();
  for (int64_t i = 0; i < lanes; ++i) positions.v[i] = p[i];
  const Mask<T> here{positions.v == Vec<Bits<T>>::set(static_cast<Bits<T>>(tap)).v};
  return sum + select(here, g, Vec<T>::zero());
}

template <class T, class Position>
void forward(const MaxPoolArgs& args, const Tasks& tasks) {
  using V = Vec<T>;
  using I = Vec<Bits<T>>;
  constexpr bool kKeeps = !std::is_same_v<Position, NoPosition>;
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  const int64_t step = dims.w.dilation * s.c;
  for_each_block(PoolBlocks(s.n * s.out.d * s.out.h, s.out, s.c, s.taps()), tasks, [&](const PoolBlock& block) {
    const T* image = static_cast<const T*>(args.x) + block.row / (s.out.h * s.out.d) * s.in.count() * s.c + block.c;
    const Reach d = dims.d.reach(block.row / s.out.h % s.out.d), h = dims.h.reach(block.row % s.out.h);
    for (int64_t pw = block.begin; pw < block.end; ++pw) {
      const Reach w = dims.w.reach(pw);
      const int64_t at = (block.row * s.out.w + pw) * s.c + block.c;
      for_channels<T>(
          block.channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
            constexpr int U = kRegisters<vectors>;
            V best[U];
            I where[U];
            for (int u = 0; u < U; ++u) {
              best[u] = V::set(-std::numeric_limits<T>::infinity());
              where[u] = I::set(static_cast<Bits<T>>((d.begin * s.filter.h + h.begin) * s.filter.w + w.begin));
            }
            for (int64_t fd = d.begin; fd < d.end; ++fd)
              for (int64_t fh = h.begin; fh < h.end; ++fh) {
                const int64_t row = (d.first + fd * dims.d.dilation) * s.in.h + h.first + fh * dims.h.dilation;
                const T* x = image + (row * s.in.w + w.first + w.begin * dims.w.dilation) * s.c + c;
                I tap = I::set(static_cast<Bits<T>>((fd * s.filter.h + fh) * s.filter.w + w.begin));
                for (int64_t fw = w.begin; fw < w.end; ++fw, x += step) {
                  for (int u = 0; u < U; ++u) {
                    const V v = load_channels<vectors>(x + u * V::N, lanes);
                    const Mask<T> better = (v > best[u]) | is_nan(v);
                    best[u] = select(better, v, best[u]);
                    if (kKeeps) where[u] = {better.v ? tap.v : where[u].v};
                  }
                  tap.v += 1;
                }
              }
            for (int u = 0; u < U; ++u) {
              store_channels<vectors>(best[u], static_cast<T*>(args.y) + at + c + u * V::N, lanes);
              store_positions<T>(where[u], static_cast<Position*>(args.positions) + (kKeeps ? at + c + u * V::N : 0), lanes);
            }
          });
    }
  });
}

template <class T, class Position>
void backward(const MaxPoolBackwardArgs& args, const Tasks& tasks) {
  using V = Vec<T>;
  const PoolShape& s = args.shape;
  const PoolDims dims(s);
  for_each_block(PoolBlocks(s.n * s.in.d * s.in.h, s.in, s.c, 1), tasks, [&](const PoolBlock& block) {
    const int64_t qh = block.row % s.in.h, qd = block.row / s.in.h % s.in.d;
    const Owners d = dims.d.owners(qd), h = dims.h.owners(qh);
    const int64_t image = block.row / (s.in.h * s.in.d) * s.out.count();
    Owners w = dims.w.owners(block.begin);
    for (int64_t qw = block.begin; qw < block.end; ++qw) {
      dims.w.advance(w, qw);
      T* dx = static_cast<T*>(args.dx) + (block.row * s.in.w + qw) * s.c + block.c;
      for_channels<T>(
          block.channels, [&](int64_t c, auto vectors, int64_t lanes) __attribute__((always_inline)) {
            constexpr int U = kRegisters<vectors>;
            V sum[U];
            for (V& v : sum) v = V::zero();
            for (int64_t pd = d.begin; pd < d.end; ++pd)
              for (int64_t ph = h.begin; ph < h.end; ++ph) {
                const int64_t fd = dims.d.tap(pd, qd), fh = dims.h.tap(ph, qh);
                if (fd < 0 || fh < 0) continue;
                for (int64_t pw = w.begin; pw < w.end; ++pw) {
                  const int64_t fw = dims.w.tap(pw, qw);
                  if (fw < 0) continue;
                  const int64_t tap = (fd * s.filter.h + fh) * s.filter.w + fw;
                  const int64_t at = (image + (pd * s.out.h + ph) * s.out.w + pw) * s.c + block.c + c;
                  for (int u = 0; u < U; ++u)
                    sum[u] = add_where(sum[u], load_channels<vectors>(static_cast<const T*>(args.dy) + at + u * V::N, lanes),
                                       static_cast<const Position*>(args.positions) + at + u * V::N, tap, lanes);
                }
              }
            for (int u = 0; u < U; ++u) store_channels<vectors>(sum[u], dx + c + u * V::N, lanes);
          });
    }
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

template <class T>
void forward_of(const MaxPoolArgs& args, const Tasks& tasks) {
  if (args.positions == nullptr) return forward<T, NoPosition>(args, tasks);
  args.shape.position_dtype() == DType::UInt8 ? forward<T, uint8_t>(args, tasks) : forward<T, int32_t>(args, tasks);
}

template <class T>
void backward_of(const MaxPoolBackwardArgs& args, const Tasks& tasks) {
  args.shape.position_dtype() == DType::UInt8 ? backward<T, uint8_t>(args, tasks) : backward<T, int32_t>(args, tasks);
}

}  // namespace

void max_pool(const MaxPoolArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? forward_of<double>(args, tasks) : forward_of<float>(args, tasks);
}

Schedule max_pool_schedule(const MaxPoolArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(PoolBlocks(s.n * s.out.d * s.out.h, s.out, s.c, s.taps()), 0.04 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

void max_pool_backward(const MaxPoolBackwardArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? backward_of<double>(args, tasks) : backward_of<float>(args, tasks);
}

Schedule max_pool_backward_schedule(const MaxPoolBackwardArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(PoolBlocks(s.n * s.in.d * s.in.h, s.in, s.c, 1), 0.04 * static_cast<double>(s.x_bytes() + s.y_bytes()));
}

void max_pool_indices(const MaxPoolIndicesArgs& args, const Tasks& tasks) {
  args.shape.position_dtype() == DType::UInt8 ? indices_of<uint8_t>(args, tasks) : indices_of<int32_t>(args, tasks);
}

Schedule max_pool_indices_schedule(const MaxPoolIndicesArgs& args) {
  const PoolShape& s = args.shape;
  return pool_schedule(PoolBlocks(s.n * s.out.d * s.out.h, s.out, s.c, 1), 2.0 * static_cast<double>(s.n * s.out.count() * s.c));
}

}  // namespace dnncore::DNNCORE_ISA
