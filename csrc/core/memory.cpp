// Small blocks, up to 256 KiB: size classes, eight per doubling, so that at most 12.5 % is wasted, carved from slabs of 2 MiB. A slab
// starts with its header and is found from a block by masking the address. It is carved front to back, so that pages no block has
// reached yet are never touched.
//
// Large blocks: the front of the smallest free range that holds them, of a region that grows at its end by no more than is missing;
// ranges given back join their neighbours. Classes of their own for large blocks, none of which served another, took 1,120 MB from the
// system for the 450 MB that a training step of GoogLeNet holds at most.
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
#include "core/free_ranges.h"
#include "core/spin_lock.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace dnncore {

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

namespace memory {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;  // and the size of a slab
constexpr size_t kLargestSmall = size_t{256} << 10;
constexpr size_t kGrain = size_t{32} << 10;  // of large blocks
constexpr int kClasses = 80;
constexpr int kLarge = kClasses;
constexpr uintptr_t kRegion = uintptr_t{32} << 40;  // where large blocks begin if the system has nothing there: far from all it maps

struct Size {
  int index;     // of the class, or kLarge
  size_t bytes;  // of the block
};

constexpr size_t round_up(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

// In units of 64 bytes: classes 0..7 are 1..8 units, class 8 (s + 1) + j is (9 + j) << s units.
Size block_size(size_t bytes) {
  if (bytes > kLargestSmall) return {kLarge, round_up(bytes, kGrain)};
  const size_t units = (bytes + kAlignment - 1) / kAlignment;
  if (units <= 8) return {static_cast<int>(units) - 1, units * kAlignment};
  const int shift = std::bit_width(units - 1) - 4;  // of the step between classes
  const size_t steps = ((units - 1) >> shift) + 1;  // 9..16
  return {8 * shift + static_cast<int>(steps) - 1, (steps << shift) * kAlignment};
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
};
static_assert(sizeof(Slab) == kAlignment);

struct Allocator {
  SpinLock lock;
  std::mutex growth;           // of the region; taken before the lock
  Slab* slabs[kClasses] = {};  // with a free or uncarved block
  FreeRanges large;
  std::byte* top = nullptr;  // of the region: where it grows
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

void* map(void* wanted, size_t bytes) {
  void* mapping = mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return mapping == MAP_FAILED ? nullptr : mapping;
}

void* map_aligned(size_t bytes) {
  const size_t padded = bytes + kHugePage;
  void* mapping = map(nullptr, padded);
  if (mapping == nullptr) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(mapping);
  const uintptr_t aligned = round_up(begin, kHugePage);
  if (aligned != begin) munmap(mapping, aligned - begin);
  const size_t tail = begin + padded - (aligned + bytes);
  if (tail != 0) munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  return reinterpret_cast<void*>(aligned);
}

// There, or nowhere.
void* map_at(void* wanted, size_t bytes) {
  void* mapping = map(wanted, bytes);
  if (mapping == wanted || mapping == nullptr) return mapping;
  munmap(mapping, bytes);
  return nullptr;
}

void unmap(void* data, size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  munmap(data, bytes);
  std::lock_guard guard(allocator.lock);
  allocator.stats.reserved_bytes -= static_cast<int64_t>(bytes);
}

// `bytes` more from the system by `mapper`, counted as reserved; nullptr when there are no more. Called without the lock.
template <typename Mapper>
std::byte* reserve(size_t bytes, Mapper mapper) {
  {
    std::lock_guard guard(allocator.lock);
    if (static_cast<int64_t>(bytes) > machine_bytes() - allocator.stats.reserved_bytes) return nullptr;
    allocator.stats.reserved_bytes += static_cast<int64_t>(bytes);
    ++allocator.stats.system_allocations;
  }
  void* data = mapper(bytes);
  if (data == nullptr) {
    std::lock_guard guard(allocator.lock);
    allocator.stats.reserved_bytes -= static_cast<int64_t>(bytes);
    --allocator.stats.system_allocations;
    return nullptr;
  }
  madvise(data, bytes, MADV_HUGEPAGE);  // refused where the system has no huge pages: then small ones serve
  ASAN_POISON_MEMORY_REGION(data, bytes);
  return static_cast<std::byte*>(data);
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

void* take_from_slab(Size size) {
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

void return_to_slab(void* data, Size size) {
  auto* slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(data) & ~(kHugePage - 1));
  auto* block = static_cast<Link*>(data);
  set_next(block, slab->free);
  slab->free = block;
  --slab->live;
  if (!slab->listed) list(slab, size.index);
}

void* take(Size size) { return size.index == kLarge ? allocator.large.take(size.bytes) : take_from_slab(size); }

void* take_from_new_slab(Size size) {
  std::byte* data = reserve(kHugePage, map_aligned);
  if (data == nullptr) return nullptr;
  ASAN_UNPOISON_MEMORY_REGION(data, sizeof(Slab));
  auto* slab = new (data) Slab{};
  slab->capacity = static_cast<uint32_t>((kHugePage - sizeof(Slab)) / size.bytes);
  std::lock_guard guard(allocator.lock);
  list(slab, size.index);
  return take_from_slab(size);
}

// Under the lock: where the region grows. It begins at an address that differs from run to run, as this library's own does.
std::byte* region_top() {
  if (allocator.top == nullptr)
    allocator.top = reinterpret_cast<std::byte*>(kRegion + (reinterpret_cast<uintptr_t>(&allocator) & (uintptr_t{0xfffff} * kHugePage)));
  return allocator.top;
}

// Under the lock: the system gets back whole pages of what is free, which come again, empty, when they are used.
void return_pages() {
  allocator.large.for_each([](const Range& range) {
    const uintptr_t begin = round_up(reinterpret_cast<uintptr_t>(range.data), kHugePage);
    const uintptr_t end = reinterpret_cast<uintptr_t>(range.end()) / kHugePage * kHugePage;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  });
}

// What the free range at the end of the region lacks; a range of `bytes` elsewhere if the system has other plans for that address.
bool grow(size_t bytes) {
  std::byte* top = nullptr;
  size_t missing = 0;
  {
    std::lock_guard guard(allocator.lock);
    top = region_top();
    const size_t there = allocator.large.bytes_before(top);
    missing = bytes > there ? round_up(bytes - there, kHugePage) : 0;
    // By an eighth or more: that happens a few times only, and the process never holds much more than its tensors need.
    if (static_cast<int64_t>(missing) >= allocator.stats.reserved_bytes / 8) return_pages();
  }
  if (missing == 0) return true;  // given back meanwhile
  std::byte* data = reserve(missing, [top](size_t more) { return map_at(top, more); });
  if (data == nullptr) data = reserve(missing = round_up(bytes, kHugePage), map_aligned);
  if (data == nullptr) return false;
  std::lock_guard guard(allocator.lock);
  allocator.large.add({data, missing});
  allocator.top = data + missing;
  return true;
}

void* take_from_grown_region(Size size) {
  std::lock_guard growing(allocator.growth);
  while (true) {  // other threads may be faster at taking what was added
    {
      std::lock_guard guard(allocator.lock);
      if (void* data = allocator.large.take(size.bytes)) return data;
    }
    if (!grow(size.bytes)) return nullptr;
  }
}

void* take_from_system(Size size) { return size.index == kLarge ? take_from_grown_region(size) : take_from_new_slab(size); }

[[noreturn]] void refuse(size_t bytes) {
  const MemoryStats now = stats();
  const int64_t kept = now.reserved_bytes - now.allocated_bytes;
  throw MemoryError(concat("allocate: ", readable(static_cast<int64_t>(std::min<size_t>(bytes, INT64_MAX))), " requested; ",
                           readable(now.allocated_bytes), " held by tensors, ", readable(kept), " kept, machine has ",
                           readable(machine_bytes())));
}

// Under the lock: one allocation is being made.
void account(Size size) {
  ++allocator.stats.allocations;
  allocator.stats.allocated_bytes += static_cast<int64_t>(size.bytes);
  allocator.stats.peak_allocated_bytes = std::max(allocator.stats.peak_allocated_bytes, allocator.stats.allocated_bytes);
}

[[gnu::noinline]] void* allocate_slowly(size_t bytes, Size size) {
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
    pthread_atfork([] { allocator.growth.lock(), allocator.lock.lock(); }, [] { allocator.lock.unlock(), allocator.growth.unlock(); },
                   [] { allocator.lock.unlock(), allocator.growth.unlock(); });

}  // namespace

// A size of 0 gives the same valid address every time.
void* allocate(size_t bytes) {
  if (bytes == 0) return nothing;
  if (bytes > static_cast<size_t>(machine_bytes())) refuse(bytes);
  const Size size = block_size(bytes);
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
  const Size size = block_size(bytes);
  ASAN_POISON_MEMORY_REGION(data, size.bytes);
  std::lock_guard guard(allocator.lock);
  allocator.stats.allocated_bytes -= static_cast<int64_t>(size.bytes);
  if (size.index == kLarge)
    allocator.large.put({static_cast<std::byte*>(data), size.bytes});
  else
    return_to_slab(data, size);
}

void empty_cache() noexcept {
  while (true) {
    Range idle{};
    {
      std::lock_guard guard(allocator.lock);
      idle = allocator.large.pop();
      if (idle.end() == allocator.top) allocator.top = idle.data;
    }
    if (idle.bytes == 0) break;
    unmap(idle.data, idle.bytes);
  }
  Slab* idle = nullptr;
  {
    std::lock_guard guard(allocator.lock);
    for (int index = 0; index < kClasses; ++index) {
      for (Slab *slab = allocator.slabs[index], *next = nullptr; slab != nullptr; slab = next) {
        next = slab->next;
        if (slab->live != 0) continue;
        unlist(slab, index);
        slab->next = std::exchange(idle, slab);
      }
    }
  }
  while (idle != nullptr) unmap(std::exchange(idle, idle->next), kHugePage);
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

}  // namespace memory
}  // namespace dnncore
