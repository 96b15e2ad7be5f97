// Entry of a launch: how many threads it deserves, the host's lock and wishes, and the paths that need no pool.
#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "core/check.h"
#include "core/cpu.h"
#include "core/pool.h"

namespace dnncore::parallel {
namespace {

constexpr int kMaxThreads = Pool::kMaxThreads;
// A thread that would get less than this costs more to wake than it gives.
constexpr double kNanosecondsPerThread = 10'000;
constexpr int64_t kInterruptPeriod = 50'000'000;
// Length of the chunks of a launch that runs on one thread, so that an interrupt acts soon even if the estimate is 20 x too low.
constexpr double kSoloChunkNanoseconds = 5e6;

std::atomic<int> thread_count{0};  // 0: not asked yet
std::atomic<void* (*)()> unlock_host{nullptr};
std::atomic<void (*)(void*)> lock_host{nullptr};
std::atomic<bool (*)()> host_interrupts{nullptr};

// Statistics: stored without a locked instruction, so launches of several threads at once may be counted as one.
std::atomic<int64_t> inline_launches{0};
void count(std::atomic<int64_t>& counter) { counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

double task_nanoseconds(const Schedule& schedule) {
  int64_t tasks = 0;
  for (int64_t phase = 0; phase < std::min<int64_t>(schedule.phases, 2); ++phase) tasks += schedule.tasks[phase];
  if (schedule.phases > 2) tasks += (schedule.phases - 2) * schedule.tasks[2];
  return schedule.nanoseconds / static_cast<double>(std::max<int64_t>(tasks, 1));
}

int64_t widest_phase(const Schedule& schedule) {
  return *std::max_element(schedule.tasks, schedule.tasks + std::clamp<int64_t>(schedule.phases, 1, 3));
}

int deserved_threads(const Schedule& schedule) {
  const double by_cost = schedule.nanoseconds / kNanosecondsPerThread;
  const int64_t most = std::min<int64_t>(num_threads(), widest_phase(schedule));
  return by_cost < static_cast<double>(most) ? static_cast<int>(by_cost) : static_cast<int>(most);
}

// Asks the host every 50 ms.
class InterruptCheck final : public StopCondition {
 public:
  explicit InterruptCheck(bool interruptible)
      : interrupts_(interruptible ? host_interrupts.load(std::memory_order_relaxed) : nullptr), next_(now() + kInterruptPeriod) {}
  bool stop() override {
    if (interrupts_ == nullptr || now() < next_) return false;
    next_ = now() + kInterruptPeriod;
    return interrupts_();
  }

 private:
  bool (*interrupts_)();
  int64_t next_;
};

void run_whole_phases(Body body, const void* args, const Schedule& schedule, std::byte* scratch) {
  for (int64_t phase = 0; phase < schedule.phases; ++phase)
    if (const int64_t tasks = schedule.tasks_of(phase); tasks > 0) body(args, {phase, 0, tasks, scratch});
}

// False when stopped.
bool run_in_chunks(Body body, const void* args, const Schedule& schedule, StopCondition& condition) {
  const ScratchLease scratch;
  const auto chunk = static_cast<int64_t>(std::clamp(kSoloChunkNanoseconds / task_nanoseconds(schedule), 1.0, 1e9));
  for (int64_t phase = 0; phase < schedule.phases; ++phase)
    for (int64_t begin = 0, tasks = schedule.tasks_of(phase); begin < tasks; begin += chunk) {
      if (condition.stop()) return false;
      body(args, {phase, begin, std::min(begin + chunk, tasks), scratch.data()});
    }
  return true;
}

}  // namespace

HostUnlocked::HostUnlocked() {
  if (auto* unlock = unlock_host.load(std::memory_order_relaxed)) state_ = unlock();
}
HostUnlocked::~HostUnlocked() {
  if (state_ != nullptr) lock_host.load(std::memory_order_relaxed)(state_);
}

void run(Body body, const void* args, const Schedule& schedule, bool interruptible) {
  if (schedule.nanoseconds < kInlineNanoseconds) {
    count(inline_launches);
    const ScratchLease scratch;
    return run_whole_phases(body, args, schedule, scratch.data());
  }
  bool finished = true;
  const auto run_unlocked = [&](bool asks) {
    InterruptCheck condition(asks);
    const int threads = deserved_threads(schedule);
    if (threads > 1 && Pool::get().run(body, args, schedule, threads, task_nanoseconds(schedule), condition, finished)) return;
    count(inline_launches);
    finished = run_in_chunks(body, args, schedule, condition);
  };
  if (schedule.nanoseconds < kUnlockNanoseconds) return run_unlocked(false);
  {
    const HostUnlocked unlocked;
    run_unlocked(interruptible);
  }
  if (!finished) throw Interrupted("interrupted");
}

int num_threads() {
  const int chosen = thread_count.load(std::memory_order_relaxed);
  if (chosen > 0) return chosen;
  int expected = 0;
  const int count = default_num_threads();
  return thread_count.compare_exchange_strong(expected, count) ? count : expected;
}

void set_num_threads(int count) {
  DNN_CHECK(count >= 1 && count <= kMaxThreads, ValueError, "set_num_threads: expected 1 to ", kMaxThreads, ", got ", count);
  thread_count.store(count, std::memory_order_relaxed);
}

int default_num_threads() {
  const char* wanted = std::getenv("DNNCORE_NUM_THREADS");
  if (wanted == nullptr || *wanted == '\0') return std::min(cpu::allowed_cores(), kMaxThreads);
  char* end = nullptr;
  const long count = std::strtol(wanted, &end, 10);
  DNN_CHECK(*end == '\0' && count >= 1 && count <= kMaxThreads, ValueError, "DNNCORE_NUM_THREADS: expected 1 to ", kMaxThreads, ", got '",
            wanted, "'");
  return static_cast<int>(count);
}

void set_host_hooks(const HostHooks& hooks) {
  unlock_host.store(hooks.unlock, std::memory_order_relaxed);
  lock_host.store(hooks.lock, std::memory_order_relaxed);
  host_interrupts.store(hooks.interrupted, std::memory_order_relaxed);
}

PoolStats stats() {
  PoolStats stats = Pool::get().stats();
  stats.inline_launches = inline_launches.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace dnncore::parallel
