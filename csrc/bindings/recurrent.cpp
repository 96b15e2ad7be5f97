// Recurrent networks: dnncore.nn holds the parameters, the rest is here.
#include "ops/recurrent.h"

#include <string>
#include <string_view>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

using OptionalTensor = std::optional<Tensor>;
using Weights = std::vector<OptionalTensor>;  // those of each layer and direction in the order of ops::kWeightOrder

Tensor given(const OptionalTensor& x) { return x.value_or(Tensor()); }

struct Kind {
  const char* layer;
  const char* cell;
  Cell value;
};
constexpr Kind kKinds[] = {{"LSTM", "lstm", Cell::Lstm},       {"GRU", "gru", Cell::Gru},         {"RNN", "tanh", Cell::RnnTanh},
                           {"RNN", "relu", Cell::RnnRelu},     {"LSTMCell", "lstm", Cell::Lstm},  {"GRUCell", "gru", Cell::Gru},
                           {"RNNCell", "tanh", Cell::RnnTanh}, {"RNNCell", "relu", Cell::RnnRelu}};

ops::RecurrentSettings settings_of(std::string_view layer, std::string_view cell) {
  for (const Kind& kind : kKinds)
    if (layer == kind.layer && cell == kind.cell) return {.layer = kind.layer, .cell = kind.value};
  throw ValueError(concat("recurrent: no layer ", layer, " of cells ", cell));
}

std::vector<ops::RecurrentWeights> weights_of(const char* layer, const Weights& list) {
  constexpr size_t count = ops::kWeightsPerDirection;
  DNN_CHECK(!list.empty() && list.size() % count == 0, ValueError, layer, ": expected ", count,
            " weights for each layer and direction, got ", list.size());
  std::vector<ops::RecurrentWeights> weights;
  for (size_t i = 0; i < list.size(); i += count) {
    DNN_CHECK(list[i] && list[i + 1], ValueError, layer, ": expected weight_ih and weight_hh, got None");
    weights.push_back(ops::weights_from([&](size_t k) { return given(list[i + k]); }));
  }
  return weights;
}

std::vector<int64_t> numbers_of(const char* layer, const char* name, const Tensor& x) {
  DNN_CHECK(x.dtype() == DType::Int64 || x.dtype() == DType::Int32, TypeError, layer, ": expected ", name, " of whole numbers, got ",
            x.dtype());
  DNN_CHECK(x.ndim() == 1, ValueError, layer, ": expected ", name, " of one dimension, got shape ", x.shape());
  if (Recorder* recorder = current_recorder(); recorder != nullptr && !recorder->fixes_values(x)) host_reads(layer);
  const Tensor dense = ops::on_host(ops::contiguous(ops::to_dtype(x.detach(), DType::Int64)));
  return {dense.data<int64_t>(), dense.data<int64_t>() + dense.numel()};
}

// A tensor, an array or a sequence of ints.
std::optional<std::vector<int64_t>> lengths_of(const char* layer, py::handle given) {
  if (given.is_none()) return std::nullopt;
  if (is_tensor(given.ptr())) return numbers_of(layer, "lengths", tensor_of(given.ptr()));
  if (is_numpy_array(given.ptr())) return numbers_of(layer, "lengths", tensor_from_numpy(layer, given, Sharing::Share));
  DNN_CHECK(is_sequence(given), TypeError, layer, ": expected lengths as ints or a tensor of them, got ", Py_TYPE(given.ptr())->tp_name);
  std::vector<int64_t> numbers;
  for (py::handle length : given) {
    py::detail::type_caster<int64_t> number;
    DNN_CHECK(!PyBool_Check(length.ptr()) && PyIndex_Check(length.ptr()) && number.load(length, true), TypeError, layer,
              ": expected lengths as ints, got ", Py_TYPE(length.ptr())->tp_name);
    numbers.push_back(number);
  }
  return numbers;
}

py::tuple result_of(const ops::RecurrentResult& result) {
  return py::make_tuple(result.y, result.h, result.c.defined() ? py::cast(result.c) : py::none());
}

py::tuple run(const std::string& layer, const Tensor& x, const OptionalTensor& h, const OptionalTensor& c, const std::string& cell,
              const Weights& weights, int64_t layers, bool bidirectional, double dropout, bool batch_first, const py::object& lengths) {
  ops::RecurrentSettings s = settings_of(layer, cell);
  s.layers = layers, s.bidirectional = bidirectional, s.dropout = dropout, s.batch_first = batch_first;
  return result_of(ops::recurrent(s, x, given(h), given(c), weights_of(s.layer, weights), lengths_of(s.layer, lengths)));
}

py::tuple run_packed(const std::string& layer, const Tensor& data, const Tensor& sizes, const OptionalTensor& order,
                     const OptionalTensor& back, const OptionalTensor& h, const OptionalTensor& c, const std::string& cell,
                     const Weights& weights, int64_t layers, bool bidirectional, double dropout) {
  ops::RecurrentSettings s = settings_of(layer, cell);
  s.layers = layers, s.bidirectional = bidirectional, s.dropout = dropout;
  const ops::PackedRows packed{data, numbers_of(s.layer, "batch_sizes", sizes), given(order), given(back)};
  return result_of(ops::recurrent_packed(s, packed, given(h), given(c), weights_of(s.layer, weights)));
}

py::tuple run_step(const std::string& layer, const Tensor& x, const OptionalTensor& h, const OptionalTensor& c, const std::string& cell,
                   const Weights& weights) {
  const ops::RecurrentSettings s = settings_of(layer, cell);
  const ops::RecurrentResult next = ops::recurrent_step(s, x, given(h), given(c), weights_of(s.layer, weights)[0]);
  return py::make_tuple(next.h, next.c.defined() ? py::cast(next.c) : py::none());
}

}  // namespace

void bind_recurrent(py::module_& m) {
  m.def("_recurrent", run, py::arg("layer"), py::arg("input"), py::arg("h0"), py::arg("c0"), py::arg("cell"), py::arg("weights"),
        py::arg("num_layers"), py::arg("bidirectional"), py::arg("dropout"), py::arg("batch_first"), py::arg("lengths"));
  m.def("_recurrent_packed", run_packed, py::arg("layer"), py::arg("data"), py::arg("batch_sizes"), py::arg("sorted_indices"),
        py::arg("unsorted_indices"), py::arg("h0"), py::arg("c0"), py::arg("cell"), py::arg("weights"), py::arg("num_layers"),
        py::arg("bidirectional"), py::arg("dropout"));
  m.def("_recurrent_step", run_step, py::arg("layer"), py::arg("input"), py::arg("h0"), py::arg("c0"), py::arg("cell"), py::arg("weights"));
}

}  // namespace dnncore::bindings
