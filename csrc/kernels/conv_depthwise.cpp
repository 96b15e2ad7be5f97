// Sums over the taps of one output row, channels in vectors: the output row of the forward pass, or every stride-th column of a row of
// the data's gradient. Inputs are read where they lie.
#include "kernels/conv_depthwise.h"

#include <algorithm>

#include "kernels/gemm_plan.h"
#include "kernels/reference_conv.h"

namespace dnncore::DNNCORE_ISA {
namespace {

constexpr int64_t kMostTaps = 8192;  // more: left to the reference
constexpr int64_t kFilterBytes = 1 << 20;
constexpr double kRowTaskNanoseconds = 40e3;

// A tap, or a run of `RowSum::run` taps that each lie one column further than the one before.
template <class T>
struct RowTap {
  const T* x;          // of the first tap for column 0 of the output, where it may lie outside of the row
  const T* w;          // channels adjacent
  int64_t begin, end;  // columns of the output that have it; of the first tap of a run, also beyond the row
};

template <class T>
struct RowSum {
  const RowTap<T>* taps;
  int64_t count;
  int64_t x_step, y_step;  // from column to column
  T* y;
  int64_t columns;
  const T* bias;   // or null
  int64_t run;     // 3, 5, 7, or 0: single taps
  int64_t w_step;  // from a tap of a run to the next
  const T* ahead;  // column 0 of the input row that the next output row is the first to need
};

constexpr int kColumns = 4;  // summed at a time

int64_t run_length(const ConvShape& s, int64_t columns) {
  const bool common = s.filter.w == 3 || s.filter.w == 5 || s.filter.w == 7;
  return common && s.stride.w == 1 && s.dilation.w == 1 && columns >= kColumns ? s.filter.w : 0;
}

template <class T, int P, int V, bool kPartial>
DNN_INLINE void store_sums(const RowSum<T>& row, const Vec<T> (&acc)[P][V], int64_t column, int64_t channel, int64_t lanes) {
  constexpr int N = Vec<T>::N;
  T* y = row.y + column * row.y_step + channel;
  DNN_UNROLL
  for (int v = 0; v < V; ++v) {
    const T* at = row.bias + channel + v * N;
    const Vec<T> bias = row.bias == nullptr ? Vec<T>::zero() : kPartial ? Vec<T>::load(at, lanes) : Vec<T>::load(at);
    DNN_UNROLL
    for (int p = 0; p < P; ++p) {
      T* to = y + p * row.y_step + v * N;
      kPartial ? (acc[p][v] + bias).store(to, lanes) : (acc[p][v] + bias).store(to);
    }
  }
}

template <bool kPartial, class T>
DNN_INLINE Vec<T> load_channels(const T* p, int64_t lanes) {
  return kPartial ? Vec<T>::load(p, lanes) : Vec<T>::load(p);
}

// P columns from `column` on, V vectors of channels from `channel` on; kPartial: the last one has `lanes` lanes; kBorder: not every column
// has every tap.
template <class T, int P, int V, bool kPartial, bool kBorder>
void sum_taps(const RowSum<T>& row, int64_t column, int64_t channel, int64_t lanes) {
  constexpr int N = Vec<T>::N;
  Vec<T> acc[P][V];
  DNN_UNROLL
  for (int p = 0; p < P; ++p) {
    DNN_UNROLL
    for (int v = 0; v < V; ++v) acc[p][v] = Vec<T>::zero();
  }
  for (int64_t t = 0; t < row.count; ++t) {
    const RowTap<T>& tap = row.taps[t];
    const int64_t begin = tap.begin - column, end = tap.end - column;
    if (kBorder && (begin >= P || end <= 0)) continue;
    const T *x = tap.x + column * row.x_step + channel, *w = tap.w + channel;
    Vec<T> wv[V];
    DNN_UNROLL
    for (int v = 0; v < V; ++v) wv[v] = load_channels<kPartial>(w + v * N, lanes);
    DNN_UNROLL
    for (int p = 0; p < P; ++p) {
      if (kBorder && (p < begin || p >= end)) continue;
      DNN_UNROLL
      for (int v = 0; v < V; ++v) acc[p][v] = fma(load_channels<kPartial>(x + p * row.x_step + v * N, lanes), wv[v], acc[p][v]);
    }
  }
  store_sums<T, P, V, kPartial>(row, acc, column, channel, lanes);
}

// The same for runs: an input column is loaded once for all taps that meet it. One core, GF/s: 5x5 on 14x14 of 240 channels 58 -> 72,
// 7x7 on 56x56 of 96 54 -> 59, and 68 with the next row fetched ahead; 3x3 on 56x56 of 128 17 -> 27 by that alone.
template <class T, int V, int S, bool kPartial, bool kBorder>
void sum_runs(const RowSum<T>& row, int64_t column, int64_t channel, int64_t lanes) {
  constexpr int N = Vec<T>::N, P = kColumns;
  DNN_UNROLL
  for (int p = 0; p < P; ++p) {
    DNN_UNROLL
    for (int v = 0; v < V; ++v) __builtin_prefetch(row.ahead + (column + p) * row.x_step + channel + v * N, 0, 2);
  }
  Vec<T> acc[P][V];
  DNN_UNROLL
  for (int p = 0; p < P; ++p) {
    DNN_UNROLL
    for (int v = 0; v < V; ++v) acc[p][v] = Vec<T>::zero();
  }
  for (int64_t t = 0; t < row.count; ++t) {
    const RowTap<T>& tap = row.taps[t];
    const T *x = tap.x + column * row.x_step + channel, *w = tap.w + channel;
    Vec<T> wv[S][V];
    DNN_UNROLL
    for (int s = 0; s < S; ++s) {
      DNN_UNROLL
      for (int v = 0; v < V; ++v) wv[s][v] = load_channels<kPartial>(w + s * row.w_step + v * N, lanes);
    }
    DNN_UNROLL
    for (int j = 0; j < P + S - 1; ++j) {
      if (kBorder && (column + j < tap.begin || column + j >= tap.end)) continue;
      DNN_UNROLL
      for (int v = 0; v < V; ++v) {
        const Vec<T> xv = load_channels<kPartial>(x + j * row.x_step + v * N, lanes);
        DNN_UNROLL
        for (int p = 0; p < P; ++p)
          if (j >= p && j < p + S) acc[p][v] = fma(xv, wv[j - p < 0 || j - p >= S ? 0 : j - p][v], acc[p][v]);
      }
    }
  }
  store_sums<T, P, V, kPartial>(row, acc, column, channel, lanes);
}

template <class T, int V, bool kPartial, bool kBorder>
void sum_four(const RowSum<T>& row, int64_t column, int64_t channel, int64_t lanes) {
  if (row.run == 3) return sum_runs<T, V, 3, kPartial, kBorder>(row, column, channel, lanes);
  if (row.run == 5) return sum_runs<T, V, 5, kPartial, kBorder>(row, column, channel, lanes);
  if (row.run == 7) return sum_runs<T, V, 7, kPartial, kBorder>(row, column, channel, lanes);
  sum_taps<T, kColumns, V, kPartial, kBorder>(row, column, channel, lanes);
}

// Columns of `part`, four at a time; the last of the row twice where they do not divide.
template <class T, int V, bool kPartial>
void sum_columns(const RowSum<T>& row, Range inside, Range part, int64_t channel, int64_t lanes) {
  for (int64_t column = part.begin; column < part.end;) {
    if (row.columns < kColumns) {
      sum_taps<T, 1, V, kPartial, true>(row, column++, channel, lanes);
      continue;
    }
    const int64_t from = std::min(column, row.columns - kColumns);
    if (from >= inside.begin && from + kColumns <= inside.end)
      sum_four<T, V, kPartial, false>(row, from, channel, lanes);
    else
      sum_four<T, V, kPartial, true>(row, from, channel, lanes);
    column = from + kColumns;
  }
}

// All channels of a few columns before the next ones: whole rows would read pieces of pixels far apart, single fours would read the whole
// filter again and again.
template <class T>
void sum_row(const RowSum<T>& row, int64_t channels) {
  constexpr int N = Vec<T>::N;
  constexpr int64_t kPart = 16;
  Range inside{0, row.columns};                              // columns that have all taps
  const int64_t others = std::max<int64_t>(row.run - 1, 0);  // taps of a run after the first
  for (int64_t t = 0; t < row.count; ++t)
    inside = {std::max(inside.begin, row.taps[t].begin), std::min(inside.end, row.taps[t].end - others)};
  for (int64_t column = 0; column < row.columns; column += kPart) {
    const Range part{column, std::min(row.columns, column + kPart)};
    int64_t c = 0;
    for (; c + 2 * N <= channels; c += 2 * N) sum_columns<T, 2, false>(row, inside, part, c, N);
    for (; c + N <= channels; c += N) sum_columns<T, 1, false>(row, inside, part, c, N);
    if (c < channels) sum_columns<T, 1, true>(row, inside, part, c, channels - c);
  }
}

// Rows of the output and blocks of channels, for the two passes whose result has pixels.
struct RowPlan {
  int64_t channels;  // of a block
  int64_t blocks, rows;
  int64_t tasks;  // of block x row, blocks outside
  double nanoseconds;
};

RowPlan make_row_plan(const ConvShape& s, int64_t rows) {
  RowPlan plan;
  const int64_t unit = 2 * kVecBytes / s.size();
  const int64_t most = kFilterBytes / (s.size() * s.taps()) / unit * unit;  // at least a unit for kMostTaps
  plan.channels = std::min(s.c, std::min<int64_t>(most, 256));
  plan.blocks = ceil_div(s.c, plan.channels);
  plan.rows = rows;
  plan.nanoseconds = 500 + s.flops() / (kVecBytes >= 32 ? 40 : 12) + static_cast<double>(s.x_bytes() + s.y_bytes()) / 15;
  plan.tasks =
      std::clamp<int64_t>(static_cast<int64_t>(plan.nanoseconds / kRowTaskNanoseconds), 1, std::min<int64_t>(64, plan.blocks * rows));
  return plan;
}

Schedule schedule_of(const RowPlan& plan) { return {1, {plan.tasks, 1, 1}, plan.nanoseconds}; }

// What both passes need of the filter and of the scratch.
template <class T>
class Rows {
 public:
  Rows(const ConvShape& shape, const RowPlan& plan, const void* w, std::byte* scratch)
      : s_(shape), plan_(plan), w_(static_cast<const T*>(w)), taps_(reinterpret_cast<RowTap<T>*>(scratch)) {
    filter_ = reinterpret_cast<T*>(taps_ + round_up(shape.taps(), 8));
  }

  // fn(first channel, channels, row) for the rows of a task.
  template <class Fn>
  void for_each_row(int64_t task, Fn&& fn) {
    const Range items = part_of(plan_.blocks * plan_.rows, 1, plan_.tasks, task);
    for (int64_t item = items.begin; item < items.end; ++item) {
      const int64_t first = item / plan_.rows * plan_.channels, channels = std::min(plan_.channels, s_.c - first);
      if (item == items.begin || item % plan_.rows == 0) turn_filter(first, channels);
      fn(first, channels, item % plan_.rows);
    }
  }

  RowTap<T>* taps() const { return taps_; }
  const T* filter(int64_t tap) const { return filter_ + tap * plan_.channels; }

 private:
  void turn_filter(int64_t first, int64_t channels) {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t tap = 0; tap < s_.taps(); ++tap) filter_[tap * plan_.channels + c] = w_[(first + c) * s_.taps() + tap];
  }

  const ConvShape& s_;
  const RowPlan& plan_;
  const T* w_;
  RowTap<T>* taps_;
  T* filter_;
};

template <class T>
void forward(const ConvForwardArgs& args, const Tasks& tasks) {
  const ConvShape& s = args.shape;
  const RowPlan plan = make_row_plan(s, s.n * s.out.d * s.out.h);
  Rows<T> rows(s, plan, args.w, tasks.scratch);
  const Finish finish{args.y, s.k, nullptr, s.dtype, args.activation, false, false};
  for (int64_t task = tasks.begin; task < tasks.end; ++task)
    rows.for_each_row(task, [&](int64_t first, int64_t channels, int64_t index) {
      const int64_t h = index % s.out.h, d = index / s.out.h % s.out.d, n = index / (s.out.h * s.out.d);
      RowSum<T> row{rows.taps(), 0,       s.stride.w * s.x_pixel, s.k,           static_cast<T*>(args.y) + index * s.out.w * s.k + first,
                    s.out.w,     nullptr, run_length(s, s.out.w), plan.channels, nullptr};
      const int64_t newest = std::min(s.n * s.in.d * s.in.h - 1, (n * s.in.d + d) * s.in.h + h + s.filter.h - s.pad.h);
      row.ahead = static_cast<const T*>(args.x) + std::max<int64_t>(0, newest) * s.in.w * s.x_pixel + first;
      if (args.bias != nullptr) row.bias = static_cast<const T*>(args.bias) + first;
      for (int64_t fw = 0; fw < (row.run > 0 ? 1 : s.filter.w); ++fw) {
        const int64_t in_w = fw * s.dilation.w - s.pad.w;
        const Range inside = row.run > 0 ? Range{s.pad.w, s.in.w + s.pad.w} : positions_inside(in_w, s.stride.w, s.out.w, s.in.w);
        for (int64_t fd = 0; fd < s.filter.d; ++fd) {
          const int64_t in_d = d * s.stride.d - s.pad.d + fd * s.dilation.d;
          if (in_d < 0 || in_d >= s.in.d) continue;
          for (int64_t fh = 0; fh < s.filter.h; ++fh) {
            const int64_t in_h = h * s.stride.h - s.pad.h + fh * s.dilation.h;
            if (in_h < 0 || in_h >= s.in.h) continue;
            const T* x = static_cast<const T*>(args.x) + (((n * s.in.d + in_d) * s.in.h + in_h) * s.in.w + in_w) * s.x_pixel + first;
            rows.taps()[row.count++] = {x, rows.filter((fd * s.filter.h + fh) * s.filter.w + fw), inside.begin, inside.end};
          }
        }
      }
      sum_row(row, channels);
      if (args.activation != Activation::None) finish_block<T>(finish, row.y, s.k, index * s.out.w, first, s.out.w, channels);
    });
}

int64_t quotient(int64_t a, int64_t b) { return b == 1 ? a : a / b; }

// p / stride where that is an output's position, else -1.
int64_t output_of(int64_t p, int64_t stride, int64_t extent) {
  const int64_t q = quotient(p, stride);
  return p >= 0 && q * stride == p && q < extent ? q : -1;
}

template <class T>
void backward_data(const ConvBackwardDataArgs& args, const Tasks& tasks) {
  const ConvShape& s = args.shape;
  const RowPlan plan = make_row_plan(s, s.n * s.in.d * s.in.h);
  Rows<T> rows(s, plan, args.w, tasks.scratch);
  // Of every stride-th column from `column` on of a row.
  const auto sum_columns_of = [&](int64_t first, int64_t channels, int64_t index, int64_t column) {
    const int64_t h = index % s.in.h, d = index / s.in.h % s.in.d, n = index / (s.in.h * s.in.d);
    const int64_t columns = ceil_div(s.in.w - column, s.stride.w);
    T* dx = static_cast<T*>(args.dx) + (index * s.in.w + column) * s.c + first;
    RowSum<T> row{rows.taps(), 0, s.y_pixel, s.stride.w * s.c, dx, columns, nullptr, run_length(s, columns), -plan.channels, nullptr};
    const int64_t newest = std::min(s.n * s.out.d * s.out.h - 1, (n * s.out.d + d) * s.out.h + h + 1 + s.pad.h);
    row.ahead = static_cast<const T*>(args.dy) + newest * s.out.w * s.y_pixel + first;
    if (args.bias != nullptr) row.bias = static_cast<const T*>(args.bias) + first;
    for (int64_t fw = row.run > 0 ? row.run - 1 : 0; fw < s.filter.w; ++fw) {  // a run begins with the last tap
      const int64_t from = column + s.pad.w - fw * s.dilation.w, out_w = quotient(from, s.stride.w);
      if (out_w * s.stride.w != from) continue;
      const Range inside = row.run > 0 ? Range{-out_w, s.out.w - out_w} : positions_inside(out_w, 1, columns, s.out.w);
      for (int64_t fd = 0; fd < s.filter.d; ++fd) {
        const int64_t out_d = output_of(d + s.pad.d - fd * s.dilation.d, s.stride.d, s.out.d);
        if (out_d < 0) continue;
        for (int64_t fh = 0; fh < s.filter.h; ++fh) {
          const int64_t out_h = output_of(h + s.pad.h - fh * s.dilation.h, s.stride.h, s.out.h);
          if (out_h < 0) continue;
          const T* dy = static_cast<const T*>(args.dy) + (((n * s.out.d + out_d) * s.out.h + out_h) * s.out.w + out_w) * s.y_pixel + first;
          rows.taps()[row.count++] = {dy, rows.filter((fd * s.filter.h + fh) * s.filter.w + fw), inside.begin, inside.end};
        }
      }
    }
    sum_row(row, channels);
  };
  for (int64_t task = tasks.begin; task < tasks.end; ++task)
    rows.for_each_row(task, [&](int64_t first, int64_t channels, int64_t index) {
      for (int64_t column = 0; column < std::min(s.stride.w, s.in.w); ++column) sum_columns_of(first, channels, index, column);
    });
}

bool is_for_reference(const ConvShape& s) { return s.taps() > kMostTaps; }

}  // namespace

void depthwise_forward(const ConvForwardArgs& args, const Tasks& tasks) {
  if (args.shape.n == 0) return;
  if (is_for_reference(args.shape)) return reference::conv_forward(args, tasks);
  args.shape.dtype == DType::Float64 ? forward<double>(args, tasks) : forward<float>(args, tasks);
}

Schedule depthwise_forward_schedule(const ConvForwardArgs& args) {
  const ConvShape& s = args.shape;
  if (s.n == 0) return {};
  if (is_for_reference(s)) return {1, {1, 1, 1}, 1e9};
  return schedule_of(make_row_plan(s, s.n * s.out.d * s.out.h));
}

void depthwise_backward_data(const ConvBackwardDataArgs& args, const Tasks& tasks) {
  if (args.shape.n == 0) return;
  if (is_for_reference(args.shape)) return reference::conv_backward_data(args, tasks);
  args.shape.dtype == DType::Float64 ? backward_data<double>(args, tasks) : backward_data<float>(args, tasks);
}

Schedule depthwise_backward_data_schedule(const ConvBackwardDataArgs& args) {
  const ConvShape& s = args.shape;
  if (s.n == 0) return {};
  if (is_for_reference(s)) return {1, {1, 1, 1}, 1e9};
  return schedule_of(make_row_plan(s, s.n * s.in.d * s.in.h));
}

}  // namespace dnncore::DNNCORE_ISA
