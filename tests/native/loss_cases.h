// Cases of softmax and of the losses, for test_kernels.cpp.
#pragma once

#include <cmath>

#include "kernel_check.h"
#include "kernels/contracts.h"
#include "kernels/kernels.h"

namespace dnncore::test {

template <class T>
T* typed(const Array& array) {
  return reinterpret_cast<T*>(array.data());
}

inline void cases_cross_entropy() {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int64_t classes : {1, 2, 10, 17, 1000})
      for (int64_t rows : {0, 1, 33}) {
        CAPTURE(classes);
        const int64_t step = classes + 2;
        const Array x = real(dtype, rows * step, -9, 9);
        Array target = whole(DType::Int64, rows, 0, static_cast<int>(classes) - 1);
        if (rows > 2) target.set(2, -100);
        CrossEntropyArgs args;
        args.x = x.data();
        args.target = typed<int64_t>(target);
        args.rows = rows;
        args.classes = classes;
        args.x_row = step;
        args.scale = 0.25;
        args.dtype = dtype;
        const Tolerance tolerance = {4, dtype == DType::Float32 ? 1e-6 : 2e-15};
        check_kernel(kernel::cross_entropy, args, &CrossEntropyArgs::loss, Array(dtype, rows), tolerance);
        check_kernel(kernel::cross_entropy, args, &CrossEntropyArgs::dx, Array(dtype, rows * classes), tolerance);
      }
}

inline void cases_cross_entropy_of_all_classes() {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int64_t classes : {1, 10, 17, 1000})
      for (int variant = 0; variant < 4; ++variant) {
        CAPTURE(classes);
        CAPTURE(variant);
        const int64_t rows = 33;
        const Array x = real(dtype, rows * classes, -9, 9), q = real(dtype, rows * classes, 0, 1), weight = real(dtype, classes, 0.1, 2);
        const Array target = whole(DType::Int64, rows, 0, static_cast<int>(classes) - 1).set(2, -100);
        CrossEntropyArgs args;
        args.x = x.data();
        args.target = typed<int64_t>(target);
        args.probabilities = variant < 2 ? nullptr : q.data();
        args.weight = variant % 2 ? weight.data() : nullptr;
        args.smoothing = variant == 2 ? 0 : 0.1;
        args.rows = rows;
        args.classes = args.x_row = classes;
        args.scale = 0.25;
        args.dtype = dtype;
        const double mass = variant < 2 ? 2 : static_cast<double>(classes);
        const Tolerance tolerance = {8, mass * (dtype == DType::Float32 ? 1e-6 : 2e-14)};
        check_kernel(kernel::cross_entropy, args, &CrossEntropyArgs::loss, Array(dtype, rows), tolerance);
        check_kernel(kernel::cross_entropy, args, &CrossEntropyArgs::dx, Array(dtype, rows * classes), tolerance);
        check_kernel(kernel::cross_entropy, args, &CrossEntropyArgs::row_weight, Array(dtype, rows), {});
      }
}

// Lines of everyday size, beside some that hold infinities and NaN.
inline Array lines(DType dtype, int64_t outer, int64_t n, int64_t inner) {
  Array x = real(dtype, outer * n * inner, -9, 9);
  const double odd[] = {INFINITY, -INFINITY, NAN};
  for (int64_t o = 1; o < std::min<int64_t>(outer, 4); ++o) x.set(o * n * inner + n / 2 * inner, odd[o - 1]);
  if (outer > 4)
    for (int64_t j = 0; j < n * inner; ++j) x.set(4 * n * inner + j, -INFINITY);
  return x;
}

inline void cases_softmax() {
  constexpr int64_t shapes[][3] = {{1, 1, 1}, {0, 5, 1},  {70, 10, 1}, {7, 16, 1},   {9, 17, 1},  {6, 1000, 1},  {2, 5000, 1},
                                   {7, 5, 3}, {6, 3, 64}, {5, 21, 65}, {1, 300, 33}, {1, 1, 700}, {2, 130, 1030}};
  for (DType dtype : {DType::Float32, DType::Float64})
    for (const auto& [outer, n, inner] : shapes)
      for (SoftmaxOp op : {SoftmaxOp::softmax, SoftmaxOp::log_softmax, SoftmaxOp::logsumexp}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(static_cast<int>(op));
        CAPTURE(outer);
        CAPTURE(n);
        CAPTURE(inner);
        const Array x = lines(dtype, outer, n, inner);
        SoftmaxArgs args;
        args.x = x.data();
        args.outer = outer;
        args.n = n;
        args.inner = inner;
        args.x_outer = n * inner;
        args.op = op;
        args.dtype = dtype;
        const double one = ulp(dtype, 1);  // x - largest, down to -18, is rounded before its exponential is taken: 16 units there
        check_kernel(kernel::softmax, args, &SoftmaxArgs::y, Array(dtype, outer * (op == SoftmaxOp::logsumexp ? 1 : n) * inner),
                     {24, op == SoftmaxOp::softmax ? 0 : 8 * one});
      }
}

inline void cases_softmax_backward() {
  constexpr int64_t shapes[][3] = {{1, 1, 1}, {0, 5, 1}, {7, 16, 1}, {9, 17, 1}, {6, 1000, 1}, {7, 5, 3}, {5, 21, 65}, {1, 300, 33}};
  for (DType dtype : {DType::Float32, DType::Float64})
    for (const auto& [outer, n, inner] : shapes)
      for (SoftmaxOp op : {SoftmaxOp::softmax, SoftmaxOp::log_softmax}) {
        CAPTURE(n);
        CAPTURE(inner);
        const int64_t size = outer * n * inner;
        const bool logs = op == SoftmaxOp::log_softmax;
        const Array dy = real(dtype, size, -2, 2), y = real(dtype, size, logs ? -9 : 0, logs ? 0 : 1, 2);
        SoftmaxBackwardArgs args;
        args.dy = dy.data();
        args.y = y.data();
        args.outer = outer;
        args.n = n;
        args.inner = inner;
        args.op = op;
        args.dtype = dtype;
        check_kernel(kernel::softmax_backward, args, &SoftmaxBackwardArgs::dx, Array(dtype, size),
                     {4, ulp(dtype, 1) * 2 * std::sqrt(static_cast<double>(n)) * 4});
      }
}

inline Array loss_inputs(LossOp op, DType dtype, int64_t n) {
  const bool positive = op == LossOp::bce || op == LossOp::poisson_nll;
  return real(dtype, n, positive ? 0.01 : -4, positive ? 0.99 : 4);
}

inline void cases_pointwise_loss() {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int op = 0; op < static_cast<int>(LossOp::count); ++op)
      for (int64_t n : {0, 1, 15, 17, 1000, 40'001}) {
        CAPTURE(std::string(kLossNames[op]));
        CAPTURE(n);
        PointwiseLossArgs args;
        args.op = static_cast<LossOp>(op);
        const Array x = loss_inputs(args.op, dtype, n), t = real(dtype, n, 0, 1, 7);
        std::vector<uint8_t> outside(static_cast<size_t>(PointwiseLossArgs::chunks(n)));
        std::vector<double> partial(outside.size());
        args.x = x.data();
        args.t = t.data();
        args.outside = outside.data();
        args.n = n;
        args.parameter = 0.5;
        args.dtype = dtype;
        const double one = ulp(dtype, 4);  // of terms up to e^4
        check_kernel(kernel::pointwise_loss, args, &PointwiseLossArgs::y, Array(dtype, n), {4, 8 * one});
        for (uint8_t flags : outside) CHECK(flags == 0);
        args.partial = partial.data();
        args.scale = 1 / static_cast<double>(std::max<int64_t>(n, 1));
        const double spread = std::sqrt(static_cast<double>(n));  // the reference adds one by one
        const auto total = [&](const CpuTable& table) {
          Array got(dtype, 1);
          PointwiseLossArgs mine = args;
          mine.total = got.data();
          run(table, kernel::pointwise_loss, mine, Cut::SingleTasks);
          return got.at(0);
        };
        for (const CpuTable* table : tables()) CHECK(agree(dtype, total(dnncore_table_reference), total(*table), {4, (16 + spread) * one}));
      }
}

inline void cases_pointwise_loss_backward() {
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int op = 0; op < static_cast<int>(LossOp::count); ++op)
      for (int64_t step : {0, 1}) {
        CAPTURE(std::string(kLossNames[op]));
        const int64_t n = 20'003;
        PointwiseLossBackwardArgs args;
        args.op = static_cast<LossOp>(op);
        const Array x = loss_inputs(args.op, dtype, n), t = real(dtype, n, 0, 1, 7), g = real(dtype, n, -1, 1, 8);
        args.x = x.data();
        args.t = t.data();
        args.g = g.data();
        args.n = n;
        args.g_step = step;
        args.scale = 0.25;
        args.parameter = 0.5;
        args.dtype = dtype;
        check_kernel(kernel::pointwise_loss_backward, args, &PointwiseLossBackwardArgs::dx, Array(dtype, n), {8, 8 * ulp(dtype, 4)});
      }
}

}  // namespace dnncore::test
