/// Runs that are stopped and taken up again, compared with runs that were not.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "io/support_files.hpp"
#include "training/support_training.hpp"

namespace bayesflow {

/// What an error says.
inline std::string error_text(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// Everything that two equal trainings must have in common.
struct Outcome {
  std::vector<float> weights;
  std::vector<double> steps, epochs, draws;
  std::string reason;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

inline Outcome outcome_of(Trainer& trainer, const TrainingSummary& run, const GenerativeModel& model) {
  Outcome out{weights_of(trainer.trained<AmortizedPosterior>()), {}, {}, {}, run.reason};
  for (const StepRecord& s : run.history.steps)
    out.steps.insert(out.steps.end(),
                     {s.losses["loss"], s.losses["summary_loss"], s.losses["weight_decay"], s.learning_rate, s.gradient_norm});
  for (const EpochRecord& e : run.history.epochs)
    out.epochs.insert(out.epochs.end(), {e.train.total(), e.validation.total(), static_cast<double>(e.steps)});
  const Array draws = trainer.trained<AmortizedPosterior>().sample(trainer.configure(model.simulate(3, 1, "test", 0)), 20, {.seed = 0});
  out.draws.assign(draws.data(), draws.data() + draws.size());
  return out;
}

}  // namespace bayesflow
