/// The store of parameters, and how fresh ones are drawn.
#include "bayesflow/nn/parameters.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow::nn {
namespace {

std::vector<float> draw(Initializer initializer, const Shape& shape, std::uint64_t seed = 1, const std::string& name = "w") {
  ParameterStore store;
  const std::span<float> v = store.value(store.add(name, shape, initializer, 0, seed));
  return {v.begin(), v.end()};
}

TEST(Initializers, UniformOnesHaveTheirLimitsAndMoments) {
  const std::int64_t in = 96, out = 160;
  for (const bool he : {false, true}) {
    const double limit = std::sqrt(6.0 / static_cast<double>(he ? in : in + out));
    const std::vector<float> w = draw(he ? Initializer::he_uniform : Initializer::glorot_uniform, {in, out});
    double sum = 0, square = 0, largest = 0;
    for (const float x : w) {
      sum += static_cast<double>(x);
      square += static_cast<double>(x) * static_cast<double>(x);
      largest = std::max(largest, std::fabs(static_cast<double>(x)));
    }
    const auto n = static_cast<double>(w.size());
    EXPECT_LE(largest, limit * (1 + 1e-6));
    EXPECT_GT(largest, 0.99 * limit);  // missed by all with probability 0.99^15360
    // Mean 0 with standard error limit / sqrt(3 n), second moment limit^2 / 3 with limit^2 sqrt(4 / 45 n); six of each: 4e-9.
    EXPECT_NEAR(sum / n, 0, 6 * limit / std::sqrt(3 * n));
    EXPECT_NEAR(square / n, limit * limit / 3, 6 * limit * limit * std::sqrt(4.0 / 45 / n));
  }
}

TEST(Initializers, NormalOnesHaveTheirMomentsAndAreCut) {
  const std::int64_t in = 96, out = 160;
  struct Row {
    Initializer kind;
    double deviation;
    bool cut;
  };
  const double inside = 0.87962566103423978;  // deviation of a standard normal between -2 and 2
  for (const Row& row :
       {Row{Initializer::glorot_normal, std::sqrt(2.0 / (in + out)), true}, Row{Initializer::he_normal, std::sqrt(2.0 / in), true},
        Row{Initializer::lecun_normal, std::sqrt(1.0 / in), true}, Row{Initializer::truncated_normal, 0.05 * inside, true},
        Row{Initializer::random_normal, 0.05, false}, Row{Initializer::random_uniform, 0.05 / std::sqrt(3.0), true},
        Row{Initializer::lecun_uniform, std::sqrt(1.0 / in), true}, Row{Initializer::fan_out_normal, std::sqrt(1.0 / out), true},
        Row{Initializer::fan_out_uniform, std::sqrt(1.0 / out), true}, Row{Initializer::fan_in_untruncated, std::sqrt(1.0 / in), false},
        Row{Initializer::fan_out_untruncated, std::sqrt(1.0 / out), false},
        Row{Initializer::fan_avg_untruncated, std::sqrt(2.0 / (in + out)), false}}) {
    const std::vector<float> w = draw(row.kind, {in, out});
    double sum = 0, square = 0, largest = 0;
    for (const float x : w) {
      sum += static_cast<double>(x);
      square += static_cast<double>(x) * static_cast<double>(x);
      largest = std::max(largest, std::fabs(static_cast<double>(x)));
    }
    const auto n = static_cast<double>(w.size());
    EXPECT_NEAR(sum / n, 0, 6 * row.deviation / std::sqrt(n)) << to_string(row.kind);
    EXPECT_NEAR(square / n, row.deviation * row.deviation, 6 * row.deviation * row.deviation * std::sqrt(2 / n)) << to_string(row.kind);
    EXPECT_EQ(largest < 2.3 * row.deviation, row.cut) << to_string(row.kind);
  }
}

TEST(Initializers, AreScaledShiftedAndSeeded) {
  const std::int64_t in = 96, out = 160;
  const auto of = [&](const Start& start, std::uint64_t seed = 1) {
    ParameterStore store;
    const std::span<float> v = store.value(store.add("w", {in, out}, start, 0, seed));
    return std::vector<float>(v.begin(), v.end());
  };
  const std::vector<float> base = of(Initializer::random_normal), changed = of({Initializer::random_normal, 4, 0.5});
  for (std::size_t i = 0; i < base.size(); ++i) ASSERT_NEAR(changed[i], 0.5F + 4 * base[i], 1e-6F);
  EXPECT_EQ(of({Initializer::zeros, 1, 0.25}), std::vector<float>(static_cast<std::size_t>(in * out), 0.25F));
  EXPECT_EQ(of({Initializer::he_normal, 1, 0, 7}, 1), of({Initializer::he_normal, 1, 0, 7}, 2));
  EXPECT_EQ(of({Initializer::he_normal, 1, 0, 7}, 1), of(Initializer::he_normal, 7));
  EXPECT_NE(of(Initializer::he_normal, 1), of(Initializer::he_normal, 2));
}

TEST(Initializers, NamesGoBothWays) {
  for (int i = 0; i <= static_cast<int>(kLastInitializer); ++i)
    EXPECT_EQ(initializer_from(to_string(static_cast<Initializer>(i))), static_cast<Initializer>(i));
  EXPECT_EQ(initializer_from("variance_scaling"), Initializer::lecun_normal);
  EXPECT_TRUE(sentence<ConfigurationError>([] {
                (void)initializer_from("xavier");
              }).starts_with("initializer \"xavier\" is not known; use one of: zeros, ones, glorot_uniform"));
}

TEST(Initializers, OrthogonalColumnsOrRowsWhicheverAreFewer) {
  for (const Shape& shape : {Shape{24, 24}, Shape{40, 7}, Shape{7, 40}, Shape{1, 5}, Shape{1, 1}}) {
    const std::vector<float> w = draw(Initializer::orthogonal, shape);
    const std::int64_t rows = shape[0], cols = shape[1], few = std::min(rows, cols), many = std::max(rows, cols);
    const auto at = [&](std::int64_t vector, std::int64_t element) {
      return static_cast<double>(w[static_cast<std::size_t>(cols <= rows ? element * cols + vector : vector * cols + element)]);
    };
    for (std::int64_t a = 0; a < few; ++a)
      for (std::int64_t b = 0; b < few; ++b) {
        double product = 0;
        for (std::int64_t i = 0; i < many; ++i) product += at(a, i) * at(b, i);
        EXPECT_NEAR(product, a == b ? 1 : 0, 1e-6) << shape.to_string();
      }
  }
}

TEST(Initializers, ZerosAndOnes) {
  EXPECT_EQ(draw(Initializer::zeros, {3, 4}), std::vector<float>(12, 0.0f));
  EXPECT_EQ(draw(Initializer::ones, {5}), std::vector<float>(5, 1.0f));
  EXPECT_EQ(draw(Initializer::identity, {2, 3}), (std::vector<float>{1, 0, 0, 0, 1, 0}));
}

TEST(Initializers, DependOnSeedAndNameAlone) {
  for (const Initializer i : {Initializer::glorot_uniform, Initializer::he_uniform, Initializer::orthogonal}) {
    const std::vector<float> w = draw(i, {6, 5});
    EXPECT_EQ(draw(i, {6, 5}), w);
    EXPECT_NE(draw(i, {6, 5}, 2), w);
    EXPECT_NE(draw(i, {6, 5}, 1, "v"), w);
    ParameterStore store;  // not on what was added before
    store.add("other", {9, 9}, i, 0, 1);
    const std::span<float> again = store.value(store.add("w", {6, 5}, i, 0, 1));
    EXPECT_TRUE(std::equal(w.begin(), w.end(), again.begin()));
  }
}

TEST(ParameterStore, NamesFindParametersAndAreTakenOnce) {
  ParameterStore store;
  const Builder root(store, 7), inner = root.scope("net").scope("0");
  EXPECT_EQ(root.add("a", {2}, Initializer::ones), 0);
  EXPECT_EQ(inner.add("kernel", {2, 3}, Initializer::zeros, 0.5f), 1);
  EXPECT_EQ(store.find("net.0.kernel"), 1);
  EXPECT_EQ(store.table()[1].shape, (Shape{2, 3}));
  EXPECT_EQ(store.table()[1].l2, 0.5f);
  EXPECT_EQ(store.count(), 2);
  EXPECT_EQ(store.number_of_values(), 8);
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)store.find("net.0.bias"); }),
            "there is no parameter \"net.0.bias\" among the 2 of this model");
  EXPECT_EQ(sentence<ConfigurationError>([&] { inner.add("kernel", {1}, Initializer::ones); }),
            "parameter \"net.0.kernel\" exists already; give every network its own place");
  EXPECT_EQ(store.count(), 2);
}

TEST(ParameterStore, ALimitHoldsAndLeavesTheStoreAsItWas) {
  ParameterStore store;
  store.set_limit(10);
  store.add("a", {2, 3}, Initializer::ones, 0, 0);
  EXPECT_EQ(sentence<ConfigurationError>([&] { store.add("b", {5}, Initializer::ones, 0, 0); }),
            "parameter \"b\" of shape (5,) would make more than 10 values");
  EXPECT_EQ(store.count(), 1);
  store.add("b", {4}, Initializer::ones, 0, 0);
  EXPECT_EQ(store.number_of_values(), 10);
}

TEST(ParameterStore, ParametersLieOnCacheLinesAndKeepTheirValuesWhileItGrows) {
  ParameterStore store;
  std::vector<std::vector<float>> first;
  for (int i = 0; i < 40; ++i) {
    const std::span<float> v = store.value(store.add("w" + std::to_string(i), {i % 5 + 1, 7}, Initializer::glorot_uniform, 0, 3));
    first.emplace_back(v.begin(), v.end());
  }
  for (int i = 0; i < 40; ++i) {
    const std::span<float> v = store.value(i);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(v.data()) % 64, 0U);
    EXPECT_TRUE(std::equal(v.begin(), v.end(), first[static_cast<std::size_t>(i)].begin()));
  }
}

TEST(ParameterStore, BuffersHoldWhatIsNotTrained) {
  ParameterStore store;
  const Builder builder(store, 0, "flow");
  EXPECT_EQ(builder.add_buffer("permutation", {2, 0, 1}), 0);
  EXPECT_EQ(builder.add_buffer("vector", {}, {0.5f}), 1);
  EXPECT_EQ(store.buffers()[0].name, "flow.permutation");
  EXPECT_EQ(store.buffers()[0].integers, (std::vector<std::int32_t>{2, 0, 1}));
  EXPECT_EQ(store.buffers()[1].floats, std::vector<float>{0.5f});
  EXPECT_EQ(store.number_of_values(), 0);
}

}  // namespace
}  // namespace bayesflow::nn
