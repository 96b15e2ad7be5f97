// Recorded steps; dnncore/_capture.py decides when.
#include "autograd/plan.h"

#include "bindings/bindings.h"

namespace dnncore::bindings {

void bind_plan(py::module_& m) {
  py::class_<Plan, Ref<Plan>>(m, "_Plan", "A step that can be done again in one call.")
      .def(
          "run",
          [](Plan& plan, const std::vector<Tensor>& inputs) -> py::object {
            if (!plan.takes(inputs) || !plan.mismatch().empty()) return py::none();
            return py::cast(plan.run(inputs));
          },
          py::arg("inputs"), "The results for these inputs, or None where the step must be recorded anew.")
      .def("takes", &Plan::takes, py::arg("inputs"))
      .def("mismatch", &Plan::mismatch, "What changed since the step was recorded, or an empty string.")
      .def("describe", &Plan::describe, "Launches, memory and lifetimes in words.")
      .def_property_readonly("launches", &Plan::launches)
      .def_property_readonly("arena_bytes", &Plan::arena_bytes)
      .def_property_readonly("live_bytes", &Plan::live_bytes);

  py::class_<StepRecorder>(m, "_StepRecorder", "Writes down what this thread does between begin() and end().")
      .def(py::init<const std::vector<Tensor>&>(), py::arg("inputs"))
      .def("begin", &StepRecorder::begin)
      .def("end", &StepRecorder::end)
      .def("leaks", &StepRecorder::leaks, py::arg("results"))
      .def("finish", &StepRecorder::finish, py::arg("results"), "The plan, or None: why() says why.")
      .def("why", &StepRecorder::why);

  m.def("_is_recording", [] { return current_recorder() != nullptr; });
  m.def(
      "_cannot_repeat",
      [](const char* op, const char* what) {
        if (Recorder* recorder = current_recorder()) recorder->cannot_repeat(op, what);
      },
      py::arg("op"), py::arg("what"), "Tell a recorder of this thread that the step cannot be recorded.");
}

}  // namespace dnncore::bindings
