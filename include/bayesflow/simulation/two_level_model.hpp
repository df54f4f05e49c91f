/// Two-level (hierarchical) models: groups whose parameters have a common distribution.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow {

/// Settings of a TwoLevelPrior beside its functions.
struct TwoLevelPriorOptions {
  ContextGenerator context{};  ///< of the local prior: a number of groups, say
  std::vector<std::string> hyper_names{}, local_names{}, shared_names{};
  bool thread_safe = true;  ///< the functions may run on several threads at once
};

/// p(hyper) p(shared) prod_g p(local_g | hyper). Each function draws for one data set.
class TwoLevelPrior {
 public:
  using Hyper = std::function<Array(Rng&)>;                                      ///< (H)
  using Local = std::function<Array(const Array& hyper, const Context&, Rng&)>;  ///< (groups, L)
  using Shared = std::function<Array(Rng&)>;                                     ///< (S): parameters that all groups have in common
  /// Throws ConfigurationError for an empty hyper or local function.
  TwoLevelPrior(Hyper hyper, Local local, Shared shared = {}, TwoLevelPriorOptions options = {});

  [[nodiscard]] bool has_shared() const { return static_cast<bool>(shared_); }
  [[nodiscard]] const TwoLevelPriorOptions& options() const { return options_; }
  [[nodiscard]] Array draw_hyper(Rng& rng) const { return hyper_(rng); }
  [[nodiscard]] Array draw_local(const Array& hyper, const Context& context, Rng& rng) const { return local_(hyper, context, rng); }
  /// Throws ConfigurationError without such a function.
  [[nodiscard]] Array draw_shared(Rng& rng) const;

 private:
  Hyper hyper_;
  Local local_;
  Shared shared_;
  TwoLevelPriorOptions options_;
};

/// Makes one data set, (groups, ...), from local parameters (groups, L) and shared ones (S), which are empty if the prior has none.
using TwoLevelSimulator = std::function<Array(const Array& local, const Array& shared, const Context&, Rng&)>;

/// Settings of a TwoLevelGenerativeModel.
struct TwoLevelGenerativeModelOptions {
  SimulatorOptions simulator = {};
  /// Extents to which data of fewer groups, or of fewer observations, are padded with zeros: {groups}, or {groups, observations}, ...
  /// Empty: all data sets of a batch have one shape. With it the numbers may differ from data set to data set, and sim_data_mask (batch,
  /// groups, observations) and local_mask (batch, groups) tell what is there.
  Shape pad_to = {};
  GenerativeModelOptions model = {};
};

/// A two-level prior and a simulator. Simulations have the fields hyper_prior_draws (batch, H), local_prior_draws (batch, groups, L),
/// shared_prior_draws (batch, S) if there are such, sim_data (batch, groups, ...), and the contexts.
class TwoLevelGenerativeModel : public GenerativeModel {
 public:
  TwoLevelGenerativeModel(TwoLevelPrior prior, TwoLevelSimulator simulator, TwoLevelGenerativeModelOptions options = {});
  [[nodiscard]] const TwoLevelPrior& two_level_prior() const;

 private:
  struct Parts;
  explicit TwoLevelGenerativeModel(std::shared_ptr<const Parts> parts);
  std::shared_ptr<const Parts> parts_;
};

}  // namespace bayesflow
