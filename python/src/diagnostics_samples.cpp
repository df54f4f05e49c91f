/// Diagnostics of samples: densities, two-sample tests, model probabilities, predictive checks.
#include "bayesflow/diagnostics/density.hpp"
#include "bayesflow/diagnostics/model_comparison.hpp"
#include "bayesflow/diagnostics/posterior_predictive.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "results.hpp"

namespace bayesflow::python {

using namespace diagnostics;

namespace {

void bind_densities(nb::module_& m) {
  ResultClass<Density1d>(m, "Density1d", "Kernel density estimate on a grid.")
      .field("x", &Density1d::x, "(points)")
      .field("density", &Density1d::density, "(points)")
      .field("bandwidth", &Density1d::bandwidth, "0 if all samples are equal");
  ResultClass<Density2d> joint(m, "Density2d", "Kernel density estimate on a grid in two dimensions.");
  joint.field("x", &Density2d::x, "(points)")
      .field("y", &Density2d::y, "(points)")
      .field("density", &Density2d::density, "(points in y, points in x)");
  joint.type().def(
      "levels", [](const Density2d& self, const std::vector<double>& mass) { return numbers(self.levels(mass)); }, "mass"_a,
      "Densities that bound the regions holding the given shares of the mass.");
  m.def(
      "kde_1d",
      [](const std::vector<double>& samples, std::int64_t points, double bw_factor, double cut, std::optional<double> low,
         std::optional<double> high, std::optional<double> bound) {
        const KdeOptions options{points, bw_factor, cut, low, high, bound};
        return unlocked([&] { return kde_1d(samples, options); });
      },
      "samples"_a, "points"_a, "bw_factor"_a, "cut"_a, "low"_a.none(), "high"_a.none(), "bound"_a.none());
  m.def(
      "kde_2d",
      [](const std::vector<double>& x, const std::vector<double>& y, std::int64_t points, double bw_factor, double cut) {
        const KdeOptions options{.points = points, .bw_factor = bw_factor, .cut = cut};
        return unlocked([&] { return kde_2d(x, y, options); });
      },
      "x"_a, "y"_a, "points"_a, "bw_factor"_a, "cut"_a);

  ResultClass<Histogram>(m, "Histogram", "Histogram with areas summing to one.")
      .field("edges", &Histogram::edges, "(bins + 1)")
      .field("density", &Histogram::density, "(bins)");
  ResultClass<PairsLayer> layer(m, "PairsLayer", "Everything in a pair grid that comes from one set of draws.");
  layer.field("draws", &PairsLayer::draws, "(at most max_scatter, P)")
      .field("num_draws", &PairsLayer::num_draws, "behind the numbers")
      .field("histograms", &PairsLayer::histograms, "P histograms")
      .field("marginals", &PairsLayer::marginals, "P densities")
      .field("mean", &PairsLayer::mean, "P estimates")
      .field("sd", &PairsLayer::sd, "P estimates")
      .field("correlation", &PairsLayer::correlation, "(P, P)");
  layer.type().def("joint", &PairsLayer::joint, nb::rv_policy::reference_internal, "row"_a, "column"_a,
                   "Joint density; row > column, x is the column's parameter.");
  ResultClass<Pairs>(m, "Pairs", "Numbers of a pair grid.")
      .field("param_names", &Pairs::param_names, "P names")
      .part("main", &Pairs::main, "PairsLayer of the draws")
      .part("reference", &Pairs::reference, "PairsLayer beneath, or None")
      .field("truth", &Pairs::truth, "(P) or None");
  m.def(
      "pairs",
      [](const Array& draws, std::vector<std::string> names, std::optional<Array> reference, std::optional<Array> truth,
         std::int64_t num_bins, std::int64_t max_scatter, std::int64_t points, int threads) {
        const PairsOptions options{std::move(names), std::move(reference), std::move(truth), num_bins,
                                   max_scatter,      {.points = points},   threads};
        return unlocked([&] { return pairs(draws, options); });
      },
      "draws"_a, "param_names"_a, "reference"_a.none(), "truth"_a.none(), "num_bins"_a, "max_scatter"_a, "points"_a, "threads"_a);
}

Kernel kernel_of(const std::string& name) {
  if (name == "gaussian") return Kernel::gaussian;
  if (name == "inverse_multiquadratic") return Kernel::inverse_multiquadratic;
  if (name == "gaussian_median") return Kernel::gaussian_median;
  throw ArgumentError("kernel must be \"gaussian\", \"inverse_multiquadratic\" or \"gaussian_median\"; got \"" + name + "\"");
}

void bind_two_sample(nb::module_& m) {
  ResultClass<C2st>(m, "C2st", "Classifier two-sample test.")
      .field("accuracy", &C2st::accuracy, "estimate: 0.5 if the samples cannot be told apart")
      .field("fold_accuracy", &C2st::fold_accuracy, "(folds)")
      .field("p_value", &C2st::p_value, "one-sided, of accuracy 0.5, from forward_accuracy")
      .field("forward_accuracy", &C2st::forward_accuracy, "of folds told by classifiers that saw earlier folds only")
      .field("num_per_class", &C2st::num_per_class, "after balancing")
      .field("dropped_columns", &C2st::dropped_columns, "without variance in both");
  m.def(
      "c2st",
      [](const Array& source, const Array& target, std::int64_t n_folds, std::int64_t hidden, std::int64_t max_epochs, std::uint64_t seed,
         int threads) { return unlocked([&] {
                          return c2st(source, target, {n_folds, hidden, max_epochs, seed, threads});
                        }); },
      "source"_a, "target"_a, "n_folds"_a, "hidden_units_per_dim"_a, "max_epochs"_a, "seed"_a, "threads"_a);

  m.def(
      "kernel_matrix",
      [](const Array& x, const Array& y, const std::string& kernel) {
        const Kernel which = kernel_of(kernel);
        return unlocked([&] { return kernel_matrix(x, y, which); });
      },
      "x"_a, "y"_a, "kernel"_a);
  m.def(
      "maximum_mean_discrepancy",
      [](const Array& source, const Array& target, const std::string& kernel, double weight, double minimum) {
        const Kernel which = kernel_of(kernel);
        return unlocked([&] { return maximum_mean_discrepancy(source, target, which, weight, minimum); });
      },
      "source"_a, "target"_a, "kernel"_a, "weight"_a, "minimum"_a);
  ResultClass<Mmd>(m, "Mmd", "Squared maximum mean discrepancy.")
      .field("unbiased", &Mmd::unbiased, "estimate; may be negative")
      .field("biased", &Mmd::biased, "v1's")
      .field("p_value", &Mmd::p_value, "of a permutation test")
      .field("null", &Mmd::null, "(permutations): unbiased estimates under permuted labels");
  m.def(
      "mmd",
      [](const Array& source, const Array& target, const std::string& kernel, std::int64_t permutations, std::uint64_t seed, int threads) {
        const MmdOptions options{kernel_of(kernel), permutations, seed, threads};
        return unlocked([&] { return mmd(source, target, options); });
      },
      "source"_a, "target"_a, "kernel"_a, "permutations"_a, "seed"_a, "threads"_a);
  ResultClass<MmdHypothesisTest>(m, "MmdHypothesisTest", "Are observed data as near to simulated ones as fresh simulations are?")
      .field("mmd_null", &MmdHypothesisTest::mmd_null, "(null samples): square roots of biased MMD^2")
      .field("mmd_observed", &MmdHypothesisTest::mmd_observed, "the observed one")
      .field("critical_value", &MmdHypothesisTest::critical_value, "misspecified if and only if mmd_observed exceeds it")
      .field("p_value", &MmdHypothesisTest::p_value, "of the test")
      .field("p_value_standard_error", &MmdHypothesisTest::p_value_standard_error, "binomial")
      .field("alpha_level", &MmdHypothesisTest::alpha_level, "as asked for")
      .field("misspecified", &MmdHypothesisTest::misspecified, "p_value <= alpha_level");
  m.def(
      "mmd_hypothesis_test",
      [](const Array& observed, const Array& reference, const std::optional<Array>& pool, const std::string& kernel,
         std::int64_t num_null_samples, double alpha_level, std::uint64_t seed, bool bootstrap, int threads) {
        const MmdTestOptions options{kernel_of(kernel), num_null_samples, alpha_level, seed, bootstrap, threads};
        return unlocked([&] {
          return pool ? mmd_hypothesis_test(observed, reference, *pool, options) : mmd_hypothesis_test(observed, reference, options);
        });
      },
      "observed"_a, "reference"_a, "null_pool"_a.none(), "kernel"_a, "num_null_samples"_a, "alpha_level"_a, "seed"_a, "bootstrap"_a,
      "threads"_a);
}

void bind_model_comparison(nb::module_& m) {
  ResultClass<CalibrationCurve>(m, "CalibrationCurve", "Non-empty bins of one model's predicted probability.")
      .field("mean_prediction", &CalibrationCurve::mean_prediction, "(non-empty bins)")
      .field("frequency", &CalibrationCurve::frequency, "(non-empty bins): how often the model was the true one")
      .field("lower", &CalibrationCurve::lower, "(non-empty bins): Wilson limit")
      .field("upper", &CalibrationCurve::upper, "(non-empty bins): Wilson limit")
      .field("count", &CalibrationCurve::count, "(non-empty bins)")
      .field("histogram", &CalibrationCurve::histogram, "(bins): share of all predictions");
  ResultClass<CalibrationCurves>(m, "CalibrationCurves", "Calibration of the probabilities of J models.")
      .field("model_names", &CalibrationCurves::model_names, "J names")
      .field("error", &CalibrationCurves::error, "J estimates: expected calibration error")
      .field("noise_floor", &CalibrationCurves::noise_floor, "(J): error expected if all probabilities are right")
      .field("curves", &CalibrationCurves::curves, "J curves")
      .field("num_bins", &CalibrationCurves::num_bins, "of equal width on [0, 1]");
  m.def(
      "expected_calibration_error",
      [](const Array& truths, const Array& probabilities, std::vector<std::string> names, std::int64_t num_bins, double confidence) {
        const CalibrationCurveOptions options{std::move(names), num_bins, confidence};
        return unlocked([&] { return expected_calibration_error(truths, probabilities, options); });
      },
      "truths"_a, "probabilities"_a, "model_names"_a, "num_bins"_a, "confidence"_a);

  ResultClass<ConfusionMatrix>(m, "ConfusionMatrix", "Rows are true models, columns the most probable ones.")
      .field("model_names", &ConfusionMatrix::model_names, "J names")
      .field("counts", &ConfusionMatrix::counts, "(J, J)")
      .field("normalized", &ConfusionMatrix::normalized, "(J, J) by rows; NaN for a model that never is the truth")
      .field("standard_error", &ConfusionMatrix::standard_error, "(J, J) of normalized")
      .field("accuracy", &ConfusionMatrix::accuracy, "estimate");
  m.def(
      "confusion_matrix",
      [](const Array& truths, const Array& probabilities, std::vector<std::string> names) {
        return unlocked([&] { return confusion_matrix(truths, probabilities, {std::move(names)}); });
      },
      "truths"_a, "probabilities"_a, "model_names"_a);

  ResultClass<ModelVerdict>(m, "ModelVerdict", "Whether posterior model probabilities are right.")
      .field("model_names", &ModelVerdict::model_names, "M names")
      .field("calibrated", &ModelVerdict::calibrated, "no fault was found")
      .field("learnt", &ModelVerdict::learnt, "the score is above that of the models' shares")
      .field("p_value", &ModelVerdict::p_value, "of slope 1 and offsets 0")
      .field("slope", &ModelVerdict::slope, "estimate: what log odds should be multiplied by; below 1: overconfident")
      .field("offsets", &ModelVerdict::offsets, "M estimates: what should be added; above 0: the model is given too little")
      .field("score", &ModelVerdict::score, "estimate: mean log probability of the true model")
      .field("prior_score", &ModelVerdict::prior_score, "that of the models' shares")
      .field("nats", &ModelVerdict::nats, "log score per data set that the right slope and offsets would gain")
      .field("num_data_sets", &ModelVerdict::num_data_sets, "n")
      .field("sentence", &ModelVerdict::sentence, "all of this in words");
  m.def(
      "model_verdict",
      [](const Array& truths, const Array& probabilities, std::vector<std::string> names, double error_rate) {
        return unlocked([&] { return model_verdict(truths, probabilities, {std::move(names), error_rate}); });
      },
      "truths"_a, "probabilities"_a, "model_names"_a, "error_rate"_a);

  ResultClass<LogScore>(m, "LogScore", "Log densities of the truths.")
      .field("log_density", &LogScore::log_density, "(B)")
      .field("mean", &LogScore::mean, "estimate")
      .field("gain", &LogScore::gain, "estimate over the prior in nats per data set, or None")
      .field("worst_data_set", &LogScore::worst_data_set, "index");
  m.def(
      "log_score",
      [](const Array& log_posterior, std::optional<Array> log_prior) {
        return unlocked([&] { return log_score(log_posterior, {std::move(log_prior)}); });
      },
      "log_posterior"_a, "log_prior"_a.none());
}

/// A Python function as a C++ one. It is called on the library's threads; the GIL is taken for each call.
template <class Result, class... Arguments>
std::function<Result(Arguments...)> function_of(nb::object function) {
  const std::shared_ptr<nb::object> shared(new nb::object(std::move(function)), [](nb::object* object) {
    const nb::gil_scoped_acquire gil;
    delete object;
  });
  return [shared](Arguments... arguments) {
    const nb::gil_scoped_acquire gil;
    try {
      return nb::cast<Result>((*shared)(arguments...));
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  };
}

void bind_predictive(nb::module_& m) {
  ResultClass<Pushforward>(m, "Pushforward", "Q quantiles of every value of simulated data.")
      .field("probabilities", &Pushforward::probabilities, "(Q)")
      .field("data_shape", &Pushforward::data_shape, "of one data set")
      .field("quantiles", &Pushforward::quantiles, "(B, Q, values of a data set, row-major)")
      .field("observed", &Pushforward::observed, "(B, values), or empty")
      .field("num_draws", &Pushforward::num_draws, "simulations behind each quantile");
  ResultClass<PosteriorPredictive>(m, "PosteriorPredictive", "K statistics of observed data against data simulated from the posterior.")
      .field("statistics", &PosteriorPredictive::statistics, "K names")
      .field("observed", &PosteriorPredictive::observed, "(B, K)")
      .field("simulated", &PosteriorPredictive::simulated, "(B, S, K)")
      .field("tail_probability", &PosteriorPredictive::tail_probability, "(B, K)")
      .field("standard_error", &PosteriorPredictive::standard_error, "(B, K) of the tail probability")
      .field("p_value", &PosteriorPredictive::p_value, "(B, K): two-sided")
      .field("overall_p_value", &PosteriorPredictive::overall_p_value, "(K): over all data sets")
      .part("bands", &PosteriorPredictive::bands, "Pushforward with the observed data");

  const auto simulator_of = [](nb::object simulate) {
    return Simulator::batched(
        [call = function_of<Array, const Array&>(std::move(simulate))](const Array& parameters, Rng&) { return call(parameters); },
        {.context = {}, .thread_safe = false});
  };
  m.def(
      "posterior_predictive",
      [simulator_of](const Array& draws, const Array& observed, nb::object simulate, const nb::dict& statistics, std::int64_t max_draws,
                     std::vector<double> probabilities) {
        std::vector<DataStatistic> named;
        for (const auto& [name, function] : statistics)
          named.push_back({nb::cast<std::string>(name), function_of<double, const Array&>(nb::borrow(function))});
        const Simulator simulator = simulator_of(std::move(simulate));
        return unlocked([&] {
          return posterior_predictive(draws, observed, simulator, named,
                                      {.max_draws = max_draws, .probabilities = std::move(probabilities), .threads = 1});
        });
      },
      "draws"_a, "observed"_a, "simulate"_a, "statistics"_a, "max_draws"_a, "probabilities"_a);
  m.def(
      "pushforward",
      [simulator_of](const Array& draws, nb::object simulate, std::int64_t max_draws, std::vector<double> probabilities) {
        const Simulator simulator = simulator_of(std::move(simulate));
        return unlocked([&] {
          return pushforward(draws, simulator, {.max_draws = max_draws, .probabilities = std::move(probabilities), .threads = 1});
        });
      },
      "draws"_a, "simulate"_a, "max_draws"_a, "probabilities"_a);
}

}  // namespace

void bind_samples(nb::module_& m) {
  bind_densities(m);
  bind_two_sample(m);
  bind_model_comparison(m);
  bind_predictive(m);
}

}  // namespace bayesflow::python
