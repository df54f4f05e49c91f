#include "bayesflow/training/history.hpp"

#include <fmt/format.h>

namespace bayesflow {

std::string TrainingSummary::brief() const {
  const double loss = history.epochs.empty() ? 0.0 : history.epochs.back().train.objective();
  return fmt::format("{} {} steps in {:.1f} s ({:.0f} it/s), average loss of the last epoch {:.4f}", reason, history.steps.size(), seconds,
                     seconds > 0 ? static_cast<double>(history.steps.size()) / seconds : 0.0, loss);
}

std::string TrainingSummary::full() const {
  std::string out = brief();
  out += fmt::format("\n  simulations {}, seed {}, threads {}, instruction set {}", simulations, seed, threads, instruction_set);
  if (dropped || redrawn) out += fmt::format("\n  not finite: {} simulations dropped, {} redrawn", dropped, redrawn);
  if (!checkpoint.empty()) out += fmt::format("\n  checkpoint {}{}", checkpoint, resumed ? fmt::format(", resumed {} times", resumed) : "");
  out += fmt::format("\n  seconds: simulate {:.2f}, gradient {:.2f}, update {:.2f}, validate {:.2f}", simulate_seconds, gradient_seconds,
                     update_seconds, validate_seconds);
  for (std::size_t i = 0; i < history.epochs.size(); ++i) {
    const EpochRecord& e = history.epochs[i];
    out += fmt::format("\n  epoch {:3}: loss {:.4f}", i + 1, e.train.objective());
    if (e.validated) out += fmt::format(", validation {:.4f}", e.validation.objective());
  }
  for (const std::string& w : warnings) out += "\n  warning: " + w;
  return out;
}

}  // namespace bayesflow
