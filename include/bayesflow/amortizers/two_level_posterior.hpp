/// Posteriors of two-level (hierarchical) models.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/amortizer_group.hpp"
#include "bayesflow/networks/hierarchical_network.hpp"

namespace bayesflow {

/// q(hyper, shared | data) prod_g q(local_g | data of group g, hyper, shared), for data of shape (batch, groups, n, ...).
/// Heinrich et al. (2023), Hierarchical neural simulation-based inference over event ensembles; Habermann et al. (2024), Amortized Bayesian
/// multilevel models. The factorization is exact where groups are independent given hyper and shared parameters.
///
/// Two posteriors without weights of their own yet are its parts. "global" has a HierarchicalNetwork of two levels as summary network: what
/// its first level makes of a group is the condition of "local", joined by hyper and shared parameters; what its second level makes of all
/// groups is the condition of "global". Without a summary network the direct conditions are all there is. Both losses train the summary
/// network.
///
/// Blocks of a batch: hyper_parameters (batch, H), local_parameters (batch, groups, L), shared_parameters (batch, S) if there are such,
/// summary_conditions with summary_mask and summary_times, direct_global_conditions (batch, c), direct_local_conditions (batch, groups, c)
/// or (batch, c), local_mask (batch, groups). Numbers of groups and observations may differ between batches, and with masks between the
/// data sets of one; without local_mask a group is there if the summary_mask leaves any observation of it. A group that
/// local_mask takes away must have no observations in summary_mask.
///
/// Loss terms: "global_loss", the mean over data sets of -log q(hyper, shared | data), and "local_loss", the mean over groups of
/// -log q(local | ...).
class TwoLevelAmortizedPosterior : public AmortizerGroup {
 public:
  static constexpr const char* kClass = "TwoLevelAmortizedPosterior";

  /// Handles of the two: they are its parts from now on. Throws ConfigurationError if `local` has a summary network, if that of `global` is
  /// no HierarchicalNetwork of two levels, or if there is a summary_mmd_weight.
  TwoLevelAmortizedPosterior(const AmortizedPosterior& local, const AmortizedPosterior& global);
  /// Of networks, which are copied. The options are those of both parts.
  template <std::derived_from<InferenceNetwork> Local, std::derived_from<InferenceNetwork> Global>
  TwoLevelAmortizedPosterior(const Local& local_net, const Global& global_net, HierarchicalNetwork summary_net,
                             const AmortizerOptions& options = {})
      : TwoLevelAmortizedPosterior(AmortizedPosterior(local_net, options),
                                   AmortizedPosterior(global_net, std::move(summary_net), options)) {}
  /// Another handle of `other`; throws ConfigurationError if that is no TwoLevelAmortizedPosterior.
  explicit TwoLevelAmortizedPosterior(const AmortizerGroup& other);

  [[nodiscard]] AmortizedPosterior local() const;
  [[nodiscard]] AmortizedPosterior global() const;
  /// Draws of both levels.
  struct Draws {
    Array global;  ///< (batch, n_samples, H + S): hyper parameters, then shared ones
    Array local;   ///< (batch, groups, n_samples, L), each draw given the global draw of the same number; NaN for groups that are not there
  };
  /// With one seed the first draws are the same for any n_samples, and for any number of threads.
  [[nodiscard]] Draws sample(const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const;
  /// Log densities of both levels.
  struct Densities {
    Array global;  ///< (batch): log q(hyper, shared | data)
    Array local;   ///< (batch, groups): log q(local_g | ...); 0 for groups that are not there
  };
  [[nodiscard]] Densities log_densities(const Batch& batch, std::vector<Foreign>* foreign = nullptr) const;
  /// log q(hyper, local, shared | data): (batch).
  [[nodiscard]] Array log_posterior(const Batch& batch, std::vector<Foreign>* foreign = nullptr) const;
  /// Latents of both levels.
  struct Forward {
    AmortizedPosterior::Forward global;  ///< z (batch, H + S), log_det_J (batch)
    Array local_z, local_log_det_J;      ///< (batch, groups, L), (batch, groups); NaN for groups that are not there
  };
  /// Latents and log-determinants of given parameters. Normalizing flows only.
  [[nodiscard]] Forward forward(const Batch& batch) const;

  using AmortizerGroup::build;
  void build(const BatchShapes& shapes, std::optional<std::uint64_t> seed = {}) override;
  [[nodiscard]] bool reads(std::string_view role) const override;
  [[nodiscard]] std::vector<Foreign> foreign(const Batch& batch) const override;
  [[nodiscard]] DataCheck check(const Batch& batch, const CheckOptions& options = {}) const override;
  [[nodiscard]] std::shared_ptr<const SeenData> seen() const override;
  void set_seen(const SeenData& seen) override;
  /// two_level_configurator
  [[nodiscard]] Batch configure(const Simulations& simulations) const override;
  [[nodiscard]] LossTensors loss(Tape& tape, const Batch& batch) const override;
  [[nodiscard]] std::vector<double> losses_of(const Batch& batch) const override;
  [[nodiscard]] bool standardizes_parameters() const override;

 protected:
  [[nodiscard]] Batch share_of_part(const Batch& batch, std::size_t part) const override;

 private:
  struct Own;
  struct Groups;
  void check() const;
  // `function`: of which messages speak
  [[nodiscard]] Batch global_batch(const Batch& batch, bool with_target, const char* function) const;
  [[nodiscard]] Groups groups_of(const Batch& batch, const char* function) const;
  [[nodiscard]] Batch local_rows(const Batch& batch, const Groups& groups, bool with_target, const char* function) const;
  std::shared_ptr<Own> own_;
};

}  // namespace bayesflow
