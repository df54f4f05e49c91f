/// Pages of likelihoods and of two-level posteriors.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/two_level_posterior.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/report/report.hpp"
#include "bayesflow/simulation/two_level_model.hpp"
#include "figures/support_text.hpp"
#include "io/support_files.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

using test::count, test::read;

bool has_table(const Report& r, const std::string& name) {
  return std::ranges::any_of(r.tables, [&](const diagnostics::Table& t) { return t.name == name; });
}

InvertibleNetwork flow(std::int64_t width) {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 32;
  return InvertibleNetwork({.num_params = width, .num_coupling_layers = 2, .coupling = coupling});
}

/// Observations N(theta, 1), several for each theta; `wrong`: the surrogate is trained on those of half the width.
Report of_likelihood(const TemporaryFolder& folder, bool wrong) {
  const auto model = [](double sd) {
    return GenerativeModel(Prior([](Rng& rng) { return rng.normal({1}); }), Simulator([sd](const Array& theta, Rng& rng) {
                             return rng.normal({3, 1}, theta[0], sd);
                           }));
  };
  AmortizedLikelihood amortizer(flow(1));
  {
    Trainer trainer(amortizer, model(wrong ? 0.5 : 1.0), {.seed = 1, .threads = 2});
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 1500, .batch_size = 64});
  }
  Trainer judge(amortizer, model(1), {.seed = 1, .threads = 2});
  return report(judge, folder / "report.html", {.num_data_sets = 400, .num_draws = 200});
}

TEST(LikelihoodReportSlow, SaysWhetherObservationsAreDistributedSo) {
  if (support::kSanitized) GTEST_SKIP() << "trainings whose results are judged";
  const TemporaryFolder folder;
  const Report right = of_likelihood(folder, false);
  EXPECT_LE(right.verdict.severity, diagnostics::Severity::harmless) << right.verdict.sentence;
  const std::string page = read(right.path);
  for (const char* text : {"Can this likelihood be trusted?", "What is judged is a learned <b>likelihood</b>", "Inference network"})
    EXPECT_NE(page.find(text), std::string::npos) << text;
  EXPECT_EQ(count(page, "Not computed"), 0);
  EXPECT_EQ(right.verdict.parameters[0].name, "x_1");
  EXPECT_TRUE(right.verdict.conditional.has_value());
  for (const char* table : {"latent_normality", "log_score", "sbc_ecdf"}) EXPECT_TRUE(has_table(right, table)) << table;
  const Report wrong = of_likelihood(folder, true);
  EXPECT_TRUE(wrong.verdict.has(diagnostics::Fault::overconfident)) << wrong.verdict.sentence;
}

Report of_two_levels(const TemporaryFolder& folder, std::int64_t steps) {
  const TwoLevelPrior prior([](Rng& rng) { return rng.normal({1}); },
                            [](const Array& mu, const Context&, Rng& rng) {
                              return rng.normal({rng.integers(2, 5), 1}, mu[0], 0.7);
                            });
  const TwoLevelSimulator simulate = [](const Array& theta, const Array&, const Context&, Rng& rng) {
    Array x({theta.dim(0), 5, 1});
    for (std::int64_t g = 0; g < theta.dim(0); ++g)
      for (std::int64_t i = 0; i < 5; ++i) x(g, i, 0) = rng.normal(theta(g, 0), 1.0);
    return x;
  };
  TwoLevelGenerativeModelOptions options;
  options.pad_to = {4, 5};
  const TwoLevelGenerativeModel model(prior, simulate, options);
  const DenseOptions dense{.units = 32};
  const auto set = [&](std::int64_t dim) { return DeepSet({.summary_dim = dim, .num_equiv = 0, .dense_s1 = dense, .dense_s2 = dense}); };
  TwoLevelAmortizedPosterior amortizer(flow(1), flow(1), HierarchicalNetwork({.networks = {set(4), set(8)}}));
  Trainer trainer(amortizer, model, {.seed = 1, .threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = steps, .batch_size = 64});
  return report(trainer, folder / "report.html", {.num_data_sets = 300, .num_draws = 200});
}

TEST(TwoLevelReportSlow, JudgesBothLevelsTogether) {
  if (support::kSanitized) GTEST_SKIP() << "trainings whose results are judged";
  const TemporaryFolder folder;
  const Report right = of_two_levels(folder, 2500);
  EXPECT_LE(right.verdict.severity, diagnostics::Severity::harmless) << right.verdict.sentence;
  EXPECT_EQ(right.verdict.parameters[0].name, "hyper_1");
  EXPECT_EQ(right.verdict.parameters[1].name, "local_1");
  const std::string page = read(right.path);
  for (const char* text :
       {"Can this two-level posterior be trusted?", "1 global parameter and", "Both levels, all groups", "Local: Inference network"})
    EXPECT_NE(page.find(text), std::string::npos) << text;
  EXPECT_EQ(count(page, "Not computed"), 0);
  for (const char* table : {"global_recovery", "local_recovery", "global_sbc_ecdf", "local_sbc_ecdf", "local_groups", "log_score"})
    EXPECT_TRUE(has_table(right, table)) << table;
  EXPECT_GE(of_two_levels(folder, 20).verdict.severity, diagnostics::Severity::serious);
}

}  // namespace
}  // namespace bayesflow
