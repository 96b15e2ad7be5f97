#include "core/cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <string>

#include "core/check.h"

namespace dnncore::cgroup {
namespace {

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Calls visit(folder) for the group this process is in and every group above it; a limit of any of them holds.
// `controller` "" means version 2. Inside a container the path may not exist below the mount: the root is visited in any case.
void for_each_folder(const std::string& controller, const std::function<void(const std::string&)>& visit) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:cpu,cpuacct:/path", version 2: "0::/path"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = concat(',', line.substr(first + 1, second - first - 1), ',');
    if (names.find(concat(',', controller, ',')) == std::string::npos) continue;
    const std::string mount = concat("/sys/fs/cgroup", controller.empty() ? "" : "/", controller);
    std::string path = line.substr(second + 1);
    for (size_t slash = path.rfind('/'); path.size() > 1 && slash != std::string::npos; slash = path.rfind('/')) {
      visit(mount + path);
      path.resize(slash);
    }
    visit(mount);
  }
}

}  // namespace

double cpu_quota() {
  double cores = std::numeric_limits<double>::infinity();
  const auto limit = [&](double quota, double period) {
    if (quota > 0 && period > 0) cores = std::min(cores, quota / period);
  };
  for_each_folder("", [&](const std::string& folder) {
    std::istringstream line(read_line(folder + "/cpu.max"));  // "max 100000" or "150000 100000"
    double quota = 0, period = 0;
    if (line >> quota >> period) limit(quota, period);
  });
  for_each_folder("cpu", [&](const std::string& folder) {
    limit(std::atof(read_line(folder + "/cpu.cfs_quota_us").c_str()), std::atof(read_line(folder + "/cpu.cfs_period_us").c_str()));
  });
  return cores;
}

int64_t memory_limit() {
  int64_t bytes = std::numeric_limits<int64_t>::max();
  const auto limit = [&](const std::string& file) {
    const long long value = std::atoll(read_line(file).c_str());  // "max" reads as 0
    if (value > 0) bytes = std::min<int64_t>(bytes, value);
  };
  for_each_folder("", [&](const std::string& folder) { limit(folder + "/memory.max"); });
  for_each_folder("memory", [&](const std::string& folder) { limit(folder + "/memory.limit_in_bytes"); });
  return bytes;
}

}  // namespace dnncore::cgroup
