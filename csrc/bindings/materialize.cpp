// How a parameter without a shape gets one, and how one moves to another device: its object stays, so that every name that holds it sees
// the memory.
#include "autograd/plan.h"
#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

void take_memory(const Tensor& x, const Tensor& memory) {
  TensorImpl* impl = x.impl();
  const TensorImpl* from = memory.impl();
  impl->storage = from->storage;
  impl->offset = from->offset;
  impl->shape = from->shape;
  impl->strides = from->strides;
  impl->dtype = from->dtype;
}

// Only an empty leaf that nothing else knows the sizes of: no graph names it, it has no gradient.
void materialize(const Tensor& x, const Tensor& memory) {
  TensorImpl* impl = x.impl();
  const bool empty = x.ndim() == 1 && x.numel() == 0 && x.is_leaf() && !impl->grad && !impl->accumulator;
  DNN_CHECK(empty, StateError, "materialize: this parameter has a shape already: ", x.shape());
  take_memory(x, memory);
}

// A leaf and its gradient. Graphs that have saved it keep its old memory or refuse.
void relocate(const Tensor& x, Device device) {
  DNN_CHECK(x.is_leaf(), StateError, "to: only leaf tensors move in place");
  const NoGrad no_grad;
  if (const Tensor grad = x.grad(); grad.defined()) x.set_grad(ops::to_device(grad.detach(), device));
  take_memory(x, ops::to_device(x.detach(), device));
  leaf_moved();
}

}  // namespace

void bind_materialize(py::module_& m) {
  m.def("_materialize", &materialize, "Give an empty tensor the memory and shape of another.");
  m.def("_relocate", &relocate, py::arg("x"), py::arg("device"), "Move a leaf and its gradient to another device; the object stays.");
}

}  // namespace dnncore::bindings
