/// Derivatives checked against finite differences: for operations and networks of your own.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/array.hpp"

namespace bayesflow {

/// Settings of a gradient check.
struct GradientCheckOptions {
  double tolerance = 1e-3;        ///< largest error that passes, see GradientCheck::worst_error
  double first_step = 0.125;      ///< the longest step of the ladder; inputs should be of order one
  int steps = 10;                 ///< rungs of the ladder, each half the one before
  std::int64_t max_elements = 0;  ///< elements of an input that are varied one by one, drawn at random; 0: all
  int directions = 1;             ///< random directions in which all elements of an input vary together
  double unresolved = 0.1;        ///< share of derivatives that may stay unresolved, see below; kinks everywhere need more
  double floor = 1e-2;            ///< gradients smaller than this are compared absolutely
  std::uint64_t seed = 0;         ///< of cotangents, directions and drawn elements, and of the tape's noise
  bool training = true;           ///< as TapeSettings::training; dropout sees the same noise in every evaluation
  ThreadPool* pool = nullptr;     ///< as TapeSettings::pool
  void validate() const;          ///< throws ConfigurationError
};

/// The outcome: the derivative that agrees least.
struct GradientCheck {
  /// max over inputs and elements of |analytic - numeric| / max(floor, largest |gradient| of that input); for directions the
  /// same with the gradient's Euclidean norm. Infinite if a number is not finite.
  double worst_error = 0;
  std::string where;                          ///< "input 0 at (2, 1)", "coupling.0.net1.s.0.kernel in direction 0"
  double analytic = 0, numeric = 0;           ///< there
  std::int64_t compared = 0;                  ///< number of derivatives looked at
  std::int64_t unresolved = 0;                ///< of those, known too roughly by differences to tell: a kink next to the point
  double tolerance = 0, most_unresolved = 0;  ///< as the options had it
  /// No error above the tolerance, and not too many unresolved.
  [[nodiscard]] bool passed() const {
    return worst_error <= tolerance && static_cast<double>(unresolved) <= most_unresolved * static_cast<double>(compared);
  }
  [[nodiscard]] std::string to_string() const;  ///< one sentence
};

/// Checks the derivatives of f with respect to all inputs (rounded to float32). f may have several results; what is differentiated is
/// L = sum c_k y_k over all their elements with normal cotangents c_k, accumulated in double precision, so that errors of
/// different elements do not cancel. `differentiable`: one flag per input, empty for all.
///
/// Error model. f is computed in float32: an evaluation carries a rounding error of about e = 2^-22 |c * y|, y the
/// results that change, so that the central difference D(h) = (L(x + h) - L(x - h)) / 2h = L' + h^2 L'''/6 + O(h^4) + O(e / h): long steps
/// suffer from curvature, short ones from rounding. Steps halve from `first_step`; neighbours are combined to R(h) = (4 D(h) - D(2h)) / 3,
/// which has no h^2 term. A kink (of relu, of a maximum) within a step bends L: B(h) = (L(x + h) + L(x - h) - 2 L(x)) / 2h is h L''/2 +
/// O(h^3) where L is smooth, and is off by as much as D(h) is where it is not. The rung with the smallest C(2h) + C(h) + e / h, C(h) =
/// |R(h) - R(2h)| + |B(2h) - 2 B(h)|, is taken: two changes, because one may be small by chance. That smallest sum is the uncertainty of
/// the result; a derivative whose uncertainty exceeds the tolerance counts as unresolved, unless it is off by ten times as much. Smooth
/// functions of order one are resolved to about 1e-5. Steps are what float32 makes of them.
///
/// Throws ArgumentError if two evaluations at the same point differ (noise must come from Tape::rng), ShapeError from f.
///   auto check = check_gradient([](Tape&, std::span<const Tensor> x) { return my_op(x[0], x[1]); }, {a, b});
///   if (!check.passed()) std::cerr << check.to_string();
GradientCheck check_gradient(const std::function<Tensor(Tape&, std::span<const Tensor>)>& f, const std::vector<Array>& inputs,
                             const GradientCheckOptions& options = {}, const std::vector<bool>& differentiable = {});
/// The same for a function with several results.
GradientCheck check_gradient(const std::function<std::vector<Tensor>(Tape&, std::span<const Tensor>)>& f, const std::vector<Array>& inputs,
                             const GradientCheckOptions& options = {}, const std::vector<bool>& differentiable = {});

namespace detail {

/// Numbers in memory that a loss depends on, and the gradient that is claimed.
struct Varied {
  std::string name;
  Shape shape;
  std::span<float> values;
  std::vector<float> gradient;
};
/// Computes the terms c_k y_k.
using LossTerms = std::function<void(std::vector<double>& terms)>;
/// c_k y_k over the results with cotangents from `seed`; runs the tape backwards from them if `backward`.
void contract(Tape& tape, std::span<const Tensor> results, std::uint64_t seed, bool backward, std::vector<double>& terms);
GradientCheck compare_gradients(const LossTerms& loss, std::span<Varied> varied, const GradientCheckOptions& options);

}  // namespace detail
}  // namespace bayesflow
