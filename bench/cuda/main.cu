// dnncore_bench_cuda --module _cuda.so [--only gemm|conv|memory] [--seconds N] [--json FILE]: the CUDA kernels against this run's ceilings
// and, where their libraries are found at run time, cuBLAS and cuDNN.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "device.h"

int main(int count, char** words) {
  using namespace dnncore::bench;
  std::map<std::string, std::string> options = {{"--module", ""}, {"--only", ""}, {"--seconds", ""}, {"--json", ""}};
  for (int i = 1; i < count; i += 2) {
    if (!options.contains(words[i]) || i + 1 == count) {
      std::fprintf(stderr, "dnncore_bench_cuda: '%s' is no option with a value; there are --module, --only, --seconds, --json\n", words[i]);
      return 2;
    }
    options[words[i]] = words[i + 1];
  }
  const std::map<std::string, void (*)()> families = {{"gemm", gemm_rows}, {"conv", conv_rows}, {"memory", memory_rows}};
  const std::string& only = options["--only"];
  if (!only.empty() && !families.contains(only)) {
    std::fprintf(stderr, "dnncore_bench_cuda: no family '%s'; there are gemm, conv, memory\n", only.c_str());
    return 2;
  }
  try {
    load_module(options["--module"]);
    if (!options["--seconds"].empty()) set_seconds(std::stod(options["--seconds"]));
    ceilings();
    for (const auto& [name, rows] : families)
      if (only.empty() || only == name) rows();
    if (time_is_up()) std::printf("the time was up before the last row\n");
    if (!options["--json"].empty()) write_json(options["--json"]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dnncore_bench_cuda: %s\n", error.what());
    return 1;
  }
}
