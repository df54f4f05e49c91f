// Draws of an amortized posterior: shapes, streams of random numbers, the latent's distribution, the way back from latents.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "amortizers/support_posterior.hpp"

namespace bayesflow {
namespace {

TEST(Sampling, AlwaysHasThreeAxes) {
  for (const std::int64_t params : {1, 2, 5})
    for (const std::int64_t sets : {1, 3}) {
      const Batch inputs = random_inputs({.sets = sets, .params = params});
      const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(params));
      for (const std::int64_t n : {1, 2, 300}) {
        const Array draws = amortizer.sample(inputs, n);
        EXPECT_EQ(draws.shape(), (Shape{sets, n, params}));
        EXPECT_TRUE(draws.all_finite());
      }
    }
}

TEST(Sampling, NeedsNoParameters) {
  Batch inputs = random_inputs({});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  const Array with = amortizer.sample(inputs, 4, {.seed = 0});
  inputs.set(roles::parameters, Array());
  EXPECT_EQ(amortizer.sample(inputs, 4, {.seed = 0}), with);
}

std::string name_of(CouplingDesign design) {
  return design == CouplingDesign::affine ? "affine" : design == CouplingDesign::spline ? "spline" : "interleaved";
}

class SamplingOnThreads : public testing::TestWithParam<CouplingDesign> {};

TEST_P(SamplingOnThreads, IsTheSameForAnyNumberOfThreads) {
  const Batch inputs = random_inputs({.sets = 7, .params = 3, .direct = 2});
  const auto draws = [&](int threads) {
    return random_posterior(inputs, small_flow(3, GetParam()), {.threads = threads}).sample(inputs, 1500, {.seed = 5});
  };
  const Array one = draws(1);
  EXPECT_EQ(draws(2), one);
  EXPECT_EQ(draws(4), one);
}
INSTANTIATE_TEST_SUITE_P(Designs, SamplingOnThreads,
                         testing::Values(CouplingDesign::affine, CouplingDesign::spline, CouplingDesign::interleaved),
                         [](const auto& c) { return name_of(c.param); });

TEST(Sampling, DropoutAtInferenceIsTheSameForAnyNumberOfThreads) {
  const Batch inputs = random_inputs({.sets = 4});
  const auto draws = [&](int threads) {
    CouplingOptions coupling = small_coupling();
    coupling.dropout_prob = 0.3;
    coupling.mc_dropout = true;
    return random_posterior(inputs, InvertibleNetwork({.num_params = 2, .coupling = coupling}), {.threads = threads}).sample(inputs, 600);
  };
  const Array one = draws(1);
  EXPECT_EQ(draws(2), one);
  EXPECT_EQ(draws(4), one);
}

TEST(Sampling, DropoutAtInferenceHasNoiseOfItsOwnInEveryBlockAndForEverySeed) {
  // With latents that are all zero a network without dropout gives one value; with it, each draw has masks of its own.
  const Batch inputs = random_inputs({.sets = 2});
  CouplingOptions coupling = small_coupling();
  coupling.dropout_prob = 0.3;
  coupling.mc_dropout = true;
  Latent point = gaussian_latent();
  point.sample = [](Rng&, std::span<float> z, std::int64_t) { std::fill(z.begin(), z.end(), 0.0f); };
  const AmortizedPosterior amortizer =
      random_posterior(inputs, InvertibleNetwork({.num_params = 2, .coupling = coupling}), {.latent = point});
  const Array draws = amortizer.sample(inputs, 2000, {.seed = 1});
  std::vector<double> first;
  for (std::int64_t k = 0; k < draws.dim(1); ++k) first.push_back(draws(0, k, 0));
  std::sort(first.begin(), first.end());
  const auto distinct = std::unique(first.begin(), first.end()) - first.begin();
  EXPECT_GT(distinct, 1900);
  EXPECT_NE(amortizer.sample(inputs, 2000, {.seed = 2}), draws);
  EXPECT_EQ(amortizer.sample(inputs, 2000, {.seed = 1}), draws);
}

TEST(Sampling, FirstDrawsDoNotDependOnHowManyFollow) {
  const Batch inputs = random_inputs({.sets = 3});
  for (const Latent& latent : {gaussian_latent(), student_t_latent(4)}) {
    const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.latent = latent});
    const Array many = amortizer.sample(inputs, 1000, {.seed = 0});
    for (const std::int64_t n : {1, 255, 256, 257, 999}) {
      const Array few = amortizer.sample(inputs, n, {.seed = 0});
      for (std::int64_t b = 0; b < 3; ++b) EXPECT_EQ(few.row(b), many.row(b).slice(0, n)) << latent.name << ", " << n << " draws";
    }
  }
}

TEST(Sampling, IntoMemoryOfOnesOwnGivesTheSameDraws) {
  const Batch inputs = random_inputs({.sets = 3});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  const Array draws = amortizer.sample(inputs, 700, {.seed = 3});
  std::vector<float> own(3 * 700 * 2);
  amortizer.sample_into(own, inputs, 700, {.seed = 3});
  EXPECT_TRUE(std::equal(own.begin(), own.end(), draws.data(), [](float a, double b) { return static_cast<double>(a) == b; }));
}

TEST(Sampling, SeedsAndDataSetsHaveStreamsOfTheirOwn) {
  Batch inputs = random_inputs({.sets = 2});
  const Array one = inputs.array(roles::summary_conditions).slice(0, 1);
  inputs.set(roles::summary_conditions, concatenate({one, one}, 0));  // the same data twice
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  const Array draws = amortizer.sample(inputs, 50, {.seed = 0});
  EXPECT_EQ(amortizer.sample(inputs, 50, {.seed = 0}), draws);
  EXPECT_NE(amortizer.sample(inputs, 50, {.seed = 1}), draws);
  EXPECT_NE(draws.row(0), draws.row(1));
}

struct Flow {
  CouplingDesign design;
  PermutationKind permutation;
  std::int64_t params;
};
void PrintTo(const Flow& flow, std::ostream* out) { *out << name_of(flow.design) << " of " << flow.params; }
class LatentsAndBack : public testing::TestWithParam<Flow> {};

TEST_P(LatentsAndBack, SampleFromLatentInvertsForward) {
  const Flow& flow = GetParam();
  const Batch inputs = random_inputs({.sets = 40, .params = flow.params, .direct = 2});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(flow.params, flow.design, flow.permutation));
  const AmortizedPosterior::Forward f = amortizer.forward(inputs);
  EXPECT_GT(abs(f.z - inputs.array(roles::parameters)).max(), 0.1);  // the flow does something
  const Array back = amortizer.sample_from_latent(inputs, f.z.expand_dims(1));
  ASSERT_EQ(back.shape(), (Shape{40, 1, flow.params}));
  EXPECT_LT(abs(back.squeeze(1) - inputs.array(roles::parameters)).max(), 2e-4);
}
INSTANTIATE_TEST_SUITE_P(Flows, LatentsAndBack,
                         testing::Values(Flow{CouplingDesign::affine, PermutationKind::fixed, 4},
                                         Flow{CouplingDesign::spline, PermutationKind::fixed, 3},
                                         Flow{CouplingDesign::interleaved, PermutationKind::learnable, 5},
                                         Flow{CouplingDesign::affine, PermutationKind::none, 1},
                                         Flow{CouplingDesign::spline, PermutationKind::learnable, 1}),
                         [](const auto& c) { return name_of(c.param.design) + "_" + std::to_string(c.param.params); });

/// Kolmogorov-Smirnov distance of |z|^2, z two-dimensional, from a survival function.
template <class Survival>
double ks_distance(const Array& z, const Survival& survival) {
  std::vector<double> r;
  for (std::int64_t i = 0; i < z.size(); i += 2) r.push_back(z[i] * z[i] + z[i + 1] * z[i + 1]);
  std::sort(r.begin(), r.end());
  double distance = 0;
  const auto n = static_cast<double>(r.size());
  for (std::size_t i = 0; i < r.size(); ++i) {
    const double cdf = 1 - survival(r[i]);
    distance = std::max({distance, std::abs(cdf - static_cast<double>(i) / n), std::abs(cdf - static_cast<double>(i + 1) / n)});
  }
  return distance;
}

/// Draws taken back to latents.
Array latents_of_draws(const Latent& latent, std::int64_t n) {
  Batch inputs = random_inputs({.sets = 1});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.latent = latent});
  inputs.set(roles::parameters, amortizer.sample(inputs, n));  // (1, n, 2): three axes
  return amortizer.forward(inputs).z;
}

// 2.4 / sqrt(n): false alarms at a rate of 2e-5.
constexpr std::int64_t kDraws = 20000;
const double kKsLimit = 2.4 / std::sqrt(static_cast<double>(kDraws));

TEST(Sampling, DrawsComeFromTheGaussianLatent) {
  EXPECT_LT(ks_distance(latents_of_draws(gaussian_latent(), kDraws), [](double x) { return std::exp(-x / 2); }), kKsLimit);
}

TEST(Sampling, DrawsComeFromTheStudentLatent) {
  const Array z = latents_of_draws(student_t_latent(3), kDraws);
  EXPECT_LT(ks_distance(z, [](double x) { return std::pow(1 + x / 3, -1.5); }), kKsLimit);
  EXPECT_GT(ks_distance(z, [](double x) { return std::exp(-x / 2); }), 5 * kKsLimit);
}

/// N(0, 4 I), as a user would write it.
Latent wide_latent() {
  return {"wide",
          [](Tensor z) {
            Tensor density = ops::gaussian_log_density(ops::scale(z, 0.5f));
            return ops::add_scalar(density, z.tape().filled({1}, -static_cast<float>(z.cols()) * std::log(2.0f)));
          },
          [](Rng& rng, std::span<float> z, std::int64_t) {
            rng.fill_normal(z);
            for (float& v : z) v *= 2;
          }};
}

TEST(Sampling, DrawsComeFromAGivenLatent) {
  EXPECT_LT(ks_distance(latents_of_draws(wide_latent(), kDraws), [](double x) { return std::exp(-x / 8); }), kKsLimit);
}

TEST(LogPosterior, IsTheLatentsDensityPlusTheLogDeterminant) {
  const Batch inputs = random_inputs({.sets = 300, .params = 3, .direct = 1});
  const double df = 5, d = 3;
  const double t_constant = std::lgamma((df + d) / 2) - std::lgamma(df / 2) - d / 2 * std::log(df * M_PI);
  const auto squares = [](const Array& z) { return (z * z).sum(-1); };
  const double log_two_pi = std::log(2 * M_PI);
  const auto check = [&](const Latent& latent, auto log_density) {
    const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(3), {.latent = latent});
    const AmortizedPosterior::Forward f = amortizer.forward(inputs);
    const Array expected = squares(f.z).map(log_density) + f.log_det_J;
    const Array got = amortizer.log_posterior(inputs);
    ASSERT_EQ(got.shape(), (Shape{300}));
    EXPECT_GT(abs(f.log_det_J).max(), 0.1);
    EXPECT_LT(abs(got - expected).max(), 1e-4) << latent.name;
    EXPECT_NEAR(amortizer.compute_loss(inputs)["loss"], -expected.mean(), 1e-4) << latent.name;
  };
  check(gaussian_latent(), [&](double r) { return -0.5 * (r + d * log_two_pi); });
  check(student_t_latent(df), [&](double r) { return t_constant - (df + d) / 2 * std::log1p(r / df); });
  check(wide_latent(), [&](double r) { return -0.5 * (r / 4 + d * log_two_pi) - d * std::log(2.0); });
}

TEST(LogPosterior, IntegratesToOne) {
  // One parameter, one data set, a fine grid as many observations of the target: the trapezoidal rule.
  for (const CouplingDesign design : {CouplingDesign::affine, CouplingDesign::spline}) {
    Batch inputs = random_inputs({.sets = 1, .params = 1});
    const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(1, design));
    const std::int64_t points = 4001;
    inputs.set(roles::parameters, Array::linspace(-20, 20, points).reshape({1, points, 1}));
    const Array density = exp(amortizer.log_posterior(inputs));
    ASSERT_EQ(density.shape(), (Shape{1, points}));
    EXPECT_NEAR(density.sum() * 40 / static_cast<double>(points - 1), 1.0, 2e-3);
  }
}

TEST(Conditions, SummaryDirectOrBothMatter) {
  for (const bool summary : {true, false})
    for (const std::int64_t direct : {0, 3}) {
      if (!summary && direct == 0) continue;
      const Batch inputs = random_inputs({.summary = summary, .direct = direct});
      const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
      EXPECT_EQ(amortizer.sample(inputs, 3).shape(), (Shape{5, 3, 2}));
      const Array before = amortizer.log_posterior(inputs);
      if (summary) {
        EXPECT_EQ(amortizer.summary(inputs).shape(), (Shape{5, 4}));
        Batch other = inputs;
        other.update(roles::summary_conditions, [&](Array& a) { a += 1.0; });
        EXPECT_GT(abs(amortizer.log_posterior(other) - before).min(), 1e-4);
      }
      if (direct) {
        Batch other = inputs;
        other.update(roles::direct_conditions, [&](Array& a) { a += 1.0; });
        EXPECT_GT(abs(amortizer.log_posterior(other) - before).min(), 1e-4);
      }
    }
}

TEST(Conditions, ManyDataSetsGiveWhatEachGivesAlone) {
  const Batch all = random_inputs({.sets = 600, .direct = 2});  // several shards
  const AmortizedPosterior amortizer = random_posterior(all, small_flow(2));
  const Array together = amortizer.log_posterior(all);
  for (const std::int64_t i : {0, 299, 599}) {
    const Batch one = all.rows(i, i + 1);
    EXPECT_NEAR(amortizer.log_posterior(one).item(), together[i], 1e-5);
  }
}

TEST(Conditions, TargetsWithManyObservationsShareTheirDataSetsCondition) {
  const std::int64_t sets = 3, n = 400;
  Batch inputs = random_inputs({.sets = sets, .direct = 2});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  inputs.set(roles::parameters, Rng(7).normal({sets, n, 2}));
  const Array density = amortizer.log_posterior(inputs);
  ASSERT_EQ(density.shape(), (Shape{sets, n}));
  ASSERT_EQ(amortizer.forward(inputs).z.shape(), (Shape{sets, n, 2}));
  const Batch rows{{roles::parameters, inputs.array(roles::parameters).reshape({sets * n, 2})},
                   {roles::summary_conditions, inputs.array(roles::summary_conditions).repeat(n, 0)},
                   {roles::direct_conditions, inputs.array(roles::direct_conditions).repeat(n, 0)}};
  EXPECT_LT(abs(density.flatten() - amortizer.log_posterior(rows)).max(), 1e-4);
  EXPECT_EQ(amortizer.sample(inputs, 4).shape(), (Shape{sets, 4, 2}));  // draws are per data set, whatever the targets were
}

TEST(Conditions, OnePerObservationAlongsideSummaries) {
  const std::int64_t sets = 3, n = 5;
  Batch inputs = random_inputs({.sets = sets});
  inputs.set(roles::parameters, Rng(7).normal({sets, n, 2}));
  inputs.set(roles::direct_conditions, Rng(8).normal({sets, n, 2}));
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  const Array density = amortizer.log_posterior(inputs);
  ASSERT_EQ(density.shape(), (Shape{sets, n}));
  const Batch rows{{roles::parameters, inputs.array(roles::parameters).reshape({sets * n, 2})},
                   {roles::summary_conditions, inputs.array(roles::summary_conditions).repeat(n, 0)},
                   {roles::direct_conditions, inputs.array(roles::direct_conditions).reshape({sets * n, 2})}};
  EXPECT_LT(abs(density.flatten() - amortizer.log_posterior(rows)).max(), 1e-4);
  EXPECT_NEAR(amortizer.compute_loss(inputs)["loss"], -density.mean(), 1e-4);
}

}  // namespace
}  // namespace bayesflow
