// The wider vocabulary of tensors: selection along dimensions, order, running sums, arrangement, composed mathematics, einsum.
// Names, arguments and defaults are PyTorch's; everything floating is differentiable unless it says otherwise.
#pragma once

#include <string>

#include "kernels/along.h"
#include "kernels/cumulate.h"
#include "ops/ops.h"

namespace dnncore::ops {

struct ValuesAndIndices {
  Tensor values, indices;
};

// --- Along a dimension (along.cpp): index int64 with 0 <= p < size, IndexError otherwise ------------------------------
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Scalar& value);
Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, const std::string& reduce, bool include_self);
Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim);
Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source, const Scalar& alpha);
Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source);
Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& value);  // value 0-D
Tensor masked_select(const Tensor& x, const Tensor& mask);
Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source);

// --- Order (order.cpp): stable, NaN above all numbers -----------------------------------------------------------------
ValuesAndIndices sort(const Tensor& x, int64_t dim, bool descending);
ValuesAndIndices topk(const Tensor& x, int64_t k, int64_t dim, bool largest);
ValuesAndIndices kthvalue(const Tensor& x, int64_t k, int64_t dim, bool keepdim);
ValuesAndIndices median(const Tensor& x, int64_t dim, bool keepdim);  // the lower one of two; NaN where there is one
struct Unique {
  Tensor values, inverse, counts;
};
Unique unique(const Tensor& x);                                                 // of the flattened tensor, ascending
Tensor searchsorted(const Tensor& sequence, const Tensor& values, bool right);  // int64
Tensor bincount(const Tensor& x, const Tensor& weights, int64_t minlength);     // weights may be undefined
Tensor histc(const Tensor& x, int64_t bins, double low, double high);
Tensor isin(const Tensor& elements, const Tensor& test_elements);

// --- Running results (cumulative.cpp) ---------------------------------------------------------------------------------
Tensor cumsum(const Tensor& x, int64_t dim);
Tensor cumprod(const Tensor& x, int64_t dim);
Tensor logcumsumexp(const Tensor& x, int64_t dim);
ValuesAndIndices cumulative_extreme(CumulateOp op, const Tensor& x, int64_t dim);  // max or min

// --- Arrangement (arrange.cpp, pad.cpp) -------------------------------------------------------------------------------
Tensor roll(const Tensor& x, const Shape& shifts, const Shape& dims);  // no dims: of the flattened tensor
Tensor triangle(const char* op, const Tensor& x, int64_t diagonal, bool lower);
Tensor triangle_indices(const char* op, int64_t rows, int64_t columns, int64_t offset, bool lower);
Tensor diagonal(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2);  // a view
Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2);
Tensor diag(const Tensor& x, int64_t offset);
Tensor trace(const Tensor& x);
Tensor repeat(const char* op, const Tensor& x, const Shape& repeats);
Tensor tile(const Tensor& x, const Shape& repeats);
Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, std::optional<int64_t> dim);
Tensor movedim(const Tensor& x, const Shape& source, const Shape& destination);
Tensor unflatten(const Tensor& x, int64_t dim, const Shape& sizes);
Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step);  // a view
std::vector<Tensor> tensor_split(const char* op, const Tensor& x, const std::vector<int64_t>& at, int64_t dim);
std::vector<Tensor> tensor_split(const char* op, const Tensor& x, int64_t sections, int64_t dim);
std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors);
std::vector<Tensor> meshgrid(const std::vector<Tensor>& tensors, bool swap_first_two);
Tensor at_least(const Tensor& x, int ndim);  // as NumPy's atleast_1d, _2d, _3d
Tensor one_hot(const Tensor& x, int64_t classes);
enum class PadMode : uint8_t { Constant, Reflect, Replicate, Circular };
// (left, right) of the last dimension, then of the one before, ...; negative constant padding crops.
Tensor pad(const Tensor& x, const std::vector<int64_t>& sizes, PadMode mode, const Scalar& value);

// --- Composed mathematics (compose.cpp) -------------------------------------------------------------------------------
Tensor vector_norm(const Tensor& x, double p, const Shape& dims, bool keepdim);
Tensor logaddexp(const Tensor& x, const Tensor& z);
Tensor hypot(const Tensor& x, const Tensor& z);
Tensor frac(const Tensor& x);
Tensor fmod(const Tensor& x, const Tensor& z);
Tensor lerp(const Tensor& x, const Tensor& end, const Tensor& weight);
Tensor addc(BinaryOp op, const Tensor& x, const Tensor& a, const Tensor& b, const Scalar& value);  // x + value * op(a, b)
Tensor logical(BinaryOp op, const Tensor& x, const Tensor& z);                                     // bitwise ops on truths
Tensor nan_to_num(const Tensor& x, std::optional<double> nan, std::optional<double> posinf, std::optional<double> neginf);
Tensor float_power(const Tensor& x, const Tensor& exponent);
Tensor cov(const Tensor& x, int64_t correction);
Tensor corrcoef(const Tensor& x);
Tensor cdist(const Tensor& x, const Tensor& z, double p);
Tensor multinomial(const Tensor& weights, int64_t count, bool replacement, const Ref<Generator>& generator);

// --- Contractions (einsum.cpp) ----------------------------------------------------------------------------------------
Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands);
Tensor tensordot(const Tensor& a, const Tensor& b, const Shape& dims_a, const Shape& dims_b);
Tensor outer(const Tensor& a, const Tensor& b);
Tensor kron(const Tensor& a, const Tensor& b);
Tensor add_product(const char* op, const Tensor& x, const Tensor& product, const Scalar& beta, const Scalar& alpha);

}  // namespace dnncore::ops
