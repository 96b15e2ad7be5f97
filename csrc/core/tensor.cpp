#include "core/tensor.h"

#include <cstdlib>
#include <functional>
#include <new>
#include <vector>

#include "autograd/hooks.h"
#include "autograd/tape.h"
#include "core/devices.h"
#include "core/launch.h"

namespace dnncore {

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kKept = 0;  // let the sanitizer see every life
#else
constexpr size_t kKept = 256;
#endif

// Freed tensor headers of this thread: making one costs a pop instead of a malloc.
struct FreeList {
  std::vector<void*> blocks;
  ~FreeList() {
    for (void* block : blocks) ::operator delete(block);
    closed = true;
  }
  static thread_local bool closed;  // after the destructor ran, at thread exit
};
thread_local bool FreeList::closed = false;

FreeList& free_list() {
  thread_local FreeList list;
  return list;
}

}  // namespace

void* TensorImpl::operator new(size_t bytes) {
  if (!FreeList::closed) {
    auto& blocks = free_list().blocks;
    if (!blocks.empty()) {
      void* block = blocks.back();
      blocks.pop_back();
      return block;
    }
  }
  return ::operator new(bytes);
}

void TensorImpl::operator delete(void* data) noexcept {
  if (FreeList::closed || free_list().blocks.size() >= kKept) return ::operator delete(data);
  try {
    free_list().blocks.push_back(data);
  } catch (...) {
    ::operator delete(data);
  }
}

TensorImpl::TensorImpl(Ref<Storage> storage, int64_t offset, const Shape& shape, const Strides& strides, DType dtype)
    : storage(std::move(storage)), offset(offset), shape(shape), strides(strides), dtype(dtype) {}

void TensorImpl::mark_view(bool view) {
  if (view != is_view) storage->count_view(view ? 1 : -1);
  is_view = view;
}

TensorImpl::~TensorImpl() {
  mark_view(false);
  if (retains_grad && grad_fn) grad_fn->forget(this);
  if (grad_fn) release_later(std::move(grad_fn));
  // A chain of gradients of gradients is let go one by one: recursion would follow it down.
  Ref<TensorImpl> next = std::move(grad);
  while (next && next->use_count() == 1) next = std::move(next->grad);
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device, const char* op) {
  const int64_t count = checked_numel(op, shape, static_cast<int64_t>(itemsize(dtype)));
  if (device != Device{}) devices::module(op, device);
  Ref<Storage> storage;
  try {
    storage = make_ref<Storage>(static_cast<size_t>(count) * itemsize(dtype), device);
  } catch (const MemoryError& error) {
    throw MemoryError(concat(op, ": no room for a ", dtype, " tensor of shape ", shape, " (", error.what(), ")"));
  }
  return Tensor(make_ref<TensorImpl>(std::move(storage), 0, shape, contiguous_strides(shape), dtype));
}

Tensor Tensor::empty_like(const Tensor& like, DType dtype, Device device) {
  Tensor result = empty(like.shape(), dtype, device, "empty_like");
  if (!like.is_contiguous()) result.impl()->strides = dense_strides(like.shape(), &like.strides(), 1);
  return result;
}

bool Tensor::is_contiguous() const {
  int64_t expected = 1;
  for (int i = ndim() - 1; i >= 0; --i) {
    if (size(i) == 0) return true;
    if (size(i) == 1) continue;
    if (stride(i) != expected) return false;
    expected *= size(i);
  }
  return true;
}

Tensor Tensor::view_as(const Shape& shape, const Strides& strides, int64_t offset) const {
  return Tensor(make_ref<TensorImpl>(impl_->storage, offset, shape, strides, impl_->dtype));
}

namespace {

// The address after the last element; the first is data().
const std::byte* end_of(const Tensor& x) {
  int64_t last = 0;
  for (int i = 0; i < x.ndim(); ++i) last += (x.size(i) - 1) * x.stride(i);
  return x.data<std::byte>() + (last + 1) * static_cast<int64_t>(itemsize(x.dtype()));
}

}  // namespace

bool overlaps(const Tensor& a, const Tensor& b) {
  if (a.numel() == 0 || b.numel() == 0) return false;
  const std::less<> before;
  return before(a.data<std::byte>(), end_of(b)) && before(b.data<std::byte>(), end_of(a));
}

Tensor Tensor::grad() const {
  if (detail::recorder != nullptr) detail::recorder->reads_grad(*impl_);
  return Tensor(impl_->grad);
}

void Tensor::set_grad(const Tensor& grad) const {
  if (detail::recorder != nullptr) detail::recorder->set_grad(*impl_, grad);
  impl_->grad = grad.ref();
}

Tensor Tensor::detach() const { return view_as(shape(), strides(), impl_->offset); }

}  // namespace dnncore
