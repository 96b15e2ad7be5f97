// The gate: what is recorded can be run again, elsewhere too.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "core/cpu.h"
#include "core/launch.h"
#include "kernels/contracts.h"

using namespace dnncore;

namespace {

struct Tape final : Recorder {
  void record(LaunchRecord record) override { records.push_back(std::move(record)); }
  std::vector<LaunchRecord> records;
};

// A struct that forgets one of its pointers must not pass.
struct Forgetful {
  const void* x = nullptr;
  void* y = nullptr;
  int64_t n = 0;
  std::array<Operand, 1> operands() const { return {operand(this, &x, Role::Read, n)}; }
};
static_assert(!all_pointers_declared<Forgetful>());

#define KERNEL(name, Args)                      \
  static_assert(all_pointers_declared<Args>()); \
  static_assert(std::is_trivially_copyable_v<Args>);
#include "kernels/kernels.def"

BinaryArgs sum_of(const std::vector<float>& x, const std::vector<float>& z, std::vector<float>& y) {
  BinaryArgs args;
  args.x = x.data();
  args.z = z.data();
  args.y = y.data();
  args.shape = {static_cast<int64_t>(x.size())};
  args.x_strides = args.z_strides = args.y_strides = {1};
  return args;
}

}  // namespace

TEST_CASE("a recorded launch runs again on other memory") {
  std::vector<float> x{1, 2, 3}, z{10, 20, 30}, y(3), again(3);
  Tape tape;
  set_module_path("net.0");
  Recorder* before = set_recorder(&tape);
  launch("add", kernel::binary, sum_of(x, z, y), {});
  CHECK(set_recorder(before) == &tape);
  set_module_path("");
  CHECK(y == std::vector<float>{11, 22, 33});  // recorded and run
  REQUIRE(tape.records.size() == 1);

  LaunchRecord& record = tape.records[0];
  CHECK(record.kernel == kernel::binary.index);
  CHECK(std::string(record.op) == "add");
  CHECK(record.module == "net.0");
  CHECK(record.args.size() == sizeof(BinaryArgs));
  REQUIRE(record.operands.size() == 3);
  CHECK(record.operands[2].role == Role::Write);
  CHECK(record.operands[2].bytes == 12);
  void* target = again.data();
  std::memcpy(record.args.data() + record.operands[2].field, &target, sizeof(target));
  detail::run_on_cpu(record.kernel, record.args.data(), detail::Interruptible::No);
  CHECK(again == y);

  launch("add", kernel::binary, sum_of(x, z, y), {});
  CHECK(tape.records.size() == 1);  // nobody records any more
}

TEST_CASE("operands of null pointers have no bytes") {
  GemmArgs args;
  args.m = args.n = args.k = 4;
  args.a_row = args.b_row = args.c_row = 4;
  args.a_col = args.b_col = 1;
  float a[16], c[16];
  args.a = args.b = a;
  args.c = c;
  const auto operands = args.operands();
  CHECK(operands[0].bytes == 64);
  CHECK(operands[2].bytes == 0);
  CHECK(operands[3].role == Role::Write);
}

TEST_CASE("other devices are refused by name") {
  std::vector<float> x(1), z(1), y(1);
  CHECK_THROWS_WITH_AS(launch("add", kernel::binary, sum_of(x, z, y), Device{DeviceType::CUDA, 1}),
                       doctest::Contains("add: cuda:1 cannot be used: "), StateError);
}

TEST_CASE("instruction sets") {
  const std::string before = cpu::table().isa;
  const auto isas = cpu::available_isas();
  CHECK(isas.back() == "reference");
  for (const std::string& isa : isas) {
    cpu::use_isa(isa);
    CHECK(cpu::table().isa == isa);
    std::vector<float> x{1, 2, 3}, z{10, 20, 30}, y(3);
    launch("add", kernel::binary, sum_of(x, z, y), {});
    CHECK(y == std::vector<float>{11, 22, 33});
  }
  CHECK_THROWS_WITH_AS(cpu::use_isa("mmx"), doctest::Contains("use_isa: expected one of "), ValueError);
  cpu::use_isa(before);
  CHECK(cpu::allowed_cores() >= 1);
}
