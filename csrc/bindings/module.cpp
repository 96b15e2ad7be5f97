// The native module dnncore._core: errors, the hooks that make the native side a good guest, facts about machine and build.
#include <unistd.h>

#include "autograd/tape.h"
#include "bindings/bindings.h"
#include "core/cpu.h"
#include "core/launch.h"
#include "core/memory.h"
#include "core/parallel.h"

namespace dnncore::bindings {

namespace {

bool finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

// The error of a signal handler, kept between the launch that stopped for it and the border. Only the main thread runs handlers.
PyObject* pending_type = nullptr;
PyObject* pending_value = nullptr;
PyObject* pending_traceback = nullptr;

// While Python ends, the GIL stays with the one thread that may still have it.
void* unlock() { return !finalizing() && PyGILState_Check() ? PyEval_SaveThread() : nullptr; }

void lock(void* state) {
  // A daemon thread that comes back while Python ends: taking the GIL would end it by unwinding frames that cannot be unwound.
  while (finalizing()) pause();
  try {
    PyEval_RestoreThread(static_cast<PyThreadState*>(state));
  } catch (...) {  // Python began to end while the thread waited for the GIL, and unwinds it
    for (;;) pause();
  }
}

bool interrupted() {
  if (!Py_IsInitialized() || finalizing()) return false;
  const PyGILState_STATE state = PyGILState_Ensure();
  const bool stop = PyErr_CheckSignals() != 0;
  if (stop) PyErr_Fetch(&pending_type, &pending_value, &pending_traceback);
  PyGILState_Release(state);
  return stop;
}

void restore_interrupt() {
  if (!pending_type) return PyErr_SetNone(PyExc_KeyboardInterrupt);
  PyErr_Restore(std::exchange(pending_type, nullptr), std::exchange(pending_value, nullptr), std::exchange(pending_traceback, nullptr));
}

py::dict cpu_info() {
  const cpu::Features& f = cpu::features();
  return py::dict(py::arg("model") = f.model, py::arg("family") = f.family, py::arg("model_number") = f.model_number,
                  py::arg("avx2") = f.avx2, py::arg("avx512") = f.avx512, py::arg("avx512bf16") = f.avx512bf16, py::arg("neon") = f.neon,
                  py::arg("l1d_bytes") = f.l1d_bytes, py::arg("l2_bytes") = f.l2_bytes, py::arg("l3_bytes") = f.l3_bytes,
                  py::arg("allowed_cores") = cpu::allowed_cores(), py::arg("isa") = cpu::table().isa);
}

py::dict build_info() {
#if defined(__clang__)
  const char* compiler = "clang " __clang_version__;
#else
  const char* compiler = "gcc " __VERSION__;
#endif
  return py::dict(py::arg("version") = DNNCORE_VERSION, py::arg("compiler") = compiler, py::arg("isas") = cpu::available_isas(),
                  py::arg("python") = PY_VERSION);
}

py::dict memory_stats() {
  const MemoryStats s = memory::stats();
  return py::dict(py::arg("allocated_bytes") = s.allocated_bytes, py::arg("peak_allocated_bytes") = s.peak_allocated_bytes,
                  py::arg("reserved_bytes") = s.reserved_bytes, py::arg("allocations") = s.allocations,
                  py::arg("system_allocations") = s.system_allocations);
}

py::dict pool_stats() {
  const parallel::PoolStats s = parallel::stats();
  return py::dict(py::arg("parallel_launches") = s.parallel_launches, py::arg("inline_launches") = s.inline_launches,
                  py::arg("stolen_tasks") = s.stolen_tasks, py::arg("solo_periods") = s.solo_periods);
}

template <size_t N>
std::vector<std::string> names(const char* const (&list)[N]) {
  return {list, list + N};
}

}  // namespace

void set_python_error() noexcept {
  try {
    throw;
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const py::cast_error&) {  // an argument of a wrong kind; its own message names C++ types
    PyErr_SetString(PyExc_TypeError, "an argument has a wrong type");
  } catch (const py::builtin_exception& e) {
    e.set_error();
  } catch (const Interrupted&) {
    restore_interrupt();
  } catch (const ValueError& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  } catch (const TypeError& e) {
    PyErr_SetString(PyExc_TypeError, e.what());
  } catch (const IndexError& e) {
    PyErr_SetString(PyExc_IndexError, e.what());
  } catch (const DivisionByZero& e) {
    PyErr_SetString(PyExc_ZeroDivisionError, e.what());
  } catch (const MemoryError& e) {
    PyErr_SetString(PyExc_MemoryError, e.what());
  } catch (const std::bad_alloc&) {
    PyErr_SetString(PyExc_MemoryError, "dnncore: out of memory");
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_SystemError, "dnncore: unknown error");
  }
}

Storage::Deleter release_later(PyObject* owner) {
  Py_INCREF(owner);
  return [owner] {
    if (!Py_IsInitialized() || finalizing()) return;
    const PyGILState_STATE state = PyGILState_Ensure();
    {
      const py::error_scope keep;  // an error may be on its way
      Py_DECREF(owner);
    }
    PyGILState_Release(state);
  };
}

void bind_system(py::module_& m) {
  m.def("set_num_threads", &parallel::set_num_threads, py::arg("count"), "Number of threads an operation may use.");
  m.def("get_num_threads", &parallel::num_threads, "Number of threads an operation may use.");
  m.def("_pool_stats", &pool_stats);
  m.def("memory_stats", &memory_stats, "Bytes handed out, their peak, bytes held, and how often the system was asked.");
  m.def("reset_peak_memory_stats", &memory::reset_peak_stats, "Start the peak anew.");
  m.def("empty_cache", &memory::empty_cache, "Return kept memory to the system.");
  m.def("_fail_allocation_after", &memory::fail_after, py::arg("n"), "Fail the n-th allocation from now; 0: none.");
  m.def("_use_isa", &cpu::use_isa, py::arg("name"), "Take the kernels of this instruction set.");
  m.def("available_isas", &cpu::available_isas, "Instruction sets built in that this processor has, best first.");
  m.def("cpu_info", &cpu_info, "What the processor is and can do.");
  m.def("build_info", &build_info, "How this module was built.");
  m.def("kernel_names", [] { return names(kernel::kNames); });
  m.def("unary_names", [] { return names(kUnaryNames); });
  m.def("binary_names", [] { return names(kBinaryNames); });
  m.def("reduce_names", [] { return names(kReduceNames); });
  m.attr("__version__") = DNNCORE_VERSION;
}

}  // namespace dnncore::bindings

namespace py = pybind11;

PYBIND11_MODULE(_core, m, py::mod_gil_used()) {
  namespace b = dnncore::bindings;
  py::options options;
  options.disable_function_signatures();  // _core.pyi has them, with names that mean something
  m.doc() = "Native core of dnncore: tensors, operations, gradients.";
  dnncore::parallel::set_host_hooks({b::unlock, b::lock, b::interrupted});
  py::register_local_exception_translator([](std::exception_ptr error) {
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const dnncore::Error&) {
      b::set_python_error();
    } catch (const py::cast_error&) {
      b::set_python_error();
    }
  });
  b::bind_dtype(m);
  b::bind_layout(m);
  b::bind_tensor_type(m);
  b::bind_elementwise(m);
  b::bind_tensor_methods(m);
  b::bind_autograd(m);
  b::bind_creation(m);
  b::bind_numpy(m);
  b::bind_dlpack(m);
  b::bind_ops(m);
  b::bind_activation(m);
  b::bind_loss(m);
  b::bind_norm(m);
  b::bind_random(m);
  b::bind_repr(m);
  b::bind_train(m);
  b::bind_plan(m);
  b::bind_materialize(m);
  b::bind_select(m);
  b::bind_arrange(m);
  b::bind_pool(m);
  b::bind_embedding(m);
  b::bind_resample(m);
  b::bind_compose(m);
  b::bind_conv(m);
  b::bind_recurrent(m);
  b::bind_devices(m);
  b::bind_system(m);
}
