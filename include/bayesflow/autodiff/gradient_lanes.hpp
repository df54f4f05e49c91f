/// Where a tape puts the gradients of a model's parameters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace bayesflow {

namespace detail {
struct GradientLane;
}

/// Most lanes that a plan may have.
inline constexpr std::int64_t kMaxLanes = 16;

/// Gradients of a model's parameters, in lanes: flat buffers, each laid out as the parameters. Shards that run side by side write to
/// different lanes; an optimizer adds lanes in order. A lane gets memory when a plan first needs it and keeps it. Of several processes that
/// train together, number r of p has only its own of the plan's lanes here: the k-th is number k p + r of all.
class GradientLanes {
 public:
  /// `values`: floats of a lane; `parameters`: how many parameters lie in it.
  GradientLanes(std::int64_t values, std::int64_t parameters);
  ~GradientLanes();
  GradientLanes(const GradientLanes&) = delete;
  GradientLanes& operator=(const GradientLanes&) = delete;

  /// Makes lanes 0 to count - 1. Throws ArgumentError above kMaxLanes.
  void require(std::int64_t count);
  [[nodiscard]] std::int64_t count() const;    ///< lanes that have memory
  [[nodiscard]] std::size_t reserved() const;  ///< bytes of their gradients
  [[nodiscard]] std::span<float> lane(std::int64_t lane);
  /// True if a derivative has written the parameter's gradient to the lane since the last `clear`.
  [[nodiscard]] bool is_written(std::int64_t lane, std::int64_t parameter) const;
  /// sum[k] = the gradient of value `offset` + k of a parameter: lanes that have it, added in order; 0 if none has.
  void add_up(std::int64_t parameter, std::int64_t offset, std::span<float> sum) const;
  /// Forgets all gradients (marks them as not written).
  void clear();

  /// For the tape and optimizers.
  [[nodiscard]] detail::GradientLane* lanes();
  /// For gradients that another process has as well, and counts: no optimizer sees them.
  [[nodiscard]] detail::GradientLane* aside();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow
