#include "bayesflow/autodiff/gradient_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

void GradientCheckOptions::validate() const {
  const auto check = [](bool good, const char* name, double value, const char* constraint) {
    if (!good) throw ConfigurationError(fmt::format("GradientCheckOptions::{} = {}; it must be {}", name, value, constraint));
  };
  check(tolerance > 0, "tolerance", tolerance, "positive");
  check(first_step > 0, "first_step", first_step, "positive");
  check(steps >= 4 && steps <= 20, "steps", steps, "between 4 and 20");
  check(max_elements >= 0, "max_elements", static_cast<double>(max_elements), "not negative (0: all)");
  check(directions >= 0, "directions", directions, "not negative");
  check(unresolved >= 0 && unresolved <= 1, "unresolved", unresolved, "in [0, 1]");
  check(floor > 0, "floor", floor, "positive");
}

std::string GradientCheck::to_string() const {
  if (compared == 0) return "no derivative to compare";
  return fmt::format(
      "{}: of {} derivatives ({} unresolved) the worst is that of {}: {} by the chain rule, {} by differences; error {:.2e}, tolerance "
      "{:.0e}",
      passed() ? "passed" : "failed", compared, unresolved, where, analytic, numeric, worst_error, tolerance);
}

namespace detail {
namespace {

constexpr double kRoundoff = 4.0 / (1 << 24);

/// Claimed minus numeric derivative is -value; the numeric one is known to about `uncertainty`.
struct Discrepancy {
  double value, uncertainty;
};

std::string position(const Shape& shape, std::int64_t flat) {
  std::string text;
  for (int axis = shape.rank(); axis-- > 0;) {
    text = std::to_string(flat % shape[axis]) + (text.empty() ? "" : ", " + text);
    flat /= shape[axis];
  }
  return "(" + text + ")";
}

/// Moves values along a direction and back.
class Mover {
 public:
  Mover(Varied& varied, const LossTerms& loss, const std::vector<double>& here)
      : varied_(varied), loss_(loss), here_(here), before_(varied.values.begin(), varied.values.end()) {}

  /// What differences say about the derivative along `direction`, minus the claimed one.
  Discrepancy discrepancy(std::span<const std::int64_t> elements, std::span<const double> direction, const GradientCheckOptions& o) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    Discrepancy best{kInfinity, kInfinity};
    double central = 0, bend = 0, combined = 0, change = 0;  // of the rung before
    double h = o.first_step;
    for (int i = 0; i < o.steps; ++i, h *= 0.5) {
      at(elements, direction, h, plus_);
      at(elements, direction, -h, minus_);
      double claimed = 0, difference = 0, bent = 0, square = 0;
      for (const std::int64_t e : elements) {
        const auto k = static_cast<std::size_t>(e);
        claimed += static_cast<double>(varied_.gradient[k]) * (moved(k, direction, elements, h) - moved(k, direction, elements, -h));
      }
      // Term by term: results that did not change bring no rounding error.
      for (std::size_t k = 0; k < plus_.size(); ++k) {
        difference += plus_[k] - minus_[k];
        bent += (plus_[k] - here_[k]) + (minus_[k] - here_[k]);
        if (plus_[k] != minus_[k]) square += here_[k] * here_[k];
      }
      const double next_central = (difference - claimed) / (2 * h), next_bend = bent / (2 * h),
                   rounding = kRoundoff * std::sqrt(square) / h;
      const double next_combined = (4 * next_central - central) / 3;
      const double next_change = std::fabs(next_combined - combined) + std::fabs(bend - 2 * next_bend);
      if (i > 2) {
        const double uncertainty = change + next_change + rounding;
        if (uncertainty < best.uncertainty) best = {next_combined, uncertainty};
      }
      change = next_change;
      central = next_central;
      bend = next_bend;
      combined = next_combined;
    }
    restore();
    return best;
  }

 private:
  double moved(std::size_t k, std::span<const double> direction, std::span<const std::int64_t> elements, double h) const {
    const double d = elements.size() == 1 ? direction[0] : direction[k];
    return static_cast<double>(static_cast<float>(static_cast<double>(before_[k]) + h * d));
  }
  void at(std::span<const std::int64_t> elements, std::span<const double> direction, double h, std::vector<double>& terms) {
    for (const std::int64_t e : elements)
      varied_.values[static_cast<std::size_t>(e)] = static_cast<float>(moved(static_cast<std::size_t>(e), direction, elements, h));
    loss_(terms);
  }
  void restore() { std::copy(before_.begin(), before_.end(), varied_.values.begin()); }

  Varied& varied_;
  const LossTerms& loss_;
  const std::vector<double>& here_;
  std::vector<float> before_;
  std::vector<double> plus_, minus_;
};

}  // namespace

void contract(Tape& tape, std::span<const Tensor> results, std::uint64_t seed, bool backward, std::vector<double>& terms) {
  terms.clear();
  std::vector<std::vector<float>> cotangents;
  for (std::size_t r = 0; r < results.size(); ++r) {
    Rng rng(seed, "gradient check cotangent", r);
    std::vector<float> c(static_cast<std::size_t>(results[r].size()));
    rng.fill_normal(std::span<float>(c));
    for (std::size_t k = 0; k < c.size(); ++k) terms.push_back(static_cast<double>(c[k]) * static_cast<double>(results[r].data()[k]));
    cotangents.push_back(std::move(c));
  }
  if (!backward) return;
  // One scalar that every result flows into; its float32 value is not used.
  Tensor total;
  for (std::size_t r = 0; r < results.size(); ++r) {
    if (!results[r].needs_grad() || results[r].size() == 0) continue;
    Tensor part = tape.result({1}, {results[r]});
    part.data()[0] = 0;
    float* c = tape.arena().floats(results[r].size());
    std::copy(cotangents[r].begin(), cotangents[r].end(), c);
    tape.on_backward(part, [from = results[r], c] { deliver(from, c); });
    if (!total) {
      total = part;
      continue;
    }
    Tensor sum = tape.result({1}, {total, part});
    sum.data()[0] = 0;
    tape.on_backward(sum, [total, part, sum] {
      deliver(total, grad_of(sum));
      deliver(part, grad_of(sum));
    });
    total = sum;
  }
  if (total) tape.backward(total);
}

GradientCheck compare_gradients(const LossTerms& loss, std::span<Varied> varied, const GradientCheckOptions& options) {
  options.validate();
  GradientCheck check;
  check.tolerance = options.tolerance;
  check.most_unresolved = options.unresolved;
  std::vector<double> here, again;
  loss(here);
  loss(again);
  // Bit by bit, so that what is not a number equals itself; without outputs there is nothing to compare, nor a place to look at.
  if (!here.empty() && std::memcmp(here.data(), again.data(), here.size() * sizeof(double)) != 0)
    throw ArgumentError("check_gradient: two evaluations at the same point gave different results; noise must come from Tape::rng");
  const double infinity = std::numeric_limits<double>::infinity();
  const auto note = [&](double analytic, Discrepancy d, double scale, const std::string& where) {
    ++check.compared;
    scale = std::max(options.floor, scale);
    double error = std::fabs(d.value) / scale;
    if (!std::isfinite(error) || !std::isfinite(analytic)) {
      error = infinity;
    } else if (d.uncertainty > options.tolerance * scale && std::fabs(d.value) < 10 * d.uncertainty) {
      ++check.unresolved;
      return;
    }
    if (error < check.worst_error || (error == check.worst_error && !check.where.empty())) return;
    check.worst_error = error;
    check.where = where;
    check.analytic = analytic;
    check.numeric = analytic + d.value;
  };
  for (Varied& v : varied) {
    const std::int64_t n = v.shape.size();
    if (n == 0) continue;
    Rng rng(options.seed, "gradient check " + v.name);
    double square = 0;
    for (const float g : v.gradient) square += static_cast<double>(g) * static_cast<double>(g);
    Mover mover(v, loss, here);
    std::vector<std::int64_t> all = rng.permutation(n);
    if (options.max_elements > 0 && options.max_elements < n) all.resize(static_cast<std::size_t>(options.max_elements));
    std::sort(all.begin(), all.end());
    const double one = 1;
    std::vector<Discrepancy> discrepancies;
    double largest = std::sqrt(square / static_cast<double>(n));
    for (const std::int64_t e : all) {
      discrepancies.push_back(mover.discrepancy({&e, 1}, {&one, 1}, options));
      largest = std::max(largest, std::fabs(static_cast<double>(v.gradient[static_cast<std::size_t>(e)]) + discrepancies.back().value));
    }
    for (std::size_t i = 0; i < all.size(); ++i)
      note(static_cast<double>(v.gradient[static_cast<std::size_t>(all[i])]), discrepancies[i], largest,
           v.name + " at " + position(v.shape, all[i]));
    // All elements at once, each a step up or down: sees every element, also those that were not drawn.
    all.resize(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
    for (int d = 0; d < options.directions && n > 1; ++d) {
      std::vector<double> direction(static_cast<std::size_t>(n));
      double analytic = 0;
      for (std::size_t i = 0; i < direction.size(); ++i) {
        direction[i] = rng.bernoulli(0.5) ? 1 : -1;
        analytic += direction[i] * static_cast<double>(v.gradient[i]);
      }
      note(analytic, mover.discrepancy(all, direction, options), std::sqrt(square), fmt::format("{} in direction {}", v.name, d));
    }
  }
  return check;
}

}  // namespace detail

GradientCheck check_gradient(const std::function<std::vector<Tensor>(Tape&, std::span<const Tensor>)>& f, const std::vector<Array>& inputs,
                             const GradientCheckOptions& options, const std::vector<bool>& differentiable) {
  if (!differentiable.empty() && differentiable.size() != inputs.size())
    throw ArgumentError(
        fmt::format("check_gradient: needs one flag per input, or none; got {} flags for {} inputs", differentiable.size(), inputs.size()));
  const auto differentiated = [&](std::size_t i) { return differentiable.empty() || differentiable[i]; };
  std::vector<std::vector<float>> values;
  for (const Array& x : inputs) {
    std::vector<float>& to = values.emplace_back();
    for (const double v : x.values()) to.push_back(static_cast<float>(v));
  }
  Tape tape;
  std::vector<Tensor> tensors;
  const auto run = [&](bool gradients, std::vector<double>& terms) {
    tape.reset({.gradients = gradients, .training = options.training, .seed = options.seed, .pool = options.pool});
    tensors.clear();
    for (std::size_t i = 0; i < inputs.size(); ++i) tensors.push_back(tape.input(inputs[i].shape(), values[i].data(), differentiated(i)));
    detail::contract(tape, f(tape, tensors), options.seed, gradients, terms);
  };
  std::vector<double> start;
  run(true, start);
  std::vector<detail::Varied> varied;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!differentiated(i)) continue;
    std::vector<float> gradient(values[i].size(), 0.0f);
    if (const float* g = tensors[i].grad()) std::copy_n(g, gradient.size(), gradient.begin());
    varied.push_back({"input " + std::to_string(i), inputs[i].shape(), values[i], std::move(gradient)});
  }
  return detail::compare_gradients([&](std::vector<double>& terms) { run(false, terms); }, varied, options);
}

GradientCheck check_gradient(const std::function<Tensor(Tape&, std::span<const Tensor>)>& f, const std::vector<Array>& inputs,
                             const GradientCheckOptions& options, const std::vector<bool>& differentiable) {
  return check_gradient([&f](Tape& tape, std::span<const Tensor> x) { return std::vector<Tensor>{f(tape, x)}; }, inputs, options,
                        differentiable);
}

}  // namespace bayesflow
