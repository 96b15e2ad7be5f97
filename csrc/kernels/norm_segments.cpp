// Runs of `inner` adjacent elements per channel (channels before space). Where there are enough statistics, a task has whole ones: what it
// measured is written while it is in the cache. Few large ones are measured in parts, joined in phase 1 and written in pieces in phase 2.
// (To fetch what the next statistic measures while one is written won 10 % alone, but lost as much beside other work.)
#include "kernels/norm_parts.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kEnough = 16;  // statistics that keep the threads busy

// `outer` runs of `length`, `stride` apart, as spans of about `span` elements: pieces of a run, or several runs.
struct Spans {
  int64_t outer, length, stride;
  int64_t pieces, piece;  // of a run
  int64_t runs;           // at a time
  int64_t count;

  Spans(int64_t outer, int64_t length, int64_t stride, int64_t span) : outer(outer), length(length), stride(stride) {
    pieces = ceil_div(length, span);
    piece = ceil_div(ceil_div(length, pieces), 16) * 16;
    runs = pieces > 1 ? 1 : std::min(outer, span / length);
    count = ceil_div(outer, runs) * pieces;
  }
  // fn(offset, runs, length) for spans [begin, end).
  template <class Fn>
  void each(int64_t begin, int64_t end, Fn&& fn) const {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t run = i / pieces * runs, at = i % pieces * piece;
      if (at < length) fn(run * stride + at, std::min(runs, outer - run), std::min(piece, length - at));
    }
  }
};

int64_t span_of(DType dtype) { return dtype == DType::Float64 ? kNormSpan<double> : kNormSpan<float>; }
Spans spans_of_statistic(const NormShape& shape, DType dtype) {
  return {shape.outer, shape.width() * shape.inner, shape.channels * shape.inner, span_of(dtype)};
}
Spans spans_of_channel(const NormShape& shape, DType dtype) {
  return {shape.outer, shape.inner, shape.channels * shape.inner, span_of(dtype)};
}

// Short runs, far apart, of a statistic that outgrows L2 while all of them fit L3: the order of memory gains more than writing while one
// measures (gradient of 128 x 16 x 32 x 32: 1.2 -> 0.8 ms).
bool scattered(const NormShape& shape, DType dtype, const Spans& spans) {
  const auto size = static_cast<int64_t>(itemsize(dtype));
  return spans.runs > 1 && shape.count() * size > 256 << 10 && shape.elements() * size < kStreamBytes;
}

int64_t parts_for(const NormShape& shape, DType dtype, const Spans& spans) {
  const bool apart = scattered(shape, dtype, spans);
  if (shape.statistics() >= kEnough && !apart) return 1;
  return std::clamp<int64_t>(std::min<int64_t>(shape.elements() / 131072, 64) / shape.statistics(), apart ? 2 : 1, spans.count);
}
int64_t statistic_parts(const NormArgs& args) { return parts_for(args.shape, args.dtype, spans_of_statistic(args.shape, args.dtype)); }
int64_t channel_parts(const NormBackwardArgs& args) { return parts_for(args.shape, args.dtype, spans_of_channel(args.shape, args.dtype)); }

int64_t statistics_per_task(const NormShape& shape) { return std::max<int64_t>(1, kChunk / shape.count()); }
int64_t whole_tasks(const NormShape& shape) { return ceil_div(shape.statistics(), statistics_per_task(shape)); }
int64_t pieces_of(const NormShape& shape) { return ceil_div(shape.elements(), 2 * kChunk); }

// Where statistic s, or its channel c, begins.
int64_t first_of(const NormShape& shape, int64_t s) {
  return (s / shape.groups * shape.outer * shape.channels + s % shape.groups * shape.width()) * shape.inner;
}

// fn(entry of (batch, channels), offset, count) for the runs in piece `task` of all elements.
template <class Fn>
void for_runs(const NormShape& shape, int64_t task, Fn&& fn) {
  const int64_t end = std::min(shape.elements(), (task + 1) * 2 * kChunk);
  int64_t at = task * 2 * kChunk, run = at / shape.inner;
  while (at < end) {
    const int64_t count = std::min(end, (run + 1) * shape.inner) - at;
    fn(run / (shape.channels * shape.outer) * shape.channels + run % shape.channels, at, count);
    at += count;
    ++run;
  }
}

// fn(statistic) for those that the tasks have whole.
template <class Fn>
void for_whole(const NormShape& shape, const Tasks& tasks, Fn&& fn) {
  const int64_t each = statistics_per_task(shape), end = std::min(shape.statistics(), tasks.end * each);
  for (int64_t s = tasks.begin * each; s < end; ++s) fn(s);
}

// --- Forward ---

bool in_whole(const NormArgs& args) { return args.statistics != Statistics::Running && statistic_parts(args) == 1; }

// The workspace: squares per statistic, where running ones are updated; then the parts; then a coefficient per (batch, channel).
template <class T>
struct Room {
  double* squares;
  SpanMoments* parts;
  Affine<T>* affine;

  explicit Room(const NormArgs& args)
      : squares(static_cast<double*>(args.workspace)),
        parts(reinterpret_cast<SpanMoments*>(squares + args.shape.statistics())),
        affine(reinterpret_cast<Affine<T>*>(parts + (in_whole(args) ? 0 : args.shape.statistics() * statistic_parts(args)))) {}
  static int64_t bytes(const NormArgs& args) {
    const int64_t statistics = args.shape.statistics() * static_cast<int64_t>(sizeof(double));
    if (in_whole(args)) return args.updates() ? statistics : 0;
    return statistics + args.shape.statistics() * statistic_parts(args) * static_cast<int64_t>(sizeof(SpanMoments)) +
           args.shape.batch * args.shape.channels * static_cast<int64_t>(sizeof(Affine<T>));
  }
};

template <class T>
SpanMoments measure(const NormArgs& args, const Spans& spans, int64_t s, int64_t begin, int64_t end) {
  const T* const x = static_cast<const T*>(args.x) + first_of(args.shape, s);
  SpanMoments all;
  spans.each(begin, end, [&](int64_t at, int64_t runs, int64_t length) { all.merge(span_moments(x + at, runs, spans.stride, length)); });
  return all;
}

void take(const NormArgs& args, int64_t s, const SpanMoments& found) {
  args.mean[s] = found.mean;
  args.rstd[s] = rstd_of(found.squares, found.n, args.eps);
}

template <bool kRelu, class T>
DNN_INLINE void write_run(const T* x, T* y, int64_t count, const Affine<T>& affine, bool stream) {
  using V = Vec<T>;
  const V centre = V::set(affine.centre), scale = V::set(affine.scale), shift = V::set(affine.shift);
  map_row(
      x, y, count, stream, [&](V v) __attribute__((always_inline)) { return normalised<kRelu>(v, centre, scale, shift); });
}

template <class T, bool kRelu>
void whole(const NormArgs& args, const Room<T>& room, const Spans& spans, int64_t s, bool stream) {
  const NormShape& shape = args.shape;
  const SpanMoments found = measure<T>(args, spans, s, 0, spans.count);
  take(args, s, found);
  if (args.updates()) room.squares[s] = found.squares;
  const int64_t first = s % shape.groups * shape.width(), origin = first_of(shape, s);
  for (int64_t w = 0; w < shape.width(); ++w) {
    const Affine<T> affine = affine_of<T>(args.mean[s], args.rstd[s], args.weight, args.bias, first + w);
    for (int64_t o = 0; o < shape.outer; ++o) {
      const int64_t at = origin + (o * shape.channels + w) * shape.inner;
      write_run<kRelu>(static_cast<const T*>(args.x) + at, static_cast<T*>(args.y) + at, shape.inner, affine, stream);
    }
  }
}

template <class T>
void update_all(const NormArgs& args, const Room<T>& room) {
  if (!args.updates()) return;
  const int64_t channels = args.shape.channels;
  for (int64_t c = 0; c < channels; ++c) {
    double mean = 0, squares = 0;
    for (int64_t b = 0; b < args.shape.batch; ++b) {
      mean += args.mean[b * channels + c];
      squares += room.squares[b * channels + c];
    }
    update_running<T>(args, c, mean, squares);
  }
  if (args.batches != nullptr) ++*args.batches;
}

template <class T>
void join(const NormArgs& args, const Room<T>& room) {
  const NormShape& shape = args.shape;
  const int64_t parts = statistic_parts(args);
  for (int64_t s = 0; s < shape.statistics(); ++s) {
    if (args.statistics == Statistics::Running) {
      take_running<T>(args, s);
      continue;
    }
    SpanMoments all;
    for (int64_t p = 0; p < parts; ++p) all.merge(room.parts[s * parts + p]);
    take(args, s, all);
    room.squares[s] = all.squares;
  }
  for (int64_t i = 0; i < shape.batch * shape.channels; ++i) {
    const int64_t c = i % shape.channels, s = i / shape.channels * shape.groups + c / shape.width();
    room.affine[i] = affine_of<T>(args.mean[s], args.rstd[s], args.weight, args.bias, c);
  }
  update_all(args, room);
}

template <class T, bool kRelu>
void forward(const NormArgs& args, const Tasks& tasks) {
  const NormShape& shape = args.shape;
  const Room<T> room(args);
  const bool stream = norm_streams(args);
  if (in_whole(args)) {
    if (tasks.phase == 1) return update_all(args, room);
    const Spans spans = spans_of_statistic(shape, args.dtype);
    for_whole(shape, tasks, [&](int64_t s) { whole<T, kRelu>(args, room, spans, s, stream); });
    if (stream) stream_fence();
    return;
  }
  const int64_t step = tasks.phase + (args.statistics == Statistics::Running);
  if (step == 1) return join(args, room);
  const Spans spans = spans_of_statistic(shape, args.dtype);
  const int64_t parts = statistic_parts(args);
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    if (step == 0) {
      const int64_t part = task % parts;
      room.parts[task] = measure<T>(args, spans, task / parts, part * spans.count / parts, (part + 1) * spans.count / parts);
      continue;
    }
    for_runs(shape, task, [&](int64_t entry, int64_t at, int64_t count) {
      write_run<kRelu>(static_cast<const T*>(args.x) + at, static_cast<T*>(args.y) + at, count, room.affine[entry], stream);
    });
  }
  if (step == 2 && stream) stream_fence();
}

// --- Backward ---

struct RunSums {
  double g = 0, gx = 0;  // of g, and of g (x - mean)
};

template <class T>
struct Coefficients {
  Affine<T> affine;
  Slopes<T> slopes;
};

// The workspace: sums per (batch, channel) and part, then coefficients per (batch, channel).
template <class T>
struct BackwardRoom {
  RunSums* sums;
  Coefficients<T>* coefficients;

  explicit BackwardRoom(const NormBackwardArgs& args)
      : sums(static_cast<RunSums*>(args.workspace)),
        coefficients(reinterpret_cast<Coefficients<T>*>(sums + args.shape.batch * args.shape.channels * channel_parts(args))) {}
  static int64_t bytes(const NormBackwardArgs& args) {
    const int64_t parts = channel_parts(args), sums = parts * static_cast<int64_t>(sizeof(RunSums));
    return args.shape.batch * args.shape.channels * (sums + (parts > 1 ? static_cast<int64_t>(sizeof(Coefficients<T>)) : 0));
  }
};

// Of a span, about the centre.
template <bool kRelu, class T>
RunSums span_sums(const T* dy, const T* x, int64_t runs, int64_t stride, int64_t length, const Affine<T>& affine) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  const V centre = V::set(affine.centre), scale = V::set(affine.scale), shift = V::set(affine.shift);
  V a = V::zero(), b = a, c = a, d = a;
  const auto add = [&](V dy, V v, V & to_g, V & to_x) __attribute__((always_inline)) {
    const V g = slope_through<kRelu>(dy, v, centre, scale, shift);
    to_g = to_g + g;
    to_x = fma(g, v - centre, to_x);
  };
  for (int64_t r = 0; r < runs; ++r, dy += stride, x += stride) {
    int64_t i = 0;
    for (; i + 2 * N <= length; i += 2 * N) {
      if (runs > 1)
        for (int k = 0; k < 2; ++k) {  // the next run, which the hardware does not see coming
          __builtin_prefetch(dy + stride + i + k * N, 0, 2);
          __builtin_prefetch(x + stride + i + k * N, 0, 2);
        }
      add(V::load(dy + i), V::load(x + i), a, c);
      add(V::load(dy + i + N), V::load(x + i + N), b, d);
    }
    for (; i + N <= length; i += N) add(V::load(dy + i), V::load(x + i), a, c);
    if (i < length) add(V::load(dy + i, length - i), V::load(x + i, length - i), a, c);  // the lanes beyond have dy == 0
  }
  return {reduce_add(a + b), reduce_add(c + d)};
}

template <bool kRelu, class T>
RunSums channel_sums(const NormBackwardArgs& args, const Spans& spans, int64_t entry, int64_t begin, int64_t end, const Affine<T>& affine,
                     double mean) {
  const NormShape& shape = args.shape;
  const int64_t origin = (entry / shape.channels * shape.outer * shape.channels + entry % shape.channels) * shape.inner;
  const T* const dy = static_cast<const T*>(args.dy) + origin;
  const T* const x = static_cast<const T*>(args.x) + origin;
  RunSums all;
  spans.each(begin, end, [&](int64_t at, int64_t runs, int64_t length) {
    const RunSums found = span_sums<kRelu>(dy + at, x + at, runs, spans.stride, length, affine);
    all.g += found.g;
    all.gx += found.gx;
  });
  all.gx -= (mean - static_cast<double>(affine.centre)) * all.g;
  return all;
}

template <class T>
double weight_of(const NormBackwardArgs& args, int64_t channel) {
  return args.weight == nullptr ? 1.0 : static_cast<double>(static_cast<const T*>(args.weight)[channel]);
}

// Of statistic s, from the sums of its channels, which are those of `first` on.
template <class T>
RunSums group_sums(const NormBackwardArgs& args, const RunSums* sums, int64_t first) {
  RunSums all;
  for (int64_t w = 0; w < args.shape.width(); ++w) {
    const double weight = weight_of<T>(args, first + w);
    all.g += weight * sums[w].g;
    all.gx += weight * sums[w].gx;
  }
  return all;
}

template <bool kRelu, class T>
DNN_INLINE void write_run(const NormBackwardArgs& args, int64_t at, int64_t count, const Affine<T>& affine, const Slopes<T>& slopes,
                          bool stream) {
  using V = Vec<T>;
  const V centre = V::set(affine.centre), scale = V::set(affine.scale), shift = V::set(affine.shift);
  const V slope = V::set(slopes.slope), along = V::set(slopes.along), offset = V::set(slopes.shift);
  map_two(
      static_cast<const T*>(args.dy) + at, static_cast<const T*>(args.x) + at, static_cast<T*>(args.dx) + at, count,
      stream, [&](V dy, V x) __attribute__((always_inline)) {
        return fma(slope_through<kRelu>(dy, x, centre, scale, shift), slope, fma(x - centre, along, offset));
      });
}

template <class T, bool kRelu>
void whole(const NormBackwardArgs& args, const BackwardRoom<T>& room, const Spans& spans, int64_t s, bool stream) {
  const NormShape& shape = args.shape;
  const int64_t first = s % shape.groups * shape.width(), entry = s / shape.groups * shape.channels + first;
  const double mean = args.mean[s], rstd = args.rstd[s];
  for (int64_t w = 0; w < shape.width(); ++w) {
    const Affine<T> affine = affine_of<T>(mean, rstd, args.weight, args.bias, first + w);
    room.sums[entry + w] = channel_sums<kRelu>(args, spans, entry + w, 0, spans.count, affine, mean);
  }
  if (args.dx == nullptr) return;
  const RunSums all = group_sums<T>(args, room.sums + entry, first);
  const int64_t origin = first_of(shape, s);
  for (int64_t w = 0; w < shape.width(); ++w) {
    const Affine<T> affine = affine_of<T>(mean, rstd, args.weight, args.bias, first + w);
    const Slopes<T> slopes = slopes_of<T>(args.statistics, mean, rstd, weight_of<T>(args, first + w), all.g, all.gx, shape.count());
    for (int64_t o = 0; o < shape.outer; ++o)
      write_run<kRelu>(args, origin + (o * shape.channels + w) * shape.inner, shape.inner, affine, slopes, stream);
  }
}

template <class T>
void weight_gradients(const NormBackwardArgs& args, const BackwardRoom<T>& room) {
  const NormShape& shape = args.shape;
  for (int64_t c = 0; c < shape.channels; ++c) {
    double dweight = 0, dbias = 0;
    for (int64_t b = 0; b < shape.batch; ++b) {
      const RunSums& sums = room.sums[b * shape.channels + c];
      dweight += sums.gx * args.rstd[b * shape.groups + c / shape.width()];
      dbias += sums.g;
    }
    if (args.dweight != nullptr) static_cast<T*>(args.dweight)[c] = static_cast<T>(dweight);
    if (args.dbias != nullptr) static_cast<T*>(args.dbias)[c] = static_cast<T>(dbias);
  }
}

template <class T>
void join(const NormBackwardArgs& args, const BackwardRoom<T>& room) {
  const NormShape& shape = args.shape;
  const int64_t parts = channel_parts(args), entries = shape.batch * shape.channels;
  for (int64_t i = 0; i < entries; ++i) {
    RunSums all;
    for (int64_t p = 0; p < parts; ++p) {
      all.g += room.sums[i * parts + p].g;
      all.gx += room.sums[i * parts + p].gx;
    }
    room.sums[i] = all;  // behind what is still to be read
  }
  for (int64_t s = 0; s < shape.statistics(); ++s) {
    const int64_t first = s % shape.groups * shape.width(), entry = s / shape.groups * shape.channels + first;
    const RunSums all = group_sums<T>(args, room.sums + entry, first);
    for (int64_t w = 0; w < shape.width(); ++w)
      room.coefficients[entry + w] = {
          affine_of<T>(args.mean[s], args.rstd[s], args.weight, args.bias, first + w),
          slopes_of<T>(args.statistics, args.mean[s], args.rstd[s], weight_of<T>(args, first + w), all.g, all.gx, shape.count())};
  }
  weight_gradients(args, room);
}

template <class T, bool kRelu>
void backward(const NormBackwardArgs& args, const Tasks& tasks) {
  const NormShape& shape = args.shape;
  const BackwardRoom<T> room(args);
  const Spans spans = spans_of_channel(shape, args.dtype);
  const int64_t parts = channel_parts(args);
  const bool stream = norm_streams(args);
  if (parts == 1) {
    if (tasks.phase == 1) return weight_gradients(args, room);
    for_whole(shape, tasks, [&](int64_t s) { whole<T, kRelu>(args, room, spans, s, stream); });
    if (stream) stream_fence();
    return;
  }
  if (tasks.phase == 1) return join(args, room);
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    if (tasks.phase == 0) {
      const int64_t entry = task / parts, part = task % parts, c = entry % shape.channels;
      const int64_t s = entry / shape.channels * shape.groups + c / shape.width();
      const Affine<T> affine = affine_of<T>(args.mean[s], args.rstd[s], args.weight, args.bias, c);
      room.sums[task] =
          channel_sums<kRelu>(args, spans, entry, part * spans.count / parts, (part + 1) * spans.count / parts, affine, args.mean[s]);
      continue;
    }
    for_runs(shape, task, [&](int64_t entry, int64_t at, int64_t count) {
      write_run<kRelu>(args, at, count, room.coefficients[entry].affine, room.coefficients[entry].slopes, stream);
    });
  }
  if (tasks.phase == 2 && stream) stream_fence();
}

}  // namespace

void norm_segments(const NormArgs& args, const Tasks& tasks) {
  visit_norm(args, [&](auto tag, auto relu) { forward<decltype(tag), relu()>(args, tasks); });
}
Schedule norm_segments_schedule(const NormArgs& args) {
  const NormShape& shape = args.shape;
  if (args.statistics == Statistics::Running) return {2, {1, pieces_of(shape), 1}, norm_cost(args, 0.2)};
  if (in_whole(args)) return {args.updates() ? 2 : 1, {whole_tasks(shape), 1, 1}, norm_cost(args, 0.35)};
  return {3, {shape.statistics() * statistic_parts(args), 1, pieces_of(shape)}, norm_cost(args, 0.4)};
}
int64_t norm_segments_workspace(const NormArgs& args) {
  return args.dtype == DType::Float64 ? Room<double>::bytes(args) : Room<float>::bytes(args);
}

void norm_segments_backward(const NormBackwardArgs& args, const Tasks& tasks) {
  visit_norm(args, [&](auto tag, auto relu) { backward<decltype(tag), relu()>(args, tasks); });
}
Schedule norm_segments_backward_schedule(const NormBackwardArgs& args) {
  const NormShape& shape = args.shape;
  const int64_t parts = channel_parts(args);
  const bool weights = args.dweight != nullptr || args.dbias != nullptr;
  if (parts == 1) return {weights ? 2 : 1, {whole_tasks(shape), 1, 1}, norm_cost(args, 0.5)};
  return {args.dx == nullptr ? 2 : 3, {shape.batch * shape.channels * parts, 1, pieces_of(shape)}, norm_cost(args, 0.6)};
}
int64_t norm_segments_backward_workspace(const NormBackwardArgs& args) {
  return args.dtype == DType::Float64 ? BackwardRoom<double>::bytes(args) : BackwardRoom<float>::bytes(args);
}

}  // namespace dnncore::DNNCORE_ISA
