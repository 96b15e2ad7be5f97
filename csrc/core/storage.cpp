#include <pthread.h>

#include <mutex>

#include "core/check.h"
#include "core/devices.h"
#include "core/launch.h"
#include "core/memory.h"
#include "core/spin_lock.h"

namespace dnncore {

namespace {

constinit SpinLock list_lock;
constinit Storage* newest = nullptr;

// A forked child has the one thread that called fork(): nobody may hold the lock at that moment.
[[maybe_unused]] const int at_fork = pthread_atfork([] { list_lock.lock(); }, [] { list_lock.unlock(); }, [] { list_lock.unlock(); });

}  // namespace

Storage::Storage(size_t bytes, Device device) : bytes_(bytes), device_(device) {
  data_ = static_cast<std::byte*>(device.type == DeviceType::CPU ? memory::allocate(bytes) : devices::allocate(device, bytes));
  enlist();
}

Storage::Storage(void* data, size_t bytes, Deleter deleter, bool writable, Device device)
    : data_(static_cast<std::byte*>(data)), bytes_(bytes), device_(device), writable_(writable), deleter_(std::move(deleter)) {
  if (!deleter_) deleter_ = [] {};  // foreign memory that outlives us is still foreign
  if (device != Device{}) devices::adopt(device, data, bytes);
  enlist();
}

Storage::~Storage() {
  unlist();
  if (watch_) watch_->alive_.store(false, std::memory_order_release);
  if (foreign()) {
    if (device_ != Device{}) devices::disown(device_, data_, bytes_);
    deleter_();
  } else if (device_.type == DeviceType::CPU) {
    memory::deallocate(data_, bytes_);
  } else {
    if (exported()) devices::settle(device_);
    devices::deallocate(device_, data_, bytes_);
  }
}

void Storage::enlist() {
  {
    std::lock_guard guard(list_lock);
    next_ = newest;
    if (next_ != nullptr) next_->previous_ = this;
    newest = this;
  }
  if (detail::recorder != nullptr) detail::recorder->created(*this);
}

void Storage::unlist() {
  std::lock_guard guard(list_lock);
  (previous_ != nullptr ? previous_->next_ : newest) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

Ref<StorageWatch> Storage::watch() {
  if (!watch_) watch_ = make_ref<StorageWatch>();
  return watch_;
}

std::vector<Ref<Storage>> Storage::all() {
  std::vector<Ref<Storage>> found;
  found.reserve(1024);
  std::lock_guard guard(list_lock);
  for (Storage* storage = newest; storage != nullptr; storage = storage->next_)
    if (storage->retain_if_alive()) {
      found.emplace_back(storage);
      storage->release();
    }
  return found;
}

}  // namespace dnncore
