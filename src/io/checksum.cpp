#include "io/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace bayesflow::io {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian, and so must the machine be");

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F, kPrime3 = 0x165667B19E3779F9,
                        kPrime4 = 0x85EBCA77C2B2AE63, kPrime5 = 0x27D4EB2F165667C5;

template <class T>
std::uint64_t load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

std::uint64_t round(std::uint64_t lane, std::uint64_t word) { return std::rotl(lane + word * kPrime2, 31) * kPrime1; }

void stripe(std::array<std::uint64_t, 4>& lanes, const std::byte* p) {
  for (std::size_t i = 0; i < 4; ++i) lanes[i] = round(lanes[i], load<std::uint64_t>(p + 8 * i));
}

}  // namespace

Xxh64::Xxh64(std::uint64_t seed) : seed_(seed), lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1} {}

void Xxh64::update(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;  // they may lie nowhere, which memcpy does not take
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  const std::size_t held = static_cast<std::size_t>(length_ % 32);
  length_ += left;
  if (held) {
    const std::size_t take = std::min(left, 32 - held);
    std::memcpy(rest_.data() + held, p, take);
    p += take;
    left -= take;
    if (held + take < 32) return;
    stripe(lanes_, rest_.data());
  }
  std::array<std::uint64_t, 4> lanes = lanes_;  // a copy stays in registers
  for (; left >= 32; left -= 32, p += 32) stripe(lanes, p);
  lanes_ = lanes;
  if (left) std::memcpy(rest_.data(), p, left);
}

std::uint64_t Xxh64::digest() const {
  std::uint64_t h = seed_ + kPrime5;
  if (length_ >= 32) {
    h = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (const std::uint64_t lane : lanes_) h = (h ^ round(0, lane)) * kPrime1 + kPrime4;
  }
  h += length_;
  const std::byte* p = rest_.data();
  std::size_t left = static_cast<std::size_t>(length_ % 32);
  for (; left >= 8; left -= 8, p += 8) h = std::rotl(h ^ round(0, load<std::uint64_t>(p)), 27) * kPrime1 + kPrime4;
  for (; left >= 4; left -= 4, p += 4) h = std::rotl(h ^ load<std::uint32_t>(p) * kPrime1, 23) * kPrime2 + kPrime3;
  for (; left; --left, ++p) h = std::rotl(h ^ load<std::uint8_t>(p) * kPrime5, 11) * kPrime1;
  h = (h ^ h >> 33) * kPrime2;
  h = (h ^ h >> 29) * kPrime3;
  return h ^ h >> 32;
}

std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed) {
  Xxh64 hash(seed);
  hash.update(bytes);
  return hash.digest();
}

}  // namespace bayesflow::io
