/// Short trainings of summary networks on problems whose posterior is known to any precision: one parameter, by quadrature. Each needs what
/// its network is for: order, pixels and their neighbours, groups.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "bayesflow/bayesflow.hpp"

namespace bayesflow {
namespace {

/// theta ~ U(low, high).
struct Problem {
  std::string name;
  std::function<SummaryPart()> network;
  double low = 0, high = 1;
  std::function<Array(double theta, Rng& rng)> simulate;
  std::function<double(double theta, const Array& x)> log_likelihood;
  std::int64_t steps = 600;
  double rate = 1e-3;
  double most = 0.1;                           ///< nats above the loss of the exact posterior
  std::function<Batch(Batch)> configure = {};  ///< of what the default configurator makes
};
void PrintTo(const Problem& p, std::ostream* out) { *out << p.name; }

/// x_t = phi x_(t-1) + e_t from its stationary distribution.
Array autoregression(double phi, Rng& rng) {
  constexpr std::int64_t kSteps = 40;
  Array x({kSteps, 1});
  x[0] = rng.normal(0, 1 / std::sqrt(1 - phi * phi));
  for (std::int64_t t = 1; t < kSteps; ++t) x[t] = phi * x[t - 1] + rng.normal();
  return x;
}
double log_likelihood_of_autoregression(double phi, const Array& x) {
  double out = 0.5 * std::log(1 - phi * phi) - 0.5 * (1 - phi * phi) * x[0] * x[0];
  for (std::int64_t t = 1; t < x.size(); ++t) out -= 0.5 * std::pow(x[t] - phi * x[t - 1], 2);
  return out;
}

std::vector<Problem> problems() {
  const auto series = [](const char* name, std::function<SummaryPart()> network, std::int64_t steps, double rate, double most = 0.1) {
    return Problem{name, std::move(network), -0.95, 0.95, autoregression, log_likelihood_of_autoregression, steps, rate, most};
  };
  TimeSeriesTransformerOptions transformer;
  transformer.attention.dropout = 0;
  SetTransformerOptions set;
  set.embedding_dim = 16;
  set.num_inducing_points = 8;
  set.attention.dropout = 0;
  return {
      series(
          "SequenceNetwork", [] { return SequenceNetwork({.lstm_units = 32}); }, 600, 2e-3),
      series(
          "TimeSeriesNetwork", [] { return TimeSeriesNetwork({.num_conv_layers = 1, .recurrent_dim = 32}); }, 600, 2e-3),
      series(
          "TimeSeriesTransformer", [transformer] { return TimeSeriesTransformer(transformer); }, 1000, 2e-3, 0.15),
      // Scale of normal numbers.
      {"SetTransformer", [set] { return SetTransformer(set); }, -1, 1,
       [](double theta, Rng& rng) {
         return rng.normal({20, 1}, 0.0, std::exp(theta));
       },
       [](double theta, const Array& x) {
         double out = -20 * theta;
         for (const double v : x.values()) out -= 0.5 * v * v * std::exp(-2 * theta);
         return out;
       }},
      // A chessboard under noise: pixels alone say nothing.
      {"ConvNetwork",
       [] {
         return ConvNetwork({.filters = {8, 16}});
       },
       -1, 1,
       [](double theta, Rng& rng) {
         Array x = rng.normal({8, 6, 1});
         for (std::int64_t i = 0; i < 48; ++i) x.data()[i] += (i / 6 + i % 6) % 2 == 0 ? theta : -theta;
         return x;
       },
       [](double theta, const Array& x) {
         double out = 0;
         for (std::int64_t i = 0; i < 48; ++i) out -= 0.5 * std::pow(x[i] - ((i / 6 + i % 6) % 2 == 0 ? theta : -theta), 2);
         return out;
       }},
      // The spread between groups of normal numbers.
      {"HierarchicalNetwork",
       [] {
         return HierarchicalNetwork({.networks = {DeepSet({.num_equiv = 0}), DeepSet({.num_equiv = 0})}});
       },
       -1, 1,
       [](double theta, Rng& rng) {
         Array x({10, 5, 1});
         for (std::int64_t g = 0; g < 10; ++g) {
           const double mean = rng.normal(0, std::exp(theta));
           for (std::int64_t i = 0; i < 5; ++i) x(g, i, 0) = rng.normal(mean, 1);
         }
         return x;
       },
       [](double theta, const Array& x) {
         const double variance = std::exp(2 * theta) + 0.2;  // of a group's mean
         double out = 0;
         for (std::int64_t g = 0; g < 10; ++g) {
           double mean = 0;
           for (std::int64_t i = 0; i < 5; ++i) mean += x(g, i, 0) / 5;
           out -= 0.5 * std::log(variance) + 0.5 * mean * mean / variance;
         }
         return out;
       }},
      // Two conditions, of which only the second knows theta; the first is noise of its own scale.
      {"SplitNetwork",
       [] {
         return SplitNetwork({.networks = {DeepSet({.num_equiv = 0}), DeepSet({.num_equiv = 0})}});
       },
       -1, 1,
       [](double theta, Rng& rng) {
         Array x({20, 2});
         for (std::int64_t i = 0; i < 20; ++i) {
           x(i, 0) = static_cast<double>(i % 2);
           x(i, 1) = i % 2 == 0 ? rng.normal(0, 3) : rng.normal(theta, 1);
         }
         return x;
       },
       [](double theta, const Array& x) {
         double out = 0;
         for (std::int64_t i = 1; i < 20; i += 2) out -= 0.5 * std::pow(x(i, 1) - theta, 2);
         return out;
       }},
      // A set of 12 numbers and a table of 3, each with half of the information: one of them alone misses 0.35 nats.
      {"FusionNetwork",
       [] {
         using enum GraphOp;
         const GraphNetwork table({.layers = {{"hidden", {.units = 16}}, {"last", {.units = 4, .activation = Activation::identity}}},
                                   .nodes = {{.name = "hidden", .op = dense, .sources = {"data"}, .layer = "hidden"},
                                             {.name = "last", .op = dense, .sources = {"hidden"}, .layer = "last"}}});
         return FusionNetwork(
             {.sources = {"set", "table"}, .networks = {DeepSet({.num_equiv = 0}), table}, .merge = FusionMergeOptions{.summary_dim = 4}});
       },
       -1, 1,
       [](double theta, Rng& rng) {
         Array x({15});
         for (std::int64_t i = 0; i < 15; ++i) x[i] = rng.normal(i < 12 ? theta : 2 * theta, 1);
         return x;
       },
       [](double theta, const Array& x) {
         double out = 0;
         for (std::int64_t i = 0; i < 15; ++i) out -= 0.5 * std::pow(x[i] - (i < 12 ? theta : 2 * theta), 2);
         return out;
       },
       600, 1e-3, 0.1,
       [](Batch batch) {
         const Block x = batch[roles::summary_conditions];
         batch.set(roles::summary_conditions, {});
         batch.set("summary_conditions.set", x.columns(0, 12).array().expand_dims(2));
         batch.set("summary_conditions.table", x.columns(12, 15));
         return batch;
       }}};
}

/// log p(theta | x) by quadrature.
double exact_log_posterior(const Problem& p, double theta, const Array& x) {
  constexpr int kPoints = 2000;
  const double width = (p.high - p.low) / kPoints;
  std::vector<double> logs;
  for (int i = 0; i < kPoints; ++i) logs.push_back(p.log_likelihood(p.low + (i + 0.5) * width, x));
  const double most = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double l : logs) sum += std::exp(l - most) * width;
  return p.log_likelihood(theta, x) - most - std::log(sum);
}

class NetworkTruthSlow : public testing::TestWithParam<Problem> {};

TEST_P(NetworkTruthSlow, LossComesCloseToThatOfTheExactPosterior) {
  const Problem& p = GetParam();
  const GenerativeModel model(Prior([&p](Rng& rng) { return rng.uniform({1}, p.low, p.high); }),
                              Simulator([&p](const Array& theta, Rng& rng) { return p.simulate(theta[0], rng); }));
  AmortizedPosterior amortizer(InvertibleNetwork({.num_params = 1, .num_coupling_layers = 3, .coupling = unregularized_coupling()}),
                               p.network().shared());
  const auto configure = [&p](const Simulations& simulations) {
    const Batch batch = default_configurator(simulations);
    return p.configure ? p.configure(batch) : batch;
  };
  Trainer trainer(amortizer, model, {.configurator = configure, .seed = 3});
  nn::OptimizerOptions optimizer;
  optimizer.learning_rate = nn::cosine(p.rate, p.steps);
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = p.steps, .batch_size = 64, .run = {.optimizer = optimizer}});
  const Simulations simulations = model.simulate(1000, 77, "held out", 0);
  const Batch test = trainer.configure(simulations);
  const Array found = amortizer.log_posterior(test), theta = test.array(roles::parameters);
  const Array x = default_configurator(simulations).array(roles::summary_conditions);
  double exact = 0;
  for (std::int64_t i = 0; i < 1000; ++i) exact += exact_log_posterior(p, theta(i, 0), x.row(i)) / 1000;
  const double prior = -std::log(p.high - p.low);
  EXPECT_GT(exact - prior, 0.5) << "the data say something";
  EXPECT_LT(exact - found.mean(), p.most);
  EXPECT_GT(exact - found.mean(), -0.03) << "nothing can be better";
}

INSTANTIATE_TEST_SUITE_P(Problems, NetworkTruthSlow, testing::ValuesIn(problems()), [](const auto& p) { return p.param.name; });

}  // namespace
}  // namespace bayesflow
