// The devices of the CUDA run time, which is linked statically and finds the driver when it is asked for the first time.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "grid.h"
#include "table.h"

namespace dnncore::cuda {
namespace {

__global__ void probe() {}

std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

class CudaModule final : public DeviceModule {
 public:
  CudaModule() {
    int before = 0;  // the current device is that of other libraries too
    cudaError_t error = cudaGetDeviceCount(&present_);
    if (error == cudaSuccess) error = cudaGetDevice(&before);
    if (error != cudaSuccess) {
      reason_ = why_none(error);
      return;
    }
    if (present_ == 0) reason_ = "there is no CUDA device";
    for (int device = 0; device < present_; ++device)
      if (!admits(device)) break;  // devices after it would change their numbers
    ignore(cudaSetDevice(before));
    streams_.resize(properties_.size());
    awaits_ = std::getenv("DNNCORE_CUDA_SYNC") != nullptr && std::string(std::getenv("DNNCORE_CUDA_SYNC")) == "1";
  }

  const char* version() const override { return DNNCORE_VERSION; }
  int count() const override { return static_cast<int>(properties_.size()); }
  const char* reason() const override { return reason_.c_str(); }

  DeviceProperties properties(int device) override {
    make_current(device);
    DeviceProperties result{};
    const cudaDeviceProp& p = properties_[static_cast<size_t>(device)];
    std::strncpy(result.name, p.name, sizeof result.name - 1);
    result.major = p.major, result.minor = p.minor, result.processors = p.multiProcessorCount;
    size_t free = 0, total = 0;
    must(cudaMemGetInfo(&free, &total), "properties");
    result.total_bytes = static_cast<int64_t>(total), result.free_bytes = static_cast<int64_t>(free);
    return result;
  }

  void* allocate(int device, size_t bytes) override {
    make_current(device);
    void* data = nullptr;
    const cudaError_t error = cudaMalloc(&data, bytes);
    if (error == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());  // not a failure that stays
      return nullptr;
    }
    must(error, "allocate");
    return data;
  }
  void release(int device, void* data, size_t) noexcept override {
    const cudaError_t error = cudaSetDevice(device);
    ignore(error == cudaSuccess ? cudaFree(data) : error);
  }
  void upload(int device, void* to, const void* from, size_t bytes, Wait wait) override {
    must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(device)), "to");
    if (wait == Wait::No) return;
    // Memory that CUDA does not know was staged; that which it knows (pinned, managed) may still be read.
    cudaPointerAttributes attributes{};
    const cudaError_t error = cudaPointerGetAttributes(&attributes, from);
    ignore(error);
    if (error != cudaSuccess || attributes.type != cudaMemoryTypeUnregistered) synchronize(device);
  }
  void download(int device, void* to, const void* from, size_t bytes) override {
    must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(device)), "to");
    synchronize(device);
  }
  void copy(int device, void* to, int from_device, const void* from, size_t bytes) override {
    if (from_device != device) synchronize(from_device);
    must(cudaMemcpyPeerAsync(to, device, from, from_device, bytes, stream_of(device)), "to");
    if (from_device != device) synchronize(device);  // `from` may be written next
  }
  void clear(int device, void* data, size_t bytes) override { must(cudaMemsetAsync(data, 0, bytes, stream_of(device)), "clear"); }
  void synchronize(int device) override { must(cudaStreamSynchronize(stream_of(device)), "synchronize"); }
  void settle(int device) override {
    make_current(device);
    must(cudaDeviceSynchronize(), "synchronize");
  }
  void* stream(int device) override { return stream_of(device); }
  bool idle(int device) override { return is_done(cudaStreamQuery(stream_of(device)), "query"); }

  void* new_event(int device, bool timing) override {
    make_current(device);
    cudaEvent_t event = nullptr;
    must(cudaEventCreateWithFlags(&event, timing ? cudaEventDefault : cudaEventDisableTiming), "Event");
    return event;
  }
  void delete_event(int, void* event) noexcept override { ignore(cudaEventDestroy(static_cast<cudaEvent_t>(event))); }
  void record(int device, void* event, void* stream) override {
    must(cudaEventRecord(static_cast<cudaEvent_t>(event), stream_or_own(device, stream)), "Event.record");
  }
  void wait(int device, void* event, void* stream) override {
    must(cudaStreamWaitEvent(stream_or_own(device, stream), static_cast<cudaEvent_t>(event), 0), "Event.wait");
  }
  bool happened(int, void* event) override { return is_done(cudaEventQuery(static_cast<cudaEvent_t>(event)), "Event.query"); }
  void await(int, void* event) override { must(cudaEventSynchronize(static_cast<cudaEvent_t>(event)), "Event.synchronize"); }
  double milliseconds(int, void* from, void* to) override {
    float found = 0;
    must(cudaEventElapsedTime(&found, static_cast<cudaEvent_t>(from), static_cast<cudaEvent_t>(to)), "Event.elapsed_time");
    return found;
  }

  void* allocate_pinned(size_t bytes) override {
    void* data = nullptr;
    const cudaError_t error = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
    if (error == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());  // not a failure that stays
      return nullptr;
    }
    must(error, "pin_memory");
    return data;
  }
  void release_pinned(void* data) noexcept override { ignore(cudaFreeHost(data)); }

  const DeviceTable& table() const override { return cuda::table(); }
  void launch(int kernel, const void* args, int device) override {
    const cudaStream_t stream = stream_of(device);
    try {
      cuda::table().kernels[kernel].launch(args, stream);
    } catch (const StateError&) {
      must(cudaGetLastError(), kernel::kNames[kernel]);          // what it left: the next launch must not find it
      is_done(cudaStreamQuery(stream), kernel::kNames[kernel]);  // the failure of a kernel before, which it met, is told as that
      throw;
    }
    must(cudaPeekAtLastError(), kernel::kNames[kernel]);
    if (awaits_) must(cudaStreamSynchronize(stream), kernel::kNames[kernel]);
  }

 private:
  static std::string why_none(cudaError_t error) {
    static_cast<void>(cudaGetLastError());
    int driver = 0, runtime = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    if (error == cudaErrorInsufficientDriver && driver == 0) return "there is no NVIDIA driver";
    if (error == cudaErrorInsufficientDriver)
      return "the NVIDIA driver is too old: it serves CUDA " + version_text(driver) + ", these kernels need " + version_text(runtime);
    return cudaGetErrorString(error);
  }

  // Of calls that may fail: the next launch must not find the error.
  static void ignore(cudaError_t error) {
    if (error != cudaSuccess) static_cast<void>(cudaGetLastError());
  }

  // Notes the properties of a device, or why it cannot be used.
  bool admits(int device) {
    cudaDeviceProp properties{};
    cudaFuncAttributes attributes{};
    cudaError_t error = cudaGetDeviceProperties(&properties, device);
    // To ask makes a context, which takes hundreds of megabytes of the device: one of each kind is asked.
    const bool known = std::any_of(properties_.begin(), properties_.end(), [&](const cudaDeviceProp& other) {
      return other.major == properties.major && other.minor == properties.minor;
    });
    if (error == cudaSuccess && !known) error = cudaSetDevice(device);
    if (error == cudaSuccess && !known) error = cudaFuncGetAttributes(&attributes, probe);
    ignore(error);
    if (error == cudaSuccess) {
      properties_.push_back(properties);
      return true;
    }
    reason_ = properties.name;
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction)
      reason_ += " has compute capability " + std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                 ", which these kernels were not built for";
    else
      reason_ += std::string(": ") + cudaGetErrorString(error);
    return false;
  }

  void make_current(int device) {
    thread_local int current = -1;
    if (current == device && present_ == 1) return;  // of several, another library may have chosen another
    must(cudaSetDevice(device), "cuda");
    current = device;
  }

  // One stream per device, made when it is first needed.
  cudaStream_t stream_of(int device) {
    make_current(device);
    std::lock_guard guard(lock_);
    cudaStream_t& stream = streams_[static_cast<size_t>(device)];
    if (stream == nullptr) must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cuda");
    return stream;
  }

  cudaStream_t stream_or_own(int device, void* stream) {
    const cudaStream_t own = stream_of(device);
    return stream == nullptr ? own : static_cast<cudaStream_t>(stream);
  }

  bool is_done(cudaError_t error, const char* what) {
    if (error == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());
      return false;
    }
    must(error, what);
    return true;
  }

  // A kernel that failed leaves the process's devices unusable: every later call says which it was.
  void must(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    std::lock_guard guard(failure_lock_);
    ignore(error);
    if (!failure_.empty()) throw StateError(std::string(what) + ": CUDA cannot be used any more in this process since " + failure_);
    std::string message = std::string(what) + ": " + cudaGetErrorString(error);
    if (cudaDeviceSynchronize() != cudaSuccess) {  // it stays
      failure_ = message;
      if (!awaits_) message += " (queued work reports late: DNNCORE_CUDA_SYNC=1 names the kernel)";
    }
    throw StateError(message);
  }

  std::vector<cudaDeviceProp> properties_;
  std::vector<cudaStream_t> streams_;
  std::mutex lock_, failure_lock_;
  std::string reason_, failure_;
  int present_ = 0;  // usable or not
  bool awaits_ = false;
};

}  // namespace
}  // namespace dnncore::cuda

extern "C" __attribute__((visibility("default"))) dnncore::DeviceModule* dnncore_device_module() {
  static auto* const module = new dnncore::cuda::CudaModule;
  return module;
}
