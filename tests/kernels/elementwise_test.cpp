#include "kernels/elementwise.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <numbers>

#include "support/twins.hpp"
#include "support_numbers.hpp"
#include "support_targets.hpp"

namespace bayesflow::kernels {
namespace {

using support::activation_twin, support::kActivations, support::logistic, support::soft_clamp;

constexpr double kSmallestNormal = 0x1p-126;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The derivative at x, from x alone.
double exact_slope(Activation activation, double x) {
  const double s = logistic(x);
  switch (activation) {
    case Activation::identity:
      return 1;
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::leaky_relu:
      return x > 0 ? 1 : 0.2;
    case Activation::elu:
      return x > 0 ? 1 : std::exp(x);
    case Activation::selu:
      return 1.05070098735548 * (x > 0 ? 1 : 1.67326324235438 * std::exp(x));
    case Activation::tanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Activation::sigmoid:
      return s * (1 - s);
    case Activation::swish:
      return s + x * s * (1 - s);
    case Activation::softplus:
      return s;
    case Activation::exponential:
      return std::exp(x);
    case Activation::gelu:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    case Activation::hard_sigmoid:
      return std::fabs(x) < 2.5 ? 0.2 : 0;
    case Activation::mish: {
      const double t = std::tanh(std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))));
      return t + x * s * (1 - t * t);
    }
    case Activation::relu6:
      return x > 0 && x < 6 ? 1 : 0;
    case Activation::softsign:
      return 1 / ((1 + std::fabs(x)) * (1 + std::fabs(x)));
    case Activation::softmax:
      break;  // of rows: ops::softmax
  }
  return 0;
}

/// Every size of a last vector, and more than one pass of a loop.
std::vector<std::int64_t> sizes() {
  std::vector<std::int64_t> n{100, 257, 1000};
  for (std::int64_t i = 0; i <= 40; ++i) n.push_back(i);
  return n;
}

/// Small, usual and large arguments of both signs.
Numbers arguments(std::int64_t n, Rng& rng) {
  Numbers x(n);
  for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(rng.normal() * std::exp(rng.normal(0.0, 2.0)));
  return x;
}

void expect_close(double got, double exact, double magnitude, double roundings, const char* what, double at,
                  double floor = kSmallestNormal) {
  ASSERT_LE(std::fabs(got - exact), roundings * kUnit * magnitude + floor) << what << " at " << at;
}

TEST(Activation, ValuesAreRightWithinEightRoundings) {
  Rng rng(1, "elementwise");
  for (const std::int64_t n : sizes()) {
    const Numbers x = arguments(n, rng);
    for (const Activation a : kActivations)
      for_each_target([&] {
        Numbers y(n), in_place = x;
        activate(a, x.data(), y.data(), n);
        activate(a, in_place.data(), in_place.data(), n);
        for (std::int64_t i = 0; i < n; ++i) {
          const double exact = activation_twin(a, x[i]);
          // Far out sigmoid is rounded to 0 or denormal, and swish is x times that.
          const double floor = kSmallestNormal * std::max(1.0, std::fabs(static_cast<double>(x[i])));
          if (std::fabs(exact) > static_cast<double>(std::numeric_limits<float>::max())) {
            ASSERT_EQ(y[i], exact > 0 ? kInfinity : -kInfinity) << to_string(a) << " at " << x[i];
          } else {
            // gelu's e^(-x^2 / 2) has the rounding of x^2 in its exponent; hard_sigmoid subtracts from 0.5.
            const double roundings = a == Activation::gelu ? 8 + x[i] * x[i] : 8;
            const double magnitude = a == Activation::hard_sigmoid ? 0.5 : std::fabs(exact);
            expect_close(y[i], exact, magnitude, roundings, to_string(a), x[i], floor);
          }
          ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(in_place[i])) << to_string(a);
        }
      });
  }
}

// Most derivatives are formed from the output, which is rounded: where the output saturates, digits of a slope near 0 are gone, so
// the error is measured against the slope's largest value, about 1.
TEST(Activation, SlopesAreRightWithinEightRoundings) {
  Rng rng(2, "elementwise");
  for (const std::int64_t n : sizes()) {
    const Numbers x = arguments(n, rng), dy(n, rng);
    for (const Activation a : kActivations)
      for_each_target([&] {
        Numbers y(n), dx(n), in_place = dy;
        activate(a, x.data(), y.data(), n);
        const Numbers& at = needs_input(a) ? x : y;
        activate_backward(a, at.data(), dy.data(), dx.data(), n);
        activate_backward(a, at.data(), in_place.data(), in_place.data(), n);
        for (std::int64_t i = 0; i < n; ++i) {
          const double slope = exact_slope(a, x[i]);
          if (std::fabs(slope) < 1e30) expect_close(dx[i], dy[i] * slope, std::max(2.0, slope) * std::fabs(dy[i]), 8, to_string(a), x[i]);
          ASSERT_EQ(std::bit_cast<std::uint32_t>(dx[i]), std::bit_cast<std::uint32_t>(in_place[i])) << to_string(a);
        }
      });
  }
}

TEST(Activation, LimitsAreRight) {
  for (const Activation a : kActivations)
    for_each_target([&] {
      for (const float x :
           {0.0f, -0.0f, 1e-40f, -1e-40f, 88.0f, -88.0f, 104.5f, -104.5f, 1e4f, -1e4f, 1e30f, -1e30f, kInfinity, -kInfinity}) {
        if (needs_input(a) && x == -kInfinity) continue;  // -infinity times 0
        float y = 7, dy = 1, dx = 7;
        activate(a, &x, &y, 1);
        const double exact = activation_twin(a, x);
        if (std::fabs(exact) > static_cast<double>(std::numeric_limits<float>::max())) {
          EXPECT_EQ(y, exact > 0 ? kInfinity : -kInfinity) << to_string(a) << " at " << x;
          continue;
        }
        EXPECT_LE(std::fabs(y - exact), 8 * kUnit * std::fabs(exact) + kSmallestNormal) << to_string(a) << " at " << x;
        activate_backward(a, needs_input(a) ? &x : &y, &dy, &dx, 1);
        if (std::isfinite(x)) {
          EXPECT_LE(std::fabs(dx - exact_slope(a, x)), 16 * kUnit * std::max(1.0, exact_slope(a, x))) << to_string(a) << " at " << x;
        }
      }
    });
}

TEST(Activation, NotANumberStaysNotANumber) {
  const std::vector<float> x(33, std::numeric_limits<float>::quiet_NaN());
  for (const Activation a : kActivations)
    for_each_target([&] {
      std::vector<float> y(33, 0.0f);
      activate(a, x.data(), y.data(), 33);
      for (const float v : y) EXPECT_TRUE(std::isnan(v)) << to_string(a);
    });
}

// A number's result may not depend on where in a vector it lies.
TEST(Activation, EveryPlaceInAVectorIsTreatedAlike) {
  Rng rng(3, "elementwise");
  const Numbers x = arguments(67, rng);
  for (const Activation a : kActivations)
    for_each_target([&] {
      Numbers y(67);
      activate(a, x.data(), y.data(), 67);
      for (std::int64_t i = 0; i < 67; ++i) {
        float alone = 0;
        activate(a, x.data() + i, &alone, 1);
        ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(alone)) << to_string(a) << " at " << x[i];
      }
    });
}

TEST(Elementwise, SumsAndProductsAreRightWithinTwoRoundings) {
  Rng rng(4, "elementwise");
  for (const std::int64_t n : sizes()) {
    const Numbers a(n, rng), b(n, rng), start(n, rng);
    const float f = static_cast<float>(rng.normal());
    for_each_target([&] {
      Numbers sum = start, scaled = start, product(n), product_sum = start, times(n);
      add(sum.data(), a.data(), n);
      add_scaled(scaled.data(), a.data(), f, n);
      multiply(a.data(), b.data(), product.data(), n);
      multiply_add(a.data(), b.data(), product_sum.data(), n);
      scale(a.data(), f, times.data(), n);
      for (std::int64_t i = 0; i < n; ++i) {
        const double x = a[i], y = b[i], s = start[i];
        ASSERT_EQ(sum[i], start[i] + a[i]);
        ASSERT_EQ(times[i], f * a[i]);
        ASSERT_EQ(product[i], a[i] * b[i]);
        expect_close(scaled[i], s + f * x, std::fabs(s) + std::fabs(f * x), 2, "add_scaled", x);
        expect_close(product_sum[i], s + x * y, std::fabs(s) + std::fabs(x * y), 2, "multiply_add", x);
      }
    });
  }
}

TEST(Groups, SumAndRepeatAreRightForEveryShape) {
  Rng rng(5, "elementwise");
  for (const std::int64_t groups : {0, 1, 2, 5})
    for (const std::int64_t period : {1, 2, 3, 8, 50})
      for (const std::int64_t cols : {1, 3, 8, 15, 16, 17, 40})
        for (const bool accumulate : {false, true}) {
          const Numbers many(groups * period * cols, rng), few(groups * cols, rng);
          Numbers mask(groups * period * cols, rng);
          if (mask.size()) mask[0] = 0;
          const float factor = static_cast<float>(rng.normal());
          for_each_target([&] {
            Numbers sums = few, repeated = many, masked = many;
            sum_groups(many.data(), groups, period, cols, factor, sums.data(), accumulate);
            repeat_rows(few.data(), groups, period, cols, factor, repeated.data(), accumulate);
            repeat_rows(few.data(), groups, period, cols, factor, masked.data(), accumulate, mask.data());
            for (std::int64_t at = 0; at < masked.size(); ++at) ASSERT_EQ(masked[at], mask[at] > 0 ? repeated[at] : 0.0f);
            for (std::int64_t g = 0; g < groups; ++g)
              for (std::int64_t j = 0; j < cols; ++j) {
                const double f = factor, x = few[g * cols + j];
                double exact = accumulate ? x : 0, magnitude = std::fabs(exact);
                for (std::int64_t i = 0; i < period; ++i) {
                  const std::int64_t at = (g * period + i) * cols + j;
                  exact += f * many[at];
                  magnitude += std::fabs(f * many[at]);
                  const double start = accumulate ? many[at] : 0;
                  expect_close(repeated[at], start + f * x, std::fabs(start) + std::fabs(f * x), 2, "repeat_rows", x);
                }
                expect_close(sums[g * cols + j], exact, magnitude, static_cast<double>(period + 2), "sum_groups", x);
              }
          });
        }
}

// The plain twins are sum_groups, and repeat_rows with the values themselves as its mask. In pieces as in one.
TEST(Groups, PoolingWithBitsIsPoolingWithValues) {
  Rng rng(9, "elementwise");
  for (const std::int64_t rows : {1, 2, 3, 8, 51})
    for (const std::int64_t cols : {1, 3, 8, 15, 16, 17, 40, 130})
      for (const std::int64_t piece : {rows, std::int64_t{1}, std::int64_t{3}, std::int64_t{4}}) {
        Numbers many(rows * cols, rng);
        const Numbers few(cols, rng);
        many[0] = 0;
        if (rows > 1) many[cols] = std::numeric_limits<float>::quiet_NaN();
        const float factor = static_cast<float>(rng.normal());
        for_each_target([&] {
          constexpr std::uint8_t kGuard = 0xA5;
          const auto bytes = static_cast<std::size_t>(rows * bytes_of_bits(cols));
          std::vector<std::uint8_t> bits(bytes + static_cast<std::size_t>(kBitsSlack), kGuard);
          Numbers sums = few, sums_alone = few, plain_sums = few, spread(rows * cols), plain_spread(rows * cols), all(rows * cols);
          const auto pool = [&](float* y, std::uint8_t* positive) {
            Numbers between(2 * cols, rng);
            for (std::int64_t row = 0; row < rows; row += piece) {
              const std::int64_t count = std::min(piece, rows - row);
              pool_rows(many.data() + row * cols, count, cols, factor, y, {row == 0, row + count == rows, between.data()},
                        positive ? positive + row * bytes_of_bits(cols) : nullptr);
            }
          };
          pool(sums.data(), bits.data());
          EXPECT_TRUE(
              std::all_of(bits.begin() + static_cast<std::ptrdiff_t>(bytes), bits.end(), [](std::uint8_t b) { return b == kGuard; }));
          pool(sums_alone.data(), nullptr);
          sum_groups(many.data(), 1, rows, cols, factor, plain_sums.data(), false);
          unpool_rows(few.data(), rows, cols, factor, spread.data(), bits.data());
          unpool_rows(few.data(), rows, cols, factor, all.data(), nullptr);
          repeat_rows(few.data(), 1, rows, cols, factor, plain_spread.data(), false, many.data());
          for (std::int64_t j = 0; j < cols; ++j) {
            ASSERT_EQ(std::bit_cast<std::uint32_t>(sums[j]), std::bit_cast<std::uint32_t>(plain_sums[j])) << rows << " x " << cols;
            ASSERT_EQ(std::bit_cast<std::uint32_t>(sums_alone[j]), std::bit_cast<std::uint32_t>(plain_sums[j])) << rows << " x " << cols;
          }
          for (std::int64_t i = 0; i < rows * cols; ++i) {
            ASSERT_EQ(spread[i], plain_spread[i]) << rows << " x " << cols << " at " << i;
            ASSERT_EQ(all[i], factor * few[i % cols]);
          }
        });
      }
}

TEST(AffineCoupling, ForwardBackwardAndInverseAreRight) {
  Rng rng(6, "elementwise");
  for (const std::int64_t n : sizes())
    for (const float clamp : {1.9f, 0.3f, 20.0f, 0.0f}) {
      const Numbers u(n, rng), s(n, rng, 2.0), t(n, rng), dv(n, rng), dq(n, rng);
      for_each_target([&] {
        Numbers v(n), q(n), e(n), du(n), ds(n), back(n);
        affine_forward(u.data(), s.data(), t.data(), clamp, v.data(), q.data(), e.data(), n);
        affine_backward(u.data(), s.data(), e.data(), dv.data(), dq.data(), clamp, du.data(), ds.data(), n);
        affine_inverse(v.data(), s.data(), t.data(), clamp, back.data(), n);
        for (std::int64_t i = 0; i < n; ++i) {
          const double exact_q = soft_clamp(s[i], clamp), exact_e = std::exp(exact_q);
          const double slope = clamp > 0 ? 2 / std::numbers::pi / (1 + std::pow(static_cast<double>(s[i]) / clamp, 2)) : 1;
          const double g = dv[i] * exact_e, exact_ds = (g * u[i] + dq[i]) * slope;
          const double relative = 8 * (1 + std::fabs(exact_q));  // an error of q is a relative error of e^q
          expect_close(q[i], exact_q, std::fabs(exact_q), 8, "q", s[i]);
          expect_close(e[i], exact_e, exact_e, relative, "e", s[i]);
          expect_close(v[i], u[i] * exact_e + t[i], std::fabs(u[i] * exact_e) + std::fabs(t[i]), relative + 2, "v", s[i]);
          expect_close(du[i], g, std::fabs(g), relative + 2, "du", s[i]);
          expect_close(ds[i], exact_ds, (std::fabs(g * u[i]) + std::fabs(dq[i])) * slope, relative + 8, "ds", s[i]);
          // v - t loses what v's rounding has cut: an error of v's size.
          expect_close(back[i], u[i], std::fabs(u[i]) + (std::fabs(v[i]) + std::fabs(t[i])) / exact_e, 2 * relative + 4, "inverse", s[i]);
        }
      });
    }
}

TEST(AffineCoupling, WithoutClampLargeScalesOverflowToInfinity) {
  for (const float s : {90.0f, 104.0f, 200.0f, 1e4f, 1e30f})
    for_each_target([&] {
      const float u = 1, t = 0, minus = -s;
      float v = 0, q = 0, e = 0;
      affine_forward(&u, &s, &t, 0.0f, &v, &q, &e, 1);
      EXPECT_EQ(q, s);
      EXPECT_EQ(e, kInfinity);
      EXPECT_EQ(v, kInfinity);
      affine_inverse(&u, &minus, &t, 0.0f, &v, 1);
      EXPECT_EQ(v, kInfinity);
      affine_forward(&u, &minus, &t, 0.0f, &v, &q, &e, 1);
      EXPECT_LE(v, kSmallestNormal);
      EXPECT_GE(v, 0.0f);
    });
}

TEST(AffineCoupling, NotANumberIsNotHidden) {
  const float u = 1, t = 0, s = std::numeric_limits<float>::quiet_NaN();
  for (const float clamp : {0.0f, 1.9f})
    for_each_target([&] {
      float v = 0, q = 0, e = 0, back = 0;
      affine_forward(&u, &s, &t, clamp, &v, &q, &e, 1);
      affine_inverse(&u, &s, &t, clamp, &back, 1);
      for (const float x : {v, q, e, back}) EXPECT_TRUE(std::isnan(x));
    });
}

TEST(SumOfSquares, IsRightWithinTheRoundingsOfOneBlock) {
  Rng rng(7, "elementwise");
  for (std::int64_t n : {0, 1, 5, 16, 17, 100, 2047, 2048, 2049, 5000, 100000}) {
    const Numbers x(n, rng);
    double exact = 0;
    for (std::int64_t i = 0; i < n; ++i) exact += static_cast<double>(x[i]) * x[i];
    for_each_target(
        [&] { EXPECT_LE(std::fabs(sum_of_squares(x.data(), n) - exact), gamma(std::min<std::int64_t>(n, 2048) + 2) * exact) << n; });
  }
}

TEST(ReduceGradient, AddsLanesInOrderAndTheWeightsPenalty) {
  Rng rng(8, "elementwise");
  for (const std::int64_t n : {1, 7, 16, 33, 1000})
    for (int count = 1; count <= 5; ++count)
      for (const bool penalty : {false, true}) {
        std::vector<Numbers> lanes;
        for (int l = 0; l < count; ++l) lanes.emplace_back(n, rng);
        const Numbers w(n, rng);
        const float l2 = 0.37f;
        for_each_target([&] {
          Numbers g(n);
          std::vector<const float*> pointers;
          for (const Numbers& lane : lanes) pointers.push_back(lane.data());
          const double square = reduce_gradient(g.data(), pointers.data(), count, penalty ? w.data() : nullptr, l2, n);
          double exact_square = 0;
          for (std::int64_t i = 0; i < n; ++i) {
            float sum = lanes[0][i];
            for (std::size_t l = 1; l < lanes.size(); ++l) sum += lanes[l][i];  // in order: these very roundings
            const double exact = sum + (penalty ? static_cast<double>(l2) * w[i] : 0.0);
            if (penalty)
              expect_close(g[i], exact, std::fabs(sum) + std::fabs(l2 * w[i]), 2, "gradient", i);
            else
              ASSERT_EQ(g[i], sum);
            exact_square += static_cast<double>(g[i]) * g[i];
          }
          EXPECT_LE(std::fabs(square - exact_square), gamma(n + 2) * exact_square);
        });
      }
}

TEST(ReduceGradient, WorksInPlace) {
  Rng rng(9, "elementwise");
  const Numbers start(37, rng), other(37, rng);
  for_each_target([&] {
    Numbers g = start;
    const float* lanes[] = {g.data(), other.data()};
    (void)reduce_gradient(g.data(), lanes, 1, nullptr, 0.0f, 37);
    for (std::int64_t i = 0; i < 37; ++i) ASSERT_EQ(g[i], start[i]);
    (void)reduce_gradient(g.data(), lanes, 2, nullptr, 0.0f, 37);
    for (std::int64_t i = 0; i < 37; ++i) ASSERT_EQ(g[i], start[i] + other[i]);
  });
}

TEST(Adam, FollowsThePlainFormula) {
  Rng rng(10, "elementwise");
  for (const std::int64_t n : sizes()) {
    const Numbers w0(n, rng), m0(n, rng, 0.1), g(n, rng);
    Numbers v0(n, rng, 0.1);
    for (std::int64_t i = 0; i < n; ++i) v0[i] *= v0[i];
    for (const float shrink : {0.0f, 1e-3f}) {
      const AdamStep step{.factor = 0.7f,
                          .beta1 = 0.9f,
                          .one_minus_beta1 = 0.1f,
                          .beta2 = 0.999f,
                          .one_minus_beta2 = 0.001f,
                          .rate = 5e-3f,
                          .epsilon = 1e-7f,
                          .shrink = shrink};
      for_each_target([&] {
        Numbers w = w0, m = m0, v = v0;
        adam(step, w.data(), m.data(), v.data(), g.data(), n);
        for (std::int64_t i = 0; i < n; ++i) {
          const double gi = static_cast<double>(step.factor) * g[i];
          const double old_part = static_cast<double>(step.beta1) * m0[i], new_part = step.one_minus_beta1 * gi;
          const double exact_m = old_part + new_part, m_size = std::fabs(old_part) + std::fabs(new_part);
          const double exact_v = static_cast<double>(step.beta2) * v0[i] + step.one_minus_beta2 * gi * gi;
          const double per_m = step.rate / (std::sqrt(exact_v) + step.epsilon);
          expect_close(m[i], exact_m, m_size, 4, "m", i);
          expect_close(v[i], exact_v, exact_v, 5, "v", i);
          const double kept = (1 - static_cast<double>(shrink)) * w0[i];
          expect_close(w[i], kept - per_m * exact_m, std::fabs(kept) + per_m * m_size, 12, "w", i);
        }
      });
    }
  }
}

TEST(Adam, WithoutGradientAndMomentsTheWeightsOnlyShrink) {
  for_each_target([] {
    float w[3] = {1, -2, 0}, m[3] = {}, v[3] = {};
    const float g[3] = {};
    adam({1, 0.9f, 0.1f, 0.999f, 0.001f, 1e-3f, 1e-7f, 0.25f}, w, m, v, g, 3);
    EXPECT_EQ(w[0], 0.75f);
    EXPECT_EQ(w[1], -1.5f);
    EXPECT_EQ(w[2], 0.0f);
  });
}

TEST(Sgd, FollowsThePlainFormula) {
  Rng rng(11, "elementwise");
  for (const std::int64_t n : sizes()) {
    const Numbers w0(n, rng), m0(n, rng), g(n, rng);
    for (const float momentum : {0.0f, 0.9f})
      for_each_target([&] {
        Numbers w = w0, m = m0;
        sgd(0.5f, momentum, 0.1f, w.data(), m.data(), g.data(), n);
        for (std::int64_t i = 0; i < n; ++i) {
          const double kept = static_cast<double>(momentum) * m0[i], step = 0.5 * static_cast<double>(0.1f) * g[i];
          const double size = std::fabs(kept) + std::fabs(step);
          expect_close(m[i], kept - step, size, 4, "m", i);
          expect_close(w[i], w0[i] + kept - step, std::fabs(w0[i]) + size, 5, "w", i);
        }
      });
  }
}

}  // namespace
}  // namespace bayesflow::kernels
