// Matrix products in the instructions of single numbers: float32, float64, and halves computed in float32.
#include "kernels/gemm.h"

#include "kernels/copy.h"
#include "product.h"

namespace dnncore::cuda {

void copy(const CopyArgs& args, cudaStream_t stream);

namespace {

using namespace product;

constexpr int64_t kMostChunks = 32;

template <class T>
Problem problem_of(const GemmArgs& args) {
  Problem p(args.m, args.n, args.k, args.batch, chunk_length(args.k, kMostChunks));
  p.split = wants_split<T>(p);
  return p;
}
// Sums between chunks have a place in C unless it is of halves.
bool keeps_in_output(const GemmArgs& args) { return itemsize(args.out_dtype) >= 4; }

template <class T>
int64_t workspace_of(const GemmArgs& args) {
  const Problem p = problem_of<T>(args);
  const int64_t copies = p.split ? p.chunks : p.chunks > 1 && !keeps_in_output(args) ? 1 : 0;
  return copies * p.batch * p.m * p.n * static_cast<int64_t>(sizeof(Working<T>));
}

template <class T>
Output<T> output_of(const GemmArgs& args) {
  using W = Working<T>;
  const bool in_output = keeps_in_output(args);
  constexpr int64_t V = 16 / sizeof(W);
  return {.c = args.c,
          .bias = static_cast<const W*>(args.bias),
          .partial = static_cast<W*>(args.workspace_bytes > 0 ? args.workspace : args.c),
          .c_row = args.c_row,
          .c_batch = args.c_batch,
          .bias_batch = 0,
          .partial_row = in_output ? args.c_row : args.n,
          .partial_batch = in_output ? args.c_batch : args.m * args.n,
          .activation = args.activation,
          .accumulate = args.accumulate,
          .wide = in_output,
          .packs = is_multiple({args.n, args.c_row, args.c_batch}, V) &&
                   is_aligned(args.c, V * static_cast<int64_t>(itemsize(args.out_dtype))) && is_aligned(args.bias, 16)};
}

template <class T>
void run_gemm(const GemmArgs& args, cudaStream_t stream) {
  const Problem p = problem_of<T>(args);
  const Output<T> output = output_of<T>(args);
  const Matrix<T> a(args.a, args.m, args.k, args.a_row, args.a_col, args.a_batch);
  const Matrix<T> b(args.b, args.n, args.k, args.b_packed ? 1 : args.b_col, args.b_packed ? args.n : args.b_row, args.b_batch);
  product::run("gemm", p, a, b, output, stream);
  if (p.split) run_join("gemm", p, output, stream);
}

}  // namespace

int64_t gemm_workspace(const GemmArgs& args) {
  int64_t bytes = 0;
  visit_floating(args.dtype, [&](auto tag) { bytes = workspace_of<decltype(tag)>(args); });
  return bytes;
}

void gemm(const GemmArgs& args, cudaStream_t stream) {
  if (args.m == 0 || args.n == 0 || args.batch == 0) return;
  visit_floating(args.dtype, [&](auto tag) { run_gemm<decltype(tag)>(args, stream); });
}

void gemm_pack(const GemmPackArgs& args, cudaStream_t stream) {
  copy({.x = args.b,
        .y = args.packed,
        .shape = {args.k, args.n},
        .x_strides = {args.b_row, args.b_col},
        .y_strides = {args.n, 1},
        .x_dtype = args.dtype,
        .y_dtype = args.dtype},
       stream);
}

}  // namespace dnncore::cuda
