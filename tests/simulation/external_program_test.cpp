#include "bayesflow/simulation/external_program.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <string>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/simulator.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

/// Expects an exception of this type whose sentence has `text` in it.
template <class E, class F>
void expect_error(F&& run, const std::string& text) {
  const std::string got = sentence<E>(run);
  EXPECT_NE(got.find(text), std::string::npos) << got;
}

/// A shell's loop over requests in CSV: $n is the number, $s the seed, $a and $b the parameters.
ExternalProgramOptions shell(const std::string& body) {
  return {.command = {"sh", "-c", "while IFS=, read -r n s count a b rest; do " + body + "; done"}, .format = ExternalFormat::csv};
}

const Array& thetas() {
  static const Array values = Rng(3).integers({9, 2}, 0, 100);
  return values;
}

TEST(ExternalProgram, GivesTheSameSimulationsForAnyNumberOfThreads) {
  const Rng streams(4, "test");
  const ExternalProgram program(shell("echo \"$n,$s,$a,$b\""));
  const Array expected = Simulator(program)(thetas(), streams, 100).sim_data;
  ASSERT_EQ(expected.shape(), (Shape{9, 3}));
  for (std::int64_t i = 0; i < 9; ++i) {
    EXPECT_EQ(expected(i, 0), static_cast<double>(streams.at(100 + static_cast<std::uint64_t>(i)).bits() >> 33));
    EXPECT_EQ(expected(i, 1), thetas()(i, 0));
    EXPECT_EQ(expected(i, 2), thetas()(i, 1));
  }
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    EXPECT_EQ(Simulator(program)(thetas(), streams, 100, &pool).sim_data, expected);
    EXPECT_EQ(program.simulate(thetas(), {}, streams, 100), expected);
  }
}

TEST(ExternalProgram, TakesShapesAndContexts) {
  ExternalProgramOptions options = shell("echo \"$n,$a,$b,$rest,4,5\"");
  options.shape = {2, 3};
  const Array out = ExternalProgram(options).simulate(thetas(), Array({9, 2}, 7.0), Rng(1));
  EXPECT_EQ(out.shape(), (Shape{9, 2, 3}));
  EXPECT_EQ(out.row(4), Array(Shape{2, 3}, std::vector<double>{thetas()(4, 0), thetas()(4, 1), 7, 7, 4, 5}));
}

TEST(ExternalProgram, EndsWithItsLastCopy) {
  std::vector<std::int64_t> processes;
  {
    const ExternalProgram program(shell("echo \"$n,1\""));
    EXPECT_EQ(Simulator(program)(thetas()).sim_data.dim(0), 9);
    processes = program.processes();
    ASSERT_FALSE(processes.empty());
    for (const std::int64_t pid : processes) EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0);
  }
  for (const std::int64_t pid : processes) EXPECT_NE(::kill(static_cast<pid_t>(pid), 0), 0) << "neither running nor a zombie";
}

TEST(ExternalProgram, FailuresNameTheSimulation) {
  ThreadPool pool(2);
  const auto run = [&](ExternalProgramOptions options) {
    return Simulator(ExternalProgram(std::move(options)))(thetas(), Rng(1), 0, &pool);
  };
  expect_error<SimulationError>([&] { (void)run(shell("[ $n = 5 ] && exit 3; echo \"$n,1\"")); },
                                "ended with exit status 3 before its answer, 3 times");
  expect_error<SimulationError>([&] { (void)run(shell("[ $n = 5 ] && { echo bad >&2; kill -9 $$; }; echo \"$n,1\"")); },
                                "ended by SIGKILL");
  expect_error<SimulationError>([&] { (void)run(shell("[ $n = 5 ] && echo hello; echo \"$n,1\"")); }, "simulation 5 with parameters");
  expect_error<SimulationError>([&] { (void)run(shell("echo \"$n,error,no convergence\"")); }, "reports: no convergence");
  auto slow = shell("[ $n = 5 ] && sleep 100; echo \"$n,1\"");
  slow.timeout_seconds = 0.3;
  const auto start = std::chrono::steady_clock::now();
  expect_error<SimulationError>([&] { (void)run(slow); }, "did not answer within 0.3 s");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  expect_error<Error>([&] { (void)run({.command = {"./no_such_program"}}); }, "cannot be started: No such file");
}

TEST(ExternalProgram, IsInterrupted) {
  const ExternalProgram program(shell("sleep 1000"));
  expect_error<ArgumentError>([&] { (void)program.simulate(thetas(), {}, Rng(1), 0, [] { throw ArgumentError("enough"); }); }, "enough");
  EXPECT_TRUE(program.processes().empty());
}

TEST(ExternalProgram, RefusesOptionsThatCannotWork) {
  expect_error<ConfigurationError>([&] { (void)ExternalProgram({}); }, "ExternalProgramOptions::command");
  expect_error<ConfigurationError>([&] { (void)ExternalProgram({.command = {"a"}, .workers = -1}); }, "workers must be 0 or more; got -1");
  expect_error<ConfigurationError>([&] { (void)ExternalProgram({.command = {"a"}, .timeout_seconds = 0}); },
                                   "timeout_seconds must be above 0");
  expect_error<ConfigurationError>([&] { (void)ExternalProgram({.command = {"a"}, .environment = {"NAME"}}); },
                                   "entries NAME=value; got \"NAME\"");
  expect_error<ConfigurationError>(
      [&] {
        (void)ExternalProgram({.command = {"a"}, .shape = {2, 0}});
      },
      "extents of 1 and more; got (2, 0)");
}

}  // namespace
}  // namespace bayesflow
