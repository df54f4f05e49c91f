/// Model comparison against exact Bayes factors, and what is refused.
#include "bayesflow/diagnostics/model_comparison.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/simulation/multi_model.hpp"
#include "bayesflow/training/trainer.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

constexpr std::int64_t kObservations = 10;
constexpr double kShift = 0.5, kSd = 1.5;  // of the second model's prior

/// mu ~ N(0, 1) in model 0, N(0.5, 1.5^2) in model 1; ten observations ~ N(mu, 1). Parameters: the model's number, mu.
GenerativeModel two_models(double share_of_second = 0.5) {
  return GenerativeModel(Prior([share_of_second](Rng& rng) {
                           const bool second = rng.uniform() < share_of_second;
                           return Array::of({second ? 1.0 : 0.0, second ? rng.normal(kShift, kSd) : rng.normal()});
                         }),
                         Simulator([](const Array& theta, Rng& rng) {
                           return rng.normal({kObservations, 1}, theta[1]);
                         }));
}

/// The mean of the data is N(0, 1 + 1/n) or N(0.5, 1.5^2 + 1/n).
double exact_log_bayes_factor(const Array& x) {
  const double noise = 1.0 / kObservations, mean = x.mean();
  const auto log_normal = [&](double at, double variance) {
    return -0.5 * (mean - at) * (mean - at) / variance - 0.5 * std::log(variance);
  };
  return log_normal(kShift, kSd * kSd + noise) - log_normal(0, 1 + noise);
}

Batch configured(const Simulations& s) {
  Array indices({s.prior_draws.dim(0), 2}, 0.0);
  for (std::int64_t b = 0; b < indices.dim(0); ++b) indices(b, s.prior_draws(b, 0) > 0 ? 1 : 0) = 1;
  return {{roles::model_indices, indices}, {roles::summary_conditions, s.sim_data}};
}
Batch configured_wrongly(const Simulations& s) {
  Batch batch = configured(s);
  batch.update(roles::model_indices, [](Array& y) {
    for (double& v : y.values()) v = 1 - v;
  });
  return batch;
}

PMPNetwork small_classifier() {
  return PMPNetwork({.num_models = 2, .hidden = {.dense = {.units = 32}, .num_dense = 2, .dropout_prob = 0}});
}
EvidentialNetwork small_evidential(double kl_weight) {
  return EvidentialNetwork(
      {.num_models = 2, .hidden = {.dense = {.units = 32}, .num_dense = 2, .dropout_prob = 0}, .kl_weight = kl_weight});
}
DeepSet small_set() {
  const DenseOptions dense{.units = 16};
  return DeepSet({.summary_dim = 4, .num_equiv = 0, .dense_s1 = dense, .dense_s2 = dense, .linear_path = true});
}

template <class Net>
AmortizedModelComparison trained(const Net& net, Batch (*configurator)(const Simulations&), double share_of_second = 0.5) {
  AmortizedModelComparison amortizer(net, small_set());
  Trainer trainer(amortizer, two_models(share_of_second), {.configurator = configurator, .threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2500, .batch_size = 128});
  return amortizer;
}

/// What a test set of 1,000 says: the mean absolute error of log odds, and whether probabilities are those of the classifier's own share of
/// hits.
struct Judged {
  double log_odds_error = 0;
  diagnostics::CalibrationCurves calibration;
  diagnostics::ConfusionMatrix confusion;
};
Judged judge(const AmortizedModelComparison& amortizer, double sharpened = 1) {
  const Simulations test = two_models().simulate(2000, 9, "test", 0);
  const Batch batch = configured(test);
  Array probabilities = amortizer.posterior_probs(batch);
  const Array log_bayes_factors = amortizer.log_bayes_factors(batch);
  Judged out;
  for (std::int64_t b = 0; b < 2000; ++b) {
    const double got = sharpened * log_bayes_factors(b, 1), p = 1 / (1 + std::exp(-got));
    EXPECT_EQ(log_bayes_factors(b, 0), 0);
    EXPECT_TRUE(sharpened != 1 || std::fabs(probabilities(b, 1) - p) < 1e-6);
    probabilities(b, 1) = p;
    probabilities(b, 0) = 1 - p;
    out.log_odds_error += std::fabs(got - exact_log_bayes_factor(test.sim_data.row(b))) / 2000;
  }
  out.calibration = diagnostics::expected_calibration_error(batch.array(roles::model_indices), probabilities);
  out.confusion = diagnostics::confusion_matrix(batch.array(roles::model_indices), probabilities);
  return out;
}

/// Twice what an exact classifier shows on average.
bool is_calibrated(const Judged& judged) { return judged.calibration.error[1].value < 2 * judged.calibration.noise_floor[1]; }

TEST(ModelComparison, GivesTheExactBayesFactors) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const AmortizedModelComparison amortizer = trained(small_classifier(), configured);
  const Judged good = judge(amortizer);
  EXPECT_LT(good.log_odds_error, 0.1);
  EXPECT_TRUE(is_calibrated(good)) << good.calibration.error[1].value << ", floor " << good.calibration.noise_floor[1];
  EXPECT_GT(good.confusion.accuracy.value, 0.55);
  // Three times too sure of itself: the same decisions, other probabilities.
  const Judged sure = judge(amortizer, 3);
  EXPECT_FALSE(is_calibrated(sure));
  EXPECT_GT(sure.log_odds_error, 0.5);
  EXPECT_EQ(sure.confusion.counts, good.confusion.counts);
  // The score of the true models is that of the exact probabilities, but for noise.
  const Simulations test = two_models().simulate(2000, 9, "test", 0);
  double gap = 0;
  const Array scores = amortizer.log_prob(configured(test));
  for (std::int64_t b = 0; b < 2000; ++b) {
    const double odds = exact_log_bayes_factor(test.sim_data.row(b)) * (test.prior_draws(b, 0) > 0 ? 1 : -1);
    gap += (-std::log1p(std::exp(-odds)) - scores[b]) / 2000;
  }
  EXPECT_NEAR(gap, 0, 0.005);
}

TEST(ModelComparison, CatchesSwappedLabels) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const Judged swapped = judge(trained(small_classifier(), configured_wrongly));
  EXPECT_GT(swapped.log_odds_error, 0.5);
  EXPECT_FALSE(is_calibrated(swapped));
}

TEST(ModelComparison, TakesThePriorOutOfBayesFactors) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const AmortizedModelComparison amortizer = trained(small_classifier(), configured, 0.8);
  const Simulations test = two_models().simulate(1000, 9, "test", 0);
  const Array factors = amortizer.log_bayes_factors(configured(test), {.model_priors = {0.2, 0.8}});
  const Array other = amortizer.log_bayes_factors(configured(test), {.reference = 1, .model_priors = {1, 4}});
  double error = 0, without = 0;
  const Array odds = amortizer.compute_logits(configured(test));
  for (std::int64_t b = 0; b < 1000; ++b) {
    const double exact = exact_log_bayes_factor(test.sim_data.row(b));
    error += std::fabs(factors(b, 1) - exact) / 1000;
    without += std::fabs(odds(b, 1) - odds(b, 0) - exact) / 1000;
    EXPECT_NEAR(other(b, 0), -factors(b, 1), 1e-9);
  }
  EXPECT_LT(error, 0.1);
  EXPECT_GT(without, 1) << "log 4 more";
}

TEST(ModelComparison, EvidentialNetworksGiveTheSameProbabilities) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const AmortizedModelComparison amortizer = trained(small_evidential(0), configured);
  const Judged good = judge(amortizer);
  EXPECT_LT(good.log_odds_error, 0.1);
  EXPECT_TRUE(is_calibrated(good));
  EXPECT_EQ(
      sentence<ConfigurationError>([&] { (void)amortizer.uncertainty(configured(two_models().simulate(2, 9, "test", 0))); }),
      "AmortizedModelComparison::uncertainty: with kl_weight = 0 the loss says nothing about the amount of evidence, so that it would "
      "mean nothing; train with kl_weight > 0");
}

TEST(ModelComparison, EvidentialNetworksSayHowSureTheyAre) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const AmortizedModelComparison amortizer = trained(small_evidential(0.1), configured);
  const Batch batch = configured(two_models().simulate(300, 9, "test", 0));
  const Array alpha = amortizer.evidence(batch), uncertainty = amortizer.uncertainty(batch),
              probabilities = amortizer.posterior_probs(batch), draws = amortizer.sample(batch, 400, {.seed = 1});
  ASSERT_EQ(draws.shape(), (Shape{300, 400, 2}));
  std::vector<double> clear, unclear;
  for (std::int64_t b = 0; b < 300; ++b) {
    const double total = alpha(b, 0) + alpha(b, 1);
    EXPECT_GE(alpha.row(b).min(), 1 - 1e-6);
    EXPECT_NEAR(uncertainty[b], 2 / total, 1e-9);
    EXPECT_NEAR(probabilities(b, 1), alpha(b, 1) / total, 1e-6);
    double mean = 0;
    for (std::int64_t s = 0; s < 400; ++s) {
      EXPECT_NEAR(draws(b, s, 0) + draws(b, s, 1), 1, 1e-6);
      mean += draws(b, s, 1) / 400;
    }
    const double sd = std::sqrt(probabilities(b, 1) * probabilities(b, 0) / (total + 1));
    EXPECT_NEAR(mean, probabilities(b, 1), 5 * sd / 20 + 1e-6) << "data set " << b;
    (std::fabs(probabilities(b, 1) - 0.5) > 0.3 ? clear : unclear).push_back(uncertainty[b]);
  }
  ASSERT_GT(std::min(clear.size(), unclear.size()), 10U);
  const auto middle = [](std::vector<double>& v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
  };
  EXPECT_LT(middle(clear), middle(unclear)) << "more evidence where data are clear";
}

/// Models with other numbers of observations: data are padded, and the mask is read.
TEST(ModelComparison, TakesWhatMultipleModelsMake) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const auto model = [](double location, double sd, std::int64_t n) {
    return GenerativeModel(Prior([=](Rng& rng) { return rng.normal({1}, location, sd); }), Simulator([n](const Array& mu, Rng& rng) {
                             return rng.normal({n, 1}, mu[0]);
                           }));
  };
  const MultiGenerativeModel models({model(0, 1, kObservations), model(kShift, kSd, kObservations)}, {.model_probs = {0.3, 0.7}});
  AmortizedModelComparison amortizer(small_classifier(), small_set());
  Trainer trainer(amortizer, models, {.threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2500, .batch_size = 128});
  const Simulations test = two_models().simulate(1000, 9, "test", 0);
  const Array factors = amortizer.log_bayes_factors(configured(test), {.model_priors = models.model_probs()});
  double error = 0;
  for (std::int64_t b = 0; b < 1000; ++b) error += std::fabs(factors(b, 1) - exact_log_bayes_factor(test.sim_data.row(b))) / 1000;
  EXPECT_LT(error, 0.1);

  const MultiGenerativeModel uneven({model(0, 1, 4), model(0, 1, 9)});
  AmortizedModelComparison counts(small_classifier(), small_set());
  Trainer other(counts, uneven, {.threads = 2});
  (void)other.train_online({.epochs = 1, .iterations_per_epoch = 300, .batch_size = 64});
  const Batch batch = other.configure(uneven.simulate(300, 9, "test", 0));
  ASSERT_TRUE(batch.has(roles::summary_mask));
  EXPECT_EQ(batch[roles::summary_conditions].dim(1), 9);
  EXPECT_FALSE(batch.has(roles::parameters));
}

TEST(ModelComparison, ReviewsWhatWasNotLearnt) {
  AmortizedModelComparison amortizer(small_classifier(), small_set());
  const Batch batch = configured(two_models().simulate(300, 9, "test", 0));
  amortizer.build(batch, 1);
  const std::vector<std::string> said = amortizer.review(batch, {});
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].find("the models were not told apart: "), 0U) << said[0];
  EXPECT_TRUE(amortizer.review(batch.rows(0, 50), {}).empty()) << "too few to tell";
}

TEST(ModelComparison, SaysWhatDoesNotFit) {
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)AmortizedModelComparison(InvertibleNetwork({.num_params = 2}), small_set()); }),
            "AmortizedModelComparison: needs an inference network that gives log probabilities of models; use a PMPNetwork or an "
            "EvidentialNetwork, or give your own class has_outputs and outputs");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)PMPNetwork({.num_models = 1}); }),
            "PMPNetworkOptions::num_models = 1; it must be at least 2");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)EvidentialNetwork({.num_models = 3, .kl_weight = -1}); }),
            "EvidentialNetworkOptions::kl_weight = -1; it must be at least 0");
  EXPECT_EQ(
      sentence<ConfigurationError>([] { (void)EvidentialNetwork({.num_models = 3, .output_activation = Activation::tanh}); }),
      "EvidentialNetworkOptions::output_activation = tanh; evidence cannot be negative: it must be softplus, relu, exponential, sigmoid, "
      "hard_sigmoid or relu6");
  AmortizedModelComparison amortizer(small_classifier(), small_set());
  Rng rng(1);
  const Array x = rng.normal({3, 5, 1});
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              amortizer.build({{roles::model_indices, Array({3, 1}, 1.0)}, {roles::summary_conditions, x}});
            }),
            "PMPNetwork: num_models = 2, but the model indices have a width of 1; give one-hot rows, (batch, 2), or set it to 1");
  AmortizedModelComparison good(small_classifier(), small_set());
  good.build({{roles::model_indices, Array({3, 2}, 0.5)}, {roles::summary_conditions, x}});
  EXPECT_EQ(
      sentence<ArgumentError>([&] {
        (void)good.log_prob({{roles::model_indices, Array({3, 2}, 1.0)}, {roles::summary_conditions, x}});
      }),
      "PMPNetwork: model indices must be one-hot rows, or probabilities that sum to 1; row 0 sums to 2 and has a smallest value of 1");
  const Batch data{{roles::summary_conditions, x}};
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)good.log_bayes_factors(data, {.reference = 2}); }),
            "AmortizedModelComparison::log_bayes_factors: the reference must be the number of a model, 0 to 1; got 2");
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)good.log_bayes_factors(data, {.model_priors = {1, 0}});
            }),
            "AmortizedModelComparison::log_bayes_factors: model_priors must be 2 positive numbers; got {1, 0}");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)good.evidence(data); }),
            "AmortizedModelComparison::evidence: needs an EvidentialNetwork, which the inference network is not");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)AmortizedModelComparison(small_classifier(), small_set()).posterior_probs(data); }),
            "AmortizedModelComparison::posterior_probs: the networks have no weights yet; train first (or call build with a first batch)");
}

/// A network of a user's own: a linear classifier.
class LinearClassifier final : public InferenceNetwork {
 public:
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override {
    dense_ = nn::Dense({.units = target_width, .activation = Activation::identity});
    width_ = target_width;
    dense_.build(builder, condition_width);
  }
  [[nodiscard]] std::int64_t target_width() const override { return width_; }
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override {
    return ops::scale(ops::sum_columns(ops::multiply(targets, ops::log_softmax(outputs(tape, condition)))), -1);
  }
  [[nodiscard]] Tensor outputs(Tape& tape, Tensor condition) const override { return dense_(tape, condition); }
  [[nodiscard]] bool has_outputs() const override { return true; }

 private:
  nn::Dense dense_;
  std::int64_t width_ = 0;
};

TEST(ModelComparison, TakesNetworksOfAUsersOwn) {
  const TemporaryFolder folder;
  AmortizedModelComparison amortizer{LinearClassifier(), small_set()};
  Trainer trainer(amortizer, two_models(), {.configurator = configured, .threads = 1});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 20, .batch_size = 32});
  const Batch batch = configured(two_models().simulate(5, 9, "test", 0));
  amortizer.save(folder / "model.h5");
  const auto again =
      load_amortizer<AmortizedModelComparison>(folder / "model.h5", {.inference_net = [] { return std::make_shared<LinearClassifier>(); }});
  EXPECT_EQ(again.posterior_probs(batch), amortizer.posterior_probs(batch));
  EXPECT_THROW((void)load_amortizer(folder / "model.h5"), IoError);
}

TEST(ModelComparison, DropoutThatStaysActiveHasSeeds) {
  AmortizedModelComparison amortizer(PMPNetwork({.num_models = 2, .hidden = {.dropout_prob = 0.3, .mc_dropout = true}}), small_set(),
                                     {.threads = 2});
  const Batch batch = configured(two_models().simulate(500, 9, "test", 0));
  amortizer.build(batch, 1);
  const Array first = amortizer.posterior_probs(batch, {.seed = 1});
  EXPECT_EQ(amortizer.posterior_probs(batch, {.seed = 1}), first);
  EXPECT_FALSE(amortizer.posterior_probs(batch, {.seed = 2}) == first);
  EXPECT_FALSE(amortizer.posterior_probs(batch) == amortizer.posterior_probs(batch));
}

}  // namespace
}  // namespace bayesflow
