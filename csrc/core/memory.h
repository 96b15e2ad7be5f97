// The caching allocator and the storage built on it.
// Blocks are 64-byte aligned, above 256 KiB on pages, and asked to sit on huge ones. Freed blocks are kept for reuse: a fresh 40 MB
// block costs 18 ms of page faults on the reference machine, a kept one nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/intrusive.h"

namespace dnncore {

inline constexpr size_t kAlignment = 64;

struct MemoryStats {
  int64_t allocated_bytes;       // handed out and not yet returned
  int64_t peak_allocated_bytes;  // its maximum since the start or the last reset
  int64_t reserved_bytes;        // taken from the system: handed out and kept
  int64_t allocations;           // calls of allocate() with a size above zero
  int64_t system_allocations;    // how often memory was taken from the system
};

std::string readable(int64_t bytes);  // "1.5 GiB"

namespace memory {

// `bytes` rounded up to the size of a block. MemoryError names the size, what is held and what the machine has.
void* allocate(size_t bytes);
void deallocate(void* data, size_t bytes) noexcept;
void empty_cache() noexcept;
MemoryStats stats();
void reset_peak_stats();
// Fails the n-th allocation from now (0: never); for tests of out-of-memory behaviour.
void fail_after(int64_t n);

}  // namespace memory

// Who wants to know whether a storage still lives, without keeping it.
class StorageWatch : public RefCounted {
 public:
  bool alive() const { return alive_.load(std::memory_order_acquire); }

 private:
  friend class Storage;
  std::atomic<bool> alive_{true};
};

// A block of memory shared by the tensors that view it.
class Storage : public RefCounted {
 public:
  using Deleter = std::function<void()>;

  explicit Storage(size_t bytes, Device device = {});                                            // owned, uninitialised
  Storage(void* data, size_t bytes, Deleter deleter, bool writable = true, Device device = {});  // foreign (NumPy, DLPack)
  ~Storage() override;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  bool writable() const { return writable_; }
  bool foreign() const { return static_cast<bool>(deleter_); }

  // Written in place: what the tape saved before is stale.
  uint32_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

  // Tensors that are views of another (TensorImpl::mark_view): while there are any, the tape cannot follow an in-place change.
  int32_t views() const { return views_.load(std::memory_order_relaxed); }
  void count_view(int32_t change) { views_.fetch_add(change, std::memory_order_relaxed); }

  // A writable view lives outside (NumPy, DLPack): writes through it change no version.
  bool exported() const { return exported_.load(std::memory_order_relaxed); }
  void mark_exported() { exported_.store(true, std::memory_order_relaxed); }

  // Of the thread that made the storage, before another one sees it.
  Ref<StorageWatch> watch();
  // Every storage alive now; none of them is freed while the list is held.
  static std::vector<Ref<Storage>> all();

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  Device device_;
  bool writable_ = true;
  std::atomic<bool> exported_{false};
  std::atomic<uint32_t> version_{0};
  std::atomic<int32_t> views_{0};
  Deleter deleter_;
  Ref<StorageWatch> watch_;
  Storage *previous_ = nullptr, *next_ = nullptr;  // in the list of all

  void enlist();
  void unlist();
};

}  // namespace dnncore
