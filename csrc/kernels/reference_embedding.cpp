// Naive sums of rows of a table: id by id, in double.
#include <algorithm>
#include <vector>

#include "core/launch.h"
#include "kernels/embedding.h"

namespace dnncore::reference {

void embedding(const EmbeddingArgs& args, const Tasks&);
void embedding_backward(const EmbeddingBackwardArgs& args, const Tasks&);
void embedding_backward_factors(const EmbeddingBackwardFactorsArgs& args, const Tasks&);

namespace {

// fn(bag, place i, id, 1 or what Mean divides by) for every id that counts.
template <class Fn>
void for_each_id(const BagShape& s, const int64_t* ids, const int64_t* starts, Fn&& fn) {
  for (int64_t b = 0; b < s.bags; ++b) {
    int64_t count = 0;
    for (int64_t i = s.begin(starts, b); i < s.end(starts, b); ++i) count += s.counts(ids[i]);
    for (int64_t i = s.begin(starts, b); i < s.end(starts, b); ++i)
      if (s.counts(ids[i])) fn(b, i, ids[i], s.mode == BagMode::Mean ? static_cast<double>(count) : 1.0);
  }
}

template <class T>
void largest_of(const EmbeddingArgs& args) {
  const BagShape& s = args.shape;
  T* y = static_cast<T*>(args.y);
  std::fill_n(y, s.bags * s.columns, T(0));
  std::fill_n(args.best, s.bags * s.columns, int64_t{-1});
  for_each_id(s, args.ids, args.starts, [&](int64_t b, int64_t, int64_t id, double) {
    for (int64_t c = 0; c < s.columns; ++c) {
      const T x = static_cast<const T*>(args.weight)[id * s.columns + c];
      T& largest = y[b * s.columns + c];
      int64_t& best = args.best[b * s.columns + c];
      if (best >= 0 && !(x > largest) && !(x != x && largest == largest)) continue;
      largest = x;
      best = id;
    }
  });
}

template <class T>
void embedding_as(const EmbeddingArgs& args) {
  const BagShape& s = args.shape;
  if (s.mode == BagMode::Max) return largest_of<T>(args);
  std::vector<double> sums(static_cast<size_t>(s.bags * s.columns)), divisors(static_cast<size_t>(s.bags), 1.0);
  for_each_id(s, args.ids, args.starts, [&](int64_t b, int64_t i, int64_t id, double divisor) {
    const double factor = args.factors == nullptr ? 1.0 : static_cast<double>(static_cast<const T*>(args.factors)[i]);
    for (int64_t c = 0; c < s.columns; ++c)
      sums[static_cast<size_t>(b * s.columns + c)] += factor * static_cast<double>(static_cast<const T*>(args.weight)[id * s.columns + c]);
    divisors[static_cast<size_t>(b)] = divisor;
  });
  for (size_t i = 0; i < sums.size(); ++i)
    static_cast<T*>(args.y)[i] = static_cast<T>(sums[i] / divisors[i / static_cast<size_t>(s.columns)]);
}

template <class T>
void backward_as(const EmbeddingBackwardArgs& args) {
  const BagShape& s = args.shape;
  std::vector<double> sums(static_cast<size_t>(s.rows * s.columns));
  std::vector<int64_t> found(static_cast<size_t>(s.rows));
  for_each_id(s, args.ids, args.starts, [&](int64_t b, int64_t i, int64_t id, double divisor) {
    const double factor = args.factors == nullptr ? 1 / divisor : static_cast<double>(static_cast<const T*>(args.factors)[i]);
    for (int64_t c = 0; c < s.columns; ++c)
      sums[static_cast<size_t>(id * s.columns + c)] += factor * static_cast<double>(static_cast<const T*>(args.dy)[b * s.columns + c]);
    ++found[static_cast<size_t>(id)];
  });
  for (int64_t v = 0; v < s.rows; ++v)
    for (int64_t c = 0; c < s.columns; ++c) {
      const double times = args.by_frequency ? static_cast<double>(std::max<int64_t>(1, found[static_cast<size_t>(v)])) : 1;
      static_cast<T*>(args.dweight)[v * s.columns + c] = static_cast<T>(sums[static_cast<size_t>(v * s.columns + c)] / times);
    }
}

template <class T>
void backward_factors_as(const EmbeddingBackwardFactorsArgs& args) {
  const BagShape& s = args.shape;
  T* dfactors = static_cast<T*>(args.dfactors);
  std::fill_n(dfactors, s.ids, T(0));
  for_each_id(s, args.ids, args.starts, [&](int64_t b, int64_t i, int64_t id, double) {
    double sum = 0;
    for (int64_t c = 0; c < s.columns; ++c)
      sum += static_cast<double>(static_cast<const T*>(args.weight)[id * s.columns + c]) *
             static_cast<double>(static_cast<const T*>(args.dy)[b * s.columns + c]);
    dfactors[i] = static_cast<T>(sum);
  });
}

}  // namespace

void embedding(const EmbeddingArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? embedding_as<double>(args) : embedding_as<float>(args);
}

void embedding_backward(const EmbeddingBackwardArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? backward_as<double>(args) : backward_as<float>(args);
}

void embedding_backward_factors(const EmbeddingBackwardFactorsArgs& args, const Tasks&) {
  args.shape.dtype == DType::Float64 ? backward_factors_as<double>(args) : backward_factors_as<float>(args);
}

}  // namespace dnncore::reference
