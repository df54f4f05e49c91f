/// What processes that train together say to each other.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bayesflow/core/communicator.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow::detail {

/// Another rank failed, or the ranks cannot go on together: there is nobody to be told of it.
class RanksError : public Error {
 public:
  using Error::Error;
};

/// What the ranks meet for. A rank that is somewhere else than the others has another program or other options.
enum class Meeting : std::int64_t { run, checkpoint, simulations, values, gradients_of_inputs, gradients, decision };

/// A communicator with a protocol: each exchange begins with a header of fixed length by which every rank knows whether all are at the same
/// place. So a rank that fails says so at its next header, wherever the others are, and all of them end with its sentence.
class Ranks {
 public:
  /// Null: this process alone.
  explicit Ranks(std::shared_ptr<Communicator> communicator);
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }

  using Numbers = std::array<std::int64_t, 8>;
  /// The numbers of all ranks, in their order, until the next call. Throws RanksError if a rank failed or is at another meeting.
  std::span<const Numbers> meet(Meeting place, const Numbers& mine);
  /// For one that fails by itself: the others' present or next meeting throws. Does nothing if the ranks cannot reach each other.
  void fail(std::string_view sentence) noexcept;

  /// Blocks of equal length, one after the other. After a meeting.
  void gather(std::span<const std::byte> mine, std::span<std::byte> all);
  /// Blocks of any length, at a meeting of their own; valid until the next call.
  std::vector<std::span<const std::byte>> gather_any(Meeting place, std::span<const std::byte> mine);

  /// Which lanes (see Plan) a rank has parts of a sum in: bit k is its k-th lane, which is number k size + rank of all.
  using Lanes = std::uint32_t;
  /// sum[i] = the i-th values of all parts, added in float32 in the order of their lanes (without a leading 0 +), whichever ranks they
  /// lie on: sums of sums would round otherwise. `parts`: of this rank, for the bits that are set in lanes[rank]. Each rank adds up a
  /// slice: with n values, l lanes and p ranks one sends 4 n (l / p + 1) bytes.
  void all_sum(std::span<const float* const> parts, std::span<const Lanes> lanes, std::span<float> sum);

 private:
  struct Header {
    std::int64_t place;
    std::int64_t failed;
    Numbers numbers;
  };
  void exchange(const Header& mine);
  [[nodiscard]] std::string failures(std::string_view mine);
  template <class F>
  void reach(F&& f);

  std::shared_ptr<Communicator> communicator_;
  int rank_ = 0, size_ = 1;
  bool broken_ = false;
  std::vector<Header> headers_;
  std::vector<Numbers> numbers_;
  std::vector<std::byte> mine_, all_;
  std::vector<float> sent_, received_;
  std::vector<std::size_t> sent_bytes_, received_bytes_;
};

}  // namespace bayesflow::detail
