#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/launch.h"
#include "kernels/philox.h"
#include "kernels/random.h"

using namespace dnncore;

namespace {

template <class T>
std::vector<T> draw(RandomArgs args, int64_t n, GeneratorState state = {42, 0}) {
  std::vector<std::conditional_t<std::is_same_v<T, bool>, char, T>> y(static_cast<size_t>(n));
  args.state = &state;
  args.y = y.data();
  args.n = n;
  args.dtype = dtype_of<T>::value;
  launch("random", kernel::random, args, {});
  return {y.begin(), y.end()};
}

RandomArgs args_of(RandomOp op, double a = 0, double b = 1) {
  RandomArgs args;
  args.op = op;
  args.a = a;
  args.b = b;
  return args;
}

struct Moments {
  double mean = 0, variance = 0, skew = 0, kurtosis = 0;
};
template <class T>
Moments moments(const std::vector<T>& y) {
  Moments m;
  const auto n = static_cast<double>(y.size());
  for (T x : y) m.mean += x / n;
  for (T x : y) m.variance += (x - m.mean) * (x - m.mean) / n;
  for (T x : y) m.skew += std::pow((x - m.mean) / std::sqrt(m.variance), 3) / n;
  for (T x : y) m.kurtosis += std::pow((x - m.mean) / std::sqrt(m.variance), 4) / n;
  return m;
}

}  // namespace

TEST_CASE("Philox gives the published numbers") {  // kat_vectors of Random123
  uint32_t words[4][3] = {{0, ~0u, 0x243f6a88}, {0, ~0u, 0x85a308d3}, {0, ~0u, 0x13198a2e}, {0, ~0u, 0x03707344}};
  const uint32_t keys[3][2] = {{0, 0}, {~0u, ~0u}, {0xa4093822, 0x299f31d0}};
  const uint32_t expected[3][4] = {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                   {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                   {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (int i = 0; i < 3; ++i) {
    uint32_t one[4][1] = {{words[0][i]}, {words[1][i]}, {words[2][i]}, {words[3][i]}};
    baseline::philox_4x32_10(one, keys[i][0], keys[i][1]);
    for (int w = 0; w < 4; ++w) CHECK(one[w][0] == expected[i][w]);
  }
}

TEST_CASE("uniform is 24 bits of the words in order") {
  const auto y = draw<float>(args_of(RandomOp::uniform), 4, {0, 0});
  CHECK(y ==
        std::vector<float>{float(0x6627e8) * 0x1p-24f, float(0xe169c5) * 0x1p-24f, float(0xbc57ac) * 0x1p-24f, float(0x9b00db) * 0x1p-24f});
  const auto wide = draw<double>(args_of(RandomOp::uniform), 1, {0, 0});
  CHECK(wide[0] == static_cast<double>(0xe169c58d6627e8d5ull >> 11) * 0x1p-53);
}

TEST_CASE("moments") {
  constexpr int64_t n = 400'000;
  const Moments u = moments(draw<float>(args_of(RandomOp::uniform, -1, 3), n));
  CHECK(u.mean == doctest::Approx(1).epsilon(0.01));
  CHECK(u.variance == doctest::Approx(16.0 / 12).epsilon(0.01));
  const auto check_normal = [](const Moments& z) {
    CHECK(z.mean == doctest::Approx(2).epsilon(0.01));
    CHECK(z.variance == doctest::Approx(9).epsilon(0.02));
    CHECK(std::fabs(z.skew) < 0.03);
    CHECK(z.kurtosis == doctest::Approx(3).epsilon(0.02));
  };
  check_normal(moments(draw<float>(args_of(RandomOp::normal, 2, 3), n)));
  check_normal(moments(draw<double>(args_of(RandomOp::normal, 2, 3), n)));
  CHECK(moments(draw<float>(args_of(RandomOp::bernoulli, 0.3), n)).mean == doctest::Approx(0.3).epsilon(0.01));
}

TEST_CASE("normal variates agree with libm's Box-Muller") {
  GeneratorState state{7, 0};
  const auto z = draw<double>(args_of(RandomOp::normal), 2000, state);
  const auto u = draw<double>(args_of(RandomOp::uniform), 2000, state);
  for (size_t i = 0; i < z.size(); i += 2) {
    const double r = std::sqrt(-2 * std::log(u[i] + 0x1p-53)), angle = 2 * 3.14159265358979323846 * u[i + 1];
    CHECK(z[i] == doctest::Approx(r * std::cos(angle)).epsilon(1e-13).scale(10));
    CHECK(z[i + 1] == doctest::Approx(r * std::sin(angle)).epsilon(1e-13).scale(10));
  }
}

TEST_CASE("bounds are kept in every dtype") {
  const auto inside = [](auto tag, double low, double high) {
    for (auto x : draw<decltype(tag)>(args_of(RandomOp::uniform, low, high), 100'000)) {
      double value = 0;
      if constexpr (std::is_floating_point_v<decltype(tag)>)
        value = x;
      else
        value = to_float(x);
      if (value < low || value >= high) return false;
    }
    return true;
  };
  for (auto [low, high] : {std::pair{0.0, 1.0}, std::pair{0.9990234375, 1.0}, std::pair{-8.0, -7.0}}) {
    CHECK(inside(float{}, low, high));
    CHECK(inside(double{}, low, high));
    CHECK(inside(float16{}, low, high));
  }
  CHECK(inside(bfloat16{}, 0, 1));
  RandomArgs integers = args_of(RandomOp::integer);
  integers.low = -3;
  integers.high = 4;
  std::vector<int> seen(7);
  for (int64_t x : draw<int64_t>(integers, 7000)) ++seen.at(static_cast<size_t>(x + 3));
  CHECK(*std::min_element(seen.begin(), seen.end()) > 800);
  CHECK(draw<int32_t>(integers, 50) == [&] {
    const auto wide = draw<int64_t>(integers, 50);
    return std::vector<int32_t>(wide.begin(), wide.end());
  }());
}

TEST_CASE("permutation holds every number once") {
  for (int64_t n : {0, 1, 2, 63, 64, 65, 1000}) {
    auto y = draw<int64_t>(args_of(RandomOp::permutation), n);
    if (n == 1000) CHECK_FALSE(std::is_sorted(y.begin(), y.end()));
    std::sort(y.begin(), y.end());
    std::vector<int64_t> expected(static_cast<size_t>(n));
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(y == expected);
  }
}

TEST_CASE("a launch moves the generator past what it used, and the next one continues there") {
  GeneratorState state{3, 10};
  std::vector<float> both(40), parts(40);
  RandomArgs args = args_of(RandomOp::uniform);
  args.state = &state;
  args.y = both.data();
  args.n = 40;
  launch("random", kernel::random, args, {});
  CHECK(state.offset == 20);
  state.offset = 10;
  args.n = 20;
  args.y = parts.data();
  launch("random", kernel::random, args, {});
  args.y = parts.data() + 20;
  launch("random", kernel::random, args, {});
  CHECK(both == parts);
  args.n = 3;
  launch("random", kernel::random, args, {});
  CHECK(state.offset == 21);
}

TEST_CASE("the bits of normal variates are the same on every machine") {
  const auto z = draw<float>(args_of(RandomOp::normal), 4, {0, 0});
  const uint32_t expected[] = {0x3f7dbb33, 0xbf6cb6b0, 0xbf1e1b9f, 0xbef6d1b2};
  CHECK(std::memcmp(z.data(), expected, sizeof(expected)) == 0);
}
