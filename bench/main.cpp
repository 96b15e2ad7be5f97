// dnncore_bench: every kernel of kernels.def through the public gate, as a fraction of what this machine did in the same run.
// DNNCORE_ISA chooses the table; --benchmark_filter, --benchmark_format=json and the rest are Google Benchmark's.
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>

#include "bench.h"
#include "ceilings.h"
#include "core/cpu.h"

namespace dnncore::bench {
namespace {

std::array<bool, kernel::kCount> has_row{};
bool any_void = false;

const char* ceiling_kind(bool halves) {
  const std::string isa = cpu::table().isa;
  if (isa == "avx512bf16") return halves ? "avx512bf16" : "avx512";
  if (isa == "avx512" || isa == "avx2" || isa == "neon") return cpu::table().isa;
  return "sse2";
}

// In GF/s or GB/s, measured when first asked for.
double ceiling(Work::Kind kind, int threads) {
  static std::map<std::pair<int, int>, double> known;
  const auto [place, fresh] = known.try_emplace({kind, threads});
  if (!fresh) return place->second;
  if (kind == Work::Bytes) {
    place->second = dnncore_copy_ceiling(threads, size_t{64} << 20, 0.6);
    std::fprintf(stderr, "copy ceiling, %d thread(s): %.1f GB/s\n", threads, place->second);
    return place->second;
  }
  DnncoreFmaCeiling fma{};
  const char* name = ceiling_kind(kind == Work::HalfFlop);
  if (dnncore_fma_ceiling(name, threads, 0.3, &fma) != 0) return 0;
  any_void = any_void || fma.is_void;
  std::fprintf(stderr, "%s ceiling, %d thread(s): %.1f GF/s, %.1f flop per cycle at %.2f GHz%s\n", name, threads, fma.gflops,
               fma.flop_per_cycle, fma.ghz, fma.is_void ? "  VOID: below 0.95 of nominal" : "");
  return place->second = fma.gflops;
}

void report(benchmark::State& state, const Work& work, int threads, double seconds) {
  const double rate = work.amount * 1e-9 / seconds, most = ceiling(work.kind, threads);
  state.counters[work.kind == Work::Bytes ? "GB/s" : "GF/s"] = rate;
  if (most > 0) state.counters["of_ceiling"] = rate / most;
}

}  // namespace

Ref<Storage> buffer(int64_t count, DType dtype, Fill fill) {
  auto storage = make_ref<Storage>(static_cast<size_t>(count) * itemsize(dtype));
  std::fill_n(storage->data(), storage->bytes(), std::byte{0});
  if (fill == Fill::Zero) return storage;
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::array<float, 4093> values;  // a prime: no two rows of a matrix are equal
  for (float& value : values) value = normal(generator);
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    T* data = reinterpret_cast<T*>(storage->data());
    for (int64_t i = 0; i < count; ++i) {
      const float value = values[static_cast<size_t>(i) % values.size()];
      if constexpr (std::is_same_v<T, bfloat16>)
        data[i] = to_bfloat16(value);
      else if constexpr (std::is_same_v<T, float16>)
        data[i] = to_float16(value);
      else if constexpr (std::is_same_v<T, bool>)
        data[i] = value > 0;
      else if constexpr (std::is_integral_v<T>)
        data[i] = static_cast<T>(std::abs(value) * 10);
      else
        data[i] = value;
    }
  });
  return storage;
}

void add_row(int kernel, const std::string& name, const Work& work, std::function<void()> run) {
  has_row[static_cast<size_t>(kernel)] = true;
  std::vector<int> counts = {1};
  if (cpu::allowed_cores() > 1) counts.push_back(cpu::allowed_cores());
  for (int threads : counts) {
    const auto body = [=](benchmark::State& state) {
      parallel::set_num_threads(threads);
      ceiling(work.kind, threads);  // measured outside the timed loop
      const auto start = std::chrono::steady_clock::now();
      for (auto _ : state) run();
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      report(state, work, threads, elapsed.count() / static_cast<double>(state.iterations()));
    };
    benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(), body)->UseRealTime();
  }
}

}  // namespace dnncore::bench

int main(int argc, char** argv) {
  using namespace dnncore;
  bench::add_gemm_rows();
  bench::add_elementwise_rows();
  bench::add_activation_rows();
  bench::add_reduce_rows();
  bench::add_copy_rows();
  bench::add_index_rows();
  bench::add_train_rows();
  bench::add_loss_rows();
  bench::add_norm_rows();
  bench::add_conv_rows();
  bench::add_pool_rows();
  bench::add_resample_rows();
  bench::add_order_rows();
  bench::add_recurrent_rows();
  bench::add_embedding_rows();
  for (int i = 0; i < kernel::kCount; ++i) {
    if (bench::has_row[static_cast<size_t>(i)]) continue;
    std::fprintf(stderr, "kernel %s has no benchmark row\n", kernel::kNames[i]);
    return 1;
  }
  benchmark::AddCustomContext("dnncore_version", DNNCORE_VERSION);
  benchmark::AddCustomContext("cpu", cpu::features().model);
  benchmark::AddCustomContext("isa", cpu::table().isa);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (bench::any_void) std::fprintf(stderr, "VOID: a ceiling of this run is below 0.95 of the processor's nominal rate; run it again\n");
  return bench::any_void ? 2 : 0;
}
