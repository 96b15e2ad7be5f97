// Tensor: a strided view of a storage, with what the tape needs to know about it. Copying a Tensor shares it.
// Strides count elements and are never negative. No layout but the strides is assumed anywhere above the gate.
#pragma once

#include "core/device.h"
#include "core/dtype.h"
#include "core/intrusive.h"
#include "core/memory.h"
#include "core/shape.h"

namespace dnncore {

class HookList;
class Node;

class TensorImpl final : public RefCounted {
 public:
  TensorImpl(Ref<Storage> storage, int64_t offset, const Shape& shape, const Strides& strides, DType dtype);
  ~TensorImpl() override;
  // From a free list: a tensor is made for every op.
  static void* operator new(size_t bytes);
  static void operator delete(void* data) noexcept;
  void mark_view(bool view);

  Ref<Storage> storage;
  int64_t offset;  // elements
  Shape shape;
  Strides strides;
  DType dtype;
  bool requires_grad = false;  // of a leaf; a tensor with a grad_fn requires grad too
  bool is_view = false;        // made by a view op from a tensor that may still be in use; set by mark_view()
  uint32_t output_number = 0;  // which output of grad_fn this is
  Ref<Node> grad_fn;
  Ref<TensorImpl> grad;
  Ref<HookList> hooks;          // on its gradient; null nearly always
  bool retains_grad = false;    // of a tensor that is not a leaf
  Node* accumulator = nullptr;  // where gradients of this leaf arrive, while a graph names it (not owned)
  void* host_object = nullptr;  // the Python object that stands for this tensor while it lives (not owned)
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ref<TensorImpl> impl) : impl_(std::move(impl)) {}

  // Uninitialised, contiguous. ValueError when the size overflows, MemoryError when there is no room; both begin with `op`.
  static Tensor empty(const Shape& shape, DType dtype, Device device = {}, const char* op = "empty");
  // Uninitialised, dense, its dimensions in the order in which `like` has them in memory (a transposed view gives a transposed result).
  static Tensor empty_like(const Tensor& like, DType dtype) { return empty_like(like, dtype, like.device()); }
  static Tensor empty_like(const Tensor& like, DType dtype, Device device);

  bool defined() const { return static_cast<bool>(impl_); }
  TensorImpl* impl() const { return impl_.get(); }
  const Ref<TensorImpl>& ref() const { return impl_; }
  bool is(const Tensor& other) const { return impl_ == other.impl_; }

  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->storage->device(); }
  const Shape& shape() const { return impl_->shape; }
  const Strides& strides() const { return impl_->strides; }
  int ndim() const { return impl_->shape.n; }
  int64_t size(int dim) const { return impl_->shape[dim]; }
  int64_t stride(int dim) const { return impl_->strides[dim]; }
  int64_t numel() const { return dnncore::numel(impl_->shape); }
  int64_t nbytes() const { return numel() * static_cast<int64_t>(itemsize(dtype())); }
  const Ref<Storage>& storage() const { return impl_->storage; }
  uint32_t version() const { return impl_->storage->version(); }
  bool is_contiguous() const;

  void* data() const { return impl_->storage->data() + impl_->offset * static_cast<int64_t>(itemsize(impl_->dtype)); }
  template <class T>
  T* data() const {
    return static_cast<T*>(data());
  }

  // A view of the same storage; no gradient link (ops/view.cpp adds it).
  Tensor view_as(const Shape& shape, const Strides& strides, int64_t offset) const;
  // The same memory without history: shares storage and version, requires no grad.
  Tensor detach() const;

  bool requires_grad() const { return impl_->requires_grad || impl_->grad_fn; }
  bool is_leaf() const { return !impl_->grad_fn; }
  // A recorder of this thread is told of both.
  Tensor grad() const;
  void set_grad(const Tensor& grad) const;

 private:
  Ref<TensorImpl> impl_;
};

// Whether the extents of two views meet in memory, be it one storage or two that share foreign memory.
bool overlaps(const Tensor& a, const Tensor& b);

}  // namespace dnncore
