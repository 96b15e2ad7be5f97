#include "ops/embedding.h"

#include <limits>

#include "ops/common.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

namespace {

constexpr const char* kEmbedding = "embedding";
constexpr const char* kBag = "embedding_bag";

// What the kernels take beside tables, gradients and factors. `shape.skipped` is that of the gradient.
struct LookUp {
  const char* op;
  Tensor ids, starts;  // int64, contiguous, one dimension; starts may be undefined
  BagShape shape;
  bool by_frequency = false;

  const int64_t* starts_data() const { return starts.defined() ? starts.data<int64_t>() : nullptr; }
};

// Kept for the backward pass.
class SavedLookUp {
 public:
  explicit SavedLookUp(const LookUp& from) : look_up_(from), ids_(Saved::input(from.ids)) {
    if (from.starts.defined()) starts_ = Saved::input(from.starts);
    look_up_.ids = look_up_.starts = {};
  }
  LookUp get(const Node& node) const {
    LookUp found = look_up_;
    found.ids = ids_.get(node);
    found.starts = starts_.get(node);
    return found;
  }

 private:
  LookUp look_up_;
  Saved ids_, starts_;
};

// y = S w for the matrix S of factors; its gradients S^T g and, of the factors, w . g. They are each other's derivatives.
Tensor sums(const Tensor& weight, const Tensor& factors, const LookUp& from, int64_t skipped);
Tensor table_gradient(const Tensor& g, const Tensor& factors, const LookUp& from);
Tensor factor_gradient(const Tensor& weight, const Tensor& g, const LookUp& from);

Tensor sums(const Tensor& weight, const Tensor& factors, const LookUp& from, int64_t skipped) {
  const Tensor table = dense(weight), by = dense(factors);
  const Tensor y = Tensor::empty({from.shape.bags, from.shape.columns}, weight.dtype(), weight.device(), from.op);
  BagShape shape = from.shape;
  shape.skipped = skipped;
  if (y.numel() > 0)
    launch(from.op, kernel::embedding,
           EmbeddingArgs{.weight = table.data(),
                         .ids = from.ids.data<int64_t>(),
                         .starts = from.starts_data(),
                         .factors = data_of(by),
                         .y = y.data(),
                         .shape = shape},
           y.device());
  if (any_requires_grad({&weight, &factors}))
    record(from.op, y, {&weight, &factors},
           [from = SavedLookUp(from), weight = factors.defined() ? Saved::input(weight) : Saved(), factors = saved(factors)](
               const Node& node, const Tensor& g) -> Grads {
             const LookUp at = from.get(node);
             return {node.needs(0) ? table_gradient(g, factors.get(node), at) : Tensor(),
                     node.needs(1) ? factor_gradient(weight.get(node), g, at) : Tensor()};
           });
  return y;
}

// How often each row's id occurs, (rows, 1), at least 1.
Tensor frequencies(LookUp from, DType dtype) {
  from.shape.columns = 1;
  from.shape.mode = BagMode::Sum;
  from.by_frequency = false;
  const NoGrad no_grad;
  return binary(BinaryOp::maximum, table_gradient(ones({from.shape.bags, 1}, dtype, from.ids.device()), {}, from), Scalar::of(1.0));
}

Tensor table_gradient(const Tensor& g, const Tensor& factors, const LookUp& from) {
  if (from.by_frequency && GradMode::enabled()) {  // made of what records itself
    LookUp plain = from;
    plain.by_frequency = false;
    return binary(BinaryOp::div, table_gradient(g, factors, plain), frequencies(from, g.dtype()));
  }
  const Tensor dy = dense(g), by = dense(factors);
  const Tensor dweight = Tensor::empty({from.shape.rows, from.shape.columns}, g.dtype(), g.device(), from.op);
  if (dweight.numel() > 0)
    launch_with_workspace(from.op, kernel::embedding_backward,
                          EmbeddingBackwardArgs{.dy = dy.data(),
                                                .ids = from.ids.data<int64_t>(),
                                                .starts = from.starts_data(),
                                                .factors = data_of(by),
                                                .dweight = dweight.data(),
                                                .shape = from.shape,
                                                .by_frequency = from.by_frequency},
                          dweight.device());
  if (any_requires_grad({&g, &factors}))
    record(from.op, dweight, {&g, &factors},
           [from = SavedLookUp(from), g = factors.defined() ? Saved::input(g) : Saved(), factors = saved(factors)](
               const Node& node, const Tensor& gg) -> Grads {
             const LookUp at = from.get(node);
             return {node.needs(0) ? sums(gg, factors.get(node), at, at.shape.skipped) : Tensor(),
                     node.needs(1) ? factor_gradient(gg, g.get(node), at) : Tensor()};
           });
  return dweight;
}

Tensor factor_gradient(const Tensor& weight, const Tensor& g, const LookUp& from) {
  const Tensor table = dense(weight), dy = dense(g);
  const Tensor dfactors = Tensor::empty({from.shape.ids}, g.dtype(), g.device(), from.op);
  if (from.starts.defined() && from.shape.bags == 0) fill_(dfactors, Scalar::of(0.0));
  if (dfactors.numel() > 0)
    launch(from.op, kernel::embedding_backward_factors,
           EmbeddingBackwardFactorsArgs{.weight = table.data(),
                                        .dy = dy.data(),
                                        .ids = from.ids.data<int64_t>(),
                                        .starts = from.starts_data(),
                                        .dfactors = dfactors.data(),
                                        .shape = from.shape},
           dfactors.device());
  if (any_requires_grad({&weight, &g}))
    record(from.op, dfactors, {&weight, &g},
           [from = SavedLookUp(from), weight = Saved::input(weight), g = Saved::input(g)](const Node& node, const Tensor& gg) -> Grads {
             const LookUp at = from.get(node);
             return {node.needs(0) ? table_gradient(g.get(node), gg, at) : Tensor(),
                     node.needs(1) ? sums(weight.get(node), gg, at, at.shape.skipped) : Tensor()};
           });
  return dfactors;
}

// A gradient goes to the one row that each element was taken from; a bag of none has nowhere.
Tensor maxima(const Tensor& weight, const LookUp& from) {
  const Tensor table = dense(weight);
  const Shape shape = {from.shape.bags, from.shape.columns};
  const Tensor y = Tensor::empty(shape, weight.dtype(), weight.device(), from.op);
  const Tensor best = Tensor::empty(shape, DType::Int64, weight.device(), from.op);
  if (y.numel() > 0)
    launch(from.op, kernel::embedding,
           EmbeddingArgs{.weight = table.data(),
                         .ids = from.ids.data<int64_t>(),
                         .starts = from.starts_data(),
                         .y = y.data(),
                         .best = best.data<int64_t>(),
                         .shape = from.shape},
           y.device());
  if (any_requires_grad({&weight}))
    record(from.op, y, {&weight}, [best, shape = weight.shape()](const Node&, const Tensor& g) -> Grads {
      if (shape[0] == 0) return {zeros(shape, g.dtype(), g.device())};
      const Scalar zero = Scalar::of(int64_t{0});
      const Tensor taken = where(binary(BinaryOp::ge, best, zero), g, scalar_tensor(Scalar::of(0.0), g.dtype(), g.device()));
      return {scatter_add(zeros(shape, g.dtype(), g.device()), 0, binary(BinaryOp::maximum, best, zero), taken)};
    });
  return y;
}

std::string place_in(const Shape& shape, int64_t i) {
  Shape place = shape;
  for (int d = shape.ndim() - 1; d >= 0; --d) {
    place[d] = i % shape[d];
    i /= shape[d];
  }
  return concat(place);
}

// As int64, contiguous, of one dimension; every id is looked at here, and once more by the kernels.
Tensor checked_ids(const char* op, const Tensor& weight, const Tensor& ids) {
  DNN_CHECK(weight.ndim() == 2, ValueError, op, ": expected weight of shape (rows, columns), got ", weight.shape());
  DNN_CHECK(is_floating(weight.dtype()), TypeError, op, ": expected a floating weight, got ", weight.dtype(), "; cast with .float()");
  DNN_CHECK(ids.dtype() == DType::Int64 || ids.dtype() == DType::Int32, TypeError, op, ": expected int64 or int32 ids, got ", ids.dtype(),
            "; convert them with .long()");
  check_device(op, weight, ids);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  DNN_CHECK(weight.size(0) <= kMost && ids.numel() <= kMost, ValueError, op, ": expected at most ", kMost, " rows and ids, got ",
            weight.size(0), " and ", ids.numel());
  const Tensor flat = reshape(contiguous(to_dtype(ids, DType::Int64)), {ids.numel()});
  host_check({&flat}, [op, shape = ids.shape(), rows = weight.size(0), count = ids.numel()](const void* const* data) {
    const auto* id = static_cast<const int64_t*>(data[0]);
    uint64_t signs = 0;  // of id and of rows - 1 - id: one pass without a branch
    for (int64_t i = 0; i < count; ++i)
      signs |= static_cast<uint64_t>(id[i]) | (static_cast<uint64_t>(rows - 1) - static_cast<uint64_t>(id[i]));
    const bool fits = static_cast<int64_t>(signs) >= 0;
    for (int64_t i = 0; !fits && i < count; ++i)
      DNN_CHECK(id[i] >= 0 && id[i] < rows, IndexError, op, ": id ", id[i], " at position ", place_in(shape, i), " is outside [0, ", rows,
                "), the vocabulary of ", rows, " rows");
  });
  return flat;
}

Tensor checked_starts(const Bags& bags) {
  const Tensor& offsets = bags.offsets;
  DNN_CHECK(offsets.ndim() == 1, ValueError, kBag, ": expected offsets of one dimension, got shape ", offsets.shape());
  DNN_CHECK(offsets.dtype() == DType::Int64 || offsets.dtype() == DType::Int32, TypeError, kBag, ": expected int64 or int32 offsets, got ",
            offsets.dtype(), "; convert them with .long()");
  DNN_CHECK(!bags.include_last_offset || offsets.numel() > 0, ValueError, kBag,
            ": include_last_offset expects the number of ids as the last one of offsets, got none");
  const Tensor starts = contiguous(to_dtype(offsets, DType::Int64));
  host_check({&starts}, [count = starts.numel(), ids = bags.ids.numel(), last = bags.include_last_offset](const void* const* data) {
    const auto* start = static_cast<const int64_t*>(data[0]);
    DNN_CHECK(count > 0 || ids == 0, ValueError, kBag, ": expected offsets for ", ids, " ids, got none");
    for (int64_t b = 0; b < count; ++b) {
      const int64_t least = b > 0 ? start[b - 1] : 0, most = b > 0 ? ids : 0;
      DNN_CHECK(start[b] >= least && start[b] <= most, ValueError, kBag, ": expected offsets that begin with 0 and rise to at most ", ids,
                ", the number of ids; offsets[", b, "] is ", start[b], b > 0 ? concat(" after ", start[b - 1]) : std::string());
    }
    DNN_CHECK(!last || start[count - 1] == ids, ValueError, kBag, ": include_last_offset expects the number of ids, ", ids,
              ", as the last one of offsets, got ", start[count - 1]);
  });
  return starts;
}

LookUp look_up_of(const Tensor& weight, const Bags& bags, int64_t padding, bool by_frequency) {
  LookUp from{.op = kBag, .ids = checked_ids(kBag, weight, bags.ids), .by_frequency = by_frequency};
  from.shape = {.ids = from.ids.numel(),
                .rows = weight.size(0),
                .columns = weight.size(1),
                .skipped = padding,
                .mode = bags.mode,
                .dtype = weight.dtype()};
  if (bags.offsets.defined()) {
    DNN_CHECK(bags.ids.ndim() == 1, ValueError, kBag, ": expected ids of one dimension with offsets, got shape ", bags.ids.shape());
    from.starts = checked_starts(bags);
    from.shape.bags = from.starts.numel() - bags.include_last_offset;
  } else {
    DNN_CHECK(bags.ids.ndim() == 2, ValueError, kBag, ": expected ids of shape (bags, ids), or (ids,) with offsets, got shape ",
              bags.ids.shape());
    from.shape.bags = bags.ids.size(0);
    from.shape.per_bag = bags.ids.size(1);
  }
  return from;
}

Tensor flat_factors(const Tensor& weight, const Bags& bags) {
  if (!bags.factors.defined()) return {};
  DNN_CHECK(bags.mode == BagMode::Sum, ValueError, kBag, ": per_sample_weights go with mode 'sum' only");
  DNN_CHECK(bags.factors.shape() == bags.ids.shape(), ValueError, kBag, ": expected per_sample_weights of the ids' shape ",
            bags.ids.shape(), ", got ", bags.factors.shape());
  DNN_CHECK(bags.factors.dtype() == weight.dtype(), TypeError, kBag, ": expected per_sample_weights of the weight's dtype ", weight.dtype(),
            ", got ", bags.factors.dtype(), "; use per_sample_weights.to(weight.dtype)");
  return reshape(bags.factors, {bags.factors.numel()});
}

}  // namespace

Tensor embedding(const Tensor& weight, const Tensor& ids, int64_t padding, bool by_frequency) {
  LookUp from{.op = kEmbedding, .ids = checked_ids(kEmbedding, weight, ids), .by_frequency = by_frequency};
  const Tensor table = as_float(weight);
  from.shape = {.ids = ids.numel(),
                .bags = ids.numel(),
                .rows = weight.size(0),
                .columns = weight.size(1),
                .skipped = padding,
                .dtype = table.dtype()};
  Shape shape = ids.shape();
  shape.push_back(weight.size(1));
  return to_dtype(reshape(sums(table, {}, from, -1), shape), weight.dtype());
}

Tensor embedding_bag(const Tensor& weight, const Bags& bags, int64_t padding, bool by_frequency) {
  DNN_CHECK(!by_frequency || bags.mode != BagMode::Max, ValueError, kBag, ": scale_grad_by_freq does not go with mode 'max'");
  LookUp from = look_up_of(weight, bags, padding, by_frequency);
  const Tensor factors = as_float(flat_factors(weight, bags)), table = as_float(weight);
  from.shape.dtype = table.dtype();
  return to_dtype(bags.mode == BagMode::Max ? maxima(table, from) : sums(table, factors, from, padding), weight.dtype());
}

void embedding_renorm_(const Tensor& weight, const Tensor& ids, double max_norm, double norm_type) {
  const NoGrad no_grad;
  const Tensor at = checked_ids(kEmbedding, weight, ids);
  if (at.numel() == 0 || weight.numel() == 0) return;
  const Tensor rows = index(weight.detach(), 0, {at});
  const Tensor norms = vector_norm(rows, norm_type, {1}, true);
  const Tensor one = scalar_tensor(Scalar::of(1.0), norms.dtype(), norms.device());
  const Tensor scale = binary(BinaryOp::div, Scalar::of(max_norm), binary(BinaryOp::add, norms, Scalar::of(1e-7)));
  const Tensor factors = where(binary(BinaryOp::gt, norms, Scalar::of(max_norm)), scale, one);
  index_put_(weight, 0, {at}, binary(BinaryOp::mul, rows, factors), false);
}

}  // namespace dnncore::ops
