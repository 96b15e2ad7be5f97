// The CUDA kernels where no GPU is. As one more instruction set, "emulated", which tests them on the host's memory against the reference;
// there kernels that are not written yet are the reference's. And as one device, cuda:0, whose memory can be touched in launches and copies
// only: a host that follows a device's pointer dies at once, and so does whoever goes past the end of what the device gave.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

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

constexpr size_t kMemory = size_t{4} << 30, kPage = 4096;

class EmulatedModule final : public DeviceModule {
 public:
  const char* version() const override { return DNNCORE_VERSION; }
  int count() const override {
    const char* const wanted = std::getenv("DNNCORE_EMULATOR_DEVICES");
    return wanted == nullptr ? 1 : std::atoi(wanted);
  }
  const char* reason() const override { return "DNNCORE_EMULATOR_DEVICES is 0"; }
  DeviceProperties properties(int) override {
    DeviceProperties found{};
    std::strcpy(found.name, "emulated device");
    found.total_bytes = static_cast<int64_t>(kMemory), found.free_bytes = static_cast<int64_t>(kMemory - held_);
    return found;
  }

  void* allocate(int, size_t bytes) override {
    std::lock_guard guard(lock_);
    const size_t room = pages(bytes);
    if (bytes > kMemory - held_) return nullptr;
    void* const first = mmap(nullptr, room + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (first == MAP_FAILED) return nullptr;
    std::memset(first, 0xff, room);  // NaN, where somebody reads what nobody wrote
    mprotect(first, room + kPage, PROT_NONE);
    held_ += bytes;
    segments_[first] = room;
    return static_cast<std::byte*>(first) + (room - (bytes + 15) / 16 * 16);
  }
  void release(int, void* data, size_t bytes) noexcept override {
    std::lock_guard guard(lock_);
    void* const first = static_cast<std::byte*>(data) - (pages(bytes) - (bytes + 15) / 16 * 16);
    munmap(first, pages(bytes) + kPage);
    held_ -= bytes;
    segments_.erase(first);
  }
  void upload(int, void* to, const void* from, size_t bytes, Wait) override { move(to, from, bytes); }
  void download(int, void* to, const void* from, size_t bytes) override { move(to, from, bytes); }
  void copy(int, void* to, int, const void* from, size_t bytes) override { move(to, from, bytes); }
  void clear(int, void* data, size_t bytes) override {
    const Open open(*this);
    std::memset(data, 0, bytes);
  }
  void synchronize(int) override {}
  void settle(int) override {}
  void* stream(int device) override { return &streams_[device]; }
  bool idle(int) override { return true; }

  void* new_event(int, bool) override { return new Clock::time_point; }
  void delete_event(int, void* event) noexcept override { delete static_cast<Clock::time_point*>(event); }
  void record(int, void* event, void*) override { *static_cast<Clock::time_point*>(event) = Clock::now(); }
  void wait(int, void*, void*) override {}
  bool happened(int, void*) override { return true; }
  void await(int, void*) override {}
  double milliseconds(int, void* from, void* to) override {
    return std::chrono::duration<double, std::milli>(*static_cast<Clock::time_point*>(to) - *static_cast<Clock::time_point*>(from)).count();
  }

  void* allocate_pinned(size_t bytes) override { return bytes > kMemory ? nullptr : std::aligned_alloc(512, bytes); }
  void release_pinned(void* data) noexcept override { std::free(data); }

  const DeviceTable& table() const override { return cuda::table(); }
  void launch(int kernel, const void* args, int) override {
    const char* const failing = std::getenv("DNNCORE_EMULATOR_FAIL");
    if (failing != nullptr && std::strcmp(failing, kernel::kNames[kernel]) == 0)
      throw StateError(concat(kernel::kNames[kernel], ": an illegal memory access was encountered"));
    const Open open(*this);
    cuda::table().kernels[kernel].launch(args, nullptr);
  }

 private:
  using Clock = std::chrono::steady_clock;

  // All memory can be touched while one lives.
  struct Open {
    EmulatedModule& module;
    explicit Open(EmulatedModule& m) : module(m) {
      module.lock_.lock();
      module.protect(PROT_READ | PROT_WRITE);
    }
    ~Open() {
      module.protect(PROT_NONE);
      module.lock_.unlock();
    }
  };
  static size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
  void protect(int protection) {
    for (const auto& [first, room] : segments_) mprotect(first, room, protection);
  }
  void move(void* to, const void* from, size_t bytes) {
    const Open open(*this);
    std::memcpy(to, from, bytes);
  }

  char streams_[128] = {};  // their addresses are the handles
  std::mutex lock_;
  std::map<void*, size_t> segments_;
  size_t held_ = 0;
};

}  // namespace

const CpuTable& emulated_table() {
  static const CpuTable table = table_of(std::make_integer_sequence<int, kernel::kCount>());
  return table;
}

DeviceModule* emulated_module() {
  static auto* const module = new EmulatedModule;
  return module;
}

}  // namespace dnncore
