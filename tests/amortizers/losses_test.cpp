// The parts of the loss: what is reported, and that each part's gradient arrives.
#include <gtest/gtest.h>

#include <cmath>

#include "amortizers/support_posterior.hpp"

namespace bayesflow {
namespace {

TEST(SummaryLoss, IsReportedApartAndGrowsWithItsWeight) {
  const Batch inputs = random_inputs({.sets = 32});
  const auto losses = [&](double weight) {
    return random_posterior(inputs, small_flow(2), {.summary_mmd_weight = weight}).compute_loss(inputs);
  };
  const LossTerms none = losses(0), one = losses(1), three = losses(3);
  EXPECT_EQ(none["summary_loss"], 0);
  EXPECT_GT(one["summary_loss"], 0);
  EXPECT_NEAR(three["summary_loss"], 3 * one["summary_loss"], 1e-5 * three["summary_loss"]);
  EXPECT_EQ(one["loss"], none["loss"]);
  EXPECT_EQ(one["weight_decay"], 0);
  EXPECT_EQ(one.total(), one["loss"] + one["summary_loss"]);
}

TEST(SummaryLoss, IsSmallForSummariesThatAreStandardNormal) {
  // A network that hands its data through: MMD^2 of normals is near 0, of shifted ones far from it.
  class HandThrough final : public SummaryNetwork {
   public:
    void build(const nn::Builder&, const SummaryShape&) override {}
    Tensor forward(Tape&, const SummaryInput& given) const override {
      const Tensor x = given.data;
      return ops::mean_pool(x);
    }
    std::int64_t summary_dim() const override { return 3; }
  };
  Batch inputs = random_inputs({.sets = 300});
  inputs.set(roles::summary_conditions, Rng(4).normal({300, 1, 3}));
  AmortizedPosterior amortizer(small_flow(2), HandThrough(), {.summary_mmd_weight = 1});
  amortizer.build(inputs);
  const double near = amortizer.compute_loss(inputs)["summary_loss"];
  inputs.update(roles::summary_conditions, [&](Array& a) { a += 2.0; });
  const double far = amortizer.compute_loss(inputs)["summary_loss"];
  EXPECT_GT(near, 0);
  EXPECT_GT(far, 10 * near);
}

/// d(total)/d(weights) along itself, by the tape and by central differences.
void expect_gradient_of_total(AmortizedPosterior& amortizer, const Batch& inputs) {
  nn::ParameterStore& store = amortizer.store();
  nn::GradientBuffers gradients(store);
  Tape tape;
  const auto loss = [&](bool with_gradients) {
    tape.reset({.gradients = with_gradients, .training = false, .seed = 9, .lanes = with_gradients ? &gradients : nullptr});
    const auto t = amortizer.loss(tape, inputs);
    if (with_gradients) tape.backward(t.total);
    return static_cast<double>(t.total.data()[0]);
  };
  gradients.clear();
  loss(true);
  std::vector<double> direction(static_cast<std::size_t>(store.size()), 0.0);
  double norm = 0, of_summary_net = 0;
  for (std::size_t p = 0; p < store.table().size(); ++p) {
    const nn::ParameterInfo& info = store.table()[p];
    std::vector<float> gradient(static_cast<std::size_t>(info.shape.size()));
    gradients.add_up(static_cast<std::int64_t>(p), info.offset, gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      direction[static_cast<std::size_t>(info.offset) + i] = static_cast<double>(gradient[i]);
    for (std::int64_t i = info.offset; i < info.offset + info.shape.size(); ++i) {
      const double square = std::pow(direction[static_cast<std::size_t>(i)], 2);
      norm += square;
      if (info.name.starts_with("summary_net")) of_summary_net += square;
    }
  }
  norm = std::sqrt(norm);
  EXPECT_GT(std::sqrt(of_summary_net), 0.01 * norm);
  const std::vector<float> before(store.values(), store.values() + store.size());
  const double h = 1e-4;  // splines with random weights bend within a few thousandths
  const auto moved = [&](double by) {
    for (std::size_t i = 0; i < before.size(); ++i) store.values()[i] = static_cast<float>(before[i] + by * direction[i] / norm);
    return loss(false);
  };
  const double slope = (moved(h) - moved(-h)) / (2 * h);
  moved(0);
  EXPECT_NEAR(slope, norm, 0.02 * norm);
}

TEST(SummaryLoss, ItsGradientReachesTheSummaryNetwork) {
  const Batch inputs = random_inputs({.sets = 48});
  for (const double weight : {0.0, 5.0}) {
    AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.summary_mmd_weight = weight});
    expect_gradient_of_total(amortizer, inputs);
  }
}

TEST(Loss, ItsGradientIsThatOfTheWholeBatchHoweverTheFlowsRowsAreCut) {
  for (const CouplingDesign design : {CouplingDesign::affine, CouplingDesign::spline, CouplingDesign::interleaved})
    for (const std::int64_t sets : {20, 48, 300, 600}) {
      SCOPED_TRACE(testing::Message() << "design " << static_cast<int>(design) << ", " << sets << " sets");
      const Batch inputs = random_inputs({.sets = sets});
      AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2, design));
      expect_gradient_of_total(amortizer, inputs);
      EXPECT_NEAR(amortizer.compute_loss(inputs)["loss"], -amortizer.log_posterior(inputs).mean(), 1e-5);
    }
}

TEST(WeightDecay, IsReportedApart) {
  const Batch inputs = random_inputs({});
  const CouplingOptions coupling{.dense = {.units = 8, .kernel_regularizer = 1e-2}, .dropout_prob = 0};
  AmortizedPosterior amortizer = random_posterior(inputs, InvertibleNetwork({.num_params = 2, .coupling = coupling}));
  double expected = 0;
  int regularized = 0;
  for (const nn::ParameterInfo& p : amortizer.store().table()) {
    if (p.l2 == 0) continue;
    ++regularized;
    for (std::int64_t i = 0; i < p.shape.size(); ++i) {
      const double w = static_cast<double>(amortizer.store().values()[p.offset + i]);
      expected += 1e-2 * w * w;
    }
  }
  EXPECT_EQ(regularized, 6 * 2 * 2 * 2);  // layers, halves, nets for scale and shift, hidden layers
  const LossTerms losses = amortizer.compute_loss(inputs);
  EXPECT_NEAR(losses["weight_decay"], expected, 1e-6 * expected);
  EXPECT_NEAR(losses["loss"], -amortizer.log_posterior(inputs).mean(), 1e-5);  // without it
  EXPECT_EQ(losses.total(), losses["loss"] + losses["weight_decay"]);
}

}  // namespace
}  // namespace bayesflow
