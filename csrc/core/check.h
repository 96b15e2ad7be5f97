// Typed errors. Every message begins with the op and shows what was expected and what came.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace dnncore {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct ValueError : Error {  // a shape or a value does not fit
  using Error::Error;
};
struct TypeError : Error {  // a dtype or a kind does not fit
  using Error::Error;
};
struct IndexError : Error {
  using Error::Error;
};
struct StateError : Error {  // RuntimeError in Python: the call is right, the moment is not
  using Error::Error;
};
struct MemoryError : Error {
  using Error::Error;
};
struct DivisionByZero : Error {  // of whole numbers: ZeroDivisionError in Python
  using Error::Error;
};
struct Interrupted : Error {  // the host asked to stop (Ctrl-C) between two tasks
  using Error::Error;
};

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace dnncore

// The message parts are evaluated only when the check fails.
#define DNN_CHECK(condition, ErrorType, ...)                      \
  do {                                                            \
    if (!(condition)) [[unlikely]]                                \
      throw ::dnncore::ErrorType(::dnncore::concat(__VA_ARGS__)); \
  } while (0)
