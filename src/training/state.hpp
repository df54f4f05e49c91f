/// Inside a Trainer.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/training/trainer.hpp"
#include "core/in_use.hpp"
#include "core/ranks.hpp"
#include "training/checkpoints.hpp"
#include "training/identity.hpp"
#include "training/run.hpp"

namespace bayesflow::training {

/// A call of a training function.
struct RunSettings {
  std::string call;   ///< the function and its options, as text
  Identity identity;  ///< what it is recognized by in a checkpoint
  RunOptions run;
  NonFiniteCount given;     ///< what was dropped from given data
  std::string first_given;  ///< what was wrong with the first
};

/// Memory that only training needs: made when a training function begins, and given back when it returns.
struct Workspace {
  explicit Workspace(const nn::ParameterStore& store, Precision of_products = Precision::float32)
      : gradients(store), precision(of_products) {}
  Tape tape;
  nn::GradientBuffers gradients;
  Precision precision;
};

/// The names of its losses, and weight decay.
[[nodiscard]] LossTerms::Names names_with_decay(const Trainable& trainable);
/// Gradients of a batch's loss into the workspace, for one step of number `step`. Without decay that term is 0. `ranks`: null for one.
[[nodiscard]] LossTerms gradient_of(Trainable& trainable, const Batch& inputs, Workspace& workspace, const LossTerms::Names& names,
                                    bool has_decay, std::uint64_t seed, std::uint64_t step, ThreadPool& pool,
                                    bayesflow::detail::Ranks* ranks = nullptr);
[[nodiscard]] bool has_decay(const Trainable& trainable);

/// Sentences about parameters and data of a scale that networks do not learn from, with what to write instead.
[[nodiscard]] std::vector<std::string> scale_warnings(const SeenData& seen, bool act_norm_is_given);

struct TrainerState {
  TrainerState(std::shared_ptr<Trainable> t, std::optional<GenerativeModel> m, TrainerOptions o);

  std::shared_ptr<Trainable> trainable;
  LossTerms::Names loss_names;  // its own, and weight decay
  std::optional<GenerativeModel> model;
  TrainerOptions options;
  ThreadPool pool;
  std::unique_ptr<bayesflow::detail::Ranks> ranks;  // null: this process alone
  bool keeps_checkpoints = false;                   // this process, or rank 0 for all
  bool is_consistent = false;                       // the networks have their widths
  std::unique_ptr<Workspace> workspace;
  std::unique_ptr<nn::Optimizer> optimizer;  // that goes on from call to call, or of the present run
  nn::Schedule schedule;                     // that came with it; empty: the default
  Counters counters;
  ReplayBuffer replay;
  std::vector<TrainingSummary> runs;
  mutable bayesflow::detail::PerProcess<std::mutex> runs_mutex;  // of changes of `runs`, which other threads may read while this one trains
  bayesflow::detail::InUse in_use;

  bayesflow::detail::ProcessUnique<Checkpoints> checkpoints;  // has a thread
  std::optional<Run> unfinished;                              // interrupted here, or found in a checkpoint
  bool unfinished_is_loaded = false;
  std::size_t passed = 0, loaded = 0;  // runs that a checkpoint brought, and how many of them this program has called again

  /// For as long as a training function runs: no other call may use the trainer or train the same networks.
  class Use {
   public:
    Use(TrainerState& state, const char* function);

   private:
    bayesflow::detail::InUse::Scope trainer_;
    bayesflow::detail::InUse::Scope networks_;
  };
  [[nodiscard]] std::vector<TrainingSummary> copy_of_runs() const;
  void add_run(const TrainingSummary& summary);

  void log(LogLevel level, const std::string& text) const;
  /// Keeps a warning in the summary and logs it, once.
  void warn(TrainingSummary& summary, std::string text) const;
  /// Gives the networks their widths, checks that everything fits together, and looks for a checkpoint.
  void check_consistency(const std::function<Simulations()>& two);
  /// Fits the adapters to the first simulations, unless that has been done: those of a pilot run, or given ones.
  void fit_to_pilot();
  void fit_to(const std::function<std::vector<Simulations>()>& first);
  std::vector<std::string> notes;  // about that, for the next run
  [[nodiscard]] const GenerativeModel& require_model(const char* function) const;
  [[nodiscard]] Simulating simulating(const Run& run) const {
    return {*model, options.seed, options.nonfinite, run.nonfinite, ranks.get()};
  }
  /// Of another sequence than the one that is trained on; by all ranks together.
  [[nodiscard]] Simulations simulate(std::int64_t n, std::string_view purpose, std::uint64_t first, const NonFinitePolicy& policy,
                                     NonFiniteCount& count);
  /// What f throws ends the other ranks, too.
  template <class F>
  auto together(F&& f) {
    try {
      return f();
    } catch (const bayesflow::detail::RanksError&) {
      throw;
    } catch (const std::exception& error) {
      if (ranks) ranks->fail(error.what());
      throw;
    } catch (...) {
      if (ranks) ranks->fail("an exception of an unknown class");
      throw;
    }
  }
  [[nodiscard]] bool overlaps() const;

  using SourceMaker = std::function<std::unique_ptr<BatchSource>(const Run&)>;
  TrainingSummary train(const RunSettings& settings, const SourceMaker& make_source);

  SeenData seen;  ///< what the networks have been given so far

  /// Counts a batch before it is trained on; after the first few data sets says what is wrong with their scale.
  void look_at(const Batch& inputs, TrainingSummary& summary);
  /// After training: data sets to look back with, simulated or given. None if a run is too short.
  [[nodiscard]] std::optional<Batch> reference(const BatchSource& source, const std::optional<Batch>& validation,
                                               const TrainingSummary& summary);
  /// `steps`: those of the run, whose averaged weights are `marks`. Puts the weights back.
  [[nodiscard]] Convergence convergence(const WeightMarks& marks, std::int64_t steps, const Batch& reference);
  void review(const Batch& held_out, TrainingSummary& summary);
  /// Keeps held-out data sets in numbers, to compare observed ones with. `first`: those of `reference`; `recent`: of the last steps.
  void keep_reference(const BatchSource& source, const std::optional<Batch>& validation, const Batch& first, std::span<const Batch> recent,
                      const TrainingSummary& summary);

  [[nodiscard]] LossTerms gradient(const Batch& inputs, bool has_decay);
  [[nodiscard]] LossTerms validate(const Batch& inputs, bool has_decay);
  [[nodiscard]] bool has_decay() const;

  [[nodiscard]] Snapshot snapshot(const Run* run) const;
  void restore(Snapshot snapshot, const std::string& file);
  void resume_from_checkpoint();

 private:
  [[nodiscard]] const TrainingSummary* ended_before(const RunSettings& settings);
  [[nodiscard]] Run begin(const RunSettings& settings);
  [[nodiscard]] std::optional<Batch> make_validation(const RunSettings& settings, const Run& run, TrainingSummary& summary);
  void require_same_start(const RunSettings& settings);
  void begin_optimizer(const RunSettings& settings, Run& run, bool resumed, std::int64_t total, const std::shared_ptr<double>& factor);
};

}  // namespace bayesflow::training

namespace bayesflow {
struct Trainer::State : training::TrainerState {
  using TrainerState::TrainerState;
};
}  // namespace bayesflow
