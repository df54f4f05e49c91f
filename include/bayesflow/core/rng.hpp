/// Counter-based random numbers (Philox4x32-10).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bayesflow/core/array.hpp"

namespace bayesflow {

template <class T>
concept Number = std::is_arithmetic_v<T>;

/// A stream of random numbers keyed by (seed, purpose, index): a pure function of the key and of the position in the
/// stream, so simulation i of a run is the same whichever thread makes it, in whatever order. Cheap to make and to copy.
///
/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011). The key is a hash of
/// seed and purpose, the counter holds (position, index): 2^64 streams of 2^64 blocks of 128 bits each.
///
/// Every array verb gives the numbers that repeated scalar calls would give, in row-major order. Arguments outside the
/// domain (negative scale, probability above one, ...) throw ArgumentError with the argument's name and value.
class Rng {
 public:
  explicit Rng(std::uint64_t seed = 0, std::string_view purpose = "user", std::uint64_t index = 0);

  /// The same seed and purpose, another index.
  [[nodiscard]] Rng at(std::uint64_t index) const;
  /// A stream for another purpose under the same seed.
  [[nodiscard]] Rng for_purpose(std::string_view purpose, std::uint64_t index = 0) const;
  /// A stream that depends on this one's seed, purpose and index and on the name: purposes nest.
  [[nodiscard]] Rng branch(std::string_view name, std::uint64_t index = 0) const;
  [[nodiscard]] std::uint64_t seed() const { return seed_; }

  /// Position in the stream, in 128-bit blocks; with `set_position` a stream can be resumed exactly
  /// (numbers left over from a half-used block are dropped).
  [[nodiscard]] std::uint64_t position() const { return position_; }
  void set_position(std::uint64_t blocks);

  std::uint64_t bits();  ///< 64 uniform bits
  // UniformRandomBitGenerator, for std:: distributions and algorithms
  using result_type = std::uint64_t;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()() { return bits(); }

  // --- scalars ---
  // (Templates, so that rng.normal({4}) can only mean a shape.)
  double uniform() { return uniform_scalar(0.0, 1.0); }  ///< [0, 1), 53 random bits
  template <Number A, Number B>
  double uniform(A low, B high) {
    return uniform_scalar(static_cast<double>(low), static_cast<double>(high));
  }
  double normal() { return normal_scalar(0.0, 1.0); }  ///< Box-Muller
  template <Number A, Number B = double>
  double normal(A loc, B scale = 1.0) {
    return normal_scalar(static_cast<double>(loc), static_cast<double>(scale));
  }
  double lognormal(double mean = 0.0, double sigma = 1.0);
  double exponential(double scale = 1.0);
  template <Number A, Number B = double>
  double gamma(A shape, B scale = 1.0) {
    return gamma_scalar(static_cast<double>(shape), static_cast<double>(scale));
  }  ///< Marsaglia and Tsang (2000)
  double beta(double a, double b);
  double student_t(double df);
  double cauchy(double loc = 0.0, double scale = 1.0);
  std::int64_t integers(std::int64_t low, std::int64_t high);  ///< [low, high), without bias
  std::int64_t poisson(double mean);                           ///< exact for every mean up to 9.2e18
  std::int64_t binomial(std::int64_t trials, double probability);
  bool bernoulli(double probability);
  std::int64_t categorical(std::span<const double> weights);  ///< weights need not sum to one
  std::vector<std::int64_t> permutation(std::int64_t count);
  Array dirichlet(std::span<const double> concentration);

  // --- arrays ---
  Array uniform(const Shape& shape, double low = 0.0, double high = 1.0);
  Array uniform(const Shape& shape, const Array& low, const Array& high);  ///< bounds broadcast to shape
  Array normal(const Shape& shape, double loc = 0.0, double scale = 1.0);
  Array normal(const Shape& shape, const Array& loc, double scale = 1.0);  ///< loc broadcasts to shape
  Array normal(const Shape& shape, const Array& loc, const Array& scale);
  Array gamma(const Shape& shape, double alpha, double scale = 1.0);
  Array integers(const Shape& shape, std::int64_t low, std::int64_t high);

  // --- bulk, for the engine ---
  void fill_normal(std::span<double> out);
  void fill_normal(std::span<float> out);  ///< the same numbers, rounded
  void fill_uniform(std::span<double> out);
  /// `keep` with probability 1 - threshold / 2^32, else 0: the halves of `bits`, the lower ones first, are compared with `threshold`.
  void fill_kept(std::span<float> out, std::uint32_t threshold, float keep);
  /// Blocks of the stream, each of four 32-bit words, set aside for kernels::keep_mask: key, index, and number of the first.
  struct Blocks {
    std::uint64_t key, index, first;
  };
  [[nodiscard]] Blocks reserve(std::uint64_t blocks);

 private:
  void next_block();
  double uniform_scalar(double low, double high);
  double normal_scalar(double loc, double scale);
  double gamma_scalar(double shape, double scale);

  std::uint64_t seed_ = 0;
  std::uint64_t key_ = 0;
  std::uint64_t index_ = 0;
  std::uint64_t position_ = 0;            // next block to compute
  std::array<std::uint64_t, 2> block_{};  // the present block
  int left_ = 0;                          // unused 64-bit words of it
  double spare_normal_ = 0.0;
  bool has_spare_normal_ = false;
};

}  // namespace bayesflow
