#include <doctest/doctest.h>

#include "core/shape.h"

using namespace dnncore;

TEST_CASE("shapes print as Python writes tuples") {
  CHECK(to_string({}) == "()");
  CHECK(to_string({5}) == "(5,)");
  CHECK(to_string({2, 3}) == "(2, 3)");
}

TEST_CASE("checked_numel refuses what does not fit") {
  CHECK(checked_numel("empty", {}) == 1);
  CHECK(checked_numel("empty", {2, 0, 3}, 4) == 0);
  CHECK(checked_numel("empty", {int64_t{1} << 60}, 4) == int64_t{1} << 60);
  CHECK_THROWS_AS(checked_numel("empty", {int64_t{1} << 62}, 4), ValueError);
  CHECK_THROWS_AS(checked_numel("empty", {0, int64_t{1} << 40, int64_t{1} << 40}), ValueError);
  CHECK_THROWS_WITH_AS(checked_numel("empty", {2, -1}), "empty: expected sizes of at least 0, got shape (2, -1)", ValueError);
}

TEST_CASE("strides") {
  CHECK(contiguous_strides({2, 3, 4}) == Strides{12, 4, 1});
  CHECK(contiguous_strides({2, 0, 4}) == Strides{4, 4, 1});
  CHECK(extent({2, 3}, {10, 2}) == 15);
  CHECK(extent({2, 0}, {10, 2}) == 0);
}

TEST_CASE("broadcasting") {
  CHECK(broadcast_shapes("add", {3, 1}, {2, 1, 4}) == Shape{2, 3, 4});
  CHECK(broadcast_shapes("add", {0}, {1}) == Shape{0});
  CHECK(broadcast_shapes("add", {}, {2}) == Shape{2});
  CHECK_THROWS_WITH_AS(broadcast_shapes("add", {2, 3}, {4}), "add: shapes (2, 3) and (4,) cannot be broadcast together", ValueError);
  CHECK(broadcast_strides({3, 1}, {1, 1}, {2, 3, 4}) == Strides{0, 1, 0});
}

TEST_CASE("wrap_dim") {
  CHECK(wrap_dim("sum", -1, 3) == 2);
  CHECK(wrap_dim("sum", 0, 0) == 0);
  CHECK_THROWS_WITH_AS(wrap_dim("sum", 3, 3), "sum: expected a dimension from -3 to 2, got 3", IndexError);
  CHECK_THROWS_AS(wrap_dim("sum", INT64_MIN, 3), IndexError);
}

TEST_CASE("coalesce joins what every operand steps through alike") {
  const auto joined = [](Shape shape, Strides a, Strides b) {
    Strides* both[] = {&a, &b};
    coalesce(shape, both, 2);
    return concat(shape, " ", a, " ", b);
  };
  CHECK(joined({2, 3, 4}, {12, 4, 1}, {12, 4, 1}) == "(24,) (1,) (1,)");
  CHECK(joined({2, 3, 4}, {12, 4, 1}, {4, 0, 1}) == "(2, 3, 4) (12, 4, 1) (4, 0, 1)");
  CHECK(joined({2, 1, 4}, {4, 99, 1}, {4, 7, 1}) == "(8,) (1,) (1,)");
  CHECK(joined({2, 3, 4}, {0, 0, 0}, {12, 4, 1}) == "(24,) (0,) (1,)");
  CHECK(joined({1, 1}, {0, 5}, {3, 3}) == "(1,) (1,) (1,)");
  CHECK(joined({}, {}, {}) == "(1,) (1,) (1,)");
}

TEST_CASE("coalesce follows the order in which the first operand lies in memory") {
  const auto joined = [](Shape shape, Strides a, Strides b) {
    Strides* both[] = {&a, &b};
    coalesce(shape, both, 2);
    return concat(shape, " ", a, " ", b);
  };
  CHECK(joined({2, 3, 4, 5}, {60, 1, 15, 3}, {60, 1, 15, 3}) == "(120,) (1,) (1,)");
  CHECK(joined({2, 3, 4, 5}, {60, 1, 15, 3}, {60, 20, 5, 1}) == "(2, 20, 3) (60, 3, 1) (60, 1, 20)");
  CHECK(joined({2, 1, 4, 5}, {20, 1, 5, 1}, {20, 9, 5, 1}) == "(40,) (1,) (1,)");
  CHECK(joined({5, 1, 4}, {1, 3, 5}, {0, 0, 1}) == "(4, 5) (5, 1) (1, 0)");
}

TEST_CASE("dense strides follow the operands") {
  const auto dense = [](const Shape& shape, std::initializer_list<Strides> operands) {
    return concat(dense_strides(shape, operands.begin(), static_cast<int>(operands.size())));
  };
  CHECK(dense({2, 3, 4, 5}, {{60, 1, 15, 3}}) == "(60, 1, 15, 3)");
  CHECK(dense({2, 3, 4, 5}, {{120, 1, 30, 6}}) == "(60, 1, 15, 3)");                 // a slice of the channels
  CHECK(dense({2, 3, 4, 5}, {{0, 1, 0, 0}, {60, 20, 5, 1}}) == "(60, 20, 5, 1)");    // repeated: the next one tells
  CHECK(dense({2, 3, 4, 5}, {{60, 1, 15, 3}, {60, 20, 5, 1}}) == "(60, 1, 15, 3)");  // the first one tells
  CHECK(dense({2, 0, 4}, {{0, 0, 1}}) == "(4, 4, 1)");
  CHECK(dense({}, {{}}) == "()");
}
