/// Version of the library; CMake reads it from here.
#pragma once

#define BAYESFLOW_VERSION_MAJOR 0
#define BAYESFLOW_VERSION_MINOR 1
#define BAYESFLOW_VERSION_PATCH 0

namespace bayesflow {

/// "0.1.0"
[[nodiscard]] const char* version();

/// The instruction set the kernels run with on this machine: "AVX-512", "AVX2", "SSE2", ...
[[nodiscard]] const char* instruction_set();

}  // namespace bayesflow
