/// Several amortizers of one kind as one.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/amortizers/amortized_point_estimator.hpp"
#include "bayesflow/amortizers/amortized_posterior_likelihood.hpp"
#include "bayesflow/amortizers/amortizer_group.hpp"

namespace bayesflow {

/// What ensembles of all kinds have in common: see Ensemble.
class EnsembleBase : public AmortizerGroup {
 public:
  static constexpr const char* kClass = "Ensemble";

  [[nodiscard]] std::size_t size() const { return parts().size(); }  ///< number of members

  using AmortizerGroup::build;
  void build(const BatchShapes& shapes, std::optional<std::uint64_t> seed = {}) override;
  [[nodiscard]] Batch configure(const Simulations& simulations) const override;
  /// Means over the members of each term.
  [[nodiscard]] LossTerms compute_loss(const Batch& batch) const override;
  [[nodiscard]] double weight_decay() const override;
  [[nodiscard]] std::vector<std::string> loss_names() const override;  ///< those of one member
  /// Terms are means over the members; the total, of which the gradient is taken, is the members' sum.
  [[nodiscard]] LossTensors loss(Tape& tape, const Batch& batch) const override;
  [[nodiscard]] std::vector<double> losses_of(const Batch& batch) const override;

 protected:
  explicit EnsembleBase(std::vector<std::shared_ptr<AmortizerBase>> members);
  explicit EnsembleBase(const AmortizerGroup& other);
  [[nodiscard]] std::uint64_t seed_of_part(std::uint64_t seed, std::size_t part) const override { return seed + part; }

  [[nodiscard]] Array mixture_draws(const Batch& batch, std::int64_t n_samples, const SampleOptions& options) const;
  [[nodiscard]] Array mixture_density(const Batch& batch, std::vector<Foreign>* foreign) const;
  /// Mean over the members of what `answer` gives, with the warnings of all of them, each once.
  [[nodiscard]] Array mean_of(const std::function<Array(const AmortizerBase& member, SampleOptions options)>& answer,
                              const SampleOptions& options) const;

  /// A member is of another class than asked for.
  [[noreturn]] static void refuse_class(const AmortizerBase& member);

 private:
  friend struct AmortizerAccess;
  void check_members() const;
  void refuse_copies() const;
  [[nodiscard]] const Amortizer& single(std::size_t member) const;
  void tell(const std::vector<Foreign>& found, std::vector<Foreign>* to) const;
  std::shared_ptr<std::atomic<std::uint64_t>> calls_ = std::make_shared<std::atomic<std::uint64_t>>(0);  // without a seed
};

/// k amortizers of class A with other first weights, trained on the same simulations: their mixture is as a rule a better approximation
/// than each of them, and their disagreement shows where the networks know little (Lakshminarayanan et al. 2017, Simple and scalable
/// predictive uncertainty estimation using deep ensembles; Hermans et al. 2022, A crisis in simulation-based inference?).
///
///   q(target | data) = 1/k sum_m q_m(target | data)
///
/// A trainer simulates and configures every batch once for all members. Each member gets, bit for bit, the weights that a trainer of the
/// same seed would give it alone (with the same seed of its options). Losses in histories and `compute_loss` are means over the members.
/// Members that were trained elsewhere come together as well: see AmortizerGroup.
template <std::derived_from<AmortizerBase> A>
class Ensemble : public EnsembleBase {
 public:
  /// Handles of at least two amortizers of one class: they are its members from now on. Those without a seed of their own have first
  /// weights of the trainer's seed, that seed + 1, ... Equal first weights are a ConfigurationError.
  explicit Ensemble(const std::vector<A>& members) : EnsembleBase(shared(members)) {}
  /// `count` members, made with the seeds first_seed, first_seed + 1, ..., which belong into AmortizerOptions::seed.
  Ensemble(std::int64_t count, const std::function<A(std::uint64_t seed)>& make, std::uint64_t first_seed = 0)
      : EnsembleBase(made(count, make, first_seed)) {}
  /// Another handle of `other`; throws ConfigurationError if that is no ensemble of this class.
  explicit Ensemble(const AmortizerGroup& other) : EnsembleBase(other) {
    for (std::size_t m = 0; m < size(); ++m) (void)member(m);
  }

  /// A handle of one member.
  [[nodiscard]] A member(std::size_t index) const {
    const AmortizerBase& base = *parts().at(index).amortizer;
    if constexpr (std::derived_from<A, AmortizerGroup>) {
      if (const auto* group = dynamic_cast<const AmortizerGroup*>(&base)) return A(*group);
    } else {
      if (const auto* one = dynamic_cast<const Amortizer*>(&base)) return A(*one);
    }
    refuse_class(base);
  }

  /// Draws of the mixture, (batch, n_samples, width): draw s comes from member s modulo k, so that any number of first draws is shared out
  /// evenly. With one seed the first draws are the same for any n_samples, and for any number of threads.
  [[nodiscard]] Array sample(const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const
      requires(std::same_as<A, AmortizedPosterior> || std::same_as<A, AmortizedLikelihood>) {
    return mixture_draws(batch, n_samples, options);
  }
  /// log 1/k sum_m q_m: (batch), or (batch, n).
  [[nodiscard]] Array log_posterior(const Batch& batch,
                                    std::vector<Foreign>* foreign = nullptr) const requires std::same_as<A, AmortizedPosterior> {
    return mixture_density(batch, foreign);
  }
  [[nodiscard]] Array log_likelihood(const Batch& batch,
                                     std::vector<Foreign>* foreign = nullptr) const requires std::same_as<A, AmortizedLikelihood> {
    return mixture_density(batch, foreign);
  }
  /// Means of the members' probabilities: (batch, models).
  [[nodiscard]] Array posterior_probs(const Batch& batch,
                                      SampleOptions options = {}) const requires std::same_as<A, AmortizedModelComparison> {
    return mean_of([&](const AmortizerBase& m, SampleOptions o) { return as(m).posterior_probs(batch, o); }, options);
  }
  /// Means of the members' estimates.
  [[nodiscard]] Array estimate(const Batch& batch, SampleOptions options = {}) const requires std::same_as<A, AmortizedPointEstimator> {
    return mean_of([&](const AmortizerBase& m, SampleOptions o) { return as(m).estimate(batch, o); }, options);
  }
  /// Of joint amortizers with weights: the ensemble of their posteriors, and that of their likelihoods.
  [[nodiscard]] Ensemble<AmortizedPosterior> posterior() const requires std::same_as<A, AmortizedPosteriorLikelihood> {
    std::vector<AmortizedPosterior> out;
    for (std::size_t m = 0; m < size(); ++m) out.push_back(member(m).posterior());
    return Ensemble<AmortizedPosterior>(out);
  }
  [[nodiscard]] Ensemble<AmortizedLikelihood> likelihood() const requires std::same_as<A, AmortizedPosteriorLikelihood> {
    std::vector<AmortizedLikelihood> out;
    for (std::size_t m = 0; m < size(); ++m) out.push_back(member(m).likelihood());
    return Ensemble<AmortizedLikelihood>(out);
  }

 private:
  static A as(const AmortizerBase& member) { return A(dynamic_cast<const Amortizer&>(member)); }
  static std::vector<std::shared_ptr<AmortizerBase>> shared(const std::vector<A>& members) {
    std::vector<std::shared_ptr<AmortizerBase>> out;
    for (const A& member : members) out.push_back(std::make_shared<A>(member));
    return out;
  }
  static std::vector<std::shared_ptr<AmortizerBase>> made(std::int64_t count, const std::function<A(std::uint64_t)>& make,
                                                          std::uint64_t first_seed) {
    std::vector<A> out;
    for (std::int64_t m = 0; m < count; ++m) out.push_back(make(first_seed + static_cast<std::uint64_t>(m)));
    return shared(out);
  }
};

}  // namespace bayesflow
