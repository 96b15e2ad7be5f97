// Where a tensor lives.
#pragma once

#include <cstdint>
#include <ostream>

namespace dnncore {

enum class DeviceType : uint8_t { CPU, CUDA };

struct Device {
  DeviceType type = DeviceType::CPU;
  int8_t index = 0;
  friend bool operator==(Device a, Device b) = default;
};

// For what is queued on a device.
enum class Wait : bool { No, Yes };

inline std::ostream& operator<<(std::ostream& out, Device device) {
  if (device.type == DeviceType::CPU) return out << "cpu";
  return out << "cuda:" << int{device.index};
}

}  // namespace dnncore
