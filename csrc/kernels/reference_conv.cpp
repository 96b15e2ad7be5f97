// Naive convolution and its gradients: sums in double, one output at a time.
#include <vector>

#include "core/launch.h"
#include "kernels/conv.h"
#include "kernels/reference.h"

namespace dnncore::reference {

void conv_forward(const ConvForwardArgs& args, const Tasks&);
void conv_backward_data(const ConvBackwardDataArgs& args, const Tasks&);
void conv_backward_weight(const ConvBackwardWeightArgs& args, const Tasks&);

namespace {

// fn(x pixel, y pixel, tap) for every product of pixels of one image; pixels count from the first of the batch.
template <class Fn>
void for_each_product(const ConvShape& s, Fn&& fn) {
  const auto inside = [](int64_t p, int64_t stride, int64_t pad, int64_t f, int64_t dilation, int64_t extent, int64_t& q) {
    q = p * stride - pad + f * dilation;
    return q >= 0 && q < extent;
  };
  int64_t qd, qh, qw;
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t pd = 0; pd < s.out.d; ++pd)
      for (int64_t ph = 0; ph < s.out.h; ++ph)
        for (int64_t pw = 0; pw < s.out.w; ++pw)
          for (int64_t fd = 0; fd < s.filter.d; ++fd) {
            if (!inside(pd, s.stride.d, s.pad.d, fd, s.dilation.d, s.in.d, qd)) continue;
            for (int64_t fh = 0; fh < s.filter.h; ++fh) {
              if (!inside(ph, s.stride.h, s.pad.h, fh, s.dilation.h, s.in.h, qh)) continue;
              for (int64_t fw = 0; fw < s.filter.w; ++fw) {
                if (!inside(pw, s.stride.w, s.pad.w, fw, s.dilation.w, s.in.w, qw)) continue;
                fn(((n * s.in.d + qd) * s.in.h + qh) * s.in.w + qw, ((n * s.out.d + pd) * s.out.h + ph) * s.out.w + pw,
                   (fd * s.filter.h + fh) * s.filter.w + fw);
              }
            }
          }
}

// fn(channel of x, channel of y, index of the weight at tap 0) for every pair of connected channels.
template <class Fn>
void for_each_pair(const ConvShape& s, Fn&& fn) {
  const int64_t c_group = s.c / s.groups, k_group = s.k / s.groups;
  for (int64_t k = 0; k < s.k; ++k)
    for (int64_t c = 0; c < c_group; ++c) fn(k / k_group * c_group + c, k, (k * c_group + c) * s.taps());
}

template <class T>
void forward(const ConvForwardArgs& args) {
  const ConvShape& s = args.shape;
  const T *x = static_cast<const T*>(args.x), *w = static_cast<const T*>(args.w), *bias = static_cast<const T*>(args.bias);
  std::vector<double> sums(static_cast<size_t>(s.n * s.out.count() * s.k));
  for_each_product(s, [&](int64_t from, int64_t to, int64_t tap) {
    for_each_pair(s, [&](int64_t c, int64_t k, int64_t weight) {
      sums[static_cast<size_t>(to * s.k + k)] += static_cast<double>(x[from * s.x_pixel + c]) * static_cast<double>(w[weight + tap]);
    });
  });
  for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i) {
    const double sum = sums[static_cast<size_t>(i)] + (bias == nullptr ? 0.0 : static_cast<double>(bias[i % s.k]));
    static_cast<T*>(args.y)[i] = static_cast<T>(activation_value(args.activation, sum));
  }
}

template <class T>
void backward_data(const ConvBackwardDataArgs& args) {
  const ConvShape& s = args.shape;
  const T *dy = static_cast<const T*>(args.dy), *w = static_cast<const T*>(args.w), *bias = static_cast<const T*>(args.bias);
  std::vector<double> sums(static_cast<size_t>(s.n * s.in.count() * s.c));
  for_each_product(s, [&](int64_t to, int64_t from, int64_t tap) {
    for_each_pair(s, [&](int64_t c, int64_t k, int64_t weight) {
      sums[static_cast<size_t>(to * s.c + c)] += static_cast<double>(dy[from * s.y_pixel + k]) * static_cast<double>(w[weight + tap]);
    });
  });
  for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i)
    static_cast<T*>(args.dx)[i] =
        static_cast<T>(sums[static_cast<size_t>(i)] + (bias == nullptr ? 0.0 : static_cast<double>(bias[i % s.c])));
}

template <class T>
void backward_weight(const ConvBackwardWeightArgs& args) {
  const ConvShape& s = args.shape;
  const T *x = static_cast<const T*>(args.x), *dy = static_cast<const T*>(args.dy);
  std::vector<double> sums(static_cast<size_t>(s.k * (s.c / s.groups) * s.taps()));
  for_each_product(s, [&](int64_t from, int64_t at, int64_t tap) {
    for_each_pair(s, [&](int64_t c, int64_t k, int64_t weight) {
      sums[static_cast<size_t>(weight + tap)] += static_cast<double>(x[from * s.x_pixel + c]) * static_cast<double>(dy[at * s.y_pixel + k]);
    });
  });
  for (size_t i = 0; i < sums.size(); ++i) static_cast<T*>(args.dw)[i] = static_cast<T>(sums[i]);
  if (args.dbias == nullptr) return;
  for (int64_t k = 0; k < s.k; ++k) {
    double sum = 0;
    for (int64_t p = 0; p < s.n * s.out.count(); ++p) sum += static_cast<double>(dy[p * s.y_pixel + k]);
    static_cast<T*>(args.dbias)[k] = static_cast<T>(sum);
  }
}

}  // namespace

void conv_forward(const ConvForwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? forward<double>(args) : forward<float>(args);
}

void conv_backward_data(const ConvBackwardDataArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? backward_data<double>(args) : backward_data<float>(args);
}

void conv_backward_weight(const ConvBackwardWeightArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? backward_weight<double>(args) : backward_weight<float>(args);
}

}  // namespace dnncore::reference
