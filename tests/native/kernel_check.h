// Runs one kernel with the reference table and with every table this processor can use, whole and cut into single tasks, and compares.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "core/launch.h"
#include "core/memory.h"
#include "kernels/contracts.h"

namespace dnncore {

extern "C" const CpuTable dnncore_table_reference;

namespace test {

template <class T>
double as_double(T x) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>)
    return to_float(x);
  else
    return static_cast<double>(x);
}

template <class T>
T from_double(double x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, float16>)
    return to_float16(static_cast<float>(x));
  else if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(x);
  else
    return static_cast<T>(static_cast<int64_t>(x));
}

// n elements from the allocator, whose sanitizer build sees an access past the end.
class Array {
 public:
  Array(DType dtype, int64_t n) : dtype_(dtype), n_(n), data_(static_cast<std::byte*>(memory::allocate(bytes()))) {
    std::memset(data_, 0, bytes());
  }
  Array(const Array& other) : Array(other.dtype_, other.n_) { std::memcpy(data_, other.data_, bytes()); }
  Array& operator=(const Array&) = delete;
  ~Array() { memory::deallocate(data_, bytes()); }

  DType dtype() const { return dtype_; }
  int64_t size() const { return n_; }
  size_t bytes() const { return static_cast<size_t>(n_) * itemsize(dtype_); }
  std::byte* data() const { return data_; }
  double at(int64_t i) const {
    return visit_dtype(dtype_, [&](auto tag) { return as_double(reinterpret_cast<const decltype(tag)*>(data_)[i]); });
  }
  Array& set(int64_t i, double x) {
    visit_dtype(dtype_, [&](auto tag) { reinterpret_cast<decltype(tag)*>(data_)[i] = from_double<decltype(tag)>(x); });
    return *this;
  }
  Array& fill(const std::function<double(int64_t)>& value) {
    for (int64_t i = 0; i < n_; ++i) set(i, value(i));
    return *this;
  }

 private:
  DType dtype_;
  int64_t n_;
  std::byte* data_;
};

// Whole numbers of a small range: sums of their products are exact.
inline Array whole(DType dtype, int64_t n, int low = -3, int high = 3, unsigned seed = 1) {
  std::mt19937 random(seed + static_cast<unsigned>(n));
  if (!is_floating(dtype) && dtype != DType::Int64 && dtype != DType::Int32) low = 0;
  if (dtype == DType::Bool) high = 1;
  return Array(dtype, n).fill([&](int64_t) { return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1)); });
}

inline Array real(DType dtype, int64_t n, double low = -3, double high = 3, unsigned seed = 1) {
  std::mt19937 random(seed + static_cast<unsigned>(n));
  return Array(dtype, n).fill([&](int64_t) { return low + (high - low) * static_cast<double>(random()) / 4294967296.0; });
}

inline double ulp(DType dtype, double x) {
  const int digits = dtype == DType::Float64 ? 53 : dtype == DType::Float32 ? 24 : dtype == DType::Float16 ? 11 : 8;
  const int lowest = dtype == DType::Float64 ? -1021 : dtype == DType::Float16 ? -13 : -125;
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent, lowest) - digits);
}

struct Tolerance {
  double ulps = 0;
  double absolute = 0;
};

inline bool agree(DType dtype, double expected, double got, Tolerance tolerance) {
  if (std::isnan(expected)) return std::isnan(got);
  if (expected == got) return true;
  if (!is_floating(dtype) || !std::isfinite(expected)) return false;
  return std::fabs(expected - got) <= tolerance.ulps * ulp(dtype, expected) + tolerance.absolute;
}

enum class Cut : bool { Whole, SingleTasks };

template <class Args>
void run(const CpuTable& table, KernelId<Args> id, const Args& args, Cut cut) {
  const CpuKernel& kernel = table.kernels[id.index];
  const Schedule schedule = kernel.schedule(&args);
  static std::byte* const scratch = static_cast<std::byte*>(memory::allocate(kScratchBytes));
  for (int64_t phase = 0; phase < schedule.phases; ++phase) {
    const int64_t tasks = schedule.tasks_of(phase);
    if (cut == Cut::Whole && tasks > 0) kernel.body(&args, {phase, 0, tasks, scratch});
    for (int64_t task = tasks - 1; cut == Cut::SingleTasks && task >= 0; --task) kernel.body(&args, {phase, task, task + 1, scratch});
  }
}

inline std::vector<const CpuTable*> tables() {
  std::vector<const CpuTable*> found;
  const std::string before = cpu::table().isa;
  for (const std::string& isa : cpu::available_isas()) {
    cpu::use_isa(isa);
    if (isa != "reference") found.push_back(&cpu::table());
  }
  cpu::use_isa(before);
  return found;
}

// `output` holds what y points to before the launch; `prepare` lends a table what it asks for.
template <class Args>
void check_kernel(KernelId<Args> id, Args args, void* Args::*y, const Array& output, Tolerance tolerance,
                  const std::function<void(const CpuTable&, Args&)>& prepare = {}) {
  const auto result = [&](const CpuTable& table, Cut cut) {
    Array got = output;
    Args mine = args;
    mine.*y = got.data();
    if (prepare) prepare(table, mine);
    run(table, id, mine, cut);
    return got;
  };
  const Array expected = result(dnncore_table_reference, Cut::Whole);
  for (const CpuTable* table : tables()) {
    CAPTURE(std::string(table->isa));
    CAPTURE(std::string(id.name));
    const Array got = result(*table, Cut::Whole);
    CHECK(std::memcmp(result(*table, Cut::SingleTasks).data(), got.data(), got.bytes()) == 0);
    for (int64_t i = 0; i < got.size(); ++i) {
      if (agree(got.dtype(), expected.at(i), got.at(i), tolerance)) continue;
      CAPTURE(i);
      CAPTURE(expected.at(i));
      CAPTURE(got.at(i));
      FAIL_CHECK("differs from the reference");
      break;
    }
  }
}

}  // namespace test
}  // namespace dnncore
