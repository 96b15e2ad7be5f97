// The update of SGD, and the record of launches.
#include "bindings/bindings.h"
#include "core/launch.h"
#include "ops/sgd.h"

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

void bind_sgd(py::module_& m) {
  using ops::SgdUpdate;
  py::class_<SgdUpdate>(m, "SgdUpdate", "The update of stochastic gradient descent over groups of parameters, one native call a step.")
      .def(py::init<std::vector<std::vector<Tensor>>>(), py::arg("groups"))
      .def(
          "set_group",
          [](SgdUpdate& sgd, size_t index, double lr, double momentum, double dampening, double weight_decay, bool nesterov,
             bool maximize) {
            sgd.set_group(index, {lr, momentum, dampening, weight_decay, nesterov, maximize});
          },
          py::arg("index"), py::arg("lr"), py::arg("momentum") = 0.0, py::arg("dampening") = 0.0, py::arg("weight_decay") = 0.0,
          py::arg("nesterov") = false, py::arg("maximize") = false)
      .def("step", &SgdUpdate::step, "Update every parameter that has a gradient.")
      .def("momentum_buffer", &SgdUpdate::momentum_buffer, py::arg("group"), py::arg("index"),
           "The buffer, or None before the first update.")
      .def("set_momentum_buffer", &SgdUpdate::set_momentum_buffer, py::arg("group"), py::arg("index"), py::arg("buffer"));
}

}  // namespace

void bind_train(py::module_& m) {
  m.def("_set_module_path", &set_module_path, py::arg("path"), "Name of the running module, for records of launches.");
  py::class_<LaunchLog>(m, "_LaunchLog").def("__enter__", &LaunchLog::enter).def("__exit__", [](LaunchLog& log, const py::args&) {
    log.exit();
  });
  m.def(
      "_record_launches", [] { return std::make_unique<LaunchLog>(); }, "A context that lists the kernels launched by this thread.");
  bind_sgd(m);
}

}  // namespace dnncore::bindings
