/// The verdict and the joint test: levels, power, names of faults, bad input.
#include "bayesflow/diagnostics/verdict.hpp"

#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/joint_test.hpp"
#include "diagnostics/support_posterior.hpp"
#include "support/sanitized.hpp"

namespace bayesflow::diagnostics {
namespace {

Verdict judge(const Posterior& p, const VerdictOptions& options = {}) { return verdict(p.draws, p.truths, options); }

TEST(Verdict, ExactPosteriorPasses) {
  const Verdict v = judge(quickstart_posterior(500, 200));
  EXPECT_TRUE(v.calibrated) << v.sentence;
  EXPECT_EQ(v.num_data_sets, 500);
  EXPECT_EQ(v.sentence.rfind("calibrated within Monte-Carlo error at 500 data sets", 0), 0u) << v.sentence;
  for (const ParameterVerdict& p : v.parameters) {
    EXPECT_FALSE(p.at_fault);
    EXPECT_NEAR(p.shift.value, 0, 4 * p.shift.standard_error);
    EXPECT_NEAR(p.width_ratio.value, 1, 4 * p.width_ratio.standard_error);
    EXPECT_GT(p.learnt.value, 0.9);
  }
}

/// At most 5 % of exact posteriors are found at fault: of 300, at most 27 but for one case in 1,000.
TEST(Verdict, KeepsItsFamilyWiseError) {
  for (const std::int64_t parameters : support::cases({1, 12})) {
    int flagged = 0;
    for (std::uint64_t seed = 0; seed < 300; ++seed)
      flagged += !judge(quickstart_posterior(100, 30, parameters, seed), {.threads = 1}).calibrated;
    EXPECT_LE(flagged, 27) << parameters << " parameters";
    EXPECT_GE(flagged, 1) << parameters << " parameters: a test that never rejects is no test";
  }
}

struct FaultCase {
  const char* name;
  std::function<void(double*)> distort;
  Fault kind;
  std::int64_t parameter, other;
  double effect;
};
void PrintTo(const FaultCase& c, std::ostream* out) { *out << c.name; }
class KnownFaults : public testing::TestWithParam<FaultCase> {};
TEST_P(KnownFaults, AreNamed) {
  const FaultCase& c = GetParam();
  const Verdict v = judge(quickstart_posterior(500, 200, 4, 3, c.distort));
  EXPECT_FALSE(v.calibrated);
  bool found = false;
  for (const Finding& f : v.findings) {
    EXPECT_LE(f.p_value, 0.05);
    if (f.kind != c.kind || f.parameter != c.parameter || f.other != c.other) continue;
    found = true;
    EXPECT_NEAR(f.effect.value, c.effect, 4 * f.effect.standard_error) << f.sentence;
  }
  EXPECT_TRUE(found) << v.sentence;
  EXPECT_TRUE(v.has(c.kind, c.parameter));
  EXPECT_TRUE(v.parameters[static_cast<std::size_t>(c.parameter)].at_fault);
  EXPECT_EQ(v.sentence.rfind("not to be trusted: ", 0), 0u);
}
INSTANTIATE_TEST_SUITE_P(Cases, KnownFaults,
                         testing::Values(FaultCase{"shifted", [](double* z) { z[1] += 0.3; }, Fault::shifted, 1, -1, -0.3},
                                         FaultCase{"narrow", [](double* z) { z[0] *= 0.8; }, Fault::overconfident, 0, -1, 0.8},
                                         FaultCase{"wide", [](double* z) { z[3] *= 1.3; }, Fault::underconfident, 3, -1, 1.3},
                                         FaultCase{"dependence", [](double* z) { z[2] = 0.5 * z[0] + std::sqrt(0.75) * z[2]; },
                                                   Fault::wrong_dependence, 0, 2, 0.5}),
                         [](const auto& p) { return std::string(p.param.name); });

TEST(Verdict, HeavyTails) {
  Rng rng(4);
  const Verdict v = judge(quickstart_posterior(500, 200, 4, 3, [&](double* z) { z[1] = rng.student_t(3) / std::sqrt(3.0); }));
  EXPECT_TRUE(v.has(Fault::wrong_tails, 1)) << v.sentence;
  EXPECT_FALSE(v.has(Fault::wrong_tails, 0));
  EXPECT_LT(v.parameters[1].tail_excess.value, 0);
  EXPECT_NE(v.sentence.find("theta_2 has wrong tails: its posterior's tails are too heavy for its width"), std::string::npos) << v.sentence;
}

TEST(Verdict, SpeaksOfDrawsThatLieFarOff) {
  const Verdict exact = judge(quickstart_posterior(500, 200, 2, 3));
  EXPECT_EQ(exact.parameters[0].far_draws, 0);
  EXPECT_EQ(exact.sentence.find("off the median"), std::string::npos);
  // One draw of 300 tens of standard deviations away, as coupling flows of splines alone can make: ranks cannot tell, and say so.
  Rng rng(4);
  const Verdict v = judge(quickstart_posterior(500, 200, 2, 3, [&](double* z) { z[1] *= rng.uniform(0, 1) < 1.0 / 300 ? 60 : 1; }));
  EXPECT_TRUE(v.calibrated) << v.sentence;
  EXPECT_NEAR(v.parameters[1].far_draws, 1.0 / 300, 1e-3);
  EXPECT_EQ(v.parameters[0].far_draws, 0);
  EXPECT_NE(v.sentence.find("; some draws lie more than 10 posterior standard deviations (by their quartiles) off the median, one in "),
            std::string::npos)
      << v.sentence;
  EXPECT_NE(v.sentence.find(" of theta_2: unless the posterior has tails as heavy, the network draws them wrongly"), std::string::npos);
}

TEST(Verdict, SkewedTheWrongWay) {
  Rng rng(4);
  // Draws skewed to the right (a centred exponential); the exact posterior is symmetric.
  const Verdict v = judge(quickstart_posterior(500, 200, 2, 3, [&](double* z) { z[0] = rng.exponential() - 1; }));
  ASSERT_TRUE(v.has(Fault::wrong_tails, 0)) << v.sentence;
  EXPECT_NE(v.sentence.find("skewed too little to the left"), std::string::npos) << v.sentence;
}

TEST(Verdict, PriorInsteadOfPosterior) {
  Posterior p = quickstart_posterior(200, 200);
  p.draws = Rng(8).normal({200, 200, 4});
  const Verdict v = judge(p);
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_TRUE(v.has(Fault::nothing_learnt, i)) << v.sentence;
  EXPECT_NE(v.sentence.find("nothing was learnt about theta_1"), std::string::npos);
  // Where parameters may be unidentified this is no fault: the prior is calibrated.
  EXPECT_TRUE(judge(p, {.expect_contraction = false}).calibrated);
}

TEST(Verdict, DataIgnoredInOneDimension) {
  Posterior p = quickstart_posterior(100, 200);
  Rng rng(9);
  for (std::int64_t b = 0; b < 100; ++b)
    for (std::int64_t s = 0; s < 200; ++s) p.draws(b, s, 2) = rng.normal();
  const Verdict v = judge(p);
  EXPECT_TRUE(v.has(Fault::nothing_learnt, 2));
  EXPECT_EQ(v.findings.size(), 1u) << v.sentence;
}

TEST(Verdict, AWidthThatFollowsTheDataIsLearning) {
  // |theta| is known from the data, its sign is not: the posterior's mean never moves.
  Rng rng(10);
  Posterior p{Array({200, 100, 1}), Array({200, 1})};
  for (std::int64_t b = 0; b < 200; ++b) {
    const double size = std::fabs(rng.normal());
    p.truths(b, 0) = rng.bernoulli(0.5) ? size : -size;
    for (std::int64_t s = 0; s < 100; ++s) p.draws(b, s, 0) = rng.bernoulli(0.5) ? size : -size;
  }
  EXPECT_FALSE(judge(p).has(Fault::nothing_learnt)) << judge(p).sentence;
}

TEST(Verdict, DependenceWithoutCorrelation) {
  // Draws of equal size and random signs: normal marginals, no correlations, and yet far from independent.
  Rng rng(6);
  const Verdict v = judge(quickstart_posterior(500, 100, 3, 5, [&](double* z) {
    for (int p = 1; p < 3; ++p) z[p] = rng.bernoulli(0.5) ? z[0] : -z[0];
  }));
  EXPECT_FALSE(v.calibrated);
  EXPECT_FALSE(v.has(Fault::shifted) || v.has(Fault::wrong_tails) || v.has(Fault::nothing_learnt)) << v.sentence;
}

TEST(Verdict, CorrelatedExactPosteriorPasses) {
  // Truth and draws from the same strongly correlated posterior: a right dependence is no fault.
  Rng rng(12);
  Posterior p{Array({500, 100, 2}), Array({500, 2})};
  const auto draw = [&](double centre, double* to, std::int64_t stride) {
    const double a = rng.normal(), b = 0.95 * a + std::sqrt(1 - 0.95 * 0.95) * rng.normal();
    to[0] = centre + a;
    to[stride] = centre + b;
  };
  for (std::int64_t b = 0; b < 500; ++b) {
    const double centre = 3 * rng.normal();
    draw(centre, p.truths.data() + 2 * b, 1);
    for (std::int64_t s = 0; s < 100; ++s) draw(centre, p.draws.data() + (b * 100 + s) * 2, 1);
  }
  EXPECT_TRUE(judge(p).calibrated) << judge(p).sentence;
  // The same with independent draws is not.
  for (std::int64_t b = 0; b < 500; ++b)
    for (std::int64_t s = 99; s > 0; --s) std::swap(p.draws(b, s, 1), p.draws(b, rng.integers(0, s + 1), 1));
  const Verdict v = judge(p);
  EXPECT_TRUE(v.has(Fault::wrong_dependence, 0)) << v.sentence;
  EXPECT_NE(v.sentence.find("the correlation of their draws is too low by 0.9"), std::string::npos) << v.sentence;
}

/// Truths N(0, 1) and draws N(shift, width^2) that do not depend on them.
Verdict of_draws(double shift, double width, std::int64_t num_draws = 1000) {
  Posterior p{Rng(1).normal({200, num_draws, 1}, shift, width), Rng(2).normal({200, 1})};
  return judge(p, {.expect_contraction = false});
}

TEST(Verdict, PosteriorsFarOff) {
  for (const double shift : {-100.0, 4.0, 10.0}) {
    const Verdict far = of_draws(shift, 1);
    ASSERT_EQ(far.findings.size(), 1U) << far.sentence;
    EXPECT_EQ(far.findings[0].kind, Fault::shifted);
    EXPECT_NEAR(far.findings[0].effect.value, -shift, 0.4) << far.sentence;
    if (shift < -50)
      EXPECT_TRUE(std::isnan(far.parameters[0].width_ratio.value));  // errors of the draws' sd hide it
    else
      EXPECT_NEAR(far.parameters[0].width_ratio.value, 1, 3 * far.parameters[0].width_ratio.standard_error);
  }
  for (const double width : {1e-6, 0.01, 0.1}) {
    const Verdict narrow = of_draws(0, width);
    ASSERT_EQ(narrow.findings.size(), 1U) << narrow.sentence;
    EXPECT_EQ(narrow.findings[0].kind, Fault::overconfident);
    EXPECT_NEAR(narrow.findings[0].effect.value / width, 1, 0.3) << narrow.sentence;
  }
  for (const double width : {100.0, 1000.0}) {
    const Verdict wide = of_draws(0, width);
    ASSERT_TRUE(wide.has(Fault::underconfident, 0)) << wide.sentence;
    EXPECT_FALSE(wide.has(Fault::shifted));
    EXPECT_NE(wide.sentence.find("its posterior is at least "), std::string::npos) << wide.sentence;
    EXPECT_LE(wide.findings[0].effect.value - 2 * wide.findings[0].effect.standard_error, width);
  }
  EXPECT_NE(of_draws(0, 3).sentence.find("its posterior is 3."), std::string::npos) << of_draws(0, 3).sentence;
  // Too narrow and shifted.
  const Verdict both = of_draws(1, 0.1);
  EXPECT_TRUE(both.has(Fault::shifted, 0) && both.has(Fault::overconfident, 0)) << both.sentence;
}

TEST(Verdict, SmallEffectsAreShownWithTheirDigits) {
  // A correlation of 0.9999 where 0.9998 is right: the difference of the parameters is too narrow.
  Rng rng(31);
  Posterior p{Array({500, 200, 2}), Array({500, 2})};
  const auto draw = [&](double* to, double across) {
    const double a = rng.normal(), e = across * rng.normal();
    to[0] = a + e;
    to[1] = a - e;
  };
  for (std::int64_t b = 0; b < 500; ++b) {
    draw(p.truths.data() + 2 * b, 0.01);
    for (std::int64_t s = 0; s < 200; ++s) draw(p.draws.data() + (b * 200 + s) * 2, 0.007);
  }
  const Verdict v = judge(p, {.expect_contraction = false});
  ASSERT_TRUE(v.has(Fault::wrong_dependence)) << v.sentence;
  EXPECT_EQ(v.sentence.find("0.00 +- 0.00"), std::string::npos) << v.sentence;
  EXPECT_NE(v.sentence.find("the correlation of their draws is too high by 0.0001"), std::string::npos) << v.sentence;
  EXPECT_NE(v.sentence.find("their difference is 0.7"), std::string::npos) << v.sentence;
}

TEST(Verdict, TooLittleEvidence) {
  const Verdict few = judge(quickstart_posterior(20, 200));
  EXPECT_FALSE(few.calibrated);
  ASSERT_TRUE(few.has(Fault::too_little_evidence));
  EXPECT_EQ(few.sentence.rfind("too little evidence: with 20 data sets and 200 draws only a shift of", 0), 0u) << few.sentence;
  EXPECT_NE(few.sentence.find("use more data sets"), std::string::npos);
  EXPECT_NE(judge(quickstart_posterior(200, 1)).sentence.find("use more draws"), std::string::npos);
  EXPECT_TRUE(judge(quickstart_posterior(1, 50)).has(Fault::too_little_evidence));
  EXPECT_TRUE(judge(quickstart_posterior(1, 1, 1)).has(Fault::too_little_evidence));
}

TEST(Verdict, NonFiniteDrawsAreAFinding) {
  Posterior p = quickstart_posterior(200, 50);
  p.draws(7, 3, 1) = NAN;
  p.draws(9, 0, 1) = INFINITY;
  const Verdict v = judge(p, {.param_names = {"a", "b", "c", "d"}});
  EXPECT_FALSE(v.calibrated);
  ASSERT_EQ(v.findings.size(), 1u) << v.sentence;
  EXPECT_EQ(v.findings[0].kind, Fault::non_finite);
  EXPECT_EQ(v.findings[0].sentence, "2 of 10000 draws of b are not finite; 2 of 200 data sets are left out of all tests");
  EXPECT_EQ(v.num_data_sets, 198);
  // It does not hide what else is wrong.
  Posterior dependent = quickstart_posterior(300, 50, 2, 1, [](double* z) { z[1] = 0.8 * z[0] + 0.6 * z[1]; });
  dependent.draws(0, 0, 0) = NAN;
  EXPECT_TRUE(judge(dependent).has(Fault::wrong_dependence)) << judge(dependent).sentence;
  // Nothing left at all.
  for (double& x : p.draws.values()) x = NAN;
  const Verdict none = judge(p);
  EXPECT_TRUE(none.has(Fault::non_finite, 3));
  EXPECT_TRUE(none.has(Fault::too_little_evidence));
  EXPECT_EQ(none.num_data_sets, 0);
  p.truths(1, 1) = NAN;
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)judge(p); }),
            "verdict: truths must be finite; 1 of 800 numbers are not, the first is nan at data set 1, parameter 1 (counted from 0). "
            "Drop these or mend their source");
}

TEST(Verdict, ConstantParameters) {
  // Known for certain, and drawn so: nothing to find fault with, and nothing to learn.
  Posterior p = quickstart_posterior(200, 50, 2);
  for (std::int64_t b = 0; b < 200; ++b) {
    p.truths(b, 1) = 3;
    for (std::int64_t s = 0; s < 50; ++s) p.draws(b, s, 1) = 3;
  }
  EXPECT_TRUE(judge(p).calibrated) << judge(p).sentence;
  // Draws that do not vary although the truth does.
  for (std::int64_t b = 0; b < 200; ++b) p.truths(b, 1) = Rng(1).at(static_cast<std::uint64_t>(b)).normal();
  EXPECT_TRUE(judge(p).has(Fault::overconfident, 1)) << judge(p).sentence;
}

TEST(Verdict, SameForAnyNumberOfThreads) {
  const Posterior p = quickstart_posterior(100, 50, 5, 7, [](double* z) { z[0] *= 0.7; });
  const std::vector<Table> one = judge(p, {.threads = 1}).tables(), three = judge(p, {.threads = 3}).tables();
  EXPECT_EQ(to_json(one), to_json(three));
}

TEST(Verdict, BadInput) {
  const Posterior p = quickstart_posterior(10, 5);
  EXPECT_EQ(sentence<ShapeError>([&] { (void)verdict(p.draws, p.truths.slice(0, 9)); }),
            "verdict: draws (10, 5, 4) are of 10 data sets, truths (9, 4) of 9; give one truth per data set");
  EXPECT_EQ(sentence<ShapeError>([&] { (void)verdict(p.draws, p.truths.columns(0, 3)); }),
            "verdict: draws (10, 5, 4) have 4 parameters, truths (10, 3) have 3; give the same parameters in the same order");
  EXPECT_EQ(sentence<ShapeError>([&] { (void)verdict(p.draws.row(0), p.truths); }),
            "verdict: draws must have shape (data sets, draws, parameters), without empty axes; got (5, 4)");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)judge(p, {.param_names = {"a"}}); }),
            "verdict: got 1 names for 4 columns; give one name each, or none");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)judge(p, {.family_wise_error = 1.5}); }),
            "VerdictOptions: family_wise_error is 1.5; it must be above 0 and below 1");
}

/// 5 % of 400 exact posteriors fail: 20, at most 36 but for one case in 10,000.
TEST(JointTest, KeepsItsLevel) {
  int failed = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Posterior p = quickstart_posterior(60, 30, 3, seed);
    failed += !joint_test(p.draws, p.truths, {.seed = seed, .threads = 1}).passed;
  }
  EXPECT_LE(failed, 36);
  EXPECT_GE(failed, 2);
}

TEST(JointTest, FindsAWrongCorrelation) {
  const Posterior p = quickstart_posterior(300, 100, 2, 1, [](double* z) { z[1] = 0.7 * z[0] + std::sqrt(0.51) * z[1]; });
  const JointTest t = joint_test(p.draws, p.truths);
  EXPECT_FALSE(t.passed);
  EXPECT_EQ(t.quantities.size(), 11u);
  EXPECT_EQ(t.ranks.shape(), (Shape{300, 11}));
}

TEST(JointTest, UsesTheLogPosterior) {
  // Exact draws, but wrong densities would show; right ones pass.
  const Posterior p = quickstart_posterior(200, 50, 2);
  Array at_draws({200, 50}), at_truths({200});
  for (std::int64_t b = 0; b < 200; ++b) {
    const Array centre = p.draws.row(b).mean(0);
    const auto density = [&](const double* x) { return -0.5 * 51 * (std::pow(x[0] - centre(0), 2) + std::pow(x[1] - centre(1), 2)); };
    for (std::int64_t s = 0; s < 50; ++s) at_draws(b, s) = density(p.draws.data() + (b * 50 + s) * 2);
    at_truths(b) = density(p.truths.data() + b * 2);
  }
  const JointTest t = joint_test(p.draws, p.truths, {.log_posterior_draws = at_draws, .log_posterior_truths = at_truths});
  EXPECT_EQ(t.quantities[0], "log posterior");
  EXPECT_TRUE(t.passed);
  const JointTest wrong = joint_test(p.draws, p.truths, {.log_posterior_draws = at_draws, .log_posterior_truths = at_truths - 2.0});
  EXPECT_LT(wrong.adjusted_p_value[0], 1e-6);
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)joint_test(p.draws, p.truths, {.log_posterior_truths = at_truths}); }),
            "JointTestOptions: log_posterior_draws and log_posterior_truths belong together; give both or neither");
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)joint_test(p.draws, p.truths, {.log_posterior_draws = at_draws.slice(0, 9), .log_posterior_truths = at_truths});
            }),
            "joint_test: log_posterior_draws must have shape (200, 50) and log_posterior_truths (200); got (9, 50) and (200,)");
}

}  // namespace
}  // namespace bayesflow::diagnostics
