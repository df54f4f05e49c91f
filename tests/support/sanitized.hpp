/// Sanitizers make programs ten times slower. Tests that repeat the same code for the sake of statistics do so less often in their builds.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace bayesflow::support {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/// All of the cases, or the first alone.
inline std::vector<std::int64_t> cases(std::initializer_list<std::int64_t> all) { return kSanitized ? std::vector{*all.begin()} : all; }
/// Repetitions: a tenth of them in a sanitizer's build.
constexpr std::int64_t repetitions(std::int64_t usual) { return kSanitized ? usual / 10 : usual; }

}  // namespace bayesflow::support

/// For tests that train for thousands of steps to compare with an exact answer: minutes in a sanitizer's build, by the code that other
/// tests run for a few steps.
#define SKIP_TRAINING_TO_TRUTH_IF_SANITIZED() \
  if (::bayesflow::support::kSanitized) GTEST_SKIP() << "minutes of training, by the code that other tests run for a few steps"
