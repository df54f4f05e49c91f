/// Diagnostics: tables, estimates, and what is measured of point estimates and losses.
#include <filesystem>

#include "bayesflow/diagnostics/losses.hpp"
#include "bayesflow/diagnostics/recovery.hpp"
#include "results.hpp"

namespace bayesflow::python {

using namespace diagnostics;

nb::dict data_frames(const std::vector<Table>& tables) {
  const nb::object frame = nb::module_::import_("pandas").attr("DataFrame");
  nb::dict out;
  for (const Table& table : tables) {
    nb::dict columns;
    for (const Column& column : table.columns)
      columns[column.name.c_str()] = std::holds_alternative<std::vector<double>>(column.values)
                                         ? to_numpy(numbers(std::get<std::vector<double>>(column.values)))
                                         : nb::cast(std::get<std::vector<std::string>>(column.values));
    out[table.name.c_str()] = frame(columns);
  }
  return out;
}

void write_csv_files(const std::vector<Table>& tables, const std::string& folder) {
  std::error_code failed;  // a folder that cannot be made is reported by the first file
  std::filesystem::create_directories(path_of(folder), failed);
  for (const Table& table : tables) write_csv(table, (path_of(folder) / (table.name + ".csv")).string());
}

namespace {

DrawSummary summary_of(const std::string& name) {
  if (name == "median") return median();
  if (name == "mean") return mean();
  if (name == "standard deviation") return standard_deviation();
  return median_absolute_deviation();
}

}  // namespace

void bind_estimates(nb::module_& m) {
  nb::class_<Estimate>(m, "Estimate", "A number estimated from finitely many data sets or draws, with its Monte-Carlo standard error.")
      .def_ro("value", &Estimate::value)
      .def_ro("standard_error", &Estimate::standard_error, "NaN where there is none.")
      .def("__getstate__", [](const Estimate& e) { return nb::make_tuple(e.value, e.standard_error); })
      .def("__setstate__",
           [](Estimate& e, const nb::tuple& state) {
             new (&e) Estimate{nb::cast<double>(state[0]), nb::cast<double>(state[1])};
           })
      .def("__float__", [](const Estimate& e) { return e.value; })
      .def("__repr__", [](const Estimate& e) { return nb::str("{:.4g} ± {:.2g}").attr("format")(e.value, e.standard_error); });

  ResultClass<Recovery>(m, "Recovery", "Point estimates against truths, over B data sets and P parameters.")
      .field("param_names", &Recovery::param_names, "P names")
      .field("point_name", &Recovery::point_name, "what the point estimate is")
      .field("spread_name", &Recovery::spread_name, "what the error bar is; empty without one")
      .field("truths", &Recovery::truths, "(B, P)")
      .field("estimates", &Recovery::estimates, "(B, P)")
      .field("spreads", &Recovery::spreads, "(B, P) or None")
      .field("r2", &Recovery::r2, "P estimates: 1 - SSE / SST")
      .field("r", &Recovery::r, "P estimates: Pearson correlation")
      .field("rmse", &Recovery::rmse, "P estimates, in the parameter's unit")
      .field("normalized_rmse", &Recovery::normalized_rmse, "P estimates: in standard deviations of the truths")
      .field("bias", &Recovery::bias, "P estimates: mean of estimate - truth");
  m.def(
      "recovery",
      [](const Array& draws, const Array& truths, std::vector<std::string> names, const std::string& point,
         const std::optional<std::string>& spread, int threads) {
        RecoveryOptions options{.param_names = std::move(names), .point = summary_of(point), .spread = {}, .threads = threads};
        if (spread) options.spread = summary_of(*spread);
        return unlocked([&] { return recovery(draws, truths, options); });
      },
      "draws"_a, "truths"_a, "param_names"_a, "point"_a, "spread"_a.none(), "threads"_a);
  // For point estimates and error bars that the user's own functions made.
  m.def(
      "recovery_of_estimates",
      [](const Array& estimates, std::optional<Array> spreads, const Array& truths, std::vector<std::string> names, std::string point_name,
         std::string spread_name, int threads) {
        return unlocked([&] {
          Recovery out = recovery(estimates.expand_dims(1), truths,
                                  {.param_names = std::move(names), .point = mean(), .spread = {}, .threads = threads});
          out.spreads = std::move(spreads);
          out.point_name = std::move(point_name);
          out.spread_name = std::move(spread_name);
          return out;
        });
      },
      "estimates"_a, "spreads"_a.none(), "truths"_a, "param_names"_a, "point_name"_a, "spread_name"_a, "threads"_a);

  ResultClass<ZScoreContraction>(m, "ZScoreContraction", "Posterior z-scores and contraction, over B data sets and P parameters.")
      .field("param_names", &ZScoreContraction::param_names, "P names")
      .field("z_score", &ZScoreContraction::z_score, "(B, P): (posterior mean - truth) / posterior sd")
      .field("contraction", &ZScoreContraction::contraction, "(B, P): 1 - posterior variance / prior variance")
      .field("prior_variance", &ZScoreContraction::prior_variance, "(P)")
      .field("mean_z_score", &ZScoreContraction::mean_z_score, "P estimates: 0 if unbiased")
      .field("sd_z_score", &ZScoreContraction::sd_z_score, "P estimates: 1 for Gaussian posteriors of the right width")
      .field("mean_contraction", &ZScoreContraction::mean_contraction, "P estimates");
  m.def(
      "z_score_contraction",
      [](const Array& draws, const Array& truths, std::vector<std::string> names, std::optional<Array> prior_draws, int threads) {
        const ContractionOptions options{std::move(names), std::move(prior_draws), threads};
        return unlocked([&] { return z_score_contraction(draws, truths, options); });
      },
      "draws"_a, "truths"_a, "param_names"_a, "prior_draws"_a.none(), "threads"_a);

  m.def(
      "aggregated_rmse", [](const Array& draws, const Array& truths) { return unlocked([&] { return aggregated_rmse(draws, truths); }); },
      "draws"_a, "truths"_a);

  ResultClass<LossCurves>(m, "LossCurves", "Losses of N training steps and V validations, in C components.")
      .field("names", &LossCurves::names, "C names")
      .field("steps", &LossCurves::steps, "(N)")
      .field("train", &LossCurves::train, "(N, C)")
      .field("moving_average", &LossCurves::moving_average, "(N, C): trailing mean over `window` steps")
      .field("window", &LossCurves::window, "steps of the moving average")
      .field("validation_steps", &LossCurves::validation_steps, "(V)")
      .field("validation", &LossCurves::validation, "(V, C)")
      .field("last_average", &LossCurves::last_average, "C estimates: mean over the last window");
  m.def(
      "losses",
      [](std::vector<std::string> names, const Array& train, const Array& validation, std::vector<double> steps, double window) {
        return unlocked([&] { return losses(std::move(names), train, validation, std::move(steps), {.ma_window_fraction = window}); });
      },
      "names"_a, "train"_a, "validation"_a, "validation_steps"_a, "ma_window_fraction"_a);
}

void bind_diagnostics(nb::module_& m) {
  nb::module_ part = m.def_submodule("diagnostics", "Numbers behind bayesflow_cpp.diagnostics.");
  bind_estimates(part);
  bind_calibration(part);
  bind_two_level(part);
  bind_samples(part);
}

}  // namespace bayesflow::python
