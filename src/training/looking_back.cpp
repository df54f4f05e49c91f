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
    return options.configurator(model->simulate(count, options.seed, "looking back", 0, &pool, options.nonfinite, ignored));
  } catch (const Error& error) {
    log(LogLevel::info, fmt::format("What was learnt could not be looked at: {}", error.what()));
    return {};
  }
}

void TrainerState::review(const Batch& held_out, TrainingSummary& summary) {
  seen.add_summaries(trainable->summaries_of(held_out), true);
  for (const std::string& sentence : trainable->review(held_out, model ? model->param_names() : std::vector<std::string>()))
    warn(summary, sentence);
}

}  // namespace bayesflow::training
