#include "bayesflow/training/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/version.hpp"
#include "core/denormals.hpp"
#include "training/interrupt.hpp"

namespace bayesflow {
namespace {

using Clock = std::chrono::steady_clock;

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

bool finite(const Losses& l) { return std::isfinite(l.total()); }
bool all_finite(const nn::ParameterStore& store) {
  return std::all_of(store.values(), store.values() + store.size(), [](float w) { return std::isfinite(w); });
}

/// The best weights so far, to return to when a run diverges. They are judged by the mean loss of kStretch steps, and taken
/// before the update of the last of these, so that they have just given a finite loss.
class BestWeights {
 public:
  explicit BestWeights(nn::ParameterStore& store) : store_(store), values_(store.values(), store.values() + store.size()) {}
  /// The loss of the present weights, `step` updates after the start; to be called before the next update.
  void judge(double loss, std::size_t step) {
    sum_ += loss;
    if (++count_ < kStretch) return;
    const double mean = sum_ / static_cast<double>(count_);
    sum_ = 0;
    count_ = 0;
    if (step_ != 0 && mean >= loss_) return;
    loss_ = mean;
    step_ = step;
    std::copy_n(store_.values(), values_.size(), values_.begin());
  }
  /// Puts them back; the answer says which they are.
  std::string restore() {
    std::copy(values_.begin(), values_.end(), store_.values());
    store_.refresh_transposed();
    return step_ == 0 ? "The weights from before training were put back."
                      : fmt::format("The best weights so far, those after {} steps, were put back.", step_);
  }

 private:
  static constexpr int kStretch = 100;
  nn::ParameterStore& store_;
  std::vector<float> values_;
  std::size_t step_ = 0;
  double loss_ = 0, sum_ = 0;
  int count_ = 0;
};

/// Runs a function when the scope is left, by an exception too.
template <class F>
class AtExit {
 public:
  explicit AtExit(F f) : f_(std::move(f)) {}
  ~AtExit() { f_(); }
  AtExit(const AtExit&) = delete;
  AtExit& operator=(const AtExit&) = delete;

 private:
  F f_;
};

}  // namespace

struct Trainer::State {
  AmortizedPosterior amortizer;
  GenerativeModel model;
  std::vector<TrainingSummary> runs;
  TrainerOptions options;
  ThreadPool pool;
  std::unique_ptr<nn::GradientBuffers> gradients;
  std::unique_ptr<nn::Optimizer> optimizer;
  nn::Schedule schedule;         // that came with the optimizer; empty: the default
  Tape tape;
  std::uint64_t simulated = 0;   // index of the next training simulation: calls in a row never repeat one
  std::uint64_t validated = 0;
  std::uint64_t steps = 0;       // over all calls

  State(AmortizedPosterior a, GenerativeModel m, TrainerOptions o)
      : amortizer(std::move(a)), model(std::move(m)), options(std::move(o)), pool(options.threads) {}

  void log(LogLevel level, const std::string& text) const {
    if (options.logger) options.logger(level, text);
  }
  Losses gradient(const Inputs& inputs, bool has_decay);
  void find_unlearnt(const Inputs& validation, TrainingSummary& summary);
};

Trainer::Trainer(AmortizedPosterior amortizer, GenerativeModel model, TrainerOptions options) {
  if (!(options.default_lr > 0) || !std::isfinite(options.default_lr))
    throw ConfigurationError(fmt::format("TrainerOptions::default_lr = {}; it must be positive and finite", options.default_lr));
  if (options.threads < 0) throw ConfigurationError(fmt::format("TrainerOptions::threads = {}; it must not be negative (0: all)", options.threads));
  if (!options.configurator) throw ConfigurationError("TrainerOptions::configurator is empty; give a callable or leave the default");
  state_ = std::make_unique<State>(std::move(amortizer), std::move(model), std::move(options));
  State& s = *state_;
  s.log(LogLevel::info, "Performing a consistency check with provided components...");
  try {
    const Inputs inputs = configure(s.model.simulate(2, s.options.seed, "check", 0));
    s.amortizer.build(inputs, s.options.seed);
    s.gradients = std::make_unique<nn::GradientBuffers>(s.amortizer.store(), kMaxLanes);
    s.tape.reset({.gradients = false, .training = false, .seed = s.options.seed, .pool = &s.pool});
    const auto check = s.amortizer.loss(s.tape, inputs);
    if (!std::isfinite(static_cast<double>(check.total.data()[0])))
      throw ConfigurationError("the loss of two simulations is not finite; check the scale of parameters and data");
  } catch (const std::exception& error) {
    throw ConfigurationError(fmt::format("Trainer: the consistency check failed, so model, configurator and networks do not fit together. Cause: {}", error.what()));
  }
  s.log(LogLevel::info, "Done.");
}

Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

AmortizedPosterior& Trainer::amortizer() { return state_->amortizer; }
const AmortizedPosterior& Trainer::amortizer() const { return state_->amortizer; }
const GenerativeModel& Trainer::model() const { return state_->model; }
const std::vector<TrainingSummary>& Trainer::runs() const { return state_->runs; }

Inputs Trainer::configure(const Simulations& simulations) const { return state_->options.configurator(simulations); }

Losses Trainer::State::gradient(const Inputs& inputs, bool has_decay) {
  const detail::FlushDenormals guard;
  amortizer.update_state();
  gradients->clear();
  tape.reset({.gradients = true, .training = true, .seed = options.seed, .step = steps, .lanes = gradients->lanes(), .pool = &pool});
  const auto t = amortizer.loss(tape, inputs);
  tape.backward(t.total);
  return {static_cast<double>(t.loss.data()[0]), t.summary_loss ? static_cast<double>(t.summary_loss.data()[0]) : 0.0,
          has_decay ? amortizer.weight_decay() : 0.0};
}

/// A stalled run returns the prior for a parameter: flat rank histograms and a fair loss do not show it, contraction does.
void Trainer::State::find_unlearnt(const Inputs& validation, TrainingSummary& summary) {
  constexpr std::int64_t kDraws = 50;
  constexpr double kLeast = 0.05;
  if (validation.parameters.rank() != 2 || validation.parameters.dim(0) < 20) return;
  const Array draws = amortizer.sample(validation, kDraws);
  const std::int64_t sets = draws.dim(0), width = draws.dim(2);
  const double n = static_cast<double>(kDraws);
  for (std::int64_t j = 0; j < width; ++j) {
    // The prior's variance is that within posteriors plus that between their means. Taken from the draws, and not from the
    // validation set's few parameters, both parts have the same scale and the ratio has little noise.
    double within = 0, mean_of_means = 0, between = 0;
    std::vector<double> means(static_cast<std::size_t>(sets), 0.0);
    for (std::int64_t b = 0; b < sets; ++b) {
      const auto draw = [&](std::int64_t k) { return draws.data()[(b * kDraws + k) * width + j]; };
      double& mean = means[static_cast<std::size_t>(b)];
      for (std::int64_t k = 0; k < kDraws; ++k) mean += draw(k) / n;
      for (std::int64_t k = 0; k < kDraws; ++k) within += (draw(k) - mean) * (draw(k) - mean) / ((n - 1) * static_cast<double>(sets));
      mean_of_means += mean / static_cast<double>(sets);
    }
    for (const double mean : means) between += (mean - mean_of_means) * (mean - mean_of_means) / static_cast<double>(sets - 1);
    between = std::max(0.0, between - within / n);  // means of few draws scatter by themselves
    const double contraction = between / (between + within);
    if (contraction < kLeast) {
      const auto& names = model.param_names();
      const std::string name = names.size() == static_cast<std::size_t>(width) ? names[static_cast<std::size_t>(j)] : fmt::format("theta_{}", j + 1);
      summary.warnings.push_back(fmt::format("{} was not learnt: its posterior is about as wide as its prior (contraction {:.2f}); train longer, try another "
                                             "seed, or check that the data say anything about it",
                                             name, contraction));
      log(LogLevel::warning, summary.warnings.back());
    }
  }
}

TrainingSummary Trainer::train_online(const OnlineOptions& options) {
  State& s = *state_;
  const auto positive = [](std::int64_t value, const char* name) {
    if (value < 1) throw ConfigurationError(fmt::format("OnlineOptions::{} = {}; it must be at least 1", name, value));
  };
  positive(options.epochs, "epochs");
  positive(options.iterations_per_epoch, "iterations_per_epoch");
  positive(options.batch_size, "batch_size");
  if (options.epochs > std::numeric_limits<std::int64_t>::max() / options.iterations_per_epoch)
    throw ConfigurationError(fmt::format("OnlineOptions: {} epochs of {} iterations are more steps than can be counted; use fewer", options.epochs,
                                         options.iterations_per_epoch));
  const std::int64_t total = options.epochs * options.iterations_per_epoch;

  TrainingSummary summary;
  summary.seed = s.options.seed;
  summary.threads = s.pool.threads();
  summary.instruction_set = instruction_set();
  const Clock::time_point start = Clock::now();

  std::optional<Inputs> validation;
  if (const auto* given = std::get_if<Simulations>(&options.validation_sims)) {
    validation = configure(*given);
  } else if (const std::int64_t n = std::get<std::int64_t>(options.validation_sims); n != 0) {
    positive(n, "validation_sims");
    const std::uint64_t first = std::exchange(s.validated, s.validated + static_cast<std::uint64_t>(n));
    validation = configure(s.model.simulate(n, s.options.seed, "validation", first, &s.pool));
    s.log(LogLevel::info, fmt::format("Generated {} simulations for validation.", n));
  }

  if (validation) validation->check("Trainer: the validation simulations, configured");

  // Moments and bias corrections may go on from the call before; the schedule starts anew (O50): the optimizer's own, or the
  // default over the steps of this call.
  if (options.optimizer || !s.optimizer) {
    nn::OptimizerOptions chosen = options.optimizer.value_or(nn::OptimizerOptions{});
    s.schedule = chosen.learning_rate;
    if (!chosen.learning_rate) chosen.learning_rate = nn::cosine(s.options.default_lr, total);
    s.optimizer = std::make_unique<nn::Optimizer>(s.amortizer.store(), std::move(chosen));
  } else {
    const nn::Schedule rate = s.schedule ? s.schedule : nn::cosine(s.options.default_lr, total);
    s.optimizer->set_schedule([from = s.optimizer->steps_taken(), rate](std::int64_t t) { return rate(t - from); });
  }
  const AtExit drop_optimizer([&] {
    if (!options.reuse_optimizer) s.optimizer.reset();
  });
  bool has_decay = false;
  for (const nn::ParameterInfo& p : s.amortizer.store().table()) has_decay = has_decay || p.l2 > 0;

  BestWeights best(s.amortizer.store());
  // Steps of a run should not touch the heap; a run that is meant to be stopped by hand may state absurdly many.
  constexpr std::int64_t kMostReserved = 1 << 20;
  summary.history.steps.reserve(static_cast<std::size_t>(std::min(total, kMostReserved)));
  summary.history.epochs.reserve(static_cast<std::size_t>(std::min(options.epochs, kMostReserved)));
  const InterruptGuard guard(s.options.handle_interrupt);
  bool running = true;
  const auto end = [&](TrainingSummary::Stop stop, std::string reason) {
    summary.stop = stop;
    summary.reason = std::move(reason);
    running = false;
  };
  summary.reason = "Training completed.";

  for (std::int64_t epoch = 1; epoch <= options.epochs && running; ++epoch) {
    EpochRecord record;
    const Clock::time_point epoch_start = Clock::now();
    Progress progress;
    progress.epoch = epoch;
    progress.epochs = options.epochs;
    progress.iterations = options.iterations_per_epoch;
    for (std::int64_t i = 1; i <= options.iterations_per_epoch && running; ++i) {
      Inputs inputs;
      {
        const Stopwatch watch(summary.simulate_seconds);
        // Counted before they are made: after a failed simulation the next call goes on behind it.
        const std::uint64_t first = std::exchange(s.simulated, s.simulated + static_cast<std::uint64_t>(options.batch_size));
        inputs = configure(s.model.simulate(options.batch_size, s.options.seed, "train", first, &s.pool));
        summary.simulations += options.batch_size;
      }
      if (inputs.batch_size() == 0)
        throw ConfigurationError(
            fmt::format("Trainer: the configurator kept none of the {} simulations of epoch {}, iteration {}; it may drop some, but one at "
                        "least must remain: simulate larger batches or drop fewer",
                        options.batch_size, epoch, i));
      StepRecord step;
      {
        const Stopwatch watch(summary.gradient_seconds);
        step.losses = s.gradient(inputs, has_decay);
      }
      nn::StepResult result;
      if (finite(step.losses)) {
        const Stopwatch watch(summary.update_seconds);
        best.judge(step.losses.total(), summary.history.steps.size());
        result = s.optimizer->step(*s.gradients, s.pool);
      }
      ++s.steps;
      step.learning_rate = result.learning_rate;
      step.gradient_norm = result.gradient_norm;
      summary.history.steps.push_back(step);
      if (!finite(step.losses) || !result.finite) {
        const std::string cause = inputs.non_finite();
        end(TrainingSummary::Stop::diverged,
            fmt::format("Training diverged in epoch {}, iteration {}: the {} is not finite{}. {} {}", epoch, i,
                        finite(step.losses) ? "gradient" : "loss", cause.empty() ? "" : ", because the configurator returned " + cause,
                        best.restore(),
                        cause.empty() ? "Lower the learning rate, or standardize parameters and data."
                                      : "Let the configurator drop or replace such values."));
        s.log(LogLevel::warning, summary.reason);
        break;
      }
      ++record.steps;
      const double n = static_cast<double>(record.steps);
      record.train.loss += (step.losses.loss - record.train.loss) / n;
      record.train.summary_loss += (step.losses.summary_loss - record.train.summary_loss) / n;
      record.train.weight_decay += (step.losses.weight_decay - record.train.weight_decay) / n;
      if (s.options.progress) {
        const auto done = static_cast<double>(summary.history.steps.size());
        progress.iteration = i;
        progress.losses = step.losses;
        progress.average_loss = record.train.total();
        progress.learning_rate = step.learning_rate;
        progress.iterations_per_second = n / std::max(since(epoch_start), 1e-9);
        progress.seconds_left = (static_cast<double>(total) - done) / progress.iterations_per_second;
        if (s.options.progress(progress) == Control::stop) end(TrainingSummary::Stop::stopped_by_callback, "Training was stopped by the progress callback.");
      }
      if (guard.interrupted())
        end(TrainingSummary::Stop::interrupted, fmt::format("Training was interrupted after epoch {}, iteration {}; the weights are those of this step.", epoch, i));
    }
    if (summary.stop != TrainingSummary::Stop::diverged && validation) {
      const Stopwatch watch(summary.validate_seconds);
      s.tape.reset({.gradients = false, .training = false, .seed = s.options.seed, .step = s.steps, .pool = &s.pool});
      const auto t = s.amortizer.loss(s.tape, *validation);
      record.validation = {static_cast<double>(t.loss.data()[0]), t.summary_loss ? static_cast<double>(t.summary_loss.data()[0]) : 0.0,
                           has_decay ? s.amortizer.weight_decay() : 0.0};
      record.validated = true;
      s.log(LogLevel::info, fmt::format("Validation, Epoch: {}, Loss: {:.3f}", epoch, record.validation.total()));
    }
    record.seconds = since(epoch_start);
    if (record.steps) {
      summary.history.epochs.push_back(record);
      if (s.options.progress && summary.stop != TrainingSummary::Stop::diverged) {
        progress.epoch_done = true;
        progress.validation = record.validated ? &record.validation : nullptr;
        if (s.options.progress(progress) == Control::stop && running)
          end(TrainingSummary::Stop::stopped_by_callback, "Training was stopped by the progress callback.");
      }
    }
  }
  if (summary.stop != TrainingSummary::Stop::diverged && !all_finite(s.amortizer.store())) {
    // The last update of a run is judged by no loss.
    end(TrainingSummary::Stop::diverged, fmt::format("Training diverged in its last step: a weight is not finite. {} Lower the learning rate.", best.restore()));
    s.log(LogLevel::warning, summary.reason);
  }
  if (validation && summary.stop == TrainingSummary::Stop::completed) s.find_unlearnt(*validation, summary);
  summary.seconds = since(start);
  s.runs.push_back(summary);
  return summary;
}

}  // namespace bayesflow
