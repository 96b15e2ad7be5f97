// Rows of a table w (rows, columns), found by id and summed in bags, all dense:  y[b] = sum of a(i) w[id(i)] over the ids i of bag b, with
// factors a(i), null: 1. Linear in w and in a: the first three kernels below are each other's derivatives. The order of every sum is that
// of i. An id that is no row counts nowhere, as the one that is skipped.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/operand.h"

namespace dnncore {

enum class BagMode : uint8_t { Sum, Mean, Max };  // Mean: the sum divided by the number of ids that count; a bag without any is 0

struct BagShape {
  int64_t ids = 0, bags = 0;
  int64_t rows = 0, columns = 0;  // of the table, rows below 2^31
  int64_t per_bag = 1;            // ids of every bag, where `starts` is null
  int64_t skipped = -1;           // the id that counts nowhere
  BagMode mode = BagMode::Sum;
  DType dtype = DType::Float32;  // Float32 or Float64

  constexpr bool counts(int64_t id) const { return static_cast<uint64_t>(id) < static_cast<uint64_t>(rows) && id != skipped; }
  // Bag b holds ids [begin, end): from starts[b], which never falls, to the next one's or the end.
  constexpr int64_t begin(const int64_t* starts, int64_t b) const { return starts == nullptr ? b * per_bag : starts[b]; }
  constexpr int64_t end(const int64_t* starts, int64_t b) const {
    return starts == nullptr ? (b + 1) * per_bag : b + 1 < bags ? starts[b + 1] : ids;
  }

  int64_t size() const { return static_cast<int64_t>(itemsize(dtype)); }
  int64_t table_bytes() const { return rows * columns * size(); }
  int64_t y_bytes() const { return bags * columns * size(); }
};

// Max: the largest element of the rows of a bag, the first one of equal ones; `best` gets its id, -1 of a bag without ids that count.
struct EmbeddingArgs {
  const void* weight = nullptr;
  const int64_t* ids = nullptr;
  const int64_t* starts = nullptr;
  const void* factors = nullptr;  // Sum only
  void* y = nullptr;
  int64_t* best = nullptr;  // (bags, columns), with Max
  BagShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 6> operands() const {
    return {operand(this, &weight, Role::Read, shape.table_bytes()),
            operand(this, &ids, Role::Read, shape.ids * 8),
            operand(this, &starts, Role::Read, shape.bags * 8),
            operand(this, &factors, Role::Read, shape.ids * shape.size()),
            operand(this, &y, Role::Write, shape.bags * shape.columns * shape.size()),
            operand(this, &best, Role::Write, shape.bags * shape.columns * 8)};
  }
};

// dweight[v] = sum of a(i) dy[bag(i)] over the ids i equal to v, 1 / the counted ids of the bag for a(i) with Mean; every row is written
// once.
struct EmbeddingBackwardArgs {
  const void* dy = nullptr;
  const int64_t* ids = nullptr;
  const int64_t* starts = nullptr;
  const void* factors = nullptr;
  void* dweight = nullptr;
  void* workspace = nullptr;
  BagShape shape;
  bool by_frequency = false;  // each row divided by the number of its ids
  int64_t workspace_bytes = 0;

  bool in_place() const { return false; }
  std::array<Operand, 6> operands() const {
    return {operand(this, &dy, Role::Read, shape.y_bytes()),           operand(this, &ids, Role::Read, shape.ids * 8),
            operand(this, &starts, Role::Read, shape.bags * 8),        operand(this, &factors, Role::Read, shape.ids * shape.size()),
            operand(this, &dweight, Role::Write, shape.table_bytes()), operand(this, &workspace, Role::Scratch, workspace_bytes)};
  }
};

// dfactors[i] = w[id(i)] . dy[bag(i)], 0 for ids that do not count.
struct EmbeddingBackwardFactorsArgs {
  const void* weight = nullptr;
  const void* dy = nullptr;
  const int64_t* ids = nullptr;
  const int64_t* starts = nullptr;
  void* dfactors = nullptr;
  BagShape shape;

  bool in_place() const { return false; }
  std::array<Operand, 5> operands() const {
    return {operand(this, &weight, Role::Read, shape.table_bytes()), operand(this, &dy, Role::Read, shape.y_bytes()),
            operand(this, &ids, Role::Read, shape.ids * 8), operand(this, &starts, Role::Read, shape.bags * 8),
            operand(this, &dfactors, Role::Write, shape.ids * shape.size())};
  }
};

}  // namespace dnncore
