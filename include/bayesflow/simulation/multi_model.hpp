/// Several generative models at once, for model comparison.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow {

/// Settings of a MultiGenerativeModel beside its models.
struct MultiGenerativeModelOptions {
  std::vector<double> model_probs = {};  ///< prior probability of each model; empty: equal ones
  /// Its non-batchable value is drawn once for each batch and given to every model's simulator (a number of observations, say).
  ContextGenerator shared_context{};
  GenerativeModelOptions model = {};  ///< name, seed, threads, pilot runs, logger
};

/// p(m) p(parameters | m) p(data | parameters, m): a simulation is one of a model that is drawn from `model_probs`. Its fields are
/// sim_data; model_indices (batch, M), 1 for the model that made it; prior_draws, if each model has (batch, P); batchable contexts that all
/// models have; the shared context as sim_non_batchable_context.
///
/// Data of models with different numbers of observations are padded with zeros to the largest, and sim_data_mask (batch, n) tells
/// observations from padding; their last axes must be equal. Parameters of different numbers are padded with zeros, and
/// prior_draws_mask (batch, P) tells.
///
/// Construction simulates each model once to learn its shapes. Throws ConfigurationError for no model, probabilities that are none, shapes
/// that cannot be padded, a model with a non-batchable context of its own, and contexts that some models have and others have not.
class MultiGenerativeModel : public GenerativeModel {
 public:
  explicit MultiGenerativeModel(std::vector<GenerativeModel> models, MultiGenerativeModelOptions options = {});
  [[nodiscard]] std::int64_t num_models() const;
  [[nodiscard]] const std::vector<GenerativeModel>& models() const;
  [[nodiscard]] const std::vector<double>& model_probs() const;  ///< sum to 1

 private:
  struct Parts;
  explicit MultiGenerativeModel(std::shared_ptr<const Parts> parts);
  static std::shared_ptr<const Parts> parts_of(std::vector<GenerativeModel> models, MultiGenerativeModelOptions options);
  std::shared_ptr<const Parts> parts_;
};

}  // namespace bayesflow
