// What this processor can do, and which table of kernels was chosen for it.
#pragma once

#include <string>
#include <vector>

namespace dnncore::cpu {

struct Features {
  std::string model;  // "AMD EPYC ..."
  int family = 0;
  int model_number = 0;
  bool avx2 = false;    // with FMA, F16C, BMI2 and the operating system's consent
  bool avx512 = false;  // F, BW, DQ, VL, CD
  bool avx512bf16 = false;
  bool neon = false;
  int64_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;
};
const Features& features();

int allowed_cores();  // affinity mask and cgroup quota, at least 1

}  // namespace dnncore::cpu
