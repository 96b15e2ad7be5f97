// The update of optimizers, and the record of launches.
#include "bindings/bindings.h"
#include "core/launch.h"
#include "ops/optimizer.h"

namespace dnncore::bindings {

namespace {

// `with _record_launches() as log:` fills the list `log` when the block ends.
class LaunchLog final : public Recorder {
 public:
  void record(LaunchRecord record) override { records_.push_back(std::move(record)); }

  py::list enter() {
    before_ = set_recorder(this);
    return list_;
  }

  void exit() {
    set_recorder(before_);
    for (const LaunchRecord& record : records_) list_.append(described(record));
    records_.clear();
  }

 private:
  static py::dict described(const LaunchRecord& record) {
    static constexpr const char* roles[] = {"read", "write", "accumulate", "scratch"};
    py::list operands;
    for (const dnncore::Operand& operand : record.operands)
      operands.append(py::dict(py::arg("field") = operand.field, py::arg("role") = roles[static_cast<int>(operand.role)],
                               py::arg("bytes") = operand.bytes));
    return py::dict(py::arg("op") = record.op, py::arg("kernel") = kernel::kNames[record.kernel], py::arg("module") = record.module,
                    py::arg("operands") = operands);
  }

  std::vector<LaunchRecord> records_;
  Recorder* before_ = nullptr;
  py::list list_;
};

void bind_optimizer(py::module_& m) {
  using ops::OptimizerUpdate;
  using Values = std::vector<std::pair<std::string, Tensor>>;
  const auto settings = [](const py::kwargs& values) {
    OptimizerUpdate::Settings found;
    for (const auto& [name, value] : values) found.emplace_back(name.cast<std::string>(), value.cast<double>());
    return found;
  };
  py::class_<OptimizerUpdate, Ref<OptimizerUpdate>>(m, "OptimizerUpdate",
                                                    "The update of an optimizer over groups of parameters, one native call a step.")
      .def(py::init<const std::string&>(), py::arg("rule"))
      .def(
          "add_group",
          [settings](OptimizerUpdate& update, const std::vector<Tensor>& parameters, const py::kwargs& values) {
            update.add_group(parameters, settings(values));
          },
          py::arg("parameters"))
      .def(
          "set_group",
          [settings](OptimizerUpdate& update, size_t index, const py::kwargs& values) { update.set_group(index, settings(values)); },
          py::arg("index"))
      .def("prepare", &OptimizerUpdate::prepare, "Make the state of every parameter now.")
      .def("step", &OptimizerUpdate::step, "Update every parameter that has a gradient.")
      .def("outdate", &OptimizerUpdate::outdate, "Tell recorded steps that they no longer mean this update.")
      .def(
          "state",
          [](OptimizerUpdate& update, size_t group, size_t index) {
            py::dict found;
            for (auto& [name, value] : update.state(group, index)) found[py::str(name)] = value;
            return found;
          },
          py::arg("group"), py::arg("index"), "State of a parameter by name; the tensors share its memory.")
      .def(
          "set_state",
          [](OptimizerUpdate& update, size_t group, size_t index, const py::dict& state) {
            Values values;
            for (const auto& [name, value] : state) values.emplace_back(name.cast<std::string>(), value.cast<Tensor>());
            update.set_state(group, index, values);
          },
          py::arg("group"), py::arg("index"), py::arg("state"));
}

}  // namespace

void bind_train(py::module_& m) {
  m.def("_set_module_path", &set_module_path, py::arg("path"), "Name of the running module, for records of launches.");
  py::class_<LaunchLog>(m, "_LaunchLog").def("__enter__", &LaunchLog::enter).def("__exit__", [](LaunchLog& log, const py::args&) {
    log.exit();
  });
  m.def(
      "_record_launches", [] { return std::make_unique<LaunchLog>(); }, "A context that lists the kernels launched by this thread.");
  bind_optimizer(m);
}

}  // namespace dnncore::bindings
