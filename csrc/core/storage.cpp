#include "core/check.h"
#include "core/memory.h"

namespace dnncore {

Storage::Storage(size_t bytes, Device device) : bytes_(bytes), device_(device) {
  DNN_CHECK(device.type == DeviceType::CPU, StateError, "allocate: memory on ", device, " needs the CUDA build of dnncore");
  data_ = static_cast<std::byte*>(memory::allocate(bytes));
}

Storage::Storage(void* data, size_t bytes, Deleter deleter, bool writable)
    : data_(static_cast<std::byte*>(data)), bytes_(bytes), writable_(writable), deleter_(std::move(deleter)) {
  if (!deleter_) deleter_ = [] {};  // foreign memory that outlives us is still foreign
}

Storage::~Storage() {
  if (foreign())
    deleter_();
  else
    memory::deallocate(data_, bytes_);
}

}  // namespace dnncore
