/// Settings of a Trainer and of its training functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "bayesflow/core/communicator.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/data/configurator.hpp"
#include "bayesflow/data/simulations.hpp"
#include "bayesflow/nn/optimizer.hpp"
#include "bayesflow/simulation/nonfinite.hpp"
#include "bayesflow/training/early_stopping.hpp"
#include "bayesflow/training/lr_adjuster.hpp"
#include "bayesflow/training/progress.hpp"

namespace bayesflow {

/// Whether the next batch is simulated while the present one trains. Results are the same in every case.
enum class Overlap : std::uint8_t {
  automatic,  ///< where prior or simulator cannot use all threads themselves: not thread-safe, or batched
  on,         ///< one thread more simulates and configures, one simulation after the other
  off,
};
[[nodiscard]] EnumNames<Overlap> names_of(Overlap);

/// What a trainer makes of the checkpoints that it finds.
enum class Resume : std::uint8_t {
  program,  ///< the program was started again: calls that had ended return what they returned, the unfinished one goes on
  state,    ///< weights and optimizer go on, and every call is a new one
};
[[nodiscard]] EnumNames<Resume> names_of(Resume);

/// Settings of a Trainer.
struct TrainerOptions {
  Configurator configurator = {};  ///< none: what is trained has one (of a posterior: default_configurator)
  std::uint64_t seed = 0;          ///< of initialization, simulations and noise: one seed, one result, for any number of threads
  int threads = 0;                 ///< 0: as many as the machine has
  double default_lr = 5e-4;        ///< where no optimizer is given: Adam with a cosine decay from this to 0
  Logger logger = {};
  ProgressCallback progress = {};
  bool handle_interrupt =
      true;  ///< Ctrl-C (or SIGTERM) ends a run after the present step, a second one at once; former handlers are put back
  NonFinitePolicy nonfinite = {};  ///< what happens to simulations that are not finite, here and in reports; by default they are errors.
                                   ///< Given ones are dropped for `redraw`
  Overlap overlap = Overlap::automatic;
  std::filesystem::path checkpoint_path = {};  ///< a folder; empty: no checkpoints
  int max_to_keep = 3;                         ///< checkpoints
  double checkpoint_minutes = 10;              ///< between checkpoints within an epoch; there is one after every epoch in any case
  Resume resume = Resume::program;
  /// Of the products of dense layers, in training and validation; weights, moments and sums are float32 with either. ConfigurationError at
  /// the first step if the networks have no layer that bfloat16 changes.
  Precision precision = Precision::float32;
  /// Of the processes (ranks) that train together, each with the same program; null: this one alone. They share out simulations and
  /// networks, and one seed gives one result for any number of them. Rank 0 writes checkpoints, logs and calls `progress`; Ctrl-C may reach
  /// any.
  std::shared_ptr<Communicator> communicator = {};
  void validate() const;  ///< throws ConfigurationError naming field, value and constraint
};

/// Functions (configurator, logger, progress) and the communicator are no options that a file could hold.
template <class V>
void describe(V& v, TrainerOptions& o) {
  v("seed", o.seed);
  v("threads", o.threads, at_least(0).with_note("0: all").without_effect());
  v("default_lr", o.default_lr, positive());
  v("handle_interrupt", o.handle_interrupt, Constraint{}.without_effect());
  v("nonfinite", o.nonfinite, Constraint{}.without_effect());  // a run that ended at such a simulation may go on with another policy
  v("overlap", o.overlap, Constraint{}.without_effect());
  v("checkpoint_path", o.checkpoint_path, Constraint{}.without_effect());
  v("max_to_keep", o.max_to_keep, at_least(1).without_effect());
  v("checkpoint_minutes", o.checkpoint_minutes, positive().or_infinite().without_effect());
  v("resume", o.resume, Constraint{}.without_effect());
  v.later("precision", o.precision, Precision::float32);
}

/// Data sets for the validation loss after each epoch: a number to simulate once, or simulations; 0: none.
using ValidationSims = std::variant<std::int64_t, Simulations>;

/// What all training functions have in common.
struct RunOptions {
  ValidationSims validation_sims = std::int64_t{0};
  std::optional<nn::OptimizerOptions> optimizer = {};       ///< an empty schedule in it means the default cosine
  bool reuse_optimizer = false;                             ///< keep the optimizer's moments for the next call (its schedule starts anew)
  std::optional<EarlyStoppingOptions> early_stopping = {};  ///< on the validation loss; the run ends with the best epoch's weights
  std::optional<LRAdjusterOptions> lr_adjuster = {};        ///< the default rate is constant with it
};

/// Given simulations are no option that a file could hold: they are left out.
template <class V>
void describe(V& v, RunOptions& o) {
  if (auto* count = std::get_if<std::int64_t>(&o.validation_sims))
    v.later("validation_sims", *count, std::int64_t{0}, at_least(0).with_note("0: none"));
  v("optimizer", o.optimizer);
  v("reuse_optimizer", o.reuse_optimizer);
  v("early_stopping", o.early_stopping);
  v("lr_adjuster", o.lr_adjuster);
}

/// Settings of train_online.
struct OnlineOptions {
  std::int64_t epochs = 1;
  std::int64_t iterations_per_epoch = 1000;
  std::int64_t batch_size = 32;
  RunOptions run = {};
};

/// The fields of `run` stand beside those of the function: their names are those of v1's arguments.
template <class V>
void describe(V& v, OnlineOptions& o) {
  v("epochs", o.epochs, at_least(1));
  v("iterations_per_epoch", o.iterations_per_epoch, at_least(1));
  v("batch_size", o.batch_size, at_least(1));
  describe(v, o.run);
}

/// Settings of train_offline.
struct OfflineOptions {
  std::int64_t epochs = 1;                              ///< passes over the data
  std::int64_t batch_size = 32;                         ///< the last batch of an epoch may be smaller
  std::int64_t buffer_bytes = std::int64_t{256} << 20;  ///< memory for simulations from a file: see StreamOptions
  double validation_split = 0;  ///< > 0: this share of simulations in memory, drawn by the seed, is held out in place of validation_sims
  RunOptions run = {};
};

template <class V>
void describe(V& v, OfflineOptions& o) {
  v("epochs", o.epochs, at_least(1));
  v("batch_size", o.batch_size, at_least(1));
  v.later("buffer_bytes", o.buffer_bytes, OfflineOptions().buffer_bytes, at_least(1));
  v.later("validation_split", o.validation_split, 0.0, probability());
  describe(v, o.run);
}

/// Settings of train_experience_replay.
struct ReplayOptions {
  std::int64_t epochs = 1;
  std::int64_t iterations_per_epoch = 1000;
  std::int64_t batch_size = 32;
  std::int64_t buffer_capacity = 1000;  ///< batches; a smaller one than before keeps the newest
  RunOptions run = {};
};

template <class V>
void describe(V& v, ReplayOptions& o) {
  v("epochs", o.epochs, at_least(1));
  v("iterations_per_epoch", o.iterations_per_epoch, at_least(1));
  v("batch_size", o.batch_size, at_least(1));
  v("buffer_capacity", o.buffer_capacity, at_least(1));
  describe(v, o.run);
}

/// Settings of train_rounds.
struct RoundsOptions {
  std::int64_t rounds = 1;
  std::int64_t sim_per_round = 1000;  ///< simulations that each round adds
  std::int64_t epochs = 1;            ///< passes over all data so far in each round
  std::int64_t batch_size = 32;
  RunOptions run = {};  ///< early stopping is over all rounds
};

template <class V>
void describe(V& v, RoundsOptions& o) {
  v("rounds", o.rounds, at_least(1));
  v("sim_per_round", o.sim_per_round, at_least(1));
  v("epochs", o.epochs, at_least(1));
  v("batch_size", o.batch_size, at_least(1));
  describe(v, o.run);
}

/// Settings of train_from_presimulation.
struct PresimulationOptions {
  std::int64_t batch_size = 32;  ///< rows that make a step, in stored order
  std::int64_t max_epochs = 0;   ///< files to train on; more than there are: round and round; 0: each once
  std::function<std::vector<Simulations>(const std::filesystem::path&)> loader = {};  ///< empty: this library's simulation files
  RunOptions run = {};
};

template <class V>
void describe(V& v, PresimulationOptions& o) {
  v("batch_size", o.batch_size, at_least(1));
  v("max_epochs", o.max_epochs, at_least(0).with_note("0: each file once"));
  describe(v, o.run);
}

}  // namespace bayesflow
