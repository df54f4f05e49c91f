/// The optimizer's side of a Reducer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "autodiff/lanes.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/nn/reducer.hpp"

namespace bayesflow::nn {

/// The lanes of all ranks as an optimizer reads them: of one rank those that it is given, of several one lane, their sum.
class LanesOfRanks {
 public:
  LanesOfRanks(const ParameterStore& store, std::shared_ptr<Reducer> reducer);
  [[nodiscard]] std::span<const bayesflow::detail::GradientLane> operator()(std::span<const bayesflow::detail::GradientLane> mine);

 private:
  /// What a rank says of its lanes before they are added.
  struct Written {
    double square;        ///< of the whole gradient, if known
    std::uint32_t lanes;  ///< a bit for each lane that has a part of the parameter's gradient
    bool square_known;
  };
  void exchange(std::span<const bayesflow::detail::GradientLane> mine);
  [[nodiscard]] bool same_lanes(std::size_t parameter, std::size_t other) const;
  [[nodiscard]] std::size_t count() const { return store_->table().size(); }

  const ParameterStore* store_;
  std::shared_ptr<Reducer> reducer_;
  std::unique_ptr<GradientBuffers> sum_;  // of several ranks
  std::vector<Written> mine_, all_;       // of each parameter; of each rank one after the other
};

}  // namespace bayesflow::nn
