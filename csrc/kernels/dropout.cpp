// Dropout: the mask of a task's elements is drawn into its bytes, then x is multiplied by it while both are in the cache.
#include "kernels/dropout.h"

#include "kernels/elementwise_loops.h"
#include "kernels/philox.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kBlockElements = DropoutArgs::kBlockElements;
static_assert(kChunk % kBlockElements == 0);

// y = x mask scale; the parameter is the scale.
template <class T>
void mask_row(const std::byte* const* in, std::byte* out, int64_t n, int flags) {
  constexpr int64_t N = Vec<T>::N;
  const T* x = reinterpret_cast<const T*>(in[0]);
  const uint8_t* mask = reinterpret_cast<const uint8_t*>(in[1]);
  const T factor = static_cast<T>(*reinterpret_cast<const double*>(in[2]));
  T* y = reinterpret_cast<T*>(out);
  const auto scaled = [&](int64_t i) __attribute__((always_inline)) { return x[i] * (static_cast<T>(mask[i]) * factor); };
  int64_t i = 0;
  if (flags & kStream) {
    for (; i < n && reinterpret_cast<uintptr_t>(y + i) % kVecBytes != 0; ++i) y[i] = scaled(i);
    typedef uint8_t Bytes __attribute__((vector_size(N)));
    for (; i + N <= n; i += N) {
      __builtin_prefetch(reinterpret_cast<const char*>(x + i) + kAhead);
      Bytes kept;
      std::memcpy(&kept, mask + i, sizeof(kept));
      (Vec<T>::load(x + i) * (Vec<T>{__builtin_convertvector(kept, typename Vec<T>::Raw)} * Vec<T>::set(factor))).stream(y + i);
    }
  }
#pragma GCC ivdep
  for (; i < n; ++i) y[i] = scaled(i);
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

// mask[begin, end); begin is a multiple of the block.
void draw_mask(const DropoutArgs& args, int64_t begin, int64_t end) {
  constexpr int kCounters = DropoutArgs::kBlockCounters;
  const auto key0 = static_cast<uint32_t>(args.state->seed), key1 = static_cast<uint32_t>(args.state->seed >> 32);
  const auto threshold = static_cast<uint32_t>(args.threshold());
  uint32_t words[4][kCounters];
  for (int64_t i = begin; i < end; i += kBlockElements) {
    const uint64_t first = args.state->offset + static_cast<uint64_t>(i / 4);
    for (int c = 0; c < kCounters; ++c) {
      const uint64_t counter = first + static_cast<uint64_t>(c);
      words[0][c] = static_cast<uint32_t>(counter);
      words[1][c] = static_cast<uint32_t>(counter >> 32);
      words[2][c] = words[3][c] = 0;
    }
    baseline::philox_4x32_10(words, key0, key1);
    const uint32_t* word = &words[0][0];
    uint8_t* mask = args.mask + i;
    if (i + kBlockElements <= end)
      for (int64_t j = 0; j < kBlockElements; ++j) mask[j] = word[j] >= threshold;
    else
      for (int64_t j = 0; j < end - i; ++j) mask[j] = word[j] >= threshold;
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
