// A pool that the system cannot start says so, instead of ending the program. (Sanitizers reserve more memory than a limit leaves.)
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <regex>
#include <string>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/thread_pool.hpp"

namespace bayesflow {
namespace {

[[noreturn]] void ask_for_too_many() {
  rlimit limit{};  // bytes of address space: some hundred stacks
  limit.rlim_cur = limit.rlim_max = std::size_t{1} << 30;
  setrlimit(RLIMIT_AS, &limit);
  try {
    const ThreadPool pool(100'000);
  } catch (const ConfigurationError& error) {
    const std::regex sentence(
        R"(ThreadPool: the system started only \d+ of 100000 threads \(.*\); ask for fewer, or for 0, which takes as many as the machine has)");
    const ThreadPool small(2);  // the others are gone
    std::exit(std::regex_match(error.what(), sentence) ? 7 : 1);
  }
  std::exit(2);
}

TEST(ThreadLimit, IsAnErrorWithASentence) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ask_for_too_many(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace bayesflow

#endif
