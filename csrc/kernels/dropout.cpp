// Dropout: the mask of a task's elements is drawn into its bytes, then x is multiplied by it while both are in the cache.
#include "kernels/dropout.h"

#include "kernels/elementwise_loops.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kBlockElements = DropoutArgs::kBlockElements;
static_assert(kChunk % kBlockElements == 0);

// N bytes as numbers. GCC's own conversion goes byte by byte.
template <class T>
DNN_INLINE Vec<T> load_bytes(const uint8_t* p) {
  using Raw [[maybe_unused]] = typename Vec<T>::Raw;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>)
    return {(Raw)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
  else
    return {(Raw)_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>)
    return {(Raw)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
  else
    return {(Raw)_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(*reinterpret_cast<const int32_t*>(p))))};
#else
  Vec<T> r;
  for (int i = 0; i < Vec<T>::N; ++i) r.v[i] = static_cast<T>(p[i]);
  return r;
#endif
}

// y = x mask scale; the parameter is the scale.
template <class T>
void mask_row(const std::byte* const* in, std::byte* out, int64_t n, int flags) {
  constexpr int64_t N = Vec<T>::N;
  const T* x = reinterpret_cast<const T*>(in[0]);
  const uint8_t* mask = reinterpret_cast<const uint8_t*>(in[1]);
  const T factor = static_cast<T>(*reinterpret_cast<const double*>(in[2]));
  T* y = reinterpret_cast<T*>(out);
  int64_t i = 0;
  const auto scaled = [&] __attribute__((always_inline)) { return Vec<T>::load(x + i) * (load_bytes<T>(mask + i) * Vec<T>::set(factor)); };
  const auto one_by_one = [&](int64_t end) {
    for (; i < end; ++i) y[i] = x[i] * (static_cast<T>(mask[i]) * factor);
  };
  if (flags & kStream) {
    one_by_one(std::min<int64_t>(n, (-reinterpret_cast<uintptr_t>(y) % kVecBytes) / sizeof(T)));
    for (; i + N <= n; i += N) {
      __builtin_prefetch(reinterpret_cast<const char*>(x + i) + kAhead);
      scaled().stream(y + i);
    }
  }
  for (; i + N <= n; i += N) scaled().store(y + i);
  one_by_one(n);
}

void multiply(const void* x, const uint8_t* mask, void* y, int64_t n, const double& scale, DType dtype, const Tasks& tasks) {
  const Shape shape = {n};
  const Strides steps = {1};
  run_elementwise<2>({.in = {static_cast<const std::byte*>(x), reinterpret_cast<const std::byte*>(mask)},
                      .out = static_cast<std::byte*>(y),
                      .shape = shape,
                      .in_strides = {&steps, &steps},
                      .out_strides = steps,
                      .in_dtype = {dtype, DType::UInt8},
                      .out_dtype = dtype,
                      .row = dtype == DType::Float64 ? mask_row<double> : mask_row<float>,
                      .parameters = &scale},
                     tasks);
}

// Philox with every word in the lower half of a 64-bit lane, where its products arrive without shuffles; what the upper halves hold is
// never looked at. Adjacent 32-bit words, four counters to a 128-bit register, took three times as long.
typedef uint64_t Lanes __attribute__((vector_size(kVecBytes)));
constexpr int kLanes = kVecBytes / 8;

DNN_INLINE Lanes low_product(Lanes a, Lanes b) {
#if defined(__AVX512F__)
  return (Lanes)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Lanes)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Lanes)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

DNN_INLINE Lanes exclusive_or(Lanes a, Lanes b, Lanes c) {
#if defined(__AVX512F__)
  return (Lanes)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0x96);
#else
  return a ^ b ^ c;
#endif
}

// Two sets of counters side by side, for the latency of the products.
DNN_INLINE void philox(Lanes (&w)[2][4], uint64_t seed) {
  const Lanes zero = {}, first = zero + 0xd2511f53, second = zero + 0xcd9e8d57;
  Lanes key0 = zero + (seed & 0xffffffff), key1 = zero + (seed >> 32);
  for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9, key1 += 0xbb67ae85)
    for (auto& set : w) {
      const Lanes a = low_product(set[0], first), b = low_product(set[2], second);
      set[0] = exclusive_or(b >> 32, set[1], key0);
      set[2] = exclusive_or(a >> 32, set[3], key1);
      set[1] = b;
      set[3] = a;
    }
}

// 1 for every word that is at least the threshold.
DNN_INLINE void store_kept(Lanes words, uint32_t threshold, uint8_t* mask) {
#if defined(__AVX512F__)
  const __mmask16 kept = _mm512_cmpge_epu32_mask((__m512i)words, _mm512_set1_epi32(static_cast<int>(threshold)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(mask), _mm_maskz_set1_epi8(kept, 1));
#else
  uint32_t word[2 * kLanes];
  std::memcpy(word, &words, sizeof(word));
  for (int i = 0; i < 2 * kLanes; ++i) mask[i] = word[i] >= threshold;
#endif
}

// The mask of one block whose first counter is given.
DNN_INLINE void draw_block(uint64_t counter, uint64_t seed, uint32_t threshold, uint8_t* mask) {
  Lanes step;
  for (int i = 0; i < kLanes; ++i) step[i] = static_cast<uint64_t>(i);
  for (int j = 0; j < 16; j += kLanes) {
    Lanes w[2][4];
    for (int half = 0; half < 2; ++half) {
      const Lanes counters = step + (counter + static_cast<uint64_t>(16 * half + j));
      w[half][0] = counters;
      w[half][1] = counters >> 32;
      w[half][2] = w[half][3] = Lanes{};
    }
    philox(w, seed);
    for (int word = 0; word < 4; ++word) store_kept((w[0][word] & 0xffffffff) | (w[1][word] << 32), threshold, mask + 32 * word + 2 * j);
  }
}

// mask[begin, end); begin is a multiple of the block. The elements are prefetched while the numbers are drawn.
void draw_mask(const DropoutArgs& args, int64_t begin, int64_t end) {
  const auto threshold = static_cast<uint32_t>(args.threshold());
  const GeneratorState state = *args.state;
  const auto size = static_cast<int64_t>(itemsize(args.dtype));
  const char* x = static_cast<const char*>(args.x);
  for (int64_t i = begin; i < end; i += kBlockElements) {
    const uint64_t counter = state.offset + static_cast<uint64_t>(i / 4);
    const int64_t count = std::min(kBlockElements, end - i);
    for (int64_t line = 0; line < count * size; line += 64) __builtin_prefetch(x + i * size + line);
    if (count == kBlockElements) {
      draw_block(counter, state.seed, threshold, args.mask + i);
      continue;
    }
    uint8_t block[kBlockElements];
    draw_block(counter, state.seed, threshold, block);
    std::memcpy(args.mask + i, block, static_cast<size_t>(count));
  }
}

}  // namespace

void dropout(const DropoutArgs& args, const Tasks& tasks) {
  if (tasks.phase == 1) {
    args.state->offset += args.counters_used();
    return;
  }
  const double scale = 1 / (1 - args.p);
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    draw_mask(args, task * kChunk, std::min((task + 1) * kChunk, args.n));
    multiply(args.x, args.mask, args.y, args.n, scale, args.dtype, {tasks.phase, task, task + 1, tasks.scratch});
  }
}

// Phase 0 draws and multiplies, phase 1 moves the generator.
Schedule dropout_schedule(const DropoutArgs& args) {
  return {2, {(args.n + kChunk - 1) / kChunk, 1, 0}, 0.8 * static_cast<double>(args.n)};
}

void dropout_backward(const DropoutBackwardArgs& args, const Tasks& tasks) {
  multiply(args.dy, args.mask, args.dx, args.n, args.scale, args.dtype, tasks);
}

Schedule dropout_backward_schedule(const DropoutBackwardArgs& args) {
  return elementwise_schedule({args.n}, 0.08 * static_cast<double>(itemsize(args.dtype)));
}

}  // namespace dnncore::DNNCORE_ISA
