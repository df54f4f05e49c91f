/// Models whose posterior is known: what a trained network is judged by.
#pragma once

#include <bayesflow/bayesflow.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bench {

/// Mean and standard deviation of each parameter's exact posterior.
struct Moments {
  std::vector<double> mean, sd;
};

/// What the networks of a run differ in.
struct NetworkChoice {
  bayesflow::nn::Initializer initializer = bayesflow::nn::Initializer::he_uniform;  ///< of the coupling nets' hidden layers
  bool linear_path = false;                                                         ///< DeepSetOptions::linear_path
  bayesflow::Precision precision = bayesflow::Precision::float32;                   ///< of training, draws and densities
};

/// A generative model with its exact posterior, and the networks that are trained on it.
class TruthModel {
 public:
  virtual ~TruthModel() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::int64_t num_params() const = 0;
  [[nodiscard]] virtual bayesflow::GenerativeModel generative_model() const = 0;
  /// Log density of the exact posterior, normalized.
  [[nodiscard]] virtual double log_posterior(std::span<const double> theta, std::span<const double> data) const = 0;
  [[nodiscard]] virtual Moments moments(std::span<const double> data) const = 0;

  /// What the networks are given. They work on (theta - shift) / scale.
  [[nodiscard]] virtual bayesflow::Batch configure(const bayesflow::Simulations& simulations) const;
  [[nodiscard]] const std::vector<double>& shift() const { return shift_; }
  [[nodiscard]] const std::vector<double>& scale() const { return scale_; }

  [[nodiscard]] virtual bayesflow::AmortizedPosterior amortizer(const NetworkChoice& choice) const = 0;

 protected:
  std::vector<double> shift_, scale_;
};

/// "gaussian": the quickstart's, the mean of 50 observations in four dimensions: N(sum x / (n + 1), 1 / (n + 1)) in each.
/// "two_moons": two parameters, two crescents, no summary network (Greenberg et al. 2019; uniform prior on [-1, 1]^2).
/// "skewed": an exponential and a Poisson rate (0.01 and 100 on average) under gamma priors, a normal mean and variance under a
/// normal-inverse-gamma prior, ten observations of each. Parameters and data are standardized by pilot simulations, unless `raw`.
[[nodiscard]] std::unique_ptr<TruthModel> truth_model(const std::string& name, bool raw = false);
[[nodiscard]] const std::vector<std::string>& truth_model_names();

}  // namespace bench
