// In-place forms of functions that make a copy: the result is computed and written back, so that an error leaves the tensor as it was.
#pragma once

#include <string>

#include "bindings/bindings.h"
#include "ops/inplace.h"

namespace dnncore::bindings {

// x.<name>_(args...) = fn(x, args...).
template <class... Args, class... Extra>
void inplace_method(const char* name, Tensor (*fn)(const Tensor&, Args...), const Extra&... extra) {
  const std::string with_underscore = std::string(name) + "_";
  const auto run = [fn](const Tensor& x, Args... args) {
    const bool records = x.requires_grad() && GradMode::enabled();
    const Tensor result = fn(records ? ops::before_change(x) : x.detach(), args...);
    DNN_CHECK(result.shape() == x.shape(), ValueError, "in-place: a result of shape ", result.shape(), " does not fit the tensor of shape ",
              x.shape());
    ops::copy_(x, result);
    return x;
  };
  method(with_underscore.c_str(), run, extra...);
}

}  // namespace dnncore::bindings
