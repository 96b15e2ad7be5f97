// An id per kernel that carries the type of its arguments; the argument structs are in the contract headers (contracts.h: all of them).
#pragma once

namespace dnncore {

#define KERNEL(name, Args) struct Args;
#include "kernels/kernels.def"

template <class Args>
struct KernelId {
  int index;
  const char* name;
};

namespace kernel {

enum Index : int {
#define KERNEL(name, Args) name##_index,
#include "kernels/kernels.def"
  kCount
};

#define KERNEL(name, Args) inline constexpr KernelId<Args> name{name##_index, #name};
#include "kernels/kernels.def"

inline constexpr const char* kNames[kCount] = {
#define KERNEL(name, Args) #name,
#include "kernels/kernels.def"
};

}  // namespace kernel
}  // namespace dnncore
