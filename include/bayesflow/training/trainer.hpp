/// Training.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/configuration/configurator.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/nn/optimizer.hpp"
#include "bayesflow/simulation/generative_model.hpp"
#include "bayesflow/training/history.hpp"
#include "bayesflow/training/progress.hpp"

namespace bayesflow {

/// Settings of a Trainer.
struct TrainerOptions {
  Configurator configurator = default_configurator;
  std::uint64_t seed = 0;       ///< of initialization, simulations and noise: one seed, one result, for any number of threads
  int threads = 0;              ///< 0: as many as the machine has
  double default_lr = 5e-4;     ///< where no optimizer is given: Adam with a cosine decay from this to 0
  Logger logger = {};
  ProgressCallback progress = {};
  bool handle_interrupt = true; ///< Ctrl-C ends a run after the present step; the former handler is put back afterwards
};

/// Settings of train_online.
struct OnlineOptions {
  std::int64_t epochs = 1;
  std::int64_t iterations_per_epoch = 1000;
  std::int64_t batch_size = 32;
  std::variant<std::int64_t, Simulations> validation_sims = std::int64_t{0};  ///< a number to simulate once, or simulations; 0: none
  std::optional<nn::OptimizerOptions> optimizer = {};  ///< an empty schedule in it means the default cosine
  bool reuse_optimizer = false;                        ///< keep the optimizer's moments for the next call (its schedule starts anew)
};

/// Trains an amortizer on a generative model. The constructor checks that model, configurator and networks fit together with
/// two simulations; a failure is a ConfigurationError with its cause.
class Trainer {
 public:
  Trainer(AmortizedPosterior amortizer, GenerativeModel model, TrainerOptions options = {});
  ~Trainer();
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;

  /// The trainer's configurator.
  [[nodiscard]] Inputs configure(const Simulations& simulations) const;
  /// Simulates every batch afresh. A loss, gradient or weight that is not finite ends the run with the best weights so far, judged
  /// by the mean loss of 100 steps. After an exception (of a simulator, say) the weights are those of the last step, and
  /// another call goes on with the simulations that follow.
  TrainingSummary train_online(const OnlineOptions& options);
  /// What each call so far returned.
  [[nodiscard]] const std::vector<TrainingSummary>& runs() const;
  [[nodiscard]] AmortizedPosterior& amortizer();
  [[nodiscard]] const AmortizedPosterior& amortizer() const;
  [[nodiscard]] const GenerativeModel& model() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow
