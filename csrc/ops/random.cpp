#include <cmath>
#include <random>

#include "ops/inplace.h"

namespace dnncore::ops {

Generator::Generator(uint64_t seed) : state_(Tensor::empty({sizeof(GeneratorState)}, DType::UInt8)) { manual_seed(seed); }

void Generator::manual_seed(uint64_t seed) {
  if (Recorder* recorder = current_recorder()) recorder->cannot_repeat("manual_seed", "is not repeated");
  *state() = {seed, 0};
}
uint64_t Generator::initial_seed() const { return state()->seed; }
GeneratorState* Generator::state() const { return state_.data<GeneratorState>(); }

GeneratorState* Generator::state_on(Device device, uint64_t counters, Tensor& keeper) {
  if (device == Device{}) return state();
  keeper = to_device(state_, device, "random");
  state()->offset += counters;
  return keeper.data<GeneratorState>();
}

const Ref<Generator>& default_generator() {
  static const auto* generator = new Ref<Generator>(make_ref<Generator>(uint64_t{std::random_device{}()}));  // lives as long as the process
  return *generator;
}

namespace {

void check_arguments(RandomOp op, DType dtype, double a, double b, int64_t low, int64_t high) {
  switch (op) {
    case RandomOp::uniform:
      DNN_CHECK(is_floating(dtype), TypeError, "uniform_: expected a floating dtype, got ", dtype);
      DNN_CHECK(std::isfinite(a) && std::isfinite(b) && a <= b, ValueError, "uniform_: expected finite bounds low <= high, got ", a,
                " and ", b);
      break;
    case RandomOp::normal:
      DNN_CHECK(is_floating(dtype), TypeError, "normal_: expected a floating dtype, got ", dtype);
      DNN_CHECK(b >= 0, ValueError, "normal_: expected std >= 0, got ", b);
      break;
    case RandomOp::integer:
      DNN_CHECK(low < high, ValueError, "randint: expected low < high, got ", low, " and ", high);
      break;
    case RandomOp::bernoulli:
      DNN_CHECK(a >= 0 && a <= 1, ValueError, "bernoulli: expected 0 <= p <= 1, got ", a);
      break;
    case RandomOp::permutation:
      DNN_CHECK(dtype == DType::Int64, TypeError, "randperm: expected int64, got ", dtype);
      break;
  }
}

// Fills contiguous memory.
void launch_random(RandomOp op, const Tensor& y, double a, double b, int64_t low, int64_t high, const Ref<Generator>& generator,
                   bool into_view) {
  check_arguments(op, y.dtype(), a, b, low, high);
  if (y.device() != Device{} && op == RandomOp::permutation) {  // a shuffle takes one step after the other
    const Tensor here = Tensor::empty(y.shape(), y.dtype(), Device{}, "random");
    launch_random(op, here, a, b, low, high, generator, false);
    return launch_copy("random", to_device(here, y.device(), "random"), y, into_view);
  }
  const Ref<Generator>& source = generator ? generator : default_generator();
  RandomArgs args{
      .y = y.data(), .n = y.numel(), .a = a, .b = b, .low = low, .high = high, .op = op, .dtype = y.dtype(), .into_view = into_view};
  Tensor keeper;
  args.state = source->state_on(y.device(), static_cast<uint64_t>(args.counters_used()), keeper);
  launch("random", kernel::random, args, y.device());
}

// In the order of the elements, whatever the strides: the same numbers land at the same positions.
void fill_random(const char* name, RandomOp op, const Tensor& x, double a, double b, const Ref<Generator>& generator) {
  const bool records = records_inplace(name, x);
  if (x.is_contiguous()) {
    launch_random(op, x, a, b, 0, 0, generator, true);
  } else {
    const Tensor dense = random(op, x.shape(), x.dtype(), x.device(), a, b, 0, 0, generator);
    launch_copy(name, dense, x, true);
  }
  if (records) return become(name, x, x.detach(), true);  // nothing of what it was is left
  x.storage()->bump_version();
}

}  // namespace

Tensor random(RandomOp op, const Shape& shape, DType dtype, Device device, double a, double b, int64_t low, int64_t high,
              const Ref<Generator>& generator) {
  const Tensor y = Tensor::empty(shape, dtype, device, "random");
  launch_random(op, y, a, b, low, high, generator, false);
  return y;
}

void uniform_(const Tensor& x, double low, double high, const Ref<Generator>& generator) {
  fill_random("uniform_", RandomOp::uniform, x, low, high, generator);
}

void normal_(const Tensor& x, double mean, double std, const Ref<Generator>& generator) {
  fill_random("normal_", RandomOp::normal, x, mean, std, generator);
}

}  // namespace dnncore::ops
