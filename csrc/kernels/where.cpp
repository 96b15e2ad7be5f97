// y = condition ? x : z, by element size.
#include "kernels/elementwise.h"
#include "kernels/elementwise_loops.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class U, bool kScalarX, bool kScalarZ>
void choose(const uint8_t* condition, const U* x, const U* z, U* y, int64_t n) {
  const U first_x = *x, first_z = *z;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const U a = kScalarX ? first_x : x[i], b = kScalarZ ? first_z : z[i];
    y[i] = condition[i] ? a : b;
  }
}

// One condition for the whole row: a copy.
template <class U>
void copy_chosen(const U* from, bool scalar, U* y, int64_t n) {
  if (scalar)
    std::fill_n(y, n, *from);
  else if (from != y)
    std::memcpy(y, from, static_cast<size_t>(n) * sizeof(U));
}

template <class U>
void where_row(const std::byte* const* in, std::byte* out, int64_t n, int flags) {
  const uint8_t* condition = reinterpret_cast<const uint8_t*>(in[0]);
  const U* x = reinterpret_cast<const U*>(in[1]);
  const U* z = reinterpret_cast<const U*>(in[2]);
  U* y = reinterpret_cast<U*>(out);
  const bool scalar_x = flags & kScalar0 << 1, scalar_z = flags & kScalar0 << 2;
  if (flags & kScalar0)
    *condition ? copy_chosen(x, scalar_x, y, n) : copy_chosen(z, scalar_z, y, n);
  else if (scalar_x)
    scalar_z ? choose<U, true, true>(condition, x, z, y, n) : choose<U, true, false>(condition, x, z, y, n);
  else
    scalar_z ? choose<U, false, true>(condition, x, z, y, n) : choose<U, false, false>(condition, x, z, y, n);
}

Row row_for(DType dtype) {
  switch (itemsize(dtype)) {
    case 1:
      return where_row<uint8_t>;
    case 2:
      return where_row<uint16_t>;
    case 4:
      return where_row<uint32_t>;
    default:
      return where_row<uint64_t>;
  }
}

}  // namespace

void where(const WhereArgs& args, const Tasks& tasks) {
  run_elementwise<3>(
      {.in = {static_cast<const std::byte*>(args.condition), static_cast<const std::byte*>(args.x), static_cast<const std::byte*>(args.z)},
       .out = static_cast<std::byte*>(args.y),
       .shape = args.shape,
       .in_strides = {&args.condition_strides, &args.x_strides, &args.z_strides},
       .out_strides = args.y_strides,
       .in_dtype = {DType::Bool, args.dtype, args.dtype},
       .out_dtype = args.dtype,
       .row = row_for(args.dtype),
       .takes_scalars = true,
       .converts_halves = false},
      tasks);
}

Schedule where_schedule(const WhereArgs& args) {
  return elementwise_schedule(args.shape, 0.08 * static_cast<double>(itemsize(args.dtype)));
}

}  // namespace dnncore::DNNCORE_ISA
