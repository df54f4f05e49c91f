#include "bayesflow/core/version.hpp"

#include <string_view>

#include "kernels/random.hpp"

#define BAYESFLOW_TEXT2(x) #x
#define BAYESFLOW_TEXT(x) BAYESFLOW_TEXT2(x)

namespace bayesflow {

const char* version() {
  return BAYESFLOW_TEXT(BAYESFLOW_VERSION_MAJOR) "." BAYESFLOW_TEXT(BAYESFLOW_VERSION_MINOR) "." BAYESFLOW_TEXT(BAYESFLOW_VERSION_PATCH);
}

const char* instruction_set() {
  // Highway's names -> those of the processors' makers.
  const char* const name = kernels::best_target();
  const std::string_view target = name;
  if (target == "AVX3") return "AVX-512";
  if (target == "AVX3_DL") return "AVX-512 (Ice Lake)";
  if (target == "AVX3_ZEN4") return "AVX-512 (Zen 4)";
  if (target == "AVX3_SPR") return "AVX-512 (Sapphire Rapids)";
  return name;
}

}  // namespace bayesflow
