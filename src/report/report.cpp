#include "bayesflow/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/two_level_posterior.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/version.hpp"
#include "bayesflow/diagnostics/coverage.hpp"
#include "bayesflow/diagnostics/density.hpp"
#include "bayesflow/diagnostics/joint_test.hpp"
#include "bayesflow/diagnostics/latent.hpp"
#include "bayesflow/diagnostics/losses.hpp"
#include "bayesflow/diagnostics/model_comparison.hpp"
#include "bayesflow/diagnostics/recovery.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "bayesflow/figures/plots.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "core/path.hpp"
#include "figures/markup.hpp"
#include "io/atomic_file.hpp"
#include "report/html.hpp"
#include "report/page.hpp"

namespace bayesflow {

namespace {

using namespace report_page;
using diagnostics::Table;

constexpr std::int64_t kLargestPairGrid = 8;

/// The data sets whose draws are all finite.
std::vector<std::int64_t> finite_sets(const Array& draws) {
  std::vector<std::int64_t> out;
  for (std::int64_t b = 0; b < draws.dim(0); ++b) {
    const auto values = draws.row_values(b);
    if (std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) out.push_back(b);
  }
  return out;
}

/// Collects the page of a posterior, section by section.
class Page : Parts {
 public:
  Page(const Array& draws, const Array& truths, const ReportOptions& options) : Parts(options), given_draws_(draws), given_truths_(truths) {
    names_ = options.param_names.empty() ? diagnostics::default_param_names(draws.dim(2)) : options.param_names;
    diagnostics::VerdictOptions verdict{.param_names = names_};
    verdict.family_wise_error = options.family_wise_error;
    verdict.expect_contraction = options.expect_contraction;
    verdict.seed = options.seed;
    verdict.threads = options.threads;
    verdict.summaries = options.summaries;
    report_.verdict =
        options.data ? diagnostics::verdict(draws, truths, *options.data, verdict) : diagnostics::verdict(draws, truths, verdict);
    const std::vector<std::int64_t> kept = finite_sets(draws);
    left_out_ = draws.dim(0) - static_cast<std::int64_t>(kept.size());
    if (left_out_) {
      finite_draws_ = draws.take(kept);
      finite_truths_ = truths.take(kept);
    }
    kept_ = kept;
  }

  Report finish(const std::filesystem::path& path, const Addition& addition = {}) {
    verdict_section();
    if (!addition.intro.empty()) head_ += "<p>" + addition.intro + "</p>\n";
    training_section(
        "The loss is the negative log density that the posterior gives to the true parameters, averaged over a batch. A curve that is "
        "level proves nothing: under a learning rate that falls every curve levels out, converged or not. Whether the posterior uses "
        "what the data say is tested below. A validation loss above the training loss means overfitting.");
    calibration_sections();
    accuracy_sections();
    example_section();
    latent_section();
    score_section();
    predictive_section();
    if (!addition.id.empty()) {
      heading(addition.id, addition.title);
      paragraph(addition.text);
      for (const Figure& figure : addition.figures) body_ += panels_html(figure);
      body_ += keep(addition.tables);
    }
    method_section();
    return write(path);
  }

 private:
  [[nodiscard]] const Array& draws() const { return finite_draws_ ? *finite_draws_ : given_draws_; }
  [[nodiscard]] const Array& truths() const { return finite_truths_ ? *finite_truths_ : given_truths_; }
  const diagnostics::SbcRanks& ranks() {
    if (!ranks_)
      ranks_ = diagnostics::sbc_ranks(draws(), truths(), {.param_names = names_, .seed = options_.seed, .threads = options_.threads});
    return *ranks_;
  }

  void verdict_section() {
    const diagnostics::Verdict& v = report_.verdict;
    const bool unsure = !v.calibrated && std::all_of(v.findings.begin(), v.findings.end(), [](const diagnostics::Finding& f) {
      return f.kind == diagnostics::Fault::too_little_evidence;
    });
    const bool harmless = v.severity == diagnostics::Severity::harmless, lost = v.severity == diagnostics::Severity::overwhelming;
    const char* kind = v.calibrated ? "good" : unsure || harmless ? "unsure" : lost ? "bad lost" : "bad";
    const char* word = v.calibrated ? "✓ No fault found"
                       : unsure     ? "? Too little evidence"
                       : harmless   ? "≈ A misfit that can be detected and hardly matters"
                       : lost       ? "✗ Not to be trusted: much of what the data say is lost"
                                    : "✗ Not to be trusted as it is";
    head_ = fmt::format("<section class=\"verdict {}\" aria-label=\"Verdict\"><strong>{}</strong>\n", kind, word);
    if (v.nats > 0)
      head_ += fmt::format("<p>The findings cost {} {:.2g} nats of each data set's log score{}.</p>\n", lost ? "at least" : "about", v.nats,
                           lost       ? ": a posterior that used the data would be far narrower"
                           : harmless ? ", which is less than anyone would notice"
                                      : "");
    if (v.findings.empty()) {
      std::string sentence = v.sentence;
      if (!sentence.empty() && sentence[0] >= 'a' && sentence[0] <= 'z') sentence[0] = static_cast<char>(sentence[0] - 'a' + 'A');
      head_ += "<p>" + sentence_html(sentence, names_) + "</p>\n";
    } else {
      // The sentence is a list of the findings, and so is this.
      head_ += "<ul class=\"findings\">";
      constexpr std::size_t kMost = 12;
      for (std::size_t i = 0; i < std::min(kMost, v.findings.size()); ++i)
        head_ += "<li>" + sentence_html(v.findings[i].sentence, names_) + "</li>";
      if (v.findings.size() > kMost) head_ += fmt::format("<li>and {} more: see findings.csv</li>", v.findings.size() - kMost);
      head_ += fmt::format(
          "</ul>\n<p class=\"quiet\">{} tests of {} data sets with {} draws each; at most {:.3g} % of exact posteriors are found at "
          "fault.</p>\n",
          v.num_tests, v.num_data_sets, v.num_draws, 100 * v.family_wise_error);
    }
    head_ += "</section>\n";
    heading("parameters", "Parameter by parameter");
    paragraph(
        fmt::format("From {} test data sets with {} posterior draws each, {} tests were made. Their error rate is controlled: at most "
                    "{:.3g} % of exact "
                    "posteriors are found at fault by any of them, however many parameters there are.",
                    v.num_data_sets, v.num_draws, v.num_tests, 100 * v.family_wise_error));
    if (std::isfinite(v.detectable_shift) && std::isfinite(v.detectable_width_ratio))
      paragraph(
          fmt::format("What they can see: with probability 0.8 a shift of {:.2g} posterior standard deviations is found, and a posterior "
                      "that is {:.2g} times "
                      "as wide as it should be. Smaller faults may remain; more data sets make them visible.",
                      v.detectable_shift, v.detectable_width_ratio));
    if (left_out_ > 0) paragraph(fmt::format("{} data sets have draws that are not finite; all that follows leaves them out.", left_out_));
    const std::vector<Table> tables = v.tables();
    for (const Table& table : tables)
      if (table.name == "verdict_parameters")
        body_ += table_html(table, {"p_shift", "p_width", "p_tails", "p_ecdf", "p_nothing_learnt", "sentence"});
    paragraph(
        "<b>Shift</b>: truth minus posterior, in posterior standard deviations; 0 is right. <b>Width ratio</b>: below 1 the posterior is "
        "too narrow "
        "(overconfident). <b>Tail excess</b>: below 0 its tails are too heavy. <b>Learnt</b>: the share of the draws' variation that the "
        "data explain.");
    body_ += "<ul class=\"findings\">";
    for (const auto& p : v.parameters) body_ += "<li>" + sentence_html(p.sentence, names_) + "</li>";
    body_ += "</ul>\n" + keep(tables);
  }

  void calibration_sections() {
    section("ecdf", "Calibration: ranks of the truth", [&] {
      const diagnostics::SbcEcdf ecdf = diagnostics::sbc_ecdf(ranks(), {.difference = true});
      paragraph(
          "If the posterior is right, the true value is equally likely to have any rank among the draws. Then the curve stays in its band "
          "in 95 of 100 cases. "
          "A curve that is S-shaped through the middle is too narrow or too wide; one that lies on one side is shifted.");
      body_ += panels_html(plot_sbc_ecdf(ecdf));
      const auto ecdf_tables = ecdf.tables();
      for (const Table& table : ecdf_tables)
        if (table.name == "sbc_ecdf_verdicts") body_ += table_html(table);
      body_ += keep(ecdf_tables);
      body_ += "<h3>Histograms of the same ranks</h3>\n";
      const diagnostics::SbcHistograms histograms = diagnostics::sbc_histograms(ranks());
      paragraph("Flat is right. High ends: too narrow. A hill in the middle: too wide. A slope: shifted.");
      body_ += panels_html(plot_sbc_histograms(histograms));
      std::vector<Table> tables = histograms.tables();
      for (Table& t : ranks().tables()) tables.push_back(std::move(t));
      body_ += keep(tables);
    });
    section("coverage", "Coverage: do intervals hold what they say?", [&] {
      const diagnostics::Coverage coverage = diagnostics::coverage(ranks());
      paragraph(
          "Of the central intervals of a level, that share should contain the truth. Below the diagonal the posterior is overconfident. "
          "The calibration error "
          "is the mean distance from the diagonal; an exact posterior shows the value in the column “expected” on average.");
      body_ += panels_html(plot_coverage(coverage));
      const auto tables = coverage.tables();
      for (const Table& table : tables)
        if (table.name == "calibration_error") body_ += table_html(table);
      body_ += keep(tables);
    });
    section("joint", "All parameters together", [&] {
      diagnostics::JointTestOptions options;
      options.error_rate = options_.family_wise_error;
      options.seed = options_.seed;
      options.threads = options_.threads;
      const diagnostics::JointTest test = diagnostics::joint_test(draws(), truths(), options);
      paragraph(
          "Parameters may each be right while their dependence is wrong. These ranks are of quantities of all parameters at once: distance "
          "from the posterior "
          "mean, and random combinations.");
      paragraph(fmt::format("<b>{}</b> at an error rate of {:.3g} % for all of these tests together (Holm).",
                            test.passed ? "No fault found" : "Fault found", 100 * test.error_rate));
      const auto tables = test.tables();
      body_ += table_html(tables.front()) + keep(tables);
    });
  }

  void unused() {
    if (!report_.verdict.conditional) {
      paragraph(options_.data
                    ? "Not tested: at least 20 data sets with finite draws are needed."
                    : "Not tested, because the data were not given (<code>ReportOptions::data</code>; in Python <code>data=</code>). A "
                      "posterior that ignores part of the data passes every other test of this page.");
      return;
    }
    const diagnostics::ConditionalCalibration& c = *report_.verdict.conditional;
    paragraph(fmt::format(
        "If the posterior is exact, nothing in the data predicts where the truth lies within it. {} features of the data (means, "
        "spreads, quantiles, extremes, products, conditions, learned summaries, their squares) are regressed on that, out of "
        "sample; {} permutations show what chance does: <i>p</i> {} {:.2g} for all aspects together.",
        c.num_features, c.permutations, c.permutations && c.p_value <= 1.5 / static_cast<double>(c.permutations) ? "at most" : "=",
        c.p_value));
    const std::vector<Table> tables = c.tables();
    body_ += table_html(tables[1], {"regression"});
    paragraph(
        "<b>Rmse</b>: of posterior means, in standard deviations of the truths. <b>Regression rmse</b>: of the best of a linear and a "
        "quadratic ridge regression on the same features, out of sample; a posterior that uses the data is at least as near. <b>Share</b>: "
        "the variance that the posterior means explain, over what the regression explains; below 1, something that can be learnt was not.");
    Table shown = tables[0];  // those that can be predicted best
    constexpr std::size_t kMost = 8;
    for (diagnostics::Column& column : shown.columns)
      std::visit([kMost](auto& values) { values.resize(std::min(values.size(), kMost)); }, column.values);
    body_ += table_html(shown);
    paragraph(
        "<b>Predictable</b>: share of the variance of the truth's rank score that the data predict; 0 or below is right. <b>Nats</b>: log "
        "score of each data set that is lost by it, at least.");
  }

  void accuracy_sections() {
    section("recovery", "Recovery: how near are point estimates?", [&] {
      const diagnostics::Recovery recovery = diagnostics::recovery(draws(), truths(), {.param_names = names_, .threads = options_.threads});
      paragraph(
          "Posterior medians against the truth. How near they can be depends on the data and on the network. Poor recovery with flat ranks "
          "has two causes that ranks cannot tell apart: the data say little, or the network has not learnt what they say.");
      body_ += panels_html(plot_recovery(recovery, {.max_points = 600}));
      const auto tables = recovery.tables();
      body_ += table_html(tables.front()) + keep(tables);
    });
    section("unused", "Is everything used that the data say?", [&] { unused(); });
    section("contraction", "z-scores and contraction: what was learnt?", [&] {
      const diagnostics::ZScoreContraction contraction =
          diagnostics::z_score_contraction(draws(), truths(), {.param_names = names_, .prior_draws = {}, .threads = options_.threads});
      paragraph(
          "Contraction near 1: the data determine the parameter; near 0: the posterior is the prior. z-scores have mean 0 and standard "
          "deviation 1 if location "
          "and width are right.");
      body_ += panels_html(plot_z_score_contraction(contraction, {.max_points = 600}));
      const auto tables = contraction.tables();
      body_ += table_html(tables.front(), {"prior_variance"}) + keep(tables);
    });
  }

  void example_section() {
    section("example", "One posterior as an example", [&] {
      const auto found = std::find(kept_.begin(), kept_.end(), options_.example_data_set);
      if (found == kept_.end())
        throw ArgumentError(fmt::format("data set {} has draws that are not finite; choose another ReportOptions::example_data_set",
                                        options_.example_data_set));
      const std::int64_t b = found - kept_.begin();
      diagnostics::PairsOptions pairs_options{.param_names = names_};
      pairs_options.truth = truths().row(b);
      pairs_options.threads = options_.threads;
      const bool has_prior = truths().dim(0) >= 50;
      const diagnostics::Pairs pairs =
          diagnostics::posterior_2d(draws().row(b), has_prior ? std::optional<Array>(truths()) : std::nullopt, pairs_options);
      PairsPlotOptions plot;
      if (draws().dim(2) > kLargestPairGrid) {
        plot.parameters.resize(kLargestPairGrid);
        std::iota(plot.parameters.begin(), plot.parameters.end(), 0);
      }
      paragraph(fmt::format("Test data set {}{}: posterior (red){} and true values (dashed).", options_.example_data_set,
                            plot.parameters.empty() ? "" : fmt::format(", the first {} of {} parameters", kLargestPairGrid, draws().dim(2)),
                            has_prior ? ", the truths of all data sets, that is, the prior (grey)," : ""));
      body_ += whole_figure_html(plot_posterior_2d(pairs, plot));
      const auto tables = pairs.tables();
      body_ += table_html(tables.front()) + keep(tables);
    });
  }

  void latent_section() {
    if (!options_.latents) return;
    section("latents", "Latent space", [&] {
      const diagnostics::LatentNormality normality = diagnostics::latent_normality(*options_.latents);
      paragraph(
          "The network maps parameters to latents that should be independent standard normals. Where they are not, draws from the "
          "posterior are not right either.");
      paragraph(fmt::format("<b>{}</b>; the smallest adjusted <i>p</i> is {}.",
                            normality.normal ? "They are standard normal as far as can be seen" : "They are not",
                            normality.overall_p_value < 0.001 ? "below 0.001" : fmt::format("{:.3f}", normality.overall_p_value)));
      if (options_.latents->dim(1) <= kLargestPairGrid)
        body_ += whole_figure_html(plot_latent_space_2d(diagnostics::latent_space_2d(*options_.latents)));
      const auto tables = normality.tables();
      body_ += table_html(tables.front()) + keep(tables);
    });
  }

  void score_section() {
    if (!options_.log_posterior) return;
    section("score", "Log score", [&] {
      const diagnostics::LogScore score = diagnostics::log_score(*options_.log_posterior);
      paragraph(
          "Mean log density of the true parameters under the posterior. No posterior has a higher expectation than the exact one, so it "
          "serves to compare networks.");
      const auto tables = score.tables();
      body_ += table_html(tables.front()) + keep(tables);
    });
  }

  void predictive_section() {
    if (!options_.predictive) return;
    section("predictive", "Posterior predictive checks", [&] {
      paragraph(
          "Data simulated from the posterior should look like the data observed; a small <i>p</i> names a statistic in which they differ.");
      body_ += panels_html(plot_posterior_predictive(*options_.predictive));
      body_ += panels_html(plot_pushforward(options_.predictive->bands));
      body_ += keep(options_.predictive->tables());
    });
  }

  void method_section() {
    heading("method", "How to read this page");
    paragraph(
        "Numbers after ± are Monte-Carlo standard errors: what would change if the test were repeated with other data sets. All of this "
        "judges the posterior on "
        "data simulated from the model itself. It cannot say whether the model fits reality; for that, compare observed with simulated "
        "data.");
    paragraph(
        "Sources: Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference algorithms with simulation-based "
        "calibration; Säilynoja, "
        "Bürkner, Vehtari (2022), Graphical test for discrete uniformity; Schad, Betancourt, Vasishth (2021), Toward a principled Bayesian "
        "workflow; Modrák and "
        "others (2023), Simulation-based calibration checking; Radev and others (2020), BayesFlow.");
  }

  const Array &given_draws_, &given_truths_;  // not copied: draws may be large
  std::optional<Array> finite_draws_, finite_truths_;
  std::optional<diagnostics::SbcRanks> ranks_;
  std::vector<std::int64_t> kept_;
  std::int64_t left_out_ = 0;
};

}  // namespace

void ReportOptions::validate() const {
  if (!(family_wise_error > 0 && family_wise_error < 1))
    throw ConfigurationError(fmt::format("ReportOptions::family_wise_error = {}; it must lie between 0 and 1", family_wise_error));
  if (example_data_set < 0)
    throw ConfigurationError(fmt::format("ReportOptions::example_data_set = {}; it must not be negative", example_data_set));
  if (threads < 0) throw ConfigurationError(fmt::format("ReportOptions::threads = {}; it must not be negative (0: all)", threads));
}

Report report(const Array& draws, const Array& truths, const std::filesystem::path& path, const ReportOptions& options) {
  options.validate();
  return Page(draws, truths, options).finish(path);
}

Report report_page::report_of_draws(const Array& draws, const Array& truths, const std::filesystem::path& path,
                                    const ReportOptions& options, const Addition& addition) {
  return Page(draws, truths, options).finish(path, addition);
}

Report report(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options) {
  const auto positive = [](std::int64_t value, const char* name) {
    if (value < 1) throw ConfigurationError(fmt::format("TrainerReportOptions::{} = {}; it must be at least 1", name, value));
  };
  positive(options.num_data_sets, "num_data_sets");
  positive(options.num_draws, "num_draws");
  options.report.validate();
  // The page of each class that is not a posterior. A new one is a line here.
  const std::pair<std::string_view, Report (*)(Trainer&, const std::filesystem::path&, const TrainerReportOptions&)> pages[] = {
      {AmortizedModelComparison::kKind.name, report_of_comparison},
      {AmortizedLikelihood::kKind.name, report_of_likelihood},
      {TwoLevelAmortizedPosterior::kClass, report_of_two_levels}};
  if (const auto* amortizer = dynamic_cast<const AmortizerBase*>(&trainer.trainable()))
    for (const auto& [name, page] : pages)
      if (name == amortizer->class_name()) return page(trainer, path, options);
  ReportOptions filled = options.report;
  const AmortizedPosterior& amortizer = trainer.trained<AmortizedPosterior>();
  NonFiniteCount ignored;
  const Simulations simulations = trainer.model().simulate(options.num_data_sets, filled.seed, "report", 0, nullptr,
                                                           trainer.options().nonfinite.keeping_count(), ignored);
  const Batch inputs = trainer.configure(simulations);
  const Block& truths = inputs[roles::parameters];
  if (truths.rank() != 2)
    throw ConfigurationError(fmt::format("report: the configurator gives parameters of shape {}; a report needs (data sets, parameters)",
                                         truths.shape().to_string()));
  // With an adapter, all that is shown of parameters is in the user's units.
  const auto adapter = amortizer.adapter();
  const Array draws = adapter ? amortizer.sample(simulations, options.num_draws, {.seed = filled.seed})
                              : amortizer.sample(inputs, options.num_draws, {.seed = filled.seed});
  const Array parameters = adapter ? adapter->inverse(truths.array(), adapter->forward(simulations)) : truths.array();
  const auto& names = trainer.model().param_names();
  if (filled.param_names.empty() && static_cast<std::int64_t>(names.size()) == draws.dim(2)) filled.param_names = names;
  if (!filled.training && !trainer.runs().empty()) filled.training = trainer.runs().back();
  const auto facts = architecture(amortizer);
  filled.facts.insert(filled.facts.end(), facts.begin(), facts.end());
  if (!filled.data) {
    filled.data = inputs;
    filled.data->set(roles::parameters, {});
  }
  if (!filled.summaries && amortizer.summary_net()) filled.summaries = amortizer.summary(inputs);
  const bool is_flow = amortizer.inference_net().as_flow() != nullptr;
  if (!filled.latents && is_flow) filled.latents = amortizer.forward(inputs).z;
  if (!filled.log_posterior && amortizer.inference_net().has_density())
    filled.log_posterior = adapter ? amortizer.log_posterior(simulations) : amortizer.log_posterior(inputs);
  return report(draws, parameters, path, filled);
}

}  // namespace bayesflow
