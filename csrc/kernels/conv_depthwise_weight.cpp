// The weight gradient of a depthwise convolution: for each vector of channels, the taps of a filter row stay in registers over the pixels
// of a few rows; sums of the splits are added in their order and turned into (channel, tap).
#include <algorithm>

#include "kernels/conv_depthwise.h"
#include "kernels/gemm_plan.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int kMostGroup = 5;  // taps in registers: all of the common filters' rows up to 5, 4 + 3 of 7
constexpr int64_t kBlockChannels = 256;
constexpr int64_t kChunkPixels = 256;  // of x and dy two vectors each: little more than L1
constexpr double kWeightTaskNanoseconds = 60e3;

struct DepthwisePlan {
  int64_t lanes, size;
  int64_t channels, blocks;  // of a block
  int64_t rows, row_parts, columns, column_parts, chunks;
  int64_t splits, items;  // (split, block)
  int64_t sums;           // elements of an item: taps and the bias gradient, by channels
  int64_t finish_tasks;   // of channels
  double nanoseconds;
};

DepthwisePlan make_depthwise_plan(const ConvShape& s) {
  DepthwisePlan plan;
  plan.size = s.size();
  plan.lanes = kVecBytes / plan.size;
  plan.channels = std::min(round_up(s.c, plan.lanes), kBlockChannels);
  plan.blocks = ceil_div(s.c, plan.channels);
  plan.sums = (s.taps() + 1) * plan.channels;
  plan.column_parts = ceil_div(s.out.w, 4 * kChunkPixels);
  plan.columns = ceil_div(s.out.w, plan.column_parts);
  plan.rows = std::clamp<int64_t>(kChunkPixels / plan.columns, 1, s.out.h);
  plan.row_parts = ceil_div(s.out.h, plan.rows);
  plan.chunks = s.n * s.out.d * plan.row_parts * plan.column_parts;
  plan.nanoseconds = 500 + s.flops() / (kVecBytes >= 32 ? 30 : 8) + static_cast<double>(s.x_bytes() + s.y_bytes()) / 15;
  const double sums_ns = static_cast<double>(plan.sums * plan.blocks * plan.size) / 4;
  const double most = std::min(32.0, std::max(plan.nanoseconds / kWeightTaskNanoseconds, plan.nanoseconds / (10 * sums_ns)));
  plan.splits = std::clamp<int64_t>(static_cast<int64_t>(std::min(most, plan.nanoseconds / 20e3)), 1, std::max<int64_t>(1, plan.chunks));
  plan.items = plan.splits * plan.blocks;
  plan.finish_tasks = std::clamp<int64_t>(plan.items * plan.sums >> 15, 1, plan.blocks);
  return plan;
}

// Products of dy with the taps of a filter row over some rows and columns of an image.
template <class T>
struct TapSums {
  const T* x;  // for the first row, column 0 and the first tap; may lie outside of the row
  const T* dy;
  int64_t x_column, x_row, x_tap, dy_column, dy_row;  // from one to the next
  int64_t rows;
  Range columns, inside;     // all of them, and those that have every tap
  const Range* tap_columns;  // of each tap
  T* sums;
  int64_t ld;  // from tap to tap
};

template <class T, int G, int V, bool kPartial>
void add_products(const TapSums<T>& job, int64_t channel, int64_t lanes) {
  constexpr int N = Vec<T>::N;
  const auto load = [lanes](const T* p) __attribute__((always_inline)) { return kPartial ? Vec<T>::load(p, lanes) : Vec<T>::load(p); };
  Vec<T> acc[G][V];
  DNN_UNROLL
  for (int g = 0; g < G; ++g) {
    DNN_UNROLL
    for (int v = 0; v < V; ++v) acc[g][v] = Vec<T>::zero();
  }
  const auto add = [&](const T* x, const T* dy, auto&& has) __attribute__((always_inline)) {
    Vec<T> dv[V];
    DNN_UNROLL
    for (int v = 0; v < V; ++v) dv[v] = load(dy + v * N);
    DNN_UNROLL
    for (int g = 0; g < G; ++g) {
      if (!has(g)) continue;
      DNN_UNROLL
      for (int v = 0; v < V; ++v) acc[g][v] = fma(load(x + g * job.x_tap + v * N), dv[v], acc[g][v]);
    }
  };
  const T *x_row = job.x + channel, *dy_row = job.dy + channel;
  for (int64_t row = 0; row < job.rows; ++row, x_row += job.x_row, dy_row += job.dy_row) {
    const auto at_border = [&](int64_t begin, int64_t end) {
      for (int64_t w = begin; w < end; ++w)
        add(x_row + w * job.x_column, dy_row + w * job.dy_column,
            [&](int g) { return w >= job.tap_columns[g].begin && w < job.tap_columns[g].end; });
    };
    at_border(job.columns.begin, job.inside.begin);
    const T *x = x_row + job.inside.begin * job.x_column, *dy = dy_row + job.inside.begin * job.dy_column;
    for (int64_t w = job.inside.begin; w < job.inside.end; ++w, x += job.x_column, dy += job.dy_column)
      add(x, dy, [](int) { return true; });
    at_border(job.inside.end, job.columns.end);
  }
  DNN_UNROLL
  for (int g = 0; g < G; ++g) {
    DNN_UNROLL
    for (int v = 0; v < V; ++v) {  // sums have whole vectors
      T* sum = job.sums + g * job.ld + channel + v * N;
      (Vec<T>::load(sum) + acc[g][v]).store(sum);
    }
  }
}

template <class T, int V, bool kPartial>
void add_group(const TapSums<T>& job, int64_t group, int64_t channel, int64_t lanes) {
  constexpr void (*kernels[kMostGroup])(const TapSums<T>&, int64_t, int64_t) = {
      add_products<T, 1, V, kPartial>, add_products<T, 2, V, kPartial>, add_products<T, 3, V, kPartial>, add_products<T, 4, V, kPartial>,
      add_products<T, 5, V, kPartial>};
  kernels[group - 1](job, channel, lanes);
}

template <class T>
class DepthwiseWeight {
 public:
  DepthwiseWeight(const ConvBackwardWeightArgs& args, const DepthwisePlan& plan) : args_(args), s_(args.shape), plan_(plan) {}

  void add_up(int64_t item) const {
    const int64_t block = item % plan_.blocks, split = item / plan_.blocks;
    const Range channels = channels_of(block);
    T* const sums = splits() + item * plan_.sums;
    std::fill_n(sums, plan_.sums, T{0});
    for (int64_t chunk = plan_.chunks * split / plan_.splits; chunk < plan_.chunks * (split + 1) / plan_.splits; ++chunk) {
      const Range columns = part_of(s_.out.w, 1, plan_.column_parts, chunk % plan_.column_parts);
      const int64_t part = chunk / plan_.column_parts % plan_.row_parts, plane = chunk / (plan_.column_parts * plan_.row_parts);
      const Range rows = part_of(s_.out.h, 1, plan_.row_parts, part);
      add_chunk(plane / s_.out.d, plane % s_.out.d, rows, columns, channels, sums);
      if (args_.dbias != nullptr) add_bias(plane, rows, columns, channels, sums + s_.taps() * plan_.channels);
    }
  }

  void finish(int64_t block) const {
    const Range channels = channels_of(block);
    T* const sums = splits() + block * plan_.sums;
    for (int64_t split = 1; split < plan_.splits; ++split) {
      const T* part = sums + split * plan_.blocks * plan_.sums;
      for (int64_t i = 0; i < plan_.sums; ++i) sums[i] += part[i];
    }
    T* const dw = static_cast<T*>(args_.dw) + channels.begin * s_.taps();
    for (int64_t c = 0; c < channels.size(); ++c)
      for (int64_t tap = 0; tap < s_.taps(); ++tap) dw[c * s_.taps() + tap] = sums[tap * plan_.channels + c];
    if (args_.dbias != nullptr)
      std::copy_n(sums + s_.taps() * plan_.channels, channels.size(), static_cast<T*>(args_.dbias) + channels.begin);
  }

 private:
  static constexpr int64_t kLanes = Vec<T>::N;

  T* splits() const { return static_cast<T*>(args_.workspace); }
  Range channels_of(int64_t block) const { return {block * plan_.channels, std::min(s_.c, (block + 1) * plan_.channels)}; }

  void add_chunk(int64_t n, int64_t out_d, Range rows, Range columns, Range channels, T* sums) const {
    TapSums<T> job;
    job.x_column = s_.stride.w * s_.x_pixel, job.x_row = s_.stride.h * s_.in.w * s_.x_pixel, job.x_tap = s_.dilation.w * s_.x_pixel;
    job.dy_column = s_.y_pixel, job.dy_row = s_.out.w * s_.y_pixel;
    job.columns = columns;
    job.ld = plan_.channels;
    for (int64_t fd = 0; fd < s_.filter.d; ++fd) {
      const int64_t in_d = out_d * s_.stride.d - s_.pad.d + fd * s_.dilation.d;
      if (in_d < 0 || in_d >= s_.in.d) continue;
      for (int64_t fh = 0; fh < s_.filter.h; ++fh) {
        const Range inside = positions_inside(fh * s_.dilation.h - s_.pad.h, s_.stride.h, s_.out.h, s_.in.h);
        const int64_t first = std::max(inside.begin, rows.begin);
        job.rows = std::min(inside.end, rows.end) - first;
        if (job.rows <= 0) continue;
        const int64_t in_h = first * s_.stride.h - s_.pad.h + fh * s_.dilation.h;
        job.dy = static_cast<const T*>(args_.dy) + ((n * s_.out.d + out_d) * s_.out.h + first) * job.dy_row + channels.begin;
        const T* x = static_cast<const T*>(args_.x) + ((n * s_.in.d + in_d) * s_.in.h + in_h) * s_.in.w * s_.x_pixel + channels.begin;
        add_filter_row(job, x, channels.size(), sums + (fd * s_.filter.h + fh) * s_.filter.w * plan_.channels);
      }
    }
  }

  void add_filter_row(TapSums<T>& job, const T* x, int64_t channels, T* sums) const {
    const int64_t groups = ceil_div(s_.filter.w, kMostGroup);
    Range tap_columns[kMostGroup];
    for (int64_t i = 0; i < groups; ++i) {
      const Range taps = part_of(s_.filter.w, 1, groups, i);
      job.inside = job.columns;
      for (int64_t tap = taps.begin; tap < taps.end; ++tap) {
        const Range has = positions_inside(tap * s_.dilation.w - s_.pad.w, s_.stride.w, s_.out.w, s_.in.w);
        tap_columns[tap - taps.begin] = has;
        job.inside = {std::max(job.inside.begin, has.begin), std::min(job.inside.end, has.end)};
      }
      job.inside.begin = std::min(job.inside.begin, job.columns.end);
      job.inside.end = std::max(job.inside.begin, job.inside.end);
      job.tap_columns = tap_columns;
      job.x = x + (taps.begin * s_.dilation.w - s_.pad.w) * s_.x_pixel;
      job.sums = sums + taps.begin * plan_.channels;
      int64_t c = 0;
      for (; c + 2 * kLanes <= channels; c += 2 * kLanes) add_group<T, 2, false>(job, taps.size(), c, kLanes);
      for (; c + kLanes <= channels; c += kLanes) add_group<T, 1, false>(job, taps.size(), c, kLanes);
      if (c < channels) add_group<T, 1, true>(job, taps.size(), c, channels - c);
    }
  }

  void add_bias(int64_t plane, Range rows, Range columns, Range channels, T* sums) const {
    for (int64_t c = 0; c < channels.size(); c += kLanes) {
      const int64_t lanes = std::min(kLanes, channels.size() - c);
      Vec<T> acc = Vec<T>::zero();
      for (int64_t h = rows.begin; h < rows.end; ++h) {
        const T* dy =
            static_cast<const T*>(args_.dy) + ((plane * s_.out.h + h) * s_.out.w + columns.begin) * s_.y_pixel + channels.begin + c;
        for (int64_t w = columns.begin; w < columns.end; ++w, dy += s_.y_pixel)
          acc = acc + (lanes == kLanes ? Vec<T>::load(dy) : Vec<T>::load(dy, lanes));
      }
      (Vec<T>::load(sums + c) + acc).store(sums + c);
    }
  }

  const ConvBackwardWeightArgs& args_;
  const ConvShape& s_;
  const DepthwisePlan& plan_;
};

template <class T>
void run(const ConvBackwardWeightArgs& args, const Tasks& tasks) {
  const DepthwisePlan plan = make_depthwise_plan(args.shape);
  const DepthwiseWeight<T> gradient(args, plan);
  for (int64_t task = tasks.begin; task < tasks.end; ++task) {
    if (tasks.phase == 0) {
      gradient.add_up(task);
      continue;
    }
    const Range blocks = part_of(plan.blocks, 1, plan.finish_tasks, task);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) gradient.finish(block);
  }
}

}  // namespace

void depthwise_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks) {
  args.shape.dtype == DType::Float64 ? run<double>(args, tasks) : run<float>(args, tasks);
}

Schedule depthwise_backward_weight_schedule(const ConvBackwardWeightArgs& args) {
  const DepthwisePlan plan = make_depthwise_plan(args.shape);
  return {2, {plan.items, plan.finish_tasks, 1}, plan.nanoseconds};
}

int64_t depthwise_backward_weight_workspace(const ConvBackwardWeightArgs& args) {
  const DepthwisePlan plan = make_depthwise_plan(args.shape);
  return plan.items * plan.sums * plan.size;
}

}  // namespace dnncore::DNNCORE_ISA
