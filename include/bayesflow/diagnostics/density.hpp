/// Densities of samples on grids, and the pair grids made of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of a kernel density estimate.
struct KdeOptions {
  std::int64_t points = 200;            ///< grid points per axis
  double bw_factor = 1.0;               ///< times Scott's bandwidth
  double cut = 3.0;                     ///< the grid ends this many bandwidths beyond the outermost samples
  std::optional<double> low{}, high{};  ///< ends of the grid instead (1-D)
  std::optional<double> bound{};        ///< no sample can lie below: what kernels put there is reflected, the grid begins here (1-D)
  void validate() const;
};

/// Gaussian kernel estimate on a grid, with Scott's bandwidth h = sd n^(-1/5) (divisor n - 1), as scipy.stats.gaussian_kde. Exact but
/// for kernels beyond six bandwidths, which are left out (2e-8 of a kernel's maximum). The grid ends `cut` bandwidths beyond the
/// outermost samples, but not farther than eight robust standard deviations (interquartile range / 1.349) from the median.
struct Density1d {
  std::vector<double> x, density;
  double bandwidth = 0;  ///< 0 if all samples are equal: then one spike of mass one in the middle of a grid of width 2
};
[[nodiscard]] Density1d kde_1d(std::span<const double> samples, const KdeOptions& options = {});

/// The same in two dimensions with the bandwidth matrix cov n^(-1/3), as scipy and seaborn. Samples on a line, or without variance
/// in a direction, are given a thousandth of the other direction's, so that there is a density to draw.
struct Density2d {
  std::vector<double> x, y;
  Array density;  ///< (y, x)
  /// Densities that bound the regions holding the given shares of the mass, for contours: 0.9 gives the outermost of 0.1 ... 0.9.
  [[nodiscard]] std::vector<double> levels(std::span<const double> mass) const;
};
[[nodiscard]] Density2d kde_2d(std::span<const double> x, std::span<const double> y, const KdeOptions& options = {.points = 100});

/// Settings of `pairs`.
struct PairsOptions {
  std::vector<std::string> param_names{};
  std::optional<Array> reference{};  ///< (N, P): drawn beneath, for example prior draws under posterior draws
  std::optional<Array> truth{};      ///< (P): marked
  std::int64_t num_bins = 0;         ///< of the histograms; 0: Freedman-Diaconis
  std::int64_t max_scatter = 1000;   ///< draws kept for scatter panels (the first ones)
  KdeOptions kde = {.points = 100};
  int threads = 0;
  void validate() const;
};

/// Histogram with areas summing to one.
struct Histogram {
  std::vector<double> edges, density;  ///< (bins + 1), (bins)
};

/// Everything in a pair grid that comes from one set of draws.
struct PairsLayer {
  Array draws;                        ///< (at most max_scatter, P)
  std::int64_t num_draws = 0;         ///< behind the numbers
  std::vector<Histogram> histograms;  ///< (P)
  std::vector<Density1d> marginals;   ///< (P)
  std::vector<Density2d> joints;      ///< lower triangle by rows: (1,0), (2,0), (2,1), ...; x is the lower index
  std::vector<Estimate> mean, sd;     ///< (P)
  Array correlation;                  ///< (P, P)
  [[nodiscard]] const Density2d& joint(std::int64_t row, std::int64_t column) const;  ///< row > column
};

/// Numbers of a pair grid: posterior of one data set over its prior, prior draws alone, latents or summaries.
struct Pairs {
  std::vector<std::string> param_names;
  PairsLayer main;
  std::optional<PairsLayer> reference;
  std::optional<Array> truth;
  [[nodiscard]] std::vector<Table> tables() const;  ///< "pairs" (moments), "pair_correlation", "pair_marginals"
};
/// draws (S, P), at least two; ArgumentError naming the first number that is not finite.
[[nodiscard]] Pairs pairs(const Array& draws, const PairsOptions& options = {});
/// v1's names for what `pairs` shows.
[[nodiscard]] Pairs posterior_2d(const Array& posterior_draws, const std::optional<Array>& prior_draws = {}, PairsOptions options = {});
[[nodiscard]] Pairs latent_space_2d(const Array& z, PairsOptions options = {});  ///< names "Latent Dim. 1", ... unless given

}  // namespace bayesflow::diagnostics
