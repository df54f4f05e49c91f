/// Ordinary differential equations, solved to a tolerance.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::benchmarks {

/// y' = f(y), from a time on. Steps of Dormand and Prince (1980), order 5 with an error estimate of order 4; a step is accepted if the
/// estimate is at most `tolerance` in every component. States that are logarithms make this a relative tolerance, and stay positive.
template <std::size_t kSize, class F>
class RungeKutta {
 public:
  using State = std::array<double, kSize>;
  RungeKutta(F f, const State& start, double tolerance) : f_(f), y_(start), slope_(f(start)), tolerance_(tolerance) {}

  [[nodiscard]] const State& state() const { return y_; }

  /// On by `duration`. Throws SimulationError if that takes more than 10^5 steps, or leaves the finite numbers.
  void advance(double duration) {
    double left = duration;
    for (int tries = 0; left > 0; ++tries) {
      if (tries == kMaxSteps)
        throw SimulationError("the differential equation was not solved within 100000 steps; the parameters are extreme");
      const double h = std::min(step_, left);
      const double error = attempt(h);
      if (error <= 1) {
        left = h == left ? 0 : left - h;
        y_ = next_;
        slope_ = next_slope_;
      } else if (h < kSmallest * duration) {
        throw SimulationError("the differential equation has no finite solution for these parameters");
      }
      // Towards an error of 0.9^5; what is not finite is tried again with a tenth of the step. A step cut short by the end says nothing.
      const double factor = std::isfinite(error) ? std::clamp(0.9 * std::pow(std::max(error, 1e-10), -0.2), 0.2, 5.0) : 0.1;
      if (error > 1 || h == step_ || factor * h > step_) step_ = factor * h;
    }
  }

 private:
  static constexpr int kMaxSteps = 100'000;
  static constexpr double kSmallest = 1e-13;

  /// Fills next_ and next_slope_; returns the largest error, in tolerances.
  double attempt(double h) {
    constexpr double a[6][6] = {{1. / 5},
                                {3. / 40, 9. / 40},
                                {44. / 45, -56. / 15, 32. / 9},
                                {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
                                {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
                                {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84}};
    constexpr double e[7] = {71. / 57600, 0, -71. / 16695, 71. / 1920, -17253. / 339200, 22. / 525, -1. / 40};
    State k[7];
    k[0] = slope_;
    for (int stage = 0; stage < 6; ++stage) {
      for (std::size_t i = 0; i < kSize; ++i) {
        double sum = 0;
        for (int j = 0; j <= stage; ++j) sum += a[stage][j] * k[j][i];
        next_[i] = y_[i] + h * sum;
      }
      k[stage + 1] = f_(next_);
    }
    next_slope_ = k[6];
    double largest = 0;
    for (std::size_t i = 0; i < kSize; ++i) {
      double error = 0;
      for (int j = 0; j < 7; ++j) error += e[j] * k[j][i];
      error = std::abs(h * error) / tolerance_;
      if (!std::isfinite(error) || !std::isfinite(next_slope_[i])) return std::numeric_limits<double>::infinity();
      largest = std::max(largest, error);
    }
    return largest;
  }

  F f_;
  State y_, next_{}, slope_, next_slope_{};
  double tolerance_, step_ = 0.01;
};

}  // namespace bayesflow::benchmarks
