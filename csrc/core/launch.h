// The one gate: every kernel on every device runs through launch(), which may also write down what ran.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/device.h"
#include "core/dtype.h"
#include "core/operand.h"
#include "core/parallel.h"
#include "kernels/kernels.h"

namespace dnncore {

// One kernel of one CPU table.
struct CpuKernel {
  parallel::Body body = nullptr;
  Schedule (*schedule)(const void* args) = nullptr;
  int64_t (*workspace)(const void* args) = nullptr;  // bytes it wants; null: none
};

// What an ISA library exports, and the only thing.
struct CpuTable {
  const char* isa;
  CpuKernel kernels[kernel::kCount];
  int64_t (*gemm_packed_bytes)(const GemmPackArgs& args);
};

// A launch written down: enough to run it again elsewhere.
struct LaunchRecord {
  int kernel;
  const char* op;
  std::string module;  // path of the module that was running, "" outside any
  std::vector<std::byte> args;
  std::vector<Operand> operands;
  int64_t elements = 0;  // task t touches its part of so many elements of dense operands, and repeated single ones; 0: not so
  double flops = 0;      // of matrix products, a multiply-add counted as two; 0 for kernels that are bound by memory
};

class OptimizerStep;
class Storage;
class Tensor;
class TensorImpl;

// What the host looks at in the memory of tensors, and raises for: done again at every replay. `data`: their addresses.
using HostCheck = std::function<void(const void* const* data)>;

// Sees what a thread does: its launches and, for those who want to do it again, everything else that a step consists of.
class Recorder {
 public:
  virtual ~Recorder() = default;
  virtual void record(LaunchRecord record) = 0;
  virtual void created(Storage&) {}                                         // memory, not written yet
  virtual void host_wrote(Storage&) {}                                      // the contents came from Python
  virtual void checked(HostCheck, std::initializer_list<const Tensor*>) {}  // the tensors are dense
  virtual void reads_grad(TensorImpl&) {}                                   // somebody looks at .grad
  virtual void set_grad(TensorImpl&, const Tensor&) {}                      // about to be set; undefined: cleared
  virtual bool optimizes(OptimizerStep&) { return false; }                  // about to run; true: its launches are not wanted
  // The host is about to go on with the values of a tensor; true: a repetition is for these alone, and that it is will be checked.
  virtual bool fixes_values(const Tensor&) { return false; }
  virtual void cannot_repeat(const char*, const char*) {}  // (op, what it does)
};
// Of the calling thread; nullptr: none. Returns the one before.
Recorder* set_recorder(Recorder* recorder);
Recorder* current_recorder();
void set_module_path(std::string path);  // of the calling thread, read only while recording

namespace cpu {
const CpuTable& table();                    // the chosen one
std::vector<std::string> available_isas();  // best first; always ends with "reference"
void use_isa(const std::string& isa);       // ValueError naming what there is; for tests and DNNCORE_ISA
}  // namespace cpu

namespace detail {

enum class Interruptible : bool { No, Yes };
void run_on_cpu(int kernel, const void* args, Interruptible interruptible);
void run_recorded(int kernel, const char* op, const void* args, size_t size, const Operand* operands, size_t count, int64_t elements,
                  double flops);
template <class Args>
double flops_of(const Args& args) {
  if constexpr (requires { args.flops(); })
    return args.flops();
  else
    return 0;
}
template <class Args>
int64_t elements_of(const Args& args) {
  if constexpr (requires { args.elements(); })
    return args.elements();
  else
    return 0;
}

// Launches of one phase and the same tasks, done task by task instead of one after the other: what one writes is in the cache when the
// next reads it, and the pool is asked once. The same bits, where task t of each needs nothing of the others but what their task t does.
struct Joined {
  int kernel;
  const void* args;
  bool reread;  // a later one reads what it writes
};
void run_joined_on_cpu(const Joined* launches, size_t count, Interruptible interruptible);
extern thread_local Recorder* recorder;
// Set when a device is used for the first time: from then on a kernel of the CPU could be given its memory.
extern std::atomic<bool> devices_used;
void refuse_device_memory(const char* op, const void* args, const Operand* operands, size_t count);
// Every operand must be memory of the device.
using Workspace = int64_t (*)(const void* args);
Workspace device_workspace(int kernel, const char* op, Device device);
void run_on_device(int kernel, const char* op, const void* args, const Operand* operands, size_t count, Device device);

}  // namespace detail

// A value that the host decides by: a repetition of the step could not know it.
inline void host_reads(const char* op) {
  if (detail::recorder != nullptr) detail::recorder->cannot_repeat(op, "reads values on the host");
}

// Bytes of workspace that the kernel of the table, or of the device, wants for these arguments.
template <class Args>
int64_t workspace_bytes(KernelId<Args> id, const Args& args, const CpuTable& table) {
  const auto workspace = table.kernels[id.index].workspace;
  return workspace == nullptr ? 0 : workspace(&args);
}
template <class Args>
int64_t workspace_bytes(KernelId<Args> id, const Args& args, Device device) {
  if (device.type == DeviceType::CPU) return workspace_bytes(id, args, cpu::table());
  const auto workspace = detail::device_workspace(id.index, id.name, device);
  return workspace == nullptr ? 0 : workspace(&args);
}

// `op` is a string that lives forever. Work that only writes fresh memory may be interrupted; anything that accumulates in place
// runs to its end, so that no tensor is left half updated.
template <class Args>
void launch(const char* op, KernelId<Args> id, const Args& args, Device device) {
  static_assert(std::is_trivially_copyable_v<Args>);
  static_assert(all_pointers_declared<Args>(), "a pointer field of this argument struct is not declared in operands()");
  if (device.type != DeviceType::CPU) {
    const auto operands = args.operands();
    return detail::run_on_device(id.index, op, &args, operands.data(), operands.size(), device);
  }
  if (detail::devices_used.load(std::memory_order_relaxed)) {
    const auto operands = args.operands();
    detail::refuse_device_memory(op, &args, operands.data(), operands.size());
  }
  if (detail::recorder != nullptr) {
    const auto operands = args.operands();
    detail::run_recorded(id.index, op, &args, sizeof(Args), operands.data(), operands.size(), detail::elements_of(args),
                         detail::flops_of(args));
  }
  detail::run_on_cpu(id.index, &args, args.in_place() ? detail::Interruptible::No : detail::Interruptible::Yes);
}

}  // namespace dnncore
