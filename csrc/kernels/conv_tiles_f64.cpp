// The micro-kernels of convolution, float64.
#include "kernels/conv_tile.h"

namespace dnncore::DNNCORE_ISA {

const ConvTileTable<double> kDoubleConvTiles = make_conv_tile_table<double>();

}  // namespace dnncore::DNNCORE_ISA
