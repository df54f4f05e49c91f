/// Recovery and calibration of two-level posteriors, of global parameters and of those of the groups.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/amortizers/two_level_posterior.hpp"
#include "bayesflow/diagnostics/recovery.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `two_level_recovery` and `two_level_sbc`.
struct TwoLevelOptions {
  std::vector<std::string> global_names{};  ///< hyper parameters, then shared ones; empty: hyper_1, ..., shared_1, ...
  std::vector<std::string> local_names{};   ///< empty: local_1, ...
  std::uint64_t seed = 0;                   ///< of ties, and of the groups that are looked at by `two_level_sbc`
  int threads = 0;
  void validate() const;
};

/// `recovery` of the global parameters, a point for each data set, and of the local ones, a point for each group that is there. Groups of a
/// data set are not independent of each other: the standard errors of local numbers come from leaving out whole data sets.
struct TwoLevelRecovery {
  Recovery global, local;
  std::vector<std::int64_t> data_set, group;        ///< of the points of `local`
  [[nodiscard]] std::vector<Table> tables() const;  ///< those of the two, named "global_..." and "local_..."; "local_groups"
};

/// draws: what TwoLevelAmortizedPosterior::sample returns for the data sets of `truths`, a batch with hyper_parameters, local_parameters
/// and shared_parameters if there are such. Groups that are not there (draws are NaN) are left out. ShapeError, ConfigurationError if a
/// block is missing, ArgumentError on numbers that are not finite.
[[nodiscard]] TwoLevelRecovery two_level_recovery(const TwoLevelAmortizedPosterior::Draws& draws, const Batch& truths,
                                                  const TwoLevelOptions& options = {});

/// Ranks and their ECDFs, of the global parameters and of the local ones of one group of each data set, chosen at random. Ranks of two
/// groups of one data set depend on each other through the global parameters, so that a band for all of them together would be too narrow;
/// those of one group each are independent, and the band is exact.
struct TwoLevelSbc {
  SbcRanks global_ranks, local_ranks;
  SbcEcdf global, local;
  std::vector<std::int64_t> data_set, group;        ///< of the rows of `local_ranks`: data sets without groups are left out
  [[nodiscard]] std::vector<Table> tables() const;  ///< those of the ECDFs, named "global_..." and "local_..."; "local_groups"
};
[[nodiscard]] TwoLevelSbc two_level_sbc(const TwoLevelAmortizedPosterior::Draws& draws, const Batch& truths,
                                        const TwoLevelOptions& options = {}, const SbcEcdfOptions& ecdf_options = {});

}  // namespace bayesflow::diagnostics
