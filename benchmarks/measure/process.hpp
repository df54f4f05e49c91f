/// Runs a program and reads what it prints.
#pragma once

#include <string>
#include <vector>

namespace bench {

struct ProcessResult {
  std::string output;     ///< standard output
  double start_time = 0;  ///< seconds of bench::now() just before the process was made
};
/// Throws std::runtime_error unless it exits with 0.
[[nodiscard]] ProcessResult run_process(const std::vector<std::string>& command);

}  // namespace bench
