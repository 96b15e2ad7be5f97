// Convolutions as matrix products whose operands are gathered from the tensors, group by group.
#include "kernels/conv.h"

#include "conv_depthwise.h"
#include "conv_gather.h"
#include "kernels/copy.h"

namespace dnncore::cuda {

void copy(const CopyArgs& args, cudaStream_t stream);

namespace {

using namespace product;
using namespace conv;

constexpr int64_t kMostChunks = 32;

template <class Fn>
auto visit(const ConvShape& s, Fn&& fn) {
  return s.dtype == DType::Float64 ? fn(double{}) : fn(float{});
}

// Both directions over pixels: rows x columns sums of so many products, for each group.
template <class T>
Problem problem_of(const ConvShape& s, int64_t pixels, int64_t columns, int64_t channels) {
  const int64_t k = channels * s.taps();
  Problem p(s.n * pixels, columns, k, s.groups, chunk_length(k, kMostChunks));
  p.split = wants_split<T>(p);
  return p;
}
// The workspace: w as the second operand (group, tap, channel summed over, output channel), then the sums of a split product.
int64_t packed_bytes(const ConvShape& s) { return (s.w_bytes() + 63) / 64 * 64; }
int64_t split_bytes(const ConvShape& s, const Problem& p) { return p.split ? p.chunks * p.batch * p.m * p.n * s.size() : 0; }

template <class T>
void run_pixels(const char* what, bool transposed, const ConvShape& s, const void* x, const void* w, const void* bias, void* y,
                void* workspace, Activation activation, cudaStream_t stream) {
  const int64_t channels = (transposed ? s.k : s.c) / s.groups, columns = (transposed ? s.c : s.k) / s.groups;
  const int64_t pair = (s.c / s.groups) * s.taps(), group = s.k / s.groups * pair;
  copy({.x = w,
        .y = workspace,
        .shape = {s.groups, s.taps(), channels, columns},
        .x_strides = {group, 1, transposed ? pair : s.taps(), transposed ? s.taps() : pair},
        .y_strides = {group, channels * columns, columns, 1},
        .x_dtype = s.dtype,
        .y_dtype = s.dtype},
       stream);
  const Problem p = problem_of<T>(s, transposed ? s.in.count() : s.out.count(), columns, channels);
  constexpr int64_t V = 16 / sizeof(T);
  const int64_t row = columns * s.groups;
  T* const sums = static_cast<T*>(p.split ? static_cast<void*>(static_cast<char*>(workspace) + packed_bytes(s)) : y);
  const Output<T> output{.c = y,
                         .bias = static_cast<const T*>(bias),
                         .partial = sums,
                         .c_row = row,
                         .c_batch = columns,
                         .bias_batch = columns,
                         .partial_row = row,
                         .partial_batch = columns,
                         .activation = activation,
                         .accumulate = false,
                         .wide = true,
                         .packs = is_multiple({columns}, V) && is_aligned(y, 16) && is_aligned(bias, 16)};
  const Pixels<T> a(x, s, transposed);
  const Matrix<T> b(workspace, columns, p.k, 1, columns, group);
  product::run(what, p, a, b, output, stream);
  if (p.split) run_join(what, p, output, stream);
}

// --- The gradient of w: dy^T x, rows output channels, columns (tap, channel), sums over pixels ---

template <class T>
Problem weight_problem(const ConvShape& s) {
  const int64_t m = s.k / s.groups, n = s.c / s.groups * s.taps(), k = s.n * s.out.count();
  int64_t tiles = 1;
  visit_tile<T>(Problem(m, n, k, s.groups, kLeastChunk),
                [&](auto tile) { tiles = ((m + tile.M - 1) / tile.M) * ((n + tile.N - 1) / tile.N) * s.groups; });
  Problem p(m, n, k, s.groups, chunk_length(k, std::clamp<int64_t>(2 * kProcessors / std::max<int64_t>(tiles, 1), 1, 2 * kProcessors)));
  p.split = true;
  return p;
}

// dw from the chunks' sums, whose channels are adjacent and taps are not.
template <class T>
__global__ void __launch_bounds__(kBlock) join_weight(Problem p, int64_t channels, int64_t taps, const T* partial, T* dw) {
  const int64_t count = p.batch * p.m * p.n;
  for (int64_t at = global_thread(); at < count; at += grid_threads()) {
    T sum = partial[at];
    for (int64_t chunk = 1; chunk < p.chunks; ++chunk) sum += partial[chunk * count + at];
    const int64_t row = at / p.n, column = at % p.n;
    dw[row * p.n + column % channels * taps + column / channels] = sum;
  }
}

template <class T>
void run_weight(const ConvBackwardWeightArgs& args, cudaStream_t stream) {
  const ConvShape& s = args.shape;
  const Problem p = weight_problem<T>(s);
  const Output<T> output{
      .partial = static_cast<T*>(args.workspace), .wide = true, .packs = p.n % static_cast<int64_t>(16 / sizeof(T)) == 0};
  const Matrix<T> a(args.dy, p.m, p.k, 1, s.y_pixel, p.m);
  const Taps<T> b(args.x, s);
  product::run("conv_backward_weight", p, a, b, output, stream);
  launch_grid("conv_backward_weight", join_weight<T>, blocks_for(p.batch * p.m * p.n), kBlock, stream, 0, p, s.c / s.groups, s.taps(),
              static_cast<const T*>(args.workspace), static_cast<T*>(args.dw));
}

bool is_empty(const ConvShape& s) { return s.n == 0 || s.k == 0 || s.c == 0; }

}  // namespace

int64_t conv_forward_workspace(const ConvForwardArgs& args) {
  const ConvShape& s = args.shape;
  if (is_empty(s) || is_depthwise(s)) return 0;
  return visit(s, [&](auto tag) {
    return packed_bytes(s) + split_bytes(s, problem_of<decltype(tag)>(s, s.out.count(), s.k / s.groups, s.c / s.groups));
  });
}
void conv_forward(const ConvForwardArgs& args, cudaStream_t stream) {
  const ConvShape& s = args.shape;
  if (s.n == 0 || s.k == 0) return;
  if (is_depthwise(s)) return depthwise_forward(args, stream);
  visit(s, [&](auto tag) {
    run_pixels<decltype(tag)>("conv_forward", false, s, args.x, args.w, args.bias, args.y, args.workspace, args.activation, stream);
  });
}

int64_t conv_backward_data_workspace(const ConvBackwardDataArgs& args) {
  const ConvShape& s = args.shape;
  if (is_empty(s) || is_depthwise(s)) return 0;
  return visit(s, [&](auto tag) {
    return packed_bytes(s) + split_bytes(s, problem_of<decltype(tag)>(s, s.in.count(), s.c / s.groups, s.k / s.groups));
  });
}
void conv_backward_data(const ConvBackwardDataArgs& args, cudaStream_t stream) {
  const ConvShape& s = args.shape;
  if (s.n == 0 || s.c == 0) return;
  if (is_depthwise(s)) return depthwise_backward_data(args, stream);
  visit(s, [&](auto tag) {
    run_pixels<decltype(tag)>("conv_backward_data", true, s, args.dy, args.w, args.bias, args.dx, args.workspace, Activation::None, stream);
  });
}

int64_t conv_backward_weight_workspace(const ConvBackwardWeightArgs& args) {
  const ConvShape& s = args.shape;
  if (s.k == 0 || s.c == 0) return bias_bytes(s);
  if (is_depthwise(s)) return std::max(bias_bytes(s), depthwise_weight_bytes(s));
  return visit(s, [&](auto tag) { return std::max(bias_bytes(s), split_bytes(s, weight_problem<decltype(tag)>(s))); });
}
void conv_backward_weight(const ConvBackwardWeightArgs& args, cudaStream_t stream) {
  const ConvShape& s = args.shape;
  if (s.k == 0) return;
  if (args.dbias != nullptr) bias_gradient(args, stream);  // first: what follows uses the same workspace
  if (s.c == 0) return;
  if (is_depthwise(s)) return depthwise_backward_weight(args, stream);
  visit(s, [&](auto tag) { run_weight<decltype(tag)>(args, stream); });
}

}  // namespace dnncore::cuda
