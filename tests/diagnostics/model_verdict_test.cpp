/// Verdicts on posterior model probabilities: exact ones pass, known-wrong ones are named.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/diagnostics/model_comparison.hpp"
#include "support/expect.hpp"

namespace bayesflow::diagnostics {
namespace {

/// Rows softmax(scale z), z standard normal.
Array some_logits(Rng& rng, std::int64_t n, std::int64_t models) { return rng.normal({n, models}) * 1.5; }
Array softmax(const Array& logits) {
  Array out = logits;
  for (std::int64_t i = 0; i < out.dim(0); ++i) {
    double sum = 0;
    for (std::int64_t m = 0; m < out.dim(1); ++m) sum += out(i, m) = std::exp(out(i, m));
    for (std::int64_t m = 0; m < out.dim(1); ++m) out(i, m) /= sum;
  }
  return out;
}
/// True models that have these probabilities.
Array drawn(Rng& rng, const Array& probabilities) {
  Array out({probabilities.dim(0)});
  for (std::int64_t i = 0; i < out.size(); ++i) {
    double u = rng.uniform();
    std::int64_t m = 0;
    while (m + 1 < probabilities.dim(1) && (u -= probabilities(i, m)) > 0) ++m;
    out[i] = static_cast<double>(m);
  }
  return out;
}

TEST(ModelVerdict, ExactProbabilitiesPass) {
  int faults = 0, covered = 0;
  constexpr int kRuns = 400;
  for (int run = 0; run < kRuns; ++run) {
    Rng rng(static_cast<std::uint64_t>(run), "exact");
    const Array p = softmax(some_logits(rng, 300, 3));
    const ModelVerdict v = model_verdict(drawn(rng, p), p);
    faults += v.calibrated ? 0 : 1;
    covered += std::fabs(v.slope.value - 1) < 2 * v.slope.standard_error ? 1 : 0;
    EXPECT_TRUE(v.learnt);
    double sum = 0;
    for (const Estimate& e : v.offsets) sum += e.value;
    EXPECT_NEAR(sum, 0, 1e-9);
  }
  EXPECT_NEAR(faults, 0.05 * kRuns, 4 * std::sqrt(0.05 * 0.95 * kRuns));
  EXPECT_NEAR(covered, 0.954 * kRuns, 4 * std::sqrt(0.954 * 0.046 * kRuns));
}

TEST(ModelVerdict, NamesWhatIsWrong) {
  Rng rng(1, "wrong");
  const Array logits = some_logits(rng, 1000, 3), p = softmax(logits), truths = drawn(rng, p);
  const auto expect = [&](const Array& wrong, const std::string& text) {
    const ModelVerdict v = model_verdict(truths, wrong);
    EXPECT_FALSE(v.calibrated) << text;
    EXPECT_NE(v.sentence.find(text), std::string::npos) << v.sentence;
    return v;
  };
  const ModelVerdict sure = expect(softmax(logits * 2.0), "overconfident: log odds should be 0.");
  EXPECT_NEAR(sure.slope.value, 0.5, 3 * sure.slope.standard_error);
  // What it costs is what the exact probabilities score more, but for the fit.
  EXPECT_NEAR(sure.nats, model_verdict(truths, p).score.value - sure.score.value, 0.01);
  (void)expect(softmax(logits * 0.5), "not confident enough: log odds should be ");
  Array tilted = logits;
  for (std::int64_t i = 0; i < 1000; ++i) tilted(i, 2) -= 1;
  const ModelVerdict v = expect(softmax(tilted), "M_3 is given too little, by 0.");
  EXPECT_NEAR(v.offsets[2].value, 2.0 / 3, 4 * v.offsets[2].standard_error);
  (void)expect(softmax(logits * -1.0), "probabilities point the wrong way: are the models' labels swapped?");
}

TEST(ModelVerdict, SharesAloneAreCalibratedAndSayNothing) {
  Rng rng(2, "shares");
  Array p({600, 2}, 0.3);
  for (std::int64_t i = 0; i < 600; ++i) p(i, 1) = 0.7;
  const ModelVerdict v = model_verdict(drawn(rng, p), p);
  EXPECT_TRUE(v.calibrated);
  EXPECT_FALSE(v.learnt);
  EXPECT_NE(v.sentence.find("no more than the models' shares do"), std::string::npos) << v.sentence;
}

TEST(ModelVerdict, TakesModelsThatNeverOccurAndCertainProbabilities) {
  Array p({100, 3}, 0.0), truths({100});
  for (std::int64_t i = 0; i < 100; ++i) p(i, i % 2) = 1, truths[i] = static_cast<double>(i % 2);
  const ModelVerdict v = model_verdict(truths, p);
  EXPECT_TRUE(v.calibrated) << v.sentence;
  EXPECT_TRUE(v.learnt);
  truths[0] = 1;  // certain, and wrong
  EXPECT_FALSE(model_verdict(truths, p).calibrated);
  Array never({200, 3}, 1.0 / 3), two({200});
  for (std::int64_t i = 0; i < 200; ++i) two[i] = static_cast<double>(i % 2);
  EXPECT_FALSE(model_verdict(two, never).calibrated);
}

TEST(ModelVerdict, SaysWhatDoesNotFit) {
  EXPECT_EQ(sentence<ArgumentError>([] {
              (void)model_verdict(Array({15}, 0.0), Array({15, 2}, 0.5));
            }),
            "model_verdict: needs at least 2 models and 10 data sets for each; got 2 models and 15 data sets");
  EXPECT_EQ(sentence<ConfigurationError>([] {
              (void)model_verdict(Array({20}, 0.0), Array({20, 2}, 0.5), {.error_rate = 1});
            }),
            "ModelVerdictOptions: error_rate is 1; it must be above 0 and below 1");
}

}  // namespace
}  // namespace bayesflow::diagnostics
