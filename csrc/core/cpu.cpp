#include "core/cpu.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

#include "core/cgroup.h"
#include "core/launch.h"

namespace dnncore {

#ifdef DNNCORE_HAS_emulated
const CpuTable& emulated_table();  // cuda/emulator
#endif
extern "C" const CpuTable dnncore_table_sse2, dnncore_table_avx2, dnncore_table_avx512, dnncore_table_avx512bf16, dnncore_table_neon,
    dnncore_table_reference;
}  // namespace dnncore

namespace dnncore::cpu {
namespace {

// "32K" or "1024K" or "32M" of /sys/devices/system/cpu/cpu0/cache/index<i>/size.
int64_t cache_bytes(int level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = concat("/sys/devices/system/cpu/cpu0/cache/index", index);
    int found = 0;
    std::string type, size;
    if (!(std::ifstream(folder + "/level") >> found)) break;
    std::ifstream(folder + "/type") >> type;
    if (found != level || type == "Instruction" || !(std::ifstream(folder + "/size") >> size)) continue;
    const int64_t unit = size.back() == 'M' ? 1 << 20 : size.back() == 'K' ? 1 << 10 : 1;
    return std::atoll(size.c_str()) * unit;
  }
  return 0;
}

#if defined(__x86_64__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // leaves zeros where the leaf does not exist
  return r;
}

constexpr bool has(unsigned word, int bit) { return (word >> bit) & 1u; }

void detect_instructions(Features& f) {
  const Registers one = cpuid(1), seven = cpuid(7), seven_one = cpuid(7, 1);
  f.family = static_cast<int>((one.eax >> 8) & 0xf);
  f.model_number = static_cast<int>((one.eax >> 4) & 0xf);
  if (f.family >= 6) f.model_number += static_cast<int>((one.eax >> 16) & 0xf) << 4;
  if (f.family == 0xf) f.family += static_cast<int>((one.eax >> 20) & 0xff);

  unsigned xcr0 = 0, high = 0;  // which registers the operating system saves
  if (has(one.ecx, 27)) __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  const bool ymm = (xcr0 & 0x06) == 0x06, zmm = (xcr0 & 0xe6) == 0xe6;
  f.avx2 = ymm && has(one.ecx, 28) && has(one.ecx, 12) && has(one.ecx, 29) && has(seven.ebx, 5) && has(seven.ebx, 3) && has(seven.ebx, 8);
  f.avx512 = f.avx2 && zmm && has(seven.ebx, 16) && has(seven.ebx, 17) && has(seven.ebx, 28) && has(seven.ebx, 30) && has(seven.ebx, 31);
  f.avx512bf16 = f.avx512 && has(seven_one.eax, 5);
}

std::string brand() {
  if (cpuid(0x80000000u).eax < 0x80000004u) return "";
  char text[49] = {};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i);
    std::memcpy(text + 16 * i, &r, 16);
  }
  std::string name = text;
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

#else

void detect_instructions([[maybe_unused]] Features& f) {
#if defined(__ARM_NEON)
  f.neon = true;
#endif
}
std::string brand() { return ""; }

#endif

Features detect() {
  Features f;
  detect_instructions(f);
  f.model = brand();
  f.l1d_bytes = cache_bytes(1);
  f.l2_bytes = cache_bytes(2);
  f.l3_bytes = cache_bytes(3);
  return f;
}

#ifdef DNNCORE_HAS_avx512bf16
// Products of its own, everything else as AVX-512.
const CpuTable& avx512bf16_table() {
  static const CpuTable joined = [] {
    CpuTable table = dnncore_table_avx512bf16;
    for (int i = 0; i < kernel::kCount; ++i)
      if (table.kernels[i].body == nullptr) table.kernels[i] = dnncore_table_avx512.kernels[i];
    return table;
  }();
  return joined;
}
#endif

// The tables this processor can run, best first.
std::vector<const CpuTable*> usable_tables() {
  std::vector<const CpuTable*> tables;
  [[maybe_unused]] const Features& f = features();
#ifdef DNNCORE_HAS_avx512bf16
  if (f.avx512bf16) tables.push_back(&avx512bf16_table());
#endif
#ifdef DNNCORE_HAS_avx512
  if (f.avx512) tables.push_back(&dnncore_table_avx512);
#endif
#ifdef DNNCORE_HAS_avx2
  if (f.avx2) tables.push_back(&dnncore_table_avx2);
#endif
#ifdef DNNCORE_HAS_sse2
  tables.push_back(&dnncore_table_sse2);
#endif
#ifdef DNNCORE_HAS_neon
  if (f.neon) tables.push_back(&dnncore_table_neon);
#endif
#ifdef DNNCORE_HAS_emulated
  tables.push_back(&emulated_table());
#endif
  tables.push_back(&dnncore_table_reference);
  return tables;
}

std::atomic<const CpuTable*> chosen{nullptr};

const CpuTable& find_table(const char* source, const std::string& isa) {
  std::string names;
  for (const CpuTable* candidate : usable_tables()) {
    if (candidate->isa == isa) return *candidate;
    names += concat(names.empty() ? "" : ", ", candidate->isa);
  }
  throw ValueError(concat(source, ": expected one of ", names, " (what this processor can run), got '", isa, "'"));
}

[[gnu::noinline]] const CpuTable& choose() {
  const char* wanted = std::getenv("DNNCORE_ISA");
  const CpuTable& best = wanted != nullptr && *wanted ? find_table("DNNCORE_ISA", wanted) : *usable_tables().front();
  chosen.store(&best, std::memory_order_release);
  return best;
}

}  // namespace

const Features& features() {
  static const Features found = detect();
  return found;
}

int allowed_cores() {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) cores = CPU_COUNT(&mask);
#endif
  const double quota = std::ceil(cgroup::cpu_quota());
  return std::max(1, quota < cores ? static_cast<int>(quota) : cores);
}

const CpuTable& table() {
  const CpuTable* current = chosen.load(std::memory_order_acquire);
  return current != nullptr ? *current : choose();
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const CpuTable* table : usable_tables()) names.emplace_back(table->isa);
  return names;
}

void use_isa(const std::string& isa) { chosen.store(&find_table("use_isa", isa), std::memory_order_release); }

}  // namespace dnncore::cpu
