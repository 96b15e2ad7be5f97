// The GIL dropped for a row of launches, each of which would be too short to drop it by itself.
#pragma once

namespace dnncore::bindings {

// As the launch gate drops it: not while Python ends, and nothing where the calling thread does not hold it.
class WithoutGil {
 public:
  WithoutGil();
  ~WithoutGil();
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  void* state_;
};

}  // namespace dnncore::bindings
