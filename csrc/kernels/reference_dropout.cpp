// Naive dropout, one counter at a time.
#include "core/launch.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"
#include "kernels/reference.h"

namespace dnncore::reference {

void dropout(const DropoutArgs& args, const Tasks&);
void dropout_backward(const DropoutBackwardArgs& args, const Tasks&);

namespace {

uint32_t word_of(const GeneratorState& state, int64_t element) {
  const int64_t block = element / DropoutArgs::kBlockElements, within = element % DropoutArgs::kBlockElements;
  const int64_t place = within % DropoutArgs::kBlockCounters;
  const int64_t number = block * DropoutArgs::kBlockCounters + place / 2 + DropoutArgs::kBlockCounters / 2 * (place % 2);
  const uint64_t counter = state.offset + static_cast<uint64_t>(number);
  uint32_t words[4][1] = {{static_cast<uint32_t>(counter)}, {static_cast<uint32_t>(counter >> 32)}, {0}, {0}};
  baseline::philox_4x32_10(words, static_cast<uint32_t>(state.seed), static_cast<uint32_t>(state.seed >> 32));
  return words[within / DropoutArgs::kBlockCounters][0];
}

// In the arithmetic of the kernels: the product is rounded once.
void multiply(const void* x, const uint8_t* mask, void* y, int64_t n, double scale, DType dtype) {
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (is_float<T>) {
      using Arithmetic = std::conditional_t<std::is_same_v<T, double>, double, float>;
      const double factor = static_cast<Arithmetic>(scale);
      for (int64_t i = 0; i < n; ++i) static_cast<T*>(y)[i] = narrow<T>(widen(static_cast<const T*>(x)[i]) * (mask[i] * factor));
    }
  });
}

}  // namespace

void dropout(const DropoutArgs& args, const Tasks&) {
  for (int64_t i = 0; i < args.n; ++i) args.mask[i] = word_of(*args.state, i) >= args.threshold();
  multiply(args.x, args.mask, args.y, args.n, 1 / (1 - args.p), args.dtype);
  args.state->offset += args.counters_used();
}

void dropout_backward(const DropoutBackwardArgs& args, const Tasks&) {
  multiply(args.dy, args.mask, args.dx, args.n, args.scale, args.dtype);
}

}  // namespace dnncore::reference
