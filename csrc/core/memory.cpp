// Size classes: eight per doubling, so that at most 12.5 % is wasted. Three ranges of classes:
//   small  up to 256 KiB   carved from slabs of 2 MiB
//   medium below 2 MiB     carved from slabs of 16 MiB (one 2 MiB slab would hold a single block of 1.1 MiB)
//   large  from 2 MiB on   one mapping each
// A slab starts with its header and is found from a block by masking the address. It is carved front to back, so that pages no
// block has reached yet are never touched.
#include "core/memory.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>

#include "core/cgroup.h"
#include "core/check.h"
#include "core/spin_lock.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace dnncore::memory {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLargestSmall = size_t{256} << 10;
constexpr size_t kMediumSlab = size_t{16} << 20;
constexpr int kClasses = 8 * 40;  // up to 2^48 bytes

struct SizeClass {
  int index;
  size_t bytes;  // of its blocks
};

// In units of 64 bytes: classes 0..7 are 1..8 units, class 8 (s + 1) + j is (9 + j) << s units.

SizeClass size_class(size_t bytes) {
  const size_t units = (bytes + kAlignment - 1) / kAlignment;
  if (units <= 8) return {static_cast<int>(units) - 1, units * kAlignment};
  const int shift = std::bit_width(units - 1) - 4;  // of the step between classes
  const size_t steps = ((units - 1) >> shift) + 1;  // 9..16
  return {8 * shift + static_cast<int>(steps) - 1, (steps << shift) * kAlignment};
}

size_t class_bytes(int index) {
  const size_t units = index < 8 ? index + 1 : static_cast<size_t>(index % 8 + 9) << (index / 8 - 1);
  return units * kAlignment;
}

struct Link {
  Link* next;
};
// Free blocks are poisoned for AddressSanitizer, their link is ours all the same.
__attribute__((no_sanitize("address"))) Link* next_of(Link* block) { return block->next; }
__attribute__((no_sanitize("address"))) void set_next(Link* block, Link* next) { block->next = next; }

struct alignas(kAlignment) Slab {
  Link* free;       // returned blocks
  uint32_t carved;  // blocks handed out at least once
  uint32_t live;    // blocks handed out now
  uint32_t capacity;
  bool listed;  // in its class's list
  Slab* next;   // of the class: slabs with room
  Slab* previous;
  size_t slab_bytes;
};
static_assert(sizeof(Slab) == kAlignment);

size_t slab_bytes(size_t block_bytes) { return block_bytes <= kLargestSmall ? kHugePage : kMediumSlab; }

struct Allocator {
  SpinLock lock;
  Slab* slabs[kClasses] = {};  // small and medium: with a free or uncarved block
  Link* large[kClasses] = {};  // kept blocks, the last returned first
  MemoryStats stats = {};
  int64_t failures_in = 0;
};
// Never destroyed: Python objects die after static destructors have run.
constinit Allocator allocator;
alignas(kAlignment) std::byte nothing[kAlignment];

int64_t machine_bytes() {
  static const int64_t bytes = [] {
    struct sysinfo info = {};
    sysinfo(&info);
    return std::min(static_cast<int64_t>(info.totalram + info.totalswap) * static_cast<int64_t>(info.mem_unit), cgroup::memory_limit());
  }();
  return bytes;
}

void* map_aligned(size_t bytes, size_t alignment) {
  const size_t padded = bytes + alignment;
  void* mapping = mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(mapping);
  const uintptr_t aligned = (begin + alignment - 1) & ~(alignment - 1);
  if (aligned != begin) munmap(mapping, aligned - begin);
  const size_t tail = begin + padded - (aligned + bytes);
  if (tail != 0) munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  void* data = reinterpret_cast<void*>(aligned);
  madvise(data, bytes, MADV_HUGEPAGE);  // refused where the system has no huge pages: then small ones serve
  return data;
}

void unmap(void* data, size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  munmap(data, bytes);
}

// Memory from the system, already counted as reserved; nullptr when the machine has no more. Called without the lock.
void* reserve(size_t bytes, size_t alignment) {
  {
    std::lock_guard guard(allocator.lock);
    if (static_cast<int64_t>(bytes) > machine_bytes() - allocator.stats.reserved_bytes) return nullptr;
    allocator.stats.reserved_bytes += static_cast<int64_t>(bytes);
    ++allocator.stats.system_allocations;
  }
  void* data = map_aligned(bytes, alignment);
  if (data == nullptr) {
    std::lock_guard guard(allocator.lock);
    allocator.stats.reserved_bytes -= static_cast<int64_t>(bytes);
    --allocator.stats.system_allocations;
  }
  return data;
}

void unlist(Slab* slab, int index) {
  (slab->previous != nullptr ? slab->previous->next : allocator.slabs[index]) = slab->next;
  if (slab->next != nullptr) slab->next->previous = slab->previous;
  slab->listed = false;
}

void list(Slab* slab, int index) {
  slab->previous = nullptr;
  slab->next = allocator.slabs[index];
  if (slab->next != nullptr) slab->next->previous = slab;
  allocator.slabs[index] = slab;
  slab->listed = true;
}

void* take_from_slab(SizeClass size) {
  Slab* slab = allocator.slabs[size.index];
  if (slab == nullptr) return nullptr;
  void* block = slab->free;
  if (block != nullptr)
    slab->free = next_of(slab->free);
  else
    block = reinterpret_cast<std::byte*>(slab + 1) + size.bytes * slab->carved++;
  if (++slab->live == slab->capacity) unlist(slab, size.index);
  return block;
}

void return_to_slab(void* data, SizeClass size) {
  auto* slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(data) & ~(slab_bytes(size.bytes) - 1));
  auto* block = static_cast<Link*>(data);
  set_next(block, slab->free);
  slab->free = block;
  --slab->live;
  if (!slab->listed) list(slab, size.index);
}

void* take_large(SizeClass size) {
  Link* block = allocator.large[size.index];
  if (block != nullptr) allocator.large[size.index] = next_of(block);
  return block;
}

void* take(SizeClass size) { return size.bytes < kHugePage ? take_from_slab(size) : take_large(size); }

// A block of a class that has none: a new slab or mapping.
void* take_from_system(SizeClass size) {
  if (size.bytes >= kHugePage) return reserve(size.bytes, kHugePage);
  const size_t bytes = slab_bytes(size.bytes);
  void* data = reserve(bytes, bytes);
  if (data == nullptr) return nullptr;
  auto* slab = new (data) Slab{};
  slab->capacity = static_cast<uint32_t>((bytes - sizeof(Slab)) / size.bytes);
  slab->slab_bytes = bytes;
  ASAN_POISON_MEMORY_REGION(slab + 1, bytes - sizeof(Slab));
  std::lock_guard guard(allocator.lock);
  list(slab, size.index);
  return take_from_slab(size);
}

std::string readable(int64_t bytes) {
  constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  int unit = 0;
  auto amount = static_cast<double>(bytes);
  for (; amount >= 1024 && unit < 6; ++unit) amount /= 1024;
  std::ostringstream out;
  out.precision(unit == 0 ? 0 : 1);
  out << std::fixed << amount << ' ' << units[unit];
  return out.str();
}

[[noreturn]] void refuse(size_t bytes) {
  const MemoryStats now = stats();
  const int64_t kept = now.reserved_bytes - now.allocated_bytes;
  throw MemoryError(concat("allocate: ", readable(static_cast<int64_t>(std::min<size_t>(bytes, INT64_MAX))), " requested; ",
                           readable(now.allocated_bytes), " held by tensors, ", readable(kept), " kept, machine has ",
                           readable(machine_bytes())));
}

// Under the lock: one allocation is being made.
void account(SizeClass size) {
  ++allocator.stats.allocations;
  allocator.stats.allocated_bytes += static_cast<int64_t>(size.bytes);
  allocator.stats.peak_allocated_bytes = std::max(allocator.stats.peak_allocated_bytes, allocator.stats.allocated_bytes);
}

[[gnu::noinline]] void* allocate_slowly(size_t bytes, SizeClass size) {
  void* data = take_from_system(size);
  if (data == nullptr) {
    empty_cache();
    data = take_from_system(size);
  }
  if (data == nullptr) refuse(bytes);
  std::lock_guard guard(allocator.lock);
  account(size);
  return data;
}

// A forked child has the one thread that called fork(): nobody may hold the lock at that moment.
[[maybe_unused]] const int at_fork =
    pthread_atfork([] { allocator.lock.lock(); }, [] { allocator.lock.unlock(); }, [] { allocator.lock.unlock(); });

}  // namespace

// A size of 0 gives the same valid address every time.
void* allocate(size_t bytes) {
  if (bytes == 0) return nothing;
  if (bytes > static_cast<size_t>(machine_bytes())) refuse(bytes);
  const SizeClass size = size_class(bytes);
  void* data = nullptr;
  bool fails = false;
  {
    std::lock_guard guard(allocator.lock);
    fails = allocator.failures_in > 0 && --allocator.failures_in == 0;
    if (!fails && (data = take(size)) != nullptr) account(size);
  }
  if (fails) refuse(bytes);
  if (data == nullptr) data = allocate_slowly(bytes, size);
  ASAN_POISON_MEMORY_REGION(data, size.bytes);  // a block fresh from the system is not poisoned beyond its end yet
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  return data;
}

void deallocate(void* data, size_t bytes) noexcept {
  if (bytes == 0) return;
  const SizeClass size = size_class(bytes);
  ASAN_POISON_MEMORY_REGION(data, size.bytes);
  std::lock_guard guard(allocator.lock);
  allocator.stats.allocated_bytes -= static_cast<int64_t>(size.bytes);
  if (size.bytes < kHugePage) {
    return_to_slab(data, size);
  } else {
    auto* block = static_cast<Link*>(data);
    set_next(block, allocator.large[size.index]);
    allocator.large[size.index] = block;
  }
}

void empty_cache() noexcept {
  Slab* idle = nullptr;
  Link* large[kClasses];
  {
    std::lock_guard guard(allocator.lock);
    for (int index = 0; index < kClasses; ++index) {
      large[index] = std::exchange(allocator.large[index], nullptr);
      for (Slab *slab = allocator.slabs[index], *next = nullptr; slab != nullptr; slab = next) {
        next = slab->next;
        if (slab->live != 0) continue;
        unlist(slab, index);
        slab->next = std::exchange(idle, slab);
      }
    }
  }
  int64_t freed = 0;
  while (idle != nullptr) {
    Slab* slab = std::exchange(idle, idle->next);
    const size_t bytes = slab->slab_bytes;
    freed += static_cast<int64_t>(bytes);
    unmap(slab, bytes);
  }
  for (int index = 0; index < kClasses; ++index) {
    const size_t bytes = class_bytes(index);
    while (large[index] != nullptr) {
      Link* block = std::exchange(large[index], next_of(large[index]));
      freed += static_cast<int64_t>(bytes);
      unmap(block, bytes);
    }
  }
  std::lock_guard guard(allocator.lock);
  allocator.stats.reserved_bytes -= freed;
}

MemoryStats stats() {
  std::lock_guard guard(allocator.lock);
  return allocator.stats;
}

void reset_peak_stats() {
  std::lock_guard guard(allocator.lock);
  allocator.stats.peak_allocated_bytes = allocator.stats.allocated_bytes;
}

void fail_after(int64_t n) {
  std::lock_guard guard(allocator.lock);
  allocator.failures_in = n;
}

}  // namespace dnncore::memory
