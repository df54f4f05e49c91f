/// Trains on a model whose posterior is known, and measures how far the result is from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "measure/truth_models.hpp"

namespace bench {

struct TruthSettings {
  std::int64_t epochs = 10, iterations = 1000, batch_size = 32;
  std::int64_t test_sets = 5000, draws = 200;
  int threads = 0;
  NetworkChoice networks;
};

/// New data sets with what is known of them; one for all seeds of a model.
struct TestSets {
  bayesflow::Simulations simulations;
  std::vector<double> log_density;  ///< exact posterior at the true parameters
  std::vector<Moments> moments;
  double optimum = 0;  ///< mean of -log p(theta | x), in the networks' (standardized) units: the least possible loss
};
[[nodiscard]] TestSets make_test_sets(const TruthModel& model, std::int64_t count);

/// One trained network. Standard deviations are in exact posterior standard deviations.
struct TruthResult {
  std::uint64_t seed = 0;
  bool completed = false;       ///< false: the run ended early, for instance because it diverged
  double loss = 0;              ///< average training loss of the last epoch
  double divergence = 0;        ///< mean over test sets of log p(theta | x) - log q(theta | x): KL(exact || approximate), in nats
  double divergence_error = 0;  ///< its Monte-Carlo standard error
  double mean_error = 0;        ///< rms error of posterior means, the Monte-Carlo noise of the draws taken off
  double sd_ratio = 0;          ///< mean ratio of standard deviations
  double seconds = 0;           ///< of training
};
[[nodiscard]] TruthResult train_and_compare(const TruthModel& model, const TestSets& tests, const TruthSettings& settings,
                                            std::uint64_t seed);
/// The same of a network that is already trained; fills divergence and moments only.
[[nodiscard]] TruthResult compare(const TruthModel& model, const TestSets& tests, const bayesflow::AmortizedPosterior& amortizer,
                                  std::int64_t draws);

}  // namespace bench
