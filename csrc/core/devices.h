// Devices beside the CPU: their module, and a caching allocator of their memory.
#pragma once

#include <string>

#include "core/device.h"
#include "core/device_module.h"
#include "core/memory.h"

namespace dnncore::devices {

// How many there are, and if there are none, why. Never throws: asking is allowed everywhere. None in a process that was forked from one
// that had used them: CUDA does not live on there.
int count();
const std::string& reason();

// The module, for a device that is there: StateError that begins with `op` otherwise.
DeviceModule& module(const char* op, Device device);

// The device that 'cuda' names, of the calling thread: the first one until another is set.
Device current();
void set_current(const char* op, Device device);

// Memory is kept and reused in the order of the device's one stream. MemoryError names what was asked for, held, kept and free.
void* allocate(Device device, size_t bytes);
void deallocate(Device device, void* data, size_t bytes) noexcept;
void empty_cache(Device device);
MemoryStats stats(Device device);
void reset_peak_stats(Device device);
// Whether an address is memory of the device.
bool holds(Device device, const void* data);
// Whether it is memory of any.
bool holds(const void* data);
// Memory of another library, as long as a storage stands for it.
void adopt(Device device, const void* data, size_t bytes);
void disown(Device device, const void* data, size_t bytes) noexcept;

// Before memory that other libraries have seen is used again.
void settle(Device device) noexcept;
// What `first` has queued is done before what `then` queues from now on: handles of streams, null is the device's own.
void order(Device device, void* first, void* then);

}  // namespace dnncore::devices
