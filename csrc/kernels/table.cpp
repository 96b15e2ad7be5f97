// The table of one ISA, built from kernels.def: the only symbol its library exports.
#include "core/launch.h"
#include "kernels/contracts.h"

namespace dnncore {

namespace baseline {
#define KERNEL(name, Args)
#define BASELINE_KERNEL(name, Args)          \
  void name(const Args& args, const Tasks&); \
  Schedule name##_schedule(const Args& args);
#include "kernels/kernels.def"
}  // namespace baseline

namespace DNNCORE_ISA {

#define KERNEL(name, Args)                   \
  void name(const Args& args, const Tasks&); \
  Schedule name##_schedule(const Args& args);
#define WORKSPACE_KERNEL(name, Args) \
  KERNEL(name, Args)                 \
  int64_t name##_workspace(const Args& args);
#define BASELINE_KERNEL(name, Args) \
  using baseline::name;             \
  using baseline::name##_schedule;
#include "kernels/kernels.def"

int64_t gemm_packed_bytes(const GemmPackArgs& args);

namespace {

template <class Args, int64_t (*... workspace)(const Args&)>
constexpr auto erased_workspace() -> int64_t (*)(const void*) {
  if constexpr (sizeof...(workspace) == 0)
    return nullptr;
  else
    return [](const void* args) { return (workspace(*static_cast<const Args*>(args)), ...); };
}

template <class Args, void (*body)(const Args&, const Tasks&), Schedule (*schedule)(const Args&), int64_t (*... workspace)(const Args&)>
constexpr CpuKernel erased{
    [](const void* args, const Tasks& tasks) { body(*static_cast<const Args*>(args), tasks); },
    [](const void* args) { return schedule(*static_cast<const Args*>(args)); },
    erased_workspace<Args, workspace...>(),
};

}  // namespace
}  // namespace DNNCORE_ISA

#define DNN_CONCAT_(a, b) a##b
#define DNN_CONCAT(a, b) DNN_CONCAT_(a, b)
#define DNN_STRING_(a) #a
#define DNN_STRING(a) DNN_STRING_(a)

extern "C" __attribute__((visibility("default"))) const CpuTable DNN_CONCAT(dnncore_table_, DNNCORE_ISA);
const CpuTable DNN_CONCAT(dnncore_table_, DNNCORE_ISA) = {
    DNN_STRING(DNNCORE_ISA),
    {
#define DOT_KERNEL(name, Args) DNNCORE_ISA::erased<Args, DNNCORE_ISA::name, DNNCORE_ISA::name##_schedule>,
#define DOT_WORKSPACE_KERNEL(name, Args) \
  DNNCORE_ISA::erased<Args, DNNCORE_ISA::name, DNNCORE_ISA::name##_schedule, DNNCORE_ISA::name##_workspace>,
#ifdef DNNCORE_DOT_KERNELS_ONLY  // the rest is filled in from the table this one extends
#define KERNEL(name, Args) CpuKernel{},
#define WORKSPACE_KERNEL(name, Args) CpuKernel{},
#else
#define KERNEL(name, Args) DOT_KERNEL(name, Args)
#define WORKSPACE_KERNEL(name, Args) DOT_WORKSPACE_KERNEL(name, Args)
#endif
#include "kernels/kernels.def"
    },
    DNNCORE_ISA::gemm_packed_bytes,
};

}  // namespace dnncore
