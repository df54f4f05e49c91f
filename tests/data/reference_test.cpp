// Are data sets like held-out simulations?
#include "bayesflow/data/reference.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/data/seen_data.hpp"

namespace bayesflow {
namespace {

/// What is done to the simulations that a test calls observed.
using Change = std::function<void(Array&, Rng&)>;

struct Data {
  Batch batch;
  Array summaries;
};

/// Autoregressive series of two columns, (sets, 40, 2): location 0 and 3 on average, of three parameters. A summary network would tell
/// the parameters: here it is the means, the logarithm of the deviation, and the correlation of neighbours.
Data series(std::int64_t sets, std::uint64_t seed, const Change& change = {}) {
  constexpr std::int64_t kSteps = 40;
  Rng rng(seed, "series");
  Array x({sets, kSteps, 2});
  for (std::int64_t b = 0; b < sets; ++b) {
    const double location = rng.normal(0, 0.7), scale = std::exp(rng.normal(0, 0.2)), a = rng.uniform(0.5, 0.9);
    double state = rng.normal();
    for (std::int64_t t = 0; t < kSteps; ++t) {
      state = a * state + std::sqrt(1 - a * a) * rng.normal();
      x(b, t, 0) = location + scale * state;
      x(b, t, 1) = 3 + 0.5 * location + rng.normal(0, 0.5 * scale);
    }
  }
  if (change) change(x, rng);
  Array summaries({sets, 4});
  for (std::int64_t b = 0; b < sets; ++b) {
    double m0 = 0, m1 = 0, v = 0, n = 0;
    for (std::int64_t t = 0; t < kSteps; ++t) {
      m0 += x(b, t, 0) / kSteps;
      m1 += x(b, t, 1) / kSteps;
    }
    for (std::int64_t t = 0; t < kSteps; ++t) {
      v += (x(b, t, 0) - m0) * (x(b, t, 0) - m0);
      if (t) n += (x(b, t, 0) - m0) * (x(b, t - 1, 0) - m0);
    }
    summaries(b, 0) = std::tanh(m0);
    summaries(b, 1) = m1 + m0;
    summaries(b, 2) = std::log(v);
    summaries(b, 3) = n / v;
  }
  return {{{roles::parameters, rng.normal({sets, 3})}, {roles::summary_conditions, x}}, summaries};
}

Typicality reference(std::int64_t sets, std::uint64_t seed) {
  ReferenceSample sample;
  const Data data = series(sets, seed);
  sample.add(data.batch, data.summaries);
  return Typicality(sample);
}

Typical compare(const Typicality& with, const Data& data) {
  const Block summaries(data.summaries);
  return with.compare(data.batch, summaries.data());
}

double share_up_to(const std::vector<double>& p, double level) {
  return static_cast<double>(std::ranges::count_if(p, [&](double x) { return x <= level; })) / static_cast<double>(p.size());
}

TEST(Reference, PValuesOfSimulationsHaveTheirLevel) {
  // The mean over references: each alone is known to 0.5 %.
  double at_five = 0, at_one = 0, alone = 0, of_summaries = 0;
  constexpr int kReferences = 8;
  for (int r = 0; r < kReferences; ++r) {
    const Typicality with = reference(1000, 100 + static_cast<std::uint64_t>(r));
    const Typical found = compare(with, series(2000, 200 + static_cast<std::uint64_t>(r)));
    at_five += share_up_to(found.p_values, 0.05) / kReferences;
    at_one += share_up_to(found.p_values, 0.01) / kReferences;
    alone += share_up_to(found.p_data, 0.05) / kReferences;
    of_summaries += share_up_to(found.p_summaries, 0.05) / kReferences;
  }
  RecordProperty("share_at_5_percent", std::to_string(at_five));
  EXPECT_NEAR(at_five, 0.05, 0.01);
  EXPECT_NEAR(at_one, 0.01, 0.005);
  EXPECT_NEAR(alone, 0.05, 0.01);
  EXPECT_NEAR(of_summaries, 0.05, 0.01);
}

TEST(Reference, PValuesOfBatchesHaveTheirLevel) {
  std::vector<double> any, together;
  for (int r = 0; r < 10; ++r) {
    const Typicality with = reference(2000, 300 + static_cast<std::uint64_t>(r));
    const Data all = series(2000, 400 + static_cast<std::uint64_t>(r));
    for (std::int64_t b = 0; b < 2000; b += 20) {
      const Data some{all.batch.rows(b, b + 20), all.summaries.slice(b, b + 20)};
      const Typical found = compare(with, some);
      any.push_back(found.p_value);
      together.push_back(found.p_together);
    }
  }
  EXPECT_NEAR(share_up_to(any, 0.05), 0.05, 0.02);
  EXPECT_NEAR(share_up_to(together, 0.05), 0.05, 0.02);
}

TEST(Reference, FindsStrangeDataAndNamesWhatIsStrange) {
  const Typicality with = reference(1000, 1);
  EXPECT_GE(with.size(), 660);
  struct Case {
    const char* name;
    Change change;
    double least;  // share of data sets with p <= 0.05
  };
  const Case cases[] = {
      {"shift", [](Array& x, Rng&) { x += 2.0; }, 0.75},
      {"scale", [](Array& x, Rng&) { x *= 2.0; }, 0.95},
      {"contaminated",
       [](Array& x, Rng& rng) {
         for (std::int64_t i = 0; i < x.size(); ++i)
           if (rng.uniform(0, 1) < 0.05) x.data()[i] += 8;
       },
       0.95},
      {"reordered",
       [](Array& x, Rng& rng) {
         for (std::int64_t b = 0; b < x.dim(0); ++b)
           for (std::int64_t t = x.dim(1) - 1; t > 0; --t) {
             const std::int64_t s = static_cast<std::int64_t>(rng.uniform(0, 1) * static_cast<double>(t + 1));
             for (std::int64_t j = 0; j < 2; ++j) std::swap(x(b, t, j), x(b, s, j));
           }
       },
       0.5},
      {"exchanged columns",
       [](Array& x, Rng&) {
         for (std::int64_t i = 0; i < x.size(); i += 2) std::swap(x.data()[i], x.data()[i + 1]);
       },
       0.95},
  };
  for (const Case& c : cases) {
    const Typical found = compare(with, series(300, 7, c.change));
    EXPECT_GE(share_up_to(found.p_values, 0.05), c.least) << c.name;
    EXPECT_LE(found.p_together, 0.001) << c.name;
  }
  // One that is far off has its name.
  const Typical found = compare(with, series(1, 8, [](Array& x, Rng&) {
                                  for (std::int64_t t = 0; t < x.dim(1); ++t) x(0, t, 1) += 9;
                                }));
  ASSERT_EQ(found.strangest.size(), 1U);
  const Strangest& s = found.strangest[0];
  EXPECT_TRUE(s.name == "mean of column 2 of summary_conditions" || s.name == "output 2 of the summary network") << s.name;
  EXPECT_TRUE(s.alone);
  EXPECT_GT(s.value, s.high);
  const std::optional<Foreign> told = unlike_simulations(found, with.size(), 0.01);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->kind, Foreign::Kind::distance);
  EXPECT_NE(told->sentence.find("This data set is unlike the simulations of training: p-value 0.0015 among 667 held-out ones."),
            std::string::npos)
      << told->sentence;
  EXPECT_FALSE(unlike_simulations(found, with.size(), 0.001));
}

TEST(Reference, CopiesOfADataSetAreNoProof) {
  const Typicality with = reference(1000, 2);
  const Data many = series(200, 9);
  const Typical each = compare(with, many);
  const auto at =
      static_cast<std::int64_t>(std::ranges::find_if(each.p_values, [](double p) { return p > 0.1 && p < 0.3; }) - each.p_values.begin());
  const std::vector<std::int64_t> same(50, at);
  const Typical copies = compare(with, {many.batch.take(same), many.summaries.take(same)});
  EXPECT_GE(copies.p_value, 0.1);
}

TEST(Reference, FeaturesLeavePaddingOutAndDoNotDependOnTheOrderOfRoles) {
  Rng rng(3);
  const Array x = rng.normal({4, 10, 3}), direct = rng.normal({4, 2});
  Array padded = rng.normal({4, 13, 3}), mask({4, 13}, 0.0);
  for (std::int64_t b = 0; b < 4; ++b)
    for (std::int64_t t = 0; t < 10; ++t) {
      mask(b, t) = 1;
      for (std::int64_t j = 0; j < 3; ++j) padded(b, t, j) = x(b, t, j);
    }
  const DataFeatures plain = data_features({{roles::summary_conditions, x}, {roles::direct_conditions, direct}});
  const DataFeatures other =
      data_features({{roles::direct_conditions, direct}, {roles::summary_mask, mask}, {roles::summary_conditions, padded}});
  EXPECT_EQ(plain.names, other.names);
  EXPECT_EQ(plain.values, other.values);
  ASSERT_EQ(plain.names.size(), 2U + 3 * 6 + 2);
  EXPECT_EQ(plain.names[0], "column 1 of direct_conditions");
  EXPECT_EQ(plain.values[0], static_cast<float>(direct(0, 0)));
  EXPECT_EQ(plain.names[2], "mean of column 1 of summary_conditions");
  double mean = 0;
  for (std::int64_t t = 0; t < 10; ++t) mean += x(0, t, 0) / 10;
  EXPECT_NEAR(static_cast<double>(plain.values[2]), mean, 1e-6);
}

TEST(Reference, KnowsDataOfManyColumnsAndOfNone) {
  Rng rng(4);
  for (const Shape& shape : {Shape{3, 500}, Shape{3, 6, 30}, Shape{3, 6, 200}, Shape{3, 8, 8, 1}, Shape{3, 1, 1}, Shape{3, 2, 4, 2}}) {
    const char* role = shape.rank() == 2 ? roles::direct_conditions : roles::summary_conditions;
    const DataFeatures f = data_features({{role, rng.normal(shape)}});
    EXPECT_FALSE(f.names.empty());
    EXPECT_LE(f.names.size(), 128U);
    EXPECT_EQ(f.values.size(), 3 * f.names.size()) << shape.to_string();
    for (const float v : f.values) EXPECT_TRUE(std::isfinite(v));
  }
  EXPECT_TRUE(data_features({{roles::parameters, rng.normal({3, 2})}}).names.empty());
}

TEST(Reference, ConstantColumnsHeavyTailsAndFewDataSets) {
  Rng rng(5);
  Array x({400, 3});
  for (std::int64_t b = 0; b < 400; ++b) {
    x(b, 0) = 7;
    x(b, 1) = rng.normal() / rng.normal();
    x(b, 2) = std::floor(rng.uniform(0, 2));
  }
  ReferenceSample sample;
  sample.add({{roles::direct_conditions, x.slice(0, 200)}}, {});
  const Typicality with(sample);
  const Typical found = with.compare({{roles::direct_conditions, x.slice(200, 400)}}, nullptr);
  EXPECT_NEAR(share_up_to(found.p_values, 0.05), 0.05, 0.06);
  EXPECT_TRUE(found.p_summaries.empty());
  EXPECT_TRUE(with.compare({{roles::direct_conditions, x.columns(0, 2)}}, nullptr).p_values.empty());  // other features

  ReferenceSample constant;
  constant.add({{roles::direct_conditions, Array({100, 2}, 1.0)}}, {});
  EXPECT_TRUE(Typicality(constant).compare({{roles::direct_conditions, Array({1, 2}, 2.0)}}, nullptr).p_values.empty());

  ReferenceSample few;
  few.add({{roles::direct_conditions, x.slice(0, 63)}}, {});
  try {
    (void)Typicality(few);
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_STREQ(error.what(), "Typicality: at least 64 data sets are needed to compare with; got 63");
  }
}

TEST(Reference, GroupsShareDataAndHaveSummariesOfTheirOwn) {
  const Data data = series(100, 6);
  ReferenceSample one, other, third;
  one.add(data.batch, data.summaries.columns(0, 3));
  other.add(data.batch, data.summaries.columns(3, 4));
  third.add(series(100, 7).batch, data.summaries.columns(0, 1));
  ReferenceSample all = one;
  all.join(other);
  all.join(third);
  EXPECT_EQ(all.summary_width, 5);
  EXPECT_EQ(all.share(0, 3).summaries, one.summaries);
  EXPECT_EQ(all.share(3, 4).summaries, other.summaries);
  EXPECT_EQ(all.share(4, 5).count, 0);  // those of other data sets say nothing beside these
  EXPECT_EQ(all.share(0, 3).features, one.features);
}

}  // namespace
}  // namespace bayesflow
