// The choices of the weight gradient, by measured costs. Bits depend on them, so they depend on the shape alone.
#include <bit>

#include "kernels/conv_weight.h"

namespace dnncore::DNNCORE_ISA {
namespace {

// Sums of 192 to 512 KiB, chunks of 256 to 640 KiB and 512 to 2048 pixels are within 2 % of these.
constexpr int64_t kSumsBytes = 320 << 10;          // of a block's sums, which stay in L2 while all pixels pass by
constexpr int64_t kChunkBytes = 448 << 10;         // of a chunk's strip and output gradient, which stay in L2 too
constexpr int64_t kChunkBytesInPlace = 192 << 10;  // of input read as it lies: the next chunk is fetched meanwhile
constexpr int64_t kChunkPixels = 1024;             // added up in registers: more would round more (see weight_tile)
constexpr double kTaskNanoseconds = 60e3;
constexpr double kMostTasks = 32;

constexpr int kLatency = kVectorRegisters == 32 && kVecBytes == 64 ? 4 : 8;  // products under way at full rate

// Cycles of one pixel, a vector product being one.
double tile_cost(int64_t rows, int64_t vectors) {
  const auto panel_cost = [rows](int width) {
    const int64_t strips = ceil_div(rows, max_rows(width));
    return static_cast<double>(std::max<int64_t>(rows * width, strips * kLatency) + 2 * strips);
  };
  return static_cast<double>(vectors / 2) * panel_cost(2) + static_cast<double>(vectors % 2) * panel_cost(1);
}

// Which way round, and whether a column holds all filter rows. ResNet-50's 64 -> 256 pixels turned, where nothing is packed:
// no faster.
void choose_form(const ConvShape& s, WeightPlan& plan) {
  const int64_t c = s.c / s.groups, k = s.k / s.groups, rows = s.filter.d * s.filter.h;
  const int64_t row = s.filter.w * c, folded = s.filter.h * row;
  const int64_t k_vectors = ceil_div(k, plan.lanes);
  const double copy_k = static_cast<double>(2 * k_vectors);
  const double copy_folded = static_cast<double>(s.filter.h * s.stride.w) * static_cast<double>(ceil_div(c, plan.lanes) + 1);
  const auto depth = static_cast<double>(s.filter.d);
  const double costs[4] = {
      static_cast<double>(rows) * tile_cost(row, k_vectors) + copy_k,
      1.05 * static_cast<double>(rows) * tile_cost(k, ceil_div(row, plan.lanes)),
      depth * (tile_cost(folded, k_vectors) + copy_folded) + copy_k,
      1.05 * depth * (tile_cost(k, ceil_div(folded, plan.lanes)) + copy_folded),
  };
  const int best = static_cast<int>(std::min_element(costs, costs + (s.filter.h > 1 ? 4 : 2)) - costs);
  plan.turned = best % 2 == 1;
  plan.folds = best >= 2;
}

int64_t largest_part(int64_t total, int64_t unit, int64_t parts) { return std::min(total, ceil_div(ceil_div(total, unit), parts) * unit); }

void set_largest(const ConvShape& s, WeightPlan& plan) {
  const int64_t c = s.c / s.groups, k = s.k / s.groups;
  WeightBlock& b = plan.largest;
  b = {0, {0, c}, {0, k}, {0, s.filter.d}, {0, s.filter.h}, {0, s.filter.w}, true};
  b.c.end = largest_part(c, std::min<int64_t>(c, 16), plan.c_parts);
  b.k.end = largest_part(k, kWeightWidth * plan.lanes, plan.k_parts);
  b.d.end = largest_part(s.filter.d, 1, plan.d_parts);
  b.r.end = largest_part(s.filter.h, 1, plan.r_parts);
  b.s.end = largest_part(s.filter.w, 1, plan.s_parts);
  plan.unfolds = b.s.end == 1 || s.dilation.w > 1 || s.stride.w >= b.s.end;
  plan.unfolds_rows = plan.folds || b.r.end == 1 || s.dilation.h > 1 || s.stride.h >= b.r.end;
  const WeightStrip strip = weight_strip(s, plan, b, {{0, 1}, 0, {0, 1}, {0, 1}});
  const int64_t rows = plan.turned ? b.k.end : b.d.end * strip.filter_rows * strip.adjacent;
  plan.sums = round_up(rows * sums_ld(plan, b, strip) + b.k.end, 64);
}

// Blocks of the filter whose sums fit: first output channels down to 128, then input channels down to 64, then the filter, then the rest.
void cut_blocks(const ConvShape& s, WeightPlan& plan) {
  const int64_t c = s.c / s.groups, k = s.k / s.groups, most = kSumsBytes / plan.size;
  plan.c_parts = plan.k_parts = plan.d_parts = plan.r_parts = plan.s_parts = 1;
  const WeightBlock& b = plan.largest;
  const auto cut_to = [&](int64_t& parts, int64_t units, const Range& part, int64_t least) {
    while (plan.sums > most && part.size() > least && parts < units) {
      ++parts;
      set_largest(s, plan);
    }
  };
  set_largest(s, plan);
  for (const int64_t least : {64, 1}) {
    cut_to(plan.k_parts, ceil_div(k, kWeightWidth * plan.lanes), b.k, 2 * least);
    cut_to(plan.c_parts, ceil_div(c, 16), b.c, least);
    cut_to(plan.d_parts, s.filter.d, b.d, 1);
    if (!plan.folds) cut_to(plan.r_parts, s.filter.h, b.r, 1);
    cut_to(plan.s_parts, s.filter.w, b.s, least);
  }
  if (plan.sums > most && plan.folds) {  // a filter of many rows
    plan.folds = false;
    return cut_blocks(s, plan);
  }
  plan.blocks = s.groups * plan.c_parts * plan.k_parts * plan.d_parts * plan.r_parts * plan.s_parts;
}

// The input of a convolution of pixels whose channels are not cut is such a strip already.
bool reads_in_place(const ConvShape& s, const WeightPlan& plan) {
  const bool pixels = s.taps() == 1 && s.stride.count() == 1 && s.pad.d + s.pad.h + s.pad.w == 0 && s.in.count() == s.out.count();
  return pixels && plan.largest.c.size() == s.x_pixel && (!plan.turned || s.c % plan.lanes == 0);
}

bool chunk_fits(const ConvShape& s, const WeightPlan& plan, int64_t n, int64_t h, int64_t w) {
  const WeightStrip strip = weight_strip(s, plan, plan.largest, {{0, n}, 0, {0, h}, {0, w}});
  const int64_t k = round_up(plan.largest.k.size(), plan.lanes);
  if (plan.in_place && n * h * w * s.c * plan.size > kChunkBytesInPlace) return false;
  return n * h * w <= kChunkPixels && (plan.largest.d.size() * strip.d + n * h * w * k) * plan.size <= kChunkBytes;
}

// The fewest nearly equal parts of `total` for which `fits(part)`.
template <class Fits>
int64_t fewest_parts(int64_t total, Fits&& fits) {
  int64_t low = 1, high = total;  // parts of one element are taken as they are
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (fits(ceil_div(total, middle)))
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

void cut_chunks(const ConvShape& s, WeightPlan& plan, int64_t wanted) {
  if (s.n == 0) return;  // no chunk
  plan.w_chunks = fewest_parts(s.out.w, [&](int64_t w) { return chunk_fits(s, plan, 1, 1, w); });
  plan.in_place = plan.in_place && plan.w_chunks == 1;
  const int64_t w = ceil_div(s.out.w, plan.w_chunks);
  plan.h_chunks = fewest_parts(s.out.h, [&](int64_t h) { return chunk_fits(s, plan, 1, h, w); });
  const int64_t h = ceil_div(s.out.h, plan.h_chunks);
  plan.n_chunks = s.n;
  if (plan.h_chunks * plan.w_chunks == 1) {
    plan.n_chunks = fewest_parts(s.n, [&](int64_t n) { return chunk_fits(s, plan, n, h, w); });
    plan.n_chunks = std::min(s.n, round_up(plan.n_chunks, ceil_div(wanted, s.out.d)));  // as many for every split
  }
  plan.largest_chunk = {{0, ceil_div(s.n, plan.n_chunks)}, 0, {0, h}, {0, w}};
  plan.chunks = plan.n_chunks * s.out.d * plan.h_chunks * plan.w_chunks;
}

}  // namespace

WeightStrip weight_strip(const ConvShape& s, const WeightPlan& plan, const WeightBlock& block, const WeightChunk& chunk) {
  WeightStrip strip;
  strip.elements = block.c.size() * (plan.folds ? block.r.size() : 1);
  strip.adjacent = block.s.size() * strip.elements;
  strip.filter_rows = plan.folds ? 1 : block.r.size();
  strip.columns = plan.unfolds ? chunk.w.size() : (chunk.w.size() - 1) * s.stride.w + block.s.size();
  strip.step = plan.unfolds ? strip.adjacent : s.stride.w * strip.elements;
  const int64_t row = plan.unfolds ? chunk.w.size() * strip.adjacent : strip.columns * strip.elements;
  strip.rows = plan.unfolds_rows ? chunk.h.size() * strip.filter_rows : (chunk.h.size() - 1) * s.stride.h + block.r.size();
  strip.row = row * (plan.unfolds_rows ? strip.filter_rows : s.stride.h);
  strip.filter_row = row;
  strip.image = row * strip.rows;
  strip.d = strip.image * chunk.n.size();
  return strip;
}

int64_t sums_ld(const WeightPlan& plan, const WeightBlock& block, const WeightStrip& strip) {
  if (!plan.turned) return round_up(block.k.size(), plan.lanes);
  return block.d.size() * strip.filter_rows * round_up(strip.adjacent, plan.lanes);
}

WeightPlan make_weight_plan(const ConvShape& s) {
  WeightPlan plan{};
  plan.size = s.size();
  plan.lanes = kVecBytes / plan.size;
  choose_form(s, plan);
  cut_blocks(s, plan);
  plan.in_place = reads_in_place(s, plan);

  const double rate = 90.0 * (kVecBytes >= 32 ? 1 : 0.25) * 4 / static_cast<double>(plan.size);
  plan.nanoseconds = 1000 + s.flops() / rate + static_cast<double>(s.x_bytes() + s.y_bytes() + 2 * s.w_bytes()) / 10;
  const double tasks = std::min(kMostTasks, plan.nanoseconds / kTaskNanoseconds);
  const auto wanted = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max(1.0, tasks))));
  // Splits cost memory traffic: at most a twentieth of the time, unless there are no other tasks.
  const double traffic_ns = static_cast<double>(plan.blocks * plan.sums * plan.size) / 8;
  const auto most = static_cast<int64_t>(std::max(plan.nanoseconds * 0.05 / traffic_ns, 4.0 / static_cast<double>(plan.blocks)));
  int64_t splits = std::max<int64_t>(1, std::min(ceil_div(wanted, plan.blocks), most));
  if (plan.blocks % 2 != 0 && splits > 2) splits -= splits % 2;  // one of two threads would wait for the last of an odd number
  cut_chunks(s, plan, splits);
  plan.splits = std::clamp<int64_t>(splits, 1, std::max<int64_t>(1, plan.chunks));
  plan.items = plan.blocks * plan.splits;
  plan.items_per_task = std::clamp<int64_t>(static_cast<int64_t>(20e3 * static_cast<double>(plan.items) / plan.nanoseconds), 1, plan.items);
  plan.finish_c = plan.turned ? 1 : ceil_div(plan.largest.c.size(), 16);
  plan.finish_k = plan.finish_c > 2 ? 1 : ceil_div(plan.largest.k.size(), plan.lanes);
  plan.finish_units = plan.blocks * plan.finish_c * plan.finish_k;
  plan.finish_tasks = plan.splits > 1 ? std::clamp<int64_t>(plan.items * plan.sums >> 15, 1, std::min<int64_t>(plan.finish_units, 64)) : 0;
  return plan;
}

WeightBlock weight_block(const ConvShape& s, const WeightPlan& plan, int64_t index) {
  const auto next = [&](int64_t total, int64_t unit, int64_t parts) {
    const Range part = part_of(total, unit, parts, index % parts);
    index /= parts;
    return part;
  };
  const int64_t c = s.c / s.groups, k = s.k / s.groups;
  WeightBlock block;
  block.s = next(s.filter.w, 1, plan.s_parts);
  block.r = next(s.filter.h, 1, plan.r_parts);
  block.d = next(s.filter.d, 1, plan.d_parts);
  block.c = next(c, std::min<int64_t>(c, 16), plan.c_parts);
  block.k = next(k, kWeightWidth * plan.lanes, plan.k_parts);
  block.group = index;
  block.first = block.s.begin + block.r.begin + block.d.begin + block.c.begin == 0;
  return block;
}

WeightChunk weight_chunk(const ConvShape& s, const WeightPlan& plan, int64_t index) {
  WeightChunk chunk;
  chunk.w = part_of(s.out.w, 1, plan.w_chunks, index % plan.w_chunks);
  index /= plan.w_chunks;
  chunk.h = part_of(s.out.h, 1, plan.h_chunks, index % plan.h_chunks);
  index /= plan.h_chunks;
  chunk.d = index % s.out.d;
  chunk.n = part_of(s.n, 1, plan.n_chunks, index / s.out.d);
  return chunk;
}

}  // namespace dnncore::DNNCORE_ISA
