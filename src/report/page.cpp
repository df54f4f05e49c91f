#include "report/page.hpp"

#include <fmt/format.h>

#include "bayesflow/core/version.hpp"
#include "bayesflow/diagnostics/losses.hpp"
#include "bayesflow/figures/plots.hpp"
#include "core/path.hpp"
#include "figures/markup.hpp"
#include "io/atomic_file.hpp"

namespace bayesflow::report_page {

using diagnostics::Table;
using figures::escape_xml;

void Parts::heading(const std::string& id, const std::string& title) {
  contents_.emplace_back(id, title);
  body_ += "<h2 id=\"" + id + "\">" + title + "</h2>\n";
}

std::string Parts::keep(const std::vector<Table>& tables) {
  report_.tables.insert(report_.tables.end(), tables.begin(), tables.end());
  return csv_links(tables);
}

void Parts::training_section(const std::string& loss) {
  if (!options_.training && options_.facts.empty()) return;
  heading("training", "What was trained");
  body_ += "<dl>";
  const auto fact = [&](const std::string& name, const std::string& value) {
    body_ += "<dt>" + escape_xml(name) + "</dt><dd>" + escape_xml(value) + "</dd>";
  };
  for (const auto& [name, value] : options_.facts) fact(name, value);
  if (!options_.training) {
    body_ += "</dl>\n";
    return;
  }
  const TrainingSummary& t = *options_.training;
  fact("End of training", t.reason);
  if (!t.convergence.sentence.empty()) fact("Further training", t.convergence.sentence);
  fact("Steps", fmt::format("{} in {} epochs", t.history.steps.size(), t.history.epochs.size()));
  fact("Simulations seen", fmt::format("{}", t.simulations));
  fact("Seed", fmt::format("{}", t.seed));
  fact("Time", fmt::format("{:.1f} s (simulation {:.1f} s, gradients {:.1f} s, updates {:.1f} s, validation {:.1f} s)", t.seconds,
                           t.simulate_seconds, t.gradient_seconds, t.update_seconds, t.validate_seconds));
  fact("Machine", fmt::format("{} threads, {}", t.threads, t.instruction_set));
  fact("Library", fmt::format("bayesflow.cpp {}", version()));
  body_ += "</dl>\n";
  for (const std::string& warning : t.warnings) body_ += "<p class=\"note\">" + sentence_html(warning, names_) + "</p>\n";
  if (t.history.steps.empty()) return;
  section("losses", "Losses", [&] {
    const diagnostics::LossCurves losses = diagnostics::losses(t.history);
    paragraph(loss);
    Figure figure = plot_losses(losses);
    figure.panel_width = 240;
    figure.panel_height = 100;
    body_ += panels_html(figure);
    Table last{
        .name = "last_losses",
        .columns = {{"component", losses.names}, {"last_average", std::vector<double>{}}, {"last_average_se", std::vector<double>{}}}};
    for (const diagnostics::Estimate& e : losses.last_average) {
      std::get<std::vector<double>>(last.columns[1].values).push_back(e.value);
      std::get<std::vector<double>>(last.columns[2].values).push_back(e.standard_error);
    }
    body_ += table_html(last);
    std::vector<Table> tables = losses.tables();
    tables.insert(tables.begin(), last);
    body_ += keep(tables);
  });
}

Report Parts::write(const std::filesystem::path& path) {
  std::string nav = "<nav aria-label=\"Sections\"><ul>";
  for (const auto& [id, title] : contents_) nav += "<li><a href=\"#" + id + "\">" + title + "</a></li>";
  nav += "</ul></nav>\n";
  report_.path = path;
  // The verdict comes first, the contents after it.
  io::write_file(path, page_html(options_.title, "<h1>" + escape_xml(options_.title) + "</h1>\n" + head_ + nav + body_));
  if (!options_.data_folder.empty()) write_folder();
  return std::move(report_);
}

void Parts::write_folder() const {
  detail::require_name("cannot make the data folder", options_.data_folder);
  std::error_code error;
  std::filesystem::create_directories(options_.data_folder, error);
  if (error)
    throw IoError(fmt::format("ReportOptions::data_folder = \"{}\": the folder could not be made: {}. Choose one that may be written to.",
                              options_.data_folder.string(), error.message()));
  for (const Table& table : report_.tables)
    if (table.rows() > 0) io::write_file(options_.data_folder / (table.name + ".csv"), diagnostics::to_csv(table));
  diagnostics::write_hdf5(report_.tables, (options_.data_folder / "tables.h5").string());
}

/// What is known of the networks, in words.
std::vector<std::pair<std::string, std::string>> architecture(const Amortizer& amortizer) {
  return {{"Inference network", amortizer.inference_net().to_string()},
          {"Summary network", amortizer.summary_net() ? amortizer.summary_net()->to_string() : "none"},
          {"Weights", fmt::format("{}", amortizer.num_weights())}};
}

}  // namespace bayesflow::report_page
