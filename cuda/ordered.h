// Entries that meet at one place are applied in their order, without atomics: a block owns a range of places, goes through all entries,
// keeps those for its places in a list, and works the list off with the entries of one place linked in their order.
#pragma once

#include "numbers.h"

namespace dnncore::cuda {

inline constexpr int kOrderedPerThread = 4;  // entries that a thread looks at together
inline constexpr int kOrderedFull = kBlock;  // a list as long as this is worked off
inline constexpr int kOrderedMost = kOrderedFull + kOrderedPerThread * kBlock;
inline constexpr int64_t kOrderedBlocks = 512;  // go through all entries: each costs as many reads, of the L2 cache

template <class P>
struct OrderedList {
  int64_t place[kOrderedMost];
  P entry[kOrderedMost];
  int16_t next[kOrderedMost];  // of the same place, -1: none
  bool leads[kOrderedMost];    // the first of its place
  int totals[2][kOrderedPerThread * kBlock / 32];
};

template <class P>
__device__ __forceinline__ void link_places(OrderedList<P>& list, int listed) {
  for (int i = static_cast<int>(threadIdx.x); i < listed; i += kBlock) list.leads[i] = true;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < listed; i += kBlock) {
    const int64_t place = list.place[i];
    int j = i + 1;
    while (j < listed && list.place[j] != place) ++j;
    list.next[i] = static_cast<int16_t>(j < listed ? j : -1);
    if (j < listed) list.leads[j] = false;
  }
  __syncthreads();
}

// By all threads of a block of kBlock: find(i, place, entry) tells whether entry i < count is the block's, apply(i) is called by all
// threads of a group of `lanes`, a power of two, for each i that leads the entries of its place in the list: i, list.next[i] and so on.
template <class P, class Find, class Apply>
__device__ __forceinline__ void in_order(OrderedList<P>& list, int64_t count, int lanes, const Find& find, const Apply& apply) {
  constexpr int kWarps = kBlock / 32;
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int listed = 0, parity = 0;
  for (int64_t base = 0; base < count; base += kOrderedPerThread * kBlock) {
    int64_t place[kOrderedPerThread];
    P entry[kOrderedPerThread];
    unsigned found[kOrderedPerThread];
    bool hit[kOrderedPerThread];
#pragma unroll
    for (int k = 0; k < kOrderedPerThread; ++k) {
      const int64_t i = base + k * kBlock + threadIdx.x;
      hit[k] = i < count && find(i, place[k], entry[k]);
    }
#pragma unroll
    for (int k = 0; k < kOrderedPerThread; ++k) {
      found[k] = __ballot_sync(kAllLanes, hit[k]);
      if (lane == 0) list.totals[parity][k * kWarps + static_cast<int>(warp)] = __popc(found[k]);
    }
    __syncthreads();
    int before = listed;
#pragma unroll
    for (int k = 0; k < kOrderedPerThread; ++k)
      for (int w = 0; w < kWarps; ++w) {
        if (w == static_cast<int>(warp) && hit[k]) {
          const int at = before + __popc(found[k] & ((1u << lane) - 1));
          list.place[at] = place[k];
          list.entry[at] = entry[k];
        }
        before += list.totals[parity][k * kWarps + w];
      }
    listed = before;
    parity ^= 1;
    if (listed == 0 || (listed < kOrderedFull && base + kOrderedPerThread * kBlock < count)) continue;
    __syncthreads();
    link_places(list, listed);
    for (int i = static_cast<int>(threadIdx.x) / lanes; i < listed; i += kBlock / lanes)
      if (list.leads[i]) apply(i);
    __syncthreads();
    listed = 0;
  }
}

}  // namespace dnncore::cuda
