/// What the pages of reports share: sections, tables, what was trained.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/amortizer.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/figures/figure.hpp"
#include "bayesflow/report/report.hpp"
#include "report/html.hpp"

namespace bayesflow::report_page {

/// Collects a page, section by section.
class Parts {
 protected:
  explicit Parts(const ReportOptions& options) : options_(options) {}

  void paragraph(const std::string& html) { body_ += "<p>" + html + "</p>\n"; }
  void heading(const std::string& id, const std::string& title);
  /// Keeps the tables in the report; links to them.
  std::string keep(const std::vector<diagnostics::Table>& tables);
  /// A section whose numbers may not exist (one draw, one data set): then it says why.
  template <class F>
  void section(const std::string& id, const std::string& title, F&& write) {
    heading(id, title);
    try {
      write();
    } catch (const IoError&) {
      throw;
    } catch (const Error& error) {
      body_ += "<p class=\"note\">Not computed: " + sentence_html(error.what(), names_) + "</p>\n";
    }
  }
  /// Facts, times and losses of training. `loss`: what the loss means.
  void training_section(const std::string& loss);
  /// The page, and the folder of tables where one is wanted.
  Report write(const std::filesystem::path& path);

  const ReportOptions& options_;
  Report report_;
  std::vector<std::string> names_;
  std::string head_, body_;  ///< the verdict comes first, the contents after it

 private:
  void write_folder() const;
  std::vector<std::pair<std::string, std::string>> contents_;
};

/// What the page of draws of something else than a posterior says beside it.
struct Addition {
  std::string intro = {};           ///< what is judged, in HTML, below the verdict
  std::string id = {}, title = {};  ///< of a section of its own; empty: none
  std::string text = {};
  std::vector<Figure> figures = {};
  std::vector<diagnostics::Table> tables = {};
};
[[nodiscard]] Report report_of_draws(const Array& draws, const Array& truths, const std::filesystem::path& path,
                                     const ReportOptions& options, const Addition& addition);

/// What is known of the networks, in words.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> architecture(const Amortizer& amortizer);

}  // namespace bayesflow::report_page

namespace bayesflow {

/// Of an AmortizedModelComparison.
[[nodiscard]] Report report_of_comparison(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options);
/// Of an AmortizedLikelihood.
[[nodiscard]] Report report_of_likelihood(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options);
/// Of a TwoLevelAmortizedPosterior.
[[nodiscard]] Report report_of_two_levels(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options);

}  // namespace bayesflow
