#include "bayesflow/mcmc/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::mcmc {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Dual averaging of the logarithm of the step (Hoffman and Gelman 2014, section 3.2), with their constants.
class StepSize {
 public:
  explicit StepSize(double step) { restart(step); }
  void restart(double step) {
    centre_ = std::log(10 * step);
    step_ = average_ = step;
    error_ = log_average_ = 0;
    count_ = 0;
  }
  void update(double acceptance, double target) {
    constexpr double kGamma = 0.05, kOffset = 10, kKappa = 0.75;
    count_ += 1;
    const double share = 1 / (count_ + kOffset);
    error_ = (1 - share) * error_ + share * (target - acceptance);
    const double log_step = centre_ - std::sqrt(count_) / kGamma * error_, weight = std::pow(count_, -kKappa);
    log_average_ = weight * log_step + (1 - weight) * log_average_;
    step_ = std::exp(log_step);
    average_ = std::exp(log_average_);
  }
  [[nodiscard]] double now() const { return step_; }
  [[nodiscard]] double average() const { return average_; }

 private:
  double centre_ = 0, step_ = 0, average_ = 0, error_ = 0, log_average_ = 0, count_ = 0;
};

/// L with L L^T = M^-1: positions move by L p, momenta by L^T gradient.
class Metric {
 public:
  explicit Metric(const Array& start) : width_(start.dim(1)), factor_({width_, width_}) {
    for (std::int64_t j = 0; j < width_; ++j) {
      const double sd = start.columns(j, j + 1).std(1);
      factor_(j, j) = sd > 0 ? sd : 1;
    }
  }
  /// The covariance of draws, drawn towards its diagonal a little, as far as there are few of them. Kept as it is if that cannot be done.
  void adapt(const std::vector<Array>& points) {
    const auto n = static_cast<double>(points.size() * static_cast<std::size_t>(points[0].dim(0)));
    Array mean(Shape{width_}), covariance({width_, width_});
    for (const Array& p : points) mean += p.mean(0) / static_cast<double>(points.size());
    for (const Array& p : points)
      for (std::int64_t c = 0; c < p.dim(0); ++c)
        for (std::int64_t i = 0; i < width_; ++i)
          for (std::int64_t j = 0; j <= i; ++j) covariance(i, j) += (p(c, i) - mean(i)) * (p(c, j) - mean(j)) / (n - 1);
    const double keep = n / (n + 5.0 * static_cast<double>(width_));
    for (std::int64_t i = 0; i < width_; ++i)
      for (std::int64_t j = 0; j < i; ++j) covariance(i, j) *= keep;
    Array factor({width_, width_});  // Cholesky
    for (std::int64_t i = 0; i < width_; ++i)
      for (std::int64_t j = 0; j <= i; ++j) {
        double sum = covariance(i, j);
        for (std::int64_t k = 0; k < j; ++k) sum -= factor(i, k) * factor(j, k);
        if (i == j && !(sum > 1e-12 * covariance(i, i))) return;
        factor(i, j) = i == j ? std::sqrt(sum) : sum / factor(j, j);
      }
    if (factor.all_finite()) factor_ = factor;
  }
  void move(double* position, double step, const double* momentum) const {
    for (std::int64_t i = 0; i < width_; ++i)
      for (std::int64_t j = 0; j <= i; ++j) position[i] += step * factor_(i, j) * momentum[j];
  }
  void push(double* momentum, double step, const double* gradient) const {
    for (std::int64_t i = 0; i < width_; ++i)
      for (std::int64_t j = 0; j <= i; ++j) momentum[j] += step * factor_(i, j) * gradient[i];
  }

 private:
  std::int64_t width_;
  Array factor_;
};

double kinetic(const double* momentum, std::int64_t width) {
  double out = 0;
  for (std::int64_t j = 0; j < width; ++j) out += 0.5 * momentum[j] * momentum[j];
  return out;
}

/// Parameters within bounds, and what chains move in.
class Bounds {
 public:
  Bounds(const Options& o, std::int64_t width)
      : low_(of(o.lower, width, -kInfinity, "lower")), high_(of(o.upper, width, INFINITY, "upper")) {
    for (std::int64_t j = 0; j < width; ++j)
      if (!(low_(j) < high_(j)))
        throw ArgumentError(fmt::format("mcmc::Options: the bounds of parameter {} are {} and {}; the lower one must be smaller", j + 1,
                                        low_(j), high_(j)));
  }
  /// Throws ArgumentError for parameters that are not within.
  [[nodiscard]] Array unbounded(const Array& theta) const {
    Array out = theta;
    for (std::int64_t i = 0; i < theta.dim(0); ++i)
      for (std::int64_t j = 0; j < theta.dim(1); ++j) {
        const double x = theta(i, j), a = low_(j), b = high_(j);
        if (!(x > a && x < b))
          throw ArgumentError(
              fmt::format("mcmc::sample: parameter {} of the start of chain {} is {}; it must be between {} and {}", j + 1, i, x, a, b));
        if (std::isfinite(a) && std::isfinite(b))
          out(i, j) = std::log((x - a) / (b - x));
        else if (std::isfinite(a))
          out(i, j) = std::log(x - a);
        else if (std::isfinite(b))
          out(i, j) = -std::log(b - x);
      }
    return out;
  }
  /// A parameter x(u), its derivative by what chains move in, the derivative's logarithm, and the derivative of that.
  struct Point {
    double x, slope, log_slope, log_slope_slope;
  };
  [[nodiscard]] Point parameter(std::int64_t j, double u) const {
    const double a = low_(j), b = high_(j);
    if (std::isfinite(a) && std::isfinite(b)) {
      const double s = 1 / (1 + std::exp(-u)), slope = (b - a) * s * (1 - s);
      return {a + (b - a) * s, slope, std::log(b - a) - std::fabs(u) - 2 * std::log1p(std::exp(-std::fabs(u))), 1 - 2 * s};
    }
    if (std::isfinite(a)) return {a + std::exp(u), std::exp(u), u, 1};
    if (std::isfinite(b)) return {b - std::exp(-u), std::exp(-u), -u, -1};
    return {u, 1, 0, 0};
  }

 private:
  static Array of(const Array& given, std::int64_t width, double none, const char* name) {
    if (given.empty()) return Array(Shape{width}, none);
    if (given.shape() != Shape{width})
      throw ShapeError(
          fmt::format("mcmc::Options::{} of shape {} must be ({},), a number for each parameter", name, given.shape().to_string(), width));
    return given;
  }
  Array low_, high_;
};

class Sampler {
 public:
  Sampler(const Target& target, const Array& start, const Options& options)
      : target_(target),
        options_(options),
        chains_(start.dim(0)),
        width_(start.dim(1)),
        bounds_(options, width_),
        at_(bounds_.unbounded(start)),
        metric_(at_),
        here_(evaluate(at_)) {
    for (std::int64_t c = 0; c < chains_; ++c)
      if (!std::isfinite(here_.value(c)))
        throw ArgumentError(
            fmt::format("mcmc::sample: the log density at the start of chain {} is {}; start where there is one", c, here_.value(c)));
  }

  Result run() {
    StepSize step(0.5 / std::pow(static_cast<double>(width_), 0.25));
    // Windows that double: the first only finds the way, the last only adapts the step.
    const std::int64_t first = options_.warmup * 3 / 20, last = options_.warmup * 17 / 20;
    std::int64_t window = std::max<std::int64_t>(10, (last - first) / 15), ends = first + window;
    std::vector<Array> points;
    for (std::int64_t i = 0; i < options_.warmup; ++i) {
      step.update(iterate(i, step.now()), options_.target_acceptance);
      if (i < first || i >= last) continue;
      points.push_back(at_);
      if (i + 1 < ends && i + 1 < last) continue;
      metric_.adapt(points);
      points.clear();
      step.restart(step.average());
      window *= 2;
      ends = last - ends < 2 * window + window ? last : ends + window;
    }
    Result out;
    out.step = step.average();
    out.draws = uninitialized_array({chains_, options_.draws, width_});
    out.log_density = uninitialized_array({chains_, options_.draws});
    divergences_ = 0;
    for (std::int64_t i = 0; i < options_.draws; ++i) {
      out.acceptance += iterate(options_.warmup + i, out.step) / static_cast<double>(options_.draws);
      for (std::int64_t c = 0; c < chains_; ++c) {
        out.log_density(c, i) = here_.value(c);
        for (std::int64_t j = 0; j < width_; ++j) {
          const Bounds::Point p = bounds_.parameter(j, at_(c, j));
          out.draws(c, i, j) = p.x;
          out.log_density(c, i) -= p.log_slope;
        }
      }
    }
    out.divergences = divergences_;
    out.evaluations = evaluations_;
    out.convergence = convergence_of(out.draws);
    judge(out);
    return out;
  }

 private:
  Evaluated evaluate(const Array& moved) {
    ++evaluations_;
    Array points = moved;
    for (std::int64_t c = 0; c < chains_; ++c)
      for (std::int64_t j = 0; j < width_; ++j) points(c, j) = bounds_.parameter(j, moved(c, j)).x;
    Evaluated out = target_(points);
    if (out.value.shape() != Shape{chains_} || out.gradient.shape() != points.shape())
      throw ShapeError(fmt::format("mcmc::sample: for points {} the target must give values ({}) and gradients {}; it gave {} and {}",
                                   points.shape().to_string(), chains_, points.shape().to_string(), out.value.shape().to_string(),
                                   out.gradient.shape().to_string()));
    for (std::int64_t c = 0; c < chains_; ++c)
      for (std::int64_t j = 0; j < width_; ++j) {
        const Bounds::Point p = bounds_.parameter(j, moved(c, j));
        out.value(c) += p.log_slope;
        out.gradient(c, j) = out.gradient(c, j) * p.slope + p.log_slope_slope;
      }
    return out;
  }

  /// A trajectory of each chain. The mean probability of acceptance.
  double iterate(std::int64_t iteration, double step) {
    constexpr double kAstray = 1000;
    const auto index = static_cast<std::uint64_t>(iteration);
    Rng common(options_.seed, "trajectories of chains", index);
    const double length = options_.trajectory * common.uniform(0.5, 1.5);
    const auto steps = static_cast<std::int64_t>(std::clamp(std::ceil(length / step), 1.0, static_cast<double>(options_.max_steps)));
    Rng numbers(options_.seed, "momenta of chains", index);
    Array momentum = numbers.normal({chains_, width_}), position = at_;
    std::vector<double> energy(static_cast<std::size_t>(chains_));
    std::vector<bool> lost(static_cast<std::size_t>(chains_), false);
    for (std::int64_t c = 0; c < chains_; ++c)
      energy[static_cast<std::size_t>(c)] = kinetic(momentum.data() + c * width_, width_) - here_.value(c);
    Evaluated there = here_;
    for (std::int64_t s = 0; s < steps; ++s) {
      for (std::int64_t c = 0; c < chains_; ++c) {
        if (lost[static_cast<std::size_t>(c)]) continue;
        double *p = momentum.data() + c * width_, *q = position.data() + c * width_;
        metric_.push(p, 0.5 * step, there.gradient.data() + c * width_);
        metric_.move(q, step, p);
        if (std::all_of(q, q + width_, [](double x) { return std::fabs(x) < 1e15; })) continue;
        ++divergences_;
        lose(c, lost, position);
      }
      there = evaluate(position);
      for (std::int64_t c = 0; c < chains_; ++c) {
        if (lost[static_cast<std::size_t>(c)]) continue;
        if (there.value(c) == -kInfinity) {  // the density ends here
          lose(c, lost, position);
          continue;
        }
        double* p = momentum.data() + c * width_;
        metric_.push(p, 0.5 * step, there.gradient.data() + c * width_);
        // One that goes astray is stopped before its numbers leave those that networks can take.
        if (kinetic(p, width_) - there.value(c) - energy[static_cast<std::size_t>(c)] < kAstray) continue;
        ++divergences_;
        lose(c, lost, position);
      }
    }
    double mean = 0;
    for (std::int64_t c = 0; c < chains_; ++c) {
      const double change = lost[static_cast<std::size_t>(c)]
                                ? INFINITY
                                : kinetic(momentum.data() + c * width_, width_) - there.value(c) - energy[static_cast<std::size_t>(c)];
      const double probability = std::min(1.0, std::exp(-change));
      mean += probability / static_cast<double>(chains_);
      if (!(common.uniform() < probability)) continue;
      std::copy_n(position.data() + c * width_, width_, at_.data() + c * width_);
      std::copy_n(there.gradient.data() + c * width_, width_, here_.gradient.data() + c * width_);
      here_.value(c) = there.value(c);
    }
    return mean;
  }

  void lose(std::int64_t chain, std::vector<bool>& lost, Array& position) const {
    lost[static_cast<std::size_t>(chain)] = true;
    std::copy_n(at_.data() + chain * width_, width_, position.data() + chain * width_);
  }

  void judge(Result& r) const {
    const auto total = static_cast<double>(chains_ * options_.draws);
    for (std::int64_t j = 0; j < width_; ++j) {
      const double rhat = r.convergence.rhat(j), ess = std::min(r.convergence.ess_bulk(j), r.convergence.ess_tail(j));
      if (!(rhat < 1.01))
        r.warnings.push_back(
            fmt::format("the chains do not agree about parameter {}: R-hat is {:.3f}, and should be below 1.01; run longer, or "
                        "start elsewhere. If they stay apart, the posterior has several modes",
                        j + 1, rhat));
      else if (!(ess >= 50 * static_cast<double>(chains_)))
        r.warnings.push_back(fmt::format("the draws of parameter {} are worth {:.0f} independent ones, and should be {}: run longer", j + 1,
                                         ess, 50 * chains_));
    }
    if (static_cast<double>(r.divergences) > 0.001 * total)
      r.warnings.push_back(
          fmt::format("{} of {} trajectories diverged, so that parts of the posterior may be missing; raise "
                      "Options::target_acceptance",
                      r.divergences, chains_ * options_.draws));
  }

  const Target& target_;
  const Options& options_;
  std::int64_t chains_, width_, evaluations_ = 0, divergences_ = 0;
  Bounds bounds_;
  Array at_;  // in what they move in, as their densities
  Metric metric_;
  Evaluated here_;
};

/// Central differences of the prior's log density; one-sided where it ends.
Array differences(const LogPrior& log_prior, const Array& theta, const Array& here) {
  Array out(theta.shape());
  for (std::int64_t j = 0; j < theta.dim(1); ++j) {
    Array up = theta, down = theta;
    std::vector<double> steps;
    for (std::int64_t i = 0; i < theta.dim(0); ++i) {
      steps.push_back(1e-5 * std::max(1.0, std::fabs(theta(i, j))));
      up(i, j) += steps.back();
      down(i, j) -= steps.back();
    }
    const Array above = log_prior(up), below = log_prior(down);
    for (std::int64_t i = 0; i < theta.dim(0); ++i) {
      double high = above(i), low = below(i), width = 2 * steps[static_cast<std::size_t>(i)];
      if (!std::isfinite(high)) high = here(i), width /= 2;
      if (!std::isfinite(low)) low = here(i), width /= 2;
      out(i, j) = (high - low) / width;
    }
  }
  return out;
}

}  // namespace

void Options::validate() const {
  const auto check = [](bool good, const char* name, double value, const char* constraint) {
    if (!good) throw ConfigurationError(fmt::format("mcmc::Options::{} = {}; it must be {}", name, value, constraint));
  };
  check(warmup >= 100, "warmup", static_cast<double>(warmup), "at least 100");
  check(draws >= 4, "draws", static_cast<double>(draws), "at least 4");
  check(target_acceptance > 0 && target_acceptance < 1, "target_acceptance", target_acceptance, "in (0, 1)");
  check(trajectory > 0 && std::isfinite(trajectory), "trajectory", trajectory, "positive and finite");
  check(max_steps >= 1, "max_steps", static_cast<double>(max_steps), "at least 1");
}

Result sample(const Target& target, const Array& start, const Options& options) {
  options.validate();
  if (!target) throw ArgumentError("mcmc::sample: the target is missing; give a function");
  if (start.rank() != 2 || start.dim(0) < 2 || start.dim(1) < 1)
    throw ShapeError(
        fmt::format("mcmc::sample: needs starting points (chains, P) of at least 2 chains; got {}", start.shape().to_string()));
  if (!start.all_finite()) throw ArgumentError("mcmc::sample: the starting points must be finite");
  return Sampler(target, start, options).run();
}

Target posterior(const AmortizedLikelihood& likelihood, const Array& observables, const LogPrior& log_prior,
                 const LogPriorGradient& prior_gradient, const Array& context) {
  if (likelihood.adapter())
    throw ConfigurationError(
        "mcmc::posterior: the likelihood has an adapter, and chains move in the networks' numbers; train it without one");
  if (!log_prior) throw ArgumentError("mcmc::posterior: the log density of the prior is missing; give a function");
  if (!likelihood.is_built()) throw ConfigurationError("mcmc::posterior: the likelihood has no weights yet; train it first");
  if (observables.rank() != 2 || observables.dim(0) < 1 || observables.dim(1) != likelihood.target_width())
    throw ShapeError(fmt::format("mcmc::posterior: needs the observations of one data set, (n, {}); got {}", likelihood.target_width(),
                                 observables.shape().to_string()));
  const std::int64_t width = (*find_shape(likelihood.built_for(), roles::conditions))[-1], params = width - context.size();
  if (params < 1 || (context.size() && context.rank() != 1))
    throw ShapeError(
        fmt::format("mcmc::posterior: the likelihood was built with conditions of width {}: the context must be a vector of less "
                    "numbers; got {}",
                    width, context.shape().to_string()));
  return [=](const Array& theta) {
    const std::int64_t n = theta.dim(0);
    if (theta.rank() != 2 || theta.dim(1) != params)
      throw ShapeError(fmt::format("mcmc::posterior: needs parameters (n, {}); got {}", params, theta.shape().to_string()));
    Evaluated out{log_prior(theta), {}};
    if (out.value.shape() != Shape{n})
      throw ShapeError(fmt::format("mcmc::posterior: the log density of the prior must give ({}) numbers for parameters {}; it gave {}", n,
                                   theta.shape().to_string(), out.value.shape().to_string()));
    out.gradient = prior_gradient ? prior_gradient(theta) : differences(log_prior, theta, out.value);
    const Array conditions = context.size() ? concatenate({theta, context.expand_dims(0).repeat(n, 0)}, -1) : theta;
    const auto l = likelihood.log_likelihood_gradient(
        {{roles::observables, observables.expand_dims(0).repeat(n, 0)}, {roles::conditions, conditions}});
    out.value += l.log_density.sum(1);
    out.gradient += l.gradient.columns(0, params);
    return out;
  };
}

}  // namespace bayesflow::mcmc
