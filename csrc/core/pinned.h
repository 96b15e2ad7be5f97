// Pinned memory of the host, which devices read by themselves while the program goes on.
#pragma once

#include <cstddef>

#include "core/device.h"

namespace dnncore::pinned {

// Blocks are kept and reused. Needs a device: StateError that begins with `op`; MemoryError where there is no room.
void* allocate(const char* op, size_t bytes);
// Handed out again when the copies from it are done.
void deallocate(void* data) noexcept;
bool holds(const void* data);
// A copy to the device is queued that reads the block of this address.
void read_by(Device device, const void* data);

}  // namespace dnncore::pinned
