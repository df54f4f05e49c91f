/// What a run is recognized by in a checkpoint.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "bayesflow/training/history.hpp"

namespace bayesflow::training {

/// The described settings of a call, and their hash. Settings that change no result (threads, folders) are not among them:
/// {"function": "train_online", "options": {...}, "data": {...}, "trainer": {"seed": ..., ...}, "architecture": {...}}
struct Identity {
  std::string settings;  ///< JSON with sorted keys
  std::string hash;      ///< XXH64 of that, 16 hexadecimal digits
};
[[nodiscard]] Identity identify(const nlohmann::json& settings);

/// Whether a stored run is a call with these settings.
[[nodiscard]] bool is_same_run(const TrainingSummary& stored, const Identity& mine);
/// The first few settings that differ: "learning_rate: the checkpoint has 0.001, this call 0.0005".
[[nodiscard]] std::string differences(const TrainingSummary& stored, const Identity& mine, const std::string& call);

/// Files of formats 1 and 2 knew a run by a sentence; this is the one that they would hold.
[[nodiscard]] std::string sentence_of_old_files(const nlohmann::json& settings);

}  // namespace bayesflow::training
