/// The loop that all training functions share.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/version.hpp"
#include "core/fork.hpp"
#include "io/checksum.hpp"
#include "training/calls.hpp"
#include "training/interrupt.hpp"
#include "training/prefetch.hpp"
#include "training/state.hpp"

namespace bayesflow::training {
namespace {

using Clock = std::chrono::steady_clock;
using Stop = TrainingSummary::Stop;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Adds the time of its life to a counter.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total) {}
  ~Stopwatch() { total_ += since(start_); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  Clock::time_point start_ = Clock::now();
};

bool finite(const LossTerms& l) { return std::isfinite(l.total()); }
bool all_finite(const nn::ParameterStore& store) {
  return std::all_of(store.values(), store.values() + store.size(), [](float w) { return std::isfinite(w); });
}

void put_back(nn::ParameterStore& store, const std::vector<float>& values) {
  const nn::WeightLock::Updating updating(store.lock());
  std::copy(values.begin(), values.end(), store.values());
}

/// One call of a training function from where `run` stands.
class Loop {
 public:
  Loop(TrainerState& state, const RunSettings& settings, Run run, BatchSource& source, std::optional<Batch> validation, std::int64_t total,
       std::shared_ptr<double> factor, const InterruptGuard& guard);
  TrainingSummary go();

 private:
  [[nodiscard]] bool running() const { return !ended_; }
  /// False in a process that a user's function has forked off: the run's threads are missing there.
  [[nodiscard]] bool is_here() const { return bayesflow::detail::is_of_this_process(batches_); }
  void end(Stop stop, std::string reason);
  void step();
  void end_epoch();
  void diverge(const Batch& inputs, bool loss_is_finite);
  /// Whether the callback wants to stop.
  [[nodiscard]] bool report_step(const StepRecord& record);
  /// What rank 0's callback wants is what all do; an interruption of any is one of all. Throws RanksError if their results differ.
  void agree(bool& stop, bool& interrupted, const StepRecord& record);
  /// Checkpoints and what is said about them.
  void save();
  void collect_reports();
  void update_times();
  [[nodiscard]] std::int64_t steps_done() const { return static_cast<std::int64_t>(run_.summary.history.steps.size()); }
  void keep_for_looking_back(const Batch& inputs);
  void remark_on_best_epoch();
  [[nodiscard]] TrainingSummary finish();

  TrainerState& s_;
  const RunSettings& settings_;
  Run run_;
  BatchSource& source_;
  bayesflow::detail::ProcessUnique<Prefetcher> batches_;  // has a thread
  std::optional<Batch> validation_;
  std::int64_t total_;
  std::shared_ptr<double> factor_;
  const InterruptGuard& guard_;
  std::optional<EarlyStopper> stopper_;
  std::optional<RegressionLRAdjuster> adjuster_;
  Progress progress_;
  bool has_decay_, ended_ = false, consistent_ = true;
  std::string checkpoint_failure_;
  std::optional<Batch> last_;
  std::vector<Batch> recent_;  // of the last steps
  std::int64_t recent_bytes_ = 0;
  Clock::time_point start_ = Clock::now(), epoch_start_ = start_, saved_ = start_;
  double seconds_before_, epoch_seconds_before_;  // when this process took the run up
  std::int64_t epoch_steps_before_;
};

Loop::Loop(TrainerState& state, const RunSettings& settings, Run run, BatchSource& source, std::optional<Batch> validation,
           std::int64_t total, std::shared_ptr<double> factor, const InterruptGuard& guard)
    : s_(state),
      settings_(settings),
      run_(std::move(run)),
      source_(source),
      batches_(bayesflow::detail::make_in_process<Prefetcher>(source, state.pool, state.overlaps() && !source.makes_together(), run_.epoch,
                                                              run_.step)),
      validation_(std::move(validation)),
      total_(total),
      factor_(std::move(factor)),
      guard_(guard),
      has_decay_(state.has_decay()),
      seconds_before_(run_.summary.seconds),
      epoch_seconds_before_(run_.record.seconds),
      epoch_steps_before_(run_.step) {
  if (settings.run.early_stopping) {
    stopper_.emplace(*settings.run.early_stopping);
    stopper_->restore(run_.stopper);
  }
  if (settings.run.lr_adjuster) {
    adjuster_.emplace(*settings.run.lr_adjuster);
    if (!run_.adjuster.losses.empty()) adjuster_->restore(run_.adjuster);
    *factor_ = adjuster_->factor();
  }
  // Steps of a run should not touch the heap; a run that is meant to be stopped by hand may state absurdly many.
  constexpr std::int64_t kMostReserved = 1 << 20;
  run_.summary.history.steps.reserve(static_cast<std::size_t>(std::min(total_, kMostReserved)));
  run_.summary.history.epochs.reserve(static_cast<std::size_t>(std::min(source.epochs(), kMostReserved)));
  if (run_.best.values.empty()) run_.best.begin(s_.trainable->store());
  if (run_.marks.averages[0].values.size() != static_cast<std::size_t>(s_.trainable->store().size()))
    run_.marks.begin(s_.trainable->store());
}

void Loop::end(Stop stop, std::string reason) {
  run_.summary.stop = stop;
  run_.summary.reason = std::move(reason);
  ended_ = true;
}

void Loop::update_times() {
  run_.summary.seconds = seconds_before_ + since(start_);
  run_.record.seconds = epoch_seconds_before_ + since(epoch_start_);
}

TrainingSummary Loop::go() {
  progress_.epochs = source_.epochs();
  try {
    while (running() && run_.epoch < source_.epochs()) {
      const std::int64_t steps = source_.steps(run_.epoch);
      progress_.epoch = run_.epoch + 1;
      progress_.iterations = steps;
      progress_.epoch_done = false;
      progress_.validation = nullptr;
      while (running() && run_.step < steps) step();
      if (run_.step < steps && run_.summary.stop == Stop::interrupted) break;
      end_epoch();
    }
    return finish();
  } catch (...) {
    // The weights are those of the last step. So is the checkpoint, unless it was in the middle of one, or of the end of an epoch; then an
    // earlier one stays.
    if (is_here() && consistent_) save();
    if (is_here() && s_.checkpoints) s_.checkpoints->wait();
    throw;
  }
}

void Loop::step() {
  if (!is_here())
    throw ConfigurationError(
        "Trainer: this process was forked while the trainer trained, and only the parent process can go on with it; end the child where it "
        "was forked, or make a trainer there");
  const std::int64_t epoch = run_.epoch, at = run_.step;
  TrainingSummary& summary = run_.summary;
  // Counted before they are made: after a failed simulation the next call goes on behind it.
  s_.counters.simulated = run_.first.simulated + static_cast<std::uint64_t>(source_.simulations(epoch, at));
  PreparedBatch* batch = nullptr;
  const Batch* inputs = nullptr;
  {
    const Stopwatch watch(summary.simulate_seconds);
    batch = &batches_->next();
    source_.join(*batch);
    consistent_ = false;  // a replay buffer has the batch from now on
    inputs = &source_.use(epoch, at, *batch);
  }
  summary.simulations = source_.seen(epoch, at);
  run_.nonfinite = batch->count;
  summary.dropped = settings_.given.dropped + batch->count.dropped;
  summary.redrawn = batch->count.redrawn;
  for (const std::string& warning : batch->warnings) s_.warn(summary, warning);
  if (batch->rows == 0) {
    ++run_.step;
    consistent_ = true;
    return;
  }
  if (inputs->batch_size() == 0)
    throw ConfigurationError(
        fmt::format("Trainer: the configurator kept none of the {} simulations of epoch {}, iteration {}; it may drop some, but one at "
                    "least must remain: simulate larger batches or drop fewer",
                    batch->rows, epoch + 1, at + 1));
  // A prior's and a simulator's range is known well enough from every eighth batch.
  if (s_.counters.steps < 256 || s_.counters.steps % 8 == 0) s_.look_at(*inputs, summary);
  keep_for_looking_back(*inputs);
  StepRecord record;
  if (inputs->non_finite().empty()) {
    const Stopwatch watch(summary.gradient_seconds);
    record.losses = s_.gradient(*inputs, has_decay_);
  } else {  // networks may make a finite loss of such values
    record.losses = LossTerms(s_.loss_names);
    record.losses.set(0, std::numeric_limits<double>::quiet_NaN());
  }
  nn::StepResult result;
  const bool loss_is_finite = finite(record.losses);
  if (loss_is_finite) {
    const Stopwatch watch(summary.update_seconds);
    run_.best.judge(s_.trainable->store(), record.losses.objective(), static_cast<std::int64_t>(summary.history.steps.size()));
    result = s_.optimizer->step(s_.workspace->gradients, s_.pool);
  }
  ++s_.counters.steps;
  ++run_.step;
  consistent_ = true;
  record.learning_rate = result.learning_rate;
  record.gradient_norm = result.gradient_norm;
  summary.history.steps.push_back(record);
  run_.marks.add(s_.trainable->store(), steps_done());
  if (!loss_is_finite || !result.finite) return diverge(*inputs, loss_is_finite);
  EpochRecord& e = run_.record;
  ++e.steps;
  const double n = static_cast<double>(e.steps);
  if (!e.train.size()) e.train = LossTerms(s_.loss_names);
  for (std::size_t i = 0; i < e.train.size(); ++i) e.train.set(i, e.train.value(i) + (record.losses.value(i) - e.train.value(i)) / n);
  if (adjuster_) {
    adjuster_->update(record.losses.objective());
    if (adjuster_->factor() != *factor_) {
      *factor_ = adjuster_->factor();
      s_.log(LogLevel::info,
             fmt::format("Epoch: {}, Iter: {}, the loss no longer falls: learning rate times {}", epoch + 1, at + 1, *factor_));
    }
  }
  bool stop = s_.options.progress && report_step(record), interrupted = guard_.interrupted();
  if (s_.ranks) agree(stop, interrupted, record);
  if (stop) end(Stop::stopped_by_callback, "Training was stopped by the progress callback.");
  if (adjuster_ && adjuster_->stopping_issued() && running())
    end(Stop::plateau,
        fmt::format("Training ended after epoch {}, iteration {}: the loss no longer falls after {} reductions of the learning rate.",
                    epoch + 1, at + 1, adjuster_->state().resets));
  if (interrupted && running())
    end(Stop::interrupted,
        fmt::format("Training was interrupted after epoch {}, iteration {}; the weights are those of this step.", epoch + 1, at + 1));
  if (s_.checkpoints) {
    if (s_.checkpoints->has_report()) collect_reports();
    const bool epoch_ends = run_.step == source_.steps(epoch);  // then there is a checkpoint in any case
    if (running() && !epoch_ends && since(saved_) > 60 * s_.options.checkpoint_minutes) save();
  }
}

/// Functions with random numbers of their own are not called again after training: their last batches serve instead.
void Loop::keep_for_looking_back(const Batch& inputs) {
  constexpr std::int64_t kEnough = 256, kMostBytes = std::int64_t{64} << 20;
  if (!s_.model || s_.model->is_reproducible() || validation_) return;
  const std::int64_t rows_left = (total_ - steps_done() - 1) * inputs.batch_size();
  if (rows_left < ReferenceSample::kMost && recent_bytes_ < kMostBytes) {
    for (const Batch::Entry& entry : inputs.entries()) recent_bytes_ += entry.values.size() * 4;
    recent_.push_back(inputs);
  }
  if (rows_left >= kEnough) return;
  if (!last_ || !append(*last_, inputs)) last_ = inputs;  // data sets of another size: the newest count
}

void Loop::diverge(const Batch& inputs, bool loss_is_finite) {
  const std::string cause = inputs.non_finite();
  end(Stop::diverged, fmt::format("Training diverged in epoch {}, iteration {}: the {} is not finite{}. {} {}", run_.epoch + 1, run_.step,
                                  loss_is_finite ? "gradient" : "loss", cause.empty() ? "" : ", because the configurator returned " + cause,
                                  run_.best.restore(s_.trainable->store()),
                                  cause.empty() ? "Lower the learning rate, or standardize parameters and data."
                                                : "Let the configurator drop, replace or scale such values."));
  s_.log(LogLevel::warning, run_.summary.reason);
}

void Loop::agree(bool& stop, bool& interrupted, const StepRecord& record) {
  const auto all = s_.ranks->meet(bayesflow::detail::Meeting::decision,
                                  {stop ? 1 : 0, interrupted ? 1 : 0, std::bit_cast<std::int64_t>(record.losses.total()),
                                   std::bit_cast<std::int64_t>(record.gradient_norm)});
  for (std::size_t r = 0; r < all.size(); ++r) {
    stop = stop || all[r][0] != 0;
    interrupted = interrupted || all[r][1] != 0;
    if (all[r][2] != all[0][2] || all[r][3] != all[0][3])
      throw bayesflow::detail::RanksError(
          fmt::format("Trainer: in epoch {}, iteration {}, rank {} has loss {} and gradient norm {}, rank 0 has {} and {}. All ranks must "
                      "have the same data and processors of the same kind, and a configurator must give the same each time",
                      run_.epoch + 1, run_.step, r, std::bit_cast<double>(all[r][2]), std::bit_cast<double>(all[r][3]),
                      std::bit_cast<double>(all[0][2]), std::bit_cast<double>(all[0][3])));
  }
}

bool Loop::report_step(const StepRecord& record) {
  const auto done = static_cast<std::int64_t>(run_.summary.history.steps.size());
  progress_.iteration = run_.step;
  progress_.losses = record.losses;
  progress_.average_loss = run_.record.train.objective();
  progress_.learning_rate = record.learning_rate;
  progress_.iterations_per_second = static_cast<double>(run_.step - epoch_steps_before_) / std::max(since(epoch_start_), 1e-9);
  progress_.seconds_left = static_cast<double>(total_ - done) / progress_.iterations_per_second;
  return s_.options.progress(progress_) == Control::stop;
}

void Loop::end_epoch() {
  consistent_ = false;
  const bool diverged = run_.summary.stop == Stop::diverged;
  const bool complete = run_.step == source_.steps(run_.epoch);
  EpochRecord& e = run_.record;
  if (!diverged && validation_) {
    const Stopwatch watch(run_.summary.validate_seconds);
    e.validation = s_.validate(*validation_, has_decay_);
    e.validated = true;
    s_.log(LogLevel::info, fmt::format("Validation, Epoch: {}, Loss: {:.3f}", run_.epoch + 1, e.validation.objective()));
  }
  if (!diverged && stopper_ && e.validated) {
    const double loss = e.validation.objective();
    if (std::isfinite(loss) && (run_.best_epoch.epoch == 0 || loss < run_.best_epoch.loss)) {
      const nn::ParameterStore& store = s_.trainable->store();
      run_.best_epoch.values.assign(store.values(), store.values() + store.size());
      run_.best_epoch.epoch = run_.epoch + 1;
      run_.best_epoch.loss = loss;
    }
    if (stopper_->update_and_recommend(loss) && running())
      end(Stop::stopped_early,
          fmt::format("Training was stopped early after epoch {}: the validation loss has not improved by {} for {} epochs.",
                      run_.epoch + 1, stopper_->options().min_improvement, stopper_->options().patience));
  }
  update_times();
  if (e.steps) {
    run_.summary.history.epochs.push_back(e);
    if (!diverged) {
      bool stop = false, interrupted = false;
      if (s_.options.progress) {
        progress_.epoch_done = true;
        progress_.validation = e.validated ? &run_.summary.history.epochs.back().validation : nullptr;
        stop = s_.options.progress(progress_) == Control::stop;
      }
      if (s_.ranks) agree(stop, interrupted, {e.validation, 0, 0});
      if (stop && running()) end(Stop::stopped_by_callback, "Training was stopped by the progress callback.");
    }
  }
  if (!complete) return;
  consistent_ = true;
  ++run_.epoch;
  run_.step = 0;
  e = EpochRecord();
  epoch_start_ = Clock::now();
  epoch_seconds_before_ = 0;
  epoch_steps_before_ = 0;
  // The interruption came with the last step of all.
  if (run_.epoch == source_.epochs() && run_.summary.stop == Stop::interrupted) end(Stop::completed, "Training completed.");
  if (running() && run_.epoch < source_.epochs()) save();
}

void Loop::save() {
  if (!s_.keeps_checkpoints) return;
  update_times();
  if (stopper_) run_.stopper = stopper_->state();
  if (adjuster_) run_.adjuster = adjuster_->state();
  if (!s_.checkpoints) return;  // rank 0 has them
  saved_ = Clock::now();
  s_.checkpoints->write(s_.snapshot(&run_));
}

void Loop::collect_reports() {
  const Checkpoints::Report report = s_.checkpoints->report();
  for (const std::string& file : report.written) {
    run_.summary.checkpoint = file;
    s_.log(LogLevel::info, fmt::format("Checkpoint {} was written.", file));
    checkpoint_failure_.clear();
  }
  for (const std::string& failure : report.failures) {
    checkpoint_failure_ = fmt::format("A checkpoint could not be written: {}", failure);
    s_.log(LogLevel::warning, checkpoint_failure_ + " Training goes on.");
  }
}

/// A validation loss that was lowest long before the end has two causes with opposite remedies.
void Loop::remark_on_best_epoch() {
  constexpr double kRise = 0.05;  // nats
  const auto& epochs = run_.summary.history.epochs;
  std::size_t best = epochs.size(), last = best, steps = 0, best_step = 0;
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    steps += static_cast<std::size_t>(epochs[i].steps);
    if (!epochs[i].validated || !std::isfinite(epochs[i].validation.objective())) continue;
    last = i;
    if (best < epochs.size() && epochs[i].validation.objective() >= epochs[best].validation.objective()) continue;
    best = i;
    best_step = steps;
  }
  if (best == last || best_step == 0 || best_step > run_.summary.history.steps.size()) return;
  const double low = epochs[best].validation.objective(), end = epochs[last].validation.objective();
  double highest = 0;
  for (const StepRecord& step : run_.summary.history.steps) highest = std::max(highest, step.learning_rate);
  const double share = highest > 0 ? run_.summary.history.steps[best_step - 1].learning_rate / highest : 0;
  const bool early = 4 * static_cast<std::int64_t>(best + 1) <= source_.epochs() && share >= 0.5;
  const bool kept = run_.summary.kept_epoch != 0;
  if (kept ? !early : end < low + kRise) return;
  std::string text = fmt::format("The validation loss was lowest, {:.4f}, after epoch {} of {}, and is {:.4f} after epoch {}", low,
                                 best + 1, source_.epochs(), end, last + 1);
  text += kept ? "; the weights of the former were kept." : "; the weights are those of the last step.";
  if (early)
    text += fmt::format(" The learning rate was {:.0f} % of its highest then: most of the gain comes while it falls.", 100 * share);
  text +=
      " If the training loss went on falling, the simulations are overfitted: use more of them, dropout or weight decay, or fewer epochs";
  if (!kept) text += ", or early_stopping";
  text += early ? ". If not, the epochs were only noisy: lower the learning rate, or raise the patience to a third of the epochs." : ".";
  s_.warn(run_.summary, std::move(text));
}

TrainingSummary Loop::finish() {
  TrainingSummary& summary = run_.summary;
  const bool unfinished = summary.stop == Stop::interrupted;
  if (summary.stop != Stop::diverged && !all_finite(s_.trainable->store())) {
    // The last update of a run is judged by no loss.
    end(Stop::diverged, fmt::format("Training diverged in its last step: a weight is not finite. {} Lower the learning rate.",
                                    run_.best.restore(s_.trainable->store())));
    s_.log(LogLevel::warning, summary.reason);
  } else if (unfinished) {
    save();
    s_.unfinished.reset();
    if (s_.keeps_checkpoints) {
      update_times();
      s_.unfinished = run_;
      s_.unfinished_is_loaded = false;
    }
    // The caller sees the epoch as far as it went; the run that may go on does not.
    if (run_.record.steps) end_epoch();
  } else {
    // Those of simulated batches; given data were reported at the start.
    const std::int64_t dropped = run_.nonfinite.dropped, redrawn = run_.nonfinite.redrawn;
    if (dropped || redrawn)
      s_.warn(summary,
              fmt::format("{} of {} simulations were not finite and were {}; what was learnt is the posterior given a finite simulation.",
                          dropped + redrawn, run_.nonfinite.simulated, dropped ? "dropped" : "redrawn"));
    if (stopper_ && run_.best_epoch.epoch != 0 && run_.best_epoch.epoch != run_.epoch && summary.stop != Stop::diverged) {
      put_back(s_.trainable->store(), run_.best_epoch.values);
      summary.kept_epoch = run_.best_epoch.epoch;
      summary.reason += fmt::format(" The weights of epoch {}, with the lowest validation loss {:.4f}, were put back.",
                                    run_.best_epoch.epoch, run_.best_epoch.loss);
    }
    if (summary.stop != Stop::diverged && summary.stop != Stop::stopped_by_callback) remark_on_best_epoch();
  }
  const bool learnt_all_it_could = summary.stop == Stop::completed || summary.stop == Stop::stopped_early || summary.stop == Stop::plateau;
  if (learnt_all_it_could) {
    std::optional<Batch> reference = s_.reference(source_, validation_, summary);
    if (!reference) reference = std::move(last_);
    if (reference) {
      s_.review(*reference, summary);
      s_.keep_reference(source_, validation_, *reference, recent_, summary);
      if (summary.kept_epoch == 0) summary.convergence = s_.convergence(run_.marks, steps_done(), *reference);
    }
    if (const Convergence& c = summary.convergence; !c.sentence.empty()) s_.log(LogLevel::info, c.sentence);
  }
  if (!learnt_all_it_could) s_.seen.reference = {};  // its summaries were of other weights
  s_.trainable->set_seen(s_.seen);
  summary.seconds = seconds_before_ + since(start_);
  if (s_.checkpoints) {
    if (summary.stop != Stop::interrupted) {
      if (!settings_.run.reuse_optimizer) s_.optimizer.reset();
      Snapshot last = s_.snapshot(nullptr);
      last.runs.push_back(summary);
      s_.checkpoints->write(std::move(last));
    }
    s_.checkpoints->wait();
    collect_reports();
    if (!checkpoint_failure_.empty()) summary.warnings.push_back(checkpoint_failure_);  // it is in the log
  }
  s_.add_run(summary);
  return summary;
}

}  // namespace

void BestWeights::begin(const nn::ParameterStore& store) { values.assign(store.values(), store.values() + store.size()); }

void BestWeights::judge(const nn::ParameterStore& store, double present, std::int64_t steps) {
  sum += present;
  if (++count < kStretch) return;
  const double mean = sum / static_cast<double>(count);
  sum = 0;
  count = 0;
  if (step != 0 && mean >= loss) return;
  loss = mean;
  step = steps;
  std::copy_n(store.values(), values.size(), values.begin());
}

std::string BestWeights::restore(nn::ParameterStore& store) const {
  put_back(store, values);
  return step == 0 ? "The weights from before training were put back."
                   : fmt::format("The best weights so far, those after {} steps, were put back.", step);
}

const TrainingSummary* TrainerState::ended_before(const RunSettings& settings) {
  if (options.resume != Resume::program || passed >= loaded) return nullptr;
  if (!is_same_run(runs[passed], settings.identity)) {
    if (unfinished)
      throw ConfigurationError(
          fmt::format("Trainer: this call is not the checkpoint's run {}. {}; repeat the calls as they were, set TrainerOptions::resume = "
                      "Resume::state to begin new ones, or use another folder",
                      passed + 1, differences(runs[passed], settings.identity, settings.call)));
    passed = loaded;
    return nullptr;
  }
  if (settings.run.optimizer && settings.run.reuse_optimizer) {
    schedule = settings.run.optimizer->learning_rate;
  }
  log(LogLevel::warning,
      fmt::format(
          "{} trained nothing, because the checkpoint has it as a call that ended: {} Its losses are returned. To train on, make another "
          "call behind it, set TrainerOptions::resume = Resume::state, or use another folder.",
          settings.call.substr(0, settings.call.find('(')), runs[passed].brief()));
  return &runs[passed++];
}

namespace {

void name_run(TrainingSummary& summary, const RunSettings& settings) {
  summary.call = settings.call;
  summary.settings = settings.identity.settings;
  summary.identity = settings.identity.hash;
}

}  // namespace

Run TrainerState::begin(const RunSettings& settings) {
  if (unfinished && options.resume == Resume::program) {
    if (is_same_run(unfinished->summary, settings.identity)) {
      Run run = std::move(*unfinished);
      unfinished.reset();
      name_run(run.summary, settings);
      run.summary.stop = TrainingSummary::Stop::completed;
      if (unfinished_is_loaded) ++run.summary.resumed;
      log(LogLevel::info, fmt::format("Goes on after epoch {}, iteration {}.", run.step ? run.epoch + 1 : run.epoch, run.step));
      return run;
    }
    if (unfinished_is_loaded)
      throw ConfigurationError(
          fmt::format("Trainer: this call is not the checkpoint's unfinished run. {}; repeat the call as it was, set "
                      "TrainerOptions::resume = Resume::state to begin a new one, or use another folder",
                      differences(unfinished->summary, settings.identity, settings.call)));
  }
  if (unfinished && !unfinished->keeps_optimizer) optimizer.reset();
  unfinished.reset();
  Run run;
  run.keeps_optimizer = settings.run.reuse_optimizer;
  name_run(run.summary, settings);
  run.summary.seed = options.seed;
  run.summary.instruction_set = instruction_set();
  run.first = counters;
  run.optimizer_first = -1;
  for (std::string& note : notes) warn(run.summary, std::move(note));
  notes.clear();
  if (settings.given.dropped) {
    run.summary.dropped = settings.given.dropped;
    warn(run.summary, fmt::format("{} of {} given simulations were not finite and were dropped; the first: {}.", settings.given.dropped,
                                  settings.given.simulated, settings.first_given));
  }
  return run;
}

std::optional<Batch> TrainerState::make_validation(const RunSettings& settings, const Run& run, TrainingSummary& summary) {
  std::optional<Batch> validation;
  if (const auto* given = std::get_if<Simulations>(&settings.run.validation_sims)) {
    NonFiniteCount bad;
    std::string first;
    validation = options.configurator(finite_part(*given, "the validation data", options, bad, first));
    if (bad.dropped && run.epoch == 0 && run.step == 0)
      summary.warnings.push_back(fmt::format("{} of {} validation simulations were not finite and were dropped; the first: {}.",
                                             bad.dropped, bad.simulated, first));
  } else if (const std::int64_t n = std::get<std::int64_t>(settings.run.validation_sims); n != 0) {
    (void)require_model("validation_sims as a number");
    const std::uint64_t first = run.first.validated;
    counters.validated = std::max(counters.validated, first + static_cast<std::uint64_t>(n));
    NonFiniteCount bad;
    const Simulations simulations = simulate(n, "validation", first, options.nonfinite, bad);
    validation = options.configurator(simulations);
    if ((bad.dropped || bad.redrawn) && run.epoch == 0 && run.step == 0)
      warn(summary, fmt::format("{} of {} validation simulations were not finite and were {}.", bad.dropped + bad.redrawn, bad.simulated,
                                bad.dropped ? "dropped" : "redrawn"));
    log(LogLevel::info, fmt::format("Generated {} simulations for validation.", n));
  }
  if (validation) validation->check("Trainer: the validation simulations, configured");
  if (settings.run.early_stopping && !validation)
    throw ConfigurationError(
        "Trainer: early_stopping looks at the validation loss; set validation_sims to a number of simulations, or to simulations");
  return validation;
}

void TrainerState::begin_optimizer(const RunSettings& settings, Run& run, bool resumed, std::int64_t total,
                                   const std::shared_ptr<double>& factor) {
  // Moments and bias corrections may go on from the call before; the schedule starts anew (O50): the optimizer's own, or the
  // default over the steps of this call.
  if (!resumed && (settings.run.optimizer || !optimizer)) {
    nn::OptimizerOptions chosen = settings.run.optimizer.value_or(nn::OptimizerOptions{});
    schedule = chosen.learning_rate;
    chosen.learning_rate = nn::constant(options.default_lr);
    optimizer = std::make_unique<nn::Optimizer>(trainable->store(), std::move(chosen), options.communicator);
  } else if (settings.run.optimizer) {
    schedule = settings.run.optimizer->learning_rate;
  }
  if (schedule.is_lost())
    throw ConfigurationError(
        "Trainer: the optimizer that the checkpoint brought had a learning rate that is a function of yours, which no file can hold; "
        "repeat "
        "the call that made it, or give an optimizer");
  if (run.optimizer_first < 0) run.optimizer_first = optimizer->steps_taken();
  nn::Schedule rate = schedule;
  if (!rate) rate = settings.run.lr_adjuster ? nn::constant(options.default_lr) : nn::cosine(options.default_lr, total);
  const std::int64_t from = run.optimizer_first;
  if (settings.run.lr_adjuster)
    optimizer->set_schedule([from, rate, factor](std::int64_t t) { return *factor * rate(t - from); });
  else
    optimizer->set_schedule([from, rate](std::int64_t t) { return rate(t - from); });
}

void TrainerState::require_same_start(const RunSettings& settings) {
  const nn::ParameterStore& store = trainable->store();
  const auto checksum = [](const auto& values) { return static_cast<std::int64_t>(io::xxh64(std::as_bytes(std::span(values)))); };
  std::uint64_t of_buffers = 0;
  for (const nn::Buffer& buffer : store.buffers())
    of_buffers = io::xxh64(std::as_bytes(std::span(buffer.floats)), io::xxh64(std::as_bytes(std::span(buffer.integers)), of_buffers));
  const auto all =
      ranks->meet(bayesflow::detail::Meeting::run,
                  {checksum(settings.identity.settings), checksum(std::span(store.values(), static_cast<std::size_t>(store.size()))),
                   static_cast<std::int64_t>(of_buffers), static_cast<std::int64_t>(counters.steps)});
  for (std::size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    const bool settings_differ = all[r][0] != all[0][0];
    throw bayesflow::detail::RanksError(fmt::format(
        "Trainer: rank {} of {} {} than rank 0; all ranks must make the same calls with the same options, data and networks{}", r,
        all.size(), settings_differ ? "calls another training function, or with other options or data," : "begins with other weights",
        settings_differ ? fmt::format(". Here it is {}", settings.call) : std::string()));
  }
}

TrainingSummary TrainerState::train(const RunSettings& settings, const SourceMaker& make_source) {
  if (const TrainingSummary* ended = ended_before(settings)) return *ended;
  const InterruptGuard guard(options.handle_interrupt);
  if (ranks) require_same_start(settings);
  const bool resumes = unfinished && options.resume == Resume::program && is_same_run(unfinished->summary, settings.identity);
  Run run = begin(settings);
  run.summary.reason = "Training completed.";
  run.summary.threads = pool.threads();
  std::optional<Batch> validation = make_validation(settings, run, run.summary);
  const std::unique_ptr<BatchSource> source = make_source(run);
  const std::int64_t total = source->total_steps();
  const auto factor = std::make_shared<double>(1.0);
  begin_optimizer(settings, run, resumes, total, factor);
  workspace = std::make_unique<Workspace>(trainable->store(), options.precision);
  struct GiveBack {
    TrainerState& state;
    bool keep_optimizer;
    ~GiveBack() {
      state.workspace.reset();
      if (!keep_optimizer && !state.unfinished) state.optimizer.reset();
    }
  } const give_back{*this, settings.run.reuse_optimizer};
  return Loop(*this, settings, std::move(run), *source, std::move(validation), total, factor, guard).go();
}

}  // namespace bayesflow::training
