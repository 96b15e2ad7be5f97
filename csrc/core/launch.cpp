#include "core/launch.h"

#include <cstring>
#include <utility>

#include "core/devices.h"

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

const void* pointer_in(const void* args, const Operand& operand) {
  const void* pointer = nullptr;
  std::memcpy(&pointer, static_cast<const std::byte*>(args) + operand.field, sizeof pointer);
  return pointer;
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
constinit std::atomic<bool> detail::devices_used{false};

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

void refuse_device_memory(const char* op, const void* args, const Operand* operands, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const void* pointer = pointer_in(args, operands[i]);
    DNN_CHECK(operands[i].bytes == 0 || !devices::holds(pointer), StateError, op, ": expected all tensors on ", Device{},
              ", got one on a CUDA device; move it with .to('cpu')");
  }
}

Workspace device_workspace(int kernel, const char* op, Device device) {
  return devices::module(op, device).table().kernels[kernel].workspace;
}

void run_on_device(int kernel, const char* op, const void* args, const Operand* operands, size_t count, Device device) {
  DeviceModule& module = devices::module(op, device);
  DNN_CHECK(module.table().kernels[kernel].launch != nullptr, StateError, op, ": the kernel ", kernel::kNames[kernel], " is not there for ",
            device);
  for (size_t i = 0; i < count; ++i) {
    const void* const pointer = pointer_in(args, operands[i]);
    DNN_CHECK(operands[i].bytes == 0 || devices::holds(device, pointer), StateError, op, ": expected all tensors on ", device,
              ", got one that is elsewhere; move it with .to('", device, "')");
  }
  if (recorder != nullptr) recorder->cannot_repeat(op, "runs on a device");
  try {
    module.launch(kernel, args, device.index);
  } catch (const StateError& error) {  // names the kernel
    throw StateError(concat(op, ": ", error.what()));
  }
}

}  // namespace detail
}  // namespace dnncore
