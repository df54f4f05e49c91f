/// XXH64, the checksum of everything this library stores.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace bayesflow::io {

/// The 64-bit xxHash (Collet, xxhash.com) of a stream of bytes: several GB/s, and a flipped bit goes unnoticed with probability 2^-64.
/// It guards against accidents, not against forgers.
class Xxh64 {
 public:
  explicit Xxh64(std::uint64_t seed = 0);
  void update(std::span<const std::byte> bytes);
  [[nodiscard]] std::uint64_t digest() const;

 private:
  std::uint64_t seed_;
  std::array<std::uint64_t, 4> lanes_;
  std::array<std::byte, 32> rest_{};
  std::uint64_t length_ = 0;
};

[[nodiscard]] std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed = 0);

}  // namespace bayesflow::io
