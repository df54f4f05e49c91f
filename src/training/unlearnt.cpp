/// Does a trained amortizer tell anything about each parameter?
#include <fmt/format.h>

#include <algorithm>

#include "training/state.hpp"

namespace bayesflow::training {

/// A stalled run returns the prior for a parameter: flat rank histograms and a fair loss do not show it, contraction does.
void TrainerState::find_unlearnt(const Inputs& validation, TrainingSummary& summary) {
  constexpr std::int64_t kDraws = 50;
  constexpr double kLeast = 0.05;
  if (validation.parameters.rank() != 2 || validation.parameters.dim(0) < 20) return;
  const Array draws = amortizer.sample(validation, kDraws);
  const std::int64_t sets = draws.dim(0), width = draws.dim(2);
  const double n = static_cast<double>(kDraws);
  for (std::int64_t j = 0; j < width; ++j) {
    // The prior's variance is that within posteriors plus that between their means. Taken from the draws, and not from the
    // validation set's few parameters, both parts have the same scale and the ratio has little noise.
    double within = 0, mean_of_means = 0, between = 0;
    std::vector<double> means(static_cast<std::size_t>(sets), 0.0);
    for (std::int64_t b = 0; b < sets; ++b) {
      const auto draw = [&](std::int64_t k) { return draws.data()[(b * kDraws + k) * width + j]; };
      double& mean = means[static_cast<std::size_t>(b)];
      for (std::int64_t k = 0; k < kDraws; ++k) mean += draw(k) / n;
      for (std::int64_t k = 0; k < kDraws; ++k) within += (draw(k) - mean) * (draw(k) - mean) / ((n - 1) * static_cast<double>(sets));
      mean_of_means += mean / static_cast<double>(sets);
    }
    for (const double mean : means) between += (mean - mean_of_means) * (mean - mean_of_means) / static_cast<double>(sets - 1);
    between = std::max(0.0, between - within / n);  // means of few draws scatter by themselves
    const double contraction = between / (between + within);
    if (contraction < kLeast) {
      const std::vector<std::string> names = model ? model->param_names() : std::vector<std::string>();
      const std::string name =
          names.size() == static_cast<std::size_t>(width) ? names[static_cast<std::size_t>(j)] : fmt::format("theta_{}", j + 1);
      summary.warnings.push_back(
          fmt::format("{} was not learnt: its posterior is about as wide as its prior (contraction {:.2f}); train longer, try another "
                      "seed, or check that the data say anything about it",
                      name, contraction));
      log(LogLevel::warning, summary.warnings.back());
    }
  }
}

}  // namespace bayesflow::training
