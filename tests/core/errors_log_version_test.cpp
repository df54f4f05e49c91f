#include <gtest/gtest.h>

#include <string>
#include <type_traits>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/core/version.hpp"

namespace bayesflow {
namespace {

template <class E>
void expect_error() {
  static_assert(std::is_base_of_v<Error, E> && std::is_base_of_v<std::runtime_error, E>);
  try {
    throw E("what was required; what was got");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "what was required; what was got");
  }
}

TEST(Errors, AllAreCaughtAsTheLibrarysError) {
  expect_error<ConfigurationError>();
  expect_error<ShapeError>();
  expect_error<SimulationError>();
  expect_error<SummaryStatsError>();
  expect_error<ArgumentError>();
  expect_error<IoError>();
}

TEST(Errors, TypesAreApart) {
  static_assert(!std::is_base_of_v<ConfigurationError, ShapeError> && !std::is_base_of_v<ShapeError, ArgumentError>);
  static_assert(!std::is_base_of_v<ArgumentError, SimulationError> && !std::is_base_of_v<IoError, SummaryStatsError>);
}

TEST(Log, StderrLoggerWritesOneLineWithItsLevel) {
  const Logger logger = stderr_logger();
  testing::internal::CaptureStderr();
  logger(LogLevel::info, "Performing 2 pilot runs");
  logger(LogLevel::warning, std::string_view("only this part is the text", 9));
  logger(LogLevel::info, "100% of {} %s");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "INFO: Performing 2 pilot runs\nWARNING: only this\nINFO: 100% of {} %s\n");
}

TEST(Version, IsMadeOfTheHeadersNumbers) {
  EXPECT_EQ(std::string(version()), std::to_string(BAYESFLOW_VERSION_MAJOR) + "." + std::to_string(BAYESFLOW_VERSION_MINOR) + "." +
                                        std::to_string(BAYESFLOW_VERSION_PATCH));
  EXPECT_FALSE(std::string(instruction_set()).empty());
}

}  // namespace
}  // namespace bayesflow
