// Shape: up to 16 sizes or strides held inline; trivially copyable, so that it travels in kernel arguments.
// Strides count elements, never bytes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/check.h"

namespace dnncore {

inline constexpr int kMaxDims = 16;

struct Shape {
  int32_t n = 0;
  int64_t v[kMaxDims];

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    for (int64_t size : sizes) push_back(size);
  }
  static Shape filled(int count, int64_t value) {
    Shape shape;
    for (int i = 0; i < count; ++i) shape.push_back(value);
    return shape;
  }

  int ndim() const { return n; }
  bool empty() const { return n == 0; }
  int64_t operator[](int i) const { return v[i]; }
  int64_t& operator[](int i) { return v[i]; }
  int64_t back() const { return v[n - 1]; }
  const int64_t* begin() const { return v; }
  const int64_t* end() const { return v + n; }
  void push_back(int64_t value) {
    DNN_CHECK(n < kMaxDims, ValueError, "tensor: at most ", kMaxDims, " dimensions are supported");
    v[n++] = value;
  }
  void insert(int at, int64_t value) {
    push_back(value);
    for (int i = n - 1; i > at; --i) v[i] = v[i - 1];
    v[at] = value;
  }
  void erase(int at) {
    for (int i = at; i + 1 < n; ++i) v[i] = v[i + 1];
    --n;
  }
};
using Strides = Shape;

inline bool operator==(const Shape& a, const Shape& b) {
  if (a.n != b.n) return false;
  for (int i = 0; i < a.n; ++i)
    if (a.v[i] != b.v[i]) return false;
  return true;
}

// "(2, 3)", "(5,)", "()": as Python writes tuples.
std::string to_string(const Shape& shape);
std::ostream& operator<<(std::ostream& out, const Shape& shape);

// Product of the sizes; ValueError beginning with `op` when a size is negative or the product (times itemsize) leaves 63 bits.
int64_t checked_numel(const char* op, const Shape& shape, int64_t itemsize = 1);
int64_t numel(const Shape& shape);  // of a shape that was checked before

Strides contiguous_strides(const Shape& shape);

// NumPy's broadcasting; ValueError "op: shapes (2, 3) and (4,) cannot be broadcast together".
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

// Strides to read a tensor of (shape, strides) as if it had the shape `target`: 0 where it is repeated.
Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& target);

// -ndim <= dim < ndim made non-negative; IndexError otherwise.
int wrap_dim(const char* op, int64_t dim, int ndim);
// The same where the dimension's size is read next: a 0-D tensor has none, and wrap_dim's 0 would be past its end.
int existing_dim(const char* op, int64_t dim, int ndim);

// Number of elements between the first and one past the last one touched; 0 for an empty shape. Strides are never negative.
inline int64_t extent(const Shape& shape, const Strides& strides) {
  int64_t last = 0;
  for (int i = 0; i < shape.n; ++i) {
    if (shape.v[i] == 0) return 0;
    last += (shape.v[i] - 1) * strides.v[i];
  }
  return last + 1;
}

enum class Layout : uint8_t { Adjacent, Scalar, Strided };  // of all elements in their order: side by side, one repeated

inline Layout layout_of(const Shape& shape, const Strides& strides) {
  bool adjacent = true, scalar = true;
  int64_t expected = 1;
  for (int d = shape.n - 1; d >= 0; --d) {
    if (shape[d] == 1) continue;
    adjacent &= strides[d] == expected;
    scalar &= strides[d] == 0;
    expected *= shape[d];
  }
  return adjacent ? Layout::Adjacent : scalar ? Layout::Scalar : Layout::Strided;
}

// The number of elements where y is adjacent and every input adjacent or one repeated element, else 0.
inline int64_t dense_elements(const Shape& shape, std::initializer_list<const Strides*> inputs, const Strides& y_strides) {
  if (layout_of(shape, y_strides) != Layout::Adjacent) return 0;
  for (const Strides* strides : inputs)
    if (layout_of(shape, *strides) == Layout::Strided) return 0;
  return numel(shape);
}

// Dense strides for `shape`, its dimensions in the order in which the operands have them in memory. Operands have that shape, with stride 0
// where they are repeated; of two dimensions the first operand that steps through both tells which is outer (PyTorch's rule for results).
Strides dense_strides(const Shape& shape, const Strides* operands, int count);

// Drops size-1 dimensions and joins neighbours that every operand steps through alike; dims stay outermost first.
// At least one dimension is left. `strides` points to `count` stride lists.
void join_dimensions(Shape& shape, Strides* const* strides, int count);
// The same after the dimensions were brought into the order in which the first operand has them in memory.
void coalesce(Shape& shape, Strides* const* strides, int count);

}  // namespace dnncore
