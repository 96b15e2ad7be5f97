// The helpers and how they share an operation. A phase is cut into at most 65,535 units of whole tasks; every participant owns a
// contiguous range of units, claims from its front in decreasing chunks, and then takes from the back of the others' ranges.
// The participant that counts a phase's last unit done opens the next phase.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/parallel.h"

namespace dnncore::parallel {

int64_t now();  // nanoseconds of a steady clock

// Asked by the launching thread between its chunks.
class StopCondition {
 public:
  virtual bool stop() = 0;

 protected:
  ~StopCondition() = default;
};

// kScratchBytes for one call of a body. Every thread keeps one block; nested launches take a fresh one.
class ScratchLease {
 public:
  ScratchLease() : data_(kept_) {
    if (data_ == nullptr || in_use_) [[unlikely]]
      data_ = take();
    else
      in_use_ = true;
  }
  ~ScratchLease() {
    if (data_ == kept_)
      in_use_ = false;
    else
      free(data_);
  }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;
  std::byte* data() const { return data_; }

 private:
  static std::byte* take();
  static void free(std::byte* data);
  struct Keeper {
    ~Keeper();
  };
  static thread_local constinit std::byte* kept_;
  static thread_local constinit bool in_use_;

  std::byte* data_;
};

class Pool {
 public:
  static constexpr int kMaxThreads = 1024;
  static Pool& get();

  // False, with nothing to show for it, when the pool serves somebody else, a helper was missed lately, or the process forked
  // while the host was asked. Else `finished` tells whether all tasks ran or `condition` stopped the operation; either way no
  // task is running any more.
  bool run(Body body, const void* args, const Schedule& schedule, int threads, double task_nanoseconds, StopCondition& condition,
           bool& finished);
  PoolStats stats() const;

 private:
  // Read by whoever holds a claim, written by the one thread that opens a phase, when there is no claim.
  struct Operation {
    Body body;
    const void* args;
    Schedule schedule;
    int threads;
    double task_nanoseconds;
    int64_t phase, tasks, tasks_per_unit;
  };
  // Units [begin, end) nobody has claimed yet. The epoch makes every value unique, so that a thief who slept through a phase
  // does not succeed with what it read before.
  struct alignas(64) Slot {
    std::atomic<uint64_t> range{0};   // epoch << 32 | begin << 16 | end
    std::atomic<uint32_t> asleep{0};  // its helper; slot 0 is the launching thread's
    std::atomic<int64_t> stolen{0};   // tasks its thread took from others
  };
  struct Claim {
    int64_t begin = 0, end = 0;
    bool stolen = false;
    int64_t units() const { return end - begin; }
  };

  void start_helpers(int count);
  void help(int index);
  void sleep(int index, uint32_t seen);
  bool open_phase(int64_t phase);
  void wake_helpers(int participants);
  Claim claim(int index);
  Claim claim_from(Slot& slot, bool own);
  void work(int index, const Claim& claim, std::byte* scratch);
  void count_done(int64_t units);
  void discard_units();
  bool lead(StopCondition& condition, std::byte* scratch);
  bool was_missed(int64_t waited, int64_t longest_chunk, int64_t elapsed);
  bool alone() const;

  alignas(64) std::atomic<bool> busy_{false};  // an operation has the pool; guards the next four
  Operation operation_{};
  int helpers_ = 0;
  uint32_t range_epoch_ = 0;
  int64_t back_off_ = 0;
  std::atomic<int64_t> solo_until_{0};
  std::atomic<int64_t> parallel_launches_{0}, solo_periods_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // counts phases opened: what idle helpers watch
  std::atomic<int> participants_{0};            // of the open phase, as are the next two
  std::atomic<int64_t> chunk_limit_{1};
  alignas(64) std::atomic<int64_t> remaining_{0};  // units not done
  std::atomic<bool> over_{true};
  std::atomic<bool> stopped_{false};
  Slot slots_[kMaxThreads];
};

}  // namespace dnncore::parallel
