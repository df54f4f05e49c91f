#include "bayesflow/training/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "core/denormals.hpp"
#include "training/calls.hpp"
#include "training/state.hpp"

namespace bayesflow {

using training::RunSettings;

void TrainerOptions::validate() const { validate_described(*this, "TrainerOptions"); }

EnumNames<Overlap> names_of(Overlap) { return {{Overlap::automatic, "auto"}, {Overlap::on, "on"}, {Overlap::off, "off"}}; }
EnumNames<Resume> names_of(Resume) { return {{Resume::program, "program"}, {Resume::state, "state"}}; }

namespace training {

namespace {
constexpr const char *kTrained = "amortizer is trained", *kTrainAnother = "wait for its end, or train another amortizer";
}

TrainerState::TrainerState(std::shared_ptr<Trainable> t, std::optional<GenerativeModel> m, TrainerOptions o)
    : trainable(std::move(t)), model(std::move(m)), options(std::move(o)), pool(options.threads) {
  if (!trainable) throw ArgumentError("Trainer: there is nothing to train (a null pointer); give an amortizer");
  trainable->require_trainable();
  loss_names = names_with_decay(*trainable);
  if (const auto known = trainable->seen()) seen = *known;
  options.nonfinite.missing = options.nonfinite.missing || trainable->fills_missing();
  const std::vector<std::string> adapters = trainable->adapters();
  if (options.configurator && std::ranges::any_of(adapters, [](const std::string& text) { return !text.empty(); }))
    throw ConfigurationError(
        "TrainerOptions::configurator is given, and what is trained has an adapter, which takes its place; leave one of them out");
  if (!options.configurator)
    options.configurator = [own = trainable](const Simulations& simulations) { return own->configure(simulations); };
  if (options.communicator && options.communicator->size() > 1) {
    ranks = std::make_unique<bayesflow::detail::Ranks>(options.communicator);
    if (ranks->rank() > 0) options.logger = {}, options.progress = {};
  }
  keeps_checkpoints = !options.checkpoint_path.empty();
  if (keeps_checkpoints && (!ranks || ranks->rank() == 0))
    together([&] { checkpoints = bayesflow::detail::make_in_process<Checkpoints>(options.checkpoint_path, options.max_to_keep); });
}

TrainerState::Use::Use(TrainerState& state, const char* function)
    : trainer_(state.in_use, fmt::format("Trainer::{}", function), "trainer is training",
               "wait for its end, or make another trainer with an amortizer of its own"),
      networks_(state.trainable->store().training_claim(), fmt::format("Trainer::{}", function), kTrained, kTrainAnother) {
  state.trainable->require_trainable();
  if (state.checkpoints && !bayesflow::detail::is_of_this_process(state.checkpoints))
    throw ConfigurationError(fmt::format(
        "Trainer::{}: this trainer was made in the parent process, which keeps its checkpoint folder \"{}\"; make another trainer in "
        "this process, with a folder of its own",
        function, state.checkpoints->folder().string()));
}

std::vector<TrainingSummary> TrainerState::copy_of_runs() const {
  const std::lock_guard lock(runs_mutex.get());
  return runs;
}

void TrainerState::add_run(const TrainingSummary& summary) {
  const std::lock_guard lock(runs_mutex.get());
  runs.push_back(summary);
}

void TrainerState::log(LogLevel level, const std::string& text) const {
  if (options.logger) options.logger(level, text);
}

void TrainerState::warn(TrainingSummary& summary, std::string text) const {
  log(LogLevel::warning, text);
  summary.warnings.push_back(std::move(text));
}

const GenerativeModel& TrainerState::require_model(const char* function) const {
  if (!model)
    throw ConfigurationError(
        fmt::format("Trainer: {} simulates, but this trainer was made without a generative model; give it one", function));
  return *model;
}

bool TrainerState::overlaps() const {
  if (options.overlap != Overlap::automatic) return options.overlap == Overlap::on;
  return model && pool.threads() > 1 && !model->simulates_on_all_threads();
}

void TrainerState::fit_to(const std::function<std::vector<Simulations>()>& first) {
  if (trainable->pilot() == 0) return;
  for (std::string& note : trainable->fit(first(), model ? model->param_names() : std::vector<std::string>()))
    notes.push_back(std::move(note));
}

Simulations TrainerState::simulate(std::int64_t n, std::string_view purpose, std::uint64_t first, const NonFinitePolicy& policy,
                                   NonFiniteCount& count) {
  if (!ranks) return model->simulate(n, options.seed, purpose, first, &pool, policy, count);
  return join(*ranks, simulate_share(*ranks, *model, n, options.seed, purpose, first, &pool, policy), count);
}

void TrainerState::fit_to_pilot() {
  const std::int64_t count = trainable->pilot();
  fit_to([&] {
    // Of simulations with a context that a batch shares, several batches.
    constexpr std::int64_t kBatches = 32;
    const std::int64_t each = model->has_non_batchable_context() ? std::max<std::int64_t>(2, count / kBatches) : count;
    std::vector<Simulations> out;
    NonFiniteCount ignored;
    for (std::int64_t first = 0; first < count; first += each)
      out.push_back(simulate(each, "pilot", static_cast<std::uint64_t>(first), options.nonfinite, ignored));
    std::erase_if(out, [](const Simulations& part) { return part.batch_size() == 0; });
    return out;
  });
}

void TrainerState::check_consistency(const std::function<Simulations()>& two) {
  log(LogLevel::info, "Performing a consistency check with provided components...");
  try {
    const Batch inputs = options.configurator(two());
    if (const std::string bad = inputs.non_finite(); !bad.empty())
      throw ConfigurationError(fmt::format("the configurator returned {}; let it drop, replace or scale such values", bad));
    if (const std::string bad = inputs.wrong_mask(); !bad.empty()) throw ConfigurationError("the configurator returned " + bad);
    trainable->build(inputs, options.seed);
    Tape tape;
    tape.reset({.gradients = false, .training = false, .seed = options.seed, .pool = &pool, .precision = options.precision});
    const auto check = trainable->loss(tape, inputs);
    if (!std::isfinite(static_cast<double>(check.total.data()[0])))
      throw ConfigurationError("the loss of two simulations is not finite; check the scale of parameters and data");
  } catch (const bayesflow::detail::RanksError&) {
    throw;
  } catch (const std::exception& error) {
    throw ConfigurationError(fmt::format(
        "Trainer: the consistency check failed, so model, configurator and networks do not fit together. Cause: {}", error.what()));
  }
  is_consistent = true;
  log(LogLevel::info, "Done.");
  if (keeps_checkpoints) resume_from_checkpoint();
}

LossTerms::Names names_with_decay(const Trainable& trainable) {
  auto names = std::make_shared<std::vector<std::string>>(trainable.loss_names());
  names->emplace_back(kWeightDecay);
  return names;
}

bool has_decay(const Trainable& trainable) {
  for (const nn::ParameterInfo& p : trainable.store().table())
    if (p.l2 > 0) return true;
  return false;
}

bool TrainerState::has_decay() const { return training::has_decay(*trainable); }

namespace {

/// Adds the values of a batch's terms to `out`, times `share`.
void add_terms(LossTerms& out, const Trainable::LossTensors& tensors, double share) {
  for (std::size_t i = 0; i + 1 < out.size(); ++i) out.set(i, out.value(i) + share * static_cast<double>(tensors.terms[i].data()[0]));
}

}  // namespace

LossTerms gradient_of(Trainable& trainable, const Batch& inputs, Workspace& workspace, const LossTerms::Names& names, bool has_decay,
                      std::uint64_t seed, std::uint64_t step, ThreadPool& pool, bayesflow::detail::Ranks* ranks) {
  const bayesflow::detail::FlushDenormals guard;
  {
    const nn::WeightLock::Updating updating(trainable.store().lock());  // one step's weights and buffers, for who reads meanwhile
    trainable.update_state();
  }
  auto& [tape, gradients, precision] = workspace;
  gradients.clear();
  tape.reset({.gradients = true,
              .training = true,
              .seed = seed,
              .step = step,
              .lanes = &gradients,
              .pool = &pool,
              .precision = precision,
              .ranks = ranks});
  const Trainable::LossTensors t = trainable.loss(tape, inputs);
  const bool counts = !ranks || ranks->rank() == 0;  // others may have no lane
  if (precision != Precision::float32 && counts && tape.bfloat16_flops() == 0)
    throw ConfigurationError(
        "Trainer: precision is bfloat16, but these networks multiply nothing in it: that takes a dense layer with 32 inputs and 5 outputs "
        "or more; leave it at float32");
  tape.backward(t.total);
  LossTerms out(names);
  add_terms(out, t, 1);
  if (has_decay) out.set(out.size() - 1, trainable.weight_decay());
  return out;
}

LossTerms TrainerState::gradient(const Batch& inputs, bool has_decay) {
  return gradient_of(*trainable, inputs, *workspace, loss_names, has_decay, options.seed, counters.steps, pool, ranks.get());
}

LossTerms TrainerState::validate(const Batch& inputs, bool has_decay) {
  // In pieces, so that memory does not grow with the validation data (O53).
  constexpr std::int64_t kPiece = 1024;
  const std::int64_t all = inputs.batch_size();
  LossTerms out(loss_names);
  Tape& tape = workspace->tape;
  for (std::int64_t first = 0; first < all; first += kPiece) {
    const std::int64_t last = std::min(all, first + kPiece);
    tape.reset({.gradients = false,
                .training = false,
                .seed = options.seed,
                .step = counters.steps,
                .pool = &pool,
                .precision = options.precision,
                .ranks = ranks.get()});
    add_terms(out, trainable->loss(tape, all > kPiece ? inputs.rows(first, last) : inputs),
              static_cast<double>(last - first) / static_cast<double>(all));
  }
  if (has_decay) out.set(out.size() - 1, trainable->weight_decay());
  return out;
}

Snapshot TrainerState::snapshot(const Run* run) const {
  Snapshot out;
  const nn::ParameterStore& store = trainable->store();
  out.seed = options.seed;
  out.table = store.table();
  out.weights.assign(store.values(), store.values() + store.size());
  out.buffers = store.buffers();
  if (optimizer) {
    OptimizerState& o = out.optimizer.emplace();
    o.options = optimizer->options();
    o.options.learning_rate = schedule;
    o.steps = optimizer->steps_taken();
    const auto first = optimizer->first_moments(), second = optimizer->second_moments();
    o.first.assign(first.begin(), first.end());
    o.second.assign(second.begin(), second.end());
  }
  out.counters = counters;
  out.runs = runs;
  // An interruption that went on later is no run of its own.
  std::erase_if(out.runs, [](const TrainingSummary& t) { return t.stop == TrainingSummary::Stop::interrupted; });
  if (run) out.unfinished = *run;
  out.replay = replay.batches();
  out.seen = seen;
  out.adapters = trainable->adapters();
  return out;
}

void TrainerState::restore(Snapshot from, const std::string& file) {
  const auto refuse = [&](const std::string& what) {
    throw ConfigurationError(fmt::format(
        "Trainer: the checkpoint \"{}\" is of another model: {}; use the networks and options that it was made with, or another folder",
        file, what));
  };
  if (from.seed != options.seed) refuse(fmt::format("its seed is {}, this trainer's is {}", from.seed, options.seed));
  nn::ParameterStore& store = trainable->store();
  const auto& mine = store.table();
  for (std::size_t i = 0; i < std::max(mine.size(), from.table.size()); ++i) {
    const auto describe = [i](const std::vector<nn::ParameterInfo>& t) {
      return i < t.size() ? fmt::format("\"{}\" of shape {}", t[i].name, t[i].shape.to_string()) : std::string("none");
    };
    if (describe(mine) != describe(from.table))
      refuse(fmt::format("its parameter {} is {}, here it is {}", i + 1, describe(from.table), describe(mine)));
  }
  // By name and offset, so that a later layout of the flat buffers can still read this one.
  const auto copy = [&](const std::vector<float>& values, float* to) {
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const std::int64_t n = mine[i].shape.size(), at = from.table[i].offset;
      if (at < 0 || n > static_cast<std::int64_t>(values.size()) - at)
        refuse(fmt::format("parameter \"{}\" lies outside its buffer", mine[i].name));
      std::copy_n(values.begin() + at, n, to + mine[i].offset);
    }
  };
  const auto relayout = [&](std::vector<float>& values) {
    if (values.empty()) return;
    std::vector<float> out(static_cast<std::size_t>(store.size()), 0.0f);
    copy(values, out.data());
    values = std::move(out);
  };
  if (from.buffers.size() != store.buffers().size())
    refuse(fmt::format("it has {} buffers, here are {}", from.buffers.size(), store.buffers().size()));
  for (std::size_t i = 0; i < from.buffers.size(); ++i) {
    const nn::Buffer &theirs = from.buffers[i], &ours = store.buffers()[i];
    if (theirs.name != ours.name || theirs.integers.size() != ours.integers.size() || theirs.floats.size() != ours.floats.size())
      refuse(fmt::format("its buffer \"{}\" does not fit \"{}\" here", theirs.name, ours.name));
  }
  try {
    trainable->set_adapters(from.adapters);
  } catch (const ConfigurationError& error) {
    refuse(error.what());
  }
  if (from.optimizer) {
    if (static_cast<std::int64_t>(from.optimizer->first.size()) < store.number_of_values()) refuse("its optimizer's moments are too short");
    schedule = from.optimizer->options.learning_rate;
    from.optimizer->options.learning_rate = nn::constant(options.default_lr);
    optimizer = std::make_unique<nn::Optimizer>(store, from.optimizer->options, options.communicator);
    copy(from.optimizer->first, optimizer->first_moments().data());
    if (!optimizer->second_moments().empty()) copy(from.optimizer->second, optimizer->second_moments().data());
    optimizer->set_steps_taken(from.optimizer->steps);
  }
  {
    const nn::WeightLock::Updating updating(store.lock());
    copy(from.weights, store.values());
    store.buffers() = std::move(from.buffers);
  }
  // Terms by name: an older file has some that this loss lacks, all of them zero.
  const auto rename = [&](LossTerms& losses) { losses = losses.under(loss_names); };
  const auto rename_all = [&](History& history) {
    for (StepRecord& step : history.steps) rename(step.losses);
    for (EpochRecord& epoch : history.epochs) {
      rename(epoch.train);
      rename(epoch.validation);
    }
  };
  for (TrainingSummary& run : from.runs) rename_all(run.history);
  if (from.unfinished) {
    rename_all(from.unfinished->summary.history);
    rename(from.unfinished->record.train);
    rename(from.unfinished->record.validation);
  }
  counters = from.counters;
  seen = std::move(from.seen);
  if (seen.data_sets) trainable->set_seen(seen);
  {
    const std::lock_guard lock(runs_mutex.get());
    runs = std::move(from.runs);
  }
  loaded = runs.size();
  passed = 0;
  unfinished = std::move(from.unfinished);
  unfinished_is_loaded = true;
  if (unfinished) {
    relayout(unfinished->best.values);
    relayout(unfinished->best_epoch.values);
    for (WeightMarks::Average& a : unfinished->marks.averages) relayout(a.values);
  }
  replay.set_capacity(std::max<std::int64_t>(1, static_cast<std::int64_t>(from.replay.size())));
  for (auto& batch : from.replay) replay.store(std::move(batch));
}

void TrainerState::resume_from_checkpoint() {
  std::vector<std::string> remarks;
  std::optional<Checkpoints::Found> found;
  if (checkpoints) found = checkpoints->newest(remarks);
  if (ranks) found = found_by_rank_0(*ranks, std::move(found));
  for (const std::string& remark : remarks)
    log(LogLevel::warning, fmt::format("A checkpoint cannot be used, and the one before it is tried: {}", remark));
  if (!found) return;
  // Within a training function the networks are claimed already.
  std::optional<bayesflow::detail::InUse::Scope> claim;
  if (!in_use.now()) claim.emplace(trainable->store().training_claim(), "Trainer: restoring a checkpoint", kTrained, kTrainAnother);
  restore(std::move(found->snapshot), found->file);
  const std::string ended = fmt::format("{} ended run{}", runs.size(), runs.size() == 1 ? "" : "s");
  log(LogLevel::info, fmt::format("Resumes from the checkpoint {}: {}{}.", found->file, ended,
                                  unfinished ? fmt::format(", and {} in epoch {} after {} iterations of it", unfinished->summary.call,
                                                           unfinished->epoch + 1, unfinished->step)
                                             : std::string()));
}

}  // namespace training

Trainer::Trainer(std::shared_ptr<Trainable> trained, GenerativeModel model, TrainerOptions options) {
  options.validate();
  state_ = std::make_unique<State>(std::move(trained), std::optional<GenerativeModel>(std::move(model)), std::move(options));
  State& s = *state_;
  s.together([&s] {
    s.fit_to_pilot();
    s.check_consistency([&s] {
      // Two there must be, even if some are dropped later.
      NonFiniteCount ignored;
      return s.simulate(2, "check", 0, s.options.nonfinite.keeping_count(), ignored);
    });
  });
}

Trainer::Trainer(std::shared_ptr<Trainable> trained, TrainerOptions options) {
  options.validate();
  state_ = std::make_unique<State>(std::move(trained), std::nullopt, std::move(options));
}

Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

void Trainer::release_checkpoints() {
  const bayesflow::detail::InUse::Scope use(state_->in_use, "Trainer::release_checkpoints", "trainer is training", "wait for its end");
  state_->checkpoints.reset();
  state_->keeps_checkpoints = false;
}
const TrainerOptions& Trainer::options() const { return state_->options; }
Trainable& Trainer::trainable() const { return *state_->trainable; }
const GenerativeModel& Trainer::model() const { return state_->require_model("model"); }
std::vector<TrainingSummary> Trainer::runs() const { return state_->copy_of_runs(); }
Batch Trainer::configure(const Simulations& simulations) const { return state_->options.configurator(simulations); }
Simulations Trainer::finite(const Simulations& simulations) const {
  NonFiniteCount count;
  std::string first;
  return training::finite_part(simulations, "the given data", state_->options, count, first);
}

TrainingSummary Trainer::train_online(const OnlineOptions& o) {
  State& s = *state_;
  return s.together([&] {
    const State::Use use(s, "train_online");
    validate_described(o, "OnlineOptions");
    training::require_countable("OnlineOptions", o.epochs, "epochs", o.iterations_per_epoch, "iterations", o.batch_size);
    (void)s.require_model("train_online");
    const RunSettings settings = training::run_settings(s, "train_online", o);
    return s.train(settings, [&](const training::Run& run) {
      return std::make_unique<training::OnlineSource>(s.simulating(run), s.options.configurator, run.first.simulated, o.epochs,
                                                      o.iterations_per_epoch, o.batch_size);
    });
  });
}

TrainingSummary Trainer::train_experience_replay(const ReplayOptions& o) {
  State& s = *state_;
  return s.together([&] {
    const State::Use use(s, "train_experience_replay");
    validate_described(o, "ReplayOptions");
    training::require_countable("ReplayOptions", o.epochs, "epochs", o.iterations_per_epoch, "iterations", o.batch_size);
    (void)s.require_model("train_experience_replay");
    const RunSettings settings = training::run_settings(s, "train_experience_replay", o);
    return s.train(settings, [&](const training::Run& run) {
      s.replay.set_capacity(o.buffer_capacity);
      const training::OnlineSource online(s.simulating(run), s.options.configurator, run.first.simulated, o.epochs, o.iterations_per_epoch,
                                          o.batch_size);
      return std::make_unique<training::ReplaySource>(online, s.replay, s.options.seed, run.first.steps);
    });
  });
}

TrainingSummary Trainer::train_rounds(const RoundsOptions& o) {
  State& s = *state_;
  return s.together([&] {
    const State::Use use(s, "train_rounds");
    validate_described(o, "RoundsOptions");
    training::require_countable("RoundsOptions", o.rounds, "rounds", o.epochs, "epochs", o.sim_per_round);
    (void)s.require_model("train_rounds");
    const RunSettings settings = training::run_settings(s, "train_rounds", o);
    return s.train(settings, [&](const training::Run& run) {
      s.counters.shuffled = run.first.shuffled + static_cast<std::uint64_t>(o.rounds * o.epochs);
      return std::make_unique<training::RoundsSource>(s.simulating(run), s.options.configurator, s.options.seed, run.first.simulated,
                                                      run.first.shuffled,
                                                      training::RoundsSource::Settings{o.rounds, o.sim_per_round, o.epochs, o.batch_size},
                                                      s.overlaps(), s.checkpoints ? s.checkpoints->folder() : std::filesystem::path());
    });
  });
}

TrainingSummary Trainer::train_offline(const Simulations& simulations, const OfflineOptions& options) {
  return train_offline(std::vector<Simulations>{simulations}, options);
}

TrainingSummary Trainer::train_offline(const std::vector<Simulations>& parts, const OfflineOptions& o) {
  State& s = *state_;
  return s.together([&] {
    const State::Use use(s, "train_offline");
    validate_described(o, "OfflineOptions");
    NonFiniteCount bad;
    std::string first_bad;
    training::Dataset given = training::finite_dataset(parts, "the training data", s.options, bad, first_bad);
    std::optional<Simulations> held_out;
    for (const Simulations& part : given.parts())
      part.for_each([&](std::string_view name, FieldRole role, const Array& values) {
        if (role == FieldRole::shared && values.rank() == 1 && part.batch_size() > 2 && values.dim(0) == part.batch_size())
          s.log(LogLevel::warning,
                fmt::format("{} has {} values, as many as there are simulations, and each simulation is given all of them: for one value a "
                            "simulation give a batchable context, or a dictionary for each value.",
                            name, part.batch_size()));
      });
    if (o.validation_split != 0) held_out = training::hold_out(given, o, s.options.seed);
    const auto data = std::make_shared<const training::Dataset>(std::move(given));
    training::require_countable("OfflineOptions", o.epochs, "epochs", data->number_of_batches(o.batch_size), "batches", 1);
    if (!s.is_consistent) {
      s.fit_to([&] { return data->first_parts(training::kMostFitted); });
      s.check_consistency([&] { return training::two_of(*data); });
    }
    RunSettings settings = training::run_settings(s, "train_offline", o, training::describe_data(s, *data));
    settings.given = bad;
    settings.first_given = first_bad;
    if (held_out) settings.run.validation_sims = std::move(*held_out);
    return s.train(settings, [&](const training::Run& run) {
      s.counters.shuffled = run.first.shuffled + static_cast<std::uint64_t>(o.epochs);
      return std::make_unique<training::OfflineSource>(data, s.options.configurator, s.options.seed, run.first.shuffled, o.epochs,
                                                       o.batch_size);
    });
  });
}

}  // namespace bayesflow
