// In-place changes on the tape. The changed tensor leaves its history to a stand-in, the op is recorded from there, and its node becomes
// the origin of the tensor. What cannot be followed is refused: a leaf that requires grad, a view and a tensor that has views.
#pragma once

#include "ops/common.h"

namespace dnncore::ops {

// Whether writing `sources` into x must be recorded; refuses what cannot be, and read-only or overlapping memory.
bool records_inplace(const char* op, const Tensor& x, std::initializer_list<const Tensor*> sources = {});
// x as it is now, with its history: the change does not reach it.
Tensor before_change(const Tensor& x);
// The same where the op saves nothing of x: shares its memory.
Tensor stand_in(const Tensor& x);
// x holds what y computed: writes it there (unless `written`) and takes over y's history.
void become(const char* op, const Tensor& x, const Tensor& y, bool written = false);

}  // namespace dnncore::ops
