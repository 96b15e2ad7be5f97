// The naive kernels that the others are tested against, and what runs where no ISA library does: plain loops, one task, sums in
// double or int64. Here: the table, products and the loss; reference_*.cpp hold the families.
#include "kernels/reference.h"

#include <algorithm>

#include "core/launch.h"
#include "kernels/contracts.h"

namespace dnncore {

namespace baseline {
#define KERNEL(name, Args)
#define BASELINE_KERNEL(name, Args)          \
  void name(const Args& args, const Tasks&); \
  Schedule name##_schedule(const Args& args);
#include "kernels/kernels.def"
}  // namespace baseline

namespace reference {

#define KERNEL(name, Args) void name(const Args& args, const Tasks&);
#define BASELINE_KERNEL(name, Args) using baseline::name;
#include "kernels/kernels.def"

// --- Products ---

namespace {

template <class T, class Out>
void gemm_as(const GemmArgs& args) {
  using Bias = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const int64_t b_row = args.b_packed ? args.n : args.b_row, b_col = args.b_packed ? 1 : args.b_col;
  for (int64_t batch = 0; batch < args.batch; ++batch) {
    const T* a = static_cast<const T*>(args.a) + batch * args.a_batch;
    const T* b = static_cast<const T*>(args.b) + batch * args.b_batch;
    Out* c = static_cast<Out*>(args.c) + batch * args.c_batch;
    for (int64_t i = 0; i < args.m; ++i)
      for (int64_t j = 0; j < args.n; ++j) {
        Out& out = c[i * args.c_row + j];
        double sum = args.accumulate ? widen(out) : 0;
        for (int64_t p = 0; p < args.k; ++p) sum += widen(a[i * args.a_row + p * args.a_col]) * widen(b[p * b_row + j * b_col]);
        if (args.bias != nullptr) sum += static_cast<const Bias*>(args.bias)[j];
        out = narrow<Out>(activation_value(args.activation, sum));
      }
  }
}

// The panels are B itself, k x n, row by row.
int64_t gemm_packed_bytes(const GemmPackArgs& args) { return args.k * args.n * static_cast<int64_t>(itemsize(args.dtype)); }

}  // namespace

void gemm(const GemmArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (is_half<T>)
      args.out_dtype == DType::Float32 ? gemm_as<T, float>(args) : gemm_as<T, T>(args);
    else if constexpr (is_float<T>)
      gemm_as<T, T>(args);
  });
}

void gemm_pack(const GemmPackArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t p = 0; p < args.k; ++p)
      for (int64_t j = 0; j < args.n; ++j)
        static_cast<T*>(args.packed)[p * args.n + j] = static_cast<const T*>(args.b)[p * args.b_row + j * args.b_col];
  });
}

// --- Loss ---

namespace {

template <class T>
void cross_entropy_row(const CrossEntropyArgs& args, int64_t row) {
  const T* x = static_cast<const T*>(args.x) + row * args.x_row;
  const T* q = args.probabilities == nullptr ? nullptr : static_cast<const T*>(args.probabilities) + row * args.classes;
  const int64_t target = q == nullptr ? args.target[row] : 0;
  const bool ignored = q == nullptr && target == args.ignore_index;
  const bool in_range = target >= 0 && target < args.classes;
  const auto weight = [&](int64_t j) { return args.weight == nullptr ? 1.0 : static_cast<double>(static_cast<const T*>(args.weight)[j]); };
  const auto coefficient = [&](int64_t j) {
    const double share = q == nullptr ? static_cast<double>(j == target) : static_cast<double>(q[j]);
    return weight(j) * (share * (1 - args.smoothing) + args.smoothing / static_cast<double>(args.classes));
  };
  double largest = -std::numeric_limits<double>::infinity(), sum = 0, mass = 0, below = 0;
  for (int64_t j = 0; j < args.classes; ++j) largest = std::isnan(x[j]) || x[j] > largest ? x[j] : largest;
  for (int64_t j = 0; j < args.classes; ++j) {
    sum += std::exp(x[j] - largest);
    const double b = coefficient(j);
    mass += b;
    if (b != 0 || q != nullptr || args.smoothing != 0) below += b * (largest - x[j]);
  }
  if (args.loss != nullptr) static_cast<T*>(args.loss)[row] = ignored ? 0 : static_cast<T>(in_range ? mass * std::log(sum) + below : NAN);
  if (args.row_weight != nullptr)
    static_cast<T*>(args.row_weight)[row] = static_cast<T>(ignored ? 0 : q != nullptr || !in_range ? 1 : weight(target));
  if (args.dx == nullptr) return;
  for (int64_t j = 0; j < args.classes; ++j) {
    const double softmax = std::exp(x[j] - largest) / sum;
    static_cast<T*>(args.dx)[row * args.classes + j] =
        ignored ? 0 : static_cast<T>(in_range ? args.scale * (softmax * mass - coefficient(j)) : NAN);
  }
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args, const Tasks&) {
  for (int64_t row = 0; row < args.rows; ++row)
    args.dtype == DType::Float64 ? cross_entropy_row<double>(args, row) : cross_entropy_row<float>(args, row);
}

// --- The table ---

namespace {

template <class Args, void (*body)(const Args&, const Tasks&)>
constexpr CpuKernel one_task{
    [](const void* args, const Tasks& tasks) { body(*static_cast<const Args*>(args), tasks); },
    [](const void*) {
      return Schedule{1, {1, 1, 1}, 2 * parallel::kUnlockNanoseconds};
    },  // slow: the host's lock is dropped
};

template <class Args, void (*body)(const Args&, const Tasks&), Schedule (*schedule)(const Args&)>
constexpr CpuKernel baseline_kernel{
    [](const void* args, const Tasks& tasks) { body(*static_cast<const Args*>(args), tasks); },
    [](const void* args) { return schedule(*static_cast<const Args*>(args)); },
};

}  // namespace
}  // namespace reference

extern "C" const CpuTable dnncore_table_reference;
const CpuTable dnncore_table_reference = {
    "reference",
    {
#define KERNEL(name, Args) reference::one_task<Args, reference::name>,
#define BASELINE_KERNEL(name, Args) reference::baseline_kernel<Args, baseline::name, baseline::name##_schedule>,
#include "kernels/kernels.def"
    },
    reference::gemm_packed_bytes,
};

}  // namespace dnncore
