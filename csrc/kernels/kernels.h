// All contract headers, and an id per kernel that carries the type of its arguments.
#pragma once

#include "kernels/activation.h"
#include "kernels/along.h"
#include "kernels/copy.h"
#include "kernels/cross_entropy.h"
#include "kernels/cumulate.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/index.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise_loss.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "kernels/sort.h"

namespace dnncore {

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
