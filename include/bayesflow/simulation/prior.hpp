/// Priors: functions that draw parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/simulation/context.hpp"

namespace bayesflow {

/// Settings of a Prior beside its function.
struct PriorOptions {
  ContextGenerator context{};              ///< makes the contexts that the function sees
  std::vector<std::string> param_names{};  ///< names for figures, reports and files; empty: theta_1, theta_2, ...
  bool thread_safe = true;                 ///< the function may run on several threads at once
};

/// What a prior call returns (v1's dictionary of the same keys).
struct PriorDraws {
  Array prior_draws;  ///< (batch, ...)
  std::optional<Array> batchable_context;
  std::optional<Array> non_batchable_context;
};

/// A prior over parameters. The function draws one parameter vector (an Array, or a double for a single parameter):
///   Prior prior([](Rng& rng) { return rng.normal({4}); });
///   Prior prior([](const Context& c, Rng& rng) { return rng.normal({4}, 0.0, c.batchable->item()); }, {.context = ...});
/// or, batched, all of them at once:
///   auto prior = Prior::batched([](std::int64_t batch_size, Rng& rng) { return rng.normal({batch_size, 4}); });
class Prior {
 public:
  using Function = std::function<Array(const Context&, Rng&)>;
  using BatchedFunction = std::function<Array(std::int64_t, const Context&, Rng&)>;

  template <class F>
  requires std::is_invocable_v<F&, Rng&> || std::is_invocable_v<F&, const Context&, Rng&>
  explicit Prior(F function, PriorOptions options = {}) : Prior(wrap(std::move(function)), nullptr, std::move(options)) {}

  template <class F>
  requires std::is_invocable_r_v<Array, F&, std::int64_t, Rng&> || std::is_invocable_r_v<Array, F&, std::int64_t, const Context&, Rng&>
  [[nodiscard]] static Prior batched(F function, PriorOptions options = {}) {
    BatchedFunction wrapped;
    if constexpr (std::is_invocable_v<F&, std::int64_t, Rng&>)
      wrapped = [f = std::move(function)](std::int64_t n, const Context&, Rng& rng) mutable { return f(n, rng); };
    else
      wrapped = std::move(function);
    return Prior(nullptr, std::move(wrapped), std::move(options));
  }

  [[nodiscard]] bool is_batched() const { return static_cast<bool>(batched_); }
  [[nodiscard]] const std::vector<std::string>& param_names() const { return options_.param_names; }
  [[nodiscard]] const PriorOptions& options() const { return options_; }

  /// Draws `batch_size` parameter vectors. Draw i of an unbatched prior uses the stream `streams.at(first_index + i)`.
  /// Throws SimulationError (with the index) if the function throws, returns varying shapes or something not finite.
  [[nodiscard]] PriorDraws operator()(std::int64_t batch_size, const Rng& streams, std::uint64_t first_index = 0,
                                      ThreadPool* pool = nullptr) const {
    return draw(batch_size, streams, first_index, pool, {});
  }
  /// With a seed instead of a stream.
  [[nodiscard]] PriorDraws operator()(std::int64_t batch_size, std::uint64_t seed = 0) const;

  /// Monte-Carlo mean and standard deviation (ddof 1) of each parameter, (1, P) each: for standardizing in a configurator.
  struct Moments {
    Array means, stds;
  };
  [[nodiscard]] Moments estimate_means_and_stds(std::int64_t n_draws = 1000, std::uint64_t seed = 0) const;

 private:
  friend class GenerativeModel;
  /// With a given non-batchable context instead of a generated one.
  [[nodiscard]] PriorDraws draw(std::int64_t batch_size, const Rng& streams, std::uint64_t first_index, ThreadPool* pool,
                                const std::optional<Array>& non_batchable_context) const;
  Prior(Function function, BatchedFunction batched, PriorOptions options);

  template <class F>
  static Function wrap(F function) {
    const auto to_array = [](auto&& value) -> Array {
      if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>)
        return Array({1}, static_cast<double>(value));
      else
        return std::forward<decltype(value)>(value);
    };
    if constexpr (std::is_invocable_v<F&, Rng&>)
      return [f = std::move(function), to_array](const Context&, Rng& rng) mutable { return to_array(f(rng)); };
    else
      return [f = std::move(function), to_array](const Context& c, Rng& rng) mutable { return to_array(f(c, rng)); };
  }

  Function function_;
  BatchedFunction batched_;
  PriorOptions options_;
};

}  // namespace bayesflow
