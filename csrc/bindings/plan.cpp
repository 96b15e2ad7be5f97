// Recorded steps; dnncore/_capture.py decides when.
#include "autograd/plan.h"

#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

// The values of a dict are these, in this order.
bool holds(PyObject* dict, PyObject* values) {
  if (PyDict_GET_SIZE(dict) != PyTuple_GET_SIZE(values)) return false;
  PyObject *key = nullptr, *value = nullptr;
  Py_ssize_t at = 0;
  for (Py_ssize_t i = 0; PyDict_Next(dict, &at, &key, &value); ++i)
    if (value != PyTuple_GET_ITEM(values, i)) return false;
  return true;
}

// What a step reads by name, as tuples (globals or cell, name, value): the same objects.
bool names_unchanged(const py::list& names) {
  for (const py::handle entry : names) {
    PyObject* const holder = PyTuple_GET_ITEM(entry.ptr(), 0);
    PyObject* const now = PyCell_Check(holder) ? PyCell_GET(holder) : PyDict_GetItem(holder, PyTuple_GET_ITEM(entry.ptr(), 1));
    if (now != PyTuple_GET_ITEM(entry.ptr(), 2)) return false;
  }
  return true;
}

// Modules that ran in a step, as tuples (module, training, parameters, buffers, modules): none has changed or got hooks. In Python
// this was half of what a replay cost.
bool modules_unchanged(const py::list& modules) {
  static PyObject* const training = PyUnicode_InternFromString("training");
  static PyObject* const hooks[] = {PyUnicode_InternFromString("_forward_hooks"), PyUnicode_InternFromString("_forward_pre_hooks")};
  static PyObject* const tables[] = {PyUnicode_InternFromString("_parameters"), PyUnicode_InternFromString("_buffers"),
                                     PyUnicode_InternFromString("_modules")};
  for (const py::handle entry : modules) {
    PyObject* const tuple = entry.ptr();
    const auto dict = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(PyTuple_GET_ITEM(tuple, 0), nullptr));
    if (!dict) throw py::error_already_set();
    if (PyDict_GetItem(dict.ptr(), training) != PyTuple_GET_ITEM(tuple, 1)) return false;
    for (PyObject* name : hooks) {
      PyObject* const table = PyDict_GetItem(dict.ptr(), name);
      if (table == nullptr || !PyDict_Check(table) || PyDict_GET_SIZE(table) != 0) return false;
    }
    for (int i = 0; i < 3; ++i) {
      PyObject* const table = PyDict_GetItem(dict.ptr(), tables[i]);
      if (table == nullptr || !PyDict_Check(table) || !holds(table, PyTuple_GET_ITEM(tuple, 2 + i))) return false;
    }
  }
  return true;
}

}  // namespace

void bind_plan(py::module_& m) {
  py::class_<Plan, Ref<Plan>>(m, "_Plan", "A step that can be done again in one call.")
      .def(
          "run",
          [](Plan& plan, const py::sequence& arguments) -> py::object {
            std::vector<Tensor> inputs;
            for (const py::handle argument : arguments) {
              if (!is_tensor(argument.ptr())) return py::none();
              inputs.push_back(tensor_of(argument.ptr()));
            }
            if (!plan.takes(inputs) || !plan.mismatch().empty()) return py::none();
            return py::cast(plan.run(inputs));
          },
          py::arg("inputs"), "The results for these inputs, or None where the step must be recorded anew.")
      .def("run_kernels", &Plan::run_kernels, py::arg("inputs"), "The launches alone; for benchmarks.")
      .def("profile", &Plan::profile, py::arg("inputs"), py::arg("repeats") = 100,
           "The median time and rate of each launch, as text; the kernels run `repeats` times, updates of parameters included.")
      .def("takes", &Plan::takes, py::arg("inputs"))
      .def("mismatch", &Plan::mismatch, "What changed since the step was recorded, or an empty string.")
      .def("describe", &Plan::describe, "Launches, memory and lifetimes in words.")
      .def_property_readonly("launches", &Plan::launches)
      .def_property_readonly("flops", &Plan::flops)
      .def_property_readonly("arena_bytes", &Plan::arena_bytes)
      .def_property_readonly("live_bytes", &Plan::live_bytes);

  py::class_<StepRecorder>(m, "_StepRecorder", "Writes down what this thread does between begin() and end().")
      .def(py::init<const std::vector<Tensor>&>(), py::arg("inputs"))
      .def("begin", &StepRecorder::begin)
      .def("end", &StepRecorder::end)
      .def("leaks", &StepRecorder::leaks, py::arg("results"))
      .def("is_constant", &StepRecorder::is_constant, py::arg("x"))
      .def("finish", &StepRecorder::finish, py::arg("results"), "The plan, or None: why() says why.")
      .def("why", &StepRecorder::why);

  m.def("_names_unchanged", &names_unchanged, py::arg("names"));
  m.def("_modules_unchanged", &modules_unchanged, py::arg("modules"));
  m.def(
      "_refuse_if",
      [](const Tensor& found, const std::string& message) {
        DNN_CHECK(found.dtype() == DType::Bool && found.numel() == 1, TypeError, "_refuse_if: expected one truth, got ", found.dtype(),
                  " of shape ", found.shape());
        ops::host_check({&found},
                        [message](const void* const* data) { DNN_CHECK(!*static_cast<const bool*>(data[0]), ValueError, message); });
      },
      py::arg("found"), py::arg("message"), "ValueError where `found` holds; looked at again in every repetition of a recorded step.");
  m.def("_is_recording", [] { return current_recorder() != nullptr; });
  m.def(
      "_cannot_repeat",
      [](const char* op, const char* what) {
        if (Recorder* recorder = current_recorder()) recorder->cannot_repeat(op, what);
      },
      py::arg("op"), py::arg("what"), "Tell a recorder of this thread that the step cannot be recorded.");
}

}  // namespace dnncore::bindings
