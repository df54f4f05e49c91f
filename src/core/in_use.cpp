#include "core/in_use.hpp"

#include <fmt/format.h>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::detail {

InUse::Scope::Scope(std::atomic<std::uint64_t>& by, std::string_view function, std::string_view state, std::string_view advice) : by_(by) {
  std::uint64_t found = 0;
  if (by.compare_exchange_strong(found, process_generation() + 1)) return;
  if (found == process_generation() + 1)
    throw ConfigurationError(
        fmt::format("{}: this {} already, in another thread or in the function that makes this call; {}", function, state, advice));
  throw ConfigurationError(fmt::format(
      "{}: this {} in the parent process, from which this process was forked meanwhile, so that it is incomplete here; make another one "
      "in this process",
      function, state));
}

InUse::Scope::~Scope() { by_.store(0); }

}  // namespace bayesflow::detail
