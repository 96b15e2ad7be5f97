// The CUDA kernels as one more instruction set, "emulated": what tests them against the reference where no GPU is. Its memory is the
// host's; kernels that are not written yet are the reference's.
#include "../table.h"

#include "core/launch.h"

namespace dnncore {

extern "C" const CpuTable dnncore_table_reference;

namespace {

template <int kernel>
void run(const void* args, const Tasks&) {
  cuda::table().kernels[kernel].launch(args, nullptr);
}
Schedule one_task(const void*) { return {}; }

template <int... kernel>
CpuTable table_of(std::integer_sequence<int, kernel...>) {
  CpuTable table = dnncore_table_reference;
  table.isa = "emulated";
  const auto take = [&](int index, parallel::Body body) {
    const DeviceKernel& device = cuda::table().kernels[index];
    if (device.launch != nullptr) table.kernels[index] = {body, one_task, device.workspace};
  };
  (take(kernel, run<kernel>), ...);
  return table;
}

}  // namespace

const CpuTable& emulated_table() {
  static const CpuTable table = table_of(std::make_integer_sequence<int, kernel::kCount>());
  return table;
}

}  // namespace dnncore
