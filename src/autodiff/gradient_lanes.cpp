#include "bayesflow/autodiff/gradient_lanes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "autodiff/lanes.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/memory.hpp"

namespace bayesflow {
namespace {

struct FreeFloats {
  std::size_t bytes = 0;
  void operator()(float* p) const { detail::release_block(p, bytes); }
};
struct Memory {
  std::unique_ptr<float[], FreeFloats> gradients;
  std::vector<std::uint8_t> touched;
  std::vector<double> squares;
  std::vector<float> places;

  Memory(std::int64_t values, std::int64_t parameters)
      : touched(static_cast<std::size_t>(parameters), 0),
        squares(static_cast<std::size_t>(parameters), 0.0),
        places(static_cast<std::size_t>(parameters), -1.0f) {
    const std::size_t bytes = static_cast<std::size_t>(std::max<std::int64_t>(values, 1)) * sizeof(float);
    gradients = {static_cast<float*>(detail::allocate_block(bytes)), FreeFloats{bytes}};
  }
  [[nodiscard]] detail::GradientLane lane() { return {gradients.get(), touched.data(), squares.data(), places.data()}; }
};

}  // namespace

struct GradientLanes::State {
  std::int64_t values, parameters;
  std::vector<Memory> memory;
  std::vector<detail::GradientLane> lanes;  // tapes keep pointers to them: never reallocated
  std::optional<Memory> aside;
  detail::GradientLane lane_aside;
};

GradientLanes::GradientLanes(std::int64_t values, std::int64_t parameters) : state_(std::make_unique<State>()) {
  state_->values = values;
  state_->parameters = parameters;
  state_->memory.reserve(kMaxLanes);
  state_->lanes.reserve(kMaxLanes);
}
GradientLanes::~GradientLanes() = default;

void GradientLanes::require(std::int64_t count) {
  State& s = *state_;
  if (count <= static_cast<std::int64_t>(s.lanes.size())) return;
  if (count > kMaxLanes) throw ArgumentError(fmt::format("GradientLanes: {} lanes are required; a plan has at most {}", count, kMaxLanes));
  while (static_cast<std::int64_t>(s.lanes.size()) < count) s.lanes.push_back(s.memory.emplace_back(s.values, s.parameters).lane());
}

std::int64_t GradientLanes::count() const { return static_cast<std::int64_t>(state_->lanes.size()); }
std::size_t GradientLanes::reserved() const { return state_->lanes.size() * static_cast<std::size_t>(state_->values) * sizeof(float); }
std::span<float> GradientLanes::lane(std::int64_t lane) {
  return {state_->lanes.at(static_cast<std::size_t>(lane)).gradients, static_cast<std::size_t>(state_->values)};
}
bool GradientLanes::is_written(std::int64_t lane, std::int64_t parameter) const {
  return state_->lanes.at(static_cast<std::size_t>(lane)).touched[parameter] != 0;
}
void GradientLanes::add_up(std::int64_t parameter, std::int64_t offset, std::span<float> sum) const {
  std::ranges::fill(sum, 0.0f);
  for (const detail::GradientLane& lane : state_->lanes)
    if (lane.touched[parameter])
      for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += lane.gradients[offset + static_cast<std::int64_t>(k)];
}
void GradientLanes::clear() {
  for (Memory& m : state_->memory) std::ranges::fill(m.touched, std::uint8_t{0});
  if (state_->aside) std::ranges::fill(state_->aside->touched, std::uint8_t{0});
}
detail::GradientLane* GradientLanes::lanes() { return state_->lanes.data(); }
detail::GradientLane* GradientLanes::aside() {
  State& s = *state_;
  if (!s.aside) s.lane_aside = s.aside.emplace(s.values, s.parameters).lane();
  return &s.lane_aside;
}

}  // namespace bayesflow
