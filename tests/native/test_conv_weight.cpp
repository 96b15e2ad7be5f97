// The weight gradient: its bias gradient, bits for any number of threads, and how far sums over many pixels are from float64's.
#include "kernel_check.h"
#include "kernels/contracts.h"

using namespace dnncore;
using namespace dnncore::test;

namespace {

struct Case {
  int64_t n, c, k;
  Extent in, filter, stride{1, 1, 1}, pad{0, 0, 0}, dilation{1, 1, 1};
  int64_t groups = 1;
};

const Case kCases[] = {
    {0, 3, 5, {1, 4, 4}, {1, 3, 3}},                                           // no pixels: zeros
    {9, 1, 6, {1, 32, 32}, {1, 5, 5}},                                         // few of both channels: vectors of pixels
    {2, 1, 7, {1, 61, 70}, {1, 4, 3}, {1, 1, 1}, {0, 3, 2}},                   // of several chunks, with padding
    {3, 1, 1, {1, 2, 3}, {1, 7, 6}, {1, 1, 1}, {0, 3, 3}},                     // more padding than image
    {2, 1, 4, {1, 3, 3000}, {1, 1, 100}, {1, 1, 1}, {0, 0, 30}},               // of parts of a row
    {9, 1, 6, {1, 21, 140}, {1, 5, 5}},                                        // folded and turned
    {9, 6, 16, {1, 14, 14}, {1, 5, 5}},                                        // one vector of output channels
    {4, 64, 3, {1, 20, 30}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}},                  // turned
    {3, 40, 150, {1, 17, 19}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}},                // two blocks of output channels
    {2, 300, 70, {1, 9, 9}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}},                  // blocks of input channels
    {2, 1, 9, {1, 1, 9500}, {1, 1, 9000}, {1, 1, 1}, {0, 0, 50}},              // a filter in pieces
    {2, 5, 33, {5, 9, 11}, {3, 2, 3}, {2, 1, 1}, {1, 0, 2}, {1, 3, 2}},        // depth, dilation
    {3, 24, 36, {1, 15, 70}, {1, 2, 2}, {1, 3, 2}, {0, 1, 0}, {1, 1, 1}, 6},   // groups, columns that are not shared
    {3, 70, 70, {1, 19, 50}, {1, 5, 7}, {1, 1, 1}, {0, 2, 3}, {1, 1, 1}, 70},  // depthwise
    {1, 300, 300, {1, 3, 3000}, {1, 3, 3}, {1, 2, 1}, {0, 1, 1}, {1, 1, 1}, 300},
};

ConvShape shape_of(const Case& c, DType dtype) {
  const auto out = [&](int64_t Extent::*d) { return (c.in.*d + 2 * c.pad.*d - c.dilation.*d * (c.filter.*d - 1) - 1) / c.stride.*d + 1; };
  ConvShape s;
  s.n = c.n, s.c = c.c, s.k = c.k, s.groups = c.groups;
  s.in = c.in, s.out = {out(&Extent::d), out(&Extent::h), out(&Extent::w)}, s.filter = c.filter;
  s.stride = c.stride, s.dilation = c.dilation, s.pad = c.pad;
  s.x_pixel = c.c + 3, s.y_pixel = c.k + 1;
  s.dtype = dtype;
  return s;
}

struct Gradients {
  Array dw, dbias;
};

Gradients launched(const ConvShape& shape, const Array& x, const Array& dy) {
  Gradients out{Array(shape.dtype, shape.w_bytes() / shape.size()), Array(shape.dtype, shape.k)};
  ConvBackwardWeightArgs args{.x = x.data(), .dy = dy.data(), .dw = out.dw.data(), .dbias = out.dbias.data(), .shape = shape};
  args.workspace_bytes = workspace_bytes(kernel::conv_backward_weight, args, Device{});
  const Array workspace(DType::UInt8, args.workspace_bytes);
  args.workspace = workspace.data();
  launch("conv", kernel::conv_backward_weight, args, {});
  return out;
}

bool equal(const Array& a, const Array& b) { return std::memcmp(a.data(), b.data(), a.bytes()) == 0; }

double distance(const Array& got, const Array& wanted) {  // Frobenius, relative
  double error = 0, norm = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    error += (got.at(i) - wanted.at(i)) * (got.at(i) - wanted.at(i));
    norm += wanted.at(i) * wanted.at(i);
  }
  return std::sqrt(error / std::max(norm, 1e-300));
}

Array of(const ConvShape& s, int64_t bytes, unsigned seed) { return real(s.dtype, bytes / s.size(), -1, 1, seed); }

}  // namespace

TEST_CASE("bias gradient of a convolution") {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (const Case& c : kCases) {
      const ConvShape shape = shape_of(c, dtype);
      CAPTURE(shape.c);
      CAPTURE(shape.k);
      const Array x = whole(dtype, shape.x_bytes() / shape.size()), dy = whole(dtype, shape.y_bytes() / shape.size());
      Array dw(dtype, shape.w_bytes() / shape.size());
      std::vector<Array> lent;
      lent.reserve(1);
      check_kernel<ConvBackwardWeightArgs>(kernel::conv_backward_weight, {.x = x.data(), .dy = dy.data(), .dw = dw.data(), .shape = shape},
                                           &ConvBackwardWeightArgs::dbias, whole(dtype, shape.k), {},
                                           [&](const CpuTable& table, ConvBackwardWeightArgs& mine) {
                                             lent.clear();
                                             mine.workspace_bytes = workspace_bytes(kernel::conv_backward_weight, mine, table);
                                             mine.workspace = lent.emplace_back(DType::UInt8, mine.workspace_bytes).data();
                                           });
    }
}

TEST_CASE("weight gradient: the same bits for any number of threads, near float64's") {
  const int before = parallel::num_threads();
  for (const Case& c : kCases) {
    const ConvShape shape = shape_of(c, DType::Float32), wide = shape_of(c, DType::Float64);
    CAPTURE(shape.c);
    CAPTURE(shape.k);
    const Array x = of(shape, shape.x_bytes(), 1), dy = of(shape, shape.y_bytes(), 2);
    const auto widened = [](const Array& a) { return Array(DType::Float64, a.size()).fill([&](int64_t i) { return a.at(i); }); };
    const Gradients exact = launched(wide, widened(x), widened(dy));
    parallel::set_num_threads(1);
    const Gradients one = launched(shape, x, dy);
    CHECK(distance(one.dw, exact.dw) <= 1e-6);
    // A running sum of n numbers around 0 errs by 2^-24 of its size at each, which is sqrt(n) times a number's: 2^-24 sqrt(n) in all.
    const double pixels = static_cast<double>(shape.n * shape.out.d * shape.out.h * shape.out.w);
    CHECK(distance(one.dbias, exact.dbias) <= std::max(1e-6, 0x1p-24 * std::sqrt(pixels)));
    for (int threads : {2, 4}) {
      parallel::set_num_threads(threads);
      const Gradients many = launched(shape, x, dy);
      CHECK(equal(many.dw, one.dw));
      CHECK(equal(many.dbias, one.dbias));
    }
  }
  parallel::set_num_threads(before);
}
