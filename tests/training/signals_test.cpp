// Ctrl-C and SIGTERM while several trainings are going on: in threads that overlap, and within each other.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

using Stop = TrainingSummary::Stop;

volatile std::sig_atomic_t own_calls = 0;
void own_handler(int) { own_calls = own_calls + 1; }

/// The program's own handler for both signals; at the end it must be the one that is called.
class OwnHandlers {
 public:
  OwnHandlers() {
    own_calls = 0;
    former_int_ = std::signal(SIGINT, own_handler);
    former_term_ = std::signal(SIGTERM, own_handler);
  }
  ~OwnHandlers() {
    std::signal(SIGINT, former_int_);
    std::signal(SIGTERM, former_term_);
  }
  OwnHandlers(const OwnHandlers&) = delete;
  OwnHandlers& operator=(const OwnHandlers&) = delete;
  static void expect_back() {
    const int before = own_calls;
    std::raise(SIGINT);
    EXPECT_EQ(own_calls, before + 1) << "SIGINT does not reach the program's handler";
    std::raise(SIGTERM);
    EXPECT_EQ(own_calls, before + 2) << "SIGTERM does not reach the program's handler";
  }

 private:
  void (*former_int_)(int);
  void (*former_term_)(int);
};

constexpr OnlineOptions endless() { return {.epochs = 1, .iterations_per_epoch = 100'000'000, .batch_size = 2}; }

/// A training in a thread of its own, until something ends it.
class Background {
 public:
  Background() : thread_([this] { run(); }) {
    while (steps.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ~Background() { join(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  Stop join() {
    if (thread_.joinable()) thread_.join();
    return stop_;
  }
  std::atomic<std::int64_t> steps{0};
  std::atomic<bool> end{false};

 private:
  void run() {
    Trainer trainer(tiny_posterior(1), gaussian_model(1, 2, {.skip_test = true}), {.threads = 1, .progress = [this](const Progress&) {
                                                                                     steps.fetch_add(1);
                                                                                     return end.load() ? Control::stop : Control::proceed;
                                                                                   }});
    stop_ = trainer.train_online(endless()).stop;
  }
  Stop stop_ = Stop::completed;
  std::thread thread_;
};

TEST(Signals, AfterTwoTrainingsThatOverlappedTheHandlersAreBack) {
  const OwnHandlers handlers;
  auto first = std::make_unique<Background>();
  auto second = std::make_unique<Background>();
  first->end = true;
  EXPECT_EQ(first->join(), Stop::stopped_by_callback);
  second->end = true;
  EXPECT_EQ(second->join(), Stop::stopped_by_callback);
  handlers.expect_back();
}

TEST(Signals, ReachTheTrainingThatIsLeftAfterAnotherHasEnded) {
  const OwnHandlers handlers;
  auto first = std::make_unique<Background>();
  auto second = std::make_unique<Background>();
  first->end = true;
  first->join();
  std::raise(SIGINT);
  EXPECT_EQ(second->join(), Stop::interrupted);
  EXPECT_EQ(own_calls, 0);
  handlers.expect_back();
}

TEST(Signals, EndAllTrainingsThatAreGoingOnAndNoneThatComeLater) {
  const OwnHandlers handlers;
  auto first = std::make_unique<Background>();
  auto second = std::make_unique<Background>();
  std::raise(SIGTERM);
  EXPECT_EQ(first->join(), Stop::interrupted);
  EXPECT_EQ(second->join(), Stop::interrupted);
  auto later = std::make_unique<Background>();
  const std::int64_t seen = later->steps;
  while (later->steps < seen + 20) std::this_thread::yield();
  later->end = true;
  EXPECT_EQ(later->join(), Stop::stopped_by_callback);
  EXPECT_EQ(own_calls, 0);
  handlers.expect_back();
}

/// An outer training whose callback does `between` and then trains another one, whose callback does `within` after its first step.
struct Nested {
  Stop inner = Stop::completed, outer = Stop::completed;
  std::size_t inner_steps = 0, outer_steps = 0;
};
Nested nested(const std::function<void()>& between, const std::function<void()>& within) {
  Nested out;
  Trainer inner(tiny_posterior(1), gaussian_model(1, 2), {.progress = [&](const Progress& p) {
                  if (p.iteration == 1 && !p.epoch_done) within();
                  return Control::proceed;
                }});
  Trainer outer(tiny_posterior(1), gaussian_model(1, 2), {.progress = [&](const Progress& p) {
                  if (p.iteration == 2 && !p.epoch_done) {
                    between();
                    const TrainingSummary run = inner.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 2});
                    out.inner = run.stop;
                    out.inner_steps = run.history.steps.size();
                  }
                  return Control::proceed;
                }});
  const TrainingSummary run = outer.train_online({.epochs = 1, .iterations_per_epoch = 6, .batch_size = 2});
  out.outer = run.stop;
  out.outer_steps = run.history.steps.size();
  return out;
}

TEST(Signals, ThatArePendingWhenAnInnerTrainingBeginsEndBoth) {
  const OwnHandlers handlers;
  const Nested run = nested([] { std::raise(SIGINT); }, [] {});
  EXPECT_EQ(run.inner, Stop::interrupted);
  EXPECT_EQ(run.inner_steps, 1U);
  EXPECT_EQ(run.outer, Stop::interrupted);
  EXPECT_EQ(run.outer_steps, 2U);
  EXPECT_EQ(own_calls, 0);
  handlers.expect_back();
}

TEST(Signals, WithinAnInnerTrainingEndTheOuterOneToo) {
  const OwnHandlers handlers;
  const Nested run = nested([] {}, [] { std::raise(SIGINT); });
  EXPECT_EQ(run.inner, Stop::interrupted);
  EXPECT_EQ(run.inner_steps, 1U);
  EXPECT_EQ(run.outer, Stop::interrupted);
  EXPECT_EQ(run.outer_steps, 2U);
  handlers.expect_back();
}

TEST(Signals, NestedTrainingsThatNobodyInterruptsGoOn) {
  const OwnHandlers handlers;
  const Nested run = nested([] {}, [] {});
  EXPECT_EQ(run.inner, Stop::completed);
  EXPECT_EQ(run.outer, Stop::completed);
  EXPECT_EQ(run.outer_steps, 6U);
  handlers.expect_back();
}

TEST(SignalsDeathTest, TheSecondOneEndsANestedTrainingToo) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        std::signal(SIGINT, SIG_DFL);
        (void)nested([] { std::raise(SIGINT); }, [] { std::raise(SIGINT); });
        std::_Exit(0);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

TEST(Signals, ASecondOneReachesTheProgramsHandler) {
  const OwnHandlers handlers;
  Trainer trainer(tiny_posterior(1), gaussian_model(1, 2), {.progress = [](const Progress&) {
                    std::raise(SIGINT);
                    std::raise(SIGINT);
                    std::raise(SIGINT);
                    return Control::proceed;
                  }});
  EXPECT_EQ(trainer.train_online(endless()).stop, Stop::interrupted);
  EXPECT_GE(own_calls, 2);
  handlers.expect_back();
}

TEST(Signals, AHandlerThatTheProgramSetsMeanwhileStays) {
  const OwnHandlers handlers;
  std::signal(SIGINT, SIG_DFL);
  Trainer trainer(tiny_posterior(1), gaussian_model(1, 2), {.progress = [](const Progress&) {
                    std::signal(SIGINT, own_handler);
                    return Control::proceed;
                  }});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 1, .batch_size = 2});
  handlers.expect_back();
}

TEST(Signals, ThatAreIgnoredStayIgnored) {
  const OwnHandlers handlers;
  std::signal(SIGINT, SIG_IGN);
  Trainer trainer(tiny_posterior(1), gaussian_model(1, 2), {.progress = [](const Progress& p) {
                    if (p.iteration == 1) std::raise(SIGINT);
                    return Control::proceed;
                  }});
  EXPECT_EQ(trainer.train_online({.epochs = 1, .iterations_per_epoch = 3, .batch_size = 2}).stop, Stop::completed);
  EXPECT_EQ(std::signal(SIGINT, own_handler), SIG_IGN);
}

TEST(Signals, TwentyOverlappingTrainingsEndAndThenOthersDo) {
  const OwnHandlers handlers;
  for (const int signal : {SIGINT, SIGTERM, SIGINT}) {
    std::vector<std::unique_ptr<Background>> trainings;
    for (int i = 0; i < 20; ++i) trainings.push_back(std::make_unique<Background>());
    // Some end by themselves first, in another order than they began.
    for (const std::size_t i : {17U, 0U, 9U, 1U}) {
      trainings[i]->end = true;
      EXPECT_EQ(trainings[i]->join(), Stop::stopped_by_callback);
    }
    kill(getpid(), signal);
    int interrupted = 0;
    for (auto& training : trainings) interrupted += training->join() == Stop::interrupted;
    EXPECT_EQ(interrupted, 16);
    EXPECT_EQ(own_calls, 0);
  }
  handlers.expect_back();
}

TEST(Signals, AForkedChildIsNotAskedToEndTrainingsOfItsParent) {
  if (!support::kForks) GTEST_SKIP();
  const OwnHandlers handlers;
  Background training;
  const pid_t child = fork();
  if (child == 0) {
    own_calls = 0;
    std::raise(SIGINT);
    _exit(own_calls == 1 ? 7 : 8);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  training.end = true;
  EXPECT_EQ(training.join(), Stop::stopped_by_callback);
}

}  // namespace
}  // namespace bayesflow
