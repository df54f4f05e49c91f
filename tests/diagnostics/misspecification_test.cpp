#include "bayesflow/diagnostics/misspecification.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/sensitivity.hpp"
#include "support/expect.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

class MmdTests : public ::testing::TestWithParam<bool> {
 protected:
  MmdTests() { (void)Trainer(amortizer, model, {.threads = 1}); }
  MisspecificationOptions options(std::uint64_t seed) const {
    return {.num_reference_simulations = 60, .test = {.num_null_samples = 19, .seed = seed, .bootstrap = GetParam()}};
  }
  GenerativeModel model = gaussian_model(2, 5);
  AmortizedPosterior amortizer = tiny_posterior();
};

// p-values of data from the model are uniform on 1/20, ..., 1: of 100, 5 are expected at 1/20, and more than 17 have probability 1e-5.
TEST_P(MmdTests, KeepsItsLevel) {
  int rejected = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Batch observed = default_configurator(model.simulate(3, 100 + i, "observed", 0));
    const diagnostics::MmdHypothesisTest t = mmd_hypothesis_test(amortizer, observed, model, options(i));
    EXPECT_EQ(t.misspecified, t.p_value <= 0.05);
    EXPECT_EQ(t.mmd_null.size(), 19U);
    rejected += t.misspecified;
  }
  EXPECT_LE(rejected, 17);
  EXPECT_GE(rejected, 1);  // none has probability 0.006 at level 0.05; the seed is fixed
}

TEST_P(MmdTests, SeesForeignData) {
  Simulations far = model.simulate(10, 7, "observed", 0);
  far.sim_data *= 20.0;
  EXPECT_EQ(mmd_hypothesis_test(amortizer, default_configurator(far), model, options(1)).p_value, 1.0 / 20);
  MisspecificationOptions data = options(1);
  data.space = MmdSpace::data;
  EXPECT_EQ(mmd_hypothesis_test(amortizer, default_configurator(far), model, data).p_value, 1.0 / 20);
}

INSTANTIATE_TEST_SUITE_P(Null, MmdTests, ::testing::Bool(), [](const auto& which) { return which.param ? "Bootstrap" : "Simulations"; });

TEST(MmdTestErrors, Sentences) {
  const auto said = [](const MisspecificationOptions& o) { return sentence<ConfigurationError>([&] { o.validate(); }); };
  EXPECT_EQ(said({.test = {.num_null_samples = 10}}),
            "MmdTestOptions: num_null_samples is 10; it must be at least 19, because no p-value is below 1 / (1 + num_null_samples)");
  EXPECT_EQ(said({.test = {.alpha_level = 0}}), "MmdTestOptions: alpha_level is 0; it must be above 0 and below 1");
  EXPECT_EQ(said({.num_reference_simulations = 3}), "MisspecificationOptions: num_reference_simulations is 3; it must be at least 4");
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
