#include "bayesflow/autodiff/gradient_lanes.hpp"

#include <fmt/format.h>

#include <algorithm>
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
};

}  // namespace

struct GradientLanes::State {
  std::int64_t values, parameters;
  std::vector<Memory> memory;
  std::vector<detail::GradientLane> lanes;  // tapes keep pointers to them: never reallocated
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
  const std::size_t bytes = static_cast<std::size_t>(std::max<std::int64_t>(s.values, 1)) * sizeof(float);
  const auto parameters = static_cast<std::size_t>(s.parameters);
  while (static_cast<std::int64_t>(s.lanes.size()) < count) {
    float* gradients = static_cast<float*>(detail::allocate_block(bytes));
    s.memory.push_back({{gradients, FreeFloats{bytes}},
                        std::vector<std::uint8_t>(parameters, 0),
                        std::vector<double>(parameters, 0.0),
                        std::vector<float>(parameters, -1.0f)});
    Memory& m = s.memory.back();
    s.lanes.push_back({gradients, m.touched.data(), m.squares.data(), m.places.data()});
  }
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
}
detail::GradientLane* GradientLanes::lanes() { return state_->lanes.data(); }

}  // namespace bayesflow
