// The order of the dimensions in memory. Channels-last: the channels of a tensor (N, C, *spatial) are adjacent, then come the positions of
// the last spatial dimension; what convolutions and their like write, whatever order they are given.
#pragma once

#include <initializer_list>

#include "core/tensor.h"

namespace dnncore::ops {

enum class MemoryFormat : uint8_t { Contiguous, ChannelsLast, ChannelsLast3d, Preserve };

// Of a floating, whole-number or bool tensor; preserve is no order and has no answer. ValueError where a format needs other dimensions.
bool has_format(const char* op, const Tensor& x, MemoryFormat format);
Tensor contiguous(const Tensor& x, MemoryFormat format);  // x itself when it has that order
Tensor clone(const Tensor& x, MemoryFormat format);
Tensor to(const Tensor& x, DType dtype, MemoryFormat format);  // x itself when nothing changes
// Memory that is x's, with the strides that a tensor of x's shape has in that format: the order alone is meant, no element.
Tensor order_of(const char* op, const Tensor& x, MemoryFormat format);

// 3, 4 or 5 dimensions, dense in that order; strides of dimensions of size 1 do not matter. One channel, or one position: contiguous too.
bool is_channels_last(const Tensor& x);
// x itself, or a copy in that order; no gradient link. 3 to 5 dimensions.
Tensor channels_last(const Tensor& x, const char* op);
// Uninitialised; 3 to 5 dimensions. Errors as Tensor::empty's.
Tensor empty_channels_last(const Shape& shape, DType dtype, Device device, const char* op);

// Whether two tensors of one shape have the same strides; dimensions of size 1 aside.
bool same_order(const Tensor& x, const Tensor& z);
// x itself, or a copy with the strides of the dense `like`, of x's shape; no gradient link.
Tensor in_order_of(const Tensor& like, const Tensor& x, const char* op);

// Uninitialised and dense, for the result of an elementwise op of tensors that broadcast to `shape`, in the order of the first.
Tensor empty_result(const char* op, const Shape& shape, DType dtype, std::initializer_list<const Tensor*> operands);

}  // namespace dnncore::ops
