/// The HTML report.
#include "bayesflow/report/report.hpp"

#include "results.hpp"

namespace bayesflow::python {

void bind_report(nb::module_& m) {
  nb::class_<Report>(m, "Report", "What a report says, for programs.")
      .def_prop_ro(
          "verdict", [](const Report& self) { return self.verdict; }, nb::rv_policy::move)
      .def_prop_ro(
          "models", [](const Report& self) { return self.models; }, nb::rv_policy::move)
      .def("tables", [](const Report& self) { return data_frames(self.tables); })
      .def_prop_ro("path", [](const Report& self) { return self.path.string(); });

  nb::class_<ReportOptions>(m, "ReportOptions")
      .def(
          "__init__",
          [](ReportOptions* self, std::optional<std::string> title, std::vector<std::string> param_names,
             std::vector<std::pair<std::string, std::string>> facts, std::optional<Array> latents, std::optional<Array> log_posterior,
             std::optional<diagnostics::PosteriorPredictive> predictive, const TrainingSummary* training, std::int64_t example_data_set,
             double family_wise_error, bool expect_contraction, const std::string& data_folder, std::uint64_t seed, int threads,
             const nb::dict& data, std::optional<Array> summaries) {
            ReportOptions* options = new (self) ReportOptions();
            if (title) options->title = std::move(*title);
            options->param_names = std::move(param_names);
            options->facts = std::move(facts);
            options->latents = std::move(latents);
            options->log_posterior = std::move(log_posterior);
            options->predictive = std::move(predictive);
            if (training) options->training = *training;
            options->example_data_set = example_data_set;
            options->family_wise_error = family_wise_error;
            options->expect_contraction = expect_contraction;
            options->data_folder = path_of(data_folder);
            options->seed = seed;
            options->threads = threads;
            if (Batch batch = batch_of(data); !batch.empty()) options->data = std::move(batch);
            options->summaries = std::move(summaries);
          },
          "title"_a.none(), "param_names"_a, "facts"_a, "latents"_a.none(), "log_posterior"_a.none(), "predictive"_a.none(),
          "training"_a.none(), "example_data_set"_a, "family_wise_error"_a, "expect_contraction"_a, "data_folder"_a, "seed"_a, "threads"_a,
          "data"_a, "summaries"_a.none());

  m.def(
      "report_of_draws",
      [](const Array& draws, const Array& truths, const std::string& path, const ReportOptions& options) {
        return unlocked([&] { return report(draws, truths, path_of(path), options); });
      },
      "draws"_a, "truths"_a, "path"_a, "options"_a);
  m.def(
      "report_of_trainer",
      [](Trainer& trainer, const std::string& path, std::int64_t num_data_sets, std::int64_t num_draws, const ReportOptions& options) {
        return unlocked([&] { return report(trainer, path_of(path), {num_data_sets, num_draws, options}); });
      },
      "trainer"_a, "path"_a, "num_data_sets"_a, "num_draws"_a, "options"_a);
}

}  // namespace bayesflow::python
