// Dropout with the CPU's masks: thread c of a group of 32 draws counter c of the group's block of 128 elements.
#include "kernels/dropout.h"

#include "numbers.h"
#include "philox.h"

namespace dnncore::cuda {
namespace {

constexpr int kCounters = DropoutArgs::kBlockCounters, kElements = DropoutArgs::kBlockElements;

// Element i of a block has word i / 32 of counter (i % 32) / 2 + 16 (i % 2): thread c's four words are those of elements 32 w + e.
template <class T>
__global__ void __launch_bounds__(kBlock) drop(DropoutArgs args) {
  const auto* const x = static_cast<const T*>(args.x);
  auto* const y = static_cast<T*>(args.y);
  const uint64_t threshold = args.threshold(), seed = args.state->seed, offset = args.state->offset;
  const auto scale = static_cast<Working<T>>(1 / (1 - args.p));
  const int64_t counters = static_cast<int64_t>(args.counters_used());
  for (int64_t c = global_thread(); c < counters; c += grid_threads()) {
    // Lane l takes element l of each 32: its counter is another lane's, which the order of counters makes up for.
    const int64_t block = c / kCounters, lane = c % kCounters;
    const uint4 words = philox(offset + static_cast<uint64_t>(block * kCounters + lane / 2 + 16 * (lane % 2)), seed);
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const int64_t i = block * kElements + 32 * w + lane;
      if (i >= args.n) break;
      const bool kept = word[w] >= threshold;
      args.mask[i] = kept;
      y[i] = from_working<T>(to_working(x[i]) * (static_cast<Working<T>>(kept) * scale));
    }
  }
}

__global__ void advance(GeneratorState* state, uint64_t counters) { state->offset += counters; }

template <class T>
__global__ void __launch_bounds__(kBlock) drop_backward(DropoutBackwardArgs args) {
  const auto* const dy = static_cast<const T*>(args.dy);
  auto* const dx = static_cast<T*>(args.dx);
  const auto scale = static_cast<Working<T>>(args.scale);
  for (int64_t i = global_thread(); i < args.n; i += grid_threads())
    dx[i] = from_working<T>(to_working(dy[i]) * (static_cast<Working<T>>(args.mask[i]) * scale));
}

}  // namespace

void dropout(const DropoutArgs& args, cudaStream_t stream) {
  visit_floating(args.dtype, [&](auto tag) {
    if (args.n > 0)
      launch_grid("dropout", drop<decltype(tag)>, blocks_for(static_cast<int64_t>(args.counters_used())), kBlock, stream, 0, args);
  });
  launch_grid("dropout", advance, 1, 1, stream, 0, args.state, args.counters_used());
}

void dropout_backward(const DropoutBackwardArgs& args, cudaStream_t stream) {
  if (args.n == 0) return;
  visit_floating(args.dtype, [&](auto tag) {
    launch_grid("dropout_backward", drop_backward<decltype(tag)>, blocks_for(args.n), kBlock, stream, 0, args);
  });
}

}  // namespace dnncore::cuda
