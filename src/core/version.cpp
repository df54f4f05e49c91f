#include "bayesflow/core/version.hpp"

#include "kernels/random.hpp"

#define BAYESFLOW_TEXT2(x) #x
#define BAYESFLOW_TEXT(x) BAYESFLOW_TEXT2(x)

namespace bayesflow {

const char* version() {
  return BAYESFLOW_TEXT(BAYESFLOW_VERSION_MAJOR) "." BAYESFLOW_TEXT(BAYESFLOW_VERSION_MINOR) "." BAYESFLOW_TEXT(BAYESFLOW_VERSION_PATCH);
}

const char* instruction_set() { return kernels::best_target(); }

}  // namespace bayesflow
