// Selection along dimensions, order and running results.
#include <cmath>

#include "autograd/tape.h"
#include "bindings/bindings.h"
#include "bindings/in_place.h"
#include "core/parallel.h"
#include "ops/tensor_ops.h"

namespace dnncore::bindings {

namespace {

using ops::ValuesAndIndices;

// --- Named pairs ------------------------------------------------------------------------------------------------------
using PairType = PyTypeObject*;

PairType make_pair_type(const char* name) {
  static PyStructSequence_Field fields[] = {{"values", "the values"}, {"indices", "where they are"}, {nullptr, nullptr}};
  PyStructSequence_Desc desc{name, "Values and their positions along a dimension.", fields, 2};
  PairType type = PyStructSequence_NewType(&desc);
  if (!type) throw py::error_already_set();
  return type;
}

py::object named(PairType type, const ValuesAndIndices& found) {
  auto pair = py::reinterpret_steal<py::object>(PyStructSequence_New(type));
  if (!pair) throw py::error_already_set();
  PyStructSequence_SetItem(pair.ptr(), 0, py::cast(found.values).release().ptr());
  PyStructSequence_SetItem(pair.ptr(), 1, py::cast(found.indices).release().ptr());
  return pair;
}

// --- Along a dimension ------------------------------------------------------------------------------------------------
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const std::optional<TensorOrNumber>& src,
               const std::optional<Scalar>& value, const std::optional<std::string>& reduce) {
  DNN_CHECK(src.has_value() != value.has_value(), TypeError, "scatter: expected either src or value");
  const auto* number = src ? std::get_if<Scalar>(&*src) : &*value;
  if (!reduce) return number ? ops::scatter(x, dim, index, *number) : ops::scatter(x, dim, index, std::get<Tensor>(*src));
  DNN_CHECK(*reduce == "add" || *reduce == "multiply", ValueError, "scatter: expected reduce 'add' or 'multiply', got '", *reduce, "'");
  const Tensor values = number ? ops::expand(scalar_tensor(*number, x.dtype(), x.device()), index.shape()) : std::get<Tensor>(*src);
  return ops::scatter_reduce(x, dim, index, values, *reduce == "add" ? "sum" : "prod", true);
}

Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const TensorOrNumber& value) {
  const auto* number = std::get_if<Scalar>(&value);
  return ops::index_fill(x, dim, index, number ? scalar_tensor(*number, x.dtype(), x.device()) : std::get<Tensor>(value));
}

void bind_along(py::module_& m) {
  const py::arg dim("dim"), index("index");
  function_and_method(m, "gather", &ops::gather, dim, index, "Elements picked along a dimension.");
  const auto scatter_doc = "A copy with the elements of `src`, or `value`, put along a dimension; of equal positions the last one stays.";
  const auto with_inplace = [&](const char* name, auto fn, const char* doc, const auto&... args) {
    function_and_method(m, name, fn, args..., doc);
    inplace_method(name, fn, args..., doc);
  };
  with_inplace("scatter", &scatter, scatter_doc, dim, index, py::arg("src") = py::none(), py::kw_only(), py::arg("value") = py::none(),
               py::arg("reduce") = py::none());
  with_inplace("scatter_add", &ops::scatter_add, "A copy with the elements of `src` added along a dimension.", dim, index, py::arg("src"));
  with_inplace("scatter_reduce", &ops::scatter_reduce,
               "A copy with the elements of `src` combined along a dimension by 'sum', 'prod', 'mean', 'amax' or 'amin'.", dim, index,
               py::arg("src"), py::arg("reduce"), py::kw_only(), py::arg("include_self") = true);
  with_inplace("index_add", &ops::index_add, "A copy with alpha times the slices of `source` added at positions along a dimension.", dim,
               index, py::arg("source"), py::kw_only(), py::arg("alpha") = 1);
  with_inplace("index_copy", &ops::index_copy, "A copy with slices replaced by those of `source`.", dim, index, py::arg("source"));
  with_inplace("index_fill", &index_fill, "A copy with slices set to one value.", dim, index, py::arg("value"));
  with_inplace("masked_scatter", &ops::masked_scatter, "A copy with the elements of `source` in order where the mask is true.",
               py::arg("mask"), py::arg("source"));
  function_and_method(m, "take_along_dim", &ops::take_along_dim, py::arg("indices"), py::arg("dim") = py::none(),
                      "Elements picked along a dimension, broadcast in the others.");
  function_and_method(m, "masked_select", &ops::masked_select, py::arg("mask"), "The elements where the mask is true, a vector.");
}

// --- Order ------------------------------------------------------------------------------------------------------------
// `sorted` is taken for PyTorch's sake: the result is in order either way.
void bind_order(py::module_& m) {
  static const PairType sort_type = make_pair_type("dnncore.return_types.sort"), topk_type = make_pair_type("dnncore.return_types.topk"),
                        kthvalue_type = make_pair_type("dnncore.return_types.kthvalue"),
                        median_type = make_pair_type("dnncore.return_types.median");
  const py::arg_v dim = py::arg("dim") = -1;
  const py::arg_v keepdim = py::arg("keepdim") = false, descending = py::arg("descending") = false, stable = py::arg("stable") = false;
  function_and_method(
      m, "sort", [](const Tensor& x, int64_t d, bool down, bool) { return named(sort_type, ops::sort(x, d, down)); }, dim, descending,
      stable, "(values, indices) in order along a dimension; equal elements keep theirs, NaN is above all numbers.");
  function_and_method(
      m, "argsort", [](const Tensor& x, int64_t d, bool down, bool) { return ops::sort(x.detach(), d, down).indices; }, dim, descending,
      stable, "The indices of sort().");
  function_and_method(
      m, "topk", [](const Tensor& x, int64_t k, int64_t d, bool largest, bool) { return named(topk_type, ops::topk(x, k, d, largest)); },
      py::arg("k"), dim, py::arg("largest") = true, py::arg("sorted") = true,
      "(values, indices) of the k largest elements along a dimension, in order; of equal ones the first.");
  function_and_method(
      m, "kthvalue", [](const Tensor& x, int64_t k, int64_t d, bool keep) { return named(kthvalue_type, ops::kthvalue(x, k, d, keep)); },
      py::arg("k"), dim, keepdim, "(values, indices) of the k-th smallest element along a dimension.");
  function_and_method(
      m, "median",
      [](const Tensor& x, std::optional<int64_t> d, bool keep) -> py::object {
        if (d) return named(median_type, ops::median(x, *d, keep));
        DNN_CHECK(!keep, ValueError, "median: keepdim needs a dim");
        if (x.numel() == 0 && is_floating(x.dtype())) return py::cast(scalar_tensor(Scalar::of(std::nan("")), x.dtype(), x.device()));
        return py::cast(ops::median(ops::flatten(x, 0, -1), 0, false).values);
      },
      py::arg("dim") = py::none(), keepdim, "The middle element, the lower one of two; (values, indices) along a dimension.");
  function_and_method(
      m, "unique",
      [](const Tensor& x, bool, bool return_inverse, bool return_counts) -> py::object {
        const ops::Unique found = ops::unique(x);
        if (return_inverse && return_counts) return py::make_tuple(found.values, found.inverse, found.counts);
        if (return_inverse || return_counts) return py::make_tuple(found.values, return_inverse ? found.inverse : found.counts);
        return py::cast(found.values);
      },
      py::arg("sorted") = true, py::arg("return_inverse") = false, py::arg("return_counts") = false,
      "The different elements in order, where each element went, and how often each appears.");
}

void bind_counting(py::module_& m) {
  const auto searched = [](const Tensor& sequence, const TensorOrNumber& values, bool out_int32, bool right) {
    const auto* number = std::get_if<Scalar>(&values);
    const Tensor found = ops::searchsorted(
        sequence, number ? scalar_tensor(*number, default_dtype(*number), sequence.device()) : std::get<Tensor>(values), right);
    return out_int32 ? ops::to_dtype(found, DType::Int32) : found;
  };
  m.def("searchsorted", searched, py::arg("sorted_sequence"), py::arg("input"), py::kw_only(), py::arg("out_int32") = false,
        py::arg("right") = false, "Where values belong in an ascending sequence: before equal entries, or after them with right=True.");
  m.def(
      "bucketize",
      [searched](const TensorOrNumber& x, const Tensor& boundaries, bool out_int32, bool right) {
        DNN_CHECK(boundaries.ndim() == 1, ValueError, "bucketize: expected 1-d boundaries, got shape ", boundaries.shape());
        return searched(boundaries, x, out_int32, right);
      },
      py::arg("input"), py::arg("boundaries"), py::kw_only(), py::arg("out_int32") = false, py::arg("right") = false,
      "The number of the interval between boundaries that each element lies in.");
  function_and_method(
      m, "bincount",
      [](const Tensor& x, const std::optional<Tensor>& weights, int64_t minlength) {
        return ops::bincount(x, weights.value_or(Tensor()), minlength);
      },
      py::arg("weights") = py::none(), py::arg("minlength") = 0, "How often each whole number appears, or the sum of its weights.");
  function_and_method(m, "histc", &ops::histc, py::arg("bins") = 100, py::arg("min") = 0.0, py::arg("max") = 0.0,
                      "How many elements lie in each of equal bins between min and max (of the data where both are 0).");
  m.def(
      "isin",
      [](const Tensor& elements, const Tensor& test_elements, bool invert) {
        const Tensor inside = ops::isin(elements, test_elements);
        return invert ? ops::unary(UnaryOp::logical_not, inside) : inside;
      },
      py::arg("elements"), py::arg("test_elements"), py::kw_only(), py::arg("invert") = false,
      "Whether each element is among the test elements.");
  function_and_method(
      m, "count_nonzero",
      [](const Tensor& x, const Dims& dim) { return ops::reduce(ReduceOp::sum, ops::to_dtype(x.detach(), DType::Bool), dim.dims, false); },
      py::arg("dim") = py::none(), "How many elements are not 0, over one, several or all dimensions.");
}

// --- Running results --------------------------------------------------------------------------------------------------
void bind_cumulative(py::module_& m) {
  static const PairType types[] = {make_pair_type("dnncore.return_types.cummax"), make_pair_type("dnncore.return_types.cummin")};
  const auto running = [&](const char* name, Tensor (*fn)(const Tensor&, int64_t), const char* doc) {
    function_and_method(
        m, name, [fn](const Tensor& x, int64_t dim, std::optional<DType> dtype) { return fn(dtype ? ops::to_dtype(x, *dtype) : x, dim); },
        py::arg("dim"), py::kw_only(), py::arg("dtype") = py::none(), doc);
  };
  running("cumsum", &ops::cumsum, "Running sums along a dimension.");
  running("cumprod", &ops::cumprod, "Running products along a dimension.");
  function_and_method(m, "logcumsumexp", &ops::logcumsumexp, py::arg("dim"), "Logarithm of the running sums of exp(input).");
  function_and_method(
      m, "cummax", [](const Tensor& x, int64_t dim) { return named(types[0], ops::cumulative_extreme(CumulateOp::max, x, dim)); },
      py::arg("dim"), "(values, indices) of the largest element so far along a dimension.");
  function_and_method(
      m, "cummin", [](const Tensor& x, int64_t dim) { return named(types[1], ops::cumulative_extreme(CumulateOp::min, x, dim)); },
      py::arg("dim"), "(values, indices) of the smallest element so far along a dimension.");
}

// --- Minibatches ------------------------------------------------------------------------------------------------------
using Batch = std::vector<Tensor>;

// `size` positions from [begin, end) for each batch, the last one what is left.
template <class Make>
std::vector<Batch> batches_of(const Batch& tensors, int64_t begin, int64_t end, int64_t size, const Make& make) {
  std::vector<Batch> batches;
  for (int64_t at = begin; at < end; at += size) {
    const auto one = make(at, std::min(at + size, end));
    batches.emplace_back();
    for (const Tensor& tensor : tensors) batches.back().push_back(one(tensor));
  }
  return batches;
}

py::list lists_of(const std::vector<Batch>& batches) {
  py::list result;
  for (const Batch& batch : batches) result.append(py::tuple(py::cast(batch)));
  return result;
}

// order: int64 (n,). Rows order[begin ... end) of every tensor, fresh tensors, each where its rows were.
py::list gather_batches(const Batch& tensors, const Tensor& order, int64_t begin, int64_t end, int64_t size) {
  DNN_CHECK(order.ndim() == 1 && 0 <= begin && begin <= end && end <= order.size(0) && size > 0, ValueError,
            "gather_batches: expected 0 <= begin <= end <= n and a positive size for an order of shape ", order.shape(), ", got ", begin,
            ", ", end, " and ", size);
  std::vector<Batch> batches;
  {
    const parallel::HostUnlocked unlocked;  // each of the launches would be too short to drop it by itself
    const NoGrad no_grad;
    batches = batches_of(tensors, begin, end, size, [&order](int64_t from, int64_t to) {
      return [rows = ops::slice(order, 0, from, to, 1)](const Tensor& x) {
        return ops::index(x, 0, {ops::to_device(rows, x.device(), "gather_batches")});
      };
    });
  }
  return lists_of(batches);
}

// Rows [begin, end) of every tensor, views.
py::list slice_batches(const Batch& tensors, int64_t begin, int64_t end, int64_t size) {
  DNN_CHECK(0 <= begin && begin <= end && size > 0, ValueError, "slice_batches: expected 0 <= begin <= end and a positive size, got ",
            begin, ", ", end, " and ", size);
  const NoGrad no_grad;
  return lists_of(batches_of(tensors, begin, end, size, [](int64_t from, int64_t to) {
    return [from, to](const Tensor& x) { return ops::slice(x, 0, from, to, 1); };
  }));
}

}  // namespace

void bind_select(py::module_& m) {
  m.def("_gather_batches", &gather_batches, py::arg("tensors"), py::arg("order"), py::arg("begin"), py::arg("end"), py::arg("size"),
        "Minibatches of the rows that a part of an order names, without the GIL.");
  m.def("_slice_batches", &slice_batches, py::arg("tensors"), py::arg("begin"), py::arg("end"), py::arg("size"),
        "Minibatches of neighbouring rows, as views.");
  bind_along(m);
  bind_order(m);
  bind_counting(m);
  bind_cumulative(m);
}

}  // namespace dnncore::bindings
