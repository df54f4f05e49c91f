#include "bayesflow/core/rng.hpp"

#include <Random123/philox.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "kernels/random.hpp"

namespace bayesflow {
namespace {

std::uint64_t mix(std::uint64_t z) {  // the finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection that scatters bits
  z += 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

std::uint64_t make_key(std::uint64_t seed, std::string_view purpose) {
  std::uint64_t h = mix(seed);
  for (const char c : purpose) h = mix(h ^ static_cast<unsigned char>(c));
  return mix(h ^ purpose.size());
}

double unit(std::uint64_t word) { return static_cast<double>(word >> 11) * 0x1p-53; }

void require_bounds(double low, double high) {
  if (!(low <= high)) throw ArgumentError(fmt::format("Rng::uniform: low must not exceed high; got [{}, {})", low, high));
  if (!std::isfinite(high - low)) throw ArgumentError(fmt::format("Rng::uniform: high - low must be finite; got [{}, {})", low, high));
}
double between(double low, double high, double u) {
  const double x = low + (high - low) * u;
  return x < high ? x : low < high ? std::nextafter(high, low) : low;  // rounding may reach the open end
}
void require_scale(double scale) {
  if (!(scale >= 0)) throw ArgumentError(fmt::format("Rng::normal: scale must not be negative; got {}", scale));
}

}  // namespace

Rng::Rng(std::uint64_t seed, std::string_view purpose, std::uint64_t index) : seed_(seed), key_(make_key(seed, purpose)), index_(index) {}

Rng Rng::at(std::uint64_t index) const {
  Rng out(*this);
  out.index_ = index;
  out.set_position(0);
  return out;
}
Rng Rng::for_purpose(std::string_view purpose, std::uint64_t index) const { return Rng(seed_, purpose, index); }
Rng Rng::branch(std::string_view name, std::uint64_t index) const {
  Rng out(*this);
  // The index counts too: otherwise branches made inside simulation 1 and simulation 2 would be the same stream.
  out.key_ = make_key(index_ ? mix(key_ + mix(index_)) : key_, name);
  out.index_ = index;
  out.set_position(0);
  return out;
}
void Rng::set_position(std::uint64_t blocks) {
  position_ = blocks;
  left_ = 0;
  has_spare_normal_ = false;
}

void Rng::next_block() {
  const r123::Philox4x32 philox;
  const r123::Philox4x32::ctr_type counter = {{static_cast<std::uint32_t>(position_), static_cast<std::uint32_t>(position_ >> 32),
                                               static_cast<std::uint32_t>(index_), static_cast<std::uint32_t>(index_ >> 32)}};
  const r123::Philox4x32::key_type key = {{static_cast<std::uint32_t>(key_), static_cast<std::uint32_t>(key_ >> 32)}};
  const r123::Philox4x32::ctr_type r = philox(counter, key);
  block_ = {r[0] | static_cast<std::uint64_t>(r[1]) << 32, r[2] | static_cast<std::uint64_t>(r[3]) << 32};
  ++position_;
  left_ = 2;
}

std::uint64_t Rng::bits() {
  if (left_ == 0) next_block();
  return block_[static_cast<std::size_t>(2 - left_--)];
}

void Rng::fill_normal(std::span<double> out) {
  std::size_t i = 0;
  if (has_spare_normal_ && !out.empty()) {
    out[i++] = spare_normal_;
    has_spare_normal_ = false;
  }
  const auto pairs = static_cast<std::int64_t>((out.size() - i) / 2);
  kernels::normal_blocks(key_, index_, position_, pairs, out.data() + i);
  position_ += static_cast<std::uint64_t>(pairs);
  i += 2 * static_cast<std::size_t>(pairs);
  if (i < out.size()) {
    double pair[2];
    kernels::normal_blocks(key_, index_, position_++, 1, pair);
    out[i] = pair[0];
    spare_normal_ = pair[1];
    has_spare_normal_ = true;
  }
}

void Rng::fill_normal(std::span<float> out) {
  double buffer[256];
  for (std::size_t i = 0; i < out.size(); i += 256) {
    const std::size_t n = std::min<std::size_t>(256, out.size() - i);
    fill_normal(std::span<double>(buffer, n));
    for (std::size_t k = 0; k < n; ++k) out[i + k] = static_cast<float>(buffer[k]);
  }
}

void Rng::fill_uniform(std::span<double> out) {
  for (double& x : out) x = unit(bits());
}

void Rng::fill_kept(std::span<float> out, std::uint32_t threshold, float keep) {
  const auto one_by_one = [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; i += 2) {
      const std::uint64_t word = bits();
      out[i] = static_cast<std::uint32_t>(word) >= threshold ? keep : 0.0f;
      if (i + 1 < last) out[i + 1] = static_cast<std::uint32_t>(word >> 32) >= threshold ? keep : 0.0f;
    }
  };
  // What is left of a block, whole blocks, the rest.
  const std::size_t begin = std::min(out.size(), static_cast<std::size_t>(2 * left_));
  one_by_one(0, begin);
  const std::size_t blocks = (out.size() - begin) / 4;
  if (blocks > 0) {
    kernels::keep_mask({key_, index_, position_, blocks, threshold, keep}, 1, static_cast<std::int64_t>(4 * blocks), out.data() + begin, 0);
    position_ += blocks;
  }
  one_by_one(begin + 4 * blocks, out.size());
}

Rng::Blocks Rng::reserve(std::uint64_t blocks) {
  left_ = 0;
  const Blocks out{key_, index_, position_};
  position_ += blocks;
  return out;
}

double Rng::normal_scalar(double loc, double scale) {
  require_scale(scale);
  double z;
  fill_normal(std::span<double>(&z, 1));
  return loc + scale * z;
}

double Rng::uniform_scalar(double low, double high) {
  require_bounds(low, high);
  return between(low, high, unit(bits()));
}

std::int64_t Rng::integers(std::int64_t low, std::int64_t high) {
  if (low >= high) throw ArgumentError(fmt::format("Rng::integers: low must be below high; got [{}, {})", low, high));
  // Lemire (2019): the high half of a 128-bit product, redrawn where the low half would favour some values.
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(bits()) * range;
  if (static_cast<std::uint64_t>(product) < range) {
    const std::uint64_t threshold = (0 - range) % range;
    while (static_cast<std::uint64_t>(product) < threshold) product = static_cast<Wide>(bits()) * range;
  }
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + static_cast<std::uint64_t>(product >> 64));
}

std::vector<std::int64_t> Rng::permutation(std::int64_t count) {
  if (count < 0) throw ArgumentError(fmt::format("Rng::permutation: count must not be negative; got {}", count));
  std::vector<std::int64_t> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int64_t>(i);
  for (std::int64_t i = count - 1; i > 0; --i)
    std::swap(out[static_cast<std::size_t>(i)], out[static_cast<std::size_t>(integers(0, i + 1))]);
  return out;
}

Array Rng::normal(const Shape& shape, double loc, double scale) {
  require_scale(scale);
  Array out = uninitialized_array(shape);
  fill_normal(out.values());
  if (loc != 0 || scale != 1)
    for (double& x : out.values()) x = loc + scale * x;
  return out;
}

Array Rng::normal(const Shape& shape, const Array& loc, double scale) {
  require_scale(scale);
  Array out = uninitialized_array(shape);
  fill_normal(out.values());
  double* x = out.data();
  const std::int64_t width = loc.size();
  // The usual case, one row of means for all observations, without a temporary.
  if (width > 0 && loc.rank() <= shape.rank() && shape.slice(shape.rank() - loc.rank(), shape.rank()) == loc.shape()) {
    for (std::int64_t i = 0; i < out.size(); i += width)
      for (std::int64_t k = 0; k < width; ++k) x[i + k] = loc.data()[k] + scale * x[i + k];
    return out;
  }
  const Array means = loc.broadcast_to(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) x[i] = means.data()[i] + scale * x[i];
  return out;
}

Array Rng::normal(const Shape& shape, const Array& loc, const Array& scale) {
  const Array means = loc.broadcast_to(shape), scales = scale.broadcast_to(shape);
  for (const double s : scales.values()) require_scale(s);
  Array out = uninitialized_array(shape);
  fill_normal(out.values());
  for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = means.data()[i] + scales.data()[i] * out.data()[i];
  return out;
}

Array Rng::uniform(const Shape& shape, double low, double high) {
  require_bounds(low, high);
  Array out = uninitialized_array(shape);
  for (double& x : out.values()) x = between(low, high, unit(bits()));
  return out;
}

Array Rng::uniform(const Shape& shape, const Array& low, const Array& high) {
  const Array a = low.broadcast_to(shape), b = high.broadcast_to(shape);
  Array out = uninitialized_array(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = uniform(a.data()[i], b.data()[i]);
  return out;
}

Array Rng::gamma(const Shape& shape, double alpha, double scale) {
  Array out = uninitialized_array(shape);
  for (double& x : out.values()) x = gamma(alpha, scale);
  return out;
}

Array Rng::integers(const Shape& shape, std::int64_t low, std::int64_t high) {
  Array out = uninitialized_array(shape);
  for (double& x : out.values()) x = static_cast<double>(integers(low, high));
  return out;
}

}  // namespace bayesflow
