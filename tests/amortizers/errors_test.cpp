// What goes wrong with an amortizer, and the sentence that says so.
#include "bayesflow/core/errors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "amortizers/support_posterior.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

TEST(AmortizerErrors, InferenceBeforeTraining) {
  const Batch inputs = random_inputs({});
  const AmortizedPosterior amortizer(small_flow(2), small_deep_set());
  const std::string rest = ": the networks have no weights yet; train first (or call build with a first batch)";
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)amortizer.sample(inputs, 1); }), "AmortizedPosterior::sample" + rest);
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              (void)amortizer.sample_from_latent(inputs, Array({5, 1, 2}));
            }),
            "AmortizedPosterior::sample_from_latent" + rest);
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)amortizer.log_posterior(inputs); }), "AmortizedPosterior::log_posterior" + rest);
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)amortizer.forward(inputs); }), "AmortizedPosterior::forward" + rest);
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)amortizer.summary(inputs); }), "AmortizedPosterior::summary" + rest);
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)amortizer.compute_loss(inputs); }), "AmortizedPosterior::compute_loss" + rest);
}

TEST(AmortizerErrors, ASharedSummaryNetworkBelongsToOneAmortizer) {
  const Batch inputs = random_inputs({});
  const auto shared = std::make_shared<DeepSet>(small_deep_set());
  std::optional<AmortizedPosterior> first(std::in_place, small_flow(2), shared);
  first->build(inputs);
  randomize(*first);
  const Array before = first->log_posterior(inputs);
  AmortizedPosterior second(small_flow(2), shared);
  EXPECT_TRUE(sentence<ConfigurationError>([&] {
                second.build(inputs);
              }).starts_with("AmortizedPosterior: the summary network was built by another amortizer, which would lose its weights"));
  EXPECT_EQ(first->log_posterior(inputs), before);
  AmortizedPosterior copied(small_flow(2), DeepSet(*shared));  // a copy belongs to none
  copied.build(inputs);
  randomize(copied, 3);
  EXPECT_EQ(first->log_posterior(inputs), before);
  first.reset();
  AmortizedPosterior third(small_flow(2), shared);
  third.build(inputs);
  EXPECT_TRUE(third.is_built());
}

TEST(AmortizedPosterior, InvertibleNetworksAreCopied) {
  const Batch inputs = random_inputs({});
  const InvertibleNetwork flow = small_flow(2);
  AmortizedPosterior first(flow, small_deep_set());
  first.build(inputs);
  randomize(first);
  const Array before = first.log_posterior(inputs);
  AmortizedPosterior second(flow, small_deep_set());
  second.build(inputs);
  AmortizedPosterior third(dynamic_cast<const InvertibleNetwork&>(first.inference_net()),
                           small_deep_set());  // that of an amortizer with weights
  third.build(inputs);
  randomize(third, 7);
  EXPECT_EQ(first.log_posterior(inputs), before);
}

TEST(AmortizedPosterior, NetworksMayHaveSeedsOfTheirOwn) {
  const Batch inputs = random_inputs({});
  const auto weights = [&](const AmortizedPosteriorOptions& options, const char* name) {
    AmortizedPosterior amortizer(small_flow(2), small_deep_set(), options);
    amortizer.build(inputs);
    nn::ParameterStore& store = amortizer.store();
    const std::span<const float> w = store.value(store.find(name));
    return std::vector<float>(w.begin(), w.end());
  };
  const char* const flow = "inference_net.coupling.0.net1.s.0.kernel";
  const char* const summary = "summary_net.output.kernel";
  const AmortizedPosteriorOptions one{.seed = 1}, apart{.seed = 1, .summary_seed = 2}, two{.seed = 2};
  EXPECT_EQ(weights(apart, flow), weights(one, flow));
  EXPECT_EQ(weights(apart, summary), weights(two, summary));
  EXPECT_EQ(weights({.seed = 2, .inference_seed = 1}, flow), weights(one, flow));
}

TEST(AmortizerErrors, NumberOfDraws) {
  const Batch inputs = random_inputs({});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  for (const std::int64_t n : {0, -3})
    EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.sample(inputs, n); }),
              "AmortizedPosterior::sample: n_samples must be at least 1; got " + std::to_string(n));
}

TEST(AmortizerErrors, OtherWidthsThanInTraining) {
  const Batch inputs = random_inputs({.direct = 2});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  Batch other = inputs;
  other.set(roles::summary_conditions, Array({5, kObservations, 7}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample(other, 2); }),
            "DeepSet: was built for data (batch, ..., observations, 3); got (5, 6, 7)");
  other = inputs;
  other.set(roles::summary_conditions, Array({5, kWidth}));
  EXPECT_EQ(
      sentence<ShapeError>([&] { (void)amortizer.sample(other, 2); }),
      "AmortizedPosterior::sample: summary_conditions of shape (5, 3) have an axis too few: the networks were built for (batch, 6, 3); one "
      "data set x is given as x.expand_dims(0)");
  other = inputs;
  other.set(roles::direct_conditions, Array({5, 3}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample(other, 2); }),
            "AmortizedPosterior: was built with direct_conditions of width 2; got (5, 3)");
  other.set(roles::direct_conditions, {});
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(other); }),
            "AmortizedPosterior: was built with direct_conditions of width 2; got none");
  other = inputs;
  other.set(roles::parameters, Array({5, 3}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(other); }),
            "InvertibleNetwork: targets must have shape (batch, 2) or (batch, n, 2); got (5, 3)");
  other.set(roles::parameters, Array({5}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(other); }),
            "InvertibleNetwork: targets must have shape (batch, 2) or (batch, n, 2); got (5,)");
}

TEST(AmortizerErrors, NumbersOfDataSetsThatDiffer) {
  const AmortizedPosterior amortizer = random_posterior(random_inputs({.direct = 2}), small_flow(2));
  // Many rows, so that they would be cut into shards.
  Batch inputs = random_inputs({.sets = 600, .direct = 2});
  inputs.set(roles::parameters, Array({700, 2}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(inputs); }),
            "AmortizedPosterior::log_posterior: axis 0 of every field counts the data sets; got parameters of shape (700, 2) where there "
            "are 600");
  EXPECT_EQ(
      sentence<ShapeError>([&] { (void)amortizer.forward(inputs); }),
      "AmortizedPosterior::forward: axis 0 of every field counts the data sets; got parameters of shape (700, 2) where there are 600");
  inputs = random_inputs({.direct = 2});
  inputs.set(roles::direct_conditions, Array({4, 2}));
  EXPECT_EQ(
      sentence<ShapeError>([&] { (void)amortizer.sample(inputs, 1); }),
      "AmortizedPosterior::sample: axis 0 of every field counts the data sets; got direct_conditions of shape (4, 2) where there are 5");
}

TEST(AmortizerErrors, NoDataSets) {
  const AmortizedPosterior amortizer = random_posterior(random_inputs({}), small_flow(2));
  Batch none;
  none.set(roles::summary_conditions, Array({0, kObservations, kWidth}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample(none, 10); }),
            "AmortizedPosterior::sample: there are no data sets; axis 0 of the conditions must be at least 1");
  Batch nothing;
  EXPECT_EQ(sentence<SummaryStatsError>([&] { (void)amortizer.sample(nothing, 10); }),
            "AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
}

TEST(AmortizerErrors, TooLittleRoomForDraws) {
  const Batch inputs = random_inputs({.sets = 5});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  std::vector<float> room(99);
  EXPECT_EQ(sentence<ShapeError>([&] { amortizer.sample_into(room, inputs, 10); }),
            "AmortizedPosterior::sample_into: needs room for (5, 10, 2) = 100 floats; got 99");
  EXPECT_EQ(sentence<ArgumentError>([&] { amortizer.sample_into(room, inputs, 0); }),
            "AmortizedPosterior::sample: n_samples must be at least 1; got 0");
}

TEST(AmortizerErrors, NoObservations) {
  const AmortizedPosterior amortizer = random_posterior(random_inputs({}), small_flow(2));
  Batch none;
  none.set(roles::summary_conditions, Array({2, 0, kWidth}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample(none, 10); }),
            "DeepSet: was built for data (batch, ..., observations, 3); got (2, 0, 3)");
}

TEST(AmortizerErrors, NoAxisOfDataSets) {
  const Batch inputs = random_inputs({.direct = 2});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  Batch one = inputs;
  one.set(roles::summary_conditions, inputs.array(roles::summary_conditions).row(0));
  const Shape shape = one[roles::summary_conditions].shape();
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample(one, 10); }),
            "AmortizedPosterior::sample: summary_conditions of shape " + shape.to_string() +
                " have an axis too few: the networks were built for " + "(batch, " + shape.to_string().substr(1) +
                "; one data set x is given as x.expand_dims(0)");
  one = inputs;
  one.set(roles::direct_conditions, Array({2}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(one); }),
            "AmortizedPosterior::log_posterior: direct_conditions of shape (2,) have an axis too few: the networks were built for "
            "(batch, 2); one data set x is given as x.expand_dims(0)");
  one.set(roles::summary_conditions, Array::scalar(1.0));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)one.batch_size(); }),
            "Batch: summary_conditions must have an axis of data sets, axis 0; got a single number");
}

TEST(AmortizerErrors, NoParameters) {
  Batch inputs = random_inputs({});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  inputs.set(roles::parameters, Array());
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.log_posterior(inputs); }),
            "AmortizedPosterior::log_posterior: needs parameters of shape (batch, 2) or (batch, n, 2); got none");
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.compute_loss(inputs); }),
            "AmortizedPosterior: needs one row of parameters per data set (5); got none");
}

TEST(AmortizerErrors, ValuesBeyondFloat32) {
  const Batch good = random_inputs({.direct = 2});
  const AmortizedPosterior amortizer = random_posterior(good, small_flow(2));
  const std::string rest =
      ", which is beyond the range of float32 (3.4e+38); every value must be finite in float32, which networks compute in: drop such data "
      "sets, or replace or scale the values as in training";
  Batch bad = good;
  bad.update(roles::summary_conditions, [&](Array& a) { a(3, 1, 2) = 1e39; });
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.sample(bad, 1); }),
            "AmortizedPosterior::sample: 1e+39 in summary_conditions of data set 3, column 2" + rest);
  bad = good;
  bad.update(roles::direct_conditions, [&](Array& a) { a(1, 1) = -1e300; });
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.summary(bad); }),
            "AmortizedPosterior::summary: -1e+300 in direct_conditions of data set 1, column 1" + rest);
  bad = good;
  bad.update(roles::parameters, [&](Array& a) { a(4, 0) = 3.5e38; });
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.log_posterior(bad); }),
            "AmortizedPosterior::log_posterior: 3.5e+38 in parameters of data set 4, column 0" + rest);
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)amortizer.sample_from_latent(good, Array({5, 1, 2}, 1e39));
            }),
            "AmortizedPosterior::sample_from_latent: the latents must be finite in float32, which networks compute in");
  constexpr double kLargest = std::numeric_limits<float>::max();
  bad.update(roles::summary_conditions, [&](Array& a) { a(0, 0, 0) = kLargest; });
  bad.update(roles::parameters, [&](Array& a) { a(4, 0) = kLargest; });
  EXPECT_EQ(bad.non_finite(), "");
}

TEST(AmortizerErrors, ValuesThatOverflowInTheNetworks) {
  const Batch good = random_inputs({.direct = 2});
  const AmortizedPosterior amortizer = random_posterior(good, small_flow(2));
  Batch bad = good;
  bad.update(roles::summary_conditions, [](Array& a) { a = Array(a.shape(), 2e38); });
  bad.update(roles::summary_conditions, [&](Array& a) { a(0, 1, 2) = -3e38; });
  const std::string rest =
      " of data set 0 are not finite, although its values are: they are too far from those of training for float32. Its largest: -3e+38 in "
      "summary_conditions, column 2; scale the values as in training";
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.sample(bad, 10); }), "AmortizedPosterior::sample: the draws" + rest);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.summary(bad); }), "AmortizedPosterior::summary: the summaries" + rest);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.log_posterior(bad); }), "AmortizedPosterior::log_posterior: the results" + rest);
}

TEST(AmortizerErrors, ValuesThatAreNotFinite) {
  const Batch good = random_inputs({.direct = 1});
  const AmortizedPosterior amortizer = random_posterior(good, small_flow(2));
  const std::string rest = "; every value must be finite: drop such data sets, or replace the values as in training";
  Batch bad = good;
  bad.update(roles::summary_conditions, [&](Array& a) { a(3, 1, 2) = std::nan(""); });
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.sample(bad, 1); }),
            "AmortizedPosterior::sample: nan in summary_conditions of data set 3, column 2" + rest);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.summary(bad); }),
            "AmortizedPosterior::summary: nan in summary_conditions of data set 3, column 2" + rest);
  bad = good;
  bad.update(roles::direct_conditions, [&](Array& a) { a(1, 0) = std::numeric_limits<double>::infinity(); });
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.compute_loss(bad); }),
            "AmortizedPosterior::compute_loss: inf in direct_conditions of data set 1" + rest);
  bad = good;
  bad.update(roles::parameters, [&](Array& a) { a(4, 1) = -std::numeric_limits<double>::infinity(); });
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)amortizer.log_posterior(bad); }),
            "AmortizedPosterior::log_posterior: -inf in parameters of data set 4, column 1" + rest);
}

TEST(AmortizerErrors, LatentsOfAnotherShape) {
  const Batch inputs = random_inputs({});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  for (const Shape& shape : {Shape{5, 2}, Shape{4, 1, 2}, Shape{5, 1, 3}})
    EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample_from_latent(inputs, Array(shape)); }),
              "AmortizedPosterior::sample_from_latent: needs latents (5, n_samples, 2); got " + shape.to_string());
}

TEST(AmortizerErrors, DrawsForConditionsPerObservation) {
  Batch inputs = random_inputs({.summary = false});
  inputs.set(roles::parameters, Array({5, 4, 2}, 0.1));
  inputs.set(roles::direct_conditions, Array({5, 4, 3}, 0.2));
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  EXPECT_EQ(amortizer.log_posterior(inputs).shape(), (Shape{5, 4}));
  EXPECT_EQ(sentence<ShapeError>([&] { (void)amortizer.sample(inputs, 10); }),
            "AmortizedPosterior::sample: needs conditions of shape (batch, c); got (5, 4, 3)");
}

TEST(AmortizerErrors, ConditionsThatTheNetworksCannotUse) {
  const Batch data = random_inputs({}), direct = random_inputs({.summary = false, .direct = 2}), both = random_inputs({.direct = 2});
  AmortizedPosterior with(small_flow(2), small_deep_set()), without(small_flow(2));
  EXPECT_EQ(sentence<SummaryStatsError>([&] { with.build(direct); }),
            "AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
  EXPECT_EQ(sentence<SummaryStatsError>([&] { without.build(data); }),
            "AmortizedPosterior: there are no direct_conditions, and without a summary network summary_conditions cannot be used; give a "
            "summary network, or put the data into direct_conditions in the configurator");
  EXPECT_EQ(sentence<SummaryStatsError>([&] { without.build(both); }),
            "AmortizedPosterior: there are summary_conditions but no summary network, so they would be ignored; give a summary network, or "
            "put the data into direct_conditions in the configurator");
  EXPECT_FALSE(with.is_built());
  EXPECT_FALSE(without.is_built());
  with.build(data);
  EXPECT_EQ(sentence<SummaryStatsError>([&] { (void)with.sample(direct, 1); }),
            "AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
  without.build(direct);
  EXPECT_EQ(sentence<SummaryStatsError>([&] { (void)without.summary(direct); }),
            "AmortizedPosterior::summary: there is no summary network");
}

TEST(AmortizerErrors, Options) {
  const auto with = [](AmortizedPosteriorOptions options) {
    return sentence<ConfigurationError>([&] { AmortizedPosterior(small_flow(2), small_deep_set(), options); });
  };
  EXPECT_EQ(with({.summary_mmd_weight = -1}), "AmortizedPosteriorOptions::summary_mmd_weight = -1; it must be finite and not negative");
  EXPECT_EQ(with({.summary_mmd_weight = std::nan("")}),
            "AmortizedPosteriorOptions::summary_mmd_weight = nan; it must be finite and not negative");
  EXPECT_EQ(with({.threads = -2}), "AmortizedPosteriorOptions::threads = -2; it must not be negative (0: all)");
  Latent latent = gaussian_latent();
  latent.name = "mine";
  latent.sample = nullptr;
  EXPECT_EQ(with({.latent = latent}),
            "AmortizedPosteriorOptions::latent \"mine\" lacks its sampler; a latent needs both a log density and a sampler");
  EXPECT_EQ(sentence<ConfigurationError>([] { AmortizedPosterior(small_flow(2), {.summary_mmd_weight = 1}); }),
            "AmortizedPosterior: a summary loss needs a summary network; give one or set summary_mmd_weight = 0");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)student_t_latent(0); }), "student_t_latent: df must be positive and finite; got 0");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)student_t_latent(std::numeric_limits<double>::infinity()); }),
            "student_t_latent: df must be positive and finite; got inf");
}

TEST(AmortizerErrors, ASamplerThatThrowsLeavesTheAmortizerUsable) {
  const Batch inputs = random_inputs({.sets = 20});
  Latent latent = gaussian_latent();
  bool fail = true;
  latent.sample = [&](Rng& rng, std::span<float> z, std::int64_t) {
    if (fail) throw std::runtime_error("out of luck");
    rng.fill_normal(z);
  };
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.latent = latent, .threads = 2});
  EXPECT_EQ(sentence<std::runtime_error>([&] { (void)amortizer.sample(inputs, 600); }), "out of luck");
  fail = false;
  EXPECT_EQ(amortizer.sample(inputs, 600, {.seed = 0}), random_posterior(inputs, small_flow(2)).sample(inputs, 600, {.seed = 0}));
}

}  // namespace
}  // namespace bayesflow
