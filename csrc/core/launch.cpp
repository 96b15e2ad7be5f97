#include "core/launch.h"

#include <utility>

namespace dnncore {
namespace {

thread_local std::string module_path;

}  // namespace

thread_local Recorder* detail::recorder = nullptr;

Recorder* set_recorder(Recorder* recorder) { return std::exchange(detail::recorder, recorder); }
Recorder* current_recorder() { return detail::recorder; }
void set_module_path(std::string path) { module_path = std::move(path); }

namespace detail {

void run_on_cpu(int kernel, const void* args, Interruptible interruptible) {
  const CpuKernel& chosen = cpu::table().kernels[kernel];
  try {
    parallel::run(chosen.body, args, chosen.schedule(args), interruptible == Interruptible::Yes);
  } catch (const Interrupted&) {
    throw Interrupted(concat(kernel::kNames[kernel], ": interrupted"));
  }
}

void run_recorded(int kernel, const char* op, const void* args, size_t size, const Operand* operands, size_t count) {
  const auto* bytes = static_cast<const std::byte*>(args);
  recorder->record({kernel, op, module_path, {bytes, bytes + size}, {operands, operands + count}});
}

void no_such_device(const char* op, Device device) {
  throw StateError(concat(op, ": tensors on ", device, " need the CUDA build of dnncore, this one has CPU kernels only"));
}

}  // namespace detail
}  // namespace dnncore
