#include "core/shape.h"

#include <utility>

namespace dnncore {

std::string to_string(const Shape& shape) { return concat(shape); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '(';
  for (int i = 0; i < shape.n; ++i) out << (i ? ", " : "") << shape.v[i];
  return out << (shape.n == 1 ? ",)" : ")");
}

int64_t checked_numel(const char* op, const Shape& shape, int64_t itemsize) {
  // The sizes other than 0 must fit too (as in NumPy): strides are products of them.
  int64_t bytes = itemsize;
  bool empty = false;
  for (int64_t size : shape) {
    DNN_CHECK(size >= 0, ValueError, op, ": expected sizes of at least 0, got shape ", shape);
    empty |= size == 0;
    DNN_CHECK(size == 0 || !__builtin_mul_overflow(bytes, size, &bytes), ValueError, op, ": shape ", shape,
              " is too large: its bytes do not fit in 63 bits");
  }
  return empty ? 0 : bytes / itemsize;
}

int64_t numel(const Shape& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

Strides contiguous_strides(const Shape& shape) {
  Strides strides = shape;
  int64_t step = 1;
  for (int i = shape.n - 1; i >= 0; --i) {
    strides.v[i] = step;
    step *= shape.v[i] > 0 ? shape.v[i] : 1;
  }
  return strides;
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  const Shape& longer = a.n >= b.n ? a : b;
  const Shape& shorter = a.n >= b.n ? b : a;
  Shape result = longer;
  const int offset = longer.n - shorter.n;
  for (int i = 0; i < shorter.n; ++i) {
    int64_t& size = result.v[offset + i];
    if (size == shorter.v[i] || shorter.v[i] == 1) continue;
    DNN_CHECK(size == 1, ValueError, op, ": shapes ", a, " and ", b, " cannot be broadcast together");
    size = shorter.v[i];
  }
  return result;
}

Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& target) {
  Strides result = Shape::filled(target.n, 0);
  const int offset = target.n - shape.n;
  for (int i = 0; i < shape.n; ++i)
    if (shape.v[i] == target.v[offset + i]) result.v[offset + i] = strides.v[i];
  return result;
}

int wrap_dim(const char* op, int64_t dim, int ndim) {
  const int64_t range = ndim > 0 ? ndim : 1;  // a scalar takes 0 and -1, as in PyTorch
  DNN_CHECK(dim >= -range && dim < range, IndexError, op, ": expected a dimension from ", -range, " to ", range - 1, ", got ", dim);
  return static_cast<int>(dim < 0 ? dim + range : dim);
}

int existing_dim(const char* op, int64_t dim, int ndim) {
  DNN_CHECK(ndim > 0, IndexError, op, ": expected a tensor of at least one dimension, got a 0-D tensor");
  return wrap_dim(op, dim, ndim);
}

namespace {

// Above 0: a is the outer one of two dimensions, below 0: the inner one, 0: no operand tells.
int compare_dimensions(const Shape& shape, const Strides* operands, int count, int a, int b) {
  for (int k = 0; k < count; ++k) {
    const int64_t step_a = operands[k].v[a], step_b = operands[k].v[b];
    if (step_a == 0 || step_b == 0 || shape.v[a] == 1 || shape.v[b] == 1) continue;
    if (step_a != step_b) return step_a > step_b ? 1 : -1;
    if (shape.v[a] > shape.v[b]) return 1;
  }
  return 0;
}

}  // namespace

Strides dense_strides(const Shape& shape, const Strides* operands, int count) {
  int order[kMaxDims];  // innermost first
  for (int i = 0; i < shape.n; ++i) order[i] = shape.n - 1 - i;
  for (int i = 1; i < shape.n; ++i)
    for (int at = i, before = i - 1; before >= 0; --before) {
      const int outer = compare_dimensions(shape, operands, count, order[before], order[at]);
      if (outer < 0) break;
      if (outer > 0) std::swap(order[before], order[at]), at = before;
    }
  Strides strides = shape;
  int64_t step = 1;
  for (int i = 0; i < shape.n; ++i) {
    strides.v[order[i]] = step;
    step *= shape.v[order[i]] > 0 ? shape.v[order[i]] : 1;
  }
  return strides;
}

void join_dimensions(Shape& shape, Strides* const* strides, int count) {
  int last = -1;  // of the dimensions kept so far
  for (int i = 0; i < shape.n; ++i) {
    if (shape.v[i] == 1) continue;
    bool joins = last >= 0;
    for (int s = 0; joins && s < count; ++s) joins = strides[s]->v[last] == strides[s]->v[i] * shape.v[i];
    if (!joins) ++last;
    shape.v[last] = joins ? shape.v[last] * shape.v[i] : shape.v[i];
    for (int s = 0; s < count; ++s) strides[s]->v[last] = strides[s]->v[i];
  }
  if (last < 0) {  // one element: any stride is right, 1 takes the contiguous paths
    last = 0;
    shape.v[0] = 1;
    for (int s = 0; s < count; ++s) strides[s]->v[0] = 1;
  }
  shape.n = last + 1;
  for (int s = 0; s < count; ++s) strides[s]->n = last + 1;
}

void coalesce(Shape& shape, Strides* const* strides, int count) {
  // Insertion sort of nearly always sorted dimensions.
  const Strides& first = *strides[0];
  for (int i = 1; i < shape.n; ++i)
    for (int at = i; at > 0 && shape.v[at] != 1 && (shape.v[at - 1] == 1 || first.v[at - 1] < first.v[at]); --at) {
      std::swap(shape.v[at - 1], shape.v[at]);
      for (int s = 0; s < count; ++s) std::swap(strides[s]->v[at - 1], strides[s]->v[at]);
    }
  join_dimensions(shape, strides, count);
}

}  // namespace dnncore
