#include <doctest/doctest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using namespace dnncore;

namespace {

constexpr size_t kSizes[] = {1,      63,      64,      65,      512,           513,     1000,      4096,
                             65'537, 262'144, 262'145, 1 << 20, (1 << 21) - 1, 1 << 21, 5'000'000, 40 << 20};

bool aligned(const void* data, size_t alignment) { return reinterpret_cast<uintptr_t>(data) % alignment == 0; }

}  // namespace

TEST_CASE("blocks are aligned, writable, apart and used again") {
  for (size_t bytes : kSizes) {
    CAPTURE(bytes);
    void* first = memory::allocate(bytes);
    void* second = memory::allocate(bytes);
    std::memset(first, 1, bytes);
    std::memset(second, 2, bytes);
    CHECK(aligned(first, bytes <= (256 << 10) ? kAlignment : 4096));
    CHECK(static_cast<unsigned char*>(first)[bytes - 1] == 1);
    const int64_t system = memory::stats().system_allocations;
    memory::deallocate(first, bytes);
    CHECK(memory::allocate(bytes) == first);
    CHECK(memory::stats().system_allocations == system);
    memory::deallocate(first, bytes);
    memory::deallocate(second, bytes);
  }
}

TEST_CASE("statistics; at most an eighth is wasted") {
  memory::empty_cache();
  const MemoryStats before = memory::stats();
  memory::reset_peak_stats();
  for (size_t bytes : kSizes) {
    const int64_t held = memory::stats().allocated_bytes;
    void* data = memory::allocate(bytes);
    const auto block = static_cast<size_t>(memory::stats().allocated_bytes - held);
    CHECK(block >= bytes);
    CHECK(block <= std::max<size_t>(bytes + 63, bytes + bytes / 8));
    memory::deallocate(data, bytes);
  }
  const MemoryStats after = memory::stats();
  CHECK(after.allocated_bytes == before.allocated_bytes);
  CHECK(after.peak_allocated_bytes >= before.allocated_bytes + (40 << 20));
  CHECK(after.allocations - before.allocations == static_cast<int64_t>(std::size(kSizes)));
  CHECK(after.reserved_bytes > before.reserved_bytes);
  memory::empty_cache();
  CHECK(memory::stats().reserved_bytes == before.reserved_bytes);
}

TEST_CASE("freed large blocks join: they serve larger and smaller ones, and the region grows by what is missing") {
  constexpr size_t mebi = size_t{1} << 20;
  memory::empty_cache();
  const MemoryStats before = memory::stats();
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(memory::allocate(4 * mebi));
  const int64_t reserved = memory::stats().reserved_bytes;
  for (int i : {3, 0, 7, 5, 1, 6, 4, 2}) memory::deallocate(blocks[static_cast<size_t>(i)], 4 * mebi);
  const int64_t system = memory::stats().system_allocations;
  void* whole = memory::allocate(32 * mebi);
  memory::deallocate(whole, 32 * mebi);
  blocks.clear();
  for (int i = 0; i < 100; ++i) blocks.push_back(memory::allocate(320 << 10));
  CHECK(memory::stats().system_allocations == system);
  CHECK(memory::stats().reserved_bytes == reserved);
  for (void* block : blocks) memory::deallocate(block, 320 << 10);
  void* more = memory::allocate(40 * mebi);
  CHECK(memory::stats().reserved_bytes == reserved + static_cast<int64_t>(8 * mebi));
  memory::deallocate(more, 40 * mebi);
  memory::empty_cache();
  CHECK(memory::stats().reserved_bytes == before.reserved_bytes);
}

TEST_CASE("the smallest free range that holds a block serves it") {
  constexpr size_t mebi = size_t{1} << 20;
  memory::empty_cache();
  const size_t sizes[] = {8 * mebi, mebi, 3 * mebi, mebi, 5 * mebi, mebi};  // every second one stays, and keeps its neighbours apart
  std::vector<void*> blocks;
  for (size_t bytes : sizes) blocks.push_back(memory::allocate(bytes));
  for (size_t i : {0, 2, 4}) memory::deallocate(blocks[i], sizes[i]);
  CHECK(memory::allocate(3 * mebi) == blocks[2]);
  CHECK(memory::allocate(4 * mebi) == blocks[4]);
  CHECK(memory::allocate(6 * mebi) == blocks[0]);
  memory::deallocate(blocks[2], 3 * mebi);
  memory::deallocate(blocks[4], 4 * mebi);
  memory::deallocate(blocks[0], 6 * mebi);
  for (size_t i : {1, 3, 5}) memory::deallocate(blocks[i], sizes[i]);
}

TEST_CASE("pages of what is free go back to the system before it is asked for much more") {
  constexpr size_t mebi = size_t{1} << 20;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  memory::empty_cache();
  auto* first = static_cast<std::byte*>(memory::allocate(64 * mebi));
  void* behind = memory::allocate(mebi);
  std::memset(first, 1, 64 * mebi);
  std::vector<unsigned char> resident(64 * mebi / page);
  const auto pages = [&] {
    REQUIRE(mincore(first, 64 * mebi, resident.data()) == 0);
    return std::count_if(resident.begin(), resident.end(), [](unsigned char state) { return (state & 1) != 0; });
  };
  memory::deallocate(first, 64 * mebi);
  CHECK(pages() == static_cast<std::ptrdiff_t>(resident.size()));
  void* larger = memory::allocate(128 * mebi);
  CHECK(pages() <= static_cast<std::ptrdiff_t>(4 * mebi / page));  // parts of huge pages at both ends stay
  CHECK(memory::allocate(64 * mebi) == first);
  memory::deallocate(first, 64 * mebi);
  memory::deallocate(larger, 128 * mebi);
  memory::deallocate(behind, mebi);
}

TEST_CASE("nothing is a valid address") {
  const int64_t allocations = memory::stats().allocations;
  void* data = memory::allocate(0);
  CHECK(data != nullptr);
  CHECK(aligned(data, kAlignment));
  memory::deallocate(data, 0);
  CHECK(memory::stats().allocations == allocations);
}

TEST_CASE("too much is refused before anything is touched") {
  for (size_t bytes : {size_t{1} << 46, size_t{1} << 62, SIZE_MAX - 63, SIZE_MAX}) CHECK_THROWS_AS(memory::allocate(bytes), MemoryError);
  CHECK_THROWS_WITH_AS(memory::allocate(size_t{1} << 46), doctest::Contains("allocate: 64.0 TiB requested; "), MemoryError);
  memory::deallocate(memory::allocate(100), 100);
}

TEST_CASE("fail_after fails exactly one allocation") {
  memory::fail_after(2);
  void* first = memory::allocate(100);
  CHECK_THROWS_AS(memory::allocate(100), MemoryError);
  void* second = memory::allocate(100);
  memory::fail_after(1);
  memory::fail_after(0);
  memory::deallocate(first, 100);
  memory::deallocate(second, 100);
}

TEST_CASE("threads allocate, hand over and free") {
  const int64_t held = memory::stats().allocated_bytes;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<std::pair<unsigned char*, size_t>> blocks;
      for (int i = 0; i < 3000; ++i) {
        const size_t bytes = (size_t{1} << (random() % 22)) + random() % 100;
        auto* data = static_cast<unsigned char*>(memory::allocate(bytes));
        std::memset(data, t, std::min<size_t>(bytes, 64));
        data[bytes - 1] = static_cast<unsigned char>(t);
        blocks.emplace_back(data, bytes);
        if (blocks.size() < 50) continue;
        const size_t victim = random() % blocks.size();
        std::swap(blocks[victim], blocks.back());
        wrong += blocks.back().first[0] != t || blocks.back().first[blocks.back().second - 1] != t;
        memory::deallocate(blocks.back().first, blocks.back().second);
        blocks.pop_back();
        if (i % 500 == 0) memory::empty_cache();
      }
      for (auto [data, bytes] : blocks) memory::deallocate(data, bytes);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(memory::stats().allocated_bytes == held);
}

TEST_CASE("storage owns, or tells the owner") {
  const int64_t held = memory::stats().allocated_bytes;
  bool released = false;
  {
    auto own = make_ref<Storage>(size_t{1000});
    CHECK(own->writable());
    CHECK_FALSE(own->foreign());
    int value = 7;
    auto foreign = make_ref<Storage>(
        &value, sizeof(value), [&] { released = true; }, false);
    CHECK(foreign->foreign());
    CHECK_FALSE(foreign->writable());
    CHECK_FALSE(released);
    CHECK_THROWS_AS(Storage(8, Device{DeviceType::CUDA, 0}), StateError);
  }
  CHECK(released);
  CHECK(memory::stats().allocated_bytes == held);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("AddressSanitizer sees the end of a block and what is freed") {
  for (size_t bytes : {size_t{1000}, size_t{300'000}, size_t{5'000'000}}) {
    auto* data = static_cast<std::byte*>(memory::allocate(bytes));
    CHECK_FALSE(__asan_address_is_poisoned(data + bytes - 1));
    CHECK(__asan_address_is_poisoned(data + bytes));
    memory::deallocate(data, bytes);
    CHECK(__asan_address_is_poisoned(data));
    CHECK(__asan_address_is_poisoned(data + bytes - 1));
  }
}
#endif
