#include "bayesflow/diagnostics/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "diagnostics/conditional_data.hpp"
#include "diagnostics/far_draws.hpp"
#include "diagnostics/joint_ranks.hpp"
#include "diagnostics/learning.hpp"
#include "diagnostics/numbers.hpp"
#include "diagnostics/rank_tests.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

/// How the error rate is shared out (relative weights). Shift and width are what goes wrong most often.
constexpr double kShift = 0.25, kWidth = 0.25, kSkew = 0.04, kTails = 0.16, kEcdf = 0.05, kPairs = 0.15, kJoint = 0.05, kNothing = 0.05,
                 kConditional = 0.2;
/// A tenth is held in reserve: p-values are approximations, good to a few percent.
constexpr double kReserve = 0.1;
constexpr double kOverwhelming = 0.5;   ///< nats: a posterior that could be 0.6 times as wide
constexpr double kNearlyOne = 0.95;     ///< a correlation beyond which the width across it says more
constexpr double kFarShare = 1e-4;      ///< of draws that lie far off: from here on sentences speak of them
constexpr std::int64_t kFewestFar = 5;  ///< and from this number on
constexpr std::int64_t kFewDraws = 10;  ///< fewer say nothing about the posterior's own sd
constexpr double kSaturates = 0.3;      ///< of sqrt(S): posteriors wider by more than this cannot be told apart
/// Once a test has rejected, a finding names the effects that are this many standard errors from zero. This is no test of its own.
constexpr double kNamed = 2.0, kNamedShape = 2.5, kNamedDependence = 3.0, kNamedOutside = 3.0;

enum class Test : std::uint8_t { shift, width, skew, tails, ecdf, sum, difference, joint, nothing, conditional };

struct Tested {
  Test test;
  std::int64_t i, j;
  double p, weight;
};

/// Nats lost where N(0, 1) is claimed and N(location, scale^2) is right.
double nats_of(double location, double scale) { return 0.5 * (scale * scale + location * location - 1) - std::log(scale); }
/// The same of a correlation, between standardized parameters.
double nats_of_correlation(double claimed, double right) {
  return 0.5 * (2 * (1 - claimed * right) / (1 - claimed * claimed) - 2 - std::log((1 - right * right) / (1 - claimed * claimed)));
}

/// Ranks of column c of (B, n).
std::vector<std::int64_t> column(const Array& ranks, std::int64_t c) {
  const std::int64_t n = ranks.rank() == 1 ? 1 : ranks.dim(1);
  std::vector<std::int64_t> out(index(ranks.dim(0)));
  for (std::size_t b = 0; b < out.size(); ++b) out[b] = static_cast<std::int64_t>(ranks.data()[static_cast<std::int64_t>(b) * n + c]);
  return out;
}

std::string p_text(double p) { return p < 1e-4 ? std::string("p < 0.0001") : fmt::format("p = {:.2g}", p); }
/// Two decimals, more where the standard error needs them: an effect that was found is not shown as 0.00 +- 0.00.
std::string plus_minus(Estimate e, int least = 2) {
  const double se = e.standard_error;
  const int decimals = se > 0 ? std::clamp(static_cast<int>(std::ceil(-std::log10(se))), least, 9) : least;
  return fmt::format("{:.{}f} +- {:.{}f}", e.value, decimals, se, decimals);
}

/// Faults that ranks show; the others explain no rank test.
bool shown_by_ranks(const Finding& f) {
  return f.kind != Fault::nothing_learnt && f.kind != Fault::non_finite && f.kind != Fault::data_unused && f.kind != Fault::wrong_for_some;
}

/// Location and log scale of the truths in the mean and sd of their draws, by median and median absolute deviation: where most truths
/// lie outside of all draws, ranks tell neither. Empty if the draws have no spread to measure by.
std::optional<ProbitFit> fit_outside(const Array& draws, const Array& truths, const Sizes& n, std::int64_t parameter) {
  std::vector<double> z, values(index(n.draws));
  for (std::int64_t b = 0; b < n.data_sets; ++b) {
    gather(draws, n, b, parameter, values);
    const Estimate mean = mean_estimate(values);
    const double sd = mean.standard_error * std::sqrt(real(n.draws));
    if (sd > 0) z.push_back((truths.data()[b * n.parameters + parameter] - mean.value) / sd);
  }
  if (2 * static_cast<std::int64_t>(z.size()) <= n.data_sets) return {};
  const auto middle = [](std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return sorted_quantile(v, 0.5);
  };
  ProbitFit out;
  out.location.value = middle(z);
  std::vector<double> distance = z;
  for (double& v : distance) v = std::fabs(v - out.location.value);
  const double seen = std::pow(1.4826 * middle(distance), 2);
  if (!(seen > 0)) return {};
  // Each sd has an error of its sqrt(1 / (2 S)). Far out this scatters more than the truths themselves, and hides their width.
  const double own = seen - out.location.value * out.location.value / (2 * real(n.draws));
  // Asymptotic errors at the normal distribution.
  const double root = std::sqrt(real(static_cast<std::int64_t>(z.size())));
  out.location.standard_error = 1.2533 * std::sqrt(seen) / root;
  out.log_scale = own > seen / 2 ? Estimate{0.5 * std::log(own), 1.1664 / root * seen / own} : Estimate{kNaN, kNaN};
  return out;
}

/// Effects of one parameter, from its ranks.
struct Effects {
  ProbitFit fit;
  double t3 = 0, t4 = 0;  // skewness and tails beyond what shift and width explain, in standard errors
  Estimate width_ratio, tail_excess, skew_excess;
  double named = kNamed;  // standard errors from which an effect is named
  bool at_least = false;  // the width ratio is the largest that this number of draws can show
};
Effects effects(const RankScores& scores, const std::vector<std::int64_t>& ranks, const Array& draws, const Array& truths, const Sizes& n,
                std::int64_t parameter) {
  Effects out;
  const std::int64_t largest = scores.num_draws();
  const auto outside = std::count_if(ranks.begin(), ranks.end(), [&](std::int64_t r) { return r == 0 || r == largest; });
  if (largest >= kFewDraws && 2 * outside > n.data_sets)
    if (const std::optional<ProbitFit> fit = fit_outside(draws, truths, n, parameter)) {
      out.fit = *fit;
      out.named = kNamedOutside;
      const double ratio = std::exp(-fit->log_scale.value);
      out.width_ratio = {ratio, ratio * fit->log_scale.standard_error};
      return out;
    }
  out.fit = fit_probit(scores, ranks);
  // The middle of S draws is known to sd / sqrt(S) at best, so truths that are nearer to it than that look alike.
  out.at_least = std::exp(-out.fit.log_scale.value) > kSaturates * std::sqrt(real(largest));
  const double ratio = std::exp(-out.fit.log_scale.value), root = std::sqrt(static_cast<double>(ranks.size()));
  out.width_ratio = {ratio, ratio * out.fit.log_scale.standard_error};
  if (scores.degrees() >= 4) {
    const double h3 = scores.statistic(3, ranks) / root - out.fit.h3, h4 = scores.statistic(4, ranks) / root - out.fit.h4;
    out.t3 = h3 * root / out.fit.h3_sd;
    out.t4 = h4 * root / out.fit.h4_sd;
    // Of normal scores: h_3 = (w^3 - 3 w) / sqrt(6), h_4 = (w^4 - 6 w^2 + 3) / sqrt(24).
    out.skew_excess = {std::sqrt(6.0) * h3, std::sqrt(6.0) * out.fit.h3_sd / root};
    out.tail_excess = {std::sqrt(24.0) * h4, std::sqrt(24.0) * out.fit.h4_sd / root};
  }
  return out;
}

/// "0.80 +- 0.03", or "at least 26".
std::string width_text(const Effects& e) {
  return e.at_least ? fmt::format("at least {:.2g}", e.width_ratio.value - 2 * e.width_ratio.standard_error) : plus_minus(e.width_ratio);
}

class Judge {
 public:
  Judge(const Array& draws, const Array& truths, const Sizes& n, const VerdictOptions& options, Verdict& out)
      : draws_(draws), truths_(truths), n_(n), options_(options), out_(out), scores_(n.draws), pool_(options.threads) {}

  void run() {
    test_parameters();
    if (n_.parameters > 1) test_jointly();
    if (out_.conditional) tests_.push_back({Test::conditional, -1, -1, out_.conditional->p_value, kConditional});
    std::vector<double> p, w;
    for (const Tested& t : tests_) {
      p.push_back(t.p);
      w.push_back(t.weight);
    }
    p.push_back(1);
    w.push_back(kReserve);
    adjusted_ = holm(p, w);
    out_.num_tests = static_cast<std::int64_t>(tests_.size());
    if (out_.conditional) out_.num_tests += static_cast<std::int64_t>(out_.conditional->aspects.size()) - 1;
    for (std::int64_t i = 0; i < n_.parameters; ++i) name_parameter(i);
    for (std::int64_t i = 1, pair = 0; i < n_.parameters; ++i)
      for (std::int64_t j = 0; j < i; ++j, ++pair) name_pair(i, j, pair);
    name_joint();
    if (out_.conditional) name_conditional(*out_.conditional);
  }
  [[nodiscard]] const RankScores& scores() const { return scores_; }

 private:
  void test_parameters() {
    const SbcRanks ranks = sbc_ranks(draws_, truths_, {.seed = options_.seed, .threads = options_.threads});
    const SbcEcdf ecdf = sbc_ecdf(ranks, {});
    effects_.resize(index(n_.parameters));
    std::vector<std::vector<Tested>> found(index(n_.parameters));
    const double share = 1.0 / real(n_.parameters);
    pool_.for_each(n_.parameters, [&](std::int64_t i) {
      const std::vector<std::int64_t> r = column(ranks.ranks, i);
      ParameterVerdict& v = out_.parameters[index(i)];
      Effects& e = effects_[index(i)];
      e = effects(scores_, r, draws_, truths_, n_, i);
      v.shift = e.fit.location;
      v.width_ratio = e.width_ratio;
      v.tail_excess = e.tail_excess;
      const auto add = [&](Test test, double p, double weight) {
        found[index(i)].push_back({test, i, -1, p, weight * share});
        return p;
      };
      const auto smooth = [&](Test test, int degree, double weight) {
        if (degree > scores_.degrees()) return 1.0;
        return add(test, scores_.p_value(degree, scores_.statistic(degree, r), n_.data_sets), weight);
      };
      v.p_shift = smooth(Test::shift, 1, kShift);
      v.p_width = smooth(Test::width, 2, kWidth);
      const double p3 = smooth(Test::skew, 3, kSkew), p4 = smooth(Test::tails, 4, kTails);
      v.p_tails = std::min({1.0, 2 * p3, 2 * p4});
      v.p_ecdf = add(Test::ecdf, ecdf.p_value[index(i)], kEcdf);
      const Learning l = learning(draws_, n_, i, options_.min_contraction);
      v.learnt = l.share;
      v.p_nothing_learnt = l.p_value;
      if (options_.expect_contraction) add(Test::nothing, l.p_value, kNothing);
    });
    for (auto& f : found) tests_.insert(tests_.end(), f.begin(), f.end());
  }

  void test_jointly() {
    const std::int64_t directions = 3, pairs = n_.parameters * (n_.parameters - 1) / 2;
    joint_ = joint_ranks(draws_, truths_, n_, random_directions(directions, n_.parameters, options_.seed), true, options_.seed, pool_);
    if (scores_.degrees() >= 2) {
      std::vector<Tested> found(index(2 * pairs));
      pool_.for_each(pairs, [&](std::int64_t pair) {
        std::int64_t i = 1, first = 0;
        while (first + i <= pair) first += i++;
        for (const bool sum : {true, false}) {
          const std::vector<std::int64_t> r = column(sum ? joint_.sums : joint_.differences, pair);
          found[index(2 * pair + (sum ? 0 : 1))] = {sum ? Test::sum : Test::difference, i, pair - first,
                                                    scores_.p_value(2, scores_.statistic(2, r), n_.data_sets), kPairs / real(2 * pairs)};
        }
      });
      tests_.insert(tests_.end(), found.begin(), found.end());
    }
    const int degrees = std::min(2, scores_.degrees());
    const double weight = kJoint / real(degrees * (directions + 1));
    for (std::int64_t q = 0; q <= directions; ++q) {
      const std::vector<std::int64_t> r = q ? column(joint_.projections, q - 1) : column(joint_.distance, 0);
      for (int d = 1; d <= degrees; ++d)
        tests_.push_back({Test::joint, -1, -1, scores_.p_value(d, scores_.statistic(d, r), n_.data_sets), weight});
    }
  }

  /// Adjusted p-value of a test, 1 if it was not made.
  [[nodiscard]] double p(Test test, std::int64_t i, std::int64_t j = -1) const {
    double least = 1;
    for (std::size_t t = 0; t < tests_.size(); ++t)
      if (tests_[t].test == test && tests_[t].i == i && tests_[t].j == j) least = std::min(least, adjusted_[t]);
    return least;
  }
  [[nodiscard]] bool rejected(double p_value) const { return p_value <= options_.family_wise_error; }

  [[nodiscard]] const std::string& name_of(std::int64_t i) const { return out_.parameters[index(i)].name; }

  void add(Fault kind, std::int64_t i, std::int64_t j, Estimate effect, const char* unit, double p_value, double nats,
           std::string sentence) {
    sentence += fmt::format(" ({})", p_text(p_value));
    for (const std::int64_t k : {i, j})
      if (k >= 0) out_.parameters[index(k)].at_fault = true;
    out_.findings.push_back({kind, i, j, effect, unit, p_value, nats, std::move(sentence)});
  }

  void name_parameter(std::int64_t i) {
    const Effects& e = effects_[index(i)];
    const std::string& name = name_of(i);
    const double shift = p(Test::shift, i), width = p(Test::width, i),
                 shape = std::min({p(Test::skew, i), p(Test::tails, i), p(Test::ecdf, i)});
    const auto far = [](Estimate x, double limit) { return std::fabs(x.value) > limit * x.standard_error; };
    bool named = false;
    if (rejected(shift) && far(e.fit.location, e.named)) {
      named = true;
      add(Fault::shifted, i, -1, e.fit.location, "posterior sd", shift, nats_of(e.fit.location.value, 1),
          fmt::format("{} is shifted: its truth lies {} posterior standard deviations {} the centre on average", name,
                      plus_minus({std::fabs(e.fit.location.value), e.fit.location.standard_error}),
                      e.fit.location.value > 0 ? "above" : "below"));
    }
    if (rejected(width) && (far(e.fit.log_scale, e.named) || (!named && std::fabs(e.t3) < kNamedShape && std::fabs(e.t4) < kNamedShape))) {
      named = true;
      const bool narrow = e.width_ratio.value < 1;
      add(narrow ? Fault::overconfident : Fault::underconfident, i, -1, e.width_ratio, "sd ratio", width,
          nats_of(0, 1 / e.width_ratio.value),
          fmt::format("{} is {}: its posterior is {} times as wide as it should be", name, narrow ? "overconfident" : "underconfident",
                      width_text(e)));
    }
    const double any = std::min({shift, width, shape});
    if ((rejected(shape) && (std::fabs(e.t3) > kNamedShape || std::fabs(e.t4) > kNamedShape)) || (rejected(any) && !named)) {
      const bool tails = std::fabs(e.t4) >= std::fabs(e.t3);
      std::string how =
          tails ? fmt::format("its posterior's tails are too {} for its width (excess kurtosis of the truth in normal scores {})",
                              e.t4 < 0 ? "heavy" : "light", plus_minus(e.tail_excess))
                : fmt::format("its posterior is skewed too little to the {} (skewness of the truth in normal scores {})",
                              e.t3 > 0 ? "right" : "left", plus_minus(e.skew_excess));
      if (std::max(std::fabs(e.t3), std::fabs(e.t4)) < kNamed) how = "its posterior's shape is wrong, as the ECDF of its ranks shows";
      add(Fault::wrong_tails, i, -1, tails ? e.tail_excess : e.skew_excess, tails ? "excess kurtosis" : "skewness",
          rejected(shape) ? shape : any, std::pow(e.tail_excess.value, 2) / 48 + std::pow(e.skew_excess.value, 2) / 12,
          fmt::format("{} has wrong tails: {}", name, how));
    }
    const double nothing = p(Test::nothing, i);
    if (rejected(nothing)) {
      const Estimate learnt = out_.parameters[index(i)].learnt;
      const Learnable* known = out_.conditional ? &out_.conditional->parameters[index(i)] : nullptr;
      const bool there = known && std::isfinite(known->share);
      add(Fault::nothing_learnt, i, -1, learnt, "share of variation", nothing, there ? -std::log(known->regression_rmse.value) : kNaN,
          fmt::format("nothing was learnt about {}: its posterior hardly changes with the data, which explain {:.1f} +- {:.1f} % of the "
                      "variation of its draws{}",
                      name, 100 * std::max(0.0, learnt.value), 100 * learnt.standard_error,
                      !known  ? std::string()
                      : there ? fmt::format("; a {} regression explains {:.0f} % of the truths'", known->regression,
                                            100 * (1 - std::pow(known->regression_rmse.value, 2)))
                              : std::string("; a regression finds nothing either, so the data may not tell it (then set expect_contraction "
                                            "to false)")));
    }
  }

  void name_pair(std::int64_t i, std::int64_t j, std::int64_t pair) {
    const double p_value = std::min(p(Test::sum, i, j), p(Test::difference, i, j));
    if (!rejected(p_value)) return;
    const std::vector<std::int64_t> sum = column(joint_.sums, pair), difference = column(joint_.differences, pair);
    // Widths of sum and difference, of the truth relative to the draws, tell what the truth's correlation is.
    const ProbitFit s = fit_probit(scores_, sum), t = fit_probit(scores_, difference);
    const double contrast = s.log_scale.value - t.log_scale.value,
                 contrast_error = std::hypot(s.log_scale.standard_error, t.log_scale.standard_error);
    const double drawn = joint_.correlation.data()[pair];
    const double a = (1 + drawn) * std::exp(2 * s.log_scale.value), b = (1 - drawn) * std::exp(2 * t.log_scale.value);
    const double excess = drawn - (a - b) / (a + b);
    const double error = 4 * a * b / ((a + b) * (a + b)) * contrast_error;
    const std::string names = fmt::format("{} and {}", name_of(j), name_of(i));
    // What single parameters show explains the rest.
    const auto at_fault = [&](std::int64_t k) {
      return std::any_of(out_.findings.begin(), out_.findings.end(),
                         [k](const Finding& f) { return f.parameter == k && f.other < 0 && shown_by_ranks(f); });
    };
    if (std::fabs(contrast) > kNamedDependence * contrast_error) {
      std::string how = fmt::format("the correlation of their draws is too {} by {}", excess > 0 ? "high" : "low",
                                    plus_minus({std::fabs(excess), error}));
      if (std::fabs(drawn) > kNearlyOne) {  // little of the correlation is much of what is left beside it
        const Estimate& left = drawn > 0 ? t.log_scale : s.log_scale;
        const double ratio = std::exp(-left.value);
        how += fmt::format(": it is {:.4g}, and their {} is {} times as wide as it should be", drawn, drawn > 0 ? "difference" : "sum",
                           plus_minus({ratio, ratio * left.standard_error}));
      }
      add(Fault::wrong_dependence, j, i, {excess, error}, "correlation", p_value, nats_of_correlation(drawn, drawn - excess),
          fmt::format("{} depend on each other in a wrong way: {}", names, how));
    } else if (!at_fault(i) && !at_fault(j)) {
      const double log_scale = 0.5 * (s.log_scale.value + t.log_scale.value), ratio = std::exp(-log_scale);
      const Estimate width{ratio, ratio * 0.5 * std::hypot(s.log_scale.standard_error, t.log_scale.standard_error)};
      add(ratio < 1 ? Fault::overconfident : Fault::underconfident, j, i, width, "sd ratio", p_value, 2 * nats_of(0, 1 / ratio),
          fmt::format("{} together are {}: the posterior of their sum and difference is {} times as wide as it should be", names,
                      ratio < 1 ? "overconfident" : "underconfident", plus_minus(width)));
    }
  }

  void name_joint() {
    const double p_value = p(Test::joint, -1);
    // What single parameters and pairs show explains it.
    const bool explained = std::any_of(out_.findings.begin(), out_.findings.end(), shown_by_ranks);
    if (!rejected(p_value) || explained) return;
    const ProbitFit fit = fit_probit(scores_, column(joint_.distance, 0));
    add(Fault::wrong_dependence, -1, -1, fit.location, "normal score", p_value, nats_of(fit.location.value, 1),
        fmt::format(
            "the joint posterior is wrong in a way that no parameter and no pair shows: the truth's distance from its centre ranks {} "
            "standard scores from where it should on average",
            plus_minus(fit.location)));
  }

  void name_conditional(const ConditionalCalibration& c) {
    const double p_value = p(Test::conditional, -1);
    if (!rejected(p_value)) return;
    const double factor = p_value / c.p_value;
    bool named = false;
    const auto of_this = [&](std::int64_t k) {
      return std::any_of(out_.findings.begin(), out_.findings.end(), [k](const Finding& f) {
        return (f.kind == Fault::data_unused || f.kind == Fault::wrong_for_some) && f.other < 0 && f.parameter == k;
      });
    };
    // Parameters by themselves first, then pairs, then what only all together show.
    for (const Aspect aspect : {Aspect::location, Aspect::width, Aspect::dependence, Aspect::joint})
      for (const Predictable& a : c.aspects) {
        const double adjusted = std::min(1.0, a.p_value * factor);
        if (a.aspect != aspect || !rejected(adjusted) || a.r2.value <= 0) continue;
        // A location that follows the data makes the distance from the centre follow them as well.
        if (aspect == Aspect::width && of_this(a.parameter)) continue;
        if (aspect == Aspect::dependence && (of_this(a.parameter) || of_this(a.other))) continue;
        if (aspect == Aspect::joint && named) continue;
        if (aspect == Aspect::dependence && out_.has(Fault::wrong_for_some, a.parameter) && out_.has(Fault::wrong_for_some, a.other))
          continue;
        named = true;
        name_aspect(a, adjusted, c);
      }
    // The evidence is of all aspects together and of none by itself.
    if (!named) name_aspect(c.aspects.front(), p_value, c);
  }

  void name_aspect(const Predictable& a, double p_value, const ConditionalCalibration& c) {
    const double share = std::max(0.0, a.r2.value);
    const std::string percent = plus_minus({100 * share, 100 * a.r2.standard_error}, 0);
    const std::string by = a.feature.empty() ? "" : fmt::format(", above all by the {}", a.feature);
    if (a.aspect == Aspect::location) {
      const Learnable& l = c.parameters[index(a.parameter)];
      const std::string regression =
          l.regression_rmse.value < l.rmse.value
              ? fmt::format("; a {} regression recovers it to {:.2f} prior standard deviations, the posterior mean to {:.2f}", l.regression,
                            l.regression_rmse.value, l.rmse.value)
              : std::string();
      add(Fault::data_unused, a.parameter, -1, a.r2, "share of variance", p_value, a.nats,
          fmt::format("{} does not use what the data say: {} % of where its truth lies in its posterior can be predicted from the data{}, "
                      "so its posterior could be {:.2f} times as wide{}",
                      name_of(a.parameter), percent, by, std::sqrt(1 - std::min(1.0, share)), regression));
      return;
    }
    const std::string whose = a.aspect == Aspect::joint   ? std::string("the joint posterior is")
                              : a.aspect == Aspect::width ? name_of(a.parameter) + " is"
                                                          : fmt::format("{} and {} together are", name_of(a.parameter), name_of(a.other));
    add(Fault::wrong_for_some, a.parameter, a.other, a.r2, "share of variance", p_value, a.nats,
        fmt::format("{} too narrow for some data and too wide for others: {} % of how far the truth lies from the centre can be predicted "
                    "from the data{}",
                    whose, percent, by));
  }

  const Array &draws_, &truths_;
  Sizes n_;
  const VerdictOptions& options_;
  Verdict& out_;
  RankScores scores_;
  ThreadPool pool_;
  std::vector<Effects> effects_;
  JointRanks joint_;
  std::vector<Tested> tests_;
  std::vector<double> adjusted_;
};

/// Data sets whose draws are all finite. The others become a finding.
std::vector<std::int64_t> finite_data_sets(const Array& draws, const Sizes& n, Verdict& out) {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> bad(index(n.parameters));
  for (std::int64_t b = 0; b < n.data_sets; ++b) {
    bool finite = true;
    const double* d = draws.data() + b * n.draws * n.parameters;
    for (std::int64_t s = 0; s < n.draws; ++s, d += n.parameters)
      for (std::int64_t p = 0; p < n.parameters; ++p)
        if (!std::isfinite(d[p])) {
          finite = false;
          ++bad[index(p)];
        }
    if (finite) rows.push_back(b);
  }
  for (std::int64_t p = 0; p < n.parameters; ++p)
    if (bad[index(p)] > 0) {
      out.parameters[index(p)].at_fault = true;
      const double part = real(bad[index(p)]) / real(n.data_sets * n.draws);
      out.findings.push_back({Fault::non_finite,
                              p,
                              -1,
                              {part, 0.0},
                              "share of draws",
                              0.0,
                              kNaN,
                              fmt::format("{} of {} draws of {} are not finite; {} of {} data sets are left out of all tests",
                                          bad[index(p)], n.data_sets * n.draws, out.parameters[index(p)].name,
                                          n.data_sets - static_cast<std::int64_t>(rows.size()), n.data_sets)});
    }
  return rows;
}

std::string percent(double x) { return fmt::format("{:.0f} %", 100 * x); }

void check_evidence(const VerdictOptions& options, Verdict& out) {
  const RankScores scores(out.num_draws);
  const double alpha = options.family_wise_error * kShift / real(static_cast<std::int64_t>(out.parameters.size()));
  out.detectable_shift = out.num_data_sets ? detectable_shift(scores, out.num_data_sets, alpha) : std::numeric_limits<double>::infinity();
  out.detectable_width_ratio = out.num_data_sets ? detectable_width_ratio(scores, out.num_data_sets, alpha) : 0;
  // Ranks among very few draws say nothing about widths.
  const bool no_width = out.detectable_width_ratio < 0.5;
  if (out.detectable_shift <= options.detectable_shift && !no_width) return;
  const std::string found =
      std::isfinite(out.detectable_shift)
          ? fmt::format("only a shift of {:.2f} posterior standard deviations or more would be found", out.detectable_shift)
          : std::string("no shift, however large, would be found");
  const std::string sentence =
      fmt::format("too little evidence: with {} data sets and {} draws {} with a probability of 80 %; use more {}", out.num_data_sets,
                  out.num_draws, found, out.num_draws < 20 && out.num_data_sets >= 100 ? "draws" : "data sets");
  out.findings.push_back(
      {Fault::too_little_evidence, -1, -1, {out.detectable_shift, kNaN}, "detectable shift in posterior sd", 1.0, 0.0, sentence});
}

/// Findings of one parameter or pair are different views of one misfit, so the largest counts; those of different ones add up.
void weigh(const VerdictOptions& options, Verdict& out) {
  bool harmful = false, lost = false, unknown = false;
  double joint = 0;
  for (const Finding& f : out.findings) {
    if (f.kind == Fault::too_little_evidence) continue;
    const bool unused = f.kind == Fault::data_unused || f.kind == Fault::nothing_learnt;
    harmful = harmful || !(f.nats <= options.harmless_nats);
    lost = lost || (unused && f.nats >= kOverwhelming);
    unknown = unknown || std::isnan(f.nats);
    if (f.parameter >= 0 && f.other < 0) {
      double& own = out.parameters[index(f.parameter)].nats;
      own = std::isnan(own) || std::isnan(f.nats) ? kNaN : std::max(own, f.nats);
    } else {
      joint = std::max(joint, f.nats);
    }
  }
  out.nats = joint;
  for (const ParameterVerdict& v : out.parameters) out.nats += std::isnan(v.nats) ? 0 : v.nats;
  harmful = harmful || out.nats > options.harmless_nats * real(static_cast<std::int64_t>(out.parameters.size()));
  const bool any =
      std::any_of(out.findings.begin(), out.findings.end(), [](const Finding& f) { return f.kind != Fault::too_little_evidence; });
  out.severity = !any ? Severity::none : lost ? Severity::overwhelming : harmful || unknown ? Severity::serious : Severity::harmless;
}

/// "", or what to know of draws that lie far off.
std::string far_sentence(const Verdict& out) {
  std::string text;
  for (const ParameterVerdict& v : out.parameters)
    if (v.far_draws >= kFarShare && v.far_draws * real(out.num_data_sets * out.num_draws) >= real(kFewestFar))
      text += fmt::format("{}one in {:.0f} of {}", text.empty() ? "" : ", ", 1 / v.far_draws, v.name);
  if (text.empty()) return {};
  return fmt::format(
      "; some draws lie more than {:.0f} posterior standard deviations (by their quartiles) off the median, {}: unless the posterior has "
      "tails as heavy, the network draws them wrongly, so describe draws by medians and quantiles, not by means and standard deviations",
      kFarSds, text);
}

void write_sentences(Verdict& out) {
  for (std::size_t i = 0; i < out.parameters.size(); ++i) {
    ParameterVerdict& v = out.parameters[i];
    for (const Finding& f : out.findings)
      if (f.parameter == static_cast<std::int64_t>(i) || f.other == static_cast<std::int64_t>(i))
        v.sentence += (v.sentence.empty() ? "" : "; ") + f.sentence;
    if (!v.sentence.empty()) continue;
    v.sentence = fmt::format("{}: no fault found at {} data sets (shift {}, width {} times what it should be)", v.name, out.num_data_sets,
                             plus_minus(v.shift), plus_minus(v.width_ratio));
    if (!out.conditional) continue;
    const Learnable& l = out.conditional->parameters[i];
    v.sentence += std::isfinite(l.share)
                      ? fmt::format("; its recovery is {:.0f} % of what a {} regression finds", 100 * std::max(0.0, l.share), l.regression)
                      : std::string("; a regression finds nothing about it in the data");
  }
  const std::string basis = fmt::format("{} tests of {} data sets with {} draws each; at most {} of exact posteriors are found at fault",
                                        out.num_tests, out.num_data_sets, out.num_draws, percent(out.family_wise_error));
  if (out.findings.empty()) {
    out.sentence = fmt::format(
        "calibrated within Monte-Carlo error at {} data sets: a shift of {:.2f} posterior standard deviations or a width of {:.2f} "
        "times what it should be would have been found with a probability of 80 %{} ({})",
        out.num_data_sets, out.detectable_shift, out.detectable_width_ratio,
        out.conditional
            ? fmt::format("; of {} features of the data none predicts where the truth lies in its posterior", out.conditional->num_features)
            : std::string("; whether it uses all that the data say was not tested, for that needs the data"),
        basis);
    out.sentence += far_sentence(out);
    return;
  }
  const bool only_evidence =
      std::all_of(out.findings.begin(), out.findings.end(), [](const Finding& f) { return f.kind == Fault::too_little_evidence; });
  std::string text;
  for (const Finding& f : out.findings) text += (text.empty() ? "" : "; ") + f.sentence;
  const std::string cost = out.nats > 0 ? fmt::format("{:.2g} nats of each data set's log score", out.nats) : std::string();
  const std::string head =
      only_evidence                            ? std::string()
      : out.severity == Severity::harmless     ? fmt::format("a detectable but harmless misfit, which costs about {}: ", cost)
      : out.severity == Severity::overwhelming ? fmt::format("not to be trusted: much of what the data say is lost, at least {}: ", cost)
                                               : "not to be trusted: ";
  const char* untested = out.severity == Severity::harmless && !out.conditional
                             ? "; whether it uses all that the data say was not tested, for that needs the data"
                             : "";
  out.sentence = fmt::format("{}{}{} ({}){}", head, text, untested, basis, far_sentence(out));
}

}  // namespace

const char* to_string(Fault kind) {
  switch (kind) {
    case Fault::shifted:
      return "shifted";
    case Fault::overconfident:
      return "overconfident";
    case Fault::underconfident:
      return "underconfident";
    case Fault::wrong_tails:
      return "wrong tails";
    case Fault::wrong_dependence:
      return "wrong dependence";
    case Fault::nothing_learnt:
      return "nothing learnt";
    case Fault::data_unused:
      return "data not used";
    case Fault::wrong_for_some:
      return "wrong for some data";
    case Fault::too_little_evidence:
      return "too little evidence";
    case Fault::non_finite:
      return "non-finite";
  }
  return "";
}

const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::none:
      return "none";
    case Severity::harmless:
      return "harmless";
    case Severity::serious:
      return "serious";
    case Severity::overwhelming:
      return "overwhelming";
  }
  return "";
}

void VerdictOptions::validate() const {
  require_option(family_wise_error > 0 && family_wise_error < 1, "VerdictOptions", "family_wise_error", family_wise_error,
                 "above 0 and below 1");
  require_option(min_contraction > 0 && min_contraction < 1, "VerdictOptions", "min_contraction", min_contraction, "above 0 and below 1");
  require_option(detectable_shift > 0, "VerdictOptions", "detectable_shift", detectable_shift, "above 0");
  require_option(harmless_nats >= 0, "VerdictOptions", "harmless_nats", harmless_nats, "0 or more");
  require_option(threads >= 0, "VerdictOptions", "threads", threads, "0 (all) or more");
}

bool Verdict::has(Fault kind, std::int64_t parameter) const {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& f) {
    return f.kind == kind && (parameter == -2 || f.parameter == parameter || (parameter >= 0 && f.other == parameter));
  });
}

namespace {

Verdict judge(const Array& draws, const Array& truths, const Batch* data, const VerdictOptions& options) {
  options.validate();
  const Sizes n = check_shapes(draws, truths, "verdict");
  require_finite(truths, "verdict", "truths", {"data set", "parameter"});
  Verdict out;
  out.family_wise_error = options.family_wise_error;
  out.parameters.resize(index(n.parameters));
  const std::vector<std::string> names = checked_names(options.param_names, n.parameters, "verdict");
  for (std::size_t i = 0; i < names.size(); ++i) out.parameters[i].name = names[i];
  const std::vector<std::int64_t> rows = finite_data_sets(draws, n, out);
  out.num_data_sets = static_cast<std::int64_t>(rows.size());
  out.num_draws = n.draws;
  const std::size_t not_finite = out.findings.size();
  const ConditionalOptions conditional{
      .param_names = names, .summaries = options.summaries, .seed = options.seed, .threads = options.threads};
  if (data) check_data(*data, n.data_sets, conditional);
  const bool enough = data && out.num_data_sets >= kFewestConditional;
  const auto look_for_far_draws = [&](const Array& of) {
    for (std::int64_t p = 0; p < n.parameters; ++p)
      out.parameters[index(p)].far_draws = far_draws(of, {out.num_data_sets, n.draws, n.parameters}, p);
  };
  if (out.num_data_sets == n.data_sets) {
    look_for_far_draws(draws);
    if (enough) out.conditional = conditional_calibration(draws, truths, *data, conditional);
    Judge(draws, truths, n, options, out).run();
  } else if (!rows.empty()) {
    const Array kept = draws.take(rows), known = truths.take(rows);
    look_for_far_draws(kept);
    if (enough) {
      ConditionalOptions fewer = conditional;
      if (fewer.summaries) fewer.summaries = fewer.summaries->take(rows);
      out.conditional = conditional_calibration(kept, known, data->take(rows), fewer);
    }
    Judge(kept, known, {out.num_data_sets, n.draws, n.parameters}, options, out).run();
  }
  // Overwhelming losses come first, then the smallest p-values.
  std::stable_sort(out.findings.begin() + static_cast<std::ptrdiff_t>(not_finite), out.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.p_value < b.p_value; });
  std::stable_partition(out.findings.begin() + static_cast<std::ptrdiff_t>(not_finite), out.findings.end(), [](const Finding& f) {
    return (f.kind == Fault::data_unused || f.kind == Fault::nothing_learnt) && f.nats >= kOverwhelming;
  });
  check_evidence(options, out);
  out.calibrated = out.findings.empty();
  weigh(options, out);
  write_sentences(out);
  return out;
}

}  // namespace

Verdict verdict(const Array& draws, const Array& truths, const VerdictOptions& options) { return judge(draws, truths, nullptr, options); }

Verdict verdict(const Array& draws, const Array& truths, const Batch& data, const VerdictOptions& options) {
  return judge(draws, truths, &data, options);
}

std::vector<Table> Verdict::tables() const {
  std::vector<std::string> kind, first, second, unit, text, name, sentences;
  std::vector<Estimate> effect, shift, width, tails, learnt;
  std::vector<double> p, lost, far, parameter_nats, p_shift, p_width, p_tails, p_ecdf, p_nothing;
  std::vector<bool> fault;
  const auto name_of = [&](std::int64_t i) { return i < 0 ? std::string() : parameters[index(i)].name; };
  for (const Finding& f : findings) {
    kind.emplace_back(to_string(f.kind));
    first.push_back(name_of(f.parameter));
    second.push_back(name_of(f.other));
    effect.push_back(f.effect);
    unit.push_back(f.unit);
    p.push_back(f.p_value);
    lost.push_back(f.nats);
    text.push_back(f.sentence);
  }
  for (const ParameterVerdict& v : parameters) {
    name.push_back(v.name);
    fault.push_back(v.at_fault);
    shift.push_back(v.shift);
    width.push_back(v.width_ratio);
    tails.push_back(v.tail_excess);
    learnt.push_back(v.learnt);
    far.push_back(v.far_draws);
    parameter_nats.push_back(v.nats);
    p_shift.push_back(v.p_shift);
    p_width.push_back(v.p_width);
    p_tails.push_back(v.p_tails);
    p_ecdf.push_back(v.p_ecdf);
    p_nothing.push_back(v.p_nothing_learnt);
    sentences.push_back(v.sentence);
  }
  std::vector<Table> out = {TableBuilder("verdict")
                                .add("calibrated", std::vector<bool>{calibrated})
                                .add("severity", std::vector<std::string>{to_string(severity)})
                                .add("nats", std::vector<double>{nats})
                                .add("num_data_sets", std::vector<std::int64_t>{num_data_sets})
                                .add("num_draws", std::vector<std::int64_t>{num_draws})
                                .add("num_tests", std::vector<std::int64_t>{num_tests})
                                .add("family_wise_error", std::vector<double>{family_wise_error})
                                .add("detectable_shift", std::vector<double>{detectable_shift})
                                .add("detectable_width_ratio", std::vector<double>{detectable_width_ratio})
                                .add("sentence", std::vector<std::string>{sentence}),
                            TableBuilder("findings")
                                .add("kind", kind)
                                .add("parameter", first)
                                .add("other", second)
                                .add("effect", effect)
                                .add("unit", unit)
                                .add("p_value", p)
                                .add("nats", lost)
                                .add("sentence", text),
                            TableBuilder("verdict_parameters")
                                .add("parameter", name)
                                .add("at_fault", fault)
                                .add("shift", shift)
                                .add("width_ratio", width)
                                .add("tail_excess", tails)
                                .add("learnt", learnt)
                                .add("far_draws", far)
                                .add("nats", parameter_nats)
                                .add("p_shift", p_shift)
                                .add("p_width", p_width)
                                .add("p_tails", p_tails)
                                .add("p_ecdf", p_ecdf)
                                .add("p_nothing_learnt", p_nothing)
                                .add("sentence", sentences)};
  if (conditional)
    for (Table& table : conditional->tables()) out.push_back(std::move(table));
  return out;
}

}  // namespace bayesflow::diagnostics
