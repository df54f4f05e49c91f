/// From the options of a training function to what the loop needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/described_json.hpp"
#include "training/dataset.hpp"
#include "training/state.hpp"

namespace bayesflow::training {

/// Throws unless a x b steps and a x b x `simulations` fit into 63 bits.
void require_countable(const char* options, std::int64_t a, const char* a_name, std::int64_t b, const char* b_name,
                       std::int64_t simulations);

/// What all training functions know of a call. `data` describes given data, and becomes part of the identity.
[[nodiscard]] RunSettings run_settings(const TrainerState& state, const std::string& function, nlohmann::json options, nlohmann::json data,
                                       RunOptions run, const std::string& text);
template <class Options>
[[nodiscard]] RunSettings run_settings(const TrainerState& state, const std::string& function, const Options& options,
                                       nlohmann::json data = nlohmann::json::object()) {
  return run_settings(state, function, io::OptionWriter::of_result(options), std::move(data), options.run, described_text(options));
}
/// "simulations" and "checksum"; the latter is 0 without checkpoints and other ranks.
[[nodiscard]] nlohmann::json describe_data(const TrainerState& state, const Dataset& data);

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
