#include "core/parallel.h"
#include "kernels/cumulate.h"
#include "kernels/reference.h"

namespace dnncore::reference {

namespace {

// One row with entries `step` apart.
template <class T>
void run(const CumulateArgs& args, const T* x, T* y, int64_t* indices) {
  const int64_t step = args.inner;
  auto running = widen(x[0]);
  int64_t best = 0;
  for (int64_t j = 0; j < args.n; ++j) {
    const auto value = widen(x[j * step]);
    const bool nan = value != value, larger = value >= running, smaller = value <= running;
    if (args.op >= CumulateOp::max) {
      if (nan || (running == running && (args.op == CumulateOp::max ? larger : smaller))) running = value, best = j;
      indices[j * step] = best;
    } else if (j > 0) {
      if (args.op == CumulateOp::logsumexp) {
        const double a = static_cast<double>(running), b = static_cast<double>(value), most = std::fmax(a, b);
        const double sum = std::isinf(most) && !nan ? most : most + std::log(std::exp(a - most) + std::exp(b - most));
        running = static_cast<Wide<T>>(nan || a != a ? NAN : sum);
      } else if constexpr (is_float<T>) {
        running = args.op == CumulateOp::sum ? running + value : running * value;
      } else {
        const auto a = static_cast<uint64_t>(running), b = static_cast<uint64_t>(value);
        running = static_cast<int64_t>(args.op == CumulateOp::sum ? a + b : a * b);
      }
    }
    y[j * step] = narrow<T>(running);
  }
}

}  // namespace

void cumulate(const CumulateArgs& args, const Tasks&) {
  visit_dtype(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (args.n == 0) return;
    for (int64_t r = 0; r < args.outer * args.inner; ++r) {
      const int64_t at = r / args.inner * args.n * args.inner + r % args.inner;
      run(args, static_cast<const T*>(args.x) + at, static_cast<T*>(args.y) + at, args.indices ? args.indices + at : nullptr);
    }
  });
}

}  // namespace dnncore::reference
