#include "io/checksum.hpp"

#include <bit>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace bayesflow::io {

static_assert(std::endian::native == std::endian::little, "files are little-endian, and so must the machine be");

struct Xxh64::State {
  XXH64_state_t state;
};

Xxh64::Xxh64(std::uint64_t seed) : state_(std::make_unique<State>()) { XXH64_reset(&state_->state, seed); }
Xxh64::Xxh64(const Xxh64& other) : state_(std::make_unique<State>(*other.state_)) {}
Xxh64& Xxh64::operator=(const Xxh64& other) {
  *state_ = *other.state_;
  return *this;
}
Xxh64::~Xxh64() = default;

void Xxh64::update(std::span<const std::byte> bytes) { XXH64_update(&state_->state, bytes.data(), bytes.size()); }
std::uint64_t Xxh64::digest() const { return XXH64_digest(&state_->state); }

std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed) { return XXH64(bytes.data(), bytes.size(), seed); }

}  // namespace bayesflow::io
