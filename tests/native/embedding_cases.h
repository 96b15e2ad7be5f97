// Cases of tables of vectors, for test_kernels.cpp.
#pragma once

#include "kernel_check.h"
#include "kernels/kernels.h"
#include "loss_cases.h"

namespace dnncore::test {

struct BagCase {
  BagShape shape;
  const int64_t* ids;
  const int64_t* starts;
  const void* factors;
};

// One id per bag, bags of a fixed size and of any size (empty ones too); ids that are no row, ids that are skipped.
template <class Fn>
void for_each_bags(Fn&& fn) {
  const Array ids = whole(DType::Int64, 240, -1, 13);
  const Array starts =
      Array(DType::Int64, 7).fill([](int64_t b) { return std::vector<double>{0, 0, 3, 100, 100, 239, 240}[static_cast<size_t>(b)]; });
  for (DType dtype : {DType::Float32, DType::Float64})
    for (int64_t columns : {1, 3, 16, 70, 300})
      for (int64_t per_bag : {1, 4, 0})  // 0: any size
        for (bool weighed : {false, true}) {
          CAPTURE(std::string(name(dtype)));
          CAPTURE(columns);
          CAPTURE(per_bag);
          CAPTURE(weighed);
          const Array factors = whole(dtype, 240, -2, 2, 7);
          BagShape shape{
              .ids = 240, .bags = per_bag > 0 ? 240 / per_bag : 7, .rows = 12, .columns = columns, .per_bag = per_bag, .dtype = dtype};
          if (per_bag == 4) shape.skipped = 5;
          fn(BagCase{shape, typed<int64_t>(ids), per_bag > 0 ? nullptr : typed<int64_t>(starts), weighed ? factors.data() : nullptr});
          shape.mode = BagMode::Mean;
          if (!weighed) fn(BagCase{shape, typed<int64_t>(ids), per_bag > 0 ? nullptr : typed<int64_t>(starts), nullptr});
        }
}

inline void cases_embedding() {
  for_each_bags([](const BagCase& bags) {
    BagShape s = bags.shape;
    const Array weight = whole(s.dtype, s.rows * s.columns), y(s.dtype, s.bags * s.columns);
    EmbeddingArgs args{.weight = weight.data(), .ids = bags.ids, .starts = bags.starts, .factors = bags.factors, .y = nullptr, .shape = s};
    check_kernel(kernel::embedding, args, &EmbeddingArgs::y, y, {s.mode == BagMode::Mean ? 1.0 : 0});
    if (bags.factors != nullptr) return;
    const Array best(DType::Int64, y.size()), values = real(s.dtype, weight.size());
    Array special = values;
    special.set(s.columns, std::nan("")).set(2 * s.columns, -INFINITY);
    args.weight = special.data();
    args.shape.mode = BagMode::Max;
    args.best = typed<int64_t>(best);
    check_kernel(kernel::embedding, args, &EmbeddingArgs::y, y, {});
    const auto found = [&](const CpuTable& table) {
      const Array into = y;
      args.y = into.data();
      run(table, kernel::embedding, args, Cut::Whole);
      return std::vector<int64_t>(args.best, args.best + best.size());
    };
    for (const CpuTable* table : tables()) CHECK(found(*table) == found(dnncore_table_reference));
  });
}

inline void cases_embedding_backward() {
  for_each_bags([](const BagCase& bags) {
    const BagShape& s = bags.shape;
    const Array dy = whole(s.dtype, s.bags * s.columns);
    for (bool by_frequency : {false, true}) {
      const EmbeddingBackwardArgs args{
          .dy = dy.data(), .ids = bags.ids, .starts = bags.starts, .factors = bags.factors, .shape = s, .by_frequency = by_frequency};
      std::vector<Array> lent;
      lent.reserve(100);
      // Sums of up to 240 shares of 3: a share is rounded.
      const double absolute = s.mode == BagMode::Mean ? 240 * ulp(s.dtype, 3) : 0;
      check_kernel<EmbeddingBackwardArgs>(kernel::embedding_backward, args, &EmbeddingBackwardArgs::dweight,
                                          real(s.dtype, s.rows * s.columns), {by_frequency ? 1.0 : 0, absolute},
                                          [&](const CpuTable& table, EmbeddingBackwardArgs& mine) {
                                            mine.workspace_bytes = workspace_bytes(kernel::embedding_backward, mine, table);
                                            mine.workspace = lent.emplace_back(DType::UInt8, mine.workspace_bytes).data();
                                          });
    }
  });
}

inline void cases_embedding_backward_factors() {
  for_each_bags([](const BagCase& bags) {
    const BagShape& s = bags.shape;
    const Array weight = whole(s.dtype, s.rows * s.columns), dy = whole(s.dtype, s.bags * s.columns);
    const EmbeddingBackwardFactorsArgs args{.weight = weight.data(), .dy = dy.data(), .ids = bags.ids, .starts = bags.starts, .shape = s};
    check_kernel(kernel::embedding_backward_factors, args, &EmbeddingBackwardFactorsArgs::dfactors, Array(s.dtype, s.ids), {});
  });
}

}  // namespace dnncore::test
