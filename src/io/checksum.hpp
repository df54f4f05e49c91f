/// XXH64, the checksum of everything this library stores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace bayesflow::io {

/// The 64-bit xxHash (Collet, xxhash.com) of a stream of bytes: several GB/s, and a flipped bit goes unnoticed with probability 2^-64.
/// It guards against accidents, not against forgers.
class Xxh64 {
 public:
  explicit Xxh64(std::uint64_t seed = 0);
  Xxh64(const Xxh64& other);
  Xxh64& operator=(const Xxh64& other);
  ~Xxh64();
  void update(std::span<const std::byte> bytes);
  [[nodiscard]] std::uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed = 0);

}  // namespace bayesflow::io
