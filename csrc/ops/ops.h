// Every op of the library: shape checks, promotion, memory, forward and backward side by side in csrc/ops/<family>.cpp.
// Names, arguments and defaults are PyTorch's. Scalars arrive as Scalar and take part in promotion as Python numbers do there.
#pragma once

#include <optional>
#include <vector>

#include "core/tensor.h"
#include "kernels/activation.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/pointwise_loss.h"
#include "kernels/random.h"
#include "kernels/reduce.h"

namespace dnncore {

// A Python number: bool, int or float.
struct Scalar {
  enum class Kind : uint8_t { Bool, Int, Float } kind = Kind::Float;
  double as_double = 0;
  int64_t as_int = 0;
  static Scalar of(bool value) { return {Kind::Bool, value ? 1.0 : 0.0, value}; }
  static Scalar of(int64_t value) { return {Kind::Int, static_cast<double>(value), value}; }
  static Scalar of(double value) { return {Kind::Float, value, 0}; }
};

namespace ops {

// --- Creation (create.cpp) --------------------------------------------------------------------------------------------
Tensor full(const Shape& shape, const Scalar& value, DType dtype, Device device, const char* op = "full");
Tensor zeros(const Shape& shape, DType dtype, Device device);
Tensor ones(const Shape& shape, DType dtype, Device device);
Tensor full_like(const Tensor& x, const Scalar& value, DType dtype, Device device);
// x on `device`, itself if it is there; the gradient comes back to x's.
Tensor to_device(const Tensor& x, Device device, const char* op = "to", Wait wait = Wait::Yes);  // without: if it is pinned
bool is_pinned(const Tensor& x);
Tensor pin_memory(const Tensor& x);
Tensor arange(const Scalar& start, const Scalar& end, const Scalar& step, DType dtype, Device device);
Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device);
Tensor eye(int64_t rows, int64_t columns, DType dtype, Device device);
void fill_(const Tensor& x, const Scalar& value);

// --- Random numbers (random.cpp) --------------------------------------------------------------------------------------
// A stream of random numbers; its state is tensor memory (rule 3).
class Generator : public RefCounted {
 public:
  explicit Generator(uint64_t seed);
  void manual_seed(uint64_t seed);
  uint64_t initial_seed() const;
  GeneratorState* state() const;
  // What a kernel on `device` shall read, which uses so many counters: the state itself, moved on by the CPU's kernels, or a copy that
  // `keeper` holds, while the state moves on here.
  GeneratorState* state_on(Device device, uint64_t counters, Tensor& keeper);
  Tensor state_tensor() const { return state_; }  // uint8, 16 entries

 private:
  Tensor state_;
};
const Ref<Generator>& default_generator();
Tensor random(RandomOp op, const Shape& shape, DType dtype, Device device, double a, double b, int64_t low, int64_t high,
              const Ref<Generator>& generator);
void uniform_(const Tensor& x, double low, double high, const Ref<Generator>& generator);
void normal_(const Tensor& x, double mean, double std, const Ref<Generator>& generator);

// --- Casts, copies, views (copy.cpp, view.cpp) ------------------------------------------------------------------------
Tensor to_dtype(const Tensor& x, DType dtype);  // x itself when it has the dtype
Tensor clone(const Tensor& x);
Tensor contiguous(const Tensor& x);                           // x itself when it is
void copy_(const Tensor& destination, const Tensor& source);  // source may broadcast: assignment, as NumPy and PyTorch
Tensor reshape(const Tensor& x, const Shape& shape);          // one size may be -1; a view where the strides allow
Tensor view(const Tensor& x, const Shape& shape);             // ValueError where reshape would copy
Tensor flatten(const Tensor& x, int64_t start_dim, int64_t end_dim);
Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1);
Tensor permute(const Tensor& x, const Shape& dims);
Tensor expand(const Tensor& x, const Shape& shape);  // -1 keeps a size
Tensor squeeze(const Tensor& x, std::optional<int64_t> dim);
Tensor unsqueeze(const Tensor& x, int64_t dim);
Tensor select(const Tensor& x, int64_t dim, int64_t index);
Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t stop, int64_t step);  // Python's clamped positions, step > 0
Tensor flip_dim(const Tensor& x, int64_t dim);                                          // a copy (negative steps)
Tensor cat(const std::vector<Tensor>& tensors, int64_t dim);
Tensor stack(const std::vector<Tensor>& tensors, int64_t dim);

// --- Advanced indexing (index.cpp) ------------------------------------------------------------------------------------
// `indices`, one per leading dimension of x from `first_dim` on, int64 of any shapes that broadcast together; the result has the
// broadcast shape in place of those dimensions.
Tensor index(const Tensor& x, int first_dim, const std::vector<Tensor>& indices);
void index_put_(const Tensor& x, int first_dim, const std::vector<Tensor>& indices, const Tensor& values, bool accumulate);
// x[...] = values has been written: leaves a node behind. `before`: x as it was (stand_in()); `values` undefined for a number; `positions`:
// the flat places of x that were written, of the shape x[...] has.
void record_assignment(const Tensor& x, const Tensor& before, const Tensor& values, const Tensor& positions);
std::vector<Tensor> nonzero(const Tensor& mask);  // per dimension of mask, int64

// --- Elementwise (elementwise.cpp) ------------------------------------------------------------------------------------
Tensor unary(UnaryOp op, const Tensor& x);
Tensor binary(BinaryOp op, const Tensor& x, const Tensor& z);
Tensor binary(BinaryOp op, const Tensor& x, const Scalar& z);
Tensor binary(BinaryOp op, const Scalar& x, const Tensor& z);
void binary_(BinaryOp op, const Tensor& x, const Tensor& z);  // x = op(x, z); never broadcasts or casts x
void binary_(BinaryOp op, const Tensor& x, const Scalar& z);
void unary_(UnaryOp op, const Tensor& x);
Tensor where(const Tensor& condition, const Tensor& x, const Tensor& z);

// --- Activations and dropout (activation.cpp, dropout.cpp) ------------------------------------------------------------
Tensor activation(ActivationOp op, const Tensor& x, const ActivationParameters& parameters);  // floating types
void activation_(ActivationOp op, const Tensor& x, const ActivationParameters& parameters);   // x = f(x)
Tensor dropout(const Tensor& x, double p);  // 0 <= p < 1, draws from the default generator
void dropout_(const Tensor& x, double p);

// --- Reductions (reduce.cpp) ------------------------------------------------------------------------------------------
// dims empty: over all. dtype: cast before (sum, mean, prod).
Tensor reduce(ReduceOp op, const Tensor& x, const Shape& dims, bool keepdim);
// Sum of squared deviations from the mean over count - correction, and its square root.
Tensor variance(const Tensor& x, const Shape& dims, double correction, bool keepdim);
Tensor standard_deviation(const Tensor& x, const Shape& dims, double correction, bool keepdim);
// Sums x down to `shape`, which broadcasts to x's: the gradient of broadcasting.
Tensor sum_to(const Tensor& x, const Shape& shape);

// --- Matrix products (matmul.cpp) -------------------------------------------------------------------------------------
Tensor matmul(const Tensor& a, const Tensor& b);  // NumPy's and PyTorch's rules for 1-D, 2-D and batches
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
              Activation activation = Activation::None);  // weight (out, in); bias may be undefined

// --- Softmax (softmax.cpp) --------------------------------------------------------------------------------------------
Tensor softmax(const Tensor& x, int64_t dim);
Tensor log_softmax(const Tensor& x, int64_t dim);
Tensor logsumexp(const Tensor& x, const Shape& dims, bool keepdim);  // dims empty: over all

// --- Losses (loss.cpp, pointwise_loss.cpp) ----------------------------------------------------------------------------
enum class Reduction : uint8_t { None, Mean, Sum };
// Logits (C,), (N, C) or (N, C, d1, ...); target: class numbers without the C, or probabilities of the logits' shape. `weight` per class,
// may be undefined. Mean: over the weights of the targets that are not ignored, or over the rows of probabilities.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& weight, int64_t ignore_index, double smoothing,
                     Reduction reduction);
Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index, Reduction reduction);
// `parameter`: beta of smooth_l1, delta of huber, eps of poisson_nll.
Tensor pointwise_loss(LossOp op, const Tensor& x, const Tensor& t, double parameter, Reduction reduction);

// Promotion of two operands as torch.result_type: tensors with dimensions beat 0-D tensors beat numbers within a category.
DType result_type(const Tensor& a, const Tensor& b);
DType result_type(const Tensor& a, const Scalar& b);

inline constexpr DType kDefaultFloat = DType::Float32;

}  // namespace ops
}  // namespace dnncore
