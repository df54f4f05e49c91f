/// Learning rate as a function of the step.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "bayesflow/core/describe.hpp"

namespace bayesflow::nn {

enum class ScheduleKind : std::uint8_t { constant, cosine, exponential, piecewise, own };
[[nodiscard]] EnumNames<ScheduleKind> names_of(ScheduleKind);

/// A schedule in numbers.
struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  std::vector<double> rates = {};        ///< the rate; exponential: and the factor; piecewise: all rates; own: the values at `kSampled`
  std::vector<std::int64_t> steps = {};  ///< cosine, exponential: how many; piecewise: the boundaries
  static constexpr std::int64_t kSampled[] = {0, 1, 10, 100, 1000, 10'000};
  friend bool operator==(const ScheduleOptions&, const ScheduleOptions&) = default;
};

template <class V>
void describe(V& v, ScheduleOptions& o) {
  v("kind", o.kind);
  v("rates", o.rates);
  v("steps", o.steps);
}

/// step (from 0) -> learning rate. Any callable will do; the functions below make the usual ones, which files can hold.
class Schedule {
 public:
  Schedule() = default;  ///< none
  /// A function of your own. Files hold some values of it, by which it is told from others.
  template <std::invocable<std::int64_t> F>
  requires(!std::same_as<std::remove_cvref_t<F>, Schedule>) Schedule(F function)
      : function_(std::move(function)), options_{.kind = ScheduleKind::own} {}  // NOLINT(google-explicit-constructor)
  /// Throws ConfigurationError for numbers that are no schedule.
  explicit Schedule(const std::optional<ScheduleOptions>& options);

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(function_); }
  [[nodiscard]] double operator()(std::int64_t step) const { return function_(step); }
  /// What is known of a function that was read from a file is some of its values: it cannot be called.
  [[nodiscard]] bool is_lost() const { return is_lost_; }
  friend std::optional<ScheduleOptions> described_as(const Schedule& schedule);

 private:
  std::function<double(std::int64_t)> function_;
  ScheduleOptions options_;
  bool is_lost_ = false;
};
[[nodiscard]] std::optional<ScheduleOptions> described_as(const Schedule& schedule);

/// The same rate at every step. Each of these functions throws ConfigurationError on a rate that is not positive.
[[nodiscard]] Schedule constant(double rate);
/// rate/2 (1 + cos(pi min(t, T)/T)): from `rate` to 0 in `steps` (Loshchilov and Hutter 2017), v1's default.
[[nodiscard]] Schedule cosine(double rate, std::int64_t steps);
/// rate * factor^(t / steps)
[[nodiscard]] Schedule exponential(double rate, double factor, std::int64_t steps);
/// rates[i] from boundaries[i - 1] (included) to boundaries[i]; one more rate than boundaries.
[[nodiscard]] Schedule piecewise(std::vector<std::int64_t> boundaries, std::vector<double> rates);

}  // namespace bayesflow::nn
