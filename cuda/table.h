// The table of CUDA kernels, built from kernels.def.
#pragma once

#include "core/device_module.h"

namespace dnncore::cuda {

const DeviceTable& table();

}  // namespace dnncore::cuda
