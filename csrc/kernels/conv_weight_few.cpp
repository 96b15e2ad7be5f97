// A chunk of rows of an image is laid out in planes that lie in L1: x once for every column of the filter, without the pixels that have no
// output, and each channel of dy. Then a weight is the product of two planes, and rows of any length fill their vectors. LeNet-5's first
// layer: 290 -> 205 us; vectors over its 25 taps multiply 7 zeros each and copy every pixel five times.
#include "kernels/conv_weight_few.h"

#include <bit>
#include <utility>

#include "kernels/conv_depthwise.h"
#include "kernels/conv_few.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr bool kHasFewWeight = kVecBytes == 64;  // narrower vectors leave less of them empty
constexpr int kTileTaps = 5, kTileChannels = 4;  // at most; all of 4x3 to 13x2 are within 2 % of 5x3
constexpr int64_t kMostTaps = 128;
constexpr int64_t kChunkBytes = 40 << 10;
constexpr int64_t kMostColumns = 1024;
constexpr double kTaskNanoseconds = 60e3;

struct FewWeightPlan {
  int64_t size, lanes;
  int64_t columns, column_parts, row_parts, chunks;
  int64_t splits;  // of the chunks, added in their order at the end
  int64_t sums;    // of a split: (tap, channel), then the bias gradient
  double nanoseconds;
};

FewWeightPlan make_few_weight_plan(const ConvShape& s) {
  FewWeightPlan plan;
  plan.size = s.size();
  plan.lanes = kVecBytes / plan.size;
  plan.sums = (s.taps() + 1) * s.k;
  plan.column_parts = ceil_div(s.out.w, kMostColumns);
  plan.columns = ceil_div(s.out.w, plan.column_parts);
  const int64_t rows_in_l1 = (kChunkBytes / (plan.size * plan.columns) - s.filter.w * (s.filter.h - 1)) / (s.filter.w + s.k);
  plan.row_parts = plan.column_parts > 1 ? s.out.h : ceil_div(s.out.h, std::max<int64_t>(1, rows_in_l1));
  plan.chunks = s.n * plan.row_parts * plan.column_parts;
  plan.nanoseconds = 1000 + s.flops() / (340 / static_cast<double>(plan.size));
  const double tasks = std::clamp(plan.nanoseconds / kTaskNanoseconds, 1.0, 32.0);
  const auto wanted = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(tasks)));
  plan.splits = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, plan.chunks));
  return plan;
}

// sums[tap * ld + channel * N + lane] += x[tap] dy[channel] over pixels; dy is 0 to whole vectors.
template <class T>
struct FewProducts {
  const T* x[kTileTaps];
  const T* dy;
  int64_t dy_plane, pixels;
  T* sums;
  int64_t ld;
};

template <class T, int P, int K>
void add_products(const FewProducts<T>& job) {
  constexpr int N = Vec<T>::N;
  Vec<T> acc[P][K];
  DNN_UNROLL
  for (int p = 0; p < P; ++p) {
    DNN_UNROLL
    for (int k = 0; k < K; ++k) acc[p][k] = Vec<T>::zero();
  }
  const T* x[P];
  std::copy_n(job.x, P, x);
  const auto step = [&](int64_t i, auto&& load) __attribute__((always_inline)) {
    Vec<T> dy[K];
    DNN_UNROLL
    for (int k = 0; k < K; ++k) dy[k] = Vec<T>::load(job.dy + k * job.dy_plane + i);
    DNN_UNROLL
    for (int p = 0; p < P; ++p) {
      Vec<T> xv = load(x[p] + i);
      keep_in_register(xv);
      DNN_UNROLL
      for (int k = 0; k < K; ++k) acc[p][k] = fma(xv, dy[k], acc[p][k]);
    }
  };
  int64_t i = 0;
  for (; i + N <= job.pixels; i += N)
    step(
        i, [](const T* at) __attribute__((always_inline)) { return Vec<T>::load(at); });
  if (const int64_t rest = job.pixels - i; rest > 0)  // what follows in x may not be finite
    step(
        i, [rest](const T* at) __attribute__((always_inline)) { return Vec<T>::load(at, rest); });
  DNN_UNROLL
  for (int p = 0; p < P; ++p) {
    DNN_UNROLL
    for (int k = 0; k < K; ++k) {
      T* sum = job.sums + p * job.ld + k * N;
      (Vec<T>::load(sum) + acc[p][k]).store(sum);
    }
  }
}

template <class T, int... I>
void add_tile(const FewProducts<T>& job, int64_t taps, int64_t channels, std::integer_sequence<int, I...>) {
  constexpr void (*kernels[])(const FewProducts<T>&) = {add_products<T, I / kTileChannels + 1, I % kTileChannels + 1>...};
  kernels[(taps - 1) * kTileChannels + channels - 1](job);
}

template <class T, int... I>
DNN_INLINE Vec<T> join_halves(const T* low, const T* high, std::integer_sequence<int, I...>) {
  typedef T Half __attribute__((vector_size(kVecBytes / 2)));
  Half a, b;
  std::memcpy(&a, low, sizeof(a));
  std::memcpy(&b, high, sizeof(b));
  return {__builtin_shufflevector(a, b, I...)};
}

template <class T>
struct FewPixels {
  const T* dy;
  int64_t pixel, pixels;
  const T* end;  // of what may be read
  T* to;
  int64_t plane;
  T* sums;
};

// to[channel][pixel], zeros after the last one, and sums[channel] of the pixels by lanes.
template <class T, int K>
void turn_pixels(const FewPixels<T>& job) {
  constexpr int N = Vec<T>::N, H = kMostFew<T>;
  Vec<T> sums[K];
  DNN_UNROLL
  for (int k = 0; k < K; ++k) sums[k] = Vec<T>::load(job.sums + k * N);
  const T* dy = job.dy;
  for (int64_t i = 0; i < job.pixels; i += N, dy += N * job.pixel) {
    alignas(64) T rest[N * H];
    const T* from = dy;
    int64_t pixel = job.pixel;
    if (i + N > job.pixels || job.end - dy < (N - 1) * pixel + H) [[unlikely]] {
      std::fill_n(rest, N * H, T{0});
      for (int64_t p = 0; p < std::min<int64_t>(N, job.pixels - i); ++p) std::copy_n(dy + p * job.pixel, K, rest + p * H);
      from = rest, pixel = H;
    }
    Vec<T> r[H];
    DNN_UNROLL
    for (int p = 0; p < H; ++p) r[p] = join_halves(from + p * pixel, from + (p + H) * pixel, std::make_integer_sequence<int, N>{});
    detail::transpose_halves<H / 2>(r);
    DNN_UNROLL
    for (int k = 0; k < K; ++k) {
      r[k].store(job.to + k * job.plane + i);
      sums[k] = sums[k] + r[k];
    }
  }
  DNN_UNROLL
  for (int k = 0; k < K; ++k) sums[k].store(job.sums + k * N);
}

template <class T, int... I>
void turn_pixels(const FewPixels<T>& job, int64_t channels, std::integer_sequence<int, I...>) {
  constexpr void (*kernels[])(const FewPixels<T>&) = {turn_pixels<T, I + 1>...};
  kernels[channels - 1](job);
}

template <class T>
class FewWeightGradient {
 public:
  FewWeightGradient(const ConvBackwardWeightArgs& args, const FewWeightPlan& plan) : args_(args), s_(args.shape), plan_(plan) {}

  void add_up(int64_t split, std::byte* scratch) const {
    T* const sums = reinterpret_cast<T*>(scratch);
    std::fill_n(sums, plan_.sums * N, T{0});
    for (int64_t chunk = plan_.chunks * split / plan_.splits; chunk < plan_.chunks * (split + 1) / plan_.splits; ++chunk) {
      const Range columns = part_of(s_.out.w, 1, plan_.column_parts, chunk % plan_.column_parts);
      const int64_t part = chunk / plan_.column_parts;
      add_chunk(part / plan_.row_parts, part_of(s_.out.h, 1, plan_.row_parts, part % plan_.row_parts), columns, sums);
    }
    T* const to = plan_.splits > 1 ? splits() + split * plan_.sums : sums;
    for (int64_t i = 0; i < plan_.sums; ++i) to[i] = reduce_add(Vec<T>::load(sums + i * N));
    if (plan_.splits == 1) store(to);
  }

  void finish() const {
    T* const sums = splits();
    for (int64_t split = 1; split < plan_.splits; ++split)
      for (int64_t i = 0; i < plan_.sums; ++i) sums[i] += sums[split * plan_.sums + i];
    store(sums);
  }

 private:
  static constexpr int64_t N = Vec<T>::N, H = kMostFew<T>;

  T* splits() const { return static_cast<T*>(args_.workspace); }

  void store(const T* sums) const {
    for (int64_t k = 0; k < s_.k; ++k)
      for (int64_t tap = 0; tap < s_.taps(); ++tap) static_cast<T*>(args_.dw)[k * s_.taps() + tap] = sums[tap * s_.k + k];
    if (args_.dbias != nullptr) std::copy_n(sums + s_.taps() * s_.k, s_.k, static_cast<T*>(args_.dbias));
  }

  // After the vectors of all sums: a plane of x for each column of the filter, then those of dy, to whole vectors.
  void add_chunk(int64_t n, Range rows, Range columns, T* sums) const {
    const int64_t pixels = rows.size() * columns.size(), whole = round_up(pixels, N);
    const int64_t x_plane = (s_.filter.h - 1) * columns.size() + pixels;
    T* const x = sums + plan_.sums * N;
    T* const dy = x + round_up(s_.filter.w * x_plane, N);
    const T* const image = static_cast<const T*>(args_.x) + n * s_.in.h * s_.in.w * s_.x_pixel;
    for (int64_t s = 0; s < s_.filter.w; ++s)
      copy_plane(x + s * x_plane, image, s_.in, s_.x_pixel, rows.begin - s_.pad.h, rows.size() + s_.filter.h - 1,
                 columns.begin + s - s_.pad.w, columns.size());
    const T* const from = static_cast<const T*>(args_.dy) + ((n * s_.out.h + rows.begin) * s_.out.w + columns.begin) * s_.y_pixel;
    const T* const end = reinterpret_cast<const T*>(static_cast<const char*>(args_.dy) + s_.y_bytes());
    turn_pixels<T>({from, s_.y_pixel, pixels, end, dy, whole, sums + s_.taps() * s_.k * N}, s_.k, std::make_integer_sequence<int, H>{});
    const int64_t tap_parts = ceil_div(s_.taps(), kTileTaps), channel_parts = ceil_div(s_.k, kTileChannels);
    FewProducts<T> job;
    job.dy_plane = whole;
    job.pixels = pixels;
    job.ld = s_.k * N;
    for (int64_t i = 0; i < tap_parts; ++i) {
      const Range taps = part_of(s_.taps(), 1, tap_parts, i);
      for (int64_t tap = taps.begin; tap < taps.end; ++tap)
        job.x[tap - taps.begin] = x + tap % s_.filter.w * x_plane + tap / s_.filter.w * columns.size();
      for (int64_t j = 0; j < channel_parts; ++j) {
        const Range channels = part_of(s_.k, 1, channel_parts, j);
        job.dy = dy + channels.begin * whole;
        job.sums = sums + (taps.begin * s_.k + channels.begin) * N;
        add_tile(job, taps.size(), channels.size(), std::make_integer_sequence<int, kTileTaps * kTileChannels>{});
      }
    }
  }

  const ConvBackwardWeightArgs& args_;
  const ConvShape& s_;
  const FewWeightPlan& plan_;
};

template <class T>
void run(const ConvBackwardWeightArgs& args, const Tasks& tasks) {
  if constexpr (kHasFewWeight) {
    const FewWeightPlan plan = make_few_weight_plan(args.shape);
    const FewWeightGradient<T> gradient(args, plan);
    if (tasks.phase == 1) return gradient.finish();
    for (int64_t split = tasks.begin; split < tasks.end; ++split) gradient.add_up(split, tasks.scratch);
  }
}

}  // namespace

// Chunks of wider rows are few rows high, and copy most of x several times: 224x224 lost a fifth.
bool is_few_weight(const ConvShape& s) {
  const bool plane = s.in.d == 1 && s.out.d == 1 && s.filter.d == 1 && s.pad.d == 0;
  const bool adjacent = s.stride.h * s.stride.w * s.dilation.h * s.dilation.w == 1;
  const bool few = s.c == 1 && s.groups == 1 && s.k > 0 && s.k * s.size() <= kVecBytes / 2 && s.taps() <= kMostTaps;
  return kHasFewWeight && few && plane && adjacent && (s.out.w <= 128 || s.filter.h == 1);
}

void few_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? run<double>(args, tasks) : run<float>(args, tasks);
}

Schedule few_backward_weight_schedule(const ConvBackwardWeightArgs& args) {
  const FewWeightPlan plan = make_few_weight_plan(args.shape);
  return {plan.splits > 1 ? 2 : 1, {plan.splits, 1, 1}, plan.nanoseconds};
}

int64_t few_backward_weight_workspace(const ConvBackwardWeightArgs& args) {
  const FewWeightPlan plan = make_few_weight_plan(args.shape);
  return plan.splits > 1 ? plan.splits * plan.sums * plan.size : 0;
}

}  // namespace dnncore::DNNCORE_ISA
