// Matrix products: all transposes of 1024 to 8192 in float32 and halves against cuBLAS, and the shapes G1-G14.
#include "peers.h"

namespace dnncore::bench {
namespace {

Work work_of(const Product& p) {
  const double amount = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  return {p.dtype == DType::Float32 ? Work::Flop : Work::HalfFlop, amount};
}

void product_row(const std::string& label, const Product& p) {
  const std::string full = concat(label, p.m, "x", p.n, "x", p.k, "/", p.a, p.b, "/", name(p.dtype));
  attempt("gemm", full, [&] {
    const Buffer a(p.m * p.k, p.dtype), b(p.k * p.n, p.dtype), c(p.m * p.n, p.dtype, Fill::Zero), peer(p.m * p.n, p.dtype, Fill::Zero);
    GemmArgs args;
    args.a = a.data(), args.b = b.data(), args.c = c.data();
    args.m = p.m, args.n = p.n, args.k = p.k;
    args.a_row = p.a == 'n' ? p.k : 1, args.a_col = p.a == 'n' ? 1 : p.m;
    args.b_row = p.b == 'n' ? p.n : 1, args.b_col = p.b == 'n' ? 1 : p.k;
    args.c_row = p.n;
    args.dtype = args.out_dtype = p.dtype;
    std::vector<Timed> timed = {{"dnncore", launch_of(kernel::gemm, args)}};
    double error = -1;
    if (has_cublas()) {
      timed.push_back(
          {p.dtype == DType::Float32 ? "cuBLAS without TF32" : "cuBLAS", cublas_product(p, a.data(), b.data(), peer.data(), Tf32::No)});
      timed[0].run(), timed[1].run();
      error = difference(c, peer, p.m * p.n, p.dtype);
      if (p.dtype == DType::Float32) timed.push_back({"cuBLAS with TF32", cublas_product(p, a.data(), b.data(), peer.data(), Tf32::Yes)});
    }
    row("gemm", full, work_of(p), timed, error);
  });
}

}  // namespace

void gemm_rows() {
  for (DType dtype : {DType::Float32, DType::BFloat16, DType::Float16})
    for (int64_t size : {1024, 2048, 4096, 8192})
      for (const char* layout : {"nn", "nt", "tn", "tt"}) product_row("", {size, size, size, layout[0], layout[1], dtype});
  for (DType dtype : {DType::Float32, DType::BFloat16}) {
    product_row("G1/", {64, 64, 64, 'n', 'n', dtype});
    product_row("G2/", {256, 256, 256, 'n', 'n', dtype});
    product_row("G3/", {512, 512, 512, 'n', 'n', dtype});
    product_row("G7/", {128, 512, 784, 'n', 't', dtype});
    product_row("G8/", {512, 784, 128, 't', 'n', dtype});
    product_row("G9/", {64, 10, 512, 'n', 't', dtype});
    product_row("G10/", {128, 4096, 9216, 'n', 't', dtype});
    for (int64_t n : {16, 32, 64, 128}) product_row("G11/", {1760, n, 1760, 'n', 'n', dtype});
    for (int64_t n : {16, 64}) product_row("G12/", {3072, n, 1024, 'n', 'n', dtype});
    for (int64_t n : {16, 64}) product_row("G12/", {3072, n, 1024, 't', 'n', dtype});
    for (int64_t m : {35, 5124}) product_row("G13/", {m, 700, 2048, 'n', 'n', dtype});
    product_row("G14/", {512, 16, 500000, 'n', 'n', dtype});
    product_row("gemv/", {4096, 1, 4096, 'n', 'n', dtype});
    product_row("gevm/", {1, 4096, 4096, 'n', 't', dtype});
  }
}

}  // namespace dnncore::bench
