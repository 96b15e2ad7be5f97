#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime.h"

#if !defined(__x86_64__)
#error "the emulator switches fibers in x86-64 code"
#endif

// Saves the callee's registers on the running stack, whose pointer goes to *from, and goes on with the stack `to`.
extern "C" void dnncore_emulator_switch(void** from, void* to);
asm(R"(
.text
.hidden dnncore_emulator_switch
.globl dnncore_emulator_switch
.type dnncore_emulator_switch, @function
dnncore_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size dnncore_emulator_switch, .-dnncore_emulator_switch
)");

const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "invalid configuration"; }

namespace emulator {

Block block;
const Thread* thread = nullptr;

namespace {

constexpr size_t kMostThreads = 1024, kWarp = 32, kStack = 128 << 10;

[[noreturn]] void fail(const char* what, const char* where) {
  std::fprintf(stderr, "emulator: %s in %s, block (%u, %u, %u), thread (%u, %u, %u)\n", what, where, block.index.x, block.index.y,
               block.index.z, thread->index.x, thread->index.y, thread->index.z);
  std::abort();
}

enum class State : uint8_t { Fresh, Runs, AtBlock, AtWarp, Done };

struct Fiber {
  void* stack_pointer = nullptr;
  std::byte* stack = nullptr;
  size_t thread = 0;  // which it runs now
};

struct Copy {
  void* to;
  const void* from;
  int bytes, valid;
};
struct Copies {
  std::vector<Copy> ordered;
  std::vector<size_t> ends;  // of groups
};

// The block that runs.
struct Engine {
  const std::function<void()>* body = nullptr;
  std::vector<Thread> threads;
  std::vector<State> states;
  std::vector<unsigned> masks;      // of those that wait in their warp
  std::vector<const char*> places;  // where they wait
  std::vector<Copies> copies;
  std::vector<Fiber*> fibers;  // of those that wait
  std::vector<size_t> order;
  std::vector<std::vector<size_t>> warps;  // the order again, warp by warp
  std::vector<size_t> ready;
  std::vector<Fiber*> idle;
  std::vector<std::byte> slots, shared;
  size_t next = 0;  // of the order: not started yet
  void* scheduler = nullptr;
  Fiber* running = nullptr;

  void run_block();
  void start();
  void resume(size_t i);
  void wait(State state, unsigned mask, const char* where);
  bool release_warp(const std::vector<size_t>& warp);
  bool release_warps();
  bool release_block();
  void set_order(size_t count);
};

Engine engine;
std::mutex one_at_a_time;

// A fiber runs threads until one of them waits; that one keeps it.
void fiber_main() {
  for (;;) {
    Fiber* const self = engine.running;
    thread = &engine.threads[self->thread];
    (*engine.body)();
    engine.states[engine.running->thread] = State::Done;
    dnncore_emulator_switch(&engine.running->stack_pointer, engine.scheduler);
  }
}

Fiber* fresh_fiber() {
  auto* fiber = new Fiber;
  void* memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  fiber->stack = static_cast<std::byte*>(memory);
  auto* top = reinterpret_cast<void**>(fiber->stack + kStack);
  *--top = nullptr;  // fiber_main returns nowhere; this aligns its frame
  *--top = reinterpret_cast<void*>(&fiber_main);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber->stack_pointer = top;
  return fiber;
}

void Engine::resume(size_t i) {
  running = fibers[i];
  thread = &threads[i];
  states[i] = State::Runs;
  dnncore_emulator_switch(&scheduler, running->stack_pointer);
  if (states[i] == State::Done) idle.push_back(fibers[i]);
}

void Engine::start() {
  while (next < order.size()) {
    const size_t i = order[next++];
    if (idle.empty()) idle.push_back(fresh_fiber());
    fibers[i] = idle.back();
    idle.pop_back();
    fibers[i]->thread = i;
    resume(i);
  }
}

void Engine::wait(State state, unsigned mask, const char* where) {
  Fiber* const self = running;
  const size_t i = self->thread;
  states[i] = state, masks[i] = mask, places[i] = where;
  dnncore_emulator_switch(&self->stack_pointer, scheduler);
}

// Lanes whose whole mask waits at one place go on; who has left is not waited for, as the hardware does. Returns whether any did.
bool Engine::release_warp(const std::vector<size_t>& warp) {
  unsigned waiting = 0, others = 0;
  for (size_t i : warp) {
    if (states[i] == State::AtWarp)
      waiting |= 1u << i % kWarp;
    else if (states[i] != State::Done)
      others |= 1u << i % kWarp;
  }
  bool any = false;
  for (size_t i : warp) {
    const unsigned mask = masks[i];
    if (!(waiting >> i % kWarp & 1) || (mask & others) != 0) continue;
    ready.clear();
    bool complete = true;
    for (size_t j : warp)
      if ((mask >> j % kWarp & 1) && states[j] != State::Done) {
        complete &= masks[j] == mask;
        ready.push_back(j);
      }
    if (!complete) continue;
    for (size_t j : ready)
      if (std::strcmp(places[j], places[i]) != 0) fail("lanes of one warp wait at different operations", places[i]);
    any = true;
    waiting &= ~mask, others |= mask;
    for (size_t j : ready) states[j] = State::Runs;
    for (size_t j : ready) resume(j);
  }
  return any;
}

bool Engine::release_warps() {
  bool any = false;
  for (const auto& warp : warps) any |= release_warp(warp);
  return any;
}

bool Engine::release_block() {
  ready.clear();
  for (size_t i : order) {
    if (states[i] == State::AtBlock) ready.push_back(i);
    if (states[i] == State::AtWarp) {
      thread = &threads[i];
      fail("a thread waits in vain for its warp", places[i]);
    }
  }
  for (size_t i : ready) states[i] = State::Runs;
  for (size_t i : ready) resume(i);
  return !ready.empty();
}

void Engine::set_order(size_t count) {
  order.resize(count);
  std::iota(order.begin(), order.end(), size_t{0});
  const char* wish = std::getenv("DNNCORE_EMULATOR_ORDER");
  if (wish != nullptr && std::strcmp(wish, "reverse") == 0)
    std::reverse(order.begin(), order.end());
  else if (wish != nullptr && *wish)
    std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(std::strtoul(wish, nullptr, 10))));
  warps.assign((count + kWarp - 1) / kWarp, {});
  for (size_t i : order) warps[i / kWarp].push_back(i);
}

void Engine::run_block() {
  std::fill(states.begin(), states.end(), State::Fresh);
  for (Copies& each : copies) each.ordered.clear(), each.ends.clear();
  next = 0;
  start();
  while (true) {
    while (release_warps()) {
    }
    if (!release_block()) break;
  }
}

}  // namespace

cudaError_t run(dim3 grid, dim3 size, size_t shared, const std::function<void()>& body) {
  const size_t count = size_t{size.x} * size.y * size.z;
  if (count == 0 || count > kMostThreads || shared > kMostShared || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 ||
      grid.z > 65535 || grid.x > 0x7fffffffu || size.z > 64)
    return cudaErrorInvalidConfiguration;
  std::lock_guard guard(one_at_a_time);
  Engine& e = engine;
  e.body = &body;
  e.threads.resize(count);
  e.states.resize(count), e.masks.resize(count), e.places.resize(count), e.fibers.resize(count), e.copies.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const auto at = static_cast<unsigned>(i);
    e.threads[i] = {{at % size.x, at / size.x % size.y, at / size.x / size.y}, at % 32, at / 32};
  }
  e.slots.resize((count + kWarp - 1) / kWarp * kWarp * 16);
  e.shared.assign(shared + 128, std::byte{0xcb});
  e.set_order(count);
  auto* const aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(e.shared.data()) + 127) & ~uintptr_t{127});
  block = {grid, size, {}, aligned};
  for (block.index.z = 0; block.index.z < grid.z; ++block.index.z)
    for (block.index.y = 0; block.index.y < grid.y; ++block.index.y)
      for (block.index.x = 0; block.index.x < grid.x; ++block.index.x) e.run_block();
  return cudaSuccess;
}

void block_barrier(const char* where) { engine.wait(State::AtBlock, 0, where); }
void warp_barrier(unsigned mask, const char* where) {
  if (!(mask >> thread->lane & 1)) fail("a lane waits that is not in its mask", where);
  engine.wait(State::AtWarp, mask, where);
}
std::byte* warp_slot(unsigned lane) { return engine.slots.data() + (size_t{thread->warp} * kWarp + lane) * 16; }

unsigned ballot(unsigned mask, bool predicate) {
  const auto mine = static_cast<unsigned>(predicate);
  std::memcpy(warp_slot(thread->lane), &mine, sizeof mine);
  warp_barrier(mask, "__ballot_sync");
  unsigned found = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned other = 0;
    if (!(mask >> lane & 1) || thread->warp * kWarp + lane >= engine.threads.size()) continue;
    std::memcpy(&other, warp_slot(lane), sizeof other);
    found |= other << lane;
  }
  warp_barrier(mask, "__ballot_sync");
  return found;
}

void copy_later(void* to, const void* from, int bytes, int valid) {
  const auto misplaced =
      (reinterpret_cast<uintptr_t>(to) | (valid > 0 ? reinterpret_cast<uintptr_t>(from) : 0)) % static_cast<size_t>(bytes);
  if (misplaced != 0 || valid < 0 || valid > bytes) fail("a misaligned copy", "copy_async");
  engine.copies[size_t{thread->warp} * kWarp + thread->lane].ordered.push_back({to, from, bytes, valid});
}
void close_copies() {
  Copies& mine = engine.copies[size_t{thread->warp} * kWarp + thread->lane];
  mine.ends.push_back(mine.ordered.size());
}
void wait_for_copies(int running) {
  Copies& mine = engine.copies[size_t{thread->warp} * kWarp + thread->lane];
  if (mine.ends.size() <= static_cast<size_t>(running)) return;
  const auto last = mine.ends.end() - running - 1;
  const size_t count = *last;
  for (size_t i = 0; i < count; ++i) {
    const Copy& copy = mine.ordered[i];
    std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.valid));
    std::memset(static_cast<std::byte*>(copy.to) + copy.valid, 0, static_cast<size_t>(copy.bytes - copy.valid));
  }
  mine.ordered.erase(mine.ordered.begin(), mine.ordered.begin() + static_cast<std::ptrdiff_t>(count));
  mine.ends.erase(mine.ends.begin(), last + 1);
  for (size_t& end : mine.ends) end -= count;
}

}  // namespace emulator
