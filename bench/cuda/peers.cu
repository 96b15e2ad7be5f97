#include "peers.h"

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace dnncore::bench {
namespace {

// The library that the variable names, else the first that is found.
void* open_library(const char* variable, std::initializer_list<const char*> names) {
  if (const char* chosen = std::getenv(variable); chosen != nullptr && *chosen != 0) return dlopen(chosen, RTLD_NOW | RTLD_GLOBAL);
  for (const char* each : names)
    if (void* library = dlopen(each, RTLD_NOW | RTLD_GLOBAL)) return library;
  return nullptr;
}
template <class Function>
bool find(void* library, const char* symbol, Function& function) {
  function = library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, symbol));
  return function != nullptr;
}

// --- cuBLAS: numbers of cublas_api.h and library_types.h ---

struct Cublas {
  int (*create)(void**) = nullptr;
  int (*set_stream)(void*, cudaStream_t) = nullptr;
  int (*gemm)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*, void*, int, int, int,
              int) = nullptr;
  void* handle = nullptr;

  Cublas() {
    void* const library = open_library("DNNCORE_CUBLAS", {"libcublas.so.13", "libcublas.so.12", "libcublas.so"});
    if (!find(library, "cublasCreate_v2", create) || !find(library, "cublasSetStream_v2", set_stream) ||
        !find(library, "cublasGemmEx", gemm) || create(&handle) != 0 || set_stream(handle, stream()) != 0) {
      handle = nullptr;
      std::printf("cuBLAS is not there (DNNCORE_CUBLAS names its file): no rows of it\n");
    }
  }
};
const Cublas& cublas() {
  static const Cublas found;
  return found;
}

// --- cuDNN: numbers of cudnn_graph.h, cudnn_ops.h, cudnn_cnn.h ---

constexpr int kFloat = 0, kNchw = 0, kNhwc = 1, kCrossCorrelation = 1, kDefaultMath = 0, kFmaMath = 3;

struct Found {  // cudnnConvolution{Fwd,BwdFilter,BwdData}AlgoPerf_t
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
};
using FindFunction = int (*)(void*, void*, void*, void*, void*, int, int*, Found*);
using RunFunction = int (*)(void*, const void*, void*, const void*, void*, const void*, void*, int, void*, size_t, const void*, void*,
                            void*);

struct Cudnn {
  int (*create)(void**) = nullptr;
  int (*set_stream)(void*, cudaStream_t) = nullptr;
  int (*create_tensor)(void**) = nullptr;
  int (*set_tensor)(void*, int, int, int, int, int, int) = nullptr;
  int (*create_filter)(void**) = nullptr;
  int (*set_filter)(void*, int, int, int, int, int, int) = nullptr;
  int (*create_convolution)(void**) = nullptr;
  int (*set_convolution)(void*, int, int, int, int, int, int, int, int) = nullptr;
  int (*set_groups)(void*, int) = nullptr;
  int (*set_math)(void*, int) = nullptr;
  std::array<FindFunction, 3> find_algorithms{};
  std::array<RunFunction, 3> run{};
  void* handle = nullptr;

  Cudnn() {
    void* const l = open_library("DNNCORE_CUDNN", {"libcudnn.so.9", "libcudnn.so"});
    const bool whole =
        find(l, "cudnnCreate", create) && find(l, "cudnnSetStream", set_stream) && find(l, "cudnnCreateTensorDescriptor", create_tensor) &&
        find(l, "cudnnSetTensor4dDescriptor", set_tensor) && find(l, "cudnnCreateFilterDescriptor", create_filter) &&
        find(l, "cudnnSetFilter4dDescriptor", set_filter) && find(l, "cudnnCreateConvolutionDescriptor", create_convolution) &&
        find(l, "cudnnSetConvolution2dDescriptor", set_convolution) && find(l, "cudnnSetConvolutionGroupCount", set_groups) &&
        find(l, "cudnnSetConvolutionMathType", set_math) && find(l, "cudnnFindConvolutionForwardAlgorithm", find_algorithms[0]) &&
        find(l, "cudnnFindConvolutionBackwardDataAlgorithm", find_algorithms[1]) &&
        find(l, "cudnnFindConvolutionBackwardFilterAlgorithm", find_algorithms[2]) && find(l, "cudnnConvolutionForward", run[0]) &&
        find(l, "cudnnConvolutionBackwardData", run[1]) && find(l, "cudnnConvolutionBackwardFilter", run[2]);
    if (!whole || create(&handle) != 0 || set_stream(handle, stream()) != 0) {
      handle = nullptr;
      std::printf("cuDNN is not there (DNNCORE_CUDNN names its file): no rows of it\n");
    }
  }
};
const Cudnn& cudnn() {
  static const Cudnn found;
  return found;
}

void must(int status, const char* what) { DNN_CHECK(status == 0, StateError, what, ": status ", status); }

}  // namespace

bool has_cublas() { return cublas().handle != nullptr; }
bool has_cudnn() { return cudnn().handle != nullptr; }

// Row-major C = A B is column-major C^T = B^T A^T.
Run cublas_product(const Product& p, const void* a, const void* b, void* c, Tf32 tf32) {
  const int type = p.dtype == DType::Float32 ? 0 : p.dtype == DType::Float16 ? 2 : 14;
  const int compute = tf32 == Tf32::Yes ? 77 : 68;  // CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F
  return [=] {
    const float one = 1, zero = 0;
    const auto number = [](int64_t x) { return static_cast<int>(x); };
    must(cublas().gemm(cublas().handle, p.b == 't', p.a == 't', number(p.n), number(p.m), number(p.k), &one, b, type,
                       number(p.b == 'n' ? p.n : p.k), a, type, number(p.a == 'n' ? p.k : p.m), &zero, c, type, number(p.n), compute, -1),
         "cublasGemmEx");
  };
}

std::optional<Timed> cudnn_convolution(const ConvCase& c, ConvPass pass, bool channels_last, Tf32 tf32) {
  const Cudnn& l = cudnn();
  const ConvShape s = shape_of(c);
  const auto number = [](int64_t x) { return static_cast<int>(x); };
  const int format = channels_last ? kNhwc : kNchw;
  void *x = nullptr, *y = nullptr, *w = nullptr, *convolution = nullptr;
  must(l.create_tensor(&x), "cudnn"), must(l.create_tensor(&y), "cudnn");
  must(l.create_filter(&w), "cudnn"), must(l.create_convolution(&convolution), "cudnn");
  must(l.set_tensor(x, format, kFloat, number(c.n), number(c.c), number(c.h), number(c.w)), "cudnnSetTensor4dDescriptor");
  must(l.set_tensor(y, format, kFloat, number(c.n), number(c.k), number(s.out.h), number(s.out.w)), "cudnnSetTensor4dDescriptor");
  must(l.set_filter(w, kFloat, format, number(c.k), number(c.c / c.groups), number(c.filter_h), number(c.filter_w)),
       "cudnnSetFilter4dDescriptor");
  must(l.set_convolution(convolution, number(c.pad), number(c.pad), number(c.stride), number(c.stride), 1, 1, kCrossCorrelation, kFloat),
       "cudnnSetConvolution2dDescriptor");
  must(l.set_groups(convolution, number(c.groups)), "cudnnSetConvolutionGroupCount");
  must(l.set_math(convolution, tf32 == Tf32::Yes ? kDefaultMath : kFmaMath), "cudnnSetConvolutionMathType");

  const auto which = static_cast<size_t>(pass);
  // In the order of cuDNN's arguments: forward x w -> y, backward data w dy -> dx, backward weight x dy -> dw.
  void* const left = pass == ConvPass::BackwardData ? w : x;
  void* const right = pass == ConvPass::Forward ? w : y;
  void* const result = pass == ConvPass::Forward ? y : pass == ConvPass::BackwardData ? x : w;
  Found found[8] = {};
  int count = 0;
  if (l.find_algorithms[which](l.handle, left, right, convolution, result, 8, &count, found) != 0 || count == 0 || found[0].status != 0)
    return std::nullopt;
  const Found best = found[0];
  must(l.set_math(convolution, best.math), "cudnnSetConvolutionMathType");
  const int64_t sizes[3] = {s.x_bytes() / 4, s.w_bytes() / 4, s.y_bytes() / 4};
  const auto buffer_of = [&](void* descriptor) { return std::make_shared<Buffer>(sizes[descriptor == x ? 0 : descriptor == w ? 1 : 2]); };
  const auto a = buffer_of(left), b = buffer_of(right), out = buffer_of(result);
  const auto workspace = std::make_shared<Buffer>(static_cast<int64_t>(best.memory), DType::UInt8, Fill::Zero);
  const Run run = [=, &l] {
    const float one = 1, zero = 0;
    must(l.run[which](l.handle, &one, left, a->data(), right, b->data(), convolution, best.algorithm, workspace->data(), best.memory, &zero,
                      result, out->data()),
         "cudnn");
  };
  return Timed{concat("cuDNN ", channels_last ? "NHWC" : "NCHW", tf32 == Tf32::Yes ? " TF32" : "", " #", best.algorithm), run};
}

}  // namespace dnncore::bench
