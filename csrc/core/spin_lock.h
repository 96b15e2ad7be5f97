// A lock for sections of a few nanoseconds; pthread mutexes cost three times as much when nobody competes.
#pragma once

#include <atomic>
#include <thread>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace dnncore {

inline void spin_pause() {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

class SpinLock {
 public:
  void lock() noexcept {
    for (int spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins) {
      spin_pause();
      if (spins > 64) std::this_thread::yield();  // the holder may have been taken off its core
    }
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

}  // namespace dnncore
