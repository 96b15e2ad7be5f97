#include "table.h"

#include "grid.h"
#include "kernels/contracts.h"

namespace dnncore::cuda {

// Weak: a kernel that is not written yet is null.
#define KERNEL(name, Args) __attribute__((weak)) void name(const Args& args, cudaStream_t stream);
#define WORKSPACE_KERNEL(name, Args) \
  KERNEL(name, Args)                 \
  __attribute__((weak)) int64_t name##_workspace(const Args& args);
#include "kernels/kernels.def"

namespace {

template <class Args, void (*kernel)(const Args&, cudaStream_t)>
void launch(const void* args, void* stream) {
  kernel(*static_cast<const Args*>(args), static_cast<cudaStream_t>(stream));
}
template <class Args, int64_t (*workspace)(const Args&)>
int64_t workspace_of(const void* args) {
  return workspace(*static_cast<const Args*>(args));
}

DeviceTable all() {
  return {{
#define KERNEL(name, Args) DeviceKernel{name == nullptr ? nullptr : &launch<Args, name>, nullptr},
#define WORKSPACE_KERNEL(name, Args)                            \
  DeviceKernel{name == nullptr ? nullptr : &launch<Args, name>, \
               name##_workspace == nullptr ? nullptr : &workspace_of<Args, name##_workspace>},
#include "kernels/kernels.def"
  }};
}

}  // namespace

const DeviceTable& table() {
  static const DeviceTable found = all();
  return found;
}

}  // namespace dnncore::cuda
