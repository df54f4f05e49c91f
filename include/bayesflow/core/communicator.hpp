/// The seam for data-parallel training: how processes exchange bytes.
#pragma once

#include <cstddef>
#include <span>

namespace bayesflow {

/// Processes (ranks) that train one model together. This class is one process alone; derive from it to speak to others, and hand it to
/// TrainerOptions::communicator. It only moves bytes: what is added, and in which order, is decided in one place, so that results have the
/// same bits for any number of ranks.
///
/// All ranks make the same calls in the same order, one at a time. What a call throws ends the training of its rank.
class Communicator {
 public:
  Communicator() = default;
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  [[nodiscard]] virtual int rank() const { return 0; }  ///< of this process, from 0 on
  [[nodiscard]] virtual int size() const { return 1; }  ///< how many processes there are

  /// all = the blocks of all ranks, in their order. Blocks are equally long; `all` has room for `size` of them.
  virtual void all_gather(std::span<const std::byte> mine, std::span<std::byte> all);
  /// Each rank sends a block to each: `sent` has those for rank 0, 1, ... one after the other, `received` is given those from rank 0, 1,
  /// ...; block r has sent_bytes[r], or received_bytes[r], bytes, on which sender and receiver agree.
  virtual void all_to_all(std::span<const std::byte> sent, std::span<const std::size_t> sent_bytes, std::span<std::byte> received,
                          std::span<const std::size_t> received_bytes);
};

}  // namespace bayesflow
