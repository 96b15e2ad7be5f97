// Functions that see a gradient on its way and may replace it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace dnncore {

class GradHook : public RefCounted {
 public:
  // What goes on instead of `grad`; undefined: `grad` itself.
  virtual Tensor call(const Tensor& grad) = 0;
  virtual void* host_object() const { return nullptr; }  // the Python function, for its garbage collector (not owned)
};

// Of one tensor, in the order they were added.
class HookList : public RefCounted {
 public:
  int64_t add(Ref<GradHook> hook);
  void remove(int64_t number);  // nothing when it is gone already
  Tensor run(Tensor grad) const;

  template <class Fn>
  void for_each(Fn&& fn) const {
    for (const Entry& entry : entries_) fn(*entry.hook);
  }

 private:
  struct Entry {
    int64_t number;
    Ref<GradHook> hook;
  };
  std::vector<Entry> entries_;
  int64_t next_ = 0;
};

// The hooks of `tensor`, made at the first call: run once all of its gradient of a backward pass is there.
const Ref<HookList>& hooks_of(const Tensor& tensor);
// Keeps the gradient of a tensor that is not a leaf in its .grad as well.
void retain_grad(const Tensor& tensor);

}  // namespace dnncore
