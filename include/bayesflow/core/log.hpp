/// The library never prints; it hands messages to a logger that the user passes in.
#pragma once

#include <functional>
#include <string_view>

namespace bayesflow {
/// How important a message is.
enum class LogLevel { info, warning };

/// Receives one line, without a newline. An empty function is silence.
using Logger = std::function<void(LogLevel, std::string_view)>;

/// Writes "INFO: ..." and "WARNING: ..." lines to standard error, for programs and examples.
[[nodiscard]] Logger stderr_logger();

}  // namespace bayesflow
