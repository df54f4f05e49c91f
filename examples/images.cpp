/// The texture of an image: over what length do neighbours forget each other? A two-dimensional convolutional network learns it from
/// simulated fields, with its uncertainty. The exact posterior is known, and compared with.
///
/// A Gaussian field on 16 x 16 pixels with covariance rho^(|i - k| + |j - l|), rho = exp(-1 / length): white noise, smoothed by
/// x_t = rho x_(t-1) + sqrt(1 - rho^2) e_t along rows and then along columns. Undoing both gives the noise back, and so the exact
/// likelihood.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

namespace bf = bayesflow;

constexpr std::int64_t kSide = 16;
constexpr double kMean = 0.9, kSd = 0.7;  // of the logarithm of the length, a priori

/// Every row, or column, from noise to smooth (`undo`: back again).
void recur(bf::Array& x, double rho, bool along_rows, bool undo) {
  const double scale = std::sqrt(1 - rho * rho);
  const auto at = [&](std::int64_t line, std::int64_t t) -> double& { return along_rows ? x(line, t, 0) : x(t, line, 0); };
  for (std::int64_t line = 0; line < kSide; ++line) {
    if (undo)
      for (std::int64_t t = kSide - 1; t > 0; --t) at(line, t) = (at(line, t) - rho * at(line, t - 1)) / scale;
    else
      for (std::int64_t t = 1; t < kSide; ++t) at(line, t) = rho * at(line, t - 1) + scale * at(line, t);
  }
}

bf::Array field(const bf::Array& theta, bf::Rng& rng) {
  const double rho = std::exp(-std::exp(-theta[0]));
  bf::Array x = rng.normal({kSide, kSide, 1});
  recur(x, rho, true, false);
  recur(x, rho, false, false);
  return x;
}

double log_likelihood(double theta, bf::Array x) {
  const double rho = std::exp(-std::exp(-theta));
  recur(x, rho, false, true);
  recur(x, rho, true, true);
  double square = 0;
  for (const double e : x.values()) square += e * e;
  return -0.5 * square - static_cast<double>(kSide * (kSide - 1)) * std::log(1 - rho * rho);
}

/// Mean and standard deviation of the exact posterior, by quadrature.
std::pair<double, double> exact(const bf::Array& x) {
  constexpr int kPoints = 400;
  std::vector<double> at, log_density;
  for (int i = 0; i < kPoints; ++i) {
    const double z = -4 + 8 * (i + 0.5) / kPoints;
    at.push_back(kMean + kSd * z);
    log_density.push_back(log_likelihood(at.back(), x) - 0.5 * z * z);
  }
  const double most = *std::max_element(log_density.begin(), log_density.end());
  double total = 0, mean = 0, square = 0;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double w = std::exp(log_density[i] - most);
    total += w;
    mean += w * at[i];
    square += w * at[i] * at[i];
  }
  mean /= total;
  return {mean, std::sqrt(square / total - mean * mean)};
}

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  const bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return rng.normal({1}, kMean, kSd); }, {.param_names = {"log length"}}),
                                  bf::Simulator(field));
  bf::CouplingOptions coupling = bf::unregularized_coupling();  // no simulation is seen twice: no dropout
  coupling.dense.units = 64;
  bf::AmortizedPosterior amortizer(bf::InvertibleNetwork({.num_params = 1, .num_coupling_layers = 3, .coupling = coupling}),
                                   bf::ConvNetwork({.summary_dim = 8, .filters = {16, 32}}));
  bf::Trainer trainer(amortizer, model, {.default_lr = 2e-3, .progress = bf::console_progress()});
  std::printf("%s\n", trainer.train_online({.epochs = 1, .iterations_per_epoch = small ? 150 : 4000, .batch_size = 32}).brief().c_str());

  const bf::Batch test = trainer.configure(model(small ? 50 : 300));
  const bf::Array images = test.array(bf::roles::summary_conditions), draws = amortizer.sample(test, 300);
  double error = 0, width = 0;
  const auto count = static_cast<double>(images.dim(0));
  for (std::int64_t b = 0; b < images.dim(0); ++b) {
    const auto [mean, sd] = exact(images.row(b));
    error += std::fabs(draws.row(b).mean() - mean) / sd / count;
    width += draws.row(b).std(1) / sd / count;
    if (b < 5) std::printf("log length: %.2f +- %.2f, exactly %.2f +- %.2f\n", draws.row(b).mean(), draws.row(b).std(1), mean, sd);
  }
  std::printf("posterior means are off by %.2f exact standard deviations on average; widths are %.2f times the exact ones\n", error, width);
  std::printf("%s\n", bf::diagnostics::verdict(draws, test.array(bf::roles::parameters), test).sentence.c_str());
  return error < (small ? 3.0 : 0.6) ? 0 : 1;
}
