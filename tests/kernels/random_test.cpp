#include "kernels/random.hpp"

#include <Random123/philox.h>

#include <bit>
#include <string>

#include "bayesflow/core/version.hpp"
#include "support_numbers.hpp"
#include "support_targets.hpp"

namespace bayesflow::kernels {
namespace {

struct Block {
  std::uint64_t key, index, position;
};

/// Random123's own block function.
r123::Philox4x32::ctr_type philox(const Block& b) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  const r123::Philox4x32::ctr_type counter = {{low(b.position), high(b.position), low(b.index), high(b.index)}};
  const r123::Philox4x32::key_type key = {{low(b.key), high(b.key)}};
  return r123::Philox4x32()(counter, key);
}

/// Box-Muller in extended precision, from the same two rounded uniforms; also the radius.
struct Pair {
  double x, y, radius;
};
Pair plain_normals(const Block& b) {
  const auto w = philox(b);
  const auto unit = [](std::uint32_t low, std::uint32_t high) {
    return static_cast<double>((low | static_cast<std::uint64_t>(high) << 32) >> 11) * 0x1p-53;
  };
  const double u = unit(w[0], w[1]) + 0x1p-54;
  const long double angle = 2 * 3.14159265358979323846264338328L * unit(w[2], w[3]);
  const long double r = std::sqrt(-2 * std::log(static_cast<long double>(u)));
  return {static_cast<double>(r * std::cos(angle)), static_cast<double>(r * std::sin(angle)), static_cast<double>(r)};
}

// Four roundings of the angle, which is below 2 pi, and a few of the logarithm, the root and the product: an error of at most
// 2^-50 (8 units in the last place of 1) times the radius.
constexpr double kRelative = 0x1p-50;

void expect_normals(const Block& first, std::int64_t blocks, const double* got) {
  for (std::int64_t i = 0; i < blocks; ++i) {
    const Pair exact = plain_normals({first.key, first.index, first.position + static_cast<std::uint64_t>(i)});
    ASSERT_NEAR(got[2 * i], exact.x, kRelative * exact.radius) << "block " << first.position << " + " << i;
    ASSERT_NEAR(got[2 * i + 1], exact.y, kRelative * exact.radius) << "block " << first.position << " + " << i;
  }
}

/// The known answers that come with Random123 1.14 (its file kat_vectors, lines philox4x32 10).
TEST(Philox, GivesRandom123sKnownAnswers) {
  using Words = r123::Philox4x32::ctr_type;
  EXPECT_EQ(philox({0, 0, 0}), (Words{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  EXPECT_EQ(philox({~0ULL, ~0ULL, ~0ULL}), (Words{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
  EXPECT_EQ(philox({0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88}),
            (Words{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
}

TEST(NormalBlocks, AreThePlainNumbersAtTheKnownAnswers) {
  for (const Block& b : {Block{0, 0, 0}, {~0ULL, ~0ULL, ~0ULL}, {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88}})
    for_each_target([&] {
      double out[2];
      normal_blocks(b.key, b.index, b.position, 1, out);
      expect_normals(b, 1, out);
    });
}

TEST(NormalBlocks, AreThePlainNumbersForEveryCount) {
  Rng rng(1, "random kernel");
  for (std::int64_t blocks = 0; blocks <= 70; ++blocks) {
    const Block first{rng.bits(), rng.bits(), rng.bits()};
    for_each_target([&] {
      std::vector<double> out(static_cast<std::size_t>(2 * blocks) + 2, 123.0);
      normal_blocks(first.key, first.index, first.position, blocks, out.data());
      expect_normals(first, blocks, out.data());
      ASSERT_EQ(out[out.size() - 1], 123.0);
      ASSERT_EQ(out[out.size() - 2], 123.0);
    });
  }
}

TEST(NormalBlocks, AreThePlainNumbersAHundredThousandTimes) {
  for_each_target([] {
    const Block first{42, 7, 0};
    std::vector<double> out(200000);
    normal_blocks(first.key, first.index, first.position, 100000, out.data());
    expect_normals(first, 100000, out.data());
  });
}

TEST(NormalBlocks, CarryIntoTheUpperWordOfThePosition) {
  for (const std::uint64_t position : {0xFFFFFFFFULL - 5, ~0ULL - 5})
    for_each_target([&] {
      double out[40];
      normal_blocks(1, 2, position, 20, out);
      expect_normals({1, 2, position}, 20, out);
    });
}

// What one call gives, many calls give: bit for bit, however a stream is cut.
TEST(NormalBlocks, DoNotDependOnHowAStreamIsCut) {
  for_each_target([] {
    double whole[2 * 50], part[2];
    normal_blocks(3, 4, 1000, 50, whole);
    for (int b = 0; b < 50; ++b) {
      normal_blocks(3, 4, 1000 + static_cast<std::uint64_t>(b), 1, part);
      ASSERT_EQ(std::bit_cast<std::uint64_t>(whole[2 * b]), std::bit_cast<std::uint64_t>(part[0]));
      ASSERT_EQ(std::bit_cast<std::uint64_t>(whole[2 * b + 1]), std::bit_cast<std::uint64_t>(part[1]));
    }
  });
}

TEST(BestTarget, IsTheOneInUse) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const OnTarget on(target);
    EXPECT_EQ(std::string(best_target()), hwy::TargetName(target));
    const std::string name = hwy::TargetName(target);  // AVX3 is Highway's word for AVX-512
    EXPECT_EQ(std::string(instruction_set()).rfind(name.starts_with("AVX3") ? "AVX-512" : name, 0), 0U) << name;
  }
}

}  // namespace
}  // namespace bayesflow::kernels
