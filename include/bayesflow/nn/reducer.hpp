/// The seam for data-parallel training: sums over processes.
#pragma once

#include <cstddef>
#include <span>

namespace bayesflow::nn {

/// Sums over the processes (ranks) that train one model together, each on a part of the batch. This class is that of one process alone: its
/// sums are over what it is given. Derive from it to speak to other processes.
///
/// One seed gives one result for any number of ranks if three rules hold:
///  1. the batch is cut into chunks and lanes from its shape, never from the number of ranks (`Plan`);
///  2. rank r runs the r-th of `size` runs of consecutive lanes (`Plan::part`), so that lanes keep their numbers;
///  3. `all_sum` adds lane by lane: ((lane 0 + lane 1) + lane 2) + ..., whichever ranks they lie on. Sums of sums would round otherwise.
/// So a reducer sees the lanes that a rank owns, not their sum. One that may give other last digits can add them first and send less.
class Reducer {
 public:
  Reducer() = default;
  virtual ~Reducer() = default;
  Reducer(const Reducer&) = delete;
  Reducer& operator=(const Reducer&) = delete;

  [[nodiscard]] virtual int rank() const { return 0; }  ///< of this process, from 0 on
  [[nodiscard]] virtual int size() const { return 1; }  ///< how many processes there are

  /// sum[i] = the i-th values of all parts of all ranks, added in float32 in the order of ranks and, within a rank, of its parts, from the
  /// first on (there is no leading 0 +). A rank may have no parts; one of all must have some. `sum` overlaps no part. All ranks make the
  /// same calls, with sums of equal lengths, and get the same bits.
  virtual void all_sum(std::span<const float* const> parts, std::span<float> sum);
  /// all = the blocks of all ranks, in their order. Blocks are equally long; `all` has room for `size` of them.
  virtual void all_gather(std::span<const std::byte> mine, std::span<std::byte> all);
};

}  // namespace bayesflow::nn
