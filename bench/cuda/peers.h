// cuBLAS and cuDNN, found when the program runs; neither's headers are needed.
#pragma once

#include <optional>
#include <string>

#include "../conv_shapes.h"
#include "device.h"

namespace dnncore::bench {

// Row-major C = A B; 't': the operand is stored transposed.
struct Product {
  int64_t m, n, k;
  char a = 'n', b = 'n';
  DType dtype = DType::Float32;
};
enum class Tf32 : bool { No, Yes };

bool has_cublas();
Run cublas_product(const Product& p, const void* a, const void* b, void* c, Tf32 tf32);

enum class ConvPass : uint8_t { Forward, BackwardData, BackwardWeight };
bool has_cudnn();
// The fastest that cuDNN finds among its algorithms and, in its name, that algorithm's number; its tensors are its own, channels-last or
// not. Nothing where it has none.
std::optional<Timed> cudnn_convolution(const ConvCase& c, ConvPass pass, bool channels_last, Tf32 tf32);

}  // namespace dnncore::bench
