// Orders of memory: dnncore.channels_last and its like.
#include "bindings/bindings.h"

namespace dnncore::bindings {

namespace {

constexpr std::pair<const char*, MemoryFormat> kFormats[] = {{"contiguous_format", MemoryFormat::Contiguous},
                                                             {"channels_last", MemoryFormat::ChannelsLast},
                                                             {"channels_last_3d", MemoryFormat::ChannelsLast3d},
                                                             {"preserve_format", MemoryFormat::Preserve}};

std::string name_of(MemoryFormat format) {
  for (const auto& [name, value] : kFormats)
    if (value == format) return name;
  return {};
}

}  // namespace

void bind_layout(py::module_& m) {
  py::class_<MemoryFormat> format(m, "memory_format", "Order of the dimensions of a tensor in memory, such as dnncore.channels_last.");
  format.def("__repr__", [](MemoryFormat f) { return "dnncore." + name_of(f); })
      .def("__str__", [](MemoryFormat f) { return "dnncore." + name_of(f); })
      .def("__reduce__", [](MemoryFormat f) { return name_of(f); })
      .def("__copy__", [](py::object f) { return f; })
      .def("__deepcopy__", [](py::object f, const py::object&) { return f; });
  format.attr("__module__") = "dnncore";
  for (const auto& [name, value] : kFormats) m.attr(name) = value;
}

}  // namespace dnncore::bindings
