/// The page of a model comparison.
#include <fmt/format.h>

#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/figures/plots.hpp"
#include "report/page.hpp"

namespace bayesflow {
namespace report_page {
namespace {

using diagnostics::ModelVerdict;
using diagnostics::Table;

class ComparisonPage : Parts {
 public:
  ComparisonPage(const Array& truths, const Array& probabilities, const ReportOptions& options)
      : Parts(options), truths_(truths), probabilities_(probabilities) {
    report_.models =
        diagnostics::model_verdict(truths, probabilities, {.model_names = options.param_names, .error_rate = options.family_wise_error});
    names_ = report_.models->model_names;
    report_.verdict.calibrated = report_.models->calibrated;
    report_.verdict.sentence = report_.models->sentence;
    report_.verdict.num_data_sets = report_.models->num_data_sets;
    report_.verdict.num_tests = 1;
    report_.verdict.family_wise_error = options.family_wise_error;
    report_.verdict.nats = report_.models->calibrated ? 0 : report_.models->nats;
  }

  Report finish(const std::filesystem::path& path) {
    verdict_section();
    training_section(
        "The loss is the negative log probability that the network gives to the true model, averaged over a batch. That of the models' "
        "shares "
        "alone is their entropy. A validation loss above the training loss means overfitting.");
    calibration_section();
    confusion_section();
    method_section();
    return write(path);
  }

 private:
  void verdict_section() {
    const ModelVerdict& v = *report_.models;
    head_ = fmt::format("<section class=\"verdict {}\" aria-label=\"Verdict\"><strong>{}</strong>\n",
                        v.calibrated && v.learnt ? "good"
                        : v.calibrated           ? "unsure"
                                                 : "bad",
                        !v.calibrated ? "✗ Not to be trusted as it is"
                        : v.learnt    ? "✓ No fault found"
                                      : "? Right, and of no use");
    std::string sentence = v.sentence;
    if (sentence[0] >= 'a' && sentence[0] <= 'z') sentence[0] = static_cast<char>(sentence[0] - 'a' + 'A');
    head_ += "<p>" + sentence_html(sentence, names_) + "</p>\n</section>\n";
    heading("models", "Model by model");
    paragraph(fmt::format(
        "From {} test data sets. The true models are taken to follow the given log odds, times a <b>slope</b> (1 is right, below 1 is "
        "overconfident), plus an <b>offset</b> for each model (0 is right, above 0 the model is given too little). One likelihood "
        "ratio test looks at all of them together: {:.3g} % of exact probabilities are found at fault.",
        v.num_data_sets, 100 * options_.family_wise_error));
    const std::vector<Table> tables = v.tables();
    for (const Table& table : tables) body_ += table_html(table);
    paragraph(
        "<b>Score</b>: mean log probability of the true model; <b>prior score</b>: the same if all data were given the models' shares. "
        "<b>Nats</b>: what the right slope and offsets would add to the score.");
    body_ += keep(tables);
  }

  void calibration_section() {
    section("calibration", "Calibration: are probabilities what they say?", [&] {
      const diagnostics::CalibrationCurves curves =
          diagnostics::expected_calibration_error(truths_, probabilities_, {.model_names = names_});
      paragraph(
          "Of the data sets that give a model probability p, it should be the true one in a share p. Below the diagonal, probabilities of "
          "this model are too high. Grey: how often each probability is given. The calibration error is the mean distance from the "
          "diagonal; "
          "right probabilities show the noise floor on average.");
      body_ += panels_html(plot_calibration_curves(curves));
      const std::vector<Table> tables = curves.tables();
      for (const Table& table : tables)
        if (table.name == "expected_calibration_error") body_ += table_html(table);
      body_ += keep(tables);
    });
  }

  void confusion_section() {
    section("confusion", "Which models are taken for which?", [&] {
      const diagnostics::ConfusionMatrix confusion = diagnostics::confusion_matrix(truths_, probabilities_, {.model_names = names_});
      paragraph(
          "Rows are true models, columns the most probable ones. Errors are no fault where the data cannot tell models apart: calibration "
          "says whether the probabilities know it.");
      body_ += whole_figure_html(plot_confusion_matrix(confusion));
      const std::vector<Table> tables = confusion.tables();
      for (const Table& table : tables)
        if (table.name == "accuracy") body_ += table_html(table);
      body_ += keep(tables);
    });
  }

  void method_section() {
    heading("method", "What this page cannot say");
    paragraph(
        "All of this judges probabilities on data simulated from the models themselves, which are drawn with the shares of training as "
        "their "
        "prior probabilities. It cannot say whether any of the models fits reality: data that none of them could have made get "
        "probabilities, "
        "too.");
    paragraph(
        "Sources: Cox (1958), Two further applications of a model for binary regression; Naeini, Cooper, Hauskrecht (2015), Obtaining well "
        "calibrated probabilities using Bayesian binning; Radev and others (2021), Amortized Bayesian model comparison with evidential "
        "deep "
        "learning.");
  }

  const Array &truths_, &probabilities_;
};

}  // namespace
}  // namespace report_page

Report report_of_comparison(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options) {
  ReportOptions filled = options.report;
  if (filled.title == ReportOptions().title) filled.title = "Can these model probabilities be trusted?";
  const auto& amortizer = trainer.trained<AmortizedModelComparison>();
  NonFiniteCount ignored;
  const Batch inputs = trainer.configure(trainer.model().simulate(options.num_data_sets, filled.seed, "report", 0, nullptr,
                                                                  trainer.options().nonfinite.keeping_count(), ignored));
  const Array truths = inputs.array(roles::model_indices), probabilities = amortizer.posterior_probs(inputs, {.seed = filled.seed});
  if (!filled.training && !trainer.runs().empty()) filled.training = trainer.runs().back();
  const auto facts = report_page::architecture(amortizer);
  filled.facts.insert(filled.facts.end(), facts.begin(), facts.end());
  return report_page::ComparisonPage(truths, probabilities, filled).finish(path);
}

}  // namespace bayesflow
