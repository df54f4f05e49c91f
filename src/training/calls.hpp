/// From the options of a training function to what the loop needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "training/dataset.hpp"
#include "training/state.hpp"

namespace bayesflow::training {

/// Checks numbers of an options struct; errors name it.
struct CallCheck {
  const char* options;
  void at_least_one(std::int64_t value, const char* name) const;
  /// Throws unless a x b steps and a x b x `simulations` fit into 63 bits.
  void countable(std::int64_t a, const char* a_name, std::int64_t b, const char* b_name, std::int64_t simulations) const;
};

/// Completes the text of a call with the settings that all functions have, as far as they change the result.
[[nodiscard]] std::string complete_call(const TrainerState& state, std::string call, const RunSettings& settings);

/// `call` is the text so far: "train_online(epochs = 10".
template <class Options>
[[nodiscard]] RunSettings run_settings(const TrainerState& state, const CallCheck& check, const Options& o, std::string call) {
  RunSettings s{{}, o.validation_sims, o.optimizer, o.reuse_optimizer, o.early_stopping, o.lr_adjuster, {}, {}};
  if (const auto* n = std::get_if<std::int64_t>(&s.validation_sims); n && *n != 0) check.at_least_one(*n, "validation_sims");
  if (s.optimizer) s.optimizer->validate();
  if (s.early_stopping) s.early_stopping->validate();
  if (s.lr_adjuster) s.lr_adjuster->validate();
  s.call = complete_call(state, std::move(call), s);
  return s;
}

/// Given simulations as a dataset, without those that are not finite if the user chose so; otherwise SimulationError. Errors call them
/// `what`.
[[nodiscard]] Dataset finite_dataset(const std::vector<Simulations>& parts, const char* what, const TrainerOptions& options,
                                     NonFiniteCount& bad, std::string& first_bad);
/// The same for one part; without rows it is returned as it is.
[[nodiscard]] Simulations finite_part(const Simulations& part, const char* what, const TrainerOptions& options, NonFiniteCount& bad,
                                      std::string& first_bad);
/// Takes the share `validation_split` of the rows out of `data`. Throws ConfigurationError if it cannot.
[[nodiscard]] Simulations hold_out(Dataset& data, const OfflineOptions& options, std::uint64_t seed);
/// Two simulations of it, for the consistency check.
[[nodiscard]] Simulations two_of(const Dataset& data);
[[nodiscard]] std::uint64_t checksum(const Simulations& simulations, std::uint64_t seed = 0);
[[nodiscard]] std::uint64_t checksum(const Dataset& data);

}  // namespace bayesflow::training
