// What dnncore.cuda tells of devices.
#include "core/devices.h"

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

Device cuda_device(int index) {
  DNN_CHECK(index >= 0 && index < 128, ValueError, "cuda: expected the number of a device, got ", index);
  return {DeviceType::CUDA, static_cast<int8_t>(index)};
}

py::dict properties(int index) {
  const DeviceProperties found = devices::module("cuda", cuda_device(index)).properties(index);
  py::dict result;
  result["name"] = found.name;
  result["major"] = found.major;
  result["minor"] = found.minor;
  result["multi_processor_count"] = found.processors;
  result["total_memory"] = found.total_bytes;
  result["free_memory"] = found.free_bytes;
  return result;
}

py::dict stats(int index) {
  const MemoryStats found = devices::stats(cuda_device(index));
  py::dict result;
  result["allocated_bytes"] = found.allocated_bytes;
  result["peak_allocated_bytes"] = found.peak_allocated_bytes;
  result["reserved_bytes"] = found.reserved_bytes;
  result["allocations"] = found.allocations;
  result["system_allocations"] = found.system_allocations;
  return result;
}

py::list missing_kernels(int index) {
  const DeviceTable& table = devices::module("cuda", cuda_device(index)).table();
  py::list result;
  for (int kernel = 0; kernel < kernel::kCount; ++kernel)
    if (table.kernels[kernel].launch == nullptr) result.append(kernel::kNames[kernel]);
  return result;
}

}  // namespace

void bind_devices(py::module_& m) {
  m.def("_cuda_count", &devices::count);
  m.def("_cuda_reason", &devices::reason);
  m.def("_cuda_properties", &properties, py::arg("device"));
  m.def("_cuda_missing_kernels", &missing_kernels, py::arg("device"));
  m.def("_cuda_memory_stats", &stats, py::arg("device"));
  m.def(
      "_cuda_reset_peak", [](int index) { devices::reset_peak_stats(cuda_device(index)); }, py::arg("device"));
  m.def(
      "_cuda_empty_cache", [](int index) { devices::empty_cache(cuda_device(index)); }, py::arg("device"));
  m.def(
      "_cuda_synchronize", [](int index) { devices::module("synchronize", cuda_device(index)).synchronize(index); }, py::arg("device"),
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace dnncore::bindings
