// What dnncore.cuda tells of devices, and its events.
#include "core/devices.h"

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

void* as_stream(uintptr_t handle) { return reinterpret_cast<void*>(handle); }

py::dict properties(Device device) {
  const DeviceProperties found = devices::module("cuda", device).properties(device.index);
  py::dict result;
  result["name"] = found.name;
  result["major"] = found.major;
  result["minor"] = found.minor;
  result["multi_processor_count"] = found.processors;
  result["total_memory"] = found.total_bytes;
  result["free_memory"] = found.free_bytes;
  return result;
}

py::dict stats(Device device) {
  const MemoryStats found = devices::stats(device);
  py::dict result;
  result["allocated_bytes"] = found.allocated_bytes;
  result["peak_allocated_bytes"] = found.peak_allocated_bytes;
  result["reserved_bytes"] = found.reserved_bytes;
  result["allocations"] = found.allocations;
  result["system_allocations"] = found.system_allocations;
  return result;
}

py::list missing_kernels(Device device) {
  const DeviceTable& table = devices::module("cuda", device).table();
  py::list result;
  for (int kernel = 0; kernel < kernel::kCount; ++kernel)
    if (table.kernels[kernel].launch == nullptr) result.append(kernel::kNames[kernel]);
  return result;
}

// A moment of a stream; of the device that it is first recorded on.
class Event {
 public:
  explicit Event(bool timing) : timing_(timing) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    if (handle_ != nullptr && devices::count() > 0) devices::module("Event", device_).delete_event(device_.index, handle_);
  }

  void record(Device device, uintptr_t stream) {
    DeviceModule& module = devices::module("Event.record", device);
    DNN_CHECK(handle_ == nullptr || device == device_, StateError, "Event.record: the event is of ", device_, ", the stream of ", device);
    if (handle_ == nullptr) handle_ = module.new_event(device.index, timing_);
    device_ = device;
    module.record(device.index, handle_, as_stream(stream));
  }
  void wait(Device device, uintptr_t stream) const {
    if (handle_ != nullptr) devices::module("Event.wait", device).wait(device.index, handle_, as_stream(stream));
  }
  bool query() const { return handle_ == nullptr || module("Event.query").happened(device_.index, handle_); }
  void synchronize() const {
    if (handle_ == nullptr) return;
    const py::gil_scoped_release release;
    module("Event.synchronize").await(device_.index, handle_);
  }
  double elapsed_time(const Event& end) const {
    constexpr const char* op = "Event.elapsed_time";
    DNN_CHECK(timing_ && end.timing_, ValueError, op, ": expected events of Event(enable_timing=True)");
    DNN_CHECK(handle_ != nullptr && end.handle_ != nullptr, StateError, op, ": expected both events to be recorded first");
    DNN_CHECK(device_ == end.device_, ValueError, op, ": expected events of one device, got ", device_, " and ", end.device_);
    DNN_CHECK(query() && end.query(), StateError, op, ": the events have not happened yet; call end.synchronize() first");
    return module(op).milliseconds(device_.index, handle_, end.handle_);
  }

 private:
  DeviceModule& module(const char* op) const { return devices::module(op, device_); }

  bool timing_;
  Device device_;
  void* handle_ = nullptr;
};

void bind_streams(py::module_& m) {
  py::class_<Event>(m, "_CudaEvent")
      .def(py::init<bool>(), py::arg("enable_timing"))
      .def("record", &Event::record, py::arg("device"), py::arg("stream"))
      .def("wait", &Event::wait, py::arg("device"), py::arg("stream"))
      .def("query", &Event::query)
      .def("synchronize", &Event::synchronize)
      .def("elapsed_time", &Event::elapsed_time, py::arg("end"));
  m.def(
      "_cuda_stream", [](Device device) { return reinterpret_cast<uintptr_t>(devices::module("cuda", device).stream(device.index)); },
      py::arg("device"));
  m.def(
      "_cuda_idle", [](Device device) { return devices::module("cuda", device).idle(device.index); }, py::arg("device"));
  m.def(
      "_cuda_order", [](Device device, uintptr_t first, uintptr_t then) { devices::order(device, as_stream(first), as_stream(then)); },
      py::arg("device"), py::arg("first"), py::arg("then"));
}

}  // namespace

Device cuda_device(const char* op, py::handle object) {
  if (object.is_none()) return devices::current();
  if (PyLong_Check(object.ptr()) && !PyBool_Check(object.ptr())) {
    int overflow = 0;
    const long long index = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    DNN_CHECK(overflow == 0 && index >= 0 && index < 128, ValueError, op, ": expected the number of a device, got ",
              py::str(object).cast<std::string>());
    return {DeviceType::CUDA, static_cast<int8_t>(index)};
  }
  const auto device = device_from_python(object);
  DNN_CHECK(device, TypeError, op, ": expected a device, its name or its number, got ", Py_TYPE(object.ptr())->tp_name);
  DNN_CHECK(device->type == DeviceType::CUDA, ValueError, op, ": expected a CUDA device, got ", *device);
  return *device;
}

void bind_devices(py::module_& m) {
  m.def("_cuda_count", &devices::count);
  m.def("_cuda_reason", &devices::reason);
  m.def(
      "_cuda_device", [](const char* op, const py::object& device) { return cuda_device(op, device); }, py::arg("op"), py::arg("device"));
  m.def(
      "_cuda_set_current", [](Device device) { devices::set_current("set_device", device); }, py::arg("device"));
  m.def("_cuda_properties", &properties, py::arg("device"));
  m.def("_cuda_missing_kernels", &missing_kernels, py::arg("device"));
  m.def("_cuda_memory_stats", &stats, py::arg("device"));
  m.def("_cuda_reset_peak", &devices::reset_peak_stats, py::arg("device"));
  m.def("_cuda_empty_cache", &devices::empty_cache, py::arg("device"), py::call_guard<py::gil_scoped_release>());
  m.def(
      "_cuda_synchronize", [](Device device) { devices::module("synchronize", device).synchronize(device.index); }, py::arg("device"),
      py::call_guard<py::gil_scoped_release>());
  bind_streams(m);
}

}  // namespace dnncore::bindings
