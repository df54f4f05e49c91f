#include "kernels/rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "support_numbers.hpp"
#include "support_targets.hpp"

namespace bayesflow::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
/// A third is absent; none of the first row.
Numbers mask_of(std::int64_t rows, std::int64_t cols, Rng& rng) {
  Numbers mask(rows * cols);
  for (std::int64_t i = 0; i < mask.size(); ++i) mask[i] = i < cols || rng.uniform(0.0, 1.0) < 0.67 ? 1.0f : 0.0f;
  return mask;
}
const std::int64_t kCols[] = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100};

TEST(Rows, SoftmaxAndItsLogarithmAreRightOnEveryTarget) {
  Rng rng(1, "rows");
  constexpr std::int64_t kRows = 5;
  for (const std::int64_t n : kCols)
    for (const bool masked : {false, true}) {
      Numbers x(kRows * n, rng, 3), mask = mask_of(kRows, n, rng);
      for (std::int64_t i = 0; masked && i < x.size(); ++i)
        if (mask[i] == 0) x[i] = kNaN;  // what is absent is not looked at
      for_each_target([&] {
        const MaskedRows r{kRows, n, masked ? mask.data() : nullptr, n};
        Numbers y(x.size()), again(x.size()), logs(x.size()), log_sum(kRows);
        softmax(r, x.data(), 0.5f, y.data(), log_sum.data());
        softmax_again(r, x.data(), 0.5f, log_sum.data(), again.data());
        log_softmax(r, x.data(), logs.data());
        for (std::int64_t i = 0; i < kRows; ++i) {
          double sum = 0, sum_of_whole = 0;
          const auto there = [&](std::int64_t j) { return !masked || mask[i * n + j] != 0; };
          for (std::int64_t j = 0; j < n; ++j)
            if (there(j)) sum += std::exp(0.5 * x[i * n + j]), sum_of_whole += std::exp(static_cast<double>(x[i * n + j]));
          for (std::int64_t j = 0; j < n; ++j) {
            const double want = there(j) ? std::exp(0.5 * x[i * n + j]) / sum : 0;
            ASSERT_NEAR(y[i * n + j], want, 4e-7) << n << " " << masked;
            ASSERT_NEAR(again[i * n + j], want, 1e-6) << n << " " << masked;
            if (there(j))
              ASSERT_NEAR(logs[i * n + j], x[i * n + j] - std::log(sum_of_whole), 4e-6) << n << " " << masked;
            else
              ASSERT_EQ(logs[i * n + j], kLogOfZero);
          }
        }
      });
    }
}

TEST(Rows, SoftmaxBearsLargeNumbersAndShowsThoseThatAreNone) {
  for_each_target([&] {
    Numbers x(3), y(3), log_sum(1);
    x[0] = 1e30f, x[1] = -1e30f, x[2] = 1e30f;
    softmax({1, 3}, x.data(), 1, y.data());
    EXPECT_EQ(y[0], 0.5f);
    EXPECT_EQ(y[1], 0.0f);
    Numbers none(3);
    softmax({1, 3, none.data(), 0}, x.data(), 1, y.data(), log_sum.data());
    for (int j = 0; j < 3; ++j) EXPECT_EQ(y[j], 0.0f);
    EXPECT_EQ(log_sum[0], kInfinity);
    softmax_again({1, 3}, x.data(), 1, log_sum.data(), y.data());
    for (int j = 0; j < 3; ++j) EXPECT_EQ(y[j], 0.0f);
    x[1] = kNaN;
    softmax({1, 3}, x.data(), 1, y.data());
    for (int j = 0; j < 3; ++j) EXPECT_TRUE(std::isnan(y[j]));
    log_softmax({1, 3}, x.data(), y.data());
    for (int j = 0; j < 3; ++j) EXPECT_TRUE(std::isnan(y[j]));
  });
}

TEST(Rows, NormalizationIsRightOnEveryTarget) {
  Rng rng(2, "rows");
  constexpr std::int64_t kRows = 4;
  for (const std::int64_t n : kCols)
    for (const bool centre : {false, true}) {
      const Numbers x(kRows * n, rng, 2), gain(n, rng), bias(n, rng), dy(kRows * n, rng);
      for_each_target([&] {
        Numbers y(x.size()), mean(kRows), scale(kRows), dx(x.size()), dgain(n), dbias(n);
        const Normalization norm{kRows, n, centre, 1e-3f, gain.data(), bias.data()};
        normalize(norm, x.data(), y.data(), mean.data(), scale.data());
        normalize_backward(norm, x.data(), mean.data(), scale.data(), dy.data(), dx.data(), false, dgain.data(), dbias.data());
        std::vector<double> sums(at(n)), sums_of_bias(at(n));
        for (std::int64_t i = 0; i < kRows; ++i) {
          double m = 0, square = 0, a = 0, b = 0;
          for (std::int64_t j = 0; centre && j < n; ++j) m += static_cast<double>(x[i * n + j]) / static_cast<double>(n);
          for (std::int64_t j = 0; j < n; ++j) square += std::pow(static_cast<double>(x[i * n + j]) - m, 2) / static_cast<double>(n);
          const double s = 1 / std::sqrt(square + 1e-3);
          for (std::int64_t j = 0; j < n; ++j) {
            const double v = (x[i * n + j] - m) * s, g = static_cast<double>(dy[i * n + j]) * static_cast<double>(gain[j]);
            ASSERT_NEAR(y[i * n + j], v * static_cast<double>(gain[j]) + static_cast<double>(bias[j]), 4e-6);
            if (centre) a += g / static_cast<double>(n);
            b += g * v / static_cast<double>(n);
            sums[at(j)] += static_cast<double>(dy[i * n + j]) * v, sums_of_bias[at(j)] += static_cast<double>(dy[i * n + j]);
          }
          for (std::int64_t j = 0; j < n; ++j) {
            const double v = (x[i * n + j] - m) * s, g = static_cast<double>(dy[i * n + j]) * static_cast<double>(gain[j]);
            ASSERT_NEAR(dx[i * n + j], s * (g - a - b * v), 2e-5 * std::max(1.0, s)) << n << " " << centre;
          }
        }
        for (std::int64_t j = 0; j < n; ++j) {
          ASSERT_NEAR(dgain[j], sums[at(j)], 1e-5);
          ASSERT_NEAR(dbias[j], sums_of_bias[at(j)], 4e-6);
        }
      });
    }
}

TEST(Rows, PoolsLeaveOutWhatIsAbsentOnEveryTarget) {
  Rng rng(3, "rows");
  constexpr std::int64_t kGroups = 3, kPeriod = 5;
  for (const std::int64_t n : kCols) {
    Numbers x(kGroups * kPeriod * n, rng), mask = mask_of(kGroups, kPeriod, rng);
    std::fill_n(mask.data() + 2 * kPeriod, kPeriod, 0.0f);
    for (std::int64_t i = 0; i < mask.size(); ++i)
      if (mask[i] == 0) std::fill_n(x.data() + i * n, n, kNaN);
    for_each_target([&] {
      Numbers mean(kGroups * n), sum(kGroups * n), top(kGroups * n), kept(x.size());
      std::vector<std::int32_t> from(at(kGroups * n));
      masked_sum_groups(x.data(), mask.data(), kGroups, kPeriod, n, true, mean.data());
      masked_sum_groups(x.data(), mask.data(), kGroups, kPeriod, n, false, sum.data());
      max_groups(x.data(), mask.data(), kGroups, kPeriod, n, top.data(), from.data());
      mask_rows(x.data(), mask.data(), kGroups * kPeriod, n, kept.data(), false);
      for (std::int64_t g = 0; g < kGroups; ++g)
        for (std::int64_t j = 0; j < n; ++j) {
          double total = 0, count = 0, best = 0;
          std::int32_t row = -1;
          for (std::int64_t i = 0; i < kPeriod; ++i) {
            const std::int64_t r = g * kPeriod + i;
            ASSERT_EQ(kept[r * n + j], mask[r] != 0 ? x[r * n + j] : 0.0f);
            if (mask[r] == 0) continue;
            const auto v = static_cast<double>(x[r * n + j]);
            if (row < 0 || v > best) best = v, row = static_cast<std::int32_t>(i);
            total += v, ++count;
          }
          ASSERT_NEAR(sum[g * n + j], total, 2e-6);
          ASSERT_NEAR(mean[g * n + j], count > 0 ? total / count : 0, 2e-6);
          ASSERT_EQ(top[g * n + j], static_cast<float>(best));
          ASSERT_EQ(from[at(g * n + j)], row);
        }
    });
  }
}

TEST(Rows, TheMaximumOfNumbersWithOneThatIsNoneIsNone) {
  for_each_target([&] {
    Numbers x(3), y(1);
    x[0] = 1, x[1] = kNaN, x[2] = 2;
    std::int32_t from = 0;
    max_groups(x.data(), nullptr, 1, 3, 1, y.data(), &from);
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(from, 1);
  });
}

TEST(Rows, SumsAndSpreadsAreRightOnEveryTarget) {
  Rng rng(4, "rows");
  for (const std::int64_t n : kCols) {
    const Numbers x(3 * n, rng);
    for_each_target([&] {
      Numbers sums(3), out(3 * n);
      row_sums(x.data(), 3, n, 0.5f, sums.data());
      spread_rows(sums.data(), 3, n, 2.0f, out.data(), false);
      spread_rows(sums.data(), 3, n, 1.0f, out.data(), true);
      for (std::int64_t i = 0; i < 3; ++i) {
        double sum = 0, magnitude = 0;
        for (std::int64_t j = 0; j < n; ++j)
          sum += static_cast<double>(x[i * n + j]), magnitude += std::fabs(static_cast<double>(x[i * n + j]));
        ASSERT_NEAR(sums[i], 0.5 * sum, gamma(n + 1) * magnitude);
        for (std::int64_t j = 0; j < n; ++j) ASSERT_FLOAT_EQ(out[i * n + j], 3 * sums[i]);
      }
    });
  }
}

}  // namespace
}  // namespace bayesflow::kernels
