// The CUDA kernels as `_cuda.so` offers them, timed with events on its own stream.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/device_module.h"
#include "kernels/contracts.h"

namespace dnncore::bench {

inline void check(cudaError_t error, const char* what) {
  DNN_CHECK(error == cudaSuccess, StateError, what, ": ", cudaGetErrorString(error));
}

DeviceModule& device_module();  // device 0 of the library that load_module() was given
cudaStream_t stream();
void load_module(const std::string& path);

// Device memory of normal numbers (of Float32, BFloat16 or Float16), or of zeros.
enum class Fill : uint8_t { Zero, Normal };
class Buffer {
 public:
  explicit Buffer(int64_t count, DType dtype = DType::Float32, Fill fill = Fill::Normal);
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();
  void* data() const { return data_; }

 private:
  void* data_;
  size_t bytes_;
};
// sqrt(sum (a - b)^2 / sum b^2)
double difference(const Buffer& a, const Buffer& b, int64_t count, DType dtype);

using Run = std::function<void()>;
// A launch with the workspace that it asks for, which lives as long as the function.
template <class Args>
Run launch_of(KernelId<Args> id, Args args) {
  const DeviceKernel& kernel = device_module().table().kernels[id.index];
  DNN_CHECK(kernel.launch != nullptr, StateError, id.name, ": the module has no such kernel");
  std::shared_ptr<Buffer> workspace;
  if constexpr (requires { args.workspace_bytes; }) {
    args.workspace_bytes = kernel.workspace == nullptr ? 0 : kernel.workspace(&args);
    if (args.workspace_bytes > 0) {
      workspace = std::make_shared<Buffer>(args.workspace_bytes, DType::UInt8, Fill::Zero);
      args.workspace = workspace->data();
    }
  }
  return [id, args, workspace] { device_module().launch(id.index, &args, 0); };
}

// Floating-point operations, those of halves in the tensor cores, or bytes (each read and each written once).
struct Work {
  enum Kind { Flop, HalfFlop, Bytes } kind;
  double amount;
};
struct Timed {
  std::string name;
  Run run;
};
// Times all in turn, round by round (ours first), and writes a row: milliseconds (the median), rate, share of the ceiling, share of
// each peer's rate. `error`: of our result, where something is known to compare with; negative: nothing is.
void row(const std::string& family, const std::string& name, const Work& work, const std::vector<Timed>& timed, double error = -1);
// As row(), of which a failure is written too and stops nothing.
void attempt(const std::string& family, const std::string& name, const std::function<void()>& body);

struct Ceilings {
  double copy = 0, fma = 0, mma = 0;  // bytes, operations per second
};
const Ceilings& ceilings();  // measured when first asked for

void write_json(const std::string& path);
bool time_is_up();
void set_seconds(double seconds);

// One per file.
void gemm_rows();
void conv_rows();
void memory_rows();

}  // namespace dnncore::bench
