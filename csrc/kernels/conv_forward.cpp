// Convolution and its gradient for the data, as one implicit matrix product. See conv.h for the contract, conv_plan.cpp for the choices,
// conv_panels.h, conv_few.h and conv_spread.h for the work.
#include "kernels/conv_depthwise.h"
#include "kernels/conv_few.h"
#include "kernels/conv_panels.h"
#include "kernels/conv_spread.h"
#include "kernels/conv_winograd.h"
#include "kernels/reference_conv.h"

namespace dnncore::DNNCORE_ISA {
namespace {

template <class Work, class Plan>
void run_by(const Problem& problem, const Plan& plan, const Tasks& tasks) {
  const Work work(problem, plan, tasks.scratch);
  if (tasks.phase == 0) return work.pack({tasks.begin, tasks.end});
  for (int64_t task = tasks.begin; task < tasks.end; ++task) work.multiply(task);
}

template <class T>
void run(const Problem& problem, const ConvPlan& plan, const Tasks& tasks) {
  if (plan.spread) return run_by<SpreadConvolution<T>>(problem, plan, tasks);
  plan.few ? run_by<FewConvolution<T>>(problem, plan, tasks) : run_by<PanelConvolution<T>>(problem, plan, tasks);
}

bool is_empty(const Problem& p) { return p.n == 0 || p.groups * p.k == 0; }

// False: left to the reference.
bool run(const Problem& problem, const Tasks& tasks) {
  if (is_empty(problem)) return true;
  if (const WinogradPlan plan = make_winograd_plan(problem); plan.possible) {
    run_by<Winograd>(problem, plan, tasks);
    return true;
  }
  ConvPlan plan = make_conv_plan(problem);
  if (!plan.possible) return false;
  plan.streams &= !tasks.reread;
  problem.dtype == DType::Float64 ? run<double>(problem, plan, tasks) : run<float>(problem, plan, tasks);
  return true;
}

Schedule schedule_of(const Problem& problem) {
  if (is_empty(problem)) return {};
  if (const WinogradPlan plan = make_winograd_plan(problem); plan.possible)
    return {2, {plan.panels.panels, plan.tasks, 1}, plan.nanoseconds};
  const ConvPlan plan = make_conv_plan(problem);
  if (!plan.possible) return {1, {1, 1, 1}, 1e9};
  return {2, {plan.pack_tasks, plan.tasks, 1}, plan.nanoseconds};
}

int64_t workspace_of(const Problem& problem) {
  if (is_empty(problem)) return 0;
  const WinogradPlan plan = make_winograd_plan(problem);
  return plan.possible ? plan.workspace_bytes : make_conv_plan(problem).workspace_bytes;
}

}  // namespace

void conv_forward(const ConvForwardArgs& args, const Tasks& tasks) {
  if (is_depthwise(args.shape)) return depthwise_forward(args, tasks);
  if (!run(problem_of(args), tasks)) reference::conv_forward(args, tasks);
}
Schedule conv_forward_schedule(const ConvForwardArgs& args) {
  return is_depthwise(args.shape) ? depthwise_forward_schedule(args) : schedule_of(problem_of(args));
}
int64_t conv_forward_workspace(const ConvForwardArgs& args) { return is_depthwise(args.shape) ? 0 : workspace_of(problem_of(args)); }

void conv_backward_data(const ConvBackwardDataArgs& args, const Tasks& tasks) {
  if (is_depthwise(args.shape)) return depthwise_backward_data(args, tasks);
  if (!run(problem_of(args), tasks)) reference::conv_backward_data(args, tasks);
}
Schedule conv_backward_data_schedule(const ConvBackwardDataArgs& args) {
  return is_depthwise(args.shape) ? depthwise_backward_data_schedule(args) : schedule_of(problem_of(args));
}
int64_t conv_backward_data_workspace(const ConvBackwardDataArgs& args) {
  return is_depthwise(args.shape) ? 0 : workspace_of(problem_of(args));
}

}  // namespace dnncore::DNNCORE_ISA
