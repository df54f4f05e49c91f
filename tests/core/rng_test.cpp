/// The streams: what they are, that they are apart, and how they are resumed.
#include "bayesflow/core/rng.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"
#include "support_statistics.hpp"

namespace bayesflow {
namespace {

/// The reverse of SplitMix64's finalizer, from which keys are made: it leads from a key to a seed with that key.
std::uint64_t unmix(std::uint64_t z) {
  const auto unshift = [](std::uint64_t x, int by) {  // the reverse of x ^ (x >> by)
    std::uint64_t y = x;
    for (int i = by; i < 64; i += by) y = x ^ (y >> by);
    return y;
  };
  z = unshift(z, 31) * 0x319642B2D24D8EC3ULL;
  z = unshift(z, 27) * 0x96DE1B173F119089ULL;
  return unshift(z, 30) - 0x9E3779B97F4A7C15ULL;
}
/// A stream whose Philox key is just this one.
Rng with_key(std::uint64_t key, std::uint64_t index) { return Rng(unmix(unmix(key)), "", index); }

/// The known answers that come with Random123 1.14 (its file kat_vectors, lines philox4x32 10), two 32-bit words in each number.
TEST(Rng, GivesRandom123sKnownAnswers) {
  struct Answer {
    std::uint64_t position, index, key, first, second;
  };
  for (const Answer& a : {Answer{0, 0, 0, 0xe169c58d6627e8d5, 0x9b00dbd8bc57ac4c},
                          {~0ULL, ~0ULL, ~0ULL, 0x41c83b0e408f276d, 0x6d5451fda20bc7c6},
                          {0x85a308d3243f6a88, 0x0370734413198a2e, 0x299f31d0a4093822, 0x94fdccebd16cfe09, 0x24126ea15001e420}}) {
    Rng rng = with_key(a.key, a.index);
    rng.set_position(a.position);
    EXPECT_EQ(rng.bits(), a.first);
    EXPECT_EQ(rng.bits(), a.second);
    EXPECT_EQ(rng.position(), a.position + 1);
  }
}

TEST(Rng, NormalsAreBoxMullerOnTheStreamsBlocks) {
  Rng bits(11, "normals"), normals(11, "normals");
  for (int i = 0; i < 1000; ++i) {
    const double u = (static_cast<double>(bits.bits() >> 11) + 0.5) * 0x1p-53;
    const double angle = 6.283185307179586476925 * static_cast<double>(bits.bits() >> 11) * 0x1p-53, r = std::sqrt(-2 * std::log(u));
    EXPECT_NEAR(normals.normal(), r * std::cos(angle), 1e-14 * (1 + r));
    EXPECT_NEAR(normals.normal(), r * std::sin(angle), 1e-14 * (1 + r));
  }
}

// Saved seeds keep their meaning: these numbers may never change.
TEST(Rng, GoldenNumbersOfAStream) {
  Rng rng(2024, "golden", 3);
  EXPECT_EQ(rng.bits(), 5151198798119148465U);
  EXPECT_EQ(rng.uniform(), 0x1.171daa4be7078p-2);
  EXPECT_EQ(rng.integers(0, 1000000), 299034);
  EXPECT_NEAR(rng.normal(), -0.18793627057628681, 1e-14);
  EXPECT_EQ(Rng(2024).bits(), 5569795675613531613U);
  EXPECT_EQ(Rng(2024).for_purpose("other").bits(), 1100554313190391019U);
  EXPECT_EQ(Rng(2024).branch("part").bits(), 14974602114990224558U);
}

TEST(Rng, TheSameKeyGivesTheSameNumbers) {
  Rng a(5, "x", 9), b(5, "x", 9);
  const Rng other(5, "x", 1);
  Rng c = other.at(9), d = Rng(5, "y").for_purpose("x", 9);
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t expected = a.bits();
    EXPECT_EQ(b.bits(), expected);
    EXPECT_EQ(c.bits(), expected);
    EXPECT_EQ(d.bits(), expected);
  }
  EXPECT_EQ(a.seed(), 5U);
}

TEST(Rng, AStreamIsAStandardGenerator) {
  static_assert(std::uniform_random_bit_generator<Rng>);
  Rng a(1), b(1);
  EXPECT_EQ(a(), b.bits());
  std::vector<int> v(100);
  std::iota(v.begin(), v.end(), 0);
  std::shuffle(v.begin(), v.end(), a);
  EXPECT_FALSE(std::is_sorted(v.begin(), v.end()));
}

TEST(Rng, CopiesGoOnWhereTheOriginalStood) {
  Rng a(1);
  (void)a.bits();
  (void)a.normal();
  Rng b = a;
  EXPECT_EQ(a.bits(), b.bits());
  EXPECT_EQ(a.normal(), b.normal());
  EXPECT_EQ(a.uniform(), b.uniform());
}

TEST(Rng, EveryPartOfTheKeyCounts) {
  std::set<std::uint64_t> first;
  std::size_t streams = 0;
  const auto see = [&](Rng rng) {
    first.insert(rng.bits());
    ++streams;
  };
  for (std::uint64_t seed = 0; seed < 300; ++seed)
    for (const char* purpose : {"", "a", "b", "ab", "ba", "aa", "user", "prior"})
      for (const std::uint64_t index : {0ULL, 1ULL, 2ULL, 1ULL << 32, ~0ULL}) {
        const Rng rng(seed, purpose, index);
        see(rng);
        see(rng.branch("inner"));
        see(rng.branch("inner", 1));
        see(rng.branch("other"));
        see(rng.branch("inner").branch("inner"));
      }
  EXPECT_EQ(first.size(), streams);
}

// Inside simulation i a user may branch off streams; those of another simulation must be others.
TEST(Rng, BranchesOfTwoIndicesAreApart) {
  const Rng rng(3, "simulator");
  EXPECT_NE(rng.at(1).branch("noise").bits(), rng.at(2).branch("noise").bits());
  EXPECT_NE(rng.at(0).branch("noise").bits(), rng.at(1).branch("noise").bits());
  EXPECT_EQ(rng.at(1).branch("noise").bits(), rng.at(1).branch("noise").bits());
}

/// Uniform and uncorrelated from stream to stream as along a stream.
void expect_independent(const std::function<Rng(std::uint64_t)>& stream) {
  constexpr std::int64_t kStreams = 20000;
  std::vector<double> first;
  std::vector<std::int64_t> pairs(64);
  double product = 0, before = 0;
  for (std::uint64_t i = 0; i < kStreams; ++i) {
    Rng rng = stream(i);
    first.push_back(rng.uniform());
    if (i) ++pairs[static_cast<std::size_t>(8 * std::floor(8 * first[i - 1]) + std::floor(8 * first[i]))];
    const double z = rng.normal();
    product += z * before;
    before = z;
  }
  EXPECT_TRUE(follows(first, [](double x) { return x; }));
  EXPECT_TRUE(counts_follow(pairs, std::vector<double>(64, 1.0 / 64)));
  EXPECT_TRUE(is_standard_normal(product / std::sqrt(static_cast<double>(kStreams - 1))));
}

TEST(Rng, StreamsAreIndependent) {
  expect_independent([rng = Rng(7)](std::uint64_t i) { return rng.at(i); });
  expect_independent([](std::uint64_t i) { return Rng(i); });
  expect_independent([](std::uint64_t i) { return Rng(7, "purpose " + std::to_string(i)); });
  expect_independent([rng = Rng(7)](std::uint64_t i) { return rng.branch("part " + std::to_string(i)); });
  expect_independent([rng = Rng(7)](std::uint64_t i) { return rng.at(i).branch("part"); });
  expect_independent([rng = Rng(7)](std::uint64_t i) mutable {
    rng.set_position(i);
    return rng;
  });
}

TEST(Rng, OneBitOfTheSeedOrIndexTurnsHalfTheBits) {
  std::int64_t turned = 0, bits = 0;
  Rng random(8);
  for (int repeat = 0; repeat < 40; ++repeat)
    for (int bit = 0; bit < 64; ++bit) {
      const std::uint64_t seed = random.bits(), index = random.bits(), flip = 1ULL << bit;
      turned += std::popcount(Rng(seed, "p", index).bits() ^ Rng(seed ^ flip, "p", index).bits());
      turned += std::popcount(Rng(seed, "p", index).bits() ^ Rng(seed, "p", index ^ flip).bits());
      bits += 128;
    }
  EXPECT_TRUE(is_fraction(turned, bits, 0.5));
}

TEST(Rng, EveryBitIsOneHalfOfTheTime) {
  std::array<std::int64_t, 64> ones{};
  Rng rng(9);
  for (int i = 0; i < 20000; ++i)
    for (std::uint64_t word = rng.bits(); word; word &= word - 1) ++ones[static_cast<std::size_t>(std::countr_zero(word))];
  for (const std::int64_t n : ones) EXPECT_TRUE(is_fraction(n, 20000, 0.5));
}

TEST(Rng, AStreamIsResumedAtItsPosition) {
  Rng rng(10, "resume", 4);
  for (int i = 0; i < 50; ++i) (void)rng.gamma(0.5);
  (void)rng.normal({1001});
  const std::uint64_t at = rng.position();
  Rng resumed(10, "resume", 4);
  resumed.set_position(at);
  rng.set_position(at);  // drops what is left of the block, as a saved position does
  EXPECT_EQ(resumed.normal({501}), rng.normal({501}));
  EXPECT_EQ(resumed.bits(), rng.bits());
  EXPECT_EQ(resumed.permutation(20), rng.permutation(20));
}

TEST(Rng, PositionCountsBlocksOfTwoNumbers) {
  Rng rng(1);
  EXPECT_EQ(rng.position(), 0U);
  (void)rng.bits();
  EXPECT_EQ(rng.position(), 1U);
  (void)rng.bits();
  EXPECT_EQ(rng.position(), 1U);
  (void)rng.bits();
  EXPECT_EQ(rng.position(), 2U);
  (void)rng.normal({10});
  EXPECT_EQ(rng.position(), 7U);
  (void)rng.normal();
  (void)rng.normal();
  EXPECT_EQ(rng.position(), 8U);
  EXPECT_EQ(rng.at(5).position(), 0U);
  EXPECT_EQ(rng.branch("x").position(), 0U);
  EXPECT_EQ(rng.for_purpose("x").position(), 0U);
}

// --- arrays are what repeated scalar calls give ---

TEST(Rng, ArraysAreRepeatedScalarCalls) {
  const Array loc = Array::of({-1.0, 2.0}).expand_dims(1), scale = Array::of({0.5, 1.0, 3.0}), high = Array::of({2.0, 4.0, 8.0});
  for (const bool odd_start : {false, true}) {
    Rng a(12, "arrays"), b(12, "arrays");
    if (odd_start) (void)a.normal(), (void)b.normal(), (void)a.bits(), (void)b.bits();
    const auto same = [&](const Array& array, const std::function<double(std::int64_t, std::int64_t)>& scalar) {
      ASSERT_EQ(array.shape(), (Shape{2, 3}));
      for (std::int64_t i = 0; i < 2; ++i)
        for (std::int64_t j = 0; j < 3; ++j) EXPECT_EQ(array(i, j), scalar(i, j));
    };
    const Shape shape{2, 3};
    same(a.uniform(shape), [&](auto, auto) { return b.uniform(); });
    same(a.uniform(shape, -1.0, 3.0), [&](auto, auto) { return b.uniform(-1, 3); });
    same(a.uniform(shape, loc, high), [&](auto i, auto j) { return b.uniform(loc(i, 0), high(j)); });
    same(a.normal(shape), [&](auto, auto) { return b.normal(); });
    same(a.normal(shape, 2.0, 0.3), [&](auto, auto) { return b.normal(2, 0.3); });
    same(a.normal(shape, high), [&](auto, auto j) { return b.normal(high(j)); });
    same(a.normal(shape, loc, 2.0), [&](auto i, auto) { return b.normal(loc(i, 0), 2.0); });
    same(a.normal(shape, Array::scalar(4.0), 2.0), [&](auto, auto) { return b.normal(4.0, 2.0); });
    same(a.normal(shape, loc, scale), [&](auto i, auto j) { return b.normal(loc(i, 0), scale(j)); });
    same(a.gamma(shape, 0.7, 2.0), [&](auto, auto) { return b.gamma(0.7, 2.0); });
    same(a.integers(shape, -5, 50), [&](auto, auto) { return static_cast<double>(b.integers(-5, 50)); });
    EXPECT_EQ(a.normal(), b.normal());
    EXPECT_EQ(a.bits(), b.bits());
  }
}

TEST(Rng, FillsAreRepeatedScalarCallsHoweverTheyAreCut) {
  Rng whole(13), parts(13);
  std::vector<double> all(2000), pieces(2000);
  std::vector<float> floats(2000);
  whole.fill_normal(std::span<double>(all));
  std::size_t at = 0;
  for (const std::size_t n : {1U, 0U, 2U, 3U, 1U, 500U, 7U, 1486U}) {
    parts.fill_normal(std::span<double>(pieces.data() + at, n));
    at += n;
  }
  EXPECT_EQ(at, 2000U);
  EXPECT_EQ(all, pieces);
  Rng single(13);
  single.fill_normal(std::span<float>(floats));
  for (std::size_t i = 0; i < floats.size(); ++i) EXPECT_EQ(floats[i], static_cast<float>(all[i]));
  Rng a(14), b(14);
  std::vector<double> uniforms(101);
  a.fill_uniform(uniforms);
  for (const double u : uniforms) EXPECT_EQ(u, b.uniform());
  EXPECT_EQ(whole.position(), parts.position());
}

TEST(Rng, EmptyAndScalarShapes) {
  Rng rng(15);
  EXPECT_EQ(rng.normal({0, 4}).shape(), (Shape{0, 4}));
  EXPECT_EQ(rng.normal({0, 4}, Array({4})).shape(), (Shape{0, 4}));
  EXPECT_EQ(rng.uniform(Shape{}).rank(), 0);
  EXPECT_EQ(rng.position(), 1U);
  EXPECT_TRUE(rng.permutation(0).empty());
}

// --- errors ---

TEST(Rng, ArgumentsOutsideTheDomainAreNamed) {
  Rng rng(16);
  const auto says = [](auto f) { return sentence<ArgumentError>(f); };
  const double nan = std::nan(""), inf = INFINITY;
  EXPECT_EQ(says([&] { rng.uniform(2, 1); }), "Rng::uniform: low must not exceed high; got [2, 1)");
  EXPECT_EQ(says([&] { rng.uniform(nan, 1); }), "Rng::uniform: low must not exceed high; got [nan, 1)");
  EXPECT_EQ(says([&] { rng.uniform(0, inf); }), "Rng::uniform: high - low must be finite; got [0, inf)");
  EXPECT_EQ(says([&] { rng.uniform({2}, 2.0, 1.0); }), "Rng::uniform: low must not exceed high; got [2, 1)");
  EXPECT_EQ(says([&] { rng.uniform({2}, Array::of({0.0, 5.0}), Array::scalar(3)); }), "Rng::uniform: low must not exceed high; got [5, 3)");
  EXPECT_EQ(says([&] { rng.normal(0, -1); }), "Rng::normal: scale must not be negative; got -1");
  EXPECT_EQ(says([&] { rng.normal({3}, 0.0, nan); }), "Rng::normal: scale must not be negative; got nan");
  EXPECT_EQ(says([&] { rng.normal({3}, Array({3}), -2.0); }), "Rng::normal: scale must not be negative; got -2");
  EXPECT_EQ(says([&] { rng.normal({2}, Array({2}), Array::of({1.0, -3.0})); }), "Rng::normal: scale must not be negative; got -3");
  EXPECT_EQ(says([&] { rng.lognormal(0, -1); }), "Rng::lognormal: sigma must not be negative; got -1");
  EXPECT_EQ(says([&] { rng.exponential(0); }), "Rng::exponential: scale must be positive and finite; got 0");
  EXPECT_EQ(says([&] { rng.gamma(-1); }), "Rng::gamma: shape must be positive and finite; got -1");
  EXPECT_EQ(says([&] { rng.gamma(1, inf); }), "Rng::gamma: scale must be positive and finite; got inf");
  EXPECT_EQ(says([&] { rng.gamma({2}, nan); }), "Rng::gamma: shape must be positive and finite; got nan");
  EXPECT_EQ(says([&] { rng.beta(0, 1); }), "Rng::beta: a must be positive and finite; got 0");
  EXPECT_EQ(says([&] { rng.beta(1, -1); }), "Rng::beta: b must be positive and finite; got -1");
  EXPECT_EQ(says([&] { rng.student_t(0); }), "Rng::student_t: df must be positive and finite; got 0");
  EXPECT_EQ(says([&] { rng.cauchy(0, -1); }), "Rng::cauchy: scale must be positive and finite; got -1");
  EXPECT_EQ(says([&] { rng.integers(3, 3); }), "Rng::integers: low must be below high; got [3, 3)");
  EXPECT_EQ(says([&] { rng.integers({2}, 3, 1); }), "Rng::integers: low must be below high; got [3, 1)");
  EXPECT_EQ(says([&] { rng.poisson(-0.5); }), "Rng::poisson: mean must lie in [0, 9.2e+18]; got -0.5");
  EXPECT_EQ(says([&] { rng.poisson(1e19); }), "Rng::poisson: mean must lie in [0, 9.2e+18]; got 1e+19");
  EXPECT_EQ(says([&] { rng.poisson(nan); }), "Rng::poisson: mean must lie in [0, 9.2e+18]; got nan");
  EXPECT_EQ(says([&] { rng.binomial(-1, 0.5); }), "Rng::binomial: trials must not be negative; got -1");
  EXPECT_EQ(says([&] { rng.binomial(5, 1.5); }), "Rng::binomial: probability must lie in [0, 1]; got 1.5");
  EXPECT_EQ(says([&] { rng.bernoulli(nan); }), "Rng::bernoulli: probability must lie in [0, 1]; got nan");
  EXPECT_EQ(says([&] { rng.categorical({}); }), "Rng::categorical: at least one of the 0 weights must be positive");
  const double negative[] = {1.0, -0.5}, zeros[] = {0.0, 0.0}, huge[] = {1e308, 1e308}, one_bad[] = {1.0, 0.0};
  EXPECT_EQ(says([&] { rng.categorical(negative); }), "Rng::categorical: weights must be finite and not negative; got -0.5");
  EXPECT_EQ(says([&] { rng.categorical(zeros); }), "Rng::categorical: at least one of the 2 weights must be positive");
  EXPECT_EQ(says([&] { rng.categorical(huge); }), "Rng::categorical: the sum of the 2 weights must be finite");
  EXPECT_EQ(says([&] { rng.permutation(-1); }), "Rng::permutation: count must not be negative; got -1");
  EXPECT_EQ(says([&] { rng.dirichlet({}); }), "Rng::dirichlet: needs at least one concentration");
  EXPECT_EQ(says([&] { rng.dirichlet(one_bad); }), "Rng::dirichlet: concentration must be positive and finite; got 0");
  EXPECT_THROW(rng.normal({2}, Array({3})), ShapeError);
  EXPECT_THROW(rng.uniform({2}, Array({3}), Array({2})), ShapeError);
}

/// Wherever in a block it begins: the halves of bits() one after the other.
TEST(Rng, KeepsByTheSameBits) {
  constexpr std::uint32_t kThreshold = 1U << 30;
  for (const int before : {0, 1, 2, 3})
    for (const std::size_t size : {0, 1, 2, 3, 4, 5, 7, 64, 1001}) {
      Rng one(3, "kept", 5), two(3, "kept", 5);
      for (int i = 0; i < before; ++i) EXPECT_EQ(one.bits(), two.bits());
      std::vector<float> got(size), want(size);
      one.fill_kept(got, kThreshold, 2.0f);
      for (std::size_t i = 0; i < size; i += 2) {
        const std::uint64_t word = two.bits();
        want[i] = static_cast<std::uint32_t>(word) >= kThreshold ? 2.0f : 0.0f;
        if (i + 1 < size) want[i + 1] = static_cast<std::uint32_t>(word >> 32) >= kThreshold ? 2.0f : 0.0f;
      }
      EXPECT_EQ(got, want) << size << " after " << before;
      EXPECT_EQ(one.bits(), two.bits()) << "the stream goes on alike";
    }
}

}  // namespace
}  // namespace bayesflow
