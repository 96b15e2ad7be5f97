// The micro-kernels of float32, and of pairs of bfloat16 where the processor multiplies those.
#include "kernels/gemm_tile.h"

namespace dnncore::DNNCORE_ISA {

const TileTable<float> kFloatTiles = make_tile_table<float, Multiply>();
#if defined(__AVX512BF16__)
const TileTable<float> kPairTiles = make_tile_table<float, DotPairs>();
#endif

}  // namespace dnncore::DNNCORE_ISA
