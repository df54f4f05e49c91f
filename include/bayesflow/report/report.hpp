/// One HTML file that says whether a posterior can be trusted, and why.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/model_comparison.hpp"
#include "bayesflow/diagnostics/posterior_predictive.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/diagnostics/verdict.hpp"
#include "bayesflow/training/trainer.hpp"

namespace bayesflow {

/// Settings of `report` from draws.
struct ReportOptions {
  std::string title = "Can this posterior be trusted?";
  std::vector<std::string> param_names{};                        ///< empty: theta_1, theta_2, ...
  std::vector<std::pair<std::string, std::string>> facts{};      ///< further lines of "what was trained": name, value
  std::optional<TrainingSummary> training{};                     ///< how it was trained: its section and the losses
  std::optional<Batch> data{};                                   ///< what the networks were given: does the posterior use all of it?
  std::optional<Array> summaries{};                              ///< (B, d) learned summaries of the data
  std::optional<Array> latents{};                                ///< (B, P) latents of the truths: are they standard normal?
  std::optional<Array> log_posterior{};                          ///< (B) log densities of the truths: the log score
  std::optional<diagnostics::PosteriorPredictive> predictive{};  ///< of some observed data
  std::int64_t example_data_set = 0;                             ///< whose posterior is shown as a pair grid
  double family_wise_error = 0.05;                               ///< of the verdict's tests together
  bool expect_contraction = true;                                ///< false: parameters that the data do not inform are no fault
  std::filesystem::path data_folder{};                           ///< every table as CSV into this folder, and all as tables.h5; empty: none
  std::uint64_t seed = 0;                                        ///< of ties and of the joint test's directions
  int threads = 0;                                               ///< 0: as many as the machine has
  void validate() const;                                         ///< throws ConfigurationError
};

/// What a report says, for programs.
struct Report {
  diagnostics::Verdict verdict;
  std::optional<diagnostics::ModelVerdict> models{};  ///< of a model comparison, whose `verdict` holds its sentence
  std::vector<diagnostics::Table> tables;             ///< every number of the page, and more
  std::filesystem::path path;                         ///< of the page
};

/// Runs every diagnostic on draws (B, S, P) and truths (B, P), and writes one self-contained page to `path`: verdict, what was trained,
/// losses, figures, numbers, what they mean, and every number as CSV within the page. It needs no network, no script and no other program.
/// Draws that are not finite are a finding; their data sets are left out of everything else.
/// Throws ShapeError on shapes that do not fit, ArgumentError on truths that are not finite, IoError if a file cannot be written.
Report report(const Array& draws, const Array& truths, const std::filesystem::path& path, const ReportOptions& options = {});

/// Settings of `report` from a trainer.
struct TrainerReportOptions {
  std::int64_t num_data_sets = 500;  ///< simulated afresh; none was seen in training
  std::int64_t num_draws = 1000;     ///< posterior draws for each
  ReportOptions report{};            ///< what it leaves open is taken from the trainer: names, last run, latents, densities, architecture
};

/// Simulates test data sets from the trainer's model, draws from its posterior and reports as above. Of an AmortizedModelComparison:
/// whether its probabilities are right (`diagnostics::model_verdict`), calibration curves, which models are taken for which; `param_names`
/// are names of models. Of an AmortizedLikelihood: whether observations are distributed as it says, given their conditions; `param_names`
/// are those of an observation's components. Of a TwoLevelAmortizedPosterior: global parameters and those of one group of each data set
/// together, and recovery and ranks of both levels.
Report report(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options = {});

}  // namespace bayesflow
