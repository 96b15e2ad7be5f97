// Recorded steps without Python: the bits of the step, memory that nobody else has, and what is refused.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "autograd/plan.h"
#include "autograd/tape.h"
#include "core/parallel.h"
#include "ops/ops.h"
#include "ops/optimizer.h"

using namespace dnncore;

namespace {

std::vector<std::byte> bytes(const Tensor& x) {
  const auto* data = static_cast<const std::byte*>(x.data());
  return {data, data + x.nbytes()};
}

Tensor drawn(const Shape& shape) {
  const Tensor x = Tensor::empty(shape, DType::Float32);
  ops::normal_(x, 0, 1, ops::default_generator());
  return x;
}

// Two layers with dropout, their loss and their optimizer.
struct Net {
  Net() {
    ops::default_generator()->manual_seed(3);
    for (const Shape& shape : {Shape{40, 30}, Shape{40}, Shape{5, 40}, Shape{5}}) {
      parameters.push_back(drawn(shape));
      parameters.back().impl()->requires_grad = true;
    }
    update->add_group(parameters, {{"lr", 0.01}, {"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}});
  }
  Tensor step(const Tensor& x, const Tensor& target) {
    for (const Tensor& parameter : parameters) parameter.set_grad({});
    const Tensor hidden = ops::dropout(ops::linear(x, parameters[0], parameters[1], Activation::Relu), 0.2);
    const Tensor loss =
        ops::pointwise_loss(LossOp::mse, ops::linear(hidden, parameters[2], parameters[3]), target, 0, ops::Reduction::Mean);
    backward({loss}, {}, {});
    update->step();
    return loss.detach();
  }
  std::vector<std::vector<std::byte>> state() const {
    std::vector<std::vector<std::byte>> found;
    for (const Tensor& parameter : parameters) {
      found.push_back(bytes(parameter));
      found.push_back(bytes(parameter.grad()));
    }
    return found;
  }

  std::vector<Tensor> parameters;
  Ref<ops::OptimizerUpdate> update = make_ref<ops::OptimizerUpdate>("adam");
};

Ref<Plan> recorded(Net& net, const Tensor& x, const Tensor& target) {
  const Tensor own_x = ops::clone(x), own_target = ops::clone(target);
  StepRecorder recorder({own_x, own_target});
  recorder.begin();
  const Tensor loss = net.step(own_x, own_target);
  recorder.end();
  const Ref<Plan> plan = recorder.finish({loss});
  CHECK(recorder.why() == "");
  return plan;
}

}  // namespace

TEST_CASE("a recorded step has the bits of the step") {
  const int threads = parallel::num_threads();
  for (int count : {1, 2, 4}) {
    parallel::set_num_threads(count);
    Net eager, replayed;
    std::vector<Tensor> xs, targets;
    for (int i = 0; i < 6; ++i) {
      xs.push_back(drawn({16, 30}));
      targets.push_back(drawn({16, 5}));
    }
    std::vector<std::vector<std::vector<std::byte>>> states[2];
    std::vector<std::vector<std::byte>> losses[2];
    for (int which = 0; which < 2; ++which) {
      ops::default_generator()->manual_seed(8);
      Net& net = which == 0 ? eager : replayed;
      Ref<Plan> plan;
      for (size_t i = 0; i < xs.size(); ++i) {
        if (which == 1 && i == 1) plan = recorded(net, xs[i], targets[i]);
        Tensor loss;
        if (which == 0 || i == 0) {
          loss = net.step(xs[i], targets[i]);
        } else if (i == 1) {
          continue;  // the recording was this step
        } else {
          REQUIRE(plan->takes({xs[i], targets[i]}));
          REQUIRE(plan->mismatch() == "");
          loss = plan->run({xs[i], targets[i]})[0];
        }
        losses[which].push_back(bytes(loss));
        states[which].push_back(net.state());
      }
    }
    losses[0].erase(losses[0].begin() + 1);
    states[0].erase(states[0].begin() + 1);
    CHECK(losses[0] == losses[1]);
    CHECK(states[0] == states[1]);
  }
  parallel::set_num_threads(threads);
}

TEST_CASE("the memory of a plan is nobody else's") {
  Net net;
  const Tensor x = drawn({16, 30}), target = drawn({16, 5});
  net.step(x, target);
  const Ref<Plan> plan = recorded(net, x, target);
  CHECK(plan->arena_bytes() <= plan->live_bytes() * 11 / 10);
  std::vector<Tensor> others;
  for (int64_t n = 1; n < 4000; n = n * 3 / 2 + 1) others.push_back(ops::full({n}, Scalar::of(static_cast<double>(n)), DType::Float32, {}));
  const Tensor held = net.parameters[0].grad();
  const auto held_bytes = bytes(held);
  std::vector<Tensor> results;
  for (int i = 0; i < 5; ++i) results.push_back(plan->run({x, target})[0]);
  CHECK(bytes(held) == held_bytes);
  for (const Tensor& other : others)
    for (int64_t i = 0; i < other.numel(); ++i) REQUIRE(other.data<float>()[i] == static_cast<float>(other.numel()));
  for (size_t i = 1; i < results.size(); ++i) CHECK(results[i].data() != results[i - 1].data());
}

TEST_CASE("what has changed is told") {
  Net net;
  const Tensor x = drawn({16, 30}), target = drawn({16, 5});
  net.step(x, target);
  const Ref<Plan> plan = recorded(net, x, target);
  CHECK_FALSE(plan->takes({drawn({15, 30}), target}));
  CHECK_FALSE(plan->takes({net.parameters[0].detach(), target}));
  {
    const NoGrad no_grad;
    CHECK(plan->mismatch() == "gradients switched on or off");
  }
  const auto freeze = [&](bool requires_grad) {
    requires_grad_changes(*net.parameters[2].impl());
    net.parameters[2].impl()->requires_grad = requires_grad;
  };
  freeze(false);
  CHECK(plan->mismatch() == "requires_grad of a tensor");
  CHECK(plan->mismatch() == "requires_grad of a tensor");  // as often as it is asked
  freeze(true);
  CHECK(plan->mismatch() == "");
  net.update->outdate();
  CHECK(plan->mismatch() != "");
}

TEST_CASE("a step that keeps a tensor or writes to its argument is refused") {
  const Tensor x = ops::full({3}, Scalar::of(1.0), DType::Float32, {});
  Tensor kept;
  {
    StepRecorder recorder({x});
    recorder.begin();
    kept = ops::binary(BinaryOp::mul, x, Scalar::of(2.0));
    CHECK_FALSE(recorder.finish({}));
    CHECK(recorder.why().find("kept outside") != std::string::npos);
  }
  StepRecorder recorder({x});
  recorder.begin();
  ops::binary_(BinaryOp::mul, x, Scalar::of(2.0));
  CHECK_FALSE(recorder.finish({}));
  CHECK(recorder.why().find("changes an argument in place") != std::string::npos);
}
