// The micro-kernels of float64.
#include "kernels/gemm_tile.h"

namespace dnncore::DNNCORE_ISA {

const TileTable<double> kDoubleTiles = make_tile_table<double, Multiply>();

}  // namespace dnncore::DNNCORE_ISA
