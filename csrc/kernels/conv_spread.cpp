// The micro-kernels of convolution with the taps of a filter row in the lanes.
#include "kernels/conv_spread.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class T, int... I>
constexpr SpreadTileTable<T> make_spread_table(std::integer_sequence<int, I...>) {
  return {{&spread_tile_kernel<T, I + 1>...}};
}

constexpr auto kPixels = std::make_integer_sequence<int, kMostSpread>{};

}  // namespace

const SpreadTileTable<float> kFloatSpreadTiles = make_spread_table<float>(kPixels);
const SpreadTileTable<double> kDoubleSpreadTiles = make_spread_table<double>(kPixels);

}  // namespace dnncore::DNNCORE_ISA
