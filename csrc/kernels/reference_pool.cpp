// Naive pooling: every window element by element, sums in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/launch.h"
#include "kernels/pool.h"

namespace dnncore::reference {

void max_pool(const MaxPoolArgs& args, const Tasks&);
void max_pool_backward(const MaxPoolBackwardArgs& args, const Tasks&);
void max_pool_indices(const MaxPoolIndicesArgs& args, const Tasks&);
void avg_pool(const AvgPoolArgs& args, const Tasks&);
void avg_pool_backward(const AvgPoolBackwardArgs& args, const Tasks&);

namespace {

// One dimension of a window: tap f is element first + f dilation.
struct Line {
  int64_t first, taps, dilation, in, padded_end;
  bool inside(int64_t f) const { return at(f) >= 0 && at(f) < in; }
  int64_t at(int64_t f) const { return first + f * dilation; }
  int64_t count_inside() const {
    int64_t count = 0;
    for (int64_t f = 0; f < taps; ++f) count += inside(f);
    return count;
  }
};

Line line(const PoolShape& s, int64_t Extent::*dim, int64_t p) {
  const int64_t in = s.in.*dim, out = s.out.*dim;
  if (s.adaptive) return {p * in / out, ((p + 1) * in + out - 1) / out - p * in / out, 1, in, in};
  return {p * (s.stride.*dim) - s.pad.*dim, s.filter.*dim, s.dilation.*dim, in, in + s.pad.*dim};
}

// fn(output pixel, its window as three lines)
template <class Fn>
void for_each_window(const PoolShape& s, Fn&& fn) {
  for (int64_t p = 0; p < s.n * s.out.count(); ++p)
    fn(p, line(s, &Extent::d, p / (s.out.h * s.out.w) % s.out.d), line(s, &Extent::h, p / s.out.w % s.out.h),
       line(s, &Extent::w, p % s.out.w));
}

// fn(input pixel within its image, tap) for the elements of a window that are inside
template <class Fn>
void for_each_tap(const PoolShape& s, const Line& d, const Line& h, const Line& w, Fn&& fn) {
  for (int64_t fd = 0; fd < d.taps; ++fd)
    for (int64_t fh = 0; fh < h.taps; ++fh)
      for (int64_t fw = 0; fw < w.taps; ++fw)
        if (d.inside(fd) && h.inside(fh) && w.inside(fw))
          fn((d.at(fd) * s.in.h + h.at(fh)) * s.in.w + w.at(fw), (fd * s.filter.h + fh) * s.filter.w + fw);
}

int64_t position_at(const PoolShape& s, const void* positions, int64_t i) {
  return s.position_dtype() == DType::UInt8 ? static_cast<const uint8_t*>(positions)[i] : static_cast<const int32_t*>(positions)[i];
}

template <class T>
void max_forward(const MaxPoolArgs& args) {
  const PoolShape& s = args.shape;
  for_each_window(s, [&](int64_t p, const Line& d, const Line& h, const Line& w) {
    for (int64_t c = 0; c < s.c; ++c) {
      const T* x = static_cast<const T*>(args.x) + p / s.out.count() * s.in.count() * s.c + c;
      T largest = -std::numeric_limits<T>::infinity();
      int64_t position = -1;
      for_each_tap(s, d, h, w, [&](int64_t q, int64_t tap) {
        if (position >= 0 && !(x[q * s.c] > largest) && !std::isnan(x[q * s.c])) return;
        largest = x[q * s.c];
        position = tap;
      });
      static_cast<T*>(args.y)[p * s.c + c] = largest;
      if (args.positions == nullptr) continue;
      if (s.position_dtype() == DType::UInt8)
        static_cast<uint8_t*>(args.positions)[p * s.c + c] = static_cast<uint8_t>(position);
      else
        static_cast<int32_t*>(args.positions)[p * s.c + c] = static_cast<int32_t>(position);
    }
  });
}

template <class T>
void max_backward(const MaxPoolBackwardArgs& args) {
  const PoolShape& s = args.shape;
  std::vector<double> sums(static_cast<size_t>(s.n * s.in.count() * s.c));
  for_each_window(s, [&](int64_t p, const Line& d, const Line& h, const Line& w) {
    const int64_t image = p / s.out.count() * s.in.count();
    for_each_tap(s, d, h, w, [&](int64_t q, int64_t tap) {
      for (int64_t c = 0; c < s.c; ++c)
        if (position_at(s, args.positions, p * s.c + c) == tap)
          sums[static_cast<size_t>((image + q) * s.c + c)] += static_cast<double>(static_cast<const T*>(args.dy)[p * s.c + c]);
    });
  });
  for (size_t i = 0; i < sums.size(); ++i) static_cast<T*>(args.dx)[i] = static_cast<T>(sums[i]);
}

double divisor_of(const PoolDivisor& divisor, const Line& d, const Line& h, const Line& w) {
  if (divisor.fixed != 0) return static_cast<double>(divisor.fixed);
  const auto count = [&](const Line& l) {
    return static_cast<double>(divisor.counts_padding ? std::min(l.first + l.taps, l.padded_end) - l.first : l.count_inside());
  };
  return count(d) * count(h) * count(w);
}

template <class T>
void avg_forward(const AvgPoolArgs& args) {
  const PoolShape& s = args.shape;
  for_each_window(s, [&](int64_t p, const Line& d, const Line& h, const Line& w) {
    for (int64_t c = 0; c < s.c; ++c) {
      const T* x = static_cast<const T*>(args.x) + p / s.out.count() * s.in.count() * s.c + c;
      double sum = 0;
      for_each_tap(s, d, h, w, [&](int64_t q, int64_t) { sum += static_cast<double>(x[q * s.c]); });
      static_cast<T*>(args.y)[p * s.c + c] = static_cast<T>(sum / divisor_of(args.divisor, d, h, w));
    }
  });
}

template <class T>
void avg_backward(const AvgPoolBackwardArgs& args) {
  const PoolShape& s = args.shape;
  std::vector<double> sums(static_cast<size_t>(s.n * s.in.count() * s.c));
  for_each_window(s, [&](int64_t p, const Line& d, const Line& h, const Line& w) {
    const int64_t image = p / s.out.count() * s.in.count();
    const double divisor = divisor_of(args.divisor, d, h, w);
    for_each_tap(s, d, h, w, [&](int64_t q, int64_t) {
      for (int64_t c = 0; c < s.c; ++c)
        sums[static_cast<size_t>((image + q) * s.c + c)] += static_cast<double>(static_cast<const T*>(args.dy)[p * s.c + c]) / divisor;
    });
  });
  for (size_t i = 0; i < sums.size(); ++i) static_cast<T*>(args.dx)[i] = static_cast<T>(sums[i]);
}

}  // namespace

void max_pool(const MaxPoolArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? max_forward<double>(args) : max_forward<float>(args);
}

void max_pool_backward(const MaxPoolBackwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? max_backward<double>(args) : max_backward<float>(args);
}

void max_pool_indices(const MaxPoolIndicesArgs& args, const Tasks&) {
  const PoolShape& s = args.shape;
  for_each_window(s, [&](int64_t p, const Line& d, const Line& h, const Line& w) {
    for_each_tap(s, d, h, w, [&](int64_t q, int64_t tap) {
      for (int64_t c = 0; c < s.c; ++c)
        if (position_at(s, args.positions, p * s.c + c) == tap) args.indices[p * s.c + c] = q;
    });
  });
}

void avg_pool(const AvgPoolArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? avg_forward<double>(args) : avg_forward<float>(args);
}

void avg_pool_backward(const AvgPoolBackwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? avg_backward<double>(args) : avg_backward<float>(args);
}

}  // namespace dnncore::reference
