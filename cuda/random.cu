// The baseline's random numbers, with its bits: every sum, product, quotient and root is rounded once, by functions that are never
// contracted, as kernels/random.cpp's are compiled.
#include "kernels/random.h"

#include <cmath>
#include <numbers>

#include "numbers.h"
#include "philox.h"
#include "reduce.h"

namespace dnncore::cuda {
namespace {

// A double whose operators are rounded one by one.
struct Exact {
  double v;

  friend __device__ __forceinline__ Exact operator+(Exact a, Exact b) { return {__dadd_rn(a.v, b.v)}; }
  friend __device__ __forceinline__ Exact operator-(Exact a, Exact b) { return {__dadd_rn(a.v, -b.v)}; }
  friend __device__ __forceinline__ Exact operator*(Exact a, Exact b) { return {__dmul_rn(a.v, b.v)}; }
  friend __device__ __forceinline__ Exact operator/(Exact a, Exact b) { return {__ddiv_rn(a.v, b.v)}; }
};

// The four words of one counter, and the two pairs of them.
struct Words {
  uint32_t word[4];
  __device__ uint64_t pair(int i) const { return uint64_t{word[2 * i + 1]} << 32 | word[2 * i]; }
};
__device__ __forceinline__ Words draw(const GeneratorState& state, uint64_t counter) {
  const uint4 w = philox(state.offset + counter, state.seed);
  return {{w.x, w.y, w.z, w.w}};
}

template <class T>
__device__ __forceinline__ T narrow(double x) {
  if constexpr (kIsHalf<T>)
    return from_working<T>(static_cast<float>(x));
  else
    return static_cast<T>(x);
}
template <class T>
inline constexpr int kUniformBits = std::is_same_v<T, double>     ? 53
                                    : std::is_same_v<T, bfloat16> ? 8
                                    : std::is_same_v<T, float16>  ? 11
                                                                  : 24;

// As random.cpp's log_of.
__device__ __forceinline__ Exact log_of(double x) {
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdull;
  const auto bits = static_cast<uint64_t>(__double_as_longlong(x));
  const int64_t e = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  const Exact m{__longlong_as_double(static_cast<long long>(bits - (static_cast<uint64_t>(e) << 52)))};
  const Exact one{1}, two{2}, s = (m - one) / (m + one), z = s * s;
  constexpr double kOdd[] = {1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
  Exact sum{kOdd[10]};
#pragma unroll
  for (int i = 9; i >= 0; --i) sum = sum * z + Exact{kOdd[i]};
  return Exact{static_cast<double>(e)} * Exact{std::numbers::ln2} + (two * s + two * s * z * sum);
}

// As random.cpp's sin_cos: of 2 pi u / 2^64.
__device__ __forceinline__ void sin_cos(uint64_t u, Exact& sine, Exact& cosine) {
  const uint64_t quadrant = (u + (uint64_t{1} << 61)) >> 62;
  const auto rest = static_cast<int64_t>(u - (quadrant << 62));
  const Exact one{1}, x = Exact{static_cast<double>(rest)} * Exact{std::numbers::pi * 0x1p-63}, z = x * x;
  constexpr double kSin[] = {1.0 / 6, 1.0 / 20, 1.0 / 42, 1.0 / 72, 1.0 / 110, 1.0 / 156, 1.0 / 210, 1.0 / 272};
  constexpr double kCos[] = {1.0 / 2, 1.0 / 12, 1.0 / 30, 1.0 / 56, 1.0 / 90, 1.0 / 132, 1.0 / 182, 1.0 / 240};
  Exact s = one, c = one;
#pragma unroll
  for (int i = 7; i >= 0; --i) {
    s = one - s * (z * Exact{kSin[i]});
    c = one - c * (z * Exact{kCos[i]});
  }
  s = s * x;
  const bool swapped = quadrant & 1;
  sine = swapped ? c : s, cosine = swapped ? s : c;
  if (quadrant & 2) sine.v = -sine.v;
  if ((quadrant + 1) & 2) cosine.v = -cosine.v;
}

// Box-Muller on two words of `bits` random bits, given in the top bits of 64: y[0] and y[1], if there is one.
template <int bits, class T>
__device__ __forceinline__ void write_normals(const RandomArgs& args, uint64_t radius, uint64_t angle, int64_t i) {
  auto* const y = static_cast<T*>(args.y);
  const Exact u = Exact{static_cast<double>((radius >> (64 - bits)) + 1)} * Exact{1.0 / static_cast<double>(uint64_t{1} << bits)};
  const Exact r{__dsqrt_rn((Exact{-2} * log_of(u.v)).v)}, mean{args.a}, deviation{args.b};
  Exact sine, cosine;
  sin_cos(angle, sine, cosine);
  if (i < args.n) y[i] = narrow<T>((mean + deviation * (r * cosine)).v);
  if (i + 1 < args.n) y[i + 1] = narrow<T>((mean + deviation * (r * sine)).v);
}

template <class T>
__device__ __forceinline__ T uniform(const RandomArgs& args, uint64_t bits) {
  const Exact low{args.a}, high{args.b}, u{static_cast<double>(bits) * (1.0 / static_cast<double>(uint64_t{1} << kUniformBits<T>))};
  const T y = narrow<T>((low + (high - low) * u).v);
  return static_cast<double>(to_working(y)) >= args.b ? narrow<T>(args.a) : y;  // rounded up to high, which is excluded
}

// low + floor(bits * (high - low) / 2^64).
__device__ __forceinline__ int64_t scaled(uint64_t bits, int64_t low, int64_t high) {
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  return static_cast<int64_t>(static_cast<uint64_t>(low) + __umul64hi(bits, range));
}

// The values of counter c: two of 64 bits each, or four.
template <class T>
__device__ __forceinline__ void write_pairs(const RandomArgs& args, const Words& words, int64_t c) {
  auto* const y = static_cast<T*>(args.y);
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    const int64_t i = 2 * c + k;
    if (i >= args.n) return;
    if (args.op == RandomOp::integer) {
      const int64_t value = scaled(words.pair(k), args.low, args.high);
      if constexpr (kIsFloating<T>)
        y[i] = narrow<T>(static_cast<double>(value));
      else
        y[i] = static_cast<T>(value);
    } else if constexpr (std::is_same_v<T, double>) {
      y[i] = uniform<T>(args, words.pair(k) >> 11);
    }
  }
}
template <class T>
__device__ __forceinline__ void write_words(const RandomArgs& args, const Words& words, int64_t c, uint32_t threshold) {
  auto* const y = static_cast<T*>(args.y);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int64_t i = 4 * c + k;
    if (i >= args.n) return;
    if (args.op == RandomOp::bernoulli) {
      y[i] = narrow<T>(words.word[k] >> 8 < threshold ? 1.0 : 0.0);
    } else if constexpr (kIsFloating<T> && !std::is_same_v<T, double>) {
      if (args.op == RandomOp::uniform) y[i] = uniform<T>(args, words.word[k] >> (32 - kUniformBits<T>));
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) write_values(RandomArgs args, bool pairs, int64_t counters, uint32_t threshold) {
  const GeneratorState state = *args.state;
  for (int64_t c = global_thread(); c < counters; c += grid_threads()) {
    const Words words = draw(state, static_cast<uint64_t>(c));
    if (pairs)
      write_pairs<T>(args, words, c);
    else
      write_words<T>(args, words, c, threshold);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) write_all_normals(RandomArgs args) {
  const GeneratorState state = *args.state;
  constexpr bool kPairs = std::is_same_v<T, double>;  // two values take a counter, else half of one
  for (int64_t i = global_thread() * 2; i < args.n; i += grid_threads() * 2) {
    if constexpr (kPairs) {
      const uint64_t counter = static_cast<uint64_t>(i) / 2;
      const Words words = draw(state, counter);
      write_normals<53, T>(args, words.pair(0), words.pair(1), i);
    } else {
      const Words words = draw(state, static_cast<uint64_t>(i) / 4);
      const int half = i % 4 == 0 ? 0 : 2;
      write_normals<32, T>(args, uint64_t{words.word[half]} << 32, uint64_t{words.word[half + 1]} << 32, i);
    }
  }
}

__global__ void __launch_bounds__(kBlock) write_positions(int64_t* y, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += grid_threads()) y[i] = i;
}

// Fisher-Yates by one warp: position i from the end on is exchanged with one of 0..i. Exchanges of 32 positions whose partners are none of
// them, and differ, may be done at once; others are done one by one.
__global__ void shuffle(RandomArgs args) {
  auto* const y = static_cast<int64_t*>(args.y);
  const GeneratorState state = *args.state;
  const auto lane = static_cast<int64_t>(threadIdx.x);
  for (int64_t last = args.n - 1; last >= 0; last -= 32) {
    const int64_t i = last - lane;
    int64_t partner = -1;
    if (i >= 0) partner = scaled(draw(state, static_cast<uint64_t>(i) / 2).pair(static_cast<int>(i % 2)), 0, i + 1);
    bool alone = partner <= last - 32 || partner == i;
    for (int other = 0; other < 32; ++other) {
      const int64_t theirs = shuffle_from(partner, other);
      alone &= other == lane || theirs != partner;
    }
    const bool at_once = __all_sync(kAllLanes, alone || i < 0);
    for (int turn = 0; turn < 32; ++turn) {
      if (i >= 0 && (at_once ? turn == 0 : turn == lane)) {
        const int64_t mine = y[i];
        y[i] = y[partner];
        y[partner] = mine;
      }
      __syncwarp();
      if (at_once) break;
    }
  }
}

__global__ void advance(GeneratorState* state, uint64_t counters) { state->offset += counters; }

template <class T>
void run(const RandomArgs& args, cudaStream_t stream) {
  const int64_t counters = args.counters_used();
  if (args.op == RandomOp::normal) {
    if constexpr (kIsFloating<T>) launch_grid("random", write_all_normals<T>, blocks_for((args.n + 1) / 2), kBlock, stream, 0, args);
    return;
  }
  const auto threshold = static_cast<uint32_t>(std::clamp(std::ceil(args.a * 0x1p24), 0.0, 0x1p24));  // u < p in whole numbers
  launch_grid("random", write_values<T>, blocks_for(counters), kBlock, stream, 0, args, args.takes_pairs(), counters, threshold);
}

}  // namespace

void random(const RandomArgs& args, cudaStream_t stream) {
  if (args.n > 0 && args.op == RandomOp::permutation) {
    launch_grid("random", write_positions, blocks_for(args.n), kBlock, stream, 0, static_cast<int64_t*>(args.y), args.n);
    launch_grid("random", shuffle, 1, 32, stream, 0, args);
  } else if (args.n > 0) {
    visit_dtype(args.dtype, [&](auto tag) { run<decltype(tag)>(args, stream); });
  }
  launch_grid("random", advance, 1, 1, stream, 0, args.state, static_cast<uint64_t>(args.counters_used()));
}

}  // namespace dnncore::cuda
