// torch.optim.SGD over a segment table: one walk over the concatenated lengths, cut into chunks of fixed size.
#include "kernels/sgd.h"

#include "kernels/elementwise_loops.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class T>
void update(const SgdSegment& segment, const SgdGroup& group, int64_t begin, int64_t end) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  T* p = static_cast<T*>(segment.parameter);
  const T* g = static_cast<const T*>(segment.gradient);
  T* buffer = group.momentum != 0 ? static_cast<T*>(segment.momentum) : nullptr;
  const V weight_decay = V::set(static_cast<T>(group.weight_decay)), momentum = V::set(static_cast<T>(group.momentum));
  const V undamped = V::set(static_cast<T>(1 - group.dampening)), minus_lr = V::set(static_cast<T>(-group.lr));
  const V sign = V::set(group.maximize ? T(-1) : T(1));
  const auto one = [&](int64_t i, auto load, auto store) __attribute__((always_inline)) {
    const V parameter = load(p + i);
    V d = sign * load(g + i);
    if (group.weight_decay != 0) d = fma(weight_decay, parameter, d);
    if (buffer != nullptr) {
      const V moving = segment.initialised ? fma(momentum, load(buffer + i), undamped * d) : d;
      store(moving, buffer + i);
      d = group.nesterov ? fma(momentum, moving, d) : moving;
    }
    store(fma(minus_lr, d, parameter), p + i);
  };
  int64_t i = begin;
  for (; i + N <= end; i += N)
    one(
        i, [](const T* from) __attribute__((always_inline)) { return V::load(from); },
        [](V v, T * to) __attribute__((always_inline)) { v.store(to); });
  if (const int64_t rest = end - i; rest > 0)
    one(
        i, [rest](const T* from) __attribute__((always_inline)) { return V::load(from, rest); },
        [rest](V v, T * to) __attribute__((always_inline)) { v.store(to, rest); });
}

}  // namespace

// Phase 0: the chunks; phase 1: the buffers hold values.
void sgd(const SgdArgs& args, const Tasks& tasks) {
  if (tasks.phase == 1) {
    for (int64_t s = 0; s < args.segment_count; ++s) {
      SgdSegment& segment = args.segments[s];
      segment.initialised |= segment.momentum != nullptr && args.groups[segment.group].momentum != 0;
    }
    return;
  }
  const int64_t begin = tasks.begin * kChunk, end = std::min(tasks.end * kChunk, args.total_length);
  int64_t start = 0;
  for (int64_t s = 0; s < args.segment_count && start < end; ++s) {
    const SgdSegment& segment = args.segments[s];
    const int64_t from = std::max<int64_t>(begin - start, 0), to = std::min(end - start, segment.length);
    start += segment.length;
    if (from >= to) continue;
    if (segment.dtype == DType::Float64)
      update<double>(segment, args.groups[segment.group], from, to);
    else
      update<float>(segment, args.groups[segment.group], from, to);
  }
}

Schedule sgd_schedule(const SgdArgs& args) {
  Schedule schedule{.phases = 2};
  schedule.tasks[0] = (args.total_length + kChunk - 1) / kChunk;
  schedule.nanoseconds = 0.6 * static_cast<double>(args.total_length);
  return schedule;
}

}  // namespace dnncore::DNNCORE_ISA
