// Elementwise operations from kernels.def: number slots, comparisons, methods (exp, exp_, maximum ...) and functions of the same names.
#include <deque>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "bindings/bindings.h"
#include "bindings/elementwise_help.h"

namespace dnncore::bindings {

Tensor apply(BinaryOp op, const TensorOrNumber& a, const TensorOrNumber& b) {
  const auto* x = std::get_if<Tensor>(&a);
  const auto* z = std::get_if<Tensor>(&b);
  if (x && z) return ops::binary(op, *x, *z);
  if (x) return ops::binary(op, *x, std::get<Scalar>(b));
  if (z) return ops::binary(op, std::get<Scalar>(a), *z);
  const Scalar& number = std::get<Scalar>(a);
  return ops::binary(op, scalar_tensor(number, default_dtype(number), Device{}), std::get<Scalar>(b));
}

void apply_(BinaryOp op, const Tensor& a, const TensorOrNumber& b) {
  if (const auto* z = std::get_if<Tensor>(&b))
    ops::binary_(op, a, *z);
  else
    ops::binary_(op, a, std::get<Scalar>(b));
}

namespace {

PyObject* not_implemented() { return new_ref(Py_NotImplemented); }

// --- Number slots -----------------------------------------------------------------------------------------------------
template <BinaryOp op>
PyObject* number_binary(PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    TensorOrNumber other;
    if (is_tensor(a)) {
      if (is_tensor(b)) return wrap(ops::binary(op, tensor_of(a), tensor_of(b)));
      if (!operand_from_python(b, other)) return not_implemented();
      if (const auto* number = std::get_if<Scalar>(&other)) return wrap(ops::binary(op, tensor_of(a), *number));
      return wrap(ops::binary(op, tensor_of(a), std::get<Tensor>(other)));
    }
    if (!operand_from_python(a, other)) return not_implemented();
    if (const auto* number = std::get_if<Scalar>(&other)) return wrap(ops::binary(op, *number, tensor_of(b)));
    return wrap(ops::binary(op, std::get<Tensor>(other), tensor_of(b)));
  });
}

template <BinaryOp op>
PyObject* number_inplace(PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    TensorOrNumber other;
    if (!operand_from_python(b, other)) return not_implemented();
    apply_(op, tensor_of(a), other);
    return new_ref(a);
  });
}

template <UnaryOp op>
PyObject* number_unary(PyObject* self) {
  return guarded([&] { return wrap(ops::unary(op, tensor_of(self))); });
}

template <UnaryOp op>
PyObject* unary_method(PyObject* self, PyObject*) {
  return number_unary<op>(self);
}

template <UnaryOp op>
PyObject* unary_method_inplace(PyObject* self, PyObject*) {
  return guarded([&] {
    ops::unary_(op, tensor_of(self));
    return new_ref(self);
  });
}

PyObject* wrong_operand(const char* op, PyObject* object) {
  PyErr_Format(PyExc_TypeError, "%s: expected a tensor, a number or a NumPy array, got %s", op, Py_TYPE(object)->tp_name);
  return nullptr;
}

template <BinaryOp op>
PyObject* binary_method(PyObject* self, PyObject* other) {
  PyObject* result = number_binary<op>(self, other);
  if (result != Py_NotImplemented) return result;
  Py_DECREF(result);
  return wrong_operand(name(op), other);
}

template <BinaryOp op>
PyObject* binary_method_inplace(PyObject* self, PyObject* other) {
  PyObject* result = number_inplace<op>(self, other);
  if (result != Py_NotImplemented) return result;
  Py_DECREF(result);
  return wrong_operand(name(op), other);
}

PyObject* number_power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) return not_implemented();
  return number_binary<BinaryOp::pow>(a, b);
}

PyObject* number_power_inplace(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) return not_implemented();
  return number_inplace<BinaryOp::pow>(a, b);
}

PyObject* number_matmul(PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    TensorOrNumber x, z;
    if (!operand_from_python(a, x) || !operand_from_python(b, z)) return not_implemented();
    DNN_CHECK(std::holds_alternative<Tensor>(x) && std::holds_alternative<Tensor>(z), TypeError,
              "matmul: expected two tensors, got a number; use * to scale");
    return wrap(ops::matmul(std::get<Tensor>(x), std::get<Tensor>(z)));
  });
}

PyObject* number_positive(PyObject* self) { return new_ref(self); }

int number_bool(PyObject* self) {
  return guarded([&]() -> int {
    const Tensor& x = tensor_of(self);
    DNN_CHECK(x.numel() == 1, ValueError, "bool: Boolean value of Tensor with ", x.numel() == 0 ? "no values" : "more than one value",
              " is ambiguous; use x.any() or x.all()");
    return PyObject_IsTrue(item_to_python("bool", x).ptr());
  });
}

PyObject* number_float(PyObject* self) {
  return guarded([&] { return PyNumber_Float(item_to_python("float", tensor_of(self)).ptr()); });
}

PyObject* number_int(PyObject* self) {
  return guarded([&] { return PyNumber_Long(item_to_python("int", tensor_of(self)).ptr()); });
}

PyObject* number_index(PyObject* self) {
  return guarded([&] {
    const Tensor& x = tensor_of(self);
    DNN_CHECK(!is_floating(x.dtype()) && x.numel() == 1, TypeError,
              "index: only integer tensors of a single element can be used as an index, got ", x.dtype(), " of shape ", x.shape());
    return PyNumber_Long(item_to_python("index", x).ptr());
  });
}

template <class Fn>
PyType_Slot slot(int id, Fn* pointer) {
  return {id, reinterpret_cast<void*>(pointer)};
}

// --- Functions --------------------------------------------------------------------------------------------------------
// As the methods, with the tensor as first of their two (or one) positional arguments; METH_FASTCALL, since they are called most.
template <UnaryOp op>
PyObject* unary_function(PyObject*, PyObject* x) {
  if (!is_tensor(x)) {
    PyErr_Format(PyExc_TypeError, "%s: expected a tensor, got %s", name(op), Py_TYPE(x)->tp_name);
    return nullptr;
  }
  return number_unary<op>(x);
}

template <BinaryOp op>
PyObject* binary_function(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&]() -> PyObject* {
    DNN_CHECK(count == 2, TypeError, name(op), ": expected 2 arguments, got ", count);
    TensorOrNumber x, z;
    if (!operand_from_python(args[0], x)) return wrong_operand(name(op), args[0]);
    if (!operand_from_python(args[1], z)) return wrong_operand(name(op), args[1]);
    return wrap(apply(op, x, z));
  });
}

// The gradients at the end of the list are internal; add, sub and div take keywords and live in ops.cpp.
constexpr bool is_plain(BinaryOp op) {
  return op < BinaryOp::relu_backward && op != BinaryOp::add && op != BinaryOp::sub && op != BinaryOp::div;
}

// Docstrings begin with the signature, as inspect.signature reads it; they are kept as long as the tables.
template <class Op>
const char* documented(const char* name, const char* arguments, Op op) {
  static auto* kept = new std::deque<std::string>;
  return kept->emplace_back(concat(name, arguments, "\n--\n\n", summary(op))).c_str();
}

std::vector<PyMethodDef> function_table() {
  std::vector<PyMethodDef> table;
#define KERNEL(name, Args)
#define UNARY(op)                                                         \
  static_assert(summary(UnaryOp::op) != nullptr, "a line of help lacks"); \
  table.push_back({#op, unary_function<UnaryOp::op>, METH_O, documented(#op, "(input, /)", UnaryOp::op)});
#define BINARY(op)                                                                                                                   \
  static_assert(!is_plain(BinaryOp::op) || summary(BinaryOp::op) != nullptr, "a line of help lacks");                                \
  if (is_plain(BinaryOp::op))                                                                                                        \
    table.push_back({#op, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(binary_function<BinaryOp::op>)), METH_FASTCALL, \
                     documented(#op, "(input, other, /)", BinaryOp::op)});
#include "kernels/kernels.def"
  table.push_back({nullptr, nullptr, 0, nullptr});
  return table;
}

std::vector<PyMethodDef> method_table() {
  std::vector<PyMethodDef> table;
#define KERNEL(name, Args)
#define UNARY(op)                                                                                             \
  table.push_back({#op, unary_method<UnaryOp::op>, METH_NOARGS, documented(#op, "($self, /)", UnaryOp::op)}); \
  if (!is_predicate(UnaryOp::op))                                                                             \
    table.push_back({#op "_", unary_method_inplace<UnaryOp::op>, METH_NOARGS, #op "_($self, /)\n--\n\n" #op "() in place."});
#define BINARY(op)                                                                                                                  \
  if (is_plain(BinaryOp::op)) {                                                                                                     \
    table.push_back({#op, binary_method<BinaryOp::op>, METH_O, documented(#op, "($self, other, /)", BinaryOp::op)});                \
    if (!is_comparison(BinaryOp::op))                                                                                               \
      table.push_back({#op "_", binary_method_inplace<BinaryOp::op>, METH_O, #op "_($self, other, /)\n--\n\n" #op "() in place."}); \
  }
#include "kernels/kernels.def"
  table.push_back({nullptr, nullptr, 0, nullptr});
  return table;
}

}  // namespace

PyObject* tensor_richcompare(PyObject* self, PyObject* other, int op) {
  switch (op) {
    case Py_EQ:
      return number_binary<BinaryOp::eq>(self, other);
    case Py_NE:
      return number_binary<BinaryOp::ne>(self, other);
    case Py_LT:
      return number_binary<BinaryOp::lt>(self, other);
    case Py_LE:
      return number_binary<BinaryOp::le>(self, other);
    case Py_GT:
      return number_binary<BinaryOp::gt>(self, other);
    default:
      return number_binary<BinaryOp::ge>(self, other);
  }
}

PyType_Slot* number_slots() {
  static PyType_Slot slots[] = {
      slot(Py_nb_add, number_binary<BinaryOp::add>),
      slot(Py_nb_subtract, number_binary<BinaryOp::sub>),
      slot(Py_nb_multiply, number_binary<BinaryOp::mul>),
      slot(Py_nb_true_divide, number_binary<BinaryOp::div>),
      slot(Py_nb_floor_divide, number_binary<BinaryOp::floor_divide>),
      slot(Py_nb_remainder, number_binary<BinaryOp::remainder>),
      slot(Py_nb_power, number_power),
      slot(Py_nb_and, number_binary<BinaryOp::bitwise_and>),
      slot(Py_nb_or, number_binary<BinaryOp::bitwise_or>),
      slot(Py_nb_xor, number_binary<BinaryOp::bitwise_xor>),
      slot(Py_nb_matrix_multiply, number_matmul),
      slot(Py_nb_inplace_add, number_inplace<BinaryOp::add>),
      slot(Py_nb_inplace_subtract, number_inplace<BinaryOp::sub>),
      slot(Py_nb_inplace_multiply, number_inplace<BinaryOp::mul>),
      slot(Py_nb_inplace_true_divide, number_inplace<BinaryOp::div>),
      slot(Py_nb_inplace_floor_divide, number_inplace<BinaryOp::floor_divide>),
      slot(Py_nb_inplace_remainder, number_inplace<BinaryOp::remainder>),
      slot(Py_nb_inplace_power, number_power_inplace),
      slot(Py_nb_inplace_and, number_inplace<BinaryOp::bitwise_and>),
      slot(Py_nb_inplace_or, number_inplace<BinaryOp::bitwise_or>),
      slot(Py_nb_inplace_xor, number_inplace<BinaryOp::bitwise_xor>),
      slot(Py_nb_negative, number_unary<UnaryOp::neg>),
      slot(Py_nb_positive, number_positive),
      slot(Py_nb_absolute, number_unary<UnaryOp::abs>),
      slot(Py_nb_invert, number_unary<UnaryOp::bitwise_not>),
      slot(Py_nb_bool, number_bool),
      slot(Py_nb_float, number_float),
      slot(Py_nb_int, number_int),
      slot(Py_nb_index, number_index),
      {0, nullptr},
  };
  return slots;
}

PyMethodDef* elementwise_methods() {
  static auto* table = new std::vector<PyMethodDef>(method_table());  // as long as the type
  return table->data();
}

void bind_elementwise(py::module_& m) {
  static auto* table = new std::vector<PyMethodDef>(function_table());
  if (PyModule_AddFunctions(m.ptr(), table->data()) != 0) throw py::error_already_set();
}

}  // namespace dnncore::bindings
