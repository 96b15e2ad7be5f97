// Blocks of a device: the front of the smallest free range that holds them, in multiples of 512 bytes, of segments taken from the device.
// Small blocks have segments of their own, so that they do not cut up the large ones.
#include "core/devices.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "core/free_ranges.h"
#include "core/launch.h"

namespace dnncore {

#ifdef DNNCORE_HAS_emulated
DeviceModule* emulated_module();  // cuda/emulator
#endif

namespace devices {
namespace {

using memory::FreeRanges;
using memory::Range;

constexpr size_t kGrain = 512;
constexpr size_t kLargestSmall = size_t{1} << 20;
constexpr size_t kSmallSegment = size_t{2} << 20, kLargeSegment = size_t{20} << 20;

// DNNCORE_CUDA_CACHE=0: the device gives every block by itself, to the byte, and has it back at once, so that a checker of memory knows
// where each begins and ends.
bool caches() {
  static const bool found = [] {
    const char* wish = std::getenv("DNNCORE_CUDA_CACHE");
    return wish == nullptr || std::strcmp(wish, "0") != 0;
  }();
  return found;
}

constexpr size_t round_up(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

// The last grain of a segment is never handed out, so that free ranges of two segments never touch.
struct Segment {
  Range whole;
  Range usable() const { return {whole.data, whole.bytes - kGrain}; }
};

struct Pool {
  std::mutex lock;
  FreeRanges small, large;
  std::vector<Segment> segments;  // in the order of their addresses
  std::vector<Range> adopted;     // of other libraries, in no order
  MemoryStats stats{};
};

struct Loaded {
  DeviceModule* module = nullptr;
  int count = 0;
  std::string reason;
  std::vector<std::unique_ptr<Pool>> pools;
};

#ifdef DNNCORE_HAS_emulated
DeviceModule* load(std::string&) { return emulated_module(); }
#else
// Beside the library that this code is in.
std::string module_path() {
  static const char here = 0;
  Dl_info found{};
  if (dladdr(&here, &found) == 0 || found.dli_fname == nullptr) return "_cuda.so";
  const std::string path = found.dli_fname;
  return path.substr(0, path.rfind('/') + 1) + "_cuda.so";
}

DeviceModule* load(std::string& reason) {
  const std::string path = module_path();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    reason =
        access(path.c_str(), F_OK) == 0 ? concat("the CUDA kernels cannot be loaded: ", dlerror()) : "the CUDA kernels are not installed";
    return nullptr;
  }
  const auto entry = reinterpret_cast<DeviceModuleEntry>(dlsym(library, kDeviceModuleEntry));
  DeviceModule* const found = entry == nullptr ? nullptr : entry();
  if (found != nullptr && std::string(found->version()) == DNNCORE_VERSION) return found;
  reason = concat("the CUDA kernels in ", path, " are of another version than dnncore ", DNNCORE_VERSION);
  return nullptr;
}
#endif

std::atomic<bool> forked{false};
std::atomic<const std::byte*> lowest{reinterpret_cast<const std::byte*>(UINTPTR_MAX)}, highest{nullptr};  // of all memory there has been
const std::string kForked =
    "this process was forked from one that had used it, and CUDA does not live on there; start processes by 'spawn', or before CUDA is "
    "used";
thread_local Device chosen{DeviceType::CUDA, 0};

// Never destroyed: tensors die after static destructors have run.
Loaded& loaded() {
  static Loaded* const found = [] {
    auto* result = new Loaded;
    result->module = load(result->reason);
    if (result->module == nullptr) return result;
    result->count = result->module->count();
    if (result->count == 0) result->reason = result->module->reason();
    for (int i = 0; i < result->count; ++i) result->pools.push_back(std::make_unique<Pool>());
    detail::devices_used.store(result->count > 0, std::memory_order_release);
    pthread_atfork(nullptr, nullptr, [] { forked.store(detail::devices_used.load()); });
    return result;
  }();
  return *found;
}

// Under the pool's lock, of any device.
void note(const Range& range) {
  for (const std::byte* now = lowest; range.data < now && !lowest.compare_exchange_weak(now, range.data);) {
  }
  for (const std::byte* now = highest; range.end() > now && !highest.compare_exchange_weak(now, range.end());) {
  }
}

Pool& pool_of(Device device) { return *loaded().pools[static_cast<size_t>(device.index)]; }

[[noreturn]] void refuse(Device device, size_t bytes) {
  const MemoryStats now = stats(device);
  const DeviceProperties properties = loaded().module->properties(device.index);
  size_t largest = 0;
  const auto see = [&](const Range& range) { largest = std::max(largest, range.bytes); };
  {
    Pool& pool = pool_of(device);
    std::lock_guard guard(pool.lock);
    pool.small.for_each(see), pool.large.for_each(see);
  }
  throw MemoryError(concat("allocate: ", readable(static_cast<int64_t>(std::min<size_t>(bytes, INT64_MAX))), " requested on ", device, "; ",
                           readable(now.allocated_bytes), " held by tensors, ", readable(now.reserved_bytes - now.allocated_bytes),
                           " kept (the largest block ", readable(static_cast<int64_t>(largest)), "), ", readable(properties.free_bytes),
                           " of ", readable(properties.total_bytes), " free"));
}

// What a block of so many bytes takes of its pool.
size_t size_of(size_t bytes) { return caches() ? std::max(kGrain, round_up(bytes, kGrain)) : std::max<size_t>(bytes, 1); }

// Under the pool's lock.
std::byte* grow(Pool& pool, Device device, size_t bytes, bool is_small) {
  const size_t wanted = !caches() ? bytes : is_small ? kSmallSegment : std::max(kLargeSegment, round_up(bytes + kGrain, kSmallSegment));
  void* const data = loaded().module->allocate(device.index, wanted);
  if (data == nullptr) return nullptr;
  const Segment segment{{static_cast<std::byte*>(data), wanted}};
  const auto before = [](const Segment& a, const Segment& b) { return a.whole.data < b.whole.data; };
  note(segment.whole);
  pool.segments.insert(std::upper_bound(pool.segments.begin(), pool.segments.end(), segment, before), segment);
  pool.stats.reserved_bytes += static_cast<int64_t>(wanted);
  ++pool.stats.system_allocations;
  if (!caches()) return segment.whole.data;
  FreeRanges& ranges = is_small ? pool.small : pool.large;
  ranges.add(segment.usable());
  return ranges.take(bytes);
}

using SegmentAt = std::vector<Segment>::iterator;

// Under the pool's lock.
void give_back(Pool& pool, Device device, SegmentAt at) {
  loaded().module->release(device.index, at->whole.data, at->whole.bytes);
  pool.stats.reserved_bytes -= static_cast<int64_t>(at->whole.bytes);
  pool.segments.erase(at);
}

// Under the pool's lock: whole segments that are free go back to the device.
void release_idle(Pool& pool, Device device, FreeRanges& ranges) {
  std::vector<Range> kept;
  for (Range range = ranges.pop(); range.bytes != 0; range = ranges.pop()) {
    const auto at = std::find_if(pool.segments.begin(), pool.segments.end(), [&](const Segment& segment) {
      return segment.usable().data == range.data && segment.usable().bytes == range.bytes;
    });
    if (at == pool.segments.end()) {
      kept.push_back(range);
      continue;
    }
    give_back(pool, device, at);
  }
  for (const Range& range : kept) ranges.add(range);
}

}  // namespace

int count() { return forked ? 0 : loaded().count; }
const std::string& reason() { return forked ? kForked : loaded().reason; }

DeviceModule& module(const char* op, Device device) {
  DNN_CHECK(count() > 0, StateError, op, ": ", device, " cannot be used: ", reason());
  const Loaded& found = loaded();
  DNN_CHECK(device.index >= 0 && device.index < found.count, StateError, op, ": ", device, " cannot be used: there ",
            found.count == 1 ? "is one device" : concat("are ", found.count, " devices"));
  return *found.module;
}

Device current() { return chosen; }
void set_current(const char* op, Device device) {
  module(op, device);
  chosen = device;
}

void* allocate(Device device, size_t bytes) {
  module("allocate", device);
  Pool& pool = pool_of(device);
  const size_t size = size_of(bytes);
  const bool is_small = size <= kLargestSmall;
  {
    std::lock_guard guard(pool.lock);
    std::byte* data = size < bytes ? nullptr : (is_small ? pool.small : pool.large).take(size);
    if (data == nullptr && size >= bytes) data = grow(pool, device, size, is_small);
    if (data == nullptr && size >= bytes) {
      loaded().module->synchronize(device.index);
      release_idle(pool, device, pool.small), release_idle(pool, device, pool.large);
      data = grow(pool, device, size, is_small);
    }
    if (data != nullptr) {
      ++pool.stats.allocations;
      pool.stats.allocated_bytes += static_cast<int64_t>(size);
      pool.stats.peak_allocated_bytes = std::max(pool.stats.peak_allocated_bytes, pool.stats.allocated_bytes);
      return data;
    }
  }
  refuse(device, bytes);
}

void deallocate(Device device, void* data, size_t bytes) noexcept {
  if (forked) return;  // and somebody may have held the lock
  const size_t size = size_of(bytes);
  Pool& pool = pool_of(device);
  std::lock_guard guard(pool.lock);
  pool.stats.allocated_bytes -= static_cast<int64_t>(size);
  if (!caches()) return give_back(pool, device, std::ranges::find(pool.segments, data, [](const Segment& s) { return s.whole.data; }));
  (size <= kLargestSmall ? pool.small : pool.large).put({static_cast<std::byte*>(data), size});
}

void empty_cache(Device device) {
  module("empty_cache", device).synchronize(device.index);
  Pool& pool = pool_of(device);
  std::lock_guard guard(pool.lock);
  release_idle(pool, device, pool.small), release_idle(pool, device, pool.large);
}

MemoryStats stats(Device device) {
  module("memory_stats", device);
  Pool& pool = pool_of(device);
  std::lock_guard guard(pool.lock);
  return pool.stats;
}

void reset_peak_stats(Device device) {
  module("reset_peak_memory_stats", device);
  Pool& pool = pool_of(device);
  std::lock_guard guard(pool.lock);
  pool.stats.peak_allocated_bytes = pool.stats.allocated_bytes;
}

bool holds(Device device, const void* data) {
  Pool& pool = pool_of(device);
  std::lock_guard guard(pool.lock);
  const auto* at = static_cast<const std::byte*>(data);
  const auto next = std::upper_bound(pool.segments.begin(), pool.segments.end(), at,
                                     [](const std::byte* p, const Segment& segment) { return p < segment.whole.data; });
  if (next != pool.segments.begin() && at < std::prev(next)->whole.end()) return true;
  return std::any_of(pool.adopted.begin(), pool.adopted.end(), [&](const Range& range) { return range.data <= at && at < range.end(); });
}

bool holds(const void* data) {
  const auto* at = static_cast<const std::byte*>(data);
  if (at < lowest || at >= highest || forked) return false;
  for (int i = 0; i < loaded().count; ++i)
    if (holds(Device{DeviceType::CUDA, static_cast<int8_t>(i)}, data)) return true;
  return false;
}

void adopt(Device device, const void* data, size_t bytes) {
  Pool& pool = pool_of(device);
  std::lock_guard guard(pool.lock);
  pool.adopted.push_back({static_cast<std::byte*>(const_cast<void*>(data)), bytes});
  note(pool.adopted.back());
}

// The library may hand the memory out again at once: what is queued here must have read it.
void disown(Device device, const void* data, size_t bytes) noexcept {
  if (forked) return;
  try {
    loaded().module->synchronize(device.index);
  } catch (const StateError&) {
    // the device is lost, and whatever used it
  }
  Pool& pool = pool_of(device);
  std::lock_guard guard(pool.lock);
  // Several may begin at one address: views of one array.
  pool.adopted.erase(std::find_if(pool.adopted.begin(), pool.adopted.end(),
                                  [&](const Range& range) { return range.data == data && range.bytes == bytes; }));
}

void settle(Device device) noexcept {
  if (forked) return;
  try {
    loaded().module->settle(device.index);
  } catch (const StateError&) {
    // the device is lost
  }
}

void order(Device device, void* first, void* then) {
  DeviceModule& module = devices::module("order", device);
  void* const event = module.new_event(device.index, false);
  try {
    module.record(device.index, event, first);
    module.wait(device.index, event, then);
  } catch (...) {
    module.delete_event(device.index, event);
    throw;
  }
  module.delete_event(device.index, event);
}

}  // namespace devices
}  // namespace dnncore
