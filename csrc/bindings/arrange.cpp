// Elements in another order: rolled, repeated, cut, padded, put on diagonals.
#include "bindings/bindings.h"
#include "bindings/in_place.h"
#include "ops/tensor_ops.h"

namespace dnncore::bindings {

namespace {

py::tuple tuple_of_tensors(const std::vector<Tensor>& tensors) {
  py::tuple result(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) result[i] = tensors[i];
  return result;
}

// f(a, b) and f([a, b]).
std::vector<Tensor> tensors_from_args(const char* op, const py::args& args) {
  std::vector<Tensor> tensors;
  const auto take = [&](py::handle argument) {
    DNN_CHECK(is_tensor(argument.ptr()), TypeError, op, ": expected tensors, got ", py::repr(argument).cast<std::string>());
    tensors.push_back(tensor_of(argument.ptr()));
  };
  const bool packed = args.size() == 1 && !is_tensor(args[0].ptr()) && is_sequence(args[0]);
  for (py::handle argument : packed ? py::reinterpret_borrow<py::object>(args[0]) : py::object(args)) take(argument);
  return tensors;
}

// --- Diagonals and triangles ------------------------------------------------------------------------------------------
void bind_diagonals(py::module_& m) {
  const auto triangle = [&](const char* name, Tensor (*fn)(const Tensor&, int64_t), const char* doc) {
    function_and_method(m, name, fn, py::arg("diagonal") = 0, doc);
    inplace_method(name, fn, py::arg("diagonal") = 0, doc);
  };
  triangle(
      "tril", [](const Tensor& x, int64_t k) { return ops::triangle("tril", x, k, true); }, "Matrices with 0 above a diagonal.");
  triangle(
      "triu", [](const Tensor& x, int64_t k) { return ops::triangle("triu", x, k, false); }, "Matrices with 0 below a diagonal.");
  const auto indices = [&](const char* name, bool lower) {
    m.def(
        name, [name, lower](int64_t row, int64_t col, int64_t offset) { return ops::triangle_indices(name, row, col, offset, lower); },
        py::arg("row"), py::arg("col"), py::arg("offset") = 0, "Rows and columns of a triangle of a matrix, an int64 tensor (2, n).");
  };
  indices("tril_indices", true);
  indices("triu_indices", false);
  const py::arg_v offset = py::arg("offset") = 0;
  function_and_method(m, "diagonal", &ops::diagonal, offset, py::arg("dim1") = 0, py::arg("dim2") = 1,
                      "A diagonal as last dimension, a view.");
  m.def("diag_embed", &ops::diag_embed, py::arg("input"), offset, py::arg("dim1") = -2, py::arg("dim2") = -1,
        "Zeros with the last dimension on a diagonal.");
  method("diag_embed", &ops::diag_embed, offset, py::arg("dim1") = -2, py::arg("dim2") = -1,
         "Zeros with the last dimension on a diagonal.");
  function_and_method(m, "diag", &ops::diag, py::arg("diagonal") = 0, "The diagonal of a matrix, or the matrix of a diagonal.");
  function_and_method(m, "trace", &ops::trace, "Sum of the diagonal of a matrix.");
}

// --- Order of dimensions and elements ---------------------------------------------------------------------------------
void bind_moves(py::module_& m) {
  function_and_method(
      m, "roll", [](const Tensor& x, const Dims& shifts, const Dims& dims) { return ops::roll(x, shifts.dims, dims.dims); },
      py::arg("shifts"), py::arg("dims") = py::none(), "A copy with elements moved along dimensions, those past the end to the front.");
  const auto movedim = [](const Tensor& x, const Dims& source, const Dims& destination) {
    return ops::movedim(x, source.dims, destination.dims);
  };
  for (const char* name : {"movedim", "moveaxis"})
    function_and_method(m, name, movedim, py::arg("source"), py::arg("destination"), "A view with dimensions at other places.");
  function_and_method(m, "swapdims", &ops::transpose, py::arg("dim0"), py::arg("dim1"), "As transpose().");
  function_and_method(
      m, "unflatten", [](const Tensor& x, int64_t dim, const Dims& sizes) { return ops::unflatten(x, dim, sizes.dims); }, py::arg("dim"),
      py::arg("sizes"), "A view with one dimension cut into several; one size may be -1.");
  method("unfold", &ops::unfold, py::arg("dimension"), py::arg("size"), py::arg("step"),
         "Windows of a dimension, `step` apart, as a new last dimension; a view.");
  function_and_method(
      m, "ravel", [](const Tensor& x) { return ops::flatten(x, 0, -1); }, "The elements as a vector.");
  function_and_method(
      m, "fliplr",
      [](const Tensor& x) {
        DNN_CHECK(x.ndim() >= 2, ValueError, "fliplr: expected at least 2 dimensions, got shape ", x.shape());
        return ops::flip_dim(x, 1);
      },
      "A copy with the columns reversed.");
  function_and_method(
      m, "flipud", [](const Tensor& x) { return ops::flip_dim(x, 0); }, "A copy with the rows reversed.");
  function_and_method(
      m, "argwhere",
      [](const Tensor& x) {
        const Tensor truth = ops::to_dtype(x.detach(), DType::Bool);
        if (x.ndim() > 0) return ops::stack(ops::nonzero(truth), 1);
        return Tensor::empty({ops::host_value<bool>("argwhere", truth) ? 1 : 0, 0}, DType::Int64, truth.device());
      },
      "Positions of the elements that are not 0, one row each.");
}

// --- Repetition -------------------------------------------------------------------------------------------------------
void bind_repetition(py::module_& m) {
  method(
      "repeat", [](const Tensor& x, const py::args& sizes) { return ops::repeat("repeat", x, shape_from_args("repeat", sizes)); },
      "A copy repeated along dimensions.");
  method(
      "tile", [](const Tensor& x, const py::args& dims) { return ops::tile(x, shape_from_args("tile", dims)); },
      "As repeat(), with missing repeats of 1 in front.");
  m.def("tile", &ops::tile, py::arg("input"), py::arg("dims"), "A copy repeated along dimensions.");
  function_and_method(
      m, "repeat_interleave",
      [](const Tensor& x, const TensorOrNumber& repeats, std::optional<int64_t> dim) {
        const auto* number = std::get_if<Scalar>(&repeats);
        return ops::repeat_interleave(x, number ? scalar_tensor(*number, default_dtype(*number), x.device()) : std::get<Tensor>(repeats),
                                      dim);
      },
      py::arg("repeats"), py::arg("dim") = py::none(), "Every element, or slice of a dimension, repeated in place.");
  function_and_method(
      m, "broadcast_to", [](const Tensor& x, const Shape& size) { return ops::expand(x, size); }, py::arg("size"),
      "A view that repeats dimensions of size 1.");
  m.def(
      "broadcast_tensors",
      [](const py::args& tensors) { return tuple_of_tensors(ops::broadcast_tensors(tensors_from_args("broadcast_tensors", tensors))); },
      "Views of the tensors in the shape they broadcast to.");
  m.def(
      "meshgrid",
      [](const py::args& tensors, const std::string& indexing) {
        DNN_CHECK(indexing == "ij" || indexing == "xy", ValueError, "meshgrid: expected indexing 'ij' or 'xy', got '", indexing, "'");
        return tuple_of_tensors(ops::meshgrid(tensors_from_args("meshgrid", tensors), indexing == "xy"));
      },
      py::kw_only(), py::arg("indexing") = "ij", "Coordinates of a grid, one tensor per vector.");
  m.def(
      "cartesian_prod",
      [](const py::args& args) {
        const std::vector<Tensor> tensors = tensors_from_args("cartesian_prod", args);
        std::vector<Tensor> columns;
        for (const Tensor& grid : ops::meshgrid(tensors, false)) columns.push_back(ops::reshape(grid, {-1}));
        return columns.size() == 1 ? columns[0] : ops::stack(columns, 1);
      },
      "All combinations of the elements of vectors, one row each.");
}

// --- Cutting and joining ----------------------------------------------------------------------------------------------
py::tuple split_at(const char* op, const Tensor& x, const py::object& how, int64_t dim, bool equal_parts) {
  py::object given = how;
  if (is_tensor(how.ptr())) given = how.attr("tolist")();
  if (is_sequence(given)) return tuple_of_tensors(ops::tensor_split(op, x, given.cast<std::vector<int64_t>>(), dim));
  const auto sections = given.cast<int64_t>();
  const int64_t size = x.size(existing_dim(op, dim, x.ndim()));
  DNN_CHECK(!equal_parts || (sections > 0 && size % sections == 0), ValueError, op, ": ", sections, " sections do not divide size ", size);
  return tuple_of_tensors(ops::tensor_split(op, x, sections, dim));
}

void bind_cuts(py::module_& m) {
  function_and_method(
      m, "tensor_split", [](const Tensor& x, const py::object& how, int64_t dim) { return split_at("tensor_split", x, how, dim, false); },
      py::arg("indices_or_sections"), py::arg("dim") = 0, "Views cut at positions, or in sections of nearly equal size.");
  const auto cut = [&](const char* name, int least, int64_t dim) {
    function_and_method(
        m, name,
        [=](const Tensor& x, const py::object& how) {
          DNN_CHECK(x.ndim() >= least, ValueError, name, ": expected at least ", least, " dimensions, got shape ", x.shape());
          return split_at(name, x, how, least == 1 && x.ndim() == 1 ? 0 : dim, true);
        },
        py::arg("indices_or_sections"), "Views cut at positions, or in equal sections, along one dimension.");
  };
  cut("hsplit", 1, 1);
  cut("vsplit", 2, 0);
  cut("dsplit", 3, 2);
  const auto join = [&](const char* name, int least, int64_t dim) {
    m.def(
        name,
        [=](const std::vector<Tensor>& tensors) {
          std::vector<Tensor> parts;
          for (const Tensor& tensor : tensors) parts.push_back(ops::at_least(tensor, least));
          return ops::cat(parts, least == 1 && !parts.empty() && parts[0].ndim() == 1 ? 0 : dim);
        },
        py::arg("tensors"), "Tensors joined along one dimension, those with fewer raised.");
  };
  join("hstack", 1, 1);
  join("vstack", 2, 0);
  join("dstack", 3, 2);
  const std::pair<const char*, int> raised[] = {{"atleast_1d", 1}, {"atleast_2d", 2}, {"atleast_3d", 3}};
  for (const auto& [name, least] : raised)
    m.def(
        name,
        [name = name, least = least](const py::args& args) -> py::object {
          std::vector<Tensor> tensors = tensors_from_args(name, args);
          for (Tensor& tensor : tensors) tensor = ops::at_least(tensor, least);
          if (args.size() == 1 && is_tensor(args[0].ptr())) return py::cast(tensors[0]);
          return tuple_of_tensors(tensors);
        },
        "Tensors with dimensions of size 1 added where they have fewer.");
}

Tensor pad(const Tensor& x, const std::vector<int64_t>& sizes, const std::string& mode, const std::optional<Scalar>& value) {
  const std::pair<const char*, ops::PadMode> known[] = {{"constant", ops::PadMode::Constant},
                                                        {"reflect", ops::PadMode::Reflect},
                                                        {"replicate", ops::PadMode::Replicate},
                                                        {"circular", ops::PadMode::Circular}};
  for (const auto& [name, kind] : known)
    if (mode == name) return ops::pad(x, sizes, kind, value.value_or(Scalar::of(int64_t{0})));
  throw ValueError(concat("pad: expected mode 'constant', 'reflect', 'replicate' or 'circular', got '", mode, "'"));
}

}  // namespace

void bind_arrange(py::module_& m) {
  bind_diagonals(m);
  bind_moves(m);
  bind_repetition(m);
  bind_cuts(m);
  m.def("pad", &pad, py::arg("input"), py::arg("pad"), py::arg("mode") = "constant", py::arg("value") = py::none(),
        "A copy with (left, right) of the last dimension added, then of the one before, ...");
  m.def("one_hot", &ops::one_hot, py::arg("input"), py::arg("num_classes") = -1, "Class indices as rows with a single 1.");
}

}  // namespace dnncore::bindings
