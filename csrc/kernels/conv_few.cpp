// The micro-kernels of convolution with few output channels.
#include "kernels/conv_few.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class T, int NRV, int... I>
constexpr void fill_few(FewTileFn<T> (&out)[kMostFew<T>], std::integer_sequence<int, I...>) {
  ((out[I] = &few_tile_kernel<T, I + 1, NRV>), ...);
}

template <class T>
constexpr FewTileTable<T> make_few_table() {
  constexpr auto channels = std::make_integer_sequence<int, kMostFew<T>>{};
  FewTileTable<T> table{};
  fill_few<T, 1>(table.kernels[0], channels);
  fill_few<T, 2>(table.kernels[1], channels);
  fill_few<T, 3>(table.kernels[2], channels);
  return table;
}

}  // namespace

const FewTileTable<float> kFloatFewTiles = make_few_table<float>();
const FewTileTable<double> kDoubleFewTiles = make_few_table<double>();

}  // namespace dnncore::DNNCORE_ISA
