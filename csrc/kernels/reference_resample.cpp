// Naive resampling: every output as its triple sum, in double.
#include "core/launch.h"
#include "kernels/resample.h"

namespace dnncore::reference {

void resample(const ResampleArgs& args, const Tasks&);

namespace {

template <class T>
void resample_as(const ResampleArgs& args) {
  const ResampleShape& s = args.shape;
  const Extent in = s.in(), out = s.out();
  const ResampleRows<T> rows_d(s, args.table, 0), rows_h(s, args.table, 1), rows_w(s, args.table, 2);
  for (int64_t i = 0; i < s.n * out.count() * s.c; ++i) {
    const int64_t c = i % s.c, w = i / s.c % out.w, h = i / (s.c * out.w) % out.h, d = i / (s.c * out.w * out.h) % out.d;
    const T* x = static_cast<const T*>(args.x) + i / (s.c * out.count()) * in.count() * s.c + c;
    double sum = rows_d.count(d) * rows_h.count(h) * rows_w.count(w) > 0 ? -0.0 : 0.0;  // one element stays what it is
    for (int64_t fd = 0; fd < rows_d.count(d); ++fd)
      for (int64_t fh = 0; fh < rows_h.count(h); ++fh)
        for (int64_t fw = 0; fw < rows_w.count(w); ++fw) {
          const int64_t at = ((rows_d.first[d] + fd) * in.h + rows_h.first[h] + fh) * in.w + rows_w.first[w] + fw;
          sum += static_cast<double>(rows_d.weights(d)[fd]) * static_cast<double>(rows_h.weights(h)[fh]) *
                 static_cast<double>(rows_w.weights(w)[fw]) * static_cast<double>(x[at * s.c]);
        }
    static_cast<T*>(args.y)[i] = static_cast<T>(sum);
  }
}

}  // namespace

void resample(const ResampleArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? resample_as<double>(args) : resample_as<float>(args);
}

}  // namespace dnncore::reference
