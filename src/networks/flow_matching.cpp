#include "bayesflow/networks/flow_matching.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "networks/noise_loss.hpp"
#include "networks/validated.hpp"

namespace bayesflow {

EnumNames<VelocityLoss> names_of(VelocityLoss) { return {{VelocityLoss::squared, "squared"}, {VelocityLoss::log_cosh, "log_cosh"}}; }
EnumNames<FlowCoupling> names_of(FlowCoupling) {
  return {{FlowCoupling::independent, "independent"}, {FlowCoupling::optimal_transport, "optimal_transport"}};
}

void FlowMatchingOptions::validate() const {
  if (num_params < 1)
    throw ConfigurationError(
        fmt::format("FlowMatchingOptions::num_params = {}; it must be the number of parameters, at least 1", num_params));
  validate_described(*this, "FlowMatchingOptions");
  dense.validate("FlowMatchingOptions");
}

FlowMatchingNetwork::FlowMatchingNetwork(const FlowMatchingOptions& options)
    : EquationNetwork({"FlowMatchingNetwork", "FlowMatchingOptions::num_params", options.num_params,
                       TimeNetwork(options.dense, options.num_dense, options.residual, options.dropout_prob, options.time_frequencies),
                       options.solver, options.steps, options.tolerance, options.trace_probes}),
      options_(networks::validated(options)) {}

Tensor FlowMatchingNetwork::velocity(Tape& tape, Tensor x, Tensor times, Tensor condition) const {
  return network()(tape, x, times, condition);
}

namespace {

constexpr std::int64_t kGroup = 32;  // targets among which z are exchanged

/// log cosh r = r + log(1 + e^(-2 r)) - log 2, summed over columns.
Tensor log_cosh(Tape& tape, Tensor r) {
  const Tensor each = ops::add(r, ops::activate(ops::scale(r, -2), Activation::softplus));
  return ops::sum_columns(ops::add(each, tape.filled(r.shape(), static_cast<float>(-std::numbers::ln2))));
}

/// Which row each column is given so that costs (n, n) add up to the least: the Hungarian method with potentials (Kuhn 1955).
void assign(std::span<const double> cost, std::int64_t n, std::span<std::int64_t> row_of) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::array<double, kGroup + 1> of_row{}, of_column{}, least{};
  std::array<std::int64_t, kGroup + 1> match{}, way{};  // from 1 on; 0: none
  for (std::int64_t i = 1; i <= n; ++i) {
    std::array<bool, kGroup + 1> used{};
    least.fill(kInfinity);
    match[0] = i;
    std::int64_t column = 0;
    do {
      const auto at = static_cast<std::size_t>(column);
      used[at] = true;
      const std::int64_t row = match[at];
      std::int64_t next = 0;
      double delta = kInfinity;
      for (std::int64_t j = 1; j <= n; ++j) {
        const auto to = static_cast<std::size_t>(j);
        if (used[to]) continue;
        const double reduced =
            cost[static_cast<std::size_t>((row - 1) * n + j - 1)] - of_row[static_cast<std::size_t>(row)] - of_column[to];
        if (reduced < least[to]) {
          least[to] = reduced;
          way[to] = column;
        }
        if (least[to] < delta) {
          delta = least[to];
          next = j;
        }
      }
      for (std::int64_t j = 0; j <= n; ++j) {
        const auto to = static_cast<std::size_t>(j);
        if (used[to]) {
          of_row[static_cast<std::size_t>(match[to])] += delta;
          of_column[to] -= delta;
        } else {
          least[to] -= delta;
        }
      }
      column = next;
    } while (match[static_cast<std::size_t>(column)] != 0);
    for (; column != 0; column = way[static_cast<std::size_t>(column)])
      match[static_cast<std::size_t>(column)] = match[static_cast<std::size_t>(way[static_cast<std::size_t>(column)])];
  }
  for (std::int64_t j = 1; j <= n; ++j) row_of[static_cast<std::size_t>(j - 1)] = match[static_cast<std::size_t>(j)] - 1;
}

/// Exchanges the rows of z among groups of targets.
void shorten_lines(Tensor targets, Tensor condition, double condition_weight, Tensor z) {
  const std::int64_t width = targets.cols(), rows = targets.rows();
  const bool shared = targets.rank() == 3 && (!condition || condition.rank() == 2);  // one condition for each data set
  const std::int64_t together = shared ? targets.dim(1) : rows, conditions = !condition || shared ? 0 : condition.cols();
  std::array<double, kGroup * kGroup> cost{}, between{};
  std::array<std::int64_t, kGroup> from{};
  Arena& arena = z.tape().arena();
  const Arena::Mark mark = arena.mark();
  float* before = arena.floats(kGroup * width);
  const auto square = [](const float* a, const float* b, std::int64_t n) {
    double sum = 0;
    for (std::int64_t j = 0; j < n; ++j) sum += std::pow(static_cast<double>(a[j]) - static_cast<double>(b[j]), 2);
    return sum;
  };
  for (std::int64_t set = 0; set < rows; set += together)
    for (std::int64_t first = set; first < set + together; first += kGroup) {
      const std::int64_t n = std::min(kGroup, set + together - first);
      between.fill(0.0);
      double mean = 0;
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
          const auto at = static_cast<std::size_t>(i * n + j);
          cost[at] = square(z.data() + (first + i) * width, targets.data() + (first + j) * width, width);
          if (conditions > 0)
            between[at] = square(condition.data() + (first + i) * conditions, condition.data() + (first + j) * conditions, conditions);
          mean += between[at] / static_cast<double>(n * n);
        }
      if (mean > 0)
        for (std::size_t at = 0; at < static_cast<std::size_t>(n * n); ++at) cost[at] += condition_weight * between[at] / mean;
      assign(cost, n, from);
      std::copy_n(z.data() + first * width, n * width, before);
      for (std::int64_t j = 0; j < n; ++j)
        std::copy_n(before + from[static_cast<std::size_t>(j)] * width, width, z.data() + (first + j) * width);
    }
  arena.rewind(mark);
}

}  // namespace

Tensor FlowMatchingNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  check(targets, condition);
  const auto judge = [&](Tensor t, Tensor z) {
    if (tape.training() && options_.coupling == FlowCoupling::optimal_transport)
      shorten_lines(targets, condition, options_.condition_weight, z);
    const networks::Line line = networks::line(tape, targets, t, z);
    const Tensor difference = ops::subtract(velocity(tape, line.x, t, condition), line.velocity);
    return options_.loss == VelocityLoss::squared ? networks::squares(difference) : log_cosh(tape, difference);
  };
  const double exponent = 1 / (1 + options_.time_power);
  return networks::noise_loss(
      tape, targets, "starts of a flow matching loss", [&](Rng& rng) { return std::pow(rng.uniform(), exponent); },
      [&](double share, Rng&) { return std::pow(share, exponent); }, judge);
}

std::string FlowMatchingNetwork::to_string() const {
  const std::string solver = options_.solver == OdeSolver::dopri5
                                 ? fmt::format("steps of Dormand and Prince to {:.3g}", options_.tolerance)
                                 : fmt::format("{} {} steps", options_.steps, options_.solver == OdeSolver::rk4 ? "Runge-Kutta" : "Euler");
  return fmt::format("flow matching, {} layers of {} units, {}{}", options_.num_dense, options_.dense.units, solver,
                     options_.coupling == FlowCoupling::optimal_transport ? ", optimal transport" : "");
}

}  // namespace bayesflow
