// Ceilings of the machine; see ceilings.h. Needs nothing but a compiler: c++ -O3 -std=c++20 -shared -fPIC -pthread.
#include "ceilings.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// --- Fused multiply-adds -----------------------------------------------------------------------------------------------

// A loop over COUNT accumulators that never meet before the end and start from different values, so that no two can be merged.
// latency x issue rate needs 8 (FMA on Zen 4 and 5) or 12 (bf16 dot); AVX2 has 16 registers, two of which hold the factors.
#define FMA_LOOP(NAME, TARGET, VECTOR, COUNT, SPLAT, STEP, SUM)                                            \
  __attribute__((noinline, target(TARGET))) float NAME(int64_t rounds) {                                   \
    VECTOR sum[COUNT];                                                                                     \
    _Pragma("GCC unroll 32") for (int i = 0; i < COUNT; ++i) sum[i] = SPLAT(1.0f + static_cast<float>(i)); \
    for (int64_t round = 0; round < rounds; ++round) {                                                     \
      _Pragma("GCC unroll 32") for (int i = 0; i < COUNT; ++i) STEP(sum[i]);                               \
    }                                                                                                      \
    float total = 0;                                                                                       \
    _Pragma("GCC unroll 32") for (int i = 0; i < COUNT; ++i) total += SUM(sum[i]);                         \
    return total;                                                                                          \
  }

struct Loop {
  float (*run)(int64_t rounds);
  double flop_per_round;
  double nominal;
};

#if defined(__x86_64__)
#define STEP_512(s) s = _mm512_fmadd_ps(s, _mm512_set1_ps(0.5f), _mm512_set1_ps(1.25f))
#define SUM_512(s) _mm512_cvtss_f32(s)
FMA_LOOP(fma_avx512, "avx512f", __m512, 24, _mm512_set1_ps, STEP_512, SUM_512)

#define STEP_256(s) s = _mm256_fmadd_ps(s, _mm256_set1_ps(0.5f), _mm256_set1_ps(1.25f))
#define SUM_256(s) _mm256_cvtss_f32(s)
FMA_LOOP(fma_avx2, "avx2,fma", __m256, 12, _mm256_set1_ps, STEP_256, SUM_256)

#define STEP_128(s) s = _mm_add_ps(_mm_mul_ps(s, _mm_set1_ps(0.5f)), _mm_set1_ps(1.25f))
#define SUM_128(s) _mm_cvtss_f32(s)
FMA_LOOP(mul_add_sse2, "sse2", __m128, 12, _mm_set1_ps, STEP_128, SUM_128)

// 0x3f00 is 0.5, 0x3f803f80 a pair of ones.
#define STEP_BF16(s) s = _mm512_dpbf16_ps(s, (__m512bh)_mm512_set1_epi32(0x3f003f00), (__m512bh)_mm512_set1_epi32(0x3f803f80))
FMA_LOOP(dot_avx512bf16, "avx512f,avx512bf16", __m512, 24, _mm512_set1_ps, STEP_BF16, SUM_512)

struct Processor {
  unsigned family = 0, model = 0;
  bool amd = false;
};

Processor processor() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  Processor found;
  __get_cpuid(0, &a, &b, &c, &d);
  found.amd = b == signature_AMD_ebx;
  __get_cpuid(1, &a, &b, &c, &d);
  found.family = ((a >> 8) & 15) + ((a >> 20) & 255);
  found.model = ((a >> 4) & 15) + ((a >> 12) & 0xf0);
  return found;
}

// float32 flop per cycle and core of 512-bit code. Zen 4 and the mobile Zen 5 run it as two halves.
double nominal_512() {
  const Processor p = processor();
  if (!p.amd) return 0;
  if (p.family == 0x1a) return p.model < 0x20 || (p.model >= 0x40 && p.model < 0x50) ? 64 : 32;
  return p.family == 0x19 ? 32 : 0;
}

bool find_loop(const std::string& kind, Loop& loop) {
  __builtin_cpu_init();
  const double wide = nominal_512();
  if (kind == "avx512" && __builtin_cpu_supports("avx512f")) {
    loop = {fma_avx512, 24 * 32.0, wide};
  } else if (kind == "avx512bf16" && __builtin_cpu_supports("avx512bf16")) {
    loop = {dot_avx512bf16, 24 * 64.0, 2 * wide};
  } else if (kind == "avx2" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    loop = {fma_avx2, 12 * 16.0, std::min(wide, 32.0)};
  } else if (kind == "sse2") {
    loop = {mul_add_sse2, 12 * 8.0, 0};
  } else {
    return false;
  }
  return true;
}
#elif defined(__aarch64__)
#define STEP_NEON(s) s = vfmaq_f32(vdupq_n_f32(1.25f), s, vdupq_n_f32(0.5f))
#define SUM_NEON(s) vaddvq_f32(s)
FMA_LOOP(fma_neon, "+simd", float32x4_t, 24, vdupq_n_f32, STEP_NEON, SUM_NEON)

bool find_loop(const std::string& kind, Loop& loop) {
  if (kind != "neon") return false;
  loop = {fma_neon, 24 * 8.0, 0};
  return true;
}
#else
bool find_loop(const std::string&, Loop&) { return false; }
#endif

// Register to register, since some processors resolve "add a constant" before it is executed.
double chain_cycles(int64_t rounds) {
  uint64_t value = 1;
  const uint64_t step = 3;
  for (int64_t i = 0; i < rounds; ++i) {
#if defined(__x86_64__)
    asm volatile(".rept 256\n add %1, %0\n .endr" : "+r"(value) : "r"(step));
#elif defined(__aarch64__)
    asm volatile(".rept 256\n add %0, %0, %1\n .endr" : "+r"(value) : "r"(step));
#else
    asm volatile("" : "+r"(value) : "r"(step));
#endif
  }
  return 256.0 * static_cast<double>(rounds);
}

struct ThreadResult {
  double gflops = 0, ghz = 0;
};

ThreadResult measure_fma(const Loop& loop, double seconds) {
  volatile float sink = 0;
  const auto fma_rounds = static_cast<int64_t>(3e8 / loop.flop_per_round);  // 1 to 10 ms
  const int64_t chain_rounds = 4000;                                        // about 0.3 ms
  std::vector<double> rates, clocks;
  sink = loop.run(fma_rounds);
  const auto start = Clock::now();
  do {
    auto begin = Clock::now();
    sink = loop.run(fma_rounds);
    rates.push_back(loop.flop_per_round * static_cast<double>(fma_rounds) / seconds_since(begin) * 1e-9);
    begin = Clock::now();
    const double cycles = chain_cycles(chain_rounds);
    clocks.push_back(cycles / seconds_since(begin) * 1e-9);
  } while (seconds_since(start) < seconds);
  static_cast<void>(sink);
  return {median(rates), median(clocks)};
}

// Runs fn(index) on `threads` threads that start together.
template <class Fn>
void on_threads(int threads, Fn fn) {
  std::atomic<int> waiting{threads};
  const auto body = [&](int index) {
    waiting.fetch_sub(1);
    while (waiting.load() > 0) std::this_thread::yield();
    fn(index);
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(body, i);
  body(0);
  for (auto& helper : helpers) helper.join();
}

// --- Copies --------------------------------------------------------------------------------------------------------------

using Copy = void (*)(char* to, const char* from, size_t bytes);

void copy_plain(char* to, const char* from, size_t bytes) { std::memcpy(to, from, bytes); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) void copy_streaming(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i + 128 <= bytes; i += 128) {
    const auto* source = reinterpret_cast<const __m256i*>(from + i);
    auto* target = reinterpret_cast<__m256i*>(to + i);
    _mm_prefetch(from + i + 2048, _MM_HINT_T0);  // past the page the hardware stops at
    _mm_prefetch(from + i + 2112, _MM_HINT_T0);
    const __m256i a = _mm256_load_si256(source), b = _mm256_load_si256(source + 1);
    const __m256i c = _mm256_load_si256(source + 2), d = _mm256_load_si256(source + 3);
    _mm256_stream_si256(target, a);
    _mm256_stream_si256(target + 1, b);
    _mm256_stream_si256(target + 2, c);
    _mm256_stream_si256(target + 3, d);
  }
  _mm_sfence();
}
#endif

struct Buffer {
  explicit Buffer(size_t wanted) : bytes(wanted) {
    data = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (data == MAP_FAILED) return;
    madvise(data, bytes, MADV_HUGEPAGE);
    std::memset(data, 1, bytes);
  }
  ~Buffer() {
    if (data != MAP_FAILED) munmap(data, bytes);
  }
  char* data;
  size_t bytes;
};

double measure_copy(Copy copy, int threads, const Buffer& to, const Buffer& from, double seconds) {
  const size_t part = from.bytes / static_cast<size_t>(threads) / 4096 * 4096;
  std::vector<double> rates(static_cast<size_t>(threads));
  on_threads(threads, [&](int index) {
    const size_t begin = part * static_cast<size_t>(index);
    std::vector<double> mine;
    const auto start = Clock::now();
    do {
      const auto now = Clock::now();
      copy(to.data + begin, from.data + begin, part);
      mine.push_back(2.0 * static_cast<double>(part) / seconds_since(now) * 1e-9);
    } while (seconds_since(start) < seconds);
    rates[static_cast<size_t>(index)] = median(mine);
  });
  double sum = 0;
  for (double rate : rates) sum += rate;
  return sum;
}

}  // namespace

int dnncore_fma_ceiling(const char* kind, int threads, double seconds, DnncoreFmaCeiling* out) {
  Loop loop{};
  if (threads < 1 || !find_loop(kind, loop)) return -1;
  std::vector<ThreadResult> results(static_cast<size_t>(threads));
  on_threads(threads, [&](int index) { results[static_cast<size_t>(index)] = measure_fma(loop, seconds); });
  *out = {};
  for (const ThreadResult& result : results) {
    out->gflops += result.gflops;
    out->ghz += result.ghz / threads;
  }
  out->flop_per_cycle = out->ghz > 0 ? out->gflops / threads / out->ghz : 0;
  out->nominal = loop.nominal;
  out->is_void = loop.nominal > 0 && out->flop_per_cycle < 0.95 * loop.nominal;
  return 0;
}

double dnncore_copy_ceiling(int threads, size_t bytes, double seconds) {
  const Buffer from(bytes), to(bytes);
  if (threads < 1 || from.data == MAP_FAILED || to.data == MAP_FAILED) return 0;
  double best = measure_copy(copy_plain, threads, to, from, seconds / 2);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) best = std::max(best, measure_copy(copy_streaming, threads, to, from, seconds / 2));
#endif
  return best;
}
