// Objects that serve one caller at a time: used twice at once, from threads, callbacks, and forked children.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "io/support_files.hpp"
#include "support/child.hpp"
#include "support/expect.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

using support::in_child;
using support::require_in_child;

Array array_of(const Shape& shape, const std::vector<double>& values) { return Array(shape, values); }

const OnlineOptions kShort{.epochs = 1, .iterations_per_epoch = 4, .batch_size = 4};
const char* const kBusy =
    "this trainer is training already, in another thread or in the function that makes this call; wait for its end, or make another "
    "trainer with "
    "an amortizer of its own";

/// A trainer whose callbacks call a function of the test, once training has begun.
class Calling {
 public:
  explicit Calling(const char* callback, TrainerOptions options = {}) {
    const auto call = [this, callback](const char* which) {
      if (std::string(which) == callback && armed.exchange(false)) during();
    };
    options.threads = 2;
    options.progress = [call](const Progress&) {
      call("progress");
      return Control::proceed;
    };
    options.logger = [call](LogLevel, std::string_view) { call("logger"); };
    options.configurator = [call](const Simulations& s) {
      call("configurator");
      return default_configurator(s);
    };
    GenerativeModel model(Prior([call](Rng& rng) {
                            call("prior");
                            return rng.normal({1});
                          }),
                          Simulator([call](const Array& theta, Rng& rng) {
                            call("simulator");
                            return rng.normal({2, 1}, theta);
                          }));
    trainer = std::make_unique<Trainer>(amortizer, std::move(model), std::move(options));
  }
  AmortizedPosterior amortizer = tiny_posterior(1);
  std::unique_ptr<Trainer> trainer;
  std::atomic<bool> armed{false};
  std::function<void()> during = [] {};
};

class FromCallbacks : public ::testing::TestWithParam<const char*> {};

TEST_P(FromCallbacks, ASecondRunOfTheTrainerIsASentenceAndTheFirstGoesOn) {
  Calling c(GetParam());
  std::string text = "not called";
  c.during = [&] { text = sentence<ConfigurationError>([&] { (void)c.trainer->train_online(kShort); }); };
  c.armed = true;
  // The log speaks of validation.
  const TrainingSummary run =
      c.trainer->train_online({.epochs = 1, .iterations_per_epoch = 6, .batch_size = 4, .run = {.validation_sims = 4}});
  EXPECT_EQ(text, std::string("Trainer::train_online: ") + kBusy);
  EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
  EXPECT_EQ(run.history.steps.size(), 6U);
  EXPECT_EQ(c.trainer->runs().size(), 1U);
}

TEST_P(FromCallbacks, DrawsDensitiesAndRunsAreAllowed) {
  Calling c(GetParam());
  std::int64_t draws = 0;
  std::size_t runs = 9;
  c.during = [&] {
    const Batch inputs{{roles::parameters, array_of({1, 1}, {0.5})}, {roles::summary_conditions, array_of({1, 2, 1}, {0.1, 0.2})}};
    draws = c.amortizer.sample(inputs, 300).dim(1);
    (void)c.amortizer.log_posterior(inputs);
    runs = c.trainer->runs().size();
  };
  c.armed = true;
  (void)c.trainer->train_online({.epochs = 1, .iterations_per_epoch = 6, .batch_size = 4, .run = {.validation_sims = 4}});
  EXPECT_EQ(draws, 300);
  EXPECT_EQ(runs, 0U);
}

INSTANTIATE_TEST_SUITE_P(Callbacks, FromCallbacks, ::testing::Values("progress", "logger", "configurator", "prior", "simulator"),
                         [](const auto& test) { return test.param; });

TEST(TrainerInUse, ByTheLoaderOfItsOwnRun) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "1.h5";
  const GenerativeModel model = gaussian_model(1, 2);
  (void)model.presimulate(file, 16, {});
  std::optional<Trainer> trainer;
  trainer.emplace(tiny_posterior(1), model);
  std::string text;
  PresimulationOptions options{.batch_size = 4};
  options.loader = [&](const std::filesystem::path& path) {
    text = sentence<ConfigurationError>([&] { (void)trainer->train_online(kShort); });
    return std::vector<Simulations>{SimulationStore(path).read()};
  };
  (void)trainer->train_from_presimulation(folder.path(), options);
  EXPECT_EQ(text, std::string("Trainer::train_online: ") + kBusy);
}

TEST(TrainerInUse, ByAnotherThreadInEveryMode) {
  std::atomic<bool> begun{false}, end{false};
  const GenerativeModel model = gaussian_model(1, 2);
  Trainer trainer(tiny_posterior(1), model, {.progress = [&](const Progress&) {
                    begun = true;
                    return end ? Control::stop : Control::proceed;
                  }});
  std::thread other([&] { (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 100'000'000, .batch_size = 2}); });
  while (!begun) std::this_thread::yield();
  const Simulations data = model(16);
  const auto expect = [&](const char* mode, const std::function<void()>& call) {
    EXPECT_EQ(sentence<ConfigurationError>(call), std::string("Trainer::") + mode + ": " + kBusy);
  };
  expect("train_online", [&] { (void)trainer.train_online(kShort); });
  expect("train_offline", [&] { (void)trainer.train_offline(data, {.batch_size = 4}); });
  expect("train_offline", [&] { (void)trainer.train_offline(std::filesystem::path("any.h5"), {.batch_size = 4}); });
  expect("train_rounds", [&] { (void)trainer.train_rounds({}); });
  expect("train_experience_replay", [&] { (void)trainer.train_experience_replay({}); });
  expect("train_from_presimulation", [&] { (void)trainer.train_from_presimulation("any", {}); });
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(trainer.runs().empty());
  end = true;
  other.join();
  end = false;
  EXPECT_EQ(trainer.train_online(kShort).stop, TrainingSummary::Stop::completed);
  EXPECT_EQ(trainer.runs().size(), 2U);
}

TEST(TrainerInUse, TwoTrainersOfOneAmortizer) {
  AmortizedPosterior amortizer = tiny_posterior(1);
  Trainer other(amortizer, gaussian_model(1, 2));
  std::string text;
  Trainer trainer(amortizer, gaussian_model(1, 2), {.progress = [&](const Progress& p) {
                    if (p.iteration == 2) text = sentence<ConfigurationError>([&] { (void)other.train_online(kShort); });
                    return Control::proceed;
                  }});
  (void)trainer.train_online(kShort);
  EXPECT_EQ(text,
            "Trainer::train_online: this amortizer is trained already, in another thread or in the function that makes this call; wait for "
            "its end, "
            "or train another amortizer");
  EXPECT_EQ(other.train_online(kShort).stop, TrainingSummary::Stop::completed);
}

TEST(StreamInUse, ByTwoThreads) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "1.h5";
  (void)gaussian_model(1, 2).presimulate(file, 400, {});
  SimulationStream stream(SimulationStore(file), {.batch_size = 2});
  std::atomic<int> rows{0}, refused{0}, others{0};
  const auto read = [&] {
    for (int i = 0; i < 400; ++i) {
      try {
        if (const auto batch = stream.next()) rows += static_cast<int>(batch->batch_size());
      } catch (const ConfigurationError& error) {
        ++(std::string(error.what()) ==
                   "SimulationStream::next: this stream is in use already, in another thread or in the function that makes this call; give "
                   "each "
                   "thread a stream of its own"
               ? refused
               : others);
      }
    }
  };
  std::thread second(read);
  read();
  second.join();
  EXPECT_EQ(others, 0);
  EXPECT_LE(rows, 400);
  while (const auto batch = stream.next()) rows += static_cast<int>(batch->batch_size());
  EXPECT_EQ(rows, 400);  // every row once, in whichever thread
}

TEST(ModelInUse, ByItsOwnSimulator) {
  std::optional<GenerativeModel> model;
  std::string text = "not called";
  std::atomic<bool> armed{false};
  model.emplace(Prior([](Rng& rng) { return rng.normal({1}); }, {.thread_safe = false}),
                Simulator(
                    [&](const Array& theta, Rng& rng) {
                      if (armed.exchange(false)) text = sentence<ConfigurationError>([&] { (void)(*model)(2); });
                      return rng.normal({2, 1}, theta);
                    },
                    {.thread_safe = false}));
  armed = true;
  (void)(*model)(2);
  EXPECT_EQ(text, "GenerativeModel \"anonymous\": its own prior or simulator calls it; call another model, or the functions themselves");
}

TEST(ModelInUse, ByThreadsThatWaitForEachOtherWhereFunctionsMustNotOverlap) {
  std::atomic<int> inside{0}, most{0};
  const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({1}); }, {.thread_safe = false}),
                              Simulator(
                                  [&](const Array& theta, Rng& rng) {
                                    most = std::max(most.load(), ++inside);
                                    --inside;
                                    return rng.normal({2, 1}, theta);
                                  },
                                  {.thread_safe = false}));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) (void)model(20);
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(most, 1);
}

// --- forked children ---

class ForkedTrainer : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!support::kForks) GTEST_SKIP();
  }
};

TEST_F(ForkedTrainer, AChildTrainsAndFreesWhatItInherits) {
  const auto trained = [](const std::function<void(Trainer&)>& first, AmortizedPosterior amortizer) {
    Trainer trainer(amortizer, gaussian_model(1, 2), {.threads = 2, .overlap = Overlap::on});
    first(trainer);
    (void)trainer.train_online(kShort);
    return weights_of(amortizer);
  };
  const auto one_run = [](Trainer& t) { (void)t.train_online(kShort); };
  const std::vector<float> expected = trained(one_run, tiny_posterior(1));
  AmortizedPosterior amortizer = tiny_posterior(1);
  auto trainer = std::make_unique<Trainer>(amortizer, gaussian_model(1, 2), TrainerOptions{.threads = 2, .overlap = Overlap::on});
  one_run(*trainer);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(in_child([&] {
                (void)trainer->train_online(kShort);
                require_in_child(weights_of(amortizer) == expected, "other weights");
                trainer.reset();
              }),
              "0");
}

TEST_F(ForkedTrainer, AChildForkedWithinARunCannotGoOnWithItAndFreesIt) {
  std::string outcome;
  const pid_t parent = getpid();
  std::string in_the_child;
  pid_t child = 0;
  auto trainer = std::make_unique<Trainer>(tiny_posterior(1), gaussian_model(1, 2),
                                           TrainerOptions{.threads = 2,
                                                          .progress =
                                                              [&](const Progress& p) {
                                                                if (p.iteration == 2 && !p.epoch_done) {
                                                                  child = fork();
                                                                  if (child == 0) alarm(support::kChildSeconds);
                                                                }
                                                                return Control::proceed;
                                                              },
                                                          .overlap = Overlap::on});
  const std::string text = sentence<ConfigurationError>([&] { (void)trainer->train_online(kShort); });
  if (getpid() != parent) {
    trainer.reset();
    _exit(text == "Trainer: this process was forked while the trainer trained, and only the parent process can go on with it; end the "
                  "child where "
                  "it was forked, or make a trainer there"
              ? 7
              : 8);
  }
  EXPECT_EQ(text, "no exception");
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
}

TEST_F(ForkedTrainer, AChildForkedWhileAnotherThreadTrainsDrawsFromOneSetOfWeightsAndCannotTrainThem) {
  if (!support::kForksWhileOthersAllocate) GTEST_SKIP();
  std::atomic<std::int64_t> steps{0};
  std::atomic<bool> end{false};
  AmortizedPosterior amortizer = tiny_posterior(1);
  Trainer trainer(amortizer, gaussian_model(1, 2), {.threads = 2, .progress = [&](const Progress&) {
                                                      ++steps;
                                                      return end ? Control::stop : Control::proceed;
                                                    }});
  std::thread other([&] { (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 100'000'000, .batch_size = 2}); });
  while (steps < 3) std::this_thread::yield();
  const Batch inputs{{roles::parameters, array_of({1, 1}, {0.5})}, {roles::summary_conditions, array_of({1, 2, 1}, {0.1, 0.2})}};
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(in_child([&] { (void)amortizer.sample(inputs, 300); }), "0");
    EXPECT_EQ(in_child([&] { (void)trainer.train_online(kShort); }),
              "Trainer::train_online: this trainer is training in the parent process, from which this process was forked meanwhile, so "
              "that it is "
              "incomplete here; make another one in this process");
    EXPECT_EQ(in_child([&] {
                Trainer own(tiny_posterior(1), gaussian_model(1, 2));
                (void)own.train_online(kShort);
              }),
              "0");
  }
  end = true;
  other.join();
}

TEST_F(ForkedTrainer, AChildKeepsNoCheckpointFolder) {
  const TemporaryFolder folder;
  const auto make = [&] {
    return std::make_unique<Trainer>(tiny_posterior(1), gaussian_model(1, 2), TrainerOptions{.checkpoint_path = folder.path() / "kept"});
  };
  auto trainer = make();
  (void)trainer->train_online(kShort);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    // Lives on with all that it inherits until the parent closes its end.
    close(ends[1]);
    char byte = 0;
    (void)!read(ends[0], &byte, 1);
    trainer.reset();
    _exit(0);
  }
  close(ends[0]);
  EXPECT_TRUE(sentence<IoError>([&] { (void)make(); }).find("in use by another trainer") != std::string::npos);
  trainer.reset();
  ASSERT_EQ(sentence<IoError>([&] { trainer = make(); }), "no exception");
  EXPECT_EQ(in_child([&] { (void)trainer->train_online(kShort); }),
            "Trainer::train_online: this trainer was made in the parent process, which keeps its checkpoint folder \"" +
                (folder.path() / "kept").string() + "\"; make another trainer in this process, with a folder of its own");
  close(ends[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(trainer->train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 4}).stop, TrainingSummary::Stop::completed);
}

// For a moment a forked child has not run the functions that pthread_atfork() registered, and still holds every open file. _Fork() never
// runs them, which makes that moment last.
TEST_F(ForkedTrainer, AFolderIsFreeAlthoughANewChildStillHoldsItsOpenFiles) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  const TemporaryFolder folder;
  const auto make = [&] {
    return std::make_unique<Trainer>(tiny_posterior(1), gaussian_model(1, 2), TrainerOptions{.checkpoint_path = folder.path() / "kept"});
  };
  auto trainer = make();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = _Fork();
  if (child == 0) {
    close(ends[1]);
    char byte = 0;
    (void)!read(ends[0], &byte, 1);
    _exit(0);
  }
  close(ends[0]);
  trainer.reset();
  EXPECT_EQ(sentence<IoError>([&] { trainer = make(); }), "no exception");
  close(ends[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
#else
  GTEST_SKIP() << "needs _Fork()";
#endif
}

TEST_F(ForkedTrainer, ChildrenLoadTheirOwnAmortizerWhileAnotherThreadWritesFiles) {
  if (!support::kForksWhileOthersAllocate) GTEST_SKIP();
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "model.h5";
  AmortizedPosterior amortizer = tiny_posterior(1);
  const Batch inputs{{roles::summary_conditions, array_of({1, 2, 1}, {0.1, 0.2})}};
  amortizer.build(inputs, 1);
  amortizer.save(file);
  const Array expected = amortizer.sample(inputs, 600, {.seed = 2});
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) amortizer.save(folder.path() / "other.h5");
  });
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(in_child([&] {
                const AmortizedPosterior own = load_amortizer(file);
                const Array draws = own.sample(inputs, 600, {.seed = 2});
                require_in_child(std::equal(draws.data(), draws.data() + draws.size(), expected.data()), "other draws");
              }),
              "0");
  stop = true;
  other.join();
}

TEST_F(ForkedTrainer, AChildGetsASentenceFromAStreamAndFreesIt) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "1.h5";
  (void)gaussian_model(1, 2).presimulate(file, 64, {});
  auto stream = std::make_unique<SimulationStream>(SimulationStore(file), StreamOptions{.batch_size = 2});
  EXPECT_EQ(in_child([&] { (void)stream->next(); }),
            "SimulationStream::next: this stream was made in the parent process; make another one of the same store in this process");
  EXPECT_EQ(in_child([&] { stream.reset(); }), "0");
  EXPECT_TRUE(stream->next().has_value());
}

TEST_F(ForkedTrainer, AModelThatForksWhilePresimulatingCanGoOnInTheParentOnly) {
  const TemporaryFolder folder;
  const pid_t parent = getpid();
  pid_t child = -1;
  std::atomic<int> calls{0};
  const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({1}); }, {.thread_safe = false}),
                              Simulator(
                                  [&](const Array& theta, Rng& rng) {
                                    if (++calls == 40) {
                                      child = fork();
                                      if (child == 0) alarm(support::kChildSeconds);
                                    }
                                    return rng.normal({2, 1}, theta);
                                  },
                                  {.thread_safe = false}),
                              {.skip_test = true});
  const std::string text = sentence<SimulationError>([&] { (void)model.presimulate(folder.path() / "1.h5", 64, {.batch_size = 8}); });
  if (getpid() != parent) _exit(text.starts_with("presimulate: the model forked this process") ? 7 : 8);
  EXPECT_EQ(text, "no exception");
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  EXPECT_EQ(SimulationStore(folder.path() / "1.h5").size(), 64);
}

}  // namespace
}  // namespace bayesflow
