#include "core/launch.h"

#include <utility>

namespace dnncore {
namespace {

thread_local std::string module_path;

struct JoinedArgs {
  const detail::Joined* launches;
  size_t count;
};

void run_task_by_task(const void* args, const Tasks& tasks) {
  const auto& joined = *static_cast<const JoinedArgs*>(args);
  const CpuKernel* const kernels = cpu::table().kernels;
  for (int64_t task = tasks.begin; task < tasks.end; ++task)
    for (size_t i = 0; i < joined.count; ++i) {
      const detail::Joined& launch = joined.launches[i];
      kernels[launch.kernel].body(launch.args, {0, task, task + 1, tasks.scratch, launch.reread});
    }
}

void run_named(int kernel, parallel::Body body, const void* args, const Schedule& schedule, detail::Interruptible interruptible) {
  try {
    parallel::run(body, args, schedule, interruptible == detail::Interruptible::Yes);
  } catch (const Interrupted&) {
    throw Interrupted(concat(kernel::kNames[kernel], ": interrupted"));
  }
}

}  // namespace

thread_local Recorder* detail::recorder = nullptr;

Recorder* set_recorder(Recorder* recorder) { return std::exchange(detail::recorder, recorder); }
Recorder* current_recorder() { return detail::recorder; }
void set_module_path(std::string path) { module_path = std::move(path); }

namespace detail {

void run_on_cpu(int kernel, const void* args, Interruptible interruptible) {
  const CpuKernel& chosen = cpu::table().kernels[kernel];
  run_named(kernel, chosen.body, args, chosen.schedule(args), interruptible);
}

void run_joined_on_cpu(const Joined* launches, size_t count, Interruptible interruptible) {
  Schedule schedule{.nanoseconds = 0};
  for (size_t i = 0; i < count; ++i) {
    const Schedule one = cpu::table().kernels[launches[i].kernel].schedule(launches[i].args);
    DNN_CHECK(one.phases == 1 && (i == 0 || one.tasks[0] == schedule.tasks[0]), StateError, "joined launches: expected the same tasks");
    schedule.tasks[0] = one.tasks[0];
    schedule.nanoseconds += one.nanoseconds;
  }
  const JoinedArgs args{launches, count};
  run_named(launches[0].kernel, run_task_by_task, &args, schedule, interruptible);
}

void run_recorded(int kernel, const char* op, const void* args, size_t size, const Operand* operands, size_t count, int64_t elements,
                  double flops) {
  const auto* bytes = static_cast<const std::byte*>(args);
  recorder->record({kernel, op, module_path, {bytes, bytes + size}, {operands, operands + count}, elements, flops});
}

void no_such_device(const char* op, Device device) {
  throw StateError(concat(op, ": tensors on ", device, " need the CUDA build of dnncore, this one has CPU kernels only"));
}

}  // namespace detail
}  // namespace dnncore
