/// Does a trained posterior say anything about each parameter?
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bayesflow/amortizers/amortized_posterior.hpp"

namespace bayesflow {
namespace {

/// Share of the variance of values (sets, draws) that lies between data sets. Both parts are taken from the draws and not from the
/// validation set's few parameters, so they have the same scale and the ratio has little noise.
double share_between(const std::vector<double>& values, std::int64_t sets, std::int64_t draws) {
  const auto n = static_cast<double>(draws), count = static_cast<double>(sets);
  double within = 0, between = 0, grand = 0;
  for (const double v : values) grand += v / (n * count);
  for (auto first = values.begin(); first != values.end(); first += draws) {
    const double mean = std::accumulate(first, first + draws, 0.0) / n;
    for (auto v = first; v != first + draws; ++v) within += (*v - mean) * (*v - mean) / ((n - 1) * count);
    between += (mean - grand) * (mean - grand) / (count - 1);
  }
  between = std::max(0.0, between - within / n);  // means of few draws scatter by themselves
  return between + within > 0 ? between / (between + within) : 0;
}

/// Half of the values lie within it, around their median. Wild values do not change it.
double middle_half(std::vector<double> values) {
  const auto at = [&](double share) {
    const auto place = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), place, values.end());
    return *place;
  };
  return at(0.75) - at(0.25);
}

}  // namespace

/// A stalled run returns the prior for a parameter: flat rank histograms and a fair loss do not show it, contraction does. A parameter
/// of which the data tell the size and not the sign has posteriors with one mean: its distance from the middle is looked at as well.
std::vector<std::string> AmortizedPosterior::review(const Batch& held_out, const std::vector<std::string>& names) const {
  constexpr std::int64_t kDraws = 50;
  constexpr double kLeast = 0.05, kRatio = 2;
  const Block* truth = held_out.find(roles::parameters);
  if (!truth || truth->rank() != 2 || truth->dim(0) < 20 || !inference_net().has_draws()) return {};
  std::vector<Foreign> ignored;
  const Array draws = sample(held_out, kDraws, {.seed = 0, .foreign = &ignored});
  const std::int64_t sets = draws.dim(0), width = draws.dim(2);
  std::vector<std::string> out;
  for (std::int64_t j = 0; j < width; ++j) {
    std::vector<double> values(static_cast<std::size_t>(sets * kDraws));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = draws.data()[static_cast<std::int64_t>(i) * width + j];
    const std::string name =
        names.size() == static_cast<std::size_t>(width) ? names[static_cast<std::size_t>(j)] : fmt::format("theta_{}", j + 1);
    std::vector<double> truths;
    for (std::int64_t b = 0; b < sets; ++b) truths.push_back(static_cast<double>((*truth)(b, j)));
    const double is = middle_half(values), should_be = middle_half(truths);
    if (should_be > 0 && (is > kRatio * should_be || is < should_be / kRatio)) {
      out.push_back(
          fmt::format("{} has not the scale of its values in training: half of all draws lie within {:.3g}, half of the values within "
                      "{:.3g}; standardize it in the configurator, or train longer",
                      name, is, should_be));
      continue;
    }
    const double contraction = share_between(values, sets, kDraws);
    std::vector<double> sorted = values;
    std::nth_element(sorted.begin(), sorted.begin() + sets * kDraws / 2, sorted.end());
    const double middle = sorted[sorted.size() / 2];
    for (double& v : values) v = std::fabs(v - middle);
    if (std::max(contraction, share_between(values, sets, kDraws)) >= kLeast) continue;
    out.push_back(
        fmt::format("{} was not learnt: its posterior is about as wide as its prior (contraction {:.2f}); train longer, try another "
                    "seed, or check that the data say anything about it",
                    name, contraction));
  }
  return out;
}

}  // namespace bayesflow
