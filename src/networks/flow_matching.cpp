#include "bayesflow/networks/flow_matching.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "bayesflow/core/errors.hpp"
#include "networks/inputs.hpp"

namespace bayesflow {

EnumNames<VelocityLoss> names_of(VelocityLoss) { return {{VelocityLoss::squared, "squared"}, {VelocityLoss::log_cosh, "log_cosh"}}; }
EnumNames<OdeSolver> names_of(OdeSolver) { return {{OdeSolver::euler, "euler"}, {OdeSolver::rk4, "rk4"}}; }

void FlowMatchingOptions::validate() const {
  if (num_params < 1)
    throw ConfigurationError(
        fmt::format("FlowMatchingOptions::num_params = {}; it must be the number of parameters, at least 1", num_params));
  validate_described(*this, "FlowMatchingOptions");
  dense.validate("FlowMatchingOptions");
}

FlowMatchingNetwork::FlowMatchingNetwork(const FlowMatchingOptions& options) : options_(options) { options_.validate(); }

void FlowMatchingNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_num_params("FlowMatchingOptions::num_params", options_.num_params, target_width);
  condition_width_ = condition_width;
  hidden_.clear();
  std::int64_t inputs = target_width + 1 + 2 * options_.time_frequencies + condition_width;
  for (std::int64_t i = 0; i < options_.num_dense; ++i) {
    hidden_.emplace_back(options_.dense);
    hidden_.back().build(builder.scope(fmt::format("dense.{}", i)), inputs);
    inputs = options_.dense.units;
  }
  output_ = nn::Dense({.units = target_width, .activation = Activation::identity});
  output_.build(builder.scope("output"), inputs);
}

void FlowMatchingNetwork::check(Tensor targets, Tensor condition) const {
  networks::check_targets("FlowMatchingNetwork", targets, condition, options_.num_params, condition_width_);
}

Tensor FlowMatchingNetwork::velocity(Tape& tape, Tensor x, Tensor times, Tensor condition) const {
  const std::int64_t frequencies = options_.time_frequencies;
  Shape shape = x.shape();
  shape.set(-1, 1 + 2 * frequencies);
  Tensor features = tape.filled(shape, 0);
  const std::int64_t rows = features.size() / features.cols();
  for (std::int64_t r = 0; r < rows; ++r) {
    float* to = features.data() + r * features.cols();
    const double t = static_cast<double>(times.data()[r]);
    *to++ = static_cast<float>(t);
    for (std::int64_t k = 1; k <= frequencies; ++k) {
      *to++ = static_cast<float>(std::sin(std::numbers::pi * static_cast<double>(k) * t));
      *to++ = static_cast<float>(std::cos(std::numbers::pi * static_cast<double>(k) * t));
    }
  }
  if (condition && condition.rank() < x.rank()) condition = ops::repeat(condition, x.dim(1));
  const Tensor inputs[] = {x, features, condition};
  Tensor h = ops::concat(std::span(inputs, condition ? 3 : 2));
  for (std::size_t i = 0; i < hidden_.size(); ++i) {
    Tensor y = hidden_[i](tape, h);
    if (options_.dropout_prob > 0 && tape.training()) y = ops::dropout(y, static_cast<float>(options_.dropout_prob));
    h = i > 0 && options_.residual ? ops::add(h, y) : y;
  }
  return output_(tape, h);
}

namespace {

constexpr std::int64_t kFixed = 16;  // times and starts of a loss that must not be random

/// log cosh r = r + log(1 + e^(-2 r)) - log 2, summed over columns.
Tensor log_cosh(Tape& tape, Tensor r) {
  const Tensor each = ops::add(r, ops::activate(ops::scale(r, -2), Activation::softplus));
  return ops::sum_columns(ops::add(each, tape.filled(r.shape(), static_cast<float>(-std::numbers::ln2))));
}

}  // namespace

Tensor FlowMatchingNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  check(targets, condition);
  const std::int64_t width = targets.cols(), rows = targets.size() / width;
  Shape of_times = targets.shape();
  of_times.set(-1, 1);
  // The difference for times t and starts z: with y constant, both sides of the line are numbers.
  const auto judge = [&](Tensor t, Tensor z) {
    Tensor x = tape.filled(targets.shape(), 0), wanted = tape.filled(targets.shape(), 0);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t j = 0; j < width; ++j) {
        const std::int64_t i = r * width + j;
        const float y = targets.data()[i], start = z.data()[i], at = t.data()[r];
        x.data()[i] = (1 - at) * start + at * y;
        wanted.data()[i] = y - start;
      }
    const Tensor difference = ops::subtract(velocity(tape, x, t, condition), wanted);
    return options_.loss == VelocityLoss::squared ? ops::sum_columns(ops::multiply(difference, difference)) : log_cosh(tape, difference);
  };
  const double exponent = 1 / (1 + options_.time_power);
  Tensor t = tape.filled(of_times, 0), z = tape.filled(targets.shape(), 0);
  const auto numbers = [](Tensor x) { return std::span<float>(x.data(), static_cast<std::size_t>(x.size())); };
  if (tape.training()) {
    for (float& at : numbers(t)) at = static_cast<float>(std::pow(tape.rng().uniform(), exponent));
    tape.rng().fill_normal(numbers(z));
    return judge(t, z);
  }
  // The same for all targets, so that a target's loss is its own: times in the middle of equal parts, and normal numbers.
  Rng rng(0, "starts of a flow matching loss");
  std::vector<float> start(static_cast<std::size_t>(width));
  Tensor sum;
  for (std::int64_t k = 0; k < kFixed; ++k) {
    Tensor fixed_t = tape.filled(of_times, static_cast<float>(std::pow((static_cast<double>(k) + 0.5) / kFixed, exponent)));
    Tensor fixed_z = tape.filled(targets.shape(), 0);
    rng.fill_normal(std::span(start));
    for (std::int64_t r = 0; r < rows; ++r) std::ranges::copy(start, fixed_z.data() + r * width);
    const Tensor each = judge(fixed_t, fixed_z);
    sum = sum ? ops::add(sum, each) : each;
  }
  return ops::scale(sum, 1.0f / kFixed);
}

namespace {

/// The velocity of many rows at one time, and the trace of its derivative, each on a tape of its own that keeps nothing.
class Field {
 public:
  Field(const FlowMatchingNetwork& net, const float* conditions, std::int64_t rows, std::int64_t width, std::int64_t condition_width)
      : net_(net), conditions_(conditions), rows_(rows), width_(width), condition_width_(condition_width) {}

  void velocity(const std::vector<float>& x, double t, std::vector<float>& out) {
    tape_.reset({.gradients = false, .training = false});
    const Tensor v = net_.velocity(tape_, tape_.wrap({rows_, width_}, x.data()), tape_.filled({rows_, 1}, static_cast<float>(t)), given(1));
    out.assign(v.data(), v.data() + v.size());
  }
  /// Each row once for each column, with the cotangent of that column: one backward pass gives all rows of the Jacobian.
  void velocity_and_trace(const std::vector<float>& x, double t, std::vector<float>& out, std::vector<double>& trace) {
    tape_.reset({.gradients = true, .training = false});
    const std::int64_t copies = rows_ * width_;
    repeated_.resize(static_cast<std::size_t>(copies * width_));
    cotangent_.assign(repeated_.size(), 0.0f);
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t j = 0; j < width_; ++j) {
        std::copy_n(x.data() + r * width_, width_, repeated_.data() + (r * width_ + j) * width_);
        cotangent_[static_cast<std::size_t>((r * width_ + j) * width_ + j)] = 1;
      }
    const Tensor input = tape_.input({copies, width_}, repeated_.data(), true);
    const Tensor v = net_.velocity(tape_, input, tape_.filled({copies, 1}, static_cast<float>(t)), given(width_));
    tape_.backward(v, cotangent_.data());
    const float* gradient = detail::grad_of(input);
    out.resize(static_cast<std::size_t>(rows_ * width_));
    trace.assign(static_cast<std::size_t>(rows_), 0.0);
    for (std::int64_t r = 0; r < rows_; ++r) {
      std::copy_n(v.data() + r * width_ * width_, width_, out.data() + r * width_);
      for (std::int64_t j = 0; j < width_; ++j)
        trace[static_cast<std::size_t>(r)] += static_cast<double>(gradient[(r * width_ + j) * width_ + j]);
    }
  }

 private:
  [[nodiscard]] Tensor given(std::int64_t times) {
    if (condition_width_ == 0) return {};
    if (times == 1) return tape_.wrap({rows_, condition_width_}, conditions_);
    given_.resize(static_cast<std::size_t>(rows_ * times * condition_width_));
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t k = 0; k < times; ++k)
        std::copy_n(conditions_ + r * condition_width_, condition_width_, given_.data() + (r * times + k) * condition_width_);
    return tape_.wrap({rows_ * times, condition_width_}, given_.data());
  }
  const FlowMatchingNetwork& net_;
  const float* conditions_;
  std::int64_t rows_, width_, condition_width_;
  Tape tape_;
  std::vector<float> repeated_, cotangent_, given_;
};

/// Conditions of each of `rows` rows: those that several share are repeated.
std::vector<float> of_each_row(Tensor condition, std::int64_t rows) {
  if (!condition) return {};
  const std::int64_t width = condition.cols(), given = condition.size() / width, times = rows / given;
  std::vector<float> out(static_cast<std::size_t>(rows * width));
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(condition.data() + r / times * width, width, out.data() + r * width);
  return out;
}

/// Moves x from time `from` to `to` in equal steps; `add(i, k)` gives the weight of the evaluation at each stage to what is integrated
/// beside it. `evaluate(x, t, v)` writes the velocity.
template <class Evaluate, class Weigh>
void solve(OdeSolver solver, std::int64_t steps, double from, double to, std::vector<float>& x, const Evaluate& evaluate,
           const Weigh& weigh) {
  const double h = (to - from) / static_cast<double>(steps);
  std::vector<float> v, at = x;
  std::vector<double> sum(x.size());
  for (std::int64_t step = 0; step < steps; ++step) {
    const double t = from + h * static_cast<double>(step);
    if (solver == OdeSolver::euler) {
      evaluate(x, t, v);
      weigh(h);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += static_cast<float>(h * static_cast<double>(v[i]));
      continue;
    }
    constexpr double kNodes[] = {0, 0.5, 0.5, 1}, kWeights[] = {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6};
    std::ranges::fill(sum, 0.0);
    for (int stage = 0; stage < 4; ++stage) {
      if (stage > 0)
        for (std::size_t i = 0; i < x.size(); ++i) at[i] = x[i] + static_cast<float>(kNodes[stage] * h * static_cast<double>(v[i]));
      evaluate(stage == 0 ? x : at, t + kNodes[stage] * h, v);
      weigh(h * kWeights[stage]);
      for (std::size_t i = 0; i < x.size(); ++i) sum[i] += kWeights[stage] * static_cast<double>(v[i]);
    }
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += static_cast<float>(h * sum[i]);
  }
}

}  // namespace

Tensor FlowMatchingNetwork::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  Tensor z = tape.filled({1, streams.rows(), target_width()}, 0);
  check(z, condition);
  streams.fill(z, [](Rng& rng, std::span<float> values, std::int64_t) { rng.fill_normal(values); });
  const std::vector<float> given = of_each_row(condition, streams.rows());
  Field field(*this, given.data(), streams.rows(), target_width(), condition_width_);
  std::vector<float> x(z.data(), z.data() + z.size());
  solve(
      options_.solver, options_.steps, 0, 1, x,
      [&](const std::vector<float>& at, double t, std::vector<float>& v) { field.velocity(at, t, v); }, [](double) {});
  std::ranges::copy(x, z.data());
  return z;
}

Tensor FlowMatchingNetwork::log_density(Tape& tape, Tensor targets, Tensor condition) const {
  check(targets, condition);
  if (targets.needs_grad() || (condition && condition.needs_grad()))
    throw ConfigurationError(
        "FlowMatchingNetwork: its densities have no derivatives, because they integrate an equation; use an InvertibleNetwork where "
        "gradients of a density are needed");
  constexpr std::int64_t kRows = 4096;  // evaluated together, of all copies
  const std::int64_t width = target_width(), rows = targets.size() / width, together = std::max<std::int64_t>(1, kRows / width);
  const std::vector<float> given = of_each_row(condition, rows);
  Tensor out = tape.filled(targets.shape().slice(0, targets.rank() - 1), 0);
  for (std::int64_t first = 0; first < rows; first += together) {
    const std::int64_t count = std::min(together, rows - first);
    Field field(*this, given.empty() ? nullptr : given.data() + first * condition_width_, count, width, condition_width_);
    std::vector<float> x(targets.data() + first * width, targets.data() + (first + count) * width);
    std::vector<double> trace, integral(static_cast<std::size_t>(count), 0.0);
    solve(
        options_.solver, options_.steps, 1, 0, x,
        [&](const std::vector<float>& at, double t, std::vector<float>& v) { field.velocity_and_trace(at, t, v, trace); },
        [&](double weight) {
          for (std::size_t r = 0; r < integral.size(); ++r) integral[r] += weight * trace[r];
        });
    for (std::int64_t r = 0; r < count; ++r) {
      double log_density = integral[static_cast<std::size_t>(r)] - 0.5 * static_cast<double>(width) * std::log(2 * std::numbers::pi);
      for (std::int64_t j = 0; j < width; ++j) {
        const auto z = static_cast<double>(x[static_cast<std::size_t>(r * width + j)]);
        log_density -= 0.5 * z * z;
      }
      out.data()[first + r] = static_cast<float>(log_density);
    }
  }
  return out;
}

std::string FlowMatchingNetwork::to_string() const {
  return fmt::format("flow matching, {} layers of {} units, {} {} steps", options_.num_dense, options_.dense.units, options_.steps,
                     options_.solver == OdeSolver::rk4 ? "Runge-Kutta" : "Euler");
}

}  // namespace bayesflow
