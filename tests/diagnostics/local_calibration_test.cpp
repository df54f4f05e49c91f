// Is a posterior calibrated at one data set?
#include "bayesflow/diagnostics/local_calibration.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"

namespace bayesflow {
namespace {

/// The exact posterior of theta ~ N(0, I), x = theta + N(0, 0.5^2 I), two parameters: N(0.8 x, 0.2 I); around (1.5, 1.5), where one in
/// sixty data sets lies, `factor` times as wide.
class NormalPosterior final : public InferenceNetwork {
 public:
  explicit NormalPosterior(double factor) : factor_(factor) {}
  void build(const nn::Builder& /*builder*/, std::int64_t /*target_width*/, std::int64_t /*condition_width*/) override {}
  [[nodiscard]] std::int64_t target_width() const override { return 2; }
  [[nodiscard]] bool has_draws() const override { return true; }
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor /*condition*/) const override { return tape.filled({targets.dim(0)}, 0); }
  [[nodiscard]] Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const override {
    const Tensor out = tape.filled({1, streams.rows(), 2}, 0);
    const double x = static_cast<double>(condition.data()[0]), y = static_cast<double>(condition.data()[1]);
    const double sd = std::sqrt(0.2) * (std::hypot(x - 1.5, y - 1.5) < 0.5 ? factor_ : 1);
    streams.fill(out, [&](Rng& rng, std::span<float> values, std::int64_t width) {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(rng.normal(0.8 * (i % static_cast<std::size_t>(width) ? y : x), sd));
    });
    return out;
  }

 private:
  double factor_;
};

Batch simulations(std::int64_t count, std::uint64_t seed) {
  Rng rng(seed, "simulations");
  const Array theta = rng.normal({count, 2});
  return {{roles::parameters, theta}, {roles::direct_conditions, theta + rng.normal({count, 2}, 0.0, 0.5)}};
}

AmortizedPosterior posterior(double factor) {
  AmortizedPosterior out(NormalPosterior(factor), AmortizedPosteriorOptions{.threads = 1});
  out.build(simulations(2, 1));
  return out;
}

Batch at(double x, double y) { return {{roles::direct_conditions, Array({1, 2}, std::vector<double>{x, y})}}; }

TEST(LocalCalibration, FindsAPosteriorThatIsWrongInOneRegionWhichTheVerdictPasses) {
  const AmortizedPosterior wrong = posterior(0.5);
  const Batch fresh = simulations(500, 2);
  Batch data = fresh;
  data.set(roles::parameters, {});
  const diagnostics::Verdict everywhere = diagnostics::verdict(wrong.sample(data, 100, {.seed = 1}), fresh.array(roles::parameters));
  EXPECT_TRUE(everywhere.calibrated) << everywhere.sentence;

  const Batch many = simulations(20000, 3);
  const LocalCalibration there = local_calibration(wrong, at(1.5, 1.5), many, {.param_names = {"a", "b"}});
  EXPECT_LE(there.p_value, 1e-4);
  EXPECT_FALSE(there.verdict.calibrated);
  EXPECT_TRUE(there.verdict.has(diagnostics::Fault::overconfident)) << there.verdict.sentence;
  EXPECT_EQ(there.near.size(), 200U);
  EXPECT_EQ(there.ranks.shape(), (Shape{200, 2}));
  EXPECT_EQ(there.share, 0.01);
  EXPECT_EQ(there.num_simulations, 20000);
  EXPECT_EQ(there.p_values.size(), 2U);

  const LocalCalibration elsewhere = local_calibration(wrong, at(-1, 0), many);
  EXPECT_GE(elsewhere.p_value, 0.01);
  EXPECT_TRUE(elsewhere.verdict.calibrated) << elsewhere.verdict.sentence;
  EXPECT_GE(local_calibration(posterior(1), at(1.5, 1.5), many).p_value, 0.01);  // the exact one
}

// The smallest of two p-values times two: at most 5 % of exact posteriors are found at fault at the 5 % level, and not many less. Of 400,
// more than 33 or fewer than 7 have probability 0.002.
TEST(LocalCalibration, ExactPosteriorsPassAtTheStatedRate) {
  const AmortizedPosterior exact = posterior(1);
  int rejected = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    Rng rng(i, "observed");
    const Batch observed = at(rng.normal(0, 1.1), rng.normal(0, 1.1));
    rejected += local_calibration(exact, observed, simulations(250, 100 + i), {.num_near = 50, .n_samples = 99, .seed = i}).p_value <= 0.05;
  }
  RecordProperty("rejected", rejected);
  EXPECT_LE(rejected, 33);
  EXPECT_GE(rejected, 7);
}

TEST(LocalCalibration, Errors) {
  const AmortizedPosterior exact = posterior(1);
  const Batch some = simulations(1000, 4);
  const auto message = [](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message([&] { (void)local_calibration(exact, at(0, 0), some.rows(0, 999)); }),
            "local_calibration: 999 simulations are too few to pick the nearest 200 of them; give at least 1000, or pick fewer");
  EXPECT_EQ(message([&] { (void)local_calibration(exact, some, some); }), "local_calibration: it looks at one observed data set; got 1000");
  EXPECT_EQ(message([&] { (void)local_calibration(exact, at(0, 0), some.only({roles::direct_conditions})); }),
            "local_calibration: simulations need parameters of shape (simulations, 2); got none");
  EXPECT_EQ(message([&] { (void)local_calibration(exact, at(0, 0), some, {.num_near = 19}); }),
            "LocalCalibrationOptions: num_near is 19; it must be at least 20");
}

}  // namespace
}  // namespace bayesflow
