/// Several sources of data, each with a network of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/layers.hpp"

namespace bayesflow {

/// Dense layers that merge the summaries of all sources.
struct FusionMergeOptions {
  std::int64_t summary_dim = 10;
  std::int64_t num_dense = 1;  ///< layers `dense`, before the linear one of summary_dim units
  DenseOptions dense = {};
};

/// Settings of a FusionNetwork.
struct FusionOptions {
  std::vector<std::string> sources = {};         ///< names, of letters, digits and underscores; at most 28 bytes each, and 8 of them
  std::vector<SummaryPart> networks = {};        ///< one for each source, of any class
  std::optional<FusionMergeOptions> merge = {};  ///< none: the summaries side by side
  void validate() const;                         ///< throws ConfigurationError
};

template <class V>
void describe(V& v, FusionMergeOptions& o) {
  v("summary_dim", o.summary_dim, width());
  v("num_dense", o.num_dense, at_least(0));
  v("dense", o.dense);
}
template <class V>
void describe(V& v, FusionOptions& o) {
  v("sources", o.sources);
  v("networks", o.networks);
  v("merge", o.merge);
}

/// Data of several kinds (a series, an image, a table) of one data set, x_1, ..., x_k -> (batch, sum of the networks' summary_dim):
///   s = (f_1(x_1), ..., f_k(x_k)), or h(s) with dense layers h if they are to be merged: (batch, merge->summary_dim).
/// The batch has a block for each source, of any shape that its network takes: roles::of_source(roles::summary_conditions, "series") is
/// "summary_conditions.series", and so for masks and times, which a source has or has not. Numbers of observations of the sources have
/// nothing to do with each other; a mask of zeros says that a data set lacks a source. It is a part of no other network.
class FusionNetwork final : public SummaryNetwork {
 public:
  explicit FusionNetwork(FusionOptions options);
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override;
  [[nodiscard]] std::span<const std::string> sources() const override { return options_.sources; }
  [[nodiscard]] bool takes_mask() const override;   ///< some source does; the others refuse theirs
  [[nodiscard]] bool takes_times() const override;  ///< as for masks
  [[nodiscard]] std::span<const SummaryPart> parts() const override { return options_.networks; }
  void update_state() override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const FusionOptions& options() const { return options_; }

 private:
  template <class F>
  void of_source(std::size_t i, F&& work) const;
  [[nodiscard]] std::int64_t width() const;  // of all sources' summaries

  FusionOptions options_;
  nn::Mlp merge_;
};

}  // namespace bayesflow
