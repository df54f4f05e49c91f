/// What the networks have been given, and what they made of it.
#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"
#include "training/state.hpp"

namespace bayesflow::training {

void TrainerState::look_at(const Batch& inputs, TrainingSummary& summary) {
  constexpr std::int64_t kPilot = 32;
  const std::int64_t before = seen.data_sets;
  if (before == 0 && model) seen.param_names = model->param_names();
  seen.add(inputs);
  if (seen.param_names.size() != seen.of(roles::parameters).size()) seen.param_names.clear();
  if (before >= kPilot || seen.data_sets < kPilot) return;
  for (std::string& warning : scale_warnings(seen, trainable->standardizes_parameters())) warn(summary, std::move(warning));
}

std::optional<Batch> TrainerState::reference(const BatchSource& source, const std::optional<Batch>& validation,
                                             const TrainingSummary& summary) {
  constexpr std::int64_t kMost = 256, kFewest = 64, kShare = 20;  // a twentieth of what was simulated, at most
  if (validation && validation->batch_size() >= 20) return validation;
  try {
    if (const std::optional<Simulations> given = source.given(kMost)) {
      if (given->batch_size() < kFewest) return {};
      return options.configurator(*given);
    }
    const std::int64_t count = std::min(kMost, summary.simulations / kShare);
    // Functions with random numbers of their own are not called once more: they would go on with other numbers afterwards.
    if (!model || !model->is_reproducible() || count < kFewest) return {};
    NonFiniteCount ignored;
    return options.configurator(simulate(count, "looking back", 0, options.nonfinite, ignored));
  } catch (const Error& error) {
    if (ranks) throw;  // another rank may not have failed
    log(LogLevel::info, fmt::format("What was learnt could not be looked at: {}", error.what()));
    return {};
  }
}

void TrainerState::review(const Batch& held_out, TrainingSummary& summary) {
  seen.add_summaries(trainable->summaries_of(held_out), true);
  for (const std::string& sentence : trainable->review(held_out, model ? model->param_names() : std::vector<std::string>()))
    warn(summary, sentence);
}

void TrainerState::keep_reference(const BatchSource& source, const std::optional<Batch>& validation, const Batch& first,
                                  std::span<const Batch> recent, const TrainingSummary& summary) {
  constexpr std::int64_t kTogether = 125, kShare = 50;          // a fiftieth of what was simulated, at most
  constexpr std::int64_t kMostValues = std::int64_t{32} << 20;  // of given data, which are read at once
  std::int64_t values = 0;
  for (const Batch::Entry& entry : first.entries()) values += entry.values.size();
  const std::int64_t fit = kMostValues * first.batch_size() / std::max<std::int64_t>(1, values);
  const std::int64_t most = std::clamp(fit, Typicality::kFewest, ReferenceSample::kMost);
  seen.reference = {};
  const auto add = [&](const Batch& batch) {
    for (std::int64_t from = 0, all = batch.batch_size(); from < all && seen.reference.count < most; from += kTogether) {
      const Batch part = batch.rows(from, std::min(all, from + kTogether));
      seen.reference.add(part, trainable->summaries_of(part));
    }
  };
  try {
    if (validation && validation->batch_size() >= Typicality::kFewest) return add(*validation);
    if (const std::optional<Simulations> given = source.given(most)) return add(options.configurator(*given));
    if (!model || !model->is_reproducible()) {
      for (const Batch& batch : recent) add(batch);
      return;
    }
    add(first);
    // In several calls: contexts that all simulations of a call have in common differ between them.
    const std::int64_t count = std::min(most, summary.simulations / kShare) - first.batch_size();
    const std::int64_t together = std::clamp<std::int64_t>(count / 16, 1, kTogether);
    NonFiniteCount ignored;
    for (std::int64_t done = 0; done < count; done += together)
      add(options.configurator(simulate(std::min(together, count - done), "looking back",
                                        static_cast<std::uint64_t>(first.batch_size() + done), options.nonfinite, ignored)));
  } catch (const Error& error) {
    if (ranks) throw;  // another rank may not have failed
    seen.reference = {};
    log(LogLevel::info, fmt::format("No simulations could be kept to compare data with: {}", error.what()));
  }
}

}  // namespace bayesflow::training
