// dw = sum over pixels of x times dy: a task copies the input of some pixels (its strip) and packs their dy, then passes over them once
// for every filter row with sums that stay in registers; [add up the splits]. At last sums turn into (k, c, filter).
#include "kernels/conv_weight.h"

#include <utility>

#include "core/launch.h"
#include "kernels/conv_depthwise.h"
#include "kernels/conv_weight_few.h"
#include "kernels/reference_conv.h"
#include "kernels/transpose.h"

namespace dnncore::DNNCORE_ISA {
namespace {

// to[i * to_step ...] = `count` elements each of pixels i of a row; pixels outside [0, extent) are zeros.
template <class T>
void copy_pixels(T* to, int64_t to_step, const T* row, int64_t pixel, int64_t first, int64_t pixel_step, int64_t pixels, int64_t extent,
                 int64_t count) {
  constexpr int N = Vec<T>::N;
  const auto [begin, end] = positions_inside(first, pixel_step, pixels, extent);
  for (int64_t i = 0; i < begin; ++i) std::fill_n(to + i * to_step, count, T{0});
  for (int64_t i = end; i < pixels; ++i) std::fill_n(to + i * to_step, count, T{0});
  if (begin == end) return;
  const T* from = row + (first + begin * pixel_step) * pixel;
  const int64_t from_step = pixel_step * pixel;
  to += begin * to_step;
  if (to_step == count && from_step == count) {
    std::memcpy(to, from, static_cast<size_t>((end - begin) * count) * sizeof(T));
  } else if (count == 1) {
    for (int64_t i = begin; i < end; ++i, to += to_step, from += from_step) *to = *from;
  } else {
    for (int64_t i = begin; i < end; ++i, to += to_step, from += from_step) {
      int64_t j = 0;
      for (; j + N <= count; j += N) Vec<T>::load(from + j).store(to + j);
      for (; j < count; ++j) to[j] = from[j];
    }
  }
}

// to[i * to_step + 0 ... 3] = pixel i of four rows: one by one, a first layer of one channel spent a third of its time
// here.
template <class T>
void interleave_four(T* to, int64_t to_step, const T* const (&rows)[4], int64_t pixels) {
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  const auto load = [](const T* p) {
    Four x;
    std::memcpy(&x, p, sizeof(x));
    return x;
  };
  int64_t i = 0;
  for (; i + 4 <= pixels; i += 4) {
    const Four a = load(rows[0] + i), b = load(rows[1] + i), c = load(rows[2] + i), d = load(rows[3] + i);
    const Four ac = __builtin_shufflevector(a, c, 0, 4, 1, 5), bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
    const Four high_ac = __builtin_shufflevector(a, c, 2, 6, 3, 7), high_bd = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    const Four columns[4] = {__builtin_shufflevector(ac, bd, 0, 4, 1, 5), __builtin_shufflevector(ac, bd, 2, 6, 3, 7),
                             __builtin_shufflevector(high_ac, high_bd, 0, 4, 1, 5), __builtin_shufflevector(high_ac, high_bd, 2, 6, 3, 7)};
    for (int j = 0; j < 4; ++j) std::memcpy(to + (i + j) * to_step, &columns[j], sizeof(Four));
  }
  for (; i < pixels; ++i)
    for (int r = 0; r < 4; ++r) to[i * to_step + r] = rows[r][i];
}

// Output rows of the chunk whose input row for filter row `r` exists.
Range rows_inside(const ConvShape& s, const WeightChunk& chunk, int64_t r) {
  return positions_inside(chunk.h.begin * s.stride.h - s.pad.h + r * s.dilation.h, s.stride.h, chunk.h.size(), s.in.h);
}

// Fewer, longer loops where pixels lie at one distance throughout.
template <class T>
void flatten(WeightTile<T>& tile) {
  const auto rows_into_steps = [&] {
    if (tile.steps == 1) tile.a_step = tile.a_row, tile.b_step = tile.b_row;
    if (tile.steps != 1 && (tile.a_row != tile.steps * tile.a_step || tile.b_row != tile.steps * tile.b_step) && tile.rows != 1) return;
    tile.steps *= tile.rows;
    tile.rows = tile.planes;
    tile.a_row = tile.a_plane, tile.b_row = tile.b_plane;
    tile.planes = 1;
  };
  rows_into_steps();
  rows_into_steps();
}

template <class T>
class WeightGradient {
 public:
  WeightGradient(const ConvBackwardWeightArgs& args, const WeightPlan& plan, const WeightTiles<T>& tiles)
      : args_(args), s_(args.shape), plan_(plan), tiles_(tiles) {}

  void add_up(int64_t item, std::byte* scratch) const {
    const WeightBlock block = weight_block(s_, plan_, item % plan_.blocks);
    const int64_t split = item / plan_.blocks;
    T* const space = reinterpret_cast<T*>(scratch);
    T* const sums = plan_.splits > 1 ? splits() + item * plan_.sums : space;
    std::fill_n(sums, plan_.sums, T{0});
    T* const copies = space + (plan_.splits > 1 ? 0 : plan_.sums);
    const Range chunks = chunks_of(split);
    for (int64_t chunk = chunks.begin; chunk < chunks.end; ++chunk) {
      Lines ahead = chunk + 1 < chunks.end ? lines_of(block, chunk + 1) : lines_of_item(item + 1);
      ahead.wait += products_of(block);
      add_chunk(block, weight_chunk(s_, plan_, chunk), ahead, sums, copies);
    }
    if (plan_.splits > 1) return;
    store_block(block, sums);
    if (args_.dbias != nullptr && block.first) finish_bias(block, sums);
  }

  // A part of a block: its splits, added in their order where they lie in long runs, then as a block of its own. Straight from the splits
  // to dw, by vectors of output channels, they were read from everywhere at once: 8 % of ResNet-18's third stage, now 2 %.
  void finish(int64_t unit, std::byte* scratch) const {
    const int64_t index = unit / (plan_.finish_c * plan_.finish_k);
    const WeightBlock block = weight_block(s_, plan_, index);
    WeightBlock part = block;
    const auto sub_range = [](Range whole, int64_t unit_size, int64_t parts, int64_t i) {
      const Range part = part_of(whole.size(), unit_size, parts, i);
      return Range{whole.begin + part.begin, whole.begin + part.end};
    };
    part.c = sub_range(block.c, 16, plan_.finish_c, unit % plan_.finish_c);
    part.k = sub_range(block.k, kLanes, plan_.finish_k, unit / plan_.finish_c % plan_.finish_k);
    const T* const sums = splits() + index * plan_.sums;
    T* const total = reinterpret_cast<T*>(scratch);
    add_splits(block, part, sums, total);
    store_block(part, total);
    if (args_.dbias != nullptr && block.first && unit % (plan_.finish_c * plan_.finish_k) == 0) finish_bias(block, sums);
  }

 private:
  static constexpr int64_t kLanes = Vec<T>::N;

  Range chunks_of(int64_t split) const { return {plan_.chunks * split / plan_.splits, plan_.chunks * (split + 1) / plan_.splits}; }
  T* splits() const { return static_cast<T*>(args_.workspace); }
  T* bias_sums(T* sums, const WeightBlock& block) const { return sums + plan_.sums - block.k.size(); }

  // What the next chunk copies, to be fetched to L2 by the last products of this one, each a line of every pixel (VGG's first layer 63 ->
  // 88 GF/s).
  struct Lines {
    struct Run {
      const char* at;
      int64_t step, lines;  // bytes between pixels; of a pixel
    };
    Run runs[2];
    int64_t wait;  // products until the first one

    Run next() {
      if (wait-- > 0) return {runs[0].at, 0, 0};
      for (Run& run : runs)
        if (run.lines > 0) return {std::exchange(run.at, run.at + 64), run.step, run.lines--};
      return {runs[0].at, 0, 0};
    }
  };
  Lines lines_of(const WeightBlock& block, int64_t index) const {
    const WeightChunk chunk = weight_chunk(s_, plan_, index);
    const auto run = [&](const T* at, int64_t pixel, int64_t count) {
      return typename Lines::Run{reinterpret_cast<const char*>(at), pixel * plan_.size, ceil_div(count * plan_.size, 64)};
    };
    Lines lines{{run(dy_at(block, chunk, 0, 0), s_.y_pixel, block.k.size()), {}}, 0};
    if (s_.stride.w == 1 && s_.stride.h == 1) lines.runs[1] = run(x_at(block, chunk), s_.x_pixel, block.c.size());
    lines.wait = -lines.runs[0].lines - lines.runs[1].lines;
    return lines;
  }
  // The next item is most often this thread's next one (ResNet-50's 64 -> 256 pixels, items of two or three chunks: 8 %).
  Lines lines_of_item(int64_t item) const {
    if (item == plan_.items) return {{{static_cast<const char*>(args_.dy), 0, 0}, {}}, 0};
    return lines_of(weight_block(s_, plan_, item % plan_.blocks), chunks_of(item / plan_.blocks).begin);
  }

  void add_chunk(const WeightBlock& block, const WeightChunk& chunk, Lines ahead, T* sums, T* copies) const {
    const WeightStrip strip = weight_strip(s_, plan_, block, chunk);
    const T* input = x_at(block, chunk);
    T* packed = copies;
    if (!plan_.in_place) {
      copy_input(block, chunk, strip, copies);
      input = copies;
      packed += round_up(block.d.size() * strip.d + kWeightWidth * kLanes, 64);
    }
    T* const bias = args_.dbias != nullptr && block.first ? bias_sums(sums, block) : nullptr;
    if (!plan_.turned || bias != nullptr) take_dy(block, chunk, plan_.turned ? nullptr : packed, bias);
    const int64_t ld = sums_ld(plan_, block, strip);
    for (int64_t d = block.d.begin; d < block.d.end; ++d) {
      const int64_t depth = chunk.d * s_.stride.d - s_.pad.d + d * s_.dilation.d;
      if (depth < 0 || depth >= s_.in.d) continue;
      for (int64_t r = 0; r < strip.filter_rows; ++r) {
        const Range rows = plan_.folds ? Range{0, chunk.h.size()} : rows_inside(s_, chunk, block.r.begin + r);
        if (rows.size() == 0) continue;
        const T* x = input + (d - block.d.begin) * strip.d + r * strip.filter_row + rows.begin * strip.row;
        const int64_t filter_row = (d - block.d.begin) * strip.filter_rows + r;
        if (plan_.turned)
          multiply_turned(block, chunk, strip, rows, ahead, x, sums + filter_row * round_up(strip.adjacent, kLanes), ld);
        else
          multiply(block, chunk, strip, rows, ahead, x, packed, sums + filter_row * strip.adjacent * ld, ld);
      }
    }
  }

  // x to the strip, see WeightStrip.
  void copy_input(const WeightBlock& block, const WeightChunk& chunk, const WeightStrip& strip, T* to) const {
    for (int64_t d = block.d.begin; d < block.d.end; ++d, to += strip.d) {
      const int64_t depth = chunk.d * s_.stride.d - s_.pad.d + d * s_.dilation.d;
      if (depth < 0 || depth >= s_.in.d) continue;
      for (int64_t n = 0; n < chunk.n.size(); ++n) {
        const T* plane = static_cast<const T*>(args_.x) + ((chunk.n.begin + n) * s_.in.d + depth) * s_.in.h * s_.in.w * s_.x_pixel +
                         block.group * (s_.c / s_.groups) + block.c.begin;
        if (!plan_.unfolds_rows) {
          const int64_t first = chunk.h.begin * s_.stride.h - s_.pad.h + block.r.begin;
          for (int64_t i = 0; i < strip.rows; ++i)
            copy_row(block, chunk, strip, to + n * strip.image + i * strip.filter_row, plane, first + i);
          continue;
        }
        const int64_t filter_row = plan_.folds ? block.c.size() : strip.filter_row;
        for (int64_t h = 0; h < chunk.h.size(); ++h) {
          const int64_t first = (chunk.h.begin + h) * s_.stride.h - s_.pad.h + block.r.begin * s_.dilation.h;
          int64_t r = copy_fours(block, chunk, strip, to + n * strip.image + h * strip.row, plane, first);
          for (; r < block.r.size(); ++r)
            copy_row(block, chunk, strip, to + n * strip.image + h * strip.row + r * filter_row, plane, first + r * s_.dilation.h);
        }
      }
    }
  }

  // Rows of a folded strip of one channel, four at a time, as far as they exist; how many. Of three, the last one goes to where the next
  // column follows, too.
  int64_t copy_fours(const WeightBlock& block, const WeightChunk& chunk, const WeightStrip& strip, T* to, const T* plane,
                     int64_t row) const {
    if (!plan_.folds || plan_.unfolds || s_.x_pixel != 1) return 0;
    const int64_t count = block.r.size(), first = chunk.w.begin * s_.stride.w - s_.pad.w + block.s.begin;
    const Range inside = positions_inside(first, 1, strip.columns, s_.in.w);
    int64_t r = 0;
    for (; r + 4 <= count || (r == 0 && count == 3); r += 4) {
      if (row + r * s_.dilation.h < 0 || row + (std::min(r + 4, count) - 1) * s_.dilation.h >= s_.in.h) return r;
      const T* rows[4];
      for (int64_t i = 0; i < 4; ++i) rows[i] = plane + (row + std::min(r + i, count - 1) * s_.dilation.h) * s_.in.w + first + inside.begin;
      for (int64_t i = 0; i < inside.begin; ++i) std::fill_n(to + i * strip.elements + r, 4, T{0});
      interleave_four(to + inside.begin * strip.elements + r, strip.elements, rows, inside.size());
      for (int64_t i = inside.end; i < strip.columns; ++i) std::fill_n(to + i * strip.elements + r, 4, T{0});
    }
    return r;
  }

  void copy_row(const WeightBlock& block, const WeightChunk& chunk, const WeightStrip& strip, T* to, const T* plane, int64_t row) const {
    const bool exists = row >= 0 && row < s_.in.h;
    if (!exists && !plan_.folds) return;  // nobody reads it
    const int64_t first = chunk.w.begin * s_.stride.w - s_.pad.w + block.s.begin * s_.dilation.w;
    const auto copy = [&](T* at, int64_t step, int64_t from, int64_t pixel_step) {
      copy_pixels(at, step, exists ? plane + row * s_.in.w * s_.x_pixel : nullptr, s_.x_pixel, from, pixel_step, strip.columns,
                  exists ? s_.in.w : 0, block.c.size());
    };
    if (!plan_.unfolds) return copy(to, strip.elements, first, 1);
    for (int64_t s = 0; s < block.s.size(); ++s) copy(to + s * strip.elements, strip.adjacent, first + s * s_.dilation.w, s_.stride.w);
  }

  const T* dy_at(const WeightBlock& block, const WeightChunk& chunk, int64_t n, int64_t h) const {
    const int64_t pixel = (((chunk.n.begin + n) * s_.out.d + chunk.d) * s_.out.h + chunk.h.begin + h) * s_.out.w + chunk.w.begin;
    return static_cast<const T*>(args_.dy) + pixel * s_.y_pixel + block.group * (s_.k / s_.groups) + block.k.begin;
  }

  const T* x_at(const WeightBlock& block, const WeightChunk& chunk) const {
    const int64_t row = std::max<int64_t>(0, chunk.h.begin * s_.stride.h - s_.pad.h);
    const int64_t pixel = ((chunk.n.begin * s_.in.d + std::min(chunk.d * s_.stride.d, s_.in.d - 1)) * s_.in.h + row) * s_.in.w;
    return static_cast<const T*>(args_.x) + pixel * s_.x_pixel + block.group * (s_.c / s_.groups) + block.c.begin;
  }

  // Tiles of a chunk.
  int64_t products_of(const WeightBlock& block) const {
    const WeightStrip strip = weight_strip(s_, plan_, block, plan_.largest_chunk);
    const int64_t rows = plan_.turned ? block.k.size() : strip.adjacent;
    const int64_t vectors = ceil_div(plan_.turned ? strip.adjacent : block.k.size(), kLanes);
    const int64_t tiles =
        vectors / kWeightWidth * ceil_div(rows, max_rows(kWeightWidth)) + vectors % kWeightWidth * ceil_div(rows, max_rows(1));
    return block.d.size() * strip.filter_rows * tiles;
  }

  // dy in panels of kWeightWidth vectors of output channels (the last may have one), pixels one after the other; its sums to `bias`.
  void take_dy(const WeightBlock& block, const WeightChunk& chunk, T* packed, T* bias) const {
    constexpr int64_t kWide = kWeightWidth * kLanes;
    const int64_t count = block.k.size(), pixels = chunk.n.size() * chunk.h.size() * chunk.w.size();
    for (int64_t k = 0; k < count; k += kWide) {
      const int64_t width = std::min(kWide, count - k);
      T* const to = packed == nullptr ? nullptr : packed + k * pixels;
      const auto take = [&](auto vectors, auto partial) {
        if (to != nullptr)
          take_panel<vectors.value, partial.value, true>(block, chunk, k, width, to, bias);
        else
          take_panel<vectors.value, partial.value, false>(block, chunk, k, width, to, bias);
      };
      using One = std::integral_constant<int, 1>;
      using Two = std::integral_constant<int, 2>;
      if (width % kLanes == 0)
        width > kLanes ? take(Two{}, std::false_type{}) : take(One{}, std::false_type{});
      else
        width > kLanes ? take(Two{}, std::true_type{}) : take(One{}, std::true_type{});
    }
  }

  template <int V, bool kPartial, bool kPack>
  void take_panel(const WeightBlock& block, const WeightChunk& chunk, int64_t k, int64_t width, T* to, T* bias) const {
    const int64_t last = width - (V - 1) * kLanes;
    Vec<T> sums[2][V];  // of every other pixel: one chain of additions would be waited for
    for (int v = 0; v < V; ++v) sums[0][v] = sums[1][v] = Vec<T>::zero();
    for (int64_t n = 0; n < chunk.n.size(); ++n)
      for (int64_t h = 0; h < chunk.h.size(); ++h) {
        const T* from = dy_at(block, chunk, n, h) + k;
        const auto take = [&](Vec<T>(&sum)[V]) __attribute__((always_inline)) {
          DNN_UNROLL
          for (int v = 0; v < V; ++v) {
            const Vec<T> x = kPartial && v == V - 1 ? Vec<T>::load(from + v * kLanes, last) : Vec<T>::load(from + v * kLanes);
            if (kPack) x.store(to + v * kLanes);
            sum[v] = sum[v] + x;
          }
          from += s_.y_pixel;
          if (kPack) to += V * kLanes;
        };
        for (int64_t w = 0; w + 2 <= chunk.w.size(); w += 2) {
          take(sums[0]);
          take(sums[1]);
        }
        if (chunk.w.size() % 2 != 0) take(sums[0]);
      }
    if (bias == nullptr) return;
    for (int v = 0; v < V; ++v) {
      const int64_t lanes = v == V - 1 ? last : kLanes;
      T* sum = bias + k + v * kLanes;
      (Vec<T>::load(sum, lanes) + (sums[0][v] + sums[1][v])).store(sum, lanes);
    }
  }

  // Rows (s, c) of the strip times panels of dy, which stay in L1.
  void multiply(const WeightBlock& block, const WeightChunk& chunk, const WeightStrip& strip, Range rows, Lines& ahead, const T* x,
                const T* packed, T* sums, int64_t ld) const {
    constexpr int64_t kWide = kWeightWidth * kLanes;
    const int64_t pixels = chunk.n.size() * chunk.h.size() * chunk.w.size();
    for (int64_t k = 0; k < block.k.size(); k += kWide) {
      const int64_t width = std::min(kWide, round_up(block.k.size() - k, kLanes));
      WeightTile<T> tile = pixels_of(chunk, rows);
      set_a(tile, x, strip.step, strip.row, strip.image);
      set_b(tile, packed + k * pixels + rows.begin * chunk.w.size() * width, width, chunk.w.size() * width,
            chunk.h.size() * chunk.w.size() * width);
      tile.sums = sums + k;
      tile.ld = ld;
      run_tiles(tile, ahead, strip.adjacent, width / kLanes);
    }
  }

  // Output channels times vectors of (s, c); what the last vector has too much goes to sums that nobody reads.
  void multiply_turned(const WeightBlock& block, const WeightChunk& chunk, const WeightStrip& strip, Range rows, Lines& ahead, const T* x,
                       T* sums, int64_t ld) const {
    const T* dy = dy_at(block, chunk, 0, rows.begin);
    for (int64_t j = 0; j < strip.adjacent; j += kWeightWidth * kLanes) {
      WeightTile<T> tile = pixels_of(chunk, rows);
      set_a(tile, dy, s_.y_pixel, s_.out.w * s_.y_pixel, s_.out.count() * s_.y_pixel);
      set_b(tile, x + j, strip.step, strip.row, strip.image);
      tile.sums = sums + j;
      tile.ld = ld;
      run_tiles(tile, ahead, block.k.size(), std::min<int64_t>(kWeightWidth, ceil_div(strip.adjacent - j, kLanes)));
    }
  }

  static WeightTile<T> pixels_of(const WeightChunk& chunk, Range rows) {
    WeightTile<T> tile{};
    tile.steps = chunk.w.size(), tile.rows = rows.size(), tile.planes = chunk.n.size();
    return tile;
  }
  static void set_a(WeightTile<T>& tile, const T* a, int64_t step, int64_t row, int64_t plane) {
    constexpr int64_t kSize = sizeof(T);
    tile.a = a, tile.a_step = step * kSize, tile.a_row = row * kSize, tile.a_plane = plane * kSize;
  }
  static void set_b(WeightTile<T>& tile, const T* b, int64_t step, int64_t row, int64_t plane) {
    constexpr int64_t kSize = sizeof(T);
    tile.b = b, tile.b_step = step * kSize, tile.b_row = row * kSize, tile.b_plane = plane * kSize;
  }

  // Strips of nearly equal height.
  void run_tiles(WeightTile<T>& tile, Lines& ahead, int64_t rows, int64_t vectors) const {
    flatten(tile);
    const int64_t strips = ceil_div(rows, max_rows(static_cast<int>(vectors)));
    const int64_t height = rows / strips, higher = rows % strips;
    for (int64_t i = 0; i < strips; ++i) {
      const int64_t mine = height + (i < higher);
      const auto fetched = ahead.next();
      tile.ahead = fetched.at;
      tile.ahead_step = fetched.step;
      tiles_.kernels[vectors - 1][mine - 1](tile);
      tile.a += mine;
      tile.sums += mine * tile.ld;
    }
  }

  // The splits of a part of a block, added in their order, laid out as a block's sums.
  void add_splits(const WeightBlock& block, const WeightBlock& part, const T* sums, T* to) const {
    const WeightStrip strip = weight_strip(s_, plan_, block, plan_.largest_chunk);
    const int64_t ld = sums_ld(plan_, block, strip), part_ld = sums_ld(plan_, part, weight_strip(s_, plan_, part, plan_.largest_chunk));
    if (plan_.turned) return add_rows(sums + (part.k.begin - block.k.begin) * ld, ld, to, part.k.size(), ld);
    const int64_t c = block.c.size(), runs = block.d.size() * block.r.size() * block.s.size();  // of c rows each
    const T* from = sums + (part.c.begin - block.c.begin) * ld + part.k.begin - block.k.begin;
    for (int64_t run = 0; run < runs; ++run, from += c * ld, to += part.c.size() * part_ld) add_rows(from, ld, to, part.c.size(), part_ld);
  }

  void add_rows(const T* from, int64_t ld, T* to, int64_t rows, int64_t width) const {
    if (ld == width) width *= rows, rows = 1;
    for (int64_t row = 0; row < rows; ++row, from += ld, to += width)
      for (int64_t j = 0; j < width; j += kLanes) {
        Vec<T> sum = Vec<T>::load(from + j);
        for (int64_t split = 1; split < plan_.splits; ++split) sum = sum + Vec<T>::load(from + j + split * plan_.blocks * plan_.sums);
        sum.store(to + j);
      }
  }

  // Sums of a block to dw.
  void store_block(const WeightBlock& block, const T* sums) const {
    const WeightStrip strip = weight_strip(s_, plan_, block, plan_.largest_chunk);
    const int64_t ld = sums_ld(plan_, block, strip);
    if (plan_.turned) {
      for (int64_t k = 0; k < block.k.size(); ++k) store_channel(block, strip, sums + k * ld, k);
    } else {
      for (int64_t k = 0; k < block.k.size(); k += kLanes) store_channels(block, strip, sums + k, ld, k);
    }
  }

  T* dw_of(const WeightBlock& block, int64_t k) const {
    return static_cast<T*>(args_.dw) + (block.group * (s_.k / s_.groups) + block.k.begin + k) * (s_.c / s_.groups) * s_.taps();
  }

  // take(row, index in the row, place in dw) for every weight of an output channel, in dw's order.
  template <class Take>
  void each_weight(const WeightBlock& block, const WeightStrip& strip, Take&& take) const {
    for (int64_t c = 0; c < block.c.size(); ++c)
      for (int64_t d = 0; d < block.d.size(); ++d)
        for (int64_t r = 0; r < block.r.size(); ++r)
          for (int64_t s = 0; s < block.s.size(); ++s)
            take(d * strip.filter_rows + (plan_.folds ? 0 : r), s * strip.elements + (plan_.folds ? r * block.c.size() : 0) + c,
                 (((block.c.begin + c) * s_.filter.d + block.d.begin + d) * s_.filter.h + block.r.begin + r) * s_.filter.w + block.s.begin +
                     s);
  }

  void store_channel(const WeightBlock& block, const WeightStrip& strip, const T* sums, int64_t k) const {
    T* const dw = dw_of(block, k);
    const int64_t row_step = round_up(strip.adjacent, kLanes);
    each_weight(block, strip, [&](int64_t row, int64_t in_row, int64_t place) { dw[place] = sums[row * row_step + in_row]; });
  }

  // A vector of output channels, turned by squares.
  void store_channels(const WeightBlock& block, const WeightStrip& strip, const T* sums, int64_t ld, int64_t k) const {
    const int64_t count = std::min(kLanes, block.k.size() - k);
    T* const dw = dw_of(block, k);
    alignas(64) T lines[kLanes * kLanes];
    int64_t places[kLanes], filled = 0;
    each_weight(block, strip, [&](int64_t row, int64_t in_row, int64_t place) {
      Vec<T>::load(sums + (row * strip.adjacent + in_row) * ld).store(lines + filled * kLanes);
      places[filled] = place;
      if (++filled < kLanes) return;
      store_lines(lines, places, filled, dw, count);
      filled = 0;
    });
    store_lines(lines, places, filled, dw, count);
  }

  void finish_bias(const WeightBlock& block, const T* sums) const {
    T* const dbias = static_cast<T*>(args_.dbias) + block.group * (s_.k / s_.groups) + block.k.begin;
    const T* part = sums + plan_.sums - block.k.size();
    for (int64_t k = 0; k < block.k.size(); ++k, ++part) {
      dbias[k] = *part;
      for (int64_t split = 1; split < plan_.splits; ++split) dbias[k] += part[split * plan_.blocks * plan_.sums];
    }
  }

  // Line i holds the gradients at places[i] of `count` output channels.
  void store_lines(const T* lines, const int64_t* places, int64_t filled, T* dw, int64_t count) const {
    const int64_t step = s_.c / s_.groups * s_.taps();
    if (filled == kLanes && count == kLanes && places[kLanes - 1] - places[0] == kLanes - 1)
      return transpose_block(lines, kLanes, dw + places[0], step);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < filled; ++j) dw[i * step + places[j]] = lines[j * kLanes + i];
  }

  const ConvBackwardWeightArgs& args_;
  const ConvShape& s_;
  const WeightPlan& plan_;
  const WeightTiles<T>& tiles_;
};

template <class T>
void run(const ConvBackwardWeightArgs& args, const WeightTiles<T>& tiles, const Tasks& tasks) {
  const WeightPlan plan = make_weight_plan(args.shape);
  const WeightGradient<T> gradient(args, plan, tiles);
  const auto share = [&](int64_t units, int64_t per_task, auto&& work) {
    for (int64_t i = tasks.begin * per_task; i < std::min(units, tasks.end * per_task); ++i) work(i);
  };
  if (tasks.phase == 0)
    share(plan.items, plan.items_per_task, [&](int64_t item) { gradient.add_up(item, tasks.scratch); });
  else
    share(plan.finish_units, ceil_div(plan.finish_units, plan.finish_tasks), [&](int64_t unit) { gradient.finish(unit, tasks.scratch); });
}

bool has_no_weights(const ConvShape& s) { return s.c == 0 || s.k == 0; }

}  // namespace

void conv_backward_weight(const ConvBackwardWeightArgs& args, const Tasks& tasks) {
  if (is_depthwise(args.shape)) return depthwise_backward_weight(args, tasks);
  if (is_few_weight(args.shape)) return few_backward_weight(args, tasks);
  if (has_no_weights(args.shape)) return reference::conv_backward_weight(args, tasks);
  if (args.shape.dtype == DType::Float64) return run<double>(args, kDoubleWeightTiles, tasks);
  run<float>(args, kFloatWeightTiles, tasks);
}

Schedule conv_backward_weight_schedule(const ConvBackwardWeightArgs& args) {
  if (is_depthwise(args.shape)) return depthwise_backward_weight_schedule(args);
  if (is_few_weight(args.shape)) return few_backward_weight_schedule(args);
  if (has_no_weights(args.shape)) return {};
  const WeightPlan plan = make_weight_plan(args.shape);
  return {plan.splits > 1 ? 2 : 1, {ceil_div(plan.items, plan.items_per_task), plan.finish_tasks, 1}, plan.nanoseconds};
}

int64_t conv_backward_weight_workspace(const ConvBackwardWeightArgs& args) {
  if (is_depthwise(args.shape)) return depthwise_backward_weight_workspace(args);
  if (is_few_weight(args.shape)) return few_backward_weight_workspace(args);
  if (has_no_weights(args.shape)) return 0;
  const WeightPlan plan = make_weight_plan(args.shape);
  return plan.splits > 1 ? plan.items * plan.sums * plan.size : 0;
}

}  // namespace dnncore::DNNCORE_ISA
