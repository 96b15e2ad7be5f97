// Convolution and its gradients against the reference: whole numbers, whose sums are exact, so that every order of summation gives the
// same bits.
#include "kernel_check.h"
#include "kernels/contracts.h"

using namespace dnncore;
using namespace dnncore::test;

namespace {

constexpr Extent flat(int64_t h, int64_t w) { return {1, h, w}; }

struct Case {
  int64_t n, c, k;
  Extent in, filter;
  Extent stride{1, 1, 1}, pad{0, 0, 0}, dilation{1, 1, 1};
  int64_t groups = 1;
  int64_t gap = 0;  // between the channels of a pixel of the input and the next pixel
};

const Case kCases[] = {
    // One pixel, one channel, one tap; then around the tiles of every instruction set in pixels, channels and output channels.
    {1, 1, 1, flat(1, 1), flat(1, 1)},
    {1, 1, 1, flat(3, 3), flat(3, 3)},
    {2, 3, 5, flat(1, 6), flat(1, 1)},
    {1, 4, 16, flat(4, 13), flat(3, 3), {1, 1, 1}, flat(1, 1)},
    {1, 5, 17, flat(4, 14), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {1, 16, 31, flat(4, 15), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {1, 17, 32, flat(3, 16), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {1, 15, 33, flat(3, 17), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {2, 8, 47, flat(5, 9), flat(2, 2)},
    {1, 7, 48, flat(5, 10), flat(3, 2)},
    {1, 9, 49, flat(5, 27), flat(1, 3)},
    {3, 33, 65, flat(7, 7), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    // Few channels: the first layers.
    {5, 1, 6, flat(32, 32), flat(5, 5)},
    {5, 6, 16, flat(14, 14), flat(5, 5)},
    {2, 3, 64, flat(35, 37), flat(7, 7), {1, 2, 2}, {0, 3, 3}},
    {1, 3, 33, flat(39, 43), flat(11, 11), {1, 4, 4}, {0, 2, 2}},
    {2, 1, 32, flat(19, 60), flat(5, 20), {1, 2, 2}},
    {3, 2, 3, flat(20, 70), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {2, 3, 2, flat(33, 18), flat(4, 4), {1, 2, 2}, {0, 1, 1}},
    // The taps of a filter row beside few channels, in the gradient for data: one tile, several, padding, a stride across.
    {5, 2, 16, flat(12, 12), flat(3, 4), {1, 1, 1}, {0, 1, 2}},
    {2, 6, 9, flat(14, 47), flat(5, 5), {1, 2, 1}, {0, 4, 4}},
    {1, 4, 12, flat(7, 9), flat(3, 3), {1, 1, 1}, {0, 2, 2}},
    // Strides, padding and dilation of all kinds, longer than the filter, the input and each other.
    {2, 20, 24, flat(9, 11), flat(1, 1), {1, 2, 2}},
    {2, 20, 24, flat(9, 11), flat(1, 1), {1, 3, 2}, {0, 2, 1}},
    {1, 6, 18, flat(10, 12), flat(3, 3), {1, 2, 2}, {0, 1, 1}},
    {1, 6, 18, flat(11, 13), flat(2, 2), {1, 3, 3}},
    {1, 6, 18, flat(11, 13), flat(3, 4), {1, 3, 2}, {0, 3, 5}},
    {1, 6, 18, flat(12, 17), flat(3, 3), {1, 1, 1}, {0, 2, 2}, {1, 2, 2}},
    {1, 6, 18, flat(12, 17), flat(3, 3), {1, 2, 2}, {0, 2, 2}, {1, 2, 2}},
    {1, 6, 18, flat(12, 17), flat(3, 3), {1, 2, 3}, {0, 4, 4}, {1, 3, 2}},
    {1, 6, 18, flat(12, 17), flat(3, 3), {1, 4, 4}, {0, 1, 0}, {1, 2, 6}},
    {1, 4, 5, flat(3, 3), flat(3, 3), {1, 1, 1}, {0, 3, 4}},
    {1, 4, 5, flat(2, 2), flat(3, 3), {1, 5, 7}, {0, 6, 6}},
    {1, 3, 20, flat(32, 32), flat(16, 16), {1, 16, 16}},
    // One and three dimensions.
    {3, 5, 21, flat(1, 130), flat(1, 9), {1, 1, 3}, {0, 0, 4}},
    {2, 1, 4, flat(1, 3000), flat(1, 700), {1, 1, 1}, {0, 0, 350}},
    {2, 4, 19, {5, 6, 7}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}},
    {1, 4, 19, {6, 7, 8}, {2, 3, 2}, {2, 2, 3}, {1, 0, 1}, {2, 1, 1}},
    {1, 2, 3, {4, 3, 5}, {5, 1, 2}, {3, 1, 1}, {4, 0, 1}},
    // Groups, and a slice of the channels of a wider tensor.
    {2, 12, 20, flat(8, 9), flat(3, 3), {1, 1, 1}, {0, 1, 1}, {1, 1, 1}, 4},
    {2, 40, 36, flat(8, 9), flat(3, 3), {1, 2, 2}, {0, 1, 1}, {1, 1, 1}, 2},
    {2, 18, 18, flat(7, 16), flat(3, 3), {1, 1, 1}, {0, 1, 1}, {1, 1, 1}, 18},
    {2, 6, 12, flat(7, 16), flat(5, 3), {1, 2, 1}, {0, 2, 1}, {1, 1, 1}, 6},
    {2, 16, 16, flat(6, 20), flat(3, 3), {1, 1, 1}, {0, 1, 1}, {1, 1, 1}, 1, 7},
    {2, 8, 16, flat(6, 20), flat(3, 2), {1, 2, 1}, {0, 1, 1}, {1, 1, 1}, 2, 3},
    // Several tasks, and several blocks of channels.
    {4, 64, 64, flat(28, 28), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {1, 600, 40, flat(6, 7), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {2, 40, 600, flat(6, 7), flat(3, 3), {1, 2, 2}, {0, 1, 1}},
    {1, 1, 18, flat(2, 9000), flat(2, 3), {1, 1, 1}, {0, 1, 1}},
    {0, 3, 4, flat(5, 5), flat(3, 3)},
    // Few output channels, of many and of several blocks.
    {4, 70, 2, flat(9, 33), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {1, 700, 1, flat(30, 40), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
    {2, 8, 8, flat(11, 21), flat(3, 2), {1, 2, 2}, {0, 1, 1}, {1, 1, 1}, 2},
    // Outputs that go past the caches, of whole rows and of every other pixel in the gradient for data.
    {1, 2, 64, flat(258, 258), flat(3, 3)},
    {1, 64, 32, flat(257, 257), flat(1, 1), {1, 2, 2}},
    // A filter whose strips fit nowhere: left to the reference.
    {1, 1, 1, flat(1, 300'001), flat(1, 300'000)},
};

int64_t outputs(int64_t in, int64_t filter, int64_t stride, int64_t pad, int64_t dilation) {
  return (in + 2 * pad - dilation * (filter - 1) - 1) / stride + 1;
}

ConvShape shape_of(const Case& c, DType dtype) {
  const auto out = [&](int64_t Extent::*d) { return outputs(c.in.*d, c.filter.*d, c.stride.*d, c.pad.*d, c.dilation.*d); };
  ConvShape s;
  s.n = c.n, s.c = c.c, s.k = c.k, s.groups = c.groups;
  s.in = c.in, s.out = {out(&Extent::d), out(&Extent::h), out(&Extent::w)}, s.filter = c.filter;
  s.stride = c.stride, s.dilation = c.dilation, s.pad = c.pad;
  s.x_pixel = c.c, s.y_pixel = c.k;
  s.dtype = dtype;
  return s;
}

Array whole_of(DType dtype, int64_t bytes, unsigned seed) {
  return whole(dtype, bytes / static_cast<int64_t>(itemsize(dtype)), -3, 3, seed);
}

// Every table on the same case, with the workspace it asks for.
template <class Args>
void check(KernelId<Args> id, Args args, void* Args::*y, const Array& output, Tolerance tolerance = {}) {
  std::vector<Array> lent;
  lent.reserve(1);
  check_kernel<Args>(id, args, y, output, tolerance, [&](const CpuTable& table, Args& mine) {
    lent.clear();
    mine.workspace_bytes = workspace_bytes(id, mine, table);
    if (mine.workspace_bytes > 0) mine.workspace = lent.emplace_back(DType::UInt8, mine.workspace_bytes).data();
  });
}

template <class Fn>
void for_each_case(Fn&& fn) {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (size_t i = 0; i < std::size(kCases); ++i) {
      CAPTURE(std::string(name(dtype)));
      CAPTURE(i);
      fn(kCases[i], shape_of(kCases[i], dtype), i);
    }
}

}  // namespace

void cases_conv_forward() {
  for_each_case([](const Case& c, ConvShape shape, size_t i) {
    shape.x_pixel += c.gap;
    const Array x = whole_of(shape.dtype, shape.x_bytes(), 1), w = whole_of(shape.dtype, shape.w_bytes(), 2),
                bias = whole(shape.dtype, shape.k);
    ConvForwardArgs args;
    args.x = x.data(), args.w = w.data(), args.bias = i % 3 == 0 ? nullptr : bias.data();
    args.shape = shape;
    args.activation = i % 2 == 0 ? Activation::None : Activation::Relu;
    check(kernel::conv_forward, args, &ConvForwardArgs::y, whole_of(shape.dtype, shape.y_bytes(), 3));
  });
}

void cases_conv_backward_data() {
  for_each_case([](const Case& c, ConvShape shape, size_t i) {
    shape.y_pixel += c.gap;
    const Array dy = whole_of(shape.dtype, shape.y_bytes(), 1), w = whole_of(shape.dtype, shape.w_bytes(), 2),
                bias = whole(shape.dtype, shape.c);
    ConvBackwardDataArgs args;
    args.dy = dy.data(), args.w = w.data(), args.bias = i % 3 == 0 ? bias.data() : nullptr;
    args.shape = shape;
    check(kernel::conv_backward_data, args, &ConvBackwardDataArgs::dx, whole_of(shape.dtype, shape.x_bytes(), 3));
  });
}

void cases_conv_backward_weight() {
  for_each_case([](const Case& c, ConvShape shape, size_t i) {
    shape.x_pixel += c.gap, shape.y_pixel += i % 2 == 0 ? c.gap : 0;
    const Array x = whole_of(shape.dtype, shape.x_bytes(), 1), dy = whole_of(shape.dtype, shape.y_bytes(), 2);
    const Array dbias(shape.dtype, shape.k);
    ConvBackwardWeightArgs args;
    args.x = x.data(), args.dy = dy.data(), args.dbias = i % 2 == 0 ? nullptr : dbias.data();
    args.shape = shape;
    check(kernel::conv_backward_weight, args, &ConvBackwardWeightArgs::dw, whole_of(shape.dtype, shape.w_bytes(), 3));
  });
}

TEST_CASE("convolution with every activation") {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (Activation activation : {Activation::Tanh, Activation::Sigmoid, Activation::Gelu}) {
      const ConvShape shape = shape_of({2, 3, 21, flat(6, 9), flat(3, 3), {1, 1, 1}, {0, 1, 1}}, dtype);
      const Array x = real(dtype, shape.x_bytes() / shape.size(), -1, 1, 1), w = real(dtype, shape.w_bytes() / shape.size(), -1, 1, 2);
      const Array bias = real(dtype, shape.k);
      ConvForwardArgs args;
      args.x = x.data(), args.w = w.data(), args.bias = bias.data();
      args.shape = shape;
      args.activation = activation;
      check(kernel::conv_forward, args, &ConvForwardArgs::y, Array(dtype, shape.y_bytes() / shape.size()), {8, 64 * ulp(dtype, 1)});
    }
}

TEST_CASE("Winograd's convolution stays within its promise, in whole and cut tiles") {
  const Case cases[] = {
      {1, 16, 16, flat(4, 4), flat(3, 3), {1, 1, 1}, flat(0, 0)},  {2, 17, 33, flat(7, 7), flat(3, 3), {1, 1, 1}, {0, 1, 1}},
      {3, 64, 64, flat(14, 13), flat(3, 3), {1, 1, 1}, {0, 1, 1}}, {1, 128, 40, flat(9, 30), flat(3, 3), {1, 1, 1}, {0, 2, 0}},
      {2, 20, 49, {3, 6, 9}, flat(3, 3), {1, 1, 1}, {0, 1, 1}},    {1, 1000, 16, flat(6, 6), flat(3, 3)},
  };
  for (const Case& c : cases) {
    CAPTURE(c.c);
    const ConvShape shape = shape_of(c, DType::Float32);
    const Array x = real(DType::Float32, shape.x_bytes() / 4, -1, 1, 1), w = real(DType::Float32, shape.w_bytes() / 4, -1, 1, 2);
    const Array dy = real(DType::Float32, shape.y_bytes() / 4, -1, 1, 3), bias = real(DType::Float32, shape.k);
    // Of hundreds of sums of 9 C products, each of variance 1/9, the largest is beyond two deviations.
    const double largest = 2 * std::sqrt(static_cast<double>(shape.c));
    ConvForwardArgs forward;
    forward.x = x.data(), forward.w = w.data(), forward.bias = bias.data();
    forward.shape = shape, forward.activation = Activation::Relu, forward.algorithm = ConvAlgorithm::Winograd;
    check(kernel::conv_forward, forward, &ConvForwardArgs::y, Array(DType::Float32, shape.y_bytes() / 4), {0, 2e-5 * largest});
    ConvBackwardDataArgs backward;
    backward.dy = dy.data(), backward.w = w.data();
    backward.shape = shape, backward.algorithm = ConvAlgorithm::Winograd;
    check(kernel::conv_backward_data, backward, &ConvBackwardDataArgs::dx, Array(DType::Float32, shape.x_bytes() / 4), {0, 2e-5 * largest});
  }
}
