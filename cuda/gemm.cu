// Matrix products: float32 and float64 in the instructions of single numbers, halves in the tensor cores.
#include "kernels/gemm.h"

#include "gemm_mma.h"
#include "gemm_simt.h"
#include "kernels/copy.h"

namespace dnncore::cuda {

void copy(const CopyArgs& args, cudaStream_t stream);

namespace {

using namespace product;

// What gets a type of tile as its argument.
template <class Engine_>
struct Choice {
  using Engine = Engine_;
};

// Whether the device's blocks have the shared memory; Turing's have 64 KiB.
template <class Engine>
bool has_room() {
  constexpr size_t kBytes = size_t{Engine::kStages} * Engine::kStage;
  return kBytes <= kPlainShared || most_shared() >= kBytes;
}

// fn(the largest tile that fits the shape and fills the device), all of which add in one order. float64 has no large one: nothing is
// faster with it where multiplications are slow.
template <class T, class Fn>
void visit_simt(const Problem& p, Fn&& fn) {
  using Large = Simt<T, 16, 8, 4, 2, 2, 8, 2>;                // 128 x 128
  using Medium = Simt<T, 8, 4, 4, 2, 2, 16, 16 / sizeof(T)>;  // 64 x 64
  using Small = Simt<T, 4, 4, 8, 1, 2, 16, 8>;                // 32 x 32
  using FewRows = Simt<T, 8, 1, 1, 1, 1, 16, 12>;             // 8 x 32
  using FewColumns = Simt<T, 1, 8, 32, 1, 1, 16, 12>;         // 32 x 8
  if (p.n <= FewColumns::N) return fn(Choice<FewColumns>{});
  if (p.m <= FewRows::M) return fn(Choice<FewRows>{});
  if constexpr (sizeof(T) == 4)
    if (p.m > Medium::M && p.n > Medium::N && p.fills<Large>()) return fn(Choice<Large>{});
  if (p.m > Small::M && p.n > Small::N && p.fills<Medium>() && has_room<Medium>()) return fn(Choice<Medium>{});
  fn(Choice<Small>{});
}
template <class T, class Fn>
void visit_mma(const Problem& p, Fn&& fn) {
  using Large = Mma<T, 64, 64, 2, 4, 4, 1>;       // 128 x 256
  using Medium = Mma<T, 64, 64, 2, 2, 3, 2>;      // 128 x 128
  using Small = Mma<T, 32, 32, 2, 2, 4, 3>;       // 64 x 64
  using FewRows = Mma<T, 16, 16, 1, 4, 4, 4>;     // 16 x 64
  using FewColumns = Mma<T, 16, 16, 4, 1, 4, 4>;  // 64 x 16
  if (p.n <= FewColumns::N) return fn(Choice<FewColumns>{});
  if (p.m <= FewRows::M) return fn(Choice<FewRows>{});
  if (p.fills<Large>() && has_room<Large>()) return fn(Choice<Large>{});
  if (p.m > Small::M && p.n > Small::N && p.fills<Medium>()) return fn(Choice<Medium>{});
  fn(Choice<Small>{});
}
template <class T, class Fn>
void visit_engine(const Problem& p, Fn&& fn) {
  if constexpr (kIsHalf<T>)
    visit_mma<T>(p, fn);
  else
    visit_simt<T>(p, fn);
}

// The order of a sum may depend on n and k, not on m. Sums between chunks go through memory, which the tensor cores would wait for: they
// have long chunks, unless few columns leave much of the device to splits.
template <class T>
Problem problem_of(const GemmArgs& args) {
  constexpr int64_t kMostChunks = 32;
  const int64_t least = !kIsHalf<T> ? kLeastChunk : args.n < 2048 ? 2048 : 8192;
  Problem p(args.m, args.n, args.k, args.batch, std::max(least, chunk_length(args.k, kMostChunks)));
  visit_engine<T>(p, [&](auto choice) {
    using Engine = typename decltype(choice)::Engine;
    p.split = p.chunks > 1 && p.tiles(Engine::M, Engine::N) * p.batch < kProcessors * 3 / 4;
  });
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
  const Strided<T> a(args.a, args.m, args.k, args.a_row, args.a_col, args.batch, args.a_batch);
  const Strided<T> b(args.b, args.n, args.k, args.b_packed ? 1 : args.b_col, args.b_packed ? args.n : args.b_row, args.batch, args.b_batch);
  visit_engine<T>(p, [&](auto choice) { launch_tiles<typename decltype(choice)::Engine>("gemm", p, a, b, output, stream); });
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
