#include "kernels/product.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>

#include "support_numbers.hpp"
#include "support_targets.hpp"

namespace bayesflow::kernels {
namespace {

enum class Start { zero, accumulate, shared, periodic };

struct Case {
  std::int64_t rows, depth, cols;
  Start start = Start::zero;
  Epilogue epilogue = Epilogue::none;
  bool transposed_at_hand = false;         // as well as B
  std::int64_t period = 1, first_row = 0;  // of init

  [[nodiscard]] std::string text() const {
    return "rows " + std::to_string(rows) + " depth " + std::to_string(depth) + " cols " + std::to_string(cols) + " start " +
           std::to_string(static_cast<int>(start)) + " epilogue " + std::to_string(static_cast<int>(epilogue)) + " transposed at hand " +
           std::to_string(transposed_at_hand) + " period " + std::to_string(period) + " first row " + std::to_string(first_row);
  }
};

/// A case's operands, and the result in double precision with the bound of its error.
class Example {
 public:
  Example(const Case& c, Rng& rng)
      : case_(c),
        a_(c.rows, c.depth, rng.integers(0, 3), rng),
        b_(c.depth, c.cols, rng.integers(0, 3), rng),
        c_(c.rows, c.cols, rng.integers(0, 3), rng),
        mask_(c.rows, c.cols, rng.integers(0, 3), rng),
        init_((c.first_row + c.rows - 1) / c.period + 1, c.cols, rng.integers(0, 3), rng),
        b_transposed_(c.cols, c.depth, rng.integers(0, 3), rng),
        exact_(static_cast<std::size_t>(c.rows * c.cols)),
        bound_(exact_.size()) {
    for (std::int64_t p = 0; p < c.depth; ++p)
      for (std::int64_t j = 0; j < c.cols; ++j) b_transposed_(j, p) = b_(p, j);
    std::vector<double> sum(static_cast<std::size_t>(c.cols)), magnitude(sum.size());
    for (std::int64_t i = 0; i < c.rows; ++i) {
      for (std::int64_t j = 0; j < c.cols; ++j) sum[at(j)] = start(i, j), magnitude[at(j)] = std::fabs(sum[at(j)]);
      for (std::int64_t p = 0; p < c.depth; ++p) {
        const double x = a_(i, p);
        const float* row = b_.data() + p * b_.stride;
        for (std::int64_t j = 0; j < c.cols; ++j) {
          const double term = x * static_cast<double>(row[j]);
          sum[at(j)] += term;
          magnitude[at(j)] += std::fabs(term);
        }
      }
      for (std::int64_t j = 0; j < c.cols; ++j) {
        double value = sum[at(j)];
        if (c.epilogue == Epilogue::relu) value = std::max(value, 0.0);
        if (c.epilogue == Epilogue::relu_mask && !(mask_(i, j) > 0)) value = 0, magnitude[at(j)] = 0;
        exact_[at(i * c.cols + j)] = value;
        bound_[at(i * c.cols + j)] = gamma(c.depth + 2) * magnitude[at(j)];
      }
    }
  }

  /// The kernel's answer for rows [first, last), all of them by default.
  [[nodiscard]] Matrix run(std::int64_t first = 0, std::int64_t last = -1, bool from_transposed = false, bool packed = false) const {
    Matrix c = c_;
    Product p{};
    p.a = a_.data() + first * a_.stride, p.lda = a_.stride;
    p.b = b_.data(), p.ldb = b_.stride;
    p.c = c.data() + first * c.stride, p.ldc = c.stride;
    p.rows = (last < 0 ? case_.rows : last) - first, p.depth = case_.depth, p.cols = case_.cols;
    if (case_.start == Start::accumulate) p.accumulate = true;
    if (case_.start == Start::shared) p.init = init_.data();
    if (case_.start == Start::periodic) {
      p.init = init_.data(), p.init_stride = init_.stride;
      p.init_period = case_.period, p.init_row = case_.first_row + first;
    }
    if (case_.epilogue == Epilogue::relu_mask) p.mask = mask_.data() + first * mask_.stride, p.ldmask = mask_.stride;
    p.epilogue = case_.epilogue;
    if (case_.transposed_at_hand) p.b_transposed = b_transposed_.data(), p.ldbt = b_transposed_.stride;
    std::vector<float> panel;
    constexpr float kGuard = 1.25F;
    if (from_transposed) {
      panel.assign(at(kPanelFloats + 64), kGuard);
      p.b = nullptr, p.panel = panel.data();
      p.b_transposed = b_transposed_.data(), p.ldbt = b_transposed_.stride;
    }
    std::vector<float> order;
    if (packed) {
      order.resize(at(case_.depth * case_.cols));
      pack(b_.data(), b_.stride, case_.depth, case_.cols, order.data());
      p.b = order.data(), p.packed = true;
    }
    std::vector<float> next(1000);
    p.ahead = {next.data(), static_cast<std::int64_t>(next.size())};  // a hint, which changes nothing
    product(p);
    const bool within = !from_transposed || std::all_of(panel.end() - 64, panel.end(), [](float x) { return x == kGuard; });
    EXPECT_TRUE(within) << case_.text() << ": wrote behind the panel";
    return c;
  }

  /// What is wrong with an answer, if anything.
  [[nodiscard]] std::optional<std::string> fault(const Matrix& c) const {
    for (std::int64_t i = 0; i < case_.rows; ++i)
      for (std::int64_t j = 0; j < case_.cols; ++j) {
        const double error = std::fabs(c(i, j) - exact_[at(i * case_.cols + j)]), bound = bound_[at(i * case_.cols + j)];
        if (!(error <= bound))
          return case_.text() + ": entry (" + std::to_string(i) + ", " + std::to_string(j) + ") is off by " + std::to_string(error) +
                 ", allowed " + std::to_string(bound);
      }
    if (!gaps_untouched(c)) return case_.text() + ": numbers between the rows were written";
    return std::nullopt;
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  [[nodiscard]] double start(std::int64_t i, std::int64_t j) const {
    switch (case_.start) {
      case Start::zero:
        return 0;
      case Start::accumulate:
        return c_(i, j);
      case Start::shared:
        return init_(0, j);
      case Start::periodic:
        return init_((case_.first_row + i) / case_.period, j);
    }
    return 0;
  }

  Case case_;
  Matrix a_, b_, c_, mask_, init_, b_transposed_;
  std::vector<double> exact_, bound_;
};

Case with_random_options(std::int64_t rows, std::int64_t depth, std::int64_t cols, Rng& rng) {
  return {.rows = rows,
          .depth = depth,
          .cols = cols,
          .start = static_cast<Start>(rng.integers(0, 4)),
          .epilogue = static_cast<Epilogue>(rng.integers(0, 3)),
          .transposed_at_hand = rng.bernoulli(0.5),
          .period = rng.integers(1, rows + 3),
          .first_row = rng.integers(0, 50)};
}

void expect_right_on_every_target(const Case& c, Rng& rng) {
  const Example example(c, rng);
  for_each_target([&] {
    const auto fault = example.fault(example.run());
    EXPECT_FALSE(fault) << *fault;
    const auto other_fault = example.fault(example.run(0, -1, true));
    EXPECT_FALSE(other_fault) << "from the transposed matrix: " << *other_fault;
    const auto packed_fault = example.fault(example.run(0, -1, false, true));
    EXPECT_FALSE(packed_fault) << "from the packed matrix: " << *packed_fault;
  });
}

TEST(Product, IsRightForEveryShapeUpToForty) {
  Rng rng(1, "product");
  for (std::int64_t rows = 1; rows <= 40; ++rows)
    for (std::int64_t cols = 1; cols <= 40; ++cols)
      for (const std::int64_t depth : {rng.integers(1, 9), rng.integers(9, 41)}) {
        expect_right_on_every_target(with_random_options(rows, depth, cols, rng), rng);
        if (HasFailure()) return;
      }
}

TEST(Product, IsRightForEveryDepthUpToEighty) {
  Rng rng(2, "product");
  for (std::int64_t depth = 1; depth <= 80; ++depth)
    for (int repeat = 0; repeat < 12; ++repeat) {
      expect_right_on_every_target(with_random_options(rng.integers(1, 15), depth, rng.integers(1, 70), rng), rng);
      if (HasFailure()) return;
    }
}

TEST(Product, IsRightForEveryCombinationOfOptions) {
  Rng rng(3, "product");
  for (const std::int64_t rows : {1, 5, 12, 13, 25})
    for (const std::int64_t cols : {1, 2, 3, 4, 16, 31, 64, 65})
      for (const std::int64_t depth : {3, 40})
        for (const Start start : {Start::zero, Start::accumulate, Start::shared, Start::periodic})
          for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::relu_mask})
            for (const bool transposed : {false, true}) {
              expect_right_on_every_target({rows, depth, cols, start, epilogue, transposed, 5, 8}, rng);
              if (HasFailure()) return;
            }
}

TEST(Product, IsRightForTheWidthsOfNetworks) {
  Rng rng(4, "product");
  for (const auto& [rows, depth, cols] :
       {std::tuple{1600, 4, 64}, {320, 64, 64}, {96, 128, 256}, {32, 256, 2}, {33, 513, 130}, {8, 100, 1000}}) {
    expect_right_on_every_target(with_random_options(rows, depth, cols, rng), rng);
    expect_right_on_every_target({rows, depth, cols, Start::periodic, Epilogue::relu, false, 50, 0}, rng);
  }
}

TEST(Product, FewColumnsUseTheTransposedMatrix) {
  Rng rng(5, "product");
  for (std::int64_t cols = 1; cols <= 4; ++cols)
    for (std::int64_t depth = 1; depth <= 100; ++depth) {
      Case c = with_random_options(rng.integers(1, 8), depth, cols, rng);
      c.transposed_at_hand = true;
      expect_right_on_every_target(c, rng);
      if (HasFailure()) return;
    }
}

TEST(Product, WithoutDepthIsItsStart) {
  Rng rng(6, "product");
  for (const Start start : {Start::zero, Start::accumulate, Start::shared, Start::periodic})
    for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::relu_mask})
      for (const std::int64_t cols : {1, 3, 17}) expect_right_on_every_target({7, 0, cols, start, epilogue, cols < 4, 3, 1}, rng);
}

TEST(Product, WithoutRowsOrColumnsDoesNothing) {
  for_each_target([] {
    const float one = 1;
    for (const auto& [rows, cols] : {std::pair{0, 5}, {5, 0}, {0, 0}}) {
      float c = 7;
      Product p{};
      p.a = p.b = &one, p.c = &c, p.lda = p.ldb = p.ldc = 1;
      p.rows = rows, p.depth = 1, p.cols = cols;
      product(p);
      EXPECT_EQ(c, 7.0f);
    }
  });
}

// A row's numbers may depend neither on the rows computed with it nor on its place among them: draws would otherwise differ with
// the size of the batch, and gradients with the number of shards.
TEST(Product, ARowIsTheSameWhicheverRowsAreComputedWithIt) {
  Rng rng(7, "product");
  for (int repeat = 0; repeat < 150; ++repeat) {
    const Case c = with_random_options(rng.integers(2, 40), rng.integers(1, 80), rng.integers(1, 70), rng);
    const Example example(c, rng);
    const std::int64_t first = rng.integers(0, c.rows), last = rng.integers(first + 1, c.rows + 1);
    for_each_target([&] {
      const Matrix whole = example.run(), part = example.run(first, last);
      for (std::int64_t i = first; i < last; ++i)
        for (std::int64_t j = 0; j < c.cols; ++j)
          ASSERT_EQ(std::bit_cast<std::uint32_t>(whole(i, j)), std::bit_cast<std::uint32_t>(part(i, j)))
              << c.text() << " rows " << first << " to " << last;
    });
  }
}

// B^T is transposed in panels, and partial sums are stored in C between them.
TEST(Product, FromTheTransposedMatrixHasTheSameBits) {
  Rng rng(8, "product");
  for (int repeat = 0; repeat < 150; ++repeat) {
    // Four columns and fewer take another way where B^T is at hand.
    Case c = with_random_options(rng.integers(1, 40), rng.integers(1, 400), rng.integers(5, 200), rng);
    c.transposed_at_hand = false;
    const Example example(c, rng);
    for_each_target([&] {
      const Matrix direct = example.run(), turned = example.run(0, -1, true);
      for (std::int64_t i = 0; i < c.rows; ++i)
        for (std::int64_t j = 0; j < c.cols; ++j)
          ASSERT_EQ(std::bit_cast<std::uint32_t>(direct(i, j)), std::bit_cast<std::uint32_t>(turned(i, j))) << c.text();
      const auto fault = example.fault(turned);
      EXPECT_FALSE(fault) << *fault;
    });
  }
}

TEST(Product, NotANumberIsNotHiddenByRelu) {
  for (const bool transposed : {false, true})
    for_each_target([&] {
      std::vector<float> a(40, 1.0f), b(40, 1.0f), c(1, 0.0f);
      a[5] = std::numeric_limits<float>::quiet_NaN();
      Product p{};
      p.a = a.data(), p.lda = 40, p.b = b.data(), p.ldb = 1, p.c = c.data(), p.ldc = 1;
      p.rows = 1, p.depth = 40, p.cols = 1;
      p.epilogue = Epilogue::relu;
      if (transposed) p.b_transposed = b.data(), p.ldbt = 40;
      product(p);
      EXPECT_TRUE(std::isnan(c[0]));
    });
}

TEST(Product, MaskOfZeroIsClosed) {
  for_each_target([] {
    const float a = 1, b[5] = {1, 1, 1, 1, 1};
    const float mask[5] = {1e-40f, 0.0f, -0.0f, -1.0f, 2.0f};
    float c[5];
    Product p{};
    p.a = &a, p.lda = 1, p.b = b, p.ldb = 5, p.c = c, p.ldc = 5;
    p.rows = 1, p.depth = 1, p.cols = 5;
    p.epilogue = Epilogue::relu_mask, p.mask = mask, p.ldmask = 5;
    product(p);
    const float expected[5] = {1, 0, 0, 0, 1};
    for (int j = 0; j < 5; ++j) EXPECT_EQ(c[j], expected[j]) << j;
  });
}

TEST(TransposedProduct, IsRightForEveryShape) {
  Rng rng(8, "product");
  for (std::int64_t rows = 1; rows <= 40; ++rows)
    for (std::int64_t cols = 1; cols <= 40; ++cols) {
      const std::int64_t depth = (rows * 40 + cols) % 45;
      const Matrix a(depth, rows, rng.integers(0, 3), rng), b(depth, cols, rng.integers(0, 3), rng),
          before(rows, cols, rng.integers(0, 3), rng);
      const Numbers sums_before(cols, rng);
      const bool accumulate = rng.bernoulli(0.5), accumulate_sums = rng.bernoulli(0.5);
      for_each_target([&] {
        Matrix c = before, alone = before;
        Numbers sums = sums_before;
        transposed_product({a.data(), a.stride, b.data(), b.stride, alone.data(), alone.stride, rows, depth, cols, accumulate});
        transposed_product(
            {a.data(), a.stride, b.data(), b.stride, c.data(), c.stride, rows, depth, cols, accumulate, sums.data(), accumulate_sums});
        for (std::int64_t j = 0; j < cols; ++j) {
          double exact = accumulate_sums ? sums_before[j] : 0, magnitude = std::fabs(exact);
          for (std::int64_t p = 0; p < depth; ++p) exact += b(p, j), magnitude += std::fabs(b(p, j));
          ASSERT_LE(std::fabs(sums[j] - exact), gamma(depth + 1) * magnitude) << rows << " " << depth << " " << cols << " sum " << j;
        }
        for (std::int64_t i = 0; i < rows; ++i)
          for (std::int64_t j = 0; j < cols; ++j) {
            double exact = accumulate ? before(i, j) : 0, magnitude = std::fabs(exact);
            for (std::int64_t p = 0; p < depth; ++p) {
              const double term = static_cast<double>(a(p, i)) * b(p, j);
              exact += term;
              magnitude += std::fabs(term);
            }
            ASSERT_LE(std::fabs(c(i, j) - exact), gamma(depth + 2) * magnitude) << rows << " " << depth << " " << cols;
            ASSERT_EQ(c(i, j), alone(i, j)) << "sums change the product: " << rows << " " << depth << " " << cols;
          }
        ASSERT_TRUE(gaps_untouched(c)) << rows << " " << depth << " " << cols;
      });
    }
}

TEST(ColumnSums, AreRightForEveryShape) {
  Rng rng(9, "product");
  for (std::int64_t rows = 0; rows <= 20; ++rows)
    for (std::int64_t cols = 1; cols <= 70; ++cols) {
      const Matrix x(rows, cols, rng.integers(0, 3), rng);
      const Numbers before(cols, rng);
      const bool accumulate = rng.bernoulli(0.5);
      for_each_target([&] {
        Numbers sums = before;
        column_sums(x.data(), x.stride, rows, cols, sums.data(), accumulate);
        for (std::int64_t j = 0; j < cols; ++j) {
          double exact = accumulate ? before[j] : 0, magnitude = std::fabs(exact);
          for (std::int64_t i = 0; i < rows; ++i) exact += x(i, j), magnitude += std::fabs(x(i, j));
          ASSERT_LE(std::fabs(sums[j] - exact), gamma(rows + 1) * magnitude) << rows << " " << cols << " " << j;
        }
      });
    }
}

TEST(Transpose, IsExactForEveryShape) {
  Rng rng(10, "product");
  for (std::int64_t rows = 0; rows <= 40; ++rows)
    for (std::int64_t cols = 0; cols <= 40; ++cols) {
      const Matrix x(rows, cols, rng.integers(0, 3), rng);
      const Matrix before(cols, rows, rng.integers(0, 3), rng);
      for_each_target([&] {
        Matrix y = before;
        transpose(x.data(), x.stride, rows, cols, y.data(), y.stride);
        for (std::int64_t i = 0; i < rows; ++i)
          for (std::int64_t j = 0; j < cols; ++j) ASSERT_EQ(y(j, i), x(i, j)) << rows << " " << cols;
        ASSERT_TRUE(gaps_untouched(y)) << rows << " " << cols;
      });
    }
}

TEST(Targets, MoreThanOneInstructionSetIsTestedHere) {
  // On a machine with AVX2 the plain code and AVX2 at least; the list is what the checks above ran with.
  std::string names;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) names += std::string(hwy::TargetName(target)) + " ";
  RecordProperty("instruction_sets", names);
  EXPECT_GE(hwy::SupportedAndGeneratedTargets().size(), 1U);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    EXPECT_GE(hwy::SupportedAndGeneratedTargets().size(), 2U) << names;
  }
#endif
}

}  // namespace
}  // namespace bayesflow::kernels
