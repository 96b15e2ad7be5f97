// The order of the dimensions in memory. Channels-last: the channels of a tensor (N, C, *spatial) are adjacent, then come the positions of
// the last spatial dimension; what convolutions and their like write, whatever order they are given.
#pragma once

#include <initializer_list>

#include "core/tensor.h"

namespace dnncore::ops {

enum class MemoryFormat : uint8_t { Contiguous, ChannelsLast, ChannelsLast3d, Preserve };

// 3, 4 or 5 dimensions, dense in that order; strides of dimensions of size 1 do not matter. One channel, or one position: contiguous too.
bool is_channels_last(const Tensor& x);
// x itself, or a copy in that order; no gradient link. 3 to 5 dimensions.
Tensor channels_last(const Tensor& x, const char* op);
// Uninitialised; 3 to 5 dimensions. Errors as Tensor::empty's.
Tensor empty_channels_last(const Shape& shape, DType dtype, Device device, const char* op);

// Uninitialised and dense, for the result of an elementwise op of tensors that broadcast to `shape`, in the order of the first.
Tensor empty_result(const char* op, const Shape& shape, DType dtype, std::initializer_list<const Tensor*> operands);

}  // namespace dnncore::ops
