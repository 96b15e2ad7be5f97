#include "device.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace dnncore::bench {
namespace {

DeviceModule* the_module = nullptr;

__device__ uint32_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>((x ^ (x >> 31)) >> 32);
}
__device__ float normal(uint64_t i) {
  const float u = (static_cast<float>(mixed(2 * i + 1) >> 8) + 1) * 0x1p-24f, v = static_cast<float>(mixed(2 * i + 2) >> 8) * 0x1p-24f;
  return sqrtf(-2 * logf(u)) * cospif(2 * v);
}
__device__ float16 half_bits(float x) {
  // Normal numbers are far from the ends of float16's range: to nearest, ties up.
  const uint32_t bits = __float_as_uint(x), magnitude = bits & 0x7fffffff;
  const uint32_t half = magnitude < 0x38800000 ? 0 : (magnitude - 0x38000000 + 0x1000) >> 13;
  return {static_cast<uint16_t>(half | (bits >> 16 & 0x8000))};
}
__device__ bfloat16 bfloat_bits(float x) { return {static_cast<uint16_t>((__float_as_uint(x) + 0x8000) >> 16)}; }

__global__ void fill_normal(void* data, int64_t count, DType dtype, uint64_t seed) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const float x = normal(static_cast<uint64_t>(i) + (seed << 40));
    if (dtype == DType::Float32) static_cast<float*>(data)[i] = x;
    if (dtype == DType::BFloat16) static_cast<bfloat16*>(data)[i] = bfloat_bits(x);
    if (dtype == DType::Float16) static_cast<float16*>(data)[i] = half_bits(x);
  }
}

__device__ float number(const void* data, int64_t i, DType dtype) {
  if (dtype == DType::BFloat16) return __uint_as_float(uint32_t{static_cast<const bfloat16*>(data)[i].bits} << 16);
  if (dtype == DType::Float32) return static_cast<const float*>(data)[i];
  const uint32_t bits = static_cast<const float16*>(data)[i].bits, exponent = bits >> 10 & 31;
  const float magnitude =
      exponent == 0 ? static_cast<float>(bits & 0x3ff) * 0x1p-24f : __uint_as_float(((bits & 0x7fff) << 13) + 0x38000000);
  return exponent == 31 ? __uint_as_float(0x7fc00000) : bits & 0x8000 ? -magnitude : magnitude;
}
__global__ void add_squares(const void* a, const void* b, int64_t count, DType dtype, double* sums) {
  double apart = 0, size = 0;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const double x = number(a, i, dtype), y = number(b, i, dtype);
    apart += (x - y) * (x - y), size += y * y;
  }
  atomicAdd(&sums[0], apart), atomicAdd(&sums[1], size);
}

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double deadline = 1e300;

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  void record() { check(cudaEventRecord(event_, stream()), "event"); }
  double milliseconds_since(const Event& before) const {
    check(cudaEventSynchronize(event_), "event");
    float found = 0;
    check(cudaEventElapsedTime(&found, before.event_, event_), "event");
    return found;
  }

 private:
  cudaEvent_t event_{};
};

double milliseconds(const Run& run, int repeats) {
  Event before, after;
  before.record();
  for (int i = 0; i < repeats; ++i) run();
  after.record();
  return after.milliseconds_since(before) / repeats;
}

// Medians of seven rounds of at least 10 ms each, all runs in turn.
std::vector<double> medians(const std::vector<Timed>& timed) {
  constexpr int kRounds = 7;
  std::vector<int> repeats;
  std::vector<std::vector<double>> found(timed.size());
  for (const Timed& each : timed) {
    each.run();  // what is done once
    const double once = milliseconds(each.run, 2);
    repeats.push_back(static_cast<int>(std::clamp(10 / std::max(once, 1e-4), 1.0, 2000.0)));
  }
  for (int round = 0; round < kRounds; ++round)
    for (size_t i = 0; i < timed.size(); ++i) found[i].push_back(milliseconds(timed[i].run, repeats[i]));
  std::vector<double> result;
  for (auto& each : found) {
    std::nth_element(each.begin(), each.begin() + kRounds / 2, each.end());
    result.push_back(each[kRounds / 2]);
  }
  return result;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < 32 ? ' ' : c;
  }
  return result + '"';
}
std::vector<std::string> json_rows;

double ceiling_of(Work::Kind kind) { return kind == Work::Bytes ? ceilings().copy : kind == Work::Flop ? ceilings().fma : ceilings().mma; }

}  // namespace

DeviceModule& device_module() { return *the_module; }
cudaStream_t stream() { return static_cast<cudaStream_t>(device_module().stream(0)); }

void load_module(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  DNN_CHECK(library != nullptr, StateError, "bench: ", dlerror());
  const auto entry = reinterpret_cast<DeviceModuleEntry>(dlsym(library, kDeviceModuleEntry));
  DNN_CHECK(entry != nullptr, StateError, "bench: ", path, " has no ", kDeviceModuleEntry);
  the_module = entry();
  DNN_CHECK(the_module->count() > 0, StateError, "bench: ", the_module->reason());
  const DeviceProperties found = the_module->properties(0);
  std::printf("%s, compute capability %d.%d, %d processors, %.1f GB\n", found.name, found.major, found.minor, found.processors,
              static_cast<double>(found.total_bytes) * 1e-9);
}

Buffer::Buffer(int64_t count, DType dtype, Fill fill) : bytes_(static_cast<size_t>(std::max<int64_t>(count, 1)) * itemsize(dtype)) {
  static uint64_t seed = 0;
  data_ = device_module().allocate(0, bytes_);
  DNN_CHECK(data_ != nullptr, MemoryError, "bench: no room for ", bytes_, " bytes");
  device_module().clear(0, data_, bytes_);
  if (fill == Fill::Normal) fill_normal<<<2048, 256, 0, stream()>>>(data_, count, dtype, ++seed);
}
Buffer::~Buffer() {
  try {
    device_module().synchronize(0);
  } catch (const std::exception&) {  // said already, by what failed
  }
  device_module().release(0, data_, bytes_);
}

double difference(const Buffer& a, const Buffer& b, int64_t count, DType dtype) {
  const Buffer sums(2, DType::Float64, Fill::Zero);
  add_squares<<<1024, 256, 0, stream()>>>(a.data(), b.data(), count, dtype, static_cast<double*>(sums.data()));
  double found[2];
  device_module().download(0, found, sums.data(), sizeof found);
  return std::sqrt(found[0] / std::max(found[1], 1e-300));
}

void row(const std::string& family, const std::string& name, const Work& work, const std::vector<Timed>& timed, double error) {
  const std::vector<double> found = medians(timed);
  const double rate = work.amount / (found[0] * 1e-3), share = rate / ceiling_of(work.kind);
  const char* const unit = work.kind == Work::Bytes ? "GB/s" : "GF/s";
  std::string line = concat("{\"family\": ", quoted(family), ", \"name\": ", quoted(name), ", \"ms\": ", found[0], ", \"", unit,
                            "\": ", rate * 1e-9, ", \"of_ceiling\": ", share);
  std::printf("%-10s %-44s %10.4f ms %10.1f %s %5.1f %%", family.c_str(), name.c_str(), found[0], rate * 1e-9, unit, 100 * share);
  if (error >= 0) {
    line += concat(", \"difference\": ", std::isfinite(error) ? error : -1);
    std::printf("  differs %.1e", error);
  }
  line += ", \"peers\": {";
  for (size_t i = 1; i < timed.size(); ++i) {
    line += concat(i > 1 ? ", " : "", quoted(timed[i].name), ": ", found[i]);
    std::printf("  | %s %.4f ms, ours %.2fx", timed[i].name.c_str(), found[i], found[i] / found[0]);
  }
  json_rows.push_back(line + "}}");
  std::printf("\n");
  std::fflush(stdout);
}

void attempt(const std::string& family, const std::string& name, const std::function<void()>& body) {
  if (time_is_up()) return;
  try {
    body();
    check(cudaGetLastError(), "bench");
  } catch (const std::exception& error) {
    json_rows.push_back(concat("{\"family\": ", quoted(family), ", \"name\": ", quoted(name), ", \"failed\": ", quoted(error.what()), "}"));
    std::printf("%-10s %-44s FAILED: %s\n", family.c_str(), name.c_str(), error.what());
    std::fflush(stdout);
  }
}

void write_json(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  DNN_CHECK(file != nullptr, StateError, "bench: cannot write ", path);
  const Ceilings& c = ceilings();
  std::fprintf(file, "{\"device\": %s,\n \"copy_gb_s\": %.1f, \"fma_gf_s\": %.1f, \"mma_gf_s\": %.1f,\n \"rows\": [",
               quoted(device_module().properties(0).name).c_str(), c.copy * 1e-9, c.fma * 1e-9, c.mma * 1e-9);
  for (size_t i = 0; i < json_rows.size(); ++i) std::fprintf(file, "%s\n  %s", i > 0 ? "," : "", json_rows[i].c_str());
  std::fprintf(file, "\n ]}\n");
  std::fclose(file);
}

bool time_is_up() { return seconds_now() > deadline; }
void set_seconds(double seconds) { deadline = seconds_now() + seconds; }

// --- Ceilings ---

namespace {

__global__ void copy_all(const float4* x, float4* y, int64_t count) {
  const int64_t first = int64_t{blockIdx.x} * blockDim.x * 4 + threadIdx.x;
  float4 held[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (first + i * blockDim.x < count) held[i] = x[first + i * blockDim.x];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (first + i * blockDim.x < count) y[first + i * blockDim.x] = held[i];
}

constexpr int kChains = 16, kTurns = 4096;
__global__ void multiply_add(float* y, float a, float b) {
  float sums[kChains];
#pragma unroll
  for (int i = 0; i < kChains; ++i) sums[i] = static_cast<float>(threadIdx.x + i);
#pragma unroll 1
  for (int turn = 0; turn < kTurns; turn += 8)
#pragma unroll
    for (int part = 0; part < 8; ++part)
#pragma unroll
      for (int i = 0; i < kChains; ++i) sums[i] = fmaf(sums[i], a, b);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sum += sums[i];
  if (sum == 1e30f) *y = sum;
}

constexpr int kProducts = 8;
__global__ void multiply_pieces(float* y, uint32_t word) {
  float c[kProducts][4] = {};
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#pragma unroll 1
  for (int turn = 0; turn < kTurns; turn += 4)
#pragma unroll
    for (int part = 0; part < 4; ++part)
#pragma unroll
      for (int i = 0; i < kProducts; ++i)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %4, %4, %4}, {%4, %4}, {%0, %1, %2, %3};"
                     : "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
                     : "r"(word));
#endif
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kProducts; ++i) sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
  if (sum == 1e30f) *y = sum;
}

Ceilings measured() {
  const int64_t count = int64_t{1} << 26;  // of float4: 1 GiB
  const Buffer x(count * 4), y(count * 4, DType::Float32, Fill::Zero);
  const int blocks = device_module().properties(0).processors * 8, threads = 256;
  auto* const out = static_cast<float*>(y.data());
  const auto copies = static_cast<unsigned>(count / (threads * 4));
  const std::vector<Timed> timed = {
      {"copy",
       [&] { copy_all<<<copies, threads, 0, stream()>>>(static_cast<const float4*>(x.data()), static_cast<float4*>(y.data()), count); }},
      {"cudaMemcpy",
       [&] { check(cudaMemcpyAsync(y.data(), x.data(), static_cast<size_t>(count) * 16, cudaMemcpyDeviceToDevice, stream()), "copy"); }},
      {"fma", [&] { multiply_add<<<blocks, threads, 0, stream()>>>(out, 0.5f, 1.0f); }},
      {"mma", [&] { multiply_pieces<<<blocks, threads, 0, stream()>>>(out, 0x3c003c00u); }}};
  const std::vector<double> found = medians(timed);
  const double all = static_cast<double>(blocks) * threads;
  const Ceilings c = {.copy = static_cast<double>(count) * 32 / (std::min(found[0], found[1]) * 1e-3),
                      .fma = all * kChains * kTurns * 2 / (found[2] * 1e-3),
                      .mma = all / 32 * kProducts * kTurns * 16 * 8 * 16 * 2 / (found[3] * 1e-3)};
  check(cudaGetLastError(), "ceilings");
  std::printf("ceilings of this run: copy %.0f GB/s, FMA %.1f TF/s, mma.sync bfloat16 %.0f TF/s\n", c.copy * 1e-9, c.fma * 1e-12,
              c.mma * 1e-12);
  return c;
}

}  // namespace

const Ceilings& ceilings() {
  static const Ceilings found = measured();
  return found;
}

}  // namespace dnncore::bench
