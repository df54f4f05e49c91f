// Options that cannot work, and the sentence for each.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

std::string sentence_of(const OnlineOptions& options) {
  Trainer trainer(tiny_posterior(), gaussian_model(2, 4));
  std::string text = sentence<ConfigurationError>([&] { (void)trainer.train_online(options); });
  EXPECT_EQ(trainer.train_online({.epochs = 1, .iterations_per_epoch = 1}).history.steps.size(), 1U);  // it is still of use
  return text;
}

TEST(OnlineOptionsErrors, Numbers) {
  EXPECT_EQ(sentence_of({.epochs = 0}), "OnlineOptions::epochs = 0; it must be at least 1");
  EXPECT_EQ(sentence_of({.iterations_per_epoch = 0}), "OnlineOptions::iterations_per_epoch = 0; it must be at least 1");
  EXPECT_EQ(sentence_of({.batch_size = 0}), "OnlineOptions::batch_size = 0; it must be at least 1");
  EXPECT_EQ(sentence_of({.batch_size = -32}), "OnlineOptions::batch_size = -32; it must be at least 1");
  EXPECT_EQ(sentence_of({.run = {.validation_sims = -1}}), "OnlineOptions::validation_sims = -1; it must be at least 0 (0: none)");
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_EQ(sentence_of({.epochs = huge, .iterations_per_epoch = 4}),
            "OnlineOptions: 4611686018427387904 epochs of 4 iterations are more steps than can be counted; use fewer");
}

TEST(OnlineOptionsErrors, AnUnreachableNumberOfStepsCanBeStoppedByHand) {
  Trainer trainer(tiny_posterior(), gaussian_model(2, 4),
                  {.progress = [](const Progress& p) { return p.iteration == 3 ? Control::stop : Control::proceed; }});
  const std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_EQ(trainer.train_online({.epochs = huge, .iterations_per_epoch = 1000, .batch_size = 2}).history.steps.size(), 3U);
  EXPECT_EQ(trainer.train_online({.epochs = 1, .iterations_per_epoch = huge, .batch_size = 2}).history.steps.size(), 3U);
}

TEST(OnlineOptionsErrors, ValidationSimulations) {
  const GenerativeModel model = gaussian_model(2, 4);
  Simulations sims = model.simulate(5, 1, "test", 0);
  sims.sim_data(4, 0, 0) = std::nan("");
  Trainer trainer(tiny_posterior(), model);
  EXPECT_EQ(sentence<SimulationError>([&] { (void)trainer.train_online({.run = {.validation_sims = sims}}); }).substr(0, 95),
            "Trainer: simulation 4 of the validation data holds nan at entry 0 of sim_data with parameters [");
  for (const NonFinite action : {NonFinite::drop, NonFinite::redraw}) {
    Trainer lenient(tiny_posterior(), model, {.nonfinite = {action, 0.5}});
    const TrainingSummary run = lenient.train_online({.run = {.validation_sims = sims}});
    ASSERT_FALSE(run.warnings.empty());
    EXPECT_EQ(run.warnings.front().substr(0, 59), "1 of 5 validation simulations were not finite and were drop");
    EXPECT_EQ(lenient.finite(sims).sim_data, sims.sim_data.slice(0, 4));
    EXPECT_EQ(lenient.finite(lenient.finite(sims)).prior_draws, sims.prior_draws.slice(0, 4));
  }
  EXPECT_EQ(sentence<SimulationError>([&] {
              (void)Trainer(tiny_posterior(), model, {.nonfinite = {NonFinite::drop, 0.1}}).finite(sims);
            }).substr(0, 84),
            "Trainer: 1 of 5 given simulations are not finite, while NonFinitePolicy::max_share i");
  sims = {.prior_draws = Array({0, 2}), .sim_data = Array({0, 4, 2})};
  EXPECT_EQ(sentence<ShapeError>([&] { (void)trainer.train_online({.run = {.validation_sims = sims}}); }),
            "Trainer: the validation simulations, configured: there are no data sets; axis 0 of the conditions must be at least 1");
}

TEST(OptimizerErrors, Fields) {
  const auto with = [](nn::OptimizerOptions options) { return sentence_of({.run = {.optimizer = options}}); };
  EXPECT_EQ(with({.beta1 = 1}), "OnlineOptions::optimizer::beta1 = 1; it must be at least 0 and less than 1");
  EXPECT_EQ(with({.beta2 = -0.1}), "OnlineOptions::optimizer::beta2 = -0.1; it must be at least 0 and less than 1");
  EXPECT_EQ(with({.epsilon = 0}), "OnlineOptions::optimizer::epsilon = 0; it must be positive and finite");
  EXPECT_EQ(with({.weight_decay = -1}), "OnlineOptions::optimizer::weight_decay = -1; it must be at least 0");
  EXPECT_EQ(with({.momentum = 1}), "OnlineOptions::optimizer::momentum = 1; it must be at least 0 and less than 1");
  EXPECT_EQ(with({.global_clipnorm = -1}), "OnlineOptions::optimizer::global_clipnorm = -1; it must be at least 0 (0: no clipping)");
}

TEST(OptimizerErrors, Rates) {
  EXPECT_EQ(sentence_of({.run = {.optimizer = {{.learning_rate = [](std::int64_t) { return -1e-3; }}}}}),
            "the learning rate schedule gave -0.001 at step 0; a rate must be finite and not negative");
  EXPECT_EQ(sentence_of({.run = {.optimizer = {{.learning_rate = [](std::int64_t t) { return t < 2 ? 1e-3 : std::nan(""); }}}}}),
            "the learning rate schedule gave nan at step 2; a rate must be finite and not negative");
  const std::string rest = "learning rate must be positive and finite; got ";
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)nn::constant(-1); }), rest + "-1");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)nn::cosine(0, 10); }), rest + "0");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)nn::exponential(std::numeric_limits<double>::infinity(), 0.5, 10); }), rest + "inf");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)nn::piecewise({5}, {1e-3, -1e-3}); }), rest + "-0.001");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)nn::cosine(1e-3, 0); }), "a schedule needs at least one step; got 0");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)nn::exponential(1e-3, -1, 10); }),
            "exponential schedule: factor must be positive; got -1");
  EXPECT_EQ(sentence<ConfigurationError>([] {
              (void)nn::piecewise({5, 3}, {1e-3, 1e-3, 1e-3});
            }),
            "piecewise schedule: needs ascending boundaries and one more rate than boundaries; got 2 boundaries and 3 rates");
}

TEST(TrainerOptionsErrors, Fields) {
  const auto with = [](TrainerOptions options) {
    return sentence<ConfigurationError>([&] { Trainer(tiny_posterior(), gaussian_model(2, 4), options); });
  };
  EXPECT_EQ(with({.default_lr = -5e-4}), "TrainerOptions::default_lr = -0.0005; it must be positive and finite");
  EXPECT_EQ(with({.default_lr = std::nan("")}), "TrainerOptions::default_lr = nan; it must be positive and finite");
  EXPECT_EQ(with({.threads = -1}), "TrainerOptions::threads = -1; it must be at least 0 (0: all)");
}

TEST(NetworkErrors, AbsurdOptions) {
  const auto deep_set = [](DeepSetOptions options) { return sentence<ConfigurationError>([&] { DeepSet net(options); }); };
  EXPECT_EQ(deep_set({.summary_dim = 0}), "DeepSetOptions::summary_dim = 0; it must be at least 1");
  EXPECT_EQ(deep_set({.num_dense_s1 = 0}), "DeepSetOptions::num_dense_s1 = 0; it must be at least 1");
  EXPECT_EQ(deep_set({.num_equiv = -1}), "DeepSetOptions::num_equiv = -1; it must be at least 0");
  EXPECT_EQ(deep_set({.dense_s2 = {.units = 0}}), "DeepSetOptions::dense_s2: units = 0; a dense layer needs at least one unit");
  const auto flow = [](InvertibleNetworkOptions options) { return sentence<ConfigurationError>([&] { InvertibleNetwork net(options); }); };
  EXPECT_EQ(flow({}), "InvertibleNetworkOptions::num_params = 0; it must be the number of parameters, at least 1");
  EXPECT_EQ(flow({.num_params = 2, .num_coupling_layers = 0}), "InvertibleNetworkOptions::num_coupling_layers = 0; it must be at least 1");
  const auto coupling = [&](const std::function<void(CouplingOptions&)>& change) {
    CouplingOptions options;
    change(options);
    return flow({.num_params = 2, .coupling = options});
  };
  EXPECT_EQ(coupling([](auto& o) { o.num_dense = 0; }), "CouplingOptions::num_dense = 0; it must be at least 1");
  EXPECT_EQ(coupling([](auto& o) { o.dense.units = 0; }), "CouplingOptions::dense: units = 0; a dense layer needs at least one unit");
  EXPECT_EQ(coupling([](auto& o) { o.dense.kernel_regularizer = -1; }),
            "CouplingOptions::dense: kernel_regularizer = -1; it must not be negative");
  EXPECT_EQ(coupling([](auto& o) { o.dropout_prob = 1; }), "CouplingOptions::dropout_prob = 1; it must be in [0, 1)");
  EXPECT_EQ(coupling([](auto& o) { o.soft_clamping = -1; }), "CouplingOptions::soft_clamping = -1; it must be positive, or 0 for none");
  EXPECT_EQ(coupling([](auto& o) { o.spline.bins = 1; }), "CouplingOptions::spline.bins = 1; it must be at least 2");
  EXPECT_EQ(coupling([](auto& o) { o.spline.right = -5; }), "CouplingOptions::spline.left = -5; it must be below spline.right");
}

TEST(ConsistencyCheck, SaysWhatDoesNotFit) {
  const std::string begin = "Trainer: the consistency check failed, so model, configurator and networks do not fit together. Cause: ";
  const auto with = [](AmortizedPosterior amortizer, const GenerativeModel& model, TrainerOptions options = {}) {
    return sentence<ConfigurationError>([&] { Trainer(amortizer, model, options); });
  };
  EXPECT_EQ(with(tiny_posterior(3), gaussian_model(2, 4)),
            begin + "InvertibleNetworkOptions::num_params = 3, but the targets have a width of 2; set it to 2");
  const GenerativeModel flat(Prior([](Rng& rng) { return rng.normal({2}); }),
                             Simulator([](const Array& theta, Rng& rng) { return rng.normal({2}, theta); }));
  EXPECT_EQ(
      with(tiny_posterior(2), flat),
      begin +
          "DeepSet: needs data of shape (batch, ..., observations, width); got (2, 2). Add an axis for observations, or use no summary "
          "network and pass the data as direct_conditions");
  EXPECT_EQ(
      with(AmortizedPosterior(tiny_flow(2)), gaussian_model(2, 4)),
      begin +
          "AmortizedPosterior: there are no direct_conditions, and without a summary network summary_conditions cannot be used; give a "
          "summary network, or put the data into direct_conditions in the configurator");
  EXPECT_EQ(with(tiny_posterior(2), gaussian_model(2, 4),
                 {.configurator = [](const Simulations&) -> Batch { throw std::runtime_error("no luck"); }}),
            begin + "no luck");
  EXPECT_EQ(with(tiny_posterior(2), gaussian_model(2, 4),
                 {.configurator =
                      [](const Simulations& s) {
                        Batch inputs = default_configurator(s);
                        inputs.set(roles::direct_conditions, Array({2}));
                        return inputs;
                      }})
                .substr(0, begin.size()),
            begin);
  EXPECT_EQ(with(tiny_posterior(2), gaussian_model(2, 4),
                 {.configurator =
                      [](const Simulations& s) {
                        Batch inputs = default_configurator(s);
                        inputs.update(roles::parameters, [&](Array& a) { a *= 1e30; });
                        return inputs;
                      }}),
            begin + "the loss of two simulations is not finite; check the scale of parameters and data");
  AmortizedPosterior used = tiny_posterior(2);
  const Trainer first(used, gaussian_model(2, 4));
  const GenerativeModel wider(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([](const Array&, Rng& rng) {
                                return rng.normal({4, 3});
                              }));
  EXPECT_EQ(with(used, wider), begin + "DeepSet: was built for data (batch, ..., observations, 2); got (2, 4, 3)");
}

}  // namespace
}  // namespace bayesflow
