/// The posteriors that a report must see through: exact and known-wrong ones of the quickstart's model, at 500 data sets x 1,000 draws.
#include <cmath>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/report/report.hpp"
#include "diagnostics/support_posterior.hpp"
#include "figures/support_text.hpp"
#include "report/html.hpp"

namespace bayesflow {
namespace {

using diagnostics::Fault, diagnostics::Posterior, diagnostics::quickstart_posterior;

constexpr std::int64_t kDataSets = 500, kDraws = 1000, kParameters = 4;
/// The ratio of the quartiles of a standard normal to those of Student's t with 3 degrees of freedom.
constexpr double kRightQuartiles = 0.67449 / 0.76489;

using Distort = std::function<void(double*)>;

Posterior distorted(const Distort& distort) { return quickstart_posterior(kDataSets, kDraws, kParameters, 21, distort); }

/// Draws of the prior for one parameter, or for all (-1).
Posterior without_data(std::int64_t parameter) {
  Posterior p = distorted({});
  Rng rng(22);
  for (std::int64_t b = 0; b < kDataSets; ++b)
    for (std::int64_t s = 0; s < kDraws; ++s)
      for (std::int64_t i = 0; i < kParameters; ++i)
        if (parameter < 0 || i == parameter) p.draws(b, s, i) = rng.normal();
  return p;
}

Posterior heavy_tails(std::int64_t num_draws, std::uint64_t seed) {
  Rng rng(seed, "tails");
  return quickstart_posterior(kDataSets, num_draws, kParameters, seed, [&](double* z) {
    for (std::int64_t p = 0; p < kParameters; ++p) z[p] = rng.student_t(3) * kRightQuartiles;
  });
}

Distort every(double shift, double width) {
  return [=](double* z) {
    for (std::int64_t p = 0; p < kParameters; ++p) z[p] = z[p] * width + shift;
  };
}

struct Case {
  const char* name;
  std::function<Posterior()> make;
  Fault kind;
  std::vector<std::int64_t> parameters;  // those at fault, all by this kind
  const char* words;                     // of the finding
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class KnownWrongSlow : public testing::TestWithParam<Case> {};
TEST_P(KnownWrongSlow, IsNamedByVerdictAndPage) {
  const Case& c = GetParam();
  const auto path = std::filesystem::temp_directory_path() / (std::string("bayesflow_known_wrong_") + c.name + ".html");
  const Posterior p = c.make();
  const Report r = report(p.draws, p.truths, path);
  const std::string page = test::read(path);
  std::filesystem::remove(path);
  EXPECT_FALSE(r.verdict.calibrated);
  for (const std::int64_t i : c.parameters) EXPECT_TRUE(r.verdict.has(c.kind, i)) << "parameter " << i << ": " << r.verdict.sentence;
  EXPECT_NE(page.find("✗ Not to be trusted"), std::string::npos);
  // The page's own list of what is wrong, before its contents.
  const std::string box =
      page.substr(page.find("<section class=\"verdict bad\""), page.find("<nav") - page.find("<section class=\"verdict bad\""));
  EXPECT_NE(box.find(c.words), std::string::npos) << box;
  for (const diagnostics::Finding& f : r.verdict.findings) {
    const std::string sentence = report_page::sentence_html(f.sentence, {"theta_1", "theta_2", "theta_3", "theta_4"});
    EXPECT_NE(box.find("<li>" + sentence + "</li>"), std::string::npos) << f.sentence;
  }
}
INSTANTIATE_TEST_SUITE_P(
    Cases, KnownWrongSlow,
    testing::Values(Case{"shifted", [] { return distorted(every(0.3, 1)); }, Fault::shifted, {0, 1, 2, 3}, "is shifted"},
                    Case{"narrow", [] { return distorted(every(0, 0.8)); }, Fault::overconfident, {0, 1, 2, 3}, "is overconfident"},
                    Case{"wide", [] { return distorted(every(0, 1.2)); }, Fault::underconfident, {0, 1, 2, 3}, "is underconfident"},
                    Case{"correlation",
                         [] { return distorted([](double* z) { z[1] = 0.5 * z[0] + std::sqrt(0.75) * z[1]; }); },
                         Fault::wrong_dependence,
                         {0, 1},
                         "depend on each other in a wrong way"},
                    Case{"prior", [] { return without_data(-1); }, Fault::nothing_learnt, {0, 1, 2, 3}, "nothing was learnt"},
                    Case{"ignored", [] { return without_data(3); }, Fault::nothing_learnt, {3}, "nothing was learnt"},
                    Case{"tails", [] { return heavy_tails(kDraws, 23); }, Fault::wrong_tails, {}, "has wrong tails"}),
    [](const auto& p) { return std::string(p.param.name); });

TEST(KnownRightSlow, PassesInVerdictAndPage) {
  const auto path = std::filesystem::temp_directory_path() / "bayesflow_known_right.html";
  const Posterior p = distorted({});
  const Report r = report(p.draws, p.truths, path);
  const std::string page = test::read(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(r.verdict.calibrated) << r.verdict.sentence;
  EXPECT_NE(page.find("<section class=\"verdict good\" aria-label=\"Verdict\"><strong>✓ No fault found</strong>"), std::string::npos);
}

/// The quickstart's networks after so many steps, with a learning rate that ends where they do: every loss curve levels out.
Report after(std::int64_t steps, std::string* page) {
  constexpr std::int64_t kObservations = 50;
  const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({kParameters}); }), Simulator([](const Array& theta, Rng& rng) {
                                return rng.normal({kObservations, kParameters}, theta);
                              }));
  Trainer trainer(
      AmortizedPosterior(InvertibleNetwork({.num_params = kParameters, .num_coupling_layers = 4, .coupling = unregularized_affine()}),
                         DeepSet({.summary_dim = 10})),
      model);
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = steps, .batch_size = 32});
  const auto path = std::filesystem::temp_directory_path() / ("bayesflow_stopped_" + std::to_string(steps) + ".html");
  Report r = report(trainer, path);
  *page = test::read(path);
  std::filesystem::remove(path);
  return r;
}

TEST(StoppedTrainingSlow, IsCalledWhatItIs) {
  std::string page;
  const Report early = after(500, &page);
  EXPECT_EQ(early.verdict.severity, diagnostics::Severity::overwhelming) << early.verdict.sentence;
  EXPECT_TRUE(early.verdict.has(Fault::data_unused)) << early.verdict.sentence;
  EXPECT_NE(page.find("✗ Not to be trusted: much of what the data say is lost"), std::string::npos);
  EXPECT_EQ(page.find("has converged"), std::string::npos);
  EXPECT_EQ(after(1000, &page).verdict.severity, diagnostics::Severity::serious);
  EXPECT_NE(page.find("✗ Not to be trusted as it is"), std::string::npos);
  const Report full = after(3000, &page);
  EXPECT_LE(full.verdict.severity, diagnostics::Severity::harmless) << full.verdict.sentence;
}

/// Of heavy tails with the right quartiles, 99 % are called so at 500 data sets (docs/diagnostics/verdict.md); of 40, one may be missed.
TEST(HeavyTailsSlow, AreNamedInNearlyEveryRun) {
  constexpr int kRuns = 40;
  int named = 0;
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    const Posterior p = heavy_tails(200, 1000 + seed);
    named += diagnostics::verdict(p.draws, p.truths, {.seed = seed}).has(Fault::wrong_tails);
  }
  EXPECT_GE(named, kRuns - 1);
}

}  // namespace
}  // namespace bayesflow
