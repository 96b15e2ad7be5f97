// Random numbers in plain doubles without contraction, libm or vector types: +, -, *, / and sqrt are exactly rounded everywhere, so
// the bits are the same on every machine. Blocks of counters are computed side by side, which compilers turn into vectors.
#include "kernels/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <type_traits>

#include "core/dtype.h"
#include "core/parallel.h"
#include "kernels/philox.h"

namespace dnncore::baseline {

void random(const RandomArgs& args, const Tasks& tasks);
Schedule random_schedule(const RandomArgs& args);

namespace {

constexpr int64_t kTaskValues = 16'384;
constexpr int kCounters = 32;  // of one block: its 128 words live in L1

struct Block {
  uint32_t words[4][kCounters];  // words[w][c]: word w of counter c

  uint32_t word(int64_t i) const { return words[i % 4][i / 4]; }
  uint64_t pair(int64_t i) const { return uint64_t{words[2 * (i % 2) + 1][i / 2]} << 32 | words[2 * (i % 2)][i / 2]; }
};

// The counters counter .. counter + kCounters - 1.
void draw(uint64_t seed, uint64_t counter, Block& block) {
  for (int c = 0; c < kCounters; ++c) {
    const uint64_t value = counter + static_cast<uint64_t>(c);
    block.words[0][c] = static_cast<uint32_t>(value);
    block.words[1][c] = static_cast<uint32_t>(value >> 32);
    block.words[2][c] = block.words[3][c] = 0;
  }
  philox_4x32_10(block.words, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// Natural logarithm of a normal x > 0: x = 2^e m, m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
// Error below 1.5 ulp where the result is not near 0.
double log_of(double x) {
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdull;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const int64_t e = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  const double m = std::bit_cast<double>(bits - (static_cast<uint64_t>(e) << 52));
  const double s = (m - 1) / (m + 1), z = s * s;
  constexpr double kOdd[] = {1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
  double sum = kOdd[10];
  for (int i = 9; i >= 0; --i) sum = sum * z + kOdd[i];
  return static_cast<double>(e) * std::numbers::ln2 + (2 * s + 2 * s * z * sum);
}

struct SinCos {
  double sin, cos;
};

// Of 2 pi u / 2^64: the top bits choose the quadrant, the rest is an angle of at most pi / 4 for the Taylor series (error 1e-17).
SinCos sin_cos(uint64_t u) {
  const uint64_t quadrant = (u + (uint64_t{1} << 61)) >> 62;
  const auto rest = static_cast<int64_t>(u - (quadrant << 62));
  const double x = static_cast<double>(rest) * (std::numbers::pi * 0x1p-63), z = x * x;
  constexpr double kSin[] = {1.0 / 6, 1.0 / 20, 1.0 / 42, 1.0 / 72, 1.0 / 110, 1.0 / 156, 1.0 / 210, 1.0 / 272};  // 1 / (k (k + 1))
  constexpr double kCos[] = {1.0 / 2, 1.0 / 12, 1.0 / 30, 1.0 / 56, 1.0 / 90, 1.0 / 132, 1.0 / 182, 1.0 / 240};   // 1 / (k (k - 1))
  double s = 1, c = 1;
  for (int i = 7; i >= 0; --i) {
    s = 1 - s * (z * kSin[i]);
    c = 1 - c * (z * kCos[i]);
  }
  s *= x;
  const bool swapped = quadrant & 1;
  const double sine = swapped ? c : s, cosine = swapped ? s : c;
  return {quadrant & 2 ? -sine : sine, (quadrant + 1) & 2 ? -cosine : cosine};
}

// Box-Muller on two words of `Bits` random bits, given in the top bits of 64.
template <int Bits>
SinCos normal_pair(uint64_t radius, uint64_t angle) {
  const double u = static_cast<double>((radius >> (64 - Bits)) + 1) * (1.0 / static_cast<double>(uint64_t{1} << Bits));  // (0, 1]
  const double r = std::sqrt(-2 * log_of(u));
  const SinCos unit = sin_cos(angle);
  return {r * unit.sin, r * unit.cos};
}

template <class T>
T narrow(double x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, float16>)
    return to_float16(static_cast<float>(x));
  else
    return static_cast<T>(x);
}

template <class T>
double widen(T x) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>)
    return to_float(x);
  else
    return static_cast<double>(x);
}

// Random bits of a uniform: as many as the type can tell apart below 1.
template <class T>
constexpr int kUniformBits = std::is_same_v<T, double>     ? 53
                             : std::is_same_v<T, bfloat16> ? 8
                             : std::is_same_v<T, float16>  ? 11
                                                           : 24;

// low + floor(bits * (high - low) / 2^64).
int64_t scaled(uint64_t bits, int64_t low, int64_t high) {
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  __extension__ using Product = unsigned __int128;
  return static_cast<int64_t>(static_cast<uint64_t>(low) + static_cast<uint64_t>(Product{bits} * range >> 64));
}

template <class T>
T uniform(const RandomArgs& args, const Block& block, int64_t i) {
  constexpr int kBits = kUniformBits<T>;
  const uint64_t bits = kBits > 32 ? block.pair(i) >> (64 - kBits) : block.word(i) >> (kBits > 32 ? 0 : 32 - kBits);
  const T y = narrow<T>(args.a + (args.b - args.a) * (static_cast<double>(bits) * (1.0 / static_cast<double>(uint64_t{1} << kBits))));
  return widen(y) >= args.b ? narrow<T>(args.a) : y;  // rounded up to high, which is excluded
}

// y[0, count) from one block, which starts at an even position of the sequence.
template <class T>
void write_block(const RandomArgs& args, const Block& block, T* y, int64_t count) {
  switch (args.op) {
    case RandomOp::uniform:
      if constexpr (!std::is_integral_v<T>)
        for (int64_t i = 0; i < count; ++i) y[i] = uniform<T>(args, block, i);
      break;
    case RandomOp::normal:
      if constexpr (!std::is_integral_v<T>)
        for (int64_t i = 0; i < count; i += 2) {
          const SinCos z = std::is_same_v<T, double> ? normal_pair<53>(block.pair(i), block.pair(i + 1))
                                                     : normal_pair<32>(uint64_t{block.word(i)} << 32, uint64_t{block.word(i + 1)} << 32);
          y[i] = narrow<T>(args.a + args.b * z.cos);
          if (i + 1 < count) y[i + 1] = narrow<T>(args.a + args.b * z.sin);
        }
      break;
    case RandomOp::integer:
      for (int64_t i = 0; i < count; ++i) {
        const int64_t value = scaled(block.pair(i), args.low, args.high);
        if constexpr (std::is_integral_v<T>)
          y[i] = static_cast<T>(value);
        else
          y[i] = narrow<T>(static_cast<double>(value));
      }
      break;
    default: {
      const auto threshold = static_cast<uint32_t>(std::clamp(std::ceil(args.a * 0x1p24), 0.0, 0x1p24));  // u < p in whole numbers
      const T values[2] = {narrow<T>(0.0), narrow<T>(1.0)};
      for (int64_t i = 0; i < count; ++i) y[i] = values[block.word(i) >> 8 < threshold];
    }
  }
}

template <class T>
void write_values(const RandomArgs& args, int64_t begin, int64_t end) {
  Block block;
  const int64_t per_counter = args.takes_pairs() ? 2 : 4, per_block = per_counter * kCounters;
  for (int64_t i = begin; i < end; i += per_block) {
    draw(args.state->seed, args.state->offset + static_cast<uint64_t>(i / per_counter), block);
    write_block(args, block, static_cast<T*>(args.y) + i, std::min(per_block, end - i));
  }
}

// Fisher-Yates: position i from the end on is exchanged with one of 0..i, drawn by word pair i.
void permute(const RandomArgs& args) {
  auto* y = static_cast<int64_t*>(args.y);
  Block block;
  constexpr int64_t kPerBlock = 2 * kCounters;
  for (int64_t i = 0; i < args.n; ++i) y[i] = i;
  for (int64_t first = (args.n - 1) / kPerBlock * kPerBlock; first >= 0; first -= kPerBlock) {
    draw(args.state->seed, args.state->offset + static_cast<uint64_t>(first / 2), block);
    for (int64_t i = std::min(first + kPerBlock, args.n) - 1; i >= first; --i) std::swap(y[i], y[scaled(block.pair(i - first), 0, i + 1)]);
  }
}

}  // namespace

// Phase 0 draws, phase 1 moves the generator.
Schedule random_schedule(const RandomArgs& args) {
  const int64_t tasks = (args.n + kTaskValues - 1) / kTaskValues;
  const double each = args.op == RandomOp::normal ? 16 : args.op == RandomOp::permutation ? 8 : 3;
  return {2, {args.op == RandomOp::permutation ? std::min<int64_t>(tasks, 1) : tasks, 1, 0}, each * static_cast<double>(args.n)};
}

void random(const RandomArgs& args, const Tasks& tasks) {
  if (tasks.phase == 1) {
    args.state->offset += static_cast<uint64_t>(args.counters_used());
    return;
  }
  if (args.op == RandomOp::permutation) return permute(args);
  visit_dtype(args.dtype,
              [&](auto tag) { write_values<decltype(tag)>(args, tasks.begin * kTaskValues, std::min(tasks.end * kTaskValues, args.n)); });
}

}  // namespace dnncore::baseline
