/// Context variables that modify priors and simulators.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"

namespace bayesflow {

/// What a prior or simulator function with a context sees. For a function of one simulation `batchable` is that simulation's
/// value; for a batched function it is (batch, ...). `non_batchable` is the one value of the whole batch. A context that no
/// generator makes is empty.
struct Context {
  std::optional<Array> batchable;
  std::optional<Array> non_batchable;
};

/// The functions of a ContextGenerator; each is optional.
struct ContextOptions {
  std::function<Array(Rng&)> batchable{};      ///< one value per simulation (a design, a power-scaling factor, ...)
  std::function<Array(Rng&)> non_batchable{};  ///< one value per batch (a number of observations, ...)
  std::function<Array(const Array& non_batchable, Rng&)>
      batchable_from_non_batchable{};  ///< instead of `batchable`: is given the batch's value
};

/// Draws contexts: the non-batchable value first, then one batchable value per simulation.
class ContextGenerator {
 public:
  ContextGenerator() = default;
  explicit ContextGenerator(ContextOptions options);  ///< throws ConfigurationError if both batchable forms are given
  [[nodiscard]] bool has_batchable() const;
  [[nodiscard]] bool has_non_batchable() const;
  /// Batchable value i comes from stream `streams.at(first_index + i)`, the non-batchable one from its purpose's own stream at first_index.
  /// A given non-batchable value is taken instead of a generated one.
  [[nodiscard]] Context operator()(std::int64_t batch_size, const Rng& streams, std::uint64_t first_index = 0,
                                   const std::optional<Array>& non_batchable = {}) const;

 private:
  ContextOptions options_;
};

}  // namespace bayesflow
