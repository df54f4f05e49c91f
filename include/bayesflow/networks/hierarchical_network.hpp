/// Networks for nested data: observations in groups, groups in groups.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"

namespace bayesflow {

/// Settings of a HierarchicalNetwork.
struct HierarchicalOptions {
  std::vector<SummaryPart> networks = {};  ///< from the lowest level, of single observations, to the highest (v1's `networks_list`)
  void validate() const;                   ///< throws ConfigurationError
};

template <class V>
void describe(V& v, HierarchicalOptions& o) {
  v("networks", o.networks);
}

/// Two levels: (batch, G, N, d) -> (batch, G, s1) -> (batch, s2), and so on for more: each network makes one vector of a group, and the
/// next one sees these as its observations. Any class serves on any level, because leading axes are folded into the batch. Numbers of
/// groups and observations may differ between batches.
///
/// A mask (batch, G, N) takes away single observations, and groups that have none left; (batch, G) takes away groups. All networks on
/// whose axis it acts must read masks. Times, of the lowest level's observations, have the axes (batch, G, N).
/// Zaheer et al. (2017); Elsemüller et al. (2024), A deep learning method for comparing Bayesian hierarchical models.
class HierarchicalNetwork final : public SummaryNetwork {
 public:
  explicit HierarchicalNetwork(HierarchicalOptions options);
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  /// What every level gives, from the lowest, into `out`, which has a place for each: (batch, G, s1), (batch, s2). v1's `return_all`.
  void forward_all(Tape& tape, const SummaryInput& input, std::span<Tensor> out) const;
  [[nodiscard]] std::int64_t summary_dim() const override;
  [[nodiscard]] bool takes_mask() const override;
  [[nodiscard]] bool takes_times() const override;
  [[nodiscard]] std::span<const SummaryPart> parts() const override { return options_.networks; }
  void make_valid(Array& data) const override { options_.networks.front()->make_valid(data); }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const HierarchicalOptions& options() const { return options_; }

 private:
  [[nodiscard]] int levels() const { return static_cast<int>(options_.networks.size()); }

  HierarchicalOptions options_;
  Shape input_ = {};  // that it was built for
};

}  // namespace bayesflow
