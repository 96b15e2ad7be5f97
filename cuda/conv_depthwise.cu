#include "conv_depthwise.h"

#include "conv_gather.h"

namespace dnncore::cuda::conv {
namespace {

// A thread per output: adjacent channels in adjacent threads.
template <class T>
__global__ void __launch_bounds__(kBlock)
    forward(ConvForwardArgs args, Window window, WideParts channels, int64_t multiplier, int64_t count) {
  const ConvShape& s = args.shape;
  const auto* const x = static_cast<const T*>(args.x);
  const auto* const w = static_cast<const T*>(args.w);
  const auto* const bias = static_cast<const T*>(args.bias);
  const int taps = static_cast<int>(window.filter.count());
  for (int64_t i = global_thread(); i < count; i += grid_threads()) {
    int64_t k;
    Position p, q;
    const int64_t image = window.out.find(channels.divide(i, k), p);
    const Position origin = window.origin(p);
    const T* const from = x + image * window.in.count() * s.x_pixel + k / multiplier;
    T sum = 0;
    for (int tap = 0; tap < taps; ++tap) {
      Position f;
      window.filter.find(tap, f);
      if (window.input(origin, f, q)) sum += from[window.in.index(q) * s.x_pixel] * w[k * taps + tap];
    }
    if (bias != nullptr) sum += bias[k];
    static_cast<T*>(args.y)[i] = product::activate(args.activation, sum);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    backward_data(ConvBackwardDataArgs args, Window window, WideParts channels, int64_t multiplier, int64_t count) {
  const ConvShape& s = args.shape;
  const auto* const dy = static_cast<const T*>(args.dy);
  const auto* const w = static_cast<const T*>(args.w);
  const auto* const bias = static_cast<const T*>(args.bias);
  const int taps = static_cast<int>(window.filter.count());
  for (int64_t i = global_thread(); i < count; i += grid_threads()) {
    int64_t c;
    Position p, q;
    const int64_t image = window.in.find(channels.divide(i, c), q);
    const Position origin = window.reverse_origin(q);
    const T* const from = dy + image * window.out.count() * s.y_pixel + c * multiplier;
    T sum = 0;
    for (int tap = 0; tap < taps; ++tap) {
      Position f;
      window.filter.find(tap, f);
      if (!window.output(origin, f, p)) continue;
      const T* const pixel = from + window.out.index(p) * s.y_pixel;
      for (int64_t k = 0; k < multiplier; ++k) sum += pixel[k] * w[(c * multiplier + k) * taps + tap];
    }
    static_cast<T*>(args.dx)[i] = bias == nullptr ? sum : sum + bias[c];
  }
}

// --- Sums over pixels: a block has 32 channels, its 8 warps every 8th pixel of a part; parts are joined in a second pass ---

constexpr int kWarps = kBlock / 32;
constexpr int64_t kLeastPart = 256, kMostParts = 64;

struct PixelParts {
  int64_t pixels, length, parts;
};
PixelParts parts_of(const ConvShape& s) {
  const int64_t pixels = s.n * s.out.count(), length = std::max(kLeastPart, (pixels + kMostParts - 1) / kMostParts);
  return {pixels, length, std::max<int64_t>(1, (pixels + length - 1) / length)};
}

// partial[part][k][tap] of dy[p, k] x[p meets tap, k's channel]; without x, of dy: the bias's gradient, a single tap.
template <class T>
__global__ void __launch_bounds__(kBlock)
    sum_pixels(ConvBackwardWeightArgs args, Window window, PixelParts parts, int64_t taps, int64_t multiplier, const T* x, T* partial) {
  __shared__ T sums[kWarps][32];
  const ConvShape& s = args.shape;
  const auto* const dy = static_cast<const T*>(args.dy);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t across = (s.k + 31) / 32;
  for (int64_t i = blockIdx.x; i < across * taps * parts.parts; i += gridDim.x) {
    const int64_t k = i % across * 32 + lane, tap = i / across % taps, part = i / across / taps;
    const int64_t end = (part + 1) * parts.length < parts.pixels ? (part + 1) * parts.length : parts.pixels;
    Position f;
    window.filter.find(tap, f);
    T sum = 0;
    if (k < s.k)
      for (int64_t at = part * parts.length + warp; at < end; at += kWarps) {
        const T g = dy[at * s.y_pixel + k];
        if (x == nullptr) {
          sum += g;
          continue;
        }
        Position p, q;
        const int64_t image = window.out.find(at, p);
        if (window.input(window.origin(p), f, q))
          sum += g * x[(image * window.in.count() + window.in.index(q)) * s.x_pixel + k / multiplier];
      }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && k < s.k) {
      for (int other = 1; other < kWarps; ++other) sum += sums[other][lane];
      partial[(part * s.k + k) * taps + tap] = sum;
    }
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) join_parts(int64_t count, int64_t parts, const T* partial, T* total) {
  for (int64_t i = global_thread(); i < count; i += grid_threads()) {
    T sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += partial[part * count + i];
    total[i] = sum;
  }
}

template <class T>
void run_sums(const ConvBackwardWeightArgs& args, int64_t taps, const void* x, void* total, cudaStream_t stream) {
  const ConvShape& s = args.shape;
  const PixelParts parts = parts_of(s);
  T* const partial = static_cast<T*>(args.workspace);
  launch_grid("conv_backward_weight", sum_pixels<T>, blocks_for((s.k + 31) / 32 * taps * parts.parts, 1), kBlock, stream, 0, args,
              Window(s), parts, taps, s.c > 0 ? std::max<int64_t>(s.k / s.c, 1) : 1, static_cast<const T*>(x), partial);
  launch_grid("conv_backward_weight", join_parts<T>, blocks_for(s.k * taps), kBlock, stream, 0, s.k * taps, parts.parts,
              static_cast<const T*>(partial), static_cast<T*>(total));
}

template <class Args, class Fn>
void visit(const Args& args, Fn&& fn) {
  args.shape.dtype == DType::Float64 ? fn(double{}) : fn(float{});
}

}  // namespace

void depthwise_forward(const ConvForwardArgs& args, cudaStream_t stream) {
  const ConvShape& s = args.shape;
  const int64_t count = s.n * s.out.count() * s.k;
  visit(args, [&](auto tag) {
    launch_grid("conv_forward", forward<decltype(tag)>, blocks_for(count), kBlock, stream, 0, args, Window(s), WideParts(s.k), s.k / s.c,
                count);
  });
}

void depthwise_backward_data(const ConvBackwardDataArgs& args, cudaStream_t stream) {
  const ConvShape& s = args.shape;
  const int64_t count = s.n * s.in.count() * s.c;
  visit(args, [&](auto tag) {
    launch_grid("conv_backward_data", backward_data<decltype(tag)>, blocks_for(count), kBlock, stream, 0, args, Window(s), WideParts(s.c),
                s.k / s.c, count);
  });
}

int64_t depthwise_weight_bytes(const ConvShape& s) { return parts_of(s).parts * s.k * s.taps() * s.size(); }
void depthwise_backward_weight(const ConvBackwardWeightArgs& args, cudaStream_t stream) {
  visit(args, [&](auto tag) { run_sums<decltype(tag)>(args, args.shape.taps(), args.x, args.dw, stream); });
}

int64_t bias_bytes(const ConvShape& s) { return parts_of(s).parts * s.k * s.size(); }
void bias_gradient(const ConvBackwardWeightArgs& args, cudaStream_t stream) {
  visit(args, [&](auto tag) { run_sums<decltype(tag)>(args, 1, nullptr, args.dbias, stream); });
}

}  // namespace dnncore::cuda::conv
