/// Simulations in memory that are trained on in passes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/data/simulations.hpp"
#include "bayesflow/simulation/nonfinite.hpp"

namespace bayesflow::training {

/// Given simulations without those that are not finite, which are counted. They are dropped where the policy is to redraw, too: what is
/// learnt is the same. `where(row)` says whose simulation it is that is not finite, for errors and for `first`, if that is still empty.
[[nodiscard]] Simulations finite_rows(Simulations simulations, const NonFinitePolicy& policy, NonFiniteCount& count,
                                      const std::function<std::string(std::int64_t)>& where, std::string& first);

/// Parts of equal row shapes without a non-batchable context make one group, whose rows may meet in a batch; every part with such a context
/// is a group of its own.
class Dataset {
 public:
  /// Throws ShapeError if a field's rows disagree with the other fields' or parts of one group disagree.
  void add(Simulations part);
  [[nodiscard]] std::int64_t size() const { return size_; }  ///< rows
  [[nodiscard]] std::int64_t number_of_batches(std::int64_t batch_size) const;
  [[nodiscard]] const std::vector<Simulations>& parts() const { return parts_; }

  struct Group {
    std::vector<std::size_t> parts;
    std::vector<std::int64_t> first;  // row of each part in the group
    std::int64_t rows = 0;
  };
  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }
  /// Rows of a group, in the given order.
  /// Of the first group, at most `count`.
  [[nodiscard]] Simulations first(std::int64_t count) const;
  /// The first rows in stored order, at most `count`.
  [[nodiscard]] std::vector<Simulations> first_parts(std::int64_t count) const;
  [[nodiscard]] Simulations gather(std::size_t group, std::span<const std::int64_t> rows) const;

 private:
  std::vector<Simulations> parts_;
  std::vector<Group> groups_;
  std::ptrdiff_t pool_ = -1;  // the group of parts without a context
  std::int64_t size_ = 0;
};

constexpr std::int64_t kMostFitted = 1 << 14;  ///< given simulations that adapters are fitted to, at most

/// The order of one pass: every row exactly once, the last batch of a group may be smaller. A function of (seed, epoch) alone.
class Shuffle {
 public:
  void prepare(const Dataset& data, std::int64_t batch_size, std::uint64_t seed, std::uint64_t epoch);
  /// In stored order instead.
  void prepare_in_order(const Dataset& data, std::int64_t batch_size);
  struct Slice {
    std::size_t group = 0;
    std::int64_t first = 0, count = 0;
  };
  [[nodiscard]] std::int64_t batches() const { return static_cast<std::int64_t>(slices_.size()); }
  [[nodiscard]] Simulations batch(const Dataset& data, std::int64_t index) const;

 private:
  void cut(const Dataset& data, std::int64_t batch_size);
  std::vector<std::vector<std::int64_t>> order_;  // per group
  std::vector<Slice> slices_;
};

}  // namespace bayesflow::training
