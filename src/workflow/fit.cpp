#include "bayesflow/workflow/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "amortizers/kinds.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/training/trainer.hpp"
#include "workflow/density.hpp"
#include "workflow/look.hpp"

namespace bayesflow {
namespace {

constexpr std::int64_t kFewest = 100;         // simulations
constexpr std::int64_t kJudged = 1000;        // held-out simulations by which networks are compared where draws are needed for it
constexpr std::int64_t kTrialDraws = 256;     // to count the share within the bounds by, in trials
constexpr std::int64_t kFinalists = 2;        // trained in full before one is chosen
constexpr double kPays = 0.003;               // nats that more than one network must gain
constexpr std::int64_t kMostRegressed = 512;  // columns

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void check(const Simulations& s) {
  const std::int64_t n = s.prior_draws.dim(0);
  if (s.prior_draws.rank() != 2)
    throw ShapeError(fmt::format("fit: prior_draws must have shape (simulations, P); got {}", s.prior_draws.shape().to_string()));
  if (s.sim_data.rank() != 2 && s.sim_data.rank() != 3)
    throw ShapeError(
        fmt::format("fit: sim_data must have shape (simulations, d) or (simulations, n, d); got {}; train other data with a Trainer",
                    s.sim_data.shape().to_string()));
  s.for_each([](std::string_view name, FieldRole, const Array&) {
    if (name != "prior_draws" && name != "sim_data")
      throw ConfigurationError(fmt::format(
          "fit: it knows simulations of prior_draws and sim_data; these have {}, too. Train them with an adapter and a Trainer", name));
  });
  s.check_rows("fit");
  if (n < kFewest) throw ArgumentError(fmt::format("fit: it needs at least {} simulations; got {}", kFewest, n));
  for (const auto& [name, values] : {std::pair{"prior_draws", &s.prior_draws}, std::pair{"sim_data", &s.sim_data}})
    if (!values->all_finite())
      throw SimulationError(
          fmt::format("fit: {} holds values that are not finite; leave these simulations out, or mend the simulator", name));
}

/// Rows i with i modulo `every` = every - 1 are held out.
struct Split {
  Simulations train, held;
  Split(const Simulations& all, std::int64_t every) {
    std::vector<std::int64_t> first, second;
    for (std::int64_t i = 0; i < all.prior_draws.dim(0); ++i) (i % every == every - 1 ? second : first).push_back(i);
    train = all.take(first);
    held = all.take(second);
  }
};

/// What is tried, in a fixed order.
std::vector<FitPlan> candidates(const FitPlan& looked, std::int64_t rows) {
  FitPlan base = looked;
  base.batch_size = rows < 2000 ? 32 : rows < 30000 ? 128 : 256;
  base.learning_rate = rows < 2000 ? 1e-3 : 4e-3;
  base.epochs = rows < 2000 ? 90 : rows < 30000 ? 100 : 30;
  std::vector<FitPlan> out;
  const auto add = [&](CouplingDesign design, std::int64_t layers, std::int64_t units, double dropout, double decay) {
    FitPlan plan = base;
    plan.design = design;
    plan.layers = layers;
    plan.units = units;
    plan.dropout = dropout;
    plan.weight_decay = decay;
    out.push_back(plan);
  };
  for (const bool regress : {true, false}) {
    base.regress = regress;
    if (regress && base.data != DataKind::vector) continue;
    add(CouplingDesign::affine, 6, 32, 0.2, 1e-3);
    add(CouplingDesign::spline, 5, 64, 0.2, 1e-3);
    add(CouplingDesign::spline, 5, 64, 0.05, 1e-4);
    add(CouplingDesign::spline, 5, 64, 0, 0);
  }
  return out;
}

/// Epochs of a trial of the same number of simulations.
std::int64_t trial_epochs(std::int64_t rows) { return rows < 2000 ? 30 : rows < 30000 ? 20 : 10; }

struct Trained {
  std::optional<AmortizedPosterior> amortizer;
  workflow::MemberDensity density;  ///< of held-out simulations
  std::int64_t epochs = 0;
  double seconds = 0;
};

class Fit {
 public:
  Fit(const Simulations& simulations, std::vector<std::string> names, const FitOptions& options)
      : options_(options),
        names_(std::move(names)),
        began_(now()),
        every_(simulations.prior_draws.dim(0) < 2000 ? 5 : 10),
        split_(simulations, every_),
        looked_(workflow::look(simulations, options.data)),
        pool_(options.threads) {
    record_.simulations = simulations.prior_draws.dim(0);
    record_.held_out = split_.held.prior_draws.dim(0);
    record_.seed = options.seed;
    shape_ = simulations.sim_data.shape().slice(1, simulations.sim_data.rank());
    judged_ = split_.held;
    if (record_.held_out > kJudged) {
      std::vector<std::int64_t> rows(index(kJudged));
      std::iota(rows.begin(), rows.end(), std::int64_t{0});
      judged_ = split_.held.take(rows);
    }
  }

  Posterior run() {
    std::vector<FitPlan> plans = candidates(looked_, record_.simulations);
    if (shape_.size() > kMostRegressed) std::erase_if(plans, [](const FitPlan& p) { return p.regress; });
    // The linear regression, and unit scale, are of the simulations that are not held out, the same for all networks.
    for (const bool regress : {false, true}) {
      FitPlan plan = looked_;
      plan.regress = regress;
      if (regress && (plan.data != DataKind::vector || shape_.size() > kMostRegressed)) continue;
      adapters_[regress ? 1 : 0] = adapter_of(plan);
      adapters_[regress ? 1 : 0].fit(split_.train, names_);
    }
    say(fmt::format("fit: {} simulations, {} held out; trying {} networks", record_.simulations, record_.held_out, plans.size()));
    std::vector<Trained> trials(plans.size());
    pool_.for_each(static_cast<std::int64_t>(plans.size()), [&](std::int64_t i) {
      FitPlan plan = plans[index(i)];
      plan.epochs = trial_epochs(record_.simulations);
      trials[index(i)] = train(plan, options_.seed, fmt::format("trial_{}", i), kTrialDraws);
    });
    stop_if_interrupted();
    for (std::size_t i = 0; i < plans.size(); ++i) {
      const double score = log_score({&trials[i].density, 1});
      record_.trials.push_back({plans[i], score, trials[i].epochs, trials[i].seconds});
      say(fmt::format("fit: {:.4f} nats of log score for {}", score, to_string(plans[i])));
    }
    std::ranges::stable_sort(record_.trials, [](const FitTrial& a, const FitTrial& b) { return a.log_score > b.log_score; });
    // What is best after a short training need not be so after a long one: of networks with little regularization, say.
    const std::int64_t count = std::min<std::int64_t>(kFinalists, static_cast<std::int64_t>(record_.trials.size()));
    std::vector<Trained> finalists(index(count));
    pool_.for_each(count, [&](std::int64_t i) {
      finalists[index(i)] = train(record_.trials[index(i)].plan, options_.seed, fmt::format("final_{}_0", i));
    });
    stop_if_interrupted();
    std::size_t first = 0;
    std::vector<double> scores;
    for (std::size_t i = 0; i < finalists.size(); ++i) {
      scores.push_back(log_score({&finalists[i].density, 1}));
      say(fmt::format("fit: {:.4f} nats after the full training of {}", scores[i], to_string(record_.trials[i].plan)));
      if (scores[i] > scores[first]) first = i;
    }
    FitPlan plan = record_.trials[first].plan;
    std::rotate(record_.trials.begin(), record_.trials.begin() + static_cast<std::ptrdiff_t>(first),
                record_.trials.begin() + static_cast<std::ptrdiff_t>(first) + 1);
    plan.members = options_.max_members;
    say(fmt::format("fit: training {} networks: {}", plan.members, to_string(plan)));
    std::vector<Trained> members(index(plan.members));
    members[0] = std::move(finalists[first]);
    pool_.for_each(plan.members - 1, [&](std::int64_t m) {
      members[index(m + 1)] = train(plan, options_.seed + static_cast<std::uint64_t>(m + 1), fmt::format("final_{}_{}", first, m + 1));
    });
    stop_if_interrupted();
    return choose(plan, std::move(members));
  }

 private:
  void say(const std::string& line) const {
    if (options_.logger) options_.logger(LogLevel::info, line);
  }
  void stop_if_interrupted() const {
    if (interrupted_)
      throw Interrupted(
          options_.checkpoint_path.empty()
              ? "fit was interrupted; give a checkpoint_path, so that it goes on when it is run again"
              : fmt::format("fit was interrupted; run it again, and it goes on from \"{}\"", options_.checkpoint_path.string()));
  }

  Trained train(const FitPlan& plan, std::uint64_t seed, const std::string& name, std::int64_t draws = Posterior::kAcceptanceDraws) {
    Trained out;
    if (interrupted_) return out;
    const double began = now();
    out.amortizer.emplace(amortizer_of(plan, split_.train.prior_draws.dim(1), adapters_[plan.regress ? 1 : 0], 1));
    TrainerOptions trainer_options{.seed = seed, .threads = 1, .handle_interrupt = options_.handle_interrupt};
    if (!options_.checkpoint_path.empty()) {
      trainer_options.checkpoint_path = options_.checkpoint_path / name;
      trainer_options.max_to_keep = 1;
    }
    Trainer trainer(*out.amortizer, trainer_options);
    const TrainingSummary summary = trainer.train_offline(split_.train, workflow::training_of(plan, split_.train, split_.held));
    if (summary.stop == TrainingSummary::Stop::interrupted) interrupted_ = true;
    if (!interrupted_) out.density = workflow::member_density(*out.amortizer, plan, judged_, draws);
    out.epochs = static_cast<std::int64_t>(summary.history.epochs.size());
    out.seconds = now() - began;
    return out;
  }

  /// Of the mixture of networks, on held-out simulations.
  [[nodiscard]] double log_score(std::span<const workflow::MemberDensity> of) const {
    const double mean = workflow::log_mixture(of, looked_, judged_.prior_draws).mean();
    return std::isnan(mean) ? -std::numeric_limits<double>::infinity() : mean;
  }

  Posterior choose(FitPlan plan, std::vector<Trained> members) {
    std::size_t best = 0;
    std::vector<workflow::MemberDensity> densities;
    for (std::size_t m = 0; m < members.size(); ++m) {
      densities.push_back(members[m].density);
      record_.member_log_scores.push_back(log_score({&members[m].density, 1}));
      if (record_.member_log_scores[m] > record_.member_log_scores[best]) best = m;
    }
    const double together = log_score(densities);
    std::vector<AmortizedPosterior> kept;
    if (members.size() > 1 && together > record_.member_log_scores[best] + kPays) {
      record_.log_score = together;
      for (const Trained& t : members) kept.push_back(*t.amortizer);
    } else {
      record_.log_score = record_.member_log_scores[best];
      kept.push_back(*members[best].amortizer);
      record_.first_member = static_cast<std::int64_t>(best);
    }
    for (const AmortizedPosterior& member : kept) AmortizerAccess::set_threads(member, options_.threads);
    plan.members = static_cast<std::int64_t>(kept.size());
    record_.plan = plan;
    record_.prior_log_score = prior_log_score();
    record_.seconds = now() - began_;
    return Posterior(std::move(kept), plan, record_, names_, shape_);
  }

  /// Of held-out parameters under a normal density with the moments of the others, in the units of the plan (its logarithms).
  [[nodiscard]] double prior_log_score() const {
    double out = 0;
    for (std::int64_t c = 0; c < split_.train.prior_draws.dim(1); ++c) {
      const bool logs = std::ranges::find(looked_.log_parameters, c) != looked_.log_parameters.end();
      const auto at = [&](const Array& of, std::int64_t row) {
        const double v = of.data()[row * of.dim(1) + c];
        return logs ? std::log(v) : v;
      };
      const Array &train = split_.train.prior_draws, &held = judged_.prior_draws;
      double mean = 0, variance = 0;
      for (std::int64_t i = 0; i < train.dim(0); ++i) mean += at(train, i) / static_cast<double>(train.dim(0));
      for (std::int64_t i = 0; i < train.dim(0); ++i) variance += std::pow(at(train, i) - mean, 2) / static_cast<double>(train.dim(0));
      if (!(variance > 0)) continue;
      for (std::int64_t i = 0; i < held.dim(0); ++i)
        out += (-0.5 * std::log(2 * std::numbers::pi * variance) - 0.5 * std::pow(at(held, i) - mean, 2) / variance -
                (logs ? at(held, i) : 0.0)) /
               static_cast<double>(held.dim(0));
    }
    return out;
  }

  const FitOptions& options_;
  std::vector<std::string> names_;
  double began_;
  std::int64_t every_;
  Split split_;
  Simulations judged_;
  FitPlan looked_;
  Adapter adapters_[2];
  ThreadPool pool_;
  FitRecord record_;
  Shape shape_;
  std::atomic<bool> interrupted_ = false;
};

}  // namespace

OfflineOptions workflow::training_of(const FitPlan& plan, const Simulations& train, const Simulations& held) {
  const std::int64_t steps = (train.prior_draws.dim(0) + plan.batch_size - 1) / plan.batch_size * plan.epochs;
  return {.epochs = plan.epochs,
          .batch_size = plan.batch_size,
          .run = {.validation_sims = held,
                  .optimizer = nn::OptimizerOptions{.learning_rate = nn::cosine(plan.learning_rate, steps)},
                  .early_stopping = EarlyStoppingOptions{.patience = std::max<std::int64_t>(1, plan.epochs / 2)}}};
}

void FitOptions::validate() const {
  if (threads < 0) throw ConfigurationError(fmt::format("FitOptions::threads = {}; it must be at least 0", threads));
  if (max_members < 1 || max_members > 64)
    throw ConfigurationError(fmt::format("FitOptions::max_members = {}; it must be between 1 and 64", max_members));
}

Posterior fit(const Simulations& given, const FitOptions& options) {
  options.validate();
  if (options.simulations != 0)
    throw ConfigurationError(
        "fit: FitOptions::simulations is for a model, which makes as many; of given simulations all are used: leave it out");
  Simulations simulations = given;
  simulations.make_columns();
  check(simulations);
  const std::int64_t width = simulations.prior_draws.dim(1);
  std::vector<std::string> names = options.param_names.empty() ? diagnostics::default_param_names(width) : options.param_names;
  if (static_cast<std::int64_t>(names.size()) != width)
    throw ConfigurationError(fmt::format("fit: {} param_names were given for {} parameters", names.size(), width));
  return Fit(simulations, std::move(names), options).run();
}

Posterior fit(const GenerativeModel& model, const FitOptions& options) {
  options.validate();
  if (options.simulations < kFewest)
    throw ConfigurationError(fmt::format("fit: FitOptions::simulations = {}; a model needs to be told how many it makes, at least {}",
                                         options.simulations, kFewest));
  FitOptions rest = options;
  rest.simulations = 0;
  if (rest.param_names.empty()) rest.param_names = model.param_names();
  return fit(model(options.simulations), rest);
}

Posterior fit(const Prior& prior, const Simulator& simulator, const FitOptions& options) {
  return fit(GenerativeModel(prior, simulator, {.seed = options.seed, .threads = options.threads, .logger = options.logger}), options);
}

}  // namespace bayesflow
