// Free ranges of memory in the order of their addresses, neighbours joined. Not synchronised.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>

namespace dnncore::memory {

struct Range {
  std::byte* data = nullptr;
  size_t bytes = 0;

  std::byte* end() const { return data + bytes; }
};

// Of static duration: its array is never freed. The array has room for every block in use beside the free ranges, so that giving a
// block back needs no memory.
class FreeRanges {
 public:
  // The front of the smallest range that holds `bytes`, of equal ones the first; nullptr where there is none.
  std::byte* take(size_t bytes) {
    make_room();
    Range* best = nullptr;
    for (Range* range = ranges_; range != ranges_ + count_; ++range)
      if (range->bytes >= bytes && (best == nullptr || range->bytes < best->bytes)) best = range;
    if (best == nullptr) return nullptr;
    ++in_use_;
    std::byte* data = best->data;
    *best = {data + bytes, best->bytes - bytes};
    if (best->bytes == 0) erase(best);
    return data;
  }

  // Gives back what take() gave.
  void put(Range range) noexcept {
    --in_use_;
    insert(range);
  }

  // A range from the system.
  void add(Range range) {
    make_room();
    insert(range);
  }

  // The last range, which is here no more; an empty one where there is none.
  Range pop() noexcept { return count_ == 0 ? Range{} : ranges_[--count_]; }

  template <class Fn>
  void for_each(Fn&& fn) const {
    std::for_each(ranges_, ranges_ + count_, fn);
  }

  // Of the free range that ends at `end`.
  size_t bytes_before(const std::byte* end) const {
    const Range* next = std::partition_point(ranges_, ranges_ + count_, [&](const Range& range) { return range.end() < end; });
    return next != ranges_ + count_ && next->end() == end ? next->bytes : 0;
  }

 private:
  Range* ranges_ = nullptr;
  size_t count_ = 0;
  size_t in_use_ = 0;  // blocks
  size_t capacity_ = 0;

  void make_room() {
    if (count_ + in_use_ < capacity_) return;
    const size_t capacity = std::max<size_t>(64, 2 * capacity_);
    auto* larger = new Range[capacity];
    std::copy(ranges_, ranges_ + count_, larger);
    delete[] ranges_;
    ranges_ = larger;
    capacity_ = capacity;
  }

  void insert(Range range) noexcept {
    Range* next = std::partition_point(ranges_, ranges_ + count_, [&](const Range& other) { return other.data < range.data; });
    const bool joins_next = next != ranges_ + count_ && range.end() == next->data;
    if (joins_next) *next = {range.data, range.bytes + next->bytes};
    Range* previous = next - 1;
    if (next != ranges_ && previous->end() == range.data) {
      previous->bytes += joins_next ? next->bytes : range.bytes;
      if (joins_next) erase(next);
    } else if (!joins_next) {
      std::copy_backward(next, ranges_ + count_, ranges_ + count_ + 1);
      *next = range;
      ++count_;
    }
  }

  void erase(Range* range) noexcept {
    std::copy(range + 1, ranges_ + count_, range);
    --count_;
  }
};

}  // namespace dnncore::memory
