/// Are two samples from the same distribution? Classifier test, and maximum mean discrepancy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `c2st`.
struct C2stOptions {
  std::int64_t n_folds = 5;
  std::int64_t hidden_units_per_dim = 16;  ///< two hidden layers of this times the width
  std::int64_t max_epochs = 200;           ///< training of a fold ends earlier when its loss no longer falls
  std::uint64_t seed = 123;
  int threads = 0;  ///< folds run side by side
  void validate() const;
};

/// Accuracy of a classifier trained to tell source from target, on folds that it has not seen: 0.5 if it cannot, 1 if they do
/// not overlap. Larger samples are thinned to the smaller's size and folds hold equal numbers of both, so that 0.5 is the
/// baseline; columns without variance are dropped. Lopez-Paz, Oquab (2017), Revisiting classifier two-sample tests.
struct C2st {
  Estimate accuracy;                                ///< mean over folds; its error allows for rows that folds share in training
  std::vector<double> fold_accuracy;                ///< (n_folds)
  double p_value = 1;                               ///< one-sided, of accuracy 0.5, from `forward_accuracy`
  double forward_accuracy = 0.5;                    ///< of folds 2, 3, ..., each told by a classifier that saw the folds before it only
  std::int64_t num_per_class = 0;                   ///< after balancing
  std::vector<std::int64_t> dropped_columns;        ///< without variance in both
  [[nodiscard]] std::vector<Table> tables() const;  ///< "c2st", "c2st_folds"
};
/// source (N, d), target (M, d): ShapeError on other widths, ArgumentError on fewer rows than folds.
[[nodiscard]] C2st c2st(const Array& source, const Array& target, const C2stOptions& options = {});
/// Kernels of the maximum mean discrepancy.
enum class Kernel : std::uint8_t {
  gaussian,                ///< sum over 19 bandwidths of exp(-|x - y|^2 / (2 s)), s = 1e-6 ... 1e6 (v1)
  inverse_multiquadratic,  ///< sum over the same of s / (s + |x - y|^2) (v1)
  gaussian_median,         ///< exp(-|x - y|^2 / (2 s)), s = median squared distance of both samples joined / 2
};
/// (N, M) kernel values of x (N, d) and y (M, d); gaussian_median takes its bandwidth from these.
[[nodiscard]] Array kernel_matrix(const Array& x, const Array& y, Kernel kernel = Kernel::gaussian);

/// Settings of `mmd`.
struct MmdOptions {
  Kernel kernel = Kernel::gaussian_median;
  std::int64_t permutations = 1000;  ///< of the labels, for the p-value; 0: none (p-value NaN)
  std::uint64_t seed = 0;
  int threads = 0;
  void validate() const;
};

/// Squared maximum mean discrepancy. Gretton, Borgwardt, Rasch, Schölkopf, Smola (2012), A kernel two-sample test.
struct Mmd {
  Estimate unbiased;                                ///< sums over i != j, divided by n (n - 1): may be negative; jackknife error
  double biased = 0;                                ///< v1's: with the diagonal, divided by n^2
  double p_value = 1;                               ///< (1 + #{permuted >= observed}) / (1 + permutations)
  std::vector<double> null;                         ///< (permutations) unbiased estimates under permuted labels
  [[nodiscard]] std::vector<Table> tables() const;  ///< "mmd", "mmd_null"
};
[[nodiscard]] Mmd mmd(const Array& source, const Array& target, const MmdOptions& options = {});

/// v1's maximum_mean_discrepancy: the biased estimate, clipped below at `minimum`, times `weight`.
[[nodiscard]] double maximum_mean_discrepancy(const Array& source, const Array& target, Kernel kernel = Kernel::gaussian,
                                              double weight = 1.0, double minimum = 0.0);

/// Settings of `mmd_hypothesis_test`.
struct MmdTestOptions {
  Kernel kernel = Kernel::gaussian;     ///< v1's
  std::int64_t num_null_samples = 100;  ///< at least 1 / alpha_level - 1: no p-value is below 1 / (1 + num_null_samples)
  double alpha_level = 0.05;
  std::uint64_t seed = 0;
  bool bootstrap = false;  ///< null sets are drawn with replacement (v1's bootstrap), from a pool of any size
  int threads = 0;
  void validate() const;
};

/// Test for model misspecification: are the observed rows as near to the reference as fresh simulations of the same number are?
/// Rows are summaries or raw features. Schmitt, Bürkner, Köthe, Radev (2023), Detecting model misspecification in amortized
/// Bayesian inference with neural networks.
struct MmdHypothesisTest {
  std::vector<double> mmd_null;  ///< (num_null_samples) square root of biased MMD^2 between reference and null sets
  double mmd_observed = 0;
  double critical_value = 0;          ///< misspecified if and only if mmd_observed exceeds it
  double p_value = 1;                 ///< (1 + #{null >= observed}) / (1 + num_null_samples)
  double p_value_standard_error = 0;  ///< binomial, from the number of null samples
  double alpha_level = 0;
  bool misspecified = false;                        ///< p_value <= alpha_level
  [[nodiscard]] std::vector<Table> tables() const;  ///< "mmd_hypothesis_test", "mmd_null"
};
/// observed (n, d), reference (R, d). Null sets are drawn from `null_pool` (any number >= n of fresh simulations); without it the
/// reference is split at random, so that null sets never share rows with what they are compared with.
/// Throws ConfigurationError, ShapeError, and ArgumentError on values that are not finite and on too few rows.
[[nodiscard]] MmdHypothesisTest mmd_hypothesis_test(const Array& observed, const Array& reference, const MmdTestOptions& options = {});
[[nodiscard]] MmdHypothesisTest mmd_hypothesis_test(const Array& observed, const Array& reference, const Array& null_pool,
                                                    const MmdTestOptions& options = {});

}  // namespace bayesflow::diagnostics
