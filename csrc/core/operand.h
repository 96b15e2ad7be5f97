// Declared operands: which fields of a kernel's argument struct are pointers, how many bytes they reach and what is done there.
// A captured step patches exactly these; a pointer field nobody declared fails `all_pointers_declared`.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <type_traits>

namespace dnncore {

enum class Role : uint8_t {
  Read,
  Write,       // every byte of the view is set, whatever it held
  Accumulate,  // read and written
  Scratch,     // workspace: dead before and after
};

struct Operand {
  uint32_t field;  // byte offset of the pointer inside the argument struct
  Role role;
  int64_t bytes;  // from the pointer on; 0 when the pointer is null
};

template <class Args, class T>
Operand operand(const Args* args, T* const* field, Role role, int64_t bytes) {
  const auto offset = reinterpret_cast<const char*>(field) - reinterpret_cast<const char*>(args);
  return {static_cast<uint32_t>(offset), role, *field ? bytes : 0};
}

namespace detail {

struct Anything {
  template <class T>
  constexpr operator T() const;
};

template <class T, size_t... I>
constexpr bool constructible_from(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), Anything{})...}; };
}

template <class T, size_t N = 32>
constexpr size_t field_count() {
  static_assert(N > 0, "argument struct with more than 32 fields, or not an aggregate");
  if constexpr (constructible_from<T>(std::make_index_sequence<N>{}))
    return N;
  else
    return field_count<T, N - 1>();
}

template <class... Fields>
constexpr size_t count_pointers() {
  return (size_t{0} + ... + size_t{std::is_pointer_v<std::remove_cvref_t<Fields>>});
}

// Structured bindings take the fields apart; one line per field count.
#define DNN_FIELDS(N, ...)               \
  if constexpr (field_count<T>() == N) { \
    auto& [__VA_ARGS__] = object;        \
    return as_types(__VA_ARGS__);        \
  } else
template <class... Fields>
auto as_types(Fields&...) -> std::integral_constant<size_t, count_pointers<Fields...>()>;

template <class T>
auto pointer_fields(T& object) {
  // clang-format off
  DNN_FIELDS(2, a, b)
  DNN_FIELDS(3, a, b, c)
  DNN_FIELDS(4, a, b, c, d)
  DNN_FIELDS(5, a, b, c, d, e)
  DNN_FIELDS(6, a, b, c, d, e, f)
  DNN_FIELDS(7, a, b, c, d, e, f, g)
  DNN_FIELDS(8, a, b, c, d, e, f, g, h)
  DNN_FIELDS(9, a, b, c, d, e, f, g, h, i)
  DNN_FIELDS(10, a, b, c, d, e, f, g, h, i, j)
  DNN_FIELDS(11, a, b, c, d, e, f, g, h, i, j, k)
  DNN_FIELDS(12, a, b, c, d, e, f, g, h, i, j, k, l)
  DNN_FIELDS(13, a, b, c, d, e, f, g, h, i, j, k, l, m)
  DNN_FIELDS(14, a, b, c, d, e, f, g, h, i, j, k, l, m, n)
  DNN_FIELDS(15, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
  DNN_FIELDS(16, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
  DNN_FIELDS(17, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q)
  DNN_FIELDS(18, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r)
  DNN_FIELDS(19, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s)
  DNN_FIELDS(20, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t)
  DNN_FIELDS(21, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u)
  DNN_FIELDS(22, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v)
  DNN_FIELDS(23, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w)
  DNN_FIELDS(24, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x)
  DNN_FIELDS(25, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y)
  DNN_FIELDS(26, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z)
  DNN_FIELDS(27, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa)
  DNN_FIELDS(28, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb)
  static_assert(field_count<T>() <= 28, "add a DNN_FIELDS line");
  // clang-format on
}
#undef DNN_FIELDS

}  // namespace detail

template <class Args>
constexpr bool all_pointers_declared() {
  using Found = decltype(detail::pointer_fields(std::declval<Args&>()));
  using Declared = decltype(std::declval<const Args&>().operands());
  return Found::value == std::tuple_size_v<Declared>;
}

}  // namespace dnncore
