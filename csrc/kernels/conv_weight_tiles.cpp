// The micro-kernels of the weight gradient: sums stay in registers over all pixels of a chunk, rows of the image or not.
#include "kernels/conv_weight.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class T, int MR, int NRV>
void weight_tile(const WeightTile<T>& tile) {
  constexpr int N = Vec<T>::N;
  Vec<T> acc[MR][NRV];
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < NRV; ++v) acc[i][v] = Vec<T>::zero();
  }
  const char *a_plane = reinterpret_cast<const char*>(tile.a), *b_plane = reinterpret_cast<const char*>(tile.b), *ahead = tile.ahead;
  for (int64_t plane = 0; plane < tile.planes; ++plane, a_plane += tile.a_plane, b_plane += tile.b_plane) {
    const char *a_row = a_plane, *b_row = b_plane;
    for (int64_t row = 0; row < tile.rows; ++row, a_row += tile.a_row, b_row += tile.b_row) {
      const char *a = a_row, *b = b_row;
      for (int64_t step = 0; step < tile.steps; ++step, a += tile.a_step, b += tile.b_step, ahead += tile.ahead_step) {
        __builtin_prefetch(ahead, 0, 2);
        Vec<T> bv[NRV];
        DNN_UNROLL
        for (int v = 0; v < NRV; ++v) bv[v] = Vec<T>::load(reinterpret_cast<const T*>(b) + v * N);
        DNN_UNROLL
        for (int i = 0; i < MR; ++i) {
          const Vec<T> av = broadcast<T>(a + i * sizeof(T));
          DNN_UNROLL
          for (int v = 0; v < NRV; ++v) acc[i][v] = fma(av, bv[v], acc[i][v]);
        }
      }
    }
  }
  DNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    DNN_UNROLL
    for (int v = 0; v < NRV; ++v) {
      T* sum = tile.sums + i * tile.ld + v * N;
      (Vec<T>::load(sum) + acc[i][v]).store(sum);
    }
  }
}

template <class T, int NRV, int... I>
constexpr void fill_heights(WeightTileFn<T> (&out)[kMaxRows], std::integer_sequence<int, I...>) {
  ((out[I] = &weight_tile<T, I + 1, NRV>), ...);
}

template <class T>
constexpr WeightTiles<T> make_weight_tiles() {
  WeightTiles<T> tiles{};
  fill_heights<T, 1>(tiles.kernels[0], std::make_integer_sequence<int, max_rows(1)>{});
  fill_heights<T, 2>(tiles.kernels[1], std::make_integer_sequence<int, max_rows(2)>{});
  return tiles;
}

}  // namespace

const WeightTiles<float> kFloatWeightTiles = make_weight_tiles<float>();
const WeightTiles<double> kDoubleWeightTiles = make_weight_tiles<double>();

}  // namespace dnncore::DNNCORE_ISA
