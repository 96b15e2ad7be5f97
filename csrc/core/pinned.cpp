#include "core/pinned.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <map>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "core/devices.h"

namespace dnncore::pinned {
namespace {

struct Event {
  Device device;
  void* handle;
};

struct Block {
  size_t bytes = 0;
  bool free = false;
  std::vector<Device> readers;  // of copies since it was handed out
  std::vector<Event> events;    // behind those copies, once it is given back
};

struct Blocks {
  std::mutex lock;
  std::map<std::byte*, Block> all;
};

// Never destroyed: tensors die after static destructors have run.
Blocks& blocks() {
  static auto* const found = new Blocks;
  return *found;
}

std::atomic<bool> any{false};

bool is_read(Block& block) {
  while (!block.events.empty()) {
    const Event event = block.events.back();
    DeviceModule& module = devices::module("pin_memory", event.device);
    if (!module.happened(event.device.index, event.handle)) return true;
    module.delete_event(event.device.index, event.handle);
    block.events.pop_back();
  }
  return false;
}

// Under the lock.
std::map<std::byte*, Block>::iterator block_of(const void* data) {
  auto& all = blocks().all;
  auto* const at = static_cast<std::byte*>(const_cast<void*>(data));
  auto next = all.upper_bound(at);
  if (next == all.begin()) return all.end();
  --next;
  return at < next->first + next->second.bytes ? next : all.end();
}

void give_back_unused(DeviceModule& module) {
  auto& all = blocks().all;
  for (auto at = all.begin(); at != all.end();) {
    const bool unused = at->second.free && !is_read(at->second);
    if (unused) module.release_pinned(at->first);
    at = unused ? all.erase(at) : std::next(at);
  }
}

}  // namespace

void* allocate(const char* op, size_t bytes) {
  DeviceModule& module = devices::module(op, devices::current());
  DNN_CHECK(bytes <= size_t{1} << 48, MemoryError, op, ": ", readable(static_cast<int64_t>(bytes)), " of pinned memory requested");
  const size_t size = std::bit_ceil(std::max<size_t>(bytes, 512));
  std::lock_guard guard(blocks().lock);
  for (auto& [data, block] : blocks().all)
    if (block.free && block.bytes == size && !is_read(block)) {
      block.free = false;
      return data;
    }
  void* data = module.allocate_pinned(size);
  if (data == nullptr) {
    give_back_unused(module);
    data = module.allocate_pinned(size);
  }
  DNN_CHECK(data != nullptr, MemoryError, op, ": ", readable(static_cast<int64_t>(size)),
            " of pinned memory requested, which the host has not");
  blocks().all[static_cast<std::byte*>(data)] = {size, false, {}, {}};
  any.store(true, std::memory_order_release);
  return data;
}

void deallocate(void* data) noexcept {
  if (devices::count() == 0) return;  // a forked child
  std::lock_guard guard(blocks().lock);
  Block& block = block_of(data)->second;
  try {
    for (const Device device : block.readers) {
      DeviceModule& module = devices::module("pin_memory", device);
      block.events.push_back({device, module.new_event(device.index, false)});
      module.record(device.index, block.events.back().handle, nullptr);
    }
    block.readers.clear();
    block.free = true;
  } catch (const std::exception&) {
    // the device is lost: the block is not handed out again
  }
}

bool holds(const void* data) {
  if (!any.load(std::memory_order_acquire) || devices::count() == 0) return false;
  std::lock_guard guard(blocks().lock);
  return block_of(data) != blocks().all.end();
}

void read_by(Device device, const void* data) {
  std::lock_guard guard(blocks().lock);
  auto& readers = block_of(data)->second.readers;
  if (std::find(readers.begin(), readers.end(), device) == readers.end()) readers.push_back(device);
}

}  // namespace dnncore::pinned
