/// Runs another program.
#pragma once

#include <string>
#include <vector>

namespace bayesflow::figures {

struct ProcessResult {
  bool started = false;
  int exit_code = 0;       ///< of the program; 128 + signal if a signal ended it
  std::string out, error;  ///< what it wrote, or why it did not start
};

/// Runs `program` (a path, or a name looked up in PATH) without a shell, with `input` as its standard input, until it ends.
/// Input and outputs are files without names, so that neither side can block the other and no path needs quoting.
[[nodiscard]] ProcessResult run_program(const std::string& program, const std::vector<std::string>& arguments, const std::string& input);

}  // namespace bayesflow::figures
