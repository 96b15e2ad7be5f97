#include "core/pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/cpu.h"
#include "core/spin_lock.h"

namespace dnncore::parallel {
namespace {

constexpr int64_t kMaxUnits = 65'535;
constexpr double kChunkNanoseconds = 50'000;  // a claim costs about 20 ns; a long last chunk keeps everybody waiting
// After an operation or a phase helpers watch for the next one this long (about 30 us) before they sleep.
constexpr int kHelperSpins = 2'000;
constexpr int kLeaderSpins = 2'000;
constexpr int64_t kPatience = 150'000;  // beyond twice the longest chunk: then the helper was taken away
constexpr int64_t kShortestBackOff = 5'000'000, kLongestBackOff = 50'000'000;

// Never destroyed: helpers are still there when static destructors run.
alignas(Pool) std::byte pool_memory[sizeof(Pool)];
int forks = 0;  // of this process's ancestors since the pool was made

int cores() {
  static const int count = cpu::allowed_cores();
  return count;
}

void rebuild_in_child() {
  ++forks;
  new (pool_memory) Pool;
}

}  // namespace

int64_t now() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// --- Scratch ---

thread_local constinit std::byte* ScratchLease::kept_ = nullptr;
thread_local constinit bool ScratchLease::in_use_ = false;

ScratchLease::Keeper::~Keeper() { std::free(std::exchange(kept_, nullptr)); }

// Not from the caching allocator, whose statistics count tensors.
std::byte* ScratchLease::take() {
  void* data = std::aligned_alloc(kScratchBytes, kScratchBytes);
  DNN_CHECK(data != nullptr, MemoryError, "launch: no memory left for ", kScratchBytes, " bytes of scratch");
  madvise(data, kScratchBytes, MADV_HUGEPAGE);
  if (kept_ == nullptr) {
    static thread_local Keeper keeper;
    kept_ = static_cast<std::byte*>(data);
    in_use_ = true;
  }
  return static_cast<std::byte*>(data);
}

void ScratchLease::free(std::byte* data) { std::free(data); }

// --- Helpers ---

Pool& Pool::get() {
  static Pool* pool = [] {
    pthread_atfork(nullptr, nullptr, rebuild_in_child);
    return new (pool_memory) Pool;
  }();
  return *pool;
}

// Helper i owns slot i. They take no signals: those belong to the host's threads. Fewer start when the system refuses.
void Pool::start_helpers(int count) {
  if (helpers_ >= count) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (; helpers_ < count; ++helpers_) std::thread(&Pool::help, this, helpers_ + 1).detach();
  } catch (const std::system_error&) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::help(int index) try {
  const ScratchLease scratch;
  for (;;) {
    const uint32_t seen = epoch_.load();
    if (index < participants_.load(std::memory_order_relaxed))
      for (Claim claim = this->claim(index); claim.units() > 0; claim = this->claim(index)) work(index, claim, scratch.data());
    int spins = 0;
    while (epoch_.load(std::memory_order_relaxed) == seen && ++spins < kHelperSpins) spin_pause();
    if (spins == kHelperSpins) sleep(index, seen);
  }
} catch (const MemoryError&) {  // no scratch: the others take its range
}

// Either the helper sees the new epoch or the opener of the phase sees the helper asleep.
void Pool::sleep(int index, uint32_t seen) {
  std::atomic<uint32_t>& asleep = slots_[index].asleep;
  asleep.store(1);
  if (epoch_.load() != seen)
    asleep.store(0);
  else
    asleep.wait(1);
}

void Pool::wake_helpers(int participants) {
  for (int i = 1; i < participants; ++i) {
    std::atomic<uint32_t>& asleep = slots_[i].asleep;
    if (asleep.load() != 0 && asleep.exchange(0) != 0) asleep.notify_one();
  }
}

// --- Phases ---

// False when no phase from `phase` on has tasks. Once the ranges are published others may finish this phase and more:
// nothing of the operation is touched after that.
bool Pool::open_phase(int64_t phase) {
  Operation& op = operation_;
  while (phase < op.schedule.phases && op.schedule.tasks_of(phase) == 0) ++phase;
  if (phase >= op.schedule.phases) return false;
  op.phase = phase;
  op.tasks = op.schedule.tasks_of(phase);
  op.tasks_per_unit = (op.tasks + kMaxUnits - 1) / kMaxUnits;
  const int64_t units = (op.tasks + op.tasks_per_unit - 1) / op.tasks_per_unit;
  const double unit_nanoseconds = op.task_nanoseconds * static_cast<double>(op.tasks_per_unit);
  const int64_t count = alone() ? 1 : std::min<int64_t>(op.threads, units);
  const uint64_t epoch = uint64_t{++range_epoch_} << 32;

  participants_.store(static_cast<int>(count), std::memory_order_relaxed);
  chunk_limit_.store(static_cast<int64_t>(std::clamp(kChunkNanoseconds / unit_nanoseconds, 1.0, 65'535.0)), std::memory_order_relaxed);
  remaining_.store(units, std::memory_order_relaxed);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = units * i / count, end = units * (i + 1) / count;
    slots_[i].range.store(epoch | static_cast<uint64_t>(begin << 16 | end), std::memory_order_release);
  }
  epoch_.fetch_add(1);
  wake_helpers(static_cast<int>(count));
  return true;
}

Pool::Claim Pool::claim_from(Slot& slot, bool own) {
  const int64_t limit = chunk_limit_.load(std::memory_order_relaxed);
  uint64_t range = slot.range.load(std::memory_order_relaxed);
  for (;;) {
    const auto begin = static_cast<int64_t>(range >> 16 & 0xffff), end = static_cast<int64_t>(range & 0xffff);
    if (begin >= end) return {};
    const int64_t units = std::clamp<int64_t>((end - begin) / 4, 1, limit);
    const uint64_t rest = own ? range + (static_cast<uint64_t>(units) << 16) : range - static_cast<uint64_t>(units);
    if (slot.range.compare_exchange_weak(range, rest, std::memory_order_acquire, std::memory_order_relaxed))
      return own ? Claim{begin, begin + units, false} : Claim{end - units, end, true};
  }
}

// A claim that succeeds belongs to the phase that is open, which stays open until the claim is counted done.
Pool::Claim Pool::claim(int index) {
  const int count = participants_.load(std::memory_order_relaxed);
  for (int i = 0; i < count; ++i) {
    const int victim = index + i < count ? index + i : index + i - count;
    if (const Claim claim = claim_from(slots_[victim], i == 0); claim.units() > 0) return claim;
  }
  return {};
}

void Pool::work(int index, const Claim& claim, std::byte* scratch) {
  const Operation& op = operation_;
  const int64_t begin = claim.begin * op.tasks_per_unit, end = std::min(claim.end * op.tasks_per_unit, op.tasks);
  op.body(op.args, {op.phase, begin, end, scratch});
  if (claim.stolen) {
    std::atomic<int64_t>& stolen = slots_[index].stolen;
    stolen.store(stolen.load(std::memory_order_relaxed) + end - begin, std::memory_order_relaxed);
  }
  count_done(claim.units());
}

void Pool::count_done(int64_t units) {
  if (remaining_.fetch_sub(units, std::memory_order_acq_rel) != units) return;
  if (stopped_.load(std::memory_order_relaxed) || !open_phase(operation_.phase + 1)) over_.store(true, std::memory_order_release);
}

// --- The launching thread ---

bool Pool::run(Body body, const void* args, const Schedule& schedule, int threads, double task_nanoseconds, StopCondition& condition,
               bool& finished) {
  const ScratchLease scratch;
  if (alone() || busy_.exchange(true, std::memory_order_acquire)) return false;
  start_helpers(threads - 1);
  operation_ = {body, args, schedule, threads, task_nanoseconds, 0, 0, 0};
  over_.store(false, std::memory_order_relaxed);
  stopped_.store(false, std::memory_order_relaxed);
  solo_until_.store(0, std::memory_order_relaxed);
  if (!open_phase(0)) over_.store(true, std::memory_order_relaxed);
  if (!lead(condition, scratch.data())) return false;
  finished = !stopped_.load(std::memory_order_relaxed);
  parallel_launches_.store(parallel_launches_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  busy_.store(false, std::memory_order_release);
  return true;
}

// False in a child that was forked while the host was asked: it has neither helpers nor the tasks they held.
bool Pool::lead(StopCondition& condition, std::byte* scratch) {
  const int forks_before = forks;
  const int64_t start = now();
  int64_t longest_chunk = 0, waiting_since = 0;
  bool missed = false;
  for (int spins = 0; !over_.load(std::memory_order_acquire);) {
    if (waiting_since == 0 && !stopped_.load(std::memory_order_relaxed)) {
      const bool stop = condition.stop();
      if (forks != forks_before) return false;
      stopped_.store(stop, std::memory_order_relaxed);
    }
    if (stopped_.load(std::memory_order_relaxed)) discard_units();
    const Claim claim = this->claim(0);
    if (claim.units() == 0) {
      if (waiting_since == 0) waiting_since = now();
      if (++spins < kLeaderSpins)
        spin_pause();
      else
        std::this_thread::yield();
      continue;
    }
    const int64_t begin = now();
    if (waiting_since != 0) missed |= was_missed(begin - waiting_since, longest_chunk, begin - start);
    waiting_since = spins = 0;
    work(0, claim, scratch);
    longest_chunk = std::max(longest_chunk, now() - begin);
  }
  if (waiting_since != 0) {
    const int64_t end = now();
    missed |= was_missed(end - waiting_since, longest_chunk, end - start);
  }
  if (!missed) back_off_ -= back_off_ / 8;
  return true;
}

void Pool::discard_units() {
  int64_t discarded = 0;
  for (Slot& slot : slots_) {
    const uint64_t range = slot.range.exchange(0, std::memory_order_acquire);
    discarded += std::max<int64_t>(static_cast<int64_t>(range & 0xffff) - static_cast<int64_t>(range >> 16 & 0xffff), 0);
  }
  if (discarded > 0) count_done(discarded);
}

// A helper that holds the last chunk much longer than ours took has lost its core: we do without helpers for a while, for longer
// when that happens again. Not so with more threads than cores, where it is the rule and wanted.
bool Pool::was_missed(int64_t waited, int64_t longest_chunk, int64_t elapsed) {
  if (waited < std::max(2 * longest_chunk + kPatience, elapsed / 2) || operation_.threads > cores()) return false;
  back_off_ = std::clamp(2 * back_off_, kShortestBackOff, kLongestBackOff);
  solo_until_.store(now() + back_off_, std::memory_order_relaxed);
  solo_periods_.store(solo_periods_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return true;
}

bool Pool::alone() const {
  const int64_t until = solo_until_.load(std::memory_order_relaxed);
  return until != 0 && now() < until;
}

PoolStats Pool::stats() const {
  PoolStats stats = {parallel_launches_.load(std::memory_order_relaxed), 0, 0, solo_periods_.load(std::memory_order_relaxed)};
  for (const Slot& slot : slots_) stats.stolen_tasks += slot.stolen.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace dnncore::parallel
