// Normalisation: which of three bodies serves a shape.
#include "kernels/norm.h"

#include "kernels/norm_parts.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class Args, class Fn>
Fn* by_path(const Args& args, Fn* rows, Fn* columns, Fn* segments) {
  const NormPath path = norm_path(args);
  return path == NormPath::Rows ? rows : path == NormPath::Columns ? columns : segments;
}

}  // namespace

void norm(const NormArgs& args, const Tasks& tasks) { by_path(args, norm_rows, norm_columns, norm_segments)(args, tasks); }
Schedule norm_schedule(const NormArgs& args) {
  return by_path(args, norm_rows_schedule, norm_columns_schedule, norm_segments_schedule)(args);
}
int64_t norm_workspace(const NormArgs& args) {
  return by_path(args, norm_rows_workspace, norm_columns_workspace, norm_segments_workspace)(args);
}

void norm_backward(const NormBackwardArgs& args, const Tasks& tasks) {
  by_path(args, norm_rows_backward, norm_columns_backward, norm_segments_backward)(args, tasks);
}
Schedule norm_backward_schedule(const NormBackwardArgs& args) {
  return by_path(args, norm_rows_backward_schedule, norm_columns_backward_schedule, norm_segments_backward_schedule)(args);
}
int64_t norm_backward_workspace(const NormBackwardArgs& args) {
  return by_path(args, norm_rows_backward_workspace, norm_columns_backward_workspace, norm_segments_backward_workspace)(args);
}

}  // namespace dnncore::DNNCORE_ISA
