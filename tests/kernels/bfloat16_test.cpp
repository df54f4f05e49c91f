#include "kernels/bfloat16.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "support_numbers.hpp"
#include "support_targets.hpp"

namespace bayesflow::kernels {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// The nearest number with 8 significant bits, ties to even, by double arithmetic.
float to_bfloat16(float x) {
  int exponent = 0;
  const double mantissa = std::frexp(static_cast<double>(x), &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(mantissa * 256), exponent - 8));
}
float number(const std::vector<Pair>& x, std::int64_t i) {
  return std::bit_cast<float>(i % 2 ? x[at(i / 2)] & 0xFFFF0000u : x[at(i / 2)] << 16);
}

/// What functions of either kind a test runs.
struct Way {
  const char* name;
  decltype(&round_rows) round;
  decltype(&pack_half) pack;
  void (*multiply)(const HalfProduct&);
};
constexpr Way kWays[] = {{"of this CPU", round_rows, pack_half, static_cast<void (*)(const HalfProduct&)>(product)},
                         {"plain", plain::round_rows, plain::pack_half, plain::product}};

template <class F>
void for_each_way(F check) {
  for_each_target([&] {
    for (const Way& way : kWays) {
      SCOPED_TRACE(way.name);
      check(way);
    }
  });
}

std::vector<Pair> rounded(const Way& way, const Matrix& x) {
  std::vector<Pair> out(at(x.rows * padded(x.cols) / 2), 0xFFFFFFFFu);
  way.round(x.data(), x.stride, x.rows, x.cols, out.data());
  return out;
}

TEST(BFloat16, RoundsToNearestEven) {
  Rng rng(1, "bfloat16");
  for (const std::int64_t cols : {1, 2, 7, 16, 17, 31, 32, 40, 64, 70}) {
    Matrix x(5, cols, 3, rng);
    x(0, 0) = std::bit_cast<float>(0x3F808000u);  // a tie, down to even
    x(1, 0) = std::bit_cast<float>(0x3F818000u);  // a tie, up to even
    x(2, 0) = std::bit_cast<float>(0x3F808001u);  // just above a tie
    x(3, 0) = -std::numeric_limits<float>::infinity();
    for_each_way([&](const Way& way) {
      const std::vector<Pair> out = rounded(way, x);
      for (std::int64_t i = 0; i < x.rows; ++i)
        for (std::int64_t j = 0; j < padded(cols); ++j) {
          const float is = number(out, i * padded(cols) + j);
          EXPECT_EQ(is, j >= cols ? 0.0f : std::isinf(x(i, j)) ? x(i, j) : to_bfloat16(x(i, j))) << i << " " << j;
        }
    });
  }
}

TEST(BFloat16, KeepsNaN) {
  // The second would become -0 if it were rounded as a number.
  for (const std::uint32_t bits : {0x7FC00000u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x7F800001u}) {
    const float x = std::bit_cast<float>(bits);
    for_each_way([&](const Way& way) {
      std::vector<Pair> out(8);
      way.round(&x, 1, 1, 1, out.data());
      EXPECT_TRUE(std::isnan(number(out, 0))) << std::hex << bits;
    });
  }
}

enum class Start { zero, accumulate, shared, periodic };
enum class Source { packed, transposed, rows };  // of B; the last with A from pairs of rows too: A^T B

/// A product of random matrices against double arithmetic on the rounded operands.
void expect_right(std::int64_t rows, std::int64_t depth, std::int64_t cols, Source source, Start start, Epilogue epilogue, bool half,
                  Rng& rng) {
  SCOPED_TRACE("rows " + std::to_string(rows) + " depth " + std::to_string(depth) + " cols " + std::to_string(cols) + " source " +
               std::to_string(static_cast<int>(source)) + " start " + std::to_string(static_cast<int>(start)) + " epilogue " +
               std::to_string(static_cast<int>(epilogue)) + (half ? " half" : ""));
  const std::int64_t period = 5, first_row = 8;
  const Matrix a(rows, depth, rng.integers(0, 3), rng), b(depth, cols, rng.integers(0, 3), rng), old(rows, cols, rng.integers(0, 3), rng),
      mask(rows, cols, rng.integers(0, 3), rng), init((first_row + rows - 1) / period + 1, cols, rng.integers(0, 3), rng);
  Matrix at_(depth, rows, 2, rng), bt(cols, depth, 1, rng);
  for (std::int64_t p = 0; p < depth; ++p) {
    for (std::int64_t i = 0; i < rows; ++i) at_(p, i) = a(i, p);
    for (std::int64_t j = 0; j < cols; ++j) bt(j, p) = b(p, j);
  }
  const bool mask_is_half = half;
  for_each_way([&](const Way& way) {
    const std::vector<Pair> half_mask = rounded(way, mask);
    std::vector<Pair> of_a, of_b(at(pairs_of(depth) * padded(cols)), 0xFFFFFFFFu);
    HalfProduct p{};
    p.rows = rows, p.pairs = pairs_of(depth), p.cols = cols;
    if (source == Source::rows) {
      of_a.assign(at(pairs_of(depth) * padded(rows)), 0xFFFFFFFFu);
      pair_rows(rounded(way, at_).data(), depth, rows, of_a.data());
      pair_rows(rounded(way, b).data(), depth, cols, of_b.data());
      p.row_stride = 1, p.pair_stride = padded(rows), p.ldb = padded(cols);
    } else {
      of_a = rounded(way, a);
      p.row_stride = padded(depth) / 2, p.pair_stride = 1, p.ldb = 0;
      if (source == Source::packed)
        way.pack(b.data(), b.stride, depth, cols, of_b.data());
      else
        pack_half_transposed(bt.data(), bt.stride, depth, cols, of_b.data());
    }
    p.a = of_a.data(), p.b = of_b.data();
    Matrix c = old;
    std::vector<Pair> out(at(rows * padded(cols) / 2), 0xFFFFFFFFu);
    if (half)
      p.half = out.data();
    else
      p.c = c.data(), p.ldc = c.stride;
    p.accumulate = start == Start::accumulate;
    if (start == Start::shared || start == Start::periodic) p.init = init.data();
    if (start == Start::periodic) p.init_stride = init.stride, p.init_period = period, p.init_row = first_row;
    p.epilogue = epilogue;
    if (epilogue == Epilogue::relu_mask) {
      if (mask_is_half)
        p.half_mask = half_mask.data();
      else
        p.mask = mask.data(), p.ldmask = mask.stride;
    }
    way.multiply(p);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < padded(cols); ++j) {
        if (j >= cols) {
          if (half) {
            ASSERT_EQ(number(out, i * padded(cols) + j), 0.0f) << i << " " << j;
          }
          continue;
        }
        const float first = start == Start::accumulate ? old(i, j)
                            : start == Start::shared   ? init(0, j)
                            : start == Start::periodic ? init((first_row + i) / period, j)
                                                       : 0.0f;
        double sum = static_cast<double>(first), magnitude = std::fabs(sum);
        for (std::int64_t k = 0; k < depth; ++k) {
          const double term = static_cast<double>(to_bfloat16(a(i, k))) * static_cast<double>(to_bfloat16(b(k, j)));
          sum += term, magnitude += std::fabs(term);
        }
        if (epilogue == Epilogue::relu) sum = std::max(sum, 0.0);
        if (epilogue == Epilogue::relu_mask && !(mask(i, j) > 0)) sum = magnitude = 0;
        const float is = half ? number(out, i * padded(cols) + j) : c(i, j);
        // Rounding of the sum, and of the result to eight bits.
        const double bound = gamma(depth + 2) * magnitude + (half ? (std::fabs(sum) + gamma(depth + 2) * magnitude) * 0x1p-8 : 0);
        ASSERT_LE(std::fabs(static_cast<double>(is) - sum), bound) << i << " " << j;
      }
    EXPECT_TRUE(gaps_untouched(c));
  });
}

TEST(BFloat16, ProductsAreRightForManyShapes) {
  Rng rng(2, "bfloat16");
  for (int repeat = 0; repeat < 400; ++repeat) {
    const bool half = rng.bernoulli(0.5);
    const auto start = static_cast<Start>(rng.integers(0, 4));
    expect_right(rng.integers(1, 40), rng.integers(1, 90), rng.integers(1, 150), static_cast<Source>(rng.integers(0, 3)),
                 half && start == Start::accumulate ? Start::zero : start, static_cast<Epilogue>(rng.integers(0, 3)), half, rng);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(BFloat16, ProductsAreRightForTheWidthsOfNetworks) {
  Rng rng(3, "bfloat16");
  for (const auto& [rows, depth, cols] : {std::tuple{200, 64, 64}, {32, 128, 128}, {33, 513, 130}, {8, 100, 1000}})
    for (const Source source : {Source::packed, Source::transposed, Source::rows}) {
      expect_right(rows, depth, cols, source, Start::periodic, Epilogue::relu, true, rng);
      expect_right(rows, depth, cols, source, Start::accumulate, Epilogue::relu_mask, false, rng);
    }
}

TEST(BFloat16, ARowDoesNotDependOnItsPlace) {
  Rng rng(4, "bfloat16");
  const Matrix a(23, 50, 0, rng), b(50, 70, 0, rng);
  for_each_way([&](const Way& way) {
    const std::vector<Pair> of_a = rounded(way, a);
    std::vector<Pair> of_b(at(25 * padded(70)));
    way.pack(b.data(), b.stride, 50, 70, of_b.data());
    std::vector<float> all(at(23 * 70)), one(70);
    HalfProduct p{.a = of_a.data(),
                  .row_stride = padded(50) / 2,
                  .pair_stride = 1,
                  .b = of_b.data(),
                  .ldb = 0,
                  .rows = 23,
                  .pairs = 25,
                  .cols = 70,
                  .c = all.data(),
                  .ldc = 70};
    way.multiply(p);
    for (std::int64_t i = 0; i < 23; ++i) {
      p.a = of_a.data() + i * p.row_stride, p.rows = 1, p.c = one.data();
      way.multiply(p);
      EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + i * 70)) << i;
    }
  });
}

TEST(BFloat16, SumsOfColumns) {
  Rng rng(5, "bfloat16");
  for (const std::int64_t rows : {1, 2, 33})
    for (const std::int64_t cols : {1, 16, 37}) {
      const Matrix x(rows, cols, 0, rng);
      for_each_way([&](const Way& way) {
        std::vector<Pair> pairs(at(pairs_of(rows) * padded(cols)));
        pair_rows(rounded(way, x).data(), rows, cols, pairs.data());
        std::vector<float> sums(at(cols), 1.0f);
        column_sums(pairs.data(), pairs_of(rows), cols, sums.data(), rows == 2);
        for (std::int64_t j = 0; j < cols; ++j) {
          double sum = rows == 2 ? 1 : 0, magnitude = sum;
          for (std::int64_t i = 0; i < rows; ++i)
            sum += static_cast<double>(to_bfloat16(x(i, j))), magnitude += std::fabs(static_cast<double>(x(i, j)));
          EXPECT_LE(std::fabs(static_cast<double>(sums[at(j)]) - sum), gamma(rows + 2) * magnitude);
        }
      });
    }
}

}  // namespace
}  // namespace bayesflow::kernels
