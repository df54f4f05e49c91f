/// What every inference network must do: all classes of the registry, by the cases of support/inference_cases.hpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "networks/support_networks.hpp"
#include "support/inference_cases.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using support::InferenceCase;
constexpr std::int64_t kConditions = 3;

TEST(AllInferenceNetworks, HaveACase) {
  const std::vector<InferenceCase> cases = support::inference_cases();
  networks::for_each_inference_network([&]<class Net>(const char* name) {
    const auto made_here = [&](const InferenceCase& c) { return c.network == name && std::dynamic_pointer_cast<Net>(c.make()); };
    EXPECT_TRUE(std::ranges::any_of(cases, made_here)) << name << ": add a case to tests/support/inference_cases.hpp";
  });
}

struct Built {
  nn::ParameterStore store;
  std::shared_ptr<InferenceNetwork> net;
  explicit Built(const InferenceCase& c) : net(c.make()) {
    net->build(nn::Builder(store, 1), c.width, kConditions);
    nn::randomize(store, 2, 0.3);
  }
  [[nodiscard]] Array loss(const Array& targets, const Array& condition) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor y = net->loss(tape, tape.input(targets), tape.input(condition));
    Array out(y.shape());
    for (std::int64_t i = 0; i < y.size(); ++i) out.data()[i] = static_cast<double>(y.data()[i]);
    return out;
  }
};

Array conditions(const Shape& shape, std::uint64_t seed = 1) {
  Rng rng(seed, "conditions");
  return rng.normal(shape);
}
Array normals(const Shape& shape) {
  Rng rng(1, "targets");
  return rng.normal(shape);
}

class AllInferenceNetworksCase : public testing::TestWithParam<InferenceCase> {};

TEST_P(AllInferenceNetworksCase, TreatsRowsIndependently) {
  const InferenceCase& c = GetParam();
  const Built b(c);
  if (b.net->is_noisy_at_inference()) return;
  const Array targets = c.targets(normals({5, c.width})), x = conditions({5, kConditions}), all = b.loss(targets, x);
  ASSERT_EQ(all.shape(), (Shape{5}));
  EXPECT_TRUE(all.all_finite());
  for (std::int64_t i = 0; i < 5; ++i)
    EXPECT_NEAR(b.loss(targets.slice(i, i + 1), x.slice(i, i + 1))[0], all[i], 1e-5 * std::max(1.0, std::fabs(all[i])));
  EXPECT_GT(largest_difference(b.loss(targets, conditions({5, kConditions}, 2)), all), 1e-4) << "conditions are read";
  // Several targets of one condition are as many data sets with that condition; conditions of each target are read as such.
  const Array several = c.targets(normals({2, 4, c.width})), each = conditions({2, 4, kConditions});
  const Array shared = b.loss(several, x.slice(0, 2)), own = c.of_each ? b.loss(several, each) : Array();
  ASSERT_EQ(shared.shape(), (Shape{2, 4}));
  if (!c.of_each) {
    EXPECT_THROW((void)b.loss(several, each), ShapeError);
  }
  for (std::int64_t i = 0; i < 8; ++i) {
    const Array target = several.reshape({8, c.width}).slice(i, i + 1);
    EXPECT_NEAR(b.loss(target, x.slice(i / 4, i / 4 + 1))[0], shared.data()[i], 1e-4);
    if (!c.of_each) continue;
    EXPECT_NEAR(b.loss(target, each.reshape({8, kConditions}).slice(i, i + 1))[0], own.data()[i], 1e-4);
  }
}

TEST_P(AllInferenceNetworksCase, GradientsAgreeWithDifferences) {
  const InferenceCase& c = GetParam();
  Built b(c);
  if (b.net->is_noisy_at_inference()) return;
  const Array targets = c.targets(normals({4, c.width}));
  const GradientCheck result = nn::check_gradient(
      b.store, [&](Tape& t, std::span<const Tensor> x) { return std::vector<Tensor>{b.net->loss(t, t.input(targets), x[0])}; },
      {conditions({4, kConditions})},
      {.tolerance = 2e-3, .max_elements = 4, .unresolved = c.smooth ? 0.3 : 0.6, .floor = 0.1, .training = !c.constant_in_training});
  EXPECT_TRUE(result.passed()) << result.to_string();
}

TEST_P(AllInferenceNetworksCase, SaysWhatItHas) {
  const InferenceCase& c = GetParam();
  const Built b(c);
  EXPECT_NE(b.net->to_string(), "a network of your own");
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  const Tensor x = tape.input(conditions({4, kConditions})), y = tape.input(c.targets(normals({4, c.width})));
  if (b.net->has_outputs()) {
    const Tensor out = b.net->outputs(tape, x);
    EXPECT_EQ(out.dim(0), 4);
    EXPECT_EQ(out.rank(), 2);
  } else {
    EXPECT_THROW((void)b.net->outputs(tape, x), ConfigurationError);
  }
  if (b.net->has_density())
    EXPECT_EQ(b.net->log_density(tape, y, x).shape(), (Shape{4}));
  else
    EXPECT_THROW((void)b.net->log_density(tape, y, x), ConfigurationError);
  DrawStreams streams(10, {Rng(1)});
  const Tensor one = tape.input(conditions({1, kConditions}));
  if (b.net->has_draws())
    EXPECT_EQ(b.net->sample(tape, streams, one).shape(), (Shape{1, 10, c.width}));
  else
    EXPECT_THROW((void)b.net->sample(tape, streams, one), ConfigurationError);
  EXPECT_EQ(b.net->as_flow() != nullptr, dynamic_cast<NormalizingFlow*>(b.net.get()) != nullptr);
}

TEST_P(AllInferenceNetworksCase, RefusesWhatItWasNotBuiltFor) {
  const InferenceCase& c = GetParam();
  const Built b(c);
  const auto said = [&](const Array& targets, const Array& x) {
    try {
      (void)b.loss(targets, x);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const auto expect = [&](const std::string& text) { EXPECT_EQ(text.find(c.network + ":"), 0U) << text; };
  const Array targets = c.targets(normals({4, c.width}));
  expect(said(targets, conditions({4, kConditions + 1})));
  expect(said(Array({4, c.width + 1}, 0.5), conditions({4, kConditions})));
  expect(said(targets, conditions({3, kConditions})));
  expect(said(targets, conditions({4, 2, kConditions})));
  expect(said(Array({c.width}, 0.5), conditions({4, kConditions})));
  nn::ParameterStore store;
  EXPECT_THROW(c.make()->build(nn::Builder(store, 1), c.width + 1, kConditions), ConfigurationError);
}

INSTANTIATE_TEST_SUITE_P(Cases, AllInferenceNetworksCase, testing::ValuesIn(support::inference_cases()),
                         [](const auto& c) { return support::name_of(c.param); });

}  // namespace
}  // namespace bayesflow
