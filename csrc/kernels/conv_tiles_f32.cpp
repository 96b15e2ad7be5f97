// The micro-kernels of convolution, float32.
#include "kernels/conv_tile.h"

namespace dnncore::DNNCORE_ISA {

const ConvTileTable<float> kFloatConvTiles = make_conv_tile_table<float>();

}  // namespace dnncore::DNNCORE_ISA
