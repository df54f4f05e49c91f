/// Training.
#pragma once

#include <concepts>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/generative_model.hpp"
#include "bayesflow/training/history.hpp"
#include "bayesflow/training/options.hpp"
#include "bayesflow/training/trainable.hpp"

namespace bayesflow {

/// Trains an amortizer, or another Trainable, on a generative model, or on simulations alone. The constructor checks that model,
/// configurator and networks fit together with two simulations (without a model the first call does it with two of its data sets); a
/// failure is a ConfigurationError with its cause.
///
/// All training functions share one loop. A loss, gradient or weight that is not finite ends the run with the best weights so far, judged
/// by the mean loss of 100 steps. After an exception (of a simulator, say) the weights are those of the last step, and another call goes on
/// with the simulations that follow. Every batch, validation included, passes through the configurator.
///
/// With a checkpoint_path everything that the result depends on is on the disk after every epoch, every few minutes and at the end of a
/// run: a trainer made again with the same arguments finds it, says so, and its unfinished call goes on to the same bits as if it had never
/// stopped. Throws IoError if the folder cannot be used or another trainer uses it.
///
/// A trainer trains one run at a time, and networks are trained by one trainer at a time: a training function that is called meanwhile, by
/// another thread or by one of the run's own callbacks, throws ConfigurationError. Drawing from the amortizer and `runs` are allowed at any
/// time.
class Trainer {
 public:
  /// The trainer keeps a copy, which shares its weights with `trained`.
  template <std::derived_from<Trainable> T>
  Trainer(T trained, GenerativeModel model, TrainerOptions options = {})
      : Trainer(std::make_shared<T>(std::move(trained)), std::move(model), std::move(options)) {}
  /// For train_offline and train_from_presimulation.
  template <std::derived_from<Trainable> T>
  explicit Trainer(T trained, TrainerOptions options = {}) : Trainer(std::make_shared<T>(std::move(trained)), std::move(options)) {}
  /// The same for an object that is shared, or chosen at run time.
  Trainer(std::shared_ptr<Trainable> trained, GenerativeModel model, TrainerOptions options = {});
  explicit Trainer(std::shared_ptr<Trainable> trained, TrainerOptions options = {});
  ~Trainer();
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;

  /// The trainer's configurator.
  [[nodiscard]] Batch configure(const Simulations& simulations) const;
  /// Given simulations without those that are not finite, if TrainerOptions::nonfinite allows that. Throws SimulationError.
  [[nodiscard]] Simulations finite(const Simulations& simulations) const;

  /// Simulates every batch afresh.
  TrainingSummary train_online(const OnlineOptions& options);

  /// Passes over given data, all rows in a new order each epoch. Parts with a non-batchable context (a number of observations, say) may
  /// differ in shape and stay apart: a batch has rows of one part. Parts without one must agree in shape and are one pool.
  TrainingSummary train_offline(const Simulations& simulations, const OfflineOptions& options);
  TrainingSummary train_offline(const std::vector<Simulations>& parts, const OfflineOptions& options);
  /// The same from a file of simulations, which may be larger than memory.
  TrainingSummary train_offline(const std::filesystem::path& file, const OfflineOptions& options);

  /// Each iteration simulates a batch, stores it over the oldest of the buffer, and trains on any of the buffer's batches, all equally
  /// likely. The buffer lives on over calls.
  TrainingSummary train_experience_replay(const ReplayOptions& options);

  /// Round r adds simulations to all earlier ones and passes `epochs` times over them, with one optimizer and one schedule of
  /// sum_r epochs ceil(r sim_per_round / batch_size) steps.
  TrainingSummary train_rounds(const RoundsOptions& options);

  /// Trains on stored simulations in stored order: one epoch per file of a folder (ordered by the numbers in their names), or passes over
  /// one file.
  TrainingSummary train_from_presimulation(const std::filesystem::path& path, const PresimulationOptions& options);

  /// Writes what waits and frees the checkpoint folder for another trainer. This one trains without checkpoints from then on.
  void release_checkpoints();
  /// What each call so far returned, those of a checkpoint included: the history over all runs.
  [[nodiscard]] std::vector<TrainingSummary> runs() const;
  [[nodiscard]] const TrainerOptions& options() const;
  /// What is trained.
  [[nodiscard]] Trainable& trainable() const;
  /// The same as an object of its class; throws ArgumentError if it is of another.
  template <std::derived_from<Trainable> T>
  [[nodiscard]] T& trained() const {
    T* object = dynamic_cast<T*>(&trainable());
    if (!object) throw ArgumentError("Trainer::trained: what is trained is of another class; ask for its own");
    return *object;
  }
  /// Throws ConfigurationError if the trainer was made without one.
  [[nodiscard]] const GenerativeModel& model() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow
