/// What the networks have seen in training, and how what they are given later differs from it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bayesflow/data/batch.hpp"
#include "bayesflow/data/reference.hpp"

namespace bayesflow {

/// One column (position on the last axis) of what the networks were given.
struct SeenColumn {
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double count = 0;                                     ///< values
  double low = kInfinity, high = -kInfinity;            ///< of all values
  double mean_low = kInfinity, mean_high = -kInfinity;  ///< of the averages of each data set
  double origin = 0, sum = 0, square = 0, cube = 0;     ///< the first value, and sums of powers of differences from it
  [[nodiscard]] double mean() const;
  [[nodiscard]] double sd() const;
  [[nodiscard]] double skewness() const;  ///< 0 for a constant column
};

/// The columns of all fields over the data sets that training looked at: those of the first 256 steps, and of every eighth step after
/// them. Fields of more than 4,096 columns are left out.
struct SeenData {
  std::int64_t data_sets = 0;
  std::vector<std::string> param_names;                                  ///< empty: not known
  std::vector<std::pair<std::string, std::vector<SeenColumn>>> columns;  ///< by role; padding is not counted
  std::vector<SeenColumn> summaries;                                     ///< outputs of the trained summary network
  /// Fewest and most along each axis but first and last; where there is a mask, of the observations that it leaves.
  using Sizes = std::vector<std::pair<std::int64_t, std::int64_t>>;
  std::vector<std::pair<std::string, Sizes>> sizes;  ///< by role: summary_conditions, or of each source
  std::vector<std::uint8_t> is_size;                 ///< of direct_conditions: 1 where the column was always the number of observations

  ReferenceSample reference;  ///< held-out simulations, seen by the networks as they are now; none: count is 0

  /// The columns of a role; none if it never came.
  [[nodiscard]] std::span<const SeenColumn> of(std::string_view role) const;
  [[nodiscard]] Sizes sizes_of(std::string_view role) const;  ///< none if it never came, or is a vector
  void add(const Batch& batch);
  /// Forgets earlier summaries if `anew`: they were of other weights.
  void add_summaries(const Array& summaries, bool anew);
  [[nodiscard]] std::string param_name(std::size_t index) const;
};

/// One way in which data sets, or draws, are unlike those of training.
struct Foreign {
  enum class Kind : std::uint8_t {
    size,       ///< another number of observations
    count,      ///< a direct condition contradicts the number of observations
    values,     ///< values outside the range of training
    averages,   ///< averages of data sets outside theirs
    summaries,  ///< outputs of the summary network outside theirs
    distance,   ///< a data set as a whole: its p-value among held-out simulations is at most the level of checks
    draws,      ///< posterior draws outside the range of the prior's draws
  };
  Kind kind = Kind::size;
  std::string name;          ///< the column or parameter that is furthest off
  double low = 0, high = 0;  ///< what was found
  double seen_low = 0, seen_high = 0;
  double share = 0;  ///< of the data sets (of the draws)
  std::string sentence;
};

/// At most one entry of each kind. `summaries`: outputs of the summary network for these inputs, (batch, S); null: not looked at.
[[nodiscard]] std::vector<Foreign> compare(const SeenData& seen, const Batch& batch, const float* summaries = nullptr);
/// An entry if the p-value of the data sets together is at most the level; `reference`: the number of simulations compared with.
[[nodiscard]] std::optional<Foreign> unlike_simulations(const Typical& typical, std::int64_t reference, double level);
/// Draws (data sets, draws, width) of what training saw as `role`, beyond its range: more than 1 in 100, and more than the few training
/// sets explain.
template <class Number>
[[nodiscard]] std::vector<Foreign> compare_draws(const SeenData& seen, std::string_view role, std::span<const Number> draws,
                                                 std::int64_t data_sets);

}  // namespace bayesflow
