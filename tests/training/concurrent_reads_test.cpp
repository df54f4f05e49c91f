// Draws, densities and saves while another thread trains: each is of the weights of one step.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/weight_lock.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

using nn::WeightLock;

/// Calls `look` again and again while another thread trains with a high learning rate.
template <class F>
void while_training(const AmortizedPosterior& amortizer, int times, F&& look) {
  std::atomic<bool> stop = false;
  TrainerOptions options{.default_lr = 0.01};
  options.progress = [&](const Progress&) { return stop ? Control::stop : Control::proceed; };
  Trainer trainer(amortizer, gaussian_model(2, 3), options);
  std::thread training([&] { (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 10'000'000, .batch_size = 8}); });
  for (int i = 0; i < times && !testing::Test::HasFailure(); ++i) {
    try {
      look();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
  stop = true;
  training.join();
}

TEST(ConcurrentReads, DensitiesAndDrawsAreOfOneStep) {
  const AmortizedPosterior amortizer = tiny_posterior();
  constexpr std::int64_t kRows = 2000;  // all alike, and so are their results
  Batch inputs{{roles::parameters, Array({kRows, 2}, 0.5)}, {roles::summary_conditions, Array({kRows, 3, 2}, 0.25)}};
  while_training(amortizer, static_cast<int>(support::repetitions(50)), [&] {
    if (!amortizer.is_built()) return;
    const Array log_density = amortizer.log_posterior(inputs);
    for (std::int64_t i = 1; i < kRows; ++i) ASSERT_NEAR(log_density(i), log_density(0), 1e-4) << "row " << i;
    const Array latent({kRows, 1, 2}, 0.5), draws = amortizer.sample_from_latent(inputs, latent);
    for (std::int64_t i = 1; i < kRows; ++i) ASSERT_NEAR(draws(i, 0, 1), draws(0, 0, 1), 1e-4) << "row " << i;
  });
}

TEST(ConcurrentReads, SavesAreOfOneStepAndCanBeLoaded) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "model.h5";
  const AmortizedPosterior amortizer = tiny_posterior();
  int saved = 0;
  while_training(amortizer, static_cast<int>(support::repetitions(100)), [&] {
    if (!amortizer.is_built()) return;
    save_amortizer(amortizer, path);
    (void)load_amortizer(path);
    ++saved;
  });
  EXPECT_GT(saved, 0);
}

TEST(ConcurrentReads, AFileThatCannotBeLoadedNeverReplacesOneThatCan) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "model.h5";
  Rng rng(1);
  const Batch inputs{{roles::parameters, rng.normal({2, 2})}, {roles::summary_conditions, rng.normal({2, 3, 2})}};
  // A latent that changes the weights behind the library's back, between the probes and the file.
  bool restless = false;
  nn::ParameterStore* store = nullptr;
  Latent latent = gaussian_latent();
  latent.sample = [&, sample = latent.sample](Rng& random, std::span<float> z, std::int64_t dim) {
    sample(random, z, dim);
    if (restless)
      for (std::int64_t i = 0; i < store->size(); ++i) store->values()[i] += 0.25f;
  };
  AmortizedPosterior amortizer = tiny_posterior(2, {.latent = latent, .threads = 1});
  amortizer.build(inputs);
  store = &amortizer.store();
  save_amortizer(amortizer, path);
  const std::string before = contents(path);
  restless = true;
  const std::string text = sentence<IoError>([&] { save_amortizer(amortizer, path); });
  EXPECT_EQ(text.rfind("cannot save \"" + path.string() + "\": the new file cannot be loaded again (", 0), 0U) << text;
  EXPECT_NE(text.find("what was there before is kept"), std::string::npos) << text;
  EXPECT_TRUE(contents(path) == before);
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WeightLock, ManyReadOrOneWrites) {
  WeightLock lock;
  int first = 0, second = 0;
  std::vector<std::thread> threads;
  const std::int64_t times = support::repetitions(20'000);
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      for (std::int64_t i = 0; i < times; ++i) {
        const WeightLock::Writing writing(lock);
        ++first;
        const WeightLock::Reading reading(lock);  // one's own
        const WeightLock::Writing again(lock);
        ++second;
      }
    });
  std::atomic<bool> torn = false;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (std::int64_t i = 0; i < times; ++i) {
        const WeightLock::Reading reading(lock);
        const int seen = first;
        const WeightLock::Reading again(lock);  // also while a writer waits
        if (seen != second) torn = true;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_FALSE(torn);
  EXPECT_EQ(first, 2 * times);
  EXPECT_EQ(second, 2 * times);
}

TEST(WeightLock, AReaderThatWouldWaitForItselfIsTold) {
  WeightLock lock;
  const WeightLock::Reading reading(lock);
  EXPECT_EQ(sentence<ConfigurationError>([&] { const WeightLock::Writing writing(lock); }),
            "the weights would change while this thread computes with them: train before or after sample, log_posterior and save, not in a "
            "function that they call");
}

/// What `f` returns in a forked child.
template <class F>
int in_a_child(F&& f) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(f());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(WeightLock, AForkedChildWaitsForNoThreadOfItsParent) {
  const auto held_by_another = [](auto&& hold, auto&& f) {
    std::atomic<int> stage = 0;
    std::thread other([&] {
      hold([&] {
        stage = 1;
        stage.notify_all();
        stage.wait(1);
      });
    });
    stage.wait(0);
    f();
    stage = 2;
    stage.notify_all();
    other.join();
  };
  WeightLock lock;
  held_by_another(
      [&](auto&& wait) {
        const WeightLock::Reading reading(lock);
        wait();
      },
      [&] {
        const WeightLock::Reading mine(lock);
        EXPECT_EQ(in_a_child([&] {
                    { const WeightLock::Reading again(lock); }
                    return 0;
                  }),
                  0);
      });
  held_by_another(
      [&](auto&& wait) {
        const WeightLock::Reading reading(lock);
        wait();
      },
      [&] {
        EXPECT_EQ(in_a_child([&] {
                    { const WeightLock::Writing writing(lock); }
                    const WeightLock::Reading reading(lock);
                    return 3;
                  }),
                  3);
      });
  held_by_another(
      [&](auto&& wait) {
        const WeightLock::Writing writing(lock);
        wait();
      },
      [&] {
        EXPECT_EQ(in_a_child([&] {
                    try {
                      const WeightLock::Reading reading(lock);
                    } catch (const ConfigurationError& error) {
                      const bool told =
                          std::string(error.what()).find("forked while another thread was updating the weights") != std::string::npos;
                      { const WeightLock::Writing new_weights(lock); }
                      const WeightLock::Reading reading(lock);
                      return told ? 4 : 5;
                    }
                    return 6;
                  }),
                  4);
      });
  const WeightLock::Writing writing(lock);  // nothing is left
}

TEST(WeightLock, ForksWaitForUpdatesButNotForReaders) {
  WeightLock lock;
  std::atomic<int> first = 0, second = 0;
  std::atomic<bool> stop = false;
  // The reader waits for the end of a fork, as one that needs Python's GIL does; the update waits for the reader, so the fork must not wait
  // for an update that has not begun.
  std::atomic<bool> forking = false;
  std::vector<std::thread> others;
  others.emplace_back([&] {
    while (!stop) {
      const WeightLock::Reading reading(lock);
      while (forking) std::this_thread::yield();
    }
  });
  others.emplace_back([&] {
    while (!stop) {
      const WeightLock::Updating updating(lock);
      ++first;
      std::this_thread::yield();
      const WeightLock::Updating more_of_it(lock);
      ++second;
    }
  });
  for (int i = 0; i < 200 && !HasFailure(); ++i) {
    forking = i % 2 == 0;  // the other half of the forks come while updates go on
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    const int status = in_a_child([&] {
      ::alarm(240);
      try {
        const WeightLock::Reading reading(lock);
      } catch (const ConfigurationError&) {
        return 4;
      }
      if (first != second) return 5;
      { const WeightLock::Updating updating(lock); }
      return 0;
    });
    forking = false;
    EXPECT_EQ(status, 0) << i;
  }
  stop = true;
  for (std::thread& t : others) t.join();
}

}  // namespace
}  // namespace bayesflow
