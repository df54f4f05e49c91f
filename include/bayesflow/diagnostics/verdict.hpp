/// Can this posterior be trusted? A verdict from tests whose error rates are known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/conditional.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// What can be wrong.
enum class Fault : std::uint8_t {
  shifted,              ///< the posterior lies too high or too low
  overconfident,        ///< too narrow
  underconfident,       ///< too wide
  wrong_tails,          ///< right location and width, wrong shape: tails too heavy or too light, or skewed the wrong way
  wrong_dependence,     ///< the parameters depend on each other in another way than they should
  nothing_learnt,       ///< the posterior does not change with the data
  data_unused,          ///< where the truth lies in the posterior can be predicted from the data, so they say more than is used
  wrong_for_some,       ///< too narrow for some data and too wide for others, or the same of a dependence
  too_little_evidence,  ///< too few data sets or draws to say
  non_finite,           ///< draws that are not numbers
};
[[nodiscard]] const char* to_string(Fault kind);  ///< "shifted", "overconfident", ...

/// How much harm the findings do together, by what they cost in log score.
enum class Severity : std::uint8_t {
  none,          ///< no finding
  harmless,      ///< findings that can be detected and hardly matter
  serious,       ///< not to be trusted as it is
  overwhelming,  ///< half a nat or more is lost: much of what the data say about some parameter
};
[[nodiscard]] const char* to_string(Severity severity);

/// Settings of `verdict`.
struct VerdictOptions {
  std::vector<std::string> param_names{};
  double family_wise_error = 0.05;  ///< at most this share of exact posteriors is found at fault, over all tests and parameters
  bool expect_contraction = true;   ///< false: a posterior that does not change with the data is no fault (parameters may be unidentified)
  double min_contraction = 0.02;    ///< "nothing learnt" if the data explain less than this share of the draws' variation
  double detectable_shift = 0.5;    ///< evidence is too little if a shift of this many posterior sds would be found in less than 80 %
  double harmless_nats = 0.02;  ///< a finding that costs at most this log score per data set is harmless: 0.2 sd of shift, 13 % of width
  std::uint64_t seed = 0;       ///< of ties, of the joint test's directions, of folds and permutations
  int threads = 0;
  std::optional<Array> summaries{};  ///< (B, d) learned summaries, further features of `data`
  void validate() const;
};

/// One fault, of a parameter, of a pair, or of all together.
struct Finding {
  Fault kind = Fault::shifted;
  std::int64_t parameter = -1;  ///< index; -1: all parameters together
  std::int64_t other = -1;      ///< second parameter of a pair; -1: none
  Estimate effect;              ///< in the unit that the sentence names
  std::string unit;             ///< "posterior sd", "sd ratio", ...
  double p_value = 0;           ///< adjusted for all tests made: at most family_wise_error
  double nats = 0;              ///< what it costs: expected log score per data set that is lost, at least; NaN if that cannot be told
  std::string sentence;
};

/// What was measured of one parameter, at fault or not. Effects are of the posterior's error, in units of the exact posterior as
/// far as ranks can tell.
struct ParameterVerdict {
  std::string name;
  bool at_fault = false;
  Estimate shift;        ///< mean of truth in the posterior's standard units: positive if the posterior lies too low
  Estimate width_ratio;  ///< posterior sd over the exact one: below 1 is overconfident
  Estimate tail_excess;  ///< excess kurtosis of the truth in the posterior's normal scores: negative if the posterior's tails are too heavy
  Estimate learnt;       ///< share of the draws' variation that the data explain
  double nats = 0;       ///< lost by the findings of this parameter alone; NaN if that cannot be told
  /// Share of draws more than ten posterior standard deviations (by their quartiles) from their median. Truths cannot tell whether the
  /// exact posterior has as many, so it is no fault; from one in 10,000 on sentences speak of it.
  double far_draws = 0;
  double p_shift = 1, p_width = 1, p_tails = 1, p_ecdf = 1, p_nothing_learnt = 1;  ///< each by itself
  std::string sentence;
};

/// The verdict. `calibrated` means: enough evidence, and no finding.
struct Verdict {
  bool calibrated = false;
  std::vector<Finding> findings;                      ///< smallest p-value first
  std::vector<ParameterVerdict> parameters;           ///< (P)
  Severity severity = Severity::none;                 ///< of all findings together
  double nats = 0;                                    ///< log score per data set that the findings cost at least
  std::string sentence;                               ///< overall, in words
  std::optional<ConditionalCalibration> conditional;  ///< what needs the data; empty if they were not given
  double family_wise_error = 0;
  std::int64_t num_data_sets = 0, num_draws = 0, num_tests = 0;
  double detectable_shift = 0;                                            ///< posterior sds that would be found with probability 0.8
  double detectable_width_ratio = 0;                                      ///< the same for a posterior too narrow by this factor
  [[nodiscard]] bool has(Fault kind, std::int64_t parameter = -2) const;  ///< -2: of whatever parameter
  [[nodiscard]] std::vector<Table> tables() const;                        ///< "verdict", "findings", "verdict_parameters"
};

/// draws (B, S, P), truths (B, P). Draws that are not finite are a finding, and their data sets are left out of the tests.
/// Throws ShapeError on shapes that do not fit, ArgumentError on truths that are not finite.
[[nodiscard]] Verdict verdict(const Array& draws, const Array& truths, const VerdictOptions& options = {});
/// The same and, within the same error rate, whether the posterior uses what the data say: `data` is what the networks were given
/// (parameters are ignored). A posterior that ignores part of the data passes every test of ranks alone.
[[nodiscard]] Verdict verdict(const Array& draws, const Array& truths, const Batch& data, const VerdictOptions& options = {});

}  // namespace bayesflow::diagnostics
