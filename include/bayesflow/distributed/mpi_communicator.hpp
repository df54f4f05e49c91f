/// Data-parallel training by MPI: `bayesflow::distributed`, a component that is built where MPI is found.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "bayesflow/core/communicator.hpp"

namespace bayesflow::distributed {

/// The ranks of an MPI communicator, for TrainerOptions::communicator:
///   MPI_Init(&argc, &argv);
///   Trainer trainer(posterior, model, {.communicator = std::make_shared<distributed::MpiCommunicator>()});
class MpiCommunicator final : public Communicator {
 public:
  /// `communicator`: the address of an MPI_Comm, which is copied; null: MPI_COMM_WORLD. All ranks of it construct one. Throws
  /// ConfigurationError unless MPI_Init has been called, and Error if MPI fails, here and below.
  explicit MpiCommunicator(const void* communicator = nullptr);
  ~MpiCommunicator() override;

  [[nodiscard]] int rank() const override;
  [[nodiscard]] int size() const override;
  /// To be called, as training does, on the thread that has called MPI_Init, unless MPI was asked for more by MPI_Init_thread.
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) override;
  void all_to_all(std::span<const std::byte> sent, std::span<const std::size_t> sent_bytes, std::span<std::byte> received,
                  std::span<const std::size_t> received_bytes) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow::distributed
