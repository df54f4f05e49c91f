/// Ensembles: what each member learns, what the mixture says, files, and what is refused.
#include "bayesflow/amortizers/ensemble.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/training/trainer.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

GenerativeModel linear_model(std::int64_t n = 5) {
  return GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([n](const Array& theta, Rng& rng) {
                           Array x({n, 2});
                           for (std::int64_t i = 0; i < n; ++i)
                             for (int k = 0; k < 2; ++k) x(i, k) = rng.normal(theta[k], 1.0);
                           return x;
                         }));
}

AmortizedPosterior member(std::optional<std::uint64_t> seed, double dropout = 0, int threads = 1) {
  const DenseOptions dense{.units = 16};
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 16;
  coupling.dropout_prob = dropout;
  return AmortizedPosterior(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 3, .coupling = coupling}),
                            DeepSet({.summary_dim = 4, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense}),
                            {.summary_mmd_weight = dropout > 0 ? 1.0 : 0.0, .seed = seed, .threads = threads});
}
Ensemble<AmortizedPosterior> small_ensemble(std::int64_t members = 3, double dropout = 0, int threads = 1) {
  return Ensemble<AmortizedPosterior>(
      members, [=](std::uint64_t seed) { return member(seed, dropout, threads); }, 10);
}

void expect_weights(const nn::ParameterStore& got, const std::string& place, const nn::ParameterStore& want) {
  for (const nn::ParameterInfo& p : want.table()) {
    const nn::ParameterInfo& q = got.table()[static_cast<std::size_t>(got.find(place + "." + p.name))];
    EXPECT_TRUE(std::equal(want.values() + p.offset, want.values() + p.offset + p.shape.size(), got.values() + q.offset)) << q.name;
  }
}

TEST(Ensemble, GivesEachMemberTheWeightsThatItWouldHaveAlone) {
  const GenerativeModel model = linear_model(150);
  for (const double dropout : {0.0, 0.2})
    for (const int threads : {1, 2, 4}) {
      const auto train = [&](auto amortizer) {
        Trainer trainer(amortizer, model, {.seed = 5, .threads = threads});
        (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 8});
        return amortizer;
      };
      const Ensemble<AmortizedPosterior> ensemble = train(small_ensemble(3, dropout));
      LossTerms mean({{"loss", 0.0}, {"summary_loss", 0.0}});
      const Batch batch = ensemble.configure(model.simulate(6, 1, "some", 0));
      for (std::uint64_t m = 0; m < 3; ++m) {
        const AmortizedPosterior alone = train(member(10 + m, dropout));
        expect_weights(ensemble.store(), "member_" + std::to_string(m), alone.store());
        EXPECT_EQ(ensemble.member(m).log_posterior(batch), alone.log_posterior(batch));
        const LossTerms losses = alone.compute_loss(batch);
        mean.set(0, mean.value(0) + losses["loss"] / 3);
        mean.set(1, mean.value(1) + losses["summary_loss"] / 3);
      }
      EXPECT_NEAR(ensemble.compute_loss(batch)["loss"], mean["loss"], 1e-6);
      EXPECT_NEAR(ensemble.compute_loss(batch)["summary_loss"], mean["summary_loss"], 1e-6);
    }
}

TEST(Ensemble, IsTheMixtureOfItsMembers) {
  const GenerativeModel model = linear_model();
  Ensemble<AmortizedPosterior> ensemble = small_ensemble();
  const Batch batch = ensemble.configure(model.simulate(6, 1, "some", 0));
  ensemble.build(batch, 1);
  Rng rng(1, "weights");
  for (std::int64_t i = 0; i < ensemble.store().size(); ++i) ensemble.store().values()[i] += static_cast<float>(0.1 * rng.normal());
  const Array log_q = ensemble.log_posterior(batch);
  for (std::int64_t b = 0; b < 6; ++b) {
    double mean = 0;
    for (std::size_t m = 0; m < 3; ++m) mean += std::exp(ensemble.member(m).log_posterior(batch)(b)) / 3;
    EXPECT_NEAR(log_q(b), std::log(mean), 1e-6);
  }
  // Draws: shared out evenly, the first the same for any number, other members' with other noise.
  const Array draws = ensemble.sample(batch, 7, {.seed = 4});
  ASSERT_EQ(draws.shape(), (Shape{6, 7, 2}));
  const Array more = ensemble.sample(batch, 700, {.seed = 4});
  for (std::int64_t b = 0; b < 6; ++b)
    for (std::int64_t i = 0; i < 14; ++i) EXPECT_EQ(draws[b * 14 + i], more[b * 1400 + i]);
  EXPECT_NE(ensemble.sample(batch, 7), ensemble.sample(batch, 7)) << "calls without a seed";
  EXPECT_EQ(ensemble.sample(batch, 2, {.seed = 4}).shape(), (Shape{6, 2, 2})) << "fewer than members";
  // Mean and variance of 1/k sum_m q_m, by the members' own draws.
  const std::int64_t n = 6000;
  const Array all = ensemble.sample(batch, n, {.seed = 4});
  std::vector<Array> own;
  for (std::size_t m = 0; m < 3; ++m) own.push_back(ensemble.member(m).sample(batch, n, {.seed = 9}));
  for (std::int64_t b = 0; b < 6; ++b) {
    double mean = 0, square = 0, got_mean = 0, got_square = 0;
    for (std::int64_t s = 0; s < n; ++s) {
      got_mean += all(b, s, 0) / static_cast<double>(n);
      got_square += all(b, s, 0) * all(b, s, 0) / static_cast<double>(n);
      for (const Array& x : own) {
        mean += x(b, s, 0) / static_cast<double>(3 * n);
        square += x(b, s, 0) * x(b, s, 0) / static_cast<double>(3 * n);
      }
    }
    EXPECT_NEAR(got_mean, mean, 0.06);
    EXPECT_NEAR(got_square, square, 0.15 * (1 + square));
  }
}

TEST(Ensemble, ScoresBetterThanItsMeanMember) {
  const GenerativeModel model = linear_model();
  // Few simulations: what each member makes of them beyond the truth is its own.
  const Ensemble<AmortizedPosterior> ensemble = small_ensemble(4);
  Trainer trainer(ensemble, model, {.threads = 2});
  (void)trainer.train_offline(model.simulate(600, 2, "data", 0), {.epochs = 25, .batch_size = 32});
  const Batch held_out = trainer.configure(model.simulate(2000, 9, "test", 0));
  const double mixture = ensemble.log_posterior(held_out).mean();
  double members = 0, best = -INFINITY;
  for (std::size_t m = 0; m < 4; ++m) {
    const double score = ensemble.member(m).log_posterior(held_out).mean();
    members += score / 4;
    best = std::max(best, score);
  }
  RecordProperty("mixture", std::to_string(mixture));
  RecordProperty("mean_member", std::to_string(members));
  RecordProperty("best_member", std::to_string(best));
  EXPECT_GT(mixture, members + 0.005);
}

TEST(Ensemble, IsSavedAndLoaded) {
  const TemporaryFolder folder;
  const GenerativeModel model = linear_model();
  const Ensemble<AmortizedPosterior> ensemble = small_ensemble();
  Trainer trainer(ensemble, model, {.threads = 1});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 100, .batch_size = 16});
  const Batch batch = trainer.configure(model.simulate(6, 1, "some", 0));
  ensemble.save(folder / "ensemble.h5");
  const auto again = load_amortizer<Ensemble<AmortizedPosterior>>(folder / "ensemble.h5");
  EXPECT_EQ(again.size(), 3U);
  EXPECT_EQ(again.log_posterior(batch), ensemble.log_posterior(batch));
  EXPECT_EQ(again.sample(batch, 9, {.seed = 1}), ensemble.sample(batch, 9, {.seed = 1}));
  ASSERT_TRUE(again.seen());
  EXPECT_EQ(again.seen()->summaries.size(), 12U) << "4 of each member";
  EXPECT_EQ(again.member(2).seen()->summaries.size(), 4U);
  EXPECT_EQ(load_amortizer(folder / "ensemble.h5", {.part = "member_1"}).log_posterior(batch), ensemble.member(1).log_posterior(batch));
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)load_amortizer<Ensemble<AmortizedLikelihood>>(folder / "ensemble.h5"); }),
            "AmortizedLikelihood: the given amortizer is an AmortizedPosterior; use that class");
  // Members of other trainings come together.
  const Ensemble<AmortizedPosterior> two({ensemble.member(0), again.member(2)});
  EXPECT_EQ(two.log_posterior(batch).shape(), (Shape{6}));
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              const Ensemble<AmortizedPosterior> copies({ensemble.member(0), again.member(0)});
            }),
            "Ensemble: \"member_0\" and \"member_1\" have the same weights; give each another AmortizerOptions::seed, or none");
}

TEST(Ensemble, HoldsJointAmortizers) {
  const TemporaryFolder folder;
  const GenerativeModel model = linear_model();
  const auto make = [](std::uint64_t seed) {
    CouplingOptions coupling = unregularized_coupling();
    coupling.dense.units = 16;
    return AmortizedPosteriorLikelihood(
        member(seed),
        AmortizedLikelihood(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2, .coupling = coupling}), {.seed = seed}));
  };
  const Ensemble<AmortizedPosteriorLikelihood> ensemble(2, make, 10);
  EXPECT_EQ(ensemble.loss_names(), (std::vector<std::string>{"posterior_loss", "likelihood_loss"}));
  Trainer trainer(ensemble, model, {.seed = 5, .threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 8});
  const AmortizedPosteriorLikelihood alone = make(11);
  Trainer other(alone, model, {.seed = 5, .threads = 1});
  (void)other.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 8});
  expect_weights(ensemble.store(), "member_1", alone.store());
  const Batch batch = ensemble.configure(model.simulate(6, 1, "some", 0));
  ensemble.save(folder / "both.h5");
  const auto again = load_amortizer<Ensemble<AmortizedPosteriorLikelihood>>(folder / "both.h5");
  const Batch share = again.member(0).posterior().share_of(batch);
  EXPECT_EQ(again.posterior().log_posterior(share), ensemble.posterior().log_posterior(share));
  EXPECT_EQ(again.likelihood().size(), 2U);
  EXPECT_EQ(load_amortizer(folder / "both.h5", {.part = "member_1.posterior"}).log_posterior(share),
            ensemble.member(1).posterior().log_posterior(share));
}

TEST(Ensemble, SaysWhatDoesNotFit) {
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)small_ensemble(1); }), "Ensemble: it needs at least two members; one was given");
  const Batch batch = member({}).configure(linear_model().simulate(4, 1, "some", 0));
  Ensemble<AmortizedPosterior> same({member(3), member(3)});
  EXPECT_EQ(sentence<ConfigurationError>([&] { same.build(batch); }),
            "Ensemble: \"member_0\" and \"member_1\" have the same weights; give each another AmortizerOptions::seed, or none");
  Ensemble<AmortizedPosterior> seedless({member({}), member({})});
  seedless.build(batch, 3);
  AmortizedPosterior second = member(4);  // what the trainer's seed 3 makes of the second member
  second.build(batch, {});
  expect_weights(seedless.store(), "member_1", second.store());
  EXPECT_EQ(sentence<ConfigurationError>([] {
              const Ensemble<AmortizedPosterior> mixed({member(1), member(2, 0.1)});
            }),
            "Ensemble: the losses of all members must have the same terms; those of \"member_0\" are loss, those of \"member_1\" loss, "
            "summary_loss");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)seedless.sample(batch, 0); }), "Ensemble::sample: n_samples must be at least 1; got 0");
}

}  // namespace
}  // namespace bayesflow
