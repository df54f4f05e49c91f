/// Posterior and likelihood together: against exact answers, against each trained alone, in files, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior_likelihood.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/training/trainer.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

/// theta ~ N(0, I), x_i = A theta + s e_i with A = [[1, 0], [-1, 1.5]], s = (0.8, 0.6): all answers are Gaussian.
constexpr double kSd[] = {0.8, 0.6}, kSlope = 1.5;
constexpr std::int64_t kN = 4;

double mean_of(const double* theta, int k) { return k == 0 ? theta[0] : kSlope * theta[1] - theta[0]; }
double normal(double x, double mean, double sd) {
  const double z = (x - mean) / sd;
  return -0.5 * z * z - std::log(sd) - 0.5 * std::log(2 * std::numbers::pi);
}

GenerativeModel linear_model(std::int64_t n = kN) {
  return GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([n](const Array& theta, Rng& rng) {
                           Array x({n, 2});
                           for (std::int64_t i = 0; i < n; ++i)
                             for (int k = 0; k < 2; ++k) x(i, k) = rng.normal(mean_of(theta.data(), k), kSd[k]);
                           return x;
                         }));
}

Array log_prior(const Array& theta) {
  Array out({theta.dim(0)});
  for (std::int64_t i = 0; i < theta.dim(0); ++i) out(i) = normal(theta(i, 0), 0, 1) + normal(theta(i, 1), 0, 1);
  return out;
}

/// The exact posterior of one data set: N(mean, inverse of precision), and log p(x) by Bayes' rule at the mean.
struct Exact {
  double mean[2], precision[3];  // a, b, d of [[a, b], [b, d]]
  double log_marginal;
  [[nodiscard]] double log_posterior(const double* theta) const {
    const double u = theta[0] - mean[0], v = theta[1] - mean[1];
    const double det = precision[0] * precision[2] - precision[1] * precision[1];
    return 0.5 * std::log(det) - std::log(2 * std::numbers::pi) -
           0.5 * (precision[0] * u * u + 2 * precision[1] * u * v + precision[2] * v * v);
  }
};
double exact_likelihood(const double* theta, const float* x, std::int64_t n) {
  double out = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < 2; ++k) out += normal(static_cast<double>(x[2 * i + k]), mean_of(theta, k), kSd[k]);
  return out;
}
Exact exact(const float* x, std::int64_t n = kN) {
  const double w0 = 1 / (kSd[0] * kSd[0]), w1 = 1 / (kSd[1] * kSd[1]), count = static_cast<double>(n);
  double sum[2] = {0, 0};
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < 2; ++k) sum[k] += static_cast<double>(x[2 * i + k]);
  Exact e{};
  e.precision[0] = 1 + count * (w0 + w1);
  e.precision[1] = -count * w1 * kSlope;
  e.precision[2] = 1 + count * w1 * kSlope * kSlope;
  const double r0 = w0 * sum[0] - w1 * sum[1], r1 = w1 * kSlope * sum[1];
  const double det = e.precision[0] * e.precision[2] - e.precision[1] * e.precision[1];
  e.mean[0] = (e.precision[2] * r0 - e.precision[1] * r1) / det;
  e.mean[1] = (e.precision[0] * r1 - e.precision[1] * r0) / det;
  e.log_marginal = exact_likelihood(e.mean, x, n) + normal(e.mean[0], 0, 1) + normal(e.mean[1], 0, 1) - e.log_posterior(e.mean);
  return e;
}

CouplingOptions small_coupling(std::int64_t units = 32, double dropout = 0) {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = units;
  coupling.dropout_prob = dropout;
  return coupling;
}
AmortizedPosterior small_posterior(AmortizerOptions options = {}, double dropout = 0) {
  const DenseOptions dense{.units = 32};
  return AmortizedPosterior(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 4, .coupling = small_coupling(32, dropout)}),
                            DeepSet({.summary_dim = 8, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense}),
                            std::move(options));
}
AmortizedLikelihood small_likelihood(AmortizerOptions options = {}, double dropout = 0) {
  return AmortizedLikelihood(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 4, .coupling = small_coupling(32, dropout)}),
                             std::move(options));
}
AmortizedPosteriorLikelihood small_joint(int threads = 0) {
  return AmortizedPosteriorLikelihood(small_posterior({.threads = threads}), small_likelihood({.threads = threads}));
}

/// What is trained once for all tests of its answers.
struct Trained {
  GenerativeModel model = linear_model();
  AmortizedPosteriorLikelihood joint = small_joint();
  Batch test;
  Trained() {
    Trainer trainer(joint, model, {.threads = 2});
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = support::kSanitized ? 30 : 3000, .batch_size = 64});
    test = trainer.configure(model.simulate(200, 9, "test", 0));
  }
};
const Trained& trained() {
  static const Trained out;
  return out;
}

TEST(Joint, HasTheExactDensitiesOfALinearModel) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const auto& [model, joint, test] = trained();
  const Array theta = test.array(roles::parameters), log_q = joint.log_posterior(test), log_l = joint.log_likelihood(test);
  double posterior_gap = 0, likelihood_gap = 0;
  for (std::int64_t b = 0; b < 200; ++b) {
    const float* x = test[roles::observables].data() + b * kN * 2;
    posterior_gap += (exact(x).log_posterior(theta.row_values(b).data()) - log_q(b)) / 200;
    for (std::int64_t i = 0; i < kN; ++i)
      likelihood_gap += (exact_likelihood(theta.row_values(b).data(), x + 2 * i, 1) - log_l(b, i)) / (200 * kN);
  }
  RecordProperty("posterior_gap", std::to_string(posterior_gap));
  RecordProperty("likelihood_gap", std::to_string(likelihood_gap));
  EXPECT_LT(std::fabs(posterior_gap), 0.02);
  EXPECT_LT(std::fabs(likelihood_gap), 0.02);
  EXPECT_EQ(joint.sample_parameters(test, 7, {.seed = 1}).shape(), (Shape{200, 7, 2}));
  EXPECT_EQ(joint.sample_data(test, 5, {.seed = 1}).shape(), (Shape{200, 5, 2}));
}

/// Root mean square, over data sets, of the error in units of the error bar.
double rms_in_bars(const MarginalLikelihood& m, const Batch& test) {
  double out = 0;
  for (std::int64_t b = 0; b < m.value.size(); ++b) {
    const double z = (m.value(b) - exact(test[roles::observables].data() + b * kN * 2).log_marginal) / m.spread(b);
    out += z * z / static_cast<double>(m.value.size());
  }
  return std::sqrt(out);
}

TEST(Joint, HasTheExactMarginalLikelihoodWithinItsErrorBar) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const auto& [model, joint, test] = trained();
  const MarginalLikelihood m = joint.log_marginal_likelihood(test, log_prior, {.n_samples = 100, .sampling = {.seed = 3}});
  ASSERT_EQ(m.value.shape(), (Shape{200}));
  ASSERT_EQ(m.terms.shape(), (Shape{200, 100}));
  double gap = 0, spread = 0;
  for (std::int64_t b = 0; b < 200; ++b) {
    gap += std::fabs(m.value(b) - exact(test[roles::observables].data() + b * kN * 2).log_marginal) / 200;
    spread += m.spread(b) / 200;
    EXPECT_EQ(m.inside(b), 1);
    EXPECT_NEAR(m.value(b), m.terms.row(b).mean(), 1e-9);
    EXPECT_NEAR(m.spread(b), m.terms.row(b).std(1), 1e-9);
  }
  // Of four observations: each term is off by some hundredths, and so is the sum.
  EXPECT_LT(gap, 0.15) << "mean absolute error";
  EXPECT_LT(spread, 0.3);
  const double honest = rms_in_bars(m, test);
  EXPECT_LT(honest, 1.5) << "root mean square of the error in units of the error bar";
  RecordProperty("error", std::to_string(gap));
  RecordProperty("spread", std::to_string(spread));
  RecordProperty("error_in_bars", std::to_string(honest));
  EXPECT_GT(honest, 0.2) << "an error bar that is far too wide says nothing";

  // What is known to be wrong is told by more than any error bar: no prior, a sign, one of the observations only.
  const Array nothing({100}, 0.0);
  EXPECT_GT(rms_in_bars(joint.log_marginal_likelihood(test, [&](const Array&) { return nothing; }, {.n_samples = 100}), test), 3);
  EXPECT_GT(rms_in_bars(joint.log_marginal_likelihood(test, [&](const Array& t) { return -log_prior(t); }, {.n_samples = 100}), test), 3);
  Batch first = test;
  first.set(roles::observables, test.array(roles::observables).swap_axes(0, 1).row(0));
  EXPECT_GT(rms_in_bars(joint.log_marginal_likelihood(first, log_prior, {.n_samples = 100}), test), 3);
}

TEST(Joint, LeavesDrawsOutWhereThePriorHasNoDensity) {
  const auto& [model, joint, test] = trained();
  const Batch few = test.rows(0, 5);
  const MarginalLikelihood all = joint.log_marginal_likelihood(few, log_prior, {.n_samples = 50, .sampling = {.seed = 3}});
  const Array draws = joint.sample_parameters(few, 50, {.seed = 3});
  // A prior without a density at every other draw: as if the network had put half of its mass where there is none.
  int call = 0;
  const MarginalLikelihood half = joint.log_marginal_likelihood(few,
                                                                [&](const Array& theta) {
                                                                  Array out = log_prior(theta);
                                                                  for (std::int64_t s = call % 2; s < 50; s += 2) out(s) = -INFINITY;
                                                                  ++call;
                                                                  return out;
                                                                },
                                                                {.n_samples = 50, .sampling = {.seed = 3}});
  for (std::int64_t b = 0; b < 5; ++b) {
    EXPECT_EQ(half.inside(b), 0.5);
    double mean = 0;
    for (std::int64_t s = 1 - b % 2; s < 50; s += 2) mean += all.terms(b, s) / 25;
    EXPECT_NEAR(half.value(b), mean + std::log(0.5), 1e-9);
  }
}

/// The weights of a part of a group, and of an amortizer alone, by their names.
void expect_weights(const nn::ParameterStore& got, const std::string& place, const nn::ParameterStore& want) {
  for (const nn::ParameterInfo& p : want.table()) {
    const nn::ParameterInfo& q = got.table()[static_cast<std::size_t>(got.find(place + "." + p.name))];
    ASSERT_EQ(q.shape, p.shape);
    EXPECT_TRUE(std::equal(want.values() + p.offset, want.values() + p.offset + p.shape.size(), got.values() + q.offset)) << q.name;
  }
}

TEST(Joint, GivesEachPartTheWeightsThatItWouldHaveAlone) {
  for (const double dropout : {0.0, 0.2})
    for (const int threads : {1, 2, 4}) {
      const GenerativeModel model = linear_model(200);  // cut into shards
      const AmortizerOptions options{.summary_mmd_weight = dropout > 0 ? 1.0 : 0.0, .threads = 1};
      const auto train = [&](auto amortizer) {
        Trainer trainer(amortizer, model, {.seed = 5, .threads = threads});
        (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 8});
        return amortizer;
      };
      const auto posterior = train(small_posterior(options, dropout));
      const auto likelihood = train(small_likelihood({}, dropout));
      const auto joint = train(AmortizedPosteriorLikelihood(small_posterior(options, dropout), small_likelihood({}, dropout)));
      expect_weights(joint.store(), "posterior", posterior.store());
      expect_weights(joint.store(), "likelihood", likelihood.store());
      EXPECT_EQ(joint.store().count(), posterior.store().count() + likelihood.store().count());
      EXPECT_EQ(joint.num_weights(), posterior.num_weights() + likelihood.num_weights());
      const Batch batch = joint.configure(model.simulate(4, 1, "some", 0));
      const LossTerms got = joint.compute_loss(batch), of_posterior = posterior.compute_loss(posterior.share_of(batch));
      EXPECT_EQ(got["posterior_loss"], of_posterior["loss"]);
      EXPECT_EQ(got["likelihood_loss"], likelihood.compute_loss(likelihood.share_of(batch))["loss"]);
      EXPECT_EQ(got.size(), dropout > 0 ? 4 : 3);
    }
}

TEST(Joint, IsSavedAndLoadedWholeAndInParts) {
  const TemporaryFolder folder;
  const auto& [model, joint, test] = trained();
  joint.save(folder / "joint.h5");
  const auto again = load_amortizer<AmortizedPosteriorLikelihood>(folder / "joint.h5");
  EXPECT_EQ(again.log_posterior(test), joint.log_posterior(test));
  EXPECT_EQ(again.log_likelihood(test), joint.log_likelihood(test));
  EXPECT_EQ(again.sample_parameters(test, 3, {.seed = 1}), joint.sample_parameters(test, 3, {.seed = 1}));
  ASSERT_TRUE(again.seen());
  EXPECT_EQ(again.seen()->summaries.size(), 8U);
  EXPECT_EQ(again.posterior().log_posterior(again.posterior().share_of(test)), joint.log_posterior(test)) << "a part taken out";
  const auto posterior = load_amortizer<AmortizedPosterior>(folder / "joint.h5", {.part = "posterior"});
  EXPECT_EQ(posterior.log_posterior(posterior.share_of(test)), joint.log_posterior(test));
  EXPECT_EQ(posterior.store().count() + load_amortizer<AmortizedLikelihood>(folder / "joint.h5", {.part = "likelihood"}).store().count(),
            joint.store().count());
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)load_amortizer(folder / "joint.h5"); }),
            "AmortizedPosterior: the given amortizer is an AmortizedPosteriorLikelihood; use that class, or name one of its parts as "
            "LoadAmortizerOptions::part");
  EXPECT_NE(sentence<IoError>([&] {
              (void)load_amortizer(folder / "joint.h5", {.part = "prior"});
            }).find("the model has no part \"prior\"; its parts are \"posterior\", \"likelihood\". Correct LoadAmortizerOptions::part"),
            std::string::npos);
  posterior.save(folder / "posterior.h5");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)load_amortizer<AmortizedPosteriorLikelihood>(folder / "posterior.h5"); }),
            "AmortizedPosteriorLikelihood: the given amortizer is an AmortizedPosterior; use that class");

  // Parts that were trained alone come together, and the file of them can be trained.
  const AmortizedPosteriorLikelihood together(posterior, load_amortizer<AmortizedLikelihood>(folder / "joint.h5", {.part = "likelihood"}));
  EXPECT_EQ(together.log_likelihood(test), joint.log_likelihood(test));
  EXPECT_NE(
      sentence<ConfigurationError>([&] { const Trainer trainer(together, model); }).find("its parts had weights before they came together"),
      std::string::npos);
  together.save(folder / "together.h5");
  const auto trainable = load_amortizer<AmortizedPosteriorLikelihood>(folder / "together.h5");
  Trainer trainer(trainable, model, {.threads = 2});
  EXPECT_EQ(trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 8}).stop, TrainingSummary::Stop::completed);
}

TEST(Joint, SaysWhatDoesNotFit) {
  const GenerativeModel model = linear_model();
  const AmortizedPosterior posterior = small_posterior();
  AmortizedPosteriorLikelihood joint(posterior, small_likelihood());
  const Batch batch = joint.configure(model.simulate(4, 1, "some", 0));
  EXPECT_EQ(sentence<ConfigurationError>([&] { const Trainer trainer(posterior, model); }),
            "AmortizedPosterior: it is part (\"posterior\") of another amortizer, whose parts are trained together; train that one");
  EXPECT_EQ(sentence<ConfigurationError>([&] { const AmortizedPosteriorLikelihood second(posterior, small_likelihood()); }),
            "AmortizedPosterior: it has weights already, or is part of another group; make another one");
  Batch wrong = batch;
  wrong.set("observation", Array({4, 2}, 1.0));
  EXPECT_EQ(sentence<ConfigurationError>([&] { joint.build(wrong); }),
            "AmortizedPosteriorLikelihood: none of its parts reads observation. Leave it out, or correct the name");
  EXPECT_NE(sentence<ConfigurationError>([&] { (void)joint.log_posterior(batch); }).find("the networks have no weights yet"),
            std::string::npos);
  joint.build(batch, 1);
  EXPECT_EQ(sentence<ConfigurationError>([&] { const AmortizedPosteriorLikelihood half(small_posterior(), joint.likelihood()); }),
            "AmortizedPosteriorLikelihood: some of its parts have weights, and others none; train or load all of them before, or none");
  const auto marginal = [&](const LogPrior& prior, std::int64_t n = 10) {
    (void)joint.log_marginal_likelihood(batch, prior, {.n_samples = n});
  };
  EXPECT_EQ(sentence<ArgumentError>([&] { marginal({}); }),
            "AmortizedPosteriorLikelihood::log_marginal_likelihood: the log density of the prior is missing; give a function");
  EXPECT_EQ(sentence<ArgumentError>([&] { marginal(log_prior, 1); }),
            "AmortizedPosteriorLikelihood::log_marginal_likelihood: n_samples = 1; it must be at least 2");
  EXPECT_EQ(
      sentence<ShapeError>([&] { marginal([](const Array& t) { return t; }); }),
      "AmortizedPosteriorLikelihood::log_marginal_likelihood: the log density of the prior must give (10) numbers for parameters (10, 2); "
      "it gave (10, 2)");
  EXPECT_EQ(
      sentence<ArgumentError>([&] { marginal([](const Array& t) { return Array({t.dim(0)}, NAN); }); }),
      "AmortizedPosteriorLikelihood::log_marginal_likelihood: the log density of the prior is nan at a draw of data set 0; it must be "
      "finite, or -infinity");
  EXPECT_EQ(
      sentence<ArgumentError>([&] { marginal([](const Array& t) { return Array({t.dim(0)}, -INFINITY); }); }),
      "AmortizedPosteriorLikelihood::log_marginal_likelihood: the prior has a density at 0 of the 10 draws of data set 0: check that it is "
      "given the parameters as the networks are, or draw more");
}

}  // namespace
}  // namespace bayesflow
