#include "networks/ode_flow.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <span>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::networks {
namespace {

using Rows = std::span<const std::int64_t>;

/// Velocities of some rows, and traces of their derivatives, on a tape of its own that keeps nothing.
class Field {
 public:
  Field(Tape& outer, const OdeFlow& flow, const float* conditions) : outer_(outer), flow_(flow), conditions_(conditions) {
    const auto width = static_cast<std::size_t>(flow.width);
    // Cotangents whose products with the Jacobian add up to its trace: unit vectors, or vectors of signs.
    vectors_.assign(static_cast<std::size_t>(copies()) * width, 0.0f);
    Rng rng(0, "probes of a trace");
    if (flow.probes > 0)
      for (float& sign : vectors_) sign = rng.uniform() < 0.5 ? -1.0f : 1.0f;
    else
      for (std::size_t j = 0; j < width; ++j) vectors_[j * width + j] = 1;
  }
  [[nodiscard]] std::int64_t copies() const { return flow_.probes > 0 ? flow_.probes : flow_.width; }

  /// Of points x (rows, width) at times t. `trace` may be null.
  void operator()(Rows rows, const float* x, const double* t, float* v, double* trace) {
    evaluate(rows, x, t, v, trace);
    outer_.count_flops(0, tape_.bfloat16_flops());
  }

 private:
  void evaluate(Rows rows, const float* x, const double* t, float* v, double* trace) {
    const auto n = static_cast<std::int64_t>(rows.size());
    const std::int64_t width = flow_.width, each = trace ? copies() : 1;
    tape_.reset({.gradients = trace != nullptr, .training = false, .precision = outer_.precision()});
    Tensor at = tape_.filled({n * each, width}, 0), times = tape_.filled({n * each, 1}, 0), given;
    if (flow_.condition_width > 0) given = tape_.filled({n * each, flow_.condition_width}, 0);
    for (std::int64_t r = 0; r < n; ++r)
      for (std::int64_t k = 0; k < each; ++k) {
        std::copy_n(x + r * width, width, at.data() + (r * each + k) * width);
        times.data()[r * each + k] = static_cast<float>(t[r]);
        if (given)
          std::copy_n(conditions_ + rows[static_cast<std::size_t>(r)] * flow_.condition_width, flow_.condition_width,
                      given.data() + (r * each + k) * flow_.condition_width);
      }
    if (!trace) {
      const Tensor out = flow_.velocity(tape_, at, times, given);
      std::copy_n(out.data(), n * width, v);
      return;
    }
    const Tensor input = tape_.input(at.shape(), at.data(), true), out = flow_.velocity(tape_, input, times, given);
    cotangent_.resize(static_cast<std::size_t>(n * each * width));
    for (std::int64_t r = 0; r < n; ++r) std::ranges::copy(vectors_, cotangent_.begin() + r * each * width);
    tape_.backward(out, cotangent_.data());
    const float* gradient = input.grad();
    const double weight = flow_.probes > 0 ? 1 / static_cast<double>(each) : 1;
    for (std::int64_t r = 0; r < n; ++r) {
      std::copy_n(out.data() + r * each * width, width, v + r * width);
      trace[r] = 0;
      for (std::int64_t i = 0; i < each * width && gradient; ++i)
        trace[r] +=
            weight * static_cast<double>(vectors_[static_cast<std::size_t>(i)]) * static_cast<double>(gradient[r * each * width + i]);
    }
  }

  Tape& outer_;
  const OdeFlow& flow_;
  const float* conditions_;
  Tape tape_;
  std::vector<float> vectors_, cotangent_;
};

/// What is solved: points, and the integrals of traces (or empty).
struct Solution {
  std::vector<float> x;
  std::vector<double> integral;
};

void solve_fixed(const OdeFlow& flow, Field& field, double from, double to, Solution& s) {
  const std::size_t n = s.x.size(), rows = n / static_cast<std::size_t>(flow.width);
  const bool traces = !s.integral.empty();
  std::vector<std::int64_t> all(rows);
  std::iota(all.begin(), all.end(), 0);
  std::vector<float> v(n), at = s.x;
  std::vector<double> sum(n), times(rows), trace(s.integral.size());
  const auto evaluate = [&](const std::vector<float>& x, double t, double weight) {
    std::ranges::fill(times, t);
    field(all, x.data(), times.data(), v.data(), traces ? trace.data() : nullptr);
    for (std::size_t r = 0; r < trace.size(); ++r) s.integral[r] += weight * trace[r];
  };
  const double h = (to - from) / static_cast<double>(flow.steps);
  for (std::int64_t step = 0; step < flow.steps; ++step) {
    const double t = from + h * static_cast<double>(step);
    if (flow.solver == OdeSolver::euler) {
      evaluate(s.x, t, h);
      for (std::size_t i = 0; i < n; ++i) s.x[i] += static_cast<float>(h * static_cast<double>(v[i]));
      continue;
    }
    constexpr double kNodes[] = {0, 0.5, 0.5, 1}, kWeights[] = {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6};
    std::ranges::fill(sum, 0.0);
    for (int stage = 0; stage < 4; ++stage) {
      if (stage > 0)
        for (std::size_t i = 0; i < n; ++i) at[i] = s.x[i] + static_cast<float>(kNodes[stage] * h * static_cast<double>(v[i]));
      evaluate(stage == 0 ? s.x : at, t + kNodes[stage] * h, h * kWeights[stage]);
      for (std::size_t i = 0; i < n; ++i) sum[i] += kWeights[stage] * static_cast<double>(v[i]);
    }
    for (std::size_t i = 0; i < n; ++i) s.x[i] += static_cast<float>(h * sum[i]);
  }
}

/// Dormand and Prince (1980): order 5, with an estimate of the error of a step from one of order 4. The last evaluation of a step is the
/// first of the next. Every row has its own time and step, so that it is the same among any other rows; those that are done drop out.
void solve_adaptively(const OdeFlow& flow, Field& field, double from, double to, Solution& s) {
  constexpr int kStages = 7;
  constexpr double kNodes[kStages] = {0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1};
  constexpr double kStage[kStages][6] = {{},
                                         {1.0 / 5},
                                         {3.0 / 40, 9.0 / 40},
                                         {44.0 / 45, -56.0 / 15, 32.0 / 9},
                                         {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
                                         {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
                                         {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}};
  constexpr double kError[kStages] = {71.0 / 57600, 0, -71.0 / 16695, 71.0 / 1920, -17253.0 / 339200, 22.0 / 525, -1.0 / 40};
  constexpr double kFirst = 0.05, kLeast = 1e-4;  // shares of the whole: steps that short are taken whatever their error
  const std::int64_t width = flow.width;
  const auto w = static_cast<std::size_t>(width);
  const std::size_t count = s.x.size() / w;
  const bool traces = !s.integral.empty();
  struct Row {
    double t, h;
    bool fresh = true;  // the first stage is to be made
    std::array<double, kStages> trace = {};
  };
  std::vector<Row> state(count, Row{from, kFirst * (to - from)});
  std::vector<float> slopes(count * kStages * w);  // (row, stage, column)
  std::vector<std::int64_t> active(count), asked;
  std::iota(active.begin(), active.end(), 0);
  std::vector<float> points, v;
  std::vector<double> times, trace;
  const auto slope = [&](std::int64_t row, int stage) {
    return slopes.data() + (static_cast<std::size_t>(row) * kStages + static_cast<std::size_t>(stage)) * w;
  };
  const auto x_of = [&](std::int64_t row) { return s.x.data() + static_cast<std::size_t>(row) * w; };
  while (!active.empty()) {
    for (int stage = 0; stage < kStages; ++stage) {
      asked.clear();
      for (const std::int64_t row : active)
        if (stage > 0 || state[static_cast<std::size_t>(row)].fresh) asked.push_back(row);
      if (asked.empty()) continue;
      points.resize(asked.size() * w);
      v.resize(points.size());
      times.resize(asked.size());
      trace.resize(asked.size());
      for (std::size_t a = 0; a < asked.size(); ++a) {
        const Row& row = state[static_cast<std::size_t>(asked[a])];
        times[a] = row.t + kNodes[stage] * row.h;
        for (std::size_t j = 0; j < w; ++j) {
          double sum = 0;
          for (int k = 0; k < stage; ++k) sum += kStage[stage][k] * static_cast<double>(slope(asked[a], k)[j]);
          points[a * w + j] = x_of(asked[a])[j] + static_cast<float>(row.h * sum);
        }
      }
      field(asked, points.data(), times.data(), v.data(), traces ? trace.data() : nullptr);
      for (std::size_t a = 0; a < asked.size(); ++a) {
        std::copy_n(v.data() + a * w, w, slope(asked[a], stage));
        if (traces) state[static_cast<std::size_t>(asked[a])].trace[static_cast<std::size_t>(stage)] = trace[a];
      }
    }
    std::erase_if(active, [&](std::int64_t number) {
      Row& row = state[static_cast<std::size_t>(number)];
      float* x = x_of(number);
      double square = 0, gain = 0, gain_error = 0;
      for (std::size_t j = 0; j < w; ++j) {
        double error = 0;
        for (int k = 0; k < kStages; ++k) error += kError[k] * static_cast<double>(slope(number, k)[j]);
        const double ratio = row.h * error / (flow.tolerance * (1 + std::fabs(static_cast<double>(x[j]))));
        square += ratio * ratio / static_cast<double>(w);
      }
      for (int k = 0; k < kStages; ++k) {
        gain += k < 6 ? kStage[6][k] * row.trace[static_cast<std::size_t>(k)] : 0;
        gain_error += kError[k] * row.trace[static_cast<std::size_t>(k)];
      }
      if (traces) square = std::max(square, std::pow(row.h * gain_error / flow.tolerance, 2));
      const double whole = to - from, ratio = std::sqrt(square);
      const bool taken = !(ratio > 1) || std::fabs(row.h) <= kLeast * std::fabs(whole);
      const double grown = row.h * (std::isfinite(ratio) ? std::clamp(0.9 * std::pow(std::max(ratio, 1e-10), -0.2), 0.2, 5.0) : 0.2);
      row.fresh = false;
      if (taken) {
        for (std::size_t j = 0; j < w; ++j) {
          double sum = 0;
          for (int k = 0; k < 6; ++k) sum += kStage[6][k] * static_cast<double>(slope(number, k)[j]);
          x[j] += static_cast<float>(row.h * sum);
        }
        if (traces) s.integral[static_cast<std::size_t>(number)] += row.h * gain;
        row.t += row.h;
        std::copy_n(slope(number, 6), w, slope(number, 0));
        row.trace[0] = row.trace[6];
      }
      const double left = to - row.t;
      if (std::fabs(left) <= 1e-9 * std::fabs(whole) || std::isnan(ratio)) return true;
      row.h = std::copysign(std::clamp(std::fabs(grown), std::min(kLeast * std::fabs(whole), std::fabs(left)), std::fabs(left)), whole);
      return false;
    });
  }
}

void solve(const OdeFlow& flow, Field& field, double from, double to, Solution& s) {
  if (flow.solver == OdeSolver::dopri5)
    solve_adaptively(flow, field, from, to, s);
  else
    solve_fixed(flow, field, from, to, s);
}

}  // namespace

std::vector<float> of_each_row(Tensor condition, std::int64_t rows) {
  if (!condition) return {};
  const std::int64_t width = condition.cols(), given = condition.size() / width, times = rows / given;
  std::vector<float> out(static_cast<std::size_t>(rows * width));
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(condition.data() + r / times * width, width, out.data() + r * width);
  return out;
}

Tensor draws(Tape& tape, DrawStreams& streams, Tensor condition, const OdeFlow& flow) {
  Tensor z = tape.filled({1, streams.rows(), flow.width}, 0);
  streams.fill(z, [](Rng& rng, std::span<float> values, std::int64_t) { rng.fill_normal(values); });
  const std::vector<float> given = of_each_row(condition, streams.rows());
  Solution s{{z.data(), z.data() + z.size()}, {}};
  if (flow.latent_sd != 1)
    for (float& x : s.x) x = static_cast<float>(static_cast<double>(x) * flow.latent_sd);
  Field field(tape, flow, given.data());
  solve(flow, field, 0, 1, s);
  std::ranges::copy(s.x, z.data());
  return z;
}

Tensor log_density(Tape& tape, Tensor targets, Tensor condition, const OdeFlow& flow) {
  if (targets.needs_grad() || (condition && condition.needs_grad()))
    throw ConfigurationError(
        fmt::format("{}: its densities have no derivatives, because they integrate an equation; use an InvertibleNetwork where "
                    "gradients of a density are needed",
                    flow.owner));
  constexpr std::int64_t kRows = 4096;  // evaluated together, of all copies
  const std::int64_t width = flow.width, rows = targets.size() / width;
  const std::vector<float> given = of_each_row(condition, rows);
  Tensor out = tape.filled(targets.shape().slice(0, targets.rank() - 1), 0);
  const double constant =
      0.5 * static_cast<double>(width) * std::log(2 * std::numbers::pi) + static_cast<double>(width) * std::log(flow.latent_sd);
  for (std::int64_t first = 0, count = 0; first < rows; first += count) {
    Field field(tape, flow, given.empty() ? nullptr : given.data() + first * flow.condition_width);
    count = std::min(std::max<std::int64_t>(1, kRows / field.copies()), rows - first);
    Solution s{{targets.data() + first * width, targets.data() + (first + count) * width},
               std::vector<double>(static_cast<std::size_t>(count), 0.0)};
    solve(flow, field, 1, 0, s);
    for (std::int64_t r = 0; r < count; ++r) {
      double log_density = s.integral[static_cast<std::size_t>(r)] - constant;
      for (std::int64_t j = 0; j < width; ++j) {
        const double z = static_cast<double>(s.x[static_cast<std::size_t>(r * width + j)]) / flow.latent_sd;
        log_density -= 0.5 * z * z;
      }
      out.data()[first + r] = static_cast<float>(log_density);
    }
  }
  return out;
}

}  // namespace bayesflow::networks
