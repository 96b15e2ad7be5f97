// Cases of the kernels along dimensions, of order and of running results; the last part of test_kernels.cpp, whose samples they use.
#pragma once

namespace {

// Rows of 3 x 5 entries, along a dimension of 7 in front of them or behind.
void cases_gather_dim() {
  for (DType dtype : kAll)
    for (int64_t n : {0, 1, 7, 2000})
      for (bool behind : {false, true}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(n);
        const Array x = sample(dtype, 7 * 15), index = whole(DType::Int64, n * 15, 0, 6);
        GatherDimArgs args;
        args.x = x.data();
        args.index = typed<int64_t>(index);
        args.shape = {3, 5};
        args.x_strides = behind ? Strides{35, 7} : Strides{5, 1};
        args.index_strides = args.y_strides = behind ? Strides{5 * n, n} : Strides{5, 1};
        args.n = n;
        args.size = 7;
        args.x_step = behind ? 1 : 15;
        args.index_step = args.y_step = behind ? 1 : 15;
        args.dtype = dtype;
        check_kernel(kernel::gather_dim, args, &GatherDimArgs::y, Array(dtype, n * 15), {});
      }
}

void cases_scatter_dim() {
  constexpr ScatterOp ops[] = {ScatterOp::assign, ScatterOp::sum, ScatterOp::prod, ScatterOp::amax, ScatterOp::amin};
  for (DType dtype : kAll)
    for (ScatterOp op : ops)
      for (int64_t n : {0, 1, 9, 2000})
        for (bool behind : {false, true}) {
          if (op != ScatterOp::assign && (dtype == DType::BFloat16 || dtype == DType::Float16 || dtype == DType::Bool)) continue;
          CAPTURE(std::string(name(dtype)));
          CAPTURE(static_cast<int>(op));
          CAPTURE(n);
          const bool prod = op == ScatterOp::prod;
          const Array values = whole(dtype, n * 40, prod ? 1 : -3, prod ? 1 : 3), index = whole(DType::Int64, n * 40, -1, 7);
          ScatterDimArgs args;
          args.index = typed<int64_t>(index);
          args.values = values.data();
          args.shape = {40};
          args.x_strides = behind ? Strides{7} : Strides{1};
          args.index_strides = args.value_strides = behind ? Strides{n} : Strides{1};
          args.n = n;
          args.size = 7;
          args.x_step = behind ? 1 : 40;
          args.index_step = args.value_step = behind ? 1 : 40;
          args.op = op;
          args.dtype = dtype;
          check_kernel(kernel::scatter_dim, args, &ScatterDimArgs::x, whole(dtype, 7 * 40), {});
        }
}

Array with_specials(DType dtype, int64_t n) { return n > 64 && is_floating(dtype) ? sample(dtype, n, 3) : whole(dtype, n, -9, 9); }

void cases_sort() {
  for (DType dtype : kAll)
    for (bool descending : {false, true})
      for (const auto& [rows, n] : {std::pair{3, 0}, {5, 1}, {200, 17}, {3, 511}, {2, 512}, {1, 32768}, {2, 32769}, {1, 140'000}}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(descending);
        CAPTURE(n);
        SortArgs args;
        args.rows = rows;
        args.n = n;
        args.dtype = dtype;
        args.descending = descending;
        const Array x = with_specials(dtype, rows * n), workspace(DType::UInt8, args.workspace_bytes());
        Array values(dtype, rows * n), indices(DType::Int64, rows * n);
        args.x = x.data();
        args.values = values.data();
        args.indices = typed<int64_t>(indices);
        if (args.workspace_bytes() > 0) args.workspace = workspace.data();
        check_kernel(kernel::sort, args, &SortArgs::values, values, {});
      }
}

void cases_topk() {
  for (DType dtype : kAll)
    for (bool descending : {false, true})
      for (const auto& [n, k] : {std::pair{1, 1}, {17, 3}, {100, 100}, {5000, 7}, {5000, 300}, {140'000, 5}, {196'610, 4000}}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(n);
        CAPTURE(k);
        TopkArgs args;
        args.rows = 3;
        args.n = n;
        args.k = k;
        args.dtype = dtype;
        args.descending = descending;
        const Array x = with_specials(dtype, 3 * n), workspace(DType::UInt8, args.workspace_bytes());
        Array values(dtype, 3 * k), indices(DType::Int64, 3 * k);
        args.x = x.data();
        args.values = values.data();
        args.indices = typed<int64_t>(indices);
        if (args.workspace_bytes() > 0) args.workspace = workspace.data();
        check_kernel(kernel::topk, args, &TopkArgs::values, values, {});
      }
}

void cases_cumulate() {
  constexpr CumulateOp ops[] = {CumulateOp::sum, CumulateOp::prod, CumulateOp::logsumexp, CumulateOp::max, CumulateOp::min};
  struct Sizes {
    int64_t outer, n, inner;
  };
  for (DType dtype : kAll)
    for (CumulateOp op : ops)
      for (const auto& [outer, n, inner] : {Sizes{1, 1, 1}, {3, 7, 1}, {2, 100, 1}, {2, 50'000, 1}, {3, 5, 300}, {2, 0, 3}, {40, 33, 2}}) {
        const bool half = dtype == DType::BFloat16 || dtype == DType::Float16;
        if (half || (op == CumulateOp::logsumexp && !is_floating(dtype))) continue;
        if (op <= CumulateOp::prod && !is_floating(dtype) && dtype != DType::Int64) continue;
        CAPTURE(std::string(name(dtype)));
        CAPTURE(static_cast<int>(op));
        CAPTURE(n);
        CumulateArgs args;
        args.outer = outer;
        args.n = n;
        args.inner = inner;
        args.op = op;
        args.dtype = dtype;
        const int64_t count = outer * n * inner;
        const bool prod = op == CumulateOp::prod;
        const Array x = op == CumulateOp::logsumexp ? real(dtype, count) : whole(dtype, count, prod ? 1 : -3, prod ? 1 : 3);
        const Array workspace(DType::UInt8, args.workspace_bytes()), indices(DType::Int64, count);
        args.x = x.data();
        if (op >= CumulateOp::max) args.indices = typed<int64_t>(indices);
        if (args.workspace_bytes() > 0) args.workspace = workspace.data();
        check_kernel(kernel::cumulate, args, &CumulateArgs::y, Array(dtype, count), {4, dtype == DType::Float32 ? 1e-6 : 1e-11});
      }
}

}  // namespace
