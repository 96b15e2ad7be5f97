// Constants and ranges.
#include "elementwise.h"
#include "kernels/copy.h"

namespace dnncore::cuda {
namespace {

template <class U>
struct Constant {
  U value;
  __device__ __forceinline__ U operator()() const { return value; }
};

template <class T>
__global__ void __launch_bounds__(kBlock) write_range(RangeArgs args) {
  auto* const y = static_cast<T*>(args.y);
  for (int64_t i = global_thread(); i < args.n; i += grid_threads()) {
    if constexpr (kIsFloating<T>)
      y[i] = rounded_once<T>(__dadd_rn(args.start, __dmul_rn(static_cast<double>(i), args.step)));  // never fused: the CPU's bits
    else
      y[i] = static_cast<T>(static_cast<uint64_t>(args.int_start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(args.int_step));
  }
}

template <class T>
T value_of(const FillArgs& args) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return to_bfloat16(static_cast<float>(args.as_double));
  else if constexpr (std::is_same_v<T, float16>)
    return to_float16(static_cast<float>(args.as_double));
  else if constexpr (kIsFloating<T>)
    return static_cast<T>(args.as_double);
  else
    return static_cast<T>(args.as_int);
}

}  // namespace

void fill(const FillArgs& args, cudaStream_t stream) {
  visit_dtype(args.dtype, [&](auto tag) {
    const auto value = value_of<decltype(tag)>(args);
    visit_size(sizeof value, [&](auto same_size) {
      using U = decltype(same_size);
      if constexpr (sizeof(U) == sizeof value)
        map("fill", stream, Constant<U>{std::bit_cast<U>(value)}, args.shape, static_cast<U*>(args.y), args.y_strides);
    });
  });
}

void range(const RangeArgs& args, cudaStream_t stream) {
  if (args.n == 0) return;
  visit_dtype(args.dtype, [&](auto tag) { launch_grid("range", write_range<decltype(tag)>, blocks_for(args.n), kBlock, stream, 0, args); });
}

}  // namespace dnncore::cuda
