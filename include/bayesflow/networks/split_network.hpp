/// A network for each part of a data set.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"

namespace bayesflow {

/// Settings of a SplitNetwork. v1 takes a function that cuts the data; here a column of the data says to which part an observation belongs.
struct SplitOptions {
  std::vector<SummaryPart> networks = {};  ///< one for each part; they need not be of one class, and must read masks
  std::int64_t column = 0;                 ///< of the data, whose value selects the part; negative: counted from the last one
  std::vector<double> values = {};         ///< that this column has in each part; none: 0, 1, 2, ...
  bool shares = true;                      ///< the share of observations in each part joins the summary
  void validate() const;                   ///< throws ConfigurationError
};

template <class V>
void describe(V& v, SplitOptions& o) {
  v("networks", o.networks);
  v("column", o.column, column());
  v("values", o.values);
  v("shares", o.shares);
}

/// x: (batch, ..., N, d) -> (batch, ..., sum of the networks' summary_dim, and one for each part if `shares`). Each network sees the other
/// columns of the observations of its part, and a mask that takes away all others: its summary is that of its part alone. (v1's networks
/// see zeros in the place of the others, as do convolutions over a series whose parts alternate.) A part may be empty. Masks, and times if
/// all networks read them, are handed on. Throws ArgumentError for an observation that belongs to no part.
class SplitNetwork final : public SummaryNetwork {
 public:
  explicit SplitNetwork(SplitOptions options);
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override;
  [[nodiscard]] bool takes_mask() const override { return true; }
  [[nodiscard]] bool takes_times() const override;
  [[nodiscard]] std::span<const SummaryPart> parts() const override { return options_.networks; }
  void make_valid(Array& data) const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const SplitOptions& options() const { return options_; }

 private:
  [[nodiscard]] int part_of(float value) const;

  SplitOptions options_;
  std::int64_t width_ = 0, column_ = 0;
};

}  // namespace bayesflow
