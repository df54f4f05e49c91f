/// Gradients of several processes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "autodiff/lanes.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "core/ranks.hpp"

namespace bayesflow::nn {

/// The lanes of all ranks as an optimizer reads them: of one rank those that it is given, of several one lane, their sum.
class LanesOfRanks {
 public:
  LanesOfRanks(const ParameterStore& store, std::shared_ptr<Communicator> communicator);
  [[nodiscard]] std::span<const bayesflow::detail::GradientLane> operator()(std::span<const bayesflow::detail::GradientLane> mine);

 private:
  /// What a rank says of its lanes before they are added.
  struct Written {
    double square;                          ///< of the whole gradient, if known
    bayesflow::detail::Ranks::Lanes lanes;  ///< that have a part of the parameter's gradient
    std::uint32_t square_known;
  };
  void exchange(std::span<const bayesflow::detail::GradientLane> mine);
  [[nodiscard]] bool same_lanes(std::size_t parameter, std::size_t other) const;
  [[nodiscard]] std::size_t count() const { return store_->table().size(); }

  const ParameterStore* store_;
  bayesflow::detail::Ranks ranks_;
  std::unique_ptr<GradientBuffers> sum_;                // of several ranks
  std::vector<Written> mine_, all_;                     // of each parameter; of each rank one after the other
  std::vector<bayesflow::detail::Ranks::Lanes> lanes_;  // of each rank
};

}  // namespace bayesflow::nn
