/// The rational-quadratic spline written straight from its formulas (Durkan, Bekasov, Murray, Papamakarios 2019, with v1's
/// parametrization), in double precision: an oracle for the library's. The inverse is found by bisection, so that the two
/// share no algebra.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/autodiff/ops.hpp"

namespace bayesflow::support {

class SplineTwin {
 public:
  SplineTwin(std::span<const double> raw, const ops::SplineOptions& o) : bins_(static_cast<std::size_t>(o.bins)), offset_(o.log_offset) {
    const auto softplus = [](double v) { return v > 30 ? v : std::log1p(std::exp(v)); };
    const double left = static_cast<double>(o.left), right = static_cast<double>(o.right), bottom = static_cast<double>(o.bottom),
                 top = static_cast<double>(o.top);
    const double k = static_cast<double>(o.bins);
    x_ = {raw[0] + left};
    y_ = {raw[1] + bottom};
    for (std::size_t i = 0; i < bins_; ++i) {
      x_.push_back(x_.back() + softplus(raw[2 + i] + std::log(std::expm1((right - left) / k))));
      y_.push_back(y_.back() + softplus(raw[2 + bins_ + i] + std::log(std::expm1((top - bottom) / k))));
    }
    tail_ = (y_.back() - y_[0]) / (x_.back() - x_[0]);
    d_ = {tail_};
    for (std::size_t i = 0; i + 1 < bins_; ++i) d_.push_back(softplus(raw[2 + 2 * bins_ + i] + std::log(std::expm1(1.0))));
    d_.push_back(tail_);
  }
  [[nodiscard]] double value(double u) const {
    if (u <= x_[0] || u > x_.back()) return tail_ * (u - x_[0]) + y_[0];
    const Bin b = bin(u);
    return y_[b.k] + b.dy * (b.s * b.xi * b.xi + d_[b.k] * b.xi * (1 - b.xi)) / b.den;
  }
  [[nodiscard]] double log_slope(double u) const {
    if (u <= x_[0] || u > x_.back()) return std::log(tail_ + offset_);
    const Bin b = bin(u);
    const double top = d_[b.k + 1] * b.xi * b.xi + 2 * b.s * b.xi * (1 - b.xi) + d_[b.k] * (1 - b.xi) * (1 - b.xi);
    return std::log(b.s * b.s * top + offset_) - std::log(b.den * b.den + offset_);
  }
  [[nodiscard]] double inverse(double v) const {
    if (v <= y_[0] || v > y_.back()) return x_[0] + (v - y_[0]) / tail_;
    double low = x_[0], high = x_.back();
    for (int i = 0; i < 200; ++i) {
      const double middle = 0.5 * (low + high);
      (value(middle) < v ? low : high) = middle;
    }
    return 0.5 * (low + high);
  }
  [[nodiscard]] const std::vector<double>& x_knots() const { return x_; }
  [[nodiscard]] const std::vector<double>& y_knots() const { return y_; }
  [[nodiscard]] const std::vector<double>& slopes() const { return d_; }

 private:
  struct Bin {
    std::size_t k;
    double dy, s, xi, den;
  };
  [[nodiscard]] Bin bin(double u) const {
    Bin b{};
    while (b.k + 1 < bins_ && x_[b.k + 1] < u) ++b.k;
    const double dx = x_[b.k + 1] - x_[b.k];
    b.dy = y_[b.k + 1] - y_[b.k];
    b.s = b.dy / dx;
    b.xi = (u - x_[b.k]) / dx;
    b.den = b.s + (d_[b.k + 1] + d_[b.k] - 2 * b.s) * b.xi * (1 - b.xi);
    return b;
  }
  std::size_t bins_;
  double offset_, tail_ = 1;
  std::vector<double> x_, y_, d_;
};

}  // namespace bayesflow::support
