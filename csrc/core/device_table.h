// What a module of kernels for a device exports: the same list as a CpuTable's, a launch instead of a body.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace dnncore {

// One kernel of a device. It returns when the work is queued; a failed launch throws StateError.
struct DeviceKernel {
  void (*launch)(const void* args, void* stream) = nullptr;
  int64_t (*workspace)(const void* args) = nullptr;  // bytes it wants; null: none
};

struct DeviceTable {
  DeviceKernel kernels[kernel::kCount];
};

}  // namespace dnncore
