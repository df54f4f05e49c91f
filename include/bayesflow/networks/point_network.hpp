/// Point estimates of parameters: means, medians, quantiles, standard deviations.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/head.hpp"
#include "bayesflow/networks/inference_network.hpp"

namespace bayesflow {

/// What is estimated of parameters y (P), by the loss that it minimizes.
enum class PointEstimate : std::uint8_t {
  mean,         ///< posterior means m: sum_j (y_j - m_j)^2
  mean_and_sd,  ///< posterior means m and standard deviations s: sum_j log s_j + (y_j - m_j)^2 / (2 s_j^2) (Dawid and Sebastiani 1999)
  quantiles,    ///< posterior quantiles q at `levels`: sum_k sum_j (y_j - q_kj) (t_k - [y_j < q_kj]) (Koenker and Bassett 1978)
  norm_1,       ///< posterior medians: sum_j |y_j - m_j|, v1's norm_ord = 1
  norm_2,       ///< the geometric median: the length of y - m, not squared, v1's norm_ord = 2; of one parameter the median
  norm_max,     ///< largest |y_j - m_j|, v1's norm_ord = inf
  own,          ///< `loss_fun`
};
[[nodiscard]] EnumNames<PointEstimate> names_of(PointEstimate);

/// Settings of a PointNetwork.
struct PointNetworkOptions {
  std::int64_t num_params = 0;  ///< width of the targets; mandatory
  PointEstimate estimate = PointEstimate::mean;
  std::vector<double> levels = {0.05, 0.25, 0.5, 0.75, 0.95};  ///< of quantiles, ascending
  HeadOptions hidden = {};
  /// A network (batch, C) -> (batch, K P) in the place of dense layers: a GraphNetwork, say. `hidden` is then not read.
  std::optional<SummaryPart> body = {};
  /// estimate = own: (estimates, targets), each (..., P), to one number for each row, (...). Files name it; it is needed for training only.
  std::function<Tensor(Tensor estimates, Tensor targets)> loss_fun = {};
  void validate() const;  ///< throws ConfigurationError
};

template <class V>
void describe(V& v, PointNetworkOptions& o) {
  v("num_params", o.num_params, width());
  v("estimate", o.estimate);
  v("levels", o.levels, Constraint{.low = 0, .high = 1, .above = true, .below = true});
  v("hidden", o.hidden);
  v("body", o.body);
}

/// Estimates that a dense network makes of a condition. Outputs: (batch, K P), K blocks of P numbers each: the estimates (K = 1); means,
/// then standard deviations (K = 2); or the quantiles of each level in turn (K levels), which never cross: each is the one before plus a
/// positive step. Targets are (batch, P), or (batch, n, P) with n of one condition. Scores are proper: the exact posterior's numbers
/// minimize them.
class PointNetwork final : public InferenceNetwork {
 public:
  explicit PointNetwork(const PointNetworkOptions& options);

  /// Throws ConfigurationError unless targets are `num_params` wide.
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override;
  [[nodiscard]] std::int64_t target_width() const override { return options_.num_params; }
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor outputs(Tape& tape, Tensor condition) const override;
  [[nodiscard]] bool has_outputs() const override { return true; }
  [[nodiscard]] bool is_noisy_at_inference() const override { return !options_.body && head_.is_noisy_at_inference(); }
  [[nodiscard]] std::span<const SummaryPart> parts() const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const PointNetworkOptions& options() const { return options_; }
  [[nodiscard]] std::int64_t blocks() const;  ///< K

 private:
  [[nodiscard]] Tensor raw_outputs(Tape& tape, Tensor condition) const;
  [[nodiscard]] Tensor quantiles(Tape& tape, Tensor raw) const;

  PointNetworkOptions options_;
  Head head_;
  std::int64_t condition_width_ = 0;
};

}  // namespace bayesflow
