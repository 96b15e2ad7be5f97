// The first k entries of rows: a block finds the k-th key byte by byte, from counts of the bytes, takes what comes before it and the first
// of the equal ones; the pairs are sorted as rows of k. Long rows are searched in parts first, whose pairs are searched again.
#include "sort_rows.h"

namespace dnncore::cuda {
namespace {

constexpr int kWarps = kBlock / 32;

// By a block of kBlock: pairs source(i), i < count, in the order of equal keys; sink(j, pair), j < k, in no order. k <= count.
template <class T, class Source, class Sink>
__device__ __forceinline__ void select_first(int64_t count, int64_t k, const Source& source, const Sink& sink) {
  using Key = KeyOf<T>;
  __shared__ unsigned found[256];
  __shared__ unsigned digit, passed;
  __shared__ int totals[2][2][kWarps];
  const auto key_at = [&](int64_t i) { return static_cast<Key>(key_of(source(i))); };
  Key bar = 0, known = 0;
  auto wanted = static_cast<unsigned>(k);  // of those that begin with the known bits of the bar
  for (int shift = static_cast<int>(sizeof(Key)) * 8 - 8; shift >= 0; shift -= 8) {
    found[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < count; i += kBlock) {
      const Key key = key_at(i);
      if ((key & known) == bar) atomicAdd(found + (key >> shift & 255), 1u);
    }
    __syncthreads();
    unsigned less = 0;
    for (unsigned d = 0; d < threadIdx.x; ++d) less += found[d];
    if (less < wanted && wanted <= less + found[threadIdx.x]) digit = threadIdx.x, passed = less;
    __syncthreads();
    bar |= static_cast<Key>(digit) << shift;
    known |= Key{255} << shift;
    wanted -= passed;
    __syncthreads();
  }
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, below = (1u << lane) - 1;
  int64_t before = 0, equal = k - wanted;  // where the next ones go
  int parity = 0;
  for (int64_t base = 0; base < count; base += kBlock, parity ^= 1) {
    const int64_t i = base + threadIdx.x;
    const Key key = i < count ? key_at(i) : ~Key{0};
    const unsigned firsts = __ballot_sync(kAllLanes, i < count && key < bar), ties = __ballot_sync(kAllLanes, i < count && key == bar);
    if (lane == 0) totals[parity][0][warp] = __popc(firsts), totals[parity][1][warp] = __popc(ties);
    __syncthreads();
    int64_t place = before + __popc(firsts & below), place_of_tie = equal + __popc(ties & below);
    for (unsigned w = 0; w < kWarps; ++w) {
      if (w < warp) place += totals[parity][0][w], place_of_tie += totals[parity][1][w];
      before += totals[parity][0][w], equal += totals[parity][1][w];
    }
    if (i >= count) continue;
    if (key < bar) sink(place, source(i));
    if (key == bar && place_of_tie < k) sink(place_of_tie, source(i));
  }
  __syncthreads();
}

template <class T>
__global__ void __launch_bounds__(kBlock) select_of_rows(SortedRows<T> s, int64_t n, bool descending) {
  for (int64_t row = blockIdx.x; row < s.rows; row += gridDim.x)
    select_first<T>(
        n, s.n, [&](int64_t i) { return SortedRows<T>::pair(key_of_value(s.x[row * n + i], descending), i); },
        [&](int64_t j, const PairOf<T>& pair) { s.store(row * s.n + j, pair); });
}

// Candidates are (rows, parts, k); a part shorter than k fills up with pairs above all others.
template <class T>
__global__ void __launch_bounds__(kBlock)
    select_of_parts(SortedRows<T> s, int64_t n, int64_t parts, PairOf<T>* candidates, bool descending) {
  constexpr int64_t kPart = TopkArgs::kPart;
  for (int64_t part = blockIdx.x; part < s.rows * parts; part += gridDim.x) {
    const int64_t begin = part % parts * kPart, count = std::min(kPart, n - begin);
    const T* const row = s.x + part / parts * n;
    PairOf<T>* const mine = candidates + part * s.n;
    const auto source = [&](int64_t i) { return SortedRows<T>::pair(key_of_value(row[begin + i], descending), begin + i); };
    if (count > s.n) {
      select_first<T>(count, s.n, source, [&](int64_t j, const PairOf<T>& pair) { mine[j] = pair; });
      continue;
    }
    for (int64_t j = threadIdx.x; j < s.n; j += kBlock) mine[j] = j < count ? source(j) : last_pair<T>();
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) select_of_candidates(SortedRows<T> s, int64_t parts, const PairOf<T>* candidates) {
  for (int64_t row = blockIdx.x; row < s.rows; row += gridDim.x)
    select_first<T>(
        parts * s.n, s.n, [&](int64_t i) { return candidates[row * parts * s.n + i]; },
        [&](int64_t j, const PairOf<T>& pair) { s.store(row * s.n + j, pair); });
}

template <class T>
void run(const TopkArgs& args, cudaStream_t stream) {
  const SortedRows<T> s{static_cast<const T*>(args.x), static_cast<T*>(args.values), args.indices, args.rows, args.k, args.n};
  const int64_t parts = args.parts();
  if (parts == 1) {
    launch_grid("topk", select_of_rows<T>, blocks_for(s.rows, 1), kBlock, stream, 0, s, args.n, args.descending);
  } else {
    auto* const candidates = static_cast<PairOf<T>*>(args.workspace);
    launch_grid("topk", select_of_parts<T>, blocks_for(s.rows * parts, 1), kBlock, stream, 0, s, args.n, parts, candidates,
                args.descending);
    launch_grid("topk", select_of_candidates<T>, blocks_for(s.rows, 1), kBlock, stream, 0, s, parts, candidates);
  }
  sort_rows("topk", stream, s, false, args.descending);
}

}  // namespace

void topk(const TopkArgs& args, cudaStream_t stream) {
  if (args.rows == 0 || args.n == 0 || args.k == 0) return;
  visit_dtype(args.dtype, [&](auto tag) { run<decltype(tag)>(args, stream); });
}

}  // namespace dnncore::cuda
