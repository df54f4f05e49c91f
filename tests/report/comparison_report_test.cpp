/// The page of a model comparison.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/report/report.hpp"
#include "bayesflow/simulation/multi_model.hpp"
#include "figures/support_text.hpp"
#include "io/support_files.hpp"

namespace bayesflow {
namespace {

using test::count, test::read;

MultiGenerativeModel two_normals() {
  const auto model = [](double center) {
    return GenerativeModel(Prior([](Rng& rng) { return rng.normal({1}); }), Simulator([center](const Array& theta, Rng& rng) {
                             return rng.normal({5, 1}, center + theta[0]);
                           }));
  };
  return MultiGenerativeModel({model(0), model(1.5)});
}

Report reported(const TemporaryFolder& folder, std::int64_t steps, const Configurator& configurator = {}) {
  AmortizedModelComparison amortizer(PMPNetwork({.num_models = 2, .hidden = {.dropout_prob = 0}}),
                                     DeepSet({.summary_dim = 3, .num_equiv = 0, .linear_path = true}));
  Trainer trainer(amortizer, two_normals(), {.configurator = configurator, .threads = 1});
  if (steps > 0) (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = steps, .batch_size = 64});
  return report(trainer, folder / "report.html",
                {.num_data_sets = 600, .report = {.param_names = {"near", "far"}, .data_folder = folder / "data"}});
}

TEST(ComparisonReport, SaysThatProbabilitiesAreRight) {
  const TemporaryFolder folder;
  const Report r = reported(folder, 800);
  ASSERT_TRUE(r.models);
  EXPECT_TRUE(r.models->calibrated) << r.models->sentence;
  EXPECT_TRUE(r.models->learnt);
  EXPECT_TRUE(r.verdict.calibrated);
  EXPECT_EQ(r.verdict.sentence, r.models->sentence);
  const std::string page = read(r.path);
  EXPECT_NE(page.find("Can these model probabilities be trusted?"), std::string::npos);
  EXPECT_NE(page.find("No fault found"), std::string::npos);
  EXPECT_NE(page.find("posterior model probabilities of 2 models"), std::string::npos);
  EXPECT_EQ(count(page, "Not computed"), 0);
  EXPECT_GE(count(page, "<svg"), 3);
  for (const char* table : {"model_verdict", "model_offsets", "calibration_curves", "expected_calibration_error", "confusion_matrix"})
    EXPECT_TRUE(std::ranges::any_of(r.tables, [&](const diagnostics::Table& t) { return t.name == table; })) << table;
  EXPECT_TRUE(std::filesystem::exists(folder / "data" / "confusion_matrix.csv"));
}

TEST(ComparisonReport, FindsProbabilitiesThatAreNotThoseOfTheModels) {
  const TemporaryFolder folder;
  const Report swapped = reported(folder, 0, [](const Simulations& s) {
    // What the network says is fixed; the labels are those that it makes improbable.
    Batch batch = model_comparison_configurator(s);
    batch.update(roles::model_indices, [&](Array& y) {
      for (std::int64_t b = 0; b < y.dim(0); ++b) {
        const bool second = s.sim_data.row(b).mean() < 0.75;
        y(b, 0) = second ? 0 : 1;
        y(b, 1) = second ? 1 : 0;
      }
    });
    return batch;
  });
  EXPECT_FALSE(swapped.models->calibrated);
  EXPECT_NE(read(swapped.path).find("Not to be trusted as it is"), std::string::npos);
}

}  // namespace
}  // namespace bayesflow
