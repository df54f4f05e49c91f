#include "bayesflow/report/report.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "figures/support_text.hpp"
#include "report/html.hpp"

namespace bayesflow {
namespace {

using test::count, test::message_of, test::read;

namespace fs = std::filesystem;

fs::path temporary(const std::string& name) { return fs::temp_directory_path() / ("bayesflow_report_" + name); }

struct Case {
  Array draws, truths;
};
/// The exact posterior of a Gaussian mean; `width` and `shift` make it wrong.
Case gaussian(std::int64_t sets, std::int64_t draws, std::int64_t parameters, double width = 1, double shift = 0) {
  Rng rng(5);
  Case c{Array({sets, draws, parameters}), Array({sets, parameters})};
  const double sd = 1 / std::sqrt(11.0);
  for (std::int64_t b = 0; b < sets; ++b)
    for (std::int64_t j = 0; j < parameters; ++j) {
      c.truths(b, j) = rng.normal();
      const double center = (10 * c.truths(b, j) + rng.normal(0, std::sqrt(10.0))) / 11;
      for (std::int64_t s = 0; s < draws; ++s) c.draws(b, s, j) = rng.normal(center + shift * sd, width * sd);
    }
  return c;
}

Report write(const Case& c, const fs::path& path, const ReportOptions& options = {}) { return report(c.draws, c.truths, path, options); }

TEST(Report, ExactPosteriorIsFoundRight) {
  const auto path = temporary("exact.html");
  const Report r = write(gaussian(200, 99, 2), path);
  EXPECT_TRUE(r.verdict.calibrated);
  const std::string page = read(path);
  EXPECT_EQ(page.rfind("<!DOCTYPE html>\n<html lang=\"en\">", 0), 0U);
  EXPECT_NE(page.find("✓ No fault found"), std::string::npos);
  EXPECT_NE(page.find("at most 5 % of exact posteriors are found at fault"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_EQ(count(page, "http"), count(page, "xmlns=\"http"));  // no address but the names of SVG
  EXPECT_EQ(count(page, "<svg"), count(page, "</svg>"));
  EXPECT_EQ(count(page, "Not computed"), 0U);
  fs::remove(path);
}

TEST(Report, FaultsAreNamedInWords) {
  const auto path = temporary("wrong.html");
  for (const auto& [width, shift, kind] : {std::tuple{0.6, 0.0, diagnostics::Fault::overconfident},
                                           {1.6, 0.0, diagnostics::Fault::underconfident},
                                           {1.0, 0.8, diagnostics::Fault::shifted}}) {
    const Report r = write(gaussian(200, 99, 2, width, shift), path);
    EXPECT_FALSE(r.verdict.calibrated);
    EXPECT_TRUE(r.verdict.has(kind)) << diagnostics::to_string(kind);
    const std::string page = read(path);
    EXPECT_NE(page.find("✗ Not to be trusted"), std::string::npos);
    EXPECT_NE(page.find("class=\"findings\""), std::string::npos);
  }
  fs::remove(path);
}

TEST(Report, HoldsEverySectionThatIsAskedFor) {
  const auto path = temporary("sections.html");
  ReportOptions options{.title = "<My> & report", .facts = {{"Model", "a <b> & \"c\""}}};
  const Case c = gaussian(100, 49, 2);
  TrainingSummary training;
  training.reason = "Training completed.";
  training.simulations = 12345;
  training.seed = 77;
  training.convergence.sentence = "Twice as many steps would gain about 0.1 +- 0.02 nats.";
  training.warnings = {"theta_1 was not <learnt>"};
  for (int i = 0; i < 100; ++i) training.history.steps.push_back({.losses = {{"loss", 2.0 - 0.01 * i}}});
  options.training = training;
  options.latents = Rng(1).normal({100, 2});
  options.log_posterior = Rng(2).normal({100});
  const Report r = write(c, path, options);
  const std::string page = read(path);
  for (const char* id : {"parameters", "training", "losses", "ecdf", "coverage", "joint", "recovery", "contraction", "example", "latents",
                         "score", "method"})
    EXPECT_EQ(count(page, std::string("<h2 id=\"") + id + "\">"), 1U) << id;
  EXPECT_NE(page.find("<title>&lt;My&gt; &amp; report</title>"), std::string::npos);
  EXPECT_NE(page.find("<dd>a &lt;b&gt; &amp; &quot;c&quot;</dd>"), std::string::npos);
  EXPECT_NE(page.find("<dd>12345</dd>"), std::string::npos);
  EXPECT_NE(page.find("<dd>77</dd>"), std::string::npos);
  EXPECT_NE(page.find("<dd>Twice as many steps would gain about 0.1 +- 0.02 nats.</dd>"), std::string::npos);
  EXPECT_NE(page.find("<i>θ</i><sub>1</sub> was not &lt;learnt&gt;"), std::string::npos);
  EXPECT_EQ(page.find("Posterior predictive checks"), std::string::npos);  // not asked for
  for (const diagnostics::Table& t : r.tables) EXPECT_EQ(count(page, "id=\"csv-" + t.name + "\""), t.rows() > 0 ? 1U : 0U) << t.name;
  fs::remove(path);
}

TEST(Report, WritesCsvFilesOfTheSameNumbers) {
  const auto path = temporary("folder.html"), folder = temporary("folder_data");
  ReportOptions options;
  options.data_folder = folder;
  const Report r = write(gaussian(60, 19, 1), path, options);
  ASSERT_GT(r.tables.size(), 10U);
  const std::string page = read(path);
  for (const diagnostics::Table& t : r.tables) {
    if (t.rows() == 0) continue;
    const std::string csv = read(folder / (t.name + ".csv"));
    EXPECT_EQ(csv, diagnostics::to_csv(t));
    EXPECT_NE(page.find(report_page::base64(csv)), std::string::npos) << t.name;
  }
  fs::remove(path);
  fs::remove_all(folder);
}

TEST(Report, IsTheSameForAnyNumberOfThreads) {
  const auto path = temporary("threads.html");
  const Case c = gaussian(60, 19, 3);
  ReportOptions options;
  options.threads = 1;
  (void)write(c, path, options);
  const std::string one = read(path);
  options.threads = 3;
  (void)write(c, path, options);
  EXPECT_EQ(one, read(path));
  fs::remove(path);
}

TEST(Report, StrangeNamesStandAsTheyAre) {
  const auto path = temporary("names.html");
  ReportOptions options;
  options.param_names = {"$\\theta_1$", "<script>alert(\"1\")</script>", "it's 漢字 & $5"};
  (void)write(gaussian(60, 19, 3), path, options);
  const std::string page = read(path);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_NE(page.find("<i>θ</i><sub>1</sub>"), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"), std::string::npos);
  EXPECT_NE(page.find("it&#39;s 漢字 &amp; $5"), std::string::npos);
  fs::remove(path);
}

TEST(Report, SaysWhatItCannotCompute) {
  const auto path = temporary("little.html");
  for (const auto& [sets, draws] : {std::pair{1, 50}, {50, 1}, {1, 1}, {2, 2}}) {
    const Report r = write(gaussian(sets, draws, 2), path);
    EXPECT_FALSE(r.verdict.calibrated) << sets << " " << draws;
    EXPECT_NE(read(path).find("Too little evidence"), std::string::npos) << sets << " " << draws;
  }
  fs::remove(path);
}

TEST(Report, LeavesDrawsOutThatAreNotFinite) {
  const auto path = temporary("nan.html");
  Case c = gaussian(60, 19, 2);
  c.draws(3, 4, 1) = NAN;
  const Report r = write(c, path);
  EXPECT_TRUE(r.verdict.has(diagnostics::Fault::non_finite));
  const std::string page = read(path);
  EXPECT_NE(page.find("1 data sets have draws that are not finite"), std::string::npos);
  EXPECT_EQ(count(page, "Not computed"), 0U);
  for (double& v : c.draws.values()) v = NAN;
  EXPECT_TRUE(write(c, path).verdict.has(diagnostics::Fault::non_finite));
  fs::remove(path);
}

TEST(Report, ConstantParameterDoesNotStopIt) {
  const auto path = temporary("constant.html");
  Case c = gaussian(60, 19, 2);
  for (std::int64_t b = 0; b < 60; ++b) {
    c.truths(b, 1) = 4;
    for (std::int64_t s = 0; s < 19; ++s) c.draws(b, s, 1) = 4;
  }
  (void)write(c, path);
  EXPECT_GT(read(path).size(), 10000U);
  fs::remove(path);
}

TEST(Report, ErrorsSayWhatToChange) {
  const Case c = gaussian(20, 9, 2);
  EXPECT_EQ(message_of<IoError>([&] { (void)write(c, "/no/such/folder/report.html"); }),
            "cannot write \"/no/such/folder/report.html\": No such file or directory; check the path, and create the folder if it does not "
            "exist");
  ReportOptions options;
  options.family_wise_error = 0;
  EXPECT_EQ(message_of<ConfigurationError>([&] { (void)write(c, temporary("x.html"), options); }),
            "ReportOptions::family_wise_error = 0; it must lie between 0 and 1");
  EXPECT_THROW((void)report(c.draws, c.truths.slice(0, 3), temporary("x.html")), ShapeError);
}

TEST(Report, NeedsNoOtherProgram) {
  const auto path = temporary("path.html");
  const std::string before = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  (void)write(gaussian(30, 19, 1), path);
  setenv("PATH", before.c_str(), 1);
  EXPECT_GT(count(read(path), "<svg"), 5U);
  fs::remove(path);
}

TEST(Report, OfATrainerKnowsItsRunAndNetworks) {
  const auto path = temporary("trainer.html");
  GenerativeModel model(Prior([](Rng& rng) { return rng.normal({2}); }, {.param_names = {"mu_1", "mu_2"}}),
                        Simulator([](const Array& theta, Rng& rng) {
                          return rng.normal({10, 2}, theta);
                        }));
  Trainer trainer(AmortizedPosterior(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2}), DeepSet({.summary_dim = 4})), model);
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 20});
  const Report r = report(trainer, path, {.num_data_sets = 50, .num_draws = 19});
  EXPECT_EQ(r.verdict.num_data_sets, 50);
  const std::string page = read(path);
  EXPECT_NE(page.find("coupling flow of 2 parameters: 2 affine layers"), std::string::npos);
  EXPECT_NE(page.find("deep set with 2 equivariant modules, 64 units, 4 summaries"), std::string::npos);
  EXPECT_NE(page.find("<dd>20 in 1 epochs</dd>"), std::string::npos);
  EXPECT_NE(page.find("<dd>640</dd>"), std::string::npos);
  EXPECT_NE(page.find("<i>μ</i><sub>2</sub>"), std::string::npos);
  for (const char* id : {"latents", "score", "losses"}) EXPECT_NE(page.find(std::string("<h2 id=\"") + id), std::string::npos);
  EXPECT_EQ(message_of<ConfigurationError>([&] { (void)report(trainer, path, {.num_data_sets = 0}); }),
            "TrainerReportOptions::num_data_sets = 0; it must be at least 1");
  fs::remove(path);
}

TEST(ReportNumbers, HaveTheDecimalsOfTheirErrors) {
  using report_page::shown;
  EXPECT_EQ(shown(0.98765, 0.0123), "0.988 ± 0.012");
  EXPECT_EQ(shown(-12.345, 2.5), "−12.3 ± 2.5");
  EXPECT_EQ(shown(1234.5, 123), "1234 ± 123");
  EXPECT_EQ(shown(-0.0001, 0.02), "0.000 ± 0.020");
  EXPECT_EQ(shown(0.12345, NAN), "0.123");
  EXPECT_EQ(shown(0.1, 4.6e-18), "0.1");
  EXPECT_EQ(shown(500, NAN), "500");
  EXPECT_EQ(shown(NAN, 0.1), "n/a");
}

TEST(ReportNumbers, Base64) {
  EXPECT_EQ(report_page::base64(""), "");
  EXPECT_EQ(report_page::base64("f"), "Zg==");
  EXPECT_EQ(report_page::base64("fo"), "Zm8=");
  EXPECT_EQ(report_page::base64("foo"), "Zm9v");
  EXPECT_EQ(report_page::base64("\xff\xfe\x00\x01"), "//4=");
}

TEST(ReportSentences, NamesHaveTheirStyles) {
  using report_page::sentence_html;
  const std::vector<std::string> names{"theta_1", "theta_12", "a"};
  EXPECT_EQ(sentence_html("theta_12 and theta_1: 1 +- 2 & a -0.5", names),
            "<i>θ</i><sub>12</sub> and <i>θ</i><sub>1</sub>: 1 ± 2 &amp; a −0.5");
}

}  // namespace
}  // namespace bayesflow
