/// Training one step at a time, for loops of your own.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>

#include "bayesflow/nn/optimizer.hpp"
#include "bayesflow/training/trainable.hpp"

namespace bayesflow {

/// What a Trainer does with a batch, without all that it does around it: no simulation, configurator, history, checkpoints or interruption.
///   TrainingSteps steps(amortizer, {.learning_rate = nn::constant(1e-3)});
///   while (...) LossTerms losses = steps(batch);
/// The optimizer's moments and the step of its schedule go on from call to call. One thread at a time.
class TrainingSteps {
 public:
  /// `trainable`: an amortizer or another handle, whose weights are trained. threads: 0 for all cores. Throws ConfigurationError on options
  /// that are not valid, and if there is no learning rate, which only a Trainer knows a default of.
  template <std::derived_from<Trainable> T>
  TrainingSteps(const T& trainable, nn::OptimizerOptions optimizer, std::uint64_t seed = 0, int threads = 0)
      : TrainingSteps(std::static_pointer_cast<Trainable>(std::make_shared<T>(trainable)), std::move(optimizer), seed, threads) {}
  TrainingSteps(std::shared_ptr<Trainable> trainable, nn::OptimizerOptions optimizer, std::uint64_t seed, int threads);
  ~TrainingSteps();

  /// One gradient step on a batch that a configurator has made. Returns the loss before it, term by term, weight decay last if there is
  /// any. A loss or a gradient that is not finite changes no weights. The first batch builds networks that are not built.
  LossTerms operator()(const Batch& batch);
  [[nodiscard]] std::int64_t steps_taken() const;
  [[nodiscard]] double learning_rate() const;  ///< of the next step

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow
