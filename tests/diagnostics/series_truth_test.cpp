/// Time series whose posterior is known exactly, learned by the networks for series, and judged by verdict and classifier; the same draws
/// made wrong are found to be so.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <ostream>
#include <string>

#include "bayesflow/bayesflow.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "bayesflow/diagnostics/verdict.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

/// x_t = c + phi x_(t-1) + e_t, e_t ~ N(0, 1), x_0 = 0; c ~ N(0, 1), phi ~ N(0, kPhi^2). Given x, (c, phi) is normal: it is a Bayesian
/// linear regression on z_t = (1, x_(t-1)), with precision diag(1, 1 / kPhi^2) + sum z z^T and mean precision^-1 sum z x.
constexpr std::int64_t kSteps = 40;
constexpr double kPhi = 0.3;

GenerativeModel autoregression() {
  const Prior prior([](Rng& rng) {
    const double c = rng.normal(), phi = rng.normal(0, kPhi);
    return Array::of({c, phi});
  });
  const Simulator simulator([](const Array& theta, Rng& rng) {
    Array x({kSteps, 1});
    double last = 0;
    for (std::int64_t t = 0; t < kSteps; ++t) last = x[t] = theta[0] + theta[1] * last + rng.normal();
    return x;
  });
  return {prior, simulator};
}

struct Exact {
  double c, phi;         ///< means
  double p00, p01, p11;  ///< precision
  explicit Exact(const Array& x) : p00(1), p01(0), p11(1 / (kPhi * kPhi)) {
    double b0 = 0, b1 = 0, last = 0;
    for (const double v : x.values()) {
      p00 += 1;
      p01 += last;
      p11 += last * last;
      b0 += v;
      b1 += last * v;
      last = v;
    }
    c = (p11 * b0 - p01 * b1) / determinant();
    phi = (p00 * b1 - p01 * b0) / determinant();
  }
  [[nodiscard]] double determinant() const { return p00 * p11 - p01 * p01; }
  [[nodiscard]] double log_density(double at_c, double at_phi) const {
    const double u = at_c - c, v = at_phi - phi;
    return 0.5 * std::log(determinant()) - std::log(2 * std::numbers::pi) - 0.5 * (p00 * u * u + 2 * p01 * u * v + p11 * v * v);
  }
  [[nodiscard]] Array draws(std::int64_t count, Rng rng) const {
    Array out({count, 2});
    for (std::int64_t s = 0; s < count; ++s) {
      const double v = rng.normal(0, std::sqrt(p00 / determinant()));  // marginal of phi, then c given it
      out(s, 1) = phi + v;
      out(s, 0) = c - p01 / p00 * v + rng.normal(0, std::sqrt(1 / p00));
    }
    return out;
  }
};

struct Network {
  std::string name;
  std::function<SummaryPart()> make;
  std::int64_t steps;
  double rate;
};
void PrintTo(const Network& n, std::ostream* out) { *out << n.name; }

std::vector<Network> networks() {
  TimeSeriesTransformerOptions transformer{.num_attention_blocks = 1, .template_dim = 32};
  transformer.attention = {.num_heads = 2, .key_dim = 16, .dropout = 0};
  transformer.dense.units = 32;
  return {{"SequenceNetwork", [] { return SequenceNetwork({.lstm_units = 32}); }, 8000, 2e-3},
          {"TimeSeriesTransformer", [transformer] { return TimeSeriesTransformer(transformer); }, 8000, 2e-3}};
}

/// The series of each data set in another order.
Array shuffled(const Array& x) {
  Array out = x;
  for (std::int64_t b = 0; b < x.dim(0); ++b) {
    Rng rng(4, "order", static_cast<std::uint64_t>(b));
    for (std::int64_t t = kSteps - 1; t > 0; --t) std::swap(out(b, t, 0), out(b, rng.integers(0, t + 1), 0));
  }
  return out;
}

class SeriesTruthSlow : public testing::TestWithParam<Network> {
  void SetUp() override {
    if (support::kSanitized) GTEST_SKIP() << "minutes of training, by the code that the other tests of training run for a few steps";
  }
};

TEST_P(SeriesTruthSlow, PosteriorOfAnAutoregressionIsExactAndWrongOnesAreFound) {
  const Network& n = GetParam();
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 64;
  AmortizedPosterior amortizer(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 3, .coupling = coupling}), n.make().shared());
  const GenerativeModel model = autoregression();
  Trainer trainer(amortizer, model, {.seed = 3, .threads = 2});
  nn::OptimizerOptions optimizer;
  optimizer.learning_rate = nn::cosine(n.rate, n.steps);
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = n.steps, .batch_size = 64, .run = {.optimizer = optimizer}});

  const Batch test = trainer.configure(model.simulate(300, 77, "held out", 0));
  const Array theta = test.array(roles::parameters), x = test.array(roles::summary_conditions);
  Batch out_of_order = test;
  out_of_order.set(roles::summary_conditions, shuffled(x));
  const auto gap = [&](const Batch& seen) {
    const Array q = amortizer.log_posterior(seen);
    double sum = 0;
    for (std::int64_t b = 0; b < 300; ++b) sum += Exact(x.row(b)).log_density(theta(b, 0), theta(b, 1)) - q(b);
    return sum / 300;
  };
  const double right_gap = gap(test), shuffled_gap = gap(out_of_order);
  const auto c2st = [&](const Batch& seen) {
    constexpr std::int64_t kDraws = 2000, kSets = 4;
    const Array draws = amortizer.sample(seen.rows(0, kSets), kDraws, {.seed = 1});
    double sum = 0;
    for (std::int64_t b = 0; b < kSets; ++b)
      sum +=
          diagnostics::c2st(draws.row(b), Exact(x.row(b)).draws(kDraws, Rng(5, "exact", static_cast<std::uint64_t>(b))), {.max_epochs = 30})
              .accuracy.value;
    return sum / kSets;
  };
  const double right_c2st = c2st(test), shuffled_c2st = c2st(out_of_order);
  const Array draws = amortizer.sample(test, 300, {.seed = 2});
  const diagnostics::Verdict right = diagnostics::verdict(draws, theta, test);
  RecordProperty("gap", std::to_string(right_gap));
  RecordProperty("c2st", std::to_string(right_c2st));
  RecordProperty("gap_of_shuffled", std::to_string(shuffled_gap));
  RecordProperty("c2st_of_shuffled", std::to_string(shuffled_c2st));
  EXPECT_LT(std::fabs(right_gap), 0.07) << "nats";
  EXPECT_LT(right_c2st, 0.55);
  EXPECT_LE(right.severity, diagnostics::Severity::harmless) << right.sentence;

  EXPECT_GT(shuffled_gap, 0.3) << "nats";
  EXPECT_GT(shuffled_c2st, 0.6);
  const Array of_shuffled = amortizer.sample(out_of_order, 300, {.seed = 2});
  const diagnostics::Verdict wrong_order = diagnostics::verdict(of_shuffled, theta, test);
  EXPECT_GE(wrong_order.severity, diagnostics::Severity::serious) << wrong_order.sentence;
  Array sign = draws;
  for (std::int64_t i = 1; i < sign.size(); i += 2) sign[i] = -sign[i];
  const diagnostics::Verdict wrong_sign = diagnostics::verdict(sign, theta, test);
  EXPECT_GE(wrong_sign.severity, diagnostics::Severity::serious) << wrong_sign.sentence;
}

INSTANTIATE_TEST_SUITE_P(Networks, SeriesTruthSlow, testing::ValuesIn(networks()), [](const auto& p) { return p.param.name; });

}  // namespace
}  // namespace bayesflow
