// Limits that containers and batch systems set on this process (Linux control groups, version 1 and 2).
#pragma once

#include <cstdint>

namespace dnncore::cgroup {

double cpu_quota();      // cores, or infinity
int64_t memory_limit();  // bytes, or INT64_MAX

}  // namespace dnncore::cgroup
