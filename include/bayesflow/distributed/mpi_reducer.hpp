/// Data-parallel training by MPI: `bayesflow::distributed`, a component that is built where MPI is found.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "bayesflow/nn/reducer.hpp"

namespace bayesflow::distributed {

/// Sums of gradients over the ranks of an MPI communicator, in the order of nn::Reducer: the same bits for any number of ranks. Hand it to
/// nn::Optimizer, and give each rank its part of the plan (Plan::part).
///
/// Each rank adds up a slice of the parameters: it gets that slice of all lanes, adds them in order, and hands the sum to the others
/// (MPI_Alltoallv, MPI_Allgatherv). With n parameters, l lanes and p ranks a rank sends 4 n (l / p + 1) bytes a step: less with more ranks.
class MpiReducer final : public nn::Reducer {
 public:
  /// `communicator`: the address of an MPI_Comm, which is copied; null: MPI_COMM_WORLD. All ranks of it construct one. Throws
  /// ConfigurationError unless MPI_Init has been called, and Error if MPI fails, here and below.
  explicit MpiReducer(const void* communicator = nullptr);
  ~MpiReducer() override;

  [[nodiscard]] int rank() const override;
  [[nodiscard]] int size() const override;
  /// Every rank must call it on the thread that has called MPI_Init, or MPI must have been asked for more by MPI_Init_thread.
  void all_sum(std::span<const float* const> parts, std::span<float> sum) override;
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow::distributed
