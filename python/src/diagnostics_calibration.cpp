/// Diagnostics of calibration: ranks, coverage, joint test, latents, verdict.
#include "bayesflow/diagnostics/conditional.hpp"
#include "bayesflow/diagnostics/coverage.hpp"
#include "bayesflow/diagnostics/joint_test.hpp"
#include "bayesflow/diagnostics/latent.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "bayesflow/diagnostics/tarp.hpp"
#include "bayesflow/diagnostics/two_level.hpp"
#include "bayesflow/diagnostics/verdict.hpp"
#include "results.hpp"

namespace bayesflow::python {

using namespace diagnostics;

namespace {

void bind_ranks(nb::module_& m) {
  ResultClass<SbcRanks>(m, "SbcRanks", "Ranks of the truths among the draws.")
      .field("param_names", &SbcRanks::param_names, "P names")
      .field("ranks", &SbcRanks::ranks, "(B, P): whole numbers 0 ... S")
      .field("num_draws", &SbcRanks::num_draws, "S");
  m.def(
      "sbc_ranks",
      [](const Array& draws, const Array& truths, std::vector<std::string> names, std::uint64_t seed, int threads) {
        const SbcRankOptions options{std::move(names), seed, threads};
        return unlocked([&] { return sbc_ranks(draws, truths, options); });
      },
      "draws"_a, "truths"_a, "param_names"_a, "seed"_a, "threads"_a);

  ResultClass<SbcHistograms>(m, "SbcHistograms", "Histograms of ranks with exact binomial intervals.")
      .field("param_names", &SbcHistograms::param_names, "P names")
      .field("num_draws", &SbcHistograms::num_draws, "S")
      .field("num_data_sets", &SbcHistograms::num_data_sets, "B")
      .field("num_bins", &SbcHistograms::num_bins, "bins of each histogram")
      .field("first_rank", &SbcHistograms::first_rank, "(bins + 1): bin k holds ranks first_rank[k] ... first_rank[k + 1] - 1")
      .field("counts", &SbcHistograms::counts, "(P, bins)")
      .field("expected", &SbcHistograms::expected, "(bins)")
      .field("lower", &SbcHistograms::lower, "(bins): interval of each bar by itself")
      .field("upper", &SbcHistograms::upper, "(bins)")
      .field("simultaneous_lower", &SbcHistograms::simultaneous_lower, "(bins): all bars of a histogram together")
      .field("simultaneous_upper", &SbcHistograms::simultaneous_upper, "(bins)")
      .field("binomial_interval", &SbcHistograms::binomial_interval, "level of lower and upper")
      .field("simultaneous_interval", &SbcHistograms::simultaneous_interval, "exact level of the simultaneous limits")
      .field("inside", &SbcHistograms::inside, "P bools: all bars within the simultaneous limits");
  m.def(
      "sbc_histograms",
      [](const SbcRanks& ranks, std::int64_t num_bins, double interval, double simultaneous) {
        return unlocked([&] { return sbc_histograms(ranks, {num_bins, interval, simultaneous}); });
      },
      "ranks"_a, "num_bins"_a, "binomial_interval"_a, "simultaneous_interval"_a);

  ResultClass<SbcEcdf>(m, "SbcEcdf", "ECDFs of fractional ranks in a simultaneous band.")
      .field("param_names", &SbcEcdf::param_names, "P names")
      .field("ranks", &SbcEcdf::ranks, "(B, P): whole numbers 0 ... S")
      .field("num_draws", &SbcEcdf::num_draws, "S")
      .field("difference", &SbcEcdf::difference, "the diagonal is subtracted from ECDFs and band")
      .field("points", &SbcEcdf::points, "(K + 1): fractional ranks from 0 to 1")
      .field("ecdf", &SbcEcdf::ecdf, "(P, K + 1)")
      .field("band_lower", &SbcEcdf::band_lower, "(K + 1)")
      .field("band_upper", &SbcEcdf::band_upper, "(K + 1)")
      .field("confidence", &SbcEcdf::confidence, "as asked for")
      .field("coverage", &SbcEcdf::coverage, "exact coverage of one ECDF by the band")
      .field("over_all_parameters", &SbcEcdf::over_all_parameters, "the confidence holds for all parameters together")
      .field("inside", &SbcEcdf::inside, "P bools: the ECDF is inside the band everywhere")
      .field("p_value", &SbcEcdf::p_value, "(P): exact");
  m.def(
      "sbc_ecdf",
      [](const SbcRanks& ranks, double confidence, bool over_all, bool difference, std::int64_t max_points) {
        return unlocked([&] { return sbc_ecdf(ranks, {confidence, over_all, difference, max_points}); });
      },
      "ranks"_a, "confidence"_a, "over_all_parameters"_a, "difference"_a, "max_points"_a);

  ResultClass<EcdfBand>(m, "EcdfBand", "A simultaneous band for the ECDF of B independent draws.")
      .field("points", &EcdfBand::points, "(K)")
      .field("lower", &EcdfBand::lower, "(K)")
      .field("upper", &EcdfBand::upper, "(K)")
      .field("coverage", &EcdfBand::coverage, "exact")
      .field("gamma", &EcdfBand::gamma, "level of the binomial test at each point");
  m.def(
      "ecdf_band",
      [](std::int64_t num_data_sets, std::vector<double> points, double confidence) {
        return unlocked([&] { return ecdf_band(num_data_sets, std::move(points), confidence); });
      },
      "num_data_sets"_a, "points"_a, "confidence"_a);
  m.def(
      "coverage_probs",
      [](const Array& points, const Array& uniforms) { return unlocked([&] { return coverage_probs(points, uniforms); }); }, "points"_a,
      "uniforms"_a);
}

void bind_coverage(nb::module_& m) {
  ResultClass<Coverage>(m, "Coverage", "How often central credible intervals contain the truth, at L levels.")
      .field("param_names", &Coverage::param_names, "P names")
      .field("num_data_sets", &Coverage::num_data_sets, "B")
      .field("num_draws", &Coverage::num_draws, "S")
      .field("levels", &Coverage::levels, "(L): nominal, exact for S draws")
      .field("coverage", &Coverage::coverage, "(P, L): share of truths inside")
      .field("standard_error", &Coverage::standard_error, "(P, L): binomial")
      .field("band_lower", &Coverage::band_lower, "(L): simultaneous over the levels")
      .field("band_upper", &Coverage::band_upper, "(L)")
      .field("band_coverage", &Coverage::band_coverage, "exact probability of the band")
      .field("inside", &Coverage::inside, "P bools")
      .field("calibration_error", &Coverage::calibration_error, "P estimates: mean over levels of |coverage - level|")
      .field("expected_calibration_error", &Coverage::expected_calibration_error, "what an exact posterior shows on average")
      .field("excess", &Coverage::excess, "P estimates: mean of coverage - level; negative is overconfident");
  m.def(
      "coverage",
      [](const SbcRanks& ranks, std::int64_t num_levels, double confidence) {
        return unlocked([&] { return coverage(ranks, {num_levels, confidence}); });
      },
      "ranks"_a, "num_levels"_a, "confidence"_a);

  m.def(
      "posterior_calibration_error",
      [](const Array& draws, const Array& truths, std::int64_t resolution, double low, double high, std::int64_t bootstrap,
         std::uint64_t seed, int threads) {
        const CalibrationErrorOptions options{resolution, low, high, seed, bootstrap, threads};
        return unlocked([&] { return posterior_calibration_error(draws, truths, options); });
      },
      "draws"_a, "truths"_a, "alpha_resolution"_a, "min_quantile"_a, "max_quantile"_a, "bootstrap"_a, "seed"_a, "threads"_a);
  m.def(
      "posterior_calibration_errors",
      [](const Array& draws, const Array& truths, std::int64_t resolution, double low, double high, int threads) {
        const CalibrationErrorOptions options{
            .alpha_resolution = resolution, .min_quantile = low, .max_quantile = high, .threads = threads};
        return unlocked([&] { return posterior_calibration_errors(draws, truths, options); });
      },
      "draws"_a, "truths"_a, "alpha_resolution"_a, "min_quantile"_a, "max_quantile"_a, "threads"_a);
}

void bind_joint(nb::module_& m) {
  ResultClass<JointTest>(m, "JointTest", "Ranks of Q scalar quantities of the joint posterior, each tested.")
      .field("quantities", &JointTest::quantities, "Q names")
      .field("ranks", &JointTest::ranks, "(B, Q)")
      .field("num_draws", &JointTest::num_draws, "S")
      .field("p_value", &JointTest::p_value, "(Q): each by itself")
      .field("adjusted_p_value", &JointTest::adjusted_p_value, "(Q): Holm")
      .field("overall_p_value", &JointTest::overall_p_value, "the smallest adjusted one")
      .field("error_rate", &JointTest::error_rate, "of the whole test")
      .field("passed", &JointTest::passed, "overall_p_value > error_rate");
  m.def(
      "joint_test",
      [](const Array& draws, const Array& truths, std::optional<Array> log_draws, std::optional<Array> log_truths, std::int64_t projections,
         double error_rate, std::uint64_t seed, int threads) {
        const JointTestOptions options{std::move(log_draws), std::move(log_truths), projections, error_rate, seed, threads};
        return unlocked([&] { return joint_test(draws, truths, options); });
      },
      "draws"_a, "truths"_a, "log_posterior_draws"_a.none(), "log_posterior_truths"_a.none(), "num_projections"_a, "error_rate"_a, "seed"_a,
      "threads"_a);

  ResultClass<LatentNormality>(m, "LatentNormality", "Are latents standard normal? Over P dimensions.")
      .field("names", &LatentNormality::names, "P names")
      .field("mean", &LatentNormality::mean, "P estimates: 0 expected")
      .field("sd", &LatentNormality::sd, "P estimates: 1 expected")
      .field("skewness", &LatentNormality::skewness, "P estimates: 0 expected")
      .field("excess_kurtosis", &LatentNormality::excess_kurtosis, "P estimates: 0 expected")
      .field("anderson_darling", &LatentNormality::anderson_darling, "(P): statistics against N(0, 1)")
      .field("p_value", &LatentNormality::p_value, "(P)")
      .field("correlation", &LatentNormality::correlation, "(P, P)")
      .field("correlation_p_value", &LatentNormality::correlation_p_value, "(P, P)")
      .field("mean_squared_length", &LatentNormality::mean_squared_length, "estimate, divided by P: 1 expected")
      .field("squared_length_p_value", &LatentNormality::squared_length_p_value, "against chi-squared(P)")
      .field("overall_p_value", &LatentNormality::overall_p_value, "smallest Holm-adjusted p-value")
      .field("normal", &LatentNormality::normal, "overall_p_value > error_rate");
  m.def(
      "latent_normality",
      [](const Array& z, std::vector<std::string> names, double error_rate) {
        return unlocked([&] { return latent_normality(z, {std::move(names), error_rate}); });
      },
      "z"_a, "names"_a, "error_rate"_a);
}

void bind_tarp(nb::module_& m) {
  ResultClass<Tarp>(m, "Tarp", "Coverage of balls around random points.")
      .field("references", &Tarp::references, "(B, P): the points")
      .field("ranks", &Tarp::ranks, "(B): draws nearer to the point than the truth")
      .field("num_draws", &Tarp::num_draws, "S")
      .field("credibility", &Tarp::credibility, "(K + 1): from 0 to 1")
      .field("expected_coverage", &Tarp::expected_coverage, "(K + 1): share of truths inside")
      .field("band_lower", &Tarp::band_lower, "(K + 1): simultaneous over the levels, exact")
      .field("band_upper", &Tarp::band_upper, "(K + 1)")
      .field("confidence", &Tarp::confidence, "as asked for")
      .field("band_coverage", &Tarp::band_coverage, "exact probability of the band")
      .field("inside", &Tarp::inside, "the curve is inside the band everywhere")
      .field("p_value", &Tarp::p_value, "exact")
      .field("upper_excess", &Tarp::upper_excess, "estimate: mean of coverage - credibility above 1/2; negative is overconfident");
  m.def(
      "tarp",
      [](const Array& draws, const Array& truths, std::optional<Array> references, double confidence, std::int64_t max_points,
         std::uint64_t seed, int threads) {
        const TarpOptions options{std::move(references), confidence, max_points, seed, threads};
        return unlocked([&] { return tarp(draws, truths, options); });
      },
      "draws"_a, "truths"_a, "references"_a.none(), "confidence"_a, "max_points"_a, "seed"_a, "threads"_a);
}

void bind_verdict(nb::module_& m) {
  ResultClass<Finding> finding(m, "Finding", "One fault, of a parameter, of a pair, or of all together.");
  finding.field("parameter", &Finding::parameter, "index; -1: all parameters together")
      .field("other", &Finding::other, "second parameter of a pair; -1: none")
      .field("effect", &Finding::effect, "estimate, in `unit`")
      .field("unit", &Finding::unit, "of the effect")
      .field("p_value", &Finding::p_value, "adjusted for all tests made")
      .field("nats", &Finding::nats, "expected log score per data set that is lost, at least; NaN if that cannot be told")
      .field("sentence", &Finding::sentence, "in words")
      .kept(&Finding::kind);
  finding.type()
      .def_prop_ro(
          "kind", [](const Finding& f) { return to_string(f.kind); },
          "\"shifted\", \"overconfident\", \"underconfident\", \"wrong tails\", \"wrong dependence\", \"nothing learnt\", "
          "\"data not used\", \"wrong for some data\", \"too little evidence\" or \"non-finite\"")
      .def("__repr__", [](const Finding& f) { return "<Finding: " + f.sentence + ">"; });

  ResultClass<ParameterVerdict>(m, "ParameterVerdict", "What was measured of one parameter, at fault or not.")
      .field("name", &ParameterVerdict::name, "of the parameter")
      .field("at_fault", &ParameterVerdict::at_fault, "a finding names it")
      .field("shift", &ParameterVerdict::shift, "estimate in posterior sds: positive if the posterior lies too low")
      .field("width_ratio", &ParameterVerdict::width_ratio, "estimate: posterior sd over the exact one")
      .field("tail_excess", &ParameterVerdict::tail_excess, "estimate: negative if the tails are too heavy")
      .field("learnt", &ParameterVerdict::learnt, "estimate: share of the draws' variation that the data explain")
      .field("nats", &ParameterVerdict::nats, "log score lost by the findings of this parameter alone")
      .field("p_shift", &ParameterVerdict::p_shift, "by itself")
      .field("p_width", &ParameterVerdict::p_width, "by itself")
      .field("p_tails", &ParameterVerdict::p_tails, "by itself")
      .field("p_ecdf", &ParameterVerdict::p_ecdf, "by itself")
      .field("p_nothing_learnt", &ParameterVerdict::p_nothing_learnt, "by itself")
      .field("far_draws", &ParameterVerdict::far_draws, "share of draws ten posterior sds (by quartiles) or more off their median")
      .field("sentence", &ParameterVerdict::sentence, "in words");

  ResultClass<Predictable> predictable(m, "Predictable", "Whether an aspect of the truth's rank can be predicted from the data.");
  predictable.field("parameter", &Predictable::parameter, "index; -1: all parameters together")
      .field("other", &Predictable::other, "second parameter of a pair; -1: none")
      .field("r2", &Predictable::r2, "estimate: share of its variance that is predicted out of sample")
      .field("p_value", &Predictable::p_value, "adjusted for all aspects")
      .field("nats", &Predictable::nats, "log score that is lost at least")
      .field("feature", &Predictable::feature, "of the data that goes with it most")
      .kept(&Predictable::aspect);
  predictable.type().def_prop_ro(
      "aspect",
      [](const Predictable& a) {
        constexpr const char* kNames[] = {"location", "width", "dependence", "joint"};
        return kNames[static_cast<std::size_t>(a.aspect)];
      },
      "\"location\", \"width\", \"dependence\" or \"joint\"");
  ResultClass<Learnable>(m, "Learnable", "How much of what is known to be learnable the posterior means recover.")
      .field("name", &Learnable::name, "of the parameter")
      .field("rmse", &Learnable::rmse, "estimate: of posterior means, in standard deviations of the truths")
      .field("regression_rmse", &Learnable::regression_rmse, "estimate: of the best regression on the data's features, out of sample")
      .field("regression", &Learnable::regression, "\"linear\" or \"quadratic\"")
      .field("share", &Learnable::share, "explained variance over the regression's; NaN if the regression finds nothing")
      .field("regression_p_value", &Learnable::regression_p_value, "that the regression finds nothing");
  ResultClass<ConditionalCalibration>(m, "ConditionalCalibration", "Does a posterior use what the data say?")
      .field("aspects", &ConditionalCalibration::aspects, "list of Predictable, smallest p-value first")
      .field("parameters", &ConditionalCalibration::parameters, "list of Learnable")
      .field("p_value", &ConditionalCalibration::p_value, "of all aspects together, by permutation")
      .field("permutations", &ConditionalCalibration::permutations, "made")
      .field("num_data_sets", &ConditionalCalibration::num_data_sets, "looked at")
      .field("num_features", &ConditionalCalibration::num_features, "of the data, with squares");
  ResultClass<Lc2st>(m, "Lc2st", "Local classifier two-sample test.")
      .field("statistic", &Lc2st::statistic, "(n): mean squared distance of the class probability from 1/2")
      .field("p_value", &Lc2st::p_value, "(n)")
      .field("null", &Lc2st::null, "(num_null, n)")
      .field("levels", &Lc2st::levels, "(K): from 0 to 1")
      .field("ecdf", &Lc2st::ecdf, "(n, K): share of the draws whose class probability is at most the level")
      .field("band_lower", &Lc2st::band_lower, "(n, K): of the null's classifiers, at each level")
      .field("band_upper", &Lc2st::band_upper, "(n, K)")
      .field("confidence", &Lc2st::confidence, "of the band");

  ResultClass<Verdict> verdict_class(m, "Verdict", "Can this posterior be trusted?");
  verdict_class.field("calibrated", &Verdict::calibrated, "enough evidence, and no finding")
      .field("findings", &Verdict::findings, "list of Finding, smallest p-value first")
      .field("parameters", &Verdict::parameters, "list of ParameterVerdict")
      .field("sentence", &Verdict::sentence, "overall, in words")
      .field("nats", &Verdict::nats, "log score per data set that the findings cost at least")
      .field("conditional", &Verdict::conditional, "ConditionalCalibration, or None without data")
      .field("family_wise_error", &Verdict::family_wise_error, "share of exact posteriors found at fault, at most")
      .field("num_data_sets", &Verdict::num_data_sets, "B")
      .field("num_draws", &Verdict::num_draws, "S")
      .field("num_tests", &Verdict::num_tests, "made altogether")
      .field("detectable_shift", &Verdict::detectable_shift, "posterior sds that would be found with probability 0.8")
      .field("detectable_width_ratio", &Verdict::detectable_width_ratio, "the same for a posterior too narrow by this factor")
      .kept(&Verdict::severity);
  verdict_class.type().def_prop_ro(
      "severity", [](const Verdict& v) { return to_string(v.severity); },
      "of all findings: \"none\", \"harmless\", \"serious\" or \"overwhelming\"");
  verdict_class.type().def("__repr__", [](const Verdict& v) { return "<Verdict: " + v.sentence + ">"; });
  m.def(
      "verdict",
      [](const Array& draws, const Array& truths, std::vector<std::string> names, double family_wise_error, bool expect_contraction,
         double min_contraction, double detectable_shift, double harmless_nats, std::uint64_t seed, int threads, const nb::dict& data,
         std::optional<Array> summaries) {
        const VerdictOptions options{
            std::move(names), family_wise_error,   expect_contraction, min_contraction, detectable_shift, harmless_nats, seed,
            threads,          std::move(summaries)};
        const Batch batch = batch_of(data);
        return unlocked([&] { return batch.empty() ? verdict(draws, truths, options) : verdict(draws, truths, batch, options); });
      },
      "draws"_a, "truths"_a, "param_names"_a, "family_wise_error"_a, "expect_contraction"_a, "min_contraction"_a, "detectable_shift"_a,
      "harmless_nats"_a, "seed"_a, "threads"_a, "data"_a, "summaries"_a.none());
  m.def(
      "lc2st",
      [](const Array& draws, const Array& truths, const nb::dict& simulated_data, const Array& observed_draws,
         const nb::dict& observed_data, std::int64_t num_null, std::int64_t hidden_units, std::int64_t max_epochs, double confidence,
         std::uint64_t seed, int threads) {
        const Batch data = batch_of(simulated_data), observed = batch_of(observed_data);
        const Lc2stOptions options{{}, {}, num_null, hidden_units, max_epochs, confidence, seed, threads};
        return unlocked([&] { return lc2st(draws, truths, data, observed_draws, observed, options); });
      },
      "draws"_a, "truths"_a, "data"_a, "observed_draws"_a, "observed_data"_a, "num_null"_a, "hidden_units"_a, "max_epochs"_a,
      "confidence"_a, "seed"_a, "threads"_a);
}

}  // namespace

void bind_two_level(nb::module_& m) {
  ResultClass<TwoLevelRecovery>(m, "TwoLevelRecovery", "Point estimates against truths on both levels of a hierarchy.")
      .part("global_level", &TwoLevelRecovery::global, "Recovery of hyper and shared parameters: a point for each data set")
      .part("local_level", &TwoLevelRecovery::local, "Recovery of local parameters: a point for each group; errors from whole data sets")
      .field("data_set", &TwoLevelRecovery::data_set, "of the local points")
      .field("group", &TwoLevelRecovery::group, "of the local points");
  ResultClass<TwoLevelSbc>(m, "TwoLevelSbc", "Calibration of both levels of a hierarchy.")
      .part("global_ranks", &TwoLevelSbc::global_ranks, "SbcRanks of hyper and shared parameters")
      .part("local_ranks", &TwoLevelSbc::local_ranks, "SbcRanks of local parameters, of one group of each data set")
      .part("global_level", &TwoLevelSbc::global, "SbcEcdf of hyper and shared parameters")
      .part("local_level", &TwoLevelSbc::local, "SbcEcdf of local parameters")
      .field("data_set", &TwoLevelSbc::data_set, "of the local ranks")
      .field("group", &TwoLevelSbc::group, "of the local ranks");
  m.def(
      "two_level_recovery",
      [](Array global_draws, Array local_draws, const nb::dict& truths, std::vector<std::string> global_names,
         std::vector<std::string> local_names, int threads) {
        const Batch batch = batch_of(truths);
        const TwoLevelOptions options{std::move(global_names), std::move(local_names), 0, threads};
        return unlocked([&] { return two_level_recovery({std::move(global_draws), std::move(local_draws)}, batch, options); });
      },
      "global_draws"_a, "local_draws"_a, "truths"_a, "global_names"_a, "local_names"_a, "threads"_a);
  m.def(
      "two_level_sbc",
      [](Array global_draws, Array local_draws, const nb::dict& truths, std::vector<std::string> global_names,
         std::vector<std::string> local_names, double confidence, bool difference, std::uint64_t seed, int threads) {
        const Batch batch = batch_of(truths);
        const TwoLevelOptions options{std::move(global_names), std::move(local_names), seed, threads};
        return unlocked([&] {
          return two_level_sbc({std::move(global_draws), std::move(local_draws)}, batch, options,
                               {.confidence = confidence, .difference = difference});
        });
      },
      "global_draws"_a, "local_draws"_a, "truths"_a, "global_names"_a, "local_names"_a, "confidence"_a, "difference"_a, "seed"_a,
      "threads"_a);
}

void bind_calibration(nb::module_& m) {
  bind_ranks(m);
  bind_coverage(m);
  bind_joint(m);
  bind_tarp(m);
  bind_verdict(m);
}

}  // namespace bayesflow::python
