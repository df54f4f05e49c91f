/// How far data are from held-out simulations, as p-values.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/data/batch.hpp"

namespace bayesflow {

/// Numbers that describe each data set of a batch: of a vector its columns; of a set, series or image the mean, the logarithm of the
/// standard deviation, skewness, the logarithm of the kurtosis, the correlation of neighbours and the largest distance from the mean of
/// every column, and the correlation of columns. Of many columns less: more than 8 have no skewness and largest distance, more than 20
/// mean and standard deviation alone, and more than 64 are taken together in 64 groups. Padding is left out.
struct DataFeatures {
  std::vector<std::string> names;
  std::vector<float> values;  ///< (data sets, names)
};
[[nodiscard]] DataFeatures data_features(const Batch& batch);

/// What is kept of simulations that no weight was trained on: their features and their summaries.
struct ReferenceSample {
  static constexpr std::int64_t kMost = 2000;  ///< data sets
  std::int64_t count = 0;
  std::vector<std::string> names;  ///< of features
  std::vector<float> features;     ///< (count, names)
  std::int64_t summary_width = 0;  ///< 0: there is no summary network
  std::vector<float> summaries;    ///< (count, summary_width)

  /// Adds the data sets of a batch with their summaries, (batch, S) or empty, up to kMost. What there is before is forgotten if it has
  /// other features.
  void add(const Batch& batch, const Array& summary_outputs);
  /// Puts the summaries of `other` beside these; those of other data sets, or of none, become NaN.
  void join(const ReferenceSample& other);
  /// With the summaries [first, last) alone; nothing if there are no such columns, or if they are NaN.
  [[nodiscard]] ReferenceSample share(std::int64_t first, std::int64_t last) const;
};

/// One number of a data set beside the same of the simulations.
struct Strangest {
  std::string name;
  double value = 0;
  double low = 0, high = 0;  ///< quantiles 0.025 and 0.975 of the simulations
  bool alone = true;         ///< false: it is only strange beside the data set's other numbers
};

/// What `Typicality` says about data sets.
struct Typical {
  std::vector<double> p_values;     ///< of each data set; exact: if it is one more simulation, P(p <= a) <= a, and close to a
  std::vector<double> p_data;       ///< by the features of the data alone
  std::vector<double> p_summaries;  ///< by the summaries alone; empty without a summary network
  /// That one of the data sets at least is none of the simulations: min over i of B p_(i) / i (Simes 1986, valid for p-values with a common
  /// reference: Bates, Candes, Lei, Romano, Sesia 2023, Testing for outliers with conformal p-values).
  double p_value = 1;
  /// That they are not independent simulations, as a whole: Fisher's sum of -2 log p, with the correction of Bates et al. for the common
  /// reference. Sees small shifts of all data sets that p_value does not; says nothing where data sets are copies, or all of one kind.
  double p_together = 1;
  std::vector<Strangest> strangest;  ///< of each data set
};

/// Split conformal test (Vovk, Gammerman, Shafer 2005; Laxhammar and Falkman 2011) of data sets against a ReferenceSample: the first third
/// of it, at most 500, says where simulations lie; the others say how far from it simulations are.
///
/// Distances are taken in columns z = (x - median) / (interquartile range / 1.349), 4 asinh(z / 4) of heavy tails, whitened by covariance
/// with a share (d + 1) / n of the diagonal: mean square distance to the 5 nearest neighbours in up to 16 dimensions, else the Mahalanobis
/// distance to the mean. A data set has two ranks, by features and by summaries; the p-value is the rank of the smaller among those of the
/// others with it.
class Typicality {
 public:
  static constexpr std::int64_t kFewest = 64;  ///< of data sets in a reference
  /// Throws ArgumentError for fewer.
  explicit Typicality(const ReferenceSample& sample);
  [[nodiscard]] std::int64_t size() const;  ///< data sets that p-values are ranks among
  /// `summaries`: (batch, S), null without a summary network. Nothing (no p-values) if the features are not those of the reference.
  [[nodiscard]] Typical compare(const Batch& batch, const float* summaries) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace bayesflow
