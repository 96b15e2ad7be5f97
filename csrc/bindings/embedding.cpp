// Embeddings: dnncore.nn.functional checks the settings.
#include "ops/embedding.h"

#include <string>

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

BagMode bag_mode_of(const std::string& name) {
  if (name == "sum") return BagMode::Sum;
  if (name == "mean") return BagMode::Mean;
  DNN_CHECK(name == "max", ValueError, "embedding_bag: expected a mode of sum, mean, max, got '", name, "'");
  return BagMode::Max;
}

}  // namespace

void bind_embedding(py::module_& m) {
  m.def("_embedding", &ops::embedding, py::arg("weight"), py::arg("ids"), py::arg("padding"), py::arg("by_frequency"));
  m.def(
      "_embedding_bag",
      [](const Tensor& weight, const Tensor& ids, const std::optional<Tensor>& offsets, const std::optional<Tensor>& factors,
         const std::string& mode, bool include_last_offset, int64_t padding, bool by_frequency) {
        const ops::Bags bags{ids, offsets.value_or(Tensor()), factors.value_or(Tensor()), bag_mode_of(mode), include_last_offset};
        return ops::embedding_bag(weight, bags, padding, by_frequency);
      },
      py::arg("weight"), py::arg("ids"), py::arg("offsets"), py::arg("factors"), py::arg("mode"), py::arg("include_last_offset"),
      py::arg("padding"), py::arg("by_frequency"));
  m.def("_embedding_renorm", &ops::embedding_renorm_, py::arg("weight"), py::arg("ids"), py::arg("max_norm"), py::arg("norm_type"));
}

}  // namespace dnncore::bindings
