// Channels adjacent (channels-last, and batch norm of (N, C)): vectors are of channels. Parts of the rows give partial results per
// channel, phase 1 joins them and prepares the coefficients, phase 2 writes row by row.
#include "kernels/norm_parts.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kPartElements = 131072;
constexpr int64_t kChannels = 256;  // per task of phase 1

struct Parts {
  int64_t rows, count, each;  // `rows` of a batch entry in `count` parts of `each`

  int64_t begin(int64_t part) const { return part * each; }
  int64_t end(int64_t part) const { return std::min(rows, (part + 1) * each); }
};

Parts parts_of(const NormShape& shape) {
  const int64_t wanted = std::clamp<int64_t>(shape.outer * shape.channels / kPartElements, 1, 64);
  const int64_t each = ceil_div(shape.outer, wanted);
  return {shape.outer, ceil_div(shape.outer, each), each};
}

// Rows whose sums are taken together: about 32 KB, and 32 per accumulator at most (for_channel_vectors).
template <class T>
int64_t block_rows(int64_t channels) {
  constexpr int64_t N = Vec<T>::N;
  return std::clamp<int64_t>(8192 / channels, 16, channels >= 4 * N ? 32 : channels >= 2 * N ? 64 : 128);
}

int64_t join_tasks(const NormShape& shape) { return shape.batch * (shape.width() == 1 ? ceil_div(shape.channels, kChannels) : 1); }

// Channels [first, first + count) of entry b: those that task t of phase 1 joins.
struct Joined {
  int64_t b, first, count;
};
Joined joined_by(const NormShape& shape, int64_t task) {
  if (shape.width() > 1) return {task, 0, shape.channels};
  const int64_t chunks = ceil_div(shape.channels, kChannels), first = task % chunks * kChannels;
  return {task / chunks, first, std::min(kChannels, shape.channels - first)};
}

// The workspace: two float64 arrays of channels per part, then kCount arrays of T per slot: a batch entry, or a part of one.
template <class T, int kCount>
struct Room {
  double* parts;
  T* coefficients;
  int64_t channels;

  Room(const NormShape& shape, void* workspace)
      : parts(static_cast<double*>(workspace)),
        coefficients(reinterpret_cast<T*>(parts + 2 * shape.batch * parts_of(shape).count * shape.channels)),
        channels(shape.channels) {}
  static int64_t bytes(const NormShape& shape, int64_t slots) {
    const int64_t wide = 2 * shape.batch * parts_of(shape).count * static_cast<int64_t>(sizeof(double));
    return shape.channels * (wide + slots * kCount * static_cast<int64_t>(sizeof(T)));
  }
  double* part(int64_t index) const { return parts + 2 * index * channels; }
  T* coefficient(int64_t slot, int which) const { return coefficients + (slot * kCount + which) * channels; }
};

// fn(tag of vectors, tag of rows at a time, first channel, lanes of the last vector) for the channels in fours of vectors, then fewer:
// four accumulators in all cases.
template <class T, class Fn>
DNN_INLINE void for_channel_vectors(int64_t channels, Fn&& fn) {
  constexpr int64_t N = Vec<T>::N;
  int64_t c = 0;
  for (; c + 4 * N <= channels; c += 4 * N) fn(std::integral_constant<int, 4>{}, std::integral_constant<int, 1>{}, c, N);
  for (; c + 2 * N <= channels; c += 2 * N) fn(std::integral_constant<int, 2>{}, std::integral_constant<int, 2>{}, c, N);
  for (; c < channels; c += N) fn(std::integral_constant<int, 1>{}, std::integral_constant<int, 4>{}, c, std::min(N, channels - c));
}

// Whether a block's rows fetch those of the next one: large ones that are not walked in the order of memory. (In the caches it costs 5 %.)
template <class T, class Args>
bool fetches_ahead(const Args& args) {
  return norm_streams(args) && args.shape.channels > 4 * Vec<T>::N;
}

// --- Forward ---

// Mean and squares of `rows` rows of kV vectors of channels, merged into those of the `before` rows above.
template <bool kAhead, int kV, int kR, class T>
DNN_INLINE void merge_block(const T* x, int64_t channels, int64_t rows, int64_t before, int64_t lanes, double* mean, double* squares) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  V sum[kR][kV], off[kR][kV], square[kR][kV], squared[kV];
  for (int k = 0; k < kR; ++k)
    for (int v = 0; v < kV; ++v) sum[k][v] = off[k][v] = square[k][v] = squared[v] = V::zero();
  const auto load = [&](int64_t r, int v) __attribute__((always_inline)) {
    return load_lanes(x + r * channels + v * N, kV > 1 ? N : lanes);
  };
  int64_t r = 0;
  for (; r + kR <= rows; r += kR)
    for (int k = 0; k < kR; ++k)
      for (int v = 0; v < kV; ++v) {
        if (kAhead) __builtin_prefetch(x + (r + k + rows) * channels + v * N, 0, 2);
        sum[k][v] = sum[k][v] + load(r + k, v);
      }
  for (; r < rows; ++r)
    for (int v = 0; v < kV; ++v) sum[0][v] = sum[0][v] + load(r, v);
  V m[kV];
  const V share = V::set(static_cast<T>(1.0 / static_cast<double>(rows)));
  for (int v = 0; v < kV; ++v) {
    for (int k = 1; k < kR; ++k) sum[0][v] = sum[0][v] + sum[k][v];
    m[v] = sum[0][v] * share;
  }
  const auto add = [&](int k, int v, V u) __attribute__((always_inline)) {
    off[k][v] = off[k][v] + u;
    square[k][v] = fma(u, u, square[k][v]);
  };
  int adds = 0;
  for (r = 0; r + kR <= rows; r += kR) {
    for (int k = 0; k < kR; ++k)
      for (int v = 0; v < kV; ++v) add(k, v, load(r + k, v) - m[v]);
    if (++adds < kNormAdds) continue;
    for (int k = 0; k < kR; ++k)
      for (int v = 0; v < kV; ++v) {
        squared[v] = squared[v] + square[k][v];
        square[k][v] = V::zero();
      }
    adds = 0;
  }
  for (; r < rows; ++r)
    for (int v = 0; v < kV; ++v) add(0, v, load(r, v) - m[v]);
  T means[kV * N], offs[kV * N], all[kV * N];
  for (int v = 0; v < kV; ++v) {
    for (int k = 1; k < kR; ++k) {
      off[0][v] = off[0][v] + off[k][v];
      square[0][v] = square[0][v] + square[k][v];
    }
    m[v].store(means + v * N);
    off[0][v].store(offs + v * N);
    (squared[v] + square[0][v]).store(all + v * N);
  }
  const double n = static_cast<double>(rows), above = static_cast<double>(before);
  const double to_mean = n / (n + above), to_squares = above * to_mean;
  for (int64_t c = 0; c < (kV > 1 ? kV * N : lanes); ++c) {
    const double rest = static_cast<double>(offs[c]) / n, delta = (static_cast<double>(means[c]) + rest) - mean[c];
    squares[c] += std::max(0.0, static_cast<double>(all[c]) - rest * rest * n) + delta * delta * to_squares;
    mean[c] += delta * to_mean;
  }
}

template <bool kAhead, class T>
void measure_part(const NormArgs& args, const Parts& parts, int64_t task, double* mean) {
  const int64_t channels = args.shape.channels, b = task / parts.count, part = task % parts.count, step = block_rows<T>(channels);
  double* const squares = mean + channels;
  std::fill_n(mean, 2 * channels, 0.0);
  const T* const x = static_cast<const T*>(args.x) + b * parts.rows * channels;
  for (int64_t row = parts.begin(part); row < parts.end(part); row += step) {
    const int64_t rows = std::min(step, parts.end(part) - row);
    for_channel_vectors<T>(
        channels, [&](auto vectors, auto at_a_time, int64_t c, int64_t lanes) __attribute__((always_inline)) {
          merge_block<kAhead, vectors(), at_a_time()>(x + row * channels + c, channels, rows, row - parts.begin(part), lanes, mean + c,
                                                      squares + c);
        });
  }
}

// The parts of channels [first, first + count) into the first part.
void join_parts(const Parts& parts, double* mean, int64_t channels, int64_t first, int64_t count) {
  for (int64_t p = 1; p < parts.count; ++p) {
    const double n = static_cast<double>(parts.end(p) - parts.begin(p)), above = static_cast<double>(parts.begin(p));
    const double to_mean = n / (n + above), to_squares = above * to_mean;
    const double* const other = mean + 2 * p * channels;
    for (int64_t c = first; c < first + count; ++c) {
      const double delta = other[c] - mean[c];
      mean[channels + c] += other[channels + c] + delta * delta * to_squares;
      mean[c] += delta * to_mean;
    }
  }
}

// Statistics of the groups in these channels from those of the channels, whose squares it overwrites with their groups'.
void take_groups(const NormArgs& args, const Joined& joined, double* mean) {
  const int64_t width = args.shape.width(), channels = args.shape.channels;
  double* const squares = mean + channels;
  for (int64_t group = joined.first / width; group < (joined.first + joined.count) / width; ++group) {
    SpanMoments all;
    for (int64_t c = group * width; c < (group + 1) * width; ++c) all.merge({static_cast<double>(args.shape.outer), mean[c], squares[c]});
    const int64_t s = joined.b * args.shape.groups + group;
    args.mean[s] = all.mean;
    args.rstd[s] = rstd_of(all.squares, all.n, args.eps);
    squares[group * width] = all.squares;
  }
}

template <class T>
void join(const NormArgs& args, const Room<T, 3>& room, int64_t task) {
  const NormShape& shape = args.shape;
  const Joined joined = joined_by(shape, task);
  if (args.statistics == Statistics::Running) {
    for (int64_t c = joined.first; c < joined.first + joined.count; ++c) take_running<T>(args, c);
  } else {
    const Parts parts = parts_of(shape);
    double* const mean = room.part(joined.b * parts.count);
    join_parts(parts, mean, shape.channels, joined.first, joined.count);
    take_groups(args, joined, mean);
    if (args.updates() && shape.batch == 1)
      for (int64_t c = joined.first; c < joined.first + joined.count; ++c) update_running<T>(args, c, mean[c], mean[shape.channels + c]);
  }
  for (int64_t c = joined.first; c < joined.first + joined.count; ++c) {
    const int64_t s = joined.b * shape.groups + c / shape.width();
    const Affine<T> affine = affine_of<T>(args.mean[s], args.rstd[s], args.weight, args.bias, c);
    room.coefficient(joined.b, 0)[c] = affine.centre;
    room.coefficient(joined.b, 1)[c] = affine.scale;
    room.coefficient(joined.b, 2)[c] = affine.shift;
  }
}

// What is left for one task once all are joined: running statistics over several batch entries, and the count.
template <class T>
void finish(const NormArgs& args, const Room<T, 3>& room) {
  if (!args.updates()) return;
  if (args.shape.batch > 1) {
    const int64_t parts = parts_of(args.shape).count, channels = args.shape.channels;
    for (int64_t c = 0; c < channels; ++c) {
      double mean = 0, squares = 0;
      for (int64_t b = 0; b < args.shape.batch; ++b) {
        mean += room.part(b * parts)[c];
        squares += room.part(b * parts)[channels + c];
      }
      update_running<T>(args, c, mean, squares);
    }
  }
  if (args.batches != nullptr) ++*args.batches;
}

int64_t rows_of_task(int64_t channels) { return std::max<int64_t>(1, kChunk / channels); }

// fn(b, first row of all, end) for what task t of phase 2 writes; rows of one batch entry.
template <class Fn>
void for_written_rows(const NormShape& shape, int64_t task, Fn&& fn) {
  const int64_t each = rows_of_task(shape.channels), per_entry = ceil_div(shape.outer, each);
  const int64_t b = task / per_entry, begin = task % per_entry * each;
  fn(b, b * shape.outer + begin, b * shape.outer + std::min(shape.outer, begin + each));
}
int64_t write_tasks(const NormShape& shape) { return shape.batch * ceil_div(shape.outer, rows_of_task(shape.channels)); }

// Coefficients of kV vectors of channels.
template <int kV, int kCount, class T>
struct Coefficients {
  Vec<T> of[kCount][kV];

  DNN_INLINE Coefficients(const T* from, int64_t channels, int64_t c, int64_t lanes) {
    for (int i = 0; i < kCount; ++i)
      for (int v = 0; v < kV; ++v) of[i][v] = load_lanes(from + i * channels + c + v * Vec<T>::N, lanes);
  }
};

// y = value(coefficients, vector, element, lanes) over [begin, end) rows, in the order of memory; coefficients stay in registers where four
// of them hold all channels. (Else 16 rows at a time or four vectors at a time were slower by 10 %.)
template <bool kStream, int kCount, class T, class Value>
DNN_INLINE void write_rows(const Room<T, kCount>& room, int64_t slot, int64_t begin, int64_t end, T* y, Value&& value) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t channels = room.channels;
  const T* const from = room.coefficient(slot, 0);
  const auto write = [=](const auto& coefficients, int v, int64_t at, int64_t lanes) __attribute__((always_inline)) {
    const Vec<T> result = value(coefficients, v, at, lanes);
    if constexpr (kStream)
      result.stream(y + at);
    else
      lanes >= N ? result.store(y + at) : result.store(y + at, lanes);
  };
  if (channels <= 4 * N)
    return for_channel_vectors<T>(
        channels, [&](auto vectors, auto, int64_t c, int64_t lanes) __attribute__((always_inline)) {
          const Coefficients<vectors(), kCount, T> coefficients(from, channels, c, lanes);
          for (int64_t row = begin; row < end; ++row)
            for (int v = 0; v < vectors(); ++v) write(coefficients, v, row * channels + c + v * N, lanes);
        });
  for (int64_t row = begin, at = begin * channels; row < end; ++row, at += channels) {
    int64_t c = 0;
    for (; c + N <= channels; c += N) write(Coefficients<1, kCount, T>(from, channels, c, N), 0, at + c, N);
    if (c < channels) write(Coefficients<1, kCount, T>(from, channels, c, channels - c), 0, at + c, channels - c);
  }
}

template <class T>
bool streams_rows(const void* y, int64_t channels, bool wanted) {
  return wanted && channels % Vec<T>::N == 0 && reinterpret_cast<uintptr_t>(y) % kVecBytes == 0;
}

template <bool kRelu, bool kStream, class T>
void write(const NormArgs& args, const Room<T, 3>& room, int64_t task) {
  const T* const x = static_cast<const T*>(args.x);
  for_written_rows(args.shape, task, [&](int64_t b, int64_t begin, int64_t end) {
    write_rows<kStream>(
        room, b, begin, end, static_cast<T*>(args.y), [=](const auto& k, int v, int64_t at, int64_t lanes) __attribute__((always_inline)) {
          return normalised<kRelu>(load_lanes(x + at, lanes), k.of[0][v], k.of[1][v], k.of[2][v]);
        });
  });
}

template <class T, bool kRelu>
void forward(const NormArgs& args, const Tasks& tasks) {
  const Room<T, 3> room(args.shape, args.workspace);
  const Parts parts = parts_of(args.shape);
  const int64_t step = tasks.phase + (args.statistics == Statistics::Running);
  const bool ahead = fetches_ahead<T>(args), stream = streams_rows<T>(args.y, args.shape.channels, norm_streams(args));
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    if (step == 0)
      ahead ? measure_part<true, T>(args, parts, task, room.part(task)) : measure_part<false, T>(args, parts, task, room.part(task));
    if (step == 1) join<T>(args, room, task);
    if (step == 2) stream ? write<kRelu, true>(args, room, task) : write<kRelu, false>(args, room, task);
    if (step == 2 && task == 0) finish<T>(args, room);
  }
  if (step == 2 && stream) stream_fence();
}

// --- Backward: coefficients 0 to 5 are centre, scale, shift, then slope, along, shift of dx ---

// sum g and sum g (x - centre) of `rows` rows of kV vectors of channels, added to sum and sum_x.
template <bool kRelu, bool kAhead, int kV, int kR, class T>
DNN_INLINE void add_block(const T* dy, const T* x, int64_t channels, int64_t rows, int64_t lanes, const T* centre, const T* scale,
                          const T* shift, double* sum, double* sum_x) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  V of_g[kR][kV], of_x[kR][kV], m[kV], s[kV], h[kV];
  for (int v = 0; v < kV; ++v) {
    for (int k = 0; k < kR; ++k) of_g[k][v] = of_x[k][v] = V::zero();
    const int64_t some = kV > 1 ? N : lanes;
    m[v] = load_lanes(centre + v * N, some);
    s[v] = load_lanes(scale + v * N, some);
    h[v] = load_lanes(shift + v * N, some);
  }
  const auto add = [&](int64_t r, int k, int v) __attribute__((always_inline)) {
    const int64_t at = r * channels + v * N, some = kV > 1 ? N : lanes;
    if (kAhead) __builtin_prefetch(x + at + rows * channels, 0, 2), __builtin_prefetch(dy + at + rows * channels, 0, 2);
    const V u = load_lanes(x + at, some), g = slope_through<kRelu>(load_lanes(dy + at, some), u, m[v], s[v], h[v]);
    of_g[k][v] = of_g[k][v] + g;
    of_x[k][v] = fma(g, u - m[v], of_x[k][v]);
  };
  int64_t r = 0;
  for (; r + kR <= rows; r += kR)
    for (int k = 0; k < kR; ++k)
      for (int v = 0; v < kV; ++v) add(r + k, k, v);
  for (; r < rows; ++r)
    for (int v = 0; v < kV; ++v) add(r, 0, v);
  T gs[kV * N], xs[kV * N];
  for (int v = 0; v < kV; ++v) {
    for (int k = 1; k < kR; ++k) {
      of_g[0][v] = of_g[0][v] + of_g[k][v];
      of_x[0][v] = of_x[0][v] + of_x[k][v];
    }
    of_g[0][v].store(gs + v * N);
    of_x[0][v].store(xs + v * N);
  }
  for (int64_t c = 0; c < (kV > 1 ? kV * N : lanes); ++c) {
    sum[c] += static_cast<double>(gs[c]);
    sum_x[c] += static_cast<double>(xs[c]);
  }
}

template <bool kRelu, bool kAhead, class T>
void sum_part(const NormBackwardArgs& args, const Parts& parts, const Room<T, 6>& room, int64_t task) {
  const int64_t channels = args.shape.channels, b = task / parts.count, part = task % parts.count, step = block_rows<T>(channels);
  double* const sum = room.part(task);
  std::fill_n(sum, 2 * channels, 0.0);
  T *const centre = room.coefficient(task, 0), *const scale = room.coefficient(task, 1), *const shift = room.coefficient(task, 2);
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t s = b * args.shape.groups + c / args.shape.width();
    const Affine<T> affine = affine_of<T>(args.mean[s], args.rstd[s], args.weight, args.bias, c);
    centre[c] = affine.centre;
    scale[c] = affine.scale;
    shift[c] = affine.shift;
  }
  for (int64_t row = parts.begin(part); row < parts.end(part); row += step) {
    const int64_t rows = std::min(step, parts.end(part) - row), at = (b * parts.rows + row) * channels;
    const T* const dy = static_cast<const T*>(args.dy) + at;
    const T* const x = static_cast<const T*>(args.x) + at;
    for_channel_vectors<T>(
        channels, [&](auto vectors, auto at_a_time, int64_t c, int64_t lanes) __attribute__((always_inline)) {
          add_block<kRelu, kAhead, vectors(), at_a_time()>(dy + c, x + c, channels, rows, lanes, centre + c, scale + c, shift + c, sum + c,
                                                           sum + channels + c);
        });
  }
}

// The parts of batch entry b into the first one: sum g, and sum g (x - mean).
template <class T>
void join_sums(const NormBackwardArgs& args, const Room<T, 6>& room, const Joined& joined) {
  const int64_t channels = args.shape.channels, parts = parts_of(args.shape).count;
  double* const sum = room.part(joined.b * parts);
  for (int64_t p = 1; p < parts; ++p)
    for (int64_t c = joined.first; c < joined.first + joined.count; ++c) {
      sum[c] += sum[2 * p * channels + c];
      sum[channels + c] += sum[(2 * p + 1) * channels + c];
    }
  for (int64_t c = joined.first; c < joined.first + joined.count; ++c) {
    const double mean = args.mean[joined.b * args.shape.groups + c / args.shape.width()];
    sum[channels + c] -= (mean - static_cast<double>(static_cast<T>(mean))) * sum[c];
  }
}

template <class T>
void join(const NormBackwardArgs& args, const Room<T, 6>& room, int64_t task) {
  const NormShape& shape = args.shape;
  const Joined joined = joined_by(shape, task);
  join_sums(args, room, joined);
  const int64_t slot = joined.b * parts_of(shape).count;
  const double* const sum = room.part(slot);
  const int64_t width = shape.width(), channels = shape.channels;
  const auto weight = [&](int64_t c) { return args.weight == nullptr ? 1.0 : static_cast<double>(static_cast<const T*>(args.weight)[c]); };
  for (int64_t group = joined.first / width; group < (joined.first + joined.count) / width; ++group) {
    double all = 0, all_x = 0;
    for (int64_t c = group * width; c < (group + 1) * width; ++c) {
      all += weight(c) * sum[c];
      all_x += weight(c) * sum[channels + c];
    }
    const int64_t s = joined.b * shape.groups + group;
    for (int64_t c = group * width; c < (group + 1) * width; ++c) {
      const Slopes<T> slopes = slopes_of<T>(args.statistics, args.mean[s], args.rstd[s], weight(c), all, all_x, shape.count());
      room.coefficient(slot, 3)[c] = slopes.slope;
      room.coefficient(slot, 4)[c] = slopes.along;
      room.coefficient(slot, 5)[c] = slopes.shift;
    }
  }
}

// Gradients of the weights, once all sums are joined.
template <class T>
void finish(const NormBackwardArgs& args, const Room<T, 6>& room) {
  const int64_t channels = args.shape.channels, parts = parts_of(args.shape).count;
  for (int64_t c = 0; c < channels; ++c) {
    double dweight = 0, dbias = 0;
    for (int64_t b = 0; b < args.shape.batch; ++b) {
      const double* const sum = room.part(b * parts);
      dbias += sum[c];
      dweight += sum[channels + c] * args.rstd[b * args.shape.groups + c / args.shape.width()];
    }
    if (args.dweight != nullptr) static_cast<T*>(args.dweight)[c] = static_cast<T>(dweight);
    if (args.dbias != nullptr) static_cast<T*>(args.dbias)[c] = static_cast<T>(dbias);
  }
}

template <bool kRelu, bool kStream, class T>
void write(const NormBackwardArgs& args, const Room<T, 6>& room, int64_t task) {
  const T* const dy = static_cast<const T*>(args.dy);
  const T* const x = static_cast<const T*>(args.x);
  for_written_rows(args.shape, task, [&](int64_t b, int64_t begin, int64_t end) {
    const int64_t slot = b * parts_of(args.shape).count;  // of its first part
    write_rows<kStream>(
        room, slot, begin, end,
        static_cast<T*>(args.dx), [=](const auto& k, int v, int64_t at, int64_t lanes) __attribute__((always_inline)) {
          const Vec<T> u = load_lanes(x + at, lanes), m = k.of[0][v];
          const Vec<T> g = slope_through<kRelu>(load_lanes(dy + at, lanes), u, m, k.of[1][v], k.of[2][v]);
          return fma(g, k.of[3][v], fma(u - m, k.of[4][v], k.of[5][v]));
        });
  });
}

template <class T, bool kRelu>
void backward(const NormBackwardArgs& args, const Tasks& tasks) {
  const Room<T, 6> room(args.shape, args.workspace);
  const Parts parts = parts_of(args.shape);
  const bool ahead = fetches_ahead<T>(args), stream = streams_rows<T>(args.dx, args.shape.channels, norm_streams(args));
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    if (tasks.phase == 0) ahead ? sum_part<kRelu, true>(args, parts, room, task) : sum_part<kRelu, false>(args, parts, room, task);
    if (tasks.phase == 1) join<T>(args, room, task);
    if (tasks.phase == 2 && task == 0) finish<T>(args, room);
    if (tasks.phase == 2 && args.dx != nullptr) stream ? write<kRelu, true>(args, room, task) : write<kRelu, false>(args, room, task);
  }
  if (tasks.phase == 2 && stream) stream_fence();
}

}  // namespace

void norm_columns(const NormArgs& args, const Tasks& tasks) {
  visit_norm(args, [&](auto tag, auto relu) { forward<decltype(tag), relu()>(args, tasks); });
}
Schedule norm_columns_schedule(const NormArgs& args) {
  const NormShape& shape = args.shape;
  if (args.statistics == Statistics::Running) return {2, {join_tasks(shape), write_tasks(shape), 1}, norm_cost(args, 0.2)};
  return {3, {shape.batch * parts_of(shape).count, join_tasks(shape), write_tasks(shape)}, norm_cost(args, 0.4)};
}
int64_t norm_columns_workspace(const NormArgs& args) {
  const int64_t slots = args.shape.batch;
  return args.dtype == DType::Float64 ? Room<double, 3>::bytes(args.shape, slots) : Room<float, 3>::bytes(args.shape, slots);
}

void norm_columns_backward(const NormBackwardArgs& args, const Tasks& tasks) {
  visit_norm(args, [&](auto tag, auto relu) { backward<decltype(tag), relu()>(args, tasks); });
}
Schedule norm_columns_backward_schedule(const NormBackwardArgs& args) {
  const NormShape& shape = args.shape;
  const int64_t last = args.dx == nullptr ? 1 : write_tasks(shape);
  return {3, {shape.batch * parts_of(shape).count, join_tasks(shape), last}, norm_cost(args, 0.6)};
}
int64_t norm_columns_backward_workspace(const NormBackwardArgs& args) {
  const int64_t slots = args.shape.batch * parts_of(args.shape).count;
  return args.dtype == DType::Float64 ? Room<double, 6>::bytes(args.shape, slots) : Room<float, 6>::bytes(args.shape, slots);
}

}  // namespace dnncore::DNNCORE_ISA
