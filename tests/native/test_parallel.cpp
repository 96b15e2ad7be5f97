// The pool: every task once, phases in order, for any number of threads, in every awkward company.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"

using namespace dnncore;

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void spin_for(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

// Counts how often each task of each phase ran, and phases that opened before their time.
struct Ledger {
  explicit Ledger(const Schedule& plan, std::chrono::nanoseconds cost = {}) : schedule(plan), each(cost) {
    for (int64_t phase = 0; phase < plan.phases; ++phase) counts.emplace_back(static_cast<size_t>(plan.tasks_of(phase)));
    done = std::make_unique<std::atomic<int64_t>[]>(static_cast<size_t>(plan.phases));
  }

  static void body(const void* args, const Tasks& tasks) {
    auto& ledger = **static_cast<Ledger* const*>(args);
    const auto phase = static_cast<size_t>(tasks.phase);
    if (phase > 0 && ledger.done[phase - 1] != ledger.schedule.tasks_of(tasks.phase - 1)) ++ledger.early;
    if (reinterpret_cast<uintptr_t>(tasks.scratch) % kScratchBytes != 0) ++ledger.early;
    tasks.scratch[0] = tasks.scratch[kScratchBytes - 1] = std::byte{1};
    for (int64_t i = tasks.begin; i < tasks.end; ++i) {
      if (ledger.each.count() > 0) spin_for(ledger.each);
      ++ledger.counts[phase][static_cast<size_t>(i)];  // not atomic: one thread only has this task
    }
    ledger.done[phase] += tasks.end - tasks.begin;
  }

  void run(bool interruptible = false) {
    Ledger* self = this;
    parallel::run(body, &self, schedule, interruptible);
  }

  bool complete() const {
    for (const auto& phase : counts)
      for (int count : phase)
        if (count != 1) return false;
    return early == 0;
  }

  Schedule schedule;
  std::chrono::nanoseconds each;
  std::vector<std::vector<int>> counts;
  std::unique_ptr<std::atomic<int64_t>[]> done;
  std::atomic<int> early{0};
};

struct ThreadCount {
  explicit ThreadCount(int count) { parallel::set_num_threads(count); }
  ~ThreadCount() { parallel::set_num_threads(parallel::default_num_threads()); }
};

}  // namespace

TEST_CASE("every task runs once and phases keep their order") {
  const Schedule plans[] = {{1, {1, 0, 0}, 1e6},    {1, {2, 0, 0}, 1e6},      {1, {1000, 0, 0}, 1e6}, {2, {7, 1, 0}, 1e6},
                            {3, {16, 16, 16}, 1e6}, {50, {64, 3, 5}, 1e6},    {4, {0, 5, 0}, 1e6},    {5, {0, 0, 9}, 1e6},
                            {2, {0, 0, 0}, 1e6},    {1, {200'000, 0, 0}, 1e8}};
  for (int threads : {1, 2, 4, 16, 100}) {
    const ThreadCount setting(threads);
    for (const Schedule& plan : plans)
      for (double nanoseconds : {100.0, 15'000.0, plan.nanoseconds}) {
        CAPTURE(threads);
        CAPTURE(nanoseconds);
        Schedule schedule = plan;
        schedule.nanoseconds = nanoseconds;
        Ledger ledger(schedule);
        ledger.run();
        CHECK(ledger.complete());
      }
  }
}

TEST_CASE("many tiny launches") {
  const ThreadCount setting(4);
  const int launches = kThreadSanitizer ? 5'000 : 100'000;
  Schedule schedule{2, {3, 2, 0}, 50'000};
  int wrong = 0;
  for (int i = 0; i < launches; ++i) {
    Ledger ledger(schedule);
    ledger.run();
    wrong += !ledger.complete();
  }
  CHECK(wrong == 0);
}

TEST_CASE("helpers help, and the idle take from the busy") {
  const ThreadCount setting(2);
  const parallel::PoolStats before = parallel::stats();
  for (int i = 0; i < 20; ++i) {
    Ledger ledger({1, {400, 0, 0}, 8e6}, std::chrono::microseconds(20));
    ledger.run();
    CHECK(ledger.complete());
  }
  const parallel::PoolStats after = parallel::stats();
  CHECK(after.parallel_launches + after.inline_launches + after.solo_periods >
        before.parallel_launches + before.inline_launches + before.solo_periods);
  CHECK(after.stolen_tasks >= before.stolen_tasks);
}

TEST_CASE("a nested launch runs on its own scratch") {
  const ThreadCount setting(4);
  struct Outer {
    std::atomic<int> wrong{0};
  } outer;
  Outer* pointer = &outer;
  const auto body = [](const void* args, const Tasks& tasks) {
    auto& state = **static_cast<Outer* const*>(args);
    for (int64_t i = tasks.begin; i < tasks.end; ++i) {
      tasks.scratch[0] = std::byte{42};
      Ledger inner({2, {20, 5, 0}, 1e6});
      inner.run();
      state.wrong += !inner.complete() || tasks.scratch[0] != std::byte{42};
    }
  };
  parallel::run(body, &pointer, {1, {64, 0, 0}, 1e7}, false);
  parallel::run(body, &pointer, {1, {4, 0, 0}, 10}, false);
  CHECK(outer.wrong == 0);
}

TEST_CASE("several callers at once, while the number of threads changes") {
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (int count = 1; !stop; count = count % 9 + 1) {
      parallel::set_num_threads(count);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < (kThreadSanitizer ? 300 : 3000); ++i) {
        Ledger ledger({3, {40, 7, 11}, 1e6});
        ledger.run();
        wrong += !ledger.complete();
      }
    });
  for (std::thread& caller : callers) caller.join();
  stop = true;
  changer.join();
  parallel::set_num_threads(parallel::default_num_threads());
  CHECK(wrong == 0);
}

TEST_CASE("bad thread counts are refused") {
  CHECK_THROWS_AS(parallel::set_num_threads(0), ValueError);
  CHECK_THROWS_AS(parallel::set_num_threads(1025), ValueError);
  CHECK_THROWS_WITH_AS(parallel::set_num_threads(-1), "set_num_threads: expected 1 to 1024, got -1", ValueError);
}

// --- The host ---

namespace {

std::atomic<int> unlocked{0}, locked{0}, asked{0};
std::atomic<bool> wants_stop{false};
std::thread::id host_thread;
std::atomic<bool> wrong_thread{false};

struct Host {
  Host() {
    unlocked = locked = asked = 0;
    wants_stop = wrong_thread = false;
    host_thread = std::this_thread::get_id();
    parallel::set_host_hooks({[]() -> void* {
                                ++unlocked;
                                return &unlocked;
                              },
                              [](void*) { ++locked; },
                              [] {
                                ++asked;
                                if (std::this_thread::get_id() != host_thread) wrong_thread = true;
                                return wants_stop.load();
                              }});
  }
  ~Host() { parallel::set_host_hooks({}); }
};

}  // namespace

TEST_CASE("the host's lock is dropped for long work only") {
  const Host host;
  Ledger small({1, {4, 0, 0}, parallel::kUnlockNanoseconds - 1});
  small.run();
  CHECK(unlocked == 0);
  Ledger large({1, {4, 0, 0}, parallel::kUnlockNanoseconds});
  large.run(true);
  CHECK(unlocked == 1);
  CHECK(locked == 1);
}

TEST_CASE("an interrupt acts within 0.2 s, on one thread and on several") {
  for (int threads : {1, 2, 4}) {
    CAPTURE(threads);
    const ThreadCount setting(threads);
    int64_t quickest = INT64_MAX;
    for (int attempt = 0; attempt < 5 && quickest >= 200; ++attempt) {  // a loaded machine may take our cores away
      const Host host;
      wants_stop = true;
      Ledger ledger({1, {4000, 0, 0}, 4e9}, std::chrono::milliseconds(1));
      const int64_t start = now_ms();
      CHECK_THROWS_AS(ledger.run(true), Interrupted);
      quickest = std::min(quickest, now_ms() - start);
      CHECK(asked == 1);
      CHECK(locked == 1);
      CHECK_FALSE(wrong_thread);
      const int64_t done = ledger.done[0];  // no task is running any more
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      CHECK(ledger.done[0] == done);
      Ledger next({2, {100, 100, 0}, 1e6});
      next.run();
      CHECK(next.complete());
    }
    CHECK(quickest < 200);
  }
}

TEST_CASE("work that must not be interrupted is not") {
  const ThreadCount setting(2);
  const Host host;
  wants_stop = true;
  Ledger ledger({1, {120, 0, 0}, 1.2e8}, std::chrono::milliseconds(1));
  ledger.run(false);
  CHECK(ledger.complete());
  CHECK(asked == 0);
}

// --- Forks ---

TEST_CASE("a forked child computes on its own helpers" * doctest::skip(kThreadSanitizer)) {
  const ThreadCount setting(3);
  std::atomic<bool> stop{false};
  std::thread other([&] {  // keeps the pool and its locks busy while we fork
    while (!stop) {
      Ledger ledger({2, {50, 50, 0}, 1e6});
      ledger.run();
    }
  });
  int failed = 0;
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      Ledger ledger({3, {500, 10, 100}, 1e6}, std::chrono::microseconds(1));
      ledger.run();
      _exit(ledger.complete() && parallel::stats().parallel_launches == 1 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  }
  stop = true;
  other.join();
  CHECK(failed == 0);
}

TEST_CASE("a child forked by the host's signal handler, in the middle of a launch" * doctest::skip(kThreadSanitizer)) {
  const ThreadCount setting(2);
  static pid_t child;
  child = -1;
  parallel::set_host_hooks({nullptr, nullptr, [] {
                              if (child < 0) child = fork();
                              return false;
                            }});
  struct Marks {
    std::atomic<int> ran[400];
  };
  const auto marks = std::make_unique<Marks>();
  const auto body = [](const void* args, const Tasks& tasks) {
    for (int64_t i = tasks.begin; i < tasks.end; ++i) {
      spin_for(std::chrono::milliseconds(1));
      (*static_cast<Marks* const*>(args))->ran[i] = 1;
    }
  };
  Marks* pointer = marks.get();
  parallel::run(body, &pointer, {1, {400, 0, 0}, 4e8}, true);
  int done = 0;
  for (const auto& ran : marks->ran) done += ran;
  if (child == 0) _exit(done == 400 ? 0 : 1);
  parallel::set_host_hooks({});
  int status = 0;
  REQUIRE(child > 0);
  waitpid(child, &status, 0);
  CHECK(status == 0);
  CHECK(done == 400);
}
