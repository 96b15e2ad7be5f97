// DLPack 1.x in both directions: versioned and legacy capsules, without copy where the layout is ours.
// The structs are the ABI of dmlc/dlpack, include/dlpack/dlpack.h. Streams follow the array API standard.
#include <pybind11/numpy.h>

#include <memory>

#include "bindings/bindings.h"
#include "core/devices.h"

namespace dnncore::bindings {

using BufferError = py::buffer_error;

namespace {

struct DLDevice {
  int32_t device_type, device_id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};
struct DLPackVersion {
  uint32_t major, minor;
};
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor dl_tensor;
};

constexpr int32_t kCpu = 1, kCuda = 2, kCudaHost = 3;  // the last one is pinned memory of the host
constexpr int64_t kLegacyStream = 1, kNoStream = -1;
constexpr uint64_t kReadOnly = 1, kIsCopied = 2;
constexpr DLPackVersion kVersion{1, 1};
constexpr DLDataType kDataTypes[kDTypeCount] = {{2, 32, 1}, {2, 64, 1}, {4, 16, 1}, {2, 16, 1},
                                                {0, 64, 1}, {0, 32, 1}, {1, 8, 1},  {6, 8, 1}};

template <class Managed>
constexpr const char* kName = std::is_same_v<Managed, DLManagedTensor> ? "dltensor" : "dltensor_versioned";
template <class Managed>
constexpr const char* kUsedName = std::is_same_v<Managed, DLManagedTensor> ? "used_dltensor" : "used_dltensor_versioned";

DLDevice dl_device_of(Device device) { return device.type == DeviceType::CPU ? DLDevice{kCpu, 0} : DLDevice{kCuda, int32_t{device.index}}; }

Device device_of(DLDevice device) {
  if (device.device_type == kCpu || device.device_type == kCudaHost) return {};
  DNN_CHECK(device.device_type == kCuda, ValueError, "from_dlpack: expected memory of the CPU or of a CUDA device, got DLPack device type ",
            device.device_type);
  DNN_CHECK(device.device_id >= 0 && device.device_id < 128, ValueError, "from_dlpack: expected the number of a device, got ",
            device.device_id);
  return {DeviceType::CUDA, static_cast<int8_t>(device.device_id)};
}

void* as_stream(int64_t handle) { return reinterpret_cast<void*>(static_cast<intptr_t>(handle)); }

// --- Out --------------------------------------------------------------------------------------------------------------
template <class Managed>
struct Exported {
  Managed managed;
  Tensor tensor;
  Shape shape;
  Strides strides;
};

template <class Managed>
void free_capsule(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, kName<Managed>)) return;  // taken over by a consumer
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, kName<Managed>));
  managed->deleter(managed);
}

template <class Managed>
py::object capsule_of(const Tensor& x, bool copied) {
  auto exported = std::make_unique<Exported<Managed>>();
  exported->tensor = x;
  exported->shape = x.shape();
  exported->strides = x.strides();
  Managed& managed = exported->managed;
  managed.dl_tensor = {x.data(),          dl_device_of(x.device()), x.ndim(), kDataTypes[static_cast<int>(x.dtype())],
                       exported->shape.v, exported->strides.v,      0};
  managed.manager_ctx = exported.get();
  managed.deleter = [](Managed* self) { delete static_cast<Exported<Managed>*>(self->manager_ctx); };
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) {
    managed.version = kVersion;
    managed.flags = (x.storage()->writable() ? 0 : kReadOnly) | (copied ? kIsCopied : 0);
  }
  PyObject* capsule = PyCapsule_New(&managed, kName<Managed>, free_capsule<Managed>);
  if (!capsule) throw py::error_already_set();
  exported.release();
  return py::reinterpret_steal<py::object>(capsule);
}

// What is queued here is done before what the consumer queues on its stream from now on; None is the legacy default stream.
void order_before(Device device, const py::object& stream) {
  DNN_CHECK(stream.is_none() || py::isinstance<py::int_>(stream), TypeError, "__dlpack__: expected stream as an int or None, got ",
            Py_TYPE(stream.ptr())->tp_name);
  const int64_t handle = stream.is_none() ? kLegacyStream : stream.cast<int64_t>();
  DNN_CHECK(handle != 0 && handle >= kNoStream, ValueError, "__dlpack__: expected stream 1, 2, -1 or a handle, got ", handle,
            "; 0 does not say which default stream is meant");
  if (handle == kNoStream || as_stream(handle) == devices::module("__dlpack__", device).stream(device.index)) return;
  devices::order(device, nullptr, as_stream(handle));
}

// The tensor where the consumer wants it, and whether it is a copy.
std::pair<Tensor, bool> placed(const Tensor& x, const std::optional<std::pair<int64_t, int64_t>>& wanted, std::optional<bool> copy) {
  const DLDevice own = dl_device_of(x.device());
  if (!wanted || (wanted->first == own.device_type && wanted->second == own.device_id)) {
    const bool copied = copy.value_or(false);
    return {copied ? ops::clone(x) : x, copied};
  }
  DNN_CHECK(wanted->first == kCpu && copy.value_or(true), bindings::BufferError, "__dlpack__: the tensor is on ", x.device(),
            wanted->first == kCpu ? ", and copy=False forbids to bring it to the CPU" : " and is moved to the CPU only");
  return {ops::to_device(x, Device{}, "__dlpack__"), true};
}

py::object to_dlpack(const Tensor& x, const py::object& stream, const std::optional<std::pair<int64_t, int64_t>>& max_version,
                     const std::optional<std::pair<int64_t, int64_t>>& dl_device, std::optional<bool> copy) {
  DNN_CHECK(!x.requires_grad(), StateError, "__dlpack__: the tensor requires grad, and the consumer would lose that; use x.detach()");
  const bool no_stream = stream.is_none() || (py::isinstance<py::int_>(stream) && stream.cast<int64_t>() == kNoStream);
  DNN_CHECK(x.device() != Device{} || no_stream, ValueError, "__dlpack__: a CPU tensor has no stream, got ",
            py::str(stream).cast<std::string>());
  const auto [source, copied] = placed(x.detach(), dl_device, copy);
  if (source.device() != Device{}) order_before(source.device(), stream);
  if (max_version && max_version->first >= 1) {
    if (source.storage()->writable()) source.storage()->mark_exported();
    return capsule_of<DLManagedTensorVersioned>(source, copied);
  }
  // A legacy capsule cannot say that its memory is read-only.
  DNN_CHECK(source.storage()->writable(), bindings::BufferError, "__dlpack__: read-only memory needs DLPack 1.0 or later; use clone()");
  source.storage()->mark_exported();
  return capsule_of<DLManagedTensor>(source, copied);
}

// --- In ---------------------------------------------------------------------------------------------------------------
DType dtype_of_dlpack(DLDataType type) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kDataTypes[i].code == type.code && kDataTypes[i].bits == type.bits && type.lanes == 1) return static_cast<DType>(i);
  throw TypeError(concat("from_dlpack: DLPack type (code ", int{type.code}, ", ", int{type.bits}, " bits, ", type.lanes,
                         " lanes) is not supported; expected one of dnncore's dtypes"));
}

// Sizes and strides (in elements) as announced by the producer, checked.
struct Incoming {
  std::byte* data;
  Device device;
  DType dtype;
  Shape shape;
  Strides strides;
  bool negative = false;
};

Incoming checked(const DLTensor& t) {
  const Device device = device_of(t.device);
  if (device != Device{}) devices::module("from_dlpack", device);
  DNN_CHECK(t.ndim >= 0 && t.ndim <= kMaxDims, ValueError, "from_dlpack: at most ", kMaxDims, " dimensions are supported, got ", t.ndim);
  Incoming in{static_cast<std::byte*>(t.data) + t.byte_offset, device, dtype_of_dlpack(t.dtype), {}, {}};
  for (int i = 0; i < t.ndim; ++i) in.shape.push_back(t.shape[i]);
  const int64_t count = checked_numel("from_dlpack", in.shape, static_cast<int64_t>(itemsize(in.dtype)));
  in.strides = contiguous_strides(in.shape);
  DNN_CHECK(count == 0 || t.data, ValueError, "from_dlpack: null memory for ", count, " elements");
  for (int i = 0; t.strides && i < t.ndim; ++i) {
    if (in.shape[i] <= 1) continue;
    in.strides[i] = t.strides[i];
    in.negative |= t.strides[i] < 0;
  }
  return in;
}

// A copy of memory that we cannot view, made by NumPy over integers of the same size.
Tensor copy_strided(const Incoming& in) {
  const auto item = static_cast<py::ssize_t>(itemsize(in.dtype));
  const py::dtype bits(concat("u", item));
  std::vector<py::ssize_t> shape(in.shape.begin(), in.shape.end()), strides;
  for (int64_t stride : in.strides) strides.push_back(stride * item);
  const py::array view(bits, shape, strides, in.data, bits);  // any base: without one, pybind11 copies
  const py::array dense = py::module_::import("numpy").attr("array")(view, py::arg("order") = "C", py::arg("copy") = true);
  const Tensor result = Tensor::empty(in.shape, in.dtype, {}, "from_dlpack");
  std::memcpy(result.data(), dense.data(), static_cast<size_t>(result.nbytes()));
  return result;
}

template <class Managed>
Tensor take_capsule(py::handle capsule, std::optional<bool> copy, bool bare) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), kName<Managed>));
  if (!managed) throw py::error_already_set();
  bool writable = true;
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) {
    DNN_CHECK(managed->version.major == 1, bindings::BufferError, "from_dlpack: DLPack version ", managed->version.major,
              " is not supported");
    writable = !(managed->flags & kReadOnly);
  }
  const Incoming in = checked(managed->dl_tensor);
  if (bare && in.device != Device{}) devices::order(in.device, as_stream(kLegacyStream), nullptr);
  const bool misaligned = reinterpret_cast<uintptr_t>(in.data) % itemsize(in.dtype) != 0;
  const bool must_copy = (in.negative || misaligned) && numel(in.shape) > 0;
  DNN_CHECK(!must_copy || in.device == Device{}, ValueError, "from_dlpack: negative strides and misaligned memory are for the CPU, got ",
            in.device);
  DNN_CHECK(!must_copy || copy.value_or(true), ValueError, "from_dlpack: this layout needs a copy, which copy=False forbids");
  // From here on the memory is ours to release; before, the capsule still owns it.
  if (PyCapsule_SetName(capsule.ptr(), kUsedName<Managed>) != 0) throw py::error_already_set();
  const std::shared_ptr<Managed> owner(managed, [](Managed* m) {
    if (m->deleter) m->deleter(m);
  });
  if (numel(in.shape) == 0) return Tensor::empty(in.shape, in.dtype, in.device);
  if (must_copy || (copy.value_or(false) && in.device == Device{})) return copy_strided(in);
  // A producer may be Python: its deleter runs under the GIL.
  const py::capsule keeper(new std::shared_ptr<Managed>(owner), [](void* p) { delete static_cast<std::shared_ptr<Managed>*>(p); });
  auto storage = make_ref<Storage>(in.data, static_cast<size_t>(extent(in.shape, in.strides)) * itemsize(in.dtype),
                                   release_later(keeper.ptr()), writable && !may_overlap(in.shape, in.strides), in.device);
  if (storage->writable()) storage->mark_exported();
  const Tensor shared(make_ref<TensorImpl>(std::move(storage), 0, in.shape, in.strides, in.dtype));
  return copy.value_or(false) ? ops::clone(shared) : shared;
}

// The producer orders its work before ours: on the stream that we name.
py::object request_capsule(py::handle object, Device device) {
  py::dict arguments;
  if (device != Device{}) arguments["stream"] = reinterpret_cast<intptr_t>(devices::module("from_dlpack", device).stream(device.index));
  try {
    return object.attr("__dlpack__")(**arguments, py::arg("max_version") = py::make_tuple(kVersion.major, kVersion.minor));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    return object.attr("__dlpack__")(**arguments);  // a producer from before version 1
  }
}

}  // namespace

Tensor tensor_from_dlpack(py::handle object, std::optional<bool> copy) {
  py::object capsule = py::reinterpret_borrow<py::object>(object);
  const bool bare = PyCapsule_CheckExact(object.ptr());
  if (!bare) {
    DNN_CHECK(py::hasattr(object, "__dlpack__") && py::hasattr(object, "__dlpack_device__"), TypeError,
              "from_dlpack: expected an object with __dlpack__ and __dlpack_device__, got ", Py_TYPE(object.ptr())->tp_name);
    const auto [kind, number] = object.attr("__dlpack_device__")().cast<std::pair<int32_t, int32_t>>();
    capsule = request_capsule(object, device_of({kind, number}));
  }
  const bool versioned = PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned");
  DNN_CHECK(versioned || PyCapsule_IsValid(capsule.ptr(), "dltensor"), ValueError,
            "from_dlpack: the capsule holds no tensor, or was used before");
  return versioned ? take_capsule<DLManagedTensorVersioned>(capsule, copy, bare) : take_capsule<DLManagedTensor>(capsule, copy, bare);
}

void bind_dlpack(py::module_& m) {
  m.def(
      "from_dlpack",
      [](const py::object& x, const DeviceArg& device, std::optional<bool> copy) {
        const Tensor shared = tensor_from_dlpack(x, copy);
        if (!device.device || *device.device == shared.device()) return shared;
        DNN_CHECK(copy.value_or(true), ValueError, "from_dlpack: copy=False forbids to move the tensor from ", shared.device(), " to ",
                  *device.device);
        return ops::to_device(shared, *device.device, "from_dlpack");
      },
      py::arg("x"), py::kw_only(), py::arg("device") = py::none(), py::arg("copy") = py::none(),
      "A tensor over the memory of any array of the CPU or a CUDA device that speaks DLPack; negative strides and misaligned memory are\n"
      "copied. A bare capsule of a device holds work that is done, or queued on the legacy default stream.");
  method("__dlpack__", &to_dlpack, py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
         py::arg("dl_device") = py::none(), py::arg("copy") = py::none());
  method("__dlpack_device__", [](const Tensor& x) {
    const DLDevice device = dl_device_of(x.device());
    return py::make_tuple(device.device_type, device.device_id);
  });
}

}  // namespace dnncore::bindings
