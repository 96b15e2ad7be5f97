// What the machine can do at most, measured in the running process: fused multiply-adds from registers and a copy out of cache.
// Plain C at the border: the native benchmarks link it, the Python scripts compile it on the fly and load it with ctypes.
#pragma once

#include <stddef.h>

extern "C" {

// Medians over slices of a few milliseconds; the clock comes from a chain of dependent additions (one per cycle) between the slices.
struct DnncoreFmaCeiling {
  double gflops;          // of all threads together
  double flop_per_cycle;  // of one thread: the threads' mean
  double ghz;
  double nominal;  // flop per cycle this processor is built for; 0: not known here
  int is_void;     // flop_per_cycle below 0.95 nominal: something disturbed the run, or the loop is wrong
};

// kind: "avx512", "avx512bf16" (bfloat16 dot products), "avx2", "sse2" (multiply, then add) or "neon".
// Returns 0, or -1 when this processor or build cannot run it.
int dnncore_fma_ceiling(const char* kind, int threads, double seconds, DnncoreFmaCeiling* out);

// Bytes read plus bytes written per nanosecond (GB/s) while copying `bytes` to a second buffer, both on huge pages; the better of memcpy
// and a copy with prefetches and non-temporal stores.
double dnncore_copy_ceiling(int threads, size_t bytes, double seconds);
}
