/// Two-level posteriors: against the exact posterior of a normal-normal model, with masks, in files, interrupted, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/amortizers/two_level_posterior.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "bayesflow/diagnostics/verdict.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/simulation/two_level_model.hpp"
#include "bayesflow/training/trainer.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

/// mu ~ N(0, 1); theta_g ~ N(mu, kTau); observations of group g ~ N(theta_g, 1).
constexpr double kTau = 0.7;
constexpr std::int64_t kGroups = 6, kN = 5;

TwoLevelGenerativeModel normal_model(bool varying = false) {
  const TwoLevelPrior prior([](Rng& rng) { return rng.normal({1}); },
                            [varying](const Array& mu, const Context&, Rng& rng) {
                              const std::int64_t groups = varying ? rng.integers(2, kGroups + 1) : kGroups;
                              return rng.normal({groups, 1}, mu[0], kTau);
                            });
  const TwoLevelSimulator simulate = [varying](const Array& theta, const Array&, const Context&, Rng& rng) {
    const std::int64_t n = varying ? rng.integers(2, kN + 1) : kN;
    Array x({theta.dim(0), n, 1});
    for (std::int64_t g = 0; g < theta.dim(0); ++g)
      for (std::int64_t i = 0; i < n; ++i) x(g, i, 0) = rng.normal(theta(g, 0), 1.0);
    return x;
  };
  TwoLevelGenerativeModelOptions options;
  if (varying) options.pad_to = {kGroups, kN};
  return {prior, simulate, options};
}

struct Normal {
  double mean, sd;
  [[nodiscard]] double log_density(double x) const {
    return -0.5 * (x - mean) * (x - mean) / (sd * sd) - std::log(sd) - 0.5 * std::log(2 * std::numbers::pi);
  }
};
/// p(mu | x), from the means of the groups and their numbers of observations.
Normal exact_global(const std::vector<std::pair<double, double>>& groups) {
  double precision = 1, sum = 0;
  for (const auto& [mean, n] : groups) {
    const double v = kTau * kTau + 1 / n;
    precision += 1 / v;
    sum += mean / v;
  }
  return {sum / precision, 1 / std::sqrt(precision)};
}
/// p(theta_g | mu, x_g)
Normal exact_local(double mu, double mean, double n) {
  const double precision = 1 / (kTau * kTau) + n;
  return {(mu / (kTau * kTau) + n * mean) / precision, 1 / std::sqrt(precision)};
}
/// Mean and number of observations of each group that is there, of data set `b`.
std::vector<std::pair<double, double>> groups_of(const Batch& batch, std::int64_t b) {
  const Array x = batch.array(roles::summary_conditions);
  std::vector<std::pair<double, double>> out;
  for (std::int64_t g = 0; g < x.dim(1); ++g) {
    double sum = 0, n = 0;
    for (std::int64_t i = 0; i < x.dim(2); ++i) {
      if (batch.has(roles::summary_mask) && batch.array(roles::summary_mask)(b, g, i) == 0) continue;
      sum += x(b, g, i, 0);
      ++n;
    }
    if (n > 0) out.emplace_back(sum / n, n);
  }
  return out;
}

InvertibleNetwork flow(std::int64_t params, std::int64_t units = 32) {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = units;
  return InvertibleNetwork({.num_params = params, .num_coupling_layers = 2, .coupling = coupling});
}
DeepSet deep_set(std::int64_t dim, std::int64_t units = 32) {
  const DenseOptions dense{.units = units};
  return DeepSet({.summary_dim = dim, .num_equiv = 0, .dense_s1 = dense, .dense_s2 = dense});
}
TwoLevelAmortizedPosterior two_level(AmortizerOptions options = {}, std::int64_t units = 32) {
  return {flow(1, units), flow(1, units), HierarchicalNetwork({.networks = {deep_set(4, units), deep_set(8, units)}}), options};
}
TwoLevelAmortizedPosterior tiny() { return two_level({}, 8); }

struct Trained {
  TwoLevelGenerativeModel model;
  TwoLevelAmortizedPosterior amortizer = two_level({.threads = 2});
  Batch test;
  explicit Trained(bool varying) : model(normal_model(varying)) {
    Trainer trainer(amortizer, model, {.threads = 2});
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = support::kSanitized ? 30 : 3000, .batch_size = 64});
    test = trainer.configure(model.simulate(200, 9, "test", 0));
  }
};
const Trained& trained(bool varying) {
  static const Trained fixed(false), with_masks(true);
  return varying ? with_masks : fixed;
}

/// Mean of exact log density minus the network's, of the global and of a local parameter.
std::pair<double, double> gaps(const TwoLevelAmortizedPosterior& amortizer, const Batch& test) {
  const TwoLevelAmortizedPosterior::Densities q = amortizer.log_densities(test);
  const Array mu = test.array(roles::hyper_parameters), theta = test.array(roles::local_parameters);
  double global = 0, local = 0, count = 0;
  for (std::int64_t b = 0; b < mu.dim(0); ++b) {
    const auto groups = groups_of(test, b);
    global += exact_global(groups).log_density(mu(b, 0)) - q.global(b);
    for (std::size_t g = 0; g < groups.size(); ++g, ++count) {
      const auto at = static_cast<std::int64_t>(g);
      local += exact_local(mu(b, 0), groups[g].first, groups[g].second).log_density(theta(b, at, 0)) - q.local(b, at);
    }
    for (std::int64_t g = static_cast<std::int64_t>(groups.size()); g < theta.dim(1); ++g) EXPECT_EQ(q.local(b, g), 0.0);
  }
  return {global / static_cast<double>(mu.dim(0)), local / count};
}

TEST(TwoLevel, HasTheExactDensities) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  for (const bool varying : {false, true}) {
    const Trained& t = trained(varying);
    const auto [global, local] = gaps(t.amortizer, t.test);
    EXPECT_LT(std::fabs(global), varying ? 0.05 : 0.03) << "of the hyper parameter, in nats";
    EXPECT_LT(std::fabs(local), varying ? 0.05 : 0.03) << "of a local parameter, in nats";
    RecordProperty(varying ? "global_masked" : "global", std::to_string(global));
    RecordProperty(varying ? "local_masked" : "local", std::to_string(local));
    const Array sum = t.amortizer.log_posterior(t.test);
    const auto parts = t.amortizer.log_densities(t.test);
    EXPECT_NEAR(sum(3), parts.global(3) + parts.local.row(3).sum(), 1e-9);
  }
}

/// Draws of mu and of all theta_g of one data set, one row for each.
Array rows_of(const TwoLevelAmortizedPosterior::Draws& draws, std::int64_t b) {
  const std::int64_t n = draws.global.dim(1), groups = draws.local.dim(1);
  Array out({n, 1 + groups});
  for (std::int64_t s = 0; s < n; ++s) {
    out(s, 0) = draws.global(b, s, 0);
    for (std::int64_t g = 0; g < groups; ++g) out(s, 1 + g) = draws.local(b, g, s, 0);
  }
  return out;
}

TEST(TwoLevel, DrawsFromTheJointPosterior) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const Trained& t = trained(false);
  constexpr std::int64_t kDraws = 2000;
  const auto draws = t.amortizer.sample(t.test.rows(0, 5), kDraws, {.seed = 2});
  ASSERT_EQ(draws.global.shape(), (Shape{5, kDraws, 1}));
  ASSERT_EQ(draws.local.shape(), (Shape{5, kGroups, kDraws, 1}));
  double c2st = 0, wrong = 0;
  for (std::int64_t b = 0; b < 5; ++b) {
    const auto groups = groups_of(t.test, b);
    Rng rng(77, "exact draws", static_cast<std::uint64_t>(b));
    Array exact({kDraws, 1 + kGroups});
    for (std::int64_t s = 0; s < kDraws; ++s) {
      const Normal global = exact_global(groups);
      exact(s, 0) = rng.normal(global.mean, global.sd);
      for (std::int64_t g = 0; g < kGroups; ++g) {
        const auto& [mean, n] = groups[static_cast<std::size_t>(g)];
        const Normal local = exact_local(exact(s, 0), mean, n);
        exact(s, 1 + g) = rng.normal(local.mean, local.sd);
      }
    }
    const Array got = rows_of(draws, b);
    c2st += diagnostics::c2st(got, exact, {.max_epochs = 30}).accuracy.value / 5;
    if (b > 0) continue;
    // Known to be wrong: local draws that know nothing of the global draw of the same number.
    Array shuffled = got;
    for (std::int64_t s = 0; s < kDraws; ++s) shuffled(s, 0) = got((s + 1) % kDraws, 0);
    wrong = diagnostics::c2st(shuffled, exact, {.max_epochs = 30}).accuracy.value;
  }
  RecordProperty("c2st", std::to_string(c2st));
  EXPECT_LT(c2st, 0.55);
  EXPECT_GT(wrong, 0.6);
}

TEST(TwoLevel, PassesTheVerdictAndAWrongOneDoesNot) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const Trained& t = trained(false);
  const Batch test = t.amortizer.configure(t.model.simulate(500, 21, "verdict", 0));
  const auto draws = t.amortizer.sample(test, 300, {.seed = 2});
  Array rows({500, 300, 1 + kGroups}), truths({500, 1 + kGroups});
  for (std::int64_t b = 0; b < 500; ++b) {
    rows.set_row(b, rows_of(draws, b));
    truths(b, 0) = test.array(roles::hyper_parameters)(b, 0);
    for (std::int64_t g = 0; g < kGroups; ++g) truths(b, 1 + g) = test.array(roles::local_parameters)(b, g, 0);
  }
  const diagnostics::Verdict right = diagnostics::verdict(rows, truths, test);
  EXPECT_LE(right.severity, diagnostics::Severity::harmless) << right.sentence;
  // The first two groups exchanged.
  Array exchanged = rows;
  for (std::int64_t i = 0; i < 500 * 300; ++i) std::swap(exchanged.data()[i * (1 + kGroups) + 1], exchanged.data()[i * (1 + kGroups) + 2]);
  EXPECT_EQ(diagnostics::verdict(exchanged, truths, test).severity, diagnostics::Severity::overwhelming);
}

TEST(TwoLevel, DrawsDoNotDependOnTheirNumberNorOnThreads) {
  const Trained& t = trained(true);
  const Batch few = t.test.rows(0, 3);
  const auto many = t.amortizer.sample(few, 300, {.seed = 2}), some = t.amortizer.sample(few, 7, {.seed = 2});
  const TemporaryFolder folder;
  t.amortizer.save(folder / "model.h5");
  const auto one = load_amortizer<TwoLevelAmortizedPosterior>(folder / "model.h5", {.threads = 1}).sample(few, 300, {.seed = 2});
  for (std::int64_t b = 0; b < 3; ++b) {
    EXPECT_EQ(many.global.row(b).slice(0, 7), some.global.row(b));
    for (std::int64_t g = 0; g < kGroups; ++g) {
      const Array a = many.local.row(b).row(g), c = some.local.row(b).row(g), d = one.local.row(b).row(g);
      const bool there = few.array(roles::local_mask)(b, g) != 0;
      EXPECT_EQ(std::isnan(a(0, 0)), !there);
      if (!there) continue;
      EXPECT_EQ(a.slice(0, 7), c);
      EXPECT_EQ(a, d);
    }
  }
}

TEST(TwoLevel, PaddingChangesNothing) {
  const Trained& t = trained(true);
  const auto whole = t.amortizer.log_densities(t.test);
  for (std::int64_t b = 0; b < 20; ++b) {
    const Batch one = t.test.rows(b, b + 1);
    const auto groups = static_cast<std::int64_t>(groups_of(t.test, b).size());
    const auto n = static_cast<std::int64_t>(groups_of(t.test, b)[0].second);
    Array x({1, groups, n, 1});
    for (std::int64_t g = 0; g < groups; ++g)
      for (std::int64_t i = 0; i < n; ++i) x(0, g, i, 0) = one.array(roles::summary_conditions)(0, g, i, 0);
    const Batch bare{{roles::summary_conditions, x},
                     {roles::hyper_parameters, one.array(roles::hyper_parameters)},
                     {roles::local_parameters, one.array(roles::local_parameters).swap_axes(0, 1).slice(0, groups).swap_axes(0, 1)}};
    const auto got = t.amortizer.log_densities(bare);
    EXPECT_NEAR(got.global(0), whole.global(b), 1e-5);
    for (std::int64_t g = 0; g < groups; ++g) EXPECT_NEAR(got.local(0, g), whole.local(b, g), 1e-5);
    // Whatever stands in the padding.
    Batch other = one;
    other.update(roles::local_parameters, [&](Array& a) {
      for (std::int64_t g = groups; g < kGroups; ++g) a(0, g, 0) = 1e3;
    });
    EXPECT_EQ(t.amortizer.compute_loss(other).total(), t.amortizer.compute_loss(one).total());
  }
}

TEST(TwoLevel, LossesAgree) {
  for (const bool varying : {false, true}) {
    const Trained& t = trained(varying);
    const LossTerms terms = t.amortizer.compute_loss(t.test);
    const auto d = t.amortizer.log_densities(t.test);
    double groups = 0;
    for (std::int64_t b = 0; b < 200; ++b) groups += static_cast<double>(groups_of(t.test, b).size());
    EXPECT_NEAR(terms["global_loss"], -d.global.mean(), 1e-4);
    EXPECT_NEAR(terms["local_loss"], -d.local.sum() / groups, 1e-4);
    // The loss that is trained on, which goes another way.
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Trainable::LossTensors trained_on = t.amortizer.loss(tape, t.test);
    EXPECT_NEAR(static_cast<double>(trained_on.terms[0].data()[0]), terms["global_loss"], 1e-4);
    EXPECT_NEAR(static_cast<double>(trained_on.terms[1].data()[0]), terms["local_loss"], 1e-4);
    const auto f = t.amortizer.forward(t.test);
    for (std::int64_t b = 0; b < 5; ++b) {
      EXPECT_NEAR(f.global.log_det_J(b) - 0.5 * std::pow(f.global.z(b, 0), 2) - 0.5 * std::log(2 * std::numbers::pi), d.global(b), 1e-4);
      EXPECT_NEAR(f.local_log_det_J(b, 1) - 0.5 * std::pow(f.local_z(b, 1, 0), 2) - 0.5 * std::log(2 * std::numbers::pi), d.local(b, 1),
                  1e-4);
    }
    const std::vector<double> each = t.amortizer.losses_of(t.test);
    ASSERT_EQ(each.size(), 200U);
    if (!varying) {
      double mean = 0;
      for (const double loss : each) mean += loss / 200;
      EXPECT_NEAR(mean, terms["global_loss"] + terms["local_loss"], 1e-4);
    }
  }
}

TEST(TwoLevel, TheSummaryNetworkLearnsFromBothLosses) {
  TwoLevelAmortizedPosterior amortizer = tiny();
  const Batch batch = amortizer.configure(normal_model(true).simulate(8, 1, "some", 0));
  amortizer.build(batch, 3);
  // A flow's last layers begin with zeros, through which no gradient comes.
  Rng rng(0, "weights");
  for (std::int64_t i = 0; i < amortizer.store().size(); ++i) amortizer.store().values()[i] += static_cast<float>(rng.normal(0, 0.1));
  // Whether one of the losses has a gradient with respect to these parameters.
  const auto reached = [&](std::size_t term, std::string_view of) {
    GradientLanes lanes(amortizer.store().size(), amortizer.store().count());
    Tape tape;
    tape.reset({.gradients = true, .training = false, .lanes = &lanes});
    tape.backward(amortizer.loss(tape, batch).terms[term]);
    bool any = false;
    for (std::int64_t p = 0; p < amortizer.store().count(); ++p) {
      const nn::ParameterInfo& info = amortizer.store().table()[static_cast<std::size_t>(p)];
      if (!info.name.starts_with(of)) continue;
      std::vector<float> gradient(static_cast<std::size_t>(info.shape.size()));
      lanes.add_up(p, info.offset, gradient);
      any = any || std::ranges::any_of(gradient, [](float g) { return g != 0; });
    }
    return any;
  };
  for (const std::size_t term : {0U, 1U}) EXPECT_TRUE(reached(term, "global.summary_net.levels.0"));
  EXPECT_TRUE(reached(0, "global.summary_net.levels.1"));
  EXPECT_TRUE(reached(0, "global.inference_net"));
  EXPECT_FALSE(reached(0, "local"));
  EXPECT_TRUE(reached(1, "local.inference_net"));
  EXPECT_FALSE(reached(1, "global.inference_net"));
}

TEST(TwoLevel, TrainsToTheSameBitsOnAnyNumberOfThreadsAndAfterInterruptions) {
  const TwoLevelGenerativeModel model = normal_model(true);
  const auto train = [&](int threads, const std::vector<int>& stops) {
    const TemporaryFolder folder;
    for (std::size_t i = 0;; ++i) {
      int steps = 0;
      const TwoLevelAmortizedPosterior amortizer = tiny();
      TrainerOptions options{.seed = 4, .threads = threads};
      options.checkpoint_path = folder / "checkpoints";
      options.progress = [&](const Progress& p) {
        if (!p.epoch_done && i < stops.size() && ++steps == stops[i]) std::raise(SIGINT);
        return Control::proceed;
      };
      Trainer trainer(amortizer, model, options);
      const TrainingSummary run =
          trainer.train_online({.epochs = 2, .iterations_per_epoch = 6, .batch_size = 16, .run = {.validation_sims = 20}});
      if (i < stops.size()) continue;
      EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
      return std::vector<float>(amortizer.store().values(), amortizer.store().values() + amortizer.store().size());
    }
  };
  const std::vector<float> straight = train(1, {});
  EXPECT_EQ(straight, train(2, {}));
  EXPECT_EQ(straight, train(4, {}));
  EXPECT_EQ(straight, train(2, {3, 5}));
}

TEST(TwoLevel, IsSavedAndLoaded) {
  const TemporaryFolder folder;
  const Trained& t = trained(true);
  t.amortizer.save(folder / "model.h5");
  const auto again = load_amortizer<TwoLevelAmortizedPosterior>(folder / "model.h5");
  EXPECT_EQ(again.log_posterior(t.test), t.amortizer.log_posterior(t.test));
  EXPECT_EQ(again.sample(t.test, 3, {.seed = 1}).global, t.amortizer.sample(t.test, 3, {.seed = 1}).global);
  ASSERT_TRUE(again.seen());
  EXPECT_FALSE(again.seen()->of(roles::hyper_parameters).empty());
  // Data unlike those of training are noticed.
  Batch far = t.test.rows(0, 4);
  far.update(roles::summary_conditions, [](Array& x) { x *= 50.0; });
  EXPECT_FALSE(again.foreign(far).empty());
  EXPECT_TRUE(again.foreign(t.test.rows(0, 4)).empty());
  const auto global = load_amortizer<AmortizedPosterior>(folder / "model.h5", {.part = "global"});
  EXPECT_EQ(global.num_weights(), t.amortizer.global().num_weights());
}

TEST(TwoLevel, DoesWithoutASummaryNetworkAndWithSharedParameters) {
  TwoLevelAmortizedPosterior amortizer(AmortizedPosterior(flow(2, 8)), AmortizedPosterior(flow(3, 8)));
  const Rng streams(0, "test");
  const Batch batch{{roles::hyper_parameters, streams.branch("h").normal({5, 2})},
                    {roles::shared_parameters, streams.branch("s").normal({5, 1})},
                    {roles::local_parameters, streams.branch("l").normal({5, 3, 2})},
                    {roles::direct_global_conditions, streams.branch("g").normal({5, 4})},
                    {roles::direct_local_conditions, streams.branch("d").normal({5, 3, 2})}};
  amortizer.build(batch, 1);
  EXPECT_EQ(amortizer.global().num_params(), 3);
  const auto draws = amortizer.sample(batch, 10, {.seed = 1});
  EXPECT_EQ(draws.global.shape(), (Shape{5, 10, 3}));
  EXPECT_EQ(draws.local.shape(), (Shape{5, 3, 10, 2}));
  EXPECT_NEAR(amortizer.compute_loss(batch)["local_loss"], -amortizer.log_densities(batch).local.mean(), 1e-4);
  Batch one_for_all = batch;
  one_for_all.set(roles::direct_local_conditions, streams.branch("d").normal({5, 2}));
  EXPECT_THROW((void)amortizer.log_posterior(one_for_all), ShapeError);  // how many groups are there?
}

TEST(TwoLevel, SaysWhatDoesNotFit) {
  const HierarchicalNetwork summary({.networks = {deep_set(4, 8), deep_set(8, 8)}});
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              const TwoLevelAmortizedPosterior a(AmortizedPosterior(flow(1, 8), deep_set(4, 8)), AmortizedPosterior(flow(1, 8), summary));
            }),
            "TwoLevelAmortizedPosterior: the local amortizer must have no summary network; data are summarized by the global one's");
  EXPECT_EQ(
      sentence<ConfigurationError>(
          [&] { const TwoLevelAmortizedPosterior a(AmortizedPosterior(flow(1, 8)), AmortizedPosterior(flow(1, 8), deep_set(4, 8))); }),
      "TwoLevelAmortizedPosterior: the global amortizer's summary network must be a HierarchicalNetwork of two levels: of observations "
      "and of groups");
  EXPECT_THROW(two_level({.summary_mmd_weight = 1}), ConfigurationError);
  TwoLevelAmortizedPosterior amortizer = tiny();
  const Batch batch = amortizer.configure(normal_model().simulate(4, 1, "some", 0));
  const auto without = [&](const char* role) {
    Batch out = batch;
    out.set(role, Block());
    return out;
  };
  EXPECT_EQ(sentence<ShapeError>([&] { tiny().build(without(roles::hyper_parameters)); }),
            "TwoLevelAmortizedPosterior::build: hyper_parameters must be of shape (batch, H)");
  EXPECT_EQ(sentence<ShapeError>([&] { tiny().build(without(roles::local_parameters)); }),
            "TwoLevelAmortizedPosterior::build: local_parameters must be of shape (batch, groups, L)");
  Batch wrong = batch;
  wrong.set(roles::parameters, Array({4, 1}));
  EXPECT_EQ(sentence<ConfigurationError>([&] { tiny().build(wrong); }),
            "TwoLevelAmortizedPosterior::build: reads no parameters; leave it out, or correct the name");
  amortizer.build(batch, 1);
  Batch fewer = batch;
  fewer.set(roles::local_parameters, Array({4, kGroups - 1, 1}));
  EXPECT_EQ(
      sentence<ShapeError>([&] { (void)amortizer.log_posterior(fewer); }),
      "TwoLevelAmortizedPosterior::log_densities: local_parameters must be of shape (batch, groups, L), with as many groups as the data; "
      "got (4, 5, 1)");
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  EXPECT_THROW((void)amortizer.loss(tape, fewer), ShapeError);
  Batch nobody = batch;
  nobody.set(roles::local_mask, Array({4, kGroups}, 0.0));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(nobody); }),
            "TwoLevelAmortizedPosterior::log_densities: no group is there; the masks leave nothing");
  nobody.set(roles::local_mask, Array({4, 2}, 1.0));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(nobody); }),
            "TwoLevelAmortizedPosterior::log_densities: local_mask must be of shape (batch, groups); got (4, 2)");
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample(nobody, 3); }),
            "TwoLevelAmortizedPosterior::sample: local_mask must be of shape (batch, groups); got (4, 2)");
  EXPECT_THROW((void)amortizer.configure(gaussian_model(2, 3).simulate(2, 1, "some", 0)), ConfigurationError);
}

TEST(TwoLevel, RefusesMasksThatAreNoMasksOrContradictEachOther) {
  TwoLevelAmortizedPosterior amortizer = tiny();
  const Batch batch = amortizer.configure(normal_model(true).simulate(4, 1, "some", 0));
  amortizer.build(batch, 1);
  EXPECT_NO_THROW((void)amortizer.log_posterior(batch));
  const auto with = [&](const char* role, std::int64_t at, double value) {
    Batch out = batch;
    out.update(role, [&](Array& mask) { mask.data()[at] = value; });
    return out;
  };
  const std::string no_mask = " of data set 1; masks must be 1 where something is there and 0 elsewhere";
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.sample(with(roles::local_mask, kGroups, 0.5), 3); }),
            "TwoLevelAmortizedPosterior::sample: 0.5 in local_mask" + no_mask);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.sample(with(roles::summary_mask, kGroups * kN, 2), 3); }),
            "AmortizedPosterior::sample: 2 in summary_mask" + no_mask);
  const Batch gone = with(roles::local_mask, kGroups + 1, 0);
  const std::string contradiction =
      "group 1 of data set 1 is not there by local_mask, but summary_mask leaves observations of it; make the masks agree";
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.sample(gone, 3); }), "TwoLevelAmortizedPosterior::sample: " + contradiction);
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.loss(tape, gone); }), "TwoLevelAmortizedPosterior::loss: " + contradiction);
}

TEST(TwoLevel, SpeaksOfTheAxisWhereGroupsAreMoreThanInTraining) {
  TwoLevelAmortizedPosterior amortizer = tiny();
  Trainer trainer(amortizer, normal_model(), {.threads = 1});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 3, .batch_size = 8});
  Batch fewer = amortizer.configure(normal_model().simulate(2, 1, "some", 0));
  fewer.update(roles::summary_conditions, [](Array& x) { x = x.reshape({4, kGroups / 2, kN, 1}).take(std::vector<std::int64_t>{0, 1}); });
  const std::vector<Foreign> found = amortizer.foreign(fewer);
  const auto size = std::ranges::find(found, Foreign::Kind::size, &Foreign::kind);
  ASSERT_NE(size, found.end());
  EXPECT_TRUE(size->sentence.starts_with("Length of axis 1 of summary_conditions: 3, in training always 6. ")) << size->sentence;
}

}  // namespace
}  // namespace bayesflow
