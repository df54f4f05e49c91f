/// An epidemic, and predators with their prey: noisy observations of differential equations.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/runge_kutta.hpp"

namespace bayesflow::benchmarks {
namespace {

constexpr double kTolerance = 1e-8;  // of logarithms, in each step; observations scatter by a tenth

/// Which points of an even grid are observed: the first, and each `stride`-th after it.
struct Subsample {
  std::int64_t points, stride;
};

/// `subsample` points of a grid of `grid` points: every ceil(grid / subsample)-th one, as sbibm has it (every 17th of 161, every 21st of
/// 201), and fewer apart where these would not suffice. Without the setting: all.
Subsample subsample(const char* name, const Values& v, std::int64_t grid) {
  if (!v.has("subsample")) return {grid, 1};
  const std::int64_t m = v.count("subsample");
  if (m > grid)
    throw ConfigurationError(
        fmt::format("Benchmark \"{}\": subsample must be at most the number of points in time, {}; got {}", name, grid, m));
  return {m, m == 1 ? 1 : std::min((grid + m - 1) / m, (grid - 1) / (m - 1))};
}

std::int64_t days(const Values& v) { return v.count("T") + 1; }
std::int64_t tenths(const Values& v) { return 10 * v.count("T") + 1; }

}  // namespace

/// S' = -beta S I / N, I' = beta S I / N - gamma I, days 0, 1, ..., T; y_i ~ Binomial(total_count, I / N).
Problem sir() {
  return {.name = "sir",
          .sbibm_task = "sir",
          .simulator_settings = {{"N", 1e6, Domain::positive},
                                 {"T", 160, Domain::count},
                                 {"I0", 1.0, Domain::positive},
                                 {"R0", 0.0, Domain::non_negative},
                                 {"subsample", 10, Domain::optional_count},
                                 {"total_count", 1000, Domain::count},
                                 {"scale_by_total", false, Domain::flag, true}},
          .param_names =
              [](const Values&) {
                return std::vector<std::string>{"beta", "gamma"};
              },
          .prior = [](const Values&) -> DrawParameters {
            return [](Rng& rng) {
              const double beta = rng.lognormal(std::log(0.4), 0.5);
              return Array::of({beta, rng.lognormal(std::log(0.125), 0.2)});
            };
          },
          .simulator = [](const Values& v) -> Simulate {
            const double n = v.number("N"), i0 = v.number("I0"), susceptible = n - i0 - v.number("R0");
            if (!(susceptible > 0))
              throw ConfigurationError(
                  fmt::format("Benchmark \"sir\": I0 + R0 must be below N; got I0 = {}, R0 = {}, N = {}", i0, v.number("R0"), n));
            const Subsample at = subsample("sir", v, days(v));
            const std::int64_t trials = v.count("total_count");
            const double unit = v.flag("scale_by_total") ? static_cast<double>(trials) : 1;
            return [=](const Array& theta, Rng& rng) {
              const double beta = theta[0], gamma = theta[1];
              // (log S, log I)
              const auto slope = [&](const std::array<double, 2>& y) -> std::array<double, 2> {
                return {-beta * std::exp(y[1]) / n, beta * std::exp(y[0]) / n - gamma};
              };
              RungeKutta<2, decltype(slope)> solver(slope, {std::log(susceptible), std::log(i0)}, kTolerance);
              Array y = uninitialized_array({at.points});
              for (std::int64_t i = 0; i < at.points; ++i) {
                if (i > 0) solver.advance(static_cast<double>(at.stride));
                const double share = std::clamp(std::exp(solver.state()[1]) / n, 0.0, 1.0);
                y.data()[i] = static_cast<double>(rng.binomial(trials, share)) / unit;
              }
              return y;
            };
          },
          .scale_data = [](const Values& v) { return v.flag("scale_by_total") ? 1.0 : v.number("total_count"); },
          .as_set = [](const Array& data) { return data.expand_dims(2); },
          .from_sbibm = [](const Array& observation,
                           const Values& v) { return v.flag("scale_by_total") ? observation / v.number("total_count") : observation; }};
}

/// X' = alpha X - beta X Y, Y' = -gamma Y + delta X Y, at times 0, 0.1, ..., T; each observed as LogNormal(log X, obs_noise). All of X,
/// then all of Y; or, not flattened, a row (X, Y) each.
Problem lotka_volterra() {
  const auto rows = [](const Array& series) {  // (2 n) -> (n, 2)
    return series.reshape({2, series.size() / 2}).transpose();
  };
  return {.name = "lotka_volterra",
          .sbibm_task = "lotka_volterra",
          .simulator_settings = {{"X0", 30.0, Domain::positive},
                                 {"Y0", 1.0, Domain::positive},
                                 {"T", 20, Domain::count},
                                 {"subsample", 10, Domain::optional_count},
                                 {"flatten", true, Domain::flag, true},
                                 {"obs_noise", 0.1, Domain::non_negative}},
          .param_names =
              [](const Values&) {
                return std::vector<std::string>{"alpha", "beta", "gamma", "delta"};
              },
          .prior = [](const Values&) -> DrawParameters {
            return [](Rng& rng) {
              Array theta = uninitialized_array({4});
              for (std::int64_t j = 0; j < 4; ++j) theta.data()[j] = rng.lognormal(j % 2 ? -3.0 : -0.125, 0.5);
              return theta;
            };
          },
          .simulator = [rows](const Values& v) -> Simulate {
            const Subsample at = subsample("lotka_volterra", v, tenths(v));
            const double x0 = v.number("X0"), y0 = v.number("Y0"), noise = v.number("obs_noise");
            return [=, flat = v.flag("flatten")](const Array& theta, Rng& rng) {
              const double alpha = theta[0], beta = theta[1], gamma = theta[2], delta = theta[3];
              // (log X, log Y)
              const auto slope = [&](const std::array<double, 2>& y) -> std::array<double, 2> {
                return {alpha - beta * std::exp(y[1]), delta * std::exp(y[0]) - gamma};
              };
              RungeKutta<2, decltype(slope)> solver(slope, {std::log(x0), std::log(y0)}, kTolerance);
              Array series = uninitialized_array({2 * at.points});
              for (std::int64_t i = 0; i < at.points; ++i) {
                if (i > 0) solver.advance(0.1 * static_cast<double>(at.stride));
                for (std::int64_t k = 0; k < 2; ++k) {
                  // sbibm's bounds
                  series.data()[k * at.points + i] =
                      std::clamp(solver.state()[static_cast<std::size_t>(k)], std::log(1e-10), std::log(1e4));
                }
              }
              for (double& s : series.values()) s = rng.lognormal(s, noise);
              return flat ? series : rows(series);
            };
          },
          .scale_data = [](const Values&) { return 1000.0; },
          .as_set =
              [](const Array& data) {
                return data.reshape({data.dim(0), 2, data.dim(1) / 2}).swap_axes(1, 2);
              },
          .from_sbibm = [rows](const Array& observation, const Values& v) { return v.flag("flatten") ? observation : rows(observation); }};
}

}  // namespace bayesflow::benchmarks
