// The one place where threads start. A launch is a row of phases of tasks; phase p+1 opens when p's tasks are counted done.
// Threads help, they never gate: an operation is over when its tasks are, not when every thread has arrived.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dnncore {

// What a kernel's body is asked to do: tasks [begin, end) of one phase. `scratch` is the running thread's own
// kScratchBytes of 2 MiB-aligned memory; nothing survives in it from one call to the next.
struct Tasks {
  int64_t phase;
  int64_t begin;
  int64_t end;
  std::byte* scratch;
  bool reread = false;  // what is written here is read at once: it is not to go past the caches
};
inline constexpr size_t kScratchBytes = size_t{2} << 20;

// Follows from the arguments alone, never from the number of threads.
struct Schedule {
  int64_t phases = 1;
  int64_t tasks[3] = {1, 1, 1};  // of phase 0, phase 1, and every later phase; below 2^31
  double nanoseconds = 0;        // estimated on one thread of the reference machine: decides how many threads it deserves

  int64_t tasks_of(int64_t phase) const { return tasks[phase < 2 ? phase : 2]; }
};

namespace parallel {

using Body = void (*)(const void* args, const Tasks& tasks);

// Runs all phases. Work below kInlineNanoseconds, nested calls and callers that find the pool busy run on the calling thread.
// Throws Interrupted (once no task is running) when `interruptible` and the host asks for it.
void run(Body body, const void* args, const Schedule& schedule, bool interruptible);

inline constexpr double kInlineNanoseconds = 8'000;
// From this cost on the host lock (the GIL) is dropped for the run.
inline constexpr double kUnlockNanoseconds = 20'000;

int num_threads();
void set_num_threads(int count);  // ValueError below 1 or above 1024; more threads than cores really run
int default_num_threads();        // DNNCORE_NUM_THREADS, else the cores allowed by affinity and cgroup

// How the host (Python) is told. Unset hooks are skipped; none is ever called from a pool thread.
struct HostHooks {
  void* (*unlock)() = nullptr;  // drop the host's lock if the calling thread holds it; nullptr: it did not
  void (*lock)(void* state) = nullptr;
  bool (*interrupted)() = nullptr;  // called with the lock dropped, at most every 50 ms, on the launching thread
};
void set_host_hooks(const HostHooks& hooks);

// The host's lock is dropped from here to the end of the scope.
class HostUnlocked {
 public:
  HostUnlocked();
  ~HostUnlocked();
  HostUnlocked(const HostUnlocked&) = delete;
  HostUnlocked& operator=(const HostUnlocked&) = delete;

 private:
  void* state_ = nullptr;
};

// Launches this process ran on more than one thread, and how often a missing helper made the pool work alone for a while.
struct PoolStats {
  int64_t parallel_launches;
  int64_t inline_launches;
  int64_t stolen_tasks;
  int64_t solo_periods;
};
PoolStats stats();

}  // namespace parallel
}  // namespace dnncore
