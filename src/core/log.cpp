#include "bayesflow/core/log.hpp"

#include <cstdio>

namespace bayesflow {

Logger stderr_logger() {
  return [](LogLevel level, std::string_view text) {
    std::fprintf(stderr, "%s: %.*s\n", level == LogLevel::info ? "INFO" : "WARNING", static_cast<int>(text.size()), text.data());
  };
}

}  // namespace bayesflow
