#include "bayesflow/diagnostics/misspecification.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/sensitivity.hpp"
#include "support/expect.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

TEST(MmdSquared, LeavesOutPairsOfARowWithItself) {
  // Far points see only the wide kernels; written out for two rows each.
  const Array x = Array::of({0.0, 1.0}).expand_dims(1), y = Array::of({2.0, 4.0}).expand_dims(1);
  const auto k = [](double distance) {
    double s = 0;
    for (const double v : {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 100.0, 1e3, 1e4, 1e5, 1e6})
      s += std::exp(-distance * distance / (2 * v));
    return s;
  };
  EXPECT_NEAR(mmd_squared_unbiased(x, y), k(1) + k(2) - 2 * (k(2) + k(4) + k(1) + k(3)) / 4, 1e-12);
}

// The mean over 400 pairs of equal samples is zero within five standard errors (false alarms: 6e-7); the biased estimate's is 2.3 here.
TEST(MmdSquared, IsUnbiased) {
  double sum = 0, square = 0;
  constexpr int kPairs = 400;
  for (int i = 0; i < kPairs; ++i) {
    Rng rng(1, "mmd", static_cast<std::uint64_t>(i));
    const double v = mmd_squared_unbiased(rng.normal({8, 2}), rng.normal({12, 2}));
    sum += v;
    square += v * v;
  }
  const double mean = sum / kPairs, error = std::sqrt((square / kPairs - mean * mean) / kPairs);
  EXPECT_LT(std::abs(mean), 5 * error);
  EXPECT_LT(error, 0.1);
}

class MmdTests : public ::testing::TestWithParam<bool> {
 protected:
  MmdTests() { (void)Trainer(amortizer, model, {.threads = 1}); }
  MmdTestOptions options(std::uint64_t seed) const {
    return {.num_reference_simulations = 60, .num_null_samples = 19, .bootstrap = GetParam(), .seed = seed};
  }
  GenerativeModel model = gaussian_model(2, 5);
  AmortizedPosterior amortizer = tiny_posterior();
};

// p-values of data from the model are uniform on 1/20, ..., 1: of 100, 5 are expected at 1/20, and more than 17 have probability 1e-5.
TEST_P(MmdTests, KeepsItsLevel) {
  int rejected = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const MmdTest t = mmd_hypothesis_test(amortizer, default_configurator(model.simulate(3, 100 + i, "observed", 0)), model, options(i));
    EXPECT_EQ(t.rejects(), t.observed > t.critical_value);
    EXPECT_EQ(t.null_distribution.size(), 19U);
    rejected += t.rejects();
  }
  EXPECT_LE(rejected, 17);
  EXPECT_GE(rejected, 1);  // none has probability 0.006 at level 0.05; the seed is fixed
}

TEST_P(MmdTests, SeesForeignData) {
  Simulations far = model.simulate(10, 7, "observed", 0);
  far.sim_data *= 20.0;
  EXPECT_EQ(mmd_hypothesis_test(amortizer, default_configurator(far), model, options(1)).p_value, 1.0 / 20);
  MmdTestOptions data = options(1);
  data.space = MmdSpace::data;
  EXPECT_EQ(mmd_hypothesis_test(amortizer, default_configurator(far), model, data).p_value, 1.0 / 20);
}

INSTANTIATE_TEST_SUITE_P(Null, MmdTests, ::testing::Bool(), [](const auto& which) { return which.param ? "Bootstrap" : "Simulations"; });

TEST(MmdTestErrors, Sentences) {
  const auto sentence = [](const MmdTestOptions& o) {
    try {
      o.validate();
    } catch (const ConfigurationError& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(sentence({.num_null_samples = 10}),
            "MmdTestOptions::num_null_samples = 10; it must be at least 19, because no p-value is below 1 / (1 + num_null_samples)");
  EXPECT_EQ(sentence({.level = 0}), "MmdTestOptions::level = 0; it must be between 0 and 1");
  EXPECT_THROW((void)mmd_squared_unbiased(Array({2, 3}), Array({2, 4})), ShapeError);
}

TEST(Sensitivity, GrowsAwayFromTheModelOfTraining) {
  const GenerativeModel model = gaussian_model(2, 5);
  AmortizedPosterior amortizer = tiny_posterior();
  Trainer trainer(amortizer, model, {.threads = 1});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 200, .batch_size = 32});
  const auto other = [](double shift, double noise) {
    return GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([shift, noise](const Array& theta, Rng& rng) {
                             return rng.normal({5, 2}, 0.0, noise) + theta + shift;
                           }));
  };
  const diagnostics::SensitivityAxis shift{"shift", {0, 2, 6}, 0.0}, noise{"noise", {1, 4}, 1.0};
  const diagnostics::SensitivityOptions options{.n_sim = 100, .n_posterior_samples = 50};
  const diagnostics::Sensitivity s = diagnostics::sensitivity(amortizer, model, other, shift, noise, options);
  ASSERT_EQ(s.posterior_error.shape(), (Shape{3, 2}));
  EXPECT_GT(s.posterior_error(1, 0), s.posterior_error(0, 0));
  EXPECT_GT(s.posterior_error(2, 0), s.posterior_error(1, 0));
  EXPECT_GT(s.summary_mmd(2, 0), s.summary_mmd(0, 0) + 0.3);
  EXPECT_GT(s.summary_mmd(0, 1), s.summary_mmd(0, 0));
  // The first cell's model is that of training, with the same random numbers.
  EXPECT_NEAR(s.summary_mmd(0, 0), 0, 1e-6);
  EXPECT_EQ(s.tables()[0].rows(), 6);
  EXPECT_EQ(diagnostics::sensitivity(amortizer, model, other, shift, noise, options).posterior_error, s.posterior_error);
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              (void)diagnostics::sensitivity(amortizer, model, other, {"shift", {}}, noise);
            }),
            "sensitivity: axis \"shift\" has no values; give at least one");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)diagnostics::sensitivity(amortizer, model, other, shift, noise, {.n_sim = 0}); }),
            "SensitivityOptions: n_sim is 0; it must be 1 or more");
}

}  // namespace
}  // namespace bayesflow
