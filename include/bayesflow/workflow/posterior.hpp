/// A posterior that `fit` has trained: draws, densities and summaries of raw data, in the user's units.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/amortizers/ensemble.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/data/seen_data.hpp"
#include "bayesflow/data/simulations.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/diagnostics/verdict.hpp"
#include "bayesflow/workflow/plan.hpp"

namespace bayesflow {

/// What was tried on the way, and how well each did.
struct FitTrial {
  FitPlan plan;
  double log_score = 0;  ///< mean log posterior density of held-out simulations, in the user's units
  std::int64_t epochs = 0;
  double seconds = 0;
};

/// What `fit` did.
struct FitRecord {
  std::int64_t simulations = 0, held_out = 0;
  std::uint64_t seed = 0;
  std::vector<FitTrial> trials;           ///< best first; of the two that were trained in full, the one that was then better
  FitPlan plan;                           ///< what was trained at last
  std::vector<double> member_log_scores;  ///< of each trained network by itself
  std::int64_t first_member = 0;          ///< of these, the first that is used
  double log_score = 0;                   ///< of all that are used together
  double prior_log_score = 0;             ///< of a normal density with the prior's moments: what is known without data
  double seconds = 0;
};

/// q(parameters | data), the mixture of one or several networks within the prior's bounds:
///
///   q(theta | x) = 1(lower <= theta <= upper) sum_m q_m(theta | x) / sum_m Z_m(x),   Z_m(x) = the share of q_m within the bounds
///
/// Draws outside are drawn again; Z is the mean over 1,024 draws of each network (standard error at most 0.016), and not less than 1/1,024.
/// Data are as the simulator makes them: (batch, ...), or one data set, and copies of a Posterior share their networks.
class Posterior {
 public:
  static constexpr std::int64_t kAcceptanceDraws = 1024;

  Posterior(std::vector<AmortizedPosterior> members, FitPlan plan, FitRecord record, std::vector<std::string> param_names,
            Shape data_shape);

  /// (batch, n_samples, P). The same seed gives the same draws, for any number of threads. Throws ShapeError for data of another shape, and
  /// ArgumentError if fewer than one draw in 1,000 lies within the prior's bounds: such data are unlike all simulations.
  [[nodiscard]] Array sample(const Array& data, std::int64_t n_samples, SampleOptions options = {}) const;
  /// log q of (batch, P) parameters, one vector for each data set: (batch). -infinity outside of the bounds.
  [[nodiscard]] Array log_prob(const Array& parameters, const Array& data, SampleOptions options = {}) const;
  /// (batch, P, quantiles)
  [[nodiscard]] Array quantiles(const Array& data, const std::vector<double>& probabilities, std::int64_t n_samples = 1000,
                                SampleOptions options = {}) const;
  /// "summary": a row for each data set and parameter with mean, sd, and the quantiles 0.05, 0.25, 0.5, 0.75, 0.95.
  [[nodiscard]] diagnostics::Table summary_table(const Array& data, std::int64_t n_samples = 1000, SampleOptions options = {}) const;
  /// How data are unlike those of training; empty: they are not.
  [[nodiscard]] std::vector<Foreign> check(const Array& data) const;
  /// Whether draws are calibrated, on simulations that training has not seen.
  [[nodiscard]] diagnostics::Verdict verdict(const Simulations& fresh, std::int64_t n_samples = 100) const;

  [[nodiscard]] const std::vector<AmortizedPosterior>& members() const { return members_; }
  [[nodiscard]] const FitPlan& plan() const { return plan_; }
  [[nodiscard]] const FitRecord& record() const { return record_; }
  [[nodiscard]] const std::vector<std::string>& param_names() const { return param_names_; }
  [[nodiscard]] std::int64_t num_params() const { return static_cast<std::int64_t>(param_names_.size()); }
  [[nodiscard]] const Shape& data_shape() const { return data_shape_; }  ///< of one data set
  /// What was done and why, as text.
  [[nodiscard]] std::string story() const;

  /// Writes a model file (see model_file.hpp) that also holds the plan and the record.
  void save(const std::filesystem::path& path) const;

 private:
  [[nodiscard]] Simulations data_sets(const char* what, const Array& data) const;
  [[nodiscard]] Array network_draws(std::size_t member, const Simulations& data, std::int64_t n, const SampleOptions& options) const;
  std::vector<AmortizedPosterior> members_;
  FitPlan plan_;
  FitRecord record_;
  std::vector<std::string> param_names_;
  Shape data_shape_;
};

/// Reads what Posterior::save wrote. Throws IoError, also for a model file that `fit` did not make.
[[nodiscard]] Posterior load_posterior(const std::filesystem::path& path, const LoadAmortizerOptions& options = {});

}  // namespace bayesflow
