// What a module for devices offers: memory, one stream of work per device, the kernels of kernels.def. `_cuda.so` is one, loaded when a
// device is first asked for; the emulator is another, linked where it is built. Nothing here knows CUDA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device.h"
#include "kernels/kernels.h"

namespace dnncore {

// One kernel of a device. launch() returns when the work is queued; what it throws is a StateError.
struct DeviceKernel {
  void (*launch)(const void* args, void* stream) = nullptr;  // null: not there
  int64_t (*workspace)(const void* args) = nullptr;          // bytes it wants; null: none
};

struct DeviceTable {
  DeviceKernel kernels[kernel::kCount];
};

struct DeviceProperties {
  char name[256];
  int major, minor;  // compute capability
  int processors;
  int64_t total_bytes, free_bytes;
};

// Functions of devices 0..count()-1. Work is queued on the one stream of each and done in its order, copies too. Events order it with
// the streams of others: `stream` is a handle of theirs, null is our own.
class DeviceModule {
 public:
  virtual ~DeviceModule() = default;
  virtual const char* version() const = 0;  // of dnncore: must be this one's
  virtual int count() const = 0;
  virtual const char* reason() const = 0;  // why there is none
  virtual DeviceProperties properties(int device) = 0;

  virtual void* allocate(int device, size_t bytes) = 0;  // 512-byte aligned; nullptr: no room
  virtual void release(int device, void* data, size_t bytes) noexcept = 0;
  // The source may change when it returns; not so a pinned one without waiting.
  virtual void upload(int device, void* to, const void* from, size_t bytes, Wait wait) = 0;
  virtual void download(int device, void* to, const void* from, size_t bytes) = 0;  // returns when it is there
  virtual void copy(int device, void* to, int from_device, const void* from, size_t bytes) = 0;
  virtual void clear(int device, void* data, size_t bytes) = 0;
  virtual void synchronize(int device) = 0;  // StateError that names what failed
  virtual void settle(int device) = 0;       // of every stream, those of other libraries too
  virtual void* stream(int device) = 0;
  virtual bool idle(int device) = 0;  // nothing is queued

  virtual void* new_event(int device, bool timing) = 0;
  virtual void delete_event(int device, void* event) noexcept = 0;
  virtual void record(int device, void* event, void* stream) = 0;
  virtual void wait(int device, void* event, void* stream) = 0;  // later work of the stream, not the host
  virtual bool happened(int device, void* event) = 0;            // also where it was never recorded
  virtual void await(int device, void* event) = 0;
  virtual double milliseconds(int device, void* from, void* to) = 0;

  virtual void* allocate_pinned(size_t bytes) = 0;  // memory of the host that devices read by themselves; nullptr: no room
  virtual void release_pinned(void* data) noexcept = 0;

  virtual const DeviceTable& table() const = 0;
  // Queued on the device, which is made current; awaited where that is asked for.
  virtual void launch(int kernel, const void* args, int device) = 0;
};

// What a module's library exports under this name.
using DeviceModuleEntry = DeviceModule* (*)();
inline constexpr const char* kDeviceModuleEntry = "dnncore_device_module";

}  // namespace dnncore
