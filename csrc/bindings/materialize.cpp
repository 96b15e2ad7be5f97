// How a parameter without a shape gets one: its object stays, so that every name that holds it sees the memory.
#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

// Only an empty leaf that nothing else knows the sizes of: no graph names it, it has no gradient.
void materialize(const Tensor& x, const Tensor& memory) {
  TensorImpl* impl = x.impl();
  const bool empty = x.ndim() == 1 && x.numel() == 0 && x.is_leaf() && !impl->grad && !impl->accumulator;
  DNN_CHECK(empty, StateError, "materialize: this parameter has a shape already: ", x.shape());
  const TensorImpl* from = memory.impl();
  impl->storage = from->storage;
  impl->offset = from->offset;
  impl->shape = from->shape;
  impl->strides = from->strides;
  impl->dtype = from->dtype;
}

}  // namespace

void bind_materialize(py::module_& m) { m.def("_materialize", &materialize, "Give an empty tensor the memory and shape of another."); }

}  // namespace dnncore::bindings
